//! The keys that a database lists, for every server on it.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::postgres::PostgresWorld;
use crate::postgres::cluster::OWNER;
use crate::secure::fingerprint;
use crate::{Running, ddes_at, folder, output, start};

/// A condition that does not come about by then is a failure.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A client that no file of a server lists.
struct Guest {
    home: PathBuf,
    /// Its public key's line.
    key: String,
    trust: String,
}

impl Guest {
    fn new(servers: &Path) -> Self {
        let home = folder();
        let (code, key, error) = output(ddes_at(&home, &["key", "new", "--quiet"]));
        assert_eq!(code, 0, "{error}");
        Self { home, key: key.trim().to_owned(), trust: fingerprint(servers) }
    }

    fn send(&self, server: &Running, value: &str) -> (i32, String) {
        let flags = ["send", "-q", "--server", &server.address, "--trust", &self.trust, value];
        let (code, sum, _) = output(ddes_at(&self.home, &flags));
        (code, sum)
    }

    /// Sends 1 until it ends so: servers look at the list once a second.
    fn until(&self, server: &Running, wanted: i32) {
        let begin = Instant::now();
        loop {
            let (code, _) = self.send(server, "1");
            if code == wanted {
                return;
            }
            assert!([0, 4].contains(&code), "{code}");
            assert!(begin.elapsed() < WAIT_MAX, "it ends with {code}, not with {wanted}");
        }
    }

    /// A session that stays open.
    fn connect(&self, server: &Running) -> Running {
        let flags = ["connect", "--json", "--server", &server.address, "--trust", &self.trust];
        start(ddes_at(&self.home, &flags), |line| line.contains("\"ready\"").then(String::new))
    }
}

impl PostgresWorld {
    /// `ddes authorize` as the owner of the tables.
    fn authorize(&self, arguments: &[&str]) -> (i32, String, String) {
        self.authorize_at(&self.postgres.url(OWNER), arguments)
    }

    fn authorize_at(&self, url: &str, arguments: &[&str]) -> (i32, String, String) {
        output(ddes_at(&self.home, &[&["authorize"], arguments, &["--ledger", url]].concat()))
    }

    fn rows(&self) -> String {
        self.postgres.sql("ddes", "SELECT count(*) FROM ddes_authorized")
    }
}

fn event(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The server's next line with this text.
fn line_with(server: &mut Running, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(server.stdout.read_line(&mut line).unwrap() > 0, "no line has {text}");
        if line.contains(text) {
            return line;
        }
    }
}

/// How it ends by itself: `wait` would close its input.
fn code_of(child: &mut Child) -> Option<i32> {
    let input = child.stdin.take();
    let code = child.wait().unwrap().code();
    drop(input);
    code
}

#[test]
fn a_key_of_the_database_comes_in_at_every_server_and_its_sessions_end_with_its_row() {
    let world = PostgresWorld::new();
    let (mut first, second) = (world.serve(&[]), world.serve(&[]));
    let said = event(&line_with(&mut first, "\"access\""));
    assert_eq!((&said["keys"], &said["database_keys"]), (&0.into(), &0.into()));
    let guest = Guest::new(&world.home);
    assert_eq!((guest.send(&first, "1").0, guest.send(&second, "1").0), (4, 4));

    // One change for all of them.
    let (code, out, error) = world.authorize(&[&guest.key, "--name", "guest", "--json"]);
    assert_eq!(code, 0, "{error}");
    let said = event(&out);
    assert_eq!((&said["event"], &said["file"]), (&"authorized".into(), &Value::Null));
    assert_eq!(said["ledger"], world.postgres.url(OWNER));
    guest.until(&first, 0);
    guest.until(&second, 0);
    assert!(!world.home.join("authorized_keys").exists());
    // Whoever may read the table lists it, and the ledger has its name.
    let (code, out, error) = world.authorize_at(&world.url, &["ls", "--json"]);
    assert_eq!((code, &*error), (0, ""));
    let listed = event(&out);
    assert_eq!((&listed["name"], &listed["role"]), (&"guest".into(), &"client".into()));
    assert!(guest.key.starts_with(listed["key"].as_str().unwrap()));
    let (code, out, error) = world.ledger(&["ls", "--json"]);
    assert_eq!((code, event(&out)["name"].as_str()), (0, Some("guest")), "{error}");

    // In place of its row, not beside it; an open session has the role that the row has now.
    let mut session = guest.connect(&first);
    assert_eq!(world.authorize(&[&guest.key, "--name", "guest", "--role", "operator"]).0, 0);
    assert_eq!(world.rows(), "1");
    assert_eq!(event(&line_with(&mut first, "\"regranted\""))["operator"], true);

    let (code, out, error) = world.authorize(&["rm", "guest", "--json"]);
    assert_eq!((code, event(&out)["event"].as_str()), (0, Some("removed")), "{error}");
    assert_eq!(code_of(&mut session.child), Some(4));
    guest.until(&second, 4);
    assert_eq!(guest.send(&first, "1").0, 4);
    let (code, _, error) = world.authorize(&["rm", "guest"]);
    assert!(code == 1 && error.contains("no key is authorized as 'guest'"), "{code} {error}");
    let wanted = format!("--ledger {}", world.postgres.url(OWNER));
    assert!(error.contains("ddes authorize ls") && error.contains(&wanted), "{error}");
}

#[test]
fn a_server_that_starts_knows_the_list_before_anybody_connects() {
    let world = PostgresWorld::new();
    // Its first start makes the server's key.
    drop(world.serve(&[]));
    let guest = Guest::new(&world.home);
    assert_eq!(world.authorize(&[&guest.key]).0, 0);
    let mut server = world.serve(&[]);
    assert_eq!(guest.send(&server, "7"), (0, "7\n".to_owned()));
    let said = event(&line_with(&mut server, "\"access\""));
    assert_eq!((&said["keys"], &said["database_keys"]), (&1.into(), &1.into()));
}

#[test]
fn what_the_database_granted_holds_while_it_is_away() {
    let mut world = PostgresWorld::new();
    let mut server = world.serve(&[]);
    let guest = Guest::new(&world.home);
    assert_eq!(world.authorize(&[&guest.key]).0, 0);
    guest.until(&server, 0);
    let (before, _) = world.totals();
    let mut session = guest.connect(&server);
    world.postgres.crash();
    line_with(&mut server, "\"away\"");
    // It is not sent away: it waits for its value's answer, or comes in again by itself.
    session.child.stdin.as_mut().unwrap().write_all(b"5\n").unwrap();
    // Nor is somebody who comes meanwhile, and is refused for another reason.
    let flags = ["send", "-q", "--server", &server.address, "--trust", &guest.trust];
    let late = ["--retry-secs", "1", "1"];
    let (code, _, error) = output(ddes_at(&guest.home, &[&flags[..], &late].concat()));
    assert!(code != 0 && code != 4, "{code} {error}");
    assert!(session.child.try_wait().unwrap().is_none(), "its session has ended");
    world.postgres.launch(&[]);
    line_with(&mut server, "\"good\"");
    drop(session.child.stdin.take());
    assert_eq!(code_of(&mut session.child), Some(0));
    assert_eq!(guest.send(&server, "1").0, 0);
    let count = before.parse::<u64>().unwrap() + 2;
    assert_eq!(world.totals().0, count.to_string());
    // And the list is looked at again.
    world.postgres.sql("ddes", "TRUNCATE ddes_authorized");
    guest.until(&server, 4);
}

#[test]
fn a_row_that_cannot_be_read_is_a_fault_with_its_place_and_the_others_count() {
    let world = PostgresWorld::new();
    let mut server = world.serve(&[]);
    let (guest, other) = (Guest::new(&world.home), Guest::new(&world.home));
    for key in [&guest.key, &other.key] {
        assert_eq!(world.authorize(&[key]).0, 0);
    }
    guest.until(&server, 0);
    let (_, out, _) = output(ddes_at(&other.home, &["key", "show", "--json"]));
    let of_other = event(&out)["fingerprint"].as_str().unwrap().to_owned();
    // By hand, and with an option that might restrict it.
    let update = format!(
        "UPDATE ddes_authorized SET line = 'from=\"10.0.0.1\" ' || line WHERE line LIKE '{}%'",
        other.key
    );
    world.postgres.sql("ddes", &update);
    let fault = line_with(&mut server, "\"access_fault\"");
    let row = "SELECT encode(identity, 'hex') FROM ddes_authorized WHERE line LIKE 'from%'";
    let digits = world.postgres.sql("ddes", row);
    assert!(fault.contains(&digits) && fault.contains("'from' is not known here"), "{fault}");
    assert!(fault.contains("ddes_authorized"), "{fault}");
    guest.until(&server, 0);
    other.until(&server, 4);
    let (code, out, error) = world.authorize(&["ls", "--json"]);
    assert_eq!((code, out.lines().count()), (0, 1));
    assert!(error.contains("warning: ") && error.contains(&digits), "{error}");
    // The key of its row names it still.
    assert_eq!(world.authorize(&["rm", &of_other]).0, 0);
    assert_eq!(world.rows(), "1");
}

#[test]
fn a_list_that_cannot_be_read_any_more_keeps_what_it_granted() {
    let world = PostgresWorld::new();
    let mut server = world.serve(&[]);
    let (guest, other) = (Guest::new(&world.home), Guest::new(&world.home));
    assert_eq!(world.authorize(&[&guest.key]).0, 0);
    guest.until(&server, 0);
    for (change, back, why) in [
        (
            "INSERT INTO ddes_authorized SELECT sha256('x'), repeat('x', 16777216)",
            "DELETE FROM ddes_authorized WHERE line LIKE 'x%'",
            "has more than 16777216 bytes",
        ),
        (
            "REVOKE SELECT ON ddes_authorized FROM ddes",
            "GRANT SELECT ON ddes_authorized TO ddes",
            "permission denied",
        ),
    ] {
        world.postgres.sql("ddes", change);
        let fault = line_with(&mut server, "\"access_fault\"");
        let holds = "what it granted before holds until it can be read";
        assert!(fault.contains(why) && fault.contains(holds), "{fault}");
        assert_eq!((guest.send(&server, "1").0, other.send(&server, "1").0), (0, 4), "{why}");
        world.postgres.sql("ddes", back);
        // And is read again.
        assert_eq!(world.authorize(&[&other.key]).0, 0);
        other.until(&server, 0);
        assert_eq!(world.authorize(&["rm", &other.key]).0, 0);
        other.until(&server, 4);
    }
}

#[test]
fn a_servers_role_that_may_write_the_list_is_warned_of() {
    let world = PostgresWorld::new();
    for (grant, revoke) in [
        ("GRANT INSERT ON ddes_authorized TO ddes", "REVOKE INSERT ON ddes_authorized FROM ddes"),
        (
            "GRANT UPDATE (line) ON ddes_authorized TO ddes",
            "REVOKE UPDATE (line) ON ddes_authorized FROM ddes",
        ),
        ("GRANT DELETE ON ddes_authorized TO PUBLIC", ""),
    ] {
        world.postgres.sql("ddes", grant);
        let mut server = world.serve(&[]);
        let warning = line_with(&mut server, "\"ledger_warning\"");
        assert!(warning.contains("may change who may connect"), "{grant}: {warning}");
        world.postgres.sql("ddes", revoke);
    }
    let doctor = ["doctor", "--listen", "127.0.0.1:0", "--http", "off", "--ledger", &world.url];
    let (_, out, _) = output(ddes_at(&world.home, &doctor));
    assert!(out.contains("may change who may connect"), "{out}");
    assert!(out.contains("the database lists 0 keys"), "{out}");
}

#[test]
fn what_must_not_be_written_changes_nothing_in_the_database() {
    let world = PostgresWorld::new();
    let (_, key, _) = output(ddes_at(&world.home, &["key", "new", "--quiet"]));
    let key = key.trim();
    let refused = |url: &str, arguments: &[&str], code: i32, why: &str| {
        let (found, out, error) = world.authorize_at(url, arguments);
        assert!(found == code && error.contains(why), "{arguments:?}: {found} {out}{error}");
        assert_eq!(world.rows(), "0", "{arguments:?}");
    };
    let owner = world.postgres.url(OWNER);
    // The servers' role, and what is no database.
    for arguments in [&[key][..], &[key, "--role", "operator"]] {
        refused(&world.url, arguments, 1, "may not change the table ddes_authorized");
    }
    refused("memory", &[key], 2, "for the keys of a database");
    refused("postgres://owner@127.0.0.1:1/ddes", &[key], 3, "127.0.0.1:1");
    refused(&owner.replace("owner@", "owner:hunter2@"), &[key], 2, "has a password in it");
    refused(&owner.replace("/ddes", "/postgres"), &[key], 1, "there is no ledger");
    // The same checks as for a file.
    refused(&owner, &[key, "--expires", "tomorrow"], 2, "YYYYMMDD");
    refused(&owner, &[key, "--name", "an\u{1b}na"], 2, "characters that are not seen");
    refused(&owner, &["ssh-ed25519 AAAA"], 2, "not the whole line");
    refused(&owner, &["rm", "nobody"], 1, "no key is authorized as 'nobody'");
    refused(&owner, &["--name", "anna", "ls"], 2, "ls and rm take no key");
    // A table that servers would refuse.
    world.postgres.sql("ddes", "ALTER TABLE ddes_authorized ADD note text");
    refused(&owner, &[key], 1, "has other columns");
    world.postgres.sql("ddes", "ALTER TABLE ddes_authorized DROP note");
    // One more than servers read: they would hear of no change any more.
    let fill = "INSERT INTO ddes_authorized SELECT sha256('x'), repeat('x', 16777216 - 33)";
    world.postgres.sql("ddes", fill);
    let (code, _, error) = world.authorize(&[key]);
    assert!(code == 1 && error.contains("nothing is changed"), "{code} {error}");
    assert_eq!(world.rows(), "1");
    world.postgres.sql("ddes", "DELETE FROM ddes_authorized");
    // Where nobody hears that it is done, the error says so.
    let mut unheard = ddes_at(&world.home, &["authorize", key, "--ledger", &owner]);
    unheard.stdout(File::options().write(true).open("/dev/full").unwrap());
    let unheard = unheard.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&unheard.stderr);
    assert!(unheard.status.code() == Some(1) && said.contains("done ("), "{said}");
    assert_eq!(world.rows(), "1");
}

#[test]
fn a_list_that_somebody_holds_is_not_written_and_says_so() {
    let world = PostgresWorld::new();
    let (_, key, _) = output(ddes_at(&world.home, &["key", "new", "--quiet"]));
    // As an ALTER TABLE does, for as long as the test needs it.
    let hold = "DO $$ BEGIN LOCK TABLE ddes_authorized; FOR turn IN 1..1200 LOOP \
                PERFORM pg_sleep(0.05); \
                EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'over'); \
                END LOOP; END $$";
    let is_held = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' \
                   AND relation = 'ddes_authorized'::regclass";
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| world.postgres.sql("ddes", hold));
        let begin = Instant::now();
        while world.postgres.sql("ddes", is_held) == "0" {
            assert!(begin.elapsed() < WAIT_MAX && !holder.is_finished(), "nobody holds it");
        }
        let (code, _, error) = world.authorize(&[key.trim()]);
        world.postgres.sql("ddes", "CREATE TABLE over ()");
        assert!(code == 1 && error.contains("lock timeout"), "{code} {error}");
    });
    assert_eq!(world.rows(), "0");
}

//! A ledger that several servers share, in a PostgreSQL that the tests start.

#[path = "../../../ledger-postgres/tests/support/postgres.rs"]
#[allow(dead_code, reason = "each test uses a part")]
pub(crate) mod cluster;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Running, ddes_at, folder, http, output, started};
use cluster::{OWNER, Postgres, SERVER};

pub(crate) const COUNT: u64 = 20_000;
pub(crate) const SUM: u64 = COUNT * (COUNT + 1) / 2;

/// A database with a ledger, and a home of servers and clients.
pub(crate) struct PostgresWorld {
    pub(crate) postgres: Postgres,
    pub(crate) home: PathBuf,
    pub(crate) url: String,
}

impl PostgresWorld {
    pub(crate) fn new() -> Self {
        let postgres = Postgres::start();
        let (home, owner) = (folder(), postgres.url(OWNER));
        let (code, out, error) =
            output(ddes_at(&home, &["ledger", "init", "--ledger", &owner, "--run"]));
        assert_eq!(code, 0, "{out}{error}");
        let url = postgres.url(SERVER);
        Self { postgres, home, url }
    }

    pub(crate) fn serve(&self, more: &[&str]) -> Running {
        // Some are served there again.
        self.trusted(started(self.serving(&crate::unused_address(), more)))
    }

    pub(crate) fn serve_at(&self, address: &str) -> Running {
        self.trusted(started(self.serving(address, &[])))
    }

    /// The server, whose key its clients know now.
    pub(crate) fn trusted(&self, server: Running) -> Running {
        self.trust(&server.address);
        server
    }

    pub(crate) fn trust(&self, address: &str) {
        let (_, shown, _) =
            output(ddes_at(&self.home, &["key", "show", "--server-key", "--quiet"]));
        let added = ["trust", "add", address, shown.trim()];
        assert_eq!(output(ddes_at(&self.home, &added)).0, 0);
    }

    pub(crate) fn serving(&self, address: &str, more: &[&str]) -> Command {
        let flags = ["serve", "--json", "--frame-values", "50", "--listen", address];
        ddes_at(&self.home, &[&flags[..], &["--ledger", &self.url], more].concat())
    }

    pub(crate) fn send(&self, server: &Running, arguments: &[&str]) -> Command {
        let outbox = self.home.join("outbox").display().to_string();
        let flags = ["send", "-q", "--server", &server.address, "--outbox", &outbox];
        ddes_at(&self.home, &[&flags[..], arguments].concat())
    }

    pub(crate) fn ledger(&self, arguments: &[&str]) -> (i32, String, String) {
        output(ddes_at(&self.home, &[&["ledger"], arguments, &["--ledger", &self.url]].concat()))
    }

    pub(crate) fn totals(&self) -> (String, String) {
        let (code, out, error) = self.ledger(&["totals", "--json"]);
        assert_eq!(code, 0, "{error}");
        let totals: Value = serde_json::from_str(&out).unwrap();
        (totals["count"].as_str().unwrap().into(), totals["sum"].as_str().unwrap().into())
    }

    pub(crate) fn numbers(&self) -> PathBuf {
        let path = self.home.join("numbers");
        let lines: String = (1..=COUNT).map(|number| format!("{number}\n")).collect();
        fs::write(&path, lines).unwrap();
        path
    }
}

pub(crate) fn from(mut command: Command, file: &Path) -> Command {
    command.stdin(File::open(file).unwrap());
    command
}

/// How it ended, and all that it printed.
fn ended(mut server: Running) -> (i32, String) {
    let mut said = String::new();
    server.stdout.read_to_string(&mut said).unwrap();
    (server.child.wait().unwrap().code().unwrap(), said)
}

#[test]
fn a_killed_server_is_replaced_by_another_one_and_each_integer_counts_once() {
    let world = PostgresWorld::new();
    let numbers = world.numbers();
    let mut first = world.serve(&[]);
    let mut sender = world.send(&first, &["--resume", "-"]);
    let mut sender =
        sender.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Its input goes on, so that it cannot come to its end before it is killed.
    let half: String = (1..=COUNT / 2).map(|number| format!("{number}\n")).collect();
    sender.stdin.as_mut().unwrap().write_all(half.as_bytes()).unwrap();
    let begin = Instant::now();
    while world.postgres.sql("ddes", "SELECT coalesce(sum(last_seq), 0) FROM ddes_account") == "0" {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is counted");
    }
    // SIGKILL.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    sender.kill().unwrap();
    sender.wait().unwrap();
    // As behind a balancer: the same name leads to another server.
    let second = world.serve_at(&first.address);
    let (code, sum, error) = output(from(world.send(&second, &["--resume", "-"]), &numbers));
    assert_eq!((code, sum), (0, format!("{SUM}\n")), "{error}");
    assert_eq!(world.totals(), (COUNT.to_string(), SUM.to_string()));
    let (code, out, error) = world.ledger(&["verify", "--json"]);
    assert_eq!(code, 0, "{error}");
    crate::json::fits("lines", &out);
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&verified["event"], &verified["count"]),
        (&"verified".into(), &COUNT.to_string().into())
    );

    // What reads it.
    let (code, out, _) = world.ledger(&["export"]);
    assert_eq!((code, out.lines().count() as u64), (0, COUNT + 1));
    assert!(out.lines().last().unwrap().ends_with(&format!(",{COUNT},{COUNT},{SUM}")), "{out}");
    let (code, out, _) = world.ledger(&["ls", "--json"]);
    let account: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &account["sum"]), (0, &SUM.to_string().into()));

    // The second server's receipts, now and in the middle of an entry.
    let id = account["account"].as_str().unwrap();
    for (file, more) in [("now", &[][..]), ("then", &["--last-seq", "7"])] {
        let (code, out, error) = world.ledger(&[&["receipt", id], more].concat());
        assert_eq!(code, 0, "{error}");
        assert!(out.contains("\nentry: ") && !out.contains("\nbatch: "), "{out}");
        let path = world.home.join(file);
        fs::write(&path, &out).unwrap();
        let path = path.to_str().unwrap();
        let (code, _, error) = world.ledger(&["verify", "--receipt", path]);
        assert_eq!(code, 0, "{error}");
    }
    let receipt = fs::read_to_string(world.home.join("then")).unwrap();
    assert!(receipt.contains("\ncount: 7\nsum: 28\n"), "{receipt}");

    // And what shows that somebody changed the tables.
    let receipt = world.home.join("now");
    let update = "UPDATE ddes_account SET sum = sum + 1";
    world.postgres.sql("ddes", update);
    let (code, _, error) = world.ledger(&["verify"]);
    assert!(code == 5 && error.contains("is not what its history adds up to"), "{code} {error}");
    world.postgres.sql("ddes", "UPDATE ddes_account SET sum = sum - 1");
    world.postgres.sql("ddes", "UPDATE ddes_history SET time = time + 1 WHERE entry = 2");
    let (code, _, error) = world.ledger(&["verify", "--receipt", receipt.to_str().unwrap()]);
    assert!(code == 5 && error.contains("entry 2: its chain"), "{code} {error}");
}

#[test]
fn a_session_at_another_server_supersedes_and_an_old_one_is_told() {
    let world = PostgresWorld::new();
    let (first, second) = (world.serve(&[]), world.serve(&[]));
    // A session that stays open.
    let mut connected = ddes_at(&world.home, &["connect", "--json", "--server", &first.address]);
    let mut connected = connected.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let opened = "SELECT coalesce(max(newest_session), 0) FROM ddes_account";
    while world.postgres.sql("ddes", opened) == "0" {
        assert!(begin.elapsed() < Duration::from_secs(60), "no session is opened");
    }
    assert_eq!(output(ddes_at(&world.home, &["total", "--server", &second.address])).0, 0);
    assert_eq!(world.postgres.sql("ddes", opened), "2");
    {
        let mut stdin = connected.stdin.take().unwrap();
        stdin.write_all(b"5\n").unwrap();
    }
    let out = connected.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    // It is told, comes in again with the value that was not counted, and that counts once.
    assert!(said.contains("a newer session of the same identity has begun"), "{said}");
    assert_eq!(world.postgres.sql("ddes", opened), "3");
    assert_eq!(world.totals(), ("1".into(), "5".into()));
}

/// What an operator sees, where another server writes an account that this one holds.
#[test]
fn the_page_and_the_metrics_say_what_was_done_with_the_database() {
    let world = PostgresWorld::new();
    let (first, second) = (http::serve(&world.home, &["--ledger", &world.url]), world.serve(&[]));
    world.trust(&first.running.address);
    let address = &first.running.address;
    let mut connected = ddes_at(&world.home, &["connect", "--json", "--server", address]);
    let mut connected = connected.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let counted = |name: &str| first.get("/api/v1/ledger")["database"][name].as_u64().unwrap();
    let until = |name: &str, least: u64| {
        let begin = Instant::now();
        while counted(name) < least {
            assert!(begin.elapsed() < Duration::from_secs(60), "{name} stays {}", counted(name));
        }
    };
    until("transactions", 1);
    assert_eq!(output(ddes_at(&world.home, &["total", "--server", &second.address])).0, 0);
    {
        connected.stdin.take().unwrap().write_all(b"5\n").unwrap();
    }
    connected.wait().unwrap();
    until("conflicts", 1);
    // Opened, superseded, opened again, counted.
    until("transactions", 3);
    let ledger = first.get("/api/v1/ledger");
    assert_eq!(ledger["kind"], "postgres");
    assert_eq!(ledger["database"]["standby"], false);
    assert_eq!(ledger["database"]["unknown_outcomes"], 0);
    assert!(counted("round_trips") >= 2 * counted("transactions"));
    let (code, metrics) = first.ask("GET", "/metrics", "");
    assert_eq!(code, 200);
    for line in ["ddes_database_standby 0.0\n", "ddes_database_unknown_outcomes_total 0\n"] {
        assert!(metrics.contains(line), "{line} {metrics}");
    }
    assert!(metrics.contains("\nddes_database_conflicts_total 1\n"), "{metrics}");
}

#[test]
fn a_database_that_is_away_for_a_while_is_waited_for() {
    let mut world = PostgresWorld::new();
    let server = world.serve(&[]);
    assert_eq!(output(world.send(&server, &["1", "2"])).0, 0);
    let numbers = world.numbers();
    let mut sender = from(world.send(&server, &["-"]), &numbers);
    let sender = sender.stdout(Stdio::piped()).spawn().unwrap();
    world.postgres.crash();
    std::thread::sleep(Duration::from_secs(3));
    world.postgres.launch(&[]);
    let out = sender.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), format!("{}\n", SUM + 3));
    assert_eq!(world.totals(), ((COUNT + 2).to_string(), (SUM + 3).to_string()));
    assert_eq!(world.ledger(&["verify"]).0, 0);
}

/// A COMMIT whose wait for the standby is cancelled succeeds, and the change is there for all to
/// see. It is no acknowledgement.
#[test]
fn what_no_standby_has_is_not_acknowledged_although_its_commit_succeeds() {
    let world = PostgresWorld::new();
    let server = world.serve(&[]);
    assert_eq!(output(world.send(&server, &["1"])).0, 0);
    let wait_for = |standby: &str| {
        let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        world.postgres.sql("ddes", &sql);
        world.postgres.sql("ddes", "SELECT pg_reload_conf()");
    };
    wait_for("nobody");
    let mut sender = world.send(&server, &["5"]);
    let mut sender = sender.stdout(Stdio::piped()).spawn().unwrap();
    let cancel = "SELECT count(*) FROM (SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                  WHERE wait_event = 'SyncRep') cancelled";
    let (begin, mut cancelled) = (Instant::now(), 0);
    while cancelled < 3 {
        cancelled += world.postgres.sql("ddes", cancel).parse::<u32>().unwrap();
        assert!(sender.try_wait().unwrap().is_none(), "it was acknowledged");
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing waits for the standby");
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_for("");
    let out = sender.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "6\n");
    assert_eq!(world.totals(), ("2".into(), "6".into()));
    assert_eq!(world.ledger(&["verify"]).0, 0);
}

#[test]
fn a_server_stops_where_the_database_lost_what_it_acknowledged() {
    let world = PostgresWorld::new();
    let server = world.serve(&[]);
    assert_eq!(output(world.send(&server, &["1", "2"])).0, 0);
    // As after a failover to a standby that had not received it.
    world.postgres.sql("ddes", "DELETE FROM ddes_history; DELETE FROM ddes_account");
    let (code, ..) = output(world.send(&server, &["3", "--retry-secs", "5"]));
    assert_ne!(code, 0);
    let (code, said) = ended(server);
    assert!(code == 5 && said.contains("it has lost what it stated to be durable"), "{said}");
    // Of a database, and not of a disk that this machine has.
    assert!(said.contains("a failover to a standby") && !said.contains("dmesg"), "{said}");
    assert!(said.contains("ddes ledger raise"), "{said}");
    assert_eq!(world.postgres.sql("ddes", "SELECT count(*) FROM ddes_history"), "0");
}

/// What somebody changes, how it is taken back, and what is said of it.
const UNFIT: [(&str, &str, &str); 9] = [
    ("ALTER TABLE ddes_history SET UNLOGGED", "ALTER TABLE ddes_history SET LOGGED", "UNLOGGED"),
    (
        "ALTER TABLE ddes_account ADD note text",
        "ALTER TABLE ddes_account DROP note",
        "other columns",
    ),
    (
        "CREATE RULE nothing AS ON INSERT TO ddes_history DO INSTEAD NOTHING",
        "DROP RULE nothing ON ddes_history",
        "rules",
    ),
    (
        "ALTER TABLE ddes_authorized SET UNLOGGED",
        "ALTER TABLE ddes_authorized SET LOGGED",
        "ddes_authorized is UNLOGGED",
    ),
    (
        "ALTER TABLE ddes_authorized ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE ddes_authorized DISABLE ROW LEVEL SECURITY",
        "row security",
    ),
    (
        "ALTER TABLE ddes_authorized RENAME TO aside",
        "ALTER TABLE aside RENAME TO ddes_authorized",
        "ddes_authorized is not there",
    ),
    (
        "REVOKE SELECT ON ddes_authorized FROM ddes",
        "GRANT SELECT ON ddes_authorized TO ddes",
        "ddes_authorized",
    ),
    // More than a server reads.
    (
        "INSERT INTO ddes_authorized SELECT sha256('x'), repeat('x', 16777216)",
        "DELETE FROM ddes_authorized",
        "has more than 16777216 bytes",
    ),
    (
        "REVOKE INSERT ON ddes_history FROM ddes",
        "GRANT INSERT ON ddes_history TO ddes",
        "may not read and write",
    ),
];

#[test]
fn what_is_no_place_for_a_ledger_is_refused_with_a_reason() {
    let mut world = PostgresWorld::new();
    let refused = |world: &PostgresWorld, code: i32, why: &str| {
        let mut command = world.serving("127.0.0.1:0", &[]);
        command.stdin(Stdio::null());
        let (found, out, error) = output(command);
        let said = out + &error;
        assert!(found == code && said.contains(why), "{found} {said}");
        said
    };
    for (change, back, why) in UNFIT {
        world.postgres.sql("ddes", change);
        refused(&world, 1, why);
        world.postgres.sql("ddes", back);
    }
    let mut command = world.serving("127.0.0.1:0", &["--require-standby"]);
    command.stdin(Stdio::null());
    let (code, out, error) = output(command);
    assert!(
        code == 1 && (out.clone() + &error).contains("no standby is synchronous"),
        "{out}{error}"
    );
    world.postgres.crash();
    world.postgres.launch(&["fsync=off"]);
    refused(&world, 1, "fsync=off");
    world.postgres.crash();
    world.postgres.launch(&[]);
    // With all of them taken back it is served, and this home knows it.
    drop(world.serve(&[]));
    world.postgres.sql("ddes", "UPDATE ddes_ledger SET id = decode(repeat('00', 16), 'hex')");
    refused(&world, 5, "is not this home's");

    let secret = world.url.replace("ddes@", "ddes:hunter2@");
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["ledger", "totals"]] {
        let command = ddes_at(&world.home, &[command, &["--ledger", &secret]].concat());
        let (code, out, error) = output(command);
        assert!(code == 2 && error.contains("has a password in it"), "{code} {error}");
        assert!(!(out + &error).contains("hunter2"));
    }
    let elsewhere = format!("{}/postgres", world.url.rsplit_once('/').unwrap().0);
    let (code, _, error) =
        output(ddes_at(&world.home, &["ledger", "totals", "--ledger", &elsewhere]));
    assert!(code != 0 && error.contains("ddes ledger init"), "{code} {error}");
}

/// What pgbouncer does that ignores the start-up parameter `options`. Its port.
fn without_options(to: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
            let mut length = [0; 4];
            client.read_exact(&mut length).unwrap();
            let mut start = vec![0; u32::from_be_bytes(length) as usize - 4];
            client.read_exact(&mut start).unwrap();
            // The version, and names with values, each with a zero at its end.
            let (version, pairs) = start.split_at(4);
            let words: Vec<&[u8]> = pairs.split(|byte| *byte == 0).collect();
            let mut kept = version.to_vec();
            for pair in words.chunks_exact(2).filter(|pair| !pair[0].is_empty()) {
                if pair[0] != b"options" {
                    kept.extend([pair[0], b"\0", pair[1], b"\0"].concat());
                }
            }
            kept.push(0);
            server.write_all(&(kept.len() as u32 + 4).to_be_bytes()).unwrap();
            server.write_all(&kept).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                to.shutdown(Shutdown::Both).unwrap_or(());
            });
            std::thread::spawn(move || {
                drop(std::io::copy(&mut client, &mut server));
                server.shutdown(Shutdown::Both).unwrap_or(());
            });
        }
    });
    port
}

/// Without them a server that vanishes within a transaction would stop all others for ever.
#[test]
fn a_pooler_that_drops_the_limits_on_locks_is_refused_unless_the_role_has_them() {
    let mut world = PostgresWorld::new();
    world.url = cluster::url(SERVER, without_options(world.postgres.port));
    let mut command = world.serving("127.0.0.1:0", &["--end-with-input"]);
    command.stdin(Stdio::null());
    let (code, out, error) = output(command);
    let said = out + &error;
    assert!(code == 1 && said.contains("idle_in_transaction_session_timeout is 0"), "{said}");
    // As the hint says.
    for limit in ["idle_in_transaction_session_timeout = '5s'", "lock_timeout = '3s'"] {
        let change = format!("ALTER ROLE ddes SET {limit}");
        assert!(said.contains(&change), "{said}");
        world.postgres.sql("ddes", &change);
    }
    let mut command = world.serving("127.0.0.1:0", &["--end-with-input"]);
    command.stdin(Stdio::null());
    let (code, out, error) = output(command);
    assert!(code == 1 && (out + &error).contains("statement_timeout is 0"));
    world.postgres.sql("ddes", "ALTER ROLE ddes SET statement_timeout = '10s'");
    let server = world.serve(&[]);
    assert_eq!(output(world.send(&server, &["1", "2"])).0, 0);
    assert_eq!(world.totals(), ("2".into(), "3".into()));
}

#[test]
fn a_password_is_in_a_file_that_nobody_else_reads() {
    let world = PostgresWorld::new();
    world.postgres.sql("ddes", "ALTER ROLE ddes PASSWORD 'hunter2'");
    world.postgres.demand_passwords();
    let file = world.home.join("passwords");
    fs::write(&file, "127.0.0.1:*:ddes:ddes:hunter2\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let url = format!("{}?passfile={}", world.url, file.display());
    let totals = |url: &str| {
        let mut command = ddes_at(&world.home, &["ledger", "totals", "--ledger", url]);
        command.env_remove("PGPASSFILE").env("HOME", &world.home);
        output(command)
    };
    let (code, out, error) = totals(&url);
    assert!(code == 0 && out.contains("count     0"), "{out}{error}");
    assert_eq!(totals(&world.url).0, 3);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, error) = totals(&url);
    assert!(code == 1 && error.contains("chmod 600"), "{code} {error}");
    fs::write(&file, "x".repeat((1 << 20) + 1)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, error) = totals(&url);
    assert!(code == 1 && error.contains("more than 1048576 bytes"), "{code} {error}");

    // A service has the address too, and a URL may say part of it otherwise.
    let port = world.postgres.port;
    let service = |text: &str, url: &str| {
        let path = world.home.join("services");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = ddes_at(&world.home, &["ledger", "totals", "--ledger", url]);
        command.env_remove("PGPASSFILE").env("HOME", &world.home).env("PGSERVICEFILE", &path);
        output(command)
    };
    let whole = format!(
        "[x]\nuser=y\n[ddes]\nhost=127.0.0.1\nport={port}\ndbname=ddes\nuser=ddes\npassword=hunter2\n"
    );
    for url in ["postgres://?service=ddes", "postgres://ddes@/ddes?service=ddes"] {
        let (code, out, error) = service(&whole, url);
        assert!(code == 0 && out.contains("count     0"), "{url}: {out}{error}");
    }
    assert_eq!(service(&whole.replace("hunter2", "wrong"), "postgres://?service=ddes").0, 3);
    for (text, why) in [
        (whole.replace("[ddes]", "[other]"), "there is no such section"),
        (whole.replace("port=", "port=x"), "its port is not a number"),
        (whole.replace("dbname=ddes", "dbname ddes"), "a line is not KEY=VALUE"),
        (whole.replace("[ddes]\n", "[ddes]\nsslmode=prefer\n"), "`sslmode` is not read"),
    ] {
        let (code, out, error) = service(&text, "postgres://?service=ddes");
        assert!(code == 2 && error.contains(why), "{text}: {code} {error}");
        assert!(!(out + &error).contains("hunter2"));
    }
}

#[test]
fn the_tables_are_printed_and_made_once() {
    let world = PostgresWorld::new();
    let (owner, home) = (world.postgres.url(OWNER), folder());
    let init = |more: &[&str]| {
        output(ddes_at(&home, &[&["ledger", "init", "--ledger", &owner], more].concat()))
    };
    let (code, sql, _) = init(&[]);
    assert_eq!(code, 0);
    let (code, _, error) = init(&["--run"]);
    assert!(code == 1 && error.contains("already exists"), "{code} {error}");
    // What is printed is what makes them.
    world
        .postgres
        .sql("ddes", "DROP TABLE ddes_ledger, ddes_account, ddes_history, ddes_authorized");
    world.postgres.sql("ddes", &sql);
    assert_eq!(world.totals(), ("0".into(), "0".into()));
    let may = |table: &str| {
        ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"].map(|what| {
            let sql = format!("SELECT has_table_privilege('ddes', '{table}', '{what}')");
            world.postgres.sql("ddes", &sql)
        })
    };
    assert_eq!(may("ddes_history"), ["t", "t", "f", "f", "f"]);
    assert_eq!(may("ddes_authorized"), ["t", "f", "f", "f", "f"]);
    // A folder has no tables.
    let (code, _, error) = output(ddes_at(&home, &["ledger", "init"]));
    assert!(code == 2 && error.contains("is for a ledger in a database"), "{code} {error}");
    let (code, _, error) =
        output(ddes_at(&home, &["ledger", "backup", "x", "--ledger", &world.url]));
    assert!(code == 2 && error.contains("pg_basebackup"), "{code} {error}");
}

/// A restore to a point in time: what was counted afterwards is gone, and with it session numbers
/// that clients know.
#[test]
fn after_a_restore_no_session_number_is_given_out_twice() {
    let world = PostgresWorld::new();
    let server = world.serve(&[]);
    assert_eq!(output(world.send(&server, &["1", "2"])).0, 0);
    drop(server);
    let (code, out, error) = world.ledger(&["raise", "--json"]);
    assert_eq!(code, 0, "{error}");
    crate::json::fits("lines", &out);
    let raised: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&raised["event"], &raised["accounts"]), (&"ledger_raised".into(), &1.into()));
    assert_eq!(world.totals(), ("2".into(), "3".into()));
    let (code, _, error) = world.ledger(&["verify"]);
    assert_eq!(code, 0, "{error}");
    let newest = "SELECT newest_session FROM ddes_account";
    assert_eq!(world.postgres.sql("ddes", newest), ((1_u64 << 32) + 1).to_string());
    // The account goes on from there.
    let server = world.serve(&[]);
    let (code, sum, error) =
        output(ddes_at(&world.home, &["send", "-q", "--server", &server.address, "4"]));
    assert_eq!((code, &*sum), (0, "7\n"), "{error}");
    assert_eq!(world.postgres.sql("ddes", newest), ((1_u64 << 32) + 2).to_string());
    assert_eq!(world.ledger(&["verify"]).0, 0);
    // Where nobody hears that it is done, the error says so.
    let mut unheard = ddes_at(&world.home, &["ledger", "raise", "--ledger", &world.url]);
    unheard.stdout(File::options().write(true).open("/dev/full").unwrap());
    let unheard = unheard.output().unwrap();
    let said = String::from_utf8_lossy(&unheard.stderr);
    assert!(unheard.status.code() == Some(1) && said.contains("done ("), "{said}");
    let (code, _, error) = output(ddes_at(&world.home, &["ledger", "raise"]));
    assert!(code == 2 && error.contains("is for a ledger in a database"), "{code} {error}");
}

//! A ledger that goes from a folder to a PostgreSQL that the tests start, and back.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::postgres::cluster::{OWNER, SERVER};
use crate::postgres::{COUNT, PostgresWorld, SUM, from};
use crate::{Running, ddes_at, output, started};

/// A free port.
const ANY: &str = "127.0.0.1:0";

/// An empty ledger in another database of the cluster, by its owner's URL and the servers'.
fn another(world: &PostgresWorld, name: &str) -> (String, String) {
    world.postgres.sql("postgres", &format!("CREATE DATABASE {name}"));
    let of = |url: String| format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    let (owner, url) = (of(world.postgres.url(OWNER)), of(world.postgres.url(SERVER)));
    let init = ["ledger", "init", "--ledger", &owner, "--run"];
    assert_eq!(output(ddes_at(&world.home, &init)).0, 0);
    (owner, url)
}

fn migrate(world: &PostgresWorld, from: &str, to: &str) -> (i32, String, String) {
    let (code, out, error) =
        output(ddes_at(&world.home, &["ledger", "migrate", "--json", from, to]));
    crate::json::fits("lines", &out);
    (code, out, error)
}

fn serve_with(world: &PostgresWorld, ledger: &str, address: &str) -> Running {
    let flags = ["serve", "--json", "--frame-values", "50", "--listen", address];
    world.trusted(started(ddes_at(&world.home, &[&flags[..], &["--ledger", ledger]].concat())))
}

fn totals_of(world: &PostgresWorld, ledger: &str) -> (String, String) {
    let (code, out, error) =
        output(ddes_at(&world.home, &["ledger", "totals", "--json", "--ledger", ledger]));
    assert_eq!(code, 0, "{error}");
    let totals: Value = serde_json::from_str(&out).unwrap();
    (totals["count"].as_str().unwrap().into(), totals["sum"].as_str().unwrap().into())
}

/// A receipt of the only account of a ledger, in a file.
fn receipt(world: &PostgresWorld, ledger: &str, file: &str) -> String {
    let (_, out, _) = output(ddes_at(&world.home, &["ledger", "ls", "--json", "--ledger", ledger]));
    let account: Value = serde_json::from_str(&out).unwrap();
    let id = account["account"].as_str().unwrap();
    let (code, out, error) =
        output(ddes_at(&world.home, &["ledger", "receipt", id, "--ledger", ledger]));
    assert_eq!(code, 0, "{error}");
    let path = world.home.join(file);
    fs::write(&path, out).unwrap();
    path.display().to_string()
}

/// How a ledger is verified with a receipt.
fn holds(world: &PostgresWorld, ledger: &str, receipt: &str, more: &[&str]) -> i32 {
    let verify = ["ledger", "verify", "--ledger", ledger, "--receipt", receipt];
    output(ddes_at(&world.home, &[&verify[..], more].concat())).0
}

/// Moves a folder to a database, cut off a few times.
fn migrate_with_cuts(world: &PostgresWorld, folder: &str, owner: &str) {
    for millis in [1, 10, 40, 80, 160] {
        let mut command = ddes_at(&world.home, &["ledger", "migrate", folder, owner]);
        let mut cut = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        cut.kill().unwrap();
        if cut.wait().unwrap().success() {
            break;
        }
    }
    let whole = "SELECT format = 1 AND EXISTS (SELECT FROM ddes_account) FROM ddes_ledger";
    if world.postgres.sql("ddes", whole) != "t" {
        let (code, out, error) = migrate(world, folder, owner);
        assert_eq!(code, 0, "{out}{error}");
        let moved: Value = serde_json::from_str(&out).unwrap();
        let (event, sum) = (&moved["event"], &moved["sum"]);
        assert_eq!((event, sum), (&"migrated".into(), &SUM.to_string().into()));
    }
}

/// That a server does not begin with a ledger that has left.
fn refused_as_moved(mut serve: Command) {
    serve.stdin(Stdio::null());
    let (code, out, error) = output(serve);
    assert!(code == 1 && (out.clone() + &error).contains("was moved"), "{code} {out}{error}");
}

#[test]
fn a_ledger_goes_to_a_database_and_back_with_its_history_and_its_receipts() {
    let world = PostgresWorld::new();
    let (numbers, owner) = (world.numbers(), world.postgres.url(OWNER));
    let folder = world.home.join("books").display().to_string();
    let server = serve_with(&world, &folder, &crate::unused_address());
    // Clients know it by its address.
    let address = server.address.clone();
    let (code, _, error) = output(from(world.send(&server, &["--resume", "-"]), &numbers));
    assert_eq!(code, 0, "{error}");
    let (code, out, _) = migrate(&world, &folder, &owner);
    assert!(code == 1 && out.contains("stop the server first"), "{code} {out}");
    drop(server);
    let of_folder = receipt(&world, &folder, "of-folder");

    // Cut off wherever it is, it goes on.
    migrate_with_cuts(&world, &folder, &owner);
    assert_eq!(world.totals(), (COUNT.to_string(), SUM.to_string()));
    assert_eq!(world.ledger(&["verify"]).0, 0);
    assert_eq!(holds(&world, &world.url, &of_folder, &[]), 5);
    assert_eq!(holds(&world, &world.url, &of_folder, &["--moved"]), 0);
    // No server takes what was left, which is evidence still.
    refused_as_moved(ddes_at(&world.home, &["serve", "--ledger", &folder]));
    assert_eq!(holds(&world, &folder, &of_folder, &[]), 0);
    let (code, out, _) = output(ddes_at(&world.home, &["doctor", "--ledger", &folder]));
    assert!(code == 1 && out.contains("was moved"), "{code} {out}");
    // Nor does it go to a second place; to the same one it went already.
    let (second, _) = another(&world, "second");
    let (code, out, _) = migrate(&world, &folder, &second);
    assert!(code == 1 && out.contains("was moved"), "{code} {out}");
    let (code, out, _) = migrate(&world, &folder, &owner);
    assert!(code == 0 && out.contains("migrated_before"), "{code} {out}");

    // It goes on there, with the client's outbox that knows the old sessions.
    let server = world.serve_at(&address);
    let (code, sum, error) = output(world.send(&server, &["1"]));
    assert_eq!((code, sum), (0, format!("{}\n", SUM + 1)), "{error}");
    let of_database = receipt(&world, &world.url, "of-database");

    // And back, beside a server that does not know it.
    let back = world.home.join("back").display().to_string();
    // A slash at the end changes nothing.
    let (code, out, error) = migrate(&world, &owner, &format!("{back}/"));
    assert_eq!(code, 0, "{out}{error}");
    let (code, out, _) = migrate(&world, &owner, &back);
    assert!(code == 0 && out.contains("migrated_before"), "{code} {out}");
    let elsewhere = world.home.join("elsewhere").display().to_string();
    let (code, out, _) = migrate(&world, &owner, &elsewhere);
    assert!(code == 1 && out.contains("was moved to another store"), "{code} {out}");
    let before = world.postgres.sql("ddes", "SELECT count(*), sum(n) FROM ddes_history");
    let mut late =
        ddes_at(&world.home, &["send", "--server", &server.address, "--timeout", "2s", "7"]);
    late.stdin(Stdio::null());
    assert_ne!(output(late).0, 0);
    assert_eq!(world.postgres.sql("ddes", "SELECT count(*), sum(n) FROM ddes_history"), before);
    drop(server);
    refused_as_moved(world.serving(ANY, &[]));
    assert_eq!(world.ledger(&["verify"]).0, 0);
    assert_eq!(totals_of(&world, &back), ((COUNT + 1).to_string(), (SUM + 1).to_string()));
    // Each entry is a record, so that the chain of an account follows from the journal.
    assert_eq!(holds(&world, &back, &of_database, &[]), 0);
    assert_eq!(
        (holds(&world, &back, &of_folder, &[]), holds(&world, &back, &of_folder, &["--moved"])),
        (5, 0)
    );
    let server = serve_with(&world, &back, &address);
    let (code, sum, error) = output(world.send(&server, &["1"]));
    assert_eq!((code, sum), (0, format!("{}\n", SUM + 2)), "{error}");
}

#[test]
fn what_cannot_be_moved_says_why() {
    let world = PostgresWorld::new();
    let (folder, other) = (world.home.join("books"), world.home.join("other"));
    let (folder, other) = (folder.display().to_string(), other.display().to_string());
    let owner = world.postgres.url(OWNER);
    let refused = |from: &str, to: &str, code: i32, why: &str| {
        let (found, out, error) = migrate(&world, from, to);
        assert!(found == code && out.contains(why), "{from} {to}: {found} {out}{error}");
    };
    refused(&folder, &other, 2, "both are folders");
    refused(&owner, &world.url, 2, "both are databases");
    refused(&owner, "memory", 2, "is its server's alone");
    refused(&folder, &owner, 1, "there is no ledger");
    let server = serve_with(&world, &folder, ANY);
    assert_eq!(output(world.send(&server, &["5"])).0, 0);
    drop(server);
    // The servers' role may not say that the ledger is another.
    refused(&folder, &world.url, 1, "who owns the tables");
    let (second, servers) = another(&world, "second");
    drop(serve_with_new(&world, &servers));
    let (server, outbox) = (serve_with(&world, &servers, ANY), world.home.join("second-outbox"));
    let outbox = outbox.display().to_string();
    let send = ["send", "-q", "--server", &server.address, "--outbox", &outbox, "1"];
    assert_eq!(output(ddes_at(&world.home, &send)).0, 0);
    drop(server);
    refused(&folder, &second, 1, "holds accounts already");
    fs::create_dir(&other).unwrap();
    fs::write(Path::new(&other).join("x"), "").unwrap();
    refused(&second, &other, 2, "is not empty");
    // Nobody hears that it is done: the error says that it is.
    let mut unheard = ddes_at(&world.home, &["ledger", "migrate", &folder, &owner]);
    unheard.stdout(File::options().write(true).open("/dev/full").unwrap());
    let unheard = unheard.output().unwrap();
    let said = String::from_utf8_lossy(&unheard.stderr);
    assert!(unheard.status.code() == Some(1) && said.contains("done ("), "{said}");
    assert_eq!(world.totals(), ("1".into(), "5".into()));
}

fn serve_with_new(world: &PostgresWorld, ledger: &str) -> Running {
    let flags = ["serve", "--json", "--new-ledger", "--listen", "127.0.0.1:0"];
    started(ddes_at(&world.home, &[&flags[..], &["--ledger", ledger]].concat()))
}

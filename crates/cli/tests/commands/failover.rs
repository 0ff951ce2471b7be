//! A primary and its synchronous standby, which takes over.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::postgres::cluster::SERVER;
use crate::postgres::{COUNT, PostgresWorld, SUM, from};
use crate::{ddes_at, output};

#[test]
fn what_was_acknowledged_is_on_the_standby_that_takes_over() {
    let mut world = PostgresWorld::new();
    let standby = world.postgres.standby();
    world.postgres.wait_for_standby();
    let of_standby = standby.url(SERVER);
    world.url = format!(
        "postgres://{SERVER}@127.0.0.1:{},127.0.0.1:{}/ddes",
        world.postgres.port, standby.port
    );
    // The standby is there, so this one begins.
    drop(world.serve(&["--require-standby"]));
    let server = world.serve(&[]);
    let numbers = world.numbers();
    let mut sender = from(world.send(&server, &["--resume", "-"]), &numbers);
    let sender = sender.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    world.postgres.until_in("ddes", "SELECT EXISTS (SELECT FROM ddes_history WHERE n > 0)");

    // A receipt states what the standby has too, which can be verified by itself.
    let (_, out, _) = world.ledger(&["ls", "--json"]);
    let account: Value = serde_json::from_str(&out).unwrap();
    let (code, receipt, error) = world.ledger(&["receipt", account["account"].as_str().unwrap()]);
    assert_eq!(code, 0, "{error}");
    let path = world.home.join("receipt");
    fs::write(&path, receipt).unwrap();
    let holds = |ledger: &str| {
        let receipt = path.display().to_string();
        let verify = ["ledger", "verify", "--ledger", ledger, "--receipt", &receipt];
        output(ddes_at(&world.home, &verify))
    };
    let (code, out, error) = holds(&of_standby);
    assert_eq!(code, 0, "{out}{error}");

    world.postgres.crash();
    standby.sql("postgres", "SELECT pg_promote()");
    let begin = Instant::now();
    let out = sender.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(300), "it took too long");
    let (sum, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!((out.status.code(), &*sum), (Some(0), &*format!("{SUM}\n")), "{error}");
    assert_eq!(world.totals(), (COUNT.to_string(), SUM.to_string()));
    let (code, out, error) = holds(&world.url);
    assert_eq!(code, 0, "{out}{error}");
    // The new primary has no standby yet.
    let (code, out, error) = output({
        let mut serve = world.serving("127.0.0.1:0", &["--require-standby"]);
        serve.stdin(Stdio::null());
        serve
    });
    assert!(code == 1 && (out.clone() + &error).contains("no standby"), "{out}{error}");
}

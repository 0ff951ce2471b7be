//! Verifying the ledger, and checking receipts against it.

use ddes_identity::SigningKey;
use ddes_ledger::AccountId;
use ddes_ledger::audit::View;
use ddes_ledger::store::Folder;
use serde_json::json;

use crate::world::{Plan, World, folder};

#[test]
fn a_ledger_in_a_folder_is_verified_as_a_job() {
    let path = folder();
    let world = World::of(Plan { folder: Some(path.clone()), ..Plan::default() });
    let client = world.client(1);
    client.add(&[1, 2]).unwrap();
    client.close().unwrap();
    let started = world.act("POST", "/api/v1/ledger/verify", "");
    assert_eq!(started.status, 202);
    let id = started.json()["job"].as_u64().unwrap();
    let job = world.until(&format!("/api/v1/jobs/{id}"), |json| json["state"] == "done");
    assert_eq!((&job["result"]["outcome"], &job["progress"]), (&"whole".into(), &1.0.into()));
    let ledger = world.get("/api/v1/ledger").json();
    assert_eq!(ledger["last_verification"], job["result"]);
    assert_eq!((&ledger["kind"], &ledger["job"]), (&"folder".into(), &json!(null)));
    assert_eq!(world.get("/api/v1/jobs/99").error().0, 404);
}

/// What Prometheus reads of the last verification: its result, if there was one.
fn success(world: &World) -> Option<String> {
    let metrics = world.get("/metrics").body;
    let name = "ddes_ledger_last_verification_success ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

fn verify(world: &World) -> serde_json::Value {
    let id = world.act("POST", "/api/v1/ledger/verify", "").json()["job"].as_u64().unwrap();
    world.until(&format!("/api/v1/jobs/{id}"), |json| json["state"] == "done")["result"].clone()
}

#[test]
fn damage_that_was_found_is_critical_until_a_verification_passes_also_after_a_restart() {
    let path = folder();
    let plan = || Plan { folder: Some(path.clone()), ..Plan::default() };
    let world = World::of(plan());
    let client = world.client(1);
    client.add(&[1, 2]).unwrap();
    client.close().unwrap();
    assert_eq!(success(&world), None);
    let segment = path.join("journal-0000000001");
    let whole = std::fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    // In the first batch.
    damaged[4096 + 40] ^= 1;
    std::fs::write(&segment, &damaged).unwrap();
    assert_eq!(verify(&world)["outcome"], "damaged");
    let is_critical = |world: &World| {
        let health = world.get("/api/v1/overview").json()["health"].clone();
        health["level"] == "critical" && health["text"].as_str().unwrap().contains("found damage")
    };
    assert!(is_critical(&world) && success(&world).as_deref() == Some("0.0"));
    std::fs::write(&segment, &whole).unwrap();
    drop(world);
    let world = World::of(plan());
    assert!(is_critical(&world) && success(&world).as_deref() == Some("0.0"));
    let last = world.get("/api/v1/ledger").json()["last_verification"].clone();
    assert_eq!(last["outcome"], "damaged");
    assert_eq!(verify(&world)["outcome"], "whole");
    assert!(!is_critical(&world) && success(&world).as_deref() == Some("1.0"));
}

#[test]
fn a_receipt_holds_or_it_does_not_or_cannot_be_read() {
    let path = folder();
    let world = World::of(Plan { folder: Some(path.clone()), ..Plan::default() });
    let client = world.client(1);
    client.add(&[1, 2]).unwrap();
    client.close().unwrap();
    let view = View::read(&Folder::look(&path).unwrap()).unwrap();
    let key = SigningKey::from_seed(&[1; 32]).public();
    let mut statement = view.statement(&AccountId::Identity(*key.as_bytes())).unwrap();
    let check = |text: &str| {
        let body = json!({ "receipt": text }).to_string();
        world.act("POST", "/api/v1/ledger/receipt", &body).json()["outcome"].clone()
    };
    assert_eq!(check(&statement.to_string()), "holds");
    assert_eq!(check(&format!("forged {statement}")), "does_not_hold");
    statement.sum = ddes_wire::Total::new(4);
    assert_eq!(check(&statement.to_string()), "does_not_hold");
    assert_eq!(check("hello"), "unreadable");
}

#[test]
fn of_a_ledger_in_memory_there_is_nothing_to_verify() {
    let world = World::start();
    let ledger = world.get("/api/v1/ledger").json();
    assert_eq!((&ledger["kind"], &ledger["path"]), (&"memory".into(), &json!(null)));
    assert_eq!(world.act("POST", "/api/v1/ledger/verify", "").error().0, 400);
    assert_eq!(world.act("POST", "/api/v1/ledger/receipt", "{\"receipt\":\"\"}").error().0, 400);
}

#[test]
fn of_a_ledger_in_a_database_the_page_says_where_it_is_verified() {
    let url = "postgres://ddes@db1/ddes";
    let world = World::of(Plan { database: Some(url.into()), ..Plan::default() });
    let ledger = world.get("/api/v1/ledger").json();
    assert_eq!((&ledger["kind"], &ledger["path"]), (&"postgres".into(), &json!(url)));
    let refused = world.act("POST", "/api/v1/ledger/verify", "");
    assert_eq!(refused.error().0, 400);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("ddes ledger verify --ledger"), "{message}");
}

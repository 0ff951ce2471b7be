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

//! Ending sessions, watching the wire, and stopping the server.

use std::time::Instant;

use serde_json::Value;

use crate::world::{LONG, World};

#[test]
fn one_session_is_ended_and_then_all() {
    let world = World::start();
    let clients: Vec<_> = (1..=4).map(|seed| world.client(seed)).collect();
    clients.iter().for_each(|client| assert_eq!(client.total().unwrap().count, 0));
    let listed = world.until("/api/v1/sessions?sort=id", |json| {
        json["all"] == 4
            && json["sessions"].as_array().unwrap().iter().all(|row| row["state"] == "open")
    });
    let id = listed["sessions"][0]["id"].as_u64().unwrap();
    assert_eq!(world.get(&format!("/api/v1/sessions/{id}")).json()["id"], id);
    let ended = world.act("POST", &format!("/api/v1/sessions/{id}/end"), "");
    assert_eq!((ended.status, &ended.json()["ended"]), (200, &1.into()));
    let start = Instant::now();
    while world.get(&format!("/api/v1/sessions/{id}")).status != 404 {
        assert!(start.elapsed() < LONG);
    }
    let path = format!("/api/v1/sessions/{id}/end");
    assert_eq!(world.act("POST", &path, "").error(), (404, "not_found".into()));
    let path = "/api/v1/sessions/end-all";
    // A few more than the asker knows are no surprise.
    let ended = world.act("POST", path, "{\"expect\":3}");
    assert!(ended.status == 200 && ended.json()["ended"].as_u64().unwrap() >= 3, "{ended:?}");
}

#[test]
fn ending_far_more_than_the_asker_knows_is_a_conflict() {
    let world = World::start();
    let clients: Vec<_> = (1..=11).map(|seed| world.client(seed)).collect();
    clients.iter().for_each(|client| assert_eq!(client.total().unwrap().count, 0));
    world.until("/api/v1/overview", |json| json["sessions"]["connections"] == 11);
    let path = "/api/v1/sessions/end-all";
    assert_eq!(world.act("POST", path, "{\"expect\":0}").error(), (409, "conflict".into()));
    for body in ["", "{}", "{\"expect\":-1}", "{\"expect\":1,\"more\":2}", "[1]"] {
        assert_eq!(world.act("POST", path, body).error(), (400, "bad_request".into()), "{body}");
    }
    assert_eq!(world.act("POST", path, "{\"expect\":1}").status, 200);
}

#[test]
fn the_wire_shows_the_ladder_of_a_session() {
    let world = World::start();
    let client = world.client(1);
    client.add(&[5]).unwrap();
    client.flush().unwrap();
    let traces = world.until("/api/v1/wire", |json| !json["traces"].as_array().unwrap().is_empty());
    let id = traces["traces"][0]["id"].as_u64().unwrap();
    client.close().unwrap();
    let path = format!("/api/v1/wire/{id}");
    let wire = world.until(&path, |json| !json["ended"].is_null());
    let frames = wire["frames"].as_array().unwrap();
    let column = |name: &str| frames.iter().map(|frame| frame[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("opcode"), [10, 10, 10, 10, 20, 30, 40, 50, 50].map(Value::from));
    let directions = ["in", "out", "out", "in", "out", "in", "out", "in", "out"];
    assert_eq!(column("direction"), directions.map(Value::from));
    let names = [
        "key 1 of 4",
        "key 2 of 4",
        "key 3 of 4",
        "key 4 of 4",
        "token",
        "data",
        "result",
        "end",
        "end",
    ];
    assert_eq!(column("name"), names.map(Value::from));
    assert_eq!(column("seq"), (1..=9).map(Value::from).collect::<Vec<_>>());
    assert_eq!(column("encrypted")[..4], [false, false, true, true].map(Value::from));
    assert!(wire["from_start"] == true && wire["dropped"] == 0);
    let later = world.get(&format!("{path}?after=7")).json();
    assert_eq!(later["frames"].as_array().unwrap()[..], frames[7..]);
    assert_eq!(world.act("POST", &format!("{path}/pin"), "").json()["pinned"], true);
    assert_eq!(world.act("DELETE", &format!("{path}/pin"), "").json()["pinned"], false);
    assert_eq!(world.act("POST", "/api/v1/wire/999/pin", "").error().0, 404);
}

#[test]
fn a_server_that_is_told_to_stop_is_not_ready_and_ends() {
    let world = World::start();
    assert_eq!(world.get("/readyz").status, 200);
    let path = "/api/v1/stop";
    assert_eq!(world.act("POST", path, "{\"confirm\":\"yes\"}").error().0, 400);
    world.draining.begin();
    let ready = world.get("/readyz");
    assert_eq!((ready.status, &ready.json()["reasons"][0]), (503, &"draining".into()));
    assert_eq!(world.get("/api/v1/overview").json()["server"]["state"], "draining");
    assert_eq!(world.get("/livez").status, 200);
    assert_eq!(world.act("POST", path, "{\"confirm\":\"stop\"}").status, 202);
    // What needs the loop says that it has ended; nothing waits for ever.
    let start = Instant::now();
    while world.get("/api/v1/ledger").status != 503 {
        assert!(start.elapsed() < LONG);
    }
}

#[test]
fn the_configuration_is_what_the_process_says() {
    let world = World::start();
    let config = world.get("/api/v1/config").json();
    assert_eq!(config["entries"][0]["where"], "ddes.toml:7");
    let reload = world.act("POST", "/api/v1/config/reload", "");
    assert_eq!(reload.error(), (422, "unprocessable".into()));
    assert!(reload.body.contains("ddes.toml:7"), "{}", reload.body);
    let level = world.act("PUT", "/api/v1/log", "{\"level\":\"debug\"}");
    assert_eq!(level.json()["level"], "debug");
    assert_eq!(world.act("PUT", "/api/v1/log", "{\"level\":\"loud\"}").error().0, 400);
}

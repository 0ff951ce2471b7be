//! docs/openapi.json and the handlers: every path and method both ways, and every answer against
//! its schema.

use std::collections::BTreeSet;

use ddes_client::blocking::Client;
use serde_json::Value;

use crate::schema::faults;
use crate::world::{Plan, Response, World, folder};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

pub(crate) fn document() -> Value {
    serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap()
}

/// The schema of an answer's body.
fn schema<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> &'a Value {
    let responses = &document["paths"][path][method.to_lowercase()]["responses"];
    let named = &responses[status.to_string()];
    let response = if named.is_null() { &responses["default"] } else { named };
    let schema = &response["content"]["application/json"]["schema"];
    assert!(!schema.is_null(), "{method} {path} has no schema for {status}");
    schema
}

fn check(document: &Value, path: &str, method: &str, response: &Response) {
    let schema = schema(document, path, method, response.status);
    let found = faults(document, schema, &response.json());
    assert!(found.is_empty(), "{method} {path} {}: {found:#?}", response.status);
}

#[test]
fn every_path_and_method_of_the_document_has_a_handler_and_no_other_method_has_one() {
    let (world, document) = (World::start(), document());
    for (path, methods) in document["paths"].as_object().unwrap() {
        let asked = path.replace("{id}", "0");
        for method in METHODS {
            let is_documented = methods.get(method.to_lowercase()).is_some();
            // Streams do not end.
            if is_documented && path == "/api/v1/events" {
                continue;
            }
            let status = world.act(method, &asked, "").status;
            assert_eq!(status != 405, is_documented, "{method} {path}: {status}");
        }
    }
}

#[test]
fn every_action_is_documented_to_need_the_token_and_its_header() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let is_action = method != "get";
            let needs = operation["security"].as_array().is_some_and(|needs| !needs.is_empty());
            assert_eq!(needs, is_action, "{method} {path}");
            let parameters = operation["parameters"].to_string();
            assert_eq!(parameters.contains("parameters/Action"), is_action, "{method} {path}");
        }
    }
    let ids: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// A world in which something has happened, and what to ask it for: the ids of an open session, an
/// account and a job.
fn eventful() -> (World, Client, [String; 3]) {
    let world = World::of(Plan { folder: Some(folder()), ..Plan::default() });
    let gone = world.client(2);
    gone.add(&[-7]).unwrap();
    gone.close().unwrap();
    let client = world.client(1);
    client.add(&[1, i64::MIN]).unwrap();
    client.flush().unwrap();
    // A stranger, for the reasons and the networks.
    drop(std::net::TcpStream::connect(world.address).unwrap());
    world.until("/api/v1/security", |json| !json["networks"].as_array().unwrap().is_empty());
    let listed = world.until("/api/v1/sessions?state=open", |json| json["total"] == 1);
    let accounts = world.until("/api/v1/accounts", |json| json["total"] == 2);
    let account = accounts["accounts"][0]["id"].as_str().unwrap();
    world.until("/api/v1/overview", |json| {
        json["history"]["values_per_sec"].as_array().unwrap().len() > 1
    });
    let job = world.act("POST", "/api/v1/ledger/verify", "");
    check(&document(), "/api/v1/ledger/verify", "POST", &job);
    world.until("/api/v1/ledger", |json| !json["last_verification"].is_null());
    let account = account.replace('/', "%2F").replace('+', "%2B");
    let ids = [listed["sessions"][0]["id"].to_string(), account, job.json()["job"].to_string()];
    (world, client, ids)
}

#[test]
fn every_answer_fits_its_schema() {
    let document = document();
    let (world, client, [session, account, job]) = eventful();
    let asked = [
        ("/api/v1/overview", "GET", "", ""),
        ("/api/v1/sessions", "GET", "", ""),
        ("/api/v1/sessions/{id}", "GET", &*session, ""),
        ("/api/v1/wire", "GET", "", ""),
        ("/api/v1/wire/{id}", "GET", &session, ""),
        ("/api/v1/wire/{id}/pin", "POST", &session, ""),
        ("/api/v1/wire/{id}/pin", "DELETE", &session, ""),
        ("/api/v1/accounts", "GET", "", ""),
        ("/api/v1/accounts/{id}", "GET", &account, ""),
        ("/api/v1/totals", "GET", "", ""),
        ("/api/v1/ledger", "GET", "", ""),
        ("/api/v1/jobs/{id}", "GET", &job, ""),
        ("/api/v1/ledger/receipt", "POST", "", "{\"receipt\":\"x\"}"),
        ("/api/v1/security", "GET", "", ""),
        ("/api/v1/config", "GET", "", ""),
        ("/api/v1/log", "PUT", "", "{\"level\":\"warn\"}"),
        ("/readyz", "GET", "", ""),
        ("/api/v1/sessions/{id}/end", "POST", &session, ""),
        ("/api/v1/sessions/end-all", "POST", "", "{\"expect\":9}"),
    ];
    for (path, method, id, body) in asked {
        let response = world.act(method, &path.replace("{id}", id), body);
        assert!(response.status < 300, "{method} {path}: {response:?}");
        check(&document, path, method, &response);
    }
    drop(client);
    // Errors of each kind.
    check(&document, "/api/v1/sessions/{id}", "GET", &world.get("/api/v1/sessions/999"));
    check(&document, "/api/v1/sessions", "GET", &world.get("/api/v1/sessions?limit=501"));
    let reload = world.act("POST", "/api/v1/config/reload", "");
    check(&document, "/api/v1/config/reload", "POST", &reload);
    let stop = world.act("POST", "/api/v1/stop", "{\"confirm\":\"stop\"}");
    check(&document, "/api/v1/stop", "POST", &stop);
    check(&document, "/readyz", "GET", &world.get("/readyz"));
    let asked = asked.map(|(path, method, ..)| (path, method));
    assert_eq!(unasked(&document, &asked), [""; 0]);
}

/// Paths and methods that no test looks at.
fn unasked(document: &Value, asked: &[(&str, &str)]) -> Vec<String> {
    // Checked beside, or of another type: streams, downloads, text, and the document itself.
    let rest = [
        ("/api/v1/ledger/verify", "POST"),
        ("/api/v1/config/reload", "POST"),
        ("/api/v1/stop", "POST"),
        ("/api/v1/events", "GET"),
        ("/api/v1/accounts/export", "GET"),
        ("/api/v1/openapi.json", "GET"),
        ("/metrics", "GET"),
        ("/livez", "GET"),
    ];
    let all = document["paths"].as_object().unwrap().iter();
    let all = all.flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| (path, method))
    });
    let is_asked = |path: &str, method: &str| {
        let mut asked = asked.iter().chain(&rest);
        asked.any(|(found, verb)| *found == path && verb.eq_ignore_ascii_case(method))
    };
    all.filter(|(path, method)| !is_asked(path, method))
        .map(|(path, method)| format!("{method} {path}"))
        .collect()
}

#[test]
fn the_document_is_served_as_it_is_in_the_repository() {
    assert_eq!(World::start().get("/api/v1/openapi.json").json(), document());
}

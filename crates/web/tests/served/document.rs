//! docs/openapi.json and the handlers: every path and method both ways, and every answer against
//! its schema.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::faults;
use crate::world::{Plan, Response, World, folder};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

fn document() -> Value {
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

#[test]
fn every_answer_fits_its_schema() {
    let document = document();
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
    let id = listed["sessions"][0]["id"].to_string();
    let accounts = world.until("/api/v1/accounts", |json| json["total"] == 2);
    let account = accounts["accounts"][0]["id"].as_str().unwrap();
    let account = account.replace('/', "%2F").replace('+', "%2B");
    world.until("/api/v1/overview", |json| {
        json["history"]["values_per_sec"].as_array().unwrap().len() > 1
    });
    let job = world.act("POST", "/api/v1/ledger/verify", "");
    check(&document, "/api/v1/ledger/verify", "POST", &job);
    let job = job.json()["job"].to_string();
    world.until("/api/v1/ledger", |json| !json["last_verification"].is_null());
    let mut seen = BTreeSet::new();
    let mut take = |path: &'static str, method: &'static str, id: &str, body: &str| {
        let response = world.act(method, &path.replace("{id}", id), body);
        assert!(response.status < 300, "{method} {path}: {response:?}");
        check(&document, path, method, &response);
        seen.insert((path, method));
    };
    take("/api/v1/overview", "GET", "", "");
    take("/api/v1/sessions", "GET", "", "");
    take("/api/v1/sessions/{id}", "GET", &id, "");
    take("/api/v1/wire", "GET", "", "");
    take("/api/v1/wire/{id}", "GET", &id, "");
    take("/api/v1/wire/{id}/pin", "POST", &id, "");
    take("/api/v1/wire/{id}/pin", "DELETE", &id, "");
    take("/api/v1/accounts", "GET", "", "");
    take("/api/v1/accounts/{id}", "GET", &account, "");
    take("/api/v1/totals", "GET", "", "");
    take("/api/v1/ledger", "GET", "", "");
    take("/api/v1/jobs/{id}", "GET", &job, "");
    take("/api/v1/ledger/receipt", "POST", "", "{\"receipt\":\"x\"}");
    take("/api/v1/security", "GET", "", "");
    take("/api/v1/config", "GET", "", "");
    take("/api/v1/log", "PUT", "", "{\"level\":\"warn\"}");
    take("/readyz", "GET", "", "");
    take("/api/v1/sessions/{id}/end", "POST", &id, "");
    take("/api/v1/sessions/end-all", "POST", "", "{\"expect\":9}");
    // Errors of each kind.
    check(&document, "/api/v1/sessions/{id}", "GET", &world.get("/api/v1/sessions/999"));
    check(&document, "/api/v1/sessions", "GET", &world.get("/api/v1/sessions?limit=501"));
    let reload = world.act("POST", "/api/v1/config/reload", "");
    check(&document, "/api/v1/config/reload", "POST", &reload);
    let stop = world.act("POST", "/api/v1/stop", "{\"confirm\":\"stop\"}");
    check(&document, "/api/v1/stop", "POST", &stop);
    check(&document, "/readyz", "GET", &world.get("/readyz"));
    // Checked above, or of another type: streams, downloads, text, and the document itself.
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
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let is_seen = seen
                .iter()
                .chain(&rest)
                .any(|(found, verb)| found == path && verb.eq_ignore_ascii_case(method));
            assert!(is_seen, "no test looks at {method} {path}");
        }
    }
}

#[test]
fn the_document_is_served_as_it_is_in_the_repository() {
    assert_eq!(World::start().get("/api/v1/openapi.json").json(), document());
}

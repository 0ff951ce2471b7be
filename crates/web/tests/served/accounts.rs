//! Lists in parts, searched and sorted; and downloads.

use serde_json::Value;

use crate::world::World;

fn ids(json: &Value, list: &str) -> Vec<String> {
    json[list].as_array().unwrap().iter().map(|row| row["id"].to_string()).collect()
}

#[test]
fn a_list_is_given_in_parts_and_ends_with_its_last_row() {
    let world = World::start();
    for seed in 1..=5 {
        let client = world.client(seed);
        client.add(&[i64::from(seed)]).unwrap();
        client.close().unwrap();
    }
    let base = "/api/v1/accounts?sort=sum";
    let all = world.until(base, |json| json["total"] == 5 && json["complete"] == true);
    let all = ids(&all, "accounts");
    let part = |query: &str| world.get(&format!("{base}&{query}"));
    assert_eq!(ids(&part("limit=2&offset=1").json(), "accounts"), all[1..3]);
    assert_eq!(ids(&part("offset=4").json(), "accounts"), all[4..]);
    assert_eq!(ids(&part("offset=5").json(), "accounts"), [""; 0]);
    assert_eq!(ids(&part("offset=18446744073709551615").json(), "accounts"), [""; 0]);
    let none = part("limit=0").json();
    assert_eq!((ids(&none, "accounts").len(), &none["total"]), (0, &5.into()));
    assert_eq!(ids(&part("limit=500").json(), "accounts"), all);
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(ids(&part("order=desc").json(), "accounts"), reversed);
    for query in ["limit=501", "limit=-1", "offset=x", "order=up", "sort=size", "what=1"] {
        let response = world.get(&format!("/api/v1/accounts?{query}"));
        assert_eq!(response.error(), (400, "bad_request".into()), "{query}");
        let response = world.get(&format!("/api/v1/sessions?{query}"));
        assert_eq!(response.error(), (400, "bad_request".into()), "{query}");
    }
}

#[test]
fn one_account_is_found_by_its_fingerprint_and_downloads_have_all() {
    let world = World::start();
    let client = world.client(3);
    client.add(&[-4, 10]).unwrap();
    client.close().unwrap();
    let listed = world.until("/api/v1/accounts", |json| json["accounts"][0]["count"] == "2");
    let id = listed["accounts"][0]["id"].as_str().unwrap().to_owned();
    let encoded = id.replace('/', "%2F").replace('+', "%2B");
    let one = world.get(&format!("/api/v1/accounts/{encoded}")).json();
    assert_eq!(
        (&one["id"], &one["sum"], &one["mean"]),
        (&id.as_str().into(), &"6".into(), &3.0.into())
    );
    let found = world.get(&format!("/api/v1/accounts?q={}", encoded.to_lowercase())).json();
    assert_eq!((&found["total"], &found["all"]), (&1.into(), &1.into()));
    assert_eq!(world.get("/api/v1/accounts?q=nobody").json()["total"], 0);
    for unknown in ["classic-7", "SHA256:AAAA", "anna"] {
        assert_eq!(world.get(&format!("/api/v1/accounts/{unknown}")).error().0, 404, "{unknown}");
    }
    let csv = world.get("/api/v1/accounts/export?format=csv");
    let disposition = csv.header("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=\"accounts.csv\""));
    let lines: Vec<_> = csv.body.split("\r\n").collect();
    assert!(lines[0].starts_with("id,name,kind,count,sum,mean,") && lines.len() == 3);
    assert!(lines[1].starts_with(&format!("{id},,identity,2,6,3,-4,10,")), "{}", lines[1]);
    let lines = world.get("/api/v1/accounts/export?format=ndjson").body;
    let line: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(line["id"], id.as_str());
}

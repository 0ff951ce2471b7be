//! Who may ask for what: every row of the access rules.

use std::net::SocketAddr;

use ddes_web::{AccessToken, Events, Web, WebError, WebOptions};
use serde_json::json;

use crate::world::{Plan, World};

#[test]
fn on_loopback_reading_needs_nothing_and_acting_needs_the_token() {
    let world = World::start();
    let host = world.http;
    assert_eq!(world.get("/api/v1/overview").json()["can_act"], false);
    assert_eq!(world.get("/").status, 200);
    let path = "/api/v1/sessions/end-all";
    let action = |headers: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: 12\r\n{headers}"
        );
        world.send(&head, "{\"expect\":0}")
    };
    let good = format!("Authorization: Bearer {}\r\n", world.token);
    let wrong = format!("Authorization: Bearer {}\r\n", *AccessToken::random().unwrap().to_hex());
    let marked = "X-Ddes-Action: 1\r\n";
    assert_eq!(action(marked).error(), (401, "unauthorized".into()));
    assert_eq!(action(&format!("{marked}{wrong}")).error(), (401, "unauthorized".into()));
    assert_eq!(action(&format!("{marked}Authorization: Bearer\r\n")).status, 401);
    assert_eq!(action(&good).error(), (403, "forbidden".into()));
    let acted = action(&format!("{marked}{good}"));
    assert_eq!((acted.status, &acted.json()["ended"]), (200, &0.into()), "{acted:?}");
}

#[test]
fn what_a_page_of_another_site_sends_is_refused() {
    let world = World::start();
    let (host, token) = (world.http, &world.token);
    let action = |headers: &str| {
        let head = format!(
            "POST /api/v1/sessions/end-all HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer \
             {token}\r\nContent-Length: 12\r\n{headers}"
        );
        world.send(&head, "{\"expect\":0}").status
    };
    let json = "Content-Type: application/json\r\n";
    let marked = format!("{json}X-Ddes-Action: 1\r\n");
    // A form: it cannot send the header, and says where it comes from.
    let form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://evil.example\r\n";
    assert_eq!(action(form), 403);
    assert_eq!(action(&format!("{marked}Origin: http://evil.example\r\n")), 403);
    assert_eq!(action(&format!("{marked}Origin: null\r\n")), 403);
    assert_eq!(action(&format!("{marked}Sec-Fetch-Site: cross-site\r\n")), 403);
    assert_eq!(action(&format!("{marked}Sec-Fetch-Site: same-site\r\n")), 403);
    let own = format!("{marked}Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(action(&own), 200);
    // Nor may it read, or hold streams of events.
    for path in ["/api/v1/overview", "/api/v1/events", "/metrics"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: cross-site\r\n");
        assert_eq!(world.send(&head, "").error().0, 403, "{path}");
    }
    // A link to the page is no harm.
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: cross-site\r\n");
    assert_eq!(world.send(&head, "").status, 200);
}

#[test]
fn a_host_that_is_not_this_server_is_refused_even_a_probe() {
    let world = World::of(Plan { hosts: vec!["stats.example".into()], ..Plan::default() });
    let port = world.http.port();
    let ask = |host: &str, path: &str| {
        world.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"), "")
    };
    for host in ["evil.example", "127.0.0.1.evil.example", "a@127.0.0.1", "192.0.2.1", ""] {
        assert_eq!(ask(host, "/livez").error(), (421, "misdirected".into()), "{host}");
    }
    for host in ["localhost".to_owned(), format!("LOCALHOST:{port}"), format!("[::1]:{port}")] {
        assert_eq!(ask(&host, "/api/v1/overview").status, 200, "{host}");
    }
    let twice = format!("GET /livez HTTP/1.1\r\nHost: {0}\r\nHost: {0}\r\n", world.http);
    assert_eq!(world.send(&twice, "").status, 421);
    let other = format!("GET http://evil.example/livez HTTP/1.1\r\nHost: {}\r\n", world.http);
    assert_eq!(world.send(&other, "").status, 421);
    // Under a name that others use, reading needs the token also on loopback.
    assert_eq!(ask("stats.example", "/livez").status, 200);
    assert_eq!(ask("stats.example", "/api/v1/overview").error().0, 401);
    // So it does behind a proxy.
    let proxied =
        format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: 192.0.2.1\r\n", world.http);
    assert_eq!(world.send(&proxied, "").error().0, 401);
}

#[test]
fn off_loopback_everything_but_the_probes_needs_the_token() {
    let world = World::of(Plan { is_public: true, ..Plan::default() });
    assert_eq!(world.get("/livez").status, 200);
    for path in ["/metrics", "/api/v1/overview", "/api/v1/openapi.json", "/app.js"] {
        assert_eq!(world.get(path).error(), (401, "unauthorized".into()), "{path}");
    }
    // A probe of another machine hears that it is not ready, and only those who are known why.
    let ready = world.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "reasons": []})));
    world.draining.begin();
    let ready = world.get("/readyz");
    assert_eq!((ready.status, ready.json()), (503, json!({"ready": false, "reasons": []})));
    let head = format!(
        "GET /readyz HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
        world.http, world.token
    );
    assert_eq!(world.send(&head, "").json()["reasons"][0], "draining");
    let page = world.get("/");
    assert!(page.status == 401 && page.body.contains("This page needs a login"), "{page:?}");
    let with_token = |path: &str| {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
            world.http, world.token
        );
        world.send(&head, "").status
    };
    assert_eq!([with_token("/metrics"), with_token("/readyz"), with_token("/")], [200, 503, 200]);
}

#[test]
fn plain_http_off_loopback_is_refused_unless_it_is_allowed() {
    let options = |allow_plain| WebOptions {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        allow_plain,
        hosts: Vec::new(),
        token: AccessToken::random().unwrap(),
        read_token: None,
        events: Events::default(),
        connections_max: 1,
    };
    assert!(matches!(Web::bind(options(false)), Err(WebError::Plain(_))));
    assert!(Web::bind(options(true)).is_ok());
}

#[test]
fn the_token_that_only_reads_reads_everything_and_every_action_refuses_it() {
    let world = World::of(Plan { is_public: true, ..Plan::default() });
    let ask = |method: &str, path: &str, token: &str, headers: &str| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n{headers}",
            world.http
        );
        world.send(&head, "")
    };
    let document = crate::document::document();
    let paths = document["paths"].as_object().unwrap();
    let concrete = |path: &str| path.replace("{id}", "1");
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            let (method, path) = (method.to_uppercase(), concrete(path));
            if method == "GET" {
                // A stream has no end, and its head comes at once elsewhere.
                if path != "/api/v1/events" {
                    let status = ask("HEAD", &path, &world.read_token, "").status;
                    assert!(![401, 403].contains(&status), "{path}: {status}");
                }
                continue;
            }
            for headers in ["", "X-Ddes-Action: 1\r\n", "Cookie: a=b\r\nX-Ddes-Action: 1\r\n"] {
                let refused = ask(&method, &path, &world.read_token, headers);
                assert_eq!(refused.error(), (403, "forbidden".into()), "{method} {path}");
                assert!(refused.body.contains("may read, not act"), "{refused:?}");
            }
        }
    }
    let overview = ask("GET", "/api/v1/overview", &world.read_token, "");
    assert_eq!((overview.status, &overview.json()["can_act"]), (200, &false.into()));
    let metrics = ask("GET", "/metrics", &world.read_token, "");
    assert!(metrics.status == 200 && metrics.body.contains("ddes_"), "{metrics:?}");
    // It opens no login, and is no code of one.
    assert_eq!(ask("GET", "/login", &world.read_token, "").status, 403);
    let as_code = format!("/login?code={}", world.read_token);
    assert_eq!(ask("GET", &as_code, &world.read_token, "").status, 403);
    // One digit off it is nothing.
    let wrong = world.read_token.chars().rev().collect::<String>();
    assert_eq!(ask("GET", "/metrics", &wrong, "").error().0, 401);
    // A session that may act is none the less for it.
    let link = world.web.as_ref().unwrap().login_link().unwrap();
    let login = world.get(&link[link.find("/login").unwrap()..]);
    let proof = login.header("location").unwrap().strip_prefix("/#proof=").unwrap();
    let cookie = login.header("set-cookie").unwrap().split_once("; ").unwrap().0;
    let session = format!("Cookie: {cookie}\r\nX-Ddes-Action: {proof}\r\n");
    let overview = ask("GET", "/api/v1/overview", &world.read_token, &session);
    assert_eq!(overview.json()["can_act"], true);
}

#[test]
fn a_login_link_works_once_and_its_session_may_act() {
    let world = World::of(Plan { is_public: true, ..Plan::default() });
    let link = world.web.as_ref().unwrap().login_link().unwrap();
    assert!(link.starts_with(&format!("http://localhost:{}/login?code=", world.http.port())));
    let path = &link[link.find("/login").unwrap()..];
    let head = format!("HEAD {path} HTTP/1.1\r\nHost: {}\r\n", world.http);
    assert_eq!(world.send(&head, "").status, 403);
    let login = world.get(path);
    assert_eq!(login.status, 303);
    let proof = login.header("location").unwrap().strip_prefix("/#proof=").unwrap();
    let cookie = login.header("set-cookie").unwrap();
    let (pair, flags) = cookie.split_once("; ").unwrap();
    assert_eq!(flags, "HttpOnly; SameSite=Strict; Path=/; Max-Age=43200");
    let name = format!("ddes_session_{}=", world.http.port());
    assert!(pair.starts_with(&name) && pair.len() == name.len() + 64 && proof.len() == 64);
    let secrets = [&link[link.len() - 64..], &pair[name.len()..], proof];
    assert!(secrets[0] != secrets[1] && secrets[1] != secrets[2] && secrets[2] != secrets[0]);
    let again = world.get(path);
    assert!(again.status == 403 && again.body.contains("<code>link</code>"), "{again:?}");
    assert_eq!(world.get("/login").status, 403);
    assert_eq!(world.get(&format!("/login?code={}", "0".repeat(64))).status, 403);
    let looks = |cookie: &str, proof: &str| {
        let head = format!(
            "GET /api/v1/overview HTTP/1.1\r\nHost: {}\r\nCookie: a=b; {cookie}\r\nX-Ddes-Action: \
             {proof}\r\n",
            world.http
        );
        world.send(&head, "")
    };
    assert_eq!(looks(pair, proof).json()["can_act"], true);
    assert_eq!(looks(&format!("{name}{}", "0".repeat(64)), proof).status, 401);
    assert_eq!(looks(&format!("ddes_session={}", secrets[1]), proof).status, 401);
    let acts = |proof: &str| {
        let head = format!(
            "POST /api/v1/sessions/end-all HTTP/1.1\r\nHost: {}\r\nCookie: \
             {pair}\r\nX-Ddes-Action: {proof}\r\nContent-Type: application/json\r\n\
             Content-Length: 12\r\n",
            world.http
        );
        world.send(&head, "{\"expect\":0}")
    };
    assert_eq!(acts(proof).status, 200);
    // The cookie alone, which the browser sends to every port of this host.
    for proof in ["1", "", secrets[0], secrets[1]] {
        assert_eq!(acts(proof).error(), (403, "forbidden".into()), "{proof}");
        assert_eq!(looks(pair, proof).json()["can_act"], false, "{proof}");
    }
}

#[test]
fn two_servers_of_one_host_keep_each_others_sessions() {
    let worlds = [World::start(), World::start()];
    let cookies = worlds.each_ref().map(|world| {
        let link = world.web.as_ref().unwrap().login_link().unwrap();
        let login = world.get(&link[link.find("/login").unwrap()..]);
        let cookie = login.header("set-cookie").unwrap();
        cookie.split_once('=').unwrap().0.to_owned()
    });
    assert_ne!(cookies[0], cookies[1]);
}

#[test]
fn every_answer_has_the_headers_that_keep_a_browser_from_misusing_it() {
    let world = World::start();
    for path in ["/", "/api/v1/overview", "/metrics", "/livez", "/login", "/nothing.js"] {
        let response = world.get(path);
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(policy.ends_with("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
    }
    // The assets of the page, by the names in it.
    let page = world.get("/").body;
    let assets = page.split('"').filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let assets: Vec<_> = assets.collect();
    assert!(assets.len() >= 2, "{page}");
    for asset in assets {
        let response = world.get(&format!("/{asset}"));
        let cache = response.header("cache-control").unwrap();
        assert!(response.status == 200 && cache.ends_with("immutable"), "{asset}: {cache}");
    }
}

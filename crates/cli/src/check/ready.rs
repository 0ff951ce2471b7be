//! `ddes check --http URL`: asks a server's HTTP port whether it is ready.

use std::time::Duration;

use ddes_identity::ServerAddress;
use serde_json::Value;
use ureq::http::uri::PathAndQuery;

use super::{NagiosState, Trouble};
use crate::api::{self, RequestError};
use crate::failure::{Code, Failure};
use crate::screen::Line;

/// The most characters of it that are shown.
const SHOWN_CHARS_MAX: usize = 200;
const PATH: &str = "/readyz";
/// What a server that stops says of itself; PATH's reasons.
const DRAINING: &str = "draining";

pub(super) fn ask(url: &str, most: Duration) -> Result<Line, Trouble> {
    let (server, path) =
        parse(url).map_err(|failure| Trouble { state: NagiosState::Unknown, failure })?;
    let answer = api::ask(&server, &path, most)
        .map_err(|error| Trouble::critical(failed(url, &error, most)))?;
    let failure = |what: String| Failure::new(Code::No, what);
    match answer.status {
        200 => Ok(Line::new("check", format!("{url} is ready"))
            .with("outcome", "ok")
            .with("server", server.to_string())),
        503 => {
            let (why, is_draining) = reasons(&answer.body);
            let failure = failure(format!("{url} is not ready: {why}"))
                .next("the server's log, and ddes doctor there");
            let state = if is_draining { NagiosState::Warning } else { NagiosState::Critical };
            Err(Trouble { state, failure })
        }
        401 | 403 | 421 => Err(Trouble {
            state: NagiosState::Unknown,
            failure: failure(format!("{url} gives no answer to strangers ({})", answer.status))
                .cause(
                    "off loopback the HTTP port needs its token, and a name given by --http-host",
                )
                .next("ddes check --server HOST:PORT     (the protocol's own port needs nothing)"),
        }),
        status => Err(Trouble {
            state: NagiosState::Unknown,
            failure: failure(format!("{url} answers with status {status}"))
                .cause("another program listens there, or the path is wrong")
                .next("--http http://HOST:PORT, as `ddes serve --http` has it"),
        }),
    }
}

/// The server and the path of `[http://]HOST[:PORT][/PATH]`, or of a port alone, as for `top`.
fn parse(url: &str) -> Result<(ServerAddress, String), Failure> {
    let unfit = |why: &str| {
        Failure::new(Code::Usage, format!("--http {url}: {why}"))
            .next("--http http://127.0.0.1:5580")
    };
    let rest = url.strip_prefix("http://").unwrap_or(url);
    if rest.contains("://") {
        return Err(unfit("only http:// is understood; behind a TLS proxy, ask the server itself"));
    }
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let is_path = |path: &str| path.is_ascii() && path.parse::<PathAndQuery>().is_ok();
    if !path.is_empty() && !is_path(path) {
        return Err(unfit("the path has characters that a URL has not"));
    }
    let is_port = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit());
    // A port alone is this machine's, as for `top`.
    let host = if is_port { format!("127.0.0.1:{host}") } else { host.to_owned() };
    let server = host.parse().or_else(|_| format!("{host}:80").parse());
    let server = server.map_err(|_| unfit("HOST:PORT is not understood"))?;
    let path = if matches!(path, "" | "/") { PATH } else { path };
    Ok((server, path.to_owned()))
}

/// Why a server is not ready, and whether it only stops.
fn reasons(body: &[u8]) -> (String, bool) {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let reasons = answer.as_ref().and_then(|answer| answer["reasons"].as_array());
    let reasons: Vec<_> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
    let is_draining = !reasons.is_empty() && reasons.iter().all(|reason| *reason == DRAINING);
    let shown = if reasons.is_empty() { "it gives no reason".into() } else { reasons.join(", ") };
    (api::plain(&shown).chars().take(SHOWN_CHARS_MAX).collect(), is_draining)
}

fn failed(url: &str, error: &RequestError, most: Duration) -> Failure {
    match error {
        RequestError::Late => {
            Failure::new(Code::Timeout, format!("{url} did not answer within {} s", most.as_secs()))
                .next("--timeout SECS to wait longer")
        }
        RequestError::Foreign(what) => {
            Failure::new(Code::Connect, format!("{url}: what came is not HTTP: {what}"))
                .cause("another program listens there")
                .next("ddes serve, and its line with the HTTP address")
        }
        error @ (RequestError::Unreachable(_) | RequestError::Refused { .. }) => {
            Failure::new(Code::Connect, format!("{url}: {error}"))
                .cause("no server runs there, or it runs with --http off, or on another port")
                .next("ddes serve, and its line with the HTTP address")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_may_have_a_port_and_a_path() {
        for (url, server, path) in [
            ("http://127.0.0.1:5580", "127.0.0.1:5580", "/readyz"),
            ("http://[::1]:5580/", "[::1]:5580", "/readyz"),
            ("http://counter.example", "counter.example:80", "/readyz"),
            ("http://counter.example/livez", "counter.example:80", "/livez"),
            ("127.0.0.1:5580", "127.0.0.1:5580", "/readyz"),
            ("5580", "127.0.0.1:5580", "/readyz"),
            ("http://5580/livez", "127.0.0.1:5580", "/livez"),
        ] {
            let parsed = parse(url).unwrap();
            assert_eq!((parsed.0.to_string().as_str(), parsed.1.as_str()), (server, path));
        }
        for url in [
            "https://127.0.0.1:5580",
            "",
            "http://",
            "http://a b",
            "http://a/ b",
            "http://a/<",
            "70000",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_server_that_is_not_ready_gives_reasons() {
        assert_eq!(reasons(br#"{"reasons":["draining"]}"#), ("draining".into(), true));
        assert!(!reasons(br#"{"reasons":["draining","ledger"]}"#).1);
        assert_eq!(reasons(b"{\"reasons\":[\"\\u001b[2Jx\"]}").0, "[2Jx");
        assert_eq!(reasons(b"x"), ("it gives no reason".into(), false));
    }
}

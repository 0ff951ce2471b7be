//! `ddes check --http URL`: asks a server's HTTP port whether it is ready.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use ddes_identity::ServerAddress;
use serde_json::Value;

use super::{State, Trouble};
use crate::failure::{Code, Failure};
use crate::screen::Line;

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// The most characters of it that are shown.
const SHOWN_CHARS_MAX: usize = 200;
const PATH: &str = "/readyz";
/// What a server that stops says of itself; PATH's reasons.
const DRAINING: &str = "draining";

/// An answer, as far as it matters.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

pub(super) fn ask(url: &str, most: Duration) -> Result<Line, Trouble> {
    let (server, path) =
        parse(url).map_err(|failure| Trouble { state: State::Unknown, failure })?;
    let answer =
        get(&server, &path, most).map_err(|error| Trouble::critical(failed(url, &error, most)))?;
    let failure = |what: String| Failure::new(Code::No, what);
    match answer.status {
        200 => Ok(Line::new("check", format!("{url} is ready"))
            .with("outcome", "ok")
            .with("server", server.to_string())),
        503 => {
            let (why, is_draining) = reasons(&answer.body);
            let failure = failure(format!("{url} is not ready: {why}"))
                .next("the server's log, and ddes doctor there");
            let state = if is_draining { State::Warning } else { State::Critical };
            Err(Trouble { state, failure })
        }
        401 | 403 | 421 => Err(Trouble {
            state: State::Unknown,
            failure: failure(format!("{url} gives no answer to strangers ({})", answer.status))
                .cause(
                    "off loopback the HTTP port needs its token, and a name given by --http-host",
                )
                .next("ddes check --server HOST:PORT     (the protocol's own port needs nothing)"),
        }),
        status => Err(Trouble {
            state: State::Unknown,
            failure: failure(format!("{url} answers with status {status}"))
                .cause("another program listens there, or the path is wrong")
                .next("--http http://HOST:PORT, as `ddes serve --http` has it"),
        }),
    }
}

/// The server and the path of `http://HOST[:PORT][/PATH]`.
fn parse(url: &str) -> Result<(ServerAddress, String), Failure> {
    let unfit = |why: &str| {
        Failure::new(Code::Usage, format!("--http {url}: {why}"))
            .next("--http http://127.0.0.1:5580")
    };
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        unfit("only http:// is understood; behind a TLS proxy, ask the server itself")
    })?;
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unfit("the path has characters that a URL has not"));
    }
    let server = host.parse().or_else(|_| format!("{host}:80").parse());
    let server = server.map_err(|_| unfit("HOST:PORT is not understood"))?;
    let path = if matches!(path, "" | "/") { PATH } else { path };
    Ok((server, path.to_owned()))
}

/// Asks once, within `most`. The resolver has no bound of its own, so a thread asks.
pub(crate) fn get(server: &ServerAddress, path: &str, most: Duration) -> io::Result<Answer> {
    let (sender, answer) = channel();
    let (server, path) = (server.clone(), path.to_owned());
    // Nobody may wait for it any more.
    let ask = move || drop(sender.send(exchange(&server, &path, most)));
    thread::Builder::new().name("http".into()).spawn(ask)?;
    answer.recv_timeout(most).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn exchange(server: &ServerAddress, path: &str, most: Duration) -> io::Result<Answer> {
    let until = Instant::now() + most;
    let left = || {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut stream = connect(server, left)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(part.split_at(count).0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("more than {ANSWER_BYTES_MAX} bytes came")));
        }
    }
    read_answer(&answer).ok_or_else(|| io::Error::other("what came is not HTTP"))
}

fn connect(
    server: &ServerAddress,
    left: impl Fn() -> io::Result<Duration>,
) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (server.host(), server.port()).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_answer(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer { status: status.get(..3)?.parse().ok()?, body: body.to_owned() })
}

/// Why a server is not ready, and whether it only stops.
fn reasons(body: &str) -> (String, bool) {
    let answer: Option<Value> = serde_json::from_str(body).ok();
    let reasons = answer.as_ref().and_then(|answer| answer["reasons"].as_array());
    let reasons: Vec<_> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
    let is_draining = !reasons.is_empty() && reasons.iter().all(|reason| *reason == DRAINING);
    let shown = if reasons.is_empty() { "it gives no reason".into() } else { reasons.join(", ") };
    (shown.chars().take(SHOWN_CHARS_MAX).collect(), is_draining)
}

fn failed(url: &str, error: &io::Error, most: Duration) -> Failure {
    let is_late = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
    if is_late {
        return Failure::new(
            Code::Timeout,
            format!("{url} did not answer within {} s", most.as_secs()),
        )
        .next("--timeout SECS to wait longer");
    }
    Failure::new(Code::Connect, format!("{url} cannot be asked: {error}"))
        .cause("no server runs there, or it runs with --http off, or on another port")
        .next("ddes serve, and its line with the HTTP address")
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
        ] {
            let parsed = parse(url).unwrap();
            assert_eq!((parsed.0.to_string().as_str(), parsed.1.as_str()), (server, path));
        }
        for url in
            ["https://127.0.0.1:5580", "127.0.0.1:5580", "http://", "http://a b", "http://a/ b"]
        {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_answer_has_a_status_and_reasons() {
        let answer = read_answer(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "{}"));
        for bytes in [&b""[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 2\r\n\r\n"] {
            assert!(read_answer(bytes).is_none());
        }
        assert_eq!(reasons(r#"{"reasons":["draining"]}"#), ("draining".into(), true));
        assert!(!reasons(r#"{"reasons":["draining","ledger"]}"#).1);
        assert_eq!(reasons("x"), ("it gives no reason".into(), false));
    }
}

//! The HTTP of `ddes serve`, from the side of a command: one request and its answer. All text of an
//! answer of the API is fit to be shown.

pub(crate) mod answers;

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ddes_identity::ServerAddress;
use ddes_wire::shown;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use ureq::http::Response;
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use crate::args::ApiArgs;
use crate::failure::{Code, Failure};
use crate::home::{self, Home, open_at_once};
use crate::serve::pages;

/// The longest answer that is read.
const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The longest text that is kept of an answer; a name has at most 64.
const TEXT_CHARS_MAX: usize = 1024;
const TOKEN_BYTES_MAX: u64 = 256;
/// How long the servers of a home may take to say where they answer.
const PAGES_MAX: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(3);
/// From the first byte sent to the last one received.
const WHOLE: Duration = Duration::from_secs(10);
/// A stream says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A server's API, and the right to act there, if any.
pub(crate) struct Api {
    agent: Agent,
    server: ServerAddress,
    right: ApiRight,
    /// When the answers to GETs must be here, in place of the usual limits.
    until: Option<Instant>,
}

/// With what right a command asks.
enum ApiRight {
    /// As anybody on that machine.
    Look,
    /// With a token that the user named.
    Given(Zeroizing<String>),
    /// With the token of this home, where a server of this home answers.
    OfHome(Home),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// Nobody answers there.
    Unreachable(String),
    /// Nobody answered in time.
    Late,
    /// The server says no.
    Refused { status: u16, message: String },
    /// What answers is not this API.
    Foreign(String),
}

/// An answer, whatever it is.
#[derive(Debug)]
pub(crate) struct ApiAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The answer to a GET of anything that needs no token, within `most`.
pub(crate) fn ask(
    server: &ServerAddress,
    path: &str,
    most: Duration,
) -> Result<ApiAnswer, RequestError> {
    take(agent(most, most).get(format!("http://{server}{path}")).call())
}

impl Api {
    /// With the token of `--token-file`. The token of the home is sent only to where a running
    /// server of the home says that it answers: any user of this machine can take a free port.
    pub(crate) fn find(args: &ApiArgs) -> Result<Self, Failure> {
        let right = match &args.token_file {
            Some(path) => {
                let token = read_token(path).map_err(|error| {
                    Failure::new(Code::Identity, format!("{}: {error}", path.display()))
                        .next("--token-file FILE, a copy of the server's HOME/http-token")
                })?;
                ApiRight::Given(token)
            }
            None => match Home::find(&args.home) {
                Ok(home) => ApiRight::OfHome(home),
                Err(failure) if is_loopback(&args.http) => return Err(failure),
                // Of a server elsewhere it would be of no use.
                Err(_) => ApiRight::Look,
            },
        };
        Ok(Self { right, ..Self::new(args.http.clone()) })
    }

    pub(crate) fn new(server: ServerAddress) -> Self {
        Self { agent: agent(CONNECT, WHOLE), server, right: ApiRight::Look, until: None }
    }

    /// From now on answers to GETs must be here by then, or `None`: within the usual limits.
    pub(crate) fn hurry(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// Where to ask now, and with which token. Servers end, and others may take their ports: so
    /// this is found out for each request.
    fn way(&self) -> (String, Option<Zeroizing<String>>) {
        let asked = || self.server.to_string();
        let bearer = |token: &str| Zeroizing::new(format!("Bearer {token}"));
        match &self.right {
            ApiRight::Look => (asked(), None),
            ApiRight::Given(token) => (asked(), Some(bearer(token))),
            ApiRight::OfHome(home) => {
                // Without it nothing can be ended, but all can be read.
                let own = own_page(home, &self.server).and_then(|page| {
                    let token = read_token(&home.http_token()).ok()?;
                    Some((page.to_string(), Some(bearer(&token))))
                });
                own.unwrap_or_else(|| (asked(), None))
            }
        }
    }

    pub(crate) fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// The answer to a GET of `path`, which begins with `/api/`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, RequestError> {
        let (at, bearer) = self.way();
        let url = format!("http://{at}{path}");
        let mut request = self.agent.get(url).header("Accept", "application/json");
        if let Some(bearer) = &bearer {
            request = request.header("Authorization", bearer.as_str());
        }
        if let Some(until) = self.until {
            let left =
                until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let limits = request.config().timeout_connect(Some(left)).timeout_global(Some(left));
            request = limits.build();
        }
        read(request.call())
    }

    /// The answer to a GET of `path` as it comes, without an end.
    pub(crate) fn follow(&self, path: &str) -> Result<impl Read + use<>, RequestError> {
        let (at, bearer) = self.way();
        let url = format!("http://{at}{path}");
        let mut request = self.agent.get(url).header("Accept", "text/event-stream");
        if let Some(bearer) = &bearer {
            request = request.header("Authorization", bearer.as_str());
        }
        let limits = request.config().timeout_global(None).timeout_recv_response(Some(WHOLE));
        let answer = limits.timeout_per_read(Some(SILENCE_MAX)).build().call();
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer.into_body().into_reader()),
            // It says why.
            answer => match read(answer) {
                Err(error) => Err(error),
                Ok(_) => Err(RequestError::Foreign("it is not a stream of events".into())),
            },
        }
    }

    /// The answer to an action.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, RequestError> {
        let (at, bearer) = self.way();
        let mut request = self
            .agent
            .post(format!("http://{at}{path}"))
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .header("X-Ddes-Action", "1");
        if let Some(bearer) = &bearer {
            request = request.header("Authorization", bearer.as_str());
        }
        read(request.send(body.to_string()))
    }

    /// What a command fails with that cannot go on without the answer.
    pub(crate) fn failure(&self, error: &RequestError) -> Failure {
        let at = &self.server;
        match error {
            RequestError::Unreachable(why) => self.unreachable(why),
            RequestError::Late => {
                Failure::new(Code::Timeout, format!("http://{at} did not answer in time"))
                    .cause("it hangs or is overloaded, or a firewall drops the packets")
                    .next("--timeout SECS to wait longer")
            }
            RequestError::Refused { status: status @ (401 | 403), message } => {
                Failure::new(Code::Identity, format!("http://{at} refuses: {message} ({status})"))
                    .next("--token-file FILE, a copy of the server's HOME/http-token")
            }
            RequestError::Refused { status: 421, message } => {
                Failure::new(Code::Connect, format!("http://{at} refuses: {message} (421)"))
                    .next(format!("on the server: ddes serve --http-host {}", self.server.host()))
            }
            RequestError::Refused { status, message } => {
                Failure::new(Code::No, format!("http://{at} refuses: {message} ({status})"))
            }
            RequestError::Foreign(what) => {
                Failure::new(Code::Connect, format!("http://{at} is not understood: {what}"))
                    .cause("another program listens there, or a server of another version")
                    .next("--http HOST:PORT of a ddes serve")
            }
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        let at = &self.server;
        Failure::new(Code::Connect, format!("cannot reach http://{at}: {why}"))
            .cause("no server runs there, or its page is off (--http off)")
            .next(format!("ddes serve{} --http {at}     (in another terminal)", home::flag()))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no answer: {why}"),
            Self::Late => f.write_str("no answer in time"),
            Self::Refused { status, message } => write!(f, "refused: {message} ({status})"),
            Self::Foreign(what) => write!(f, "the answer is not understood: {what}"),
        }
    }
}

/// An answer as one of the types of [`answers`].
pub(crate) fn understood<T: DeserializeOwned>(answer: Value) -> Result<T, RequestError> {
    serde_json::from_value(answer).map_err(|error| RequestError::Foreign(plain(&error.to_string())))
}

/// A text as a part of a query: everything but letters and digits as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The token of a file that is its owner's alone.
pub(crate) fn read_token(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = open_at_once(path)?;
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("it is open to others (mode {mode:03o}); chmod 600 {}", path.display());
        return Err(io::Error::other(what));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)?;
    let token = Zeroizing::new(text.trim().to_owned());
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(io::Error::other("it holds no token of hex digits"));
    }
    Ok(token)
}

/// Where a running server of the home answers HTTP, if that is what `server` means.
fn own_page(home: &Home, server: &ServerAddress) -> Option<SocketAddr> {
    let pages = pages(&home.sockets(), PAGES_MAX).ok()?;
    pages.into_iter().find_map(|page| meant(page, server))
}

/// The address at which nobody but the owner of `page` can answer, if `server` means that.
fn meant(page: SocketAddr, server: &ServerAddress) -> Option<SocketAddr> {
    let named = server.host().parse::<IpAddr>().ok();
    let ip = match page.ip() {
        // Every address of its own family, and none of the other, where another may listen.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) if is_loopback(server) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if is_loopback(server) => Ipv6Addr::LOCALHOST.into(),
        ip if named == Some(ip) => ip,
        ip if named.is_none() && is_loopback(server) && ip.is_loopback() => ip,
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    (page.port() == server.port()).then(|| SocketAddr::new(ip, page.port()))
}

fn is_loopback(server: &ServerAddress) -> bool {
    let host = server.host();
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// `whole` is from the first byte sent to the last one received.
fn agent(connect: Duration, whole: Duration) -> Agent {
    let config = Agent::config_builder()
        // A redirect or a proxy could carry the token elsewhere.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // A connection of a server that restarted would fail the next request.
        .max_idle_connections(0)
        .timeout_connect(Some(connect))
        .timeout_global(Some(whole))
        .max_response_header_size(16 * 1024)
        .user_agent(concat!("ddes/", env!("CARGO_PKG_VERSION")));
    config.build().new_agent()
}

fn take(answer: Result<Response<Body>, ureq::Error>) -> Result<ApiAnswer, RequestError> {
    let mut answer = answer.map_err(|error| of_transport(&error))?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec();
    Ok(ApiAnswer { status, body: body.map_err(|error| of_transport(&error))? })
}

fn read(answer: Result<Response<Body>, ureq::Error>) -> Result<Value, RequestError> {
    let ApiAnswer { status, body } = take(answer)?;
    let parsed = serde_json::from_slice(&body).map(made_plain);
    if (200..300).contains(&status) {
        return parsed.map_err(|_| RequestError::Foreign("it is not JSON".into()));
    }
    let message = parsed.ok().and_then(|answer: Value| {
        answer.pointer("/error/message").and_then(Value::as_str).map(str::to_owned)
    });
    match message {
        Some(message) => Err(RequestError::Refused { status, message }),
        None => {
            Err(RequestError::Foreign(format!("status {status} without a message of this API")))
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: its rest is about what is not HTTP"
)]
fn of_transport(error: &ureq::Error) -> RequestError {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => RequestError::Late,
        ureq::Error::Io(error) => RequestError::Unreachable(plain(&error.to_string())),
        ureq::Error::Timeout(_) => RequestError::Late,
        ureq::Error::HostNotFound => RequestError::Unreachable("the name has no address".into()),
        ureq::Error::ConnectionFailed => RequestError::Unreachable("the connection failed".into()),
        ureq::Error::BodyExceedsLimit(_) => {
            RequestError::Foreign(format!("it has more than {BODY_BYTES_MAX} bytes"))
        }
        error => RequestError::Foreign(plain(&error.to_string())),
    }
}

/// The parser bounds how deep a value is.
pub(crate) fn made_plain(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text)),
        Value::Array(items) => items.into_iter().map(made_plain).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (plain(&name), made_plain(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => value,
    }
}

/// A foreign text, fit to be shown.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| shown::is_plain(*c)).take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_of_an_answer_moves_a_cursor_or_is_longer_than_its_bound() {
        let hostile = json!({"na\u{1b}me": ["\u{1b}[2Jx\u{202e}", {"deep": "y\n".repeat(4000)}]});
        let plain = made_plain(hostile);
        assert_eq!(plain["name"][0], "[2Jx");
        assert_eq!(plain["name"][1]["deep"].as_str().unwrap().len(), TEXT_CHARS_MAX);
    }

    #[test]
    fn the_token_of_the_home_is_sent_to_the_address_of_its_server_alone() {
        for (page, server, to) in [
            ("127.0.0.1:1", "127.0.0.1:1", Some("127.0.0.1:1")),
            ("127.0.0.1:1", "localhost:1", Some("127.0.0.1:1")),
            ("[::1]:1", "localhost:1", Some("[::1]:1")),
            ("[::1]:1", "127.0.0.1:1", None),
            ("127.0.0.1:1", "127.0.0.2:1", None),
            ("127.0.0.1:1", "127.0.0.1:2", None),
            ("0.0.0.0:1", "127.0.0.1:1", Some("127.0.0.1:1")),
            // Another may have the same port there.
            ("0.0.0.0:1", "[::1]:1", Some("127.0.0.1:1")),
            ("[::]:1", "127.0.0.1:1", Some("[::1]:1")),
            ("0.0.0.0:1", "192.0.2.1:1", None),
            ("192.0.2.1:1", "192.0.2.1:1", Some("192.0.2.1:1")),
            ("192.0.2.1:1", "localhost:1", None),
            ("127.0.0.1:1", "localhost.example:1", None),
        ] {
            let found = meant(page.parse().unwrap(), &server.parse().unwrap());
            assert_eq!(found, to.map(|to| to.parse().unwrap()), "{page} {server}");
        }
    }

    #[test]
    fn a_filter_cannot_add_to_a_query() {
        assert_eq!(encoded("a b&sort=id#\u{e9}"), "a%20b%26sort%3Did%23%C3%A9");
    }
}

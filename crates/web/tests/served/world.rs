//! A server, its HTTP server, its clients, and an HTTP client that sends what a test writes.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ddes_client::blocking::Client;
use ddes_identity::SigningKey;
use ddes_ledger::store::{Folder, StoreOptions};
use ddes_ledger::{Ledger, Statement};
use ddes_server::{Server, ServerHandle, ServerOptions};
use ddes_session::v2::ServerConfig;
use ddes_web::{
    About, AccessToken, ConfigEntry, ConfigurationView, Draining, Events, LogLevel, Operations,
    ReceiptFault, ReloadableLimits, Reloaded, ValueOrigin, VerificationFinding, Web, WebError,
    WebHandle, WebOptions,
};
use ddes_wire::v2::{GroupSize, Suite};
use serde_json::Value;

/// Longer than anything takes on a busy machine; what hangs takes for ever.
pub(crate) const LONG: Duration = Duration::from_secs(60);
const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
const MINUTE: Duration = Duration::from_secs(60);

/// How a world differs from the usual one: in memory, on loopback.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) folder: Option<PathBuf>,
    /// What is said of a ledger in a database. The test's is in memory all the same.
    pub(crate) database: Option<String>,
    /// Whether the loop never runs, so that neither it nor the ledger answers.
    pub(crate) is_silent: bool,
    /// Bound to all addresses.
    pub(crate) is_public: bool,
    pub(crate) hosts: Vec<String>,
}

pub(crate) struct World {
    /// Where clients count.
    pub(crate) address: SocketAddr,
    /// Where the page is, on loopback.
    pub(crate) http: SocketAddr,
    pub(crate) token: String,
    pub(crate) read_token: String,
    pub(crate) web: Option<WebHandle>,
    pub(crate) events: Events,
    pub(crate) draining: Draining,
    pub(crate) handle: ServerHandle,
    silence: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Process {
    handle: ServerHandle,
    is_stopped: AtomicBool,
}

impl Operations for Process {
    fn config(&self) -> ConfigurationView {
        let entry = ConfigEntry {
            key: "idle_secs".into(),
            value: Some("60".into()),
            origin: ValueOrigin::File,
            r#where: Some("ddes.toml:7".into()),
            reloadable: true,
        };
        ConfigurationView { entries: vec![entry], file: Some("ddes.toml".into()) }
    }

    fn reload(&self) -> Result<Reloaded, String> {
        Err("ddes.toml:7: idle_secs is a number".into())
    }

    fn set_log_level(&self, _: LogLevel) -> Result<(), String> {
        Ok(())
    }

    fn read_receipt(&self, text: &str) -> Result<Statement, ReceiptFault> {
        match text.strip_prefix("forged ") {
            Some(_) => Err(ReceiptFault::NotSigned("another key signed it".into())),
            None => {
                Statement::parse(text).map_err(|error| ReceiptFault::Unreadable(error.to_string()))
            }
        }
    }

    fn verified(&self, _: &VerificationFinding, kept: std::io::Result<()>) {
        kept.unwrap();
    }

    fn stop(&self) {
        assert!(!self.is_stopped.swap(true, Ordering::Relaxed));
        self.handle.stop();
    }
}

impl World {
    pub(crate) fn start() -> Self {
        Self::of(Plan::default())
    }

    pub(crate) fn of(plan: Plan) -> Self {
        let key = SigningKey::from_seed(&[9; 32]);
        let fingerprint = key.public().fingerprint();
        let v2 = ServerConfig {
            suites: vec![SUITE],
            key,
            idle: MINUTE,
            handshake: MINUTE,
            values_max: 8,
        };
        let options = ServerOptions { watch: true, ..ServerOptions::on_loopback(v2) };
        let bounds = options.endpoint.bounds.clone();
        let queued_values_max = options.endpoint.queued_values_max;
        let server = Server::bind(options, ledger(plan.folder.as_ref())).unwrap();
        let (handle, address) = (server.handle(), server.local_addr().unwrap());
        let about = About {
            version: "0.0.1",
            address,
            fingerprint,
            suites: vec![SUITE],
            is_classic: false,
            allows_any: true,
            limits: ReloadableLimits::new(bounds, MINUTE),
            queued_values_max,
            ledger: plan.folder.clone(),
            database: plan.database.clone(),
            lists: None,
        };
        let (events, draining) = (Events::default(), Draining::default());
        let operations = Process { handle: handle.clone(), is_stopped: AtomicBool::new(false) };
        let (web, [token, read_token]) = bind(&plan, &events).unwrap();
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, web.local_addr().port()));
        let web = web.start(about, handle.clone(), Arc::new(operations), draining.clone());
        let web = Some(web.unwrap());
        // One that does not run is kept: its end would be an answer.
        let until = plan.is_silent.then(channel::<()>);
        let (silence, over) = until.unzip();
        let thread = std::thread::spawn(move || match over {
            Some(over) => drop((over.recv(), server)),
            None => drop(server.run(|_| {}).unwrap()),
        });
        let thread = Some(thread);
        Self { address, http, token, read_token, web, events, draining, handle, silence, thread }
    }

    /// A client whose key is made of `seed`.
    pub(crate) fn client(&self, seed: u8) -> Client {
        let key = SigningKey::from_seed(&[seed; 32]);
        let server = self.address.to_string().parse().unwrap();
        let trust = SigningKey::from_seed(&[9; 32]).public();
        Client::builder(server, key).trust(trust).suite(SUITE).start().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.http), "")
    }

    /// With the token, as a program acts.
    pub(crate) fn act(&self, method: &str, path: &str, body: &str) -> Response {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nX-Ddes-Action: \
             1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.http,
            self.token,
            body.len()
        );
        self.send(&head, body)
    }

    /// Sends a head, which lacks its empty line, and a body.
    pub(crate) fn send(&self, head: &str, body: &str) -> Response {
        let mut stream = self.connect();
        stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        Response::read(&mut stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// The answer to a `GET` that meets a condition, waited for.
    pub(crate) fn until(&self, path: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let response = self.get(path);
            if response.status == 200 {
                let json = response.json();
                if is_met(&json) {
                    return json;
                }
                assert!(start.elapsed() < LONG, "{path}: {json}");
            } else {
                assert!(start.elapsed() < LONG, "{path}: {} {}", response.status, response.body);
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.handle.stop();
        self.handle.stop();
        drop(self.silence.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// Binds the HTTP server of a plan; also the texts of its token, and of the one that only reads.
pub(crate) fn bind(plan: &Plan, events: &Events) -> Result<(Web, [String; 2]), WebError> {
    let (token, read_token) = (AccessToken::random().unwrap(), AccessToken::random().unwrap());
    let texts = [&token, &read_token].map(|token| token.to_hex().to_string());
    let ip = if plan.is_public { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let options = WebOptions {
        listen: SocketAddr::new(IpAddr::V4(ip), 0),
        allow_plain: plan.is_public,
        hosts: plan.hosts.clone(),
        token,
        read_token: Some(read_token),
        events: events.clone(),
        connections_max: ddes_web::CONNECTIONS_MAX,
    };
    Web::bind(options).map(|web| (web, texts))
}

fn ledger(folder: Option<&PathBuf>) -> Ledger {
    let Some(path) = folder else { return Ledger::in_memory() };
    let folder = Folder::lock(path).unwrap().unwrap();
    Ledger::open(Arc::new(folder), StoreOptions::default(), [7; 16]).unwrap().0
}

/// A folder of its own for a test.
pub(crate) fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("web-{}-{count}", std::process::id()))
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// Reads until the connection is closed.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A server that refuses a body may reset the connection behind its answer.
        let ended = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{ended:?}: '{text}'"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body) } else { body.to_owned() };
        Self { status, head: head.to_owned(), body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The code of the error that it is.
    pub(crate) fn error(&self) -> (u16, String) {
        let json = self.json();
        assert!(!json["error"]["message"].as_str().unwrap().is_empty());
        (self.status, json["error"]["code"].as_str().unwrap().to_owned())
    }
}

fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    whole
}

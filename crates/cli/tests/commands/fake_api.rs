//! A small HTTP API that answers what a test says: for what a real server never answers, and for
//! numbers that stand still.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

/// Gives the status and the body for a request.
type Answer = dyn Fn(&Request) -> (u16, Vec<u8>) + Send + Sync;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) head: String,
}

pub(crate) struct FakeApi {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeApi {
    pub(crate) fn start(
        answer: impl Fn(&Request) -> (u16, Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Arc::new(answer))
    }

    pub(crate) fn start_at(address: SocketAddr, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, is_over) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::default());
        let (log, over) = (Arc::clone(&requests), Arc::<AtomicBool>::clone(&is_over));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever asked may be gone.
                drop(serve(stream.unwrap(), &*answer, &log));
            }
        });
        Self { address, requests, is_over, thread: Some(thread) }
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|of| format!("{} {}", of.method, of.path)).collect()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().unwrap().join());
    }
}

fn serve(stream: TcpStream, answer: &Answer, log: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        head += &line;
        line.clear();
    }
    if !head.ends_with("\r\n") || !head.contains(" /api/v1/") {
        // Whoever asks was killed meanwhile.
        return Ok(());
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let request = Request { method, path, head };
    let (status, body) = answer(&request);
    log.lock().unwrap().push(request);
    let mut stream = reader.into_inner();
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat())
}

pub(crate) fn overview() -> Value {
    json!({
        "schema_version": 1, "as_of": "2026-11-29T12:00:00.000Z",
        "server": {"version": "0.1.0", "address": "127.0.0.1:5566", "http": "127.0.0.1:5580",
            "started": "2026-11-29T08:48:00.000Z", "uptime_secs": 11_520, "boot": "b1",
            "fingerprint": "SHA256:x", "state": "serving", "classic": false, "allow_any": false,
            "suites": ["hybrid"], "idle_secs": 60},
        "can_act": true,
        "health": {"level": "ok", "text": "All is in order."},
        "sessions": {"open": 3, "unproven": 1, "classic": 0, "connections": 4, "max": 4096},
        "rates": {"values_per_sec": 103.4, "submissions_per_sec": 90.0, "batches_per_sec": 88.1,
            "handshakes_per_sec": 0.3, "connects_per_sec": 0.4, "refusals_per_sec": 0.0,
            "bytes_in_per_sec": 7_400.0, "bytes_out_per_sec": 6_100.0},
        "commit": {"p50_micros": 412, "p99_micros": 1_904, "queued_values": 0},
        "totals": {"accounts": "4", "count": "1234567", "sum": "-98765432109876543210"},
        "refusals": [{"reason": "not_authorized", "count": 7, "last_minute": 2},
            {"reason": "bad_hmac", "count": 1, "last_minute": 0}],
        "history": {"step_secs": 1,
            "values_per_sec": (0..300).map(|at| (at * at) % 130).collect::<Vec<_>>(),
            "sessions": [3], "commit_p50_micros": [null], "commit_p99_micros": [null]},
    })
}

pub(crate) fn session(id: u64, name: Option<&str>, sum: &str) -> Value {
    json!({"id": id, "profile": "v2", "suite": "hybrid", "peer": format!("192.0.2.7:{}", 40_000 + id),
        "state": "open", "name": name, "fingerprint": "SHA256:abc", "account": "SHA256:abc",
        "operator": false, "opened": "2026-11-29T11:40:00.000Z",
        "idle_deadline": "2026-11-29T12:00:42.000Z", "last_value_at": null, "last_value": null,
        "count": "100", "sum": sum, "as_of": "2026-11-29T12:00:00.000Z"})
}

pub(crate) fn sessions(rows: &[Value]) -> Value {
    json!({"schema_version": 1, "as_of": "2026-11-29T12:00:00.000Z", "total": rows.len(),
        "all": rows.len(), "sessions": rows})
}

pub(crate) fn error(status: u16, message: &str) -> (u16, Vec<u8>) {
    let error = json!({"schema_version": 1, "error": {"code": "x", "message": message}});
    (status, error.to_string().into_bytes())
}

pub(crate) fn ok(answer: &Value) -> (u16, Vec<u8>) {
    (200, answer.to_string().into_bytes())
}

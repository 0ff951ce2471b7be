//! Redis over TLS: what a user would take instead. `INCRBY` on random keys, by redis-benchmark.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::figures::{Clock, Figures};
use crate::secure::runtime;
use crate::server::Server;
use crate::tls::{Dialler, Exchange, make_certificates};

/// Keys that are counted on.
const KEYS: &str = "100000";
/// How long the load runs before it is measured, or less if it is measured for less.
const WARM_UP: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(50);
/// All of its connections are open and asking by then.
const OPENING_MAX: Duration = Duration::from_secs(120);
/// The fewest answers to each of many connections, so that opening them is not among the slowest
/// hundredth.
const ANSWERS_MIN: u64 = 200;
const MANY: u32 = 100;
/// With more connections that takes too long, and no latencies are measured.
const TIMED_CONNECTIONS_MAX: u32 = 1_000;
const PORT_FILE: &str = "port";

pub(crate) fn is_installed() -> bool {
    ["redis-server", "redis-benchmark"]
        .iter()
        .all(|name| Command::new(name).arg("--version").output().is_ok())
}

/// A server without snapshots and without rewriting of its file, which would only cost it time.
pub(crate) fn command(folder: &Path, is_durable: bool) -> Result<Command, String> {
    make_certificates(folder)?;
    let port = free_port()?;
    std::fs::write(folder.join(PORT_FILE), &port).map_err(|error| error.to_string())?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port]).current_dir(folder);
    command.args(["--tls-cert-file", "server.crt.pem", "--tls-key-file", "server.key.pem"]);
    command.args(["--tls-ca-cert-file", "client.crt.pem", "--tls-auth-clients", "yes"]);
    command.args(["--maxclients", "18000", "--tcp-backlog", "4096", "--save", ""]);
    command.args(["--auto-aof-rewrite-percentage", "0", "--appendfsync", "always", "--appendonly"]);
    command.arg(if is_durable { "yes" } else { "no" });
    Ok(command)
}

/// Redis has to be told a port. Nobody else takes this one in between, as a rule.
fn free_port() -> Result<String, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port().to_string())
        .map_err(|error| error.to_string())
}

/// Where it listens, once it says that it does.
pub(crate) fn address(line: &str, folder: &Path) -> Option<String> {
    let port = line.contains("Ready to accept connections").then(|| folder.join(PORT_FILE))?;
    Some(format!("127.0.0.1:{}", std::fs::read_to_string(port).ok()?))
}

fn finish(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// One connection to Redis over TLS.
pub(crate) struct Session(BufStream<TlsStream<TcpStream>>);

impl Session {
    pub(crate) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self(BufStream::with_capacity(256, 256, stream))
    }

    /// The reply, of one line or of a given length (RESP2,
    /// <https://redis.io/docs/latest/develop/reference/protocol-spec/>).
    pub(crate) async fn ask(&mut self, command: &str) -> Result<String, String> {
        let text = |error: std::io::Error| error.to_string();
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.map_err(text)?;
        self.0.flush().await.map_err(text)?;
        let mut line = String::new();
        self.0.read_line(&mut line).await.map_err(text)?;
        match line.split_at_checked(1) {
            Some(("$", length)) => {
                let length: u64 =
                    length.trim().parse().map_err(|_| format!("{command}: {line}"))?;
                let mut body = String::new();
                (&mut self.0).take(length + 2).read_to_string(&mut body).await.map_err(text)?;
                Ok(body)
            }
            Some((":" | "+", rest)) => Ok(rest.trim().to_owned()),
            _ => Err(format!("{command}: {line}")),
        }
    }

    async fn commands(&mut self) -> Result<u64, String> {
        let stats = self.ask("INFO stats").await?;
        let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.and_then(|count| count.trim().parse().ok()).ok_or("Redis counts no commands".into())
    }
}

/// redis-benchmark, killed when this is dropped.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn generator(
    server: &Server,
    connections: u32,
    pipeline: u32,
    requests: u64,
) -> Result<Command, String> {
    let (host, port) = server.address.split_once(':').ok_or("no port")?;
    let mut command = Command::new("redis-benchmark");
    command
        .args(["-h", host, "-p", port, "--tls", "--cacert", "server.crt.pem"])
        .current_dir(&server.folder);
    command.args(["--cert", "client.crt.pem", "--key", "client.key.pem", "--csv", "-r", KEYS]);
    command.args([
        "-c",
        &connections.to_string(),
        "-P",
        &pipeline.to_string(),
        "-n",
        &requests.to_string(),
    ]);
    command.args(["INCRBY", "key:__rand_int__", "7"]);
    Ok(command)
}

/// Rate and processor times from within a run that has begun; latencies from another, as
/// redis-benchmark tells them at its end only.
pub(crate) fn load(
    server: &Server,
    connections: u32,
    pipeline: u32,
    length: Duration,
) -> Result<Figures, String> {
    let figures = runtime()?.block_on(window(server, connections, pipeline, length))?;
    if connections > TIMED_CONNECTIONS_MAX {
        return Ok(figures);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few million requests"
    )]
    let requests = (figures.rate * length.as_secs_f64()) as u64;
    let least = if connections >= MANY { ANSWERS_MIN * u64::from(connections) } else { 1 };
    let requests = requests.max(least * u64::from(pipeline));
    let table = finish(&mut generator(server, connections, pipeline, requests)?)?;
    // Name, rate, then in milliseconds: average, min, p50, p95, p99, max.
    let last = table.lines().last().ok_or("redis-benchmark says nothing")?;
    let fields: Vec<&str> = last.split("\",\"").collect();
    let millis = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let latency = millis(4).zip(millis(6)).ok_or(format!("redis-benchmark says {last}"))?;
    let duration = |millis: f64| Duration::from_secs_f64(millis / 1e3);
    Ok(Figures { latency: Some((duration(latency.0), duration(latency.1))), ..figures })
}

async fn window(
    server: &Server,
    connections: u32,
    pipeline: u32,
    length: Duration,
) -> Result<Figures, String> {
    let dialler = Dialler::new(&server.folder, &server.address, Exchange::X25519)?;
    let mut session = Session::new(dialler.connect().await?);
    let mut command = generator(server, connections, pipeline, i32::MAX as u64)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let load = Load(command.spawn().map_err(|error| format!("cannot run {command:?}: {error}"))?);
    let start = Instant::now();
    while session.ask("CLIENT LIST").await?.matches("cmd=incrby ").count() < connections as usize {
        if start.elapsed() > OPENING_MAX {
            return Err(format!("redis-benchmark has not opened {connections} connections"));
        }
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(length.min(WARM_UP)).await;
    let before = session.commands().await?;
    let clock = Clock::start(server, load.0.id())?;
    tokio::time::sleep(length).await;
    let commands = session.commands().await? - before;
    clock.stop(commands, None)
}

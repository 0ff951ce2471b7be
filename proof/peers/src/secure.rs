//! D-DDES/2 beside TLS 1.3: what opening a session costs, and what an open one holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ddes_client::Signer;
use ddes_client::v2::{ClientConnection, ConnectOptions};
use ddes_identity::{AddressError, PublicKey, SigningKey, read_public};
use ddes_wire::Sequence;
use ddes_wire::v2::{GroupSize, Scope, Suite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::redis;
use crate::report::{self, Latencies};
use crate::server::{Kind, Server};
use crate::tls;

pub(crate) const COLUMNS: &[&str] = &[
    "what",
    "sessions",
    "to an open session, median",
    "to the first sum, median",
    "p99",
    "server CPU a session",
    "bytes to the server, from it",
];

pub(crate) const MEMORY_COLUMNS: &[&str] = &["what", "idle sessions", "memory each"];

const WAIT_MAX: Duration = Duration::from_secs(30);

/// A server that is measured, and how it is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Ours(Suite),
    Rustls,
    /// Only to see what its sessions hold.
    Redis,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [
        Self::Ours(Suite::Hybrid(GroupSize::Bits2048)),
        Self::Ours(Suite::Ddes(GroupSize::Bits2048)),
        Self::Rustls,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Ours(suite) => format!("D-DDES/2, {}", suite.name()),
            Self::Rustls => "rustls, TLS 1.3, X25519MLKEM768, mutual Ed25519".into(),
            Self::Redis => "Redis, TLS 1.3, X25519, mutual Ed25519".into(),
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Ours(_) => Kind::OursSecure,
            Self::Rustls => Kind::Rustls,
            Self::Redis => Kind::Redis,
        }
    }
}

/// How to reach a server.
pub(crate) enum Door {
    Ours { options: ConnectOptions, trusted: Vec<PublicKey> },
    Rustls(tls::Dialler),
    Redis(tls::Dialler),
}

pub(crate) enum Session {
    Ours { connection: Box<ClientConnection>, next: Sequence },
    Rustls(Box<TlsStream<TcpStream>>),
    Redis(Box<redis::Session>),
}

impl Door {
    pub(crate) fn new(peer: Peer, address: &str, folder: &Path) -> Result<Self, String> {
        match peer {
            Peer::Ours(suite) => {
                let path = folder.join("server_key.pub");
                let line = std::fs::read_to_string(&path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let trusted = vec![read_public(&line).map_err(|error| error.to_string())?];
                let (server, connect, handshake, reply) = (
                    address.parse().map_err(|error: AddressError| error.to_string())?,
                    WAIT_MAX,
                    WAIT_MAX,
                    WAIT_MAX,
                );
                Ok(Self::Ours {
                    options: ConnectOptions {
                        server,
                        suite,
                        connect,
                        handshake,
                        reply,
                        wiretap: None,
                    },
                    trusted,
                })
            }
            Peer::Rustls => {
                Ok(Self::Rustls(tls::Dialler::new(folder, address, tls::Exchange::Hybrid)?))
            }
            Peer::Redis => {
                Ok(Self::Redis(tls::Dialler::new(folder, address, tls::Exchange::X25519)?))
            }
        }
    }

    /// As the client numbered `number`: with us each has an account of its own.
    pub(crate) async fn enter(&self, number: u64) -> Result<Session, String> {
        match self {
            Self::Ours { options, trusted } => {
                let mut seed = [9; 32];
                seed[..8].copy_from_slice(&number.to_be_bytes());
                let signer = Signer::Key(SigningKey::from_seed(&seed));
                let entered = ClientConnection::open(options, trusted, &signer).await;
                let (connection, welcome) = entered.map_err(|error| error.to_string())?;
                let next =
                    welcome.standing.last_seq.forward(1).map_err(|error| error.to_string())?;
                Ok(Session::Ours { connection: Box::new(connection), next })
            }
            Self::Rustls(dialler) => dialler.connect().await.map(Box::new).map(Session::Rustls),
            Self::Redis(dialler) => {
                let stream = dialler.connect().await?;
                Ok(Session::Redis(Box::new(redis::Session::new(stream))))
            }
        }
    }
}

impl Session {
    pub(crate) async fn count(&mut self, value: i64) -> Result<(), String> {
        match self {
            Self::Ours { connection, next } => {
                connection.submit(*next, &[value]).map_err(|error| error.to_string())?;
                connection.next().await.map(drop).ok_or("the session ended".into())
            }
            Self::Rustls(stream) => tls::count(stream, value).await.map(drop),
            // The load is told from this by its command: INCRBY.
            Self::Redis(session) => session.ask(&format!("DECRBY key:1 {value}")).await.map(drop),
        }
    }

    async fn close(self) {
        match self {
            Self::Ours { connection, .. } => drop(connection.close(Scope::Session).await),
            // It ends here, whatever the server says to that.
            Self::Rustls(mut stream) => drop(stream.shutdown().await),
            Self::Redis(session) => drop(session),
        }
    }
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
}

/// The server's processor time for a session.
pub(crate) fn sessions(peer: Peer, server: &Server, count: u64) -> Result<Duration, String> {
    let door = Door::new(peer, &server.address, &server.folder)?;
    let (mut opened, mut counted) = (Latencies::new()?, Latencies::new()?);
    runtime()?.block_on(async {
        let (there, back) = bytes(peer, server).await?;
        let before = server.cpu()?;
        for _ in 0..count {
            let start = Instant::now();
            let mut session = door.enter(0).await?;
            opened.record(start.elapsed());
            session.count(42).await?;
            counted.record(start.elapsed());
            session.close().await;
        }
        let each = (server.cpu()? - before).div_f64(count as f64);
        report::row(&[
            peer.name(),
            count.to_string(),
            opened.quantile(0.5),
            counted.quantile(0.5),
            counted.quantile(0.99),
            report::duration(each),
            format!("{there}, {back}"),
        ]);
        Ok(each)
    })
}

/// One session with one integer through a forwarder that counts.
async fn bytes(peer: Peer, server: &Server) -> Result<(u64, u64), String> {
    let text = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?.to_string();
    let (there, back) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (upstream, counts) = (server.address.clone(), [Arc::clone(&there), Arc::clone(&back)]);
    let forward = tokio::spawn(async move {
        let (client, _) = listener.accept().await.ok()?;
        let server = TcpStream::connect(upstream).await.ok()?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let [there, back] = counts;
        tokio::join!(carry(from_client, to_server, &there), carry(from_server, to_client, &back));
        Some(())
    });
    let mut session = Door::new(peer, &address, &server.folder)?.enter(1).await?;
    session.count(42).await?;
    session.close().await;
    drop(tokio::time::timeout(Duration::from_secs(2), forward).await);
    Ok((there.load(Ordering::Relaxed), back.load(Ordering::Relaxed)))
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    bytes: &AtomicU64,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // The other side may be gone.
    drop(to.shutdown().await);
}

/// What is open, and the KiB that the server holds for each.
pub(crate) struct Held {
    pub(crate) sessions: Vec<Session>,
    pub(crate) kib_each: f64,
}

/// Opens so many sessions, each of which counts one integer and then waits for `settle`. Must run
/// on the runtime that goes on to use them.
pub(crate) async fn hold(
    peer: Peer,
    server: &Server,
    count: u64,
    settle: Duration,
) -> Result<Held, String> {
    let door = Door::new(peer, &server.address, &server.folder)?;
    let mut sessions = Vec::new();
    let mut open = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let mut session = door.enter(number).await?;
            session.count(42).await?;
            sessions.push(session);
        }
        tokio::time::sleep(settle).await;
        server.resident_kib()
    };
    // Threads, pools and buffers that serve all sessions exist by then.
    let before = open(0..20).await?;
    let after = open(1_000..1_000 + count).await?;
    Ok(Held { sessions, kib_each: after.saturating_sub(before) as f64 / count as f64 })
}

pub(crate) fn memory(
    peer: Peer,
    server: &Server,
    count: u64,
    settle: Duration,
) -> Result<f64, String> {
    let held = runtime()?.block_on(hold(peer, server, count, settle))?;
    report::row(&[peer.name(), count.to_string(), format!("{:.1} KiB", held.kib_each)]);
    Ok(held.kib_each)
}

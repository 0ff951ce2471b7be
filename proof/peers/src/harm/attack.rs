//! Those who do harm, as a process of their own: this program in another role.
//!
//! It shares the load's core and gives way to it (SCHED_IDLE): what is to be seen is what the
//! server does to established sessions under harm, and not what a client notices whose own core is
//! busy.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ddes_identity::Namespace;
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, kem, noise};
use ddes_wire::Sequence;
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};
use ddes_wire::v2::{GroupSize, Suite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::silent;
use crate::secure::{Door, Peer, runtime};

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Whole handshakes, each of a new identity, and gone.
    Handshakes,
    /// First messages that cost the sender nothing, and the server two exponentiations each; nobody
    /// stays for the answer's sake.
    FirstMessages,
    /// Sessions that send as much as they may and never read.
    SlowReaders,
    /// Connections that send a first message a byte at a time.
    SlowWriters,
    /// Connections that never speak.
    Silent,
    /// As many, to another listener on the load's core: what the load notices of them although the
    /// server has no part in it.
    Elsewhere,
}

impl Harm {
    pub(crate) const ALL: [Self; 6] = [
        Self::Handshakes,
        Self::FirstMessages,
        Self::SlowReaders,
        Self::SlowWriters,
        Self::Silent,
        Self::Elsewhere,
    ];

    /// On the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::FirstMessages => "first-messages",
            Self::SlowReaders => "slow-readers",
            Self::SlowWriters => "slow-writers",
            Self::Silent => "silent",
            Self::Elsewhere => "elsewhere",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|harm| harm.name() == name)
    }

    /// How many do it at a time.
    fn tasks(self) -> u64 {
        match self {
            Self::Handshakes => 32,
            Self::FirstMessages => 64,
            Self::SlowReaders => 100,
            Self::SlowWriters => 500,
            Self::Silent | Self::Elsewhere => 1,
        }
    }
}

const SUITE: Suite = Suite::Hybrid(GroupSize::Bits2048);
const WAIT_MAX: Duration = Duration::from_secs(10);
const CLIENT: ClientConfig = ClientConfig { suite: SUITE, handshake: WAIT_MAX, reply: WAIT_MAX };
/// The wait after a connection failed.
const PAUSE: Duration = Duration::from_millis(10);
/// From one byte of a slow writer to its next, and after it was cut.
const BYTE_EACH: Duration = Duration::from_millis(100);
/// What a slow reader's system keeps for it: little, so that the server soon has to.
const READER_BUFFER_BYTES: u32 = 4096;

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) deeds: AtomicU64,
    pub(super) connections: AtomicU64,
}

pub(super) fn add(to: &AtomicU64) {
    to.fetch_add(1, Ordering::Relaxed);
}

/// Until standard input ends; then prints deeds, connections and seconds.
pub(crate) fn run(harm: Harm, address: &str, folder: &Path) -> Result<(), String> {
    let tally = Arc::new(Tally::default());
    let door = Rc::new(Door::new(Peer::Ours(SUITE), address, folder)?);
    let message: Rc<[u8]> = first_message()?.into();
    let end = end_with_input(Arc::clone(&tally));
    let begun: Result<(), String> = runtime()?.block_on(LocalSet::new().run_until(async {
        for place in 0..harm.tasks() {
            let (tally, address) = (Arc::clone(&tally), address.to_owned());
            let (door, message) = (Rc::clone(&door), Rc::clone(&message));
            drop(match harm {
                Harm::Handshakes => spawn_local(handshakes(door, place, tally)),
                Harm::FirstMessages => spawn_local(again(PAUSE, async move || {
                    first_of(&address, &message, &tally).await
                })),
                Harm::SlowReaders => spawn_local(again(PAUSE, async move || {
                    slow_reader(&address, place, &tally).await
                })),
                Harm::SlowWriters => spawn_local(again(BYTE_EACH, async move || {
                    slow_writer(&address, &message, &tally).await
                })),
                Harm::Silent => spawn_local(silent::flood(address, tally)),
                Harm::Elsewhere => spawn_local(silent::flood(silent::elsewhere()?, tally)),
            });
        }
        std::future::pending::<Result<(), String>>().await
    }));
    begun?;
    end.join().map_err(|_| "who waits for the end is gone".to_owned())
}

/// From a thread of its own: those at work seldom look up.
fn end_with_input(tally: Arc<Tally>) -> JoinHandle<()> {
    let start = Instant::now();
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        let [deeds, connections] =
            [&tally.deeds, &tally.connections].map(|of| of.load(Ordering::Relaxed));
        println!("{deeds} {connections} {}", start.elapsed().as_secs_f64());
        std::process::exit(0);
    })
}

/// For ever, with a pause after each failure.
async fn again(pause: Duration, act: impl AsyncFn() -> Result<(), String>) {
    loop {
        if act().await.is_err() {
            sleep(pause).await;
        }
    }
}

async fn handshakes(door: Rc<Door>, place: u64, tally: Arc<Tally>) {
    let mut number = place << 32;
    loop {
        add(&tally.connections);
        match door.enter(number).await {
            Ok(session) => {
                add(&tally.deeds);
                drop(session);
            }
            Err(_) => sleep(PAUSE).await,
        }
        number += 1;
    }
}

async fn first_of(address: &str, message: &[u8], tally: &Tally) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    // No port is kept for what was said last.
    stream.set_zero_linger().map_err(text)?;
    add(&tally.connections);
    stream.write_all(message).await.map_err(text)?;
    // So that no more are under way than the server answers.
    let mut answer = vec![0; HEADER_BYTES + SUITE.answer_bytes()];
    timeout(WAIT_MAX, stream.read_exact(&mut answer)).await.map_err(text)?.map_err(text)?;
    add(&tally.deeds);
    Ok(())
}

async fn slow_writer(address: &str, message: &[u8], tally: &Tally) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    stream.set_zero_linger().map_err(text)?;
    add(&tally.connections);
    for byte in message {
        stream.write_all(&[*byte]).await.map_err(text)?;
        add(&tally.deeds);
        sleep(BYTE_EACH).await;
    }
    Ok(())
}

async fn slow_reader(address: &str, place: u64, tally: &Tally) -> Result<(), String> {
    let socket = TcpSocket::new_v4().map_err(text)?;
    socket.set_recv_buffer_size(READER_BUFFER_BYTES).map_err(text)?;
    let mut stream = socket.connect(address.parse().map_err(text)?).await.map_err(text)?;
    stream.set_zero_linger().map_err(text)?;
    add(&tally.connections);
    let mut session = ClientSession::new(CLIENT, Instant::now(), entropy()?);
    let mut next =
        timeout(WAIT_MAX, open(&mut stream, &mut session, place)).await.map_err(text)??;
    loop {
        while session.submit(Instant::now(), next, &[1]).is_ok() {
            add(&tally.deeds);
            next = next.forward(1).map_err(text)?;
        }
        let count = stream.write(session.pending()).await.map_err(text)?;
        session.sent(Instant::now(), count);
    }
}

/// Opens the session, whoever the server is; the number of its first value.
async fn open(
    stream: &mut TcpStream,
    session: &mut ClientSession,
    place: u64,
) -> Result<Sequence, String> {
    let key = ddes_load::key(2, place);
    let mut bytes = [0; 4096];
    loop {
        if let Some(work) = session.poll_work() {
            session.handle_done(Instant::now(), work.run());
        }
        match session.poll_event() {
            Some(ClientEvent::ServerProven { .. }) => {
                let claim = session.claim(&key.public()).ok_or("there is nothing to claim")?;
                let signature = key.sign(Namespace::Client, &claim);
                session.prove(Instant::now(), &key.public(), signature).map_err(text)?;
            }
            Some(ClientEvent::Ready(welcome)) => {
                return welcome.standing.last_seq.forward(1).map_err(text);
            }
            Some(event @ (ClientEvent::Answered(_) | ClientEvent::Ended(_))) => {
                return Err(format!("{event:?}"));
            }
            None if !session.pending().is_empty() => {
                let count = stream.write(session.pending()).await.map_err(text)?;
                session.sent(Instant::now(), count);
            }
            None => match stream.read(&mut bytes).await.map_err(text)? {
                0 => session.handle_eof(Instant::now()),
                count => session.handle_bytes(Instant::now(), bytes.split_at(count).0),
            },
        }
    }
}

/// The frame of a client's first message. It may be sent as often as one likes.
fn first_message() -> Result<Vec<u8>, String> {
    let mut session = ClientSession::new(CLIENT, Instant::now(), entropy()?);
    let work = session.poll_work().ok_or("a client speaks first")?;
    session.handle_done(Instant::now(), work.run());
    let message = session.pending().to_vec();
    let header = message.first_chunk().map(|header| Header::decode(*header));
    let is_first = header.is_some_and(|header| header.opcode == Opcode::KeyVerification.number());
    if is_first { Ok(message) } else { Err("a client's first message is another".into()) }
}

fn entropy() -> Result<noise::Entropy, String> {
    let mut entropy = noise::Entropy {
        dh: Zeroizing::new(vec![0; 64]),
        kem: Zeroizing::new([0; kem::SEED_BYTES]),
    };
    getrandom::fill(&mut entropy.dh).map_err(text)?;
    getrandom::fill(entropy.kem.as_mut()).map_err(text)?;
    Ok(entropy)
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

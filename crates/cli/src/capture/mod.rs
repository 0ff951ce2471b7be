//! `ddes capture`: a relay that writes down what passes, with any client and any server; and what
//! `--capture` of other commands uses.

mod file;
pub(crate) mod recorder;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use ddes_capture::Direction;
use ddes_identity::ServerAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::args::CaptureArgs;
use crate::failure::{Code, Failure};
use crate::interrupt::{Interrupt, Termination};
use crate::screen::{Line, Screen};
use recorder::{CaptureRecorder, ConnectionHappened};

/// The most connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// Where others wait, the connection that has been silent for longest is ended, if it was silent
/// for so long: as long as a server waits for a client (rule P-21).
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often this is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const READ_BYTES_MAX: usize = 16 * 1024;
/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Now, since 1970-01-01 UTC.
pub(crate) fn now() -> Duration {
    // A clock before 1970 shows the times of a capture as 0.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

pub(crate) fn run(args: &CaptureArgs) -> Result<(), Failure> {
    let runtime = crate::runtime()?;
    let mut interrupt = Interrupt::watch(&runtime)?;
    // The file comes last: one that is there already is replaced by what passes, not by a start
    // that fails.
    let listener = runtime.block_on(listen(args))?;
    let recorder = Arc::new(CaptureRecorder::start(&args.file, args.max_bytes, false)?);
    recorder.begin();
    let outcome = runtime.block_on(relay(args, listener, &recorder, &mut interrupt));
    // Connections that are still open are shown as such.
    drop(runtime);
    let outcome = outcome?;
    let ended = recorder.finish();
    let mut screen = screen(args);
    let is_whole = ended.is_whole();
    let part = if is_whole { "" } else { ", not all that passed" };
    let text = format!(
        "Captured {} connections in {} bytes{part}: ddes inspect {}",
        outcome,
        ended.bytes,
        args.file.display()
    );
    let line = Line::new("captured", text)
        .with("connections", outcome)
        .with("bytes", ended.bytes)
        .with("is_whole", is_whole);
    if let Some(mut failure) = ended.failure {
        failure = failure.or_next("free some space, and capture again");
        return Err(failure);
    }
    if !is_data(args) && !args.output.quiet { screen.show(&line) } else { Ok(()) }
}

async fn listen(args: &CaptureArgs) -> Result<TcpListener, Failure> {
    TcpListener::bind(args.listen).await.map_err(|error| cannot_listen(args, &error))
}

fn cannot_listen(args: &CaptureArgs, error: &std::io::Error) -> Failure {
    Failure::new(Code::Connect, format!("cannot listen on {}: {error}", args.listen))
        .cause("another program listens there, or this machine does not have that address")
        .next("--listen 127.0.0.1:0     (takes a free port)")
}

/// Whether standard output is the capture.
fn is_data(args: &CaptureArgs) -> bool {
    args.file.as_os_str() == "-"
}

fn screen(args: &CaptureArgs) -> Screen {
    Screen::of(&args.output)
}

/// Relays until it is told to stop; how many connections passed.
async fn relay(
    args: &CaptureArgs,
    listener: TcpListener,
    recorder: &Arc<CaptureRecorder>,
    interrupt: &mut Interrupt,
) -> Result<u64, Failure> {
    let address = listener.local_addr().map_err(|error| cannot_listen(args, &error))?;
    let mut terminated = Termination::watch()?;
    let mut screen = screen(args);
    let mut show = |line: &Line| match is_data(args) || args.output.quiet {
        true => Ok(()),
        false => screen.show(line),
    };
    show(&listening(address, args))?;
    // Without the flag it goes on until it is ended.
    let takes_more = |count: u64| args.connections.is_none_or(|most| count < most);
    let mut count = 0;
    let mut open = JoinSet::new();
    let mut passing = Passing::default();
    while takes_more(count) || !open.is_empty() {
        tokio::select! {
            _ = interrupt.came() => break,
            () = terminated.came() => break,
            // A connection's task ends with its line, or with a panic, which was reported.
            Some(ended) = open.join_next(), if !open.is_empty() => {
                if let Ok(line) = ended {
                    show(&line)?;
                }
            }
            () = tokio::time::sleep(LOOK_EVERY), if open.len() >= CONNECTIONS_MAX => {
                passing.end_one(SILENCE_MAX);
            }
            accepted = listener.accept(), if takes_more(count) && open.len() < CONNECTIONS_MAX => {
                match accepted {
                    Ok((stream, peer)) => {
                        count += 1;
                        let (server, recorder) = (args.server.clone(), Arc::clone(recorder));
                        let sign = passing.add();
                        let most = Duration::from_secs(args.timeout.into());
                        open.spawn(async move {
                            pass(count, stream, peer, (&server, most), &recorder, &sign).await
                        });
                    }
                    // Out of files, say: those that end give some back.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        }
    }
    while let Some(ended) = open.try_join_next() {
        if let Ok(line) = ended {
            show(&line)?;
        }
    }
    Ok(count)
}

/// When bytes of a connection passed last, and whether it is to end.
struct Sign {
    at: Mutex<Instant>,
    end: Notify,
}

impl Sign {
    fn now(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Duration {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// The connections that pass through.
#[derive(Default)]
struct Passing(Vec<Weak<Sign>>);

impl Passing {
    fn add(&mut self) -> Arc<Sign> {
        if self.0.len() >= 2 * CONNECTIONS_MAX {
            self.0.retain(|sign| sign.strong_count() > 0);
        }
        let sign = Arc::new(Sign { at: Mutex::new(Instant::now()), end: Notify::new() });
        self.0.push(Arc::downgrade(&sign));
        sign
    }

    /// Makes room: ends the one that has been silent for longest, if it was for so long.
    fn end_one(&self, silence: Duration) {
        let open = self.0.iter().filter_map(Weak::upgrade);
        let longest = open.max_by_key(|sign| sign.silence());
        if let Some(sign) = longest.filter(|sign| sign.silence() >= silence) {
            sign.end.notify_one();
        }
    }
}

/// Passes one connection on, to its end, if the server takes it in time; the line about it.
async fn pass(
    number: u64,
    client: TcpStream,
    peer: SocketAddr,
    (server, most): (&ServerAddress, Duration),
    recorder: &Arc<CaptureRecorder>,
    sign: &Sign,
) -> Line {
    let dialled = tokio::time::timeout(most, dial(server)).await;
    let upstream = match dialled {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(error)) => {
            return Line::new("failed", format!("{peer}: cannot connect to {server}: {error}"))
                .with("client", peer.to_string())
                .with("what", error.to_string());
        }
        Err(_) => {
            return Line::new("failed", format!("{peer}: {server} did not answer in time"))
                .with("client", peer.to_string())
                .with("what", "timeout");
        }
    };
    let address = upstream.peer_addr().ok().unwrap_or(peer);
    // Each write of one side is one of the other: the original reads fields in one piece.
    drop((client.set_nodelay(true), upstream.set_nodelay(true)));
    let opened = ConnectionHappened::Opened { client: peer, server: address, secrets: None };
    recorder.note(number, opened);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let bytes = [AtomicU64::new(0), AtomicU64::new(0)];
    let copy = |from, to, direction, count| {
        one_way(number, from, to, direction, Observers { recorder, sign, count })
    };
    let both = async {
        tokio::join!(
            copy(from_client, to_server, Direction::ToServer, &bytes[0]),
            copy(from_server, to_client, Direction::ToClient, &bytes[1]),
        )
    };
    let is_ended = tokio::select! {
        _ = both => false,
        () = sign.end.notified() => true,
    };
    recorder.note(number, ConnectionHappened::Closed);
    if is_ended {
        let text = format!("{peer}: silent for longest, ended to make room for others");
        return Line::new("failed", text).with("client", peer.to_string()).with("what", "silent");
    }
    let [sent, received] = bytes.map(AtomicU64::into_inner);
    Line::new("passed", format!("{peer}: {sent} bytes to the server, {received} to the client"))
        .with("client", peer.to_string())
        .with("to_server", sent)
        .with("to_client", received)
}

async fn dial(server: &ServerAddress) -> std::io::Result<TcpStream> {
    TcpStream::connect((server.host(), server.port())).await
}

/// Who hears of bytes that pass.
#[derive(Clone, Copy)]
struct Observers<'a> {
    recorder: &'a CaptureRecorder,
    sign: &'a Sign,
    count: &'a AtomicU64,
}

/// Copies one direction until it ends, and passes its end on.
async fn one_way(
    number: u64,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    beside: Observers<'_>,
) {
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        // A reset ends the direction like its end: the other one shows what it was.
        let bytes = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => &buffer[..read],
        };
        // Written down first: what was answered is then never before its question.
        beside.recorder.note(number, ConnectionHappened::Data(direction, bytes.to_vec()));
        beside.count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        beside.sign.now();
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    // Dropped, it ends its direction.
    drop(to);
}

fn listening(address: SocketAddr, args: &CaptureArgs) -> Line {
    let (server, file) = (&args.server, args.file.display());
    let text = format!(
        "Relaying {address} to {server}, writing {file}. Connect clients to {address}; Ctrl-C ends."
    );
    Line::new("listening", text)
        .with("addr", address.to_string())
        .with("server", server.to_string())
        .with("file", file.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn the_connection_that_was_silent_for_longest_makes_room() {
        let file = Path::new("/dev/null");
        let recorder = Arc::new(CaptureRecorder::start(file, 4096, false).unwrap());
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: ServerAddress = upstream.local_addr().unwrap().to_string().parse().unwrap();
        let mut passing = Passing::default();
        let (mut open, mut clients) = (JoinSet::new(), Vec::new());
        for number in 0..3 {
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            let (server, recorder) = (server.clone(), Arc::clone(&recorder));
            let sign = passing.add();
            let to = Duration::from_secs(10);
            open.spawn(
                async move { pass(number, stream, peer, (&server, to), &recorder, &sign).await },
            );
            clients.push((client, upstream.accept().await.unwrap().0));
        }
        // The first one speaks, so that the second is silent for longest.
        clients[0].0.write_all(b"hello").await.unwrap();
        clients[0].1.read_exact(&mut [0; 5]).await.unwrap();
        passing.end_one(Duration::from_secs(3600));
        assert!(open.try_join_next().is_none(), "none was silent for an hour");
        passing.end_one(Duration::ZERO);
        open.join_next().await.unwrap().unwrap();
        assert_eq!(clients[1].0.read(&mut [0; 1]).await.unwrap(), 0, "the second client");
        assert_eq!(clients[1].1.read(&mut [0; 1]).await.unwrap(), 0, "its server");
        for still in [0, 2] {
            clients[still].0.write_all(b"more.").await.unwrap();
            clients[still].1.read_exact(&mut [0; 5]).await.unwrap();
        }
    }
}

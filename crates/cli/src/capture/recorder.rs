//! Writes a capture beside a program's sessions, on a thread of its own.
//!
//! Sessions never wait for it: what it cannot take is counted, and the capture shows a gap. It
//! never fails in silence, and it ends no session.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use ddes_capture::{ConnectionNumber, Direction, Role, SessionSecrets, Writer, Written};
use ddes_session::wiretap::{Passed, Wiretap};

use super::file::CaptureFile;
use super::now;
use crate::args::RecordArgs;
use crate::failure::Failure;
use crate::streams::say;

/// Bytes that wait to be written; beyond them the capture has gaps.
const QUEUED_BYTES_MAX: usize = 32 << 20;

/// What an event costs beside its bytes.
const EVENT_COST: usize = 128;

/// How long the end waits for the disk.
const FINISH_MAX: Duration = Duration::from_secs(5);

const BUFFER_BYTES: usize = 64 * 1024;

/// Something that happened on a connection.
pub(crate) enum Happened {
    Opened { client: SocketAddr, server: SocketAddr, secrets: Option<Box<SessionSecrets>> },
    Data(Direction, Vec<u8>),
    Closed,
}

/// How a capture ended.
pub(crate) struct Ended {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    pub(crate) failure: Option<Failure>,
}

enum Message {
    Event { connection: u64, at: Duration, what: Happened },
    Lost { connection: u64, bytes: [usize; 2] },
    End,
}

/// Takes events from any thread.
pub(crate) struct Recorder {
    path: PathBuf,
    role: Role,
    has_secrets: bool,
    sender: mpsc::Sender<Message>,
    /// Bytes that wait.
    queued: Arc<AtomicUsize>,
    /// Set once nothing is written any more.
    is_over: Arc<AtomicBool>,
    /// Bytes that were not taken, of each connection and direction.
    lost: Mutex<HashMap<u64, [usize; 2]>>,
    ended: Mutex<Option<mpsc::Receiver<Ended>>>,
}

impl Recorder {
    /// Begins a capture in `path` and says so where secrets go into it.
    pub(crate) fn start(path: &Path, bytes_max: u64, is_server: bool) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::system(&format!("cannot write {}", path.display()), &error);
        let out = BufWriter::with_capacity(BUFFER_BYTES, CaptureFile::open(path)?);
        let writer = Writer::new(out, bytes_max).map_err(failed)?;
        let (sender, receiver) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            writer,
            numbers: HashMap::new(),
            path: path.to_owned(),
            bytes_max,
            failure: None,
            is_over: Arc::clone(&is_over),
        };
        let waiting = Arc::clone(&queued);
        thread::Builder::new()
            .name("capture".into())
            // Who waits no longer has said so.
            .spawn(move || done.send(keeper.run(&receiver, &waiting)).unwrap_or(()))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            role: if is_server { Role::Server } else { Role::Client },
            has_secrets: false,
            sender,
            queued,
            is_over,
            lost: Mutex::default(),
            ended: Mutex::new(Some(ended)),
        })
    }

    /// The same with the secrets of each session, which is said loudly.
    pub(crate) fn with_secrets(mut self) -> Self {
        say(&format!(
            "WARNING: {} will hold the secrets of its sessions: whoever has the file reads \
             everything in them, and on the classic wire can forge integers while they last.",
            self.path.display()
        ));
        self.has_secrets = true;
        self
    }

    /// The capture that a client's flags ask for.
    pub(crate) fn of_client(args: &RecordArgs) -> Result<Option<Arc<dyn Wiretap>>, Failure> {
        let Some(path) = &args.capture else { return Ok(None) };
        let bytes_max = crate::args::CAPTURE_BYTES_MAX.parse().unwrap_or(u64::MAX);
        let recorder = Self::start(path, bytes_max, false)?;
        let recorder = if args.capture_secrets { recorder.with_secrets() } else { recorder };
        Ok(Some(Arc::new(recorder)))
    }

    /// Takes what happened, unless too much waits already.
    pub(crate) fn note(&self, connection: u64, what: Happened) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let cost = EVENT_COST + if let Happened::Data(_, bytes) = &what { bytes.len() } else { 0 };
        let mut lost = lock(&self.lost);
        if let Happened::Data(direction, bytes) = &what
            && self.queued.load(Ordering::Relaxed) + cost > QUEUED_BYTES_MAX
        {
            let missed = lost.entry(connection).or_insert([0, 0]);
            missed[usize::from(*direction == Direction::ToClient)] += bytes.len();
            return;
        }
        if let Some(bytes) = lost.remove(&connection) {
            self.send(Message::Lost { connection, bytes });
        }
        self.queued.fetch_add(cost, Ordering::Relaxed);
        self.send(Message::Event { connection, at: now(), what });
    }

    /// Writes what waits, and ends the file. The first caller gets how it went.
    pub(crate) fn finish(&self) -> Ended {
        let Some(ended) = lock(&self.ended).take() else {
            return Ended { bytes: 0, failure: None };
        };
        // Of connections that are still open nothing more comes, behind which this would be said.
        for (connection, bytes) in lock(&self.lost).drain() {
            self.send(Message::Lost { connection, bytes });
        }
        self.send(Message::End);
        ended.recv_timeout(FINISH_MAX).unwrap_or_else(|_| {
            let what = format!("the capture {} is not written to its end", self.path.display());
            let failure = Failure::system(&what, &"the disk does not answer");
            say(failure.what());
            Ended { bytes: 0, failure: Some(failure) }
        })
    }

    fn send(&self, message: Message) {
        // A thread that has ended has said why.
        self.sender.send(message).unwrap_or(());
    }
}

impl Wiretap for Recorder {
    fn passed(&self, connection: u64, what: Passed<'_>) {
        let (sent, received) = match self.role {
            Role::Client => (Direction::ToServer, Direction::ToClient),
            Role::Server => (Direction::ToClient, Direction::ToServer),
        };
        let what = match what {
            Passed::Opened { own, peer, drawn } => {
                let secrets = self
                    .has_secrets
                    .then(|| Box::new(SessionSecrets::drawn(self.role, drawn.dh, drawn.kem)));
                let (client, server) = match self.role {
                    Role::Client => (own, peer),
                    Role::Server => (peer, own),
                };
                Happened::Opened { client, server, secrets }
            }
            Passed::Sent(bytes) => Happened::Data(sent, bytes.to_vec()),
            Passed::Received(bytes) => Happened::Data(received, bytes.to_vec()),
            Passed::Closed => Happened::Closed,
        };
        self.note(connection, what);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // What went wrong was said when it did.
        drop(self.finish());
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.path.display())
    }
}

/// The thread's part.
struct Keeper {
    writer: Writer<BufWriter<CaptureFile>>,
    numbers: HashMap<u64, ConnectionNumber>,
    path: PathBuf,
    bytes_max: u64,
    failure: Option<Failure>,
    is_over: Arc<AtomicBool>,
}

impl Keeper {
    fn run(mut self, messages: &mpsc::Receiver<Message>, queued: &AtomicUsize) -> Ended {
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(mpsc::TryRecvError::Disconnected) => break,
                Err(mpsc::TryRecvError::Empty) => {
                    // Whoever looks at the file meanwhile sees what has happened.
                    let outcome = self.writer.flush();
                    self.check(outcome.map(|()| Written::Whole));
                    match messages.recv() {
                        Ok(message) => message,
                        Err(_) => break,
                    }
                }
            };
            if let Message::Event { what, .. } = &message {
                let bytes = if let Happened::Data(_, bytes) = what { bytes.len() } else { 0 };
                queued.fetch_sub(EVENT_COST + bytes, Ordering::Relaxed);
            }
            if matches!(message, Message::End) {
                break;
            }
            if !self.is_over.load(Ordering::Relaxed) {
                let outcome = self.handle(message);
                self.check(outcome);
            }
        }
        self.end()
    }

    fn handle(&mut self, message: Message) -> io::Result<Written> {
        match message {
            Message::Event {
                connection,
                at,
                what: Happened::Opened { client, server, secrets },
            } => {
                let number =
                    self.writer.open(at, client, server, secrets.map(|secrets| *secrets))?;
                self.numbers.insert(connection, number);
                Ok(Written::Whole)
            }
            Message::Event { connection, at, what: Happened::Data(direction, bytes) } => {
                match self.numbers.get(&connection) {
                    Some(number) => self.writer.data(*number, at, direction, &bytes),
                    None => Ok(Written::Whole),
                }
            }
            Message::Event { connection, at, what: Happened::Closed } => {
                match self.numbers.remove(&connection) {
                    Some(number) => self.writer.close(number, at, None),
                    None => Ok(Written::Whole),
                }
            }
            Message::Lost { connection, bytes } => {
                if let Some(number) = self.numbers.get(&connection) {
                    say(&format!(
                        "The capture {} has a gap of {} bytes: it was not written as fast as they came.",
                        self.path.display(),
                        bytes[0] + bytes[1]
                    ));
                    self.writer.lost(*number, Direction::ToServer, bytes[0])?;
                    self.writer.lost(*number, Direction::ToClient, bytes[1])?;
                }
                Ok(Written::Whole)
            }
            Message::End => Ok(Written::Whole),
        }
    }

    /// Says once that nothing more is written.
    fn check(&mut self, outcome: io::Result<Written>) {
        let path = self.path.display();
        let what = match outcome {
            Ok(Written::Whole) => return,
            Ok(Written::Full) => format!(
                "The capture {path} has reached {} bytes and ends; sessions go on.",
                self.bytes_max
            ),
            Err(error) => {
                let what = format!("the capture {path} cannot be written any more");
                self.failure.get_or_insert(Failure::system(&what, &error));
                format!(
                    "The capture {path} cannot be written any more, and ends: {error}. Sessions go on."
                )
            }
        };
        if !self.is_over.swap(true, Ordering::Relaxed) {
            say(&what);
        }
    }

    fn end(self) -> Ended {
        let Self { writer, mut failure, path, is_over, .. } = self;
        let bytes = writer.bytes();
        let finished = writer.finish().map(drop);
        if let Err(error) = finished
            && failure.is_none()
        {
            let what = format!("the capture {} is not whole", path.display());
            let found = Failure::system(&what, &error);
            if !is_over.swap(true, Ordering::Relaxed) {
                say(found.what());
            }
            failure = Some(found);
        }
        Ended { bytes, failure }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Writes a capture beside a program's sessions, on a thread of its own.
//!
//! Sessions never wait for it: what it cannot take is counted, and the capture shows a gap or lacks
//! whole connections. It never fails in silence, and it ends no session. Its file is made, and an
//! old one replaced, when the program has begun or the first connection opens: a program that does
//! not get that far changes nothing.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use ddes_capture::{ConnectionNumber, Direction, SecretRole, SessionSecrets, Writer, Written};
use ddes_session::wiretap::{Passed, Wiretap};

use super::file::{CaptureFile, Destination};
use super::now;
use crate::args::{BYTES_MAX, SessionRecordArgs};
use crate::failure::Failure;
use crate::streams::say;
use crate::unheard::may_be_unheard;

/// Memory for what waits to be written. Beyond it the capture has gaps, and lacks connections.
const QUEUED_BYTES_MAX: usize = 32 << 20;

/// What an event costs beside its bytes and secrets.
const EVENT_COST: usize = 128;

/// What secrets cost: those of one end, with their places.
const SECRETS_COST: usize = 1024;

/// Kept free for each open connection, so that its end is always taken: its last gap, and the end.
const ENDING_COST: usize = 2 * EVENT_COST;

/// How long the end waits for the disk.
const FINISH_MAX: Duration = Duration::from_secs(5);

const BUFFER_BYTES: usize = 64 * 1024;

/// Something that happened on a connection.
pub(crate) enum ConnectionHappened {
    Opened { client: SocketAddr, server: SocketAddr, secrets: Option<Box<SessionSecrets>> },
    Data(Direction, Vec<u8>),
    Closed,
}

/// How a capture ended.
#[derive(Default)]
pub(crate) struct CaptureEnded {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// The bound of the file was reached.
    pub(crate) is_full: bool,
    /// Bytes that passed and were not taken, because the disk was too slow.
    pub(crate) lost: u64,
    /// Connections that were not taken for the same reason.
    pub(crate) skipped: u64,
    pub(crate) failure: Option<Failure>,
}

impl CaptureEnded {
    /// Whether the file holds everything that passed.
    pub(crate) fn is_whole(&self) -> bool {
        self.failure.is_none() && !self.is_full && self.lost == 0 && self.skipped == 0
    }
}

enum RecorderMessage {
    /// The program has begun: the file is made, whether a connection comes or not.
    Begin,
    Event {
        connection: u64,
        at: Duration,
        what: ConnectionHappened,
    },
    /// Bytes to server and client that were not taken.
    Lost {
        connection: u64,
        bytes: [usize; 2],
    },
    /// Connections that were not taken.
    Skipped {
        connections: u64,
    },
    End,
}

impl RecorderMessage {
    /// Memory that it takes while it waits.
    fn cost(&self) -> usize {
        EVENT_COST
            + match self {
                Self::Event { what: ConnectionHappened::Data(_, bytes), .. } => bytes.len(),
                Self::Event {
                    what: ConnectionHappened::Opened { secrets: Some(_), .. }, ..
                } => SECRETS_COST,
                Self::Event {
                    what:
                        ConnectionHappened::Opened { secrets: None, .. } | ConnectionHappened::Closed,
                    ..
                }
                | Self::Begin
                | Self::Lost { .. }
                | Self::Skipped { .. }
                | Self::End => 0,
            }
    }
}

/// What the threads share.
#[derive(Default)]
struct RecorderShared {
    /// Memory that waits.
    queued: AtomicUsize,
    /// The file is at its bound: only the ends of its connections are written.
    is_full: AtomicBool,
    /// Nothing is written any more.
    is_over: AtomicBool,
}

/// What was taken of the connections.
#[derive(Default)]
struct TakenBytes {
    /// Those that are open, and their bytes, to server and client, that were not taken.
    open: HashMap<u64, [usize; 2]>,
    /// How many were not taken since that was last told.
    skipped: u64,
}

/// Takes events from any thread.
pub(crate) struct CaptureRecorder {
    path: PathBuf,
    role: SecretRole,
    has_secrets: bool,
    sender: mpsc::Sender<RecorderMessage>,
    shared: Arc<RecorderShared>,
    taken: Mutex<TakenBytes>,
    ended: Mutex<Option<mpsc::Receiver<CaptureEnded>>>,
}

impl CaptureRecorder {
    /// Prepares a capture in `path`, which stays as it is until something is written.
    pub(crate) fn start(path: &Path, bytes_max: u64, is_server: bool) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::system(&format!("cannot write {}", path.display()), &error);
        let destination = Destination::find(path)?;
        let (sender, receiver) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        let shared = Arc::new(RecorderShared::default());
        let keeper = Keeper {
            writer: None,
            numbers: HashMap::new(),
            path: path.to_owned(),
            bytes_max,
            ended: CaptureEnded::default(),
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name("capture".into())
            // Who waits no longer has said so.
            .spawn(move || may_be_unheard(done.send(keeper.run(destination, &receiver))))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            role: if is_server { SecretRole::Server } else { SecretRole::Client },
            has_secrets: false,
            sender,
            shared,
            taken: Mutex::default(),
            ended: Mutex::new(Some(ended)),
        })
    }

    /// The program has begun: the file is made now, even if no connection comes.
    pub(crate) fn begin(&self) {
        self.send(RecorderMessage::Begin);
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
    pub(crate) fn of_client(args: &SessionRecordArgs) -> Result<Option<Arc<dyn Wiretap>>, Failure> {
        let Some(path) = &args.capture else { return Ok(None) };
        let recorder = Self::start(path, BYTES_MAX, false)?;
        let recorder = if args.capture_secrets { recorder.with_secrets() } else { recorder };
        Ok(Some(Arc::new(recorder)))
    }

    /// Takes what happened, unless too much waits already.
    pub(crate) fn note(&self, connection: u64, what: ConnectionHappened) {
        if self.shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let is_full = self.shared.is_full.load(Ordering::Relaxed);
        let mut taken = lock(&self.taken);
        let is_new = matches!(what, ConnectionHappened::Opened { .. });
        // Nothing is taken of a connection that was not.
        let Some(mut lost) = taken.open.get(&connection).copied().or(is_new.then_some([0, 0]))
        else {
            return;
        };
        let message = RecorderMessage::Event { connection, at: now(), what };
        let ending = ENDING_COST * (taken.open.len() + 1);
        let waiting = self.shared.queued.load(Ordering::Relaxed);
        let has_room = !is_full && waiting + ending + message.cost() <= QUEUED_BYTES_MAX;
        match &message {
            RecorderMessage::Event { what: ConnectionHappened::Opened { .. }, .. } => {
                if !has_room {
                    taken.skipped += u64::from(!is_full);
                    return;
                }
                self.tell_skipped(&mut taken);
                taken.open.insert(connection, [0, 0]);
            }
            RecorderMessage::Event { what: ConnectionHappened::Data(direction, bytes), .. }
                if !has_room =>
            {
                lost[usize::from(*direction == Direction::ToClient)] += bytes.len();
                taken.open.insert(connection, lost);
                return;
            }
            RecorderMessage::Event { what: ConnectionHappened::Data(..), .. } => {
                self.tell_lost(connection, lost);
                taken.open.insert(connection, [0, 0]);
            }
            RecorderMessage::Event { what: ConnectionHappened::Closed, .. } => {
                self.tell_lost(connection, lost);
                taken.open.remove(&connection);
            }
            RecorderMessage::Begin
            | RecorderMessage::Lost { .. }
            | RecorderMessage::Skipped { .. }
            | RecorderMessage::End => {}
        }
        self.send(message);
    }

    fn tell_lost(&self, connection: u64, bytes: [usize; 2]) {
        if bytes != [0, 0] {
            self.send(RecorderMessage::Lost { connection, bytes });
        }
    }

    fn tell_skipped(&self, taken: &mut TakenBytes) {
        let connections = std::mem::take(&mut taken.skipped);
        if connections > 0 {
            self.send(RecorderMessage::Skipped { connections });
        }
    }

    /// Writes what waits, and ends the file. The first caller gets how it went.
    pub(crate) fn finish(&self) -> CaptureEnded {
        let Some(ended) = lock(&self.ended).take() else { return CaptureEnded::default() };
        let mut taken = lock(&self.taken);
        // Of connections that are still open nothing more comes, behind which this would be said.
        for (connection, bytes) in std::mem::take(&mut taken.open) {
            self.tell_lost(connection, bytes);
        }
        self.tell_skipped(&mut taken);
        drop(taken);
        self.send(RecorderMessage::End);
        ended.recv_timeout(FINISH_MAX).unwrap_or_else(|_| {
            let what = format!("the capture {} is not written to its end", self.path.display());
            let failure = Failure::system(&what, &"the disk does not answer");
            say(failure.what());
            CaptureEnded { failure: Some(failure), ..CaptureEnded::default() }
        })
    }

    fn send(&self, message: RecorderMessage) {
        self.shared.queued.fetch_add(message.cost(), Ordering::Relaxed);
        if self.sender.send(message).is_err() {
            // The thread that writes has ended, and has said why.
            self.shared.is_over.store(true, Ordering::Relaxed);
        }
    }
}

impl Wiretap for CaptureRecorder {
    fn passed(&self, connection: u64, what: Passed<'_>) {
        let (sent, received) = match self.role {
            SecretRole::Client => (Direction::ToServer, Direction::ToClient),
            SecretRole::Server => (Direction::ToClient, Direction::ToServer),
        };
        let what = match what {
            Passed::Opened { own, peer, drawn } => {
                let secrets = self
                    .has_secrets
                    .then(|| Box::new(SessionSecrets::drawn(self.role, drawn.dh, drawn.kem)));
                let (client, server) = match self.role {
                    SecretRole::Client => (own, peer),
                    SecretRole::Server => (peer, own),
                };
                ConnectionHappened::Opened { client, server, secrets }
            }
            Passed::Sent(bytes) => ConnectionHappened::Data(sent, bytes.to_vec()),
            Passed::Received(bytes) => ConnectionHappened::Data(received, bytes.to_vec()),
            Passed::Closed => ConnectionHappened::Closed,
        };
        self.note(connection, what);
    }
}

impl Drop for CaptureRecorder {
    fn drop(&mut self) {
        // What went wrong was said when it did.
        drop(self.finish());
    }
}

impl fmt::Debug for CaptureRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.path.display())
    }
}

/// The thread's part.
struct Keeper {
    /// From the first message on.
    writer: Option<Writer<BufWriter<CaptureFile>>>,
    numbers: HashMap<u64, ConnectionNumber>,
    path: PathBuf,
    bytes_max: u64,
    ended: CaptureEnded,
    shared: Arc<RecorderShared>,
}

impl Keeper {
    fn run(
        mut self,
        destination: Destination,
        messages: &mpsc::Receiver<RecorderMessage>,
    ) -> CaptureEnded {
        let mut destination = Some(destination);
        while let Some(message) = self.next(messages) {
            self.shared.queued.fetch_sub(message.cost(), Ordering::Relaxed);
            if matches!(message, RecorderMessage::End) {
                break;
            }
            if let Some(destination) = destination.take()
                && let Err(error) = self.begin(destination)
            {
                self.check(Err(error));
            }
            if !self.shared.is_over.load(Ordering::Relaxed) {
                let outcome = self.handle(message);
                self.check(outcome);
            }
        }
        self.end()
    }

    /// The next message; `None` where nobody is left to send one.
    fn next(&mut self, messages: &mpsc::Receiver<RecorderMessage>) -> Option<RecorderMessage> {
        match messages.try_recv() {
            Ok(message) => return Some(message),
            Err(mpsc::TryRecvError::Disconnected) => return None,
            Err(mpsc::TryRecvError::Empty) => {}
        }
        // Whoever looks at the file meanwhile sees what has happened.
        if let Some(writer) = &mut self.writer {
            let outcome = writer.flush();
            self.check(outcome.map(|()| Written::Whole));
        }
        messages.recv().ok()
    }

    fn begin(&mut self, destination: Destination) -> io::Result<()> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, destination.open()?);
        self.writer = Some(Writer::new(out, self.bytes_max)?);
        Ok(())
    }

    fn handle(&mut self, message: RecorderMessage) -> io::Result<Written> {
        let Some(writer) = &mut self.writer else { return Ok(Written::Whole) };
        match message {
            RecorderMessage::Event {
                connection,
                at,
                what: ConnectionHappened::Opened { client, server, secrets },
            } => {
                if !self.ended.is_full {
                    let secrets = secrets.map(|secrets| *secrets);
                    let number = writer.open(at, client, server, secrets)?;
                    self.numbers.insert(connection, number);
                }
                Ok(Written::Whole)
            }
            RecorderMessage::Event {
                connection,
                at,
                what: ConnectionHappened::Data(direction, bytes),
            } => match self.numbers.get(&connection) {
                Some(number) => writer.data(*number, at, direction, &bytes),
                None => Ok(Written::Whole),
            },
            RecorderMessage::Event { connection, at, what: ConnectionHappened::Closed } => {
                match self.numbers.remove(&connection) {
                    Some(number) => writer.close(number, at, None),
                    None => Ok(Written::Whole),
                }
            }
            RecorderMessage::Lost { connection, bytes } => {
                if let Some(number) = self.numbers.get(&connection) {
                    writer.lost(*number, Direction::ToServer, bytes[0])?;
                    writer.lost(*number, Direction::ToClient, bytes[1])?;
                }
                if !self.ended.is_full {
                    let lost = bytes[0] + bytes[1];
                    self.ended.lost += lost as u64;
                    say(&format!(
                        "The capture {} has a gap of {lost} bytes: it was not written as fast as \
                         they came.",
                        self.path.display(),
                    ));
                }
                Ok(Written::Whole)
            }
            RecorderMessage::Skipped { connections } => {
                self.ended.skipped += connections;
                say(&format!(
                    "The capture {} lacks {connections} connections: the disk was too slow.",
                    self.path.display(),
                ));
                Ok(Written::Whole)
            }
            RecorderMessage::Begin | RecorderMessage::End => Ok(Written::Whole),
        }
    }

    /// Says once that nothing more is written.
    fn check(&mut self, outcome: io::Result<Written>) {
        let path = self.path.display();
        match outcome {
            Ok(Written::Whole) => {}
            Ok(Written::Full) => {
                self.shared.is_full.store(true, Ordering::Relaxed);
                if !std::mem::replace(&mut self.ended.is_full, true) {
                    say(&format!(
                        "The capture {path} has reached {} bytes and ends; sessions go on.",
                        self.bytes_max
                    ));
                }
            }
            Err(error) => {
                let what = format!("the capture {path} cannot be written any more");
                self.ended.failure.get_or_insert(Failure::system(&what, &error));
                if !self.shared.is_over.swap(true, Ordering::Relaxed) {
                    say(&format!(
                        "The capture {path} cannot be written any more, and ends: {error}. \
                         Sessions go on."
                    ));
                }
            }
        }
    }

    fn end(self) -> CaptureEnded {
        let Self { writer, path, shared, mut ended, .. } = self;
        let Some(writer) = writer else { return ended };
        ended.bytes = writer.bytes();
        let finished = writer.finish().map(drop);
        if let Err(error) = finished
            && ended.failure.is_none()
        {
            let what = format!("the capture {} is not whole", path.display());
            let found = Failure::system(&what, &error);
            if !shared.is_over.swap(true, Ordering::Relaxed) {
                say(found.what());
            }
            ended.failure = Some(found);
        }
        ended
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn address() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    fn opened() -> ConnectionHappened {
        let secrets = Some(Box::new(SessionSecrets::drawn(SecretRole::Server, &[1; 64], None)));
        ConnectionHappened::Opened { client: address(), server: address(), secrets }
    }

    /// A recorder into a pipe that nobody reads yet.
    fn stuck() -> (CaptureRecorder, io::PipeReader, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        let number = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let path = format!("/proc/self/fd/{number}");
        (CaptureRecorder::start(Path::new(&path), u64::MAX, true).unwrap(), reader, writer)
    }

    #[test]
    fn connections_that_come_and_go_before_a_disk_that_takes_nothing_are_bounded() {
        let (recorder, mut reader, writer) = stuck();
        let most = 3 * (QUEUED_BYTES_MAX / EVENT_COST) as u64;
        for connection in 0..most {
            recorder.note(connection, opened());
            recorder.note(connection, ConnectionHappened::Closed);
            let queued = recorder.shared.queued.load(Ordering::Relaxed);
            assert!(queued <= QUEUED_BYTES_MAX, "{queued} bytes wait");
        }
        assert!(lock(&recorder.taken).open.is_empty());
        let skipped = lock(&recorder.taken).skipped;
        assert!(skipped > 0 && skipped < most, "{skipped} were not taken");
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
        });
        while recorder.shared.queued.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        let ended = recorder.finish();
        assert_eq!((ended.skipped, ended.is_whole()), (skipped, false));
        drop((recorder, writer));
        reading.join().unwrap();
    }

    #[test]
    fn the_ends_and_gaps_of_connections_fit_however_much_waits() {
        let (recorder, reader, writer) = stuck();
        recorder.note(0, opened());
        recorder.note(1, opened());
        let (mut sent, mut lost) = (0, 0);
        while lost < 10 {
            let before = recorder.shared.queued.load(Ordering::Relaxed);
            recorder.note(0, ConnectionHappened::Data(Direction::ToServer, vec![0; 60_000]));
            let after = recorder.shared.queued.load(Ordering::Relaxed);
            if after > before {
                sent += 1;
            } else {
                lost += 1;
            };
        }
        assert!(sent > 0);
        recorder.note(1, ConnectionHappened::Closed);
        recorder.note(0, ConnectionHappened::Closed);
        assert!(lock(&recorder.taken).open.is_empty());
        assert!(recorder.shared.queued.load(Ordering::Relaxed) <= QUEUED_BYTES_MAX);
        drop(reader);
        assert!(!recorder.finish().is_whole());
        drop(writer);
    }
}

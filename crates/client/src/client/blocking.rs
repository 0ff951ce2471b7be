//! The client for programs without an asynchronous runtime: a thread of its own, and methods that
//! wait.

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use std::{fmt, thread};

use ddes_identity::{Namespace, ServerAddress};
use ddes_session::v2::{ClientEnd, ClientEvent, ClientFault, ClientSession};
use ddes_wire::v2::Scope;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::bell::{BellEnd, bell};
use super::builder::{ClientPlan, Trust};
use super::call_book::{Call, CallBook};
use super::pending::{PendingCall, Ring, ThreadHandle};
use super::reply::Reply;
use super::wire::{Over, SessionWire};
use super::{ADD_MAX, Balance, Builder, ClientError, Progress};
use crate::delivery::{Delivery, DeliveryError, NextAttempt};
use crate::dial::{ConnectError, dial_blocking};
use crate::lost::{CourierError, EnterError, Lost};
use crate::options::ConnectOptions;
use crate::random;
use crate::signer::{SignError, Signer};

/// The most calls that wait for the thread.
const CALLS_MAX: usize = 64;

/// A client whose integers count exactly once. Clones are the same client, for any thread; when the
/// last one is dropped, the session ends and the outbox keeps what is not counted. A program that
/// ends at once may cut that short: call [`Client::close`] first.
#[derive(Clone)]
pub struct Client {
    handle: Arc<ThreadHandle>,
}

impl Client {
    /// A client of `server` with the identity of a key, or of what signs in its place.
    pub fn builder(server: ServerAddress, identity: impl Into<Signer>) -> Builder<Self> {
        Builder::new(server, identity.into())
    }

    /// Takes integers, at most [`ADD_MAX`]: all or none. With an outbox they are on the disk when
    /// this returns, and count exactly once from then on. Waits while the outbox holds 2^20 that
    /// are not counted.
    pub fn add(&self, values: &[i64]) -> Result<(), ClientError> {
        self.begin_add(values.to_vec())?.answered()
    }

    /// Waits until every integer that was added before is counted; what the server holds then.
    pub fn flush(&self) -> Result<Balance, ClientError> {
        self.begin_flush().answered()
    }

    /// What the server holds, as it stated it last. Waits for the first session, but not for
    /// integers that are not counted yet.
    pub fn total(&self) -> Result<Balance, ClientError> {
        self.begin_total().answered()
    }

    /// As [`Self::flush`], then ends the session. The server states the balance once more, and that
    /// is given back.
    pub fn close(self) -> Result<Balance, ClientError> {
        self.begin_close().answered()
    }

    /// [`Self::add`] for a caller who waits for a while at a time: see [`PendingCall`].
    pub fn begin_add(&self, values: Vec<i64>) -> Result<PendingCall<()>, ClientError> {
        if values.len() > ADD_MAX {
            return Err(ClientError::TooMany);
        }
        Ok(self.handle.begin(|reply| Call::Add { values, reply }))
    }

    /// As [`Self::flush`].
    pub fn begin_flush(&self) -> PendingCall<Balance> {
        self.handle.begin(|reply| Call::Flush { reply })
    }

    /// As [`Self::total`].
    pub fn begin_total(&self) -> PendingCall<Balance> {
        self.handle.begin(|reply| Call::Total { reply })
    }

    /// As [`Self::close`]. Until it is answered without an error, the client is open.
    pub fn begin_close(&self) -> PendingCall<Balance> {
        self.handle.begin(|reply| Call::Close { reply })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Builder<Client> {
    /// Locks the outbox and starts a thread. It connects at once, whether or not there is anything
    /// to send.
    pub fn start(self) -> Result<Client, ClientError> {
        let plan = self.into_plan();
        let mut delivery = Delivery::new(Instant::now(), plan.patience(), plan.outbox()?);
        if plan.adopts {
            delivery.adopt(Instant::now());
        }
        let ClientPlan { options, signer, trust, observer, .. } = plan;
        let book = CallBook::new(observer, &delivery);
        let failed = |error| ClientError::Start(Arc::new(error));
        let [bell, ring] = bell().map_err(failed)?;
        let (calls, inbox) = sync_channel(CALLS_MAX);
        let (letters, post) = mpsc::channel();
        let ring = Ring(Arc::new(ring));
        let worker = ClientThread {
            options: Arc::new(options),
            signer: Arc::new(signer),
            trust,
            delivery,
            book,
            wire_state: WireState::Down,
            sessions: 0,
            inbox,
            post,
            letters,
            bell,
            ring: ring.clone(),
        };
        let thread = thread::Builder::new().name("ddes-client".into());
        thread.spawn(move || worker.run()).map_err(failed)?;
        Ok(Client { handle: Arc::new(ThreadHandle::new(calls, ring)) })
    }
}

/// The result of work on another thread.
enum Letter {
    Dialed(Result<TcpStream, ConnectError>),
    /// For the session of that number.
    Signed {
        session: u64,
        signature: Result<[u8; 64], SignError>,
    },
}

enum WireState {
    Down,
    /// A thread resolves the name and connects.
    Dialing,
    /// The session is not open yet.
    Opening(Box<SessionWire>),
    Up(Box<SessionWire>),
}

/// What the thread does after a step.
enum NextStep {
    On,
    /// End the session as a caller asked, and answer that call.
    Close(Reply<Balance>),
    /// End: the last handle was dropped.
    Leave,
}

struct ClientThread {
    options: Arc<ConnectOptions>,
    signer: Arc<Signer>,
    trust: Trust,
    delivery: Delivery,
    book: CallBook,
    wire_state: WireState,
    /// How many have begun.
    sessions: u64,
    inbox: Receiver<Call>,
    post: Receiver<Letter>,
    letters: Sender<Letter>,
    bell: BellEnd,
    ring: Ring,
}

impl ClientThread {
    fn run(mut self) {
        let end = loop {
            match self.step() {
                Ok(NextStep::On) => self.wait(),
                Ok(NextStep::Close(reply)) => {
                    let closed = self.say_goodbye();
                    break Some((closed, Some(reply)));
                }
                Ok(NextStep::Leave) => {
                    // Nobody waits for how it ends; the outbox keeps what is not counted.
                    drop(self.say_goodbye());
                    break None;
                }
                Err(error) => {
                    // What was counted before is answered so.
                    let reply = self.tell();
                    let is_closed = reply.is_some();
                    break Some((if is_closed { Ok(None) } else { Err(error) }, reply));
                }
            }
        };
        let Self { mut book, inbox, delivery, wire_state, .. } = self;
        // The outbox is free before anybody hears of the end: the next client may be started at
        // once.
        drop((delivery, wire_state));
        match end {
            Some((outcome, Some(reply))) => book.handle_closed(reply, outcome),
            Some((Err(error), None)) => book.handle_error(error),
            Some((Ok(_), None)) | None => {}
        }
        while let Ok(call) = inbox.recv() {
            book.refuse(call);
        }
    }

    /// All that can be done without waiting.
    fn step(&mut self) -> Result<NextStep, CourierError> {
        self.silence_bell();
        loop {
            let now = Instant::now();
            while let Ok(letter) = self.post.try_recv() {
                self.open(now, letter)?;
            }
            if self.delivery.poll_timeout().is_some_and(|at| at <= now) {
                self.delivery.handle_timeout(now);
            }
            if self.delivery.poll_connect(now) {
                self.dial();
            }
            self.carry(now)?;
            if let Some(reply) = self.tell() {
                return Ok(NextStep::Close(reply));
            }
            // Last: an answer may have made room, and no bell rings for what waited meanwhile.
            if !self.book.has_room() {
                return Ok(NextStep::On);
            }
            match self.inbox.try_recv() {
                Ok(call) => self.book.handle_call(&mut self.delivery, call),
                Err(TryRecvError::Empty) => return Ok(NextStep::On),
                Err(TryRecvError::Disconnected) => return Ok(NextStep::Leave),
            }
        }
    }

    /// Reports events and answers the calls that are due; returns the reply to a close.
    fn tell(&mut self) -> Option<Reply<Balance>> {
        self.report();
        self.book.answer_due(&mut self.delivery)
    }

    fn report(&mut self) {
        while let Some(event) = self.delivery.poll_event() {
            self.book.handle_event(&event);
        }
    }

    fn silence_bell(&mut self) {
        let mut rung = [0; 64];
        while self.bell.read(&mut rung).is_ok_and(|count| count == rung.len()) {}
    }

    /// Waits until the socket is ready, a call or a letter arrives, or a timeout is due.
    fn wait(&self) {
        let mut waited = vec![PollFd::new(&self.bell, PollFlags::IN)];
        let mut until = self.delivery.poll_timeout();
        if let WireState::Opening(wire) | WireState::Up(wire) = &self.wire_state {
            let (socket, flags, at) = wire.waits_for();
            waited.push(PollFd::from_borrowed_fd(socket, flags));
            until = [until, at].into_iter().flatten().min();
        }
        wait_until(&mut waited, until);
    }

    /// Drives the session as far as it gets without waiting.
    fn carry(&mut self, now: Instant) -> Result<(), CourierError> {
        loop {
            let wire = match &mut self.wire_state {
                WireState::Up(wire) => {
                    submit(now, &mut self.delivery, &mut wire.session);
                    wire
                }
                WireState::Opening(wire) => wire,
                WireState::Down | WireState::Dialing => return Ok(()),
            };
            match wire.poll_event(now) {
                Ok(None) => return Ok(()),
                Ok(Some(event)) => self.handle_event(now, event)?,
                Err(Over) => self.handle_end(now, ClientEnd::Fault(ClientFault::Truncated))?,
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: ClientEvent) -> Result<(), CourierError> {
        match event {
            ClientEvent::ServerProven { key } if self.trust.holds(&key) => self.prove(now),
            ClientEvent::ServerProven { key } => {
                self.lost(now, Lost::Enter(EnterError::Untrusted { key: Box::new(key) }))
            }
            ClientEvent::Ready(welcome) => {
                if let WireState::Opening(wire) =
                    std::mem::replace(&mut self.wire_state, WireState::Down)
                {
                    self.wire_state = WireState::Up(wire);
                }
                let welcomed = self.delivery.handle_welcome(&welcome);
                Ok(welcomed.inspect_err(|_| self.wire_state = WireState::Down)?)
            }
            ClientEvent::Answered(answer) => {
                let handled = self.delivery.handle_answer(now, &answer);
                if matches!(handled, Err(DeliveryError::Objection(_))) {
                    self.wire_state = WireState::Down;
                }
                Ok(handled?)
            }
            ClientEvent::Ended(end) => self.handle_end(now, end),
        }
    }

    fn handle_end(&mut self, now: Instant, end: ClientEnd) -> Result<(), CourierError> {
        let why = match &self.wire_state {
            WireState::Up(_) => Lost::Ended(end),
            WireState::Opening(_) | WireState::Dialing | WireState::Down => {
                Lost::Enter(EnterError::Ended(end))
            }
        };
        self.lost(now, why)
    }

    /// The session ended, or none opened.
    fn lost(&mut self, now: Instant, why: Lost) -> Result<(), CourierError> {
        self.wire_state = WireState::Down;
        // What happened before is reported before.
        self.report();
        let next = self.delivery.handle_end(now, random(), why.farewell(), why.is_futile())?;
        let retry = match next {
            NextAttempt::After(wait) => Some(wait),
            NextAttempt::WhenNeeded => None,
            NextAttempt::Never => return Err(CourierError::Lost(why)),
        };
        self.book.handle_lost(&Progress::Lost { why: Arc::new(why), retry });
        Ok(())
    }

    /// Connects on a thread: the system's resolver waits as long as it likes, and integers are
    /// taken meanwhile.
    fn dial(&mut self) {
        self.wire_state = WireState::Dialing;
        let options = Arc::clone(&self.options);
        self.elsewhere("ddes-dial", move || {
            Letter::Dialed(dial_blocking(&options.server, options.connect))
        });
    }

    /// Signs what the server and this client agreed on.
    fn prove(&mut self, now: Instant) -> Result<(), CourierError> {
        let (WireState::Opening(wire), key) = (&mut self.wire_state, self.signer.public()) else {
            return Ok(());
        };
        // A session that has ended signs nothing; its next event reports the end.
        let Some(claim) = wire.session.claim(&key) else { return Ok(()) };
        if let Signer::Key(signing) = &*self.signer {
            wire.prove(now, &key, signing.sign(Namespace::Client, &claim));
            return Ok(());
        }
        // An agent may ask a person.
        let (signer, session) = (Arc::clone(&self.signer), self.sessions);
        self.elsewhere("ddes-sign", move || Letter::Signed {
            session,
            signature: signer.sign_blocking(Namespace::Client, &claim),
        });
        Ok(())
    }

    /// Does something that may wait on a thread of its own; where there is none, here.
    fn elsewhere(&self, name: &str, work: impl FnOnce() -> Letter + Send + 'static) {
        let (letters, ring) = (self.letters.clone(), self.ring.clone());
        let work = Arc::new(Mutex::new(Some(work)));
        let run = move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(work) = work {
                // An error: the client has ended, and needs no letter.
                if letters.send(work()).is_ok() {
                    ring.ring();
                }
            }
        };
        let spawned = thread::Builder::new().name(name.into()).spawn(run.clone());
        spawned.map_or_else(|_| run(), drop);
    }

    fn open(&mut self, now: Instant, letter: Letter) -> Result<(), CourierError> {
        let failed = |error| Lost::Enter(EnterError::Connect(error));
        match letter {
            Letter::Dialed(Err(error)) => self.lost(now, failed(error)),
            Letter::Dialed(Ok(stream)) => match SessionWire::new(stream, &self.options) {
                Ok(wire) => {
                    self.sessions += 1;
                    self.wire_state = WireState::Opening(Box::new(wire));
                    Ok(())
                }
                Err(error) => self.lost(now, failed(error.into())),
            },
            // Of a session that is over.
            Letter::Signed { session, .. } if session != self.sessions => Ok(()),
            Letter::Signed { signature, .. } => {
                let WireState::Opening(wire) = &mut self.wire_state else { return Ok(()) };
                match signature {
                    Ok(signature) => {
                        wire.prove(now, &self.signer.public(), signature);
                        Ok(())
                    }
                    Err(error) => self.lost(now, Lost::Enter(EnterError::Sign(error))),
                }
            }
        }
    }

    /// 50, and the server's: what that states of the account.
    fn say_goodbye(&mut self) -> Result<Option<Balance>, CourierError> {
        let WireState::Up(mut wire) = std::mem::replace(&mut self.wire_state, WireState::Down)
        else {
            return Ok(None);
        };
        if wire.session.disconnect(Instant::now(), Scope::Session).is_err() {
            return Ok(None);
        }
        loop {
            match wire.poll_event(Instant::now()) {
                Ok(Some(ClientEvent::Ended(ClientEnd::Farewell(farewell)))) => {
                    self.delivery.handle_end(Instant::now(), u64::MAX, Some(&farewell), true)?;
                    return Ok(Some(Balance { count: farewell.last_seq.get(), sum: farewell.sum }));
                }
                Ok(Some(ClientEvent::Ended(ClientEnd::Rejected(_) | ClientEnd::Fault(_))))
                | Err(Over) => {
                    return Ok(None);
                }
                Ok(Some(
                    ClientEvent::ServerProven { .. }
                    | ClientEvent::Ready(_)
                    | ClientEvent::Answered(_),
                )) => {}
                Ok(None) => {
                    let (socket, flags, until) = wire.waits_for();
                    wait_until(&mut [PollFd::from_borrowed_fd(socket, flags)], until);
                }
            }
        }
    }
}

/// Submits what waits, as far as the session takes it.
fn submit(now: Instant, delivery: &mut Delivery, session: &mut ClientSession) {
    while let Some(submission) = delivery.poll_submit(usize::MAX) {
        // Full: there is room once some bytes have gone. Not open: its end is the next event.
        if session.submit(now, submission.first_seq, &submission.values).is_err() {
            return;
        }
        delivery.handle_submitted(&submission);
    }
}

/// Waits until one of `waited` is ready or until `until`; without that, without limit.
fn wait_until(waited: &mut [PollFd<'_>], until: Option<Instant>) {
    let left = until.map(|at| at.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    // Interrupted, or out of memory: the caller checks everything again in any case.
    if poll(waited, left.as_ref()).is_err() {
        thread::yield_now();
    }
}

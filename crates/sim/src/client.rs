//! A client: a real session and the duties of `ddes_client::courier`, without its sockets and clocks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_client::outbox::Objection;
use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_session::Phase;
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{ClientConfig, ClientEnd, ClientEvent, ClientFault, ClientSession, SubmitError, kem};
use ddes_wire::v2::{Farewell, GroupSize, Outcome, Reason, Scope, Status, Suite, Welcome};
use ddes_wire::{Sequence, SessionNumber, Standing};
use zeroize::Zeroizing;

use crate::model::{History, Known, Model, Violation};
use crate::outbox::{Copy, DurableOutbox};
use crate::random::Random;
use crate::trace::Trace;

/// The one suite: pure Double DES in the smallest group.
pub(crate) const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
/// So many 30s are under way at most.
const FLIGHT_MAX: usize = 8;
/// After a status 4.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);
/// After `superseded`, and how much more at most; and within what a second one is another process.
const GHOST_WAIT: Duration = Duration::from_secs(10);
const GHOST_MORE_MS: u64 = 5_000;
const GHOST_TWICE: Duration = Duration::from_secs(60);
const CONFIG: ClientConfig =
    ClientConfig { suite: SUITE, handshake: Duration::from_secs(10), reply: Duration::from_secs(20) };

pub(crate) struct Client {
    pub(crate) key: SigningKey,
    /// In the model.
    pub(crate) account: usize,
    pub(crate) outbox: DurableOutbox,
    pub(crate) state: State,
    /// The outbox as it was once, and what its numbers meant.
    pub(crate) copy: Option<(Copy, History)>,
    /// It was set back, and has not heard from the ledger since: what its numbers mean to it.
    pub(crate) restored: Option<History>,
    was_restored: bool,
    /// When a newer session ended one, last.
    superseded: Option<Instant>,
}

pub(crate) enum State {
    Down {
        at: Instant,
    },
    /// It objected, and a person has to look.
    Stopped,
    Meeting(Box<Meeting>),
}

/// A session, from its first byte on.
pub(crate) struct Meeting {
    pub(crate) link: u64,
    pub(crate) session: ClientSession,
    up: Option<Up>,
    /// Message 4 is said.
    has_proven: bool,
    /// Our direction is shut down.
    pub(crate) is_shut: bool,
}

/// As the courier has it.
struct Up {
    values_max: usize,
    next: Sequence,
    flight: VecDeque<Sequence>,
    refused: bool,
    pause: Option<Instant>,
}

/// What a client needs of the world.
pub(crate) struct Around<'a> {
    pub(crate) now: Instant,
    pub(crate) step: u64,
    pub(crate) server: PublicKey,
    pub(crate) model: &'a mut Model,
    pub(crate) trace: &'a mut Trace,
    pub(crate) random: &'a mut Random,
}

impl Client {
    pub(crate) fn new(key: SigningKey, account: usize, base: Instant) -> Self {
        Self {
            key,
            account,
            outbox: DurableOutbox::new(),
            state: State::Down { at: base },
            copy: None,
            restored: None,
            was_restored: false,
            superseded: None,
        }
    }

    pub(crate) fn has_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Copies outbox and meaning; of one set back, only once the ledger has confirmed it.
    pub(crate) fn take_copy(&mut self, history: &History) {
        if self.restored.is_none() && !self.has_stopped() {
            let mut history = history.clone();
            history.lose(self.outbox.highest());
            self.copy = Some((self.outbox.copy(), history));
        }
    }

    /// How many values count that the copy does not know.
    pub(crate) fn copy_lacks(&self, known: &Known) -> u64 {
        self.copy.as_ref().map_or(0, |(_, history)| known.promised().saturating_sub(history.count()))
    }

    /// The machine is set back to the copy, with its memory, and takes other values before it hears that its session is gone.
    pub(crate) fn set_back(&mut self, values: &[i64], at: Instant) -> Result<bool, Violation> {
        if self.has_stopped() {
            return Ok(false);
        }
        let Some((copy, mut history)) = self.copy.take() else { return Ok(false) };
        self.outbox.restore(copy);
        if !values.is_empty() {
            self.outbox.take(values.to_vec()).map_err(|error| Violation(error.to_string()))?;
        }
        values.iter().for_each(|value| history.give((*value).into()));
        self.outbox.session_ended();
        (self.restored, self.was_restored) = (Some(history), true);
        self.state = State::Down { at };
        Ok(true)
    }

    pub(crate) fn begin(&mut self, link: u64, now: Instant, random: &mut Random) {
        let dh = Zeroizing::new(random.bytes::<64>().to_vec());
        let kem = Zeroizing::new(random.bytes::<{ kem::SEED_BYTES }>());
        let session = ClientSession::new(CONFIG, now, Entropy { dh, kem });
        self.state =
            State::Meeting(Box::new(Meeting { link, session, up: None, has_proven: false, is_shut: false }));
    }

    /// Gives up in its handshake, with message 4 under way, and begins anew: the link, and what it still had to say.
    pub(crate) fn give_up(&mut self, now: Instant) -> Option<(u64, Vec<u8>)> {
        let State::Meeting(meeting) = &self.state else { return None };
        if !meeting.has_proven || meeting.up.is_some() {
            return None;
        }
        let left = (meeting.link, meeting.session.pending().to_vec());
        self.state = State::Down { at: now };
        Some(left)
    }

    pub(crate) fn meeting(&mut self) -> Option<&mut Meeting> {
        match &mut self.state {
            State::Meeting(meeting) => Some(meeting),
            State::Down { .. } | State::Stopped => None,
        }
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Down { at } => Some(*at),
            State::Stopped => None,
            State::Meeting(meeting) => {
                let pause = meeting.up.as_ref().and_then(|up| up.pause);
                meeting.session.poll_timeout().into_iter().chain(pause).min()
            }
        }
    }

    /// The clock went on.
    pub(crate) fn pass(&mut self, now: Instant) {
        let State::Meeting(meeting) = &mut self.state else { return };
        if meeting.session.poll_timeout().is_some_and(|at| at <= now) {
            meeting.session.handle_timeout(now);
        }
        if let Some(up) = &mut meeting.up
            && up.pause.is_some_and(|at| at <= now)
        {
            up.pause = None;
        }
    }

    /// Says goodbye.
    pub(crate) fn leave(&mut self, now: Instant) -> bool {
        let State::Meeting(meeting) = &mut self.state else { return false };
        meeting.session.disconnect(now, Scope::Session).is_ok()
    }

    /// Deals with all that happened, then sends what waits. The link to close, if the session is over.
    pub(crate) fn settle(&mut self, around: &mut Around<'_>) -> Result<Option<u64>, Violation> {
        let mut closed = None;
        while let State::Meeting(meeting) = &mut self.state {
            if let Some(work) = meeting.session.poll_work() {
                meeting.session.handle_done(around.now, work.run());
            } else if let Some(event) = meeting.session.poll_event() {
                let link = meeting.link;
                self.handle(event, around)?;
                if self.has_stopped() {
                    closed = Some(link);
                }
            } else if meeting.session.phase() == Phase::Done {
                closed = Some(meeting.link);
                self.outbox.session_ended();
                let wait = match self.superseded {
                    Some(at) if at == around.now => {
                        GHOST_WAIT + Duration::from_millis(around.random.below(GHOST_MORE_MS))
                    }
                    Some(_) | None => Duration::from_millis(around.random.within(1, 3_000)),
                };
                self.state = State::Down { at: around.now + wait };
            } else {
                break;
            }
        }
        self.fill(around.now, around.random);
        Ok(closed)
    }

    fn handle(&mut self, event: ClientEvent, around: &mut Around<'_>) -> Result<(), Violation> {
        match event {
            ClientEvent::ServerProven { key } => self.prove(&key, around),
            ClientEvent::Ready(welcome) => self.open(&welcome, around),
            ClientEvent::Answered(answer) => self.answered(&answer, around),
            ClientEvent::Ended(end) => self.ended(&end, around),
        }
    }

    fn prove(&mut self, server: &PublicKey, around: &mut Around<'_>) -> Result<(), Violation> {
        if *server != around.server {
            return Err(Violation("a server proved another key".into()));
        }
        let State::Meeting(meeting) = &mut self.state else { return Ok(()) };
        let key = self.key.public();
        if let Some(claim) = meeting.session.claim(&key) {
            let signature = self.key.sign(Namespace::Client, &claim);
            // If the session has ended, its next event says so.
            meeting.session.prove(around.now, &key, signature).unwrap_or(());
            meeting.has_proven = true;
        }
        Ok(())
    }

    fn open(&mut self, welcome: &Welcome, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        let Standing { last_seq, sum, .. } = welcome.standing;
        let session = welcome.session;
        around
            .trace
            .line(around.step, format_args!("{account} hears 20: session {session}, {last_seq} are {sum}"));
        around.model.tell(account, &welcome.standing)?;
        let admitted = self.outbox.admit(welcome).map_err(|error| Violation(error.to_string()))?;
        if let Err(objection) = admitted {
            return self.object(&objection, around);
        }
        if let Some(history) = self.restored.take() {
            around.trace.count("outboxes set back that go on");
            around.model.go_on(account, history, last_seq.get())?;
        }
        let outbox = self.outbox.get();
        let State::Meeting(meeting) = &mut self.state else { return Ok(()) };
        meeting.up = Some(Up {
            values_max: welcome.values_max.into(),
            next: outbox.next_unconfirmed(),
            flight: VecDeque::new(),
            refused: false,
            pause: None,
        });
        Ok(())
    }

    fn answered(&mut self, answer: &Outcome, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        let Outcome { status, last_seq, sum } = *answer;
        around.trace.line(around.step, format_args!("{account} hears 40: {status:?}, {last_seq} are {sum}"));
        around.trace.count("answers");
        around.model.tell(account, &Standing { last_seq, last_session: SessionNumber::NONE, sum })?;
        let confirmed = self.outbox.confirm(last_seq, sum).map_err(|error| Violation(error.to_string()))?;
        if let Err(objection) = confirmed {
            return self.object(&objection, around);
        }
        let State::Meeting(meeting) = &mut self.state else { return Ok(()) };
        let Some(up) = &mut meeting.up else { return Ok(()) };
        while up.flight.front().is_some_and(|last| *last <= last_seq) {
            up.flight.pop_front();
        }
        match status {
            Status::Applied => {}
            Status::Malformed => {
                return Err(Violation(format!("client {account} hears that it is malformed")));
            }
            Status::Gap | Status::Unavailable => {
                up.flight.pop_front();
                up.refused = true;
                if status == Status::Unavailable {
                    around.trace.count("answers of status 4");
                    up.pause = Some(around.now + UNAVAILABLE_WAIT);
                }
            }
        }
        Ok(())
    }

    /// Right after it was set back, and then it stops for good; else a fault of the server's.
    fn object(&mut self, objection: &Objection, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        if !self.was_restored {
            return Err(Violation(format!("client {account} objects: {objection}")));
        }
        around.trace.line(around.step, format_args!("{account} objects: {objection}"));
        around.trace.count("outboxes set back that object");
        self.state = State::Stopped;
        Ok(())
    }

    fn ended(&mut self, end: &ClientEnd, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        around.trace.line(around.step, format_args!("{account}'s session ends: {end:?}"));
        let allowed = match end {
            ClientEnd::Farewell(farewell) => {
                self.hear(farewell, around)?;
                if farewell.reason == Reason::Superseded {
                    let twice = self.superseded.is_some_and(|at| around.now < at + GHOST_TWICE);
                    // After the second a person begins it again, once the ghosts are gone.
                    around.trace.count(if twice { "superseded twice in a minute" } else { "superseded" });
                    self.superseded = Some(around.now);
                }
                is_allowed(farewell.reason)
            }
            // Nobody vouches for it, and nothing comes of it.
            ClientEnd::Rejected(_) => true,
            ClientEnd::Fault(fault) => matches!(
                fault,
                ClientFault::Truncated
                    | ClientFault::HandshakeTimeout
                    | ClientFault::ReplyTimeout
                    | ClientFault::TakesNothing
            ),
        };
        if allowed {
            Ok(())
        } else {
            Err(Violation(format!("client {account} is treated as a liar: {end:?}")))
        }
    }

    /// A 50 states the account, once the session was open.
    fn hear(&mut self, farewell: &Farewell, around: &mut Around<'_>) -> Result<(), Violation> {
        let is_open = matches!(&self.state, State::Meeting(meeting) if meeting.up.is_some());
        if !is_open {
            return Ok(());
        }
        let Farewell { last_seq, sum, .. } = *farewell;
        around.model.tell(self.account, &Standing { last_seq, last_session: SessionNumber::NONE, sum })?;
        let confirmed = self.outbox.confirm(last_seq, sum).map_err(|error| Violation(error.to_string()))?;
        confirmed.or_else(|objection| self.object(&objection, around))
    }

    /// As the courier sends, in frames of any size.
    fn fill(&mut self, now: Instant, random: &mut Random) {
        let State::Meeting(meeting) = &mut self.state else { return };
        let Meeting { session, up: Some(up), .. } = &mut **meeting else { return };
        let outbox = self.outbox.get();
        if up.refused && up.flight.is_empty() {
            up.refused = false;
            up.next = outbox.next_unconfirmed();
        }
        if up.pause.is_some() || up.refused {
            return;
        }
        while up.flight.len() < FLIGHT_MAX {
            let values = outbox.values(up.next, random.count(1, up.values_max));
            let Ok(after) = up.next.forward(values.len() as u64) else { return };
            if values.is_empty() {
                return;
            }
            match session.submit(now, up.next, &values) {
                Ok(()) => {
                    let last = Sequence::new(after.get() - 1);
                    up.flight.push_back(last);
                    up.next = after;
                }
                Err(SubmitError::Full | SubmitError::NotOpen | SubmitError::Count { .. }) => return,
            }
        }
    }
}

/// What an honest client may be told.
fn is_allowed(reason: Reason) -> bool {
    match reason {
        // A handshake that takes too long breaks "any other rule".
        Reason::Bye
        | Reason::Idle
        | Reason::ShuttingDown
        | Reason::Superseded
        | Reason::Protocol
        | Reason::TooMany
        | Reason::TooOld
        | Reason::Operator => true,
        Reason::NotAuthorized | Reason::Token | Reason::Authentication | Reason::Unsupported => false,
    }
}

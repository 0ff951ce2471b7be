//! A client: a real session and the duties of `ddes_client::courier`, without its sockets and clocks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_session::Phase;
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{ClientConfig, ClientEnd, ClientEvent, ClientFault, ClientSession, SubmitError, kem};
use ddes_wire::v2::{Farewell, GroupSize, Outcome, Reason, Scope, Status, Suite, Welcome};
use ddes_wire::{Sequence, SessionNumber, Standing};
use zeroize::Zeroizing;

use crate::model::{Model, Violation};
use crate::outbox::DurableOutbox;
use crate::random::Random;
use crate::trace::Trace;

/// The one suite: pure Double DES in the smallest group.
pub(crate) const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
/// So many 30s are under way at most.
const FLIGHT_MAX: usize = 8;
/// After a status 4.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);
const CONFIG: ClientConfig =
    ClientConfig { suite: SUITE, handshake: Duration::from_secs(10), reply: Duration::from_secs(20) };

pub(crate) struct Client {
    pub(crate) key: SigningKey,
    /// In the model.
    pub(crate) account: usize,
    pub(crate) outbox: DurableOutbox,
    pub(crate) state: State,
}

pub(crate) enum State {
    Down { at: Instant },
    Meeting(Box<Meeting>),
}

/// A session, from its first byte on.
pub(crate) struct Meeting {
    pub(crate) link: u64,
    pub(crate) session: ClientSession,
    up: Option<Up>,
    /// Our direction is shut down.
    pub(crate) is_shut: bool,
}

/// As the courier has it.
struct Up {
    values_max: usize,
    next: Sequence,
    highest: Sequence,
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
    pub(crate) fn begin(&mut self, link: u64, now: Instant, random: &mut Random) {
        let dh = Zeroizing::new(random.bytes::<64>().to_vec());
        let kem = Zeroizing::new(random.bytes::<{ kem::SEED_BYTES }>());
        let session = ClientSession::new(CONFIG, now, Entropy { dh, kem });
        self.state = State::Meeting(Box::new(Meeting { link, session, up: None, is_shut: false }));
    }

    pub(crate) fn meeting(&mut self) -> Option<&mut Meeting> {
        match &mut self.state {
            State::Meeting(meeting) => Some(meeting),
            State::Down { .. } => None,
        }
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Down { at } => Some(*at),
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
                self.handle(event, around)?;
            } else if meeting.session.phase() == Phase::Done {
                closed = Some(meeting.link);
                let wait = Duration::from_millis(around.random.within(1, 3_000));
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
        admitted.map_err(|objection| Violation(format!("client {account} objects: {objection}")))?;
        let outbox = self.outbox.get();
        let State::Meeting(meeting) = &mut self.state else { return Ok(()) };
        meeting.up = Some(Up {
            values_max: welcome.values_max.into(),
            next: outbox.next_unconfirmed(),
            highest: outbox.confirmed(),
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
        let State::Meeting(meeting) = &mut self.state else { return Ok(()) };
        let Some(up) = &mut meeting.up else { return Ok(()) };
        if last_seq > up.highest {
            return Err(Violation(format!(
                "client {account} sent up to {}, and {last_seq} count",
                up.highest
            )));
        }
        self.outbox.confirm(last_seq).map_err(|error| Violation(error.to_string()))?;
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

    fn ended(&mut self, end: &ClientEnd, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        around.trace.line(around.step, format_args!("{account}'s session ends: {end:?}"));
        let allowed = match end {
            ClientEnd::Farewell(farewell) => {
                self.hear(farewell, around)?;
                is_allowed(farewell.reason)
            }
            ClientEnd::Rejected(rejection) => is_allowed(rejection.reason),
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
    fn hear(&self, farewell: &Farewell, around: &mut Around<'_>) -> Result<(), Violation> {
        let is_open = matches!(&self.state, State::Meeting(meeting) if meeting.up.is_some());
        if !is_open {
            return Ok(());
        }
        let Farewell { last_seq, sum, .. } = *farewell;
        around.model.tell(self.account, &Standing { last_seq, last_session: SessionNumber::NONE, sum })
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
                    up.highest = up.highest.max(last);
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

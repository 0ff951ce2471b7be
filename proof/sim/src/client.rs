//! A client: a real session and `ddes_client::delivery`, without sockets and clocks.

use std::time::{Duration, Instant};

use ddes_client::delivery::{DeliveryError, DeliveryEvent, NextAttempt};
use ddes_client::outbox::{JournalError, Objection, TakeError};
use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_session::Phase;
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{
    ClientConfig, ClientEnd, ClientEvent, ClientFault, ClientSession, SubmitError, kem,
};
use ddes_wire::v2::{Farewell, GroupSize, Outcome, Reason, Scope, Status, Suite, Welcome};
use ddes_wire::{SessionNumber, Standing};
use zeroize::Zeroizing;

use crate::model::{History, Known, Model, Violation};
use crate::outbox::{Copy, DurableDelivery, Extent};
use crate::plan::{DiskRates, FRAME_VALUES};
use crate::power::Outage;
use crate::random::Random;
use crate::trace::Trace;

/// The one suite: pure Double DES in the smallest group.
pub(crate) const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
/// 30s sent in a row at most, before the network has its turn.
const BURST_MAX: usize = 8;
/// After `superseded` the next connection comes no sooner (P-29).
const GHOST_WAIT: Duration = Duration::from_secs(10);
/// After the second `superseded` in a minute a person begins it again, once the ghosts are gone.
const PERSON_WAIT: Duration = Duration::from_secs(15);
const CONFIG: ClientConfig = ClientConfig {
    suite: SUITE,
    handshake: Duration::from_secs(10),
    reply: Duration::from_secs(20),
};

pub(crate) struct Client {
    pub(crate) key: SigningKey,
    /// The index of its account in the model.
    pub(crate) account: usize,
    pub(crate) delivery: DurableDelivery,
    pub(crate) state: State,
    /// The outbox as it was once, and what its numbers meant.
    pub(crate) copy: Option<(Copy, History)>,
    /// It was set back, and the ledger has stated nothing since: what its numbers mean to it.
    pub(crate) restored: Option<History>,
    was_restored: bool,
    /// When a newer session ended one, last: a client must not connect again before its ghosts are
    /// gone (P-29).
    pub(crate) superseded_at: Option<Instant>,
    /// It has to hear a 20 before the world ends.
    pub(crate) must_look: bool,
}

pub(crate) enum State {
    Down,
    /// It objected, and a person has to decide.
    Stopped,
    Meeting(Box<Meeting>),
}

/// A session, from its first byte on.
pub(crate) struct Meeting {
    pub(crate) link: u64,
    pub(crate) session: ClientSession,
    /// Message 4 was sent.
    has_proven: bool,
    /// Our direction is shut down.
    pub(crate) is_shut: bool,
}

/// What a client needs of the world.
pub(crate) struct Around<'a> {
    pub(crate) now: Instant,
    pub(crate) step: u64,
    pub(crate) server: PublicKey,
    pub(crate) model: &'a mut Model,
    pub(crate) trace: &'a mut Trace,
    pub(crate) random: &'a mut Random,
    /// Of the client's disk.
    pub(crate) rates: DiskRates,
}

impl Client {
    pub(crate) fn new(key: SigningKey, account: usize, delivery: DurableDelivery) -> Self {
        Self {
            key,
            account,
            delivery,
            state: State::Down,
            copy: None,
            restored: None,
            was_restored: false,
            superseded_at: None,
            must_look: false,
        }
    }

    pub(crate) fn has_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Copies outbox and meaning; of one set back, only once the ledger has confirmed it.
    pub(crate) fn take_copy(&mut self, history: &History) {
        if self.restored.is_none() && !self.has_stopped() {
            let mut history = history.clone();
            history.lose(self.delivery.highest());
            self.copy = Some((self.delivery.copy(), history));
        }
    }

    /// How many values count that the copy does not know.
    pub(crate) fn copy_lacks(&self, known: &Known) -> u64 {
        self.copy
            .as_ref()
            .map_or(0, |(_, history)| known.promised().saturating_sub(history.count()))
    }

    /// It is set back to the copy, and takes other values before it learns that its session has
    /// ended.
    pub(crate) fn set_back(
        &mut self,
        extent: Extent,
        values: &[i64],
        at: Instant,
    ) -> Result<bool, Violation> {
        if self.has_stopped() {
            return Ok(false);
        }
        let Some((copy, mut history)) = self.copy.take() else { return Ok(false) };
        self.delivery.restore(copy, extent, values, at)?;
        values.iter().for_each(|value| history.give((*value).into()));
        (self.restored, self.was_restored) = (Some(history), true);
        self.superseded_at = None;
        self.state = State::Down;
        Ok(true)
    }

    /// The process ends, and another begins with what the disk holds.
    pub(crate) fn restart(
        &mut self,
        outage: Outage,
        around: &mut Around<'_>,
    ) -> Result<(), Violation> {
        let Some(known) = around.model.accounts.get(self.account) else { return Ok(()) };
        let history = self.restored.as_ref().unwrap_or(known.history());
        let at = around.now + Duration::from_millis(around.random.below(4_000));
        let chance = (&mut *around.random, &mut *around.trace);
        self.delivery
            .restart(outage, history, around.rates, chance, at)
            .map_err(|violation| Violation(format!("client {}: {violation}", self.account)))?;
        let highest = self.delivery.highest();
        match &mut self.restored {
            Some(history) => history.lose(highest),
            None => around.model.lose(self.account, highest)?,
        }
        (self.state, self.superseded_at) = (State::Down, None);
        Ok(())
    }

    /// Ends it if the power of its disk is gone.
    fn heed_power(&mut self, around: &mut Around<'_>) -> Result<(), Violation> {
        if !self.delivery.disk().is_off() {
            return Ok(());
        }
        around.trace.line(around.step, format_args!("{}'s disk call is cut short", self.account));
        around.trace.count("client crashes inside a disk call");
        let outage = Outage::draw(around.random);
        self.restart(outage, around)
    }

    /// Stores values, which the model has been given. If they are not, nothing has changed, or the
    /// process ends.
    pub(crate) fn take(
        &mut self,
        values: &[i64],
        around: &mut Around<'_>,
    ) -> Result<(), Violation> {
        let before = self.delivery.highest();
        match self.delivery.take(around.now, values) {
            Ok(()) => {}
            Err(TakeError::Journal(JournalError::Full(_)))
                if self.delivery.disk().take_faults() > 0 && self.delivery.highest() == before =>
            {
                around.trace.count("values that an outbox had no room for");
                match &mut self.restored {
                    Some(history) => history.lose(before),
                    None => around.model.lose(self.account, before)?,
                }
            }
            Err(TakeError::Journal(error)) => {
                self.heed(Err(DeliveryError::Journal(error)), around)?;
            }
            Err(error) => return Err(Violation(format!("client {}: {error}", self.account))),
        }
        self.heed_power(around)
    }

    pub(crate) fn begin(
        &mut self,
        link: u64,
        now: Instant,
        random: &mut Random,
    ) -> Result<(), Violation> {
        if let Some(at) = self.superseded_at.take()
            && now < at + GHOST_WAIT
        {
            let passed = now - at;
            return Err(Violation(format!(
                "client {} connects {passed:?} after superseded",
                self.account
            )));
        }
        let dh = Zeroizing::new(random.bytes::<64>().to_vec());
        let kem = Zeroizing::new(random.bytes::<{ kem::SEED_BYTES }>());
        let session = ClientSession::new(CONFIG, now, Entropy { dh, kem });
        self.state =
            State::Meeting(Box::new(Meeting { link, session, has_proven: false, is_shut: false }));
        Ok(())
    }

    /// Gives up in its handshake, with message 4 in flight, and begins anew: the link, and the
    /// bytes it had not sent.
    pub(crate) fn give_up(&mut self, now: Instant) -> Option<(u64, Vec<u8>)> {
        let State::Meeting(meeting) = &self.state else { return None };
        if !meeting.has_proven || self.delivery.get().is_open() {
            return None;
        }
        let left = (meeting.link, meeting.session.pending().to_vec());
        self.delivery.get().connect(now);
        self.state = State::Down;
        Some(left)
    }

    pub(crate) fn meeting(&mut self) -> Option<&mut Meeting> {
        match &mut self.state {
            State::Meeting(meeting) => Some(meeting),
            State::Down | State::Stopped => None,
        }
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Down => self.delivery.poll_timeout(),
            State::Stopped => None,
            State::Meeting(meeting) => {
                meeting.session.poll_timeout().into_iter().chain(self.delivery.poll_timeout()).min()
            }
        }
    }

    /// The clock went on.
    pub(crate) fn pass(&mut self, now: Instant) {
        let State::Meeting(meeting) = &mut self.state else { return };
        if meeting.session.poll_timeout().is_some_and(|at| at <= now) {
            meeting.session.handle_timeout(now);
        }
        self.delivery.get().handle_timeout(now);
    }

    /// Sends a 50 if its session is open.
    pub(crate) fn leave(&mut self, now: Instant) -> bool {
        let State::Meeting(meeting) = &mut self.state else { return false };
        meeting.session.disconnect(now, Scope::Session).is_ok()
    }

    /// Handles all that happened, then sends what waits. The link to close, if the session is over.
    pub(crate) fn settle(&mut self, around: &mut Around<'_>) -> Result<Option<u64>, Violation> {
        let mut closed = None;
        while let State::Meeting(meeting) = &mut self.state {
            if let Some(work) = meeting.session.poll_work() {
                meeting.session.handle_done(around.now, work.run());
            } else if let Some(event) = meeting.session.poll_event() {
                let link = meeting.link;
                self.handle(event, around)?;
                self.heed_power(around)?;
                if !matches!(self.state, State::Meeting(_)) {
                    closed = Some(link);
                }
            } else if meeting.session.phase() == Phase::Done {
                closed = Some(meeting.link);
                self.state = State::Down;
            } else {
                break;
            }
        }
        self.fill(around.now, around.random)?;
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
            meeting.has_proven = meeting.session.prove(around.now, &key, signature).is_ok();
        }
        Ok(())
    }

    fn open(&mut self, welcome: &Welcome, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        let Standing { last_seq, sum, .. } = welcome.standing;
        let session = welcome.session;
        around.trace.line(
            around.step,
            format_args!("{account} hears 20: session {session}, {last_seq} are {sum}"),
        );
        around.model.tell(account, &welcome.standing)?;
        let confirmed = self.delivery.outbox().confirmed();
        self.must_look = false;
        let handled = self.delivery.handle_welcome(welcome);
        if !self.heed(handled, around)? {
            return Ok(());
        }
        if last_seq < confirmed {
            return Err(Violation(format!(
                "client {account} goes on at {last_seq}, and {confirmed} were confirmed"
            )));
        }
        if let Some(history) = self.restored.take() {
            around.trace.count("outboxes set back that go on");
            around.model.go_on(account, history, last_seq.get())?;
        }
        Ok(())
    }

    fn answered(&mut self, answer: &Outcome, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        let Outcome { status, last_seq, sum } = *answer;
        around.trace.line(
            around.step,
            format_args!("{account} hears 40: {status:?}, {last_seq} are {sum}"),
        );
        around.trace.count("answers");
        around
            .model
            .tell(account, &Standing { last_seq, last_session: SessionNumber::NONE, sum })?;
        let handled = self.delivery.handle_answer(around.now, answer);
        self.heed(handled, around)?;
        while let Some(event) = self.delivery.get().poll_event() {
            if matches!(event, DeliveryEvent::Unavailable) {
                around.trace.count("outages of the ledger that were reported");
            }
        }
        if status == Status::Unavailable {
            around.trace.count("answers of status 4");
        }
        Ok(())
    }

    /// Whether delivery continues. An objection is a violation, except of an outbox that was set
    /// back. After an error of its disk the process ends.
    fn heed(
        &mut self,
        handled: Result<(), DeliveryError>,
        around: &mut Around<'_>,
    ) -> Result<bool, Violation> {
        match handled {
            Ok(()) => Ok(true),
            Err(DeliveryError::Objection(objection)) => {
                self.object(&objection, around).map(|()| false)
            }
            Err(DeliveryError::Journal(error)) if self.delivery.is_excused(&error) => {
                around.trace.line(around.step, format_args!("{} ends: {error}", self.account));
                around.trace.count("clients that ended because of their disk");
                self.restart(Outage::draw(around.random), around).map(|()| false)
            }
            Err(error) => Err(Violation(format!("client {}: {error}", self.account))),
        }
    }

    /// Right after it was set back, or after its ledger was, and then it stops for good; else a
    /// fault of the server's.
    fn object(&mut self, objection: &Objection, around: &mut Around<'_>) -> Result<(), Violation> {
        let account = self.account;
        let has_lost = around.model.has_lost(account);
        if !self.was_restored && !has_lost {
            return Err(Violation(format!("client {account} objects: {objection}")));
        }
        around.trace.line(around.step, format_args!("{account} objects: {objection}"));
        around.trace.count(if has_lost {
            "outboxes that noticed a loss"
        } else {
            "outboxes set back that object"
        });
        self.state = State::Stopped;
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
        if !allowed {
            return Err(Violation(format!("client {account} is treated as a liar: {end:?}")));
        }
        let said = match end {
            ClientEnd::Farewell(farewell) => Some(farewell),
            ClientEnd::Rejected(_) | ClientEnd::Fault(_) => None,
        };
        let handled = self.delivery.handle_end(around.now, around.random, said);
        let is_superseded = said.is_some_and(|farewell| farewell.reason == Reason::Superseded);
        if is_superseded {
            around.trace.count("superseded");
            self.superseded_at = Some(around.now);
        }
        let next = match handled {
            Ok(next) => next,
            Err(error) => return self.heed(Err(error), around).map(drop),
        };
        if next == NextAttempt::Never {
            if !is_superseded {
                return Err(Violation(format!("client {account} gives up: {end:?}")));
            }
            around.trace.count("superseded twice in a minute");
            self.delivery.get().connect(around.now + PERSON_WAIT);
        }
        Ok(())
    }

    /// A 50 states the account, once the session was open.
    fn hear(&mut self, farewell: &Farewell, around: &mut Around<'_>) -> Result<(), Violation> {
        if !self.delivery.get().is_open() {
            return Ok(());
        }
        let Farewell { last_seq, sum, .. } = *farewell;
        around
            .model
            .tell(self.account, &Standing { last_seq, last_session: SessionNumber::NONE, sum })
    }

    /// Sends what waits, in frames of any size.
    fn fill(&mut self, now: Instant, random: &mut Random) -> Result<(), Violation> {
        let State::Meeting(meeting) = &mut self.state else { return Ok(()) };
        for _ in 0..BURST_MAX {
            let most = random.count(1, FRAME_VALUES.into());
            let Some(submission) = self.delivery.get().poll_submit(most) else { break };
            match meeting.session.submit(now, submission.first_seq, &submission.values) {
                Ok(()) => self.delivery.get().handle_submitted(&submission),
                Err(SubmitError::Full | SubmitError::NotOpen | SubmitError::Count { .. }) => {
                    return Ok(());
                }
            }
        }
        let delivery = self.delivery.get();
        let is_stuck =
            delivery.is_open() && delivery.in_flight() == 0 && delivery.poll_timeout().is_none();
        if is_stuck && delivery.outbox().pending() > 0 {
            return Err(Violation(format!(
                "client {}: values wait, and none is in flight",
                self.account
            )));
        }
        Ok(())
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
        Reason::NotAuthorized | Reason::Token | Reason::Authentication | Reason::Unsupported => {
            false
        }
    }
}

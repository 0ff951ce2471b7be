//! The rules of delivery, without sockets, threads or clocks: what a client sends of its outbox,
//! and when it connects (P-12, P-29, P-30).
//!
//! A driver owns the connection. It asks [`Delivery::poll_connect`] whether to open one, reports
//! what happens with the `handle_*` methods, and afterwards sends what [`Delivery::poll_submit`]
//! gives, shows what [`Delivery::poll_event`] gives, and calls [`Delivery::handle_timeout`] at
//! [`Delivery::poll_timeout`]. The courier, the blocking client and the simulator are such drivers.

mod attempts;
mod flight;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_wire::v2::{Farewell, Outcome, Reason, Status, Welcome};
use ddes_wire::{Sequence, Total};

pub use crate::backoff::Backoff;
use crate::outbox::{InputMark, JournalError, Objection, Outbox, Span, TakeError};
pub use attempts::{AttemptEnd, Attempts, NextAttempt, Patience};
pub use flight::{FLIGHT_MAX, Flight};

/// What happened to the values.
#[derive(Clone, Debug)]
pub enum DeliveryEvent {
    /// A session is open.
    Opened(Box<Welcome>),
    /// The ledger covers more values.
    Counted {
        /// The number of the last value covered.
        last_seq: Sequence,
        /// The account's sum up to that value.
        sum: Total,
    },
    /// The server's ledger takes no values at present, for want of room for example. They are sent
    /// again every second; reported once until some count.
    Unavailable,
}

/// Why delivery cannot continue. The outbox keeps what was not counted.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The ledger is not the one that the outbox knows.
    #[error(transparent)]
    Objection(#[from] Objection),
    /// The server calls the numbering malformed.
    #[error("the server refused value {first_seq} as malformed")]
    Malformed {
        /// The first of the refused values.
        first_seq: Sequence,
    },
    /// The server's ledger has taken nothing for longer than the patience.
    #[error("the server's ledger has taken nothing for {} s", .waited.as_secs())]
    Unavailable {
        /// How long it has taken none.
        waited: Duration,
    },
    /// The outbox could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Values for one 30.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The number of the first value.
    pub first_seq: Sequence,
    /// At least one value.
    pub values: Vec<i64>,
    /// The number after that of the last value.
    after: Sequence,
}

#[derive(Debug)]
enum LinkState {
    /// To be opened at a time, or once there is something to send.
    Down {
        at: Option<Instant>,
    },
    /// The driver is opening it.
    Opening,
    Up(LiveSession),
}

#[derive(Debug)]
struct LiveSession {
    values_max: usize,
    /// The number of the next value to send.
    next: Sequence,
    flight: Flight<()>,
}

/// The delivery of one outbox to the server.
#[derive(Debug)]
pub struct Delivery {
    outbox: Outbox,
    link: LinkState,
    attempts: Attempts,
    /// The outbox may continue a history that it has no part in.
    adopts: bool,
    /// What was counted without the outbox.
    aside: Option<Span>,
    /// Since when the ledger has taken nothing; it was reported then.
    unavailable_since: Option<Instant>,
    events: VecDeque<DeliveryEvent>,
}

impl Delivery {
    /// Wants a connection at once, whether or not values wait.
    pub fn new(now: Instant, patience: Patience, outbox: Outbox) -> Self {
        Self {
            outbox,
            link: LinkState::Down { at: Some(now) },
            attempts: Attempts::new(now, patience),
            adopts: false,
            aside: None,
            unavailable_since: None,
            events: VecDeque::new(),
        }
    }

    /// The outbox: what waits, and what is confirmed.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Ends delivery and returns the outbox.
    pub fn into_outbox(mut self) -> Outbox {
        self.outbox.session_ended();
        self.outbox
    }

    /// Takes values; see [`Outbox::take`]. Connects if that waited for values.
    pub fn take(&mut self, now: Instant, values: &[i64], mark: InputMark) -> Result<(), TakeError> {
        self.outbox.take(values, mark)?;
        if let LinkState::Down { at: None } = &self.link {
            self.connect(now);
        }
        Ok(())
    }

    /// Another input begins; see [`Outbox::begin_input`].
    pub fn begin_input(&mut self) -> Result<(), JournalError> {
        self.outbox.begin_input()
    }

    /// The input is done; see [`Outbox::finish_input`].
    pub fn finish_input(&mut self) -> Result<(), JournalError> {
        self.outbox.finish_input()
    }

    /// After an objection: `span` was counted without the outbox, and where that proves what became
    /// of its values it continues after them. Connects again.
    pub fn set_aside(&mut self, now: Instant, span: Span) {
        self.aside = Some(span);
        self.connect(now);
    }

    /// After [`Objection::History`], or another objection while no value is in doubt
    /// ([`Outbox::is_in_doubt`]): the outbox may continue there. Connects again.
    pub fn adopt(&mut self, now: Instant) {
        self.adopts = true;
        self.connect(now);
    }

    /// Connects at `at`; patience starts again.
    pub fn connect(&mut self, at: Instant) {
        self.attempts.handle_request(at);
        self.link = LinkState::Down { at: Some(at) };
    }

    /// Whether to open a connection now. Asked once; the driver then reports
    /// [`Self::handle_welcome`] or [`Self::handle_end`].
    pub fn poll_connect(&mut self, now: Instant) -> bool {
        let is_due = matches!(self.link, LinkState::Down { at: Some(at) } if at <= now);
        if is_due {
            self.link = LinkState::Opening;
        }
        is_due
    }

    /// Whether a session is open.
    pub fn is_open(&self) -> bool {
        matches!(self.link, LinkState::Up(_))
    }

    /// A session opened: its 20.
    pub fn handle_welcome(&mut self, welcome: &Welcome) -> Result<(), DeliveryError> {
        let admitted = self.outbox.admit(welcome, self.adopts, self.aside.as_ref())?;
        self.stop_on_objection(admitted)?;
        self.attempts.handle_open();
        self.link = LinkState::Up(LiveSession {
            values_max: welcome.values_max.into(),
            next: self.outbox.next_unconfirmed(),
            flight: Flight::default(),
        });
        self.events.push_back(DeliveryEvent::Opened(Box::new(welcome.clone())));
        Ok(())
    }

    /// A 40 of the open session.
    pub fn handle_answer(&mut self, now: Instant, answer: &Outcome) -> Result<(), DeliveryError> {
        let before = self.outbox.confirmed();
        let covered = if cfg!(ddes_mutant = "covered-unchecked") {
            self.outbox.highest_sent()
        } else {
            answer.last_seq
        };
        let confirmed = self.outbox.confirm(covered, answer.sum)?;
        self.stop_on_objection(confirmed)?;
        let LinkState::Up(session) = &mut self.link else { return Ok(()) };
        while session.flight.poll_covered(answer.last_seq).is_some() {}
        if answer.status == Status::Malformed {
            return Err(DeliveryError::Malformed { first_seq: self.outbox.next_unconfirmed() });
        }
        session.flight.handle_status(now, answer.status);
        let (last_seq, sum) = (self.outbox.confirmed(), answer.sum);
        if last_seq > before {
            self.attempts.handle_progress(now);
            self.unavailable_since = None;
            self.events.push_back(DeliveryEvent::Counted { last_seq, sum });
        } else if answer.status == Status::Unavailable {
            self.handle_unavailable(now)?;
        }
        Ok(())
    }

    fn handle_unavailable(&mut self, now: Instant) -> Result<(), DeliveryError> {
        let Some(since) = self.unavailable_since else {
            self.unavailable_since = Some(now);
            self.events.push_back(DeliveryEvent::Unavailable);
            return Ok(());
        };
        let waited = now.saturating_duration_since(since);
        if waited < self.attempts.patience() {
            Ok(())
        } else {
            Err(DeliveryError::Unavailable { waited })
        }
    }

    /// The session ended, or the attempt to open one failed. `said`: the server's sealed 50.
    /// Without one, `is_final` means that another attempt would be futile. `random` is even over
    /// all of u64.
    pub fn handle_end(
        &mut self,
        now: Instant,
        random: u64,
        said: Option<&Farewell>,
        is_final: bool,
    ) -> Result<NextAttempt, DeliveryError> {
        let was_open = self.is_open();
        if was_open && let Some(farewell) = said {
            // The 50 of an open session states the account once more.
            let confirmed = self.outbox.confirm(farewell.last_seq, farewell.sum)?;
            self.stop_on_objection(confirmed)?;
        }
        self.outbox.session_ended();
        let cause = match said.map(|farewell| farewell.reason) {
            Some(Reason::Superseded) => AttemptEnd::Superseded,
            Some(Reason::NotAuthorized) => AttemptEnd::Final,
            Some(_) | None if is_final => AttemptEnd::Final,
            Some(_) | None => AttemptEnd::Passing,
        };
        let is_idle = self.outbox.pending() == 0;
        let next = self.attempts.handle_end(now, random, cause, was_open, is_idle);
        self.link = LinkState::Down {
            at: match next {
                NextAttempt::After(wait) => Some(now + wait),
                NextAttempt::WhenNeeded | NextAttempt::Never => None,
            },
        };
        Ok(next)
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_connect`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.link {
            LinkState::Down { at } => *at,
            LinkState::Opening => None,
            LinkState::Up(session) => session.flight.poll_timeout(),
        }
    }

    /// The clock has advanced.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let LinkState::Up(session) = &mut self.link {
            session.flight.handle_timeout(now);
        }
    }

    /// Values to send now, at most `most` of them. Once they are sent, [`Self::handle_submitted`]
    /// is called with them.
    pub fn poll_submit(&mut self, most: usize) -> Option<Submission> {
        let LinkState::Up(session) = &mut self.link else { return None };
        if session.flight.poll_go_back() && !cfg!(ddes_mutant = "go-back-forgotten") {
            session.next = self.outbox.next_unconfirmed();
        }
        if !session.flight.may_send(FLIGHT_MAX) {
            return None;
        }
        let (first_seq, most) = (session.next, most.min(session.values_max));
        let values = self.outbox.values(first_seq, most);
        let after = first_seq.forward(values.len() as u64).ok()?;
        (!values.is_empty()).then_some(Submission { first_seq, values, after })
    }

    /// The values were handed to the session.
    pub fn handle_submitted(&mut self, submission: &Submission) {
        let LinkState::Up(session) = &mut self.link else { return };
        session.flight.handle_sent(Sequence::new(submission.after.get() - 1), ());
        session.next = submission.after;
    }

    /// 30s of the open session that are not answered.
    pub fn in_flight(&self) -> usize {
        match &self.link {
            LinkState::Up(session) => session.flight.len(),
            LinkState::Down { .. } | LinkState::Opening => 0,
        }
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<DeliveryEvent> {
        self.events.pop_front()
    }

    /// Ends sending and connecting on an objection, until a person decides how to continue.
    fn stop_on_objection(&mut self, checked: Result<(), Objection>) -> Result<(), Objection> {
        if checked.is_err() {
            self.outbox.session_ended();
            self.link = LinkState::Down { at: None };
        }
        checked
    }
}

//! What a client checks at 20, 40 and 50 (rule P-29): that the ledger is the one that this outbox
//! knows.

use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Total};

use super::{Outbox, OutboxState};

/// Why the ledger is not the one this outbox knows. Nothing more is sent, and nothing is dropped: a
/// person has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The account has a history that this new outbox has no part in.
    #[error("the account has counted {last_seq} values before, sum {sum}, and this outbox is new")]
    History {
        /// The number of the account's last value.
        last_seq: Sequence,
        /// The sum of the account's values.
        sum: Total,
    },
    /// The ledger forgot what it had confirmed.
    #[error("the ledger went back: it is at value {last_seq} and had confirmed {confirmed}")]
    WentBack {
        /// The number of the ledger's last value.
        last_seq: Sequence,
        /// The highest number that it had confirmed.
        confirmed: Sequence,
    },
    /// The ledger covers numbers that were never sent from here.
    #[error("the ledger is at value {last_seq}, and this outbox has sent none above {sent}")]
    Beyond {
        /// The number of the ledger's last value.
        last_seq: Sequence,
        /// The highest number that may have been sent.
        sent: Sequence,
    },
    /// The ledger counts other values under the numbers of this outbox.
    #[error(
        "the ledger says that the values up to {last_seq} sum to {sum}, and with those of this \
         outbox it is {expected}"
    )]
    Sum {
        /// The number of the ledger's last value.
        last_seq: Sequence,
        /// The ledger's sum up to it.
        sum: Total,
        /// The sum that follows from this outbox's values.
        expected: Total,
    },
    /// Another writer added values to the account.
    #[error("session {session}, which is not of this outbox, has added values up to {last_seq}")]
    AnotherWriter {
        /// The session of that writer.
        session: SessionNumber,
        /// The number of the ledger's last value.
        last_seq: Sequence,
    },
    /// Session numbers went back, as with an older copy of the ledger.
    #[error(
        "the server opened session {session}, but this outbox has already seen session {newest}"
    )]
    SessionWentBack {
        /// The number of the session that just opened.
        session: SessionNumber,
        /// The highest number of an earlier session.
        newest: SessionNumber,
    },
}

/// What consecutive sessions counted: the account before the first of them and after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number of the last value before, and the sum.
    pub from: (Sequence, Total),
    /// Number of the last value counted, and the sum.
    pub to: (Sequence, Total),
}

/// How an outbox continues after values that the account counted without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    /// The last of this outbox's values that counts, by its old number.
    pub(super) counted: Sequence,
    /// The new number of the last value that waits.
    pub(super) last: Sequence,
}

impl Outbox {
    /// How this outbox continues, if `span` proves how far its values count: the account has to
    /// have continued from there by `span` alone.
    ///
    /// The first session of the span fenced off every session of this outbox (P-25), and its 20
    /// stated what they had counted: the values up to there count, and those above never will.
    pub(super) fn counted_before(&self, welcome: &Welcome, span: &Span) -> Option<Continuation> {
        let standing = welcome.standing;
        let (counted, sum) = span.from;
        let OutboxState { confirmed, sent, newest, .. } = self.state;
        let is_whole = span.to == (standing.last_seq, standing.sum) && span.to.0 > counted;
        let is_ours = (confirmed..=sent).contains(&counted) && self.sum_up_to(counted)? == sum;
        let is_newer = welcome.session > newest && standing.last_session > newest;
        if !(is_whole && is_ours && is_newer) {
            return None;
        }
        self.continuation(welcome, counted)
    }

    /// The same where a person has decided to adopt the account (`adopt`), which is enough only
    /// while no value is in doubt.
    pub(super) fn counted_if_adopted(
        &self,
        welcome: &Welcome,
        adopt: bool,
    ) -> Option<Continuation> {
        let OutboxState { confirmed, newest, .. } = self.state;
        let is_newer = welcome.session > newest && welcome.standing.last_seq > confirmed;
        let may = adopt && !self.is_new() && !self.is_in_doubt() && is_newer;
        if !may {
            return None;
        }
        self.continuation(welcome, confirmed)
    }

    /// Numbers the values above `counted` after the account's last one; `None` if the numbering
    /// ends before them.
    fn continuation(&self, welcome: &Welcome, counted: Sequence) -> Option<Continuation> {
        let waiting = self.pending.len() - self.pending_up_to(counted);
        let last = welcome.standing.last_seq.forward(waiting as u64).ok()?;
        Some(Continuation { counted, last })
    }

    /// The account's sum once the values up to `last_seq` count; unknown in an outbox of the first
    /// format.
    fn sum_up_to(&self, last_seq: Sequence) -> Option<Total> {
        let before = self.state.sum?;
        let covered = self.pending_up_to(last_seq);
        let values: i128 = self.pending.iter().take(covered).copied().map(i128::from).sum();
        // A sum outside the range agrees with no ledger's.
        Some(Total::new(before.get().saturating_add(values)))
    }

    /// Checks a session's 20.
    pub(super) fn check(&self, welcome: &Welcome, adopt: bool) -> Result<(), Objection> {
        let (session, standing) = (welcome.session, welcome.standing);
        let last_seq = standing.last_seq;
        let OutboxState { confirmed, newest, own, .. } = &self.state;
        if self.is_new() {
            if last_seq.forward(self.pending.len() as u64).is_err() {
                return Err(Objection::Beyond { last_seq, sent: *confirmed });
            }
            let adopts = adopt || self.journal.is_none() || last_seq == Sequence::NONE;
            adopts.then_some(()).ok_or(Objection::History { last_seq, sum: standing.sum })?;
            return if last_seq == Sequence::NONE {
                self.check_sum(last_seq, standing.sum)
            } else {
                Ok(())
            };
        }
        if last_seq > *confirmed
            && standing.last_session != SessionNumber::NONE
            && !own.contains(&standing.last_session)
        {
            return Err(Objection::AnotherWriter { session: standing.last_session, last_seq });
        }
        self.check_number(last_seq)?;
        if session <= *newest {
            return Err(Objection::SessionWentBack { session, newest: *newest });
        }
        self.check_sum(last_seq, standing.sum)
    }

    /// Checks, at 20, 40 and 50, that the ledger covers only values sent from here, and that its
    /// sum is theirs.
    pub(super) fn check_sum(&self, last_seq: Sequence, sum: Total) -> Result<(), Objection> {
        self.check_number(last_seq)?;
        // An outbox of the first format does not know its sum.
        let Some(expected) = self.sum_up_to(last_seq) else { return Ok(()) };
        if expected == sum || cfg!(ddes_mutant = "sum-unheld") {
            Ok(())
        } else {
            Err(Objection::Sum { last_seq, sum, expected })
        }
    }

    fn check_number(&self, last_seq: Sequence) -> Result<(), Objection> {
        let OutboxState { confirmed, sent, .. } = self.state;
        if last_seq < confirmed {
            Err(Objection::WentBack { last_seq, confirmed })
        } else if last_seq > sent {
            Err(Objection::Beyond { last_seq, sent })
        } else {
            Ok(())
        }
    }
}

//! The outbox: every value with its number, kept until the server's ledger covers it (rules P-29 and P-30).
//!
//! A value is durable here before it is sent, a number never gets another value, and at each 20 the outbox says whether the ledger is the
//! one it knows. That is what makes a value count exactly once across cuts, crashes and restarts of either side.

mod journal;

use std::collections::VecDeque;
use std::path::Path;

use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Total};

use journal::{Journal, Record};
pub use journal::{JournalError, Owner};

/// So many values wait in an outbox at most.
pub const PENDING_MAX: usize = 1 << 20;

/// So many values are taken at once at most: they are one record, there whole or not at all.
pub const TAKE_MAX: usize = 8192;

/// Values not yet covered by the ledger, and what is known of it.
#[derive(Debug)]
pub struct Outbox {
    /// Without one it all ends with the process: nothing counts twice within its life, and no more is promised.
    journal: Option<Journal>,
    state: State,
    /// The values numbered from `state.confirmed` + 1 on.
    pending: VecDeque<i64>,
}

/// How much of an input was taken: what tells, after a crash, where to go on in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many of its lines, or whatever its units are.
    pub lines: u64,
    /// A hash of them, so that going on in another input is noticed.
    pub digest: [u8; 32],
}

/// All but the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// The highest number the ledger is known to cover.
    confirmed: Sequence,
    /// The newest session of the account that was ours.
    newest: SessionNumber,
    /// Our sessions that may have written the ledger's last number.
    own: Vec<SessionNumber>,
    /// How much of the last input was taken.
    mark: Mark,
    /// There may be more of it.
    input_open: bool,
}

/// Why the ledger is not the one this outbox knows. Nothing is sent: a person has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The account has a history that this new outbox has no part in.
    #[error("the account has counted {last_seq} values before, sum {sum}, and this outbox is new")]
    History {
        /// How many.
        last_seq: Sequence,
        /// Their sum.
        sum: Total,
    },
    /// The ledger forgot what it had confirmed.
    #[error("the ledger went back: it stands at value {last_seq} and had confirmed {confirmed}")]
    WentBack {
        /// Where it stands.
        last_seq: Sequence,
        /// What it had confirmed.
        confirmed: Sequence,
    },
    /// The ledger has numbers that were never given out here.
    #[error("the ledger stands at value {last_seq}, and this outbox gave out only {highest}")]
    Beyond {
        /// Where it stands.
        last_seq: Sequence,
        /// The highest number given out.
        highest: Sequence,
    },
    /// Somebody else added to the account.
    #[error("session {session}, which is not of this outbox, has added values up to {last_seq}")]
    AnotherWriter {
        /// Whose number is unknown here.
        session: SessionNumber,
        /// Where the ledger stands.
        last_seq: Sequence,
    },
    /// Session numbers went back, as with an older copy of the ledger.
    #[error("the session has number {session}, and there has been a {newest}")]
    SessionWentBack {
        /// The new one.
        session: SessionNumber,
        /// The newest before.
        newest: SessionNumber,
    },
}

/// Why values were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The outbox is full until the server has confirmed some.
    #[error("{PENDING_MAX} values wait already")]
    Full,
    /// More than fit a record.
    #[error("at most {TAKE_MAX} values are taken at once")]
    TooMany,
    /// 2^64 values.
    #[error("the numbering is at its end")]
    Overflow,
    /// The disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Outbox {
    /// An outbox that ends with the process.
    pub fn in_memory() -> Self {
        Self { journal: None, state: State::default(), pending: VecDeque::new() }
    }

    /// The durable outbox in `folder`, made if there is none; of one identity at one server, and of one process at a time.
    pub fn open(folder: &Path, owner: &Owner) -> Result<Self, JournalError> {
        let (journal, records) = Journal::open(folder, owner)?;
        let mut outbox = Self { journal: None, state: State::default(), pending: VecDeque::new() };
        for record in records {
            outbox.replay(record).ok_or_else(|| journal.damaged("its numbers do not follow each other"))?;
        }
        outbox.journal = Some(journal);
        Ok(outbox)
    }

    /// Takes `values` under the next numbers, durably, with how much of the input that makes.
    pub fn take(&mut self, values: &[i64], mark: Mark) -> Result<(), TakeError> {
        if values.len() > TAKE_MAX {
            return Err(TakeError::TooMany);
        }
        if self.pending.len() + values.len() > PENDING_MAX {
            return Err(TakeError::Full);
        }
        let last = self.highest().and_then(|highest| highest.forward(values.len() as u64).ok());
        last.ok_or(TakeError::Overflow)?;
        let first_seq = self.next_seq();
        if let Some(journal) = &mut self.journal {
            journal.append(&Record::Values { first_seq, mark, values: values.to_vec() })?;
            journal.sync()?;
        }
        (self.state.mark, self.state.input_open) = (mark, true);
        self.pending.extend(values);
        Ok(())
    }

    /// Another input begins, durably.
    pub fn begin_input(&mut self) -> Result<(), JournalError> {
        (self.state.mark, self.state.input_open) = (Mark::default(), true);
        self.record_state()
    }

    /// The input is done, durably.
    pub fn finish_input(&mut self) -> Result<(), JournalError> {
        self.state.input_open = false;
        self.record_state()
    }

    /// How much was taken of the last input, and whether there may be more of it.
    pub fn input(&self) -> (Mark, bool) {
        (self.state.mark, self.state.input_open)
    }

    /// Looks at a session's 20 before anything is sent in it. `adopt`: a new outbox may go on from an account's history.
    ///
    /// In memory a new outbox always adopts: it promises nothing about what was before it.
    pub fn admit(&mut self, welcome: &Welcome, adopt: bool) -> Result<Result<(), Objection>, JournalError> {
        if let Err(objection) = self.check(welcome, adopt) {
            return Ok(Err(objection));
        }
        let last_seq = welcome.standing.last_seq;
        if self.state.newest == SessionNumber::NONE {
            // Nothing was ever sent from here, so the values that wait take the numbers that are next.
            self.state.confirmed = last_seq;
        } else {
            // From now on only the new session adds; of those before it, only one wrote the last number.
            self.state.own.retain(|session| *session == welcome.standing.last_session);
        }
        self.state.newest = welcome.session;
        self.state.own.push(welcome.session);
        self.record_state()?;
        self.confirm(last_seq)?;
        Ok(Ok(()))
    }

    /// The ledger covers the values up to `last_seq`.
    pub fn confirm(&mut self, last_seq: Sequence) -> Result<(), JournalError> {
        let covered = last_seq.get().saturating_sub(self.state.confirmed.get());
        let covered = usize::try_from(covered).unwrap_or(usize::MAX).min(self.pending.len());
        if covered == 0 {
            return Ok(());
        }
        self.pending.drain(..covered);
        self.state.confirmed = Sequence::new(self.state.confirmed.get() + covered as u64);
        if let Some(journal) = &mut self.journal {
            journal.append(&Record::Confirmed(self.state.confirmed))?;
            if journal.is_worth_rewriting(self.pending.len()) {
                journal.rewrite(&self.state, self.pending.make_contiguous())?;
            }
        }
        Ok(())
    }

    /// How many values wait.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The highest number that the ledger is known to cover.
    pub fn confirmed(&self) -> Sequence {
        self.state.confirmed
    }

    /// Whether no session ever opened from here.
    pub fn is_new(&self) -> bool {
        self.state.newest == SessionNumber::NONE
    }

    /// At most `most` values from number `first` on.
    pub fn values(&self, first: Sequence, most: usize) -> Vec<i64> {
        let skipped = first.get().saturating_sub(self.next_unconfirmed().get());
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.pending.iter().skip(skipped).take(most).copied().collect()
    }

    /// The number of the first value that waits, or will.
    pub fn next_unconfirmed(&self) -> Sequence {
        self.state.confirmed.forward(1).unwrap_or(self.state.confirmed)
    }

    /// The highest number given out.
    fn highest(&self) -> Option<Sequence> {
        self.state.confirmed.forward(self.pending.len() as u64).ok()
    }

    fn next_seq(&self) -> Sequence {
        // `take` has checked that there is one.
        let next = self.next_unconfirmed().forward(self.pending.len() as u64);
        next.unwrap_or(self.state.confirmed)
    }

    /// The client's duties at 20 (rule P-29).
    fn check(&self, welcome: &Welcome, adopt: bool) -> Result<(), Objection> {
        let (session, standing) = (welcome.session, welcome.standing);
        let last_seq = standing.last_seq;
        let State { confirmed, newest, own, .. } = &self.state;
        if *newest == SessionNumber::NONE {
            if last_seq.forward(self.pending.len() as u64).is_err() {
                return Err(Objection::Beyond { last_seq, highest: self.highest().unwrap_or(*confirmed) });
            }
            let adopts = adopt || self.journal.is_none() || last_seq == Sequence::NONE;
            return adopts.then_some(()).ok_or(Objection::History { last_seq, sum: standing.sum });
        }
        let highest = self.highest().unwrap_or(*confirmed);
        if last_seq < *confirmed {
            Err(Objection::WentBack { last_seq, confirmed: *confirmed })
        } else if last_seq > highest {
            Err(Objection::Beyond { last_seq, highest })
        } else if last_seq > *confirmed
            && standing.last_session != SessionNumber::NONE
            && !own.contains(&standing.last_session)
        {
            Err(Objection::AnotherWriter { session: standing.last_session, last_seq })
        } else if session <= *newest {
            Err(Objection::SessionWentBack { session, newest: *newest })
        } else {
            Ok(())
        }
    }

    fn record_state(&mut self) -> Result<(), JournalError> {
        match &mut self.journal {
            Some(journal) => {
                journal.append(&Record::State(self.state.clone()))?;
                journal.sync()
            }
            None => Ok(()),
        }
    }

    /// Does again what a record says was done; nothing if that cannot have been.
    fn replay(&mut self, record: Record) -> Option<()> {
        match record {
            Record::State(state) => self.state = state,
            Record::Confirmed(last_seq) => {
                let covered = last_seq.get().checked_sub(self.state.confirmed.get())?;
                let covered =
                    usize::try_from(covered).ok().filter(|covered| *covered <= self.pending.len())?;
                self.pending.drain(..covered);
                self.state.confirmed = last_seq;
            }
            Record::Values { first_seq, mark, values } => {
                (first_seq == self.next_seq()).then_some(())?;
                (self.pending.len() + values.len() <= PENDING_MAX).then_some(())?;
                (self.state.mark, self.state.input_open) = (mark, true);
                self.pending.extend(values);
            }
        }
        // Whatever the file says, the numbers that wait have to exist.
        self.highest().map(drop)
    }
}

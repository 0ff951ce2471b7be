//! The outbox: every value with its number, kept until the server's ledger covers it (rules P-29
//! and P-30).
//!
//! A value is durable here before it is sent, a number never gets another value, and at each 20 the
//! outbox checks that the ledger is the one it knows. So a value counts exactly once across lost
//! connections, crashes and restarts of either side.

#[cfg_attr(windows, path = "folder_windows.rs")]
mod folder;
mod format;
mod inspect;
mod journal;
mod objection;
mod storage;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Total};

use folder::OutboxFolder;
use format::OutboxRecord;
pub use inspect::{Inspected, inspect, journal_of};
use journal::OutboxJournal;
pub use journal::{JournalError, OutboxOwner};
use objection::Continuation;
pub use objection::{Objection, Span};
pub use storage::{Storage, StorageFile};

/// The most values that wait in an outbox.
pub const PENDING_MAX: usize = 1 << 20;

/// The most values taken at once: they are one record, which a crash leaves whole or not at all.
pub const TAKE_MAX: usize = 8192;

/// Values that the ledger does not cover yet, and what is known of the ledger.
#[derive(Debug)]
pub struct Outbox {
    /// `None` for an outbox in memory: no value counts twice while the process lives, and nothing
    /// is promised beyond that.
    journal: Option<OutboxJournal>,
    state: OutboxState,
    /// The values numbered from `state.confirmed` + 1 on.
    pending: VecDeque<i64>,
    /// A session is open, so a value that is taken may be sent at once.
    is_open: bool,
    /// The bytes removed at the opening; see [`Self::torn_bytes`].
    torn: usize,
}

/// How much of an input was taken: after a crash, reading continues there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputMark {
    /// How many of its lines, or other units, were taken.
    pub lines: u64,
    /// A hash of these units, which detects a different input.
    pub digest: [u8; 32],
}

/// What an outbox knows besides the values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OutboxState {
    /// The highest number the ledger is known to cover.
    confirmed: Sequence,
    /// The account's sum up to there; `None` in an outbox of the first format, until its first
    /// session.
    sum: Option<Total>,
    /// No value above this number was ever sent. It is durable before the value is sent, so an
    /// outbox restored from a copy is detected: the ledger covers more than it has sent.
    sent: Sequence,
    /// The newest session that this outbox opened.
    newest: SessionNumber,
    /// Sessions of this outbox that may have written the ledger's last number.
    own: Vec<SessionNumber>,
    /// How much of the last input was taken.
    mark: InputMark,
    /// There may be more of it.
    input_open: bool,
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
    /// The account would have more than 2^64 - 1 values.
    #[error("the numbering is at its end")]
    Overflow,
    /// The outbox could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Default for OutboxState {
    fn default() -> Self {
        Self {
            confirmed: Sequence::NONE,
            sum: Some(Total::ZERO),
            sent: Sequence::NONE,
            newest: SessionNumber::NONE,
            own: Vec::new(),
            mark: InputMark::default(),
            input_open: false,
        }
    }
}

impl Outbox {
    /// An outbox that ends with the process.
    pub fn in_memory() -> Self {
        Self {
            journal: None,
            state: OutboxState::default(),
            pending: VecDeque::new(),
            is_open: false,
            torn: 0,
        }
    }

    /// Opens the durable outbox in `folder`, or makes it. It belongs to one identity at one server,
    /// and one process at a time may have it open.
    ///
    /// An outbox of the first format is rewritten in the second: all values that it had numbered
    /// count as sent, and its sum becomes that of its next session.
    pub fn open(folder: &Path, owner: &OutboxOwner) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(OutboxFolder::open(folder)?), folder, owner)
    }

    /// Opens the durable outbox in `storage`, or makes it; errors name it `folder`.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        folder: &Path,
        owner: &OutboxOwner,
    ) -> Result<Self, JournalError> {
        let (mut journal, found) = OutboxJournal::open(folder, storage, owner)?;
        let outbox = Self::of_records(found.records, found.is_first_format);
        let mut outbox =
            outbox.ok_or_else(|| journal.damaged("its numbers do not follow each other"))?;
        outbox.torn = found.torn;
        if let Some(confirmed) =
            found.confirmed.filter(|confirmed| *confirmed > outbox.state.confirmed)
        {
            let held = outbox.forget_up_to(confirmed);
            held.ok_or_else(|| journal.damaged("values that were confirmed are missing"))?;
        }
        if found.is_first_format
            && !journal.rewrite(&outbox.state, outbox.pending.make_contiguous())?
        {
            return Err(JournalError::Full(folder.to_owned()));
        }
        outbox.journal = Some(journal);
        Ok(outbox)
    }

    /// The outbox that `records` lead to; `None` if they contradict each other.
    fn of_records(records: Vec<OutboxRecord>, is_first_format: bool) -> Option<Self> {
        let mut outbox = Self::in_memory();
        for record in records {
            outbox.replay(record)?;
        }
        let highest = outbox.highest()?;
        if is_first_format {
            let is_new = outbox.is_new();
            outbox.state.sent = if is_new { Sequence::NONE } else { highest };
            outbox.state.sum = is_new.then_some(Total::ZERO);
        }
        (outbox.state.sent <= highest).then_some(outbox)
    }

    /// The outbox as a snapshot of a machine with its memory has it: over the same storage, which
    /// has to be set back with it. For simulators; only one of the two may be used.
    #[doc(hidden)]
    pub fn snapshot(&self) -> Self {
        Self {
            journal: self.journal.clone(),
            state: self.state.clone(),
            pending: self.pending.clone(),
            is_open: self.is_open,
            torn: self.torn,
        }
    }

    /// The bytes that [`Self::open`] removed from the end of the file: a record that a crash tore,
    /// which was never used.
    pub fn torn_bytes(&self) -> usize {
        self.torn
    }

    /// Whether so many values more may wait.
    pub fn has_room(&self, count: usize) -> bool {
        self.pending.len() + count <= PENDING_MAX
    }

    /// Takes `values` under the next numbers, durably; `mark` is how much of the input is taken
    /// with them.
    pub fn take(&mut self, values: &[i64], mark: InputMark) -> Result<(), TakeError> {
        if values.len() > TAKE_MAX {
            return Err(TakeError::TooMany);
        }
        if !self.has_room(values.len()) {
            return Err(TakeError::Full);
        }
        let last = self.highest().and_then(|highest| highest.forward(values.len() as u64).ok());
        let last = last.ok_or(TakeError::Overflow)?;
        let sent = if self.is_open { last } else { self.state.sent };
        let (first_seq, values) = (self.next_seq(), values.to_vec());
        let record = OutboxRecord::Values { first_seq, sent, mark, values };
        match self.append_values(&record) {
            Err(JournalError::Full(_)) if self.shrink()? => self.append_values(&record)?,
            written => written?,
        }
        self.replay(record).ok_or(TakeError::Overflow)?;
        self.write_mark();
        Ok(())
    }

    /// Notes durably that another input begins.
    pub fn begin_input(&mut self) -> Result<(), JournalError> {
        self.enter(OutboxRecord::State(OutboxState {
            mark: InputMark::default(),
            input_open: true,
            ..self.state.clone()
        }))
    }

    /// Notes durably that the input is taken whole.
    pub fn finish_input(&mut self) -> Result<(), JournalError> {
        self.enter(OutboxRecord::State(OutboxState { input_open: false, ..self.state.clone() }))
    }

    /// How much was taken of the last input, and whether there may be more of it.
    pub fn input(&self) -> (InputMark, bool) {
        (self.state.mark, self.state.input_open)
    }

    /// Checks a session's 20 before anything is sent in it. `adopt`: the outbox may continue a
    /// history that it has no part in, if no value of its own is in doubt. `aside`: what the
    /// identity's other sessions from here counted without this outbox.
    ///
    /// A new outbox in memory always adopts: it promises nothing about earlier values.
    pub fn admit(
        &mut self,
        welcome: &Welcome,
        adopt: bool,
        aside: Option<&Span>,
    ) -> Result<Result<(), Objection>, JournalError> {
        if let Err(objection) = self.check(welcome, adopt) {
            let counted = aside.and_then(|span| self.counted_before(welcome, span));
            let counted = counted.or_else(|| self.counted_if_adopted(welcome, adopt));
            return match counted {
                Some(continuation) => self.continue_after(welcome, continuation).map(Ok),
                None => Ok(Err(objection)),
            };
        }
        let standing = welcome.standing;
        let mut state =
            OutboxState { sum: Some(standing.sum), newest: welcome.session, ..self.state.clone() };
        state.confirmed = standing.last_seq;
        // A new outbox has sent nothing, so all its values are numbered from here on; in any other
        // the ledger may cover some already.
        let covered = if self.is_new() { 0 } else { self.pending_up_to(standing.last_seq) };
        let Ok(last) = standing.last_seq.forward((self.pending.len() - covered) as u64) else {
            let (last_seq, sent) = (standing.last_seq, self.state.sent);
            return Ok(Err(Objection::Beyond { last_seq, sent }));
        };
        state.sent = last;
        // From now on only the new session adds values; of the earlier ones, only the one that
        // wrote the last number matters.
        state.own.retain(|session| *session == standing.last_session);
        state.own.push(welcome.session);
        self.enter(OutboxRecord::State(state))?;
        self.is_open = true;
        self.shrink()?;
        Ok(Ok(()))
    }

    /// Continues after the account's history: the values up to `counted` are part of it, and the
    /// others take the numbers after it.
    fn continue_after(
        &mut self,
        welcome: &Welcome,
        Continuation { counted, last }: Continuation,
    ) -> Result<(), JournalError> {
        let standing = welcome.standing;
        let state = OutboxState {
            confirmed: standing.last_seq,
            sum: Some(standing.sum),
            sent: last,
            newest: welcome.session,
            own: vec![standing.last_session, welcome.session],
            ..self.state.clone()
        };
        self.enter(OutboxRecord::Moved { counted, state })?;
        self.is_open = true;
        self.shrink()?;
        Ok(())
    }

    /// Whether a value may have been sent that is not confirmed: only the ledger knows if it
    /// counts.
    pub fn is_in_doubt(&self) -> bool {
        self.state.sent > self.state.confirmed
    }

    /// The session has ended: values taken from now on are not sent before the next one opens.
    pub fn session_ended(&mut self) {
        self.is_open = false;
    }

    /// A 40 or the server's 50 in a session that was admitted: the ledger covers the values up to
    /// `last_seq`, and `sum` is its sum. On an objection nothing changes.
    pub fn confirm(
        &mut self,
        last_seq: Sequence,
        sum: Total,
    ) -> Result<Result<(), Objection>, JournalError> {
        if let Err(objection) = self.check_sum(last_seq, sum) {
            return Ok(Err(objection));
        }
        if last_seq > self.state.confirmed && self.forget_up_to(last_seq).is_some() {
            self.write_mark();
            self.shrink()?;
        }
        Ok(Ok(()))
    }

    /// Whether the outbox is on disk.
    pub fn is_durable(&self) -> bool {
        self.journal.is_some()
    }

    /// How many values wait.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The highest number that the ledger is known to cover.
    pub fn confirmed(&self) -> Sequence {
        self.state.confirmed
    }

    /// The highest number that may have been sent.
    pub fn highest_sent(&self) -> Sequence {
        self.state.sent
    }

    /// Whether no session ever opened from here.
    pub fn is_new(&self) -> bool {
        self.state.newest == SessionNumber::NONE
    }

    /// At most `most` values from number `first` on that may be sent.
    pub fn values(&self, first: Sequence, most: usize) -> Vec<i64> {
        let skipped = self.pending_up_to(Sequence::new(first.get().saturating_sub(1)));
        let may = self.pending_up_to(self.state.sent);
        self.pending.iter().take(may).skip(skipped).take(most).copied().collect()
    }

    /// How many of the values that wait have numbers up to `last`.
    fn pending_up_to(&self, last: Sequence) -> usize {
        let most = self.pending.len();
        let count = last.get().saturating_sub(self.state.confirmed.get());
        usize::try_from(count).map_or(most, |count| count.min(most))
    }

    /// The number of the first value that waits, or of the next one to be taken.
    pub fn next_unconfirmed(&self) -> Sequence {
        self.state.confirmed.forward(1).unwrap_or(self.state.confirmed)
    }

    /// The highest number that a value has here.
    fn highest(&self) -> Option<Sequence> {
        self.state.confirmed.forward(self.pending.len() as u64).ok()
    }

    fn next_seq(&self) -> Sequence {
        // `take` has checked that this number exists.
        let next = self.next_unconfirmed().forward(self.pending.len() as u64);
        next.unwrap_or(self.state.confirmed)
    }

    /// Removes the values up to `last_seq`, which are covered; `None` if they are not held.
    fn forget_up_to(&mut self, last_seq: Sequence) -> Option<()> {
        let covered = last_seq.get().checked_sub(self.state.confirmed.get())?;
        let covered =
            usize::try_from(covered).ok().filter(|covered| *covered <= self.pending.len())?;
        let sum = self.pending.drain(..covered).map(i128::from).sum::<i128>();
        if let Some(before) = self.state.sum {
            self.state.sum = Some(Total::new(before.get().checked_add(sum)?));
        }
        self.state.confirmed = last_seq;
        self.state.sent = self.state.sent.max(last_seq);
        Some(())
    }

    /// Writes a record durably, then applies it in memory.
    fn enter(&mut self, record: OutboxRecord) -> Result<(), JournalError> {
        if let Some(journal) = &mut self.journal {
            journal.append(&record)?;
        }
        // The record was made from the current state, so it follows it.
        let unfit = match &self.journal {
            Some(journal) => journal.damaged("a state does not follow the one before"),
            None => JournalError::Poisoned(PathBuf::new()),
        };
        self.replay(record).ok_or(unfit)?;
        self.write_mark();
        Ok(())
    }

    fn append_values(&mut self, record: &OutboxRecord) -> Result<(), JournalError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append_values(record))
    }

    fn write_mark(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.mark(self.state.confirmed);
        }
    }

    /// Rewrites the file if that saves enough; whether it did.
    fn shrink(&mut self) -> Result<bool, JournalError> {
        match &mut self.journal {
            Some(journal) if journal.is_worth_rewriting(self.pending.len()) => {
                journal.rewrite(&self.state, self.pending.make_contiguous())
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Applies a record; `None` if it contradicts the records before it.
    fn replay(&mut self, record: OutboxRecord) -> Option<()> {
        match record {
            OutboxRecord::State(state) => {
                if !self.is_new() {
                    self.forget_up_to(state.confirmed)?;
                    let agrees = self.state.sum.is_none()
                        || state.sum.is_none()
                        || self.state.sum == state.sum;
                    (agrees || cfg!(ddes_mutant = "sum-unheld")).then_some(())?;
                }
                self.state = state;
            }
            OutboxRecord::Moved { counted, state } => {
                self.forget_up_to(counted)?;
                (state.confirmed >= counted).then_some(())?;
                self.state = state;
            }
            OutboxRecord::Confirmed(last_seq) => self.forget_up_to(last_seq)?,
            OutboxRecord::Values { first_seq, sent, mark, values } => {
                (first_seq == self.next_seq()).then_some(())?;
                (self.pending.len() + values.len() <= PENDING_MAX).then_some(())?;
                (self.state.mark, self.state.input_open) = (mark, true);
                self.state.sent = self.state.sent.max(sent);
                self.pending.extend(values);
            }
        }
        // A file may hold anything, so check that the numbers of the waiting values exist.
        self.highest().map(drop)
    }
}

//! What one connection of a server does with a shared ledger, and in which order.
//!
//! Long because it is one argument (docs/decisions/0021): a batch is read, decided, swapped and
//! appended here, and nowhere else is an outcome given out.
//!
//! An account belongs to one lane of a server. A driver calls [`LedgerLane::begin`] and does the
//! step that it returns; each step's result gives the next step, until the batch is over. Whatever
//! fails on the way, and whatever is not known to have succeeded, is
//! [`LedgerLane::handle_unknown`]: the same operations are then decided again on what the database
//! holds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::row::{HistoryEntry, RowKey, SharedRow};
use crate::accounts::Accounts;
use crate::apply::decide;
use crate::store::{Chain, Record, StoreOptions, take};
use crate::{
    Account, AccountId, AccountNumber, Opening, Operation, OperationOutcome, Refusal, Submission,
    Timestamp,
};

/// The most accounts of a batch.
const ACCOUNTS_MAX: usize = 4096;
/// The most values of a batch of several submissions.
const VALUES_MAX: usize = 16_384;
/// Accounts without a session whose newest version is still known, to notice its loss.
const RETIRED_MAX: usize = 16_384;

/// How a lane decides.
#[derive(Clone, Copy, Debug)]
pub struct LaneOptions {
    /// Which lane of its server this is, from 0.
    pub index: u32,
    /// How many lanes the server has.
    pub lanes: u32,
    /// The most values of one submission.
    pub values_max: usize,
    /// Whether standings are held. Without, every batch reads what it decides on.
    pub holds: bool,
}

impl Default for LaneOptions {
    fn default() -> Self {
        let values_max = StoreOptions::default().values_max;
        Self { index: 0, lanes: 1, values_max, holds: true }
    }
}

/// What a driver is to do for a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneStep {
    /// Begin a transaction; make these accounts if they are not there, lock their rows, and give
    /// them to [`LedgerLane::handle_read`]. Sorted.
    Read(Vec<SharedRow>),
    /// Begin a transaction, unless `is_begun`; write each row that still is what `prior` says, and
    /// give the accounts of those written to [`LedgerLane::handle_swapped`]. Sorted.
    Swap {
        /// The rows.
        swaps: Vec<Swap>,
        /// Whether a [`LaneStep::Read`] began the transaction.
        is_begun: bool,
    },
    /// Append these entries and commit, then call [`LedgerLane::handle_committed`].
    Append(Vec<HistoryEntry>),
    /// Commit what was read, then call [`LedgerLane::handle_committed`].
    Commit,
    /// Roll back, then call [`LedgerLane::handle_rolled_back`].
    Rollback,
}

/// A row to write, and the version and the chain that it must have until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The version and the chain that the decision was made on.
    pub prior: (u64, Chain),
    /// The row afterwards.
    pub row: SharedRow,
}

/// The database no longer has what it acknowledged: nothing may be written on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "account {account} has {found} entries in the database, which had acknowledged {known} of them, \
     or another history: it has lost what it stated to be durable"
)]
pub struct LostHistory {
    /// The account where this was noticed.
    pub account: AccountId,
    /// The entries that were durable.
    pub known: u64,
    /// The entries that are there.
    pub found: u64,
}

/// One connection's part of a shared ledger.
#[derive(Debug)]
pub struct LedgerLane {
    options: LaneOptions,
    slots: Vec<Option<LaneSlot>>,
    vacant: Vec<u32>,
    by_id: HashMap<AccountId, u32>,
    /// Slots without a session, the oldest first. One may have a session again.
    retired: VecDeque<u32>,
    queue: VecDeque<WaitingOperation>,
    /// How many at the queue's front form the current batch.
    window: usize,
    turn: Option<LaneTurn>,
    /// Outcomes that no transaction is needed for.
    ready: Vec<(u64, OperationOutcome)>,
}

/// An account that has a session here, or had one not long ago.
#[derive(Debug)]
struct LaneSlot {
    id: AccountId,
    /// Sessions that were opened and have not ended.
    sessions: u32,
    /// Operations in the queue or in the turn.
    waiting: u32,
    /// What its row was when this process last read or wrote it; `None` after a doubt. It may lead
    /// to a write only, which the swap proves.
    held: Option<SharedRow>,
    /// The newest version that this process knows to be durable, and its chain.
    durable: Option<(u64, Chain)>,
    /// A classic account has one opening only, on a row that nobody had.
    classic: ClassicState,
    is_retired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClassicState {
    Unseen,
    /// The row had no entry when it was first read: what it has now is this server's.
    Own,
    /// The row was another's: the number was drawn twice.
    Foreign,
}

#[derive(Debug)]
struct WaitingOperation {
    token: u64,
    operation: Operation,
    slot: u32,
    since: Instant,
}

/// A transaction under way.
#[derive(Debug)]
struct LaneTurn {
    waiting: Vec<WaitingOperation>,
    /// One outcome for each of them, once decided.
    outcomes: Vec<OperationOutcome>,
    /// Sorted by key.
    members: Vec<TurnMember>,
    /// Which member each operation is of.
    member_of: Vec<usize>,
    is_read: bool,
}

/// An account of a turn.
#[derive(Debug)]
struct TurnMember {
    slot: u32,
    id: AccountId,
    before: SharedRow,
    after: SharedRow,
    entries: Vec<HistoryEntry>,
    /// Whether its row was not what the decision was made on.
    is_lost: bool,
}

impl LedgerLane {
    /// A lane that knows no account yet.
    pub fn new(options: LaneOptions) -> Self {
        Self {
            options,
            slots: Vec::new(),
            vacant: Vec::new(),
            by_id: HashMap::new(),
            retired: VecDeque::new(),
            queue: VecDeque::new(),
            window: 0,
            turn: None,
            ready: Vec::new(),
        }
    }

    /// Which lane of `lanes` an operation belongs to, if its account has a number already.
    pub fn of_number(number: AccountNumber, lanes: u32) -> Option<u32> {
        match number {
            AccountNumber::Identity(number) => number.checked_rem(lanes),
            AccountNumber::Classic(_) => None,
        }
    }

    /// Operations that wait, those of the transaction under way included.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.turn.as_ref().map_or(0, |turn| turn.waiting.len())
    }

    /// Accounts that the lane knows.
    pub fn accounts(&self) -> usize {
        self.by_id.len()
    }

    /// Takes an operation. `now` is when it came.
    pub fn submit(&mut self, now: Instant, token: u64, operation: Operation) {
        let slot = match &operation {
            Operation::Open(id) => self.slot_for(id),
            Operation::Add(Submission { account, .. }) => self.slot_of(*account),
            Operation::End(account) => {
                let ended = self.end(*account);
                self.ready.push((token, OperationOutcome::Ended(ended)));
                return;
            }
        };
        // The lane never gave out a number for which it has no slot.
        let Some(slot) = slot else {
            self.ready.push((token, refused(&operation, Refusal::Malformed)));
            return;
        };
        if let Some(slot) = self.slot_mut(slot) {
            slot.waiting += 1;
        }
        self.queue.push_back(WaitingOperation { token, operation, slot, since: now });
    }

    /// Outcomes that needed no transaction.
    pub fn poll_ready(&mut self) -> Vec<(u64, OperationOutcome)> {
        std::mem::take(&mut self.ready)
    }

    /// Refuses what has waited for `most` by `now`. Not to be called while a transaction is under
    /// way.
    pub fn expire(&mut self, now: Instant, most: Duration) -> Vec<(u64, OperationOutcome)> {
        self.refuse(|waiting| now.duration_since(waiting.since) >= most)
    }

    /// Refuses the openings that wait. Not to be called while a transaction is under way.
    pub fn refuse_openings(&mut self) -> Vec<(u64, OperationOutcome)> {
        self.refuse(|waiting| matches!(waiting.operation, Operation::Open(_)))
    }

    /// When the operation at the front came.
    pub fn oldest(&self) -> Option<Instant> {
        // Operations whose turn came to nothing go first again.
        self.queue.front().map(|waiting| waiting.since)
    }

    fn refuse(
        &mut self,
        is_meant: impl Fn(&WaitingOperation) -> bool,
    ) -> Vec<(u64, OperationOutcome)> {
        let (refused_ones, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(is_meant);
        (self.queue, self.window) = (kept.into(), 0);
        let outcome = |waiting: WaitingOperation| {
            self.leave_queue(waiting.slot);
            (waiting.token, refused(&waiting.operation, Refusal::Unavailable))
        };
        refused_ones.into_iter().map(outcome).collect()
    }

    /// Begins the next transaction, if operations wait and none is under way. `now` is the time of
    /// what it decides.
    pub fn begin(&mut self, now: Timestamp) -> Option<LaneStep> {
        if self.turn.is_some() {
            return None;
        }
        while let Some(waiting) = self.next_turn() {
            let is_read = waiting.is_read;
            self.turn = Some(waiting);
            if is_read {
                let turn = self.turn.as_ref()?;
                return Some(LaneStep::Read(
                    turn.members.iter().map(|member| member.before).collect(),
                ));
            }
            self.decide(now);
            if cfg!(ddes_mutant = "stale-verdict") && self.swap().is_none() {
                let done = self.handle_committed();
                self.ready.extend(done);
                continue;
            }
            self.set_aside_unwritten();
            if let Some(step) = self.swap() {
                return Some(step);
            }
            // Everything of it has to be read.
            self.turn = None;
        }
        None
    }

    /// The rows of [`LaneStep::Read`], locked. `now` is the time of what is decided on them.
    pub fn handle_read(
        &mut self,
        now: Timestamp,
        rows: &[SharedRow],
    ) -> Result<Option<LaneStep>, LostHistory> {
        let Some(turn) = &mut self.turn else { return Ok(None) };
        let found: HashMap<&AccountId, &SharedRow> =
            rows.iter().map(|row| (&row.id, row)).collect();
        for member in &mut turn.members {
            let Some(row) = found.get(&member.id) else { return Ok(None) };
            (member.before, member.after) = (**row, **row);
        }
        for member in &turn.members {
            let slot = self.slots.get_mut(member.slot as usize).and_then(Option::as_mut);
            let Some(slot) = slot else { continue };
            let (known, chain) = slot.durable.unwrap_or((0, member.before.chain));
            let found = member.before.version;
            let is_lost = found < known || found == known && member.before.chain != chain;
            if is_lost && !cfg!(ddes_mutant = "loss-unnoticed") {
                return Err(LostHistory { account: member.id, known, found });
            }
            if slot.classic == ClassicState::Unseen {
                let is_new = member.before.version == 0;
                slot.classic = if is_new { ClassicState::Own } else { ClassicState::Foreign };
            }
        }
        self.decide(now);
        Ok(Some(self.swap().unwrap_or(LaneStep::Commit)))
    }

    /// The accounts whose rows [`LaneStep::Swap`] has written.
    pub fn handle_swapped(&mut self, written: &[AccountId]) -> Option<LaneStep> {
        let turn = self.turn.as_mut()?;
        let written: HashSet<&AccountId> = written.iter().collect();
        let (mut entries, mut is_any) = (Vec::new(), turn.is_read);
        for member in &mut turn.members {
            if member.entries.is_empty() {
                continue;
            }
            if written.contains(&member.id) {
                is_any = true;
                entries.append(&mut member.entries);
            } else {
                member.is_lost = true;
            }
        }
        Some(match (entries.is_empty(), is_any) {
            (false, _) => LaneStep::Append(entries),
            (true, true) => LaneStep::Commit,
            (true, false) => LaneStep::Rollback,
        })
    }

    /// The transaction is committed, without any doubt. Returns the outcomes, which are durable
    /// now.
    pub fn handle_committed(&mut self) -> Vec<(u64, OperationOutcome)> {
        let Some(turn) = self.turn.take() else { return Vec::new() };
        let LaneTurn { waiting, outcomes, members, member_of, .. } = turn;
        for member in &members {
            let Some(slot) = self.slot_mut(member.slot) else { continue };
            if member.is_lost {
                slot.held = None;
            } else {
                slot.held = Some(member.after);
                slot.durable = Some((member.after.version, member.after.chain));
            }
        }
        let mut done = Vec::with_capacity(outcomes.len());
        let mut again = Vec::new();
        let mut outcomes = outcomes.into_iter();
        for (waiting, member) in waiting.into_iter().zip(member_of) {
            let outcome = outcomes.next();
            let is_lost = members.get(member).is_some_and(|member| member.is_lost);
            match outcome.filter(|_| !is_lost) {
                Some(outcome) => {
                    let outcome = self.settle(waiting.slot, outcome);
                    self.leave_queue(waiting.slot);
                    done.push((waiting.token, outcome));
                }
                None => again.push(waiting),
            }
        }
        self.put_back(again);
        done
    }

    /// The transaction is rolled back: none of its rows was what the decision was made on.
    pub fn handle_rolled_back(&mut self) {
        self.handle_unknown();
    }

    /// The transaction failed, or it is not known what became of it: forgets every account of it,
    /// and keeps its operations for the next one.
    pub fn handle_unknown(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        for member in &turn.members {
            if let Some(slot) = self.slot_mut(member.slot) {
                slot.held = None;
            }
        }
        self.put_back(turn.waiting);
    }

    /// Takes the operations of the next transaction from the queue: those of accounts that are not
    /// held first, alone. Two servers' transactions that read some accounts and swap others would
    /// wait for each other.
    fn next_turn(&mut self) -> Option<LaneTurn> {
        if self.queue.is_empty() {
            return None;
        }
        if self.window == 0 {
            self.window = self.window_len();
        }
        let is_held = |waiting: &WaitingOperation| {
            let slot = self.slots.get(waiting.slot as usize).and_then(Option::as_ref);
            self.options.holds && slot.is_some_and(|slot| slot.held.is_some())
        };
        let window: Vec<WaitingOperation> = {
            let (mut cold, mut hot) = (Vec::new(), Vec::new());
            let window = self.window.min(self.queue.len());
            let taken: Vec<WaitingOperation> = self.queue.drain(..window).collect();
            for waiting in taken {
                if is_held(&waiting) { hot.push(waiting) } else { cold.push(waiting) }
            }
            if cold.is_empty() {
                self.window = 0;
                return Some(self.turn_of(hot, false));
            }
            self.window = hot.len();
            hot.into_iter().rev().for_each(|waiting| self.queue.push_front(waiting));
            cold
        };
        Some(self.turn_of(window, true))
    }

    /// How many operations at the front make a batch.
    fn window_len(&self) -> usize {
        let (mut values, mut slots) = (0, HashSet::new());
        for (at, waiting) in self.queue.iter().enumerate() {
            values += match &waiting.operation {
                Operation::Add(submission) => submission.amounts.len(),
                Operation::Open(_) | Operation::End(_) => 0,
            };
            slots.insert(waiting.slot);
            let is_full = values > VALUES_MAX || slots.len() > ACCOUNTS_MAX;
            if is_full && at > 0 {
                return at;
            }
        }
        self.queue.len()
    }

    fn turn_of(&self, waiting: Vec<WaitingOperation>, is_read: bool) -> LaneTurn {
        let mut members: HashMap<u32, TurnMember> = HashMap::new();
        for one in &waiting {
            let Some(slot) = self.slots.get(one.slot as usize).and_then(Option::as_ref) else {
                continue;
            };
            members.entry(one.slot).or_insert_with(|| {
                let held = slot.held.filter(|_| !is_read);
                // What is read replaces it.
                let before = held.unwrap_or_else(|| SharedRow::new(slot.id));
                let (slot, id) = (one.slot, slot.id);
                TurnMember { slot, id, before, after: before, entries: Vec::new(), is_lost: false }
            });
        }
        let mut members: Vec<TurnMember> = members.into_values().collect();
        members.sort_unstable_by_key(|member| RowKey::from(&member.id));
        let at: HashMap<u32, usize> =
            members.iter().enumerate().map(|(at, member)| (member.slot, at)).collect();
        // Each operation's slot is one of the members'.
        let member_of =
            waiting.iter().map(|one| at.get(&one.slot).map_or(usize::MAX, |at| *at)).collect();
        LaneTurn { waiting, outcomes: Vec::new(), members, member_of, is_read }
    }

    /// Decides the turn's operations on its members, by the rules that every ledger has.
    fn decide(&mut self, now: Timestamp) {
        let Some(turn) = &mut self.turn else { return };
        let mut accounts = Accounts::default();
        let mut numbers = Vec::with_capacity(turn.members.len());
        let mut by_number = HashMap::with_capacity(turn.members.len());
        for (at, member) in turn.members.iter().enumerate() {
            let number = accounts.load(&member.id, &member.before.account);
            numbers.push(number);
            if let Some(number) = number {
                by_number.insert(number, at);
            }
        }
        let mut operations = Vec::with_capacity(turn.waiting.len());
        // What is not for the rules to decide.
        let mut fixed = Vec::with_capacity(turn.waiting.len());
        for (waiting, member) in turn.waiting.iter().zip(&turn.member_of) {
            let number = numbers.get(*member).copied().flatten();
            let before = turn.members.get(*member).map(|member| &member.before);
            let slot = self.slots.get(waiting.slot as usize).and_then(Option::as_ref);
            let outcome = match (&waiting.operation, number, before, slot) {
                (
                    Operation::Open(AccountId::Classic(_)),
                    Some(number),
                    Some(before),
                    Some(slot),
                ) if slot.classic == ClassicState::Own && before.version > 0 => {
                    // An opening whose outcome was not known has happened.
                    Some(already_open(number, &before.account))
                }
                (operation, _, _, Some(slot)) if slot.classic == ClassicState::Foreign => {
                    Some(refused(operation, Refusal::Malformed))
                }
                (operation, Some(number), ..) => {
                    operations.push(renumbered(operation, number));
                    None
                }
                // A batch has fewer accounts than there are numbers.
                (operation, None, ..) => Some(refused(operation, Refusal::Unavailable)),
            };
            fixed.push(outcome);
        }
        let options = StoreOptions {
            // A batch is bounded by its values and accounts.
            frame_bytes: usize::MAX / 2,
            values_max: self.options.values_max,
            ..StoreOptions::default()
        };
        let (mut records, mut outcomes) = (Vec::new(), Vec::with_capacity(operations.len()));
        decide(&mut accounts, now, &operations, &options, Some(&mut records), &mut outcomes);
        let mut outcomes = outcomes.into_iter();
        turn.outcomes =
            fixed.into_iter().filter_map(|fixed| fixed.or_else(|| outcomes.next())).collect();
        let member_of = |number: &AccountNumber| by_number.get(number).copied();
        note_records(&mut turn.members, member_of, now, &records);
        for (member, number) in turn.members.iter_mut().zip(numbers) {
            member.finish(number.and_then(|number| accounts.get(number)));
        }
    }

    /// Forgets the held accounts of the turn for which nothing is to be written, and puts their
    /// operations back: their outcome has to rest on a row that was read.
    fn set_aside_unwritten(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        if cfg!(ddes_mutant = "stale-verdict") {
            return;
        }
        let is_unwritten = |at: &usize| {
            turn.members.get(*at).is_some_and(|member: &TurnMember| member.entries.is_empty())
        };
        if !turn.member_of.iter().any(is_unwritten) {
            return;
        }
        let Some(turn) = self.turn.take() else { return };
        let LaneTurn { waiting, outcomes, members, member_of, is_read } = turn;
        for member in members.iter().filter(|member| member.entries.is_empty()) {
            if let Some(slot) = self.slot_mut(member.slot) {
                slot.held = None;
            }
        }
        let mut kept = LaneTurn {
            waiting: Vec::new(),
            outcomes: Vec::new(),
            members,
            member_of: Vec::new(),
            is_read,
        };
        let mut again = Vec::new();
        for ((waiting, outcome), member) in waiting.into_iter().zip(outcomes).zip(member_of) {
            if kept.members.get(member).is_some_and(|member| member.entries.is_empty()) {
                again.push(waiting);
            } else {
                kept.waiting.push(waiting);
                kept.outcomes.push(outcome);
                kept.member_of.push(member);
            }
        }
        self.put_back(again);
        // Members without an operation write nothing and are not swapped.
        kept.members.iter_mut().filter(|member| member.entries.is_empty()).for_each(|member| {
            member.is_lost = true;
        });
        self.turn = Some(kept);
    }

    /// The rows that the turn writes; `None` if it writes none.
    fn swap(&self) -> Option<LaneStep> {
        let turn = self.turn.as_ref()?;
        let written = turn.members.iter().filter(|member| !member.entries.is_empty());
        let swap = |member: &TurnMember| Swap {
            prior: (member.before.version, member.before.chain),
            row: member.after,
        };
        let swaps: Vec<Swap> = written.map(swap).collect();
        (!swaps.is_empty()).then_some(LaneStep::Swap { swaps, is_begun: turn.is_read })
    }

    /// Operations whose turn came to nothing go first again, in their order.
    fn put_back(&mut self, again: Vec<WaitingOperation>) {
        self.window += again.len();
        again.into_iter().rev().for_each(|waiting| self.queue.push_front(waiting));
    }

    /// What an outcome means for its account here, and the number that others know it by.
    fn settle(&mut self, at: u32, outcome: OperationOutcome) -> OperationOutcome {
        let OperationOutcome::Opened(Ok(opening)) = outcome else { return outcome };
        let (index, lanes) = (self.options.index, self.options.lanes);
        let Some(slot) = self.slot_mut(at) else { return outcome };
        let account = match slot.id {
            // Both were checked when the slot was made.
            AccountId::Identity(_) => AccountNumber::Identity(at * lanes + index),
            AccountId::Classic(number) => AccountNumber::Classic(number),
        };
        slot.sessions += 1;
        OperationOutcome::Opened(Ok(Opening { account, ..opening }))
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut LaneSlot> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    fn slot_of(&self, account: AccountNumber) -> Option<u32> {
        match account {
            AccountNumber::Identity(number) => {
                let at = number.checked_div(self.options.lanes)?;
                let is_own = number % self.options.lanes == self.options.index;
                self.slots.get(at as usize)?.as_ref().filter(|_| is_own).map(|_| at)
            }
            AccountNumber::Classic(number) => self.by_id.get(&AccountId::Classic(number)).copied(),
        }
    }

    /// The slot of an account, which may be new; `None` if there are no numbers left.
    fn slot_for(&mut self, id: &AccountId) -> Option<u32> {
        if let Some(at) = self.by_id.get(id) {
            return Some(*at);
        }
        let classic = match id {
            // Nobody else has it: an identity's row may have any history.
            AccountId::Identity(_) => ClassicState::Own,
            AccountId::Classic(_) => ClassicState::Unseen,
        };
        let slot = LaneSlot {
            id: *id,
            sessions: 0,
            waiting: 0,
            held: None,
            durable: None,
            classic,
            is_retired: false,
        };
        let at = match self.vacant.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.slots.len()).ok()?;
                at.checked_mul(self.options.lanes)?.checked_add(self.options.index)?;
                self.slots.push(None);
                at
            }
        };
        *self.slots.get_mut(at as usize)? = Some(slot);
        self.by_id.insert(*id, at);
        Some(at)
    }

    /// A session ended. The last one of an account takes its standing with it.
    fn end(&mut self, account: AccountNumber) -> Result<(), Refusal> {
        let at = self.slot_of(account).ok_or(Refusal::Malformed)?;
        let slot = self.slot_mut(at).ok_or(Refusal::Malformed)?;
        slot.sessions = match account {
            AccountNumber::Identity(_) => slot.sessions.saturating_sub(1),
            // It has one session, which may end before its opening is decided.
            AccountNumber::Classic(_) => 0,
        };
        self.retire(at);
        Ok(())
    }

    /// An operation of the account is out of the queue and of the turn.
    fn leave_queue(&mut self, at: u32) {
        if let Some(slot) = self.slot_mut(at) {
            slot.waiting = slot.waiting.saturating_sub(1);
        }
        self.retire(at);
    }

    /// Forgets the standing of an account without sessions, and the oldest such accounts wholly.
    fn retire(&mut self, at: u32) {
        let Some(slot) = self.slot_mut(at) else { return };
        if slot.sessions > 0 || slot.waiting > 0 {
            return;
        }
        slot.held = None;
        if !std::mem::replace(&mut slot.is_retired, true) {
            self.retired.push_back(at);
        }
        while self.retired.len() > RETIRED_MAX {
            let Some(at) = self.retired.pop_front() else { return };
            let Some(slot) = self.slot_mut(at) else { continue };
            slot.is_retired = false;
            if slot.sessions == 0 && slot.waiting == 0 {
                let id = slot.id;
                self.by_id.remove(&id);
                if let Some(slot) = self.slots.get_mut(at as usize) {
                    *slot = None;
                    self.vacant.push(at);
                }
            }
        }
    }
}

impl TurnMember {
    /// Takes a record of the batch. Values of one session become one entry.
    fn note(&mut self, now: Timestamp, record: &Record) {
        let number = self.before.version + self.entries.len() as u64 + 1;
        let (sum, next) = match self.entries.last() {
            Some(last) => (last.sum, last.first_seq.get() + u64::from(last.count)),
            None => {
                let standing = self.before.account.standing();
                (standing.sum, standing.last_seq.get() + 1)
            }
        };
        let entry = |session, first_seq| HistoryEntry {
            id: self.id,
            number,
            time: now,
            session,
            first_seq,
            count: 0,
            amounts: Vec::new(),
            sum,
            chain: Chain([0; 32]),
        };
        match record {
            Record::Open { session, .. } => {
                let entry = entry(*session, ddes_wire::Sequence::new(next));
                self.entries.push(entry);
            }
            Record::Add(added) => {
                let is_same =
                    |last: &&mut HistoryEntry| last.count > 0 && last.session == added.session;
                if self.entries.last_mut().filter(is_same).is_none() {
                    let entry = entry(added.session, added.first_seq);
                    self.entries.push(entry);
                }
                if let Some(last) = self.entries.last_mut() {
                    last.put(&added.amounts);
                    last.sum = added.sum;
                }
            }
            Record::Account(_)
            | Record::End(_)
            | Record::Raise
            | Record::Raised { .. }
            | Record::Checkpoint(_)
            | Record::Trim(_) => {}
        }
    }

    /// Chains the entries, and takes the account as it stands after them.
    fn finish(&mut self, account: Option<Account>) {
        let mut chain = self.before.chain;
        for entry in &mut self.entries {
            chain = entry.chain_after(&chain);
            entry.chain = chain;
        }
        let version = self.before.version + self.entries.len() as u64;
        let account = account.unwrap_or(self.before.account);
        self.after = SharedRow { version, chain, account, ..self.before };
    }
}

/// Gives each record to the member that it is of.
fn note_records(
    members: &mut [TurnMember],
    member_of: impl Fn(&AccountNumber) -> Option<usize>,
    now: Timestamp,
    mut records: &[u8],
) {
    while let Some(record) = take(&mut records) {
        let number = match &record {
            Record::Open { account, .. } => *account,
            Record::Add(added) => added.account,
            Record::Account(_)
            | Record::End(_)
            | Record::Raise
            | Record::Raised { .. }
            | Record::Checkpoint(_)
            | Record::Trim(_) => continue,
        };
        if let Some(member) = member_of(&number).and_then(|at| members.get_mut(at)) {
            member.note(now, &record);
        }
    }
}

fn renumbered(operation: &Operation, account: AccountNumber) -> Operation {
    match operation {
        Operation::Add(submission) => Operation::Add(Submission { account, ..submission.clone() }),
        Operation::Open(_) | Operation::End(_) => operation.clone(),
    }
}

fn already_open(account: AccountNumber, found: &Account) -> OperationOutcome {
    let proof = crate::Proof::new(found.standing());
    OperationOutcome::Opened(Ok(Opening { account, session: found.newest_session(), proof }))
}

fn refused(operation: &Operation, why: Refusal) -> OperationOutcome {
    match operation {
        Operation::Open(_) => OperationOutcome::Opened(Err(why)),
        Operation::Add(_) => OperationOutcome::Decided(Err(why)),
        Operation::End(_) => OperationOutcome::Ended(Err(why)),
    }
}

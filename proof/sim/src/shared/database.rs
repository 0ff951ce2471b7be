//! A database in memory: connections, transactions, row locks, and a standby.
//!
//! It does what PostgreSQL does where a shared ledger relies on it. A statement waits for a row's
//! lock for a while, and sees the row as it is then. A COMMIT is written, then waits for the
//! standby with all locks held, and only then is seen and answered. A transaction ends when its
//! connection is seen to be gone, which may be late; a COMMIT that is on its way is done all the
//! same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ddes_ledger::shared::{HistoryEntry, RowKey, SharedRow, Swap};
use ddes_ledger::{AccountId, Timestamp};

use super::backend::{
    Heard, IDLE_MAX, LOCK_MAX, SimBackend, SimTransaction, SqlCut, SqlMessage, SqlReply,
};
use super::tables::{IS_UNGUARDED, RowChanges, SimTables, is_as_it_was};
use crate::model::{Model, Violation};
use crate::random::Random;

/// After this the system notices that the other end of a connection is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A COMMIT that is on its way arrives so many ms later at most: beyond [`IDLE_MAX`] its
/// transaction is over.
const LATE_MS_MAX: u64 = 4_500;

/// A committed transaction that the standby does not have.
#[derive(Debug)]
struct Unshipped {
    changes: RowChanges,
    /// The backend that waits for it.
    backend: Option<u64>,
    /// Others see it.
    is_seen: bool,
}

#[derive(Debug)]
pub(crate) struct SimDatabase {
    /// Whether a COMMIT waits for the standby.
    is_synchronous: bool,
    primary: SimTables,
    standby: SimTables,
    unshipped: VecDeque<Unshipped>,
    backends: BTreeMap<u64, SimBackend>,
    locks: BTreeMap<AccountId, u64>,
    next: u64,
    /// Nobody can connect before this.
    away_until: Instant,
    /// The standby receives nothing before this.
    standby_until: Instant,
    /// The primary that was, as long as nobody stops it: servers go on with it that are connected
    /// to it, and all of that is lost.
    former: Option<Box<FormerPrimary>>,
}

#[derive(Debug)]
struct FormerPrimary {
    database: SimDatabase,
    /// Somebody stops it then.
    until: Instant,
    /// Accounts that were written or stated since.
    touched: BTreeSet<AccountId>,
}

impl SimDatabase {
    pub(crate) fn new(is_synchronous: bool, now: Instant) -> Self {
        Self {
            is_synchronous,
            primary: SimTables::default(),
            standby: SimTables::default(),
            unshipped: VecDeque::new(),
            backends: BTreeMap::new(),
            locks: BTreeMap::new(),
            next: 0,
            away_until: now,
            standby_until: now,
            former: None,
        }
    }

    /// The former primary, if the connection leads there.
    fn former_of(&mut self, id: u64) -> Option<&mut FormerPrimary> {
        let former = self.former.as_deref_mut();
        former.filter(|former| former.database.backends.contains_key(&id))
    }

    fn ids(&self) -> Vec<u64> {
        let former = self.former.iter().flat_map(|former| former.database.backends.keys());
        self.backends.keys().chain(former).copied().collect()
    }

    pub(crate) fn is_away(&self, now: Instant) -> bool {
        self.away_until > now
    }

    /// The account as everybody sees it.
    pub(crate) fn row(&self, id: &AccountId) -> Option<&SharedRow> {
        self.primary.row(id)
    }

    /// The account as far as it is durable: without a synchronous standby, as far as it is seen.
    pub(crate) fn durable(&self, id: &AccountId) -> Option<&SharedRow> {
        if self.is_synchronous { self.standby.row(id) } else { self.primary.row(id) }
    }

    pub(crate) fn entries(&self) -> usize {
        self.primary.entries()
    }

    /// A new connection.
    pub(crate) fn connect(&mut self, now: Instant) -> Option<u64> {
        if self.is_away(now) {
            return None;
        }
        self.next += 1;
        self.backends.insert(self.next, SimBackend::new(now));
        Some(self.next)
    }

    pub(crate) fn send(&mut self, id: u64, at: Instant, messages: Vec<SqlMessage>) {
        if let Some(former) = self.former_of(id) {
            former.database.send(id, at, messages);
        } else if let Some(backend) =
            self.backends.get_mut(&id).filter(|backend| backend.is_reached())
        {
            backend.arriving.extend(messages.into_iter().map(|message| (at, message)));
        }
    }

    pub(crate) fn hear(&mut self, id: u64) -> Heard {
        if let Some(former) = self.former_of(id) {
            return former.database.hear(id);
        }
        let Some(backend) = self.backends.get_mut(&id) else { return Heard::Lost };
        match backend.replies.pop_front() {
            Some(reply) => Heard::Reply(reply),
            None if backend.is_told => Heard::Lost,
            None => Heard::Nothing,
        }
    }

    /// The server closes its end; what it has sent arrives. Unless its machine is gone it
    /// `says_so`.
    pub(crate) fn close(&mut self, id: u64, now: Instant, says_so: bool) {
        if let Some(former) = self.former_of(id) {
            return former.database.close(id, now, says_so);
        }
        let Some(backend) = self.backends.get_mut(&id) else { return };
        backend.is_closed = true;
        backend.leave(if says_so { now } else { now + KEEPALIVE });
        if !backend.is_alive {
            self.backends.remove(&id);
        }
    }

    /// A connection where something may happen.
    pub(crate) fn pick_busy(&self, random: &mut Random) -> Option<u64> {
        let former = self.former.iter().flat_map(|former| former.database.backends.iter());
        let all = self.backends.iter().chain(former);
        let busy: Vec<u64> =
            all.filter(|(_, backend)| backend.is_busy()).map(|(id, _)| *id).collect();
        if busy.is_empty() { None } else { busy.get(random.index(busy.len())).copied() }
    }

    /// Any connection.
    pub(crate) fn pick(&self, random: &mut Random) -> Option<u64> {
        let all = self.ids();
        if all.is_empty() { None } else { all.get(random.index(all.len())).copied() }
    }

    pub(crate) fn cut(&mut self, id: u64, how: SqlCut, now: Instant, random: &mut Random) {
        if let Some(former) = self.former_of(id) {
            return former.database.cut(id, how, now, random);
        }
        let Some(backend) = self.backends.get_mut(&id) else { return };
        backend.replies.clear();
        let seen = if random.one_in(2) { now } else { now + KEEPALIVE };
        match how {
            SqlCut::Before => backend.arriving.truncate(random.index(backend.arriving.len() + 1)),
            SqlCut::After => {}
            SqlCut::Late => {
                let late = now + Duration::from_millis(random.below(LATE_MS_MAX));
                backend.arriving.iter_mut().for_each(|(at, _)| *at = late);
            }
            SqlCut::Silent => {
                if random.one_in(2) {
                    backend.arriving.clear();
                }
            }
        }
        backend.leave(seen);
        backend.is_told = !matches!(how, SqlCut::Silent);
    }

    /// What happens next at one connection.
    pub(crate) fn advance(&mut self, id: u64, now: Instant) {
        if let Some(former) = self.former_of(id) {
            return former.advance(id, now);
        }
        let Some(backend) = self.backends.get_mut(&id) else { return };
        if !backend.is_alive || backend.is_committing {
            return;
        }
        let is_idle = backend.transaction.is_some() && backend.since + IDLE_MAX <= now;
        match backend.arriving.front() {
            Some((at, _)) if *at > now && is_idle => self.end(id),
            Some((at, _)) if *at > now => {}
            Some((_, message)) => {
                let message = message.clone();
                self.execute(id, &message, now);
            }
            None if is_idle || backend.gone_at.is_some_and(|at| at <= now) => self.end(id),
            None => {}
        }
    }

    /// Does what the first message asks, unless it has to wait for a lock.
    fn execute(&mut self, id: u64, message: &SqlMessage, now: Instant) {
        let reply = match message {
            SqlMessage::Read(wanted) => self.read(id, wanted),
            SqlMessage::Swap(swaps) => self.swap(id, swaps),
            SqlMessage::Append(entries) => Some(self.append(id, entries)),
            SqlMessage::Commit => self.commit(id),
            SqlMessage::Rollback => {
                self.unlock(id);
                self.set_transaction(id, None);
                Some(SqlReply::Done)
            }
        };
        let Some(backend) = self.backends.get_mut(&id) else { return };
        let reply = match reply {
            None if backend.is_committing => {
                backend.arriving.pop_front();
                return;
            }
            None if backend.blocked.get_or_insert(now).checked_add(LOCK_MAX) > Some(now) => return,
            None => {
                backend.fail();
                SqlReply::Failed("it waited too long for a lock")
            }
            Some(reply) => reply,
        };
        backend.arriving.pop_front();
        (backend.since, backend.blocked) = (now, None);
        backend.reply(reply);
    }

    fn set_transaction(&mut self, id: u64, transaction: Option<SimTransaction>) {
        if let Some(backend) = self.backends.get_mut(&id) {
            backend.transaction = transaction;
        }
    }

    /// The transaction, begun if there is none; `None` if it has failed.
    fn transaction(&mut self, id: u64) -> Option<&mut SimTransaction> {
        let transaction = self.backends.get_mut(&id)?.transaction.get_or_insert_default();
        (!transaction.has_failed).then_some(transaction)
    }

    /// Whether the backend has the row's lock.
    fn lock(&mut self, id: u64, account: &AccountId) -> bool {
        *self.locks.entry(*account).or_insert(id) == id
    }

    fn unlock(&mut self, id: u64) {
        self.locks.retain(|_, holder| *holder != id);
    }

    /// The row as the transaction sees it.
    fn seen(&mut self, id: u64, account: &AccountId) -> Option<SharedRow> {
        let own = self.transaction(id).and_then(|own| own.changes.rows.get(account).copied());
        own.or_else(|| self.primary.row(account).copied())
    }

    /// Makes rows that are not there, locks them all, and states them.
    fn read(&mut self, id: u64, wanted: &[SharedRow]) -> Option<SqlReply> {
        if self.transaction(id).is_none() {
            return Some(SqlReply::Failed("the transaction has failed"));
        }
        if !wanted.is_sorted_by_key(|row| RowKey::from(&row.id)) {
            return Some(SqlReply::Failed("rows are locked in no order"));
        }
        let mut rows = Vec::with_capacity(wanted.len());
        for row in wanted {
            if !self.lock(id, &row.id) {
                return None;
            }
            let found = self.seen(id, &row.id);
            if found.is_none()
                && let Some(transaction) = self.transaction(id)
            {
                transaction.changes.rows.insert(row.id, *row);
            }
            rows.push(found.unwrap_or(*row));
        }
        Some(SqlReply::Rows(rows))
    }

    /// Writes the rows that are as they were.
    fn swap(&mut self, id: u64, swaps: &[Swap]) -> Option<SqlReply> {
        if self.transaction(id).is_none() {
            return Some(SqlReply::Failed("the transaction has failed"));
        }
        if !swaps.is_sorted_by_key(|swap| RowKey::from(&swap.row.id)) {
            return Some(SqlReply::Failed("rows are locked in no order"));
        }
        let mut written = Vec::new();
        for swap in swaps {
            let found = self.seen(id, &swap.row.id);
            if !found.is_some_and(|found| is_as_it_was(&found, swap)) {
                continue;
            }
            if !self.lock(id, &swap.row.id) {
                return None;
            }
            written.push(swap.row.id);
        }
        let transaction = self.transaction(id)?;
        let rows = swaps.iter().map(|swap| swap.row).filter(|row| written.contains(&row.id));
        transaction.changes.rows.extend(rows.map(|row| (row.id, row)));
        Some(SqlReply::Written(written))
    }

    fn append(&mut self, id: u64, entries: &[HistoryEntry]) -> SqlReply {
        let is_taken = entries.iter().any(|entry| self.primary.has_entry(entry));
        let Some(transaction) = self.transaction(id) else {
            return SqlReply::Failed("the transaction has failed");
        };
        if is_taken && !IS_UNGUARDED {
            transaction.has_failed = true;
            return SqlReply::Failed("the primary key of the history");
        }
        transaction.changes.entries.extend_from_slice(entries);
        SqlReply::Done
    }

    /// `None` while it waits for the standby.
    fn commit(&mut self, id: u64) -> Option<SqlReply> {
        let backend = self.backends.get_mut(&id)?;
        let Some(transaction) = backend.transaction.take() else { return Some(SqlReply::Warned) };
        if transaction.has_failed {
            // It rolls back, and succeeds.
            self.unlock(id);
            return Some(SqlReply::Done);
        }
        let changes = transaction.changes;
        if self.is_synchronous {
            backend.is_committing = true;
            let unshipped = Unshipped { changes, backend: Some(id), is_seen: false };
            self.unshipped.push_back(unshipped);
            return None;
        }
        self.primary.apply(&changes);
        self.unshipped.push_back(Unshipped { changes, backend: None, is_seen: true });
        self.unlock(id);
        Some(SqlReply::Done)
    }

    /// The standby receives the next transaction, which is confirmed to whoever waits for it.
    pub(crate) fn ship(&mut self, now: Instant) {
        if self.standby_until > now {
            return;
        }
        let Some(Unshipped { changes, backend, is_seen }) = self.unshipped.pop_front() else {
            return;
        };
        self.standby.apply(&changes);
        if !is_seen {
            self.primary.apply(&changes);
        }
        if let Some(id) = backend {
            self.confirm(id, now, SqlReply::Done);
        }
    }

    /// Somebody ends a wait for the standby: the change is seen, and a warning says that the
    /// standby may not have it. Whether there was one.
    pub(crate) fn cancel_wait(&mut self, now: Instant) -> bool {
        let waiting = self.unshipped.iter_mut().find(|unshipped| unshipped.backend.is_some());
        let Some(waiting) = waiting else { return false };
        let Some(id) = waiting.backend.take() else { return false };
        waiting.is_seen = true;
        self.primary.apply(&waiting.changes);
        self.confirm(id, now, SqlReply::Warned);
        true
    }

    fn confirm(&mut self, id: u64, now: Instant, reply: SqlReply) {
        self.unlock(id);
        if let Some(backend) = self.backends.get_mut(&id) {
            (backend.is_committing, backend.since) = (false, now);
            backend.reply(reply);
        }
    }

    /// A backend ends: its transaction is rolled back.
    fn end(&mut self, id: u64) {
        self.unlock(id);
        let Some(backend) = self.backends.get_mut(&id) else { return };
        backend.die();
        if backend.is_closed {
            self.backends.remove(&id);
        }
    }

    /// The standby receives nothing until then.
    pub(crate) fn stall_standby(&mut self, until: Instant) {
        self.standby_until = until;
    }

    /// Servers cannot reach it until then, and it knows nothing of it.
    pub(crate) fn part(&mut self, now: Instant, until: Instant, random: &mut Random) {
        self.away_until = until;
        for id in self.ids() {
            let how = match random.below(4) {
                0 => SqlCut::Before,
                1 => SqlCut::After,
                2 => SqlCut::Late,
                _ => SqlCut::Silent,
            };
            self.cut(id, how, now, random);
        }
    }

    /// It crashes, and is there again at `until`: open transactions are lost, and what is written
    /// is seen, whether or not the standby has it.
    pub(crate) fn crash(&mut self, until: Instant, random: &mut Random) {
        (self.away_until, self.standby_until) = (until, self.standby_until.max(until));
        for unshipped in &mut self.unshipped {
            if !std::mem::replace(&mut unshipped.is_seen, true) {
                self.primary.apply(&unshipped.changes);
            }
            unshipped.backend = None;
        }
        self.lose_backends(random);
    }

    /// The standby takes over at `until`, with what it has received: any part of what was not
    /// confirmed, in order. The primary that was may go on until `former`. Returns the accounts of
    /// which it lost what others had seen.
    pub(crate) fn fail_over(
        &mut self,
        until: Instant,
        former: Option<Instant>,
        random: &mut Random,
    ) -> BTreeSet<AccountId> {
        (self.away_until, self.standby_until) = (until, until);
        let received = random.index(self.unshipped.len() + 1);
        for unshipped in self.unshipped.drain(..received) {
            self.standby.apply(&unshipped.changes);
        }
        let seen = self.unshipped.drain(..).filter(|unshipped| unshipped.is_seen);
        let lost = seen.flat_map(|unshipped| unshipped.changes.rows.into_keys()).collect();
        let primary = std::mem::replace(&mut self.primary, self.standby.clone());
        match former.filter(|_| self.former.is_none() && !self.is_synchronous) {
            Some(at) => self.leave_behind(primary, at),
            None => self.lose_backends(random),
        }
        lost
    }

    /// All connections lead to a primary that is none any more.
    fn leave_behind(&mut self, primary: SimTables, until: Instant) {
        let mut database = Self::new(false, until);
        database.primary = primary;
        database.backends = std::mem::take(&mut self.backends);
        database.locks = std::mem::take(&mut self.locks);
        let touched = BTreeSet::new();
        self.former = Some(Box::new(FormerPrimary { database, until, touched }));
    }

    /// What was done at the former primary since the last call, which is lost. Stops it when it is
    /// time.
    pub(crate) fn check_former(&mut self, now: Instant) -> BTreeSet<AccountId> {
        let Some(former) = &mut self.former else { return BTreeSet::new() };
        let touched = std::mem::take(&mut former.touched);
        if former.until <= now {
            self.former = None;
        }
        touched
    }

    fn lose_backends(&mut self, random: &mut Random) {
        self.locks.clear();
        for backend in self.backends.values_mut() {
            // What it has said is on its way, or lost with it.
            if random.one_in(2) {
                backend.replies.clear();
            }
            backend.die();
        }
        self.backends.retain(|_, backend| !backend.is_closed);
    }

    /// Raises the session number of every identity, as `ddes ledger raise` does.
    pub(crate) fn raise(&mut self, now: Timestamp) -> Result<(), Violation> {
        let is_identity = |row: &&SharedRow| matches!(row.id, AccountId::Identity(_));
        let mut changes = RowChanges::default();
        for row in self.primary.rows().filter(is_identity) {
            let (after, entry) =
                row.raised(now).map_err(|error| Violation(format!("{}: {error}", row.id)))?;
            changes.rows.insert(row.id, after);
            changes.entries.push(entry);
        }
        self.primary.apply(&changes);
        self.unshipped.push_back(Unshipped { changes, backend: None, is_seen: true });
        Ok(())
    }

    /// Whether something goes on that takes no time.
    pub(crate) fn is_moving(&self, now: Instant) -> bool {
        let is_shipping = self.is_synchronous && !self.is_shipped() && self.standby_until <= now;
        let former = self.former.as_ref().is_some_and(|former| former.database.is_moving(now));
        former || is_shipping || self.backends.values().any(|backend| backend.is_moving(now))
    }

    /// When something is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let times = [self.away_until, self.standby_until];
        let due = self.backends.values().filter_map(SimBackend::due);
        let former =
            self.former.iter().flat_map(|former| [Some(former.until), former.database.due(now)]);
        due.chain(times).chain(former.flatten()).filter(|at| *at > now).min()
    }

    /// From now on it can be reached, and the standby receives all.
    pub(crate) fn recover(&mut self, now: Instant) {
        (self.away_until, self.standby_until) = (now, now);
        self.former = None;
    }

    /// Whether the standby has everything.
    pub(crate) fn is_shipped(&self) -> bool {
        self.unshipped.is_empty()
    }

    /// Whether a transaction is open.
    pub(crate) fn is_busy(&self) -> bool {
        self.backends.values().any(SimBackend::is_open)
    }

    pub(crate) fn audit(&self, model: &Model) -> Result<(), Violation> {
        self.primary.audit(model)?;
        if self.is_shipped() && !self.primary.agrees(&self.standby) {
            return Err(Violation("the standby holds something else".into()));
        }
        Ok(())
    }
}

impl FormerPrimary {
    fn advance(&mut self, id: u64, now: Instant) {
        let is_locked = |(account, holder): (&AccountId, &u64)| (*holder == id).then_some(*account);
        let locked: Vec<AccountId> = self.database.locks.iter().filter_map(is_locked).collect();
        self.database.advance(id, now);
        if !self.database.unshipped.is_empty() {
            // It was a COMMIT.
            self.touched.extend(locked);
            self.database.unshipped.clear();
        }
    }
}

//! What must be true: the values that each account's numbers mean, and what was promised of them.

use std::fmt;

use ddes_ledger::shared::{HistoryEntry, SharedRow};
use ddes_ledger::{Account, AccountId, AccountNumber, Ledger, Operation, Statement, Totals};
use ddes_wire::{Amount, SessionNumber, Standing};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Numbered values, and what they add up to.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The sum of the first n values, n from 0.
    sums: Vec<i128>,
    /// The least and the greatest of the first n values, n from 1.
    extremes: Vec<(i128, i128)>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { sums: vec![0], extremes: Vec::new() }
    }

    pub(crate) fn count(&self) -> u64 {
        self.sums.len() as u64 - 1
    }

    /// The value with the next number.
    pub(crate) fn give(&mut self, value: i128) {
        self.sums.push(self.sums.last().map_or(0, |sum| sum + value));
        let wider = self
            .extremes
            .last()
            .map_or((value, value), |(min, max)| (value.min(*min), value.max(*max)));
        self.extremes.push(wider);
    }

    /// Numbers above `count` were never given out: what they would have meant was lost.
    pub(crate) fn lose(&mut self, count: u64) {
        // More than memory holds is more than was given out.
        let Ok(count) = usize::try_from(count) else { return };
        self.sums.truncate(count.saturating_add(1));
        self.extremes.truncate(count);
    }

    fn sum(&self, last_seq: u64) -> Option<i128> {
        self.sums.get(usize::try_from(last_seq).ok()?).copied()
    }

    /// What a number means.
    pub(crate) fn value(&self, number: u64) -> Option<i128> {
        Some(self.sum(number)? - self.sum(number.checked_sub(1)?)?)
    }

    /// Whether both mean the same by the first numbers.
    fn agrees(&self, other: &Self, last_seq: u64) -> bool {
        (0..=last_seq)
            .all(|number| self.sum(number).is_some() && self.sum(number) == other.sum(number))
    }
}

/// One account as its owner knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: AccountId,
    pub(crate) number: Option<AccountNumber>,
    history: History,
    /// How many values the ledger has proven to count.
    promised: u64,
    /// How many of these the client knows of, from a 20, 40 or 50.
    told: u64,
    /// The newest session that was proven.
    session: SessionNumber,
    /// Something was answered with "unavailable" since: it may have become durable afterwards, when
    /// there was room.
    unsure: bool,
    /// It is over, or may be.
    pub(crate) is_ending: bool,
    /// A database has lost something of it that it had committed. What was promised does not hold
    /// any more; what is stated must be right all the same, or objected to.
    pub(crate) is_lost: bool,
}

impl Known {
    pub(crate) fn count(&self) -> u64 {
        self.history.count()
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn promised(&self) -> u64 {
        self.promised
    }

    /// How many values its client was told to count.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    pub(crate) fn session(&self) -> SessionNumber {
        self.session
    }

    /// Whether the ledger may expect the number `expected` next: values that were answered with
    /// "unavailable" may count.
    pub(crate) fn may_expect(&self, expected: u64) -> bool {
        let next = self.promised + 1;
        expected == next || (self.unsure && expected > next && expected <= self.count() + 1)
    }

    /// Whether `newest` may be the newest session.
    pub(crate) fn may_be_newest(&self, newest: SessionNumber) -> bool {
        newest == self.session || (self.unsure && newest > self.session)
    }

    /// The value with the next number.
    pub(crate) fn give(&mut self, value: i128) {
        self.history.give(value);
    }

    /// One of several servers has proven a standing, and `floor` values were proven before it was
    /// asked. Another may have proven more meanwhile.
    pub(crate) fn state(&mut self, standing: &Standing, floor: u64) -> Result<(), Violation> {
        self.check(standing)?;
        let last_seq = standing.last_seq.get();
        if last_seq < floor && !self.is_lost {
            return Err(Violation(format!("{}: {floor} counted, and now {last_seq}", self.id)));
        }
        self.promised = self.promised.max(last_seq);
        Ok(())
    }

    /// One of several servers has opened a session.
    pub(crate) fn note_session(&mut self, session: SessionNumber) {
        self.session = self.session.max(session);
    }

    fn sum(&self, last_seq: u64) -> Option<i128> {
        self.history.sum(last_seq)
    }

    /// It is the sum of the first values.
    fn check(&self, standing: &Standing) -> Result<(), Violation> {
        let (last_seq, sum) = (standing.last_seq.get(), standing.sum.get());
        match self.sum(last_seq) {
            Some(expected) if expected == sum => Ok(()),
            Some(expected) => {
                Err(Violation(format!("{}: {last_seq} values are {expected}, not {sum}", self.id)))
            }
            None => {
                Err(Violation(format!("{}: of {} values, {last_seq} count", self.id, self.count())))
            }
        }
    }
}

/// All accounts, and every receipt.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) accounts: Vec<Known>,
    pub(crate) receipts: Vec<Statement>,
}

impl Model {
    pub(crate) fn open_account(&mut self, id: AccountId) -> usize {
        self.accounts.push(Known {
            id,
            number: None,
            history: History::new(),
            promised: 0,
            told: 0,
            session: SessionNumber::NONE,
            unsure: false,
            is_ending: false,
            is_lost: false,
        });
        self.accounts.len() - 1
    }

    pub(crate) fn numbered(&mut self, number: AccountNumber) -> Option<&mut Known> {
        self.accounts.iter_mut().find(|known| known.number == Some(number))
    }

    pub(crate) fn of(&mut self, id: &AccountId) -> Option<&mut Known> {
        self.accounts.iter_mut().find(|known| known.id == *id)
    }

    /// The client's durable part knows no number above `count`.
    pub(crate) fn lose(&mut self, account: usize, count: u64) -> Result<(), Violation> {
        let Some(known) = self.accounts.get_mut(account) else { return Ok(()) };
        if known.promised > count {
            let (id, promised) = (known.id, known.promised);
            return Err(Violation(format!(
                "{id}: {promised} values count, and the outbox gave out {count}"
            )));
        }
        known.history.lose(count);
        Ok(())
    }

    /// A client that was set back goes on from a 20, with `history` for what its numbers mean from
    /// now on: then the ledger must not count anything else under them.
    pub(crate) fn go_on(
        &mut self,
        account: usize,
        history: History,
        last_seq: u64,
    ) -> Result<(), Violation> {
        let Some(known) = self.accounts.get_mut(account) else { return Ok(()) };
        if !known.history.agrees(&history, last_seq) {
            let id = known.id;
            return Err(Violation(format!(
                "{id}: an outbox set back goes on at {last_seq}, and the ledger counts other values: some are lost in silence"
            )));
        }
        known.history = history;
        Ok(())
    }

    /// The ledger has proven a standing: it holds for ever.
    pub(crate) fn promise(known: &mut Known, standing: &Standing) -> Result<(), Violation> {
        known.check(standing)?;
        if standing.last_seq.get() < known.promised {
            let (id, promised) = (known.id, known.promised);
            return Err(Violation(format!(
                "{id}: {promised} counted, and now {}",
                standing.last_seq
            )));
        }
        known.promised = standing.last_seq.get();
        known.unsure = false;
        Ok(())
    }

    /// The ledger could not tell whether an operation took effect.
    pub(crate) fn doubt(&mut self, operation: &Operation) {
        let known = match operation {
            Operation::Open(id) => self.of(id),
            Operation::Add(submission) => self.numbered(submission.account),
            Operation::End(number) => self.numbered(*number),
        };
        if let Some(known) = known {
            known.unsure = true;
        }
    }

    /// A session was opened: its number is above all before it.
    pub(crate) fn opened(known: &mut Known, session: SessionNumber) -> Result<(), Violation> {
        if session <= known.session {
            let (id, newest) = (known.id, known.session);
            return Err(Violation(format!("{id}: session {session} after session {newest}")));
        }
        known.session = session;
        Ok(())
    }

    /// A client learns a standing of its account.
    pub(crate) fn tell(&mut self, account: usize, standing: &Standing) -> Result<(), Violation> {
        let Some(known) = self.accounts.get_mut(account) else { return Ok(()) };
        known.check(standing)?;
        let last_seq = standing.last_seq.get();
        if last_seq < known.told && !known.is_lost {
            let (id, told) = (known.id, known.told);
            return Err(Violation(format!(
                "{id}: a client was told {told} before, and now {last_seq}"
            )));
        }
        if last_seq > known.promised {
            return Err(Violation(format!(
                "{}: a client is told {last_seq} without a proof",
                known.id
            )));
        }
        known.told = last_seq;
        Ok(())
    }

    /// A classic account that an opening has ended: it stays as it was then.
    pub(crate) fn ended(&mut self, id: &AccountId, account: &Account) -> Result<(), Violation> {
        let Some(known) = self.of(id) else { return Err(Violation(format!("{id} is nobody's"))) };
        known.check_account(account)?;
        known.promised = account.standing().last_seq.get();
        known.is_ending = true;
        Ok(())
    }

    /// An ended account may hold values whose sender was answered with status 4: a frame without
    /// room keeps its adds and the account's end, and the ledger writes both once there is room.
    /// P-12 allows it: status 4 promises nothing about the values.
    fn ended_with_more(&mut self, found: &Totals, totals: &mut Totals) {
        let Some(more) =
            found.count.checked_sub(totals.count).and_then(|more| u64::try_from(more).ok())
        else {
            return;
        };
        let sum = found.sum.get() - totals.sum.get();
        let has_more = |known: &&mut Known| {
            let (least, most) = (known.sum(known.promised), known.sum(known.promised + more));
            known.is_ending
                && known.unsure
                && least.zip(most).is_some_and(|(least, most)| most - least == sum)
        };
        if more > 0
            && let Some(known) = self.accounts.iter_mut().find(has_more)
        {
            known.promised += more;
            (totals.count, totals.sum) = (found.count, found.sum);
        }
    }

    /// Whether a database has lost something of an account that it had committed.
    pub(crate) fn has_lost(&self, account: usize) -> bool {
        self.accounts.get(account).is_some_and(|known| known.is_lost)
    }

    /// The values of an entry are those that its numbers mean.
    pub(crate) fn check_entry(&self, entry: &HistoryEntry) -> Result<(), Violation> {
        let (id, number) = (entry.id, entry.number);
        let wrong = |what: &str| Violation(format!("{id}, entry {number}: {what}"));
        let known = self.accounts.iter().find(|known| known.id == id);
        let known = known.ok_or_else(|| wrong("it is nobody's"))?;
        let values = entry.values().ok_or_else(|| wrong("its values cannot be read"))?;
        for (seq, value) in (entry.first_seq.get()..).zip(&values) {
            if known.history.value(seq) != Some(value.get()) {
                return Err(wrong("it has other values than its owner gave"));
            }
        }
        Ok(())
    }

    /// A row has everything that was promised, and the sum of that.
    pub(crate) fn check_row(&self, row: &SharedRow) -> Result<(), Violation> {
        match self.accounts.iter().find(|known| known.id == row.id) {
            Some(known) => known.check_account(&row.account),
            None => Err(Violation(format!("{} is nobody's", row.id))),
        }
    }

    /// Everything promised is there. After a restart what is there is `settled`: it holds from then
    /// on.
    pub(crate) fn check(&mut self, ledger: &Ledger, settled: bool) -> Result<(), Violation> {
        let mut totals = Totals::default();
        for known in &mut self.accounts {
            match ledger.account(&known.id) {
                Some(account) => {
                    known.check_account(&account)?;
                    totals.include(&account);
                    if settled {
                        known.promised = account.standing().last_seq.get();
                        known.session = account.newest_session();
                    }
                }
                None if known.is_ending => {
                    totals.accounts += 1;
                    totals.count += u128::from(known.promised);
                    let sum = known.sum(known.promised).map_or(0, |sum| sum);
                    totals.sum = ddes_wire::Total::new(totals.sum.get() + sum);
                }
                None if known.session != SessionNumber::NONE => {
                    return Err(Violation(format!("{}: the account is gone", known.id)));
                }
                None => {}
            }
        }
        let found = ledger.totals();
        self.ended_with_more(&found, &mut totals);
        if (found.accounts, found.count, found.sum) == (totals.accounts, totals.count, totals.sum) {
            Ok(())
        } else {
            Err(Violation(format!("the totals are {found:?}, and should be {totals:?}")))
        }
    }
}

impl Known {
    fn check_account(&self, account: &Account) -> Result<(), Violation> {
        self.check(&account.standing())?;
        let (id, count) = (self.id, account.count());
        if count < self.promised && !self.is_lost {
            return Err(Violation(format!(
                "{id}: {} were acknowledged, {count} are there",
                self.promised
            )));
        }
        if account.newest_session() < self.session && !self.is_lost {
            let (was, is) = (self.session, account.newest_session());
            return Err(Violation(format!("{id}: session {was} was opened, the newest is {is}")));
        }
        let last = usize::try_from(count)
            .ok()
            .and_then(|count| self.history.extremes.get(count.checked_sub(1)?));
        let found = account.extremes().map(|(min, max)| (Amount::get(min), Amount::get(max)));
        if found == last.copied() {
            Ok(())
        } else {
            Err(Violation(format!("{id}: the extremes are {found:?}, and should be {last:?}")))
        }
    }
}

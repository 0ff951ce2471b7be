//! Accounts that come to the clerk on foot: no session, no handshake, and less polite than a
//! client. They make accounts plenty, classic ones among them.

use ddes_ledger::{AccountId, AccountNumber, Operation, OperationOutcome, Submission};
use ddes_wire::{Amount, Sequence, SessionNumber};

use crate::model::Model;
use crate::random::Random;

pub(crate) struct Walker {
    /// The index of its account in the model.
    pub(crate) account: usize,
    pub(crate) is_classic: bool,
    /// Account and session, where one is open.
    open: Option<(AccountNumber, SessionNumber)>,
    /// Operations without an answer.
    waiting: usize,
    values: Vec<Amount>,
}

impl Walker {
    pub(crate) fn new(account: usize, is_classic: bool) -> Self {
        Self { account, is_classic, open: None, waiting: 0, values: Vec::new() }
    }

    /// The server ended: sessions are over, answers will not come.
    pub(crate) fn lose_server(&mut self) {
        (self.open, self.waiting) = (None, 0);
    }

    /// The answer to the oldest operation.
    pub(crate) fn handle(&mut self, outcome: &OperationOutcome) {
        self.waiting = self.waiting.saturating_sub(1);
        if let OperationOutcome::Opened(Ok(opening)) = outcome {
            self.open = Some((opening.account, opening.session));
        }
    }

    /// What it asks next, if anything.
    pub(crate) fn ask(
        &mut self,
        model: &mut Model,
        classic_next: &mut u64,
        values_max: u64,
        random: &mut Random,
    ) -> Option<Operation> {
        let Some((account, session)) = self.open else {
            if self.waiting > 0 {
                return None;
            }
            self.waiting += 1;
            if self.is_classic {
                // Whatever became of the one before: no number is used twice.
                self.account = model.open_account(AccountId::Classic(*classic_next));
                self.values.clear();
                *classic_next += 1;
            }
            return model.accounts.get(self.account).map(|known| Operation::Open(known.id));
        };
        let known = model.accounts.get_mut(self.account)?;
        if self.is_classic && self.waiting == 0 && random.one_in(30) {
            known.is_ending = true;
            (self.open, self.waiting) = (None, 1);
            return Some(Operation::End(account));
        }
        self.waiting += 1;
        if !self.is_classic && random.one_in(25) {
            // From here on the session it has is an old one, and it may go on with it until it
            // hears of the new.
            return Some(Operation::Open(known.id));
        }
        let first = (known.promised() + 1).saturating_sub(random.below(4)).max(1);
        let first = if random.one_in(20) { first + random.below(3) } else { first };
        let last = first + random.below(8);
        while known.count() < last.min(values_max) {
            let value = if self.is_classic {
                Amount::from(random.u64() >> random.below(64))
            } else {
                Amount::from(random.u64().cast_signed() >> random.below(64))
            };
            known.give(value.get());
            self.values.push(value);
        }
        let from = usize::try_from(first - 1).ok()?;
        let until = usize::try_from(last.min(known.count())).ok()?;
        let amounts = self.values.get(from..until).filter(|amounts| !amounts.is_empty());
        let Some(amounts) = amounts.map(|amounts| amounts.iter().copied().collect()) else {
            self.waiting -= 1;
            return None;
        };
        Some(Operation::Add(Submission {
            account,
            session,
            first_seq: Sequence::new(first),
            amounts,
        }))
    }
}

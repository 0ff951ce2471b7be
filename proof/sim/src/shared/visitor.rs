//! Classic sessions, on foot: each has an account of its own, which is opened with its first value.

use ddes_ledger::{AccountId, AccountNumber, Operation, OperationOutcome, Submission};
use ddes_wire::{Amount, Sequence, SessionNumber};

use crate::model::Model;
use crate::random::Random;

/// A client that sends one value after the other, and begins anew where one does not count.
#[derive(Default)]
pub(crate) struct ClassicVisitor {
    pub(crate) server: usize,
    /// The number of its account, and its place in the model.
    open: Option<(u64, usize)>,
    /// How many values count.
    counted: u64,
    is_waiting: bool,
}

impl ClassicVisitor {
    pub(crate) fn new(server: usize) -> Self {
        Self { server, ..Self::default() }
    }

    /// Its server ended.
    pub(crate) fn lose_server(&mut self) {
        *self = Self::new(self.server);
    }

    /// What it asks next. `number` is the next that its server gives out.
    pub(crate) fn ask(
        &mut self,
        number: &mut u64,
        model: &mut Model,
        random: &mut Random,
    ) -> Vec<Operation> {
        if self.is_waiting {
            return Vec::new();
        }
        let mut asked = Vec::new();
        let (account, place) = match self.open {
            Some((account, _)) if random.one_in(8) => {
                self.lose_server();
                return vec![Operation::End(AccountNumber::Classic(account))];
            }
            Some(open) => open,
            None => {
                let account = *number;
                *number += 1;
                asked.push(Operation::Open(AccountId::Classic(account)));
                *self.open.insert((account, model.open_account(AccountId::Classic(account))))
            }
        };
        let Some(known) = model.accounts.get_mut(place) else { return Vec::new() };
        let value = Amount::from(random.u64() >> random.below(64));
        known.give(value.get());
        self.is_waiting = true;
        asked.push(Operation::Add(Submission {
            account: AccountNumber::Classic(account),
            // It has one session only.
            session: SessionNumber::new(1),
            first_seq: Sequence::new(self.counted + 1),
            amounts: [value].into(),
        }));
        asked
    }

    /// An answer, and the session that is over by it.
    pub(crate) fn handle(&mut self, outcome: &OperationOutcome) -> Option<Operation> {
        match outcome {
            OperationOutcome::Decided(Ok(proof)) => {
                (self.counted, self.is_waiting) = (proof.standing().last_seq.get(), false);
                None
            }
            OperationOutcome::Decided(Err(_)) => {
                let (account, _) = self.open?;
                self.lose_server();
                Some(Operation::End(AccountNumber::Classic(account)))
            }
            OperationOutcome::Opened(_) | OperationOutcome::Ended(_) => None,
        }
    }
}

//! Accounts that come to the keepers on foot, to several servers at once: no session, no handshake,
//! and less polite than a client. They send what is counted already, leave gaps, open elsewhere,
//! and go on with the session that they had.

use ddes_ledger::{AccountNumber, Opening, Operation, OperationOutcome, Refusal, Submission};
use ddes_wire::{Amount, Sequence, SessionNumber};

use crate::model::Model;
use crate::random::Random;

/// Operations of one wanderer at one server without an answer.
const WAITING_MAX: usize = 6;

pub(crate) struct Wanderer {
    /// The index of its account in the model.
    account: usize,
    values: Vec<Amount>,
    /// What it has at each server.
    visits: Vec<Visit>,
}

#[derive(Clone, Copy, Default)]
struct Visit {
    open: Option<(AccountNumber, SessionNumber)>,
    /// The last number that it has sent there, or that it was told of.
    last: u64,
    waiting: usize,
}

impl Wanderer {
    pub(crate) fn new(account: usize, servers: usize) -> Self {
        Self { account, values: Vec::new(), visits: vec![Visit::default(); servers] }
    }

    /// The server ended: its session there is over, answers will not come.
    pub(crate) fn lose_server(&mut self, server: usize) {
        if let Some(visit) = self.visits.get_mut(server) {
            *visit = Visit::default();
        }
    }

    /// What it asks of a server next, if anything.
    pub(crate) fn ask(
        &mut self,
        server: usize,
        model: &mut Model,
        values_max: u64,
        random: &mut Random,
    ) -> Option<Operation> {
        let known = model.accounts.get_mut(self.account)?;
        let visit = self.visits.get_mut(server)?;
        if visit.waiting >= WAITING_MAX || (visit.open.is_none() && visit.waiting > 0) {
            return None;
        }
        let open = visit.open.filter(|_| !random.one_in(40));
        let Some((account, session)) = open else {
            if visit.open.is_none() && !random.one_in(4) {
                return None;
            }
            visit.waiting += 1;
            return Some(Operation::Open(known.id));
        };
        // Mostly the next values; at times some again, and at times with a gap.
        let next = if random.one_in(4) { known.promised() + 1 } else { visit.last + 1 };
        let first = match random.below(10) {
            0 | 1 => next.saturating_sub(1 + random.below(4)).max(1),
            2 => next + 1 + random.below(3),
            _ => next,
        };
        let last = (first + random.below(5)).min(values_max);
        while known.count() < last {
            let value = Amount::from(random.u64().cast_signed() >> random.below(64));
            known.give(value.get());
            self.values.push(value);
        }
        let from = usize::try_from(first - 1).ok()?;
        let amounts = self.values.get(from..usize::try_from(last).ok()?)?;
        if amounts.is_empty() {
            return None;
        }
        visit.waiting += 1;
        if first == visit.last + 1 {
            // As a client does that sends ahead of the answers.
            visit.last = last;
        }
        let (first_seq, amounts) = (Sequence::new(first), amounts.iter().copied().collect());
        Some(Operation::Add(Submission { account, session, first_seq, amounts }))
    }

    /// An answer of a server, and the session there that is over by it.
    pub(crate) fn handle(
        &mut self,
        server: usize,
        outcome: &OperationOutcome,
        random: &mut Random,
    ) -> Option<Operation> {
        let visit = self.visits.get_mut(server)?;
        visit.waiting = visit.waiting.saturating_sub(1);
        match outcome {
            OperationOutcome::Opened(Ok(Opening { account, session, proof })) => {
                visit.last = proof.standing().last_seq.get();
                let older = visit.open.replace((*account, *session));
                older.map(|(account, _)| Operation::End(account))
            }
            OperationOutcome::Decided(Ok(proof)) => {
                visit.last = visit.last.max(proof.standing().last_seq.get());
                None
            }
            OperationOutcome::Decided(Err(Refusal::Gap { expected })) => {
                visit.last = expected.get() - 1;
                None
            }
            // It goes on for a while, then comes in again.
            OperationOutcome::Decided(Err(Refusal::Superseded { .. } | Refusal::Unavailable))
                if random.one_in(4) =>
            {
                visit.open.take().map(|(account, _)| Operation::End(account))
            }
            OperationOutcome::Decided(Err(_))
            | OperationOutcome::Opened(Err(_))
            | OperationOutcome::Ended(_) => None,
        }
    }
}

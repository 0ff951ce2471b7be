//! Servers that fight for a few accounts, and what they must never be told.
//!
//! Each number of an account has one right value. A session sends it for as long as no newer one is
//! known to be open, and a wrong value afterwards: if that is ever counted, the sum shows it.

use std::collections::HashMap;

use ddes_ledger::shared::{Audited, HistoryEntry, SharedRow};
use ddes_ledger::{AccountId, AccountNumber, Operation, OperationOutcome, Refusal, Submission};
use ddes_wire::{Amount, Sequence, SessionNumber};

/// Xorshift64 (Marsaglia, 2003).
#[derive(Debug)]
pub(crate) struct FightDice(u64);

impl FightDice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// What a server knows of an account.
#[derive(Clone, Copy, Debug)]
struct FightSession {
    number: AccountNumber,
    session: SessionNumber,
    last_seq: u64,
}

/// What everybody was told of an account.
#[derive(Clone, Copy, Debug, Default)]
struct FightTold {
    session: u64,
    last_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    account: usize,
    /// The session of a submission; 0 for an opening.
    session: u64,
    first: u64,
    last: u64,
    /// What everybody had been told before.
    told: FightTold,
}

#[derive(Debug)]
pub(crate) struct Fight {
    ids: Vec<AccountId>,
    told: Vec<FightTold>,
    /// The right sums of each account, from that of no values on.
    sums: Vec<Vec<i128>>,
    servers: Vec<HashMap<usize, FightSession>>,
    asked: HashMap<u64, Asked>,
    token: u64,
    pub(crate) violations: Vec<String>,
    /// Acknowledged submissions and openings, and refusals by kind.
    pub(crate) proofs: u64,
    pub(crate) openings: u64,
    pub(crate) gaps: u64,
    pub(crate) superseded: u64,
    pub(crate) unavailable: u64,
}

impl Fight {
    pub(crate) fn new(servers: usize, accounts: usize) -> Self {
        let id = |at: usize| {
            let mut key = [7; 32];
            key[..8]
                .copy_from_slice(&(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            AccountId::Identity(key)
        };
        Self {
            ids: (0..accounts).map(id).collect(),
            told: vec![FightTold::default(); accounts],
            sums: vec![vec![0]; accounts],
            servers: vec![HashMap::new(); servers],
            asked: HashMap::new(),
            token: 0,
            violations: Vec::new(),
            proofs: 0,
            openings: 0,
            gaps: 0,
            superseded: 0,
            unavailable: 0,
        }
    }

    /// The right value of a number.
    fn value(account: usize, seq: u64) -> i64 {
        let mixed = (account as u64 + 1).wrapping_mul(seq.wrapping_mul(0x2545_f491_4f6c_dd1d));
        i64::try_from(mixed >> 40).unwrap() - (1 << 23)
    }

    /// The right sum up to a number.
    fn sum(&mut self, account: usize, last_seq: u64) -> i128 {
        let sums = &mut self.sums[account];
        while let Some(last) = sums.last().filter(|_| sums.len() as u64 <= last_seq) {
            sums.push(last + i128::from(Self::value(account, sums.len() as u64)));
        }
        sums[usize::try_from(last_seq).unwrap()]
    }

    /// What one server's clients send next.
    pub(crate) fn next(&mut self, server: usize, dice: &mut FightDice) -> Vec<(u64, Operation)> {
        let many = 1 + dice.below(6);
        (0..many).map(|_| self.next_one(server, dice)).collect()
    }

    fn next_one(&mut self, server: usize, dice: &mut FightDice) -> (u64, Operation) {
        self.token += 1;
        let account = usize::try_from(dice.below(self.ids.len() as u64)).unwrap();
        let told = self.told[account];
        let known = self.servers[server].get(&account).copied();
        let Some(mut known) = known.filter(|_| !dice.one_in(60)) else {
            let asked = Asked { account, session: 0, first: 0, last: 0, told };
            self.asked.insert(self.token, asked);
            return (self.token, Operation::Open(self.ids[account]));
        };
        let session = known.session.get();
        let is_newest = session >= told.session;
        // Mostly the next values; at times some again, and at times with a gap.
        let next = known.last_seq + 1;
        let first = match dice.below(10) {
            0 | 1 => next.saturating_sub(1 + dice.below(4)).max(1),
            2 => next + 1 + dice.below(3),
            _ => next,
        };
        let count = 1 + dice.below(4);
        let last = first + count - 1;
        let value = |seq| Self::value(account, seq) + if is_newest { 0 } else { 1 };
        let amounts = (first..=last).map(|seq| Amount::from(value(seq))).collect();
        if first == next {
            // As a client does that sends ahead of the answers.
            known.last_seq = last;
            self.servers[server].insert(account, known);
        }
        let asked = Asked { account, session, first, last, told };
        self.asked.insert(self.token, asked);
        let submission = Submission {
            account: known.number,
            session: known.session,
            first_seq: Sequence::new(first),
            amounts,
        };
        (self.token, Operation::Add(submission))
    }

    /// What a server answers.
    pub(crate) fn answer(&mut self, server: usize, token: u64, outcome: &OperationOutcome) {
        let Some(asked) = self.asked.remove(&token) else {
            return self.violations.push(format!("{token} is answered twice"));
        };
        let account = asked.account;
        match outcome {
            OperationOutcome::Opened(Ok(opening)) => {
                self.openings += 1;
                let standing = opening.proof.standing();
                let session = opening.session.get();
                if session <= asked.told.session {
                    self.wrong(&asked, format!("session {session} opened after a newer one"));
                }
                self.check(&asked, standing.last_seq.get(), standing.sum.get());
                let told = &mut self.told[account];
                told.session = told.session.max(session);
                let known = FightSession {
                    number: opening.account,
                    session: opening.session,
                    last_seq: standing.last_seq.get(),
                };
                self.servers[server].insert(account, known);
            }
            OperationOutcome::Decided(Ok(proof)) => {
                self.proofs += 1;
                let standing = proof.standing();
                if asked.session < asked.told.session {
                    self.wrong(&asked, "a superseded session is accepted".into());
                }
                if standing.last_seq.get() < asked.last {
                    self.wrong(&asked, format!("the proof ends at {}", standing.last_seq));
                }
                self.check(&asked, standing.last_seq.get(), standing.sum.get());
                if let Some(known) = self.servers[server].get_mut(&account) {
                    known.last_seq = known.last_seq.max(standing.last_seq.get());
                }
            }
            OperationOutcome::Decided(Err(Refusal::Gap { expected })) => {
                self.gaps += 1;
                if asked.first <= asked.told.last_seq + 1 {
                    self.wrong(&asked, format!("a gap is claimed, {expected} was expected"));
                }
                if let Some(known) = self.servers[server].get_mut(&account) {
                    known.last_seq = expected.get() - 1;
                }
            }
            OperationOutcome::Decided(Err(Refusal::Superseded { newest })) => {
                self.superseded += 1;
                if newest.get() <= asked.session {
                    self.wrong(&asked, format!("superseded by {newest}"));
                }
                // A client of this server goes on for a while, then comes in again.
                if token.is_multiple_of(8) {
                    self.servers[server].remove(&account);
                }
            }
            OperationOutcome::Decided(Err(Refusal::Unavailable))
            | OperationOutcome::Opened(Err(Refusal::Unavailable)) => {
                self.unavailable += 1;
                self.servers[server].remove(&account);
            }
            OperationOutcome::Decided(Err(Refusal::Malformed))
            | OperationOutcome::Opened(Err(_))
            | OperationOutcome::Ended(_) => self.wrong(&asked, format!("{outcome:?}")),
        }
    }

    fn check(&mut self, asked: &Asked, last_seq: u64, sum: i128) {
        if last_seq < asked.told.last_seq {
            self.wrong(asked, format!("the standing went back to {last_seq}"));
        }
        if sum != self.sum(asked.account, last_seq) {
            self.wrong(asked, format!("the sum at {last_seq} is {sum}"));
        }
        let told = &mut self.told[asked.account];
        told.last_seq = told.last_seq.max(last_seq);
    }

    fn wrong(&mut self, asked: &Asked, why: String) {
        self.violations.push(format!("{asked:?}: {why}"));
    }

    /// Whether something is not answered yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Compares rows and history with each other and with what was acknowledged. The history is
    /// sorted by account and number.
    pub(crate) fn audit(&mut self, rows: &[SharedRow], history: &[HistoryEntry]) {
        let mut audited: HashMap<AccountId, Audited> = HashMap::new();
        for entry in history {
            let account = audited.entry(entry.id).or_insert_with(|| Audited::new(entry.id));
            if let Err(error) = account.take(entry) {
                self.violations.push(error.to_string());
            }
        }
        for row in rows {
            let account = audited.entry(row.id).or_insert_with(|| Audited::new(row.id));
            if let Err(error) = account.compare(row) {
                self.violations.push(error.to_string());
            }
        }
        for (at, id) in self.ids.clone().iter().enumerate() {
            let (told, found) = (self.told[at], audited.get(id).map(|found| found.row().account));
            let Some(found) = found else {
                if told.session > 0 {
                    self.violations.push(format!("account {at} was acknowledged, and is gone"));
                }
                continue;
            };
            let (last_seq, sum) = (found.count(), found.standing().sum.get());
            if last_seq < told.last_seq || found.newest_session().get() < told.session {
                self.violations.push(format!("account {at} lost what was acknowledged: {told:?}"));
            }
            if sum != self.sum(at, last_seq) {
                self.violations.push(format!("account {at} has the sum {sum} at {last_seq}"));
            }
        }
    }
}

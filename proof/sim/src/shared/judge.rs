//! The rules of "Exactly once" where several servers decide: what was told before something was
//! asked holds for its answer. What is told meanwhile may come first or last.

use std::collections::BTreeSet;
use std::time::Instant;

use ddes_ledger::{AccountId, Opening, Operation, OperationOutcome, Refusal, Submission};
use ddes_wire::SessionNumber;

use super::database::SimDatabase;
use super::keeper::PATIENCE;
use crate::model::{Known, Model, Violation};
use crate::server::To;

/// An operation that a server has.
pub(crate) struct SimAsked {
    pub(crate) to: To,
    pub(crate) operation: Operation,
    pub(crate) account: AccountId,
    pub(crate) at: Instant,
    /// How many values were proven to count.
    pub(crate) promised: u64,
    /// The newest session that was proven.
    pub(crate) session: SessionNumber,
}

/// What a server may say of itself.
#[derive(Clone, Copy)]
pub(crate) struct Excuse {
    pub(crate) now: Instant,
    /// It stops.
    pub(crate) is_stopping: bool,
    /// It had trouble with its database.
    pub(crate) had_trouble: bool,
}

/// Every session that was opened.
#[derive(Default)]
pub(crate) struct SimJudge {
    opened: BTreeSet<(AccountId, SessionNumber)>,
}

impl SimJudge {
    /// Holds an outcome to the rules.
    pub(crate) fn judge(
        &mut self,
        model: &mut Model,
        database: &SimDatabase,
        asked: &SimAsked,
        outcome: &OperationOutcome,
        excuse: Excuse,
    ) -> Result<(), Violation> {
        let id = asked.account;
        let Some(known) = model.of(&id) else {
            return Err(Violation(format!("{id} is nobody's")));
        };
        match (&asked.operation, outcome) {
            (Operation::Open(_), OperationOutcome::Opened(Ok(opening))) => {
                self.opened(known, asked, opening)?;
                witness(known, database, opening.proof.standing().last_seq.get())?;
                let newest = database.durable(&id).map(|row| row.account.newest_session());
                if newest < Some(opening.session) && !known.is_lost {
                    return Err(Violation(format!("{id}: its opening is not durable")));
                }
                known.state(&opening.proof.standing(), asked.promised)
            }
            (Operation::Add(submission), OperationOutcome::Decided(Ok(proof))) => {
                let standing = proof.standing();
                if submission.session < asked.session && !known.is_lost {
                    let (session, newest) = (submission.session, asked.session);
                    return Err(Violation(format!("{id}: {session} adds after {newest} opened")));
                }
                if standing.last_seq.get() < last_of(submission) {
                    return Err(Violation(format!("{id}: a part of a submission counts")));
                }
                witness(known, database, standing.last_seq.get())?;
                known.state(&standing, asked.promised)
            }
            (Operation::Add(submission), OperationOutcome::Decided(Err(refusal))) => {
                refused(known, database, asked, submission, *refusal, excuse)
            }
            (Operation::Open(_), OperationOutcome::Opened(Err(Refusal::Unavailable)))
                if excuse.had_trouble || excuse.is_stopping =>
            {
                Ok(())
            }
            (Operation::End(_), OperationOutcome::Ended(Ok(()))) => Ok(()),
            (operation, outcome) => Err(Violation(format!("{operation:?} came to {outcome:?}"))),
        }
    }

    fn opened(
        &mut self,
        known: &mut Known,
        asked: &SimAsked,
        opening: &Opening,
    ) -> Result<(), Violation> {
        let (id, session) = (known.id, opening.session);
        let is_new = self.opened.insert((id, session));
        if !known.is_lost && (!is_new || session <= asked.session) {
            let newest = asked.session;
            return Err(Violation(format!("{id}: session {session} opens after {newest}")));
        }
        known.note_session(session);
        Ok(())
    }
}

fn last_of(submission: &Submission) -> u64 {
    submission.first_seq.get() + submission.amounts.len() as u64 - 1
}

/// What is acknowledged is durable already.
fn witness(known: &Known, database: &SimDatabase, last_seq: u64) -> Result<(), Violation> {
    let found = database.durable(&known.id).map_or(0, |row| row.account.count());
    if found < last_seq && !known.is_lost {
        let id = known.id;
        return Err(Violation(format!("{id}: {last_seq} are acknowledged, {found} are durable")));
    }
    Ok(())
}

fn refused(
    known: &Known,
    database: &SimDatabase,
    asked: &SimAsked,
    submission: &Submission,
    refusal: Refusal,
    excuse: Excuse,
) -> Result<(), Violation> {
    let newest_there = database.row(&known.id).map(|row| row.account.newest_session());
    let is_right = match refusal {
        Refusal::Superseded { newest } => {
            // A classic session goes on to ask when it could not be opened.
            if newest == SessionNumber::NONE && matches!(known.id, AccountId::Classic(_)) {
                return excuse_unopened(known, excuse);
            }
            let is_newer = newest > submission.session && newest >= asked.session;
            // After a loss numbers are given out again.
            let is_other = known.is_lost && newest != submission.session;
            is_other || is_newer && Some(newest) <= newest_there
        }
        Refusal::Gap { expected } => {
            let is_late = expected.get() > asked.promised || known.is_lost;
            submission.first_seq > expected && is_late && expected.get() <= known.count() + 1
        }
        Refusal::Unavailable => excuse.is_stopping || excuse.now - asked.at >= PATIENCE,
        Refusal::Malformed => false,
    };
    if is_right {
        Ok(())
    } else {
        let (id, session) = (known.id, submission.session);
        Err(Violation(format!("{id}: session {session} is refused with {refusal:?}")))
    }
}

fn excuse_unopened(known: &Known, excuse: Excuse) -> Result<(), Violation> {
    let was_refused = known.session() == SessionNumber::NONE && excuse.had_trouble;
    was_refused.then_some(()).ok_or_else(|| Violation(format!("{}: it was opened", known.id)))
}

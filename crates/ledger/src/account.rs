//! One account and its rules (D-DDES/2, "Exactly once").

use ddes_wire::{Amount, SessionNumber, Standing, Total};

use crate::{Refusal, Submission};

#[derive(Debug, Default)]
pub(crate) struct Account {
    newest_session: SessionNumber,
    standing: Standing,
}

impl Account {
    pub(crate) fn open_session(&mut self) -> Result<SessionNumber, ddes_wire::OverflowError> {
        self.newest_session = self.newest_session.next()?;
        Ok(self.newest_session)
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// Counts what was not counted before, all or none.
    pub(crate) fn apply(&mut self, submission: &Submission) -> Result<Standing, Refusal> {
        if submission.session != self.newest_session {
            return Err(Refusal::Superseded { newest: self.newest_session });
        }
        let fresh = self.fresh(submission)?;
        if fresh.is_empty() {
            return Ok(self.standing);
        }
        let sum = fresh.iter().try_fold(self.standing.sum, |sum: Total, amount| sum.plus(*amount))?;
        let last_seq = self.standing.last_seq.forward(fresh.len() as u64)?;
        self.standing = Standing { last_seq, last_session: submission.session, sum };
        Ok(self.standing)
    }

    /// The values of `submission` that are numbered above `last_seq`.
    fn fresh<'a>(&self, submission: &'a Submission) -> Result<&'a [Amount], Refusal> {
        let first = submission.first_seq.get();
        if first == 0 || submission.amounts.is_empty() {
            return Err(Refusal::Malformed);
        }
        submission.first_seq.forward(submission.amounts.len() as u64 - 1)?;
        let expected = self.standing.last_seq.forward(1)?;
        let counted = expected.get().checked_sub(first).ok_or(Refusal::Gap { expected })?;
        let counted = usize::try_from(counted).unwrap_or(usize::MAX);
        Ok(submission.amounts.get(counted..).unwrap_or(&[]))
    }
}

//! One account and its rules (D-DDES/2, "Exactly once").

use ddes_wire::{Amount, OverflowError, Sequence, SessionNumber, Standing, Total};

use crate::{Refusal, Submission};

/// Microseconds since 1970 by the server's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// An account: its session, its total, and what the values were like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    newest_session: SessionNumber,
    standing: Standing,
    /// Smallest and greatest value; meaningless without values.
    min: Amount,
    max: Amount,
    first_secs: u32,
    last_secs: u32,
}

impl Account {
    /// The session that may add.
    pub fn newest_session(&self) -> SessionNumber {
        self.newest_session
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// How many values it has counted: [`Standing::last_seq`], as a count.
    pub fn count(&self) -> u64 {
        self.standing.last_seq.get()
    }

    /// The smallest and the greatest value; `None` without values.
    pub fn extremes(&self) -> Option<(Amount, Amount)> {
        (self.count() > 0).then_some((self.min, self.max))
    }

    /// When the first and the newest value came, in whole seconds since 1970 (up to 2106); `None` without values.
    pub fn times(&self) -> Option<(u32, u32)> {
        (self.count() > 0).then_some((self.first_secs, self.last_secs))
    }

    /// Without history.
    pub(crate) fn new(newest_session: SessionNumber) -> Self {
        Self { newest_session, ..Self::default() }
    }

    pub(crate) fn open_session(&mut self) -> Result<SessionNumber, OverflowError> {
        let next = self.newest_session.next()?;
        // What the packed form holds: 2^48 sessions.
        if next.get() >= 1 << SESSION_BITS {
            return Err(OverflowError);
        }
        self.newest_session = next;
        Ok(next)
    }

    /// No session that was ever given out may add, nor may its number be given out again.
    pub(crate) fn raise(&mut self) -> Result<(), OverflowError> {
        let raised = self.newest_session.get() + (1 << RAISE_BITS);
        if raised >= 1 << SESSION_BITS {
            return Err(OverflowError);
        }
        self.newest_session = SessionNumber::new(raised);
        Ok(())
    }

    /// Counts what was not counted before, all or none; the values that are new.
    pub(crate) fn apply<'a>(
        &mut self,
        now: Timestamp,
        submission: &'a Submission,
    ) -> Result<&'a [Amount], Refusal> {
        if submission.session != self.newest_session && !cfg!(ddes_mutant = "no-fencing") {
            return Err(Refusal::Superseded { newest: self.newest_session });
        }
        let fresh = self.fresh(submission)?;
        if !fresh.is_empty() {
            self.count_in(now, submission.session, fresh)?;
        }
        Ok(fresh)
    }

    /// Counts `fresh` after what is counted.
    pub(crate) fn count_in(
        &mut self,
        now: Timestamp,
        session: SessionNumber,
        fresh: &[Amount],
    ) -> Result<(), OverflowError> {
        let [first, rest @ ..] = fresh else { return Ok(()) };
        let (mut sum, mut min, mut max) = (self.standing.sum.plus(*first)?, *first, *first);
        for amount in rest {
            sum = sum.plus(*amount)?;
            (min, max) = (min.min(*amount), max.max(*amount));
        }
        let last_seq = self.standing.last_seq.forward(fresh.len() as u64)?;
        let secs = u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX);
        if self.count() == 0 {
            (self.min, self.max, self.first_secs) = (min, max, secs);
        }
        (self.min, self.max, self.last_secs) = (self.min.min(min), self.max.max(max), secs);
        self.standing = Standing { last_seq, last_session: session, sum };
        Ok(())
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
        let counted = if cfg!(ddes_mutant = "count-twice") { 0 } else { counted };
        let counted = usize::try_from(counted).unwrap_or(usize::MAX);
        Ok(submission.amounts.get(counted..).unwrap_or(&[]))
    }
}

/// A session number has so many bits, which leaves room for 2^32 sessions between any two of 2^16 restores.
const SESSION_BITS: u32 = 48;
/// A restore raises by 2^32 (D-DDES/2, "Exactly once").
pub(crate) const RAISE_BITS: u32 = 32;

/// An account at rest, in memory and in checkpoints, little-endian:
///
/// ```text
/// newest session u48 || last session u48 || last_seq u64 || sum i128 || min 8 || max 8 || first u32 s || last u32 s
/// ```
///
/// `min` and `max` are the low 64 bits; as `i64` for identities, as `u64` for classic accounts, which is what either wire can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) [u8; Self::BYTES]);

impl Packed {
    pub(crate) const BYTES: usize = 6 + 6 + 8 + 16 + 8 + 8 + 4 + 4;

    pub(crate) fn new(account: &Account) -> Self {
        let mut bytes = [0; Self::BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
            at += field.len();
        };
        let standing = &account.standing;
        put(&account.newest_session.get().to_le_bytes()[..6]);
        put(&standing.last_session.get().to_le_bytes()[..6]);
        put(&standing.last_seq.get().to_le_bytes());
        put(&standing.sum.get().to_le_bytes());
        put(&account.min.get().to_le_bytes()[..8]);
        put(&account.max.get().to_le_bytes()[..8]);
        put(&account.first_secs.to_le_bytes());
        put(&account.last_secs.to_le_bytes());
        Self(bytes)
    }

    pub(crate) fn unpack(&self, is_classic: bool) -> Account {
        let mut rest = &self.0[..];
        let mut take = |count: usize| {
            let (field, after) = rest.split_at_checked(count).unwrap_or((&[], &[]));
            rest = after;
            let mut wide = [0; 16];
            wide[..field.len()].copy_from_slice(field);
            u128::from_le_bytes(wide)
        };
        let mut take64 = |count| u64::try_from(take(count)).unwrap_or(u64::MAX);
        let newest_session = SessionNumber::new(take64(6));
        let last_session = SessionNumber::new(take64(6));
        let last_seq = Sequence::new(take64(8));
        let sum = Total::new(take(16).cast_signed());
        let mut amount = || {
            let bits = u64::try_from(take(8)).unwrap_or(u64::MAX);
            if is_classic { Amount::from(bits) } else { Amount::from(bits.cast_signed()) }
        };
        let (min, max) = (amount(), amount());
        let mut secs = || u32::try_from(take(4)).unwrap_or(u32::MAX);
        let (first_secs, last_secs) = (secs(), secs());
        let standing = Standing { last_seq, last_session, sum };
        Account { newest_session, standing, min, max, first_secs, last_secs }
    }
}

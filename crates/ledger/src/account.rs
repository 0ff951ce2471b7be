//! One account and its rules (D-DDES/2, "Exactly once").

use ddes_wire::{Amount, OverflowError, Sequence, SessionNumber, Standing, Total, saturating};

use crate::{Refusal, Submission};

/// Microseconds since 1970 by the server's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since 1970; `u32::MAX` from 2106 on, so that a later value is not early.
    fn saturating_secs(self) -> u32 {
        saturating::to_u32(self.0 / 1_000_000)
    }
}

/// An account: its newest session, its total, and the extremes and times of its values.
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

/// The parts of an account that a store holds outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountParts {
    /// The session that may add.
    pub newest_session: SessionNumber,
    /// Last number, last session and sum.
    pub standing: Standing,
    /// The smallest and the greatest value; of no meaning without values.
    pub extremes: (Amount, Amount),
    /// When the first and the newest value came, in seconds since 1970; of no meaning without
    /// values.
    pub times: (u32, u32),
}

impl Account {
    /// The account of these parts. Without values it has neither extremes nor times. `None` if a
    /// session number is beyond its range.
    pub fn of_parts(parts: &AccountParts) -> Option<Self> {
        let AccountParts { newest_session, standing, extremes, times } = *parts;
        if newest_session.max(standing.last_session).get() >= 1 << SESSION_BITS {
            return None;
        }
        if standing.last_seq == Sequence::NONE {
            return Some(Self { newest_session, standing, ..Self::default() });
        }
        let ((min, max), (first_secs, last_secs)) = (extremes, times);
        Some(Self { newest_session, standing, min, max, first_secs, last_secs })
    }

    /// The session that may add.
    pub fn newest_session(&self) -> SessionNumber {
        self.newest_session
    }

    /// Its last number, last session and sum.
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

    /// When the first and the newest value came, in whole seconds since 1970 (up to 2106); `None`
    /// without values.
    pub fn times(&self) -> Option<(u32, u32)> {
        (self.count() > 0).then_some((self.first_secs, self.last_secs))
    }

    /// An account without values.
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

    /// Opens the session numbered `session`, which a history states. It may be further on than the
    /// next one, after a raise. `None` if it was given out before, or is beyond the range.
    pub(crate) fn open_session_as(&mut self, session: SessionNumber) -> Option<()> {
        let is_next = session > self.newest_session && session.get() < 1 << SESSION_BITS;
        is_next.then(|| self.newest_session = session)
    }

    /// Ends every session of the account: its session numbers continue 2^32 further on.
    pub(crate) fn raise(&mut self) -> Result<(), OverflowError> {
        let raised = self.newest_session.get() + (1 << RAISE_BITS);
        if raised >= 1 << SESSION_BITS {
            return Err(OverflowError);
        }
        self.newest_session = SessionNumber::new(raised);
        Ok(())
    }

    /// Counts all values that were not counted before, or none; returns those.
    #[inline]
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

    /// Counts `fresh`, whose first value has the number after the last one counted.
    #[inline]
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
        let secs = now.saturating_secs();
        if self.count() == 0 {
            (self.min, self.max, self.first_secs) = (min, max, secs);
        }
        (self.min, self.max, self.last_secs) = (self.min.min(min), self.max.max(max), secs);
        self.standing = Standing { last_seq, last_session: session, sum };
        Ok(())
    }

    /// The values of `submission` that are numbered above `last_seq`.
    #[inline]
    fn fresh<'a>(&self, submission: &'a Submission) -> Result<&'a [Amount], Refusal> {
        let first = submission.first_seq.get();
        if first == 0 || submission.amounts.is_empty() {
            return Err(Refusal::Malformed);
        }
        submission.first_seq.forward(submission.amounts.len() as u64 - 1)?;
        let expected = self.standing.last_seq.forward(1)?;
        let counted = expected.get().checked_sub(first).ok_or(Refusal::Gap { expected })?;
        let counted = if cfg!(ddes_mutant = "count-twice") { 0 } else { counted };
        // A submission may repeat counted values only: then none is fresh.
        let len = submission.amounts.len();
        let counted = usize::try_from(counted).map_or(len, |counted| counted.min(len));
        Ok(&submission.amounts[counted..])
    }
}

/// Bits of a session number: room for 2^16 restores, and for 2^32 sessions between two of them.
const SESSION_BITS: u32 = 48;
/// A restore raises by 2^32 (D-DDES/2, "Exactly once").
pub(crate) const RAISE_BITS: u32 = 32;

/// An account as memory and checkpoints hold it, little-endian:
///
/// ```text
/// newest session u48 || last session u48 || last_seq u64 || sum i128 || min 8 || max 8
/// || first u32 s || last u32 s
/// ```
///
/// `min` and `max` are the low 64 bits: an `i64` of an identity, a `u64` of a classic account, as
/// the account's wire sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) [u8; Self::BYTES]);

impl Packed {
    pub(crate) const BYTES: usize = 6 + 6 + 8 + 16 + 8 + 8 + 4 + 4;

    pub(crate) fn new(account: &Account) -> Self {
        let mut packed = Self([0; Self::BYTES]);
        packed.set(account);
        packed
    }

    /// Writes in place: to build a packed account and move it takes longer than packing.
    #[inline]
    pub(crate) fn set(&mut self, account: &Account) {
        let standing = &account.standing;
        // In this order: a number of 48 bits is put as one of 64, whose top the next one covers.
        self.put::<0>(account.newest_session.get());
        self.put::<6>(standing.last_session.get());
        self.put::<12>(standing.last_seq.get());
        let [sum_low, sum_high] = halves(standing.sum.get());
        self.put::<20>(sum_low);
        self.put::<28>(sum_high);
        self.put::<36>(halves(account.min.get())[0]);
        self.put::<44>(halves(account.max.get())[0]);
        self.put::<52>(u64::from(account.first_secs) | u64::from(account.last_secs) << 32);
    }

    #[inline]
    pub(crate) fn unpack(&self, is_classic: bool) -> Account {
        let session = |bits: u64| SessionNumber::new(bits & ((1 << SESSION_BITS) - 1));
        let amount = |bits: u64| {
            if is_classic { Amount::from(bits) } else { Amount::from(bits.cast_signed()) }
        };
        let (last_seq, sum) = self.count_and_sum();
        let standing = Standing {
            last_seq: Sequence::new(last_seq),
            last_session: session(self.get::<6>()),
            sum,
        };
        let [.., a, b, c, d, e, f, g, h] = self.0;
        Account {
            newest_session: session(self.get::<0>()),
            standing,
            min: amount(self.get::<36>()),
            max: amount(self.get::<44>()),
            first_secs: u32::from_le_bytes([a, b, c, d]),
            last_secs: u32::from_le_bytes([e, f, g, h]),
        }
    }

    #[inline]
    pub(crate) fn count_and_sum(&self) -> (u64, Total) {
        let sum = u128::from(self.get::<28>()) << 64 | u128::from(self.get::<20>());
        (self.get::<12>(), Total::new(sum.cast_signed()))
    }

    #[inline]
    fn get<const AT: usize>(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[AT..AT + 8]);
        u64::from_le_bytes(bytes)
    }

    #[inline]
    fn put<const AT: usize>(&mut self, bits: u64) {
        self.0[AT..AT + 8].copy_from_slice(&bits.to_le_bytes());
    }
}

/// The low and the high 64 bits.
#[allow(clippy::cast_possible_truncation, reason = "the two halves of a u128")]
fn halves(number: i128) -> [u64; 2] {
    let bits = number.cast_unsigned();
    [bits as u64, (bits >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(first_seq: u64, values: &[i64]) -> Submission {
        Submission {
            account: crate::AccountNumber::Identity(0),
            session: SessionNumber::new(1),
            first_seq: Sequence::new(first_seq),
            amounts: values.iter().map(|value| Amount::from(*value)).collect(),
        }
    }

    fn account(last_seq: u64, sum: i128) -> Account {
        let standing = Standing {
            last_seq: Sequence::new(last_seq),
            last_session: SessionNumber::new(1),
            sum: Total::new(sum),
        };
        Account { newest_session: SessionNumber::new(1), standing, ..Account::default() }
    }

    #[test]
    fn a_sum_or_a_number_beyond_its_range_is_refused_and_nothing_counts() {
        let now = Timestamp(1);
        for (sum, values, fits) in [
            (i128::MAX - 5, &[5][..], true),
            (i128::MAX - 5, &[6], false),
            (i128::MAX - 5, &[5, 1], false),
            (i128::MIN + 5, &[-5], true),
            (i128::MIN + 5, &[-6], false),
        ] {
            let mut found = account(3, sum);
            let applied = found.apply(now, &submission(4, values)).map(<[_]>::len);
            assert_eq!(applied.is_ok(), fits, "{values:?}");
            let expected = if fits { sum + i128::from(values[0]) } else { sum };
            assert_eq!(
                (found.count(), found.standing().sum.get()),
                (3 + u64::from(fits), expected)
            );
        }
        for (values, fits) in [(&[1, 1][..], true), (&[1, 1, 1], false)] {
            let mut found = account(u64::MAX - 2, 0);
            let applied = found.apply(now, &submission(u64::MAX - 1, values)).map(<[_]>::len);
            let expected = if fits { u64::MAX } else { u64::MAX - 2 };
            assert_eq!((applied.is_ok(), found.count()), (fits, expected), "{values:?}");
        }
    }

    #[test]
    fn session_numbers_end_where_the_packed_form_does_also_for_a_restore() {
        let last = (1 << SESSION_BITS) - 1;
        let mut found = Account::new(SessionNumber::new(last - 1));
        assert_eq!(found.open_session(), Ok(SessionNumber::new(last)));
        assert_eq!(
            (found.open_session(), found.newest_session().get()),
            (Err(OverflowError), last)
        );
        for (newest, raised) in
            [(last - (1 << RAISE_BITS), Ok(())), (last - (1 << RAISE_BITS) + 1, Err(OverflowError))]
        {
            let mut found = Account::new(SessionNumber::new(newest));
            assert_eq!(found.raise(), raised);
            let expected = newest + if raised.is_ok() { 1 << RAISE_BITS } else { 0 };
            assert_eq!(found.newest_session().get(), expected);
        }
    }

    #[test]
    fn an_account_has_the_parts_that_a_store_gives_it() {
        let standing = Standing {
            last_seq: Sequence::new(3),
            last_session: SessionNumber::new(4),
            sum: Total::new(-7),
        };
        let parts = AccountParts {
            newest_session: SessionNumber::new(5),
            standing,
            extremes: (Amount::from(-9_i64), Amount::from(2_i64)),
            times: (10, 11),
        };
        let found = Account::of_parts(&parts).unwrap();
        assert_eq!((found.newest_session(), found.standing()), (parts.newest_session, standing));
        assert_eq!((found.extremes(), found.times()), (Some(parts.extremes), Some(parts.times)));

        let empty = AccountParts { standing: Standing::default(), ..parts };
        let found = Account::of_parts(&empty).unwrap();
        assert_eq!(found, Account::new(parts.newest_session));
        assert_eq!((found.extremes(), found.times()), (None, None));

        let last = SessionNumber::new((1 << SESSION_BITS) - 1);
        let beyond = SessionNumber::new(1 << SESSION_BITS);
        let of = |newest_session, last_session| {
            let standing = Standing { last_session, ..standing };
            Account::of_parts(&AccountParts { newest_session, standing, ..parts })
        };
        assert!(of(last, last).is_some());
        assert_eq!((of(beyond, last), of(last, beyond)), (None, None));
    }

    #[test]
    fn a_packed_account_is_as_its_layout_says_and_comes_back() {
        let account = Account {
            newest_session: SessionNumber::new((1 << SESSION_BITS) - 2),
            standing: Standing {
                last_seq: Sequence::new(u64::MAX - 2),
                last_session: SessionNumber::new(0x0102_0304_0506),
                sum: Total::new(i128::MIN + 7),
            },
            min: Amount::from(i64::MIN),
            max: Amount::from(-2_i64),
            first_secs: 0x0a0b_0c0d,
            last_secs: u32::MAX - 1,
        };
        let mut expected = Vec::new();
        expected.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 6, 5, 4, 3, 2, 1]);
        expected.extend((u64::MAX - 2).to_le_bytes());
        expected.extend((i128::MIN + 7).to_le_bytes());
        expected.extend(i64::MIN.to_le_bytes());
        expected.extend((-2_i64).to_le_bytes());
        expected.extend([0x0d, 0x0c, 0x0b, 0x0a, 0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(Packed::new(&account).0[..], expected);
        assert_eq!(Packed::new(&account).unpack(false), account);
        let classic =
            Account { min: Amount::from(1_u64 << 63), max: Amount::from(u64::MAX), ..account };
        assert_eq!(Packed::new(&classic).unpack(true), classic);
    }
}

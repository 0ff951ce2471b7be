//! Totals over many accounts.

use ddes_wire::{Amount, Total};

use crate::Account;

/// Sum, count, mean, smallest and greatest value over accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accounts that were opened.
    pub accounts: u64,
    /// How many values were counted.
    pub count: u128,
    /// The sum of the values, modulo 2^128. It leaves the range of 128 bits after 2^63 values at
    /// the earliest, since no value is beyond 2^64: 29,000 years at 10 million values a second. An
    /// account's own sum is never wrong: what would overflow it is refused.
    pub sum: Total,
    pub(crate) extremes: Option<(Amount, Amount)>,
}

impl Totals {
    /// Totals that a store outside this process has added up.
    pub fn new(accounts: u64, count: u128, sum: Total, extremes: Option<(Amount, Amount)>) -> Self {
        Self { accounts, count, sum, extremes }
    }

    /// The smallest and the greatest value; `None` without values.
    pub fn extremes(&self) -> Option<(Amount, Amount)> {
        self.extremes
    }

    /// The mean, as a decimal fraction cut off after three digits; `None` without values.
    pub fn mean(&self) -> Option<String> {
        let count = i128::try_from(self.count).ok().filter(|count| *count > 0)?;
        let sum = self.sum.get();
        let thousandths =
            (sum.unsigned_abs() % count.unsigned_abs()).checked_mul(1000)? / count.unsigned_abs();
        let sign = if sum < 0 { "-" } else { "" };
        Some(format!("{sign}{}.{thousandths:03}", (sum / count).unsigned_abs()))
    }

    /// Adds one account to the totals.
    pub fn include(&mut self, account: &Account) {
        self.merge(&Self {
            accounts: 1,
            count: account.count().into(),
            sum: account.standing().sum,
            extremes: account.extremes(),
        });
    }

    /// An account that is included became `after`; `before` are its count and sum until then. This
    /// gives what adding up all accounts anew would: differences add up modulo 2^128 as sums do,
    /// and an account's extremes only move apart.
    #[inline]
    pub(crate) fn replace(&mut self, before: (u64, Total), after: &Account) {
        let (count, sum) = before;
        self.count = self.count + u128::from(after.count()) - u128::from(count);
        let moved = after.standing().sum.get().wrapping_sub(sum.get());
        self.sum = Total::new(self.sum.get().wrapping_add(moved));
        if let (Some((min, max)), Some((low, high))) = (&mut self.extremes, after.extremes()) {
            // Most values are no extremes: two comparisons, and no write.
            if low < *min {
                *min = low;
            }
            if high > *max {
                *max = high;
            }
        } else {
            self.widen(after.extremes());
        }
    }

    /// Adds the accounts of other totals.
    pub fn merge(&mut self, other: &Self) {
        self.accounts += other.accounts;
        self.count += other.count;
        self.sum = Total::new(self.sum.get().wrapping_add(other.sum.get()));
        self.widen(other.extremes);
    }

    #[inline]
    fn widen(&mut self, extremes: Option<(Amount, Amount)>) {
        self.extremes = match (self.extremes, extremes) {
            (Some((min, max)), Some((low, high))) => Some((min.min(low), max.max(high))),
            (one, other) => one.or(other),
        };
    }

    /// `accounts u64 || count u128 || sum i128 || min i128 || max i128`, little-endian.
    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        // Without values both are zero; `decode` ignores them then.
        let (min, max) = self.extremes.unwrap_or((Amount::from(0_i64), Amount::from(0_i64)));
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.accounts.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.sum.get().to_le_bytes());
        bytes[40..56].copy_from_slice(&min.get().to_le_bytes());
        bytes[56..].copy_from_slice(&max.get().to_le_bytes());
        bytes
    }

    pub(crate) const BYTES: usize = 8 + 4 * 16;

    /// The most accounts of totals that are read, so that nothing overflows that is added to them.
    const ACCOUNTS_MAX: u64 = 1 << 63;

    /// `None` if no accounts can have these totals.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (accounts, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (min, rest) = rest.split_first_chunk()?;
        let (max, _) = rest.split_first_chunk()?;
        let (accounts, count) = (u64::from_le_bytes(*accounts), u128::from_le_bytes(*count));
        if accounts >= Self::ACCOUNTS_MAX || count > u128::from(accounts) * u128::from(u64::MAX) {
            return None;
        }
        let amount = |bytes: &[u8; 16]| Amount::try_from(i128::from_le_bytes(*bytes)).ok();
        let extremes = if count > 0 { Some((amount(min)?, amount(max)?)) } else { None };
        let sum = Total::new(i128::from_le_bytes(*sum));
        Some(Self { accounts, count, sum, extremes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_its_sign_and_is_cut_off_after_three_digits() {
        for (count, sum, mean) in [
            (0, 0, None),
            (3, 10, Some("3.333")),
            (3, -10, Some("-3.333")),
            (3, -1, Some("-0.333")),
            (2000, 1, Some("0.000")),
            (2, i128::MAX, Some("85070591730234615865843651857942052863.500")),
        ] {
            let totals = Totals { count, sum: Total::new(sum), ..Totals::default() };
            assert_eq!(totals.mean().as_deref(), mean, "{sum} of {count}");
        }
    }

    #[test]
    fn totals_that_no_accounts_can_have_are_not_read() {
        let of = |accounts, count| Totals { accounts, count, ..Totals::default() };
        for (totals, is_possible) in [
            (of(0, 0), true),
            (of(0, 1), false),
            (of(2, 2 * u128::from(u64::MAX)), true),
            (of(2, 2 * u128::from(u64::MAX) + 1), false),
            (of((1 << 63) - 1, 1), true),
            (of(1 << 63, 1), false),
            (of(u64::MAX, u128::MAX), false),
        ] {
            let found = Totals::decode(&totals.encode()).map(|found| (found.accounts, found.count));
            assert_eq!(found, is_possible.then_some((totals.accounts, totals.count)), "{totals:?}");
        }
    }
}

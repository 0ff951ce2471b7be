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
    /// The sum of the values. It wraps at 2^127, which takes 2^63 full accounts.
    pub sum: Total,
    extremes: Option<(Amount, Amount)>,
}

impl Totals {
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

    /// Adds the accounts of other totals.
    pub fn merge(&mut self, other: &Self) {
        self.accounts += other.accounts;
        self.count += other.count;
        self.sum = Total::new(self.sum.get().wrapping_add(other.sum.get()));
        self.extremes = match (self.extremes, other.extremes) {
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

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (accounts, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (min, rest) = rest.split_first_chunk()?;
        let (max, _) = rest.split_first_chunk()?;
        let count = u128::from_le_bytes(*count);
        let amount = |bytes: &[u8; 16]| Amount::try_from(i128::from_le_bytes(*bytes)).ok();
        let extremes = if count > 0 { Some((amount(min)?, amount(max)?)) } else { None };
        let sum = Total::new(i128::from_le_bytes(*sum));
        Some(Self { accounts: u64::from_le_bytes(*accounts), count, sum, extremes })
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
}

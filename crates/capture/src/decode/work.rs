//! What is computed in vain, in one measure for a whole file: secrets that turn out to be of
//! another session, and records that are looked for behind a gap.
//!
//! Whatever leads to something is free: a file holds only so much of it. What does not could
//! otherwise be asked for again by every few bytes of a file.

use ddes_ffdhe::Group;

/// What trying a key costs beside the bytes that are hashed: its expansion, the blocks of an HMAC.
const TRIAL_COST: u64 = 512;

/// One group, and whether it passed its test: servers use the same one for all of their sessions.
type Tested = (Vec<u8>, Vec<u8>, Option<Group>);

/// The rest of what may be computed in vain, in bytes of hashing.
pub(crate) struct WorkBudget {
    left: u64,
    is_spent: bool,
    tested: Option<Tested>,
}

impl WorkBudget {
    pub(crate) fn new(hashed_max: u64) -> Self {
        Self { left: hashed_max, is_spent: false, tested: None }
    }

    /// Whether something was left out for want of it.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Pays for something before it is computed; whether that may be.
    pub(super) fn pay(&mut self, cost: u64) -> bool {
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => self.is_spent = true,
        }
        !self.is_spent
    }

    /// Gives back what was paid for what led to something.
    pub(super) fn give_back(&mut self, cost: u64) {
        self.left = self.left.saturating_add(cost);
    }

    /// A group that a server chose, tested once for all sessions in a row; the error is whether
    /// there is no work left for the test.
    pub(super) fn group(&mut self, prime: &[u8], generator: &[u8]) -> Result<Group, bool> {
        let same = |(p, g, _): &&Tested| (&p[..], &g[..]) == (prime, generator);
        if let Some((_, _, group)) = self.tested.as_ref().filter(same) {
            return group.clone().ok_or(false);
        }
        let cost = of_prime_test(prime.len());
        if !self.pay(cost) {
            return Err(true);
        }
        let group = Group::received(prime, generator).ok();
        if group.is_some() {
            self.give_back(cost);
        }
        self.tested = Some((prime.to_vec(), generator.to_vec(), group.clone()));
        group.ok_or(false)
    }
}

/// The tag of a body, or a text of this length, computed with another key.
pub(super) fn of_trial(bytes: usize) -> u64 {
    (bytes as u64).saturating_add(TRIAL_COST)
}

/// DES is slower than hashing by about so much.
pub(super) fn of_des(bytes: usize) -> u64 {
    of_trial(bytes).saturating_mul(32)
}

/// A handshake with a prime of this many bytes: about 1 MiB, and a millisecond, for 2048 bits.
pub(super) fn of_handshake(prime_bytes: usize) -> u64 {
    of_prime_test(prime_bytes) / 16
}

/// Grows with the cube of the length. Primes beyond the longest one are refused without a test.
fn of_prime_test(prime_bytes: usize) -> u64 {
    (prime_bytes as u64).saturating_pow(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_tested_once_for_all_sessions_in_a_row() {
        // p = 2^2048 - 15: (p-1)/2 is even, so p is no safe prime.
        let composite: Vec<u8> = [&[0xff; 255][..], &[0xf1]].concat();
        let mut work = WorkBudget::new(2 * of_prime_test(256) - 1);
        for _ in 0..3 {
            assert!(matches!(work.group(&composite, &[2]), Err(false)));
        }
        assert!(!work.is_spent());
        // Another one costs as much again.
        assert!(matches!(work.group(&composite, &[3]), Err(true)));
        assert!(work.is_spent());
    }

    #[test]
    fn what_leads_to_something_is_free_and_nothing_is_computed_once_it_is_spent() {
        let mut work = WorkBudget::new(of_trial(100));
        for _ in 0..3 {
            assert!(work.pay(of_trial(100)));
            work.give_back(of_trial(100));
        }
        assert!(!work.pay(of_trial(101)));
        assert!(!work.pay(1), "what is spent stays spent");
    }
}

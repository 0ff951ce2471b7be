//! When a checkpoint is due, and how much of it each commit writes. Both depend only on bytes of
//! journal and of accounts.

use ddes_wire::saturating;

use crate::account::Packed;
use crate::store::StoreOptions;

/// Bytes of an account in a checkpoint, its key included.
const ACCOUNT_BYTES: u64 = (32 + Packed::BYTES) as u64;
/// Upper bound on the speed-up of an overdue checkpoint.
const TIMES_MAX: u64 = 8;

/// The pace of checkpoints.
#[derive(Debug)]
pub(crate) struct Rhythm {
    /// Bytes of journal since the newest checkpoint began.
    since: u64,
    /// Bytes of accounts in the newest checkpoint.
    newest: u64,
    /// A checkpoint was requested, due or not.
    is_wanted: bool,
    /// Bytes of accounts that the checkpoint being made still owes for the journal's growth.
    owed: u64,
    /// Bytes owed for each byte of journal.
    times: u64,
}

impl Rhythm {
    /// The rhythm after an opening: `since` bytes of journal follow a checkpoint of `accounts`
    /// accounts.
    pub(crate) fn new(since: u64, accounts: u32) -> Self {
        Self { since, newest: bytes_of(accounts), is_wanted: false, owed: 0, times: 1 }
    }

    pub(crate) fn want(&mut self) {
        self.is_wanted = true;
    }

    pub(crate) fn is_due(&self, options: &StoreOptions) -> bool {
        self.is_wanted || self.since >= self.distance(options)
    }

    /// A checkpoint of `accounts` accounts begins.
    pub(crate) fn begin(&mut self, accounts: u32, options: &StoreOptions) {
        // It is overdue after failures, or if earlier processes ended before they completed one.
        // Then it should be complete before this process ends too.
        let times = self.since.checked_div(self.distance(options)).unwrap_or(1).clamp(1, TIMES_MAX);
        *self = Self { since: 0, newest: bytes_of(accounts), is_wanted: false, owed: 0, times };
    }

    /// A checkpoint failed: the next is tried after an eighth of the distance.
    pub(crate) fn fail(&mut self, options: &StoreOptions) {
        let distance = self.distance(options);
        (self.since, self.is_wanted) = (distance - distance / 8, false);
    }

    /// A commit added `bytes` to the journal. Each new account counts in full in addition to its
    /// record, which is shorter, so that a checkpoint completes at any rate of new accounts.
    pub(crate) fn count(&mut self, bytes: u64, new_accounts: u32) {
        self.since = self.since.saturating_add(bytes);
        let owed = bytes.saturating_mul(self.times).saturating_add(bytes_of(new_accounts));
        self.owed = self.owed.saturating_add(owed);
    }

    /// How many accounts to write for the commits since the last call. They have as many bytes as
    /// those commits added to the journal; 0 until that is worth a write.
    pub(crate) fn take(&mut self, options: &StoreOptions) -> u32 {
        // Saturation asks for every account there can be.
        let accounts = saturating::to_u32(self.owed / ACCOUNT_BYTES);
        if accounts < options.slice_accounts {
            return 0;
        }
        self.owed %= ACCOUNT_BYTES;
        accounts
    }

    /// Bytes of journal between two checkpoints. At twice the accounts' bytes, checkpoints add at
    /// most half of what the journal writes.
    fn distance(&self, options: &StoreOptions) -> u64 {
        options.checkpoint_bytes.max(2 * self.newest)
    }
}

fn bytes_of(accounts: u32) -> u64 {
    u64::from(accounts) * ACCOUNT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: StoreOptions = StoreOptions {
        segment_bytes: 0,
        frame_bytes: 0,
        values_max: 0,
        checkpoint_bytes: 1000,
        slice_accounts: 4,
        pause_accounts: 4,
        history: None,
    };

    /// Bytes until one is due.
    fn due_after(rhythm: &mut Rhythm) -> u64 {
        (1..)
            .find(|_| {
                rhythm.count(1, 0);
                rhythm.is_due(&OPTIONS)
            })
            .unwrap()
    }

    #[test]
    fn accounts_that_come_do_not_put_it_off_and_those_of_the_newest_do() {
        let mut rhythm = Rhythm::new(0, 3);
        rhythm.count(900, 1_000_000);
        assert_eq!(due_after(&mut rhythm), 100);
        rhythm.begin(1000, &OPTIONS);
        assert_eq!(due_after(&mut rhythm), 2 * 1000 * 92);
    }

    #[test]
    fn it_takes_up_what_the_journal_grew_by_and_more_where_it_is_overdue() {
        let mut rhythm = Rhythm::new(0, 0);
        rhythm.begin(0, &OPTIONS);
        rhythm.count(4 * 92 - 1, 0);
        assert_eq!(rhythm.take(&OPTIONS), 0);
        rhythm.count(1, 2);
        assert_eq!((rhythm.take(&OPTIONS), rhythm.take(&OPTIONS)), (6, 0));
        let mut rhythm = Rhythm::new(3_999, 0);
        rhythm.begin(0, &OPTIONS);
        rhythm.count(92 * 10, 0);
        assert_eq!(rhythm.take(&OPTIONS), 30);
    }

    #[test]
    fn after_a_failure_it_is_due_again_before_long_and_not_at_once() {
        let mut rhythm = Rhythm::new(2_000, 0);
        rhythm.want();
        rhythm.fail(&OPTIONS);
        assert!(!rhythm.is_due(&OPTIONS));
        assert_eq!(due_after(&mut rhythm), 125);
    }
}

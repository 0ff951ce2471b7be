//! What the simulated database promises, as PostgreSQL does.

use std::time::{Duration, Instant};

use ddes_ledger::shared::{HistoryEntry, SharedRow, Swap};
use ddes_ledger::{AccountId, Timestamp};

use super::backend::{Heard, SqlCut, SqlMessage, SqlReply};
use super::database::SimDatabase;
use crate::random::Random;

const ALICE: AccountId = AccountId::Identity([1; 32]);

struct Bench {
    database: SimDatabase,
    now: Instant,
}

#[allow(clippy::disallowed_methods, reason = "a clock begins somewhere")]
fn bench(is_synchronous: bool) -> Bench {
    let now = Instant::now();
    Bench { database: SimDatabase::new(is_synchronous, now), now }
}

impl Bench {
    fn connect(&mut self) -> u64 {
        self.database.connect(self.now).unwrap()
    }

    fn ask(&mut self, id: u64, message: SqlMessage) -> Heard {
        self.database.send(id, self.now, vec![message]);
        self.hear(id)
    }

    fn hear(&mut self, id: u64) -> Heard {
        self.database.advance(id, self.now);
        self.database.hear(id)
    }

    fn read(&mut self, id: u64) -> Option<SharedRow> {
        match self.ask(id, SqlMessage::Read(vec![SharedRow::new(ALICE)])) {
            Heard::Reply(SqlReply::Rows(rows)) => Some(rows[0]),
            Heard::Nothing => None,
            other @ (Heard::Reply(_) | Heard::Lost) => panic!("{other:?}"),
        }
    }

    /// The next row of the account is written, and not committed.
    fn write(&mut self, id: u64) -> (SharedRow, HistoryEntry) {
        let row = self.read(id).unwrap();
        let (after, entry) = row.raised(Timestamp(1)).unwrap();
        let swap = Swap { prior: (row.version, row.chain), row: after };
        let written = self.ask(id, SqlMessage::Swap(vec![swap]));
        assert!(matches!(written, Heard::Reply(SqlReply::Written(ids)) if ids == [ALICE]));
        let appended = self.ask(id, SqlMessage::Append(vec![entry.clone()]));
        assert!(matches!(appended, Heard::Reply(SqlReply::Done)));
        (after, entry)
    }

    fn version(&self) -> u64 {
        self.database.row(&ALICE).map_or(0, |row| row.version)
    }
}

#[test]
fn a_commit_waits_for_the_standby_with_its_locks_and_is_seen_afterwards() {
    let mut bench = bench(true);
    let (first, second) = (bench.connect(), bench.connect());
    bench.write(first);
    assert_eq!(bench.read(second), None, "the row is locked");
    assert!(matches!(bench.ask(first, SqlMessage::Commit), Heard::Nothing));
    assert_eq!(bench.version(), 0);
    assert!(matches!(bench.hear(second), Heard::Nothing), "it still is");
    bench.database.ship(bench.now);
    assert!(matches!(bench.hear(first), Heard::Reply(SqlReply::Done)));
    let Heard::Reply(SqlReply::Rows(rows)) = bench.hear(second) else { panic!() };
    assert_eq!((rows[0].version, bench.version()), (1, 1));
}

#[test]
fn a_late_commit_holds_its_locks_until_it_is_done() {
    let mut bench = bench(true);
    let (first, second) = (bench.connect(), bench.connect());
    bench.write(first);
    bench.database.send(first, bench.now, vec![SqlMessage::Commit]);
    bench.database.cut(first, SqlCut::Late, bench.now, &mut Random::new(1));
    assert!(matches!(bench.database.hear(first), Heard::Lost));
    bench.database.close(first, bench.now, true);
    assert_eq!(bench.read(second), None);
    bench.now = bench.database.due(bench.now).unwrap();
    bench.database.advance(first, bench.now);
    assert!(matches!(bench.hear(second), Heard::Nothing));
    bench.database.ship(bench.now);
    let Heard::Reply(SqlReply::Rows(rows)) = bench.hear(second) else { panic!() };
    assert_eq!(rows[0].version, 1);
}

#[test]
fn waits_for_locks_and_idle_transactions_end_and_roll_back() {
    let mut bench = bench(true);
    let (first, second) = (bench.connect(), bench.connect());
    bench.write(first);
    assert_eq!(bench.read(second), None);
    bench.now += Duration::from_secs(3);
    assert!(matches!(bench.hear(second), Heard::Reply(SqlReply::Failed(_))));
    // It rolls back, and succeeds.
    assert!(matches!(bench.ask(second, SqlMessage::Commit), Heard::Reply(SqlReply::Done)));
    bench.now += Duration::from_secs(2);
    bench.database.advance(first, bench.now);
    assert!(matches!(bench.hear(first), Heard::Lost));
    assert_eq!(bench.read(second).map(|row| row.version), Some(0));
}

#[test]
fn a_failover_loses_what_nobody_was_told_and_without_synchrony_a_tail() {
    for seed in 0..40 {
        let mut bench = bench(true);
        let first = bench.connect();
        bench.write(first);
        bench.database.send(first, bench.now, vec![SqlMessage::Commit]);
        bench.database.advance(first, bench.now);
        bench.database.ship(bench.now);
        assert!(matches!(bench.hear(first), Heard::Reply(SqlReply::Done)));
        bench.write(first);
        assert!(matches!(bench.ask(first, SqlMessage::Commit), Heard::Nothing));
        let lost = bench.database.fail_over(bench.now, None, &mut Random::new(seed));
        assert!(lost.is_empty() && [1, 2].contains(&bench.version()), "seed {seed}");
    }
    let mut bench = bench(false);
    let first = bench.connect();
    bench.write(first);
    assert!(matches!(bench.ask(first, SqlMessage::Commit), Heard::Reply(SqlReply::Done)));
    assert_eq!(bench.version(), 1);
    let seed = (0..40).find(|seed| Random::new(*seed).index(2) == 0).unwrap();
    let lost = bench.database.fail_over(bench.now, None, &mut Random::new(seed));
    assert!(lost.contains(&ALICE) && bench.version() == 0);
}

#[test]
fn a_wait_that_is_cancelled_is_warned_of_and_may_be_lost() {
    let mut bench = bench(true);
    let first = bench.connect();
    bench.write(first);
    assert!(matches!(bench.ask(first, SqlMessage::Commit), Heard::Nothing));
    assert!(bench.database.cancel_wait(bench.now));
    assert!(matches!(bench.hear(first), Heard::Reply(SqlReply::Warned)));
    assert_eq!(bench.version(), 1);
    let seed = (0..40).find(|seed| Random::new(*seed).index(2) == 0).unwrap();
    bench.database.fail_over(bench.now, None, &mut Random::new(seed));
    assert_eq!(bench.version(), 0);
}

#[test]
fn a_primary_that_nobody_stopped_goes_on_and_all_of_it_is_lost() {
    let mut bench = bench(false);
    let first = bench.connect();
    let until = bench.now + Duration::from_secs(1);
    let lost = bench.database.fail_over(bench.now, Some(until), &mut Random::new(1));
    assert!(lost.is_empty());
    bench.write(first);
    assert!(matches!(bench.ask(first, SqlMessage::Commit), Heard::Reply(SqlReply::Done)));
    assert_eq!(bench.version(), 0);
    assert!(bench.database.check_former(bench.now).contains(&ALICE));
    let second = bench.connect();
    bench.write(second);
    assert!(matches!(bench.ask(second, SqlMessage::Commit), Heard::Reply(SqlReply::Done)));
    assert_eq!(bench.version(), 1);
    bench.now = until;
    assert!(bench.database.check_former(bench.now).is_empty());
    assert!(matches!(bench.database.hear(first), Heard::Lost));
}

//! Lanes of several servers on one database in memory: its transactions fail, commit without saying
//! so, and commit long after their server has given up.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and begins its clock somewhere"
)]

mod fight;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ddes_ledger::shared::{
    HistoryEntry, LaneOptions, LaneStep, LedgerLane, LostHistory, RowKey, SharedRow, Swap,
};
use ddes_ledger::{
    AccountId, AccountNumber, Opening, Operation, OperationOutcome, Refusal, Submission, Timestamp,
};
use ddes_wire::{Amount, Sequence, SessionNumber};
use fight::{Fight, FightDice};

/// Two of the bugs that are put in on purpose: the key of the history would stop them.
const IS_UNGUARDED: bool =
    cfg!(any(ddes_mutant = "swap-unconditional", ddes_mutant = "swap-unfenced"));

/// Rows and history.
#[derive(Clone, Debug, Default)]
struct Database {
    rows: BTreeMap<AccountId, SharedRow>,
    history: BTreeMap<(AccountId, u64), HistoryEntry>,
    /// Transactions whose server is gone, which hold their locks until they commit.
    late: Vec<Transaction>,
}

#[derive(Clone, Debug, Default)]
struct Transaction {
    locked: BTreeSet<AccountId>,
    rows: Vec<SharedRow>,
    entries: Vec<HistoryEntry>,
}

impl Database {
    fn commit(&mut self, transaction: Transaction) {
        for row in transaction.rows {
            self.rows.insert(row.id, row);
        }
        for entry in transaction.entries {
            let key = (entry.id, entry.number);
            if IS_UNGUARDED {
                self.history.entry(key).or_insert(entry);
            } else {
                let known = self.history.insert(key, entry);
                assert_eq!(known, None, "the primary key of the history");
            }
        }
    }

    /// Waits for the transactions that hold a lock.
    fn lock(&mut self, id: &AccountId, transaction: &mut Transaction) {
        while let Some(at) = self.late.iter().position(|late| late.locked.contains(id)) {
            let late = self.late.remove(at);
            self.commit(late);
        }
        transaction.locked.insert(*id);
    }

    fn read(&mut self, wanted: &[SharedRow], transaction: &mut Transaction) -> Vec<SharedRow> {
        assert!(wanted.is_sorted_by_key(|row| RowKey::from(&row.id)));
        let mut found = Vec::new();
        for row in wanted {
            self.lock(&row.id, transaction);
            let known = self.rows.get(&row.id).copied();
            found.push(known.unwrap_or(*row));
            if known.is_none() {
                transaction.rows.push(*row);
            }
        }
        found
    }

    fn swap(&mut self, swaps: &[Swap], transaction: &mut Transaction) -> Vec<AccountId> {
        assert!(swaps.is_sorted_by_key(|swap| RowKey::from(&swap.row.id)));
        let mut written = Vec::new();
        for Swap { prior, row } in swaps {
            self.lock(&row.id, transaction);
            let own = transaction.rows.iter().find(|own| own.id == row.id).copied();
            let found = own.or_else(|| self.rows.get(&row.id).copied());
            let is_as_it_was = |found: SharedRow| match () {
                () if cfg!(ddes_mutant = "swap-unconditional") => true,
                () if cfg!(ddes_mutant = "swap-unfenced") => {
                    found.account.count() <= row.account.count()
                }
                () => (found.version, found.chain) == *prior,
            };
            if found.is_some_and(is_as_it_was) {
                transaction.rows.push(*row);
                written.push(row.id);
            }
        }
        written
    }

    /// Does one whole turn of a lane; whatever the dice say goes wrong.
    fn turn(
        &mut self,
        lane: &mut LedgerLane,
        now: u64,
        dice: &mut FightDice,
        faults: u64,
    ) -> Result<Vec<(u64, OperationOutcome)>, LostHistory> {
        let now = Timestamp(now);
        let mut done = Vec::new();
        let Some(mut step) = lane.begin(now) else { return Ok(lane.poll_ready()) };
        let mut transaction = Transaction::default();
        loop {
            if faults > 0 && dice.one_in(faults) {
                lane.handle_unknown();
                return Ok(done);
            }
            let next = match step {
                LaneStep::Read(wanted) => {
                    let rows = self.read(&wanted, &mut transaction);
                    lane.handle_read(now, &rows)?.expect("all rows are there")
                }
                LaneStep::Swap { swaps, is_begun } => {
                    assert_eq!(is_begun, !transaction.locked.is_empty());
                    let written = self.swap(&swaps, &mut transaction);
                    lane.handle_swapped(&written).expect("a turn is under way")
                }
                LaneStep::Rollback => {
                    lane.handle_rolled_back();
                    return Ok(done);
                }
                LaneStep::Append(entries) => {
                    transaction.entries = entries;
                    LaneStep::Commit
                }
                LaneStep::Commit => {
                    match if faults > 0 { dice.below(faults) } else { 9 } {
                        0 if cfg!(ddes_mutant = "commit-unchecked") => {
                            done = lane.handle_committed();
                        }
                        0 => lane.handle_unknown(),
                        1 => {
                            self.commit(transaction);
                            lane.handle_unknown();
                        }
                        2 => {
                            self.late.push(transaction);
                            lane.handle_unknown();
                        }
                        _ => {
                            self.commit(transaction);
                            done = lane.handle_committed();
                        }
                    }
                    done.extend(lane.poll_ready());
                    return Ok(done);
                }
            };
            step = next;
        }
    }

    /// Until nothing waits.
    fn settle(&mut self, lane: &mut LedgerLane) -> Vec<(u64, OperationOutcome)> {
        let (mut all, mut dice) = (Vec::new(), FightDice::new(1));
        for turn in 0..100 {
            all.extend(self.turn(lane, 1_000_000 + turn, &mut dice, 0).unwrap());
            if lane.waiting() == 0 {
                all.extend(lane.poll_ready());
                return all;
            }
        }
        panic!("{lane:?}");
    }

    fn audit(&mut self, fight: &mut Fight) {
        for late in std::mem::take(&mut self.late) {
            self.commit(late);
        }
        let rows: Vec<SharedRow> = self.rows.values().copied().collect();
        let history: Vec<HistoryEntry> = self.history.values().cloned().collect();
        fight.audit(&rows, &history);
    }
}

fn fought(seed: u64, holds: bool) -> (Fight, FightDice) {
    let (servers, rounds) = (4, 400);
    let mut dice = FightDice::new(seed);
    let mut fight = Fight::new(servers, 12);
    let mut database = Database::default();
    let lane = |_| LedgerLane::new(LaneOptions { holds, ..LaneOptions::default() });
    let mut lanes: Vec<LedgerLane> = (0..servers).map(lane).collect();
    let start = Instant::now();
    for round in 0..rounds {
        let server = usize::try_from(dice.below(servers as u64)).unwrap();
        if lanes[server].waiting() < 40 {
            for (token, operation) in fight.next(server, &mut dice) {
                lanes[server].submit(start, token, operation);
            }
        }
        let now = 1_000_000 * round;
        let done = database.turn(&mut lanes[server], now, &mut dice, 12).unwrap();
        for (token, outcome) in done {
            fight.answer(server, token, &outcome);
        }
    }
    for (server, lane) in lanes.iter_mut().enumerate() {
        for (token, outcome) in database.settle(lane) {
            fight.answer(server, token, &outcome);
        }
    }
    assert!(!fight.is_waiting());
    database.audit(&mut fight);
    (fight, dice)
}

#[test]
fn servers_that_fight_for_accounts_are_never_told_a_wrong_total() {
    let (mut proofs, mut gaps, mut superseded) = (0, 0, 0);
    for seed in 1..=40 {
        let (fight, _) = fought(seed, !seed.is_multiple_of(5));
        assert_eq!(fight.violations, [] as [String; 0], "violations, seed {seed}");
        proofs += fight.proofs;
        gaps += fight.gaps;
        superseded += fight.superseded;
    }
    assert!(proofs > 5_000 && gaps > 500 && superseded > 500, "{proofs} {gaps} {superseded}");
}

fn key(byte: u8) -> AccountId {
    AccountId::Identity([byte; 32])
}

fn add(account: AccountNumber, session: u64, first: u64, values: &[i64]) -> Operation {
    Operation::Add(Submission {
        account,
        session: SessionNumber::new(session),
        first_seq: Sequence::new(first),
        amounts: values.iter().map(|value| Amount::from(*value)).collect(),
    })
}

fn opened(outcome: &OperationOutcome) -> Opening {
    match outcome {
        OperationOutcome::Opened(Ok(opening)) => *opening,
        other => panic!("{other:?}"),
    }
}

struct SharedWorld {
    database: Database,
    lane: LedgerLane,
    token: u64,
}

impl SharedWorld {
    fn new() -> Self {
        let lane = LedgerLane::new(LaneOptions { index: 1, lanes: 4, ..LaneOptions::default() });
        Self { database: Database::default(), lane, token: 0 }
    }

    fn ask(&mut self, operation: Operation) -> OperationOutcome {
        self.token += 1;
        self.lane.submit(Instant::now(), self.token, operation);
        let done = self.database.settle(&mut self.lane);
        assert_eq!(done.len(), 1, "{done:?}");
        done[0].1
    }
}

#[test]
fn a_database_that_lost_what_it_acknowledged_is_noticed_and_nothing_is_written_on_it() {
    let mut world = SharedWorld::new();
    let opening = opened(&world.ask(Operation::Open(key(1))));
    let before = world.database.clone();
    world.ask(add(opening.account, 1, 1, &[5, 6]));
    let lost = |world: &mut SharedWorld, operation| {
        world.lane.submit(Instant::now(), 99, operation);
        let mut dice = FightDice::new(1);
        (0..9).find_map(|_| world.database.turn(&mut world.lane, 1, &mut dice, 0).err())
    };
    let whole = world.database.clone();

    // A standby took over that had not received the values.
    world.database = before.clone();
    let found = lost(&mut world, add(opening.account, 1, 3, &[7])).expect("the loss is noticed");
    assert_eq!((found.account, found.known, found.found), (key(1), 2, 1));
    assert_eq!(world.database.rows, before.rows);

    // Another server has written since, up to the same number of entries.
    let mut world = SharedWorld { database: whole, lane: world.lane, token: 0 };
    world.lane.handle_unknown();
    let mut other = SharedWorld { database: before, ..SharedWorld::new() };
    opened(&other.ask(Operation::Open(key(1))));
    world.database = other.database;
    let found = lost(&mut world, add(opening.account, 1, 3, &[7])).expect("the fork is noticed");
    assert_eq!((found.known, found.found), (2, 2));
}

#[test]
fn values_of_one_session_are_one_entry_and_an_opening_is_one() {
    let mut world = SharedWorld::new();
    let opening = opened(&world.ask(Operation::Open(key(1))));
    assert_eq!(opening.account, AccountNumber::Identity(1), "lane 1 of 4, its first account");
    for token in 0..3 {
        let one = add(opening.account, 1, token * 2 + 1, &[1, 2]);
        world.lane.submit(Instant::now(), token, one);
    }
    world.lane.submit(Instant::now(), 3, Operation::Open(key(1)));
    world.lane.submit(Instant::now(), 4, add(opening.account, 2, 7, &[9]));
    assert_eq!(world.database.settle(&mut world.lane).len(), 5);
    let entries: Vec<_> = world.database.history.values().collect();
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.session.get(), entry.first_seq.get(), entry.count, entry.sum.get()))
        .collect();
    assert_eq!(seen, [(1, 1, 0, 0), (1, 1, 6, 9), (2, 7, 0, 9), (2, 7, 1, 18)]);
}

#[test]
fn an_account_without_sessions_is_not_held_and_its_number_is_of_nobody_else_for_long() {
    let mut world = SharedWorld::new();
    let opening = opened(&world.ask(Operation::Open(key(1))));
    let ended = world.ask(Operation::End(opening.account));
    assert_eq!(ended, OperationOutcome::Ended(Ok(())));
    // Enough others to push the oldest out.
    for at in 0..20_000_u64 {
        let mut other = [9; 32];
        other[..8].copy_from_slice(&at.to_le_bytes());
        world.lane.submit(Instant::now(), at, Operation::Open(AccountId::Identity(other)));
    }
    let done = world.database.settle(&mut world.lane);
    for (token, outcome) in done {
        world.lane.submit(Instant::now(), token, Operation::End(opened(&outcome).account));
    }
    world.lane.poll_ready();
    assert_eq!(world.lane.accounts(), 16_384);
    let gone = world.ask(add(opening.account, 1, 1, &[1]));
    assert!(matches!(
        gone,
        OperationOutcome::Decided(Err(Refusal::Malformed | Refusal::Superseded { .. }))
    ));
    // It comes back under its key.
    assert_eq!(opened(&world.ask(Operation::Open(key(1)))).session.get(), 2);
}

#[test]
fn a_classic_account_opens_once_and_one_that_another_server_drew_is_refused() {
    let classic = AccountId::Classic(77);
    let number = AccountNumber::Classic(77);
    let mut world = SharedWorld::new();
    // The opening is committed, and its server does not learn it.
    world.lane.submit(Instant::now(), 1, Operation::Open(classic));
    world.lane.submit(Instant::now(), 2, add(number, 1, 1, &[5]));
    let Some(LaneStep::Read(rows)) = world.lane.begin(Timestamp(1)) else { panic!() };
    let mut transaction = Transaction::default();
    let rows = world.database.read(&rows, &mut transaction);
    let Ok(Some(LaneStep::Swap { swaps, .. })) = world.lane.handle_read(Timestamp(1), &rows) else {
        panic!()
    };
    let written = world.database.swap(&swaps, &mut transaction);
    let Some(LaneStep::Append(entries)) = world.lane.handle_swapped(&written) else { panic!() };
    transaction.entries = entries;
    world.database.commit(transaction);
    world.lane.handle_unknown();
    let done = world.database.settle(&mut world.lane);
    assert_eq!(opened(&done[0].1).session.get(), 1, "not opened a second time");
    assert!(matches!(done[1].1, OperationOutcome::Decided(Ok(_))), "{done:?}");
    assert_eq!(world.database.rows[&classic].account.count(), 1);

    let mut other = SharedWorld { database: world.database, ..SharedWorld::new() };
    for operation in [Operation::Open(classic), add(number, 1, 2, &[6])] {
        let outcome = other.ask(operation);
        let is_refused = matches!(
            outcome,
            OperationOutcome::Opened(Err(Refusal::Malformed))
                | OperationOutcome::Decided(Err(Refusal::Malformed))
        );
        assert!(is_refused, "{outcome:?}");
    }
    assert_eq!(other.database.rows[&classic].account.count(), 1);
}

#[test]
fn what_waits_too_long_is_refused_and_openings_at_once() {
    let mut world = SharedWorld::new();
    let opening = opened(&world.ask(Operation::Open(key(1))));
    let start = Instant::now();
    let later = start + Duration::from_secs(29);
    world.lane.submit(start, 1, add(opening.account, 1, 1, &[1]));
    world.lane.submit(later, 2, add(opening.account, 1, 2, &[1]));
    world.lane.submit(later, 3, Operation::Open(key(2)));
    let refused = world.lane.refuse_openings();
    assert_eq!(refused, [(3, OperationOutcome::Opened(Err(Refusal::Unavailable)))]);
    assert_eq!(world.lane.oldest(), Some(start));
    let most = Duration::from_secs(30);
    assert_eq!(world.lane.expire(start + most - Duration::from_millis(1), most), []);
    let refused = world.lane.expire(start + most, most);
    assert_eq!(refused, [(1, OperationOutcome::Decided(Err(Refusal::Unavailable)))]);
    let done = world.database.settle(&mut world.lane);
    let gap = Refusal::Gap { expected: Sequence::new(1) };
    assert_eq!(done, [(2, OperationOutcome::Decided(Err(gap)))]);
}

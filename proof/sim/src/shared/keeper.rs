//! The keeper of one server: its lanes, each with a connection. What `ddes_ledger_postgres` does
//! with tasks, sockets and clocks, here one thing at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ddes_ledger::shared::{LaneOptions, LaneStep, LedgerLane, LostHistory, SharedRow};
use ddes_ledger::store::Chain;
use ddes_ledger::{AccountId, AccountNumber, Operation, OperationOutcome, Submission, Timestamp};

use super::backend::{Heard, SqlMessage, SqlReply};
use super::database::SimDatabase;
use super::faults::{DatabasePlan, SqlFaults};
use super::judge::SimAsked;
use crate::model::Violation;
use crate::plan::{FRAME_VALUES, Mutant};
use crate::random::Random;
use crate::trace::Trace;

/// As the keeper of PostgreSQL has them.
const STATEMENT_MAX: Duration = Duration::from_secs(12);
const COMMIT_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(6);
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How long an operation waits for the database.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a keeper needs of the world.
pub(crate) struct KeeperReach<'a> {
    pub(crate) now: Instant,
    /// By the server's own clock.
    pub(crate) clock: Timestamp,
    pub(crate) step: u64,
    pub(crate) random: &'a mut Random,
    pub(crate) trace: &'a mut Trace,
    pub(crate) database: &'a mut SimDatabase,
    pub(crate) faults: &'a SqlFaults,
    /// Accounts of which the database has lost something that it had committed.
    pub(crate) lost: &'a BTreeSet<AccountId>,
    pub(crate) mutant: Option<Mutant>,
}

type Decisions = Vec<(u64, OperationOutcome)>;

pub(crate) struct SimKeeper {
    lanes: Vec<SimLane>,
    /// What is not answered, by its token.
    asked: BTreeMap<u64, SimAsked>,
    token: u64,
    /// The accounts of the numbers that were given out.
    names: BTreeMap<AccountNumber, AccountId>,
    /// What this process knows to be durable: entries and chain.
    known: BTreeMap<AccountId, (u64, Chain)>,
    /// It has noticed that the database lost what it acknowledged.
    pub(crate) failure: Option<LostHistory>,
    /// The server was told to stop.
    pub(crate) is_closed: bool,
    /// Transactions and attempts to connect that came to nothing.
    pub(crate) troubles: u64,
    /// By how much its server's clock is ahead of the others', in microseconds.
    pub(crate) ahead: u64,
    /// The number of its server's next classic account.
    pub(crate) classic_next: u64,
    /// Which accounts go to which lane is its own choice.
    salt: u64,
}

struct SimLane {
    lane: LedgerLane,
    inbox: Vec<(Instant, u64, Operation)>,
    /// Outcomes that need no transaction may be there.
    may_be_ready: bool,
    state: LaneState,
    backend: Option<u64>,
    /// Transactions in a row that came to nothing.
    failures: u32,
    /// What will be durable once the transaction is committed.
    rows: BTreeMap<AccountId, (u64, Chain)>,
    /// What will be, as far as the SWAP writes it.
    swaps: Vec<SharedRow>,
}

#[derive(Clone, Copy, Debug)]
enum LaneState {
    Idle,
    Connecting(Instant),
    /// A message was sent then.
    Waiting(Instant, Sent),
    Pausing(Instant),
}

/// What a lane waits for the reply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Read,
    Swap,
    /// APPEND and COMMIT together.
    Append,
    /// The COMMIT of both.
    Appended,
    Commit,
    Rollback,
}

impl SimKeeper {
    pub(crate) fn new(plan: &DatabasePlan, random: &mut Random) -> Self {
        let lanes = plan.lanes;
        let holds = !random.one_in(5);
        let values_max = FRAME_VALUES.into();
        let lane = |index| SimLane {
            lane: LedgerLane::new(LaneOptions { index, lanes, values_max, holds }),
            inbox: Vec::new(),
            may_be_ready: false,
            state: LaneState::Idle,
            backend: None,
            failures: 0,
            rows: BTreeMap::new(),
            swaps: Vec::new(),
        };
        Self {
            lanes: (0..lanes).map(lane).collect(),
            asked: BTreeMap::new(),
            token: 0,
            names: BTreeMap::new(),
            known: BTreeMap::new(),
            failure: None,
            is_closed: false,
            troubles: 0,
            ahead: random.below(3_600_000_000),
            // As each server draws one.
            classic_next: random.u64() >> 1,
            salt: random.u64(),
        }
    }

    /// The lanes that have something to do, or wait for something.
    pub(crate) fn busy(&self) -> impl Iterator<Item = usize> {
        let is_busy = |lane: &SimLane| {
            !matches!(lane.state, LaneState::Idle)
                || !lane.inbox.is_empty()
                || lane.may_be_ready
                || lane.lane.waiting() > 0
        };
        self.lanes.iter().enumerate().filter(move |(_, lane)| is_busy(lane)).map(|(at, _)| at)
    }

    /// The account of an operation; `None` of a number that was never given out.
    pub(crate) fn account_of(&self, operation: &Operation) -> Option<AccountId> {
        match operation {
            Operation::Open(id) => Some(*id),
            Operation::Add(Submission { account, .. }) | Operation::End(account) => match account {
                AccountNumber::Identity(_) => self.names.get(account).copied(),
                AccountNumber::Classic(number) => Some(AccountId::Classic(*number)),
            },
        }
    }

    fn lane_of(&self, operation: &Operation) -> usize {
        let lanes = self.lanes.len().max(1);
        let of_bits = |bits: u64| {
            #[allow(clippy::cast_possible_truncation, reason = "below the number of lanes")]
            let lane = ((bits ^ self.salt) % lanes as u64) as usize;
            lane
        };
        let of_id = |id: &AccountId| match id {
            AccountId::Identity([a, b, c, d, ..]) => {
                of_bits(u32::from_le_bytes([*a, *b, *c, *d]).into())
            }
            AccountId::Classic(number) => of_bits(*number),
        };
        match operation {
            Operation::Open(id) => of_id(id),
            Operation::Add(Submission { account, .. }) | Operation::End(account) => match account {
                AccountNumber::Identity(number) => *number as usize % lanes,
                AccountNumber::Classic(number) => of_id(&AccountId::Classic(*number)),
            },
        }
    }

    pub(crate) fn submit(&mut self, asked: SimAsked) {
        self.token += 1;
        let (at, operation) = (asked.at, asked.operation.clone());
        let lane = self.lane_of(&operation);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.inbox.push((at, self.token, operation));
            self.asked.insert(self.token, asked);
        }
    }

    /// What an outcome is the answer to, once.
    pub(crate) fn answer(
        &mut self,
        token: u64,
        outcome: &OperationOutcome,
    ) -> Result<SimAsked, Violation> {
        let twice = || Violation(format!("operation {token} is answered twice: {outcome:?}"));
        let asked = self.asked.remove(&token).ok_or_else(twice)?;
        if let OperationOutcome::Opened(Ok(opening)) = outcome {
            let known = self.names.insert(opening.account, asked.account);
            if known.is_some_and(|known| known != asked.account) {
                let (id, number) = (asked.account, opening.account);
                return Err(Violation(format!("{id} has the number {number:?} of another")));
            }
        }
        Ok(asked)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let of_lane = |lane: &SimLane| match lane.state {
            LaneState::Idle => None,
            LaneState::Connecting(since) => Some(since + CONNECT_MAX),
            LaneState::Waiting(since, sent) => Some(since + sent.most()),
            LaneState::Pausing(until) => Some(until),
        };
        self.lanes.iter().filter_map(of_lane).min()
    }

    /// The process ends.
    pub(crate) fn end(&mut self, database: &mut SimDatabase, now: Instant, says_so: bool) {
        for lane in &mut self.lanes {
            if let Some(backend) = lane.backend.take() {
                database.close(backend, now, says_so);
            }
        }
    }

    /// The next thing that one lane does. As `LaneTask::run` of the real keeper.
    pub(crate) fn step(
        &mut self,
        at: usize,
        reach: &mut KeeperReach<'_>,
    ) -> Result<Decisions, Violation> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(Vec::new()) };
        match lane.state {
            LaneState::Idle => {
                lane.take_mail();
                lane.may_be_ready = false;
                let mut done = lane.lane.poll_ready();
                if self.failure.is_some() {
                    done.extend(lane.lane.expire(reach.now, Duration::ZERO));
                } else if lane.lane.waiting() > 0 {
                    match lane.backend {
                        Some(_) => lane.begin(reach),
                        None => lane.state = LaneState::Connecting(reach.now),
                    }
                }
                Ok(done)
            }
            LaneState::Connecting(since) => match reach.database.connect(reach.now) {
                Some(backend) => {
                    reach.trace.count("connections to the database");
                    lane.backend = Some(backend);
                    lane.begin(reach);
                    Ok(Vec::new())
                }
                None if since + CONNECT_MAX <= reach.now || reach.random.one_in(3) => {
                    self.troubles += 1;
                    Ok(lane.pause(reach.now, self.is_closed))
                }
                None => Ok(Vec::new()),
            },
            LaneState::Pausing(until) => {
                if until <= reach.now {
                    lane.state = LaneState::Idle;
                }
                Ok(Vec::new())
            }
            LaneState::Waiting(since, sent) => {
                let Some(backend) = lane.backend else { return self.trouble(at, sent, reach) };
                match reach.database.hear(backend) {
                    Heard::Reply(reply) => self.handle(at, (since, sent), reply, reach),
                    Heard::Nothing if since + sent.most() > reach.now => Ok(Vec::new()),
                    Heard::Nothing | Heard::Lost => self.trouble(at, sent, reach),
                }
            }
        }
    }

    fn handle(
        &mut self,
        at: usize,
        (since, sent): (Instant, Sent),
        reply: SqlReply,
        reach: &mut KeeperReach<'_>,
    ) -> Result<Decisions, Violation> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(Vec::new()) };
        match (sent, reply) {
            (Sent::Read, SqlReply::Rows(rows)) => return self.handle_read(at, &rows, reach),
            (Sent::Swap, SqlReply::Written(written)) => {
                let conflicts = lane.swaps.len().saturating_sub(written.len()) as u64;
                reach.trace.add("accounts that another server had written", conflicts);
                let swapped = std::mem::take(&mut lane.swaps);
                let swapped = swapped.iter().filter(|row| written.contains(&row.id));
                lane.rows.extend(swapped.map(|row| (row.id, (row.version, row.chain))));
                match lane.lane.handle_swapped(&written) {
                    Some(step) => lane.send(step, reach),
                    None => return self.trouble(at, sent, reach),
                }
            }
            (Sent::Append, SqlReply::Done) => {
                lane.state = LaneState::Waiting(since, Sent::Appended);
            }
            (Sent::Appended | Sent::Commit, SqlReply::Done) => return Ok(self.committed(at, reach)),
            (Sent::Rollback, SqlReply::Done) => {
                lane.lane.handle_rolled_back();
                lane.settle();
            }
            (_, SqlReply::Failed(why)) => {
                reach.trace.line(reach.step, format_args!("the database refuses: {why}"));
                reach.trace.count("statements that failed");
                return self.trouble(at, sent, reach);
            }
            (Sent::Appended, SqlReply::Warned) if reach.mutant == Some(Mutant::WarningIgnored) => {
                return Ok(self.committed(at, reach));
            }
            (_, SqlReply::Warned) => {
                reach.trace.count("commits with a warning");
                return self.trouble(at, sent, reach);
            }
            (sent, reply @ (SqlReply::Rows(_) | SqlReply::Written(_) | SqlReply::Done)) => {
                return Err(Violation(format!("{sent:?} is answered with {reply:?}")));
            }
        }
        Ok(Vec::new())
    }

    /// Rows that are locked. Nothing may be decided on them that this process knows to be older
    /// than what was durable.
    fn handle_read(
        &mut self,
        at: usize,
        rows: &[SharedRow],
        reach: &mut KeeperReach<'_>,
    ) -> Result<Decisions, Violation> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(Vec::new()) };
        let is_behind = |row: &&SharedRow| {
            self.known.get(&row.id).is_some_and(|(version, chain)| {
                row.version < *version || row.version == *version && row.chain != *chain
            })
        };
        let behind = rows.iter().find(is_behind).map(|row| row.id);
        match lane.lane.handle_read(reach.clock, rows) {
            Err(lost) if reach.lost.contains(&lost.account) => {
                reach.trace.line(reach.step, format_args!("noticed: {lost}"));
                reach.trace.count("losses that a server noticed");
                self.failure = Some(lost);
                lane.give_up_transaction(reach);
                lane.state = LaneState::Idle;
                Ok(Vec::new())
            }
            Err(lost) => Err(Violation(format!("nothing was lost, and {lost}"))),
            Ok(_) if behind.is_some() => {
                let id = behind.map_or_else(String::new, |id| id.to_string());
                Err(Violation(format!("{id}: a server writes on what has lost a tail")))
            }
            Ok(Some(step)) => {
                lane.rows = rows.iter().map(|row| (row.id, (row.version, row.chain))).collect();
                lane.send(step, reach);
                Ok(Vec::new())
            }
            Ok(None) => self.trouble(at, Sent::Read, reach),
        }
    }

    fn committed(&mut self, at: usize, reach: &mut KeeperReach<'_>) -> Decisions {
        let Some(lane) = self.lanes.get_mut(at) else { return Vec::new() };
        let done = lane.lane.handle_committed();
        self.known.append(&mut lane.rows);
        lane.settle();
        reach.trace.line(reach.step, format_args!("committed: {} decided", done.len()));
        reach.trace.count("transactions");
        done
    }

    /// The transaction failed, or nobody knows what became of it.
    fn trouble(
        &mut self,
        at: usize,
        sent: Sent,
        reach: &mut KeeperReach<'_>,
    ) -> Result<Decisions, Violation> {
        if cfg!(ddes_mutant = "commit-unchecked") && matches!(sent, Sent::Append | Sent::Appended) {
            return Ok(self.committed(at, reach));
        }
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(Vec::new()) };
        reach.trace.line(reach.step, format_args!("{sent:?} came to nothing, or not"));
        reach.trace.count("unknown outcomes");
        lane.give_up_transaction(reach);
        lane.failures = lane.failures.saturating_add(1);
        self.troubles += 1;
        // The first may be a failover, or a database that started again.
        if lane.failures > 1 {
            return Ok(lane.pause(reach.now, self.is_closed));
        }
        lane.state = LaneState::Idle;
        Ok(Vec::new())
    }
}

impl SimLane {
    fn take_mail(&mut self) {
        for (came, token, operation) in self.inbox.drain(..) {
            self.may_be_ready = true;
            self.lane.submit(came, token, operation);
        }
    }

    /// The transaction is over, and all is well.
    fn settle(&mut self) {
        (self.failures, self.state) = (0, LaneState::Idle);
        self.rows.clear();
    }

    /// Whatever became of it, its connection says no more about it.
    fn give_up_transaction(&mut self, reach: &mut KeeperReach<'_>) {
        self.lane.handle_unknown();
        self.rows.clear();
        self.swaps.clear();
        if let Some(backend) = self.backend.take() {
            reach.database.close(backend, reach.now, true);
        }
    }

    /// Refuses what has waited too long, and whoever wants to come in meanwhile.
    fn pause(&mut self, now: Instant, is_closed: bool) -> Decisions {
        self.take_mail();
        let most = if is_closed { Duration::ZERO } else { PATIENCE };
        let mut refused = self.lane.expire(now, most);
        refused.extend(self.lane.refuse_openings());
        self.state = if self.lane.waiting() > 0 {
            LaneState::Pausing(now + RETRY_EVERY)
        } else {
            LaneState::Idle
        };
        refused
    }

    fn begin(&mut self, reach: &mut KeeperReach<'_>) {
        self.take_mail();
        match self.lane.begin(reach.clock) {
            Some(step) => self.send(step, reach),
            None => {
                self.may_be_ready = true;
                self.settle();
            }
        }
    }

    fn send(&mut self, step: LaneStep, reach: &mut KeeperReach<'_>) {
        let (messages, sent) = match step {
            LaneStep::Read(wanted) => (vec![SqlMessage::Read(wanted)], Sent::Read),
            LaneStep::Swap { swaps, is_begun: _ } => {
                self.swaps = swaps.iter().map(|swap| swap.row).collect();
                (vec![SqlMessage::Swap(swaps)], Sent::Swap)
            }
            LaneStep::Append(entries) => {
                (vec![SqlMessage::Append(entries), SqlMessage::Commit], Sent::Append)
            }
            LaneStep::Commit => (vec![SqlMessage::Commit], Sent::Commit),
            LaneStep::Rollback => (vec![SqlMessage::Rollback], Sent::Rollback),
        };
        self.state = LaneState::Waiting(reach.now, sent);
        let Some(backend) = self.backend else { return };
        let is_slow = reach.random.happens(reach.faults.slow);
        let latency = reach.random.below(if is_slow { 2_000_000 } else { 3_000 });
        let arrives = reach.now + Duration::from_micros(latency);
        reach.database.send(backend, arrives, messages);
        if reach.random.happens(reach.faults.cut) {
            let how = SqlFaults::draw_cut(reach.random);
            reach.trace.line(reach.step, format_args!("{sent:?} is cut: {how:?}"));
            reach.trace.count(SqlFaults::name_of(how));
            reach.database.cut(backend, how, reach.now, reach.random);
        }
    }
}

impl Sent {
    /// How long to wait for the reply.
    fn most(self) -> Duration {
        match self {
            Self::Append | Self::Appended | Self::Commit => COMMIT_MAX,
            Self::Read | Self::Swap | Self::Rollback => STATEMENT_MAX,
        }
    }
}

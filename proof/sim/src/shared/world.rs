//! Servers over one database: one step after the other, each of them the seed's choice.

use std::collections::BTreeSet;
use std::time::Instant;

use ddes_ledger::{AccountId, Operation, OperationOutcome, Timestamp};

use super::database::SimDatabase;
use super::faults::{DatabasePlan, SqlFaults};
use super::judge::{Excuse, SimAsked, SimJudge};
use super::keeper::{KeeperReach, SimKeeper};
use super::visitor::ClassicVisitor;
use super::wanderer::Wanderer;
use crate::client::{Client, State};
use crate::model::Violation;
use crate::plan::{Mutant, Plan, Rates};
use crate::power::Outage;
use crate::random::Random;
use crate::scene::{DRAIN_STEPS_MAX, SimScene};
use crate::server::{Answer, Node, To, values_in};

/// The same seed has a world of a folder too: it shares nothing with it.
const SALT: u64 = 0x5ea1_ed0d_a7ab_a5e5;

pub(crate) struct DatabaseWorld {
    pub(crate) scene: SimScene,
    pub(crate) plan: DatabasePlan,
    mutant: Option<Mutant>,
    pub(crate) database: SimDatabase,
    pub(crate) keepers: Vec<SimKeeper>,
    wanderers: Vec<Wanderer>,
    /// Numbered after the wanderers.
    visitors: Vec<ClassicVisitor>,
    judge: SimJudge,
    /// Accounts of which the database has lost something that it had committed.
    lost: BTreeSet<AccountId>,
    /// Servers that have stopped because of it, and wait for a person.
    down: BTreeSet<usize>,
}

impl DatabaseWorld {
    pub(crate) fn new(seed: u64, base: Instant, mutant: Option<Mutant>, prints: bool) -> Self {
        let mut random = Random::new(seed ^ SALT);
        let mut common = Plan::draw(&mut random);
        let plan = DatabasePlan::draw(&mut random);
        common.nodes = random.count(2, 4);
        if !plan.is_synchronous {
            // Where an outbox and the ledger both forget the same, nobody can know.
            common.rates.restore = 0;
            // It is the clients that have to notice: they are to have something to lose.
            let Rates { power, kill, stop, client, cut, ghost, .. } = &mut common.rates;
            for rate in [power, kill, stop, client, cut, ghost] {
                *rate /= 4;
            }
            common.walkers /= 3;
        }
        common.steps = random.within(2_000, 16_000);
        common.values_max *= 3;
        Self {
            scene: SimScene::new(random, common, base, prints),
            plan,
            mutant,
            database: SimDatabase::new(plan.is_synchronous, base),
            keepers: Vec::new(),
            wanderers: Vec::new(),
            visitors: Vec::new(),
            judge: SimJudge::default(),
            lost: BTreeSet::new(),
            down: BTreeSet::new(),
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        let plan = self.plan;
        self.scene.add_clients()?;
        self.scene.trace.line(0, format_args!("{plan:?}"));
        for _ in 0..self.scene.plan.nodes {
            let node = self.node();
            self.scene.nodes.push(node);
            self.keepers.push(SimKeeper::new(&plan, &mut self.scene.random));
        }
        for _ in 0..self.scene.plan.walkers {
            let id = AccountId::Identity(self.scene.random.bytes());
            let account = self.scene.model.open_account(id);
            self.wanderers.push(Wanderer::new(account, self.keepers.len()));
        }
        let visitors_max = if plan.is_synchronous { self.keepers.len() } else { 1 };
        for server in 0..self.scene.random.count(0, visitors_max) {
            self.visitors.push(ClassicVisitor::new(server));
        }
        while self.scene.step < self.scene.plan.steps {
            self.scene.step += 1;
            self.faults()?;
            self.act()?;
            self.hand_out()?;
        }
        self.drain()
    }

    fn node(&mut self) -> Node {
        let first = self.scene.random.u64() >> 1;
        Node::new(self.scene.now, &self.scene.key, self.scene.plan.idle, first).telling_ends()
    }

    /// One thing of those that may happen now.
    fn act(&mut self) -> Result<(), Violation> {
        match self.scene.random.below(100) {
            0..38 => self.scene.network(),
            38..44 => self.scene.handshake(),
            44..58 => self.work(),
            58..72 => {
                self.serve_database();
                Ok(())
            }
            72..79 => self.scene.answer(),
            79..83 => self.scene.take(),
            83..88 => self.walk(),
            88..93 => self.pass(),
            93..97 => self.scene.connect(),
            97 => self.scene.leave(),
            98 => self.audit(),
            _ => {
                self.retire();
                Ok(())
            }
        }
    }

    /// Advances the clock, rarely by much while messages are on their way: most transactions are to
    /// end before anybody's patience does.
    fn pass(&mut self) -> Result<(), Violation> {
        let now = self.scene.now;
        let is_hasty = self.scene.random.one_in(8) || !self.database.is_moving(now);
        self.scene.pass(if is_hasty { self.due() } else { Some(now) })
    }

    fn due(&self) -> Option<Instant> {
        let keepers = self.keepers.iter().filter_map(SimKeeper::due);
        keepers.chain(self.database.due(self.scene.now)).min()
    }

    pub(crate) fn is_down(&self, number: usize) -> bool {
        self.down.contains(&number)
    }

    /// A lane of a server does its next step.
    pub(crate) fn work(&mut self) -> Result<(), Violation> {
        let up = self.keepers.iter().enumerate().filter(|(number, _)| !self.is_down(*number));
        let busy: Vec<(usize, usize)> =
            up.flat_map(|(number, keeper)| keeper.busy().map(move |lane| (number, lane))).collect();
        if busy.is_empty() {
            return Ok(());
        }
        let chosen = busy.get(self.scene.random.index(busy.len()));
        let Some((number, lane)) = chosen.copied() else { return Ok(()) };
        let Some(keeper) = self.keepers.get_mut(number) else { return Ok(()) };
        let had_failed = keeper.failure.is_some();
        let faults = if self.scene.is_ending { SqlFaults::default() } else { self.plan.faults };
        let mut reach = KeeperReach {
            now: self.scene.now,
            clock: Timestamp(self.scene.wall.saturating_add(keeper.ahead)),
            step: self.scene.step,
            random: &mut self.scene.random,
            trace: &mut self.scene.trace,
            database: &mut self.database,
            faults: &faults,
            lost: &self.lost,
            mutant: self.mutant,
        };
        let done = keeper.step(lane, &mut reach)?;
        if !had_failed && keeper.failure.is_some() {
            // As the server's driver does on `Health::Failed`.
            self.scene.end_all(number);
            if let Some(node) = self.scene.nodes.get_mut(number) {
                node.is_closed = true;
            }
        }
        self.decided(number, done)
    }

    /// What a server's keeper has decided is held to the rules, and goes to whoever asked.
    fn decided(
        &mut self,
        number: usize,
        done: Vec<(u64, OperationOutcome)>,
    ) -> Result<(), Violation> {
        let mut values = 0;
        let Some(keeper) = self.keepers.get_mut(number) else { return Ok(()) };
        let excuse = Excuse {
            now: self.scene.now,
            is_stopping: keeper.failure.is_some() || keeper.is_closed,
            had_trouble: keeper.troubles > 0,
        };
        let mut ended = Vec::new();
        let has_any = !done.is_empty();
        for (token, outcome) in done {
            let asked = keeper.answer(token, &outcome)?;
            let model = &mut self.scene.model;
            self.judge.judge(model, &self.database, &asked, &outcome, excuse)?;
            self.scene.trace.count(kind_of(&outcome));
            let SimAsked { to, operation, account, .. } = asked;
            match to {
                To::Walker(walker) => {
                    let random = &mut self.scene.random;
                    let over = match self.wanderers.get_mut(walker) {
                        Some(wanderer) => wanderer.handle(number, &outcome, random),
                        None => self
                            .visitors
                            .get_mut(walker - self.wanderers.len())
                            .and_then(|visitor| visitor.handle(&outcome)),
                    };
                    ended.extend(over.map(|operation| (operation, account)));
                }
                To::Node(_, to) => {
                    values += values_in(&operation);
                    if let Some(node) = self.scene.nodes.get_mut(number) {
                        let done = |(id, ticket)| Answer::Done(id, ticket, outcome);
                        node.answers.extend(to.map(done));
                    }
                }
            }
        }
        if has_any && let Some(node) = self.scene.nodes.get_mut(number) {
            node.answers.push_back(Answer::Values(values));
        }
        for (operation, account) in ended {
            self.submit(number, To::Node(number, None), operation, account);
        }
        Ok(())
    }

    /// What the endpoints have asked of their ledgers goes to their keepers.
    pub(crate) fn hand_out(&mut self) -> Result<(), Violation> {
        while let Some((to, operation)) = self.scene.inbox.pop_front() {
            // Wanderers ask their keepers themselves.
            let To::Node(number, _) = &to else { continue };
            let number = *number;
            let Some(keeper) = self.keepers.get(number) else { continue };
            let Some(account) = keeper.account_of(&operation) else {
                return Err(Violation(format!("{operation:?} is of no account")));
            };
            self.submit(number, to, operation, account);
        }
        Ok(())
    }

    fn submit(&mut self, number: usize, to: To, operation: Operation, account: AccountId) {
        let known = self.scene.model.accounts.iter().find(|known| known.id == account);
        let (promised, session) =
            known.map_or_else(Default::default, |known| (known.promised(), known.session()));
        let at = self.scene.now;
        if let Some(keeper) = self.keepers.get_mut(number) {
            keeper.submit(SimAsked { to, operation, account, at, promised, session });
        }
    }

    /// The database does its next step.
    pub(crate) fn serve_database(&mut self) {
        let random = &mut self.scene.random;
        if random.one_in(3) {
            if random.one_in(self.plan.lag) {
                self.database.ship(self.scene.now);
            }
        } else if let Some(id) = self.database.pick_busy(random) {
            self.database.advance(id, self.scene.now);
        }
        let lost = self.database.check_former(self.scene.now);
        if !lost.is_empty() {
            self.scene.trace.count("transactions at a primary that was none any more");
            self.lose(&lost);
        }
    }

    /// A wanderer asks a server for something, or a visitor asks its own.
    fn walk(&mut self) -> Result<(), Violation> {
        let many = self.wanderers.len() + self.visitors.len();
        if many == 0 || self.scene.is_ending {
            return Ok(());
        }
        let walker = self.scene.random.index(many);
        let of_visitor = walker.checked_sub(self.wanderers.len());
        let visitor = of_visitor.and_then(|visitor| self.visitors.get_mut(visitor));
        let number = match &visitor {
            Some(visitor) => visitor.server,
            None => self.scene.random.index(self.keepers.len()),
        };
        if self.down.contains(&number) {
            return Ok(());
        }
        let Some(keeper) = self.keepers.get_mut(number) else { return Ok(()) };
        let SimScene { model, plan, random, .. } = &mut self.scene;
        let asked = match (visitor, self.wanderers.get_mut(walker)) {
            (Some(visitor), _) => visitor.ask(&mut keeper.classic_next, model, random),
            (None, Some(wanderer)) => {
                wanderer.ask(number, model, plan.values_max, random).into_iter().collect()
            }
            (None, None) => Vec::new(),
        };
        for operation in asked {
            let Some(account) =
                self.keepers.get(number).and_then(|keeper| keeper.account_of(&operation))
            else {
                return Err(Violation(format!("{operation:?} is of no account")));
            };
            self.submit(number, To::Walker(walker), operation, account);
        }
        Ok(())
    }

    /// A server ends, in one of three ways, and another process begins in its place.
    pub(crate) fn restart(&mut self, number: usize, outage: Outage) -> Result<(), Violation> {
        self.scene.trace.line(self.scene.step, format_args!("server {number} ends: {outage:?}"));
        self.scene.trace.count(match outage {
            Outage::Power => "power cuts",
            Outage::Kill => "kills",
            Outage::Stop => "stops",
        });
        self.hand_out()?;
        self.end(number, outage);
        let node = self.node();
        if let Some(place) = self.scene.nodes.get_mut(number) {
            *place = node;
        }
        let keeper = SimKeeper::new(&self.plan, &mut self.scene.random);
        if let Some(place) = self.keepers.get_mut(number) {
            *place = keeper;
        }
        Ok(())
    }

    fn end(&mut self, number: usize, outage: Outage) {
        let SimScene { links, random, now, .. } = &mut self.scene;
        for link in links.values_mut().filter(|link| link.node == number) {
            let says_so = outage != Outage::Power || random.one_in(2);
            link.lose_server(random, says_so);
        }
        links.retain(|_, link| !link.is_gone());
        if let Some(keeper) = self.keepers.get_mut(number) {
            keeper.end(&mut self.database, *now, outage != Outage::Power);
        }
        self.wanderers.iter_mut().for_each(|wanderer| wanderer.lose_server(number));
        let here = self.visitors.iter_mut().filter(|visitor| visitor.server == number);
        here.for_each(ClassicVisitor::lose_server);
    }

    /// The database has lost what was committed of these accounts: what was acknowledged of them
    /// does not hold any more, but nothing may be wrong and believed.
    pub(crate) fn lose(&mut self, lost: &BTreeSet<AccountId>) {
        self.lost.extend(lost);
        for known in self.scene.model.accounts.iter_mut().filter(|known| lost.contains(&known.id)) {
            if std::mem::replace(&mut known.is_lost, true) {
                continue;
            }
            let found = self.database.row(&known.id);
            if found.map_or(0, |row| row.account.count()) < known.told() {
                self.scene.trace.count("clients that were told more than is left");
            }
            if found.map_or(0, |row| row.account.count()) < known.promised() {
                self.scene.trace.count("accounts that lost acknowledged values");
            }
            if found.map(|row| row.account.newest_session()) < Some(known.session()) {
                self.scene.trace.count("accounts that lost a session");
            }
            self.scene.trace.line(self.scene.step, format_args!("{} lost a tail", known.id));
        }
    }

    /// A server that has noticed a loss ends, once its sessions had some time.
    fn retire(&mut self) {
        let number = self.scene.random.index(self.keepers.len());
        let has_failed = self.keepers.get(number).is_some_and(|keeper| keeper.failure.is_some());
        if !has_failed || self.is_down(number) {
            return;
        }
        self.stop_for_good(number);
    }

    /// A server ends, and a person has to start it again.
    fn stop_for_good(&mut self, number: usize) {
        if !self.down.insert(number) {
            return;
        }
        self.scene.trace.line(self.scene.step, format_args!("server {number} stops for good"));
        self.end(number, Outage::Stop);
        if let Some(node) = self.scene.nodes.get_mut(number) {
            node.is_closed = true;
        }
    }

    /// A person has seen that a server stopped: stops the others, raises the session numbers, as
    /// after a restore, and starts all of them anew.
    pub(crate) fn operate(&mut self) -> Result<(), Violation> {
        let is_time = self.scene.random.one_in(if self.scene.is_ending { 50 } else { 300 });
        if self.down.is_empty() || !is_time {
            return Ok(());
        }
        if self.down.len() < self.keepers.len() {
            (0..self.keepers.len()).for_each(|number| self.stop_for_good(number));
            return Ok(());
        }
        if self.database.is_away(self.scene.now) || self.database.is_busy() {
            // It would wait for the locks.
            return Ok(());
        }
        self.database.raise(self.scene.timestamp())?;
        self.scene.trace.line(self.scene.step, format_args!("all session numbers are raised"));
        self.scene.trace.count("ledgers raised");
        for number in 0..self.keepers.len() {
            self.restart(number, Outage::Stop)?;
        }
        self.down.clear();
        Ok(())
    }

    /// Somebody verifies the ledger while it is written.
    fn audit(&mut self) -> Result<(), Violation> {
        if self.scene.random.one_in(4) {
            self.database.audit(&self.scene.model)?;
            self.scene.trace.count("audits");
        }
        Ok(())
    }

    /// Without faults every outbox drains, and every total is exact.
    fn drain(&mut self) -> Result<(), Violation> {
        self.scene.is_ending = true;
        self.plan.faults = SqlFaults::default();
        self.plan.lag = 1;
        self.scene.repair_client_disks();
        self.database.recover(self.scene.now);
        for client in &mut self.scene.clients {
            // Whoever asks no more cannot notice.
            client.must_look = self.scene.model.has_lost(client.account);
        }
        let last = self.scene.step + DRAIN_STEPS_MAX;
        while let Some(what) = self.undone() {
            self.scene.step += 1;
            if self.scene.step > last {
                return Err(Violation(what.into()));
            }
            self.operate()?;
            self.act()?;
            self.hand_out()?;
            if self.scene.step.is_multiple_of(200) {
                self.look();
                self.scene.advance(self.scene.until_due(self.due()))?;
            }
        }
        self.database.audit(&self.scene.model)?;
        for client in self.scene.clients.iter().filter(|client| !client.has_stopped()) {
            let Some(known) = self.scene.model.accounts.get(client.account) else { continue };
            let counted = self.database.row(&known.id).map_or(0, |row| row.account.count());
            if counted != known.count() {
                let (id, count) = (known.id, known.count());
                return Err(Violation(format!("{id}: {count} were given, {counted} count")));
            }
            self.scene.trace.add("values", counted);
        }
        self.scene.trace.add("entries", self.database.entries() as u64);
        Ok(())
    }

    /// Clients whose account has lost something connect once more.
    fn look(&mut self) {
        let SimScene { clients, now, .. } = &mut self.scene;
        for client in clients.iter_mut().filter(|client| client.must_look) {
            match client.state {
                State::Down if client.due().is_none() => client.delivery.get().connect(*now),
                State::Down | State::Stopped => {}
                State::Meeting(_) => {
                    // It may be on its way in, or out.
                    client.leave(*now);
                }
            }
        }
    }

    /// What is not done yet.
    fn undone(&self) -> Option<&'static str> {
        let is_idle = |(number, keeper): (usize, &SimKeeper)| {
            self.is_down(number) || !keeper.is_waiting() && keeper.failure.is_none()
        };
        let has_looked = |client: &Client| !client.must_look || client.has_stopped();
        let all = [
            (self.scene.is_drained(), "the outboxes do not drain"),
            (self.scene.clients.iter().all(has_looked), "a client does not connect again"),
            (self.keepers.iter().enumerate().all(is_idle), "a keeper does not answer"),
            (!self.database.is_busy(), "a transaction does not end"),
            (self.database.is_shipped(), "the standby does not follow"),
        ];
        all.into_iter().find(|(is_done, _)| !is_done).map(|(_, what)| what)
    }
}

fn kind_of(outcome: &OperationOutcome) -> &'static str {
    match outcome {
        OperationOutcome::Opened(Ok(_)) => "sessions opened",
        OperationOutcome::Opened(Err(_)) => "sessions that could not be opened",
        OperationOutcome::Decided(Ok(_)) => "submissions acknowledged",
        OperationOutcome::Decided(Err(ddes_ledger::Refusal::Gap { .. })) => "gaps",
        OperationOutcome::Decided(Err(ddes_ledger::Refusal::Superseded { .. })) => {
            "submissions of superseded sessions"
        }
        OperationOutcome::Decided(Err(_)) => "submissions that waited too long",
        OperationOutcome::Ended(_) => "sessions ended",
    }
}

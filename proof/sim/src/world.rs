//! The world: one step after the other, each of them the seed's choice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ddes_client::outbox::OutboxOwner;
use ddes_identity::{PublicKey, SigningKey};
use ddes_ledger::store::{Batch, Chain};
use ddes_ledger::{AccountId, Health, Ledger, Timestamp};

use crate::client::{Client, State};
use crate::disk::SimDisk;
use crate::impostor::Impostor;
use crate::link::Link;
use crate::model::{Model, Violation};
use crate::outbox::DurableDelivery;
use crate::plan::{DiskRates, Mutant, Plan};
use crate::power::Outage;
use crate::random::Random;
use crate::server::{Answer, Clerk, Node, To, judge, values_in};
use crate::trace::Trace;
use crate::walker::Walker;

/// Steps that the end may take, with all faults off.
const DRAIN_STEPS_MAX: u64 = 400_000;
/// A ledger looks once a second whether its folder is in its place; the clock may have been set
/// back by as much since.
const MOVED_MICROS_MAX: u64 = 2_000_000;
/// What the clients call the server.
const SERVER: &str = "server:5566";
/// The wall clock at the beginning: 2026.
const WALL_MICROS: u64 = 1_770_000_000_000_000;

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) now: Instant,
    /// Microseconds since 1970, as the server's clock has it.
    pub(crate) wall: u64,
    pub(crate) step: u64,
    pub(crate) trace: Trace,
    pub(crate) model: Model,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) disk: SimDisk,
    /// The server's key is made of it.
    pub(crate) key: [u8; 32],
    pub(crate) public: PublicKey,
    pub(crate) clerk: Clerk,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) walkers: Vec<Walker>,
    pub(crate) links: BTreeMap<u64, Link>,
    connected: u64,
    /// How often the server began.
    pub(crate) life: u64,
    pub(crate) classic_next: u64,
    /// When the wall clock stood where at the first commit after the ledger's folder was moved
    /// away, if something was acknowledged in it.
    pub(crate) moved: Option<u64>,
    /// The newest batch and chain before the last opening.
    pub(crate) found: Option<(Batch, Chain)>,
    /// The end: no faults any more.
    pub(crate) is_ending: bool,
}

impl World {
    pub(crate) fn new(seed: u64, base: Instant, mutant: Option<Mutant>, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let disk = SimDisk::new(random.fork(), mutant);
        let key = random.bytes();
        Self {
            public: SigningKey::from_seed(&key).public(),
            key,
            now: base,
            wall: WALL_MICROS,
            step: 0,
            trace: Trace::new(prints),
            model: Model::default(),
            mutant,
            disk,
            clerk: Clerk::new(Ledger::in_memory()),
            nodes: Vec::new(),
            clients: Vec::new(),
            walkers: Vec::new(),
            links: BTreeMap::new(),
            connected: 0,
            life: 0,
            classic_next: 0,
            moved: None,
            found: None,
            is_ending: false,
            plan,
            random,
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        let plan = format!("{:?}", self.plan);
        self.trace.line(0, format_args!("{plan}"));
        for _ in 0..self.plan.clients {
            self.add_client()?;
        }
        self.start()?;
        for number in 0..self.plan.walkers {
            self.add_walker(number);
        }
        while self.step < self.plan.steps {
            self.step += 1;
            self.faults()?;
            self.act()?;
        }
        self.drain()
    }

    fn add_client(&mut self) -> Result<(), Violation> {
        let key = SigningKey::from_seed(&self.random.bytes());
        let account = self.model.open_account(AccountId::Identity(*key.public().as_bytes()));
        let server = SERVER.parse().map_err(|error| Violation(format!("{SERVER}: {error}")))?;
        let owner = OutboxOwner { key: key.public(), server };
        let disk = SimDisk::new(self.random.fork(), None);
        let (rates, now) = (self.plan.client_disk, self.now);
        let delivery =
            DurableDelivery::begin(owner, disk, rates, &mut self.random, &mut self.trace, now)?;
        self.clients.push(Client::new(key, account, delivery));
        Ok(())
    }

    fn add_walker(&mut self, number: usize) {
        let is_classic = number % 3 == 2;
        let id = AccountId::Identity(self.random.bytes());
        // A classic one has an account for each session.
        let account = if is_classic { 0 } else { self.model.open_account(id) };
        self.walkers.push(Walker::new(account, is_classic));
    }

    /// One thing of those that may happen now.
    fn act(&mut self) -> Result<(), Violation> {
        match self.random.below(100) {
            0..50 => self.network(),
            50..58 => self.handshake(),
            58..70 => self.commit(),
            70..78 => self.answer(),
            78..83 => self.take(),
            83..86 => self.walk(),
            86..91 => self.pass(),
            91..95 => self.connect(),
            95..97 => self.checkpoint(),
            97 => self.leave(),
            98 => self.rest(),
            _ => self.audit(),
        }
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp(self.wall)
    }

    /// An exponentiation of a server is done: any of those that wait.
    fn handshake(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.nodes.len());
        let Some(node) = self.nodes.get_mut(number).filter(|node| !node.work.is_empty()) else {
            return Ok(());
        };
        let (id, work) = node.work.swap_remove(self.random.index(node.work.len()));
        node.endpoint.handle_done(self.now, id, work.run());
        node.hand_on(self.now, number, &mut self.clerk);
        self.trace.count("handshakes");
        Ok(())
    }

    /// The clerk commits some of what waits.
    pub(crate) fn commit(&mut self) -> Result<(), Violation> {
        let waiting = self.clerk.inbox.len();
        if waiting == 0 || !self.random.one_in(self.plan.lull) {
            return Ok(());
        }
        let count = self.random.count(1, waiting);
        self.disk.take_faults();
        let batch = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
        let done = self.clerk.commit(self.timestamp(), count);
        if self.disk.is_off() {
            return self.restart(Outage::Power);
        }
        if self.mutant == Some(Mutant::CheckpointBeforeSegment) {
            let life = self.life;
            // One that the batch completed, taken and run.
            self.checkpoint()?;
            self.checkpoint()?;
            let is_made = self.life == life && self.clerk.done.is_some();
            if is_made && self.plan.rates.power > 0 && self.random.one_in(20) {
                self.restart(Outage::Power)?;
            }
            if self.life != life {
                return Ok(());
            }
            self.disk.settle();
        }
        let had_fault = self.disk.take_faults() > 0 || self.clerk.ledger.health() != Health::Good;
        self.check_moved(batch)?;
        let batch = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
        self.trace.line(self.step, format_args!("commit of {count}: batch {batch}"));
        self.trace.count("commits");
        let mut values = vec![0; self.nodes.len()];
        for (to, operation, outcome) in done {
            judge(&mut self.model, &operation, &outcome, had_fault)?;
            match to {
                To::Walker(walker) => {
                    if let Some(walker) = self.walkers.get_mut(walker) {
                        walker.handle(&outcome);
                    }
                }
                To::Node(number, to) => {
                    let count = values_in(&operation);
                    if let (Some(node), Some(sum)) =
                        (self.nodes.get_mut(number), values.get_mut(number))
                    {
                        *sum += count;
                        node.answers
                            .extend(to.map(|(id, ticket)| Answer::Done(id, ticket, outcome)));
                    }
                }
            }
        }
        for (node, values) in self.nodes.iter_mut().zip(values) {
            node.answers.push_back(Answer::Values(values));
        }
        self.model.check(&self.clerk.ledger, false).or_else(|violation| {
            // Without a disk nothing is claimed.
            if matches!(self.clerk.ledger.health(), Health::Failed(_)) {
                Ok(())
            } else {
                Err(violation)
            }
        })
    }

    /// Into a folder that is not in its place nothing is written for longer than a second. `before`
    /// is the newest batch before this commit.
    fn check_moved(&mut self, before: u64) -> Result<(), Violation> {
        let is_written = self.clerk.ledger.head().is_some_and(|(batch, _)| batch > before);
        if !self.disk.is_moved() || !is_written {
            return Ok(());
        }
        let first = *self.moved.get_or_insert(self.wall);
        if first.abs_diff(self.wall) >= MOVED_MICROS_MAX {
            return Err(Violation("a ledger writes on in a folder that was moved away".into()));
        }
        Ok(())
    }

    /// Some of the clerk's answers reach their endpoint.
    pub(crate) fn answer(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.nodes.len());
        let Some(node) = self.nodes.get_mut(number) else { return Ok(()) };
        let count = self.random.index(node.answers.len() + 1);
        let (mut values, mut outcomes) = (0, Vec::new());
        for answer in node.answers.drain(..count) {
            match answer {
                Answer::Done(id, ticket, outcome) => outcomes.push((id, ticket, outcome)),
                Answer::Values(count) => values += count,
            }
        }
        node.endpoint.handle_outcomes(self.now, values, outcomes);
        node.hand_on(self.now, number, &mut self.clerk);
        Ok(())
    }

    /// A client is given values.
    fn take(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.clients.len());
        let most = self.plan.values_max;
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        let Some(known) = self.model.accounts.get_mut(client.account) else { return Ok(()) };
        let count = self.random.below(12).min(most.saturating_sub(known.count()));
        if self.is_ending || count == 0 || client.has_stopped() {
            return Ok(());
        }
        // Where an outbox may be set back no two values are alike: a sum cannot tell them apart
        // that are.
        let shift = if self.plan.rates.restore == 0 { 64 } else { 8 };
        let values: Vec<i64> = (0..count)
            .map(|_| self.random.u64().cast_signed() >> self.random.below(shift))
            .collect();
        let give = |value: &i64| match &mut client.restored {
            Some(history) => history.give((*value).into()),
            None => known.give((*value).into()),
        };
        values.iter().for_each(give);
        self.store(number, &values)?;
        self.settle(number)
    }

    /// Stores values that the model was given; if the client's process ends, so does its
    /// connection.
    fn store(&mut self, number: usize, values: &[i64]) -> Result<(), Violation> {
        let Some((client, mut around)) = self.client(number) else { return Ok(()) };
        let link = client.meeting().map(|meeting| meeting.link);
        client.take(values, &mut around)?;
        if client.meeting().is_none()
            && let Some(link) = link
        {
            self.leave_link(link);
        }
        Ok(())
    }

    /// A walker asks for something.
    fn walk(&mut self) -> Result<(), Violation> {
        if self.walkers.is_empty() || self.is_ending {
            return Ok(());
        }
        let number = self.random.index(self.walkers.len());
        let Some(walker) = self.walkers.get_mut(number) else { return Ok(()) };
        let next = &mut self.classic_next;
        let asked = walker.ask(&mut self.model, next, self.plan.values_max, &mut self.random);
        self.clerk.inbox.extend(asked.map(|operation| (To::Walker(number), operation)));
        Ok(())
    }

    /// Advances the clock: mostly a little, sometimes to the next timeout.
    fn pass(&mut self) -> Result<(), Violation> {
        let passed = match self.random.below(20) {
            0..14 => Duration::from_micros(self.random.below(5_000)),
            14..19 => Duration::from_millis(self.random.below(400)),
            _ => self.until_due(),
        };
        self.advance(passed)
    }

    fn until_due(&self) -> Duration {
        let clients = self.clients.iter().filter_map(Client::due);
        let links = self.links.values().flat_map(|link| {
            let node = self.nodes.get(link.node);
            let due =
                link.id.and_then(|id| node.and_then(|node| node.endpoint.connection_timeout(id)));
            due.into_iter().chain((link.until > self.now).then_some(link.until))
        });
        let nodes = self.nodes.iter().filter_map(|node| node.endpoint.poll_timeout());
        let next = clients.chain(links).chain(nodes).min();
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(self.now))
    }

    fn advance(&mut self, passed: Duration) -> Result<(), Violation> {
        self.now += passed;
        #[allow(clippy::cast_possible_truncation, reason = "a step takes far less than 2^64 µs")]
        let micros = passed.as_micros() as u64;
        self.wall += micros;
        for link in self.links.values() {
            let Some((id, node)) = link.id.zip(self.nodes.get_mut(link.node)) else { continue };
            if node.endpoint.connection_timeout(id).is_some_and(|at| at <= self.now) {
                node.endpoint.handle_connection_timeout(self.now, id);
            }
        }
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.hand_on(self.now, number, &mut self.clerk);
        }
        for number in 0..self.clients.len() {
            if let Some(client) = self.clients.get_mut(number) {
                client.pass(self.now);
            }
            self.settle(number)?;
        }
        Ok(())
    }

    /// A client connects that has something to send, or for no reason.
    fn connect(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.clients.len());
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        if !matches!(client.state, State::Down) {
            return Ok(());
        }
        let delivery = client.delivery.get();
        if delivery.poll_timeout().is_none() && self.random.one_in(10) && !self.is_ending {
            // Somebody wants to see the sum.
            delivery.connect(self.now);
        }
        if !delivery.poll_connect(self.now) {
            return Ok(());
        }
        self.connected += 1;
        let node = self.random.index(self.nodes.len());
        let mut link = Link::new(number, node, &mut self.random, self.now);
        client.begin(self.connected, self.now, &mut self.random)?;
        if !self.is_ending && self.random.happens(self.plan.rates.impostor) {
            link.impostor = Some(Impostor::default());
            self.links.insert(self.connected, link);
            self.trace.count("connections taken by an impostor");
            return self.settle(number);
        }
        let Some(endpoint) = self.nodes.get_mut(node) else { return Ok(()) };
        #[allow(clippy::cast_possible_truncation, reason = "a plan has a handful of clients")]
        let port = number as u16;
        match endpoint.accept(self.now, port, &mut self.random) {
            Ok(id) => link.id = Some(id),
            Err(full) => {
                link.down.put(&full.farewell(false));
                link.down.end();
                self.trace.count("connections refused");
            }
        }
        endpoint.hand_on(self.now, node, &mut self.clerk);
        self.links.insert(self.connected, link);
        self.trace.line(
            self.step,
            format_args!("client {number} connects to {node}: {}", self.connected),
        );
        self.trace.count("connections");
        self.settle(number)
    }

    /// Continues a checkpoint: runs its last part, or gives the clerk the result.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Violation> {
        if let Some((done, had_fault)) = self.clerk.done.take() {
            return match self.clerk.ledger.handle_done(done) {
                Err(error) if !had_fault => {
                    Err(Violation(format!("a checkpoint failed on a good disk: {error}")))
                }
                Err(_) | Ok(()) => Ok(()),
            };
        }
        if self.clerk.work.is_none() {
            self.clerk.work = self.clerk.ledger.poll_work();
            return Ok(());
        }
        let Some(work) = self.clerk.work.take() else { return Ok(()) };
        self.disk.take_faults();
        let done = work.run();
        if self.disk.is_off() {
            return self.restart(Outage::Power);
        }
        self.trace.count("checkpoints");
        self.clerk.done = Some((done, self.disk.take_faults() > 0));
        Ok(())
    }

    pub(crate) fn rest(&mut self) -> Result<(), Violation> {
        self.clerk.ledger.rest();
        self.disk.settle();
        if self.disk.is_off() { self.restart(Outage::Power) } else { Ok(()) }
    }

    /// A client ends its session with a 50.
    fn leave(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.clients.len());
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        if !self.is_ending && client.leave(self.now) {
            self.trace.count("goodbyes");
        }
        self.settle(number)
    }

    /// Without faults every outbox drains, and every total is exact.
    fn drain(&mut self) -> Result<(), Violation> {
        self.is_ending = true;
        self.disk.set_rates(DiskRates::default());
        self.disk.set_budget(None);
        self.disk.set_full(false);
        for client in &self.clients {
            let disk = client.delivery.disk();
            disk.set_rates(DiskRates::default());
            disk.set_budget(None);
            disk.set_full(false);
        }
        if matches!(self.clerk.ledger.health(), Health::Failed(_)) || self.disk.is_moved() {
            self.restart(Outage::Kill)?;
        }
        let last = self.step + DRAIN_STEPS_MAX;
        while !self.is_drained() {
            self.step += 1;
            if self.step > last {
                return Err(Violation("the outboxes do not drain".into()));
            }
            self.act()?;
            if self.step.is_multiple_of(200) {
                self.advance(self.until_due())?;
            }
        }
        for client in &self.clients {
            let Some(known) = self.model.accounts.get(client.account) else { continue };
            if client.has_stopped() {
                continue;
            }
            let counted =
                self.clerk.ledger.standing(&known.id).map_or(0, |standing| standing.last_seq.get());
            if counted != known.count() {
                let (id, count) = (known.id, known.count());
                return Err(Violation(format!("{id}: {count} were given, {counted} count")));
            }
            self.trace.add("values", counted);
        }
        self.restart(Outage::Stop)?;
        let batches = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
        self.trace.add("batches", batches);
        Ok(())
    }

    fn is_drained(&self) -> bool {
        let is_idle = self.clerk.inbox.is_empty();
        let has_all =
            |client: &Client| client.delivery.outbox().pending() == 0 && client.restored.is_none();
        is_idle && self.clients.iter().all(|client| client.has_stopped() || has_all(client))
    }
}

//! What both kinds of world have: clients and their connections, the endpoints of servers, clocks,
//! and the model that everything is held to.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use ddes_client::outbox::OutboxOwner;
use ddes_identity::{PublicKey, SigningKey};
use ddes_ledger::{AccountId, Operation, Timestamp};

use crate::client::{Client, State};
use crate::disk::SimDisk;
use crate::impostor::Impostor;
use crate::link::Link;
use crate::model::{Model, Violation};
use crate::outbox::DurableDelivery;
use crate::plan::{DiskRates, Plan};
use crate::random::Random;
use crate::server::{Answer, Node, To};
use crate::trace::Trace;

/// Steps that the end may take, with all faults off.
pub(crate) const DRAIN_STEPS_MAX: u64 = 400_000;
/// What the clients call the server.
const SERVER: &str = "server:5566";
/// The wall clock at the beginning: 2026.
const WALL_MICROS: u64 = 1_770_000_000_000_000;

pub(crate) struct SimScene {
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) now: Instant,
    /// Microseconds since 1970, as the servers' clocks have it.
    pub(crate) wall: u64,
    pub(crate) step: u64,
    pub(crate) trace: Trace,
    pub(crate) model: Model,
    /// The servers' key is made of it.
    pub(crate) key: [u8; 32],
    pub(crate) public: PublicKey,
    pub(crate) nodes: Vec<Node>,
    /// What the endpoints have asked of their ledger.
    pub(crate) inbox: VecDeque<(To, Operation)>,
    pub(crate) clients: Vec<Client>,
    pub(crate) links: BTreeMap<u64, Link>,
    connected: u64,
    /// The end: no faults any more.
    pub(crate) is_ending: bool,
}

impl SimScene {
    pub(crate) fn new(mut random: Random, plan: Plan, base: Instant, prints: bool) -> Self {
        let key = random.bytes();
        Self {
            public: SigningKey::from_seed(&key).public(),
            key,
            now: base,
            wall: WALL_MICROS,
            step: 0,
            trace: Trace::new(prints),
            model: Model::default(),
            nodes: Vec::new(),
            inbox: VecDeque::new(),
            clients: Vec::new(),
            links: BTreeMap::new(),
            connected: 0,
            is_ending: false,
            plan,
            random,
        }
    }

    pub(crate) fn add_clients(&mut self) -> Result<(), Violation> {
        let plan = format!("{:?}", self.plan);
        self.trace.line(0, format_args!("{plan}"));
        (0..self.plan.clients).try_for_each(|_| self.add_client())
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

    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp(self.wall)
    }

    /// An exponentiation of a server is done: any of those that wait.
    pub(crate) fn handshake(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.nodes.len());
        let Some(node) = self.nodes.get_mut(number).filter(|node| !node.work.is_empty()) else {
            return Ok(());
        };
        let (id, work) = node.work.swap_remove(self.random.index(node.work.len()));
        node.endpoint.handle_done(self.now, id, work.run());
        node.hand_on(self.now, number, &mut self.inbox);
        self.trace.count("handshakes");
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
        node.hand_on(self.now, number, &mut self.inbox);
        Ok(())
    }

    /// A client is given values.
    pub(crate) fn take(&mut self) -> Result<(), Violation> {
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

    /// Advances the clock: mostly a little, sometimes to the next timeout. At `ledger` the ledger
    /// has one.
    pub(crate) fn pass(&mut self, ledger: Option<Instant>) -> Result<(), Violation> {
        let passed = match self.random.below(20) {
            0..14 => Duration::from_micros(self.random.below(5_000)),
            14..19 => Duration::from_millis(self.random.below(400)),
            _ => self.until_due(ledger),
        };
        self.advance(passed)
    }

    pub(crate) fn until_due(&self, ledger: Option<Instant>) -> Duration {
        let clients = self.clients.iter().filter_map(Client::due);
        let links = self.links.values().flat_map(|link| {
            let node = self.nodes.get(link.node);
            let due =
                link.id.and_then(|id| node.and_then(|node| node.endpoint.connection_timeout(id)));
            due.into_iter().chain((link.until > self.now).then_some(link.until))
        });
        let nodes = self.nodes.iter().filter_map(|node| node.endpoint.poll_timeout());
        let next = clients.chain(links).chain(nodes).chain(ledger).min();
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(self.now))
    }

    pub(crate) fn advance(&mut self, passed: Duration) -> Result<(), Violation> {
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
            node.hand_on(self.now, number, &mut self.inbox);
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
    pub(crate) fn connect(&mut self) -> Result<(), Violation> {
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
        if endpoint.is_closed {
            link.down.end();
            self.links.insert(self.connected, link);
            self.trace.count("connections to a server that has stopped");
            return self.settle(number);
        }
        match endpoint.accept(self.now, port, &mut self.random) {
            Ok(id) => link.id = Some(id),
            Err(full) => {
                link.down.put(&full.farewell(false));
                link.down.end();
                self.trace.count("connections refused");
            }
        }
        endpoint.hand_on(self.now, node, &mut self.inbox);
        self.links.insert(self.connected, link);
        self.trace.line(
            self.step,
            format_args!("client {number} connects to {node}: {}", self.connected),
        );
        self.trace.count("connections");
        self.settle(number)
    }

    /// A client ends its session with a 50.
    pub(crate) fn leave(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.clients.len());
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        if !self.is_ending && client.leave(self.now) {
            self.trace.count("goodbyes");
        }
        self.settle(number)
    }

    /// The disks of all clients are as good as new.
    pub(crate) fn repair_client_disks(&self) {
        for client in &self.clients {
            let disk = client.delivery.disk();
            disk.set_rates(DiskRates::default());
            disk.set_budget(None);
            disk.set_full(false);
        }
    }

    /// Whether every outbox is empty, or has objected.
    pub(crate) fn is_drained(&self) -> bool {
        let has_all =
            |client: &Client| client.delivery.outbox().pending() == 0 && client.restored.is_none();
        self.clients.iter().all(|client| client.has_stopped() || has_all(client))
    }
}

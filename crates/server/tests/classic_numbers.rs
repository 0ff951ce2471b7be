//! Classic sessions of one endpoint, whose accounts are numbered as they come to the ledger.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and looks at what it is about"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::SigningKey;
use ddes_ledger::{AccountId, Ledger, Operation, Timestamp};
use ddes_server::endpoint::{
    Action, Bounds, Classic, Config, ConnectionEntropy, ConnectionId, Endpoint, Notices, Profiles,
    Request,
};
use ddes_session::{classic, v2};
use ddes_wire::{ClientId, Total};
use zeroize::Zeroizing;

struct World {
    now: Instant,
    endpoint: Endpoint,
    ledger: Ledger,
}

struct Client {
    id: ConnectionId,
    session: classic::ClientSession,
}

impl World {
    fn new() -> Self {
        Self::with(Bounds::of(9))
    }

    fn with(bounds: Bounds) -> Self {
        let hour = Duration::from_secs(3600);
        let group = ddes_ffdhe::Group::named(ddes_ffdhe::NamedGroup::Ffdhe2048);
        let classic = classic::ServerConfig { group, idle: hour, handshake: hour, end_all: false };
        let key = SigningKey::from_seed(&[1; 32]);
        let v2 = v2::ServerConfig {
            suites: Vec::new(),
            key,
            idle: hour,
            handshake: hour,
            values_max: 1,
        };
        let profiles = Profiles {
            v2: Arc::new(v2),
            classic: Some(Classic { config: Arc::new(classic), silence: Duration::ZERO }),
        };
        let notices = Notices::Nothing;
        let config = Config { bounds, queued_values_max: 9, notices, classic_first: 0, profiles };
        let now = Instant::now();
        Self { now, endpoint: Endpoint::new(now, config), ledger: Ledger::in_memory() }
    }

    fn accept(&mut self, seed: u8) -> Client {
        let entropy = ConnectionEntropy {
            exponent: Zeroizing::new([seed; _]),
            kem: Zeroizing::new([0; _]),
            token: Zeroizing::new([seed; _]),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let id = self.endpoint.accept(self.now, peer, entropy).unwrap();
        let hour = Duration::from_secs(3600);
        let config = classic::ClientConfig {
            id: ClientId::random([seed; 16]),
            handshake: hour,
            reply: hour,
        };
        let entropy = classic::ClientEntropy { exponent: Zeroizing::new([!seed; _]) };
        Client { id, session: classic::ClientSession::new(config, self.now, entropy) }
    }

    /// Carries bytes both ways, and requests to the ledger, until nothing moves.
    fn exchange(&mut self, client: &mut Client) -> Vec<classic::ClientEvent> {
        let Client { id, session } = client;
        let mut events = Vec::new();
        loop {
            let up = session.pending().to_vec();
            session.sent(self.now, up.len());
            self.endpoint.handle_bytes(self.now, *id, &up);
            let mut is_idle = up.is_empty();
            while let Some(action) = self.endpoint.poll_action() {
                is_idle &= !self.act(action);
            }
            let down = self.endpoint.pending(*id).to_vec();
            self.endpoint.sent(self.now, *id, down.len());
            session.handle_bytes(self.now, &down);
            while let Some(work) = session.poll_work() {
                session.handle_done(self.now, work.run());
                is_idle = false;
            }
            events.extend(std::iter::from_fn(|| session.poll_event()));
            if is_idle && down.is_empty() {
                return events;
            }
        }
    }

    /// Does what the endpoint asks for; whether that was something that moves a session on.
    fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Compute(id, work) => self.endpoint.handle_done(self.now, id, work.run()),
            Action::Commit(Request { to, operation }) => {
                let values = usize::from(matches!(operation, Operation::Add(_)));
                let outcome = self.ledger.commit(Timestamp(0), &[operation]).remove(0);
                let outcome = to.map(|(id, ticket)| (id, ticket, outcome));
                self.endpoint.handle_outcomes(self.now, values, outcome);
            }
            Action::Authorize(_) | Action::Wake(_) | Action::Cancel(_) | Action::Notify(_) => {
                return false;
            }
        }
        true
    }

    /// The oldest request.
    fn request(&mut self) -> Option<Request> {
        std::iter::from_fn(|| self.endpoint.poll_action()).find_map(|action| match action {
            Action::Commit(request) => Some(request),
            _ => None,
        })
    }

    fn counts(&mut self, client: &mut Client, value: u64) -> bool {
        client.session.submit(self.now, value).unwrap();
        let events = self.exchange(client);
        let sum = Total::new(value.into());
        events.iter().any(
            |event| matches!(event, classic::ClientEvent::Result { sum: found } if *found == sum),
        )
    }
}

#[test]
fn a_client_that_connected_first_and_was_slower_counts_too() {
    let mut world = World::new();
    let (mut slow, mut fast) = (world.accept(1), world.accept(2));
    world.exchange(&mut fast);
    assert!(world.counts(&mut fast, 42));
    world.exchange(&mut slow);
    assert!(world.counts(&mut slow, 50));
    assert_eq!(world.ledger.totals().accounts, 2);
}

#[test]
fn a_session_without_an_integer_writes_nothing_and_takes_no_number() {
    let mut world = World::new();
    let [mut silent, mut first, mut second] = [1, 2, 3].map(|seed| world.accept(seed));
    for client in [&mut silent, &mut second, &mut first] {
        world.exchange(client);
    }
    assert_eq!(world.ledger.totals().accounts, 0);
    // In the order of their first integers.
    assert!(world.counts(&mut first, 7));
    assert!(world.counts(&mut second, 9));
    assert_eq!(world.ledger.totals().accounts, 2);
    assert_eq!(world.ledger.classic_next(), 2);
    world.endpoint.remove(world.now, silent.id);
    assert!(world.request().is_none());
    // Those who counted end their accounts.
    for client in [first, second] {
        world.endpoint.remove(world.now, client.id);
        assert!(world.request().is_some_and(|request| request.to.is_none()));
    }
}

#[test]
fn the_account_opens_in_the_request_before_the_first_integer() {
    let mut world = World::new();
    let mut client = world.accept(1);
    world.exchange(&mut client);
    client.session.submit(world.now, 7).unwrap();
    let up = client.session.pending().to_vec();
    world.endpoint.handle_bytes(world.now, client.id, &up);
    let requests: Vec<_> = std::iter::from_fn(|| world.request()).collect();
    let operations: Vec<_> = requests.iter().map(|request| &request.operation).collect();
    assert!(matches!(operations[..], [Operation::Open(AccountId::Classic(0)), Operation::Add(_)]));
}

#[test]
fn classic_sessions_have_a_bound_of_their_own_and_one_more_is_told_so() {
    let bounds = Bounds { classic_max: 2, classic_network_max: 2, ..Bounds::of(9) };
    let mut world = World::with(bounds);
    let mut clients = [1, 2, 3].map(|seed| world.accept(seed));
    let ends = clients.each_mut().map(|client| {
        world.exchange(client).into_iter().find_map(|event| match event {
            classic::ClientEvent::Ended(end) => Some(format!("{end:?}")),
            _ => None,
        })
    });
    let [None, None, Some(end)] = &ends else { panic!("{ends:?}") };
    assert!(end.contains("Too many connections"), "{end}");
    // One that goes makes room.
    world.endpoint.remove(world.now, clients[0].id);
    let mut next = world.accept(4);
    world.exchange(&mut next);
    assert!(world.counts(&mut next, 5));
}

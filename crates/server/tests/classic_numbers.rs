//! Classic sessions of one endpoint, whose accounts are numbered as they come to the ledger.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::SigningKey;
use ddes_ledger::{Ledger, Timestamp};
use ddes_server::endpoint::{Bounds, Classic, Config, ConnectionId, Endpoint, Entropy, Profiles};
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
        let hour = Duration::from_secs(3600);
        let group = ddes_ffdhe::Group::named(ddes_ffdhe::NamedGroup::Ffdhe2048);
        let classic = classic::ServerConfig { group, idle: hour, handshake: hour, end_all: false };
        let key = SigningKey::from_seed(&[1; 32]);
        let v2 = v2::ServerConfig { suites: Vec::new(), key, idle: hour, handshake: hour, values_max: 1 };
        let profiles = Profiles {
            v2: Arc::new(v2),
            classic: Some(Classic { config: Arc::new(classic), silence: Duration::ZERO }),
        };
        let config = Config {
            bounds: Bounds::of(9),
            queued_values_max: 9,
            tells_values: false,
            classic_first: 0,
            profiles,
        };
        Self { now: Instant::now(), endpoint: Endpoint::new(config), ledger: Ledger::in_memory() }
    }

    fn accept(&mut self, seed: u8) -> Client {
        let entropy = Entropy {
            exponent: Zeroizing::new([seed; _]),
            kem: Zeroizing::new([0; _]),
            token: Zeroizing::new([seed; _]),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let id = self.endpoint.accept(self.now, peer, entropy).unwrap();
        let hour = Duration::from_secs(3600);
        let config = classic::ClientConfig { id: ClientId::random([seed; 16]), handshake: hour, reply: hour };
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
            while let Some((id, work)) = self.endpoint.poll_work() {
                self.endpoint.handle_done(self.now, id, work.run());
                is_idle = false;
            }
            while let Some(request) = self.endpoint.poll_request() {
                let outcome = self.ledger.commit(Timestamp(0), &[request.operation]).remove(0);
                self.endpoint.handle_outcomes(self.now, request.to.map(|(id, ticket)| (id, ticket, outcome)));
                is_idle = false;
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

    fn counts(&mut self, client: &mut Client, value: u64) -> bool {
        client.session.submit(self.now, value).unwrap();
        let events = self.exchange(client);
        let sum = Total::new(value.into());
        events
            .iter()
            .any(|event| matches!(event, classic::ClientEvent::Result { sum: found } if *found == sum))
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

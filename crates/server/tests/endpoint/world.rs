//! What a driver does for an endpoint, one thing at a time.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::{Grant, Namespace, SigningKey};
use ddes_ledger::{AccountId, Ledger, Operation, Timestamp};
use ddes_server::endpoint::{Bounds, Config, ConnectionId, Endpoint, Entropy, Full, Profiles, Request};
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, ServerConfig, noise};
use ddes_wire::Sequence;
use ddes_wire::v2::{GroupSize, Suite};
use zeroize::Zeroizing;

const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
const SUITES: [Suite; 3] = [SUITE, Suite::Ddes(GroupSize::Bits3072), Suite::Ddes(GroupSize::Bits4096)];
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) endpoint: Endpoint,
    ledger: Ledger,
    /// Requests that wait for [`Self::commit`].
    pub(crate) queue: VecDeque<Request>,
}

pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) session: ClientSession,
    pub(crate) events: Vec<ClientEvent>,
    key: SigningKey,
}

impl World {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let key = SigningKey::from_seed(&[200; 32]);
        let v2 = ServerConfig { suites: SUITES.into(), key, idle: HOUR, handshake: HOUR, values_max: 8 };
        let mut config = Config {
            bounds: Bounds { unproven_max: 99, unproven_network_max: 99, ..Bounds::of(99) },
            queued_values_max: 99,
            tells_values: false,
            classic_first: 0,
            profiles: Profiles { v2: Arc::new(v2), classic: None },
        };
        change(&mut config);
        Self {
            now: Instant::now(),
            endpoint: Endpoint::new(config),
            ledger: Ledger::in_memory(),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.endpoint.rest(self.now);
    }

    pub(crate) fn accept(&mut self, address: &str) -> Result<ConnectionId, Full> {
        let entropy = Entropy {
            exponent: Zeroizing::new([7; _]),
            kem: Zeroizing::new([7; _]),
            token: Zeroizing::new([7; _]),
        };
        let address: IpAddr = address.parse().unwrap();
        self.endpoint.accept(self.now, SocketAddr::from((address, 1)), entropy)
    }

    /// A client whose connection is accepted and whose message 1 is computed.
    pub(crate) fn connect(&mut self, address: &str, seed: u8) -> Client {
        let id = self.accept(address).unwrap();
        let config = ClientConfig { suite: SUITE, handshake: HOUR, reply: HOUR };
        let entropy = noise::Entropy { dh: Zeroizing::new(vec![seed; 64]), kem: Zeroizing::new([seed; 64]) };
        let session = ClientSession::new(config, self.now, entropy);
        let mut client = Client { id, session, events: Vec::new(), key: SigningKey::from_seed(&[seed; 32]) };
        client.advance(self.now);
        client
    }

    /// A client with an open session.
    pub(crate) fn join(&mut self, address: &str, seed: u8) -> Client {
        let mut client = self.connect(address, seed);
        self.talk(&mut client);
        while self.commit() {}
        self.talk(&mut client);
        assert!(client.is_open(), "{:?}", client.events);
        client
    }

    /// Carries all that a client has to send to the endpoint. Requests queue.
    pub(crate) fn give(&mut self, client: &mut Client) {
        let up = client.session.pending().to_vec();
        client.session.sent(self.now, up.len());
        self.endpoint.handle_bytes(self.now, client.id, &up);
        self.queue.extend(std::iter::from_fn(|| self.endpoint.poll_request()));
    }

    /// One turn's part of what waits.
    pub(crate) fn go_on(&mut self) {
        self.endpoint.go_on(self.now);
        self.queue.extend(std::iter::from_fn(|| self.endpoint.poll_request()));
    }

    /// Carries bytes both ways until none move, those of the client as far as the endpoint reads. Requests queue.
    pub(crate) fn talk(&mut self, client: &mut Client) {
        loop {
            let id = client.id;
            let mut up = Vec::new();
            if !client.session.pending().is_empty() && self.endpoint.wants_bytes(id) {
                up = client.session.pending().to_vec();
                client.session.sent(self.now, up.len());
                self.endpoint.handle_bytes(self.now, id, &up);
            }
            while let Some((id, work)) = self.endpoint.poll_work() {
                self.endpoint.handle_done(self.now, id, work.run());
            }
            while let Some(claim) = self.endpoint.poll_claim() {
                self.endpoint.handle_grant(self.now, claim, Some(Grant::default()));
            }
            self.queue.extend(std::iter::from_fn(|| self.endpoint.poll_request()));
            let down = self.endpoint.pending(id).to_vec();
            self.endpoint.sent(self.now, id, down.len());
            client.session.handle_bytes(self.now, &down);
            client.advance(self.now);
            self.endpoint.go_on(self.now);
            if up.is_empty() && down.is_empty() && !self.endpoint.can_go_on() {
                return;
            }
        }
    }

    /// The ledger does the oldest request; whether there was one.
    pub(crate) fn commit(&mut self) -> bool {
        let Some(Request { to, operation }) = self.queue.pop_front() else { return false };
        let values = if let Operation::Add(submission) = &operation { submission.amounts.len() } else { 0 };
        let outcome = self.ledger.commit(Timestamp(0), &[operation]).remove(0);
        self.endpoint.handle_outcomes(self.now, to.map(|(id, ticket)| (id, ticket, outcome)));
        while self.endpoint.poll_wake().is_some() {}
        self.endpoint.handle_done_values(values);
        true
    }

    /// The connections to be looked at again, in order.
    pub(crate) fn wakes(&mut self) -> Vec<ConnectionId> {
        let mut wakes: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_wake()).collect();
        wakes.sort_by_key(|id| id.serial());
        wakes
    }

    /// Count and sum of a client's account.
    pub(crate) fn standing(&mut self, client: &Client) -> (u64, i128) {
        let account = AccountId::Identity(*client.key.public().as_bytes());
        match self.ledger.commit(Timestamp(0), &[Operation::Open(account)]).remove(0) {
            ddes_ledger::Outcome::Opened(Ok(opening)) => {
                let standing = opening.proof.standing();
                (standing.last_seq.get(), standing.sum.get())
            }
            outcome => panic!("{outcome:?}"),
        }
    }
}

impl Client {
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(work) = self.session.poll_work() {
            self.session.handle_done(now, work.run());
        }
        while let Some(event) = self.session.poll_event() {
            if let ClientEvent::ServerProven { .. } = event {
                let message = self.session.claim(&self.key.public()).unwrap();
                let signature = self.key.sign(Namespace::Client, &message);
                self.session.prove(now, &self.key.public(), signature).unwrap();
            }
            self.events.push(event);
        }
    }

    fn is_open(&self) -> bool {
        self.events.iter().any(|event| matches!(event, ClientEvent::Ready(_)))
    }

    pub(crate) fn submit(&mut self, now: Instant, first_seq: u64, values: &[i64]) {
        self.session.submit(now, Sequence::new(first_seq), values).unwrap();
    }

    /// The last count that it was told.
    pub(crate) fn told(&self) -> u64 {
        let answer = self.events.iter().rev().find_map(|event| match event {
            ClientEvent::Answered(answer) => Some(answer.last_seq.get()),
            ClientEvent::ServerProven { .. } | ClientEvent::Ready(_) | ClientEvent::Ended(_) => None,
        });
        answer.unwrap_or(0)
    }
}

//! What a driver does for an endpoint, one thing at a time.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::{Grant, Namespace, SigningKey};
use ddes_ledger::{AccountId, Ledger, Operation, Timestamp};
use ddes_server::endpoint::{
    Action, AuthorizationRequest, Bounds, Config, ConnectionEntropy, ConnectionId, Endpoint, Full,
    Notice, Notices, Profiles, Request, SessionWork,
};
use ddes_server::watch::{DriverCounts, ServerStats, Watch};
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, ServerConfig, noise};
use ddes_wire::Sequence;
use ddes_wire::v2::{GroupSize, Suite};
use zeroize::Zeroizing;

const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
const SUITES: [Suite; 3] =
    [SUITE, Suite::Ddes(GroupSize::Bits3072), Suite::Ddes(GroupSize::Bits4096)];
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) endpoint: Endpoint,
    pub(crate) watch: Watch,
    /// What the lists grant to every identity.
    pub(crate) grant: Option<Grant>,
    /// Bytes that [`Self::talk`] carried to the endpoint and from it.
    pub(crate) carried: (usize, usize),
    ledger: Ledger,
    /// Requests that wait for [`Self::commit`].
    pub(crate) queue: VecDeque<Request>,
    work: VecDeque<(ConnectionId, SessionWork)>,
    claims: VecDeque<AuthorizationRequest>,
    wakes: Vec<ConnectionId>,
    cancels: VecDeque<ConnectionId>,
    notices: Vec<Notice>,
}

pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) session: ClientSession,
    pub(crate) events: Vec<ClientEvent>,
    key: SigningKey,
    /// Whether its signature is of another message.
    pub(crate) is_forger: bool,
}

impl World {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let key = SigningKey::from_seed(&[200; 32]);
        let v2 =
            ServerConfig { suites: SUITES.into(), key, idle: HOUR, handshake: HOUR, values_max: 8 };
        let mut config = Config {
            bounds: Bounds { unproven_max: 99, unproven_network_max: 99, ..Bounds::of(99) },
            queued_values_max: 99,
            notices: Notices::Sessions,
            classic_first: 0,
            profiles: Profiles { v2: Arc::new(v2), classic: None },
        };
        change(&mut config);
        let now = Instant::now();
        Self {
            now,
            endpoint: Endpoint::new(now, config).watched(now),
            watch: Watch::new(now),
            grant: Some(Grant::default()),
            carried: (0, 0),
            ledger: Ledger::in_memory(),
            queue: VecDeque::new(),
            work: VecDeque::new(),
            claims: VecDeque::new(),
            wakes: Vec::new(),
            cancels: VecDeque::new(),
            notices: Vec::new(),
        }
    }

    /// Sorts what the endpoint asks for.
    fn collect(&mut self) {
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Authorize(claim) => self.claims.push_back(claim),
                Action::Compute(id, work) => self.work.push_back((id, work)),
                Action::Commit(request) => self.queue.push_back(request),
                Action::Wake(id) => self.wakes.push(id),
                Action::Cancel(id) => self.cancels.push_back(id),
                Action::Notify(notice) => self.notices.push(notice),
            }
        }
    }

    /// The oldest work that is to be computed.
    pub(crate) fn work(&mut self) -> Option<(ConnectionId, SessionWork)> {
        self.collect();
        self.work.pop_front()
    }

    /// The oldest identity that is to be looked up.
    pub(crate) fn claim(&mut self) -> Option<AuthorizationRequest> {
        self.collect();
        self.claims.pop_front()
    }

    /// The oldest connection whose work is called off.
    pub(crate) fn cancel(&mut self) -> Option<ConnectionId> {
        self.collect();
        self.cancels.pop_front()
    }

    /// What happened since this was called last.
    pub(crate) fn notices(&mut self) -> Vec<Notice> {
        self.collect();
        std::mem::take(&mut self.notices)
    }

    /// How many requests wait for [`Self::commit`].
    pub(crate) fn queued(&mut self) -> usize {
        self.collect();
        self.queue.len()
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.endpoint.handle_timeout(self.now);
    }

    pub(crate) fn accept(&mut self, address: &str) -> Result<ConnectionId, Full> {
        let entropy = ConnectionEntropy {
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
        let entropy =
            noise::Entropy { dh: Zeroizing::new(vec![seed; 64]), kem: Zeroizing::new([seed; 64]) };
        let session = ClientSession::new(config, self.now, entropy);
        let key = SigningKey::from_seed(&[seed; 32]);
        let mut client = Client { id, session, events: Vec::new(), key, is_forger: false };
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

    /// What the endpoint counted, after it published.
    pub(crate) fn stats(&mut self) -> ServerStats {
        assert!(self.watch.publish(self.now, &mut self.endpoint, &DriverCounts::default()));
        self.watch.stats()
    }

    /// Carries all that a client has to send to the endpoint. Requests queue.
    pub(crate) fn give(&mut self, client: &mut Client) {
        let up = client.session.pending().to_vec();
        client.session.sent(self.now, up.len());
        self.endpoint.handle_bytes(self.now, client.id, &up);
        self.collect();
    }

    /// One turn's share of what the endpoint does by itself.
    pub(crate) fn turn(&mut self) {
        self.endpoint.handle_timeout(self.now);
        self.collect();
    }

    /// Whether the endpoint has something to do by itself now.
    pub(crate) fn is_due(&self) -> bool {
        self.endpoint.poll_timeout().is_some_and(|at| at <= self.now)
    }

    /// Carries bytes both ways until none move, those of the client as far as the endpoint reads.
    /// Requests queue.
    pub(crate) fn talk(&mut self, client: &mut Client) {
        loop {
            let id = client.id;
            let mut up = Vec::new();
            if !client.session.pending().is_empty() && self.endpoint.wants_bytes(id) {
                up = client.session.pending().to_vec();
                client.session.sent(self.now, up.len());
                self.endpoint.handle_bytes(self.now, id, &up);
            }
            while let Some((id, work)) = self.work() {
                self.endpoint.handle_done(self.now, id, work.run());
            }
            while let Some(claim) = self.claim() {
                self.endpoint.handle_grant(self.now, claim, self.grant.clone());
            }
            let down = self.endpoint.pending(id).to_vec();
            self.endpoint.sent(self.now, id, down.len());
            client.session.handle_bytes(self.now, &down);
            client.advance(self.now);
            self.carried.0 += up.len();
            self.carried.1 += down.len();
            self.turn();
            if up.is_empty() && down.is_empty() && !self.is_due() {
                return;
            }
        }
    }

    /// The ledger does the oldest request; whether there was one.
    pub(crate) fn commit(&mut self) -> bool {
        self.collect();
        let Some(Request { to, operation }) = self.queue.pop_front() else { return false };
        let values =
            if let Operation::Add(submission) = &operation { submission.amounts.len() } else { 0 };
        let outcome = self.ledger.commit(Timestamp(0), &[operation]).remove(0);
        self.endpoint.handle_outcomes(self.now, 0, to.map(|(id, ticket)| (id, ticket, outcome)));
        // Those that are left to be seen are woken because the queue has room.
        self.wakes();
        self.endpoint.handle_outcomes(self.now, values, None);
        true
    }

    /// The ledger does all requests in one batch.
    pub(crate) fn commit_together(&mut self) {
        self.collect();
        let (to, operations): (Vec<_>, Vec<_>) =
            self.queue.drain(..).map(|request| (request.to, request.operation)).unzip();
        let values = operations.iter().map(|operation| match operation {
            Operation::Add(submission) => submission.amounts.len(),
            Operation::Open(_) | Operation::End(_) => 0,
        });
        let (values, outcomes) = (values.sum(), self.ledger.commit(Timestamp(0), &operations));
        let outcomes = to.into_iter().zip(outcomes);
        let outcomes = outcomes.filter_map(|(to, outcome)| to.map(|(id, t)| (id, t, outcome)));
        self.endpoint.handle_outcomes(self.now, values, outcomes);
        self.wakes();
    }

    /// The connections to be looked at again, in order.
    pub(crate) fn wakes(&mut self) -> Vec<ConnectionId> {
        self.collect();
        let mut wakes = std::mem::take(&mut self.wakes);
        wakes.sort_by_key(|id| id.serial());
        wakes
    }

    /// Count and sum of a client's account.
    pub(crate) fn standing(&mut self, client: &Client) -> (u64, i128) {
        let account = AccountId::Identity(*client.key.public().as_bytes());
        match self.ledger.commit(Timestamp(0), &[Operation::Open(account)]).remove(0) {
            ddes_ledger::OperationOutcome::Opened(Ok(opening)) => {
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
                let mut message = self.session.claim(&self.key.public()).unwrap();
                message[0] ^= u8::from(self.is_forger);
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
            ClientEvent::ServerProven { .. } | ClientEvent::Ready(_) | ClientEvent::Ended(_) => {
                None
            }
        });
        answer.unwrap_or(0)
    }
}

//! The server without its sockets: an endpoint, a ledger in memory, and their clients, in one
//! thread. After each call it does what the driver does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::{Grant, Namespace, PublicKey, SigningKey};
use ddes_ledger::{Ledger, Operation};
use ddes_server::endpoint::{
    Action, Bounds, Config, ConnectionEntropy, ConnectionId, Endpoint, Notices, Profiles, Request,
};
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, ServerConfig, kem, noise};
use ddes_session::{Phase, classic};
use ddes_wire::v2::{GroupSize, Status, Suite};
use ddes_wire::{Sequence, Token};
use zeroize::Zeroizing;

use crate::ledger::now;

/// What a server takes where nothing is said: what a session of it holds is asked.
const SUITE: Suite = Suite::Hybrid(GroupSize::Bits2048);
/// Longer than any measurement: no connection's timeout is handled here.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const CLIENT: ClientConfig = ClientConfig { suite: SUITE, handshake: FOREVER, reply: FOREVER };

pub(super) struct House {
    /// The time as all sessions have it; only [`House::rest`] moves it on.
    now: Instant,
    pub(super) endpoint: Endpoint,
    pub(super) ledger: Ledger,
    server: PublicKey,
}

/// A client whose session is open.
pub(super) struct Guest {
    id: ConnectionId,
    client: ClientSession,
    next: Sequence,
}

impl House {
    pub(super) fn new(sessions_max: usize) -> Self {
        let key = SigningKey::from_seed(&[1; 32]);
        let server = key.public();
        let v2 = ServerConfig {
            suites: vec![SUITE],
            key,
            idle: FOREVER,
            handshake: FOREVER,
            values_max: 64,
        };
        let config = Config {
            bounds: Bounds::of(sessions_max),
            queued_values_max: 1,
            notices: Notices::Nothing,
            classic_first: 0,
            profiles: Profiles { v2: Arc::new(v2), classic: None },
        };
        let now = Instant::now();
        Self { now, endpoint: Endpoint::new(now, config), ledger: Ledger::in_memory(), server }
    }

    /// Lets time pass to the next check for idle sessions, and all turns that it takes.
    pub(super) fn rest(&mut self) {
        self.now = self.endpoint.poll_timeout().map_or(self.now, |at| at.max(self.now));
        while self.endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
            self.endpoint.handle_timeout(self.now);
        }
    }

    /// Opens a session of the identity of that number; an older one of it ends.
    pub(super) fn enter(&mut self, number: u64) -> Result<Guest, String> {
        let now = self.now;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let entropy = ConnectionEntropy {
            exponent: random::<{ classic::ENTROPY_BYTES_MAX }>()?,
            kem: random::<{ kem::SEED_BYTES }>()?,
            token: random::<{ Token::BYTES }>()?,
        };
        let id = self.endpoint.accept(now, peer, entropy).map_err(text)?;
        let entropy =
            noise::Entropy { dh: Zeroizing::new(random::<64>()?.to_vec()), kem: random()? };
        let mut client = ClientSession::new(CLIENT, now, entropy);
        let key = ddes_load::key(1, number);
        loop {
            if let Some(work) = client.poll_work() {
                client.handle_done(now, work.run());
            }
            match client.poll_event() {
                None => self.carry(&mut client, id)?,
                Some(ClientEvent::ServerProven { key: server }) if server == self.server => {
                    let claim = client.claim(&key.public()).ok_or("there is nothing to claim")?;
                    let signature = key.sign(Namespace::Client, &claim);
                    client.prove(now, &key.public(), signature).map_err(text)?;
                }
                Some(ClientEvent::Ready(welcome)) => {
                    let next = welcome.standing.last_seq.forward(1).map_err(text)?;
                    return Ok(Guest { id, client, next });
                }
                Some(
                    event @ (ClientEvent::ServerProven { .. }
                    | ClientEvent::Answered(_)
                    | ClientEvent::Ended(_)),
                ) => {
                    return Err(format!("before the session was open: {event:?}"));
                }
            }
        }
    }

    /// Counts one value for a guest; the time from its bytes to those of the answer.
    pub(super) fn count(&mut self, guest: &mut Guest) -> Result<Duration, String> {
        let Guest { id, client, next } = guest;
        let now = self.now;
        client.submit(now, *next, &[1]).map_err(text)?;
        let bytes = take(now, client);
        let start = Instant::now();
        self.endpoint.handle_bytes(now, *id, &bytes);
        self.hand_on()?;
        let reply = self.endpoint.pending(*id).to_vec();
        self.endpoint.sent(now, *id, reply.len());
        let time = start.elapsed();
        client.handle_bytes(now, &reply);
        match client.poll_event() {
            Some(ClientEvent::Answered(answer))
                if (answer.status, answer.last_seq) == (Status::Applied, *next) =>
            {
                *next = next.forward(1).map_err(text)?;
                Ok(time)
            }
            event => Err(format!("in place of a sum: {event:?}")),
        }
    }

    /// Bytes there and back.
    fn carry(&mut self, client: &mut ClientSession, id: ConnectionId) -> Result<(), String> {
        let now = self.now;
        let bytes = take(now, client);
        self.endpoint.handle_bytes(now, id, &bytes);
        self.hand_on()?;
        let reply = self.endpoint.pending(id).to_vec();
        if bytes.is_empty() && reply.is_empty() {
            return Err("both sides wait".into());
        }
        self.endpoint.sent(now, id, reply.len());
        client.handle_bytes(now, &reply);
        Ok(())
    }

    /// Ends a turn, as the driver does: all requests are one batch, and their answers may ask for
    /// more.
    fn hand_on(&mut self) -> Result<(), String> {
        self.endpoint.handle_timeout(self.now);
        loop {
            let mut requests = Vec::new();
            while let Some(action) = self.endpoint.poll_action() {
                match action {
                    Action::Authorize(claim) => {
                        self.endpoint.handle_grant(self.now, claim, Some(Grant::default()));
                    }
                    Action::Compute(id, work) => {
                        self.endpoint.handle_done(self.now, id, work.run());
                    }
                    Action::Commit(request) => requests.push(request),
                    Action::Wake(id) if self.endpoint.phase(id) != Phase::Live => {
                        self.endpoint.remove(self.now, id);
                    }
                    Action::Wake(_) | Action::Cancel(_) | Action::Notify(_) => {}
                }
            }
            if requests.is_empty() {
                return Ok(());
            }
            self.commit(requests)?;
        }
    }

    fn commit(&mut self, requests: Vec<Request>) -> Result<(), String> {
        let (to, operations): (Vec<_>, Vec<_>) =
            requests.into_iter().map(|Request { to, operation }| (to, operation)).unzip();
        let values_in = |operation: &Operation| match operation {
            Operation::Add(submission) => submission.amounts.len(),
            Operation::Open(_) | Operation::End(_) => 0,
        };
        let values = operations.iter().map(values_in).sum();
        let outcomes = self.ledger.commit(now()?, &operations);
        let answers = to.into_iter().zip(outcomes);
        self.endpoint.handle_outcomes(
            self.now,
            values,
            answers.filter_map(|(to, outcome)| to.map(|(id, ticket)| (id, ticket, outcome))),
        );
        Ok(())
    }
}

fn take(now: Instant, client: &mut ClientSession) -> Vec<u8> {
    let bytes = client.pending().to_vec();
    client.sent(now, bytes.len());
    bytes
}

fn random<const BYTES: usize>() -> Result<Zeroizing<[u8; BYTES]>, String> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(text)?;
    Ok(bytes)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

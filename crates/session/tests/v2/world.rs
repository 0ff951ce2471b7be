//! A server's session with a real ledger behind it, under a clock of its own, and a client made of
//! parts, which can do wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_cipher::Function;
use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Opening, Operation, Refusal, Submission, Timestamp,
};
use ddes_session::Phase;
use ddes_session::v2::noise::{Entropy, Finished, Initiator};
use ddes_session::v2::record::{Opener, Sealer};
use ddes_session::v2::{
    ClientConfig, ClientEnd, ClientEvent, ClientSession, Ffdhe, Refused, ServerConfig, ServerEnd,
    ServerEntropy, ServerEvent, ServerSession, prologue, protocol,
};
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};
use ddes_wire::v2::{
    Data, Farewell, GroupSize, Hello, IdentityProof, Outcome, Reason, Rejection, Scope, Suite,
    Welcome,
};
use ddes_wire::{Sequence, SessionNumber};
use zeroize::Zeroizing;

pub(crate) const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
pub(crate) const IDLE: Duration = Duration::from_secs(60);
/// Whose seed is below this may connect; 1 is an operator.
pub(crate) const STRANGER: u8 = 100;

pub(crate) fn entropy(seed: u8) -> Entropy {
    Entropy {
        dh: Zeroizing::new((0..64).map(|i| seed ^ i).collect()),
        kem: Zeroizing::new([seed; 64]),
    }
}

pub(crate) fn identity(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) struct Server {
    pub(crate) now: Instant,
    pub(crate) session: ServerSession,
    pub(crate) ledger: Ledger,
    pub(crate) end: Option<ServerEnd>,
    pub(crate) end_all: bool,
    pub(crate) counted: u64,
    /// While set, submissions wait.
    pub(crate) ledger_stands: bool,
    held: Vec<ServerEvent>,
    account: Option<(AccountNumber, SessionNumber)>,
    out: Vec<u8>,
    takes_bytes: bool,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with_ledger(Ledger::in_memory())
    }

    pub(crate) fn with_ledger(ledger: Ledger) -> Self {
        Self::with_randomness(ledger, 2)
    }

    /// Equal seeds give equal keys, as no real randomness does.
    pub(crate) fn with_randomness(ledger: Ledger, seed: u8) -> Self {
        let now = Instant::now();
        let config = ServerConfig {
            suites: vec![SUITE, Suite::Hybrid(GroupSize::Bits2048)],
            key: identity(200),
            idle: IDLE,
            handshake: Duration::from_secs(10),
            values_max: 100,
        };
        let entropy = ServerEntropy { noise: entropy(seed), token: Zeroizing::new([7; 16]) };
        Self {
            now,
            session: ServerSession::new(Arc::new(config), now, entropy),
            ledger,
            end: None,
            end_all: false,
            counted: 0,
            ledger_stands: false,
            held: Vec::new(),
            account: None,
            out: Vec::new(),
            takes_bytes: true,
        }
    }

    pub(crate) fn give(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.now, bytes);
        self.settle();
    }

    pub(crate) fn close(&mut self) {
        self.session.handle_eof(self.now);
        self.settle();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// From now on the peer takes nothing.
    pub(crate) fn stop_taking(&mut self) {
        self.takes_bytes = false;
    }

    /// How many submissions wait for the ledger.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The ledger answers what it held back.
    pub(crate) fn ledger_answers(&mut self) {
        self.ledger_stands = false;
        for event in std::mem::take(&mut self.held) {
            self.handle(event);
        }
        self.settle();
    }

    /// All that went out, as frames.
    pub(crate) fn take(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut bytes = &self.out[..];
        let mut frames = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::decode(*header);
            let (body, rest) = rest.split_at(header.length as usize);
            frames.push((header, body.to_vec()));
            bytes = rest;
        }
        self.out.clear();
        frames
    }

    /// All that went out.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The one frame that went out, in the clear.
    pub(crate) fn rejection(&mut self) -> Rejection {
        let frames = self.take();
        assert_eq!((frames.len(), frames[0].0.opcode), (1, 50));
        Rejection::decode(&frames[0].1).unwrap()
    }

    pub(crate) fn settle(&mut self) {
        loop {
            if self.takes_bytes {
                let count = self.session.pending().len();
                self.out.extend_from_slice(self.session.pending());
                self.session.sent(self.now, count);
            }
            if self.session.has_backlog() {
                self.session.process_backlog(self.now);
            }
            if let Some(work) = self.session.poll_work() {
                self.session.handle_done(self.now, work.run());
            } else if let Some(event) = self.session.poll_event() {
                self.handle(event);
            } else if !self.takes_bytes || self.session.pending().is_empty() {
                return;
            }
        }
    }

    fn handle(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Authenticated { ticket, key } => match role(&key) {
                Some(is_operator) => {
                    let account = AccountId::Identity(*key.as_bytes());
                    let opening = open(&mut self.ledger, account);
                    self.account = Some((opening.account, opening.session));
                    let standing = opening.proof.standing();
                    self.session.admit(self.now, ticket, opening.session, standing, is_operator);
                }
                None => self.session.turn_away(self.now, ticket),
            },
            event @ ServerEvent::Submit { .. } if self.ledger_stands => self.held.push(event),
            ServerEvent::Submit { ticket, first_seq, amounts } => {
                let (account, session) = self.account.unwrap();
                let submission = Submission { account, session, first_seq, amounts };
                let outcome = self.ledger.commit(NOW, &[Operation::Add(submission)]).remove(0);
                let ddes_ledger::OperationOutcome::Decided(verdict) = outcome else {
                    panic!("{outcome:?}")
                };
                let verdict = match verdict {
                    Ok(proof) => {
                        self.counted = proof.standing().last_seq.get();
                        Ok(proof.standing())
                    }
                    Err(Refusal::Unavailable) => panic!("memory is always there"),
                    Err(Refusal::Gap { .. }) => Err(Refused::Gap),
                    Err(Refusal::Malformed) => Err(Refused::Malformed),
                    Err(Refusal::Superseded { .. }) => Err(Refused::Superseded),
                };
                self.session.handle_verdict(self.now, ticket, verdict);
                self.session.flush_answers(self.now);
            }
            ServerEvent::EndAll => self.end_all = true,
            ServerEvent::Ended(end) => {
                assert_eq!(self.end.replace(end), None, "a session ends once");
                assert_ne!(self.session.phase(), Phase::Live);
            }
            ServerEvent::TokenShared | ServerEvent::Answered(_) => {}
        }
    }
}

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// Opens a session beside, or for, a client's own.
pub(crate) fn open(ledger: &mut Ledger, account: AccountId) -> Opening {
    match ledger.commit(NOW, &[Operation::Open(account)])[0] {
        ddes_ledger::OperationOutcome::Opened(opening) => opening.unwrap(),
        outcome => panic!("{outcome:?}"),
    }
}

/// Whether `key` may connect, and if so as an operator.
fn role(key: &PublicKey) -> Option<bool> {
    (1..STRANGER).find(|seed| identity(*seed).public() == *key).map(|seed| seed == 1)
}

/// A client from its parts.
pub(crate) struct Client {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) welcome: Option<Welcome>,
    pub(crate) server_key: PublicKey,
    pub(crate) hash: [u8; 32],
}

pub(crate) fn frame(opcode: u32, body: &[u8]) -> Vec<u8> {
    [&Header { opcode, length: body.len() as u32 }.encode()[..], body].concat()
}

pub(crate) fn hello(suite: Suite) -> (Initiator<Ffdhe, Function>, Vec<u8>) {
    let (initiator, noise) = Initiator::start(protocol(suite), &prologue(suite), &entropy(1), &[]);
    (initiator, frame(10, &Hello { suite, noise: &noise }.encode()))
}

impl Client {
    /// Messages 1 to 3; the server's proof is verified.
    pub(crate) fn meet(server: &mut Server, suite: Suite) -> Self {
        let (initiator, first) = hello(suite);
        server.give(&first);
        let frames = server.take();
        let Finished { hash, to_server, to_client } = initiator.finish(&frames[0].1).unwrap().0;
        let function = protocol(suite).cipher;
        let (sealer, mut opener) =
            (Sealer::new(function, to_server), Opener::new(function, to_client));
        let proof =
            IdentityProof::decode(opener.open(frames[1].0, &mut frames[1].1.clone()).unwrap())
                .unwrap();
        let server_key = PublicKey::new(&proof.key).unwrap();
        let message = [&hash[..], &proof.key].concat();
        server_key.verify(Namespace::Server, &message, &proof.signature).unwrap();
        assert_eq!(server_key, identity(200).public());
        Self { sealer, opener, welcome: None, server_key, hash }
    }

    pub(crate) fn join(server: &mut Server, seed: u8) -> Self {
        let mut client = Self::meet(server, SUITE);
        let proof = client.proof(&identity(seed), Namespace::Client);
        server.give(&client.seal(Opcode::KeyVerification, &proof.encode()));
        let (opcode, plaintext) = client.take(server).remove(0);
        assert_eq!(opcode, 20, "{plaintext:02x?}");
        client.welcome = Welcome::decode(&plaintext);
        client
    }

    pub(crate) fn proof(&self, key: &SigningKey, namespace: Namespace) -> IdentityProof {
        let public = *key.public().as_bytes();
        let message = [&self.hash[..], self.server_key.as_bytes(), &public].concat();
        IdentityProof { key: public, signature: key.sign(namespace, &message) }
    }

    pub(crate) fn seal(&mut self, opcode: Opcode, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.sealer.seal(opcode, plaintext, &mut out).unwrap();
        out
    }

    pub(crate) fn data(&mut self, first_seq: u64, values: &[i64]) -> Vec<u8> {
        let data = Data { first_seq: Sequence::new(first_seq), values: values.into() };
        let plaintext = data.encode(&self.welcome.as_ref().unwrap().token).unwrap();
        self.seal(Opcode::EncryptedData, &plaintext)
    }

    pub(crate) fn bye(&mut self, scope: Scope) -> Vec<u8> {
        let farewell = Farewell {
            reason: Reason::Bye,
            scope,
            last_seq: Sequence::NONE,
            sum: ddes_wire::Total::ZERO,
            text: String::new(),
        };
        self.seal(Opcode::Disconnect, &farewell.encode())
    }

    /// What the server said since, opened.
    pub(crate) fn take(&mut self, server: &mut Server) -> Vec<(u32, Vec<u8>)> {
        let frames = server.take();
        frames
            .into_iter()
            .map(|(header, mut body)| {
                (header.opcode, self.opener.open(header, &mut body).unwrap().to_vec())
            })
            .collect()
    }

    /// The 40s and the reason of the 50, where one came.
    pub(crate) fn heard(&mut self, server: &mut Server) -> (Vec<(u8, u64, i128)>, Option<Reason>) {
        let (mut answers, mut reason) = (Vec::new(), None);
        for (opcode, plaintext) in self.take(server) {
            match opcode {
                40 => {
                    let outcome = Outcome::decode(&plaintext).unwrap();
                    answers.push((outcome.status as u8, outcome.last_seq.get(), outcome.sum.get()));
                }
                50 => reason = Some(Farewell::decode(&plaintext).unwrap().reason),
                other => panic!("opcode {other}"),
            }
            assert!(reason.is_none() || opcode == 50, "a 50 is the last");
        }
        (answers, reason)
    }
}

pub(crate) const CONFIG: ClientConfig = ClientConfig {
    suite: SUITE,
    handshake: Duration::from_secs(10),
    reply: Duration::from_secs(5),
};

/// A client's session with its first message computed; what it sends, and what happened.
pub(crate) struct Session {
    pub(crate) now: Instant,
    pub(crate) session: ClientSession,
    pub(crate) events: Vec<ClientEvent>,
}

impl Session {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let now = Instant::now();
        let mut session =
            Self { now, session: ClientSession::new(config, now, entropy(1)), events: Vec::new() };
        session.give(&[]);
        session
    }

    pub(crate) fn give(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.now, bytes);
        while let Some(work) = self.session.poll_work() {
            self.session.handle_done(self.now, work.run());
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = self.session.pending().to_vec();
        self.session.sent(self.now, bytes.len());
        bytes
    }

    /// Moves bytes both ways until neither side has any.
    pub(crate) fn talk(&mut self, server: &mut Server) {
        loop {
            let (out, back) = (self.take(), server.take_bytes());
            if out.is_empty() && back.is_empty() {
                return;
            }
            server.give(&out);
            self.give(&back);
        }
    }

    /// Trusts the server that has proven itself, and proves itself to it.
    pub(crate) fn prove(&mut self, key: &SigningKey) {
        let message = self.session.claim(&key.public()).unwrap();
        let signature = key.sign(Namespace::Client, &message);
        self.session.prove(self.now, &key.public(), signature).unwrap();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.session.poll_timeout().is_some_and(|at| at <= self.now) {
            self.session.handle_timeout(self.now);
        }
        self.give(&[]);
    }

    pub(crate) fn end(&self) -> Option<ClientEnd> {
        self.events.iter().find_map(|event| match event {
            ClientEvent::Ended(end) => Some(end.clone()),
            _ => None,
        })
    }
}

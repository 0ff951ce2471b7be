//! A server session under virtual time, and a client made of raw frames, so that a test can say
//! exactly what is on the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_cipher::{DesKey, DoubleDes, ecb};
use ddes_ffdhe::{Exponent, Group, NamedGroup, PublicValue};
use ddes_session::classic::{
    ENTROPY_BYTES_MAX, ServerConfig, ServerEnd, ServerEntropy, ServerEvent, ServerSession,
};
use ddes_session::{Phase, Ticket};
use ddes_wire::classic::{self, DhPublicKey};
use ddes_wire::frame::{self, Header};
use ddes_wire::{Amount, ClientId, Standing, Total};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

pub(crate) const IDLE: Duration = Duration::from_secs(60);
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// A frame as the wire has it.
pub(crate) type RawFrame = (u32, Vec<u8>);

pub(crate) fn raw(opcode: u32, body: &[u8]) -> Vec<u8> {
    let header = Header { opcode, length: u32::try_from(body.len()).unwrap() };
    [&header.encode(), body].concat()
}

pub(crate) fn group() -> Group {
    Group::named(NamedGroup::Ffdhe2048)
}

/// The server's session, its clock, and the sum a ledger would keep.
pub(crate) struct Server {
    pub(crate) session: ServerSession,
    pub(crate) now: Instant,
    pub(crate) sum: Total,
    pub(crate) counted: Vec<Amount>,
    pub(crate) warnings: usize,
    pub(crate) ignored: Vec<u32>,
    pub(crate) end: Option<ServerEnd>,
    /// Holds submissions back when set, as a slow ledger would.
    pub(crate) ledger_is_slow: bool,
    pub(crate) waiting: Vec<(Ticket, Amount)>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig {
            group: group(),
            idle: IDLE,
            handshake: HANDSHAKE,
            end_all: false,
        })
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let now = Instant::now();
        let entropy = ServerEntropy {
            exponent: Zeroizing::new([0x5a; ENTROPY_BYTES_MAX]),
            token: Zeroizing::new([0x70; 16]),
        };
        let mut server = Self {
            session: ServerSession::new(Arc::new(config), now, entropy),
            now,
            sum: Total::ZERO,
            counted: Vec::new(),
            warnings: 0,
            ignored: Vec::new(),
            end: None,
            ledger_is_slow: false,
            waiting: Vec::new(),
        };
        server.react();
        server
    }

    pub(crate) fn give(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.now, bytes);
        self.react();
    }

    pub(crate) fn give_eof(&mut self) {
        self.session.handle_eof(self.now);
        self.react();
    }

    /// Lets time pass, waking the session whenever it asks for it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.session.handle_timeout(self.now);
            self.react();
        }
        self.now = until;
    }

    /// All frames the server has to send, as if the peer had taken them.
    pub(crate) fn take(&mut self) -> Vec<RawFrame> {
        let mut frames = Vec::new();
        while !self.session.pending().is_empty() {
            let bytes = self.session.pending().to_vec();
            let mut rest = &bytes[..];
            while let Some(frame) = frame::split(rest, classic::BODY_MAX).unwrap() {
                frames.push((frame.header.opcode, frame.body.to_vec()));
                rest = &rest[frame.len()..];
            }
            assert!(rest.is_empty(), "whole frames only");
            self.session.sent(self.now, bytes.len());
            self.react();
        }
        frames
    }

    /// Settles what a slow ledger held back.
    pub(crate) fn settle_waiting(&mut self) {
        for (ticket, amount) in std::mem::take(&mut self.waiting) {
            self.settle(ticket, amount);
        }
        self.react();
    }

    pub(crate) fn is_live(&self) -> bool {
        self.session.phase() == Phase::Live
    }

    fn settle(&mut self, ticket: Ticket, amount: Amount) {
        self.sum = self.sum.plus(amount).unwrap();
        self.counted.push(amount);
        self.session.settle(self.now, ticket, Standing { sum: self.sum, ..Standing::default() });
    }

    fn react(&mut self) {
        loop {
            if let Some(work) = self.session.poll_work() {
                self.session.handle_done(self.now, work.run());
                continue;
            }
            match self.session.poll_event() {
                None => return,
                Some(ServerEvent::Submit { ticket, amount }) if self.ledger_is_slow => {
                    self.waiting.push((ticket, amount));
                }
                Some(ServerEvent::Submit { ticket, amount }) => self.settle(ticket, amount),
                Some(ServerEvent::Tampered) => self.warnings += 1,
                Some(ServerEvent::Ignored { opcode }) => self.ignored.push(opcode),
                Some(ServerEvent::Ended(end)) => {
                    assert_eq!(self.end, None, "a session ends once");
                    self.end = Some(end);
                }
                Some(
                    ServerEvent::KeyVerified
                    | ServerEvent::TokenShared
                    | ServerEvent::ResultSent { .. },
                ) => {}
            }
        }
    }
}

/// Key1 and Key2 as a peer holds them, with a second writing of the classic formulas.
pub(crate) struct PeerKeys {
    pub(crate) traffic: DoubleDes,
    key1: DesKey,
    key2: [u8; 8],
}

impl PeerKeys {
    pub(crate) fn derive(secret: &[u8]) -> Self {
        let mut okm = [0; 16];
        Hkdf::<Sha256>::new(None, secret).expand(b"handshake data", &mut okm).unwrap();
        let (key1, key2) =
            (DesKey::new(okm[..8].try_into().unwrap()), okm[8..].try_into().unwrap());
        Self { traffic: DoubleDes::new(&key1, &DesKey::new(key2)), key1, key2 }
    }

    pub(crate) fn token_cipher(&self) -> DoubleDes {
        DoubleDes::new(&self.key1, &self.key1)
    }

    pub(crate) fn authenticated(&self, covered: &[u8]) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key2).unwrap().chain_update(covered);
        [covered, &mac.finalize().into_bytes()].concat()
    }

    /// The body of a 40.
    pub(crate) fn result(&self, text: &str) -> Vec<u8> {
        self.authenticated(&ecb::seal(&self.traffic, text.as_bytes()))
    }

    /// The decimal text of a 40, its HMAC checked.
    pub(crate) fn sum(&self, body: &[u8]) -> String {
        let ciphertext = &body[..body.len() - 32];
        assert_eq!(self.authenticated(ciphertext), body, "the HMAC of the sum");
        String::from_utf8(ecb::open(&self.traffic, ciphertext).unwrap()).unwrap()
    }
}

/// A client made of raw frames that has its token.
pub(crate) struct Peer {
    pub(crate) keys: PeerKeys,
    pub(crate) token: Vec<u8>,
}

impl Peer {
    /// The client's half of the handshake: the body of its 10, and its keys.
    pub(crate) fn answer(offer: &DhPublicKey) -> (Vec<u8>, PeerKeys) {
        let group = Group::received(&offer.prime, &offer.generator).unwrap();
        let exponent = Exponent::from_entropy(&group, &[0x33; 64]);
        let public = exponent.public_value().as_bytes().to_vec();
        let shared =
            exponent.agree(&PublicValue::received(&group, &offer.public).unwrap()).unwrap();
        let key = DhPublicKey { public, ..offer.clone() };
        (key.to_pem().unwrap().into_bytes(), PeerKeys::derive(shared.as_bytes()))
    }

    pub(crate) fn join(server: &mut Server) -> Self {
        let offer = Self::offer(server);
        let (pem, keys) = Self::answer(&offer);
        server.give(&raw(10, &pem));
        let frames = server.take();
        assert_eq!(frames[0].0, 20);
        let token = ecb::open(&keys.token_cipher(), &frames[0].1).unwrap();
        Self { keys, token }
    }

    /// The server's key.
    pub(crate) fn offer(server: &mut Server) -> DhPublicKey {
        let frames = server.take();
        assert_eq!((frames.len(), frames[0].0), (1, 10));
        DhPublicKey::from_pem(&frames[0].1).unwrap()
    }

    /// The body of a 30 with one integer.
    pub(crate) fn data(&self, value: u64) -> Vec<u8> {
        let plaintext = classic::plaintext(value, &ClientId::random([9; 16]));
        self.body(&ecb::seal(&self.keys.traffic, &plaintext))
    }

    /// The body of a 30 with that ciphertext, authentic.
    pub(crate) fn body(&self, ciphertext: &[u8]) -> Vec<u8> {
        self.keys.authenticated(&[ciphertext, &self.token].concat())
    }
}

/// The text of a 50.
pub(crate) fn farewell(text: &str) -> RawFrame {
    (50, text.as_bytes().to_vec())
}

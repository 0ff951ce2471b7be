//! The honest clients of an exercise: this project's own sessions over a blocking socket, with
//! exponents from the seed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_session::v2::noise::Entropy;
use ddes_session::{Phase, classic, v2};
use ddes_wire::v2::{Outcome, Scope, Status, Suite};
use ddes_wire::{ClientId, Sequence, Token};
use zeroize::Zeroizing;

use super::frames::PATIENCE;
use crate::{LabError, Seed};

const READ_BYTES_MAX: usize = 16 * 1024;

/// What both sessions of `ddes_session` have, as far as a blocking driver needs it.
trait StageSession {
    type Happened;

    fn work(&mut self, now: Instant);
    fn happened(&mut self) -> Option<Self::Happened>;
    fn pending(&self) -> &[u8];
    fn sent(&mut self, now: Instant, count: usize);
    fn give_up_sending(&mut self);
    fn handle(&mut self, now: Instant, read: Option<&[u8]>);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn phase(&self) -> Phase;
}

macro_rules! session {
    ($profile:ident) => {
        impl StageSession for $profile::ClientSession {
            type Happened = $profile::ClientEvent;

            fn work(&mut self, now: Instant) {
                while let Some(work) = self.poll_work() {
                    self.handle_done(now, work.run());
                }
            }
            fn happened(&mut self) -> Option<Self::Happened> {
                self.poll_event()
            }
            fn pending(&self) -> &[u8] {
                self.pending()
            }
            fn sent(&mut self, now: Instant, count: usize) {
                self.sent(now, count);
            }
            fn give_up_sending(&mut self) {
                self.give_up_sending();
            }
            fn handle(&mut self, now: Instant, read: Option<&[u8]>) {
                match read {
                    Some(bytes) => self.handle_bytes(now, bytes),
                    None => self.handle_eof(now),
                }
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn phase(&self) -> Phase {
                self.phase()
            }
        }
    };
}

session!(classic);
session!(v2);

/// A session and its socket.
#[derive(Debug)]
struct StageLine<S> {
    stream: TcpStream,
    session: S,
    is_shut: bool,
}

impl<S: StageSession> StageLine<S> {
    fn new(stream: TcpStream, session: S) -> Result<Self, LabError> {
        let setting = LabError::system("cannot set up a socket");
        stream.set_nodelay(true).map_err(setting)?;
        Ok(Self { stream, session, is_shut: false })
    }

    /// The next thing that happens; `None` once the session is over.
    fn next(&mut self) -> Result<Option<S::Happened>, LabError> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.session.work(Instant::now());
            if let Some(happened) = self.session.happened() {
                // Answers to it that are pending go out with the next call, at the latest.
                self.flush();
                return Ok(Some(happened));
            }
            self.flush();
            if self.session.phase() == Phase::Done {
                return Ok(None);
            }
            let now = Instant::now();
            if now >= until {
                return Err(LabError::unplanned("a client waited for nothing"));
            }
            let due = self.session.poll_timeout().unwrap_or(until).min(until);
            self.read(due.saturating_duration_since(now))?;
        }
    }

    fn read(&mut self, most: Duration) -> Result<(), LabError> {
        // No time at all would mean to wait for ever.
        let most = most.max(Duration::from_millis(1));
        self.stream
            .set_read_timeout(Some(most))
            .map_err(LabError::system("cannot set up a socket"))?;
        let mut bytes = [0; READ_BYTES_MAX];
        let read = self.stream.read(&mut bytes);
        let now = Instant::now();
        match read {
            Ok(0) => self.session.handle(now, None),
            Ok(count) => self.session.handle(now, Some(&bytes[..count])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                self.session.handle_timeout(now);
            }
            Err(_) => self.session.handle(now, None),
        }
        Ok(())
    }

    fn flush(&mut self) {
        let pending = self.session.pending().to_vec();
        if !pending.is_empty() {
            match self.stream.write_all(&pending) {
                Ok(()) => self.session.sent(Instant::now(), pending.len()),
                // What came before the reset is still to be read.
                Err(_) => self.session.give_up_sending(),
            }
        }
        if self.session.phase() == Phase::Draining && !self.is_shut {
            self.is_shut = true;
            // It may be closed already.
            drop(self.stream.shutdown(Shutdown::Write));
        }
    }
}

fn dial(address: SocketAddr) -> Result<TcpStream, LabError> {
    super::dialled::dial(address)
        .map_err(LabError::system("cannot connect to the lab's own server"))
}

/// An honest client of the classic wire.
#[derive(Debug)]
pub(crate) struct ClassicClient {
    line: StageLine<classic::ClientSession>,
}

/// What a client hears of an integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IntegerReply {
    /// The sum.
    Sum(i128),
    /// The server discarded it.
    Discarded,
    /// The session ended instead; how, in words.
    Ended(String),
}

impl ClassicClient {
    /// The exponent of the client with this label.
    pub(crate) fn exponent(seed: &Seed, label: &str) -> [u8; crate::keys::EXPONENT_BYTES] {
        seed.draw(&format!("{label}/exponent"))
    }

    /// The UUID of the client with this label.
    pub(crate) fn id(seed: &Seed, label: &str) -> ClientId {
        ClientId::random(seed.draw(&format!("{label}/uuid")))
    }

    /// Connects, and waits for the token.
    pub(crate) fn connect(address: SocketAddr, seed: &Seed, label: &str) -> Result<Self, LabError> {
        let config = classic::ClientConfig {
            id: Self::id(seed, label),
            handshake: PATIENCE,
            reply: PATIENCE,
        };
        let entropy =
            classic::ClientEntropy { exponent: Zeroizing::new(Self::exponent(seed, label)) };
        let stream = dial(address)?;
        let session = classic::ClientSession::new(config, Instant::now(), entropy);
        let mut line = StageLine::new(stream, session)?;
        loop {
            match line.next()? {
                Some(classic::ClientEvent::Ready { .. }) => return Ok(Self { line }),
                Some(classic::ClientEvent::KeyReceived { .. } | classic::ClientEvent::KeySent) => {}
                other => {
                    return Err(LabError::unplanned(format!("no session opened: {other:?}")));
                }
            }
        }
    }

    /// Sends an integer and waits for what is said of it.
    pub(crate) fn count(&mut self, value: u64) -> Result<IntegerReply, LabError> {
        let sent = self.line.session.submit(Instant::now(), value);
        if let Err(error) = sent {
            return Ok(IntegerReply::Ended(error.to_string()));
        }
        loop {
            match self.line.next()? {
                Some(classic::ClientEvent::Result { sum }) => {
                    return Ok(IntegerReply::Sum(sum.get()));
                }
                Some(classic::ClientEvent::Discarded { .. }) => return Ok(IntegerReply::Discarded),
                Some(classic::ClientEvent::Ended(end)) => {
                    return Ok(IntegerReply::Ended(words(&end)));
                }
                None => return Ok(IntegerReply::Ended("the session is over".into())),
                Some(
                    classic::ClientEvent::KeyReceived { .. }
                    | classic::ClientEvent::KeySent
                    | classic::ClientEvent::Ready { .. }
                    | classic::ClientEvent::Acknowledged
                    | classic::ClientEvent::LastSum { .. },
                ) => {}
            }
        }
    }

    /// The sum that must come.
    pub(crate) fn sum_after(&mut self, value: u64) -> Result<i128, LabError> {
        match self.count(value)? {
            IntegerReply::Sum(sum) => Ok(sum),
            other @ (IntegerReply::Discarded | IntegerReply::Ended(_)) => {
                Err(LabError::unplanned(format!("no sum came: {other:?}")))
            }
        }
    }

    /// Waits for the end of a session that the client did not ask for.
    pub(crate) fn await_end(&mut self) -> Result<String, LabError> {
        loop {
            match self.line.next()? {
                Some(classic::ClientEvent::Ended(end)) => return Ok(words(&end)),
                None => return Ok("the session is over".into()),
                Some(_) => {}
            }
        }
    }

    /// Asks for the end of the session, and waits for it.
    pub(crate) fn close(mut self) -> Result<String, LabError> {
        if self.line.session.disconnect(Instant::now()).is_err() {
            return Ok("the session was over".into());
        }
        self.await_end()
    }
}

fn words(end: &classic::ClientEnd) -> String {
    match end {
        classic::ClientEnd::Disconnected { text, .. } => text.clone(),
        classic::ClientEnd::Idle => "the idle timer ran out".into(),
        classic::ClientEnd::Fault(fault) => fault.to_string(),
    }
}

/// The identity of the client with this label.
pub(crate) fn identity(seed: &Seed, label: &str) -> SigningKey {
    SigningKey::from_seed(&seed.draw(&format!("{label}/identity")))
}

/// The handshake's randomness of the client with this label.
pub(crate) fn v2_entropy(seed: &Seed, label: &str) -> Entropy {
    Entropy {
        dh: Zeroizing::new(seed.draw::<64>(&format!("{label}/exponent")).to_vec()),
        kem: Zeroizing::new(seed.draw(&format!("{label}/kem"))),
    }
}

/// An honest client of D-DDES/2 in an open session.
#[derive(Debug)]
pub(crate) struct V2Client {
    line: StageLine<v2::ClientSession>,
    token: Token,
    next: Sequence,
}

/// How a client's call at a server went.
#[derive(Debug)]
pub(crate) enum Met {
    Open(Box<V2Client>),
    /// Whoever answered proved another key than the one that is known. Nothing was sent after.
    Untrusted(Box<PublicKey>),
    /// It ended before; the fault if it was one.
    Ended(v2::ClientEnd),
}

impl V2Client {
    /// Connects, checks the server's key, proves its own, and waits for the token.
    pub(crate) fn meet(
        address: SocketAddr,
        trusted: &PublicKey,
        seed: &Seed,
        label: &str,
        suite: Suite,
    ) -> Result<Met, LabError> {
        let config = v2::ClientConfig { suite, handshake: PATIENCE, reply: PATIENCE };
        let stream = dial(address)?;
        let entropy = v2_entropy(seed, label);
        let session = v2::ClientSession::new(config, Instant::now(), entropy);
        let mut line = StageLine::new(stream, session)?;
        let own = identity(seed, label);
        loop {
            match line.next()? {
                Some(v2::ClientEvent::ServerProven { key }) if key == *trusted => {
                    let public = own.public();
                    let Some(claim) = line.session.claim(&public) else { continue };
                    let signature = own.sign(Namespace::Client, &claim);
                    match line.session.prove(Instant::now(), &public, signature) {
                        // If the session has ended, its next event says so.
                        Ok(()) | Err(_) => {}
                    }
                }
                Some(v2::ClientEvent::ServerProven { key }) => {
                    return Ok(Met::Untrusted(Box::new(key)));
                }
                Some(v2::ClientEvent::Ready(welcome)) => {
                    let next = welcome.standing.last_seq.forward(1);
                    let next = next.map_err(|_| LabError::unplanned("the account is full"))?;
                    let client = Self { line, token: welcome.token, next };
                    return Ok(Met::Open(Box::new(client)));
                }
                Some(v2::ClientEvent::Ended(end)) => return Ok(Met::Ended(end)),
                Some(v2::ClientEvent::Answered(_)) | None => {
                    return Err(LabError::unplanned("a session ended without a word"));
                }
            }
        }
    }

    /// As [`Self::meet`], where a session must open.
    pub(crate) fn connect(
        address: SocketAddr,
        trusted: &PublicKey,
        seed: &Seed,
        label: &str,
    ) -> Result<Self, LabError> {
        match Self::meet(address, trusted, seed, label, super::SUITE)? {
            Met::Open(client) => Ok(*client),
            other @ (Met::Untrusted(_) | Met::Ended(_)) => {
                Err(LabError::unplanned(format!("no session opened: {other:?}")))
            }
        }
    }

    pub(crate) fn token(&self) -> &[u8; Token::BYTES] {
        self.token.as_bytes()
    }

    /// Sends an integer and waits for what is said of it.
    pub(crate) fn count(&mut self, value: i64) -> Result<IntegerReply, LabError> {
        if let Err(error) = self.line.session.submit(Instant::now(), self.next, &[value]) {
            return Ok(IntegerReply::Ended(error.to_string()));
        }
        match self.line.next()? {
            Some(v2::ClientEvent::Answered(Outcome { status: Status::Applied, last_seq, sum })) => {
                let next = last_seq.forward(1);
                self.next = next.map_err(|_| LabError::unplanned("the account is full"))?;
                Ok(IntegerReply::Sum(sum.get()))
            }
            Some(v2::ClientEvent::Answered(_)) => Ok(IntegerReply::Discarded),
            Some(v2::ClientEvent::Ended(end)) => Ok(IntegerReply::Ended(v2_words(&end))),
            other => Ok(IntegerReply::Ended(format!("{other:?}"))),
        }
    }

    /// The sum that must come.
    pub(crate) fn sum_after(&mut self, value: i64) -> Result<i128, LabError> {
        match self.count(value)? {
            IntegerReply::Sum(sum) => Ok(sum),
            other @ (IntegerReply::Discarded | IntegerReply::Ended(_)) => {
                Err(LabError::unplanned(format!("no sum came: {other:?}")))
            }
        }
    }

    /// Waits for the end of a session that the client did not ask for.
    pub(crate) fn await_end(&mut self) -> Result<v2::ClientEnd, LabError> {
        loop {
            match self.line.next()? {
                Some(v2::ClientEvent::Ended(end)) => return Ok(end),
                Some(_) => {}
                None => return Err(LabError::unplanned("a session ended without a word")),
            }
        }
    }

    /// Asks for the end of this session, or of all, and waits for what the server says.
    pub(crate) fn leave(mut self, scope: Scope) -> Result<v2::ClientEnd, LabError> {
        let asked = self.line.session.disconnect(Instant::now(), scope);
        asked.map_err(|error| LabError::unplanned(error.to_string()))?;
        self.await_end()
    }
}

/// How a session ended, for people.
pub(crate) fn v2_words(end: &v2::ClientEnd) -> String {
    match end {
        v2::ClientEnd::Farewell(farewell) => {
            format!("the server's 50, reason {}: {}", farewell.reason as u8, farewell.text)
        }
        v2::ClientEnd::Rejected(rejection) => {
            format!("a 50 in the clear, reason {}: {}", rejection.reason as u8, rejection.text)
        }
        v2::ClientEnd::Fault(fault) => fault.to_string(),
    }
}

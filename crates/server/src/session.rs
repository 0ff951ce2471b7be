//! The session of one connection, in either profile.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_session::{Phase, SeenFrames, classic, v2};
use ddes_wire::Token;
use zeroize::Zeroizing;

use crate::watch::Profile;

/// The randomness of one connection, drawn by the driver. It suffices for either profile, and only
/// one uses it.
pub struct ConnectionEntropy {
    /// Seed of the private exponent.
    pub exponent: Zeroizing<[u8; classic::ENTROPY_BYTES_MAX]>,
    /// Randomness for ML-KEM, with a hybrid suite.
    pub kem: Zeroizing<[u8; v2::kem::SEED_BYTES]>,
    /// The bytes of the session token.
    pub token: Zeroizing<[u8; Token::BYTES]>,
}

impl fmt::Debug for ConnectionEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionEntropy(..)")
    }
}

/// The profiles that the server offers.
#[derive(Clone, Debug)]
pub struct Profiles {
    /// The settings of D-DDES/2 sessions.
    pub v2: Arc<v2::ServerConfig>,
    /// The classic profile, if it is enabled.
    pub classic: Option<Classic>,
}

/// The settings of the classic profile.
#[derive(Clone, Debug)]
pub struct Classic {
    /// The settings of classic sessions.
    pub config: Arc<classic::ServerConfig>,
    /// A client that sends nothing for this long is taken for a classic one, which expects the
    /// server to send first.
    pub silence: Duration,
}

/// Why this side ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOrder {
    /// The server is shutting down.
    Shutdown,
    /// An operator ended the session.
    Operator,
    /// A classic client's 50, which ends every session where that is enabled.
    ClassicEndAll,
    /// The same identity has opened a newer session.
    Superseded,
    /// The identity is no longer authorized.
    NotAuthorized,
    /// The ledger cannot make the session durable.
    LedgerUnavailable,
    /// Too many connections are unproven (rule P-28).
    TooMany,
}

/// A computation of a handshake, to run on any thread.
#[derive(Debug)]
pub enum SessionWork {
    /// The work of a classic handshake.
    Classic(classic::HandshakeWork),
    /// The work of a D-DDES/2 handshake.
    V2(v2::HandshakeWork),
}

/// The result of [`SessionWork`].
#[derive(Debug)]
pub enum SessionDone {
    /// The result of a classic handshake.
    Classic(classic::HandshakeDone),
    /// The result of a D-DDES/2 handshake.
    V2(v2::HandshakeDone),
}

impl SessionWork {
    /// The cost of its handshake, in handshakes over 2048 bits.
    pub(crate) fn cost(&self) -> NonZeroU32 {
        match self {
            Self::Classic(work) => work.cost(),
            Self::V2(work) => work.cost(),
        }
    }

    /// Computes the result, without I/O.
    pub fn run(self) -> SessionDone {
        match self {
            Self::Classic(work) => SessionDone::Classic(work.run()),
            Self::V2(work) => SessionDone::V2(work.run()),
        }
    }
}

/// What happened in a session.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    Classic(classic::ServerEvent),
    V2(v2::ServerEvent),
}

#[derive(Debug)]
pub(crate) enum AnySession {
    /// Undecided until the client sends first (D-DDES/2) or stays silent (classic).
    Undecided(Box<UndecidedSession>),
    Classic(classic::ServerSession),
    V2(v2::ServerSession),
    /// A placeholder while `decide` replaces the state; no caller sees it.
    Gone,
}

#[derive(Debug)]
pub(crate) struct UndecidedSession {
    profiles: Profiles,
    accepted: Instant,
    until: Instant,
    entropy: ConnectionEntropy,
    is_traced: bool,
}

impl AnySession {
    pub(crate) fn new(profiles: &Profiles, now: Instant, entropy: ConnectionEntropy) -> Self {
        let Some(silence) = profiles.classic.as_ref().map(|classic| classic.silence) else {
            return Self::v2(profiles, now, entropy);
        };
        let (profiles, until) = (profiles.clone(), now + silence);
        let undecided =
            UndecidedSession { profiles, accepted: now, until, entropy, is_traced: false };
        let mut session = Self::Undecided(Box::new(undecided));
        if silence.is_zero() {
            session.decide(true);
        }
        session
    }

    /// Bytes from the client. A client that sends first speaks D-DDES/2.
    pub(crate) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.decide(false);
        match self {
            Self::Classic(session) => session.handle_bytes(now, bytes),
            Self::V2(session) => session.handle_bytes(now, bytes),
            Self::Undecided(_) | Self::Gone => {}
        }
    }

    pub(crate) fn handle_eof(&mut self, now: Instant) {
        self.decide(false);
        match self {
            Self::Classic(session) => session.handle_eof(now),
            Self::V2(session) => session.handle_eof(now),
            Self::Undecided(_) | Self::Gone => {}
        }
    }

    pub(crate) fn handle_reset(&mut self, now: Instant) {
        self.decide(false);
        match self {
            Self::Classic(session) => session.handle_reset(now),
            Self::V2(session) => session.handle_reset(now),
            Self::Undecided(_) | Self::Gone => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Undecided(undecided) => {
                if undecided.until <= now {
                    self.decide(true);
                }
            }
            Self::Classic(session) => session.handle_timeout(now),
            Self::V2(session) => session.handle_timeout(now),
            Self::Gone => {}
        }
    }

    pub(crate) fn handle_done(&mut self, now: Instant, done: SessionDone) {
        match (self, done) {
            (Self::Classic(session), SessionDone::Classic(done)) => session.handle_done(now, done),
            (Self::V2(session), SessionDone::V2(done)) => session.handle_done(now, done),
            // A result always has the profile of its session.
            (Self::Undecided(_) | Self::Classic(_) | Self::V2(_) | Self::Gone, _) => {}
        }
    }

    pub(crate) fn sent(&mut self, now: Instant, count: usize) {
        match self {
            Self::Classic(session) => session.sent(now, count),
            Self::V2(session) => session.sent(now, count),
            Self::Undecided(_) | Self::Gone => {}
        }
    }

    /// Whether received frames wait for [`Self::process_backlog`]. Classic sessions process theirs
    /// by themselves, one at a time.
    pub(crate) fn has_backlog(&self) -> bool {
        matches!(self, Self::V2(session) if session.has_backlog())
    }

    /// Processes received frames that waited. Returns the number of bytes processed.
    pub(crate) fn process_backlog(&mut self, now: Instant) -> usize {
        match self {
            Self::V2(session) => session.process_backlog(now),
            Self::Classic(_) | Self::Undecided(_) | Self::Gone => 0,
        }
    }

    /// Ends the session; immediately if the identity may not continue.
    pub(crate) fn order_end(&mut self, now: Instant, order: EndOrder) {
        self.decide(false);
        match self {
            Self::Classic(session) => session.order_end(now, order.classic()),
            Self::V2(session) => match order.v2() {
                Some(reason) => {
                    let at_once = matches!(order, EndOrder::Superseded | EndOrder::NotAuthorized);
                    session.order_end(now, reason, at_once);
                }
                None => session.end_without_ledger(now),
            },
            Self::Undecided(_) | Self::Gone => {}
        }
    }

    /// Ends the session before its handshake: its address began more than `most` per second.
    pub(crate) fn decline(&mut self, now: Instant, most: u32) {
        match self {
            Self::Classic(session) => session.order_end(now, classic::EndReason::TooFast),
            Self::V2(session) => session.decline(now, most),
            Self::Undecided(_) | Self::Gone => {}
        }
    }

    pub(crate) fn pending(&self) -> &[u8] {
        match self {
            Self::Classic(session) => session.pending(),
            Self::V2(session) => session.pending(),
            Self::Undecided(_) | Self::Gone => &[],
        }
    }

    pub(crate) fn room(&self) -> usize {
        match self {
            Self::Classic(session) => session.room(),
            Self::V2(session) => session.room(),
            Self::Undecided(_) => v2::FIRST_BYTES_MAX,
            Self::Gone => 0,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Classic(session) => session.phase(),
            Self::V2(session) => session.phase(),
            Self::Undecided(_) => Phase::Live,
            Self::Gone => Phase::Done,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Classic(session) => session.poll_timeout(),
            Self::V2(session) => session.poll_timeout(),
            Self::Undecided(undecided) => Some(undecided.until),
            Self::Gone => None,
        }
    }

    pub(crate) fn idle_at(&self) -> Option<Instant> {
        match self {
            Self::Classic(session) => session.idle_at(),
            Self::V2(session) => session.idle_at(),
            Self::Undecided(_) | Self::Gone => None,
        }
    }

    pub(crate) fn profile(&self) -> Profile {
        match self {
            Self::Classic(_) => Profile::Classic,
            Self::V2(_) => Profile::V2,
            Self::Undecided(_) | Self::Gone => Profile::Undecided,
        }
    }

    /// Begins to keep the session's frames for [`Self::take_frames`], or ends that.
    pub(crate) fn set_traced(&mut self, is_traced: bool) {
        match self {
            Self::Classic(session) => session.set_traced(is_traced),
            Self::V2(session) => session.set_traced(is_traced),
            Self::Undecided(undecided) => undecided.is_traced = is_traced,
            Self::Gone => {}
        }
    }

    /// The frames of a traced session since this was called last.
    pub(crate) fn take_frames(&mut self) -> SeenFrames {
        match self {
            Self::Classic(session) => session.take_frames(),
            Self::V2(session) => session.take_frames(),
            Self::Undecided(_) | Self::Gone => SeenFrames::default(),
        }
    }

    pub(crate) fn poll_work(&mut self) -> Option<SessionWork> {
        match self {
            Self::Classic(session) => session.poll_work().map(SessionWork::Classic),
            Self::V2(session) => session.poll_work().map(SessionWork::V2),
            Self::Undecided(_) | Self::Gone => None,
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<SessionEvent> {
        match self {
            Self::Classic(session) => session.poll_event().map(SessionEvent::Classic),
            Self::V2(session) => session.poll_event().map(SessionEvent::V2),
            Self::Undecided(_) | Self::Gone => None,
        }
    }

    fn v2(profiles: &Profiles, accepted: Instant, entropy: ConnectionEntropy) -> Self {
        let ConnectionEntropy { exponent, kem, token } = entropy;
        let noise = v2::noise::Entropy { dh: Zeroizing::new(exponent.to_vec()), kem };
        let entropy = v2::ServerEntropy { noise, token };
        Self::V2(v2::ServerSession::new(Arc::clone(&profiles.v2), accepted, entropy))
    }

    /// Decides which profile an undecided connection speaks.
    fn decide(&mut self, silent: bool) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Undecided(undecided) => undecided.decide(silent),
            decided @ (Self::Classic(_) | Self::V2(_) | Self::Gone) => decided,
        };
    }
}

impl UndecidedSession {
    fn decide(self, silent: bool) -> AnySession {
        let Self { profiles, accepted, until, entropy, is_traced } = self;
        let mut session = match profiles.classic.as_ref().filter(|_| silent) {
            Some(classic) => {
                let ConnectionEntropy { exponent, token, .. } = entropy;
                let entropy = classic::ServerEntropy { exponent, token };
                let config = Arc::clone(&classic.config);
                AnySession::Classic(classic::ServerSession::new(config, until, entropy))
            }
            None => AnySession::v2(&profiles, accepted, entropy),
        };
        session.set_traced(is_traced);
        session
    }
}

impl EndOrder {
    fn classic(self) -> classic::EndReason {
        match self {
            Self::Shutdown => classic::EndReason::Shutdown,
            Self::ClassicEndAll => classic::EndReason::EndAll,
            // A classic session receives only the first of these: the others need an identity.
            Self::Operator | Self::Superseded | Self::NotAuthorized => classic::EndReason::Operator,
            Self::LedgerUnavailable => classic::EndReason::LedgerUnavailable,
            Self::TooMany => classic::EndReason::TooMany,
        }
    }

    /// The reason in the 50; `None` for [`EndOrder::LedgerUnavailable`], which has its own text.
    fn v2(self) -> Option<ddes_wire::v2::Reason> {
        Some(match self {
            Self::Shutdown => ddes_wire::v2::Reason::ShuttingDown,
            Self::Operator | Self::ClassicEndAll => ddes_wire::v2::Reason::Operator,
            Self::Superseded => ddes_wire::v2::Reason::Superseded,
            Self::NotAuthorized => ddes_wire::v2::Reason::NotAuthorized,
            // The client may try again later.
            Self::TooMany => ddes_wire::v2::Reason::TooMany,
            Self::LedgerUnavailable => return None,
        })
    }
}

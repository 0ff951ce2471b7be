//! The server's side of the desk: one session at a time, and the ledger behind all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_ffdhe::{Group, NamedGroup};
use ddes_identity::{PublicKey, SigningKey};
use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Opening, Operation, OperationOutcome, Refusal, Submission,
    Timestamp, Verdict,
};
use ddes_session::v2::noise::Entropy;
use ddes_session::{Phase, Ticket, classic, v2};
use ddes_wire::v2::Suite;
use ddes_wire::{Amount, Amounts, Sequence, SessionNumber};
use smallvec::smallvec;
use zeroize::Zeroizing;

use crate::client::Told;
use crate::desk::PageProfile;
use crate::draws::Draws;

const IDLE: Duration = Duration::from_secs(60);
const HANDSHAKE: Duration = Duration::from_secs(10);
const VALUES_MAX: u16 = 4096;

/// What outlives a session.
pub(crate) struct Keeper {
    pub(crate) ledger: Ledger,
    pub(crate) key: SigningKey,
    /// The number of the next classic account.
    classic_next: u64,
    started: Instant,
}

/// An account, and the session of it that may add.
type Account = (AccountNumber, SessionNumber);

/// One session of the server, and its account once it has one.
pub(crate) struct ServerSide {
    session: ServerSession,
    account: Option<Account>,
    /// The number of the next integer of a classic account.
    next: Sequence,
}

enum ServerSession {
    Classic(Box<classic::ServerSession>),
    V2(Box<v2::ServerSession>),
}

impl Keeper {
    pub(crate) fn new(draws: &Draws, now: Instant) -> Self {
        let key = SigningKey::from_seed(&draws.draw("server/identity"));
        Self { ledger: Ledger::in_memory(), key, classic_next: 1, started: now }
    }

    /// The outcome of one operation. A ledger in memory always gives one.
    fn commit(&mut self, now: Instant, operation: Operation) -> Option<OperationOutcome> {
        let micros = now.saturating_duration_since(self.started).as_micros();
        // 2^64 microseconds are 584,000 years.
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.ledger.commit(Timestamp(micros), &[operation]).pop()
    }

    fn open(&mut self, now: Instant, id: AccountId) -> Result<Opening, Refusal> {
        match self.commit(now, Operation::Open(id)) {
            Some(OperationOutcome::Opened(opening)) => opening,
            Some(OperationOutcome::Decided(_) | OperationOutcome::Ended(_)) | None => {
                Err(Refusal::Unavailable)
            }
        }
    }

    /// Counts an integer of a classic session, whose account opens with its first one.
    fn count_classic(
        &mut self,
        now: Instant,
        account: Option<Account>,
        first_seq: Sequence,
        amount: Amount,
    ) -> (Option<Account>, Verdict) {
        let opened = account.map_or_else(
            || {
                let id = AccountId::Classic(self.classic_next);
                self.classic_next = self.classic_next.saturating_add(1);
                self.open(now, id).map(|opening| (opening.account, opening.session))
            },
            Ok,
        );
        match opened {
            Ok((account, session)) => {
                let amounts = smallvec![amount];
                let verdict = self.add(now, Submission { account, session, first_seq, amounts });
                (Some((account, session)), verdict)
            }
            Err(refusal) => (None, Err(refusal)),
        }
    }

    fn add(&mut self, now: Instant, submission: Submission) -> Verdict {
        match self.commit(now, Operation::Add(submission)) {
            Some(OperationOutcome::Decided(verdict)) => verdict,
            Some(OperationOutcome::Opened(_) | OperationOutcome::Ended(_)) | None => {
                Err(Refusal::Unavailable)
            }
        }
    }
}

impl ServerSide {
    /// Accepts the `connection`-th connection.
    pub(crate) fn accept(
        profile: PageProfile,
        draws: &Draws,
        connection: u32,
        keeper: &Keeper,
        now: Instant,
    ) -> Self {
        let token = Zeroizing::new(draws.draw(&label(connection, "token")));
        let (exponent, kem) = exponent_and_kem(draws, connection);
        let session = match profile {
            PageProfile::Classic => {
                let config = classic::ServerConfig {
                    group: Group::named(NamedGroup::Ffdhe2048),
                    idle: IDLE,
                    handshake: HANDSHAKE,
                    end_all: false,
                };
                let entropy = classic::ServerEntropy { exponent, token };
                let session = classic::ServerSession::new(Arc::new(config), now, entropy);
                ServerSession::Classic(Box::new(session))
            }
            PageProfile::V2(_) => {
                let config = v2::ServerConfig {
                    suites: Suite::ALL.to_vec(),
                    key: keeper.key.clone(),
                    idle: IDLE,
                    handshake: HANDSHAKE,
                    values_max: VALUES_MAX,
                };
                let noise = Entropy { dh: Zeroizing::new(exponent.to_vec()), kem };
                let entropy = v2::ServerEntropy { noise, token };
                let session = v2::ServerSession::new(Arc::new(config), now, entropy);
                ServerSession::V2(Box::new(session))
            }
        };
        Self { session, account: None, next: Sequence::new(1) }
    }

    pub(crate) fn handle(&mut self, now: Instant, bytes: &[u8]) {
        match (&mut self.session, bytes.is_empty()) {
            (ServerSession::Classic(session), false) => session.handle_bytes(now, bytes),
            (ServerSession::Classic(session), true) => session.handle_eof(now),
            (ServerSession::V2(session), false) => session.handle_bytes(now, bytes),
            (ServerSession::V2(session), true) => session.handle_eof(now),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.session {
            ServerSession::Classic(session) => session.handle_timeout(now),
            ServerSession::V2(session) => session.handle_timeout(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.session {
            ServerSession::Classic(session) => session.poll_timeout(),
            ServerSession::V2(session) => session.poll_timeout(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match &self.session {
            ServerSession::Classic(session) => session.phase(),
            ServerSession::V2(session) => session.phase(),
        }
    }

    /// What it sends; it counts as sent.
    pub(crate) fn take_pending(&mut self, now: Instant) -> Vec<u8> {
        match &mut self.session {
            ServerSession::Classic(session) => {
                let bytes = session.pending().to_vec();
                session.sent(now, bytes.len());
                bytes
            }
            ServerSession::V2(session) => {
                let bytes = session.pending().to_vec();
                session.sent(now, bytes.len());
                session.process_backlog(now);
                bytes
            }
        }
    }

    /// Computes what the handshake asks for, and handles what happened next. `None`: nothing did.
    pub(crate) fn step(&mut self, now: Instant, keeper: &mut Keeper) -> Option<Told> {
        let Self { session, account, next } = self;
        match session {
            ServerSession::Classic(session) => {
                while let Some(work) = session.poll_work() {
                    session.handle_done(now, work.run());
                }
                let event = session.poll_event()?;
                Some(handle_classic(session, now, keeper, (account, next), event))
            }
            ServerSession::V2(session) => {
                while let Some(work) = session.poll_work() {
                    session.handle_done(now, work.run());
                }
                let event = session.poll_event()?;
                Some(handle_v2(session, now, keeper, account, event))
            }
        }
    }
}

fn label(connection: u32, what: &str) -> String {
    format!("server/{connection}/{what}")
}

/// What the server draws for the handshake of a connection: whoever has it can follow the session.
pub(crate) fn exponent_and_kem(
    draws: &Draws,
    connection: u32,
) -> (Zeroizing<[u8; classic::ENTROPY_BYTES_MAX]>, Zeroizing<[u8; 64]>) {
    let exponent = Zeroizing::new(draws.draw(&label(connection, "exponent")));
    (exponent, Zeroizing::new(draws.draw(&label(connection, "kem"))))
}

/// Answers a classic 30 by the ledger's verdict.
fn settle(
    session: &mut classic::ServerSession,
    now: Instant,
    ticket: Ticket,
    next: &mut Sequence,
    verdict: Verdict,
) -> Told {
    match verdict {
        Ok(proof) => {
            let standing = proof.standing();
            // At the end of all numbers the ledger refuses the next one.
            *next = standing.last_seq.forward(1).unwrap_or(*next);
            session.settle(now, ticket, standing);
            (format!("counts it, the sum is {}", standing.sum), None)
        }
        Err(refusal) => {
            session.refuse(now, ticket);
            (format!("counts nothing: {refusal}"), None)
        }
    }
}

fn admit(
    session: &mut v2::ServerSession,
    now: Instant,
    keeper: &mut Keeper,
    ticket: Ticket,
    key: &PublicKey,
) -> (Told, Option<Account>) {
    match keeper.open(now, AccountId::Identity(*key.as_bytes())) {
        Ok(Opening { account, session: number, proof }) => {
            session.admit(now, ticket, number, proof.standing(), false);
            let told = format!("the client proved {}; opens session {number}", key.fingerprint());
            ((told, None), Some((account, number)))
        }
        Err(refusal) => {
            session.turn_away(now, ticket);
            ((format!("opens no session: {refusal}"), None), None)
        }
    }
}

fn decide(
    session: &mut v2::ServerSession,
    now: Instant,
    keeper: &mut Keeper,
    ticket: Ticket,
    submission: Submission,
) -> Told {
    let shown = shown(&submission.amounts);
    let (verdict, told) = match keeper.add(now, submission) {
        Ok(proof) => {
            let standing = proof.standing();
            (Ok(standing), format!("counts {shown}, the sum is {}", standing.sum))
        }
        Err(refusal) => {
            let refused = match refusal {
                Refusal::Gap { .. } => v2::Refused::Gap,
                Refusal::Malformed => v2::Refused::Malformed,
                Refusal::Superseded { .. } => v2::Refused::Superseded,
                Refusal::Unavailable => v2::Refused::Unavailable,
            };
            (Err(refused), format!("counts nothing: {refusal}"))
        }
    };
    session.handle_verdict(now, ticket, verdict);
    session.flush_answers(now);
    (told, None)
}

fn shown(amounts: &Amounts) -> String {
    let amounts: Vec<_> = amounts.iter().map(ToString::to_string).collect();
    amounts.join(", ")
}

fn handle_classic(
    session: &mut classic::ServerSession,
    now: Instant,
    keeper: &mut Keeper,
    (account, next): (&mut Option<Account>, &mut Sequence),
    event: classic::ServerEvent,
) -> Told {
    use classic::{ServerEnd, ServerEvent};
    match event {
        ServerEvent::Submit { ticket, amount } => {
            let (own, verdict) = keeper.count_classic(now, *account, *next, amount);
            *account = own;
            settle(session, now, ticket, next, verdict)
        }
        ServerEvent::KeyVerified => ("took the client's key; nobody signed it".into(), None),
        ServerEvent::TokenShared => ("sends the token".into(), None),
        ServerEvent::Tampered => ("discards a 30 that does not decrypt".into(), Some("C-14")),
        ServerEvent::Ignored { opcode } => (format!("ignores opcode {opcode}"), Some("C-16")),
        ServerEvent::ResultSent { sum } => (format!("sends the sum {sum}"), None),
        ServerEvent::Ended(ServerEnd::Fault(fault)) => {
            (format!("ends the session: {fault}"), Some(fault.rule()))
        }
        ServerEvent::Ended(
            ServerEnd::Bye | ServerEnd::Closed | ServerEnd::Idle { .. } | ServerEnd::Ordered(_),
        ) => ("the session is over".into(), None),
    }
}

fn handle_v2(
    session: &mut v2::ServerSession,
    now: Instant,
    keeper: &mut Keeper,
    account: &mut Option<Account>,
    event: v2::ServerEvent,
) -> Told {
    use v2::{ServerEnd, ServerEvent};
    match event {
        ServerEvent::Authenticated { ticket, key } => {
            let (told, opened) = admit(session, now, keeper, ticket, &key);
            *account = opened;
            told
        }
        ServerEvent::Submit { ticket, first_seq, amounts } => match *account {
            Some((account, own)) => {
                let submission = Submission { account, session: own, first_seq, amounts };
                decide(session, now, keeper, ticket, submission)
            }
            // A session without an account was not admitted, and takes no 30.
            None => ("counts nothing: the session has no account".into(), None),
        },
        ServerEvent::TokenShared => ("sends the token".into(), None),
        ServerEvent::Answered(answer) => (format!("sends the sum {}", answer.sum), None),
        ServerEvent::EndAll => ("is asked to end every session".into(), None),
        ServerEvent::Ended(ServerEnd::Fault(fault)) => {
            (format!("ends the session: {fault}"), Some(fault.rule()))
        }
        ServerEvent::Ended(
            ServerEnd::Bye
            | ServerEnd::Closed
            | ServerEnd::Left
            | ServerEnd::Idle
            | ServerEnd::TooOld
            | ServerEnd::Ordered(_)
            | ServerEnd::LedgerUnavailable
            | ServerEnd::TooFast { .. },
        ) => ("the session is over".into(), None),
    }
}

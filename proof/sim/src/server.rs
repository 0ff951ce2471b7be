//! The server: endpoints, and the clerk that owns a ledger in a folder. What
//! `ddes_server::{listen, drive, clerk}` do with threads and sockets, here one thing at a time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::{Grant, Role, SigningKey};
use ddes_ledger::{
    Ledger, Operation, OperationOutcome, Proof, Refusal, Submission, Timestamp, store,
};
use ddes_server::endpoint::{
    Action, Bounds, Config, ConnectionEntropy, ConnectionId, Endpoint, Full, Notices, Profiles,
    Request, SessionWork,
};
use ddes_session::{Ticket, v2};
use zeroize::Zeroizing;

use crate::client::SUITE;
use crate::model::{Model, Violation};
use crate::plan::FRAME_VALUES;
use crate::random::Random;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// An endpoint and what is on its way to it.
pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    pub(crate) work: Vec<(ConnectionId, SessionWork)>,
    pub(crate) answers: VecDeque<Answer>,
    /// It takes no connections any more.
    pub(crate) is_closed: bool,
}

/// From the clerk to an endpoint.
pub(crate) enum Answer {
    Done(ConnectionId, Ticket, OperationOutcome),
    Values(usize),
}

impl Node {
    pub(crate) fn new(now: Instant, key: &[u8; 32], idle: Duration, classic_first: u64) -> Self {
        let v2 = v2::ServerConfig {
            suites: vec![SUITE],
            key: SigningKey::from_seed(key),
            idle,
            handshake: HANDSHAKE,
            values_max: FRAME_VALUES,
        };
        let config = Config {
            bounds: Bounds { unproven_max: 4, unproven_network_max: 4, ..Bounds::of(6) },
            queued_values_max: 64,
            notices: Notices::Nothing,
            classic_first,
            profiles: Profiles { v2: Arc::new(v2), classic: None },
        };
        Self {
            endpoint: Endpoint::new(now, config),
            work: Vec::new(),
            answers: VecDeque::new(),
            is_closed: false,
        }
    }

    /// The same for a ledger that has to hear of the end of sessions.
    pub(crate) fn telling_ends(self) -> Self {
        Self { endpoint: self.endpoint.telling_ends(), ..self }
    }

    pub(crate) fn accept(
        &mut self,
        now: Instant,
        port: u16,
        random: &mut Random,
    ) -> Result<ConnectionId, Full> {
        let entropy = ConnectionEntropy {
            exponent: Zeroizing::new(random.bytes()),
            kem: Zeroizing::new(random.bytes()),
            token: Zeroizing::new(random.bytes()),
        };
        self.endpoint.accept(now, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), entropy)
    }

    /// Ends a turn: work waits, every identity may count, requests go to the inbox of the ledger.
    pub(crate) fn hand_on(
        &mut self,
        now: Instant,
        number: usize,
        inbox: &mut VecDeque<(To, Operation)>,
    ) {
        self.endpoint.handle_timeout(now);
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Authorize(claim) => {
                    let grant = Grant { role: Role::Client, name: None, expires: None };
                    self.endpoint.handle_grant(now, claim, Some(grant));
                }
                Action::Compute(id, work) => self.work.push((id, work)),
                Action::Commit(Request { to, operation }) => {
                    inbox.push_back((To::Node(number, to), operation));
                }
                // Every connection is looked at again and again. Work that is called off is done
                // anyway, as in a pool whose threads have begun with it.
                Action::Wake(_) | Action::Cancel(_) | Action::Notify(_) => {}
            }
        }
    }
}

/// Who waits for an operation.
pub(crate) enum To {
    Node(usize, Option<(ConnectionId, Ticket)>),
    Walker(usize),
}

/// The ledger, and its checkpoint under way.
pub(crate) struct Clerk {
    pub(crate) ledger: Ledger,
    pub(crate) work: Option<store::CheckpointWork>,
    /// What it came to, and whether the disk had failed meanwhile.
    pub(crate) done: Option<(store::CheckpointDone, bool)>,
}

impl Clerk {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, work: None, done: None }
    }

    /// One batch: who waited, for what, and what became of it.
    pub(crate) fn commit(
        &mut self,
        now: Timestamp,
        inbox: &mut VecDeque<(To, Operation)>,
        count: usize,
    ) -> Vec<(To, Operation, OperationOutcome)> {
        let (to, operations): (Vec<_>, Vec<_>) = inbox.drain(..count).unzip();
        let outcomes = self.ledger.commit(now, &operations);
        let done = to.into_iter().zip(operations).zip(outcomes);
        done.map(|((to, operation), outcome)| (to, operation, outcome)).collect()
    }
}

pub(crate) fn values_in(operation: &Operation) -> usize {
    match operation {
        Operation::Add(submission) => submission.amounts.len(),
        Operation::Open(_) | Operation::End(_) => 0,
    }
}

/// Holds an outcome to the rules of "Exactly once". Nothing may be unavailable unless a fault was
/// injected.
pub(crate) fn judge(
    model: &mut Model,
    operation: &Operation,
    outcome: &OperationOutcome,
    had_fault: bool,
) -> Result<(), Violation> {
    match (operation, outcome) {
        (Operation::Open(id), OperationOutcome::Opened(Ok(opening))) => {
            let Some(known) = model.of(id) else {
                return Err(Violation(format!("{id} is nobody's")));
            };
            if known.number.is_some_and(|number| number != opening.account) {
                return Err(Violation(format!(
                    "{id} has another number now: {:?}",
                    opening.account
                )));
            }
            known.number = Some(opening.account);
            Model::opened(known, opening.session)?;
            Model::promise(known, &opening.proof.standing())
        }
        (Operation::Add(submission), OperationOutcome::Decided(Ok(proof))) => {
            counted(model, submission, proof)
        }
        (_, OperationOutcome::Opened(Err(Refusal::Unavailable)))
        | (_, OperationOutcome::Decided(Err(Refusal::Unavailable)))
        | (_, OperationOutcome::Ended(Err(Refusal::Unavailable)))
            if had_fault =>
        {
            model.doubt(operation);
            Ok(())
        }
        (Operation::Add(submission), OperationOutcome::Decided(Err(refusal))) => {
            refused(model, submission, *refusal)
        }
        (Operation::End(_), OperationOutcome::Ended(Ok(()))) => Ok(()),
        (operation, outcome) => Err(Violation(format!("{operation:?} came to {outcome:?}"))),
    }
}

fn counted(model: &mut Model, submission: &Submission, proof: &Proof) -> Result<(), Violation> {
    let Submission { account, session, first_seq, ref amounts } = *submission;
    let known =
        model.numbered(account).ok_or(Violation(format!("{account:?} was never opened")))?;
    if session != known.session() {
        let newest = known.session();
        return Err(Violation(format!(
            "{}: session {session} adds after session {newest}",
            known.id
        )));
    }
    let standing = proof.standing();
    if standing.last_seq.get() < first_seq.get() + amounts.len() as u64 - 1 {
        return Err(Violation(format!("{}: a part of {first_seq} … counts", known.id)));
    }
    Model::promise(known, &standing)
}

fn refused(model: &mut Model, submission: &Submission, refusal: Refusal) -> Result<(), Violation> {
    let known = model.numbered(submission.account);
    let known = known.ok_or(Violation(format!("{:?} was never opened", submission.account)))?;
    let is_right = match refusal {
        Refusal::Superseded { newest } => {
            known.may_be_newest(newest) && submission.session != newest
        }
        Refusal::Gap { expected } => {
            known.may_expect(expected.get()) && submission.first_seq > expected
        }
        Refusal::Malformed | Refusal::Unavailable => false,
    };
    if is_right {
        Ok(())
    } else {
        Err(Violation(format!("{}: refused with {refusal:?}", known.id)))
    }
}

//! What an endpoint asks of its driver.

use ddes_identity::PublicKey;
use ddes_ledger::Operation;
use ddes_session::Ticket;

use crate::endpoint::{ConnectionId, SessionWork};
use crate::notice::Notice;

/// One thing that a driver does for an [`Endpoint`](crate::endpoint::Endpoint).
#[derive(Debug)]
pub enum Action {
    /// Look up what a proven identity may do, and answer with `handle_grant`.
    Authorize(AuthorizationRequest),
    /// Compute on any thread, and return the result to `handle_done`.
    Compute(ConnectionId, SessionWork),
    /// Have the ledger do this after the requests before it, and answer with `handle_outcomes`.
    Commit(Request),
    /// Look at the connection again: it may have bytes to send, room for bytes, another timeout or
    /// another phase, without a call that named it.
    Wake(ConnectionId),
    /// The result of this connection's [`Action::Compute`] is of no use any more. A result that
    /// comes anyway is ignored.
    Cancel(ConnectionId),
    /// Show this to people.
    Notify(Notice),
}

/// An identity whose client has proven that it holds the key.
#[derive(Debug)]
pub struct AuthorizationRequest {
    /// The connection that waits for the answer.
    pub connection: ConnectionId,
    /// Right to one answer.
    pub ticket: Ticket,
    /// The identity.
    pub key: PublicKey,
}

/// SessionWork for the ledger, in order.
#[derive(Debug)]
pub struct Request {
    /// Who waits for the outcome, and the right to one answer. `None`: nobody waits.
    pub to: Option<(ConnectionId, Ticket)>,
    /// What to do.
    pub operation: Operation,
}

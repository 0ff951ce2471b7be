//! What an endpoint asks of its driver.

use ddes_identity::PublicKey;
use ddes_ledger::Operation;
use ddes_session::Ticket;

use crate::endpoint::{ConnectionId, SessionWork};
use crate::notice::Notice;

/// One thing that a driver is to do for an [`Endpoint`](crate::endpoint::Endpoint).
#[derive(Debug)]
pub enum Action {
    /// Look up what a proven identity may do, and answer with `handle_grant`.
    Authorize(AuthorizationRequest),
    /// Compute on any thread, and return the result to `handle_done`.
    Compute(ConnectionId, SessionWork),
    /// Give this to the ledger after all earlier requests, and answer with `handle_outcomes`.
    Commit(Request),
    /// Check the connection again: its pending bytes, its room for bytes, its timeout or its phase
    /// may have changed without a call that named it.
    Wake(ConnectionId),
    /// The result of this connection's [`Action::Compute`] is no longer needed. If it comes anyway,
    /// it is ignored.
    Cancel(ConnectionId),
    /// Show this to the operator.
    Notify(Notice),
}

/// An identity that a client has proven to hold, and that waits to be authorized.
#[derive(Debug)]
pub struct AuthorizationRequest {
    /// The connection that waits for the authorization.
    pub connection: ConnectionId,
    /// The right to answer it, once.
    pub ticket: Ticket,
    /// The public key of the identity.
    pub key: PublicKey,
}

/// An operation for the ledger. Requests are executed in the order in which they are given.
#[derive(Debug)]
pub struct Request {
    /// The connection that waits for the outcome, and the right to answer it. `None`: none waits.
    pub to: Option<(ConnectionId, Ticket)>,
    /// The operation to execute.
    pub operation: Operation,
}

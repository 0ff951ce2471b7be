//! The sessions, as other threads see them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ddes_ledger::AccountId;
use ddes_wire::v2::Suite;
use ddes_wire::{Amount, Total};

use super::Profile;

/// One connection with its session.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The number that operators see, counted from 1 in the order of connecting.
    pub serial: u64,
    /// The profile that it speaks.
    pub profile: Profile,
    /// The suite of D-DDES/2; `None` before the client's first message.
    pub suite: Option<Suite>,
    /// The address and port of the client.
    pub peer: SocketAddr,
    /// How far it has come.
    pub state: SessionState,
    /// The name that the list of authorized keys gives the identity.
    pub name: Option<Arc<str>>,
    /// The account that it adds to: of an identity from its authorization on, of a classic session
    /// from its first integer on. An identity's bytes are its public key.
    pub account: Option<AccountId>,
    /// Whether the identity may end every session.
    pub is_operator: bool,
    /// When the connection was accepted.
    pub opened: Instant,
    /// When its idle timer runs out; `None` before the token.
    pub idle_at: Option<Instant>,
    /// When its newest submission came.
    pub last_value_at: Option<Instant>,
    /// The last value of that submission.
    pub last_value: Option<Amount>,
    /// How many values its account has counted.
    pub count: u64,
    /// Their sum.
    pub sum: Total,
    /// When this was published.
    pub at: Instant,
}

/// What each session takes of the published memory.
const _: () = assert!(size_of::<Option<SessionRow>>() <= 224);

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The client has no token yet.
    Handshake,
    /// Values can be counted.
    Open,
    /// It is over, and the connection is about to be closed.
    Ending,
}

impl SessionState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Open => "open",
            Self::Ending => "ending",
        }
    }
}

/// Some of the sessions, and where to continue.
#[derive(Clone, Debug, Default)]
pub struct RowSlice {
    /// In no particular order.
    pub rows: Vec<SessionRow>,
    /// Where the next slice begins; `None` at the end.
    pub next: Option<usize>,
}

/// Slots of a chunk. Growth adds a chunk and moves no row, so that no publication copies them all.
const CHUNK: usize = 1024;
/// The most chunks that a reader copies while it holds the lock.
const CHUNKS_READ_MAX: usize = 4;

/// The rows of all sessions, by the endpoint's slots.
#[derive(Debug, Default)]
pub(crate) struct SessionRows {
    chunks: Vec<Vec<Option<SessionRow>>>,
}

impl SessionRows {
    /// The row of a slot, to be replaced.
    pub(crate) fn slot(&mut self, slot: usize) -> &mut Option<SessionRow> {
        let (chunk, place) = (slot / CHUNK, slot % CHUNK);
        while self.chunks.len() <= chunk {
            self.chunks.push(vec![None; CHUNK]);
        }
        &mut self.chunks[chunk][place]
    }

    /// Clears a slot that has no session.
    pub(crate) fn clear(&mut self, slot: usize) {
        if let Some(chunk) = self.chunks.get_mut(slot / CHUNK) {
            chunk[slot % CHUNK] = None;
        }
    }

    /// The sessions of the chunks from `from` on, as many as one reader copies at a time.
    pub(crate) fn slice(&self, from: usize) -> RowSlice {
        let chunks = self.chunks.iter().skip(from).take(CHUNKS_READ_MAX);
        let rows = chunks.flatten().flatten().cloned().collect();
        let next = from.saturating_add(CHUNKS_READ_MAX);
        RowSlice { rows, next: (next < self.chunks.len()).then_some(next) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SessionRow> {
        self.chunks.iter().flatten().flatten()
    }
}

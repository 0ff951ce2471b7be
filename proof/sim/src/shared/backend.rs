//! One end of a connection to the database, and what passes over it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_ledger::AccountId;
use ddes_ledger::shared::{HistoryEntry, SharedRow, Swap};

use super::tables::RowChanges;

/// The settings of a server's connection.
pub(super) const LOCK_MAX: Duration = Duration::from_secs(3);
pub(super) const IDLE_MAX: Duration = Duration::from_secs(5);

/// A message of a server. BEGIN goes before the first of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum SqlMessage {
    Read(Vec<SharedRow>),
    Swap(Vec<Swap>),
    Append(Vec<HistoryEntry>),
    Commit,
    Rollback,
}

#[derive(Clone, Debug)]
pub(crate) enum SqlReply {
    Rows(Vec<SharedRow>),
    Written(Vec<AccountId>),
    Done,
    /// Done, and a WARNING came before.
    Warned,
    Failed(&'static str),
}

/// What a server hears on a connection.
#[derive(Debug)]
pub(crate) enum Heard {
    Reply(SqlReply),
    Nothing,
    /// The connection is gone.
    Lost,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SqlCut {
    /// Messages on their way are lost, from any of them on.
    Before,
    /// They arrive, and their replies are lost.
    After,
    /// They arrive later, when the server has begun anew.
    Late,
    /// The server does not notice, and waits.
    Silent,
}

/// The end of a connection at the database.
#[derive(Debug)]
pub(super) struct SimBackend {
    /// Messages on their way, and when they arrive.
    pub(super) arriving: VecDeque<(Instant, SqlMessage)>,
    pub(super) replies: VecDeque<SqlReply>,
    pub(super) transaction: Option<SimTransaction>,
    /// When it last answered something.
    pub(super) since: Instant,
    /// Since when it waits for a lock.
    pub(super) blocked: Option<Instant>,
    /// Its COMMIT waits for the standby.
    pub(super) is_committing: bool,
    /// When it sees that nobody is at the other end.
    pub(super) gone_at: Option<Instant>,
    /// The process is there.
    pub(super) is_alive: bool,
    /// The server sees that the connection is gone.
    pub(super) is_told: bool,
    /// The server has closed its end.
    pub(super) is_closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct SimTransaction {
    pub(super) changes: RowChanges,
    /// A statement failed: COMMIT will roll back.
    pub(super) has_failed: bool,
}

impl SimBackend {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            arriving: VecDeque::new(),
            replies: VecDeque::new(),
            transaction: None,
            since: now,
            blocked: None,
            is_committing: false,
            gone_at: None,
            is_alive: true,
            is_told: false,
            is_closed: false,
        }
    }

    /// Whether something may happen at it.
    pub(super) fn is_busy(&self) -> bool {
        let is_asked = !self.arriving.is_empty() && !self.is_committing;
        self.is_alive && (is_asked || self.transaction.is_some() || self.gone_at.is_some())
    }

    /// Whether something goes on that takes no time.
    pub(super) fn is_moving(&self, now: Instant) -> bool {
        let has_come = self.arriving.front().is_some_and(|(at, _)| *at <= now);
        let is_free = self.is_alive && !self.is_committing && self.blocked.is_none();
        !self.replies.is_empty() || has_come && is_free
    }

    /// Whether it has not done everything.
    pub(super) fn is_open(&self) -> bool {
        let is_open = self.transaction.is_some() || self.is_committing;
        self.is_alive && (is_open || !self.arriving.is_empty())
    }

    /// When something is due at it.
    pub(super) fn due(&self) -> Option<Instant> {
        let idle = self.transaction.as_ref().map(|_| self.since + IDLE_MAX);
        let blocked = self.blocked.map(|since| since + LOCK_MAX);
        let arriving = self.arriving.front().map(|(at, _)| *at);
        let all = idle.into_iter().chain(blocked).chain(arriving);
        if self.is_alive { all.min() } else { None }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.is_alive && self.gone_at.is_none()
    }

    pub(super) fn reply(&mut self, reply: SqlReply) {
        if self.gone_at.is_none() {
            self.replies.push_back(reply);
        }
    }

    pub(super) fn fail(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.has_failed = true;
        }
    }

    /// Nobody is at the other end, which is seen at `at`.
    pub(super) fn leave(&mut self, at: Instant) {
        self.replies.clear();
        self.gone_at = Some(self.gone_at.map_or(at, |known| known.min(at)));
    }

    pub(super) fn die(&mut self) {
        (self.transaction, self.is_committing, self.is_alive) = (None, false, false);
        self.arriving.clear();
        // Whoever was cut off without noticing does not notice this either.
        self.is_told |= self.gone_at.is_none();
    }
}

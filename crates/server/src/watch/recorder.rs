//! What the endpoint counts in its own memory, without locks: each event costs a few additions.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ddes_wire::v2::Suite;
use ddes_wire::{Amount, saturating};

use super::networks::NetworkTable;
use super::trace::TraceLogs;
use super::{Cause, Counts, Profile, TracedConnection};
use crate::endpoint::ConnectionId;

#[derive(Debug)]
pub(crate) struct Recorder {
    started: Instant,
    pub(crate) counts: Counts,
    /// Of each slot of the endpoint that was ever used.
    notes: Vec<SlotNotes>,
    pub(crate) traces: TraceLogs,
    pub(crate) networks: NetworkTable,
    /// The slot whose row is published next.
    pub(crate) cursor: usize,
}

/// What only the published state needs of a connection. Each session takes this memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotNotes {
    /// When the connection was accepted, in microseconds since the start.
    opened_micros: u64,
    pub(crate) last_value_at: Option<Instant>,
    pub(crate) last_value: Amount,
    pub(crate) suite: Option<Suite>,
    /// Whether its token was sent.
    is_open: bool,
    is_traced: bool,
}

const _: () = assert!(size_of::<SlotNotes>() <= 48);

impl Recorder {
    /// Begins to count where `slots` slots of the endpoint are used.
    pub(crate) fn new(now: Instant, slots: usize) -> Self {
        Self {
            started: now,
            counts: Counts::default(),
            notes: vec![SlotNotes::default(); slots],
            traces: TraceLogs::default(),
            networks: NetworkTable::default(),
            cursor: 0,
        }
    }

    pub(crate) fn refuse(&mut self, now: Instant, peer: SocketAddr, cause: Cause) {
        self.counts.refused.add(cause);
        self.networks.add(now, peer, cause);
    }

    /// A connection was accepted: its frames are traced. Returns the connection whose frames are no
    /// longer traced for it.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: SocketAddr,
    ) -> Option<ConnectionId> {
        self.counts.accepted += 1;
        if self.notes.len() <= id.slot() {
            self.notes.resize(id.slot() + 1, SlotNotes::default());
        }
        let since = now.saturating_duration_since(self.started);
        self.notes[id.slot()] =
            SlotNotes { opened_micros: saturating::micros(since), ..SlotNotes::default() };
        self.trace(id, peer, true)
    }

    /// Traces a connection. Returns the one whose frames are no longer traced for it.
    pub(crate) fn trace(
        &mut self,
        id: ConnectionId,
        peer: SocketAddr,
        is_from_start: bool,
    ) -> Option<ConnectionId> {
        let opened = self.opened(id);
        self.note(id).is_traced = true;
        let connection = TracedConnection {
            serial: id.serial(),
            peer,
            name: None,
            profile: Profile::Undecided,
            opened,
            ended: None,
            is_from_start,
            is_pinned: false,
            frames: 0,
        };
        let shed = self.traces.add(id, connection)?;
        self.note(shed).is_traced = false;
        Some(shed)
    }

    pub(crate) fn submit(&mut self, now: Instant, id: ConnectionId, count: usize, last: Amount) {
        self.counts.submissions += 1;
        self.counts.values += count as u64;
        let notes = self.note(id);
        (notes.last_value_at, notes.last_value) = (Some(now), last);
    }

    /// The session's token was sent.
    pub(crate) fn open(&mut self, id: ConnectionId, profile: Profile) {
        self.counts.handshakes_completed += 1;
        self.counts.of_profile(profile).opened += 1;
        self.note(id).is_open = true;
    }

    pub(crate) fn end(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: SocketAddr,
        profile: Profile,
        cause: Cause,
    ) {
        let SlotNotes { is_open, is_traced, .. } = *self.note(id);
        self.counts.end(profile, is_open, cause);
        if cause.is_failure(is_open) {
            self.networks.add(now, peer, cause);
        }
        if is_traced && let Some(log) = self.traces.of(id) {
            log.connection.ended = Some(now);
        }
    }

    pub(crate) fn is_traced(&self, id: ConnectionId) -> bool {
        self.notes(id).is_traced
    }

    pub(crate) fn opened(&self, id: ConnectionId) -> Instant {
        self.started + Duration::from_micros(self.notes(id).opened_micros)
    }

    /// The number of slots that were ever used.
    pub(crate) fn slots(&self) -> usize {
        self.notes.len()
    }

    /// The notes of a connection, which was accepted and is not removed.
    pub(crate) fn notes(&self, id: ConnectionId) -> &SlotNotes {
        &self.notes[id.slot()]
    }

    #[inline]
    pub(crate) fn note(&mut self, id: ConnectionId) -> &mut SlotNotes {
        &mut self.notes[id.slot()]
    }
}

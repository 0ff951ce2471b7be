//! The part of an endpoint that others watch: what it counts, and what it publishes.

use std::sync::Arc;
use std::time::Instant;

use ddes_ledger::{AccountId, AccountNumber};
use ddes_session::Phase;

use super::{ConnectionId, Endpoint, EndpointConnection};
use crate::watch::{
    Cause, Gauges, Profile, Published, ROWS_MAX, Recorder, SessionRow, SessionState,
};

/// The most slots that one publication visits: those without a session cost less than a row.
const SLOTS_MAX: usize = 8 * ROWS_MAX;

impl Endpoint {
    /// Counts from now on, for [`Watch::publish`](crate::watch::Watch::publish), and traces new
    /// connections.
    #[must_use]
    pub fn watched(mut self, now: Instant) -> Self {
        let slots = self.connections.iter().map(|(slot, _)| slot + 1).max();
        self.recorder = Some(Box::new(Recorder::new(now, slots.into_iter().sum())));
        self
    }

    /// Traces the connection numbered `serial` from now on although newer connections come, or no
    /// longer does so. Returns whether there is such a connection or trace.
    pub fn pin_trace(&mut self, serial: u64, is_pinned: bool) -> bool {
        let Some(recorder) = &mut self.recorder else { return false };
        if recorder.traces.pin(serial, is_pinned) {
            return true;
        }
        let mut all = self.connections.iter_mut().map(|(_, connection)| connection);
        let Some(connection) = all.find(|connection| connection.id.serial == serial) else {
            return false;
        };
        if is_pinned {
            connection.session.set_traced(true);
            let shed = recorder.trace(connection.id, connection.peer, false);
            recorder.traces.pin(serial, true);
            self.end_trace(shed);
        }
        true
    }

    /// Lets `count` note something, if somebody watches.
    #[inline]
    pub(super) fn record(&mut self, count: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &mut self.recorder {
            count(recorder);
        }
    }

    /// A connection was accepted.
    pub(super) fn record_accepted(&mut self, now: Instant, id: ConnectionId) {
        let Some(recorder) = &mut self.recorder else { return };
        let Some(connection) = self.connections.get_mut(id.slot) else { return };
        connection.session.set_traced(true);
        let shed = recorder.accept(now, id, connection.peer);
        self.end_trace(shed);
    }

    /// A session ended, or a connection before its session was open.
    pub(super) fn record_end(
        &mut self,
        now: Instant,
        id: ConnectionId,
        profile: Profile,
        cause: Cause,
    ) {
        if let Some(recorder) = &mut self.recorder
            && let Some(connection) = self.connections.get(id.slot)
        {
            recorder.end(now, id, connection.peer, profile, cause);
        }
    }

    /// A connection is about to be removed: its last frames stay with its trace.
    pub(super) fn record_removal(&mut self, id: ConnectionId) {
        if let Some(recorder) = &mut self.recorder
            && let Some(connection) = self.connections.get_mut(id.slot)
            && recorder.is_traced(id)
            && let Some(log) = recorder.traces.of(id)
        {
            connection.describe(&mut log.connection);
            log.leave(connection.session.take_frames());
        }
    }

    fn end_trace(&mut self, shed: Option<ConnectionId>) {
        if let Some(connection) = shed.and_then(|id| self.connection_mut(id)) {
            connection.session.set_traced(false);
        }
    }

    /// Copies counters, gauges, traces and some rows.
    pub(crate) fn publish(&mut self, now: Instant, published: &mut Published) {
        published.stats.gauges = Gauges {
            connections: self.connections.len(),
            queued_values: self.queued_values,
            ..self.admission.gauges()
        };
        let Self { recorder: Some(recorder), connections, .. } = self else { return };
        published.stats.counts = recorder.counts;
        recorder.networks.publish(&mut published.networks);
        recorder.traces.publish(&mut published.traces);
        for (log, kept) in recorder.traces.iter_mut().zip(&mut published.traces) {
            let connection = connections.get_mut(log.id.slot);
            let frames = match connection.filter(|connection| connection.id == log.id) {
                Some(connection) => {
                    connection.describe(&mut log.connection);
                    connection.session.take_frames()
                }
                None => log.take_left(),
            };
            log.publish(frames, kept);
        }
        let (slots, mut rows) = (recorder.slots(), 0);
        for _ in 0..slots.min(SLOTS_MAX) {
            if rows == ROWS_MAX {
                return;
            }
            let slot = recorder.cursor;
            recorder.cursor = (slot + 1) % slots;
            match connections.get(slot) {
                Some(connection) => {
                    rows += 1;
                    let row = published.rows.slot(slot);
                    *row = Some(connection.row(now, recorder, row.take()));
                }
                None => published.rows.clear(slot),
            }
        }
    }
}

impl EndpointConnection {
    /// The row of the connection. `before`, the last one of its slot, lends its name if that is the
    /// same: names are copied only when they change.
    fn row(&self, now: Instant, recorder: &Recorder, before: Option<SessionRow>) -> SessionRow {
        let notes = recorder.notes(self.id);
        let idle_at = self.session.idle_at();
        SessionRow {
            serial: self.id.serial,
            profile: self.session.profile(),
            suite: notes.suite,
            peer: self.peer,
            state: match self.session.phase() {
                _ if self.is_evicted => SessionState::Ending,
                Phase::Live if idle_at.is_some() => SessionState::Open,
                Phase::Live => SessionState::Handshake,
                Phase::Draining | Phase::Done => SessionState::Ending,
            },
            name: self.name(before.and_then(|row| row.name)),
            account: self.account_id(),
            is_operator: self.admitted.as_ref().is_some_and(|admitted| admitted.is_operator),
            opened: recorder.opened(self.id),
            idle_at,
            last_value_at: notes.last_value_at,
            last_value: notes.last_value_at.map(|_| notes.last_value),
            count: self.standing.last_seq.get(),
            sum: self.standing.sum,
            at: now,
        }
    }

    /// The account of an identity from its authorization on, of a classic session from its first
    /// integer on.
    fn account_id(&self) -> Option<AccountId> {
        match (&self.admitted, self.account) {
            (Some(admitted), _) => Some(AccountId::Identity(*admitted.key.as_bytes())),
            (None, Some(AccountNumber::Classic(number))) => Some(AccountId::Classic(number)),
            (None, Some(AccountNumber::Identity(_)) | None) => None,
        }
    }

    /// The name of the identity: `before` if that is equal.
    fn name(&self, before: Option<Arc<str>>) -> Option<Arc<str>> {
        let name = self.admitted.as_ref()?.name.as_deref()?;
        before.filter(|before| **before == *name).or_else(|| Some(name.into()))
    }

    /// What a trace says of the connection beyond its frames.
    fn describe(&self, connection: &mut crate::watch::TracedConnection) {
        connection.profile = self.session.profile();
        connection.name = self.name(connection.name.take());
    }
}

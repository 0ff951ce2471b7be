//! The frames of a few connections, for the page that shows a session's ladder of opcodes.
//!
//! A traced session keeps its frames since they were last published; the published trace keeps the
//! newest [`FRAMES_MAX`]. Neither holds a byte of a frame's body.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use ddes_session::Direction;
use ddes_session::SeenFrames;
use ddes_wire::saturating;

use super::Profile;
use crate::endpoint::ConnectionId;

/// The most connections whose frames are traced: the newest ones, and those that are pinned.
pub const TRACES_MAX: usize = 16;
/// The most pinned ones among them.
pub const PINS_MAX: usize = 8;
/// The most frames kept of one connection: the newest.
pub const FRAMES_MAX: usize = ddes_session::SEEN_FRAMES_MAX;

/// A traced connection.
#[derive(Clone, Debug)]
pub struct TracedConnection {
    /// The number that operators see.
    pub serial: u64,
    /// The address and port of the client.
    pub peer: SocketAddr,
    /// The name that the list of authorized keys gives the identity.
    pub name: Option<Arc<str>>,
    /// The profile that it speaks.
    pub profile: Profile,
    /// When the connection was accepted.
    pub opened: Instant,
    /// When its session ended: no frame follows.
    pub ended: Option<Instant>,
    /// Whether it was traced from its first byte on.
    pub is_from_start: bool,
    /// Whether it stays traced although newer connections come.
    pub is_pinned: bool,
    /// Frames since the trace began, those that are not kept included.
    pub frames: u64,
}

/// One frame, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedFrame {
    /// Counted from 1.
    pub seq: u64,
    /// Microseconds since the connection was accepted: when a received frame was processed, or a
    /// sent one was queued.
    pub micros: u64,
    /// Whether the client or the server sent it.
    pub direction: Direction,
    /// The opcode, which may be unknown.
    pub opcode: u32,
    /// Its length on the wire, header included.
    pub bytes: u32,
    /// Whether its body is encrypted, or the part of it that says anything.
    pub is_encrypted: bool,
}

/// The frames of one connection.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Whose frames these are.
    pub connection: TracedConnection,
    /// Frames that are not kept any more.
    pub dropped: u64,
    /// Oldest first.
    pub frames: Vec<TracedFrame>,
}

/// A trace as it is kept for readers.
#[derive(Debug)]
pub(crate) struct KeptTrace {
    pub(crate) connection: TracedConnection,
    pub(crate) frames: VecDeque<TracedFrame>,
}

/// The loop's side of all traces.
#[derive(Debug, Default)]
pub(crate) struct TraceLogs {
    /// The oldest connection first.
    logs: Vec<TraceLog>,
    /// Pins so far.
    pins: u64,
}

#[derive(Debug)]
pub(crate) struct TraceLog {
    pub(crate) id: ConnectionId,
    pub(crate) connection: TracedConnection,
    /// Orders the pins by their age; `None` if it is not pinned.
    pin: Option<u64>,
    /// The last frames of a connection that was removed, until they are published. `None` while its
    /// session keeps them.
    left: Option<SeenFrames>,
}

impl TraceLogs {
    /// Traces a connection. Returns the one that is no longer traced for it.
    pub(crate) fn add(
        &mut self,
        id: ConnectionId,
        connection: TracedConnection,
    ) -> Option<ConnectionId> {
        let place = self.logs.partition_point(|log| log.id.serial() < id.serial());
        self.logs.insert(place, TraceLog { id, connection, pin: None, left: None });
        self.shed(id)
    }

    /// Drops the trace of the oldest connection that is not pinned, if there are too many. Returns
    /// that connection if its session still keeps frames.
    fn shed(&mut self, except: ConnectionId) -> Option<ConnectionId> {
        if self.logs.len() <= TRACES_MAX {
            return None;
        }
        let place = self.logs.iter().position(|log| log.pin.is_none() && log.id != except)?;
        let shed = self.logs.remove(place);
        // A connection that was removed has no session any more.
        shed.left.is_none().then_some(shed.id)
    }

    /// Pins or unpins a trace; the oldest pin goes if there are too many. Returns whether there is
    /// such a trace.
    pub(crate) fn pin(&mut self, serial: u64, is_pinned: bool) -> bool {
        let Some(log) = self.logs.iter_mut().find(|log| log.id.serial() == serial) else {
            return false;
        };
        if !is_pinned {
            log.pin = None;
        } else if log.pin.is_none() {
            self.pins += 1;
            log.pin = Some(self.pins);
        }
        let mut pinned: Vec<_> = self.logs.iter_mut().filter(|log| log.pin.is_some()).collect();
        if pinned.len() > PINS_MAX
            && let Some(oldest) = pinned.iter_mut().min_by_key(|log| log.pin)
        {
            oldest.pin = None;
        }
        true
    }

    /// The trace of a connection that still has its slot.
    pub(crate) fn of(&mut self, id: ConnectionId) -> Option<&mut TraceLog> {
        self.logs.iter_mut().find(|log| log.id == id)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut TraceLog> {
        self.logs.iter_mut()
    }

    /// Makes the published traces those of the loop, in its order. Their new frames are not
    /// published yet.
    pub(crate) fn publish(&self, published: &mut Vec<KeptTrace>) {
        for (place, log) in self.logs.iter().enumerate() {
            // A trace that was dropped and begun again counts its frames from 0.
            let is_it = |kept: &KeptTrace| {
                (kept.connection.serial, kept.connection.frames)
                    == (log.connection.serial, log.connection.frames)
            };
            match published.iter().skip(place).position(is_it) {
                Some(behind) => published.swap(place, place + behind),
                None => published.insert(place, KeptTrace::new(log.connection.clone())),
            }
        }
        published.truncate(self.logs.len());
    }
}

impl TraceLog {
    /// The connection is removed; these are its last frames.
    pub(crate) fn leave(&mut self, frames: SeenFrames) {
        self.left = Some(frames);
    }

    /// The last frames of a removed connection; none if they were taken before.
    pub(crate) fn take_left(&mut self) -> SeenFrames {
        self.left.as_mut().map_or_else(SeenFrames::default, std::mem::take)
    }

    /// Publishes new frames, and what is known of the connection.
    pub(crate) fn publish(&mut self, new: SeenFrames, kept: &mut KeptTrace) {
        let SeenFrames { frames, dropped } = new;
        self.connection.frames += dropped;
        for frame in frames {
            self.connection.frames += 1;
            let after = frame.at.saturating_duration_since(self.connection.opened);
            kept.push(TracedFrame {
                seq: self.connection.frames,
                micros: saturating::micros(after),
                direction: frame.direction,
                opcode: frame.opcode,
                bytes: frame.bytes,
                is_encrypted: frame.is_encrypted,
            });
        }
        self.connection.is_pinned = self.pin.is_some();
        kept.connection.clone_from(&self.connection);
    }
}

impl KeptTrace {
    fn new(connection: TracedConnection) -> Self {
        Self { connection, frames: VecDeque::new() }
    }

    fn push(&mut self, frame: TracedFrame) {
        if self.frames.len() == FRAMES_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn connection(serial: u64, opened: Instant) -> TracedConnection {
        TracedConnection {
            serial,
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            name: None,
            profile: Profile::V2,
            opened,
            ended: None,
            is_from_start: true,
            is_pinned: false,
            frames: 0,
        }
    }

    fn logs(serials: impl Iterator<Item = u64>) -> TraceLogs {
        let (mut logs, now) = (TraceLogs::default(), Instant::now());
        for serial in serials {
            logs.add(ConnectionId::numbered(serial), connection(serial, now));
        }
        logs
    }

    fn serials(logs: &TraceLogs, wanted: impl Fn(&TraceLog) -> bool) -> Vec<u64> {
        logs.logs.iter().filter(|log| wanted(log)).map(|log| log.id.serial()).collect()
    }

    #[test]
    fn one_pin_too_many_takes_the_oldest_pin() {
        let most = PINS_MAX as u64;
        let mut logs = logs(1..=TRACES_MAX as u64);
        let pinned = |logs: &TraceLogs| serials(logs, |log| log.pin.is_some());
        // From the newest connection to the oldest: a pin's age is not its connection's.
        for serial in (1..=most).rev() {
            assert!(logs.pin(serial, true));
        }
        assert_eq!(pinned(&logs), (1..=most).collect::<Vec<_>>());
        // A pin that is set again stays as old as it is.
        assert!(logs.pin(most, true));
        assert!(logs.pin(most + 1, true));
        assert_eq!(pinned(&logs), (1..most).chain([most + 1]).collect::<Vec<_>>());
        assert!(logs.pin(1, false) && !logs.pin(99, true));
        assert_eq!(pinned(&logs), (2..most).chain([most + 1]).collect::<Vec<_>>());
    }

    #[test]
    fn a_trace_that_goes_is_reported_only_while_its_session_keeps_frames() {
        let most = TRACES_MAX as u64;
        let mut logs = logs(1..=most);
        let now = Instant::now();
        let mut add = |serial| {
            logs.of(ConnectionId::numbered(2)).into_iter().for_each(|log| {
                log.leave(SeenFrames::default());
            });
            logs.add(ConnectionId::numbered(serial), connection(serial, now))
        };
        assert_eq!(add(most + 1), Some(ConnectionId::numbered(1)));
        // Number 2 was removed: another connection may have its slot.
        assert_eq!(add(most + 2), None);
        assert_eq!(add(most + 3), Some(ConnectionId::numbered(3)));
        assert_eq!(serials(&logs, |_| true), (4..=most + 3).collect::<Vec<_>>());
    }

    #[test]
    fn a_kept_trace_drops_its_oldest_frame_for_one_more_than_it_holds() {
        let now = Instant::now();
        let mut kept = KeptTrace::new(connection(1, now));
        let frame = |seq| TracedFrame {
            seq,
            micros: 0,
            direction: Direction::In,
            opcode: 30,
            bytes: 8,
            is_encrypted: true,
        };
        let most = FRAMES_MAX as u64;
        (1..=most).for_each(|seq| kept.push(frame(seq)));
        assert_eq!((kept.frames.len(), kept.frames[0].seq), (FRAMES_MAX, 1));
        kept.push(frame(most + 1));
        assert_eq!((kept.frames.len(), kept.frames[0].seq), (FRAMES_MAX, 2));
    }

    /// The session forgot its frames meanwhile, so the numbers of the new trace begin at 1.
    #[test]
    fn a_trace_that_is_dropped_and_begun_again_between_two_publications_starts_empty() {
        let now = Instant::now();
        let mut logs = logs(1..=1);
        let mut published = Vec::new();
        logs.publish(&mut published);
        let seen = SeenFrames { dropped: 3, ..SeenFrames::default() };
        logs.logs[0].publish(seen, &mut published[0]);
        assert_eq!(published[0].connection.frames, 3);
        logs.logs.clear();
        logs.add(ConnectionId::numbered(1), connection(1, now));
        logs.publish(&mut published);
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].connection.frames, 0);
    }
}

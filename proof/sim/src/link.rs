//! One connection: bytes under way in both directions, and who knows that it is over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ddes_server::endpoint::ConnectionId;

use crate::impostor::Impostor;
use crate::random::Random;

/// The longest delay of the bytes of a client that is gone: longer than a handshake may last.
const GHOST_LATE_MS_MAX: u64 = 12_000;

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    /// Nothing comes after these bytes, and the receiver can know.
    has_ended: bool,
    /// The receiver knows that nothing more comes.
    pub(crate) is_told: bool,
    /// Nothing reaches the other end any more.
    is_cut: bool,
}

impl Pipe {
    fn new(room: usize) -> Self {
        Self { bytes: VecDeque::new(), room, has_ended: false, is_told: false, is_cut: false }
    }

    /// Takes what it has room for; how much.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room.saturating_sub(self.bytes.len()));
        if self.is_cut {
            // They go into buffers that nobody empties.
            self.room -= count;
        } else {
            self.bytes.extend(bytes.iter().take(count));
        }
        count
    }

    /// Up to `most` bytes for the receiver.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        self.bytes.drain(..most.min(self.bytes.len())).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the receiver has all bytes and has to be told so.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended && self.bytes.is_empty() && !self.is_told
    }

    /// The sender closes it.
    pub(crate) fn end(&mut self) {
        self.has_ended |= !self.is_cut;
    }

    /// Some of the bytes in flight are lost, and all later ones. If the receiver does not notice
    /// (`hears`), it keeps waiting.
    fn cut(&mut self, random: &mut Random, hears: bool) {
        if self.is_cut || self.has_ended {
            return;
        }
        self.bytes.truncate(random.index(self.bytes.len() + 1));
        (self.is_cut, self.has_ended) = (true, hears);
        if hears {
            self.room = 0;
        }
    }
}

/// A connection between one client and one endpoint.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) node: usize,
    /// The endpoint's, until it closed it.
    pub(crate) id: Option<ConnectionId>,
    /// It never reached the endpoint: somebody on the path answers.
    pub(crate) impostor: Option<Impostor>,
    /// The client has not closed it.
    pub(crate) has_client: bool,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// Nothing moves before this.
    pub(crate) until: Instant,
}

impl Link {
    pub(crate) fn new(client: usize, node: usize, random: &mut Random, now: Instant) -> Self {
        let mut pipe = || Pipe::new(random.count(200, 8_000));
        let (up, down) = (pipe(), pipe());
        Self { client, node, id: None, impostor: None, has_client: true, up, down, until: now }
    }

    /// It breaks: at any byte, noticed by both ends, one, or none.
    pub(crate) fn cut(&mut self, random: &mut Random) {
        let hears = random.below(4);
        self.up.cut(random, hears == 1 || hears >= 2);
        self.down.cut(random, hears >= 2);
    }

    /// The server's process is gone; if its machine is too, the client may not notice (`says_so`).
    pub(crate) fn lose_server(&mut self, random: &mut Random, says_so: bool) {
        self.id = None;
        self.down.cut(random, says_so);
        self.up.cut(random, false);
    }

    /// The client closed its socket, or is gone, and all it wrote is still under way: a message 4
    /// among it arrives when the client has long begun anew.
    pub(crate) fn leave_ghost(&mut self, random: &mut Random, now: Instant, left: &[u8]) {
        self.has_client = false;
        self.up.put(left);
        self.until = now + Duration::from_millis(random.below(GHOST_LATE_MS_MAX));
        if random.one_in(2) {
            self.up.end();
        }
    }

    /// The client closed its socket, or is gone.
    pub(crate) fn lose_client(&mut self, random: &mut Random, says_so: bool) {
        self.has_client = false;
        if says_so && random.one_in(2) {
            self.up.end();
        } else {
            self.up.cut(random, says_so);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.id.is_none() && !self.has_client
    }
}

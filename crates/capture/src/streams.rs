//! All TCP connections of a capture: which of them speak this protocol, and their frames.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use ddes_wire::frame::HEADER_BYTES;

use crate::conversation::{CaptureCounts, Direction, End, Missing, NoteKind};
use crate::framer::{Found, Framer, is_header};
use crate::half::{HalfStream, StreamDelivery};
use crate::limits::Limits;
use crate::packet::TcpSegment;

/// What a frame costs in memory beside its bytes: its place, its fields, what was checked.
const FRAME_COST: usize = 2048;

/// The most bytes of all connections together that wait for earlier ones.
const HELD_TOTAL_MAX: usize = 64 << 20;

/// The most notes of one connection.
const NOTES_MAX: usize = 1000;

/// What a note costs in memory.
const NOTE_COST: usize = 96;

/// What bytes behind a gap cost beside themselves: a piece of their own.
const PIECE_COST: usize = 64;

/// How many connections are looked at to find one that can be given up.
const LOOKS_MAX: usize = 64;

/// One connection that speaks this protocol.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: u32,
    pub(crate) began: Duration,
    /// The two ends; `halves` and directions are by who sends: 0 is `ends[0]`.
    pub(crate) ends: [SocketAddr; 2],
    /// Who opened the connection, if the capture holds that.
    pub(crate) opener: Option<usize>,
    pub(crate) halves: [HalfStream; 2],
    pub(crate) frames: Vec<StreamMark>,
    pub(crate) notes: Vec<StreamNote>,
    pub(crate) end: StreamEnd,
    /// Frames that were not kept, and their bytes.
    pub(crate) beyond: (u64, u64),
    /// What the capture does not hold, of each half.
    pub(crate) missing: [Missing; 2],
    /// The packets' comments.
    pub(crate) comments: Vec<String>,
}

/// Where a frame is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamMark {
    pub(crate) half: usize,
    pub(crate) found: Found,
    pub(crate) at: Duration,
}

#[derive(Debug)]
pub(crate) struct StreamNote {
    pub(crate) before: usize,
    pub(crate) half: Option<usize>,
    pub(crate) kind: NoteKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Open,
    Closed,
    Reset { half: usize },
}

/// What is known of a connection.
#[derive(Debug)]
struct StreamConnection {
    stream: Stream,
    framers: [Framer; 2],
    kind: StreamKind,
    /// Its first bytes of each direction, until they say what it is.
    heads: [Vec<u8>; 2],
    /// Whether its bytes are kept: a bound was not reached.
    keeps: bool,
    /// Which one it is of all that were followed.
    serial: u64,
    /// What it takes of the memory for frames.
    charged: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamKind {
    /// Nothing was said yet.
    Silent,
    /// It speaks this protocol.
    Ours,
    /// It does not.
    Other,
}

type Key = (SocketAddr, SocketAddr);

/// The connections that are followed, and those that are done.
pub(crate) struct Streams {
    limits: Limits,
    followed: HashMap<Key, StreamConnection>,
    /// Those that are followed, by key and serial number, those that may be given up first in
    /// front; and some that are followed no longer.
    order: VecDeque<(Key, u64)>,
    serials: u64,
    /// The connections with bytes that wait for earlier ones, by how many these are.
    holders: BTreeSet<(usize, u64, Key)>,
    pub(crate) done: Vec<Stream>,
    pub(crate) counts: CaptureCounts,
    /// Bytes of memory that are left for frames.
    left: usize,
    held: usize,
    numbers: u32,
    kept: usize,
}

impl Streams {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            followed: HashMap::new(),
            order: VecDeque::new(),
            serials: 0,
            holders: BTreeSet::new(),
            done: Vec::new(),
            counts: CaptureCounts::default(),
            left: limits.bytes_max,
            held: 0,
            numbers: 0,
            kept: 0,
        }
    }

    /// Takes the next segment of the capture, with the comments of its packet.
    pub(crate) fn take(&mut self, at: Duration, segment: &TcpSegment<'_>, comments: &[&str]) {
        let key = key(segment);
        let sender = usize::from(segment.from != key.0);
        if segment.flags.syn
            && let Some(known) = self.followed.get(&key)
            && known.stream.halves[sender].is_other(segment.sequence)
        {
            // The same addresses and ports again: another connection.
            self.give_up(key);
        }
        if !self.followed.contains_key(&key) && !self.follow(key, at, segment) {
            return;
        }
        let Some(connection) = self.followed.get_mut(&key) else { return };
        let mut memory = Memory {
            left: &mut self.left,
            numbers: &mut self.numbers,
            kept: &mut self.kept,
            limits: &self.limits,
        };
        let (serial, before) = (connection.serial, connection.held_bytes());
        connection.take(at, sender, segment, comments, &mut memory);
        let after = connection.held_bytes();
        self.count_held((serial, key), before, after);
        while self.held > HELD_TOTAL_MAX {
            // Whoever holds most pays, not whoever came last.
            let Some((before, serial, key)) = self.holders.pop_last() else { break };
            let Some(connection) = self.followed.get_mut(&key) else { continue };
            let mut memory = Memory {
                left: &mut self.left,
                numbers: &mut self.numbers,
                kept: &mut self.kept,
                limits: &self.limits,
            };
            connection.skip_gap(at, &mut memory);
            let after = connection.held_bytes();
            self.count_held((serial, key), before, after);
        }
    }

    /// A connection holds more or less than before.
    fn count_held(&mut self, (serial, key): (u64, Key), before: usize, after: usize) {
        self.holders.remove(&(before, serial, key));
        if after > 0 {
            self.holders.insert((after, serial, key));
        }
        self.held = (self.held + after).saturating_sub(before);
    }

    /// Begins to follow a connection; whether there is room.
    fn follow(&mut self, key: Key, at: Duration, segment: &TcpSegment<'_>) -> bool {
        let carries = segment.flags.syn || !segment.data.is_empty();
        if !carries {
            return false;
        }
        let room = self.followed.len() < self.limits.connections_max;
        if !room && !self.make_room() {
            self.counts.unfollowed += u64::from(segment.flags.syn && !segment.flags.ack);
            return false;
        }
        self.serials += 1;
        self.followed.insert(key, StreamConnection::new(key, at, self.serials));
        self.order.push_back((key, self.serials));
        // The same addresses may come again and again, each time as another connection.
        if self.order.len() > 2 * self.followed.len() + LOOKS_MAX {
            let followed = &self.followed;
            self.order.retain(|(key, serial)| is_followed(followed, key, *serial));
        }
        true
    }

    /// Gives up a connection that says nothing, or is done, or speaks something else.
    fn make_room(&mut self) -> bool {
        let mut looks = 0;
        while looks < LOOKS_MAX {
            let Some((key, serial)) = self.order.pop_front() else { return false };
            let connection = self.followed.get(&key).filter(|found| found.serial == serial);
            let Some(connection) = connection else { continue };
            looks += 1;
            let is_busy =
                connection.kind == StreamKind::Ours && connection.stream.end == StreamEnd::Open;
            if !is_busy {
                self.give_up(key);
                return true;
            }
            self.order.push_back((key, serial));
        }
        false
    }

    /// Follows a connection no longer, and keeps what it said.
    fn give_up(&mut self, key: Key) {
        let Some(mut connection) = self.followed.remove(&key) else { return };
        self.count_held((connection.serial, key), connection.held_bytes(), 0);
        let mut memory = Memory {
            left: &mut self.left,
            numbers: &mut self.numbers,
            kept: &mut self.kept,
            limits: &self.limits,
        };
        connection.finish(&mut memory);
        match connection.kind {
            StreamKind::Ours if connection.keeps || !connection.stream.frames.is_empty() => {
                return self.done.push(connection.stream);
            }
            StreamKind::Ours if !wanted(&self.limits, connection.stream.number) => {
                self.counts.others += 1;
            }
            StreamKind::Ours => self.counts.unfollowed += 1,
            StreamKind::Other | StreamKind::Silent => self.counts.other_connections += 1,
        }
        // What is not kept takes no memory from what is.
        self.left += connection.charged;
    }

    /// The capture ends.
    pub(crate) fn finish(mut self) -> (Vec<Stream>, CaptureCounts) {
        let mut keys: Vec<_> =
            self.followed.iter().map(|(key, connection)| (connection.serial, *key)).collect();
        // As they came: some get their numbers only now.
        keys.sort_unstable();
        for (_, key) in keys {
            self.give_up(key);
        }
        self.done.sort_by_key(|stream| stream.number);
        (self.done, self.counts)
    }
}

/// The bounds that all connections share.
struct Memory<'a> {
    left: &'a mut usize,
    numbers: &'a mut u32,
    kept: &'a mut usize,
    limits: &'a Limits,
}

impl Memory<'_> {
    /// Takes so much for a connection, if it is there.
    fn charge(&mut self, charged: &mut usize, cost: usize) -> bool {
        let Some(left) = self.left.checked_sub(cost) else { return false };
        *self.left = left;
        *charged += cost;
        true
    }

    /// Gives back all that a connection took.
    fn refund(&mut self, charged: &mut usize) {
        *self.left += std::mem::take(charged);
    }
}

fn is_followed(followed: &HashMap<Key, StreamConnection>, key: &Key, serial: u64) -> bool {
    followed.get(key).is_some_and(|connection| connection.serial == serial)
}

impl StreamConnection {
    fn new(key: Key, began: Duration, serial: u64) -> Self {
        Self {
            stream: Stream {
                number: 0,
                began,
                ends: [key.0, key.1],
                opener: None,
                halves: [HalfStream::default(), HalfStream::default()],
                frames: Vec::new(),
                notes: Vec::new(),
                end: StreamEnd::Open,
                beyond: (0, 0),
                missing: [Missing::default(); 2],
                comments: Vec::new(),
            },
            framers: [Framer::new(), Framer::new()],
            kind: StreamKind::Silent,
            heads: [Vec::new(), Vec::new()],
            keeps: true,
            serial,
            charged: 0,
        }
    }

    fn held_bytes(&self) -> usize {
        self.stream.halves.iter().map(HalfStream::held_bytes).sum()
    }

    fn take(
        &mut self,
        at: Duration,
        sender: usize,
        segment: &TcpSegment<'_>,
        comments: &[&str],
        memory: &mut Memory<'_>,
    ) {
        if segment.flags.syn {
            self.stream.halves[sender].begin(segment.sequence);
            let opener = if segment.flags.ack { 1 - sender } else { sender };
            self.stream.opener.get_or_insert(opener);
        }
        if self.kind != StreamKind::Other && self.keeps {
            self.comment(comments, memory);
        }
        if self.kind != StreamKind::Other {
            self.deliver(at, sender, memory, |half, deliver| half.take(segment, deliver));
        }
        if segment.flags.rst && self.stream.end == StreamEnd::Open {
            self.stream.end = StreamEnd::Reset { half: sender };
        }
        self.note_end();
    }

    fn note_end(&mut self) {
        if self.stream.end == StreamEnd::Open && self.stream.halves.iter().all(HalfStream::is_over)
        {
            self.stream.end = StreamEnd::Closed;
        }
    }

    /// Keeps comments that may hold secrets, in bounded memory.
    fn comment(&mut self, comments: &[&str], memory: &mut Memory<'_>) {
        for comment in comments {
            let fits = comment.len() <= crate::SECRETS_BYTES_MAX && self.stream.comments.len() < 8;
            if fits
                && comment.contains("ddes_secrets")
                && memory.charge(&mut self.charged, comment.len())
            {
                self.stream.comments.push((*comment).to_owned());
            }
        }
    }

    /// Gives what a direction delivers to its framer, keeps the bytes, notes the rest.
    fn deliver(
        &mut self,
        at: Duration,
        sender: usize,
        memory: &mut Memory<'_>,
        from: impl FnOnce(&mut HalfStream, &mut dyn FnMut(StreamDelivery<'_>)),
    ) {
        let mut events = Vec::new();
        from(&mut self.stream.halves[sender], &mut |delivery| {
            events.push(StreamEvent::of(&delivery));
        });
        for event in events {
            match event {
                StreamEvent::Bytes(bytes, begins) => self.bytes(at, sender, &bytes, begins, memory),
                StreamEvent::Gap(bytes) => {
                    self.note(Some(sender), NoteKind::Gap { bytes }, memory);
                    let missing = &mut self.stream.missing[sender];
                    missing.bytes = missing.bytes.saturating_add(bytes);
                    missing.is_end = true;
                    self.framers[sender].skip(bytes);
                }
                StreamEvent::Conflict(offset) => {
                    self.note(Some(sender), NoteKind::Conflict { offset }, memory);
                }
            }
        }
    }

    fn bytes(
        &mut self,
        at: Duration,
        sender: usize,
        bytes: &[u8],
        begins: bool,
        memory: &mut Memory<'_>,
    ) {
        if self.kind == StreamKind::Silent {
            self.recognise(sender, bytes, memory);
        }
        if self.kind == StreamKind::Other {
            return;
        }
        let place = self.framers[sender].place();
        let kept = &mut self.stream.halves[sender].kept;
        let cost = bytes.len() + if kept.ends_at(place) { 0 } else { PIECE_COST };
        self.keeps = self.keeps && memory.charge(&mut self.charged, cost);
        if self.keeps {
            kept.push(place, bytes);
        }
        let mut found = Vec::new();
        self.framers[sender].push(bytes, begins, &mut |frame| found.push(frame));
        for frame in found {
            self.stream.missing[sender].is_end = false;
            let unframed = self.framers[sender].take_unframed();
            if unframed > 0 {
                self.note(Some(sender), NoteKind::Unframed { bytes: unframed }, memory);
            }
            let is_there = self.stream.halves[sender].kept.get(frame.start, frame.bytes).is_some();
            if is_there {
                self.keeps = self.keeps && memory.charge(&mut self.charged, FRAME_COST);
            }
            if self.keeps && is_there {
                self.stream.frames.push(StreamMark { half: sender, found: frame, at });
            } else {
                self.stream.beyond.0 += 1;
                self.stream.beyond.1 += frame.bytes as u64;
            }
        }
        if let Some(length) = self.framers[sender].take_too_long() {
            self.note(Some(sender), NoteKind::TooLong { length }, memory);
        }
    }

    /// Decides by the first bytes of either direction whether the connection is ours.
    fn recognise(&mut self, sender: usize, bytes: &[u8], memory: &mut Memory<'_>) {
        let head = &mut self.heads[sender];
        let missing = HEADER_BYTES.saturating_sub(head.len()).min(bytes.len());
        head.extend_from_slice(&bytes[..missing]);
        let Some(header) = head.first_chunk() else { return };
        if !is_header(header) {
            self.kind = StreamKind::Other;
            self.stream.halves.iter_mut().for_each(HalfStream::clear);
            return self.drop_kept(memory);
        }
        self.kind = StreamKind::Ours;
        *memory.numbers += 1;
        self.stream.number = *memory.numbers;
        let is_wanted = wanted(memory.limits, self.stream.number);
        self.keeps &= is_wanted && *memory.kept < memory.limits.conversations_max;
        *memory.kept += usize::from(self.keeps);
        if !self.keeps {
            self.drop_kept(memory);
        }
    }

    /// Gives back the memory of what came before it was known what the connection is.
    fn drop_kept(&mut self, memory: &mut Memory<'_>) {
        (self.stream.comments, self.stream.notes) = (Vec::new(), Vec::new());
        self.stream.halves.iter_mut().for_each(|half| half.kept.clear());
        memory.refund(&mut self.charged);
    }

    fn note(&mut self, half: Option<usize>, kind: NoteKind, memory: &mut Memory<'_>) {
        if !self.keeps {
            return;
        }
        let has_room = self.stream.notes.len() < NOTES_MAX;
        if has_room && memory.charge(&mut self.charged, NOTE_COST) {
            let before = self.stream.frames.len();
            self.stream.notes.push(StreamNote { before, half, kind });
        } else {
            // What follows cannot be read without knowing what is missing before it. Of conflicts
            // the first ones say enough.
            self.keeps = matches!(kind, NoteKind::Conflict { .. });
        }
    }

    /// Gives up one gap of the direction that holds most.
    fn skip_gap(&mut self, at: Duration, memory: &mut Memory<'_>) {
        let [first, second] = &self.stream.halves;
        let sender = usize::from(second.held_bytes() > first.held_bytes());
        self.deliver(at, sender, memory, |half, deliver| half.skip_gap(deliver));
    }

    fn finish(&mut self, memory: &mut Memory<'_>) {
        let at = self.stream.frames.last().map_or(self.stream.began, |frame| frame.at);
        for sender in [0, 1] {
            if self.kind != StreamKind::Other {
                self.deliver(at, sender, memory, |half, deliver| half.finish(deliver));
            }
            self.framers[sender].end();
            let bytes = self.framers[sender].take_unframed();
            self.note_end();
            if bytes > 0 {
                self.note(Some(sender), NoteKind::Unframed { bytes }, memory);
            }
        }
        if self.stream.beyond.0 > 0 {
            let (frames, bytes) = self.stream.beyond;
            let before = self.stream.frames.len();
            let kind = NoteKind::Beyond { frames, bytes };
            self.stream.notes.push(StreamNote { before, half: None, kind });
        }
    }
}

/// What a direction delivers, apart from its buffers.
enum StreamEvent {
    Bytes(Vec<u8>, bool),
    Gap(u64),
    Conflict(u64),
}

impl StreamEvent {
    fn of(delivery: &StreamDelivery<'_>) -> Self {
        match delivery {
            StreamDelivery::Bytes { bytes, begins } => Self::Bytes(bytes.to_vec(), *begins),
            StreamDelivery::Gap(bytes) => Self::Gap(*bytes),
            StreamDelivery::Conflict(place) => Self::Conflict(*place),
        }
    }
}

impl Stream {
    /// Which end is the client: who opened the connection, else `guess`.
    pub(crate) fn direction(client: usize, half: usize) -> Direction {
        if half == client { Direction::ToServer } else { Direction::ToClient }
    }

    pub(crate) fn end(&self, client: usize) -> End {
        match self.end {
            StreamEnd::Open => End::Open,
            StreamEnd::Closed => End::Closed,
            StreamEnd::Reset { half } => End::Reset { by: Self::direction(client, half) },
        }
    }
}

/// The two ends in an order that does not depend on who sends.
fn key(segment: &TcpSegment<'_>) -> Key {
    let (from, to) = (segment.from, segment.to);
    if from <= to { (from, to) } else { (to, from) }
}

/// Whether all conversations are asked for, or this one.
fn wanted(limits: &Limits, number: u32) -> bool {
    limits.only.is_none_or(|only| only == number)
}

#[cfg(test)]
mod tests;

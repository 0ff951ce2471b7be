//! All TCP connections of a capture: which of them speak this protocol, and their frames.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use ddes_wire::frame::HEADER_BYTES;

use crate::conversation::{Counts, Direction, End, Missing, NoteKind};
use crate::framer::{Found, Framer, is_header};
use crate::half::{Delivery, Half};
use crate::limits::Limits;
use crate::packet::Segment;

/// What a frame costs in memory beside its bytes: its place, its fields, what was checked.
const FRAME_COST: usize = 2048;

/// The most bytes of all connections together that wait for earlier ones.
const HELD_TOTAL_MAX: usize = 64 << 20;

/// The most notes of one connection.
const NOTES_MAX: usize = 1000;

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
    pub(crate) halves: [Half; 2],
    pub(crate) frames: Vec<Mark>,
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
pub(crate) struct Mark {
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
struct Connection {
    stream: Stream,
    framers: [Framer; 2],
    kind: Kind,
    /// Its first bytes of each direction, until they say what it is.
    heads: [Vec<u8>; 2],
    /// Whether its bytes are kept: a bound was not reached.
    keeps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
    followed: HashMap<Key, Connection>,
    /// The keys of `followed`, those that may be given up first in front.
    order: VecDeque<Key>,
    pub(crate) done: Vec<Stream>,
    pub(crate) counts: Counts,
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
            done: Vec::new(),
            counts: Counts::default(),
            left: limits.bytes_max,
            held: 0,
            numbers: 0,
            kept: 0,
        }
    }

    /// Takes the next segment of the capture, with the comments of its packet.
    pub(crate) fn take(&mut self, at: Duration, segment: &Segment<'_>, comments: &[&str]) {
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
        let held = connection.held_bytes();
        connection.take(at, sender, segment, comments, &mut memory);
        let mut held = (self.held + connection.held_bytes()).saturating_sub(held);
        while held > HELD_TOTAL_MAX && connection.held_bytes() > 0 {
            let before = connection.held_bytes();
            connection.skip_gap(at, &mut memory);
            held -= before - connection.held_bytes();
        }
        self.held = held;
    }

    /// Begins to follow a connection; whether there is room.
    fn follow(&mut self, key: Key, at: Duration, segment: &Segment<'_>) -> bool {
        let carries = segment.flags.syn || !segment.data.is_empty();
        if !carries {
            return false;
        }
        let room = self.followed.len() < self.limits.connections_max;
        if !room && !self.make_room() {
            self.counts.unfollowed += u64::from(segment.flags.syn && !segment.flags.ack);
            return false;
        }
        self.followed.insert(key, Connection::new(key, at));
        self.order.push_back(key);
        true
    }

    /// Gives up a connection that says nothing, or is done, or speaks something else.
    fn make_room(&mut self) -> bool {
        for _ in 0..LOOKS_MAX {
            let Some(key) = self.order.pop_front() else { return false };
            let Some(connection) = self.followed.get(&key) else { continue };
            let is_busy = connection.kind == Kind::Ours && connection.stream.end == StreamEnd::Open;
            if !is_busy {
                self.give_up(key);
                return true;
            }
            self.order.push_back(key);
        }
        false
    }

    /// Follows a connection no longer, and keeps what it said.
    fn give_up(&mut self, key: Key) {
        let Some(mut connection) = self.followed.remove(&key) else { return };
        self.held = self.held.saturating_sub(connection.held_bytes());
        let mut memory = Memory {
            left: &mut self.left,
            numbers: &mut self.numbers,
            kept: &mut self.kept,
            limits: &self.limits,
        };
        connection.finish(&mut memory);
        match connection.kind {
            Kind::Ours if connection.keeps || !connection.stream.frames.is_empty() => {
                self.done.push(connection.stream);
            }
            Kind::Ours if !wanted(&self.limits, connection.stream.number) => {
                self.counts.others += 1;
            }
            Kind::Ours => self.counts.unfollowed += 1,
            Kind::Other | Kind::Silent => self.counts.other_connections += 1,
        }
    }

    /// The capture ends.
    pub(crate) fn finish(mut self) -> (Vec<Stream>, Counts) {
        let keys: Vec<Key> = self.followed.keys().copied().collect();
        for key in keys {
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

impl Connection {
    fn new(key: Key, began: Duration) -> Self {
        Self {
            stream: Stream {
                number: 0,
                began,
                ends: [key.0, key.1],
                opener: None,
                halves: [Half::default(), Half::default()],
                frames: Vec::new(),
                notes: Vec::new(),
                end: StreamEnd::Open,
                beyond: (0, 0),
                missing: [Missing::default(); 2],
                comments: Vec::new(),
            },
            framers: [Framer::new(), Framer::new()],
            kind: Kind::Silent,
            heads: [Vec::new(), Vec::new()],
            keeps: true,
        }
    }

    fn held_bytes(&self) -> usize {
        self.stream.halves.iter().map(Half::held_bytes).sum()
    }

    fn take(
        &mut self,
        at: Duration,
        sender: usize,
        segment: &Segment<'_>,
        comments: &[&str],
        memory: &mut Memory<'_>,
    ) {
        if segment.flags.syn {
            self.stream.halves[sender].begin(segment.sequence);
            let opener = if segment.flags.ack { 1 - sender } else { sender };
            self.stream.opener.get_or_insert(opener);
        }
        self.comment(comments, memory);
        if self.kind != Kind::Other {
            self.deliver(at, sender, memory, |half, deliver| half.take(segment, deliver));
        }
        if segment.flags.rst && self.stream.end == StreamEnd::Open {
            self.stream.end = StreamEnd::Reset { half: sender };
        }
        if self.stream.end == StreamEnd::Open && self.stream.halves.iter().all(Half::is_over) {
            self.stream.end = StreamEnd::Closed;
        }
    }

    /// Keeps comments that may hold secrets, in bounded memory.
    fn comment(&mut self, comments: &[&str], memory: &mut Memory<'_>) {
        for comment in comments {
            let fits = comment.len() <= crate::SECRETS_BYTES_MAX && comment.len() <= *memory.left;
            if fits && comment.contains("ddes_secrets") && self.stream.comments.len() < 8 {
                *memory.left -= comment.len();
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
        from: impl FnOnce(&mut Half, &mut dyn FnMut(Delivery<'_>)),
    ) {
        let mut events = Vec::new();
        from(&mut self.stream.halves[sender], &mut |delivery| events.push(Event::of(&delivery)));
        for event in events {
            match event {
                Event::Bytes(bytes, begins) => self.bytes(at, sender, &bytes, begins, memory),
                Event::Gap(bytes) => {
                    self.note(Some(sender), NoteKind::Gap { bytes });
                    let missing = &mut self.stream.missing[sender];
                    missing.bytes = missing.bytes.saturating_add(bytes);
                    missing.is_end = true;
                    self.framers[sender].skip(bytes);
                }
                Event::Conflict(offset) => self.note(Some(sender), NoteKind::Conflict { offset }),
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
        if self.kind == Kind::Silent {
            self.recognise(sender, bytes, memory);
        }
        if self.kind == Kind::Other {
            return;
        }
        let place = self.framers[sender].place();
        self.keeps &= bytes.len() <= *memory.left;
        if self.keeps {
            *memory.left -= bytes.len();
            self.stream.halves[sender].kept.push(place, bytes);
        }
        let mut found = Vec::new();
        self.framers[sender].push(bytes, begins, &mut |frame| found.push(frame));
        for frame in found {
            self.stream.missing[sender].is_end = false;
            let unframed = self.framers[sender].take_unframed();
            if unframed > 0 {
                self.note(Some(sender), NoteKind::Unframed { bytes: unframed });
            }
            self.keeps &= FRAME_COST <= *memory.left;
            let is_there = self.stream.halves[sender].kept.get(frame.start, frame.bytes).is_some();
            if self.keeps && is_there {
                *memory.left -= FRAME_COST;
                self.stream.frames.push(Mark { half: sender, found: frame, at });
            } else {
                self.stream.beyond.0 += 1;
                self.stream.beyond.1 += frame.bytes as u64;
            }
        }
        if let Some(length) = self.framers[sender].take_too_long() {
            self.note(Some(sender), NoteKind::TooLong { length });
        }
    }

    /// Decides by the first bytes of either direction whether the connection is ours.
    fn recognise(&mut self, sender: usize, bytes: &[u8], memory: &mut Memory<'_>) {
        let head = &mut self.heads[sender];
        let missing = HEADER_BYTES.saturating_sub(head.len()).min(bytes.len());
        head.extend_from_slice(&bytes[..missing]);
        let Some(header) = head.first_chunk() else { return };
        if !is_header(header) {
            self.kind = Kind::Other;
            for half in &mut self.stream.halves {
                half.kept.clear();
            }
            return;
        }
        self.kind = Kind::Ours;
        *memory.numbers += 1;
        self.stream.number = *memory.numbers;
        let is_wanted = wanted(memory.limits, self.stream.number);
        self.keeps &= is_wanted && *memory.kept < memory.limits.conversations_max;
        *memory.kept += usize::from(self.keeps);
    }

    fn note(&mut self, half: Option<usize>, kind: NoteKind) {
        if self.keeps && self.stream.notes.len() < NOTES_MAX {
            let before = self.stream.frames.len();
            self.stream.notes.push(StreamNote { before, half, kind });
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
            if self.kind != Kind::Other {
                self.deliver(at, sender, memory, |half, deliver| half.finish(deliver));
            }
            self.framers[sender].end();
            let bytes = self.framers[sender].take_unframed();
            if bytes > 0 {
                self.note(Some(sender), NoteKind::Unframed { bytes });
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
enum Event {
    Bytes(Vec<u8>, bool),
    Gap(u64),
    Conflict(u64),
}

impl Event {
    fn of(delivery: &Delivery<'_>) -> Self {
        match delivery {
            Delivery::Bytes { bytes, begins } => Self::Bytes(bytes.to_vec(), *begins),
            Delivery::Gap(bytes) => Self::Gap(*bytes),
            Delivery::Conflict(place) => Self::Conflict(*place),
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
fn key(segment: &Segment<'_>) -> Key {
    let (from, to) = (segment.from, segment.to);
    if from <= to { (from, to) } else { (to, from) }
}

/// Whether all conversations are asked for, or this one.
fn wanted(limits: &Limits, number: u32) -> bool {
    limits.only.is_none_or(|only| only == number)
}

//! pcapng of bytes that passed a socket: packets are made up around them, so that capturing one's
//! own session needs no privilege.
//!
//! Each connection gets a TCP handshake, segments with the right numbers, and an end. What is made
//! up says so: the interface is named `ddes`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ddes_wire::saturating;
use etherparse::PacketBuilder;

use crate::conversation::Direction;
use crate::decode::{self, OpenRefusal, WorkBudget};
use crate::opened::OpenedKeys;
use crate::packet::{Flags, RAW, TcpSegment};
use crate::secrets::SessionSecrets;
use crate::streams::{Stream, Streams};
use crate::{HASHED_MAX, Limits};

/// The most bytes of data in one packet.
const SEGMENT_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of a connection that wait for its keys, so that its first packet can state them.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The most pieces in which they come.
const WAITING_PIECES_MAX: usize = 64;

/// The bytes that the end of one connection needs.
const END_BYTES: u64 = 2 * 128;

/// The longest gap that sequence numbers can show; a longer one is shown as this.
const GAP_MAX: u32 = 1 << 30;

/// Initial sequence numbers: fixed, so that equal sessions make equal captures.
const INITIAL: [u32; 2] = [1_000_000, 2_000_000];

/// Writes a capture.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    written: u64,
    bytes_max: u64,
    is_full: bool,
    next: u64,
    connections: HashMap<u64, WrittenConnection>,
}

/// A connection of a [`Writer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionNumber(u64);

/// Whether something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a capture that is full is said"]
pub enum Written {
    /// It was.
    Whole,
    /// The bound of the file is reached: nothing is written any more.
    Full,
}

#[derive(Debug)]
struct WrittenConnection {
    client: SocketAddr,
    server: SocketAddr,
    /// The next sequence number of client and server.
    sequence: [u32; 2],
    /// Of client and server: whether no packet says yet how far its bytes reach, as some of them
    /// are not in the file.
    is_behind: [bool; 2],
    /// When its last packet was.
    last: Duration,
    /// What waits for the keys.
    waiting: Option<Waiting>,
}

/// A connection whose secrets do not say its keys yet.
#[derive(Debug)]
struct Waiting {
    began: Duration,
    secrets: SessionSecrets,
    pieces: Vec<(Direction, Duration, Vec<u8>)>,
    bytes: usize,
    /// The whole frames at the last look.
    frames: usize,
}

/// What a look at the frames so far gave.
enum KeysLook {
    Found(Box<OpenedKeys>),
    /// The handshake is not whole yet.
    NotYet,
    /// It is, and leads to none: its peer sent something else, or is no peer.
    Never,
}

impl<W: Write> Writer<W> {
    /// Begins a file that grows to at most about `bytes_max` bytes.
    pub fn new(mut out: W, bytes_max: u64) -> io::Result<Self> {
        let head = [section_header(), interface()].concat();
        out.write_all(&head)?;
        Ok(Self {
            out,
            written: head.len() as u64,
            bytes_max,
            is_full: false,
            next: 0,
            connections: HashMap::new(),
        })
    }

    /// A connection opened. Its first packets are written at once, or, if there are secrets, as
    /// soon as these lead to keys.
    ///
    /// `at` is the time since 1970-01-01 UTC, here and below.
    pub fn open(
        &mut self,
        at: Duration,
        client: SocketAddr,
        server: SocketAddr,
        secrets: Option<SessionSecrets>,
    ) -> io::Result<ConnectionNumber> {
        let number = self.next;
        self.next += 1;
        let (client, server) = same_family(client, server);
        let waiting = secrets.map(|secrets| Waiting {
            began: at,
            secrets: secrets.between(client, server),
            pieces: Vec::new(),
            bytes: 0,
            frames: 0,
        });
        let is_waiting = waiting.is_some();
        let (sequence, is_behind) = (INITIAL, [false; 2]);
        let connection =
            WrittenConnection { client, server, sequence, is_behind, last: at, waiting };
        self.connections.insert(number, connection);
        if !is_waiting {
            self.handshake(number, at, None)?;
        }
        Ok(ConnectionNumber(number))
    }

    /// Bytes passed from one end to the other.
    pub fn data(
        &mut self,
        connection: ConnectionNumber,
        at: Duration,
        direction: Direction,
        bytes: &[u8],
    ) -> io::Result<Written> {
        let Some(known) = self.connections.get_mut(&connection.0) else { return Ok(self.state()) };
        if let Some(waiting) = &mut known.waiting {
            waiting.bytes += bytes.len();
            waiting.pieces.push((direction, at, bytes.to_vec()));
            let keys = waiting.keys(known.client, known.server);
            let is_much =
                waiting.bytes > WAITING_BYTES_MAX || waiting.pieces.len() > WAITING_PIECES_MAX;
            match keys {
                KeysLook::Found(keys) => self.settle(connection.0, Some(&*keys))?,
                KeysLook::NotYet if !is_much => {}
                KeysLook::NotYet | KeysLook::Never => self.settle(connection.0, None)?,
            }
            return Ok(self.state());
        }
        self.segments(connection.0, at, direction, bytes)?;
        Ok(self.state())
    }

    /// Bytes passed that were not kept: the capture will show a gap.
    pub fn lost(
        &mut self,
        connection: ConnectionNumber,
        direction: Direction,
        bytes: usize,
    ) -> io::Result<()> {
        self.settle(connection.0, None)?;
        if let Some(known) = self.connections.get_mut(&connection.0) {
            // A reader takes a longer way ahead for one back.
            let bytes = u32::try_from(bytes).unwrap_or(GAP_MAX).min(GAP_MAX);
            let sequence = &mut known.sequence[side(direction)];
            *sequence = sequence.wrapping_add(bytes);
            known.is_behind[side(direction)] |= bytes > 0;
        }
        Ok(())
    }

    /// The connection ended; `reset` by whom, if it was.
    pub fn close(
        &mut self,
        connection: ConnectionNumber,
        at: Duration,
        reset: Option<Direction>,
    ) -> io::Result<Written> {
        self.settle(connection.0, None)?;
        if self.connections.contains_key(&connection.0) {
            match reset {
                Some(by) => {
                    let flags = Flags { rst: true, ack: true, ..Flags::default() };
                    self.packet(connection.0, at, by, flags, &[], None)?;
                }
                None => {
                    let flags = Flags { fin: true, ack: true, ..Flags::default() };
                    for direction in [Direction::ToServer, Direction::ToClient] {
                        self.packet(connection.0, at, direction, flags, &[], None)?;
                    }
                }
            }
            self.connections.remove(&connection.0);
        }
        Ok(self.state())
    }

    /// Passes what is buffered on to the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What is written to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// Ends the file and gives it back. Connections that are open are shown as such; a packet
    /// without data says how far their bytes reach, where the last of them are not in the file.
    pub fn finish(mut self) -> io::Result<W> {
        let mut numbers: Vec<u64> = self.connections.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.settle(number, None)?;
            self.reach(number)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn reach(&mut self, number: u64) -> io::Result<()> {
        let ack = Flags { ack: true, ..Flags::default() };
        for direction in [Direction::ToServer, Direction::ToClient] {
            let Some(known) = self.connections.get_mut(&number) else { return Ok(()) };
            if known.is_behind[side(direction)] {
                let block = enhanced_packet(known.last, &known.packet(direction, ack, &[])?, None);
                self.end(&block)?;
            }
        }
        Ok(())
    }

    fn state(&self) -> Written {
        if self.is_full { Written::Full } else { Written::Whole }
    }

    /// Writes what waited for keys, behind a first packet that states them, or the secrets alone.
    fn settle(&mut self, number: u64, keys: Option<&OpenedKeys>) -> io::Result<()> {
        let Some(known) = self.connections.get_mut(&number) else { return Ok(()) };
        let Some(waiting) = known.waiting.take() else { return Ok(()) };
        let Waiting { began, mut secrets, pieces, .. } = waiting;
        if let Some(keys) = keys {
            secrets = secrets.with_keys_of(keys);
        }
        self.handshake(number, began, Some(&secrets))?;
        for (direction, at, bytes) in pieces {
            self.segments(number, at, direction, &bytes)?;
        }
        Ok(())
    }

    fn handshake(
        &mut self,
        number: u64,
        at: Duration,
        secrets: Option<&SessionSecrets>,
    ) -> io::Result<()> {
        let comment = secrets.map(SessionSecrets::to_json).transpose().map_err(io::Error::other)?;
        let comment = comment.as_ref().map(|comment| comment.as_str());
        let syn = Flags { syn: true, ..Flags::default() };
        let ack = Flags { ack: true, ..Flags::default() };
        self.packet(number, at, Direction::ToServer, syn, &[], comment)?;
        self.packet(number, at, Direction::ToClient, Flags { ack: true, ..syn }, &[], None)?;
        self.packet(number, at, Direction::ToServer, ack, &[], None)
    }

    fn segments(
        &mut self,
        number: u64,
        at: Duration,
        direction: Direction,
        bytes: &[u8],
    ) -> io::Result<()> {
        let ack = Flags { ack: true, ..Flags::default() };
        for piece in bytes.chunks(SEGMENT_BYTES_MAX) {
            self.packet(number, at, direction, ack, piece, None)?;
        }
        Ok(())
    }

    /// Writes one packet, unless the file is full.
    fn packet(
        &mut self,
        number: u64,
        at: Duration,
        direction: Direction,
        flags: Flags,
        data: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let Some(known) = self.connections.get_mut(&number) else { return Ok(()) };
        let packet = known.packet(direction, flags, data)?;
        let block = enhanced_packet(at, &packet, comment);
        known.last = at;
        if flags.fin || flags.rst {
            return self.end(&block);
        }
        // The ends of connections have room kept for them, so that a full file is well-formed.
        let reserve = END_BYTES * self.connections.len() as u64;
        if self.is_full || self.written + block.len() as u64 + reserve > self.bytes_max {
            self.is_full = true;
            if let Some(known) = self.connections.get_mut(&number) {
                known.is_behind[side(direction)] |= !data.is_empty();
            }
            return Ok(());
        }
        self.out.write_all(&block)?;
        self.written += block.len() as u64;
        if let Some(known) = self.connections.get_mut(&number) {
            known.is_behind[side(direction)] = false;
        }
        Ok(())
    }

    /// Writes a packet at the end of a connection, for which room is kept.
    fn end(&mut self, block: &[u8]) -> io::Result<()> {
        if self.written + block.len() as u64 > self.bytes_max {
            self.is_full = true;
            return Ok(());
        }
        self.out.write_all(block)?;
        self.written += block.len() as u64;
        Ok(())
    }
}

impl WrittenConnection {
    /// The bytes of a packet, from its IP header on. Numbers go on even where it is not written.
    fn packet(&mut self, direction: Direction, flags: Flags, data: &[u8]) -> io::Result<Vec<u8>> {
        let (from, to) = match direction {
            Direction::ToServer => (self.client, self.server),
            Direction::ToClient => (self.server, self.client),
        };
        let own = side(direction);
        let sequence = self.sequence[own];
        let acknowledged = self.sequence[1 - own];
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        let counted = length + u32::from(flags.syn) + u32::from(flags.fin);
        self.sequence[own] = sequence.wrapping_add(counted);
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            }
            (from, to) => PacketBuilder::ipv6(octets(from), octets(to), 64),
        };
        let mut tcp = ip.tcp(from.port(), to.port(), sequence, u16::MAX);
        if flags.syn {
            tcp = tcp.syn();
        }
        if flags.ack {
            tcp = tcp.ack(acknowledged);
        }
        if flags.fin {
            tcp = tcp.fin();
        }
        if flags.rst {
            tcp = tcp.rst();
        }
        if !data.is_empty() {
            tcp = tcp.psh();
        }
        let mut packet = Vec::with_capacity(tcp.size(data.len()));
        tcp.write(&mut packet, data).map_err(io::Error::other)?;
        Ok(packet)
    }
}

impl Waiting {
    /// The keys, if the frames so far and the secrets lead to some. A stranger at the other end
    /// makes this compute at most one handshake.
    fn keys(&mut self, client: SocketAddr, server: SocketAddr) -> KeysLook {
        let Some(stream) = self.stream(client, server) else { return KeysLook::NotYet };
        let before = std::mem::replace(&mut self.frames, stream.frames.len());
        // Nothing is computed before both ends have sent their keys, nor twice for the same frames.
        let has = |half: usize| stream.frames.iter().any(|frame| frame.half == half);
        if before == self.frames || !has(0) || !has(1) {
            return KeysLook::NotYet;
        }
        match decode::keys(stream, &self.secrets, &mut WorkBudget::new(HASHED_MAX)) {
            Ok(keys) => KeysLook::Found(Box::new(keys)),
            Err(OpenRefusal::NoHandshake) => KeysLook::NotYet,
            Err(
                OpenRefusal::OtherSession
                | OpenRefusal::OtherWire
                | OpenRefusal::Handshake
                | OpenRefusal::Spent,
            ) => KeysLook::Never,
        }
    }

    /// The frames so far.
    fn stream(&self, client: SocketAddr, server: SocketAddr) -> Option<Stream> {
        let mut streams = Streams::new(Limits::default());
        let mut sequence = INITIAL;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let syn =
                Flags { syn: true, ack: direction == Direction::ToClient, ..Flags::default() };
            let number = sequence[side(direction)];
            let (from, to) = ends(direction, client, server);
            let segment = TcpSegment { from, to, sequence: number, flags: syn, data: &[], cut: 0 };
            streams.take(self.began, &segment, &[]);
            sequence[side(direction)] = number.wrapping_add(1);
        }
        for (direction, at, bytes) in &self.pieces {
            let (from, to) = ends(*direction, client, server);
            let number = sequence[side(*direction)];
            let flags = Flags { ack: true, ..Flags::default() };
            let segment = TcpSegment { from, to, sequence: number, flags, data: bytes, cut: 0 };
            streams.take(*at, &segment, &[]);
            let length = u32::try_from(bytes.len()).ok()?;
            sequence[side(*direction)] = number.wrapping_add(length);
        }
        let (streams, _) = streams.finish();
        streams.into_iter().next()
    }
}

fn side(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => 0,
        Direction::ToClient => 1,
    }
}

fn ends(direction: Direction, client: SocketAddr, server: SocketAddr) -> (SocketAddr, SocketAddr) {
    match direction {
        Direction::ToServer => (client, server),
        Direction::ToClient => (server, client),
    }
}

/// An IPv4 address that came through an IPv6 socket is shown as what it is.
fn same_family(client: SocketAddr, server: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    (plain(client), plain(server))
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

// The pcapng file format, draft-ietf-opsawg-pcapng, little-endian.

fn section_header() -> Vec<u8> {
    let body = [
        &0x1a2b_3c4d_u32.to_le_bytes()[..],
        &1_u16.to_le_bytes(),
        &0_u16.to_le_bytes(),
        &u64::MAX.to_le_bytes(),
        &option(4, concat!("ddes ", env!("CARGO_PKG_VERSION")).as_bytes()),
        &option(0, &[]),
    ];
    block(0x0a0d_0d0a, &body.concat())
}

fn interface() -> Vec<u8> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 101")]
    let link = RAW as u16;
    let body = [
        &link.to_le_bytes()[..],
        &[0, 0],
        &0_u32.to_le_bytes(),
        &option(2, b"ddes"),
        &option(3, b"packets made up around the bytes of one program's sockets"),
        // Times in nanoseconds.
        &option(9, &[9]),
        &option(0, &[]),
    ];
    block(1, &body.concat())
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of a u64; packets are short")]
fn enhanced_packet(at: Duration, packet: &[u8], comment: Option<&str>) -> Vec<u8> {
    // 64 bits of nanoseconds end in the year 2554.
    let time = saturating::nanos(at);
    let length = (packet.len() as u32).to_le_bytes();
    let mut body = [
        &0_u32.to_le_bytes()[..],
        &((time >> 32) as u32).to_le_bytes(),
        &(time as u32).to_le_bytes(),
        &length,
        &length,
        packet,
    ]
    .concat();
    pad(&mut body);
    if let Some(comment) = comment {
        body.extend(option(1, comment.as_bytes()));
        body.extend(option(0, &[]));
    }
    block(6, &body)
}

#[allow(clippy::cast_possible_truncation, reason = "blocks and options made here are short")]
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

#[allow(clippy::cast_possible_truncation, reason = "options made here are short")]
fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [&code.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat();
    pad(&mut bytes);
    bytes
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

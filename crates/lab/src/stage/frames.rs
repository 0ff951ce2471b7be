//! Frames as whoever is on the path sees them: opcode, length, body. Both wires share them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ddes_wire::frame::{Header, split};
use serde_json::{Value, json};

use crate::LabError;

/// The longest body: that of either wire.
const BODY_MAX: u32 = 64 * 1024;
/// The longest wait for a connection or for bytes that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const READ_BYTES_MAX: usize = 16 * 1024;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

impl Way {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToServer => "to server",
            Self::ToClient => "to client",
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) opcode: u32,
    pub(crate) body: Vec<u8>,
}

impl RawFrame {
    pub(crate) fn new(opcode: u32, body: impl Into<Vec<u8>>) -> Self {
        Self { opcode, body: body.into() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        #[allow(clippy::cast_possible_truncation, reason = "bodies are at most BODY_MAX")]
        let header = Header { opcode: self.opcode, length: self.body.len() as u32 };
        [&header.encode()[..], &self.body].concat()
    }
}

/// Who made a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The honest client.
    Client,
    /// The server.
    Server,
    /// The attacker: a copy, a changed frame, or one of the attacker's own.
    Attacker,
}

impl By {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Attacker => "attacker",
        }
    }
}

/// Where on the path a frame was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// Between the client and the attacker.
    Client,
    /// Between the attacker and the server.
    Server,
    /// In a capture: nobody was in between.
    Whole,
}

impl Leg {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Whole => "whole",
        }
    }
}

/// A frame that came to the attacker, or that the attacker made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which way it went.
    pub way: Way,
    /// Who made it.
    pub by: By,
    /// Where it was seen first.
    pub leg: Leg,
    /// The connection of the exercise, from 1.
    pub connection: u32,
    /// Whether it reached the end that it was for, as it is.
    pub is_passed_on: bool,
    /// Its opcode.
    pub opcode: u32,
    /// Its body.
    pub body: Vec<u8>,
    /// Later frames have higher ones, over all connections of the exercise.
    order: u64,
}

/// Counts frames as they come in, over all connections.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Recorded {
    /// A frame that comes in now, or is made now.
    pub(crate) fn now(way: Way, by: By, leg: Leg, frame: &RawFrame) -> Self {
        Self {
            leg,
            order: NEXT.fetch_add(1, Ordering::Relaxed),
            ..Self::captured(way, by, frame.opcode, frame.body.clone())
        }
    }

    /// The same on another connection of the exercise than the first.
    pub(crate) fn on(self, connection: u32) -> Self {
        Self { connection, ..self }
    }

    /// The same, kept back or changed.
    pub(crate) fn kept_back(self) -> Self {
        Self { is_passed_on: false, ..self }
    }

    /// A frame of a capture.
    pub fn captured(way: Way, by: By, opcode: u32, body: Vec<u8>) -> Self {
        let (leg, connection, is_passed_on, order) = (Leg::Whole, 1, true, 0);
        Self { way, by, leg, connection, is_passed_on, opcode, body, order }
    }

    /// Whether client or server made it, and it is of this kind.
    pub(crate) fn is_of_the_ends(&self, way: Way, opcode: u32) -> bool {
        self.by != By::Attacker && self.way == way && self.opcode == opcode
    }

    /// In the order in which they came in.
    pub(crate) fn sort(frames: &mut [Self]) {
        frames.sort_by_key(|frame| frame.order);
    }

    /// As evidence: the frame with this number, from 1.
    pub fn json(&self, number: u64) -> Value {
        json!({
            "n": number,
            "connection": self.connection,
            "leg": self.leg.name(),
            "by": self.by.name(),
            "way": self.way.name(),
            "passed_on": self.is_passed_on,
            "opcode": self.opcode,
            "length": self.body.len(),
            "body": crate::hex(&self.body),
        })
    }
}

/// A socket that is read frame by frame.
#[derive(Debug)]
pub(crate) struct FrameStream {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl FrameStream {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, LabError> {
        let stream = super::dialled::dial(address)
            .map_err(LabError::system("cannot connect to the lab's own server"))?;
        Self::new(stream)
    }

    pub(crate) fn new(stream: TcpStream) -> Result<Self, LabError> {
        let setting = "cannot set up a socket";
        stream.set_nodelay(true).map_err(LabError::system(setting))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(LabError::system(setting))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(LabError::system(setting))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// The next frame; `None` at the end of the stream, also inside a frame.
    pub(crate) fn read(&mut self) -> Result<Option<RawFrame>, LabError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = split(&self.buffer, BODY_MAX)
                .map_err(|error| LabError::unplanned(error.to_string()))?;
            if let Some(frame) = found {
                let raw = RawFrame::new(frame.header.opcode, frame.body);
                let length = frame.len();
                self.buffer.drain(..length);
                return Ok(Some(raw));
            }
            if Instant::now() >= until {
                return Err(LabError::unplanned("no whole frame came"));
            }
            let mut bytes = [0; READ_BYTES_MAX];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever ended the connection did so for good.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(LabError::system("no answer came")(error)),
            }
        }
    }

    pub(crate) fn write(&mut self, frame: &RawFrame) -> Result<(), LabError> {
        self.write_bytes(&frame.encode())
    }

    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), LabError> {
        self.stream.write_all(bytes).map_err(LabError::system("cannot send"))
    }

    /// The frame that must come next.
    pub(crate) fn expect(&mut self, opcode: u32) -> Result<Vec<u8>, LabError> {
        match self.read()? {
            Some(frame) if frame.opcode == opcode => Ok(frame.body),
            Some(frame) => {
                Err(LabError::unplanned(format!("opcode {} came, not {opcode}", frame.opcode)))
            }
            None => Err(LabError::unplanned(format!("the stream ended before a {opcode}"))),
        }
    }
}

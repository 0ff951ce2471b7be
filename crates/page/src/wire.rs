//! What is on the wire, and what the two sides did.

use std::fmt;

use ddes_wire::frame::{HEADER_BYTES, Header};

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

impl Way {
    /// The other direction.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// The name in the text of an act.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToServer => "to-server",
            Self::ToClient => "to-client",
        }
    }
}

/// Who made a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The client's session.
    Client,
    /// The server's session.
    Server,
    /// Whoever is at the desk: a copy, a changed frame, or a frame of their own.
    Attacker,
}

/// Something on the wire that has not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireItem {
    /// Counted from 0 over the whole desk; never used twice.
    pub number: u64,
    /// Where it goes.
    pub way: Way,
    /// Who made it, as it is now.
    pub maker: Maker,
    /// The bytes of a frame; none for the end of the stream.
    pub bytes: Vec<u8>,
}

impl WireItem {
    /// Whether it is the end of the stream in its direction.
    pub fn is_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The opcode; `None` where it is not a whole header.
    pub fn opcode(&self) -> Option<u32> {
        let header = self.bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Header::decode(*header).opcode)
    }
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What a side did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The side.
    pub side: Side,
    /// What it did, for people.
    pub text: String,
    /// The rule of PROTOCOL.md that the other side broke, if that is what happened.
    pub rule: Option<&'static str>,
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Client => "client",
            Side::Server => "server",
        };
        write!(f, "{side}: {}", self.text)?;
        self.rule.map_or(Ok(()), |rule| write!(f, " ({rule})"))
    }
}

//! What can be done at the desk, and its text: acts in a row make a link that repeats them.
//!
//! ```text
//! acts = act *( ";" act )
//! act  = "connect" | "send" integer *( "," integer ) | "leave" | "wait" seconds | "flow"
//!      | "deliver" n | "drop" n | "copy" n | "reflect" n | "retype" n opcode
//!      | "flip" n bit | "set" n byte hex
//!      | "insert" ( "to-server" | "to-client" ) hex | "cut" ( "to-server" | "to-client" )
//! ```
//!
//! `n` is the number of a [`crate::WireItem`]. Bits and bytes of a frame are counted from 0, header
//! included; bit 0 is the highest one of byte 0.

use std::fmt;
use std::str::FromStr;

use ddes_wire::shown::hex;

use crate::Way;

/// The most integers of one `send`, and so of one 30.
const INTEGERS_MAX: usize = 16;
/// The most acts of a text.
const ACTS_MAX: usize = 1000;
/// The most bytes that one act puts on the wire.
const BYTES_MAX: usize = 64 * 1024;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The client connects. A session that it had is gone.
    Connect,
    /// The client sends integers: all in one 30, or one after the other in classic.
    Send(Vec<i64>),
    /// The client ends its session.
    Leave,
    /// Time passes, in seconds.
    Wait(u32),
    /// Everything on the wire arrives in its order, and what the sides send in answer to it, until
    /// nothing is on the wire.
    Flow,
    /// An item arrives.
    Deliver(u64),
    /// An item is lost.
    Drop(u64),
    /// A copy of an item is put behind all that is on the wire.
    Copy(u64),
    /// An item goes back to who sent it.
    Reflect(u64),
    /// A frame gets another opcode.
    Retype(u64, u32),
    /// Bytes of a frame are changed.
    Change(u64, ByteChange),
    /// Bytes of the attacker's own are put behind all that is on the wire.
    Insert(Way, Vec<u8>),
    /// The end of the stream is put behind all that is on the wire.
    Cut(Way),
}

/// A change of a frame's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteChange {
    /// Another value of this bit.
    Flip(usize),
    /// These bytes from this one on.
    Set(usize, Vec<u8>),
}

/// A text is not an act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no act")]
pub struct ActError(String);

impl Act {
    /// The acts of a text, separated by semicolons; blank ones are left out.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, ActError> {
        let acts = text.split(';').map(str::trim).filter(|act| !act.is_empty());
        let acts = acts.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if acts.len() > ACTS_MAX {
            return Err(ActError(format!("more than {ACTS_MAX} acts")));
        }
        Ok(acts)
    }
}

impl FromStr for Act {
    type Err = ActError;

    fn from_str(text: &str) -> Result<Self, ActError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        parse(&words).ok_or_else(|| ActError(ddes_wire::shown::plain(text)))
    }
}

fn parse(words: &[&str]) -> Option<Act> {
    Some(match words {
        ["connect"] => Act::Connect,
        ["send", integers] => {
            let integers: Vec<i64> =
                integers.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
            (integers.len() <= INTEGERS_MAX).then_some(Act::Send(integers))?
        }
        ["leave"] => Act::Leave,
        ["wait", seconds] => Act::Wait(seconds.parse().ok()?),
        ["flow"] => Act::Flow,
        ["deliver", n] => Act::Deliver(n.parse().ok()?),
        ["drop", n] => Act::Drop(n.parse().ok()?),
        ["copy", n] => Act::Copy(n.parse().ok()?),
        ["reflect", n] => Act::Reflect(n.parse().ok()?),
        ["retype", n, opcode] => Act::Retype(n.parse().ok()?, opcode.parse().ok()?),
        ["flip", n, bit] => Act::Change(n.parse().ok()?, ByteChange::Flip(bit.parse().ok()?)),
        ["set", n, byte, digits] => {
            Act::Change(n.parse().ok()?, ByteChange::Set(byte.parse().ok()?, unhex(digits)?))
        }
        ["insert", way, digits] => Act::Insert(way_of(way)?, unhex(digits)?),
        ["cut", way] => Act::Cut(way_of(way)?),
        _ => return None,
    })
}

fn way_of(text: &str) -> Option<Way> {
    [Way::ToServer, Way::ToClient].into_iter().find(|way| way.name() == text)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let is_hex = rest.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex || pairs.is_empty() || pairs.len() > BYTES_MAX {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Send(integers) => {
                let integers: Vec<_> = integers.iter().map(i64::to_string).collect();
                write!(f, "send {}", integers.join(","))
            }
            Self::Leave => f.write_str("leave"),
            Self::Wait(seconds) => write!(f, "wait {seconds}"),
            Self::Flow => f.write_str("flow"),
            Self::Deliver(n) => write!(f, "deliver {n}"),
            Self::Drop(n) => write!(f, "drop {n}"),
            Self::Copy(n) => write!(f, "copy {n}"),
            Self::Reflect(n) => write!(f, "reflect {n}"),
            Self::Retype(n, opcode) => write!(f, "retype {n} {opcode}"),
            Self::Change(n, ByteChange::Flip(bit)) => write!(f, "flip {n} {bit}"),
            Self::Change(n, ByteChange::Set(byte, bytes)) => {
                write!(f, "set {n} {byte} {}", hex(bytes))
            }
            Self::Insert(way, bytes) => write!(f, "insert {} {}", way.name(), hex(bytes)),
            Self::Cut(way) => write!(f, "cut {}", way.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_act_is_read_back_from_its_text() {
        let all = "connect; send 42,-50; leave; wait 61; flow; deliver 1; drop 2; copy 3; \
                   reflect 4; retype 5 50; flip 6 70; set 7 8 00ff; insert to-client 0a; cut to-server";
        let acts = Act::parse_all(all).unwrap();
        assert_eq!(acts.len(), 14);
        let texts: Vec<_> = acts.iter().map(Act::to_string).collect();
        assert_eq!(texts.join("; "), all);
    }

    #[test]
    fn what_is_no_act_is_refused_and_shown() {
        for text in [
            "connect now",
            "send",
            "send 1,,2",
            "send 9223372036854775808",
            "wait -1",
            "set 1 2 abc",
            "set 1 2 +f",
            "insert to-nobody 00",
            "insert to-server",
            "deliver",
        ] {
            assert_eq!(Act::parse_all(text), Err(ActError(text.into())), "{text}");
        }
        let seventeen = format!("send {}", vec!["1"; INTEGERS_MAX + 1].join(","));
        assert!(Act::parse_all(&seventeen).is_err());
        assert!(Act::parse_all(&"flow;".repeat(ACTS_MAX)).is_ok());
        assert!(Act::parse_all(&"flow;".repeat(ACTS_MAX + 1)).is_err());
    }
}

//! Captures of D-DDES sessions: pcapng and pcap files, TCP streams, and both wires decoded.
//!
//! | I want to … | type |
//! |---|---|
//! | read a capture of tcpdump, Wireshark or ddes | [`read()`], [`Conversations`] |
//! | bound what a hostile file may take | [`Limits`] |
//! | look at frames, their fields, and what is inside | [`Conversation`], [`Frame`], [`Field`], [`Plain`] |
//! | know whether each HMAC, tag and signature is right | [`Check`], [`What`] |
//! | decrypt with a session's secrets | [`SessionSecrets`] |
//! | write a capture of sockets of my own | [`Writer`] |
//! | have the dissector for Wireshark | [`dissector()`] |
//!
//! ```text
//! file ─ packets ─ TCP streams ─ frames ─ Conversation, with the session's secrets decrypted
//! ```
//!
//! [`read`] takes a file of tcpdump, Wireshark or this crate and gives [`Conversations`].
//! [`Writer`] writes pcapng: packets made up around bytes that passed a socket, so that no
//! privilege is needed to capture one's own session.
//!
//! Files are hostile: memory is bounded by [`Limits`], and what is not whole is said and not
//! guessed.
//!
//! ```
//! use std::time::Duration;
//!
//! use ddes_capture::{Direction, Limits, Profile, Writer, read};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut writer = Writer::new(Vec::new(), 1 << 20)?;
//! let at = Duration::from_secs(1_800_000_000);
//! let connection =
//!     writer.open(at, "127.0.0.1:40000".parse()?, "127.0.0.1:5566".parse()?, None)?;
//! // Opcode 10, 258 bytes: version 2, suite 02, and a Diffie-Hellman value.
//! let mut hello = vec![0, 0, 0, 10, 0, 0, 1, 2, 2, 2];
//! hello.resize(8 + 258, 7);
//! writer.data(connection, at, Direction::ToServer, &hello)?;
//! writer.close(connection, at, None)?;
//! let file = writer.finish()?;
//!
//! let conversations = read(&file[..], &Limits::default(), &[])?;
//! let conversation = &conversations.all[0];
//! assert!(matches!(conversation.profile, Profile::V2 { suite: Some(_) }));
//! assert!(conversation.frames[0].name.starts_with("message 1"));
//! assert_eq!(conversation.frames[0].bytes, hello);
//! # Ok(())
//! # }
//! ```

mod conversation;
mod decode;
mod dissector;
mod file;
mod framer;
mod half;
mod limits;
mod opened;
mod packet;
mod read;
mod secrets;
mod streams;
mod write;

pub use conversation::{
    CaptureCounts, Check, Conversation, Conversations, Direction, End, Field, FieldValue, Frame,
    Missing, Note, NoteKind, Plain, Profile, What, part,
};
pub use dissector::dissector;
pub use limits::{BYTES_MAX, CONNECTIONS_MAX, CONVERSATIONS_MAX, HASHED_MAX, Limits};
pub use opened::{Epoch, OpenedClassic, OpenedKeys, OpenedV2};
pub use read::{ReadError, read};
pub use secrets::{
    Hex, SECRETS_BYTES_MAX, SECRETS_MAX, SECRETS_VERSION, SecretRole, SecretsError, SessionSecrets,
    TextPlace,
};
pub use write::{ConnectionNumber, Writer, Written};

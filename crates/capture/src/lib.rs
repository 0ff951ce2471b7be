//! Captures of D-DDES sessions: pcapng and pcap files, TCP streams, and both wires decoded.
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

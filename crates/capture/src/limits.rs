//! How much of a file is kept in memory.

/// The bounds of reading a capture. A file of any length is read to its end; what is beyond a bound
/// is counted, said in a note, and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of memory for streams and their frames, of all conversations together. What
    /// is decrypted comes on top: up to three times as much.
    pub bytes_max: usize,
    /// The most TCP connections that are followed at a time. The ones that have said nothing for
    /// longest are given up first.
    pub connections_max: usize,
    /// The most conversations that are kept.
    pub conversations_max: usize,
    /// The most bytes that are hashed in vain, in all: to try secrets that turn out to be of
    /// another session, and records that may follow a gap. Exponentiations count as bytes.
    pub hashed_max: u64,
    /// Keeps this conversation alone, by its number; the others are counted.
    pub only: Option<u32>,
}

/// Memory for the frames of a capture, where nothing else is said.
pub const BYTES_MAX: usize = 256 << 20;
/// TCP connections followed at a time, where nothing else is said.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Conversations kept, where nothing else is said.
pub const CONVERSATIONS_MAX: usize = 16_384;

/// Bytes hashed in vain, where nothing else is said: 16 GiB, which takes less than a minute.
pub const HASHED_MAX: u64 = 16 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            conversations_max: CONVERSATIONS_MAX,
            hashed_max: HASHED_MAX,
            only: None,
        }
    }
}

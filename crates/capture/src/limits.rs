//! How much of a file is kept in memory.

/// The bounds of reading a capture. A file of any length is read to its end; what is beyond a bound
/// is counted, said in a note, and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of memory for frames and streams, of all conversations together.
    pub bytes_max: usize,
    /// The most TCP connections that are followed at a time. The ones that have said nothing for
    /// longest are given up first.
    pub connections_max: usize,
    /// The most conversations that are kept.
    pub conversations_max: usize,
    /// Keeps this conversation alone, by its number; the others are counted.
    pub only: Option<u32>,
}

/// Memory for the frames of a capture, where nothing else is said.
pub const BYTES_MAX: usize = 256 << 20;
/// TCP connections followed at a time, where nothing else is said.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Conversations kept, where nothing else is said.
pub const CONVERSATIONS_MAX: usize = 16_384;

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            conversations_max: CONVERSATIONS_MAX,
            only: None,
        }
    }
}

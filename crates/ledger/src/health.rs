//! Whether a ledger can be written, wherever it is kept.

/// Whether a ledger can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can be written.
    Good,
    /// The disk is full: operations that do not fit are refused until there is room for a whole
    /// segment.
    Full,
    /// The database that holds the ledger cannot be reached, or is not fit to be written, for this
    /// reason. Operations wait for it, and are refused after a while.
    Away(String),
    /// A write or a sync failed. This process writes and acknowledges nothing more. Open the ledger
    /// again to read what the disk holds.
    Failed(String),
}

//! The interface to the disk: what an outbox needs of a folder and its files.
//!
//! It has two implementations: a folder of the file system (`folder.rs`), and the simulator's disk,
//! which loses, tears and refuses writes.

use std::fmt;
use std::io;
use std::sync::Arc;

/// A folder that one outbox has to itself.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens an existing file, locked against other processes while it is open.
    /// [`io::ErrorKind::ResourceBusy`] if another process has the lock.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Makes an empty file in the place of any old one, locked as by [`Self::open`]. A crash may
    /// take its name away.
    fn make(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Removes a file, if there is one. A crash may bring it back.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames a file durably: after a crash it has the old name or the new one. If both are the
    /// same, that name is made durable. `false`, and nothing changes, if the path of this folder
    /// leads to another folder by now. After an error that means a full disk no name has changed.
    fn publish(&self, from: &str, to: &str) -> io::Result<bool>;
    /// Random bytes, which nobody can foresee.
    fn salt(&self) -> io::Result<[u8; 16]>;
}

/// A file of a [`Storage`].
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// At most `most` bytes from `offset` on; fewer only where the file ends.
    fn read(&self, offset: u64, most: u64) -> io::Result<Vec<u8>>;
    /// Writes at `offset`: not durable before [`Self::sync`]. After an error any part is written.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and length durable (`fdatasync`). After an error it is unknown what is.
    fn sync(&self) -> io::Result<()>;
    /// Ends the file after `bytes`, which it has, and frees what was allocated beyond: not durable
    /// before [`Self::sync`].
    fn cut(&self, bytes: u64) -> io::Result<()>;
    /// Allocates disk space up to `bytes`; the length stays. Writes up to there find room.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Whether `name` leads to this file.
    fn is_named(&self, name: &str) -> io::Result<bool>;
}

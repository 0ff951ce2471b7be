//! The outbox's file: a record is written and synced before the next one is (`format.rs`), so only
//! the last one can be torn.
//!
//! The file is written whole under another name and renamed, at first and at each rewriting, so it
//! is never without an owner. A second file, `marks`, has two slots, written in turn and not
//! synced, with the number confirmed last and the length that was synced last. They are evidence,
//! not state: a process that is killed leaves them, a power cut may lose them, and then a value is
//! sent once more, under its number.
//!
//! Room: values are taken only while [`RESERVE_BYTES`] are allocated after them, so a full disk
//! stops taking but not delivery; and delivered values make room again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddes_identity::{PublicKey, ServerAddress};
use ddes_wire::Sequence;

use super::format::{self, JournalWriter, OutboxRecord, Salt};
use super::storage::{Storage, StorageFile};
use super::{OutboxState, PENDING_MAX};

/// A file with more unneeded bytes than this is rewritten.
const WASTE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Space that values leave free for states: about 200 sessions.
const RESERVE_BYTES: u64 = 32 * 1024;
/// Disk space is allocated in steps of this size.
const STEP_BYTES: u64 = 64 * 1024;
/// The bytes of a waiting value in a record of many, and alone in its record.
const VALUE_BYTES: u64 = 8;
const VALUE_BYTES_MAX: u64 = 96;
/// The longest file of an outbox: all values waiting, each taken singly, and the waste.
const FILE_BYTES_MAX: u64 = VALUE_BYTES_MAX * PENDING_MAX as u64 + 2 * WASTE_BYTES_MAX;
/// What a rewritten file has in addition to values: owner and states.
const FIXED_BYTES: u64 = 1024;
/// The slots of `marks` are in different sectors.
const SLOT_BYTES: u64 = 512;
const SLOTS: u64 = 2;
const MARK_BYTES: usize = 8 + 8 + 4;

const _: () = assert!((format::RECORD_BYTES_MAX as u64) < 2 * STEP_BYTES);
// All values may wait while as much as is worth it has not been rewritten yet.
const _: () = assert!(FILE_BYTES_MAX >= VALUE_BYTES_MAX * PENDING_MAX as u64 + WASTE_BYTES_MAX);
// The length of a record is a u32.
const _: () = assert!(FILE_BYTES_MAX < 1 << 32);

/// The identity and the server that an outbox belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxOwner {
    /// The public key of the identity.
    pub key: PublicKey,
    /// The server's host and port.
    pub server: ServerAddress,
}

/// Why an outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("the outbox {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// It is of another identity or for another server.
    #[error("the outbox {} is of identity {} at {}",
            .folder.display(), .owner.key.fingerprint(), .owner.server)]
    Foreign {
        /// The folder of the outbox.
        folder: PathBuf,
        /// The identity and server that it belongs to.
        owner: Box<OutboxOwner>,
    },
    /// Its file is not an outbox, or was changed.
    #[error("the outbox file {} is damaged: {why}", .file.display())]
    Damaged {
        /// The path of the journal.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is full. Nothing was changed: what is held can be delivered, which may make room.
    #[error("the outbox {} cannot grow: no room", .0.display())]
    Full(PathBuf),
    /// Its folder or its file was moved or replaced while it was in use.
    #[error("the outbox {} was moved or replaced while it was in use", .0.display())]
    Moved(PathBuf),
    /// The system returned an error.
    #[error("the outbox {}: {error}", .folder.display())]
    Io {
        /// The folder of the outbox.
        folder: PathBuf,
        /// The error that the system returned.
        error: io::Error,
    },
    /// An earlier write failed, so nothing is written after it.
    #[error("the outbox {} could not be written before", .0.display())]
    Poisoned(PathBuf),
}

#[derive(Clone, Debug)]
pub(super) struct OutboxJournal {
    /// The path of its folder, for errors.
    path: PathBuf,
    storage: Arc<dyn Storage>,
    owner: OutboxOwner,
    file: Arc<dyn StorageFile>,
    marks: Option<Marks>,
    writer: JournalWriter,
    length: u64,
    /// The file has disk space up to this length.
    allocated: u64,
    /// Set while the disk is full: with how many values waiting there was no room even to rewrite
    /// the file, or `usize::MAX` if that was not tried.
    short: Option<usize>,
    poisoned: bool,
}

/// What opening a journal has read.
#[derive(Debug)]
pub(super) struct RecoveredJournal {
    pub(super) records: Vec<OutboxRecord>,
    /// The number confirmed last, if the marks exist.
    pub(super) confirmed: Option<Sequence>,
    /// The length of a torn record at the end, in bytes; it was never used, and is removed.
    pub(super) torn: usize,
    /// The file has the first format and is to be rewritten.
    pub(super) is_first_format: bool,
}

#[derive(Clone, Debug)]
struct Marks {
    file: Arc<dyn StorageFile>,
    slot: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct JournalMark {
    confirmed: u64,
    length: u64,
}

impl JournalError {
    /// What an error of the system means for the outbox in `folder`.
    pub(super) fn of(folder: &Path, error: io::Error) -> Self {
        let folder = folder.to_owned();
        if error.kind() == io::ErrorKind::ResourceBusy {
            Self::Locked(folder)
        } else if is_no_room(&error) {
            Self::Full(folder)
        } else {
            Self::Io { folder, error }
        }
    }
}

impl OutboxJournal {
    /// Reads the file, removes a torn end, and makes what is left durable.
    pub(super) fn open(
        path: &Path,
        storage: Arc<dyn Storage>,
        owner: &OutboxOwner,
    ) -> Result<(Self, RecoveredJournal), JournalError> {
        let failed = |error| JournalError::of(path, error);
        let (file, is_new) = match storage.open("journal") {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (write_whole(path, &*storage, owner, &OutboxState::default(), &[])?.0, true)
            }
            Err(error) => return Err(failed(error)),
        };
        let bytes = file.read(0, FILE_BYTES_MAX + 1).map_err(failed)?;
        let damaged = |why: String| JournalError::Damaged { file: path.join("journal"), why };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(damaged(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let contents = format::read(&bytes).map_err(damaged)?;
        if contents.owner != *owner {
            return Err(JournalError::Foreign {
                folder: path.to_owned(),
                owner: Box::new(contents.owner),
            });
        }
        let (length, torn) = (contents.length as u64, bytes.len() - contents.length);
        let (marks, mark) =
            contents.salt.map_or((None, None), |salt| Marks::open(&*storage, &salt));
        if let Some(mark) = mark.filter(|mark| mark.length > length) {
            return Err(damaged(format!(
                "{} bytes of it were durable, and {length} of them hold",
                mark.length
            )));
        }
        if torn > 0 {
            file.cut(length).map_err(failed)?;
        }
        // A mark is written only once the journal's name and this length of it are durable.
        let is_marked = mark.is_some_and(|mark| mark.length == length);
        if !is_new {
            let last = bytes.get(contents.last..contents.length).filter(|_| !is_marked);
            secure(path, &*storage, &*file, last.map(|last| (contents.last as u64, last)))?;
        }
        let is_first_format = contents.salt.is_none();
        let confirmed = mark.map(|mark| Sequence::new(mark.confirmed));
        let writer = JournalWriter::resume(contents.salt.unwrap_or([0; 16]), contents.chain);
        let (owner, allocated) = (owner.clone(), length);
        let mut journal = Self {
            path: path.to_owned(),
            storage,
            owner,
            file,
            marks,
            writer,
            length,
            allocated,
            short: None,
            poisoned: false,
        };
        // If there is no room for the longest record, that is noted: delivery frees some.
        journal.reserve(format::RECORD_BYTES_MAX as u64);
        Ok((
            journal,
            RecoveredJournal { records: contents.records, confirmed, torn, is_first_format },
        ))
    }

    pub(super) fn damaged(&self, why: &str) -> JournalError {
        JournalError::Damaged { file: self.path.join("journal"), why: why.to_owned() }
    }

    /// Appends values, durable when this returns, if there is room for delivering them as well.
    pub(super) fn append_values(&mut self, record: &OutboxRecord) -> Result<(), JournalError> {
        let (writer, bytes) = self.writer.next(record);
        if !self.reserve(bytes.len() as u64) {
            return Err(self.full());
        }
        self.write(writer, &bytes)
    }

    /// Appends any other record, durable when this returns.
    pub(super) fn append(&mut self, record: &OutboxRecord) -> Result<(), JournalError> {
        let (writer, bytes) = self.writer.next(record);
        self.write(writer, &bytes)
    }

    fn write(&mut self, writer: JournalWriter, bytes: &[u8]) -> Result<(), JournalError> {
        self.is_in_its_place()?;
        let length = self.length;
        let written = self.guarded(|journal| match journal.file.write(length, bytes) {
            // Removes the torn part again, as `open` does: nothing was changed.
            Err(error) if is_no_room(&error) => {
                journal.file.cut(length).and_then(|()| journal.file.sync()).map(|()| false)
            }
            Err(error) => Err(error),
            Ok(()) if cfg!(ddes_mutant = "outbox-unsynced") => Ok(true),
            Ok(()) => journal.file.sync().map(|()| true),
        })?;
        if !written {
            return Err(self.full());
        }
        self.writer = writer;
        self.length += bytes.len() as u64;
        self.allocated = self.allocated.max(self.length);
        Ok(())
    }

    /// Writes evidence of what was confirmed and synced. Nothing depends on it: an error ends the
    /// writing of marks.
    pub(super) fn mark(&mut self, confirmed: Sequence) {
        let mark = JournalMark { confirmed: confirmed.get(), length: self.length };
        let salt = self.writer.salt();
        if self.marks.as_mut().is_some_and(|marks| marks.write(salt, mark).is_err()) {
            self.marks = None;
        }
    }

    /// Checks that the folder still has this file: what is written to another one would be lost.
    fn is_in_its_place(&self) -> Result<(), JournalError> {
        let is_named = self.file.is_named("journal");
        match is_named.map_err(|error| JournalError::of(&self.path, error))? {
            true => Ok(()),
            false => Err(JournalError::Moved(self.path.clone())),
        }
    }

    /// Allocates disk space for `bytes` more and [`RESERVE_BYTES`] after them; `false`, which is
    /// noted, if there is none.
    fn reserve(&mut self, bytes: u64) -> bool {
        let has_room = self.allocate(self.length + bytes + RESERVE_BYTES);
        if !has_room {
            self.short.get_or_insert(usize::MAX);
        }
        has_room
    }

    fn allocate(&mut self, needed: u64) -> bool {
        if needed <= self.allocated {
            return true;
        }
        for wanted in [needed + STEP_BYTES, needed] {
            match self.file.allocate(wanted) {
                Ok(()) => {
                    self.allocated = wanted;
                    return true;
                }
                Err(error) if is_no_room(&error) => {}
                // The file system allocates nothing in advance: the write itself may fail.
                Err(_) => return true,
            }
        }
        false
    }

    fn full(&mut self) -> JournalError {
        self.short.get_or_insert(usize::MAX);
        JournalError::Full(self.path.clone())
    }

    /// Whether the file is worth rewriting for `pending` values: at once while the disk is full,
    /// else when it saves much.
    pub(super) fn is_worth_rewriting(&self, pending: usize) -> bool {
        let needed = VALUE_BYTES * pending as u64;
        match self.short {
            Some(failed_with) => {
                pending <= failed_with / 2 && self.length > 2 * needed + FIXED_BYTES
            }
            None => self.length > needed + WASTE_BYTES_MAX,
        }
    }

    /// Rewrites the file with only what is needed; `false`, and nothing changes, if there is no
    /// room for that.
    pub(super) fn rewrite(
        &mut self,
        state: &OutboxState,
        values: &[i64],
    ) -> Result<bool, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned(self.path.clone()));
        }
        self.is_in_its_place()?;
        if self.short.is_some() {
            // The reserve may be what the new file lacks.
            self.guarded(|journal| journal.file.cut(journal.length))?;
            self.allocated = self.length;
        }
        let written = write_whole(&self.path, &*self.storage, &self.owner, state, values);
        let (file, writer, length) = match written {
            Ok(written) => written,
            Err(JournalError::Full(_)) => {
                self.short = Some(values.len());
                // Reserves again what the attempt has released and the disk still has.
                self.reserve(0);
                return Ok(false);
            }
            Err(error) => {
                self.poisoned = true;
                return Err(error);
            }
        };
        if self.marks.is_none() {
            self.marks = Marks::open(&*self.storage, writer.salt()).0;
        }
        (self.file, self.writer) = (file, writer);
        (self.length, self.allocated, self.short) = (length, length, None);
        self.mark(state.confirmed);
        Ok(true)
    }

    /// Runs `act`; after a failure the content of the disk is unknown, and nothing more is written.
    fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned(self.path.clone()));
        }
        self.poisoned = true;
        let done = act(self);
        self.poisoned = done.is_err();
        done.map_err(|error| JournalError::Io { folder: self.path.clone(), error })
    }
}

impl Marks {
    /// The file, and the newest mark in it that belongs to the journal with this salt. Both are
    /// `None` if the file cannot be made.
    fn open(storage: &dyn Storage, salt: &Salt) -> (Option<Self>, Option<JournalMark>) {
        let file = match storage.open("marks") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.make("marks"),
            opened => opened,
        };
        let Ok(file) = file else { return (None, None) };
        let mut found: Option<JournalMark> = None;
        let mut slot = 0;
        for at in 0..SLOTS {
            let bytes = file.read(at * SLOT_BYTES, MARK_BYTES as u64).ok();
            let mark = bytes.and_then(|bytes| JournalMark::decode(salt, &bytes.try_into().ok()?));
            let Some(mark) = mark else { continue };
            if found.is_none_or(|found| {
                (found.length, found.confirmed) <= (mark.length, mark.confirmed)
            }) {
                (found, slot) = (Some(mark), at + 1);
            }
        }
        (Some(Self { file, slot }), found)
    }

    fn write(&mut self, salt: &Salt, mark: JournalMark) -> io::Result<()> {
        self.file.write((self.slot % SLOTS) * SLOT_BYTES, &mark.encode(salt))?;
        self.slot += 1;
        Ok(())
    }
}

impl JournalMark {
    /// `confirmed u64 || length u64 || CRC-32 of the salt and these`.
    fn encode(self, salt: &Salt) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        let fields = [self.confirmed.to_be_bytes(), self.length.to_be_bytes()].concat();
        let sum = crc32fast::hash(&[&salt[..], &fields].concat()).to_be_bytes();
        bytes.iter_mut().zip(fields.iter().chain(&sum)).for_each(|(to, from)| *to = *from);
        bytes
    }

    fn decode(salt: &Salt, bytes: &[u8; MARK_BYTES]) -> Option<Self> {
        let (confirmed, rest) = bytes.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        let mark =
            Self { confirmed: u64::from_be_bytes(*confirmed), length: u64::from_be_bytes(*length) };
        (mark.encode(salt) == *bytes).then_some(mark)
    }
}

/// Makes durable what an earlier process has written and may not have synced: a cut, whose remains
/// could look like damage behind a part of the next record; and, if there is no mark, the name of
/// the file and its `last` record with its offset. The record is written again, because after a
/// failed sync the system takes it for written.
fn secure(
    path: &Path,
    storage: &dyn Storage,
    file: &dyn StorageFile,
    last: Option<(u64, &[u8])>,
) -> Result<(), JournalError> {
    let failed = |error| JournalError::of(path, error);
    if let Some((offset, record)) = last {
        file.write(offset, record).map_err(failed)?;
    }
    file.sync().map_err(failed)?;
    match last.is_none() || storage.publish("journal", "journal").map_err(failed)? {
        true => Ok(()),
        false => Err(JournalError::Moved(path.to_owned())),
    }
}

/// Replaces the file atomically: after a crash there is the old one or the new one.
fn write_whole(
    path: &Path,
    storage: &dyn Storage,
    owner: &OutboxOwner,
    state: &OutboxState,
    values: &[i64],
) -> Result<(Arc<dyn StorageFile>, JournalWriter, u64), JournalError> {
    let failed = |error| JournalError::of(path, error);
    let salt = storage.salt().map_err(failed)?;
    let (writer, bytes) = format::image(owner, salt, state, values);
    let write = || {
        let file = storage.make("journal.new")?;
        file.write(0, &bytes)?;
        file.sync()?;
        Ok(file)
    };
    let file = match write() {
        Ok(file) => file,
        Err(error) => {
            storage.remove("journal.new").map_err(failed)?;
            return Err(failed(error));
        }
    };
    match storage.publish("journal.new", "journal").map_err(failed)? {
        true => Ok((file, writer, bytes.len() as u64)),
        false => Err(JournalError::Moved(path.to_owned())),
    }
}

/// Whether the disk, a quota or the limit on file sizes leaves no room. (For the last
/// of these the program has to ignore `SIGXFSZ`.)
fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

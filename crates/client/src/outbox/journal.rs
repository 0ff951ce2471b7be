//! The outbox's file: a record is written and synced before the next one is (`format.rs`), so only
//! the last one can be torn.
//!
//! The file is written whole under another name and renamed, at first and at each rewriting, so it
//! is never without an owner. Beside it stands `marks`: two slots, written in turn and not synced,
//! with the number confirmed last and the length that was synced last. They are evidence, not
//! state: a process that is killed leaves them, a power cut may lose them, and then a value is sent
//! once more, under its number.
//!
//! Room: values are taken only while [`RESERVE_BYTES`] are allocated behind them, so that a full
//! disk stops the taking and not the delivering; and what was delivered makes room again.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ddes_identity::{PublicKey, ServerAddress};
use ddes_wire::Sequence;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::folder::Folder;
use super::format::{self, Record, Salt, Writer};
use super::{PENDING_MAX, State};

/// A file with so many bytes that nobody needs is written anew.
const WASTE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What values must leave free for states: some 200 sessions.
const RESERVE_BYTES: u64 = 32 * 1024;
/// Room is asked for in steps.
const STEP_BYTES: u64 = 64 * 1024;
/// What a value needs that waits, and what it takes at most, alone in its record.
const VALUE_BYTES: u64 = 8;
const VALUE_BYTES_MAX: u64 = 96;
/// No outbox has a longer file: all values waiting, each of them taken singly, and the waste.
const FILE_BYTES_MAX: u64 = VALUE_BYTES_MAX * PENDING_MAX as u64 + 2 * WASTE_BYTES_MAX;
/// Beside the values: owner, states.
const FIXED_BYTES: u64 = 1024;
/// The slots of `marks` are in different sectors.
const SLOT_BYTES: u64 = 512;
const SLOTS: u64 = 2;
const MARK_BYTES: usize = 8 + 8 + 4;

const _: () = assert!((format::RECORD_BYTES_MAX as u64) < 2 * STEP_BYTES);

/// Whose outbox it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The identity.
    pub key: PublicKey,
    /// The server.
    pub server: ServerAddress,
}

/// Why an outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("the outbox {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// It is of another identity or for another server.
    #[error("the outbox {} is of identity {} at {}", .folder.display(), .owner.key.fingerprint(), .owner.server)]
    Foreign {
        /// The outbox.
        folder: PathBuf,
        /// Whose it is, and where its values go.
        owner: Box<Owner>,
    },
    /// What is there was not written here, or was changed.
    #[error("the outbox file {} is damaged: {why}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The disk has no room. Nothing was changed: what is held can be delivered, and then there may
    /// be room again.
    #[error("the outbox {} cannot grow: no room", .0.display())]
    Full(PathBuf),
    /// Its folder or its file was moved or replaced while it was in use.
    #[error("the outbox {} was moved or replaced while it was in use", .0.display())]
    Moved(PathBuf),
    /// The system.
    #[error("the outbox {}: {error}", .folder.display())]
    Io {
        /// The outbox.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A write failed before: whatever was to follow it is not written either.
    #[error("the outbox {} could not be written before", .0.display())]
    Poisoned(PathBuf),
}

#[derive(Debug)]
pub(super) struct Journal {
    folder: Folder,
    owner: Owner,
    file: File,
    marks: Option<Marks>,
    writer: Writer,
    length: u64,
    /// So far the file has room for certain.
    allocated: u64,
    /// There was no room; and with how many values waiting it was not even possible to write the
    /// file anew.
    short: Option<usize>,
    poisoned: bool,
}

/// What an opening found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    /// The number confirmed last, if the marks are there.
    pub(super) confirmed: Option<Sequence>,
    /// The torn end of a record that was never used, in bytes; it was cut off.
    pub(super) torn: usize,
    /// Of the first format: to be written anew.
    pub(super) is_first_format: bool,
}

#[derive(Debug)]
struct Marks {
    file: File,
    slot: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    confirmed: u64,
    length: u64,
}

impl Journal {
    /// Locks, reads and mends; what the file says.
    pub(super) fn open(path: &Path, owner: &Owner) -> Result<(Self, Found), JournalError> {
        let folder = Folder::open(path)?;
        let io = |error| JournalError::Io { folder: path.to_owned(), error };
        if !folder.holds("journal").map_err(io)? {
            write_whole(&folder, owner, &State::default(), &[])?;
        }
        let file = folder.file("journal", OFlags::empty()).map_err(io)?;
        folder.lock(&file)?;
        let mut bytes = Vec::new();
        (&file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
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
        let (marks, mark) = contents.salt.map_or((None, None), |salt| Marks::open(&folder, &salt));
        if let Some(mark) = mark.filter(|mark| mark.length > length) {
            return Err(damaged(format!(
                "{} bytes of it were durable, and {length} of them hold",
                mark.length
            )));
        }
        if torn > 0 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(io)?;
        }
        let is_first_format = contents.salt.is_none();
        let confirmed = mark.map(|mark| Sequence::new(mark.confirmed));
        let writer = Writer::resume(contents.salt.unwrap_or([0; 16]), contents.chain);
        let (owner, allocated) = (owner.clone(), length);
        let mut journal = Self {
            folder,
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
        Ok((journal, Found { records: contents.records, confirmed, torn, is_first_format }))
    }

    pub(super) fn damaged(&self, why: &str) -> JournalError {
        JournalError::Damaged { file: self.folder.path().join("journal"), why: why.to_owned() }
    }

    /// Values, durable when this returns; only where there is room for what delivers them as well.
    pub(super) fn append_values(&mut self, record: &Record) -> Result<(), JournalError> {
        let (writer, bytes) = self.writer.next(record);
        if !self.reserve(bytes.len() as u64) {
            return Err(self.full());
        }
        self.write(writer, &bytes)
    }

    /// Anything else, durable when this returns.
    pub(super) fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let (writer, bytes) = self.writer.next(record);
        self.write(writer, &bytes)
    }

    fn write(&mut self, writer: Writer, bytes: &[u8]) -> Result<(), JournalError> {
        self.is_in_its_place()?;
        let length = self.length;
        let written = self.guarded(|journal| match journal.file.write_all_at(bytes, length) {
            // What is torn is cut off again: nothing was changed.
            Err(error) if is_no_room(&error) => journal.file.set_len(length).map(|()| false),
            Err(error) => Err(error),
            Ok(()) => journal.file.sync_data().map(|()| true),
        })?;
        if !written {
            return Err(self.full());
        }
        self.writer = writer;
        self.length += bytes.len() as u64;
        self.allocated = self.allocated.max(self.length);
        Ok(())
    }

    /// Evidence of what was confirmed and synced; nothing depends on it being written.
    pub(super) fn mark(&mut self, confirmed: Sequence) {
        let mark = Mark { confirmed: confirmed.get(), length: self.length };
        let salt = self.writer.salt();
        if self.marks.as_mut().is_some_and(|marks| marks.write(salt, mark).is_err()) {
            self.marks = None;
        }
    }

    /// The file of this outbox is still the one that the folder shows: what is written elsewhere
    /// would be lost.
    fn is_in_its_place(&self) -> Result<(), JournalError> {
        let failed = |error| JournalError::Io { folder: self.folder.path().to_owned(), error };
        match self.folder.shows("journal", &self.file).map_err(failed)? {
            true => Ok(()),
            false => Err(JournalError::Moved(self.folder.path().to_owned())),
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
        if getrlimit(Resource::Fsize).current.is_some_and(|most| needed > most) {
            return false;
        }
        if needed <= self.allocated {
            return true;
        }
        for wanted in [needed + STEP_BYTES, needed] {
            match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, wanted) {
                Ok(()) => {
                    self.allocated = wanted;
                    return true;
                }
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {}
                // The file system allocates nothing in advance: the write itself may fail.
                Err(_) => return true,
            }
        }
        false
    }

    fn full(&mut self) -> JournalError {
        self.short.get_or_insert(usize::MAX);
        JournalError::Full(self.folder.path().to_owned())
    }

    /// Whether the file is worth writing anew for `pending` values: at once where room is short,
    /// else when there is much to gain.
    pub(super) fn is_worth_rewriting(&self, pending: usize) -> bool {
        let needed = VALUE_BYTES * pending as u64;
        match self.short {
            Some(failed_with) => {
                pending <= failed_with / 2 && self.length > 2 * needed + FIXED_BYTES
            }
            None => self.length > needed + WASTE_BYTES_MAX,
        }
    }

    /// Writes the file anew, with only what is needed; `false` where there is no room for that, and
    /// all is as it was.
    pub(super) fn rewrite(&mut self, state: &State, values: &[i64]) -> Result<bool, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned(self.folder.path().to_owned()));
        }
        self.is_in_its_place()?;
        if self.short.is_some() {
            // What was reserved may be just what is missing.
            self.guarded(|journal| journal.file.set_len(journal.length))?;
            self.allocated = self.length;
        }
        let (file, writer, length) = match write_whole(&self.folder, &self.owner, state, values) {
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
        let marks = Marks::open(&self.folder, writer.salt()).0;
        (self.file, self.marks, self.writer) = (file, marks, writer);
        (self.length, self.allocated, self.short) = (length, length, None);
        self.mark(state.confirmed);
        Ok(true)
    }

    /// After a failure nobody knows what the disk holds: nothing more is written, nothing claimed.
    fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned(self.folder.path().to_owned()));
        }
        self.poisoned = true;
        let done = act(self);
        self.poisoned = done.is_err();
        done.map_err(|error| JournalError::Io { folder: self.folder.path().to_owned(), error })
    }
}

impl Marks {
    /// The file, and the newest mark in it that is of the journal with this salt. Without room for
    /// it there is none.
    fn open(folder: &Folder, salt: &Salt) -> (Option<Self>, Option<Mark>) {
        let Ok(file) = folder.file("marks", OFlags::CREATE) else { return (None, None) };
        let mut found: Option<Mark> = None;
        let mut slot = 0;
        for at in 0..SLOTS {
            let mut bytes = [0; MARK_BYTES];
            if file.read_exact_at(&mut bytes, at * SLOT_BYTES).is_err() {
                continue;
            }
            let Some(mark) = Mark::decode(salt, &bytes) else { continue };
            if found.is_none_or(|found| {
                (found.length, found.confirmed) <= (mark.length, mark.confirmed)
            }) {
                (found, slot) = (Some(mark), at + 1);
            }
        }
        (Some(Self { file, slot }), found)
    }

    fn write(&mut self, salt: &Salt, mark: Mark) -> io::Result<()> {
        self.file.write_all_at(&mark.encode(salt), (self.slot % SLOTS) * SLOT_BYTES)?;
        self.slot += 1;
        Ok(())
    }
}

impl Mark {
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

/// A new file in the place of the old one, whatever happens on the way: the one or the other.
fn write_whole(
    folder: &Folder,
    owner: &Owner,
    state: &State,
    values: &[i64],
) -> Result<(File, Writer, u64), JournalError> {
    let failed = |error: io::Error| match is_no_room(&error) {
        true => JournalError::Full(folder.path().to_owned()),
        false => JournalError::Io { folder: folder.path().to_owned(), error },
    };
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).map_err(|error| failed(io::Error::other(error)))?;
    let (writer, bytes) = format::image(owner, salt, state, values);
    let write = || {
        folder.remove("journal.new")?;
        let file = folder.file("journal.new", OFlags::CREATE | OFlags::EXCL)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        Ok(file)
    };
    let file = match write() {
        Ok(file) => file,
        Err(error) => {
            folder.remove("journal.new").map_err(failed)?;
            return Err(failed(error));
        }
    };
    folder.lock(&file)?;
    match folder.publish("journal.new", "journal").map_err(failed)? {
        true => Ok((file, writer, bytes.len() as u64)),
        false => Err(JournalError::Moved(folder.path().to_owned())),
    }
}

/// The disk, a quota or the limit on the size of files (`SIGXFSZ` is not to end the process) leaves
/// no room.
fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

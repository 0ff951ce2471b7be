//! The outbox's file: what was done, one record after the other.
//!
//! ```text
//! record = kind u32 || length u32 || CRC-32 of these 8 bytes || payload || CRC-32 of the payload      big-endian
//! ```
//!
//! The first record is the owner: the file is written whole under another name and renamed, at first and at each rewriting, so it is never
//! without one. Values are synced before they are used; a state is synced before a session uses it; that a value is confirmed need not be:
//! forgetting it sends the value once more, under its number.
//!
//! A crash can leave only an unsynced tail torn, of at most [`UNSYNCED_BYTES_MAX`] and one record. A bad record so near the end is cut
//! off: what stood there was never used. A bad record further from the end is damage, and the file is refused.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ddes_identity::PublicKey;
use ddes_wire::{Sequence, SessionNumber};

use super::{Mark, PENDING_MAX, State, TAKE_MAX};

const MAGIC: &[u8; 16] = b"D-DDES/2 outbox\n";
const HEADER_BYTES: usize = 12;
/// Of a record of values, beside them: number, lines, digest.
const VALUES_FIXED_BYTES: usize = 8 + 8 + 32;
const PAYLOAD_BYTES_MAX: usize = VALUES_FIXED_BYTES + 8 * TAKE_MAX;
/// After so many bytes a sync is due, whatever they say.
const UNSYNCED_BYTES_MAX: usize = 32 * 1024;
/// A file with so many bytes that nobody needs is written anew.
const WASTE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// No outbox has a longer file: all values waiting, all of them confirmed singly, and the waste.
const FILE_BYTES_MAX: u64 = 64 * PENDING_MAX as u64 + 2 * WASTE_BYTES_MAX;

const _: () = assert!(PAYLOAD_BYTES_MAX + HEADER_BYTES + 4 + UNSYNCED_BYTES_MAX < 128 * 1024);

/// Whose outbox it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The identity.
    pub key: PublicKey,
    /// The server as dialled, `HOST:PORT`.
    pub server: String,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    State(State),
    Confirmed(Sequence),
    Values { first_seq: Sequence, mark: Mark, values: Vec<i64> },
}

#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    owner: Owner,
    file: File,
    length: u64,
    unsynced: usize,
    poisoned: bool,
    /// Held for as long as this lives.
    _lock: File,
}

impl Journal {
    /// Locks, reads and mends; what the file says.
    pub(super) fn open(folder: &Path, owner: &Owner) -> Result<(Self, Vec<Record>), JournalError> {
        let io = |error| JournalError::Io { folder: folder.to_owned(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let lock = options().open(folder.join("lock")).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked(folder.to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        let path = folder.join("journal");
        if !path.try_exists().map_err(io)? {
            write_whole(folder, owner, &State::default(), &[]).map_err(io)?;
        }
        let mut file = options().open(&path).map_err(io)?;
        let mut bytes = Vec::new();
        (&file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
        let damaged = |why: String| JournalError::Damaged { file: path.clone(), why };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(damaged(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let (found, records, length) = read(&bytes).map_err(damaged)?;
        if found != *owner {
            return Err(JournalError::Foreign { folder: folder.to_owned(), owner: Box::new(found) });
        }
        if length < bytes.len() as u64 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(io)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(io)?;
        let (folder, owner) = (folder.to_owned(), owner.clone());
        Ok((Self { folder, owner, file, length, unsynced: 0, poisoned: false, _lock: lock }, records))
    }

    pub(super) fn damaged(&self, why: &str) -> JournalError {
        JournalError::Damaged { file: self.folder.join("journal"), why: why.to_owned() }
    }

    pub(super) fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let bytes = record.encode();
        self.guarded(|journal| journal.file.write_all(&bytes))?;
        self.length += bytes.len() as u64;
        self.unsynced += bytes.len();
        if self.unsynced > UNSYNCED_BYTES_MAX { self.sync() } else { Ok(()) }
    }

    /// Makes durable what was appended.
    pub(super) fn sync(&mut self) -> Result<(), JournalError> {
        self.guarded(|journal| journal.file.sync_data())?;
        self.unsynced = 0;
        Ok(())
    }

    pub(super) fn is_worth_rewriting(&self, pending: usize) -> bool {
        self.length > 8 * pending as u64 + WASTE_BYTES_MAX
    }

    /// Writes the file anew, with only what is needed.
    pub(super) fn rewrite(&mut self, state: &State, values: &[i64]) -> Result<(), JournalError> {
        self.guarded(|journal| {
            let (file, length) = write_whole(&journal.folder, &journal.owner, state, values)?;
            (journal.file, journal.length, journal.unsynced) = (file, length, 0);
            Ok(())
        })
    }

    /// After a failure nobody knows what the disk holds: nothing more is written, nothing claimed.
    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned(self.folder.clone()));
        }
        self.poisoned = true;
        act(self).map_err(|error| JournalError::Io { folder: self.folder.clone(), error })?;
        self.poisoned = false;
        Ok(())
    }
}

impl Record {
    const STATE: u32 = 2;
    const CONFIRMED: u32 = 3;
    const VALUES: u32 = 4;

    /// The record; values in as many as they need.
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::State(state) => frame(Self::STATE, &encode_state(state)),
            Self::Confirmed(last_seq) => frame(Self::CONFIRMED, &last_seq.get().to_be_bytes()),
            Self::Values { first_seq, mark, values } => {
                let mut bytes = Vec::new();
                for (i, chunk) in values.chunks(TAKE_MAX).enumerate() {
                    let first_seq = first_seq.get() + (i * TAKE_MAX) as u64;
                    let mut payload = Vec::with_capacity(VALUES_FIXED_BYTES + 8 * chunk.len());
                    payload.extend(first_seq.to_be_bytes());
                    payload.extend(encode_mark(mark));
                    payload.extend(chunk.iter().flat_map(|value| value.to_be_bytes()));
                    bytes.extend(frame(Self::VALUES, &payload));
                }
                bytes
            }
        }
    }

    fn decode(kind: u32, payload: &[u8]) -> Option<Self> {
        match kind {
            Self::STATE => decode_state(payload).map(Self::State),
            Self::CONFIRMED => {
                Some(Self::Confirmed(Sequence::new(u64::from_be_bytes(payload.try_into().ok()?))))
            }
            Self::VALUES => {
                let (first_seq, rest) = payload.split_first_chunk()?;
                let (mark, rest) = decode_mark(rest)?;
                let (values, rest) = rest.as_chunks();
                let values = values.iter().copied().map(i64::from_be_bytes).collect();
                let first_seq = Sequence::new(u64::from_be_bytes(*first_seq));
                rest.is_empty().then_some(Self::Values { first_seq, mark, values })
            }
            _ => None,
        }
    }
}

const OWNER: u32 = 1;

/// `lines u64 || digest`.
fn encode_mark(mark: &Mark) -> Vec<u8> {
    [&mark.lines.to_be_bytes()[..], &mark.digest].concat()
}

fn decode_mark(bytes: &[u8]) -> Option<(Mark, &[u8])> {
    let (lines, rest) = bytes.split_first_chunk()?;
    let (digest, rest) = rest.split_first_chunk()?;
    Some((Mark { lines: u64::from_be_bytes(*lines), digest: *digest }, rest))
}

/// `mark || input is open u8 || confirmed u64 || newest u64 || own sessions, each u64`.
fn encode_state(state: &State) -> Vec<u8> {
    let numbers = [state.confirmed.get(), state.newest.get()].into_iter();
    let numbers = numbers.chain(state.own.iter().map(|session| session.get()));
    let mut bytes = encode_mark(&state.mark);
    bytes.push(state.input_open.into());
    bytes.extend(numbers.flat_map(u64::to_be_bytes));
    bytes
}

fn decode_state(payload: &[u8]) -> Option<State> {
    let (mark, rest) = decode_mark(payload)?;
    let ([open], rest) = rest.split_first_chunk()?;
    let (numbers, rest) = rest.as_chunks();
    let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    let [confirmed, newest, own @ ..] = &numbers[..] else { return None };
    rest.is_empty().then(|| State {
        confirmed: Sequence::new(*confirmed),
        newest: SessionNumber::new(*newest),
        own: own.iter().copied().map(SessionNumber::new).collect(),
        mark,
        input_open: *open != 0,
    })
}

fn frame(kind: u32, payload: &[u8]) -> Vec<u8> {
    // A payload is bounded far below 2^32.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let head = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    let sums = [crc32fast::hash(&head), crc32fast::hash(payload)].map(u32::to_be_bytes);
    [&head[..], &sums[0], payload, &sums[1]].concat()
}

/// The first record of `bytes`: kind, payload, and what follows.
fn split(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (fields, sum) = head.split_at(8);
    (crc32fast::hash(fields).to_be_bytes() == sum).then_some(())?;
    let (kind, length) = fields.split_first_chunk()?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    let (sum, rest) = rest.split_first_chunk()?;
    (crc32fast::hash(payload).to_be_bytes() == *sum).then(|| (u32::from_be_bytes(*kind), payload, rest))
}

/// Owner, records, and how many bytes of the file hold.
fn read(bytes: &[u8]) -> Result<(Owner, Vec<Record>, u64), String> {
    let owner = |payload: &[u8]| {
        let (key, server) = payload.strip_prefix(MAGIC)?.split_first_chunk()?;
        let server = std::str::from_utf8(server).ok()?.to_owned();
        Some(Owner { key: PublicKey::new(key).ok()?, server })
    };
    let (kind, payload, mut rest) = split(bytes).ok_or("its first record is broken")?;
    let owner = Some(payload).filter(|_| kind == OWNER).and_then(owner).ok_or("it is no outbox")?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        match split(rest) {
            Some((kind, payload, after)) => {
                let record = Record::decode(kind, payload);
                records.push(record.ok_or(format!("the record at byte {at} makes no sense"))?);
                rest = after;
            }
            None if rest.len() <= PAYLOAD_BYTES_MAX + HEADER_BYTES + 4 + UNSYNCED_BYTES_MAX => break,
            None => return Err(format!("the record at byte {at} is broken")),
        }
    }
    Ok((owner, records, (bytes.len() - rest.len()) as u64))
}

/// A new file in the place of the old one, whatever happens on the way: the one or the other.
fn write_whole(folder: &Path, owner: &Owner, state: &State, values: &[i64]) -> io::Result<(File, u64)> {
    let new = folder.join("journal.new");
    let head = [&MAGIC[..], owner.key.as_bytes(), owner.server.as_bytes()].concat();
    let mut bytes = frame(OWNER, &head);
    bytes.extend(Record::State(state.clone()).encode());
    if !values.is_empty() {
        let first_seq = state.confirmed.forward(1).map_err(io::Error::other)?;
        bytes.extend(Record::Values { first_seq, mark: state.mark, values: values.to_vec() }.encode());
        // Values open an input; whether one is open is the state's to say.
        bytes.extend(Record::State(state.clone()).encode());
    }
    let mut file = options().truncate(true).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, folder.join("journal"))?;
    File::open(folder)?.sync_all()?;
    Ok((file, bytes.len() as u64))
}

/// Values are the owner's alone to read.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

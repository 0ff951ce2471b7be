//! A disk in memory that keeps nothing which it was not told to sync, and no name before its folder
//! was synced.
//!
//! It counts its calls. One of them can be the last before the power goes, or a sync that fails:
//! then, as Linux does, it takes what it could not write for written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddes_ledger::store::{Disk, DiskFile};

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Everything,
    /// Of each file the write that came last, alone.
    LastWrites,
    /// All but the second half of the last write.
    TornWrites,
    /// What was written, under names that are lost.
    Writes,
    /// Names, of files whose writes are lost.
    Names,
}

pub(crate) const ALL: [Left; 6] = [
    Left::Nothing,
    Left::Everything,
    Left::LastWrites,
    Left::TornWrites,
    Left::Writes,
    Left::Names,
];

/// What becomes of the call at which the disk stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is not made; nor is any after it.
    Power,
    /// A sync fails, and what it was to write is lost; a call that is no sync is made. All after it
    /// succeed.
    Sync,
}

#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Its size is fixed: a write beyond it would need room that nobody reserved.
    is_fixed: bool,
}

#[derive(Debug, Default)]
struct Platter {
    files: BTreeMap<u64, File>,
    next: u64,
    seen: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    calls: usize,
    stop: Option<(usize, Stop)>,
    /// Offsets of all writes to files whose name begins with `journal-`.
    journal_writes: Vec<u64>,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strict(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Handle {
    disk: Strict,
    file: u64,
}

fn off() -> io::Error {
    io::Error::other("no power")
}

impl Strict {
    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops at the call after `calls` more.
    pub(crate) fn stop_after(&self, calls: usize, stop: Stop) {
        let mut platter = self.lock();
        platter.stop = Some((platter.calls + calls, stop));
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    pub(crate) fn journal_writes(&self) -> Vec<u64> {
        self.lock().journal_writes.clone()
    }

    /// The process ends, and the power stays: what it wrote is still seen.
    pub(crate) fn kill(&self) {
        self.lock().stop = None;
    }

    /// The power goes and comes back.
    pub(crate) fn cut(&self, left: Left) {
        let mut platter = self.lock();
        for file in platter.files.values_mut() {
            let mut unsynced = std::mem::take(&mut file.unsynced);
            match left {
                Left::Nothing | Left::Names => unsynced.clear(),
                Left::Everything | Left::Writes => {}
                Left::LastWrites => drop(unsynced.drain(..unsynced.len().saturating_sub(1))),
                Left::TornWrites => {
                    if let Some((_, bytes)) = unsynced.last_mut() {
                        bytes.truncate(bytes.len() / 2);
                    }
                }
            }
            for (offset, bytes) in unsynced {
                put(&mut file.durable, offset, &bytes);
            }
            file.seen.clone_from(&file.durable);
        }
        if matches!(left, Left::Everything | Left::Names | Left::LastWrites | Left::TornWrites) {
            platter.durable = platter.seen.clone();
        }
        platter.seen = platter.durable.clone();
        platter.stop = None;
    }

    /// A disk with just this file, which is durable.
    pub(crate) fn with(name: &str, bytes: &[u8]) -> Self {
        let disk = Self::default();
        let mut platter = disk.lock();
        let file = File {
            seen: bytes.to_vec(),
            durable: bytes.to_vec(),
            unsynced: Vec::new(),
            is_fixed: true,
        };
        platter.files.insert(0, file);
        platter.next = 1;
        platter.seen.insert(name.to_owned(), 0);
        platter.durable.insert(name.to_owned(), 0);
        drop(platter);
        disk
    }

    /// What a file holds, as the system shows it.
    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let platter = self.lock();
        platter.files.get(platter.seen.get(name)?).map(|file| file.seen.clone())
    }
}

impl Platter {
    /// Whether a sync fails here.
    fn enter(&mut self) -> io::Result<bool> {
        self.calls += 1;
        match self.stop {
            Some((at, Stop::Power)) if self.calls > at => Err(off()),
            Some((at, Stop::Sync)) => Ok(self.calls == at + 1),
            Some((_, Stop::Power)) | None => Ok(false),
        }
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.seen.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

impl Disk for Strict {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut platter = self.lock();
        platter.enter()?;
        Ok(platter.seen.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.lock();
        platter.enter()?;
        let file = platter.find(name)?;
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }

    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.lock();
        platter.enter()?;
        platter.next += 1;
        let (file, zeros) = (platter.next, vec![0; usize::try_from(zeros).unwrap_or(0)]);
        let is_fixed = !zeros.is_empty();
        let made = File { seen: zeros.clone(), durable: zeros, unsynced: Vec::new(), is_fixed };
        platter.files.insert(file, made);
        platter.seen.insert(name.to_owned(), file);
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn stands(&self) -> io::Result<()> {
        self.lock().enter().map(drop)
    }

    /// Two calls, as of a folder: the name is another, and then the folder is synced.
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        let mut platter = self.lock();
        platter.enter()?;
        let file = platter.find(from)?;
        platter.seen.remove(from);
        platter.seen.insert(to.to_owned(), file);
        if platter.enter()? {
            return Err(io::Error::other("the folder's sync failed"));
        }
        platter.durable = platter.seen.clone();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut platter = self.lock();
        platter.enter()?;
        platter.find(name)?;
        platter.seen.remove(name);
        Ok(())
    }

    fn prepare(&self, _: &str, _: u64) {}
}

impl Handle {
    fn with<T>(&self, act: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.disk.lock();
        platter.enter()?;
        act(platter.files.get_mut(&self.file).ok_or_else(off)?)
    }
}

impl DiskFile for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.seen.len() as u64))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.with(|file| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let there = file.seen.get(from..from.saturating_add(bytes.len()));
            bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        self.with(|file| {
            assert!(
                !file.is_fixed || at + bytes.len() <= file.seen.len(),
                "a write beyond the file's end"
            );
            put(&mut file.seen, at, bytes);
            file.unsynced.push((at, bytes.to_vec()));
            Ok(())
        })?;
        let mut platter = self.disk.lock();
        let is_journal =
            |(name, file): (&String, &u64)| *file == self.file && name.starts_with("journal-");
        if platter.seen.iter().any(is_journal) {
            platter.journal_writes.push(offset);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut platter = self.disk.lock();
        let fails = platter.enter()?;
        let file = platter.files.get_mut(&self.file).ok_or_else(off)?;
        let unsynced = std::mem::take(&mut file.unsynced);
        if fails {
            return Err(io::Error::other("the sync failed"));
        }
        for (offset, bytes) in unsynced {
            put(&mut file.durable, offset, &bytes);
        }
        Ok(())
    }
}

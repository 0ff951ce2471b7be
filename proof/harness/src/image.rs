//! A disk in memory that tells what is durable from what is not, and loses power.
//!
//! What was written and not synced is dropped, kept, kept in pages of 4 KiB, or in sectors of 512
//! bytes, each at random; and so are names. Files grow as far as what was kept.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddes_ledger::store::{Disk, DiskFile};

use crate::Random;

const PAGE: u64 = 4096;
const SECTOR: u64 = 512;

/// A folder of such a disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<Content>,
    /// As a process sees them, and as they are durable.
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// From the durable ones to those seen.
    changes: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    durable: Arc<Vec<u8>>,
    writes: Vec<(u64, Vec<u8>)>,
}

/// Names in a folder, changed at once.
#[derive(Clone, Debug)]
enum Change {
    Set(String, usize),
    Moved(String, String, usize),
    Removed(String),
}

impl Image {
    /// What is left when the power fails now.
    pub(crate) fn cut(&self, random: &mut Random) -> Self {
        let state = self.state();
        let mut names = state.durable.clone();
        // A file system with a journal keeps changes of names in their order; one without promises
        // nothing.
        let ordered = random.one_in(2);
        let kept = random.below(state.changes.len() as u64 + 1);
        for (at, change) in (0..).zip(&state.changes) {
            if if ordered { at < kept } else { random.one_in(2) } {
                change.apply(&mut names);
            }
        }
        let mut files: Vec<Content> = Vec::new();
        for content in &state.files {
            files.push(content.cut(random));
        }
        Self(Arc::new(Mutex::new(State {
            files,
            durable: names.clone(),
            names,
            changes: Vec::new(),
        })))
    }

    /// A copy that shares nothing.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// An opened name: a new file, empty, if `anew` or if there was none.
    pub(crate) fn touch(&self, name: &str, anew: bool) {
        let mut state = self.state();
        if anew || !state.names.contains_key(name) {
            let file = state.files.len();
            state.files.push(Content::default());
            state.change(Change::Set(name.to_owned(), file));
        }
    }

    pub(crate) fn write(&self, name: &str, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let file = self.find(name)?;
        self.state().content(file)?.writes.push((offset, bytes));
        Ok(())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.find(from)?;
        self.state().change(Change::Moved(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    pub(crate) fn unlink(&self, name: &str) {
        self.state().change(Change::Removed(name.to_owned()));
    }

    /// How many writes a file has not synced; how many changes its folder.
    pub(crate) fn unsynced(&self, name: &str) -> io::Result<usize> {
        let file = self.find(name)?;
        Ok(self.state().content(file)?.writes.len())
    }

    pub(crate) fn unsynced_names(&self) -> usize {
        self.state().changes.len()
    }

    /// The first `count` unsynced writes of a file are durable.
    pub(crate) fn sync(&self, name: &str, count: usize) -> io::Result<()> {
        let file = self.find(name)?;
        self.state().content(file)?.sync(count);
        Ok(())
    }

    /// The first `count` changes of names are durable.
    pub(crate) fn sync_names(&self, count: usize) {
        let mut state = self.state();
        let State { durable, changes, .. } = &mut *state;
        let count = count.min(changes.len());
        changes.drain(..count).for_each(|change| change.apply(durable));
    }

    /// A file's bytes, all of them synced.
    pub(crate) fn bytes(&self, name: &str) -> io::Result<Arc<Vec<u8>>> {
        let file = self.find(name)?;
        Ok(Arc::clone(&self.state().content(file)?.durable))
    }

    /// Changes a file as damage does: without a call of the ledger.
    pub(crate) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let file = self.find(name)?;
        change(Arc::make_mut(&mut self.state().content(file)?.durable));
        Ok(())
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.state().names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn content(&mut self, file: usize) -> io::Result<&mut Content> {
        self.files.get_mut(file).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Moved(from, to, file) => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Removed(name) => drop(names.remove(name)),
        }
    }
}

impl Content {
    fn sync(&mut self, count: usize) {
        let count = count.min(self.writes.len());
        if count > 0 {
            let durable = Arc::make_mut(&mut self.durable);
            self.writes.drain(..count).for_each(|(offset, bytes)| put(durable, offset, &bytes));
        }
    }

    fn cut(&self, random: &mut Random) -> Self {
        let mut durable = Arc::clone(&self.durable);
        for (offset, bytes) in &self.writes {
            let unit = match random.below(4) {
                0 => continue,
                1 => u64::MAX,
                2 => PAGE,
                _ => SECTOR,
            };
            let kept = Arc::make_mut(&mut durable);
            let mut at = *offset;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let room = if unit == u64::MAX { unit } else { unit - at % unit };
                let count = usize::try_from(room).map_or(rest.len(), |room| room.min(rest.len()));
                let (piece, after) = rest.split_at(count);
                if unit == u64::MAX || random.one_in(2) {
                    put(kept, at, piece);
                }
                (at, rest) = (at + count as u64, after);
            }
        }
        Self { durable, writes: Vec::new() }
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    #[allow(clippy::expect_used, reason = "an image is held in memory, so its offsets fit")]
    let start = usize::try_from(offset).expect("an offset in memory");
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

#[derive(Debug)]
struct Handle {
    image: Image,
    file: usize,
}

impl Disk for Image {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Handle { image: self.clone(), file: self.find(name)? }))
    }

    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }

    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        self.touch(name, true);
        let file = self.find(name)?;
        let zeros = vec![0; usize::try_from(zeros).map_err(io::Error::other)?];
        self.state().content(file)?.durable = Arc::new(zeros);
        self.open(name)
    }

    fn stands(&self) -> io::Result<()> {
        Ok(())
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename(from, to)?;
        self.sync_names(usize::MAX);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.unlink(name);
        Ok(())
    }

    fn prepare(&self, _: &str, _: u64) {}
}

impl DiskFile for Handle {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.image.state();
        let content = state.content(self.file)?;
        let ends = content.writes.iter().map(|(offset, bytes)| offset + bytes.len() as u64);
        Ok(ends.fold(content.durable.len() as u64, u64::max))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.image.state();
        let content = state.content(self.file)?;
        let mut seen = content.clone();
        // A reader sees what is written, synced or not.
        seen.sync(usize::MAX);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = seen.durable.get(start..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.image.state().content(self.file)?.writes.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.image.state().content(self.file)?.sync(usize::MAX);
        Ok(())
    }
}

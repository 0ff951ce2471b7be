//! A disk that loses, tears and refuses, as the seed has it.
//!
//! What the system shows (`seen`) and what the platter holds (`durable`) are two things. A process
//! that dies leaves the first, a power cut only the second, and of what was written since the last
//! sync any part: pages, sectors of 512 bytes, each in any state it has had since.

mod inode;
mod outbox;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddes_ledger::store::{Disk, DiskFile};
use inode::{Inode, Survival, edit_sum, pieces};

use crate::plan::{DiskRates, Mutant};
use crate::random::Random;
use crate::trace::Tally;

/// A folder of simulated files.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<Platter>>);

#[derive(Clone, Debug)]
struct Platter {
    random: Random,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    seen: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// What was done to names since the folder was synced, in order.
    changes: Vec<Change>,
    rates: DiskRates,
    mutant: Option<Mutant>,
    /// Calls until the power goes, in the middle of one.
    budget: Option<u64>,
    is_off: bool,
    is_full: bool,
    /// Bytes that became free while the disk is full.
    free: usize,
    /// Another folder is in this one's place.
    is_moved: bool,
    /// Journals whose sync was put off, by a mutant.
    deferred: Vec<u64>,
    /// Since it was last asked for.
    faults: u64,
    counts: Tally,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, u64),
    Rename(String, String),
    Unlink(String),
}

/// Whether the power goes in the middle of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    Going,
}

impl SimDisk {
    pub(crate) fn new(random: Random, mutant: Option<Mutant>) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            random,
            inodes: BTreeMap::new(),
            next: 0,
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            rates: DiskRates::default(),
            mutant,
            budget: None,
            is_off: false,
            is_full: false,
            free: 0,
            is_moved: false,
            deferred: Vec::new(),
            faults: 0,
            counts: Tally::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_rates(&self, rates: DiskRates) {
        self.lock().rates = rates;
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        let mut platter = self.lock();
        (platter.is_full, platter.free) = (is_full, 0);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// The folder is moved away, or comes back to its place.
    pub(crate) fn set_moved(&self, is_moved: bool) {
        self.lock().is_moved = is_moved;
    }

    pub(crate) fn is_moved(&self) -> bool {
        self.lock().is_moved
    }

    /// The power fails in the middle of the call after this many.
    pub(crate) fn set_budget(&self, calls: Option<u64>) {
        self.lock().budget = calls;
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.lock().budget.is_some()
    }

    /// The power is gone: every call fails until [`Self::cut_power`].
    pub(crate) fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Faults injected since this was last called.
    pub(crate) fn take_faults(&self) -> u64 {
        std::mem::take(&mut self.lock().faults)
    }

    /// What the system shows of a file.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let platter = self.lock();
        let inode = platter.seen.get(name)?;
        platter.inodes.get(inode).map(|file| file.seen.clone())
    }

    /// How often each thing happened.
    pub(crate) fn counts(&self) -> Tally {
        self.lock().counts.clone()
    }

    /// Another disk of the same content, which fails at nothing.
    pub(crate) fn copy(&self) -> Self {
        let mut platter = self.lock().clone();
        (platter.rates, platter.budget, platter.is_off) = (DiskRates::default(), None, false);
        Self(Arc::new(Mutex::new(platter)))
    }

    /// The files become those of a copy, whatever has them open; faults and chance go on.
    pub(crate) fn set_back(&self, copy: &Self) {
        let was = copy.lock().clone();
        let mut platter = self.lock();
        (platter.inodes, platter.next) = (was.inodes, was.next);
        (platter.seen, platter.durable, platter.changes) = (was.seen, was.durable, was.changes);
    }

    /// Adds 1 to the first sum in the newest checkpoint, and makes its own checksum right again;
    /// whether there is one with an account. Durable at once. The last one is left alone where the
    /// journal's beginning is gone: nobody could open the ledger any more.
    pub(crate) fn edit_checkpoint(&self) -> bool {
        let mut platter = self.lock();
        let mut checkpoints =
            platter.seen.iter().filter(|(name, _)| name.starts_with("checkpoint-"));
        let (newest, has_other) = (checkpoints.next_back(), checkpoints.next().is_some());
        if !has_other && !platter.seen.contains_key("journal-0000000001") {
            return false;
        }
        let Some(inode) = newest.map(|(_, inode)| *inode) else { return false };
        let Some(file) = platter.inodes.get_mut(&inode) else { return false };
        let is_edited = edit_sum(&mut file.seen);
        if is_edited {
            file.durable.clone_from(&file.seen);
            file.writes.clear();
        }
        is_edited
    }

    /// Power gone and back.
    pub(crate) fn cut_power(&self) {
        self.lock().cut_power();
    }

    /// The process died and another begins: the system still has what it wrote.
    pub(crate) fn end_process(&self) {
        let mut platter = self.lock();
        (platter.budget, platter.is_off) = (None, false);
        platter.deferred.clear();
    }

    /// Does the syncs that a mutant put off; without one there are none.
    pub(crate) fn settle(&self) {
        let mut platter = self.lock();
        for inode in std::mem::take(&mut platter.deferred) {
            platter.sync_whole(inode);
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("simulated: {what}"))
}

/// The error `EMFILE`: too many open files.
fn no_files() -> io::Error {
    io::Error::from_raw_os_error(24)
}

fn no_room() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Platter {
    /// Every call begins here.
    fn enter(&mut self) -> io::Result<Power> {
        if self.is_off {
            return Err(broken("no power"));
        }
        match &mut self.budget {
            None => Ok(Power::On),
            Some(0) => {
                (self.is_off, self.budget) = (true, None);
                self.fault("disk: power cut inside a call");
                Ok(Power::Going)
            }
            Some(calls) => {
                *calls -= 1;
                Ok(Power::On)
            }
        }
    }

    fn fault(&mut self, what: &'static str) {
        self.faults += 1;
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// A call that reads.
    fn enter_reading(&mut self) -> io::Result<()> {
        let power = self.enter()?;
        if power == Power::On && self.random.happens(self.rates.read) {
            self.fault("disk: failed read");
            return Err(broken("a read fails"));
        }
        if power == Power::On { Ok(()) } else { Err(broken("the power goes")) }
    }

    /// A call that changes something: an error, and whether it was done all the same.
    fn enter_changing(
        &mut self,
        rate: u64,
        what: &'static str,
    ) -> io::Result<Option<(io::Error, bool)>> {
        let power = self.enter()?;
        let error = if power == Power::Going {
            broken("the power goes")
        } else if self.random.happens(rate) {
            self.fault(what);
            broken(what)
        } else {
            return Ok(None);
        };
        Ok(Some((error, self.random.one_in(2))))
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.seen.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn create(&mut self, name: &str, zeros: usize) -> io::Result<u64> {
        let failure = self.enter_changing(self.rates.create, "disk: failed create")?;
        if failure.is_none() && self.random.happens(self.rates.files) {
            self.fault("disk: no open files");
            return Err(no_files());
        }
        if zeros > 0 && self.is_full {
            self.fault("disk: no room");
            // As a folder does it: the old file is gone, and so is the half of the new one.
            if self.seen.remove(name).is_some() {
                self.changes.push(Change::Unlink(name.to_owned()));
            }
            return Err(failure.map_or_else(no_room, |(error, _)| error));
        }
        if let Some((error, is_done)) = failure {
            if is_done {
                let filled = self.random.index(zeros + 1);
                self.link(name, filled);
            }
            return Err(error);
        }
        Ok(self.link(name, zeros))
    }

    fn link(&mut self, name: &str, zeros: usize) -> u64 {
        self.next += 1;
        let zeros = vec![0; zeros];
        let inode = Inode { seen: zeros.clone(), durable: zeros, ..Inode::default() };
        self.inodes.insert(self.next, inode);
        self.seen.insert(name.to_owned(), self.next);
        self.changes.push(Change::Link(name.to_owned(), self.next));
        self.next
    }

    fn stands(&mut self) -> io::Result<()> {
        if self.is_moved {
            self.fault("disk: the folder is another's");
            return Err(broken("the folder was moved"));
        }
        Ok(())
    }

    fn publish(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.stands()?;
        let failure = self.enter_changing(self.rates.publish, "disk: failed publish")?;
        let inode = self.find(from)?;
        if failure.as_ref().is_none_or(|(_, is_done)| *is_done) && from != to {
            self.seen.remove(from);
            let old = self.seen.insert(to.to_owned(), inode);
            self.free += old.map_or(0, |old| self.held(old));
            self.changes.push(Change::Rename(from.to_owned(), to.to_owned()));
        }
        if let Some((error, _)) = failure {
            return Err(error);
        }
        self.sync_names(self.changes.len());
        self.done(to, "disk: segments begun");
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let failure = self.enter_changing(self.rates.remove, "disk: failed remove")?;
        let inode = self.find(name)?;
        if failure.as_ref().is_none_or(|(_, is_done)| *is_done) {
            self.seen.remove(name);
            self.free += self.held(inode);
            self.changes.push(Change::Unlink(name.to_owned()));
        }
        self.done(name, "disk: segments removed");
        failure.map_or(Ok(()), |(error, _)| Err(error))
    }

    /// Counts what was done to a segment.
    fn done(&mut self, name: &str, what: &'static str) {
        if name.starts_with("journal-") {
            *self.counts.entry(what).or_insert(0) += 1;
        }
    }

    /// The first `count` changes reach the platter.
    fn sync_names(&mut self, count: usize) {
        for change in self.changes.drain(..count) {
            match change {
                Change::Link(name, inode) => {
                    self.durable.insert(name, inode);
                }
                Change::Rename(from, to) => {
                    if let Some(inode) = self.durable.remove(&from) {
                        self.durable.insert(to, inode);
                    }
                }
                Change::Unlink(name) => {
                    self.durable.remove(&name);
                }
            }
        }
    }

    fn write(&mut self, inode: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let failure = self.enter_changing(self.rates.write, "disk: failed write")?;
        let is_full = self.is_full;
        let Some(file) = self.inodes.get_mut(&inode) else { return Err(broken("no such file")) };
        let needed = (offset + bytes.len()).saturating_sub(file.held());
        if is_full && needed > self.free {
            let inside = bytes.len().min((file.held() + self.free).saturating_sub(offset));
            file.write(offset, bytes.split_at(inside).0);
            self.free = 0;
            self.fault("disk: no room");
            return Err(no_room());
        }
        self.free = self.free.saturating_sub(needed);
        let is_short = is_full && self.rates.copies_on_write && self.random.one_in(4);
        let error = match failure {
            Some((error, _)) => error,
            None if is_short => no_room(),
            None => {
                file.write(offset, bytes);
                return Ok(());
            }
        };
        for (at, piece) in pieces(offset, bytes) {
            if self.random.one_in(2) {
                file.write(at, piece);
            }
        }
        if is_short {
            self.fault("disk: no room to write over");
        }
        Err(error)
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        let failure = self.enter_changing(self.rates.sync, "disk: failed sync")?;
        match (failure, self.mutant) {
            (Some((error, _)), _) => {
                // The system takes what it could not write for written: nobody knows, and no later
                // sync says.
                let survival = self.survival();
                self.settle_writes(inode, survival);
                Err(error)
            }
            (None, Some(Mutant::AcknowledgeBeforeSync)) if self.is_journal(inode) => Ok(()),
            (None, Some(Mutant::CheckpointUnsynced)) if self.is_checkpoint(inode) => Ok(()),
            (None, Some(Mutant::CheckpointBeforeSegment)) if self.is_journal(inode) => {
                self.deferred.push(inode);
                Ok(())
            }
            (None, _) => {
                self.sync_whole(inode);
                Ok(())
            }
        }
    }

    /// The bytes of a file that nothing else can have.
    fn held(&self, inode: u64) -> usize {
        self.inodes.get(&inode).map_or(0, Inode::held)
    }

    fn is_journal(&self, inode: u64) -> bool {
        self.seen.iter().any(|(name, other)| *other == inode && name.starts_with("journal-"))
    }

    fn is_checkpoint(&self, inode: u64) -> bool {
        self.seen.iter().any(|(name, other)| *other == inode && name.starts_with("checkpoint"))
    }

    /// Every page that was written goes to the platter.
    fn sync_whole(&mut self, inode: u64) {
        self.settle_writes(inode, Survival::All);
    }

    fn survival(&mut self) -> Survival {
        match self.random.below(4) {
            0 => Survival::Nothing,
            1 => Survival::All,
            2 => Survival::Pages,
            _ => Survival::Sectors,
        }
    }

    fn settle_writes(&mut self, inode: u64, survival: Survival) {
        let random = &mut self.random;
        if let Some(file) = self.inodes.get_mut(&inode) {
            file.settle(survival, random);
        }
    }

    fn cut_power(&mut self) {
        let survival = self.survival();
        let Self { inodes, random, .. } = self;
        for file in inodes.values_mut() {
            file.settle(survival, random);
            file.seen.clone_from(&file.durable);
            file.allocated = 0;
        }
        let kept = match self.random.below(3) {
            0 => 0,
            1 => self.changes.len(),
            _ => self.random.index(self.changes.len() + 1),
        };
        self.sync_names(kept);
        self.changes.clear();
        self.seen = self.durable.clone();
        let Self { inodes, seen, .. } = self;
        inodes.retain(|inode, _| seen.values().any(|named| named == inode));
        (self.budget, self.is_off) = (None, false);
        self.deferred.clear();
    }
}

/// A simulated file is held in memory: an offset that does not fit is beyond every file.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut platter = self.lock();
        platter.enter_reading()?;
        Ok(platter.seen.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.lock();
        platter.enter_reading()?;
        let inode = platter.find(name)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }

    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.lock().create(name, size(zeros))?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn stands(&self) -> io::Result<()> {
        self.lock().stands()
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().publish(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name)
    }

    fn prepare(&self, _: &str, _: u64) {}
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut platter = self.disk.lock();
        platter.enter_reading()?;
        platter
            .inodes
            .get(&self.inode)
            .map(|file| file.seen.len() as u64)
            .ok_or_else(|| broken("no such file"))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut platter = self.disk.lock();
        platter.enter_reading()?;
        let file = platter.inodes.get(&self.inode).ok_or_else(|| broken("no such file"))?;
        let from = size(offset);
        let there = file.seen.get(from..from.saturating_add(bytes.len()));
        bytes.copy_from_slice(there.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.lock().write(self.inode, size(offset), bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode)
    }
}

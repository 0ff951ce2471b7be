//! The simulated disk as an outbox uses it.

use std::io;
use std::sync::Arc;

use ddes_client::outbox::{Storage, StorageFile};

use super::{Platter, SimDisk, SimFile, broken, no_room, size};

impl Platter {
    fn cut(&mut self, inode: u64, bytes: usize) -> io::Result<()> {
        let failure = self.enter_changing(self.rates.write, "disk: failed cut")?;
        let is_done = failure.as_ref().is_none_or(|(_, is_done)| *is_done);
        let Self { inodes, random, free, .. } = self;
        let file = inodes.get_mut(&inode).ok_or_else(|| broken("no such file"))?;
        if is_done {
            *free += file.held().saturating_sub(bytes);
            file.cut(bytes, random);
        }
        failure.map_or(Ok(()), |(error, _)| Err(error))
    }

    fn allocate(&mut self, inode: u64, bytes: usize) -> io::Result<()> {
        if let Some((error, _)) =
            self.enter_changing(self.rates.write, "disk: failed allocation")?
        {
            return Err(error);
        }
        let needed = bytes.saturating_sub(self.held(inode));
        if self.is_full && needed > self.free {
            self.fault("disk: no room");
            return Err(no_room());
        }
        self.free = self.free.saturating_sub(needed);
        let file = self.inodes.get_mut(&inode).ok_or_else(|| broken("no such file"))?;
        file.allocated = file.allocated.max(bytes);
        Ok(())
    }

    fn read(&mut self, inode: u64, offset: usize, most: usize) -> io::Result<Vec<u8>> {
        self.enter_reading()?;
        let file = self.inodes.get(&inode).ok_or_else(|| broken("no such file"))?;
        let rest = file.seen.get(offset..).unwrap_or(&[]);
        Ok(rest.get(..most.min(rest.len())).unwrap_or(rest).to_vec())
    }
}

/// Locks are left out: one process after the other uses such a disk.
impl Storage for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut platter = self.lock();
        platter.enter_reading()?;
        let inode = platter.find(name)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn make(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let inode = self.lock().create(name, 0)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.lock().remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn publish(&self, from: &str, to: &str) -> io::Result<bool> {
        let mut platter = self.lock();
        if platter.is_moved {
            return Ok(false);
        }
        platter.publish(from, to).map(|()| true)
    }

    fn salt(&self) -> io::Result<[u8; 16]> {
        Ok(self.lock().random.bytes())
    }
}

impl StorageFile for SimFile {
    fn read(&self, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        self.disk.lock().read(self.inode, size(offset), size(most))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.lock().write(self.inode, size(offset), bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.inode)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.disk.lock().cut(self.inode, size(bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.lock().allocate(self.inode, size(bytes))
    }

    fn is_named(&self, name: &str) -> io::Result<bool> {
        let mut platter = self.disk.lock();
        platter.enter_reading()?;
        Ok(platter.seen.get(name) == Some(&self.inode))
    }
}

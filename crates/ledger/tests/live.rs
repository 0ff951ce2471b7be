//! Readers beside the process that writes: files that are deleted meanwhile, and batches that are
//! read while they are written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and knows its numbers"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod place;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ddes_ledger::Ledger;
use ddes_ledger::audit::{self, View};
use ddes_ledger::store::{Disk, DiskFile, Folder, StoreError, StoreOptions};
use place::{OPTIONS, Place, TRIMMING, damage, fill, go_on, ledger};

/// Where the first frame of a segment begins (docs/ledger.md).
const DATA: usize = 4096;
const TRIES: usize = 5;

/// A folder whose files are opened as `opens` has it.
struct Opened<F> {
    folder: Folder,
    opens: F,
}

impl<F> fmt::Debug for Opened<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.fmt(f)
    }
}

impl<F: Fn(&Folder, &str) -> io::Result<Box<dyn DiskFile>> + Send + Sync> Disk for Opened<F> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        (self.opens)(&self.folder, name)
    }
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.claim(name)
    }
    fn stands(&self) -> io::Result<()> {
        self.folder.stands()
    }
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        self.folder.create(name, zeros)
    }
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.publish(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn prepare(&self, _: &str, _: u64) {}
}

/// F14 of the hostile runs.
#[test]
fn a_backup_is_made_beside_checkpoints_that_are_replaced_and_segments_that_are_deleted() {
    for options in [OPTIONS, TRIMMING] {
        let (place, copy) = (Place::new(), Place::new());
        let (mut ledger, _) = place.open(options).unwrap();
        fill(&mut ledger, 100);
        // The ledger goes on each time a checkpoint is opened.
        let ledger = Mutex::new((ledger, 100));
        let opens = |folder: &Folder, name: &str| {
            let opened = folder.open(name);
            let (ledger, round) = &mut *ledger.lock().unwrap();
            if name.starts_with("checkpoint-") && *round < 130 {
                go_on(ledger, *round..*round + 6);
                *round += 6;
            }
            opened
        };
        let from = Opened { folder: place.look(), opens };
        let to = Folder::lock(&copy.0).unwrap().unwrap();
        audit::backup(&from, &to, &mut |_, _| {}).unwrap();
        drop(to);
        assert!(ledger.lock().unwrap().1 > 100);
        copy.verify(&[]).unwrap();
        copy.open(options).unwrap();
    }
}

/// Takes one of what is left, if any is.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// A folder whose newest segment is listed, and opened the first times in vain; and is read the
/// first times as if its frames were not written yet.
fn behind(
    place: &Place,
    vanishes: &Arc<AtomicUsize>,
    tears: usize,
) -> Opened<impl Fn(&Folder, &str) -> io::Result<Box<dyn DiskFile>> + Send + Sync + use<>> {
    let newest = place.names("journal-").pop().unwrap();
    let segment = newest.file_name().unwrap().to_str().unwrap().to_owned();
    let (vanishes, tears) = (Arc::clone(vanishes), Arc::new(AtomicUsize::new(tears)));
    let opens = move |folder: &Folder, name: &str| -> io::Result<Box<dyn DiskFile>> {
        let is_it = name == segment;
        if is_it && take(&vanishes) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = folder.open(name)?;
        Ok(Box::new(TornFile { file, tears: is_it.then(|| Arc::clone(&tears)) }))
    };
    Opened { folder: place.look(), opens }
}

/// A file that is read wrong the first times.
#[derive(Debug)]
struct TornFile {
    file: Box<dyn DiskFile>,
    tears: Option<Arc<AtomicUsize>>,
}

impl DiskFile for TornFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)?;
        // The frames, where this is no read of the head alone.
        if let Some(frames) = bytes.get_mut(DATA..).filter(|frames| !frames.is_empty())
            && self.tears.as_deref().is_some_and(take)
        {
            frames.fill(0);
        }
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn a_backup_begins_again_five_times_at_most_where_files_vanish() {
    let place = ledger(TRIMMING);
    let copied = |vanishes| {
        let (copy, left) = (Place::new(), Arc::new(AtomicUsize::new(vanishes)));
        let from = behind(&place, &left, 0);
        let to = Folder::lock(&copy.0).unwrap().unwrap();
        let copied = audit::backup(&from, &to, &mut |_, _| {});
        drop(to);
        if copied.is_ok() {
            copy.verify(&[]).unwrap();
        }
        (copied, vanishes - left.load(Ordering::Relaxed))
    };
    assert!(matches!(copied(TRIES - 1), (Ok(_), tried) if tried == TRIES - 1));
    for vanishes in [TRIES, 10 * TRIES] {
        let (copied, tried) = copied(vanishes);
        assert!(
            matches!(&copied, Err(StoreError::Disk { error, .. })
                if error.kind() == io::ErrorKind::NotFound),
            "{copied:?}"
        );
        assert_eq!(tried, TRIES);
    }
}

#[test]
fn a_batch_that_is_read_while_it_is_written_is_read_again_five_times_at_most() {
    // Without checkpoints there is one place to begin at.
    let place = ledger(StoreOptions { checkpoint_bytes: u64::MAX, ..OPTIONS });
    let none = Arc::default();
    let read = |tears| View::read(&behind(&place, &none, tears));
    let whole = View::read(&place.look()).unwrap().totals();
    for tears in 0..TRIES {
        assert_eq!(read(tears).unwrap().totals(), whole);
    }
    damage(read(TRIES));
    // An opening is alone in its folder: what it cannot read is damage at once.
    let from = behind(&place, &none, 1);
    damage(Ledger::open(Arc::new(from), OPTIONS, [7; 16]));
}

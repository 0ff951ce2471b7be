//! One writer in one folder, and a disk that has no room: what is acknowledged stays, whatever is
//! moved, linked, removed or full.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use ddes_ledger::audit;
use ddes_ledger::store::{Disk, DiskFile, Folder, PlaceError, StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, Health, Ledger, Opening, Operation, OperationOutcome, Refusal, RestoreError,
    RestoreStep, Restored, Submission, Timestamp,
};
use ddes_wire::{Amount, Sequence};

const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 16 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: u64::MAX,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};
const ALICE: AccountId = AccountId::Identity([1; 32]);
const UNAVAILABLE: OperationOutcome = OperationOutcome::Decided(Err(Refusal::Unavailable));

/// A folder of one test, with room for ledgers in it; removed with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddes-folder-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn ledger(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn is_segment(entry: &io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("journal-")
}

fn disk(path: &Path) -> Arc<dyn Disk> {
    Arc::new(Folder::lock(path).unwrap().unwrap())
}

fn open(path: &Path) -> Ledger {
    Ledger::open(disk(path), OPTIONS, [7; 16]).unwrap().0
}

/// What an opening ends with.
fn refused(path: &Path) -> StoreError {
    Ledger::open(disk(path), OPTIONS, [7; 16]).map(|_| ()).unwrap_err()
}

fn verify(path: &Path) -> u64 {
    audit::verify(&Folder::look(path).unwrap(), &[], &mut |_, _| {}).unwrap().values
}

/// Milliseconds of a clock.
fn at(millis: u64) -> Timestamp {
    Timestamp((1_800_000_000_000 + millis) * 1000)
}

/// A session, and how many of its values were acknowledged.
struct Writer {
    opening: Opening,
    count: u64,
}

impl Writer {
    fn begin(ledger: &mut Ledger) -> Self {
        match ledger.commit(at(0), &[Operation::Open(ALICE)])[0] {
            OperationOutcome::Opened(Ok(opening)) => {
                Self { opening, count: opening.proof.standing().last_seq.get() }
            }
            outcome @ (OperationOutcome::Opened(_)
            | OperationOutcome::Decided(_)
            | OperationOutcome::Ended(_)) => {
                panic!("{outcome:?}")
            }
        }
    }

    /// One frame of `values` values more; whether it was acknowledged.
    fn add(&mut self, ledger: &mut Ledger, now: Timestamp, values: usize) -> bool {
        let Opening { account, session, .. } = self.opening;
        let amounts = std::iter::repeat_n(Amount::from(1_u64), values).collect();
        let first_seq = Sequence::new(self.count + 1);
        let outcome = ledger
            .commit(now, &[Operation::Add(Submission { account, session, first_seq, amounts })])[0];
        match outcome {
            OperationOutcome::Decided(Ok(proof)) => {
                self.count = proof.standing().last_seq.get();
                true
            }
            outcome @ (OperationOutcome::Opened(_)
            | OperationOutcome::Decided(_)
            | OperationOutcome::Ended(_)) => {
                assert_eq!(outcome, UNAVAILABLE);
                false
            }
        }
    }

    /// Values until one is refused.
    fn until_refused(&mut self, ledger: &mut Ledger, now: Timestamp) {
        let refused = (0..10_000).any(|_| !self.add(ledger, now, 1));
        assert!(refused, "the segment has an end");
    }
}

/// F3: what is locked is the folder, and not a file in it that somebody may tidy away.
#[test]
fn a_second_writer_is_kept_out_where_the_lock_file_was_removed() {
    let place = Place::new();
    let path = place.ledger("a");
    let mut ledger = open(&path);
    let mut writer = Writer::begin(&mut ledger);
    assert!(writer.add(&mut ledger, at(0), 4));
    fs::remove_file(path.join("lock")).unwrap();
    assert!(Folder::lock(&path).unwrap().is_none());
    assert!(writer.add(&mut ledger, at(5_000), 4));
    drop(ledger);
    assert_eq!(open(&path).standing(&ALICE).unwrap().last_seq.get(), 8);
}

/// `cp -al`.
fn link_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::hard_link(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_hard_linked_copy_is_not_written_while_its_server_runs_nor_afterwards() {
    let place = Place::new();
    let (path, copy) = (place.ledger("a"), place.ledger("copy"));
    let mut ledger = open(&path);
    let mut writer = Writer::begin(&mut ledger);
    assert!(writer.add(&mut ledger, at(0), 4));
    link_all(&path, &copy);
    assert!(Folder::lock(&copy).unwrap().is_none(), "it shares the lock file");
    fs::remove_file(copy.join("lock")).unwrap();
    let StoreError::Disk { file, error } = refused(&copy) else { panic!() };
    assert_eq!((file.as_str(), error.kind()), ("journal-0000000001", ErrorKind::ResourceBusy));
    assert!(writer.add(&mut ledger, at(5_000), 4));
    drop(ledger);
    for path in [&path, &copy] {
        let StoreError::Disk { error, .. } = refused(path) else { panic!() };
        assert_eq!(error.kind(), ErrorKind::TooManyLinks);
    }
    // A file of its own is enough.
    let segment = copy.join("journal-0000000001");
    fs::copy(&segment, copy.join("own")).unwrap();
    fs::rename(copy.join("own"), &segment).unwrap();
    for path in [&path, &copy] {
        assert_eq!(open(path).standing(&ALICE).unwrap().last_seq.get(), 8);
    }
}

/// F2: nothing is written into a folder that took the place of the one that was opened.
#[test]
fn a_folder_that_is_replaced_ends_its_writer_within_a_second_and_both_stay_whole() {
    let place = Place::new();
    let (path, old) = (place.ledger("a"), place.ledger("a.old"));
    let mut first = open(&path);
    let mut writer = Writer::begin(&mut first);
    assert!(writer.add(&mut first, at(0), 4));
    fs::rename(&path, &old).unwrap();
    let mut second = open(&path);
    let mut other = Writer::begin(&mut second);
    assert!(other.add(&mut second, at(0), 4));
    // Within the second, and into its own folder.
    assert!(writer.add(&mut first, at(900), 4));
    assert!(!writer.add(&mut first, at(1_000), 4));
    let Health::Failed(why) = first.health() else { panic!("{:?}", first.health()) };
    assert!(why.contains("was moved or replaced") && why.contains("another folder"), "{why}");
    assert!(other.add(&mut second, at(2_000), 4));
    drop((first, second));
    assert_eq!((verify(&old), verify(&path)), (writer.count, other.count));
    assert_eq!((writer.count, other.count), (8, 8));
}

#[test]
fn no_segment_is_named_in_a_folder_that_is_not_in_its_place() {
    let place = Place::new();
    let (path, old) = (place.ledger("a"), place.ledger("a.old"));
    let mut ledger = open(&path);
    let mut writer = Writer::begin(&mut ledger);
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    // All within the second in which it was last looked at.
    writer.until_refused(&mut ledger, at(500));
    assert!(matches!(ledger.health(), Health::Failed(_)));
    drop(ledger);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    assert!(!old.join("journal-0000000002").exists());
    assert_eq!(verify(&old), writer.count);
    // It goes on where it is, once that is where it is looked for.
    assert_eq!(open(&old).standing(&ALICE).unwrap().last_seq.get(), writer.count);
}

fn back_up(from: &Path, to: &Path) {
    audit::backup(&Folder::look(from).unwrap(), &*disk(to), &mut |_, _| {}).unwrap();
}

/// Restores, and says in which order its steps came.
fn restore(from: &Path, to: &Path) -> (Result<Restored, RestoreError>, Vec<RestoreStep>) {
    let mut steps = Vec::new();
    let from = Folder::look(from).unwrap();
    let restored = ddes_ledger::restore(&from, to, at(1_000), &mut |step, _, _| steps.push(step));
    steps.dedup();
    (restored, steps)
}

#[test]
fn a_restored_copy_gives_out_no_session_number_twice() {
    let place = Place::new();
    let path = place.ledger("a");
    let mut ledger = open(&path);
    assert!(Writer::begin(&mut ledger).add(&mut ledger, at(0), 4));
    let mut newest = Writer::begin(&mut ledger).opening.session;
    // The second round restores a backup of what the first one restored.
    for round in ["1", "2"] {
        let backup = place.ledger(&format!("backup-{round}"));
        back_up(&path, &backup);
        // The ledger goes on after its backup.
        for _ in 0..3 {
            newest = Writer::begin(&mut ledger).opening.session;
        }
        drop(ledger);
        let (refused, _) = restore(&backup, &path);
        let is_taken =
            matches!(refused, Err(RestoreError::Place { error: PlaceError::NotEmpty, .. }));
        assert!(is_taken, "{refused:?}");
        fs::rename(&path, place.ledger(&format!("old-{round}"))).unwrap();

        let (restored, steps) = restore(&backup, &path);
        let Restored { path: found, verified } = restored.unwrap();
        assert_eq!((found.as_path(), verified.values), (path.as_path(), 4));
        assert_eq!(steps, [RestoreStep::VerifyBackup, RestoreStep::Copy, RestoreStep::VerifyCopy]);
        ledger = open(&path);
        let session = Writer::begin(&mut ledger).opening.session;
        assert!(session > newest, "{session} after {newest}");
        newest = session;
    }
}

#[test]
fn what_a_restore_left_that_was_cut_off_is_named_and_kept() {
    let place = Place::new();
    let (path, backup, new) = (place.ledger("a"), place.ledger("backup"), place.ledger("new"));
    let mut ledger = open(&path);
    assert!(Writer::begin(&mut ledger).add(&mut ledger, at(0), 4));
    back_up(&path, &backup);
    let left = place.ledger("new.restoring");
    fs::create_dir(&left).unwrap();
    let (refused, _) = restore(&backup, &new);
    assert!(matches!(&refused, Err(RestoreError::CutOff(found)) if *found == left), "{refused:?}");
    assert!(left.exists());
    fs::remove_dir(&left).unwrap();
    restore(&backup, &new).0.unwrap();
    assert_eq!(verify(&new), 4);
    assert!(!left.exists());
}

#[test]
fn a_folder_is_found_through_a_link_and_a_file_is_not() {
    let place = Place::new();
    let (path, link) = (place.ledger("a"), place.ledger("link"));
    fs::create_dir(&path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut ledger = open(&link);
    let mut writer = Writer::begin(&mut ledger);
    assert!(Folder::lock(&path).unwrap().is_none());
    assert!(writer.add(&mut ledger, at(5_000), 1));
    drop(ledger);
    let segment = path.join("journal-0000000001");
    fs::rename(&segment, place.ledger("away")).unwrap();
    std::os::unix::fs::symlink(place.ledger("away"), &segment).unwrap();
    assert!(matches!(refused(&path), StoreError::Disk { .. }));
}

/// A folder whose disk has no room where it is told so.
#[derive(Debug)]
struct Short {
    folder: Folder,
    room: Arc<Room>,
}

#[derive(Debug, Default)]
struct Room {
    /// No segment can be made, for this reason: an `errno`.
    errno: AtomicU32,
    /// How often one was tried.
    tries: AtomicUsize,
    /// What is written over is written elsewhere (btrfs), and there is room for so many bytes of
    /// it.
    copies_on_write: AtomicBool,
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct ShortFile {
    file: Box<dyn DiskFile>,
    room: Arc<Room>,
}

impl Short {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(ShortFile { file, room: Arc::clone(&self.room) })
    }
}

impl Disk for Short {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.open(name)
    }
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.claim(name).map(|file| self.file(file))
    }
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        self.room.tries.fetch_add(1, Ordering::Relaxed);
        match self.room.errno.load(Ordering::Relaxed) {
            0 => self.folder.create(name, zeros).map(|file| self.file(file)),
            errno => Err(io::Error::from_raw_os_error(errno.cast_signed())),
        }
    }
    fn stands(&self) -> io::Result<()> {
        self.folder.stands()
    }
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.publish(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn prepare(&self, _: &str, _: u64) {
        self.room.tries.fetch_add(1, Ordering::Relaxed);
    }
}

impl DiskFile for ShortFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.room.copies_on_write.load(Ordering::Relaxed) {
            return self.file.write_at(offset, bytes);
        }
        let room = self.room.bytes.load(Ordering::Relaxed);
        let written = bytes.len().min(room);
        self.room.bytes.fetch_sub(written, Ordering::Relaxed);
        self.file.write_at(offset, &bytes[..written])?;
        if written < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn short(path: &Path) -> (Ledger, Arc<Room>) {
    let room = Arc::new(Room::default());
    (open_short(path, &room), room)
}

fn open_short(path: &Path, room: &Arc<Room>) -> Ledger {
    let disk = Short { folder: Folder::lock(path).unwrap().unwrap(), room: Arc::clone(room) };
    Ledger::open(Arc::new(disk), OPTIONS, [7; 16]).unwrap().0
}

const ENOSPC: u32 = 28;
const EDQUOT: u32 = 122;
const EMFILE: u32 = 24;
const ENFILE: u32 = 23;
const EFBIG: u32 = 27;

/// P-33. A limit of open files is one that time may lift, as room is.
#[test]
fn without_room_or_open_files_for_a_segment_nothing_has_failed() {
    for errno in [ENOSPC, EDQUOT, EMFILE, ENFILE, EFBIG] {
        let place = Place::new();
        let (mut ledger, room) = short(&place.ledger("a"));
        let mut writer = Writer::begin(&mut ledger);
        room.errno.store(errno, Ordering::Relaxed);
        writer.until_refused(&mut ledger, at(0));
        assert_eq!(ledger.health(), Health::Full, "errno {errno}");
        assert_eq!(ledger.standing(&ALICE).unwrap().last_seq.get(), writer.count);
        room.errno.store(0, Ordering::Relaxed);
        assert!(writer.add(&mut ledger, at(1_000), 1));
        assert_eq!(ledger.health(), Health::Good);
        drop(ledger);
        assert_eq!(verify(&place.ledger("a")), writer.count);
    }
}

/// F-23 d, F10.
#[test]
fn a_full_disk_is_tried_again_once_a_second_and_is_good_when_a_segment_has_room() {
    let place = Place::new();
    let (mut ledger, room) = short(&place.ledger("a"));
    let mut writer = Writer::begin(&mut ledger);
    room.errno.store(ENOSPC, Ordering::Relaxed);
    while writer.add(&mut ledger, at(0), 16) {}
    let before = room.tries.load(Ordering::Relaxed);
    let mut fitted = 0;
    for millis in 0..10_000 {
        // Small enough to fit, and too large, in turn.
        let values = if millis % 2 == 0 { 16 } else { 1 };
        let is_counted = writer.add(&mut ledger, at(millis), values);
        fitted += u32::from(is_counted);
        assert_eq!(ledger.health(), Health::Full, "at {millis} ms");
    }
    assert!(fitted > 0, "what fits is counted");
    let tries = room.tries.load(Ordering::Relaxed) - before;
    assert!((8..=10).contains(&tries), "{tries} tries in 10 s");
    // Nothing is sent that would need a new one: it is found all the same that there is room.
    room.errno.store(0, Ordering::Relaxed);
    assert!(!writer.add(&mut ledger, at(9_999), 16));
    assert!(writer.add(&mut ledger, at(10_999), 16));
    assert_eq!(ledger.health(), Health::Good);
    drop(ledger);
    assert_eq!(verify(&place.ledger("a")), writer.count);
}

/// F15. Wherever in a frame, a superblock or a segment's head the room ends.
#[test]
fn a_write_that_finds_no_room_is_status_4_and_goes_on_when_there_is_some() {
    for bytes in (0..5_600).step_by(131) {
        let place = Place::new();
        let path = place.ledger("a");
        let (mut ledger, room) = short(&path);
        let mut writer = Writer::begin(&mut ledger);
        assert!(writer.add(&mut ledger, at(0), 3));
        room.bytes.store(bytes, Ordering::Relaxed);
        room.copies_on_write.store(true, Ordering::Relaxed);
        writer.until_refused(&mut ledger, at(10));
        assert_eq!(ledger.health(), Health::Full, "{bytes}");
        // Killed now: nobody was told of what is there by half.
        let copy = place.ledger("copy");
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let killed = open(&copy).standing(&ALICE).unwrap().last_seq.get();
        assert!([writer.count, writer.count + 1].contains(&killed), "{bytes}: {killed}");
        ledger.rest();
        ledger.checkpoint();
        assert!(!writer.add(&mut ledger, at(20), 1));
        room.bytes.store(1 << 30, Ordering::Relaxed);
        assert!(!writer.add(&mut ledger, at(30), 1), "a second has not passed");
        assert!(writer.add(&mut ledger, at(1_500), 1), "{bytes}");
        assert_eq!(ledger.health(), Health::Good);
        let segments = |path: &Path| fs::read_dir(path).unwrap().filter(is_segment).count();
        let before = segments(&path);
        while segments(&path) == before {
            assert!(writer.add(&mut ledger, at(2_000), 16));
        }
        assert_eq!(ledger.standing(&ALICE).unwrap().last_seq.get(), writer.count);
        drop(ledger);
        assert_eq!(verify(&path), writer.count);
        assert_eq!(open(&path).standing(&ALICE).unwrap().last_seq.get(), writer.count);
    }
}

/// F15: the start of a server. Wherever the room ends.
#[test]
fn a_ledger_without_room_to_open_is_full_until_there_is_some() {
    for bytes in [0, 1, 40, 100, 200, 1_000, 1_500] {
        for torn in [0, 30] {
            let place = Place::new();
            let path = place.ledger("a");
            let (mut ledger, room) = short(&path);
            let mut writer = Writer::begin(&mut ledger);
            assert!(writer.add(&mut ledger, at(0), 3));
            room.bytes.store(torn, Ordering::Relaxed);
            room.copies_on_write.store(true, Ordering::Relaxed);
            assert!(!writer.add(&mut ledger, at(0), 1));
            drop(ledger);
            room.bytes.store(bytes, Ordering::Relaxed);
            let mut ledger = open_short(&path, &room);
            let is_full = ledger.health() == Health::Full;
            assert!(is_full || bytes >= 100, "{bytes} bytes, torn {torn}");
            assert_eq!(ledger.standing(&ALICE).unwrap().last_seq.get(), 3);
            if is_full {
                ledger.rest();
                ledger.checkpoint();
                let refused = OperationOutcome::Opened(Err(Refusal::Unavailable));
                assert_eq!(ledger.commit(at(1_000), &[Operation::Open(ALICE)])[0], refused);
                assert_eq!(ledger.health(), Health::Full);
            }
            room.bytes.store(1 << 30, Ordering::Relaxed);
            let open = ledger.commit(at(2_000), &[Operation::Open(ALICE)])[0];
            assert!(matches!(open, OperationOutcome::Opened(Ok(_))), "{open:?}");
            assert_eq!(ledger.health(), Health::Good);
            drop(ledger);
            assert_eq!(verify(&path), 3);
        }
    }
}

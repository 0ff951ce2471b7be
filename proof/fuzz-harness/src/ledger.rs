//! Files of a ledger's folder, and what is in them, as somebody who can write the folder may leave
//! them.

use std::io;
use std::sync::{Arc, Mutex};

use ddes_ledger::audit::{self, View};
use ddes_ledger::store::{Disk, DiskFile, StoreOptions};
use ddes_ledger::{
    AccountId, Ledger, Operation, OperationOutcome, Statement, Submission, Timestamp,
};
use ddes_wire::{Amount, Sequence};
use sha2::{Digest, Sha256};

/// Small, so that a few batches go through several files.
const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 8 * 1024,
    frame_bytes: 1024,
    values_max: 16,
    checkpoint_bytes: 1024,
    slice_accounts: 2,
    pause_accounts: 2,
    history: None,
};
/// The files made before the data changes them: batches enough for three segments and a checkpoint
/// or two.
const ROUNDS: u64 = 90;

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<(String, Bytes)>>>);

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
struct MemoryFile(Bytes);

impl Memory {
    fn find(&self, name: &str) -> io::Result<Bytes> {
        let files = self.0.lock().unwrap();
        let found =
            files.iter().find(|(other, _)| other == name).map(|(_, bytes)| Arc::clone(bytes));
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A file of this name and content, in the place of any other.
    fn put(&self, name: &str, bytes: Vec<u8>) -> Bytes {
        let mut files = self.0.lock().unwrap();
        files.retain(|(other, _)| other != name);
        let bytes = Arc::new(Mutex::new(bytes));
        files.push((name.to_owned(), Arc::clone(&bytes)));
        bytes
    }

    fn copy(&self) -> Self {
        let copy = Self::default();
        for (name, bytes) in self.0.lock().unwrap().iter() {
            copy.put(name, bytes.lock().unwrap().clone());
        }
        copy
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().iter().map(|(name, _)| name.clone()).collect())
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(MemoryFile(self.find(name)?)))
    }
    fn claim(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }
    fn stands(&self) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, name: &str, zeros: u64) -> io::Result<Box<dyn DiskFile>> {
        let zeros = usize::try_from(zeros).map_err(io::Error::other)?;
        Ok(Box::new(MemoryFile(self.put(name, vec![0; zeros]))))
    }
    fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.find(from)?;
        let mut files = self.0.lock().unwrap();
        files.retain(|(name, _)| name != from && name != to);
        files.push((to.to_owned(), bytes));
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.0.lock().unwrap().retain(|(other, _)| other != name);
        Ok(())
    }
    fn prepare(&self, _: &str, _: u64) {}
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let file = self.0.lock().unwrap();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let there = offset.checked_add(bytes.len()).and_then(|end| file.get(offset..end));
        bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset..end].copy_from_slice(bytes);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A ledger of three accounts.
fn made() -> (Memory, Ledger) {
    let disk = Memory::default();
    let (mut ledger, _) = Ledger::open(Arc::new(disk.clone()), OPTIONS, [7; 16]).unwrap();
    let ids = [AccountId::Identity([1; 32]), AccountId::Identity([2; 32]), AccountId::Classic(0)];
    let accounts = ids.map(|id| match ledger.commit(Timestamp(1), &[Operation::Open(id)])[0] {
        OperationOutcome::Opened(Ok(opening)) => (opening.account, opening.session),
        outcome @ (OperationOutcome::Opened(_)
        | OperationOutcome::Decided(_)
        | OperationOutcome::Ended(_)) => {
            panic!("{outcome:?}")
        }
    });
    for round in 1..=ROUNDS {
        for (account, session) in accounts {
            let amounts = [Amount::from(round)].into_iter().collect();
            let submission =
                Submission { account, session, first_seq: Sequence::new(round), amounts };
            ledger.commit(Timestamp(round), &[Operation::Add(submission)]);
        }
        while ledger.rest() {}
        while let Some(work) = ledger.poll_work() {
            ledger.handle_done(work.run()).unwrap();
        }
    }
    ledger.rest();
    (disk, ledger)
}

/// Changes one file as the data has it: a place, and what stands there then. The first bit says
/// whether a checkpoint's own checksum is made right.
fn change(disk: &Memory, prefix: &str, data: &[u8]) {
    let Some(([which, high, low], bytes)) = data.split_first_chunk() else { return };
    let names: Vec<_> =
        disk.list().unwrap().into_iter().filter(|name| name.starts_with(prefix)).collect();
    let Some(name) = names.get(usize::from(*which) % names.len().max(1)) else { return };
    let mut file = disk.find(name).unwrap().lock().unwrap().clone();
    let at = usize::from(u16::from_be_bytes([*high, *low])) % file.len().max(1);
    for (place, byte) in file[at..].iter_mut().zip(bytes) {
        *place = *byte;
    }
    if *which & 0x80 != 0
        && prefix == "checkpoint-"
        && let Some(end) = file.len().checked_sub(32)
    {
        let digest = Sha256::digest(&file[..end]);
        file[end..].copy_from_slice(&digest);
    }
    disk.put(name, file);
}

/// Whatever the files hold: nothing panics, and what opens and verifies tells one story.
fn look(disk: &Memory, told: Option<&Ledger>) {
    let view = View::read(disk);
    let verified = audit::verify(disk, &[], &mut |_, _| {});
    if let (Ok(view), Ok(verified)) = (&view, &verified) {
        assert_eq!(view.totals(), verified.totals);
    }
    drop(audit::history::<()>(disk, &mut |_, _| {}, &mut |_| Ok(())));
    drop(audit::checkpoint_statement(disk));
    drop(audit::backup(disk, &Memory::default(), &mut |_, _| {}));
    let Ok((mut ledger, _)) = Ledger::open(Arc::new(disk.copy()), OPTIONS, [8; 16]) else { return };
    if let (Some(told), Ok(verified)) = (told, &verified) {
        assert_eq!(
            (ledger.totals(), verified.totals),
            (told.totals(), told.totals()),
            "a total was changed"
        );
    }
    ledger.commit(Timestamp(1), &[Operation::Open(AccountId::Identity([9; 32]))]);
}

/// A ledger in which bytes of a segment were changed: what acknowledges itself as whole holds what
/// was counted.
pub fn journal(data: &[u8]) {
    let (disk, ledger) = made();
    change(&disk, "journal-", data);
    look(&disk, Some(&ledger));
}

/// The data is the only segment, zeros behind it.
pub fn segment(data: &[u8]) {
    let disk = Memory::default();
    let mut bytes = data.to_vec();
    // As long as its header says, where that is small.
    let length =
        data.get(32..40).and_then(|length| Some(u64::from_le_bytes(*length.first_chunk()?)));
    if let Some(length) =
        length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length < 1 << 20)
    {
        bytes.resize(length, 0);
    }
    disk.put("journal-0000000001", bytes);
    look(&disk, None);
}

/// A ledger in which bytes of a checkpoint were changed: it tells no other total.
pub fn checkpoint(data: &[u8]) {
    let (disk, ledger) = made();
    change(&disk, "checkpoint-", data);
    // It may claim that later batches were durable: then nothing is told.
    if let Ok(view) = View::read(&disk) {
        assert_eq!(view.totals(), ledger.totals());
    }
    // And the data alone, as one.
    disk.put("checkpoint-00000000000000000001", data.to_vec());
    look(&disk, Some(&ledger));
}

/// Records: what is read is written to the very bytes again.
pub fn record(data: &[u8]) {
    let mut rest = data;
    while !rest.is_empty() {
        let before = rest;
        let Some(record) = ddes_ledger::store::Record::take(&mut rest) else { return };
        let mut again = Vec::new();
        record.put(&mut again);
        assert_eq!(again, before[..before.len() - rest.len()]);
    }
}

/// A receipt's statement: one text for each.
pub fn receipt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(statement) = Statement::parse(text) {
        assert_eq!(statement.to_string(), text);
    }
    if let Ok(id) = text.parse::<AccountId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

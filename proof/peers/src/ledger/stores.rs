//! The ledger, three embedded databases and the bare floor, under one workload.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ddes_ledger::store::{CheckpointDone, CheckpointWork, Folder, StoreOptions};
use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Operation, OperationOutcome, Submission, Timestamp,
};
use ddes_wire::{Amount, Sequence, SessionNumber};
use redb::ReadableTable;
use rusqlite::OptionalExtension;

/// One value for one account, as the next of its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub(crate) account: u32,
    pub(crate) session: u64,
    pub(crate) seq: u64,
    pub(crate) value: i64,
}

/// What every store keeps for an account.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    last_seq: u64,
    session: u64,
    sum: i128,
}

/// Counts each value exactly once; what was counted is durable when a commit returns.
pub(crate) trait Store {
    fn name(&self) -> &'static str;
    /// One durable transaction; the time it took, without the making of its argument.
    fn commit(&mut self, batch: &[Update]) -> Result<Duration, String>;
}

/// The caches of those that have one: the accounts fit.
const CACHE_BYTES: usize = 256 << 20;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl State {
    fn count(&mut self, update: &Update) -> Result<(), String> {
        if (update.session, update.seq) != (self.session, self.last_seq + 1) {
            return Err(format!(
                "value {} of account {} is out of order",
                update.seq, update.account
            ));
        }
        self.last_seq = update.seq;
        self.sum += i128::from(update.value);
        Ok(())
    }

    fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.last_seq.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.session.to_le_bytes());
        bytes[16..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (last_seq, rest) = bytes.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        Some(Self {
            last_seq: u64::from_le_bytes(*last_seq),
            session: u64::from_le_bytes(*session),
            sum: i128::from_le_bytes(*rest.first_chunk()?),
        })
    }

    /// After its first session was opened.
    const OPENED: Self = Self { last_seq: 0, session: 1, sum: 0 };
}

/// Append and `fdatasync`: nothing that is durable is cheaper.
pub(crate) struct Floor {
    accounts: Vec<State>,
    file: File,
    offset: u64,
    bytes: Vec<u8>,
}

impl Floor {
    /// It begins again at its start when it is full.
    const FILE_BYTES: u64 = 256 << 20;
    /// account u32 || seq u64 || value i64 || sum i128
    pub(crate) const RECORD_BYTES: usize = 4 + 8 + 8 + 16;

    pub(crate) fn new(folder: &Path, accounts: u32) -> Result<Self, String> {
        let path = folder.join("floor");
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(true).open(path).map_err(text)?;
        let zeros = vec![0; 1 << 20];
        for offset in (0..Self::FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset).map_err(text)?;
        }
        file.sync_all().map_err(text)?;
        let accounts = vec![State::OPENED; accounts as usize];
        Ok(Self { accounts, file, offset: 0, bytes: Vec::new() })
    }
}

impl Store for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn commit(&mut self, batch: &[Update]) -> Result<Duration, String> {
        let start = Instant::now();
        self.bytes.clear();
        for update in batch {
            let state = self.accounts.get_mut(update.account as usize).ok_or("no such account")?;
            state.count(update)?;
            self.bytes.extend_from_slice(&update.account.to_le_bytes());
            self.bytes.extend_from_slice(&update.seq.to_le_bytes());
            self.bytes.extend_from_slice(&update.value.to_le_bytes());
            self.bytes.extend_from_slice(&state.sum.to_le_bytes());
        }
        if self.offset + self.bytes.len() as u64 > Self::FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(&self.bytes, self.offset).map_err(text)?;
        self.file.sync_data().map_err(text)?;
        self.offset += self.bytes.len() as u64;
        Ok(start.elapsed())
    }
}

/// Ours, as the server's clerk drives it: one thread commits, another makes checkpoints durable.
pub(crate) struct Ours {
    pub(crate) ledger: Ledger,
    /// Checkpoints that are durable by now.
    pub(crate) finished: usize,
    /// Those, and one that is being made durable.
    written: usize,
    operations: Vec<Operation>,
    work: Sender<CheckpointWork>,
    done: Receiver<CheckpointDone>,
}

impl Ours {
    /// A new ledger with so many accounts, each with its first session.
    pub(crate) fn new(folder: &Path, accounts: u32, options: StoreOptions) -> Result<Self, String> {
        let mut ours = Self::open(folder, options)?;
        for first in (0..accounts).step_by(OPENINGS as usize) {
            let numbers = first..accounts.min(first.saturating_add(OPENINGS));
            let openings: Vec<_> =
                numbers.map(|number| Operation::Open(AccountId::Identity(key(number)))).collect();
            let outcomes = ours.ledger.commit(now()?, &openings);
            if !outcomes.iter().all(|outcome| matches!(outcome, OperationOutcome::Opened(Ok(_)))) {
                return Err("an account cannot be opened".into());
            }
            ours.clerk()?;
        }
        Ok(ours)
    }

    pub(crate) fn open(folder: &Path, options: StoreOptions) -> Result<Self, String> {
        let folder = Folder::lock(folder).map_err(text)?.ok_or("the folder is locked")?;
        let (ledger, _) = Ledger::open(Arc::new(folder), options, [7; 16]).map_err(text)?;
        let (work, todo) = mpsc::channel::<CheckpointWork>();
        let (finished, done) = mpsc::channel();
        // It ends with the sender.
        std::thread::spawn(move || todo.into_iter().try_for_each(|work| finished.send(work.run())));
        Ok(Self { ledger, finished: 0, written: 0, operations: Vec::new(), work, done })
    }

    /// Makes a checkpoint, with nothing beside it.
    pub(crate) fn finish_checkpoint(&mut self) -> Result<(), String> {
        let before = self.finished;
        self.ledger.checkpoint();
        loop {
            let has_more = self.ledger.rest();
            self.clerk()?;
            if !has_more && self.written == self.finished {
                break;
            }
        }
        if self.finished == before { Err("no checkpoint was made".into()) } else { Ok(()) }
    }

    /// What the clerk does between commits.
    pub(crate) fn clerk(&mut self) -> Result<(), String> {
        if let Some(work) = self.ledger.poll_work() {
            self.work.send(work).map_err(text)?;
            self.written += 1;
        }
        if let Ok(done) = self.done.try_recv() {
            self.ledger.handle_done(done).map_err(text)?;
            self.finished += 1;
        }
        self.ledger.poll_fault().map_or(Ok(()), |error| Err(error.to_string()))
    }
}

impl Store for Ours {
    fn name(&self) -> &'static str {
        "ddes-ledger"
    }

    fn commit(&mut self, batch: &[Update]) -> Result<Duration, String> {
        // As sessions hand them over: made elsewhere.
        self.operations.clear();
        self.operations.extend(batch.iter().map(|update| {
            Operation::Add(Submission {
                account: AccountNumber::Identity(update.account),
                session: SessionNumber::new(update.session),
                first_seq: Sequence::new(update.seq),
                amounts: [Amount::from(update.value)].into(),
            })
        }));
        let start = Instant::now();
        let outcomes = self.ledger.commit(now()?, &self.operations);
        self.clerk()?;
        let time = start.elapsed();
        let counted =
            outcomes.iter().all(|outcome| matches!(outcome, OperationOutcome::Decided(Ok(_))));
        if counted { Ok(time) } else { Err("a value was refused".into()) }
    }
}

pub(crate) struct Redb(redb::Database);

const TABLE: redb::TableDefinition<'_, u32, [u8; 32]> = redb::TableDefinition::new("accounts");

impl Redb {
    pub(crate) fn new(folder: &Path, accounts: u32) -> Result<Self, String> {
        let database = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(folder.join("redb"))
            .map_err(text)?;
        let transaction = database.begin_write().map_err(text)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(text)?;
            for account in 0..accounts {
                table.insert(account, State::OPENED.encode()).map_err(text)?;
            }
        }
        transaction.commit().map_err(text)?;
        Ok(Self(database))
    }
}

impl Store for Redb {
    fn name(&self) -> &'static str {
        "redb 4"
    }

    fn commit(&mut self, batch: &[Update]) -> Result<Duration, String> {
        let start = Instant::now();
        // Durability::Immediate is what it begins with.
        let transaction = self.0.begin_write().map_err(text)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(text)?;
            for update in batch {
                let found = table.get(update.account).map_err(text)?.map(|bytes| bytes.value());
                let mut state =
                    found.and_then(|bytes| State::decode(&bytes)).ok_or("no such account")?;
                state.count(update)?;
                table.insert(update.account, state.encode()).map_err(text)?;
            }
        }
        transaction.commit().map_err(text)?;
        Ok(start.elapsed())
    }
}

pub(crate) struct Fjall {
    database: fjall::Database,
    accounts: fjall::Keyspace,
    /// Of the batch: its own writes are not seen before it is committed.
    states: HashMap<u32, State>,
}

impl Fjall {
    pub(crate) fn new(folder: &Path, accounts: u32) -> Result<Self, String> {
        let database = fjall::Database::builder(folder.join("fjall"));
        let database = database.cache_size(CACHE_BYTES as u64).open().map_err(text)?;
        let keyspace =
            database.keyspace("accounts", fjall::KeyspaceCreateOptions::default).map_err(text)?;
        for first in (0..accounts).step_by(OPENINGS as usize) {
            let mut batch = database.batch();
            for account in first..accounts.min(first.saturating_add(OPENINGS)) {
                batch.insert(&keyspace, account.to_be_bytes(), State::OPENED.encode());
            }
            batch.commit().map_err(text)?;
        }
        // As a long life would leave them: in tables rather than in the log.
        keyspace.rotate_memtable_and_wait().map_err(text)?;
        Ok(Self { database, accounts: keyspace, states: HashMap::new() })
    }
}

impl Store for Fjall {
    fn name(&self) -> &'static str {
        "fjall 3"
    }

    fn commit(&mut self, batch: &[Update]) -> Result<Duration, String> {
        let start = Instant::now();
        self.states.clear();
        for update in batch {
            let state = match self.states.get_mut(&update.account) {
                Some(state) => state,
                None => {
                    let found = self.accounts.get(update.account.to_be_bytes()).map_err(text)?;
                    let state =
                        found.and_then(|bytes| State::decode(&bytes)).ok_or("no such account")?;
                    self.states.entry(update.account).or_insert(state)
                }
            };
            state.count(update)?;
        }
        let mut writes = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for (account, state) in &self.states {
            writes.insert(&self.accounts, account.to_be_bytes(), state.encode());
        }
        writes.commit().map_err(text)?;
        Ok(start.elapsed())
    }
}

pub(crate) struct Sqlite(rusqlite::Connection);

impl Sqlite {
    pub(crate) fn new(folder: &Path, accounts: u32) -> Result<Self, String> {
        let mut connection = rusqlite::Connection::open(folder.join("sqlite")).map_err(text)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(text)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(text)?;
        // Negative: KiB rather than pages.
        let cache = -i64::try_from(CACHE_BYTES / 1024).map_err(text)?;
        connection.pragma_update(None, "cache_size", cache).map_err(text)?;
        connection.execute(CREATE, ()).map_err(text)?;
        let transaction = connection.transaction().map_err(text)?;
        {
            let mut insert = transaction.prepare(INSERT).map_err(text)?;
            for account in 0..accounts {
                insert.execute((account,)).map_err(text)?;
            }
        }
        transaction.commit().map_err(text)?;
        Ok(Self(connection))
    }
}

const CREATE: &str = "CREATE TABLE accounts (account INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, session INTEGER NOT NULL, sum BLOB NOT NULL) STRICT";
const INSERT: &str = "INSERT INTO accounts VALUES (?1, 0, 1, zeroblob(16))";
const SELECT: &str = "SELECT last_seq, session, sum FROM accounts WHERE account = ?1";
const UPDATE: &str = "UPDATE accounts SET last_seq = ?2, sum = ?3 WHERE account = ?1";

impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite (WAL, FULL)"
    }

    fn commit(&mut self, batch: &[Update]) -> Result<Duration, String> {
        let start = Instant::now();
        let transaction = self.0.transaction().map_err(text)?;
        {
            let mut select = transaction.prepare_cached(SELECT).map_err(text)?;
            let mut write = transaction.prepare_cached(UPDATE).map_err(text)?;
            for update in batch {
                let found = select.query_one((update.account,), |row| {
                    let (last_seq, session): (i64, i64) = (row.get(0)?, row.get(1)?);
                    let (last_seq, session) = (last_seq.cast_unsigned(), session.cast_unsigned());
                    Ok(State { last_seq, session, sum: i128::from_le_bytes(row.get(2)?) })
                });
                let mut state = found.optional().map_err(text)?.ok_or("no such account")?;
                state.count(update)?;
                write
                    .execute((
                        update.account,
                        state.last_seq.cast_signed(),
                        state.sum.to_le_bytes(),
                    ))
                    .map_err(text)?;
            }
        }
        transaction.commit().map_err(text)?;
        Ok(start.elapsed())
    }
}

/// Accounts opened with one commit.
const OPENINGS: u32 = 1024;

pub(crate) fn key(number: u32) -> [u8; 32] {
    let mut key = [0x5a; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    key
}

pub(crate) fn now() -> Result<Timestamp, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?;
    u64::try_from(since.as_micros()).map(Timestamp).map_err(text)
}

/// A folder for one measurement, removed after it.
pub(crate) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("ddes-peers-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).map_err(text)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the system's folder for that.
        drop(fs::remove_dir_all(&self.0));
    }
}

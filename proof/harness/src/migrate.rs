//! A ledger of many accounts goes into a PostgreSQL and back, as a user does it: what it costs, and
//! whether totals and receipts are as before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ddes_ledger::audit::{self, HeldBy, View};
use ddes_ledger::store::{Folder, StoreOptions};
use ddes_ledger::{
    AccountId, Ledger, Operation, OperationOutcome, Statement, Subject, Submission, Timestamp,
    Totals,
};
use ddes_ledger_postgres::DatabaseUrl;
use ddes_ledger_postgres::audit::HistoryReader;
use ddes_wire::{Amount, Sequence};

use crate::cluster::{OWNER, Postgres, SERVER};
use crate::values::{mix, value};

/// Requests of one batch.
const BATCH: u64 = 4096;
/// Accounts whose receipts are looked at.
const RECEIPTS: u64 = 1000;
const LEDGER: [u8; 16] = [7; 16];

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let usage = "usage: ddes-harness migrate DDES FOLDER ACCOUNTS";
    let [ddes, place, accounts] = arguments else { return Err(usage.into()) };
    let accounts: u64 = accounts.parse().map_err(|_| usage)?;
    let move_of = Move { ddes: PathBuf::from(ddes), home: PathBuf::from(place) };
    let (from, back) = (move_of.home.join("from"), move_of.home.join("back"));
    let totals = fill(&from, accounts)?;
    println!(
        "{accounts} accounts, count {}, sum {}: {} MB in the folder",
        totals.count,
        totals.sum,
        megabytes(&from)?
    );
    let of_folder = receipts(&from, accounts)?;

    let postgres = Postgres::start();
    let (owner, server) = (postgres.url(OWNER), postgres.url(SERVER));
    move_of.ddes(&["ledger", "init", "--ledger", &owner, "--run"])?;
    move_of.timed("folder to PostgreSQL", &["ledger", "migrate", &shown(&from), &owner])?;
    let size = postgres.sql("ddes", "SELECT pg_database_size('ddes') / 1000000");
    println!("  {size} MB in the database");
    let place = DatabaseUrl::parse(&server).map_err(|error| error.to_string())?;
    let reader = HistoryReader::open(&place).map_err(|error| error.to_string())?;
    same(&totals, &reader.totals().map_err(|error| error.to_string())?, "the database")?;
    let of_database = shared_receipts(&reader, accounts, &of_folder)?;

    move_of.timed("PostgreSQL to folder", &["ledger", "migrate", &owner, &shown(&back)])?;
    println!("  {} MB in the folder", megabytes(&back)?);
    let folder = Folder::look(&back).map_err(|error| error.to_string())?;
    for (statements, held_by) in [(&of_folder, HeldBy::Total), (&of_database, HeldBy::Batch)] {
        let verified = audit::verify_by(&folder, statements, held_by, &mut |_, _| {});
        let verified = verified.map_err(|error| error.to_string())?;
        same(&totals, &verified.totals, "the folder")?;
    }
    println!(
        "totals as before; {} receipts of the folder hold by count and sum, {} of the database by \
         their chains",
        of_folder.len(),
        of_database.len()
    );
    Ok(())
}

struct Move {
    ddes: PathBuf,
    home: PathBuf,
}

impl Move {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.ddes);
        command.args(arguments).arg("--quiet").arg("--home").arg(self.home.join("home"));
        command.stdout(Stdio::null());
        command
    }

    fn ddes(&self, arguments: &[&str]) -> Result<(), String> {
        let status = self.command(arguments).status().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("ddes {arguments:?}: {status}")) }
    }

    /// Runs it, and prints its time and the most memory that it had.
    fn timed(&self, what: &str, arguments: &[&str]) -> Result<(), String> {
        let begin = Instant::now();
        let mut child = self.command(arguments).spawn().map_err(|error| error.to_string())?;
        let mut peak = 0;
        let status = loop {
            // It is gone at the end.
            peak = kibibytes(child.id()).map_or(peak, |now| peak.max(now));
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        if !status.success() {
            return Err(format!("ddes {arguments:?}: {status}"));
        }
        println!("{what}: {:.1} s, {} MiB at most", begin.elapsed().as_secs_f32(), peak / 1024);
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn kibibytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn megabytes(folder: &Path) -> Result<u64, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let sizes =
        entries.map(|entry| entry.and_then(|entry| entry.metadata()).map(|file| file.len()));
    let sizes: Vec<u64> = sizes.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok(sizes.iter().sum::<u64>() / 1_000_000)
}

fn same(before: &Totals, after: &Totals, what: &str) -> Result<(), String> {
    if before == after { Ok(()) } else { Err(format!("{what} has {after:?}, and not {before:?}")) }
}

/// Identity number `client`.
fn id(client: u64) -> AccountId {
    let mut key = [0; 32];
    for (part, at) in key.chunks_exact_mut(8).zip(0..) {
        part.copy_from_slice(&mix(client << 2 | at).to_le_bytes());
    }
    AccountId::Identity(key)
}

/// A ledger in which each account has opened a session and counted one to three values.
fn fill(folder: &Path, accounts: u64) -> Result<Totals, String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let disk = Folder::lock(folder).map_err(|error| error.to_string())?.ok_or("it is in use")?;
    let opened = Ledger::open(Arc::new(disk), StoreOptions::default(), LEDGER);
    let (mut ledger, _) = opened.map_err(|error| error.to_string())?;
    let mut clock = 1_800_000_000_000_000;
    for first in (0..accounts).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let clients: Vec<u64> = (first..accounts.min(first + BATCH)).collect();
        let opens: Vec<Operation> =
            clients.iter().map(|client| Operation::Open(id(*client))).collect();
        clock += 1000;
        let openings = ledger.commit(Timestamp(clock), &opens);
        let adds = clients.iter().zip(openings).map(|(client, outcome)| match outcome {
            OperationOutcome::Opened(Ok(opening)) => Ok(Operation::Add(Submission {
                account: opening.account,
                session: opening.session,
                first_seq: Sequence::new(1),
                amounts: (1..=1 + client % 3)
                    .map(|number| Amount::from(value(*client, number)))
                    .collect(),
            })),
            other @ (OperationOutcome::Opened(Err(_))
            | OperationOutcome::Decided(_)
            | OperationOutcome::Ended(_)) => Err(format!("{other:?}")),
        });
        let adds: Vec<Operation> = adds.collect::<Result<_, _>>()?;
        clock += 1000;
        ledger.commit(Timestamp(clock), &adds);
        while let Some(work) = ledger.poll_work() {
            ledger.handle_done(work.run()).map_err(|error| error.to_string())?;
        }
    }
    ledger.rest();
    Ok(ledger.totals())
}

fn asked(accounts: u64) -> impl Iterator<Item = u64> {
    (0..RECEIPTS.min(accounts)).map(move |number| mix(number) % accounts)
}

fn receipts(folder: &Path, accounts: u64) -> Result<Vec<Statement>, String> {
    let folder = Folder::look(folder).map_err(|error| error.to_string())?;
    let view = View::read(&folder).map_err(|error| error.to_string())?;
    let stated = asked(accounts).map(|client| view.statement(&id(client)));
    stated.collect::<Option<_>>().ok_or_else(|| "an account is missing".into())
}

/// What the database states of the same accounts: the same counts and sums.
fn shared_receipts(
    reader: &HistoryReader,
    accounts: u64,
    before: &[Statement],
) -> Result<Vec<Statement>, String> {
    let stated = asked(accounts).zip(before).map(|(client, before)| {
        let found = reader.acknowledged(&id(client)).map_err(|error| error.to_string())?;
        let (row, entry) = found.ok_or("an account is missing")?;
        let standing = row.account.standing();
        if (u128::from(row.account.count()), standing.sum) != (before.count, before.sum) {
            return Err(format!("account {} is not as before", row.id));
        }
        Ok(Statement {
            ledger: before.ledger,
            subject: Subject::Shared(row.id),
            count: before.count,
            sum: before.sum,
            batch: entry.number,
            chain: entry.chain,
            time: entry.time,
        })
    });
    stated.collect()
}

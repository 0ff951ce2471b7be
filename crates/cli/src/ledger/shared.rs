//! `ddes ledger …` of a ledger in a database.

use std::path::{Path, PathBuf};

use ddes_ledger::audit::{Counted, HeldBy, name_of};
use ddes_ledger::shared::{HistoryEntry, SharedRow};
use ddes_ledger::{AccountId, Statement, Subject, Totals};
use ddes_ledger_postgres::audit::{AuditError, HistoryReader};
use ddes_ledger_postgres::{DatabaseUrl, definition};
use ddes_server::DatabaseKeys;
use ddes_wire::shown::hex;
use ddes_wire::{Sequence, Total};

use super::database::{database, keys, name, of_connect};
use super::{account, shown_time, verify, watched_accounts};
use crate::args::{BooksArgs, InitArgs, RaiseArgs, ReceiptArgs};
use crate::failure::{Code, Failure};
use crate::home::{self, Home};
use crate::screen::{Line, Screen, number};
use crate::streams::say;

/// A ledger in a database, which servers may be writing.
pub(super) struct SharedBooks {
    pub(super) home: Home,
    place: DatabaseUrl,
    reader: HistoryReader,
    /// The flags that name it once more, for a hint.
    flags: String,
    is_quiet: bool,
}

impl SharedBooks {
    /// `None` if the flags name a folder.
    pub(super) fn look(args: &BooksArgs) -> Result<Option<Self>, Failure> {
        let Some(path) = &args.ledger else { return Ok(None) };
        let Some(place) = database(path) else { return Ok(None) };
        let (home, place) = (Home::find(&args.home)?, place?);
        let flags = home::flag() + &home::named("--ledger", path);
        let reader =
            HistoryReader::open(&place).map_err(|error| of_audit(&place, &flags, error))?;
        if reader.has_left() && !args.output.quiet {
            say(&format!("Note: the ledger in {place} was moved, and goes on elsewhere."));
        }
        Ok(Some(Self { home, place, reader, flags, is_quiet: args.output.quiet }))
    }

    fn failure(&self, error: AuditError) -> Failure {
        of_audit(&self.place, &self.flags, error)
    }

    pub(super) fn totals(&self) -> Result<Totals, Failure> {
        self.reader.totals().map_err(|error| self.failure(error))
    }

    /// All accounts; `take` returns whether to go on, and says why not.
    pub(super) fn accounts(&self, take: &mut dyn FnMut(&SharedRow) -> bool) -> Result<(), Failure> {
        self.stopped(self.reader.accounts(take))
    }

    /// All values that were counted, or those of one account.
    pub(super) fn history(
        &self,
        id: Option<&AccountId>,
        take: &mut dyn FnMut(&Counted) -> bool,
    ) -> Result<(), Failure> {
        let mut damaged = None;
        let read = self.reader.history(id, &mut |entry| match counted(entry) {
            Some(values) => values.iter().all(&mut *take),
            None => {
                damaged = Some(entry.number);
                false
            }
        });
        if let Some(entry) = damaged {
            let what = format!("the ledger {}: entry {entry} cannot be read", self.place);
            let next = format!("ddes ledger verify{}", self.flags);
            return Err(Failure::new(Code::Integrity, what).next(next));
        }
        self.stopped(read)
    }

    /// Whoever stopped the reading says why.
    fn stopped(&self, read: Result<(), AuditError>) -> Result<(), Failure> {
        match read {
            Ok(()) | Err(AuditError::Stopped) => Ok(()),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// The keys that the database lists, for their names: without them an account is shown and
    /// found by its fingerprint.
    pub(super) fn keys(&self) -> Option<DatabaseKeys> {
        match self.reader.authorized() {
            Ok(rows) => Some(keys(&self.place, &rows)),
            Err(error) => {
                say(&format!("warning: names of the database's list are not known: {error}"));
                None
            }
        }
    }

    /// The account that a person means.
    pub(super) fn named(&self, text: &str) -> Result<AccountId, Failure> {
        account::named(text, &self.home, self.keys(), &self.flags, |is_meant| {
            let mut found = None;
            self.accounts(&mut |row| {
                found = Some(row.id).filter(is_meant);
                found.is_none()
            })?;
            Ok(found)
        })
    }

    /// What a receipt is to state.
    pub(super) fn statement(&self, args: &ReceiptArgs) -> Result<Statement, Failure> {
        let Some(text) = &args.account else {
            let what = "a ledger in a database has no checkpoints: each account has its own chain";
            let next = format!("ddes ledger receipt ACCOUNT{}", self.flags);
            return Err(Failure::new(Code::Usage, what).next(next));
        };
        let id = self.named(text)?;
        let found = self.reader.acknowledged(&id).map_err(|error| self.failure(error))?;
        let (row, newest) = found.ok_or_else(|| {
            let shown = account::ShownAccount::new(&id);
            Failure::new(Code::No, format!("the ledger has no account {}", shown.short()))
                .cause("it never had a session here")
                .next(format!("ddes ledger ls{}", self.flags))
        })?;
        let standing = row.account.standing();
        let Some(last_seq) = args.last_seq else {
            return Ok(self.statement_of(&newest, standing.last_seq.get(), standing.sum));
        };
        let mut stated = None;
        let read = self.reader.history(Some(&id), &mut |entry| {
            // Up to what is acknowledged: a plain read may show more.
            if entry.number <= row.version {
                let sum = sum_at(entry, last_seq);
                stated = sum.map(|sum| self.statement_of(entry, last_seq, sum));
            }
            stated.is_none() && entry.number < row.version
        });
        self.stopped(read)?;
        stated.ok_or_else(|| {
            Failure::new(Code::No, format!("integer {last_seq} of {text} was not counted"))
                .next(format!("ddes ledger receipt '{text}'{}     (its total now)", self.flags))
        })
    }

    fn statement_of(&self, entry: &HistoryEntry, count: u64, sum: Total) -> Statement {
        Statement {
            ledger: Some(name_of(&self.reader.ledger())),
            subject: Subject::Shared(entry.id),
            count: count.into(),
            sum,
            batch: entry.number,
            chain: entry.chain,
            time: entry.time,
        }
    }

    /// Computes everything anew, and looks for what the receipts state; what was found.
    pub(super) fn verify(
        &self,
        statements: &[Statement],
        files: &[PathBuf],
        held_by: HeldBy,
    ) -> Result<Line, Failure> {
        let own = name_of(&self.reader.ledger());
        let mut held = vec![false; statements.len()];
        let is_moved = held_by == HeldBy::Total;
        let verified = watched_accounts(self.is_quiet, "Verifying", |progress| {
            let (mut seen, accounts) = (0, self.reader.totals()?.accounts);
            let mut step = |entry: &HistoryEntry| {
                for (statement, held) in statements.iter().zip(&mut held) {
                    let is_own = statement.ledger.is_none_or(|ledger| ledger == own);
                    *held |=
                        is_own && (entry.holds(statement) || is_moved && moved(entry, statement));
                }
                true
            };
            self.reader.verify(&mut step, &mut |_| {
                seen += 1;
                progress(seen, accounts.max(seen));
                true
            })
        });
        let verified = verified.map_err(|error| self.failure(error))?;
        for (path, held) in files.iter().zip(&held) {
            if !held {
                let why = if is_moved {
                    "this ledger never stood so"
                } else {
                    "the ledger does not hold what it states; --moved if it was moved since"
                };
                return Err(verify::not_held(path, why));
            }
        }
        let (totals, entries) = (&verified.totals, verified.entries);
        let as_of = shown_time(verified.time);
        let text = format!(
            "{} is whole\n  entries      {entries}\n  accounts     {}\n  count        {}\n  \
             sum          {}\n  newest       {as_of}\n  rests on     nothing but its entries: each \
             account's row is what its chained history gives",
            self.place, totals.accounts, totals.count, totals.sum
        );
        let line = super::with_totals(Line::new("verified", text), totals);
        Ok(line
            .with("ledger", hex(&own))
            .with("path", self.place.to_string())
            .with("entries", entries)
            .with("values", number(&totals.count))
            .with("as_of", as_of))
    }
}

/// The values of an entry; `None` if it is damaged.
fn counted(entry: &HistoryEntry) -> Option<Vec<Counted>> {
    let values = entry.values()?;
    // The sum before the first of them.
    let before = values.iter().try_fold(entry.sum.get(), |sum, value| sum.checked_sub(value.get()));
    let mut sum = Total::new(before?);
    let mut counted = Vec::with_capacity(values.len());
    for (at, amount) in values.into_iter().enumerate() {
        sum = sum.plus(amount).ok()?;
        counted.push(Counted {
            time: entry.time,
            batch: entry.number,
            account: entry.id,
            session: entry.session,
            seq: Sequence::new(entry.first_seq.get().checked_add(at as u64)?),
            amount,
            sum,
        });
    }
    Some(counted)
}

/// The sum with the value of this number, if it is in the entry.
fn sum_at(entry: &HistoryEntry, seq: u64) -> Option<Total> {
    counted(entry)?.iter().find(|counted| counted.seq.get() == seq).map(|counted| counted.sum)
}

/// Whether an account stood so, as a receipt of a folder states it that the ledger was in before.
fn moved(entry: &HistoryEntry, statement: &Statement) -> bool {
    entry.change().is_some_and(|change| change.amounts_to(statement))
}

pub(super) fn of_audit(place: &DatabaseUrl, flags: &str, error: AuditError) -> Failure {
    match error {
        AuditError::Connect(error) => of_connect(place, error),
        AuditError::Failed(why) => {
            Failure::new(Code::Connect, format!("the database {place}: {why}"))
                .cause("it stopped, or this user may not read the tables")
                .next("the same command again; GRANT SELECT on the tables")
        }
        AuditError::Damaged(error) => {
            Failure::new(Code::Integrity, format!("the ledger {place} is damaged: {error}"))
                .cause("somebody changed the tables, or the database lost what it acknowledged")
                .next(format!(
                    "stop the servers; keep a copy of the database as evidence; restore its \
                     backup, and ddes ledger verify{flags}"
                ))
        }
        AuditError::Stopped => Failure::new(Code::No, "the reading was stopped"),
    }
}

/// `ddes ledger init`.
pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    let place = meant(&args.books, "init", "a server makes a ledger in a folder by itself")?;
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| Failure::system("the system gives no randomness", &error))?;
    let sql = definition(&args.role, &id);
    let mut screen = Screen::of(&args.books.output);
    if !args.run {
        return screen.show(&Line::new("ledger_definition", sql.trim_end()).with("sql", sql));
    }
    ddes_ledger_postgres::init(&place, &args.role, &id)
        .map_err(|error| of_connect(&place, error))?;
    let text = format!(
        "{place} holds the new ledger {}; servers connect as {}",
        name(&id),
        home::quoted(Path::new(&args.role))
    );
    let line = Line::new("ledger_made", text);
    screen.show_done(
        &line
            .with("path", place.to_string())
            .with("ledger", name(&id))
            .with("role", args.role.as_str()),
    )
}

/// `ddes ledger raise`.
pub(super) fn raise(args: &RaiseArgs) -> Result<(), Failure> {
    let why = "ddes ledger restore raises the session numbers of a folder";
    let place = meant(&args.books, "raise", why)?;
    let raised = watched_accounts(args.books.output.quiet, "Raising", |progress| {
        ddes_ledger_postgres::raise(&place, progress)
    });
    let accounts = raised.map_err(|error| {
        // What is raised stays so, and may be raised again.
        of_connect(&place, error)
    })?;
    let text = format!("The session numbers of {accounts} accounts in {place} are raised by 2^32");
    let line = Line::new("ledger_raised", text);
    Screen::of(&args.books.output)
        .show_done(&line.with("path", place.to_string()).with("accounts", accounts))
}

/// The database of a command that is for one alone.
fn meant(args: &BooksArgs, command: &str, why: &str) -> Result<DatabaseUrl, Failure> {
    let folder = || {
        Failure::new(Code::Usage, format!("ddes ledger {command} is for a ledger in a database"))
            .cause(why)
            .next("--ledger postgres://USER@HOST/DATABASE")
    };
    database(args.ledger.as_deref().ok_or_else(folder)?).ok_or_else(folder)?
}

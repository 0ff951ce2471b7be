//! `ddes ledger …`.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use ddes_ledger_postgres::DatabaseUrl;

use super::{HomeArgs, OutputArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Recompute every total, and compare the chain, the checkpoints and receipts with it
    #[command(after_help = "\
Examples:
  ddes ledger verify
  ddes ledger verify --ledger /backup/monday
  ddes ledger verify --receipt anna.receipt --server-key server.pub
  ddes ledger verify --moved --receipt anna.receipt      after ddes ledger migrate

Damage is exit code 5, and names file, offset and batch.")]
    Verify(VerifyArgs),
    /// Totals over all clients: accounts, count, sum, mean, least and greatest integer
    #[command(after_help = "Examples:\n  ddes ledger totals\n  ddes ledger totals --json")]
    Totals(TotalsArgs),
    /// One line for each account
    #[command(after_help = "\
Examples:
  ddes ledger ls
  ddes ledger ls --json | jq -r '[.name, .sum] | @tsv'

Names are those of `ddes authorize` and of the identities of this home. Classic accounts are \
listed while their session lasts; after it they are in the totals only.")]
    Ls(LsArgs),
    /// Write every integer counted, as CSV or NDJSON, in the order of the ledger
    #[command(after_help = "\
Examples:
  ddes ledger export > counts.csv
  ddes ledger export --account anna --since 2027-01-01 --until 2027-02-01
  ddes ledger export --format ndjson --output counts.ndjson

Columns: time (of its batch), batch, account (public key in hexadecimal, or classic/N), \
fingerprint, session, seq, value, sum (of the account, with it).")]
    Export(ExportArgs),
    /// Copy the ledger into an empty folder, also while the server runs
    #[command(after_help = "\
Example:
  ddes ledger backup /backup/monday

The copy holds everything that was acknowledged before the command began. It is verified.")]
    Backup(BackupArgs),
    /// Restore a backup in place of a lost ledger; the ledger's folder must be empty
    #[command(after_help = "\
Examples:
  ddes ledger restore /backup/monday
  ddes ledger restore /backup/monday --ledger /srv/ddes/ledger

Session numbers grow by 2^32, so that none is given out twice. What was counted after the \
backup is gone: clients with an outbox notice, send nothing and stop with exit code 5; the \
others go on from the restored totals.")]
    Restore(RestoreArgs),
    /// Print or make the tables of a ledger that several servers share, in PostgreSQL
    #[command(after_help = "\
Examples:
  ddes ledger init --ledger postgres://owner@db1:5432,db2:5432/ddes > ledger.sql
  ddes ledger init --ledger postgres://owner@db1:5432,db2:5432/ddes --run
  ddes serve --ledger postgres://ddes@db1:5432,db2:5432/ddes

The user of the URL owns the tables. Servers connect as another one, who may append to the \
history and not change it. A password is in ~/.pgpass or the file of passfile= in the URL.")]
    Init(InitArgs),
    /// Give out no session number twice, after a database was restored to an earlier time
    #[command(after_help = "\
Example:
  ddes ledger raise --ledger postgres://ddes@db1:5432,db2:5432/ddes

Run it after a restore to a point in time or a forced failover, before the first server connects.
Session numbers grow by 2^32. Totals stay as they are. What was counted after that time is gone:
clients with an outbox notice, and stop with exit code 5. `ddes ledger restore` does this by itself
for a ledger in a folder.")]
    Raise(RaiseArgs),
    /// Move a ledger from a folder to PostgreSQL, or back, with its whole history
    #[command(after_help = "\
Examples:
  ddes ledger migrate ~/.local/share/ddes/ledger postgres://owner@db1/ddes
  ddes ledger migrate postgres://owner@db1/ddes /srv/ddes/ledger

The tables of the database are there, and empty: `ddes ledger init --run`. The user of the URL owns
them. Stop the servers first. Cut off at any point, the same command goes on from there.

Every total is compared. Session numbers grow by 2^32, so that none is given out twice. What was
moved stays where it was, as evidence: it can be verified, and no server takes it.
Receipts of before: ddes ledger verify --moved --receipt FILE")]
    Migrate(MigrateArgs),
    /// Sign a receipt for a total, or check one
    #[command(after_help = "\
Examples:
  ddes ledger receipt anna > anna.receipt            where the account stands now
  ddes ledger receipt anna --last-seq 42             where it stood when 42 was acknowledged
  ddes ledger receipt --checkpoint                   all accounts of the newest checkpoint
  ddes ledger receipt --check anna.receipt --server-key server.pub
                                                     without a ledger

`ddes ledger verify --receipt FILE` holds a receipt to the ledger. With OpenSSH alone: split \
the file before `-----BEGIN`, then `ssh-keygen -Y verify -n ddes2-receipt -f SIGNERS -I WHO -s \
SIGNATURE < STATEMENT`.")]
    Receipt(ReceiptArgs),
}

/// Where a ledger is: a folder, a database, or `memory`. The contract keeps other URLs for what is
/// not built yet; as a folder one would be made in silence.
pub(super) fn place() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let scheme = path.to_string_lossy().split_once("://").map(|(scheme, _)| scheme.to_owned());
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        match scheme.filter(|scheme| !scheme.is_empty() && scheme.bytes().all(is_word)) {
            None => Ok(path),
            // Looked at where it is used: here the text is repeated, and it may have a password in
            // it that must not be in a log.
            Some(_) if DatabaseUrl::is_meant(&path.to_string_lossy()) => Ok(path),
            Some(scheme) => Err(format!(
                "a ledger in {scheme}:// is not built yet: it is a folder, a database in \
                 postgres://, or `memory`"
            )),
        }
    })
}

/// Which ledger, and how the answer is said.
#[derive(Args, Debug)]
pub(crate) struct BooksArgs {
    /// The ledger's folder, or the URL of its database [default: the folder ledger of the home]
    #[arg(long, value_name = "DIR|URL", env = "DDES_LEDGER", value_parser = place())]
    pub(crate) ledger: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// A receipt to compare with the ledger (`-` is standard input); may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Vec<PathBuf>,
    /// Key that must have signed the receipts: a line, or a file [default: this home's server]
    #[arg(long, value_name = "KEY|FILE", requires = "receipt")]
    pub(crate) server_key: Option<String>,
    /// Hold receipts by count and sum: the ledger was moved between stores since, which has other
    /// batches
    #[arg(long, requires = "receipt")]
    pub(crate) moved: bool,
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TotalsArgs {
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Output format (--json implies ndjson)
    #[arg(long, value_enum, default_value = "csv", conflicts_with = "json")]
    pub(crate) format: Format,
    /// One account only: a name, a public key, a fingerprint, or classic/N
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
    /// Counted at that time or later: RFC 3339, or a date (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Counted before that time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Write to FILE instead of standard output; FILE appears only when complete
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Csv,
    Ndjson,
}

#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// An empty folder; created if needed
    #[arg(value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The folder that `ddes ledger backup` made
    #[arg(value_name = "BACKUP")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true)
          .args(["account", "checkpoint", "check"]))]
pub(crate) struct ReceiptArgs {
    /// An identity of the home, a name of `ddes authorize`, a public key, a fingerprint, or
    /// classic/N
    #[arg(value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
    /// The total as acknowledged with the integer of this number
    #[arg(long, value_name = "N", requires = "account")]
    pub(crate) last_seq: Option<u64>,
    /// All accounts, as of the newest checkpoint
    #[arg(long)]
    pub(crate) checkpoint: bool,
    /// Check the signature of this receipt (`-` is standard input); no ledger is needed
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
    /// Key that must have signed it: a line, or a file [default: this home's server]
    #[arg(long, value_name = "KEY|FILE", requires = "check")]
    pub(crate) server_key: Option<String>,
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The role that servers connect as; made if it is not there
    #[arg(long, value_name = "NAME", default_value = "ddes")]
    pub(crate) role: String,
    /// Make the tables, instead of printing what makes them
    #[arg(long)]
    pub(crate) run: bool,
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RaiseArgs {
    #[command(flatten)]
    pub(crate) books: BooksArgs,
}

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The ledger's folder, or the URL of its database
    #[arg(value_name = "FROM", value_parser = place())]
    pub(crate) from: PathBuf,
    /// Where it goes: a database, or a folder that is empty or not there
    #[arg(value_name = "TO", value_parser = place())]
    pub(crate) to: PathBuf,
    /// Move to a database only if a synchronous standby has each commit too
    #[arg(long)]
    pub(crate) require_standby: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl LedgerCommand {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Verify(args) => args.books.output.json,
            Self::Totals(args) => args.books.output.json,
            Self::Ls(args) => args.books.output.json,
            // What it prints is data; errors are said as the format is.
            Self::Export(args) => args.format() == Format::Ndjson,
            Self::Backup(args) => args.books.output.json,
            Self::Init(args) => args.books.output.json,
            Self::Raise(args) => args.books.output.json,
            Self::Migrate(args) => args.output.json,
            Self::Restore(args) => args.books.output.json,
            Self::Receipt(args) => args.books.output.json,
        }
    }
}

impl ExportArgs {
    /// The format asked for.
    pub(crate) fn format(&self) -> Format {
        if self.books.output.json { Format::Ndjson } else { self.format }
    }
}

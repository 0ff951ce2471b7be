//! `ddes ledger export`: every integer that was counted.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use ddes_ledger::audit::{self, Counted};
use ddes_ledger::{AccountId, Timestamp};

use super::account::ShownAccount;
use super::folder::Books;
use super::shared::SharedBooks;
use super::{shown_time, watched};
use crate::args::{ExportArgs, Format};
use crate::failure::{Code, Failure};
use crate::replace::{New, ReplaceError, Writing};
use crate::screen::SCHEMA_VERSION;
use crate::streams::Output;

const WRITE_BYTES: usize = 1 << 18;

pub(super) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let bound = |text: &Option<String>| text.as_deref().map(time).transpose();
    let (since, until) = (bound(&args.since)?, bound(&args.until)?);
    if let Some(shared) = SharedBooks::look(&args.books)? {
        return run_shared(args, &shared, since, until);
    }
    let books = Books::look(&args.books)?;
    let account = args.account.as_deref().map(|text| books.named(text)).transpose()?;
    let is_wanted = |counted: &Counted| {
        account.is_none_or(|account| account == counted.account)
            && since.is_none_or(|since| counted.time >= since)
            && until.is_none_or(|until| counted.time < until)
    };
    let target = Target::open(args.output.as_deref())?;
    let mut rows = ExportRows::new(BufWriter::with_capacity(WRITE_BYTES, target), args.format());
    // Over what is printed itself a bar makes no sense.
    let is_quiet = args.books.output.quiet || args.output.is_none() && io::stdout().is_terminal();
    let written = watched(is_quiet, "Exporting", |progress| {
        rows.head().map_or_else(
            |error| Ok(Err(error)),
            |()| {
                audit::history(&books.folder, progress, &mut |counted| {
                    if is_wanted(counted) { rows.row(counted) } else { Ok(()) }
                })
            },
        )
    });
    let count = rows.count;
    finish(args, written.map_err(|error| books.failure(error))?, rows, count)
}

/// Of a ledger in a database: account by account, each in the order of its history.
fn run_shared(
    args: &ExportArgs,
    shared: &SharedBooks,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(), Failure> {
    let account = args.account.as_deref().map(|text| shared.named(text)).transpose()?;
    let target = Target::open(args.output.as_deref())?;
    let mut rows = ExportRows::new(BufWriter::with_capacity(WRITE_BYTES, target), args.format());
    let mut written = rows.head();
    if written.is_ok() {
        shared.history(account.as_ref(), &mut |counted| {
            let is_wanted = since.is_none_or(|since| counted.time >= since)
                && until.is_none_or(|until| counted.time < until);
            if is_wanted {
                written = rows.row(counted);
            }
            written.is_ok()
        })?;
    }
    let count = rows.count;
    finish(args, written, rows, count)
}

fn finish(
    args: &ExportArgs,
    written: io::Result<()>,
    rows: ExportRows,
    count: u64,
) -> Result<(), Failure> {
    let target = match written.and_then(|()| rows.end()) {
        Ok(target) => target,
        Err(error) if args.output.is_none() => return Err(Failure::output(&error)),
        Err(error) => return Err(Failure::system("cannot write the export", &error)),
    };
    target.end(args.output.as_deref())?;
    if let (Some(path), false) = (&args.output, args.books.output.quiet) {
        crate::streams::say(&format!("Wrote {count} integers to {}", path.display()));
    }
    Ok(())
}

/// RFC 3339, or a date, which begins at midnight UTC.
fn time(text: &str) -> Result<Timestamp, Failure> {
    let full =
        if text.contains(['T', 't', ' ']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let at =
        full.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_microsecond()).ok());
    at.map(Timestamp).ok_or_else(|| {
        Failure::new(Code::Usage, format!("'{text}' is not a time"))
            .next("for example 2027-01-31, 2027-01-31T12:00:00Z or 2027-01-31T12:00:00+01:00")
    })
}

/// Where rows go: a file gets its name when all of them are there.
enum Target {
    Stdout(Output),
    File(Writing),
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Stdout(Output)) };
        Writing::begin(path, New::EXPORT)
            .map(Self::File)
            .map_err(|error| error.failure(Code::No, path))
    }

    fn end(self, path: Option<&Path>) -> Result<(), Failure> {
        let ended = match self {
            Self::Stdout(mut stdout) => stdout.flush().map_err(ReplaceError::Io),
            Self::File(file) => file.end(),
        };
        ended.map_err(|error| error.failure(Code::No, path.unwrap_or(Path::new("the export"))))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// Rows as they are written. No field ever needs quotes: digits, hexadecimal, base64, `classic/N`.
struct ExportRows {
    out: BufWriter<Target>,
    format: Format,
    count: u64,
    /// What the row before had, which most have again.
    account: Option<(AccountId, ShownAccount)>,
    time: Option<(Timestamp, String)>,
}

impl ExportRows {
    fn new(out: BufWriter<Target>, format: Format) -> Self {
        Self { out, format, count: 0, account: None, time: None }
    }

    fn head(&mut self) -> io::Result<()> {
        match self.format {
            Format::Csv => {
                writeln!(self.out, "time,batch,account,fingerprint,session,seq,value,sum")
            }
            Format::Ndjson => Ok(()),
        }
    }

    fn row(&mut self, counted: &Counted) -> io::Result<()> {
        let Counted { batch, session, seq, amount, sum, .. } = counted;
        let account = self.account.take().filter(|(id, _)| *id == counted.account);
        let account =
            account.unwrap_or_else(|| (counted.account, ShownAccount::new(&counted.account)));
        let time = self.time.take().filter(|(time, _)| *time == counted.time);
        let time = time.unwrap_or_else(|| (counted.time, shown_time(counted.time)));
        let (id, fingerprint) = (&account.1.id, account.1.fingerprint.as_deref());
        match self.format {
            Format::Csv => {
                let fingerprint = fingerprint.unwrap_or("");
                writeln!(
                    self.out,
                    "{},{batch},{id},{fingerprint},{session},{seq},{amount},{sum}",
                    time.1
                )?;
            }
            Format::Ndjson => {
                let fingerprint = fingerprint
                    .map_or("null".to_owned(), |fingerprint| format!("\"{fingerprint}\""));
                writeln!(
                    self.out,
                    "{{\"schema_version\":{SCHEMA_VERSION},\"event\":\"counted\",\"time\":\"{}\",\
                     \"batch\":{batch},\
                     \"account\":\"{id}\",\"fingerprint\":{fingerprint},\"session\":\"{session}\",\
                     \"seq\":\"{seq}\",\
                     \"value\":\"{amount}\",\"sum\":\"{sum}\"}}",
                    time.1
                )?;
            }
        }
        self.count += 1;
        (self.account, self.time) = (Some(account), Some(time));
        Ok(())
    }

    fn end(self) -> io::Result<Target> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

//! `ddes ledger totals` and `ls`: over all clients, and each of them.

use std::io::{BufWriter, Write};

use ddes_ledger::{Account, AccountId, Timestamp, Totals};

use super::account::{HomeNames, ShownAccount};
use super::folder::Books;
use super::shared::SharedBooks;
use super::{shown_time, verify};
use crate::args::{LsArgs, TotalsArgs};
use crate::failure::Failure;
use crate::screen::{Line, Screen, number};
use crate::streams::{Output, say};

pub(super) fn totals(args: &TotalsArgs) -> Result<(), Failure> {
    if let Some(shared) = SharedBooks::look(&args.books)? {
        let totals = shared.totals()?;
        let line = with_totals(Line::new("totals", table(&totals)), &totals);
        return Screen::of(&args.books.output).show(&line);
    }
    let books = Books::look(&args.books)?;
    let view = books.view()?;
    verify::warn(&view.footing, &args.books.output);
    let totals = view.totals();
    let mut text = table(&totals);
    let as_of = shown_time(view.time);
    if !args.books.output.quiet && view.batch > 0 {
        text.push_str(&format!("\nas of     batch {}, {as_of}", view.batch));
    }
    let line = with_totals(Line::new("totals", text), &totals)
        .with("batch", view.batch)
        .with("as_of", as_of);
    Screen::of(&args.books.output).show(&line)
}

/// The figures the course asks for, for people.
fn table(totals: &Totals) -> String {
    let mut text = format!(
        "accounts  {}\ncount     {}\nsum       {}",
        totals.accounts, totals.count, totals.sum
    );
    if let (Some((min, max)), Some(mean)) = (totals.extremes(), totals.mean()) {
        text.push_str(&format!("\nmean      {mean}\nleast     {min}\ngreatest  {max}"));
    }
    text
}

/// The figures the course asks for, for programs.
pub(crate) fn with_totals(line: Line, totals: &Totals) -> Line {
    line.with("accounts", totals.accounts)
        .with("count", number(&totals.count))
        .with("sum", number(&totals.sum))
        .with("mean", totals.mean())
        .with("min", totals.extremes().map(|(min, _)| min.to_string()))
        .with("max", totals.extremes().map(|(_, max)| max.to_string()))
}

pub(super) fn list(args: &LsArgs) -> Result<(), Failure> {
    if let Some(shared) = SharedBooks::look(&args.books)? {
        return list_shared(args, &shared);
    }
    let books = Books::look(&args.books)?;
    let names = HomeNames::read(&books.home, None);
    let view = books.view()?;
    verify::warn(&view.footing, &args.books.output);
    let mut out = BufWriter::new(Output);
    let is_json = args.books.output.json;
    let mut write = || {
        for (id, account) in view.accounts() {
            account_line(&id, &account, names.of(&id)).write(&mut out, is_json)?;
        }
        out.flush()
    };
    if !is_json && !args.books.output.quiet && view.accounts().next().is_none() {
        say("No account yet; the first session of a client makes one.");
    }
    write().map_err(|error| Failure::output(&error))
}

fn list_shared(args: &LsArgs, shared: &SharedBooks) -> Result<(), Failure> {
    let names = HomeNames::read(&shared.home, shared.keys());
    let (mut out, is_json) = (BufWriter::new(Output), args.books.output.json);
    let mut written = Ok(());
    let mut is_empty = true;
    shared.accounts(&mut |row| {
        is_empty = false;
        let line = account_line(&row.id, &row.account, names.of(&row.id));
        written = line.write(&mut out, is_json);
        written.is_ok()
    })?;
    if !is_json && !args.books.output.quiet && is_empty {
        say("No account yet; the first session of a client makes one.");
    }
    written.and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

fn account_line(id: &AccountId, account: &Account, name: Option<&str>) -> Line {
    let shown = ShownAccount::new(id);
    let sum = account.standing().sum;
    let called = name.unwrap_or("(no name)");
    let mut text =
        format!("{:50}  {called:12}  {} integers, sum {sum}", shown.short(), account.count());
    let time = |secs: u32| shown_time(Timestamp(u64::from(secs) * 1_000_000));
    let times = account.times().map(|(first, last)| (time(first), time(last)));
    if let (Some((min, max)), Some((first, last))) = (account.extremes(), &times) {
        text.push_str(&format!(", least {min}, greatest {max}, {first} to {last}"));
    }
    let (first, last) = times.unzip();
    shown
        .with(Line::new("account", text))
        .with("name", name)
        .with("count", number(&account.count()))
        .with("sum", number(&sum))
        .with("min", account.extremes().map(|(min, _)| min.to_string()))
        .with("max", account.extremes().map(|(_, max)| max.to_string()))
        .with("first", first)
        .with("last", last)
        .with("session", account.newest_session().get())
}

//! What a run does to a ledger for good, and whether that is wanted.

use crate::bench::args::BenchRunArgs;
use crate::failure::{Code, Failure};
use crate::question::Asker;
use crate::screen;

/// Before anything is sent: the first session makes an account already. D-DDES/2 does not tell a
/// ledger in memory from another, so every server is asked about.
pub(crate) fn ask(args: &BenchRunArgs) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let what = what(args);
    if args.no_input || !screen::is_interactive() {
        return Err(Failure::new(Code::Usage, what)
            .cause("without a terminal nobody can confirm that; nothing was sent")
            .next(
                "--yes     (and on the server: ddes serve --ledger memory, which forgets them)",
            ));
    }
    let question = format!("{what}.\nGo on? [y/N] ");
    if crate::runtime()?.block_on(Asker::default().ask(&question))? {
        return Ok(());
    }
    Err(Failure::new(Code::No, "nothing was sent")
        .next("on the server: ddes serve --ledger memory"))
}

fn what(args: &BenchRunArgs) -> String {
    let BenchRunArgs { server, sessions, .. } = args;
    let (accounts, values) = (if *sessions == 1 { "account" } else { "accounts" }, values(args));
    format!(
        "This run puts {values} into the ledger of {server}, in {sessions} {accounts}; they stay \
         there unless it is in memory"
    )
}

fn values(args: &BenchRunArgs) -> String {
    match (args.values, args.duration) {
        (Some(1), _) => "1 value".into(),
        (Some(values), _) => format!("{values} values"),
        (None, duration) => {
            format!("as many values as it takes in {} s", duration.unwrap_or(DURATION_SECS))
        }
    }
}

/// Of a run that is given neither a time nor a number of values.
pub(crate) const DURATION_SECS: u32 = 10;

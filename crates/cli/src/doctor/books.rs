//! Whether the ledger can be read, and is whole at its head.

use std::path::Path;

use ddes_ledger::audit::View;
use ddes_ledger::store::{Folder, StoreError};
use ddes_ledger_postgres::{DatabaseUrl, PostgresKeeper, PostgresOptions};
use ddes_server::DatabaseKeys;

use super::Finding;
use super::files::LISTS;
use crate::failure::Failure;
use crate::folder::refuse_if_shared_at;
use crate::home::{Home, named};
use crate::ledger::{self, KnownLedgers, LedgerName};

const TOPIC: &str = "ledger";

pub(super) fn look(home: &Home, path: &Path) -> Vec<Finding> {
    let shown = path.display();
    if path == Path::new("memory") {
        let remedy = "ddes serve --ledger DIR";
        return vec![Finding::warn(TOPIC, "totals in memory end with the server", remedy)];
    }
    let known = match KnownLedgers::read(home) {
        Ok(known) => known,
        Err(failure) => return vec![Finding::failed(TOPIC, &failure, "mend that file")],
    };
    if path.try_exists().is_ok_and(|exists| !exists) {
        let is_new = format!("{shown} is made at the first start");
        return vec![
            known
                .refuse_other(path, None)
                .map_or_else(|failure| of(&failure), |()| Finding::ok(TOPIC, is_new)),
        ];
    }
    let mut findings = Vec::new();
    if let Err(failure) = refuse_if_shared_at(path) {
        findings.push(Finding::failed(TOPIC, &failure, &format!("chmod 700 {shown}")));
    }
    let folder = match Folder::look(path) {
        Ok(folder) => folder,
        Err(error) => {
            let failure = ledger::unusable(path, &error);
            findings.push(Finding::failed(TOPIC, &failure, "run this as its owner"));
            return findings;
        }
    };
    if let Err(failure) = ledger::refuse_moved(path, &folder) {
        findings.push(of(&failure));
        return findings;
    }
    // Damage is found below.
    let name = LedgerName::read(path, &folder).ok();
    if let Some(Err(failure)) = name.map(|name| known.refuse_other(path, name.as_ref())) {
        findings.push(of(&failure));
        return findings;
    }
    let flag = named("--ledger", path);
    findings.push(match View::read(&folder) {
        Ok(view) => Finding::ok(
            TOPIC,
            format!(
                "whole at its head: batch {}, {} accounts (ddes ledger verify{flag} checks all of \
                 it)",
                view.batch,
                view.totals().accounts
            ),
        ),
        Err(StoreError::Missing) => {
            Finding::ok(TOPIC, format!("{shown} is empty; the first start makes a ledger"))
        }
        Err(error) => {
            let failure = ledger::of_store(path, error);
            Finding::failed(TOPIC, &failure, &format!("ddes ledger verify{flag}"))
        }
    });
    findings
}

/// Whether a database can hold the ledger, as a server looks at it.
pub(super) fn look_shared(
    home: &Home,
    path: &Path,
    place: Result<DatabaseUrl, Failure>,
    require_standby: bool,
) -> Vec<Finding> {
    let remedy = "docs/scale.md has the set-up";
    let options = PostgresOptions { require_standby, ..PostgresOptions::default() };
    let found = place.and_then(|place| {
        PostgresKeeper::find(place.clone(), options)
            .map_err(|error| ledger::of_connect(&place, error))
    });
    let (keeper, found) = match found {
        Ok(found) => found,
        Err(failure) => return vec![Finding::failed(TOPIC, &failure, remedy)],
    };
    let name = LedgerName::of_id(&found.ledger);
    let known = KnownLedgers::read(home).and_then(|known| known.refuse_other(path, Some(&name)));
    if let Err(failure) = known {
        return vec![of(&failure)];
    }
    let flag = named("--ledger", path);
    let standby = if found.has_standby { "a standby is synchronous" } else { "no standby" };
    let text = format!("in a database, {standby} (ddes ledger verify{flag} checks all of it)");
    let mut findings = vec![Finding::ok(TOPIC, text)];
    findings.extend(found.warnings.iter().map(|why| Finding::warn(TOPIC, why.as_str(), remedy)));
    let keys = DatabaseKeys::new(&path.display().to_string());
    // It is not started, so that it tells what it has read and no more.
    drop(keeper.telling(ledger::taker(&keys)));
    let (keys, faults) = keys.read();
    let edit = format!("ddes authorize{flag}, as the user who owns the tables");
    findings.extend(faults.iter().map(|why| Finding::fail(LISTS, why.as_str(), edit.as_str())));
    findings.push(Finding::ok(LISTS, format!("the database lists {} keys", keys.len())));
    findings
}

fn of(failure: &Failure) -> Finding {
    Finding::failed(TOPIC, failure, "ddes serve --new-ledger")
}

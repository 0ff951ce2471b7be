//! What a fleet's ledger has to be in the end, and the receipts that were given out on the way.

use std::process::Command;

use super::database::{self, OWNER_OF_CHECKS};
use super::{DATABASE, Fleet};
use crate::process::output;

/// Receipts, as files of the clients' home.
pub(crate) struct Receipts(usize);

impl Receipts {
    pub(crate) fn new() -> Self {
        Self(0)
    }
}

impl Fleet {
    /// The ledger at the host that is written: another standby may lag.
    fn place(&mut self) -> Result<String, String> {
        let roles = self.database.whole(&self.network)?;
        let primary = roles.primary.ok_or("the database has no primary")?;
        database::url_at(OWNER_OF_CHECKS, primary, DATABASE)
    }

    fn ask(&self, arguments: &[&str], place: &str) -> Result<String, String> {
        let mut command = self.ledger();
        command.arg("ledger").args(arguments).args(["--ledger", place]);
        output(&mut command).map_err(|why| format!("ledger {}: {why}", arguments.join(" ")))
    }

    /// Each client's account, as it has to be with so many values.
    fn accounts(&self, goal: u64) -> Result<Vec<(String, String)>, String> {
        let mut sums = Command::new(&self.programs.harness);
        sums.args(["sums", &self.clients.to_string(), &goal.to_string()]);
        let said = output(&mut sums)?;
        let accounts = said.lines().filter_map(|line| {
            let (account, rest) = line.split_once(' ')?;
            let (_, sum) = rest.split_once(' ')?;
            Some((account.to_owned(), sum.to_owned()))
        });
        Ok(accounts.collect())
    }

    /// Has a receipt written of one client's account.
    pub(crate) fn receipt(&mut self) -> Result<(), String> {
        let place = self.place()?;
        let accounts = self.accounts(0)?;
        let at = self.receipts.0 * 37 % accounts.len().max(1);
        let (account, _) = accounts.get(at).ok_or("there are no clients")?;
        let text = self.ask(&["receipt", account], &place)?;
        let file = self.network.folder.join(format!("receipt-{}", self.receipts.0));
        self.receipts.0 += 1;
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// The ledger is whole, each account has each value once, and each receipt holds.
    pub(crate) fn compare(&mut self, goal: u64) -> Result<(), String> {
        let place = self.place()?;
        let verified = self.ask(&["verify"], &place)?;
        println!("        {}", verified.trim());
        let list = self.ask(&["ls", "--json"], &place)?;
        let accounts = self.accounts(goal)?;
        for (account, sum) in &accounts {
            let name = format!("\"account\":\"{account}\"");
            let line = list.lines().find(|line| line.contains(&name));
            let line = line.ok_or_else(|| format!("the ledger has no account {account}"))?;
            let has = |field: &str, value: &str| line.contains(&format!("\"{field}\":\"{value}\""));
            if !has("count", &goal.to_string()) || !has("sum", sum) {
                return Err(format!("it should be {goal} values with the sum {sum}: {line}"));
            }
        }
        if list.lines().count() != accounts.len() {
            return Err(format!("{} accounts in the ledger", list.lines().count()));
        }
        for number in 0..self.receipts.0 {
            let file = self.network.folder.join(format!("receipt-{number}"));
            self.ask(&["verify", "--receipt", &file.display().to_string()], &place)?;
        }
        println!(
            "        {} accounts with {goal} values each, every sum exact; {} receipts hold",
            accounts.len(),
            self.receipts.0
        );
        Ok(())
    }
}

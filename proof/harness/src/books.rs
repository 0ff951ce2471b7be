//! A ledger in a folder against what its clients send.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ddes_ledger::store::{Disk, Folder, holds_ledger};
use ddes_ledger::{AccountId, Totals, audit};

use crate::values::Sums;

/// The clients' accounts, in the clients' order; a file of one a line.
pub(crate) fn clients(file: &str) -> Result<Vec<AccountId>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let parsed = text.lines().map(str::parse).collect::<Result<_, _>>();
    parsed.map_err(|error| format!("{file}: {error}"))
}

/// The accounts of a ledger that passed verification.
pub(crate) struct Books {
    pub(crate) batch: u64,
    pub(crate) accounts: BTreeMap<AccountId, (u64, i128)>,
    pub(crate) totals: Totals,
}

impl Books {
    /// Verifies a ledger and reads its accounts.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Self, String> {
        let verified =
            audit::verify(disk, &[], &mut |_, _| {}).map_err(|error| format!("verify: {error}"))?;
        let view = audit::View::read(disk).map_err(|error| format!("view: {error}"))?;
        let accounts = view.accounts().map(|(id, account)| {
            let standing = account.standing();
            (id, (standing.last_seq.get(), standing.sum.get()))
        });
        let books = Self { batch: view.batch, accounts: accounts.collect(), totals: view.totals() };
        if verified.totals == books.totals {
            Ok(books)
        } else {
            Err(format!("verify finds {:?}, and opening {:?}", verified.totals, books.totals))
        }
    }

    /// How many values of each client are counted. Every sum must be that of its first values.
    pub(crate) fn counted(
        &self,
        clients: &[AccountId],
        sums: &mut [Sums],
    ) -> Result<Vec<u64>, String> {
        let of = |(id, sums): (&AccountId, &mut Sums)| {
            let (last_seq, sum) = self.accounts.get(id).copied().unwrap_or((0, 0));
            if sums.of(last_seq) == Some(sum) {
                Ok(last_seq)
            } else {
                Err(format!("wrong sum: {id} has {last_seq} values with the sum {sum}"))
            }
        };
        clients.iter().zip(sums).map(of).collect()
    }
}

pub(crate) fn run(ledger: &str, file: &str) -> Result<(), String> {
    let clients = clients(file)?;
    let mut sums: Vec<Sums> = (0..clients.len() as u64).map(Sums::new).collect();
    let folder = Folder::look(Path::new(ledger)).map_err(|error| error.to_string())?;
    if !holds_ledger(&folder).map_err(|error| format!("{ledger}: {error}"))? {
        // Its maker was killed before it was one.
        (0..clients.len()).for_each(|client| println!("account {client} 0"));
        return Ok(());
    }
    let books = Books::read(&folder)?;
    for (client, last_seq) in books.counted(&clients, &mut sums)?.iter().enumerate() {
        println!("account {client} {last_seq}");
    }
    println!("batch {} count {} sum {}", books.batch, books.totals.count, books.totals.sum);
    Ok(())
}

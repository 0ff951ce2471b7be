//! A database that fails while a ledger moves into it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/postgres.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod postgres;

use ddes_ledger::{AccountChange, AccountId, Timestamp};
use ddes_ledger_postgres::{
    BegunArrival, DatabaseArrival, DatabaseError, DatabaseUrl, MigrateError, init,
};
use ddes_wire::{Sequence, SessionNumber, Total};
use postgres::{OWNER, Postgres, SERVER};

const LEDGER: [u8; 16] = [7; 16];
/// As many as one transaction takes.
const CHANGES: u64 = 4096;

struct Moving {
    postgres: Postgres,
    arrival: Box<DatabaseArrival>,
    next: u64,
}

fn begun() -> Moving {
    let postgres = Postgres::start();
    let place = DatabaseUrl::parse(&postgres.url(OWNER)).unwrap();
    init(&place, SERVER, &[1; 16]).unwrap();
    let begun = DatabaseArrival::begin(&place, LEDGER, false, false).unwrap();
    let BegunArrival::Begun { arrival, .. } = begun else { panic!("it is there") };
    Moving { postgres, arrival, next: 0 }
}

impl Moving {
    /// The openings of as many more accounts as one transaction takes.
    fn take(&mut self) -> Result<(), MigrateError> {
        for number in self.next..self.next + CHANGES {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            self.arrival.take(AccountChange {
                id: AccountId::Identity(key),
                time: Timestamp(1),
                session: SessionNumber::new(1),
                first_seq: Sequence::new(1),
                amounts: Vec::new(),
                sum: Total::new(0),
            })?;
        }
        self.next += CHANGES;
        Ok(())
    }

    /// Ends every connection but the one that asks.
    fn cut_off(&self) {
        let end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity \
                   WHERE datname = 'ddes' AND pid <> pg_backend_pid()";
        assert!(self.postgres.sql("ddes", end).contains('t'), "there was no connection");
    }

    fn accounts(&self) -> String {
        self.postgres.sql("ddes", "SELECT count(*), count(DISTINCT account) FROM ddes_history")
    }
}

#[test]
fn a_move_goes_on_after_its_connection_was_lost() {
    let mut moving = begun();
    moving.take().unwrap();
    assert_eq!(moving.accounts(), "4096|4096");
    moving.cut_off();
    moving.take().unwrap();
    assert_eq!(moving.accounts(), "8192|8192");
}

#[test]
fn a_move_does_not_go_on_in_another_ledger() {
    let mut moving = begun();
    moving.take().unwrap();
    let other = "UPDATE ddes_ledger SET id = decode(repeat('09', 16), 'hex')";
    moving.postgres.sql("ddes", other);
    moving.cut_off();
    let stopped = moving.take().unwrap_err();
    let found = DatabaseError::OtherLedger { found: [9; 16] };
    assert!(matches!(&stopped, MigrateError::Connect(error) if *error == found), "{stopped:?}");
    assert_eq!(moving.accounts(), "4096|4096");
}

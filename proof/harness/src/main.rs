//! `ddes-harness`: what `cargo xtask crash`, `power`, `rot` and `migrate` start in addition to
//! `ddes` itself. These are the clients, and the checks that read a ledger with its own library.
//!
//! ```text
//! ddes-harness couriers SERVER SERVER-KEY FOLDER CLIENTS CHUNK-MAX PAUSE-MS OUTBOX
//! ddes-harness sums CLIENTS COUNT
//! ddes-harness commits PORT=ADDRESS...
//! ddes-harness books LEDGER CLIENTS
//! ddes-harness power TRACE LEDGER CLIENTS IMAGES SEED whole|none|late
//! ddes-harness rot MEGABYTES FLIPS CUTS SEED honest|forged
//! ddes-harness migrate DDES FOLDER ACCOUNTS
//! ```
//!
//! OUTBOX is `durable`, `memory` or `hopping:SECS`.
//! `sums` prints `ACCOUNT COUNT SUM` for each client of `couriers` that has sent so many values.
//! `books` verifies a ledger and prints `account CLIENT LAST-SEQ` for each client of `couriers`; a
//! wrong sum is an error. The exit code is 1 if the ledger lost or changed something. That of
//! `couriers` is 5 if an outbox objects to the ledger.

mod books;
#[path = "../../../crates/ledger-postgres/tests/support/postgres.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "a part of it, shared with tests")]
mod cluster;
mod commits;
mod couriers;
mod ghost;
mod image;
mod migrate;
mod power;
mod rot;
mod trace;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["couriers", ref rest @ ..] => return couriers::main(rest),
        ["sums", clients, count] => couriers::sums(clients, count),
        ["commits", ref places @ ..] => commits::run(places),
        ["books", ledger, clients] => books::run(ledger, clients),
        ["power", ref rest @ ..] => power::run(rest),
        ["rot", ref rest @ ..] => rot::run(rest),
        ["migrate", ref rest @ ..] => migrate::run(rest),
        _ => {
            Err("usage: ddes-harness couriers | sums | commits | books | power | rot | migrate …; \
                 see its source"
                .into())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// xorshift64*: a failing run's seed shows it again.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(values::mix(seed) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// An index below `bound`; 0 if that is 0.
    #[allow(clippy::cast_possible_truncation, reason = "below `bound`, which is a usize")]
    fn index(&mut self, bound: usize) -> usize {
        self.below(bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

//! What `cargo xtask crash`, `power` and `rot` need to know of a ledger's insides.
//!
//! ```text
//! harness books LEDGER CLIENTS           verify, and `account CLIENT LAST-SEQ` for each of the couriers' clients; wrong sums are errors
//! harness power TRACE LEDGER CLIENTS IMAGES SEED whole|none|late
//! harness rot MEGABYTES FLIPS CUTS SEED honest|forged
//! ```
//!
//! Exits with 1 where the ledger did not keep its word.

mod books;
mod image;
mod power;
mod rot;
mod trace;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["books", ledger, clients] => books::run(ledger, clients),
        ["power", ref rest @ ..] => power::run(rest),
        ["rot", ref rest @ ..] => rot::run(rest),
        _ => Err("usage: harness books | power | rot …; see its source".into()),
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

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

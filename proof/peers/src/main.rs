//! Measures ddes beside its peers, over loopback, in one run; prints Markdown tables. `cargo xtask
//! bench` builds and runs it.
//!
//! The server under test is a process of its own; this process is the load. The processor time of
//! the server is read from the system, so the load's own cost does not enter it.

mod aim;
mod ciphers;
#[path = "../../../crates/ledger-postgres/tests/support/postgres.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "a part of it, shared with tests")]
mod cluster;
mod compare;
mod cores;
mod crowd;
mod endpoint;
mod ffdhe;
mod figures;
mod harm;
mod instructions;
mod ledger;
mod ours;
mod python;
mod rate;
mod redis;
mod report;
mod search;
mod secure;
mod server;
mod setup;
mod shared;
mod soak;
mod timing;
mod tls;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ddes_ffdhe::NamedGroup;

use crate::server::{Kind, Server};

const USAGE: &str = "\
usage: ddes-peers WHAT [--short]

  classic     set-up and request/reply of the classic profile, beside the Python peer
  secure      sessions of D-DDES/2, beside TLS 1.3 with rustls
  ciphers     Double DES, beside OpenSSL and the `des` crate
  compare     the same work by Redis over TLS, by tokio-rustls and by the Python peer; `compare PART` for one of
              counting, durable, handshake, memory, growth
  endpoint    a million sessions without sockets: memory, a turn, the sweeps; `endpoint N` for so many at most
  ffdhe       exponentiations, beside OpenSSL and crypto-bigint
  harm        what established sessions notice of those who do harm; `harm WHICH` for one of handshakes, first-messages,
              slow-readers, slow-writers, silent; `-- FLAG...` at the end for flags of `ddes serve`
  ledger      durable, exactly-once updates, beside redb, fjall, SQLite and the bare floor; what opening,
              memory, checkpoints and growth cost; `ledger WHICH` for one of these: memory, stores,
              growth, checkpoint, opening
  python      the Python package, beside the Rust client that it is made of and beside redis-py
  search      keys tried a second, beside John the Ripper
  shared      a ledger that servers share in a PostgreSQL, beside single rows and the ledger in a folder
  soak        a server at half load while sessions come and go: memory and sums; `soak MINUTES`
  timing      whether time tells exponent or keys (dudect's test): on a quiet machine;
              `timing N` for N samples of FFDHE and ten times as many of Double DES, `timing ffdhe N`, `timing ciphers N` for one of the two

  --short     fewer rounds: seconds instead of minutes";

/// How much to measure.
struct Effort {
    /// Connects to a server whose group is ready.
    connects: usize,
    /// Connects to a server that makes a group for each: some 10 s of work apiece.
    fresh_connects: usize,
    /// Length of each rate measurement.
    rate: Duration,
    /// Sessions of D-DDES/2 and of TLS, one after another.
    sessions: u64,
    /// Sessions kept open to see what each holds.
    idle: u64,
    /// From their opening to the look at it.
    settle: Duration,
}

const FULL: Effort = Effort {
    connects: 1_000,
    fresh_connects: 12,
    rate: Duration::from_secs(10),
    sessions: 3_000,
    idle: 2_000,
    settle: Duration::from_secs(3),
};
const SHORT: Effort = Effort {
    connects: 50,
    fresh_connects: 0,
    rate: Duration::from_secs(1),
    sessions: 50,
    idle: 100,
    settle: Duration::ZERO,
};

fn classic(effort: &Effort) -> Result<(), String> {
    report::heading("Classic: from connect to token", setup::COLUMNS);
    for (kind, connects) in [
        (Kind::Ours, effort.connects),
        (Kind::PythonNamedGroup, effort.connects),
        (Kind::PythonFreshGroup, effort.fresh_connects),
    ] {
        if connects > 0 {
            let server = Server::start(kind)?;
            setup::measure(&server, connects)?;
        }
    }
    report::heading("Classic: one integer, one answer", rate::COLUMNS);
    for clients in [1, 50] {
        for kind in [Kind::Ours, Kind::PythonNoDelay, Kind::PythonNamedGroup] {
            let server = Server::start(kind)?;
            rate::row(&server, clients, &rate::classic(&server, clients, effort.rate)?);
        }
    }
    Ok(())
}

fn secure(effort: &Effort) -> Result<(), String> {
    report::heading("D-DDES/2: from connect to the first sum", secure::COLUMNS);
    for peer in secure::Peer::ALL {
        secure::sessions(peer, &Server::start(peer.kind())?, effort.sessions)?;
    }
    report::heading("D-DDES/2: idle sessions", secure::MEMORY_COLUMNS);
    for peer in secure::Peer::ALL {
        secure::memory(peer, &Server::start(peer.kind())?, effort.idle, effort.settle)?;
    }
    Ok(())
}

fn ffdhe(effort: &Effort) -> Result<(), String> {
    report::heading("FFDHE: one exponentiation", ffdhe::COLUMNS);
    ffdhe::measure(NamedGroup::Ffdhe2048, "ffdh2048", effort.rate)?;
    ffdhe::measure(NamedGroup::Ffdhe3072, "ffdh3072", effort.rate)?;
    ffdhe::measure(NamedGroup::Ffdhe4096, "ffdh4096", effort.rate)
}

fn timing(samples: usize) -> Result<(), String> {
    timing_of_ffdhe(samples)?;
    timing_of_ciphers(10 * samples)
}

fn timing_of_ffdhe(samples: usize) -> Result<(), String> {
    report::heading("FFDHE: does time tell the exponent?", timing::COLUMNS);
    timing::ffdhe(samples)
}

fn timing_of_ciphers(samples: usize) -> Result<(), String> {
    report::heading("Double DES: does time tell the keys?", timing::COLUMNS);
    timing::des(samples)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["classic"] => classic(&FULL),
        ["classic", "--short"] => classic(&SHORT),
        ["secure"] => secure(&FULL),
        ["secure", "--short"] => secure(&SHORT),
        ["ciphers"] => ciphers::measure(FULL.rate / 4),
        ["ciphers", "--short"] => ciphers::measure(SHORT.rate / 10),
        ["search"] => search::measure(FULL.rate / 2),
        ["search", "--short"] => search::measure(SHORT.rate),
        ["ffdhe"] => ffdhe(&FULL),
        ["ffdhe", "--short"] => ffdhe(&SHORT),
        ["endpoint"] => endpoint::measure(1_000_000),
        ["endpoint", "--short"] => endpoint::measure(1_000),
        ["endpoint", most] => number(most).and_then(|most| endpoint::measure(most as u64)),
        ["harm", ref rest @ ..] => harm::run(rest),
        ["ledger"] => ledger::measure(&ledger::FULL, None),
        ["ledger", "--short"] => ledger::measure(&ledger::SHORT, None),
        ["ledger", which] => ledger::measure(&ledger::FULL, Some(which)),
        ["ledger", which, "--short"] => ledger::measure(&ledger::SHORT, Some(which)),
        ["compare", ref rest @ ..] => compare::run(rest),
        ["python"] => python::run(false),
        ["python", "--short"] => python::run(true),
        ["shared"] => shared::measure(&shared::FULL),
        ["shared", "--short"] => shared::measure(&shared::SHORT),
        ["soak"] => soak::measure(Duration::from_secs(1_800)),
        ["soak", "--short"] => soak::measure(Duration::from_secs(3)),
        ["soak", minutes] => number(minutes)
            .and_then(|minutes| soak::measure(Duration::from_secs(60 * minutes as u64))),
        ["timing"] => timing(1_000_000),
        ["timing", "--short"] => timing(10_000),
        ["timing", samples] => number(samples).and_then(timing),
        ["timing", "ffdhe", samples] => number(samples).and_then(timing_of_ffdhe),
        ["timing", "ciphers", samples] => number(samples).and_then(timing_of_ciphers),
        // Run under callgrind: instruction counts must not depend on the seed.
        ["instructions", what, seed] => instructions::run(what, seed),
        ["endpoint-step", sessions] => {
            number(sessions).and_then(|sessions| endpoint::step(sessions as u64))
        }
        // This program as those who do harm, and as the peer.
        ["attack", which, address, folder] => harm::attack(which, address, Path::new(folder)),
        ["tls-server", folder, "sums"] => tls::serve(Path::new(folder), tls::Service::Sums),
        ["tls-server", folder, "echo"] => tls::serve(Path::new(folder), tls::Service::Echo),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

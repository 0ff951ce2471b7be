//! Several servers fight for thirty accounts in a real PostgreSQL, through proxies that break their
//! connections.
//!
//! The same must find the bugs that `--cfg ddes_mutant` puts in: `cargo xtask shared --mutants`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking"
)]

#[path = "../../ledger/tests/shared/fight.rs"]
mod fight;
#[path = "support/postgres.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod postgres;
#[path = "support/proxy.rs"]
mod proxy;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ddes_ledger::keeper::{AccountKeeper, News};
use ddes_ledger::shared::{HistoryEntry, SharedRow};
use ddes_ledger_postgres::audit::HistoryReader;
use ddes_ledger_postgres::{DatabaseUrl, PostgresKeeper, PostgresOptions, init};
use fight::{Fight, FightDice};
use postgres::{OWNER, Postgres, SERVER};
use proxy::Faults;

const SERVERS: usize = 4;
const ACCOUNTS: usize = 30;
/// Operations of one server that are not answered.
const OPEN_MAX: usize = 24;

struct FightShared {
    fight: Fight,
    open: [usize; SERVERS],
    failed: Vec<String>,
}

fn seconds() -> u64 {
    std::env::var("DDES_PG_SECS").map_or(16, |text| text.parse().unwrap())
}

/// Servers, each behind a proxy of its own.
fn servers(
    postgres: &Postgres,
    seed: u64,
    faults: &Arc<Faults>,
    shared: &Arc<Mutex<FightShared>>,
) -> Vec<PostgresKeeper> {
    let mut keepers = Vec::new();
    for server in 0..SERVERS {
        let port = proxy::start(postgres.port, seed + server as u64, Arc::clone(faults));
        let place = DatabaseUrl::parse(&postgres::url(SERVER, port)).unwrap();
        // One server holds nothing, which is right too.
        let options =
            PostgresOptions { lanes: 2, holds: server != 3, ..PostgresOptions::default() };
        let (mut keeper, found) = PostgresKeeper::find(place, options).unwrap();
        assert_eq!((found.ledger, found.has_standby), ([7; 16], false));
        assert_eq!(found.warnings, [] as [String; 0]);
        let told = Arc::clone(shared);
        let news = move |news| {
            let mut shared = told.lock().unwrap();
            match news {
                News::Decided { outcomes, .. } => {
                    for (token, outcome) in outcomes {
                        shared.open[server] -= 1;
                        shared.fight.answer(server, token, &outcome);
                    }
                }
                News::Health(ddes_ledger::Health::Failed(why)) | News::Panicked(why) => {
                    shared.failed.push(why);
                }
                News::Health(_) => {}
            }
        };
        keeper.start(Box::new(news)).unwrap();
        keepers.push(keeper);
    }
    keepers
}

/// Lets them decide what clients ask for, each on a thread, until it is time.
fn drive(
    keepers: Vec<PostgresKeeper>,
    seed: u64,
    shared: &Arc<Mutex<FightShared>>,
) -> Vec<JoinHandle<PostgresKeeper>> {
    let until = Instant::now() + Duration::from_secs(seconds());
    keepers
        .into_iter()
        .enumerate()
        .map(|(server, mut keeper)| {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let mut dice = FightDice::new(seed * 7 + server as u64);
                while Instant::now() < until {
                    let mut state = shared.lock().unwrap();
                    if state.open[server] > OPEN_MAX {
                        drop(state);
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    let requests = state.fight.next(server, &mut dice);
                    state.open[server] += requests.len();
                    // With the lock: what is told before is told before.
                    keeper.submit(requests);
                    drop(state);
                    thread::sleep(Duration::from_millis(dice.below(3)));
                }
                keeper
            })
        })
        .collect()
}

fn everything(reader: &HistoryReader) -> (Vec<SharedRow>, Vec<HistoryEntry>) {
    let (mut rows, mut history): (Vec<SharedRow>, Vec<HistoryEntry>) = (Vec::new(), Vec::new());
    reader
        .accounts(&mut |row| {
            rows.push(*row);
            true
        })
        .unwrap();
    reader
        .history(None, &mut |entry| {
            history.push(entry.clone());
            true
        })
        .unwrap();
    (rows, history)
}

#[test]
fn servers_that_fight_for_accounts_are_never_told_a_wrong_total() {
    let postgres = Postgres::start();
    init(&DatabaseUrl::parse(&postgres.url(OWNER)).unwrap(), SERVER, &[7; 16]).unwrap();
    let seed = u64::from(std::process::id());
    let faults = Arc::new(Faults::default());
    let shared = Arc::new(Mutex::new(FightShared {
        fight: Fight::new(SERVERS, ACCOUNTS),
        open: [0; SERVERS],
        failed: Vec::new(),
    }));
    let keepers = servers(&postgres, seed, &faults, &shared);
    let threads = drive(keepers, seed, &shared);
    faults.one_in.store(15, Ordering::Relaxed);
    let keepers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    faults.one_in.store(0, Ordering::Relaxed);
    let begin = Instant::now();
    while shared.lock().unwrap().fight.is_waiting() {
        assert!(begin.elapsed() < Duration::from_secs(60), "some operations are never answered");
        thread::sleep(Duration::from_millis(20));
    }
    for keeper in keepers {
        assert!(Box::new(keeper).stop());
    }
    // Whatever was to arrive late has.
    thread::sleep(Duration::from_secs(1));
    let reader = HistoryReader::open(&DatabaseUrl::parse(&postgres.url(SERVER)).unwrap()).unwrap();
    let (rows, history) = everything(&reader);
    let mut shared = shared.lock().unwrap();
    shared.fight.audit(&rows, &history);
    let FightShared { fight, failed, .. } = &*shared;
    println!(
        "{} proofs, {} openings, {} gaps, {} superseded, {} unavailable, {} entries; {faults:?}",
        fight.proofs,
        fight.openings,
        fight.gaps,
        fight.superseded,
        fight.unavailable,
        history.len()
    );
    assert_eq!(fight.violations, [] as [String; 0], "violations");
    assert_eq!(failed, &[] as &[String]);
    let verified = reader.verify(&mut |_| true, &mut |_| true).unwrap();
    assert_eq!(verified.entries, history.len() as u64);
    assert_eq!(verified.totals, reader.totals().unwrap());
    let broken = [&faults.before, &faults.after, &faults.late, &faults.orphaned];
    let broken = broken.map(|count| count.load(Ordering::Relaxed));
    assert!(broken.iter().all(|count| *count > 0), "{broken:?}");
    assert!(fight.proofs > 50 && fight.superseded > 20 && fight.gaps > 5);
}

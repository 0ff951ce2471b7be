//! `cargo xtask crash`: a server is killed at random moments, again and again, while clients send
//! through real sockets. No sum may be wrong, and no value that a client saw confirmed may be
//! missing. In addition the server's files suffer the faults in `hardships.rs`.
//!
//! A killed process leaves the system's page cache: what a power cut loses is `cargo xtask power`'s
//! to find.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::failpoints;
use crate::hardships::{self, Suffered};
use crate::process::{self, Couriers, Random, World, clock, option, program};

const KILLS: u64 = 200;
const CLIENTS: usize = 50;
/// In CI: each hardship twice.
const SHORT: (u64, usize) = (10, 8);
/// A server runs until a random number of its clients have values confirmed in this run, and for at
/// most this much longer.
const KILL_AFTER_MS_MAX: u64 = 100;
const LIFE_MAX: Duration = Duration::from_secs(10);
/// Each client's, for each kill.
const VALUES: u64 = 120;
const CHUNK_MAX: u64 = 32;
const PAUSE_MS: u64 = 15;
/// Whatever is left is counted.
const END_MAX: Duration = Duration::from_secs(240);
/// The clients' exit code where an outbox objects.
const OBJECTS: i32 = 5;

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let is_short = arguments.contains(&"--short");
    let (kills, clients) = if is_short { SHORT } else { (KILLS, CLIENTS) };
    let kills = option(arguments, "--kills", kills)?;
    let clients = option(arguments, "--clients", clients)?;
    let seed = option(arguments, "--seed", clock())?;
    process::build()?;
    if arguments.contains(&"--failpoints") {
        return failpoints::run(is_short);
    }
    println!("seed {seed}: {kills} lives of a server with {clients} clients");
    let world = World::new("crash")?;
    let outcome = drive(&world, kills, clients, &mut Random(seed | 1));
    world.end(outcome)?;
    let world = World::new("crash-control")?;
    let outcome = control(&world);
    world.end(outcome)
}

fn drive(world: &World, kills: u64, clients: usize, random: &mut Random) -> Result<(), String> {
    let mut couriers =
        world.couriers(&world.home.join("outboxes"), clients, CHUNK_MAX, PAUSE_MS)?;
    hardships::list(world, &couriers)?;
    let (mut torn, mut suffered) = (0, Suffered::new(random));
    for kill in 1..=kills {
        let hardship = suffered.next(random);
        hardship.prepare(world)?;
        let mut server = start(world, &mut hardship.command())?;
        torn += u64::from(server.said.contains("ledger_torn"));
        couriers.more(VALUES + hardship.values(clients as u64))?;
        live(&couriers, random.index(clients + 1));
        thread::sleep(Duration::from_millis(random.below(KILL_AFTER_MS_MAX)));
        let is_over = suffered.suffer(hardship, world, (&mut server, &mut couriers), random)?;
        if !is_over && server.has_ended()? {
            return Err(format!("the server ended by itself:\n{}", server.said.text()));
        }
        drop(server);
        let books = compare(world, &couriers)?;
        if kill % 20 == 0 {
            println!(
                "{kill} lives, {} values counted, {torn} torn batches",
                books.iter().sum::<u64>()
            );
        }
    }
    finish(world, &mut couriers)?;
    suffered.check()?;
    let sum = couriers.goal * clients as u64;
    println!(
        "{kills} lives, {clients} clients: {sum} values, each counted once; every sum is exact, the journal whole\n{suffered}"
    );
    Ok(())
}

/// Whatever is left is counted, and nothing else.
fn finish(world: &World, couriers: &mut Couriers) -> Result<(), String> {
    let mut server = start(world, &mut Command::new(program("ddes")))?;
    let code = couriers.finish(END_MAX)?;
    if code != Some(0) {
        return Err(format!("the clients ended with {code:?}:\n{}", couriers.said()));
    }
    server.process.stop()?;
    let books = compare(world, couriers)?;
    if books.iter().any(|counted| *counted != couriers.goal) {
        return Err(format!("each should have {}: {books:?}", couriers.goal));
    }
    Ok(())
}

/// Waits until `clients` of them have values confirmed: clients that found no server wait longer
/// each time, and without this the server would be killed idle.
fn live(couriers: &Couriers, clients: usize) {
    let (begin, before) = (Instant::now(), couriers.confirmed());
    let moved =
        || couriers.confirmed().iter().zip(&before).filter(|(now, before)| now > before).count();
    while moved() < clients && begin.elapsed() < LIFE_MAX {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Of a ledger whose segments are short, and with checkpoints under way at many kills.
const SMALL: [&str; 4] = ["--checkpoint-bytes", "100000", "--segment-bytes", "65536"];

/// `command` is `ddes`, or what runs it.
fn start(world: &World, command: &mut Command) -> Result<process::Server, String> {
    let mut server = world.serve(command, &SMALL)?;
    if server.listens()? {
        Ok(server)
    } else {
        Err(format!("the server does not start:\n{}", server.said.text()))
    }
}

/// What is wrong with a ledger that its clients sent to.
pub(crate) enum Mismatch {
    /// A client was told of more values than the ledger holds.
    Missing(String),
    /// Anything else, also that it cannot be read.
    Other(String),
}

impl From<String> for Mismatch {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl From<Mismatch> for String {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::Missing(why) | Mismatch::Other(why) => why,
        }
    }
}

/// Verifies the ledger and compares it with what its clients were told. Nobody may be writing it.
pub(crate) fn compare(world: &World, couriers: &Couriers) -> Result<Vec<u64>, Mismatch> {
    let confirmed = couriers.confirmed();
    let books = world.books(couriers)?;
    let missing = confirmed.iter().zip(&books).position(|(confirmed, counted)| confirmed > counted);
    match missing {
        Some(client) => Err(Mismatch::Missing(format!(
            "client {client} heard of more than there is: {confirmed:?}, {books:?}"
        ))),
        None if books.len() != confirmed.len() => {
            Err(Mismatch::Other(format!("{} accounts", books.len())))
        }
        None => Ok(books),
    }
}

/// A ledger that is set back must be noticed: by the comparison here, and by the clients.
fn control(world: &World) -> Result<(), String> {
    let mut couriers = world.couriers(&world.home.join("outboxes"), 4, CHUNK_MAX, PAUSE_MS)?;
    hardships::list(world, &couriers)?;
    let (now, before) = (world.ledger(), world.home.join("before"));
    for copies in [true, false] {
        let server = start(world, &mut Command::new(program("ddes")))?;
        couriers.more(VALUES)?;
        couriers.reach(couriers.goal, END_MAX)?;
        if copies {
            hardships::second_on_a_true_copy(world)?;
        }
        drop(server);
        if copies {
            copy(&now, &before)?;
        }
    }
    compare(world, &couriers)?;
    std::fs::remove_dir_all(&now).map_err(|error| error.to_string())?;
    copy(&before, &now)?;
    match compare(world, &couriers) {
        Err(Mismatch::Missing(_)) => {}
        Err(Mismatch::Other(why)) => return Err(why),
        Ok(_) => {
            return Err("a ledger that was set back passes: this harness proves nothing".into());
        }
    }
    let server = start(world, &mut Command::new(program("ddes")))?;
    // A client with nothing to send does not connect.
    couriers.more(1)?;
    let code = couriers.finish(END_MAX)?;
    if code != Some(OBJECTS) {
        return Err(format!("the clients ended with {code:?} on a ledger that was set back"));
    }
    drop(server);
    println!("set back to a copy, as a control: {}", couriers.said().trim());
    hardships::nobody_is_listed(world)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        std::fs::copy(entry.path(), to.join(entry.file_name())).map_err(failed)?;
    }
    Ok(())
}

//! `cargo xtask crash --failpoints`: a real server is killed at its n-th call of each kind, and its
//! disk fails or is full there; strace does both. Whatever happens, what was acknowledged is there
//! afterwards, and counts once.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::crash::compare;
use crate::process::{Couriers, Running, Server, World, program};
use crate::shell;

const CLIENTS: usize = 6;
/// For each point, each client's.
const VALUES: u64 = 40;
const CHUNK_MAX: u64 = 8;
/// In large frames, and more than the first segment holds.
const VALUES_OF_A_SEGMENT: u64 = 140_000;
const CHUNK_LARGE: u64 = 8_192;
const PAUSE_MS: u64 = 3;
const FULL_MAX: Duration = Duration::from_secs(90);
/// A checkpoint may still be under way when all is counted.
const LINGER: Duration = Duration::from_secs(1);
/// A server whose disk failed ends, and ends its sessions first.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Each kind of call, and how many of its first ones are tried; counted by thread.
const CALLS: [(&str, u32); 5] =
    [("pwrite64", 24), ("fdatasync", 12), ("fsync", 1), ("renameat", 1), ("unlinkat", 2)];
/// The same in CI, where there are fewer points.
const CALLS_SHORT: [(&str, u32); 4] =
    [("pwrite64", 2), ("fdatasync", 1), ("renameat", 1), ("unlinkat", 1)];
/// What makes a segment, by file; and what makes a ledger.
const OF_A_SEGMENT: [(&str, &str, u32); 5] = [
    ("pwrite64", "spare", 2),
    ("fsync", "spare", 1),
    ("fdatasync", "spare", 1),
    ("renameat", "spare", 1),
    ("pwrite64", "journal-0000000002", 1),
];
const OF_A_LEDGER: [(&str, &str, u32); 5] = [
    ("pwrite64", "spare", 1),
    ("pwrite64", "spare", 5),
    ("fdatasync", "spare", 1),
    ("renameat", "spare", 1),
    ("fsync", "", 1),
];

const KILL: &str = "signal=KILL";
const FAIL: &str = "error=EIO";
/// A control: the call is left out, and nobody is told.
const LIE: &str = "retval=0";

/// A call that does not go well.
#[derive(Clone, Copy)]
struct Point<'a> {
    call: &'a str,
    /// In the ledger's folder; the folder itself, if empty.
    file: Option<&'a str>,
    when: u32,
    fault: &'a str,
}

/// What the server made of it.
#[derive(PartialEq, Eq)]
enum Fate {
    NotReached,
    WentOn,
    Ended,
    /// It went on after a failure that it has to end with; what it said.
    IgnoredFailure(String),
}

pub(crate) fn run(is_short: bool) -> Result<(), String> {
    shell::installed("strace", "strace")?;
    let calls: &[_] = if is_short { &CALLS_SHORT } else { &CALLS };
    let world = World::new("failpoints")?;
    let outcome = sweep(&world, calls)
        .and_then(|()| {
            making(
                &world,
                "ledger",
                if is_short { &OF_A_LEDGER[4..] } else { &OF_A_LEDGER },
                VALUES,
            )
        })
        .and_then(|()| match is_short {
            true => Ok(()),
            false => making(&world, "segment", &OF_A_SEGMENT, VALUES_OF_A_SEGMENT),
        })
        .and_then(|()| full(&world))
        .and_then(|()| control(&world));
    world.end(outcome)
}

/// One ledger through all points, one after the other.
fn sweep(world: &World, calls: &[(&str, u32)]) -> Result<(), String> {
    let mut couriers = world.couriers(&world.home.join("sweep"), CLIENTS, CHUNK_MAX, PAUSE_MS)?;
    for fault in [KILL, FAIL] {
        for (call, most) in calls {
            let (mut ended, mut went_on, mut missed) = (0, 0, 0);
            for when in 1..=*most {
                match strike(world, &mut couriers, Point { call, file: None, when, fault }, VALUES)?
                {
                    Fate::Ended => ended += 1,
                    Fate::WentOn => went_on += 1,
                    Fate::NotReached => missed += 1,
                    Fate::IgnoredFailure(why) => return Err(why),
                }
            }
            if ended + went_on == 0 {
                return Err(format!("{call}, {fault}: never reached"));
            }
            println!(
                "{call} 1 to {most}, {fault}: ended {ended}, went on {went_on}, not reached {missed}; exact after each"
            );
        }
    }
    deliver(world, &mut couriers)
}

/// Each point on a ledger of its own.
fn making(
    world: &World,
    what: &str,
    points: &[(&str, &str, u32)],
    values: u64,
) -> Result<(), String> {
    let chunk = if values > VALUES { CHUNK_LARGE } else { CHUNK_MAX };
    for (call, file, when) in points {
        for fault in [KILL, FAIL] {
            renew(world)?;
            let folder = world.home.join(format!("{what}-{call}-{file}-{when}-{fault}"));
            let mut couriers = world.couriers(&folder, CLIENTS, chunk, PAUSE_MS)?;
            if what == "segment" {
                // Its first one is made already.
                let mut server =
                    world.serve(&mut Command::new(program("ddes")), &["--allow-any"])?;
                server.listens()?;
                server.process.stop()?;
            }
            let point = Point { call, file: Some(file), when: *when, fault };
            let fate = match strike(world, &mut couriers, point, values)? {
                Fate::Ended => "ended",
                Fate::WentOn => "went on",
                Fate::NotReached => {
                    return Err(format!("{call} {file} {when}, {fault}: not reached"));
                }
                Fate::IgnoredFailure(why) => return Err(why),
            };
            deliver(world, &mut couriers)?;
            println!("making a {what}, {call} {when} of '{file}', {fault}: {fate}, then exact");
        }
    }
    Ok(())
}

/// Runs a server into one point, and checks afterwards that the ledger keeps all it acknowledged.
fn strike(
    world: &World,
    couriers: &mut Couriers,
    point: Point<'_>,
    values: u64,
) -> Result<Fate, String> {
    let log = world.home.join("strace");
    let mut server = world
        .serve(&mut point.command(world, &log), &["--allow-any", "--checkpoint-bytes", "2000"])?;
    let listens = server.listens()?;
    couriers.more(values)?;
    let begin = Instant::now();
    let mut last = begin;
    let is_over = |server: &mut Server| server.process.0.try_wait().map(|status| status.is_some());
    while listens && !is_over(&mut server).map_err(|error| error.to_string())? {
        if couriers.confirmed().iter().any(|confirmed| *confirmed < couriers.goal) {
            last = Instant::now();
        }
        if last.elapsed() > LINGER || begin.elapsed() > FULL_MAX {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let said =
        std::fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let hit = said.lines().find(|line| line.contains("(INJECTED)")).unwrap_or("");
    let of_the_journal =
        hit.contains("/journal-") && (hit.contains("fdatasync") || hit.contains("pwrite64"));
    let must_end = point.fault != KILL && of_the_journal;
    let shown = point.shown();
    let fate = match server.process.wait(if must_end { STOP_MAX } else { Duration::ZERO }) {
        Ok(Some(0)) => {
            return Err(format!(
                "{shown}: it ended as if nothing had been\n{}",
                server.said.text()
            ));
        }
        Ok(_) => Fate::Ended,
        Err(_) if must_end => {
            let why = format!("{shown}: it goes on\n{}", server.said.text());
            return Ok(Fate::IgnoredFailure(why));
        }
        Err(_) if hit.is_empty() => Fate::NotReached,
        Err(_) => Fate::WentOn,
    };
    if fate != Fate::Ended && begin.elapsed() > FULL_MAX {
        return Err(format!(
            "{shown}: nothing moves; {:?}\n{}",
            couriers.confirmed(),
            server.said.text()
        ));
    }
    drop(server);
    compare(world, couriers).map_err(|why| format!("{shown}: {}", String::from(why))).map(|_| fate)
}

/// With a server to whom nothing happens.
fn deliver(world: &World, couriers: &mut Couriers) -> Result<(), String> {
    let mut server = world.serve(&mut Command::new(program("ddes")), &["--allow-any"])?;
    if !server.listens()? {
        return Err(format!("it does not start again:\n{}", server.said.text()));
    }
    let code = couriers.finish(FULL_MAX)?;
    if code != Some(0) {
        return Err(format!("the clients ended with {code:?}:\n{}", couriers.said()));
    }
    server.process.stop()?;
    let books = compare(world, couriers)?;
    let exact = books.iter().all(|counted| *counted == couriers.goal);
    if exact { Ok(()) } else { Err(format!("each should have {}: {books:?}", couriers.goal)) }
}

fn renew(world: &World) -> Result<(), String> {
    // The server is not to miss it.
    let known = std::fs::remove_file(world.home.join("known_ledgers"));
    for removed in [known, std::fs::remove_dir_all(world.ledger())] {
        match removed {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

impl Point<'_> {
    /// A server that will come to it. `-D`: the server is the child, and not strace. Without
    /// `--seccomp-bpf`, with which strace 6.1 miscounts `when`.
    fn command(&self, world: &World, log: &Path) -> Command {
        let Self { call, file, when, fault } = self;
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-qq", "-y", "-s", "0", "-o"]).arg(log);
        if let Some(file) = file {
            strace.arg("-P").arg(if file.is_empty() {
                world.ledger()
            } else {
                world.ledger().join(file)
            });
            // By its name in the folder's descriptor, where a call takes that.
            if !file.is_empty() {
                strace.args(["-P", file]);
            }
        }
        strace.args([
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:{fault}:when={when}"),
        ]);
        strace.arg(program("ddes"));
        strace
    }

    fn shown(&self) -> String {
        let Self { call, file, when, fault } = self;
        format!("{call} {when} {}, {fault}", file.unwrap_or(""))
    }
}

/// No room for another segment, and then room again.
fn full(world: &World) -> Result<(), String> {
    renew(world)?;
    let mut couriers = world.couriers(&world.home.join("full"), CLIENTS, CHUNK_LARGE, PAUSE_MS)?;
    let mut server = world.serve(&mut Command::new(program("ddes")), &["--allow-any"])?;
    server.listens()?;
    couriers.more(1)?;
    couriers.reach(1, FULL_MAX)?;
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o"])
        .arg(world.home.join("strace"))
        .args(["-p", &server.process.0.id().to_string()]);
    strace.arg("-P").arg(world.ledger().join("spare"));
    strace.args(["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC"]);
    let mut strace =
        strace.stdin(Stdio::null()).spawn().map(Running).map_err(|error| error.to_string())?;
    couriers.more(VALUES_OF_A_SEGMENT)?;
    let begin = Instant::now();
    while !server.said.contains("\"state\":\"full\"") {
        if begin.elapsed() > FULL_MAX {
            return Err(format!(
                "it never says that it is full: {:?}\n{}",
                couriers.confirmed(),
                server.said.text()
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(1500));
    let (before, is_running) = (couriers.confirmed(), server.process.0.try_wait());
    thread::sleep(Duration::from_millis(1500));
    if couriers.confirmed() != before || !matches!(is_running, Ok(None)) {
        return Err("a full ledger counts, or has ended".into());
    }
    strace.stop()?;
    let code = couriers.finish(FULL_MAX)?;
    // The clients may hear of it first, and room is looked for once a second.
    let begin = Instant::now();
    while !server.said.contains("\"state\":\"good\"") && begin.elapsed() < 3 * LINGER {
        thread::sleep(Duration::from_millis(5));
    }
    if code != Some(0) || !server.said.contains("\"state\":\"good\"") {
        return Err(format!(
            "with room again the clients end with {code:?}\n{}",
            server.said.text()
        ));
    }
    server.process.stop()?;
    let books = compare(world, &couriers)?;
    if books.iter().any(|counted| *counted != couriers.goal) {
        return Err(format!("each should have {}: {books:?}", couriers.goal));
    }
    println!(
        "no room for a segment: nothing is counted, the server lives; with room again all {} are",
        books.iter().sum::<u64>()
    );
    Ok(())
}

/// A sync that is left out in silence looks like one that failed and was ignored: the check above
/// must object.
fn control(world: &World) -> Result<(), String> {
    renew(world)?;
    let mut couriers = world.couriers(&world.home.join("control"), CLIENTS, CHUNK_MAX, PAUSE_MS)?;
    let point = Point { call: "fdatasync", file: None, when: 4, fault: LIE };
    match strike(world, &mut couriers, point, VALUES) {
        Ok(Fate::IgnoredFailure(_)) => {
            println!("a server that goes on after a failed sync, as a control: noticed");
            Ok(())
        }
        Err(why) => Err(why),
        Ok(Fate::Ended | Fate::WentOn | Fate::NotReached) => {
            Err("a server that ignores a failed sync passes: this harness proves nothing".into())
        }
    }
}

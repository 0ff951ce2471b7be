//! `cargo xtask faults`: a client with an outbox sends 1 to 100,000 while it is killed, and its
//! connections delayed and cut, at random. Then the server must have counted each of them once.
//!
//! It uses the commands as a user does, and a forwarder between them that loses connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::process::{Random, Running, clock, output, program};
use crate::shell;

const COUNT: u64 = 100_000;
const SUM: u64 = COUNT * (COUNT + 1) / 2;
const KILLS: u64 = 1_000;
/// The number of kills in CI.
const KILLS_SHORT: u64 = 40;
const KILL_AFTER_MS_MAX: u64 = 60;
const DELAY_MS_MAX: u64 = 4;
/// The most bytes after which a connection is cut; one in three is.
const CUT_BYTES_MAX: u64 = 12_000;
/// The longest time that the last run may take.
const LAST_RUN_MAX: Duration = Duration::from_secs(120);

struct World {
    program: PathBuf,
    home: PathBuf,
    forwarder: String,
    server: String,
    /// Connections of an older life of the client are dead.
    life: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let clock = clock();
    let (kills, seed) = match arguments {
        [] => (KILLS, clock),
        ["--short"] => (KILLS_SHORT, clock),
        ["--seed", seed] => (KILLS, seed.parse().map_err(|_| "a seed is a number")?),
        _ => return Err("usage: cargo xtask faults [--short | --seed N]".into()),
    };
    println!("seed {seed}: {kills} kills while 1 to {COUNT} are sent");
    shell::run("cargo", &["build", "--release", "--package", "ddes"], &[])?;
    let home = std::env::temp_dir().join(format!("ddes-faults-{}", std::process::id()));
    std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let outcome = drive(kills, seed, &home);
    match &outcome {
        Ok(()) => drop(std::fs::remove_dir_all(&home)),
        Err(_) => eprintln!("seed {seed}; what it left is in {}", home.display()),
    }
    outcome
}

fn drive(kills: u64, seed: u64, home: &Path) -> Result<(), String> {
    let (world, _server) = World::start(seed, home)?;
    let mut random = Random(seed | 1);
    let (mut killed, mut ended) = (0, 0);
    while killed < kills {
        let fed = COUNT * killed / kills + 1 + random.below(COUNT / kills);
        let mut sender = world.send(fed, false)?;
        thread::sleep(Duration::from_millis(1 + random.below(KILL_AFTER_MS_MAX)));
        match sender.0.try_wait() {
            Ok(Some(status)) => {
                ended += 1;
                if ended > kills {
                    return Err(format!("the client ends by itself: {status}"));
                }
            }
            Ok(None) | Err(_) => {
                drop(sender);
                killed += 1;
                world.life.fetch_add(1, Ordering::SeqCst);
            }
        }
        if killed % 100 == 0 {
            println!("{killed} kills, {} cuts", world.cuts.load(Ordering::Relaxed));
        }
    }
    let mut last = world.send(COUNT, true)?;
    let begin = std::time::Instant::now();
    loop {
        match last.0.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => break,
            Some(status) => return Err(format!("the last run ended with {status}")),
            None if begin.elapsed() > LAST_RUN_MAX => {
                return Err("the last run does not end".into());
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
    let total = world.ddes(&["total", "--json", "--server", &world.server])?;
    let cuts = world.cuts.load(Ordering::Relaxed);
    println!("{killed} kills and {cuts} cuts: {}", total.trim());
    let exact = total.contains(&format!("\"count\":\"{COUNT}\""))
        && total.contains(&format!("\"sum\":\"{SUM}\""));
    if exact { Ok(()) } else { Err(format!("the sum should be {SUM}, the count {COUNT}")) }
}

impl World {
    fn start(seed: u64, home: &Path) -> Result<(Self, Running), String> {
        let program = program("ddes");
        let mut server = Command::new(&program);
        server.args([
            "serve",
            "--json",
            "--quiet",
            "--listen",
            "127.0.0.1:0",
            "--frame-values",
            "20",
        ]);
        server.env("DDES_HOME", home).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = server
            .spawn()
            .map(Running)
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let output = server.0.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let rest = line.split_once("\"addr\":\"")?.1;
            rest.split_once('"').map(|(address, _)| address.to_owned())
        });
        let server_address = address.ok_or("the server did not say where it listens")?;
        thread::spawn(move || lines.for_each(drop));

        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let forwarder = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let world = Self {
            program,
            home: home.to_owned(),
            forwarder,
            server: server_address,
            life: Arc::default(),
            cuts: Arc::default(),
        };
        world.forward(listener, Random(seed.wrapping_add(2) | 1));
        let key = world.ddes(&["key", "show", "--server-key", "--quiet"])?;
        for address in [&world.forwarder, &world.server] {
            world.ddes(&["trust", "add", address, key.trim()])?;
        }
        Ok((world, server))
    }

    fn ddes(&self, arguments: &[&str]) -> Result<String, String> {
        output(Command::new(&self.program).args(arguments).env("DDES_HOME", &self.home))
    }

    /// Starts the client and gives it the integers up to `fed`; `whole` ends its input there.
    fn send(&self, fed: u64, whole: bool) -> Result<Running, String> {
        let outbox = self.home.join("outbox");
        let mut command = Command::new(&self.program);
        command
            .args(["send", "--quiet", "--resume", "--server", &self.forwarder, "--outbox"])
            .arg(outbox)
            .arg("-");
        command.env("DDES_HOME", &self.home).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut sender = command.spawn().map(Running).map_err(|error| error.to_string())?;
        let mut input = sender.0.stdin.take().ok_or("the client has no input")?;
        let life = (Arc::clone(&self.life), self.life.load(Ordering::SeqCst));
        thread::spawn(move || {
            let lines: String = (1..=fed).map(|number| format!("{number}\n")).collect();
            // A client that was killed takes nothing.
            drop(input.write_all(lines.as_bytes()));
            while !whole && life.0.load(Ordering::SeqCst) == life.1 {
                thread::sleep(Duration::from_millis(1));
            }
        });
        Ok(sender)
    }

    /// Between client and server: delays, cuts, and the death of connections with their client.
    fn forward(&self, listener: TcpListener, mut random: Random) {
        let (server, life, cuts) =
            (self.server.clone(), Arc::clone(&self.life), Arc::clone(&self.cuts));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let cut = if random.below(3) == 0 { random.below(CUT_BYTES_MAX) } else { u64::MAX };
                let born = life.load(Ordering::SeqCst);
                let (Ok(back), Ok(forth)) = (client.try_clone(), upstream.try_clone()) else {
                    continue;
                };
                for (from, to) in [(client, upstream), (forth, back)] {
                    let (life, cuts) = (Arc::clone(&life), Arc::clone(&cuts));
                    let random = Random(random.below(u64::MAX) | 1);
                    thread::spawn(move || {
                        carry(from, to, random, cut, &cuts, || life.load(Ordering::SeqCst) == born);
                    });
                }
            }
        });
    }
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    mut random: Random,
    cut: u64,
    cuts: &AtomicU64,
    lives: impl Fn() -> bool,
) {
    let mut buffer = [0; 700];
    let mut carried = 0;
    while let Ok(count) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(random.below(DELAY_MS_MAX)));
        carried += count as u64;
        let (part, _) = buffer.split_at(count);
        if count == 0 {
            drop(to.shutdown(Shutdown::Write));
            return;
        }
        if carried > cut {
            cuts.fetch_add(1, Ordering::Relaxed);
        }
        if carried > cut || !lives() || to.write_all(part).is_err() {
            break;
        }
    }
    // One direction's end is the other's.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

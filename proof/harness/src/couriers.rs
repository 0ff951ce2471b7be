//! Many couriers in one process: the clients of `cargo xtask crash` and `power`. Each has an
//! identity and an outbox of its own, in a folder or in memory.
//!
//! A line on standard input is the number of values that each has to have sent by and by; its end
//! is the last word. Standard output says `counted CLIENT LAST-SEQ` whenever the ledger covers
//! more, `opened CLIENT SESSION`, `unavailable CLIENT` after a status 4, and `lost CLIENT WHY`.
//! `FOLDER/authorized_keys` lets them in, and `FOLDER/clients`, which is there when that is whole,
//! names their accounts. Exits with 5 where an outbox objects to the ledger.
//!
//! With an outbox `hopping:SECS` a client ends its session after half to three halves of that time,
//! mostly, and begins another with what its folder has, at another server if a balancer says so.
//! Some say goodbye, some vanish, and some leave a session behind that is superseded and sends
//! nevertheless (ghost.rs); of that it says `ghost CLIENT END`.

use std::cell::Cell;
use std::io::{self, BufRead, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ddes_client::courier::{Courier, CourierError, CourierEvent, Terms};
use ddes_client::delivery::{DeliveryError, Patience};
use ddes_client::outbox::{InputMark, Outbox, OutboxOwner, TAKE_MAX};
use ddes_client::v2::ConnectOptions;
use ddes_client::{ClientEnd, EnterError, Lost, Signer};
use ddes_identity::{PublicKey, ServerAddress, SigningKey, read_public};
use ddes_wire::v2::{GroupSize, Scope, Suite, Welcome};
use ddes_wire::{Sequence, Total, saturating};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::Random;
use crate::ghost::{Ghost, GhostEnd, GhostWish, Successor};
use crate::values::{Sums, mix, value};

const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
const REPLY_MAX: Duration = Duration::from_secs(20);
/// A server that shares a ledger waits 30 s for its database.
const REPLY_BEHIND_DATABASE: Duration = Duration::from_secs(45);
const OBJECTS: u8 = 5;
const CLIENTS_OF_A_THREAD: u64 = 64;

/// One session in so many of those that hop lasts for so many times as long: some must see what a
/// server says that has waited for its database in vain.
const LONG_ONE_IN: u64 = 4;
const LONGER: u64 = 6;

/// How much everybody has to send.
#[derive(Default)]
struct Goal {
    values: AtomicU64,
    is_last: AtomicBool,
}

struct Plan {
    server: ServerAddress,
    key: PublicKey,
    chunk_max: u64,
    pause: Duration,
    keeps: Keeping,
    goal: Arc<Goal>,
}

/// Where a client's outbox is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Memory,
    Folder,
    /// In a folder, and the client's sessions last for about this long.
    Hopping(Duration),
}

enum Failure {
    Objection(String),
    Other(String),
}

pub(crate) fn main(arguments: &[&str]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Objection(why)) => {
            eprintln!("{why}");
            ExitCode::from(OBJECTS)
        }
        Err(Failure::Other(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Failure> {
    let [server, key, folder, clients, chunk_max, pause, outbox] = *arguments else {
        return Err(other(
            "usage: ddes-harness couriers SERVER SERVER-KEY FOLDER CLIENTS CHUNK-MAX PAUSE-MS \
             durable|memory|hopping:SECS",
        ));
    };
    let number = |text: &str| text.parse::<u64>().map_err(other);
    let plan = Arc::new(Plan {
        server: server.parse().map_err(other)?,
        key: read_public(key).map_err(other)?,
        chunk_max: number(chunk_max)?.clamp(1, TAKE_MAX as u64),
        pause: Duration::from_millis(number(pause)?),
        keeps: match outbox.split_once(':') {
            None if outbox == "memory" => Keeping::Memory,
            None if outbox == "durable" => Keeping::Folder,
            Some(("hopping", secs)) => Keeping::Hopping(Duration::from_secs(number(secs)?)),
            None | Some(_) => return Err(other(format!("{outbox}: no such outbox"))),
        },
        goal: Arc::default(),
    });
    let (folder, clients) = (Path::new(folder), number(clients)?);
    std::fs::create_dir_all(folder).map_err(other)?;
    let keys: String =
        (0..clients).map(|client| signing_key(client).public().to_openssh() + "\n").collect();
    std::fs::write(folder.join("authorized_keys"), keys).map_err(other)?;
    let accounts: String = (0..clients).map(|client| account(client) + "\n").collect();
    std::fs::write(folder.join("clients"), accounts).map_err(other)?;
    listen(Arc::clone(&plan.goal));

    // Of several threads a busy machine gives more to all of them together.
    let (send, ends) = mpsc::channel();
    let mut first = 0;
    while first < clients {
        let group = first..clients.min(first + CLIENTS_OF_A_THREAD);
        first = group.end;
        let (plan, folder, send) = (Arc::clone(&plan), folder.to_owned(), send.clone());
        std::thread::spawn(move || {
            let ends = send.clone();
            let outcome = deliver_all(&plan, group, &folder, ends);
            // Whoever waited has ended with another failure.
            drop(outcome.map_err(|error| send.send(Err(error))));
        });
    }
    drop(send);
    let mut ended = 0;
    for end in ends {
        end?;
        ended += 1;
    }
    if ended == clients { Ok(()) } else { Err(other("a thread of clients panicked")) }
}

/// The clients of one thread; `ends` hears how each ended.
fn deliver_all(
    plan: &Arc<Plan>,
    clients: Range<u64>,
    folder: &Path,
    ends: mpsc::Sender<Result<(), Failure>>,
) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    let local = LocalSet::new();
    for client in clients {
        let (plan, folder) = (Arc::clone(plan), folder.join(client.to_string()));
        let ends = ends.clone();
        local.spawn_local(async move {
            let end = CourierClient::new(plan, client, folder).deliver().await;
            // As above.
            drop(ends.send(end));
        });
    }
    drop(ends);
    runtime.block_on(local);
    Ok(())
}

/// What the account of each client has to be.
pub(crate) fn sums(clients: &str, count: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let count = number(count)?;
    for client in 0..number(clients)? {
        let sum = Sums::new(client).of(count).ok_or_else(|| format!("{count} is too many"))?;
        println!("{} {count} {sum}", account(client));
    }
    Ok(())
}

/// The goal, as standard input has it.
fn listen(goal: Arc<Goal>) {
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Ok(values) = line.trim().parse() {
                goal.values.store(values, Ordering::SeqCst);
            }
        }
        goal.is_last.store(true, Ordering::SeqCst);
    });
}

fn signing_key(client: u64) -> SigningKey {
    let mut seed = [0x5a; 32];
    seed[..8].copy_from_slice(&client.to_le_bytes());
    SigningKey::from_seed(&seed)
}

fn account(client: u64) -> String {
    signing_key(client).public().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A client, through all of its sessions.
struct CourierClient {
    plan: Arc<Plan>,
    client: u64,
    folder: PathBuf,
    sums: Sums,
    /// How many values it has given to its outbox.
    given: u64,
    random: Random,
    /// What its newest session has seen, for its ghosts.
    newest: Successor,
}

/// Why a client stops with its courier.
enum CourierPause {
    /// All is sent and counted.
    Done,
    Hop,
}

impl CourierClient {
    fn new(plan: Arc<Plan>, client: u64, folder: PathBuf) -> Self {
        let sums = Sums::new(client);
        let (random, newest) = (Random::new(client), Rc::new(Cell::new((0, 0))));
        Self { plan, client, folder, sums, given: 0, random, newest }
    }

    async fn deliver(mut self) -> Result<(), Failure> {
        let mut ghost: Option<tokio::task::JoinHandle<Result<GhostEnd, String>>> = None;
        loop {
            let until = match self.plan.keeps {
                Keeping::Memory | Keeping::Folder => None,
                Keeping::Hopping(life) => {
                    let millis = saturating::millis(life).max(1);
                    let mut life = millis / 2 + self.random.below(millis);
                    if self.random.one_in(LONG_ONE_IN) {
                        life *= LONGER;
                    }
                    Some(Instant::now() + Duration::from_millis(life))
                }
            };
            let mut courier = self.courier()?;
            let pause = self.send(&mut courier, until).await?;
            if let Some(ghost) = ghost.take_if(|ghost| ghost.is_finished()) {
                self.haunted(ghost.await.map_err(other)?)?;
            }
            match pause {
                CourierPause::Done => {
                    courier.close(Scope::Session).await.map_err(of_courier)?;
                    if let Some(ghost) = ghost.take() {
                        self.haunted(ghost.await.map_err(other)?)?;
                    }
                    return Ok(());
                }
                CourierPause::Hop if self.random.one_in(2) => {
                    courier.close(Scope::Session).await.map_err(of_courier)?;
                }
                // It vanishes.
                CourierPause::Hop => drop(courier),
            }
            if ghost.is_none() && self.random.one_in(3) {
                ghost = self.ghost().await?.map(tokio::task::spawn_local);
            }
        }
    }

    fn signer(&self) -> Signer {
        Signer::Key(signing_key(self.client))
    }

    fn options(&self) -> ConnectOptions {
        ConnectOptions {
            server: self.plan.server.clone(),
            suite: Suite::Hybrid(GroupSize::Bits2048),
            connect: REPLY_MAX,
            handshake: REPLY_MAX,
            reply: self.plan.reply(),
            wiretap: None,
        }
    }

    fn courier(&mut self) -> Result<Courier, Failure> {
        let owner = OutboxOwner { key: self.signer().public(), server: self.plan.server.clone() };
        let outbox = match self.plan.keeps {
            Keeping::Memory => Outbox::in_memory(),
            Keeping::Folder | Keeping::Hopping(_) => {
                Outbox::open(&self.folder, &owner).map_err(other)?
            }
        };
        let patience = Patience { first: PATIENCE, later: PATIENCE };
        let terms = Terms { options: self.options(), signer: self.signer(), patience };
        let courier = Courier::new(terms, vec![self.plan.key], outbox);
        self.given = courier.outbox().confirmed().get() + courier.outbox().pending() as u64;
        Ok(courier)
    }

    async fn send(
        &mut self,
        courier: &mut Courier,
        until: Option<Instant>,
    ) -> Result<CourierPause, Failure> {
        loop {
            let is_last = self.plan.goal.is_last.load(Ordering::SeqCst);
            let goal = self.plan.goal.values.load(Ordering::SeqCst);
            if is_last && self.given >= goal && courier.outbox().pending() == 0 {
                return Ok(CourierPause::Done);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(CourierPause::Hop);
            }
            tokio::select! {
                event = courier.next() => self.hear(event.map_err(of_courier)?)?,
                () = tokio::time::sleep(self.plan.pause) => {
                    let chunk = chunk(&self.plan, self.client, self.given);
                    let chunk = chunk.min(goal.saturating_sub(self.given));
                    if chunk > 0 && courier.outbox().pending() < TAKE_MAX {
                        let next = self.given + 1..=self.given + chunk;
                        let values: Vec<i64> =
                            next.map(|number| value(self.client, number)).collect();
                        courier.take(&values, InputMark::default()).map_err(other)?;
                        self.given += chunk;
                    }
                }
            }
        }
    }

    fn hear(&mut self, event: CourierEvent) -> Result<(), Failure> {
        let client = self.client;
        match event {
            CourierEvent::Opened(Welcome { standing, session, .. }) => {
                counted(client, &mut self.sums, standing.last_seq, standing.sum)?;
                self.newest.set((session.get(), standing.last_seq.get()));
                say(&format!("opened {client} {session}"))
            }
            CourierEvent::Counted { last_seq, sum } => {
                self.newest.set((self.newest.get().0, last_seq.get()));
                counted(client, &mut self.sums, last_seq, sum)
            }
            CourierEvent::Unavailable => say(&format!("unavailable {client}")),
            CourierEvent::Lost { why, .. } => say(&format!("lost {client} {}", cause(&why))),
        }
    }

    /// A session that the next one supersedes.
    async fn ghost(
        &mut self,
    ) -> Result<Option<impl Future<Output = Result<GhostEnd, String>> + use<>>, Failure> {
        let (options, signer) = (self.options(), self.signer());
        let Some(ghost) = Ghost::open(&options, self.plan.key, &signer).await else {
            return Ok(None);
        };
        let standing = ghost.standing;
        counted(self.client, &mut self.sums, standing.last_seq, standing.sum)?;
        let wish = match self.random.below(3) {
            0 => GhostWish::Duplicate,
            1 => GhostWish::Poison,
            _ => GhostWish::Gap,
        };
        let (client, newest) = (self.client, Rc::clone(&self.newest));
        Ok(Some(async move { ghost.haunt(client, wish, &newest).await }))
    }

    fn haunted(&self, end: Result<GhostEnd, String>) -> Result<(), Failure> {
        let end = match end.map_err(Failure::Other)? {
            GhostEnd::Fenced => "fenced",
            GhostEnd::Vanished => "vanished",
        };
        say(&format!("ghost {} {end}", self.client))
    }
}

impl Plan {
    /// Behind a database that is away, an answer takes as long as a server waits for it.
    fn reply(&self) -> Duration {
        match self.keeps {
            Keeping::Memory | Keeping::Folder => REPLY_MAX,
            Keeping::Hopping(_) => REPLY_BEHIND_DATABASE,
        }
    }
}

/// Why there is no session, without what differs from time to time.
fn cause(why: &Lost) -> String {
    match why {
        Lost::Enter(EnterError::Ended(end)) => format!("not opened: {}", of_end(end)),
        Lost::Ended(end) => of_end(end),
        Lost::Enter(
            error @ (EnterError::Connect(_) | EnterError::Untrusted { .. } | EnterError::Sign(_)),
        ) => error.to_string(),
    }
}

fn of_end(end: &ClientEnd) -> String {
    match end {
        ClientEnd::Farewell(farewell) => farewell.text.clone(),
        ClientEnd::Rejected(rejection) => format!("{} (not authenticated)", rejection.text),
        ClientEnd::Fault(fault) => fault.to_string(),
    }
}

/// From one value to the most, every power of two as often.
fn chunk(plan: &Plan, client: u64, given: u64) -> u64 {
    let random = mix(!client ^ given << 20);
    (1 << (random % (1 + u64::from(plan.chunk_max.ilog2())))).min(plan.chunk_max)
}

fn counted(client: u64, sums: &mut Sums, last_seq: Sequence, sum: Total) -> Result<(), Failure> {
    if sums.of(last_seq.get()) != Some(sum.get()) {
        return Err(other(format!("client {client} was told the sum {sum} with value {last_seq}")));
    }
    say(&format!("counted {client} {last_seq}"))
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(other)
}

fn of_courier(error: CourierError) -> Failure {
    match error {
        CourierError::Delivery(DeliveryError::Objection(why)) => {
            Failure::Objection(why.to_string())
        }
        CourierError::Lost(_)
        | CourierError::Delivery(
            DeliveryError::Malformed { .. }
            | DeliveryError::Unavailable { .. }
            | DeliveryError::Journal(_),
        ) => other(error),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn other(why: impl ToString) -> Failure {
    Failure::Other(why.to_string())
}

//! Many couriers in one process: the clients of `cargo xtask crash` and `power`. Each has an
//! identity and an outbox of its own, in a folder or in memory.
//!
//! A line on standard input is the number of values that each has to have sent by and by; its end
//! is the last word. Standard output says `counted CLIENT LAST-SEQ` whenever the ledger covers
//! more. `FOLDER/authorized_keys` lets them in, and `FOLDER/clients`, which is there when that is
//! whole, names their accounts. Exits with 5 where an outbox objects to the ledger.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ddes_client::Signer;
use ddes_client::courier::{Courier, CourierError, CourierEvent, Terms};
use ddes_client::delivery::{DeliveryError, Patience};
use ddes_client::outbox::{InputMark, Outbox, OutboxOwner, TAKE_MAX};
use ddes_client::v2::ConnectOptions;
use ddes_identity::{PublicKey, ServerAddress, SigningKey, read_public};
use ddes_wire::v2::{GroupSize, Scope, Suite, Welcome};
use ddes_wire::{Sequence, Total};
use tokio::task::LocalSet;

use crate::values::{Sums, mix, value};

const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
const REPLY_MAX: Duration = Duration::from_secs(20);
const OBJECTS: u8 = 5;

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
    is_durable: bool,
    goal: Arc<Goal>,
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
             durable|memory",
        ));
    };
    let number = |text: &str| text.parse::<u64>().map_err(other);
    let plan = Arc::new(Plan {
        server: server.parse().map_err(other)?,
        key: read_public(key).map_err(other)?,
        chunk_max: number(chunk_max)?.clamp(1, TAKE_MAX as u64),
        pause: Duration::from_millis(number(pause)?),
        is_durable: outbox == "durable",
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

    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    let local = LocalSet::new();
    let running: Vec<_> = (0..clients)
        .map(|client| {
            let (plan, folder) = (Arc::clone(&plan), folder.join(client.to_string()));
            local.spawn_local(async move { deliver(&plan, client, &folder).await })
        })
        .collect();
    runtime.block_on(local.run_until(async {
        for client in running {
            client.await.map_err(other)??;
        }
        Ok(())
    }))
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

async fn deliver(plan: &Plan, client: u64, folder: &Path) -> Result<(), Failure> {
    let signer = Signer::Key(signing_key(client));
    let owner = OutboxOwner { key: signer.public(), server: plan.server.clone() };
    let outbox = if plan.is_durable {
        Outbox::open(folder, &owner).map_err(other)?
    } else {
        Outbox::in_memory()
    };
    let options = ConnectOptions {
        server: plan.server.clone(),
        suite: Suite::Hybrid(GroupSize::Bits2048),
        connect: REPLY_MAX,
        handshake: REPLY_MAX,
        reply: REPLY_MAX,
        wiretap: None,
    };
    let terms = Terms { options, signer, patience: Patience { first: PATIENCE, later: PATIENCE } };
    let mut courier = Courier::new(terms, vec![plan.key], outbox);
    let mut sums = Sums::new(client);
    let mut given = courier.outbox().confirmed().get() + courier.outbox().pending() as u64;
    loop {
        let is_last = plan.goal.is_last.load(Ordering::SeqCst);
        let goal = plan.goal.values.load(Ordering::SeqCst);
        if is_last && given >= goal && courier.outbox().pending() == 0 {
            return courier.close(Scope::Session).await.map(drop).map_err(of_courier);
        }
        tokio::select! {
            delivery = courier.next() => match delivery.map_err(of_courier)? {
                CourierEvent::Opened(Welcome { standing, .. }) => {
                    counted(client, &mut sums, standing.last_seq, standing.sum)?;
                }
                CourierEvent::Counted { last_seq, sum } => counted(client, &mut sums, last_seq, sum)?,
                CourierEvent::Unavailable | CourierEvent::Lost { .. } => {}
            },
            () = tokio::time::sleep(plan.pause) => {
                let chunk = chunk(plan, client, given).min(goal.saturating_sub(given));
                if chunk > 0 && courier.outbox().pending() < TAKE_MAX {
                    let values: Vec<i64> = (given + 1..=given + chunk).map(|number| value(client, number)).collect();
                    courier.take(&values, InputMark::default()).map_err(other)?;
                    given += chunk;
                }
            }
        }
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
    writeln!(io::stdout(), "counted {client} {last_seq}").map_err(other)
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

//! The client library against a server as a user runs it. Each scenario runs for both clients: on
//! tokio, and on a thread of its own.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use ddes_client::{
    ADD_MAX, Balance, Client, ClientError, CourierError, EnterError, Lost, Progress, ServerAddress,
    SigningKey, blocking, read_private, tokio,
};
use tokio::runtime::Runtime;

use crate::secure::{fingerprint, serve};
use crate::{Running, ddes_at, folder, output, root};

/// Which client.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tokio,
    Thread,
}

/// One of the two, whose methods wait.
enum Any {
    Tokio(Runtime, Client),
    Thread(blocking::Client),
}

/// How to start one.
struct Setup {
    server: ServerAddress,
    key: SigningKey,
    trust: String,
    outbox: Option<PathBuf>,
    progress: mpsc::Sender<Progress>,
}

impl Any {
    fn start(kind: Kind, setup: Setup) -> Result<Self, ClientError> {
        let Setup { server, key, trust, outbox, progress } = setup;
        let observe = move |event: &Progress| progress.send(event.clone()).unwrap_or(());
        match kind {
            Kind::Tokio => {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                let _inside = runtime.enter();
                let mut builder =
                    Client::builder(server, key).trust_fingerprint(trust).on_progress(observe);
                if let Some(outbox) = outbox {
                    builder = builder.outbox(outbox);
                }
                let client = builder.start()?;
                drop(_inside);
                Ok(Self::Tokio(runtime, client))
            }
            Kind::Thread => {
                let mut builder = blocking::Client::builder(server, key)
                    .trust_fingerprint(trust)
                    .on_progress(observe);
                if let Some(outbox) = outbox {
                    builder = builder.outbox(outbox);
                }
                Ok(Self::Thread(builder.start()?))
            }
        }
    }

    fn add(&self, values: &[i64]) -> Result<(), ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.add(values)),
            Self::Thread(client) => client.add(values),
        }
    }

    fn flush(&self) -> Result<Balance, ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.flush()),
            Self::Thread(client) => client.flush(),
        }
    }

    fn total(&self) -> Result<Balance, ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.total()),
            Self::Thread(client) => client.total(),
        }
    }

    fn close(self) -> Result<Balance, ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.close()),
            Self::Thread(client) => client.close(),
        }
    }
}

/// A server with one identity, and what a client of it needs.
struct World {
    home: PathBuf,
    server: Running,
    progress: mpsc::Receiver<Progress>,
    sender: mpsc::Sender<Progress>,
}

impl World {
    fn new() -> Self {
        let home = folder();
        let server = serve(&home, &[]);
        let (code, ..) = output(ddes_at(&home, &["key", "new", "sensor"]));
        assert_eq!(code, 0);
        let (sender, progress) = mpsc::channel();
        Self { home, server, progress, sender }
    }

    fn key_file(&self) -> PathBuf {
        self.home.join("identities/sensor")
    }

    fn setup(&self, outbox: bool) -> Setup {
        Setup {
            server: self.server.address.parse().unwrap(),
            key: read_private(&fs::read(self.key_file()).unwrap(), None).unwrap(),
            trust: fingerprint(&self.home),
            outbox: outbox.then(|| self.home.join("outbox")),
            progress: self.sender.clone(),
        }
    }

    fn start(&self, kind: Kind, outbox: bool) -> Any {
        Any::start(kind, self.setup(outbox)).unwrap()
    }

    /// What the server says to somebody else.
    fn total(&self) -> (String, String) {
        let (code, total, error) = output(ddes_at(
            &self.home,
            &[
                "total",
                "--as",
                "sensor",
                "--json",
                "--server",
                &self.server.address,
                "--trust",
                &fingerprint(&self.home),
            ],
        ));
        assert_eq!(code, 0, "{error}");
        let total: serde_json::Value = serde_json::from_str(&total).unwrap();
        (total["count"].as_str().unwrap().to_owned(), total["sum"].as_str().unwrap().to_owned())
    }

    /// The process is killed, and another one serves the same ledger at the same address.
    fn kill(&mut self) {
        self.server.child.kill().unwrap();
        self.server.child.wait().unwrap();
    }

    fn restart(&mut self) {
        let listen = self.server.address.clone();
        self.server =
            crate::started(ddes_at(&self.home, &["serve", "--json", "--listen", &listen]));
    }

    /// Waits for a progress that fits.
    fn until(&self, fits: impl Fn(&Progress) -> bool) {
        while !fits(&self.progress.recv_timeout(Duration::from_secs(60)).unwrap()) {}
    }
}

fn balance(count: u64, sum: i128) -> Balance {
    Balance { count, sum: ddes_client::Total::new(sum) }
}

const BOTH: [Kind; 2] = [Kind::Tokio, Kind::Thread];

#[test]
fn what_is_added_is_counted_and_told() {
    for kind in BOTH {
        let world = World::new();
        let client = world.start(kind, false);
        assert_eq!(client.total().unwrap(), balance(0, 0));
        client.add(&[3, 4, -5]).unwrap();
        client.add(&[]).unwrap();
        assert_eq!(client.flush().unwrap(), balance(3, 2));
        assert_eq!(client.total().unwrap(), balance(3, 2));
        // More than a call takes is refused whole, and as many as it takes are not.
        let many = vec![1; ADD_MAX + 1];
        assert!(matches!(client.add(&many), Err(ClientError::TooMany)));
        client.add(&many[1..]).unwrap();
        let all = balance(3 + ADD_MAX as u64, 2 + ADD_MAX as i128);
        assert_eq!(client.close().unwrap(), all);
        assert_eq!(world.total(), (all.count.to_string(), all.sum.to_string()));
        let seen: Vec<_> = world.progress.try_iter().collect();
        assert!(
            matches!(seen.first(), Some(Progress::Opened(opened)) if *opened == balance(0, 0)),
            "{kind:?}: {seen:?}"
        );
        assert!(
            matches!(seen.last(), Some(Progress::Counted(counted)) if *counted == all),
            "{kind:?}: {seen:?}"
        );
    }
}

#[test]
fn integers_count_once_whichever_side_is_killed() {
    for kind in BOTH {
        let mut world = World::new();
        let client = world.start(kind, true);
        client.add(&[1, 2]).unwrap();
        assert_eq!(client.flush().unwrap(), balance(2, 3));
        world.kill();
        // Nobody is there; they are kept.
        client.add(&[10]).unwrap();
        world.until(|progress| matches!(progress, Progress::Lost { .. }));
        client.add(&[20]).unwrap();
        // The client goes, and so do its threads; another one takes over its outbox.
        drop(client);
        let client = loop {
            match Any::start(kind, world.setup(true)) {
                Ok(client) => break client,
                Err(ClientError::Outbox(_)) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("{error}"),
            }
        };
        client.add(&[30]).unwrap();
        world.restart();
        assert_eq!(client.flush().unwrap(), balance(5, 63));
        assert_eq!(client.close().unwrap(), balance(5, 63));
        assert_eq!(world.total(), ("5".into(), "63".into()));
    }
}

#[test]
fn a_server_with_another_key_ends_the_client_and_hears_nothing() {
    for kind in BOTH {
        let world = World::new();
        let other = SigningKey::from_seed(&[9; 32]).public().fingerprint();
        let client = Any::start(kind, Setup { trust: other, ..world.setup(true) }).unwrap();
        client.add(&[7]).unwrap();
        for outcome in [client.flush(), client.total(), client.flush()] {
            let Err(ClientError::Ended(why)) = outcome else { panic!("{kind:?}: {outcome:?}") };
            assert!(
                matches!(&*why, CourierError::Lost(Lost::Enter(EnterError::Untrusted { .. }))),
                "{why:?}"
            );
        }
        assert!(matches!(client.add(&[8]), Err(ClientError::Ended(_))));
        drop(client);
        assert_eq!(world.total(), ("0".into(), "0".into()));
    }
}

#[test]
fn an_identity_that_is_not_let_in_is_told_why() {
    for kind in BOTH {
        let world = World::new();
        let key = SigningKey::from_seed(&[5; 32]);
        let client = Any::start(kind, Setup { key, ..world.setup(false) }).unwrap();
        let error = client.flush().unwrap_err().to_string();
        assert!(error.contains("not authorized"), "{kind:?}: {error}");
    }
}

#[test]
fn one_outbox_is_one_clients() {
    for kind in BOTH {
        let world = World::new();
        let _client = world.start(kind, true);
        let second = Any::start(kind, world.setup(true)).map(drop).unwrap_err();
        assert!(second.to_string().contains("in use"), "{kind:?}: {second}");
    }
}

#[test]
fn many_tasks_and_many_threads_add_at_once() {
    let world = World::new();
    let Any::Tokio(runtime, client) = world.start(Kind::Tokio, true) else { panic!() };
    runtime.block_on(async {
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        client.add(&[task]).await.unwrap();
                    }
                    client.flush().await.unwrap()
                })
            })
            .collect();
        for task in tasks {
            let counted = task.await.unwrap();
            assert!(counted.count >= 20);
        }
    });
    let sum: i128 = 20 * (0..50).sum::<i128>();
    assert_eq!(runtime.block_on(client.close()).unwrap(), balance(1000, sum));

    let world = World::new();
    let Any::Thread(client) = world.start(Kind::Thread, true) else { panic!() };
    std::thread::scope(|scope| {
        for thread in 0..20 {
            let client = client.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    client.add(&[thread]).unwrap();
                }
                assert!(client.flush().unwrap().count >= 20);
            });
        }
    });
    assert_eq!(client.close().unwrap(), balance(400, 20 * (0..20).sum::<i128>()));
}

/// Whatever was waited for may be given up at any point: an `add` is then done or not, never by
/// half.
#[test]
fn a_future_that_is_dropped_takes_all_or_none() {
    let world = World::new();
    let Any::Tokio(runtime, client) = world.start(Kind::Tokio, true) else { panic!() };
    runtime.block_on(async {
        for polls in 0..6 {
            for _ in 0..20 {
                let (flush, add) = (client.flush(), client.add(&[1, 10, 100]));
                let (mut flush, mut add) = (Box::pin(flush), Box::pin(add));
                let mut left = polls;
                std::future::poll_fn(|context| {
                    if left == 0 || add.as_mut().poll(context).is_ready() {
                        return std::task::Poll::Ready(());
                    }
                    drop(flush.as_mut().poll(context));
                    left -= 1;
                    context.waker().wake_by_ref();
                    std::task::Poll::Pending
                })
                .await;
            }
        }
        let Balance { count, sum } = client.flush().await.unwrap();
        assert_eq!((count % 3, sum.get()), (0, i128::from(count / 3) * 111));
        // Those that were waited for long enough are among them.
        assert!((1..=100).contains(&(count / 3)), "{count}");
    });
    drop(client);
}

#[test]
fn an_outbox_is_free_once_its_client_has_said_how_it_ended() {
    for kind in BOTH {
        let world = World::new();
        for count in 1..=5 {
            let client = world.start(kind, true);
            client.add(&[10]).unwrap();
            assert_eq!(client.close().unwrap(), balance(count, 10 * i128::from(count)));
        }
        let other = SigningKey::from_seed(&[9; 32]).public().fingerprint();
        let client = Any::start(kind, Setup { trust: other, ..world.setup(true) }).unwrap();
        assert!(matches!(client.flush(), Err(ClientError::Ended(_))));
        // It is there still, and refuses.
        let next = world.start(kind, true);
        assert!(matches!(client.add(&[1]), Err(ClientError::Ended(_))));
        assert_eq!(next.close().unwrap(), balance(5, 50));
    }
}

/// What `ddes send` has taken of an input stays known: it is not counted a second time.
#[test]
fn an_input_that_was_cut_off_stays_so_while_a_program_adds_to_its_outbox() {
    for kind in BOTH {
        let mut world = World::new();
        let outbox = world.home.join("outbox");
        let send = |world: &World, more: &[&str]| {
            let trust = fingerprint(&world.home);
            let flags =
                ["send", "--as", "sensor", "--server", &world.server.address, "--trust", &trust];
            let outbox = ["--outbox", outbox.to_str().unwrap()];
            output(ddes_at(&world.home, &[&flags[..], &outbox, more].concat()))
        };
        world.kill();
        assert_eq!(send(&world, &["--retry-secs", "0", "900"]).0, 3);
        world.restart();
        let client = world.start(kind, true);
        client.add(&[1]).unwrap();
        assert_eq!(client.close().unwrap(), balance(2, 901));
        let (code, _, error) = send(&world, &["900"]);
        assert!(code == 1 && error.contains("cut off after 1 lines"), "{error}");
        assert_eq!(send(&world, &["--resume", "900"]).0, 0);
        assert_eq!(world.total(), ("2".into(), "901".into()));
        // That input is finished, and stays so.
        let client = world.start(kind, true);
        client.add(&[2]).unwrap();
        assert_eq!(client.close().unwrap(), balance(3, 903));
        let (code, _, error) = send(&world, &["--resume", "900"]);
        assert!(code == 1 && error.contains("there is no input to resume"), "{error}");
    }
}

#[test]
fn a_wait_without_end_is_a_long_one() {
    let world = World::new();
    let Setup { server, key, trust, .. } = world.setup(false);
    let client = blocking::Client::builder(server, key).trust_fingerprint(trust);
    let client = client.timeout(Duration::MAX).patience(Duration::MAX).start().unwrap();
    client.add(&[6]).unwrap();
    assert_eq!(client.close().unwrap(), balance(1, 6));
}

/// The examples, copied into a crate that depends on nothing but this library.
#[test]
fn the_examples_run_in_a_crate_of_their_own() {
    let world = World::new();
    let stranger = folder().join("stranger");
    fs::create_dir_all(stranger.join("src/bin")).unwrap();
    let library = root().join("crates/client").canonicalize().unwrap();
    let manifest = format!(
        "[package]\nname = \"stranger\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nddes-client = {{ path = {:?} }}\n\n[workspace]\n",
        library.display().to_string()
    );
    fs::write(stranger.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), stranger.join("Cargo.lock")).unwrap();
    for name in ["sensor.rs", "batch.rs"] {
        fs::copy(library.join("examples").join(name), stranger.join("src/bin").join(name)).unwrap();
    }
    // Beside this workspace's own, so that what they depend on is built once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../stranger");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--offline"])
        .current_dir(&stranger)
        .env("CARGO_TARGET_DIR", &target);
    let (code, _, error) = output(cargo);
    assert_eq!(code, 0, "{error}");

    let (trust, key, outbox) =
        (fingerprint(&world.home), world.key_file(), stranger.join("outbox"));
    let run = |name: &str, rest: &[&str]| {
        let mut command = Command::new(target.join("debug").join(name));
        command.args([&world.server.address, &trust, key.to_str().unwrap()]).args(rest);
        output(command)
    };
    let sensor = run("sensor", &[outbox.to_str().unwrap(), "20"]);
    assert_eq!(sensor, (0, "20 integers, sum 210\n".into(), String::new()));
    let numbers = stranger.join("numbers.txt");
    fs::write(&numbers, (1..=20_000).map(|number| format!("{number}\n")).collect::<String>())
        .unwrap();
    let batch = run("batch", &[numbers.to_str().unwrap()]);
    assert_eq!(batch, (0, "20020 integers, sum 200010210\n".into(), String::new()));
    assert_eq!(world.total(), ("20020".into(), "200010210".into()));
    // Nothing of a batch with a line that is no integer is sent.
    fs::write(&numbers, "1\ntwo\n").unwrap();
    let (code, _, error) = run("batch", &[numbers.to_str().unwrap()]);
    assert!(code == 1 && error.contains("line 2"), "{error}");
    assert_eq!(world.total().0, "20020");
}

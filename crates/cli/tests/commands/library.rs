//! The client library against a server as a user runs it, which is killed and comes back, and
//! beside `ddes send`. Each scenario runs for both clients. What needs no process is among the
//! tests of the client's crate.

#[path = "../../../client/tests/served/both.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod both;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use ddes_client::{ClientError, Progress, SigningKey, read_private};

use both::{Any, BOTH, Kind, Setup, balance};

use crate::secure::fingerprint;
use crate::{Running, ddes_at, folder, output, root};

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
        // It is served there again.
        let listen = crate::unused_address();
        let server = crate::started(ddes_at(&home, &["serve", "--json", "--listen", &listen]));
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
fn an_identity_that_is_not_let_in_is_told_why() {
    for kind in BOTH {
        let world = World::new();
        let key = SigningKey::from_seed(&[5; 32]);
        let client = Any::start(kind, Setup { key, ..world.setup(false) }).unwrap();
        let error = client.flush().unwrap_err().to_string();
        assert!(error.contains("not authorized"), "{kind:?}: {error}");
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

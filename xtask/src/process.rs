//! The programs under test, as a user runs them, and what a harness needs about them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::shell;

/// The clients, and what reads a ledger with its own library.
pub(crate) const HARNESS: &str = "ddes-harness";

/// xorshift64*: a failing run's seed shows it again, as far as the scheduler does.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }

    /// An index below `bound`, which is not 0.
    #[allow(clippy::cast_possible_truncation, reason = "below `bound`, which is a usize")]
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    /// Its exit code, if it ends in time; a signal has none.
    pub(crate) fn wait(&mut self, most: Duration) -> Result<Option<i32>, String> {
        let begin = Instant::now();
        loop {
            match self.0.try_wait().map_err(|error| error.to_string())? {
                Some(status) => return Ok(status.code()),
                None if begin.elapsed() > most => return Err("it does not end".into()),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Asks it to end.
    pub(crate) fn stop(&mut self) -> Result<Option<i32>, String> {
        shell::run("kill", &["-TERM", &self.0.id().to_string()], &[])?;
        self.wait(Duration::from_secs(30))
    }
}

/// A seed of today.
pub(crate) fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

/// The number after a flag, or `default` without the flag.
pub(crate) fn option<T: std::str::FromStr>(
    arguments: &[&str],
    flag: &str,
    default: T,
) -> Result<T, String> {
    let Some(at) = arguments.iter().position(|argument| *argument == flag) else {
        return Ok(default);
    };
    let text = arguments.get(at + 1).ok_or_else(|| format!("{flag}: a number"))?;
    text.parse().map_err(|_| format!("{flag} {text}: a number"))
}

/// Builds the release programs: `ddes` and the harness.
pub(crate) fn build() -> Result<(), String> {
    let packages = ["--package", "ddes", "--package", HARNESS];
    shell::run("cargo", &[&["build", "--release"], &packages[..]].concat(), &[])
}

/// The path of a program of the release build.
pub(crate) fn program(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// The folder of what cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(shell::root().join("target"), PathBuf::from)
}

/// Runs the harness that [`build`] made and returns its output; also the error is its output.
pub(crate) fn harness(arguments: &[&str]) -> Result<String, String> {
    output(Command::new(program(HARNESS)).args(arguments))
}

/// Runs a command and returns its standard output; the error is all of its output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    let said = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if status.success() { Ok(said(stdout)) } else { Err(said(stdout) + &said(stderr)) }
}

/// A home with a server's key, and a port that is free.
pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) address: String,
    pub(crate) key: String,
}

impl World {
    /// In a folder that [`Self::end`] removes.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        Self::at(std::env::temp_dir().join(format!("ddes-{name}-{}", std::process::id())))
    }

    /// Without a key, in a folder that [`Self::end`] removes.
    pub(crate) fn empty(name: &str) -> Result<Self, String> {
        Self::without_key(std::env::temp_dir().join(format!("ddes-{name}-{}", std::process::id())))
    }

    fn without_key(home: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        drop(listener);
        Ok(Self { home, address, key: String::new() })
    }

    /// In a folder that somebody else removes.
    pub(crate) fn at(home: PathBuf) -> Result<Self, String> {
        let mut world = Self::without_key(home)?;
        let memory = ["--allow-any", "--ledger", "memory"];
        let mut server = world.serve(&mut Command::new(program("ddes")), &memory)?;
        server.listens()?;
        server.process.stop()?;
        let mut show = Command::new(program("ddes"));
        show.args(["key", "show", "--server-key", "--quiet"]).env("DDES_HOME", &world.home);
        world.key = output(&mut show)?.trim().to_owned();
        Ok(world)
    }

    /// What a failed run left is worth a look.
    pub(crate) fn end(self, outcome: Result<(), String>) -> Result<(), String> {
        match outcome {
            Ok(()) => std::fs::remove_dir_all(&self.home).map_err(|error| error.to_string()),
            Err(why) => Err(format!("{why}\nwhat it left is in {}", self.home.display())),
        }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.home.join("ledger")
    }

    /// Starts a server; `command` is `ddes`, or what runs it.
    pub(crate) fn serve(
        &self,
        command: &mut Command,
        arguments: &[&str],
    ) -> Result<Server, String> {
        self.serve_at(command, &self.address, arguments)
    }

    /// At another address than the clients know.
    pub(crate) fn serve_at(
        &self,
        command: &mut Command,
        address: &str,
        arguments: &[&str],
    ) -> Result<Server, String> {
        command.args(["serve", "--json", "--quiet", "--listen", address]);
        command.args(arguments).env("DDES_HOME", &self.home).stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map(Running).map_err(|error| error.to_string())?;
        let said = Said::default();
        if let Some(output) = process.0.stderr.take() {
            said.listen(output, |_| {});
        }
        if let Some(output) = process.0.stdout.take() {
            said.listen(output, |_| {});
        }
        Ok(Server { process, said })
    }

    /// Starts clients, each with its account and its outbox in `folder`.
    pub(crate) fn couriers(
        &self,
        folder: &Path,
        clients: usize,
        chunk: u64,
        pause: u64,
    ) -> Result<Couriers, String> {
        let mut command = Command::new(program(HARNESS));
        command.arg("couriers").args([&self.address, &self.key]).arg(folder);
        command.args([clients.to_string(), chunk.to_string(), pause.to_string(), "durable".into()]);
        Couriers::start(&mut command, folder, clients, |_| {})
    }

    /// The ledger verified, and how many values each client has in it.
    pub(crate) fn books(&self, couriers: &Couriers) -> Result<Vec<u64>, String> {
        let (ledger, clients) = (self.ledger(), &couriers.clients);
        let text =
            harness(&["books", &ledger.display().to_string(), &clients.display().to_string()])?;
        Ok(text
            .lines()
            .filter_map(|line| pair(line, "account "))
            .map(|(_, last_seq)| last_seq)
            .collect())
    }
}

/// A running `ddes serve` and its output.
pub(crate) struct Server {
    pub(crate) process: Running,
    pub(crate) said: Said,
}

impl Server {
    pub(crate) fn has_ended(&mut self) -> Result<bool, String> {
        self.process.0.try_wait().map(|status| status.is_some()).map_err(|error| error.to_string())
    }

    /// Waits until it listens; `false` if it ends before.
    pub(crate) fn listens(&mut self) -> Result<bool, String> {
        let begin = Instant::now();
        while !self.said.contains("\"event\":\"listening\"") {
            if self.has_ended()? {
                return Ok(false);
            }
            if begin.elapsed() > Duration::from_secs(60) {
                return Err("the server does not listen".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(true)
    }
}

/// All lines that a process has written.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<String>>);

impl Said {
    fn listen(
        &self,
        output: impl std::io::Read + Send + 'static,
        each: impl Fn(&str) + Send + 'static,
    ) {
        let all = self.clone();
        lines(output, move |line| {
            each(line);
            let mut all = all.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.push_str(line);
            all.push('\n');
        });
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(text)
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Hears each line of a process on a thread.
pub(crate) fn lines(
    output: impl std::io::Read + Send + 'static,
    each: impl Fn(&str) + Send + 'static,
) {
    thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| each(&line));
    });
}

/// The clients of a harness, all in one process.
pub(crate) struct Couriers {
    process: Running,
    input: Option<ChildStdin>,
    said: Said,
    confirmed: Arc<Mutex<Vec<u64>>>,
    pub(crate) goal: u64,
    clients: PathBuf,
}

impl Couriers {
    /// Starts `command`, which is the harness with its arguments, or what runs it. `each` hears of
    /// each line that it prints.
    pub(crate) fn start(
        command: &mut Command,
        folder: &Path,
        clients: usize,
        each: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, String> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map(Running).map_err(|error| error.to_string())?;
        let (said, confirmed) = (Said::default(), Arc::new(Mutex::new(vec![0; clients])));
        if let Some(output) = process.0.stderr.take() {
            said.listen(output, |_| {});
        }
        if let Some(output) = process.0.stdout.take() {
            let confirmed = Arc::clone(&confirmed);
            lines(output, move |line| {
                let mut confirmed = confirmed.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((client, last_seq)) = pair(line, "counted ")
                    && let Some(of) = confirmed.get_mut(client)
                {
                    *of = last_seq;
                }
                drop(confirmed);
                each(line);
            });
        }
        let input = process.0.stdin.take();
        Ok(Self { process, input, said, confirmed, goal: 0, clients: folder.join("clients") })
    }

    /// Whether its process has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool, String> {
        self.process.0.try_wait().map(|status| status.is_some()).map_err(|error| error.to_string())
    }

    /// Gives each client this many more values to send.
    pub(crate) fn more(&mut self, values: u64) -> Result<(), String> {
        self.goal += values;
        let input = self.input.as_mut().ok_or("the clients were told that it was all")?;
        writeln!(input, "{}", self.goal)
            .map_err(|error| format!("the clients: {error}\n{}", self.said.text()))
    }

    /// How many values of each client are confirmed.
    pub(crate) fn confirmed(&self) -> Vec<u64> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until each client has at least this many values confirmed.
    pub(crate) fn reach(&self, least: u64, most: Duration) -> Result<(), String> {
        let begin = Instant::now();
        while self.confirmed().iter().any(|confirmed| *confirmed < least) {
            if begin.elapsed() > most {
                return Err(format!(
                    "not all of {:?} reach {least}\n{}",
                    self.confirmed(),
                    self.said.text()
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The file that lets all of them in, once it is there.
    pub(crate) fn list(&self) -> Result<PathBuf, String> {
        let begin = Instant::now();
        while !self.clients.exists() {
            if begin.elapsed() > Duration::from_secs(60) {
                return Err(format!("the clients do not begin\n{}", self.said.text()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(self.clients.with_file_name("authorized_keys"))
    }

    /// Tells the clients that no more values follow, and waits for their exit code.
    pub(crate) fn finish(&mut self, most: Duration) -> Result<Option<i32>, String> {
        self.input = None;
        self.process.wait(most).map_err(|why| format!("the clients: {why}; {:?}", self.confirmed()))
    }

    pub(crate) fn said(&self) -> String {
        self.said.text()
    }
}

/// The two numbers of a line `NAME A B`.
fn pair(line: &str, name: &str) -> Option<(usize, u64)> {
    let (first, second) = line.strip_prefix(name)?.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

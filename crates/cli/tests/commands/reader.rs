//! A reader of a page, who types each of its commands in the order of the text, from an empty home.
//! Where a comment says `prints A, then B`, the command prints these lines.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::spawn_command;
use rustix::process::{Pid, Signal, kill_process};

use crate::blocks::{blocks, is_run};
use crate::{Running, ddes_at, folder, output, root, start, unused_address};

/// More than one record of an outbox, so that a kill finds some taken.
pub(crate) const COUNT: u64 = 20_000;

/// A user whose home is empty, with the server that was started last.
pub(crate) struct Reader {
    pub(crate) home: PathBuf,
    pub(crate) address: String,
    server: Option<Running>,
    /// What the server was started with.
    served: Vec<String>,
    /// Whether a server that is started is known to the clients at once.
    is_trusting: bool,
    recorder: Option<Recorder>,
    /// What stands in the pages, and what this reader has in its place.
    instead: Vec<(String, String)>,
}

/// `ddes capture`, until its reader types Ctrl-C.
struct Recorder(Child);

impl Drop for Recorder {
    fn drop(&mut self) {
        // It may have ended by itself.
        if kill_process(Pid::from_child(&self.0), Signal::INT).is_ok() {
            drop(self.0.wait());
        }
    }
}

impl Reader {
    pub(crate) fn new() -> Self {
        let (home, address) = (folder(), unused_address());
        let (_, anna, _) = output(ddes_at(&folder(), &["key", "new", "-q"]));
        let mut reader = Self {
            home,
            address: address.clone(),
            server: None,
            served: Vec::new(),
            is_trusting: false,
            recorder: None,
            instead: Vec::new(),
        };
        reader.replace("0.0.0.0:5566", &address);
        reader.replace("127.0.0.1:5566", &address);
        reader.replace("ssh-ed25519 AAAA…", anna.trim());
        reader.replace("ssh-ed25519 AAAA...", anna.trim());
        reader
    }

    /// One who need not compare the server's key.
    pub(crate) fn trusting() -> Self {
        Self { is_trusting: true, ..Self::new() }
    }

    /// From now on `with` stands for `what` in the commands.
    pub(crate) fn replace(&mut self, what: &str, with: &str) {
        self.instead.retain(|(known, _)| known != what);
        self.instead.push((what.to_owned(), with.to_owned()));
    }

    /// Every command of a page that is to be run. `prepare` is told each heading before what is
    /// below it.
    pub(crate) fn read_aloud(&mut self, path: &str, prepare: &mut dyn FnMut(&mut Self, &str)) {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let (mut section, mut count) = (String::new(), 0);
        for block in blocks(&text).iter().filter(|block| is_run(block) && block.info != "console") {
            if block.section != section {
                section.clone_from(&block.section);
                prepare(self, &section);
            }
            for (line, says) in block.commands() {
                let line =
                    self.instead.iter().fold(line, |line, (what, with)| line.replace(what, with));
                self.run(&line, says.as_deref());
                count += 1;
            }
        }
        assert!(count > 0, "{path}: nothing is run");
    }

    fn run(&mut self, line: &str, says: Option<&str>) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match &words[..] {
            // The service's user is whoever runs the tests.
            ["sudo", "-u", "ddes", ..] => self.run(&words[3..].join(" "), says),
            ["systemctl", ..] => self.systemctl(&words[1..]),
            ["ddes", "serve", flags @ ..] => self.serve(flags),
            ["ddes", "connect", flags @ ..] => self.connect(flags),
            ["ddes", "capture", ..] => self.record(line),
            ["ddes", "demo"] => self.succeed("ddes demo --no-open --duration 1", says),
            ["ddes", "bench", "run"] => {
                self.succeed(&format!("{line} --sessions 4 --duration 1 --warmup 0 --yes"), says);
            }
            // Pulled out in the middle: some is taken, and nothing counted.
            ["ddes", "send", "--outbox", .., "-", "<", "counts.txt"]
                if !words.contains(&"--resume") =>
            {
                self.begin_and_kill(line);
            }
            ["mv", ..] => {
                self.server = None;
                self.succeed(line, says);
            }
            // Ctrl-C in the recorder's terminal comes first.
            ["ddes", "inspect", ..] => {
                self.recorder = None;
                self.succeed(line, says);
            }
            ["ddes", "lab", "hand-out", ..] => self.take_hints(line),
            // They say what is not right, and here something is not.
            ["ddes", "doctor", ..] | ["ddes", "lab", "grade", _, "--seed", _] => {
                let (code, said, error) = output(self.shell(line));
                assert!([0, 1].contains(&code), "{line}: {code}\n{said}{error}");
            }
            _ => self.succeed(line, says),
        }
    }

    /// What the unit does, as far as a process can: packaging/test/inside.sh has the real one.
    fn systemctl(&mut self, words: &[&str]) {
        match words {
            ["stop", "ddes"] => self.server = None,
            ["start", "ddes"] | ["enable", "--now", "ddes.socket"] => {
                let served = self.served.clone();
                self.serve(&served.iter().map(String::as_str).collect::<Vec<_>>());
            }
            ["status" | "edit", "ddes"] => {}
            _ => panic!("systemctl {words:?}: nobody knows what this does here"),
        }
    }

    pub(crate) fn serve(&mut self, flags: &[&str]) {
        if self.server.is_some() && self.served == flags {
            return;
        }
        self.server = None;
        let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
        command.args(["serve", "--json"]).args(flags).stderr(Stdio::null());
        let mut command = self.at_home(command);
        command.env("DDES_HTTP", "127.0.0.1:0");
        let mut http = None;
        let server = start(command, |line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            http = event["http"].as_str().map(str::to_owned);
            (event["event"] == "listening").then(|| event["addr"].as_str().unwrap().to_owned())
        });
        assert_eq!(server.address, self.address);
        if let Some(http) = http {
            self.replace("127.0.0.1:5580", &http);
        }
        self.server = Some(server);
        self.served = flags.iter().map(|flag| (*flag).to_owned()).collect();
        if self.is_trusting {
            let home = flags.iter().skip_while(|flag| **flag != "--home").nth(1);
            let home = home.map_or(String::new(), |home| format!("--home {home}"));
            let shown = format!("ddes key show --server-key --quiet {home}");
            self.succeed(&format!("ddes trust add {} \"$({shown})\"", self.address), None);
        }
    }

    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    fn connect(&self, flags: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
        command.arg("connect").args(flags).env("TERM", "xterm");
        let mut session = spawn_command(self.at_home(command), Some(60_000)).unwrap();
        if !self.is_trusting {
            session.exp_string("[y/N]").unwrap();
            session.send_line("y").unwrap();
        }
        session.exp_string("Enter opcode").unwrap();
        session.send_line("42").unwrap();
        session.exp_string("Result: 42").unwrap();
        session.exp_string("Enter opcode").unwrap();
        session.send_line("50").unwrap();
        session.exp_eof().unwrap();
    }

    /// Starts a recorder, whose port is what the page calls PORT.
    fn record(&mut self, line: &str) {
        let line = line.replace("127.0.0.1:5567", "127.0.0.1:0");
        let mut command = self.shell(&format!("exec {line} --json"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let recorder = Recorder(child);
        let listening = lines.next().unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_str(&listening).unwrap();
        let address = event["addr"].as_str().unwrap_or_else(|| panic!("{line}: {event}"));
        self.replace("PORT", address.rsplit(':').next().unwrap());
        self.recorder = Some(recorder);
    }

    /// The hints that the page leaves out are those that this command prints.
    fn take_hints(&mut self, line: &str) {
        let (code, said, error) = output(self.shell(line));
        assert_eq!(code, 0, "{line}\n{said}{error}");
        let words: Vec<&str> = said.split_whitespace().collect();
        for flag in ["--hint1", "--hint2"] {
            let at = words.iter().position(|word| *word == flag).unwrap();
            self.replace(&format!("{flag} …"), &format!("{flag} {}", words[at + 1]));
        }
    }

    fn begin_and_kill(&self, line: &str) {
        let numbers: String = (1..=COUNT).map(|number| format!("{number}\n")).collect();
        std::fs::write(self.home.join("counts.txt"), numbers).unwrap();
        let server = Pid::from_child(&self.server.as_ref().unwrap().child);
        kill_process(server, Signal::STOP).unwrap();
        let mut sender = self.shell(&format!("exec {line}")).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !std::fs::metadata(self.home.join("counts/journal"))
            .is_ok_and(|journal| journal.len() > 66_000)
        {
            assert!(Instant::now() < until, "nothing was taken");
            std::thread::sleep(Duration::from_millis(5));
        }
        sender.kill().unwrap();
        sender.wait().unwrap();
        kill_process(server, Signal::CONT).unwrap();
    }

    pub(crate) fn succeed(&self, line: &str, says: Option<&str>) {
        let (code, said, error) = output(self.shell(line));
        assert_eq!(code, 0, "{line}\n{said}{error}");
        if let Some(says) = says {
            assert_eq!(
                said.lines().collect::<Vec<_>>(),
                says.split(", then ").collect::<Vec<_>>(),
                "{line}"
            );
        }
    }

    /// What a command prints.
    pub(crate) fn ask(&self, line: &str) -> String {
        let (code, said, error) = output(self.shell(line));
        assert_eq!(code, 0, "{line}\n{said}{error}");
        said.trim().to_owned()
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", line]).stdin(Stdio::null());
        self.at_home(command)
    }

    fn at_home(&self, mut command: Command) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_ddes")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("HOME", &self.home).current_dir(&self.home);
        command.env("DDES_SERVER", &self.address).env("DDES_LISTEN", &self.address);
        for name in ["DDES_HOME", "DDES_AS", "DDES_LEDGER", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        command
    }
}

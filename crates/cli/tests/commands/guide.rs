//! docs/guide.md and README.md, run as scripts from an empty home, in the order of their text.
//! Where a comment says `prints A, then B`, the command prints these lines.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::spawn_command;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Running, folder, output, root, started};

/// More than one record of an outbox, so that a kill finds some taken.
const COUNT: u64 = 20_000;

/// A user whose home is empty, with the server that was started last.
struct Reader {
    home: PathBuf,
    server: Option<Running>,
    address: String,
}

impl Reader {
    fn new() -> Self {
        Self { home: folder(), server: None, address: crate::unused_address() }
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", line]);
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

    fn run(&mut self, line: &str, says: Option<&str>) {
        let words: Vec<_> = line.split_whitespace().collect();
        match &words[..] {
            ["ddes", "serve"] => self.serve(),
            ["ddes", "connect"] => self.connect(),
            ["ddes", "demo"] => self.succeed("ddes demo --no-open --duration 1", says),
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
            _ => self.succeed(line, says),
        }
    }

    fn serve(&mut self) {
        if self.server.is_none() {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
            command.args(["serve", "--json"]).stderr(Stdio::null());
            let server = started(self.at_home(command));
            self.address.clone_from(&server.address);
            self.server = Some(server);
        }
    }

    fn connect(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
        command.arg("connect").env("TERM", "xterm");
        let mut session = spawn_command(self.at_home(command), Some(60_000)).unwrap();
        session.exp_string("[y/N]").unwrap();
        session.send_line("y").unwrap();
        session.exp_string("Enter opcode").unwrap();
        session.send_line("42").unwrap();
        session.exp_string("Result: 42").unwrap();
        session.exp_string("Enter opcode").unwrap();
        session.send_line("50").unwrap();
        session.exp_eof().unwrap();
    }

    fn begin_and_kill(&self, line: &str) {
        let numbers: String = (1..=COUNT).map(|number| format!("{number}\n")).collect();
        std::fs::write(self.home.join("counts.txt"), numbers).unwrap();
        let server = Pid::from_child(&self.server.as_ref().unwrap().child);
        kill_process(server, Signal::STOP).unwrap();
        let mut sender = self.shell(&format!("exec {line}")).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
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

    fn succeed(&self, line: &str, says: Option<&str>) {
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
}

/// The commands of a text, each with what its comment says that it prints. What is between fences
/// has tests of its own: conversations, and programs in Python.
fn commands(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut is_fenced = false;
    let unfenced = text.lines().filter(|line| {
        is_fenced ^= line.starts_with("```");
        !is_fenced
    });
    let lines = unfenced.filter_map(|line| line.strip_prefix("    "));
    let lines = lines.map(|line| line.split_once("  #").unwrap_or((line, "")));
    lines.map(|(line, comment)| (line.trim(), comment.trim().strip_prefix("prints "))).collect()
}

fn read_aloud(path: &str) -> Reader {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let mut reader = Reader::new();
    let (_, anna, _) = output(crate::ddes_at(&folder(), &["key", "new", "-q"]));
    let commands = commands(&text);
    assert!(commands.iter().any(|(_, says)| says.is_some()));
    for (line, says) in commands.into_iter().filter(|(line, _)| !line.starts_with("cargo ")) {
        reader.run(&line.replace("ssh-ed25519 AAAA…", anna.trim()), says);
    }
    reader
}

#[test]
fn the_guide_run_in_the_order_of_its_text_prints_what_it_says() {
    let reader = read_aloud("docs/guide.md");
    // 42, 50 and 8, and each line of the file once.
    let sum = 100 + COUNT * (COUNT + 1) / 2;
    reader.succeed("ddes total", Some(&sum.to_string()));
    let counted = std::fs::read_to_string(reader.home.join("counts.csv")).unwrap();
    assert_eq!(counted.lines().count() as u64, 1 + 3 + COUNT);
}

#[test]
fn the_readme_run_in_the_order_of_its_text_prints_what_it_says() {
    read_aloud("README.md");
}

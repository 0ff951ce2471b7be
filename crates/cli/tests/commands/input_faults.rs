//! Standard input that fails, or comes as nobody expects: each command that reads it against each
//! of these.

use std::fs::{File, OpenOptions};
use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::secure::{fingerprint, serve};
use crate::{Running, ddes_at, folder};

/// A condition that does not come about by then is a failure.
const WAIT_MAX: Duration = Duration::from_secs(60);

const LINES: usize = 5;

/// Commands that take integers from standard input.
pub(crate) const READERS: [&[&str]; 5] = [
    &["send", "--json", "-"],
    &["send", "--json", "--outbox", "OUTBOX", "-"],
    &["send", "--json", "--classic", "-"],
    &["connect", "--json"],
    &["connect", "--json", "--classic"],
];

pub(crate) struct Site {
    pub(crate) home: PathBuf,
    trust: String,
    server: Running,
    classic: Running,
}

/// A server of each profile. One of both would take a client that is slow to start for a classic
/// one.
pub(crate) fn both(home: &Path) -> (Running, Running) {
    let classic = ["--classic", "--classic-wait-ms", "0", "--ledger", "memory"];
    (serve(home, &[]), serve(home, &classic))
}

impl Site {
    pub(crate) fn new() -> Self {
        let home = folder();
        let (server, classic) = both(&home);
        Self { trust: fingerprint(&home), home, server, classic }
    }

    /// The command, as an identity that has counted nothing yet.
    pub(crate) fn command(&self, reader: &[&str]) -> Command {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.command_as(&name, reader)
    }

    fn command_as(&self, name: &str, reader: &[&str]) -> Command {
        let outbox = self.home.join(format!("outbox-{name}")).display().to_string();
        let flags: Vec<_> =
            reader.iter().map(|flag| if *flag == "OUTBOX" { &*outbox } else { flag }).collect();
        let mut command = ddes_at(&self.home, &flags);
        if reader.contains(&"--classic") {
            command.args(["-q", "--server", &self.classic.address]);
        } else {
            command.args([
                "-q",
                "--server",
                &self.server.address,
                "--as",
                name,
                "--trust",
                &self.trust,
            ]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, reader: &[&str], input: impl Into<Stdio>) -> Outcome {
        Outcome::of(self.command(reader).stdin(input).spawn().unwrap())
    }

    fn fed(&self, reader: &[&str], input: &[u8]) -> Outcome {
        let mut child = self.command(reader).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeding = thread::spawn(move || drop(stdin.write_all(&input)));
        let outcome = Outcome::of(child);
        feeding.join().unwrap();
        outcome
    }
}

#[derive(Debug)]
struct Outcome {
    code: i32,
    /// The last sum that was shown.
    sum: String,
    said: String,
}

impl Outcome {
    fn of(child: Child) -> Self {
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(stdout).unwrap();
        let mut sums = stdout.lines().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            Some(event["sum"].as_str()?.to_owned())
        });
        let (sum, said) =
            (sums.next_back().unwrap_or_else(|| "0".into()), String::from_utf8(stderr).unwrap());
        Self { code: status.code().unwrap(), sum, said: format!("{stdout}{said}") }
    }
}

/// Waits until the reader has taken all that was written.
fn drained(end: impl AsFd) {
    let since = Instant::now();
    while ioctl_fionread(&end).unwrap() > 0 {
        assert!(since.elapsed() < WAIT_MAX, "nobody reads");
        thread::yield_now();
    }
}

/// Types lines, and waits until they can be read: a terminal passes them on when it comes to it.
fn typed(master: &mut File, terminal: &File, lines: &[u8]) {
    master.write_all(lines).unwrap();
    let since = Instant::now();
    while ioctl_fionread(terminal).unwrap() < lines.len() as u64 {
        assert!(since.elapsed() < WAIT_MAX, "the terminal passes nothing on");
        thread::yield_now();
    }
}

/// A pipe that says EAGAIN whenever it is empty, as a shell leaves one behind that another program
/// has set so.
fn unblocking_pipe() -> (OwnedFd, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    ioctl_fionbio(&reader, true).unwrap();
    (reader.into(), writer)
}

#[test]
fn a_slow_pipe_that_does_not_block_is_read_to_its_end() {
    let site = Site::new();
    for reader in READERS {
        let (input, mut writer) = unblocking_pipe();
        let watch = input.try_clone().unwrap();
        let child = site.command(reader).stdin(input).spawn().unwrap();
        for _ in 0..LINES {
            // It has found the pipe empty, or is about to.
            drained(&watch);
            writer.write_all(b"1000\n").unwrap();
        }
        drained(&watch);
        drop(writer);
        let outcome = Outcome::of(child);
        assert_eq!((outcome.code, &*outcome.sum), (0, "5000"), "{reader:?}: {}", outcome.said);
    }
}

#[test]
fn bytes_that_come_one_at_a_time_are_the_same_lines() {
    let site = Site::new();
    for reader in READERS {
        let (input, mut writer) = std::io::pipe().unwrap();
        let watch = input.try_clone().unwrap();
        let child = site.command(reader).stdin(input).spawn().unwrap();
        for byte in "\u{feff}1000\r\n\r\n4000".as_bytes() {
            writer.write_all(&[*byte]).unwrap();
            drained(&watch);
        }
        drop(writer);
        let outcome = Outcome::of(child);
        assert_eq!((outcome.code, &*outcome.sum), (0, "5000"), "{reader:?}: {}", outcome.said);
    }
}

/// The terminal of a window that is closed: two lines, and then an error for ever.
pub(crate) fn closing_terminal() -> (File, File) {
    // Not for children: who holds the window's side keeps it open.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
    (File::from(master), File::from(terminal))
}

#[test]
fn a_read_that_fails_is_an_error_and_never_the_end() {
    let site = Site::new();
    for reader in READERS {
        let memory = File::open("/proc/self/mem").unwrap();
        let unreadable = OpenOptions::new().write(true).open("/dev/null").unwrap();
        for (what, input) in [
            ("a folder", File::open(&site.home).unwrap()),
            ("EIO at the start", memory),
            ("not open for reading", unreadable),
        ] {
            let outcome = site.run(reader, input);
            assert_eq!(outcome.code, 1, "{what}: {reader:?}: {}", outcome.said);
            assert!(
                outcome.said.contains("cannot read standard input: "),
                "{what}: {}",
                outcome.said
            );
        }

        let (mut master, terminal) = closing_terminal();
        let watch = terminal.try_clone().unwrap();
        typed(&mut master, &watch, b"1000\n1000\n");
        let child = site.command(reader).stdin(terminal).spawn().unwrap();
        drained(&watch);
        drop(master);
        let outcome = Outcome::of(child);
        assert_eq!(outcome.code, 1, "a closed window: {reader:?}: {}", outcome.said);
        assert!(outcome.said.contains("cannot read standard input"), "{}", outcome.said);
    }
}

#[test]
fn without_a_standard_input_nothing_is_counted_and_nothing_panics() {
    let site = Site::new();
    for reader in READERS {
        let command = site.command(reader);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" <&-"])
            .arg(command.get_program())
            .args(command.get_args());
        shell.env("DDES_HOME", &site.home).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = Outcome::of(shell.spawn().unwrap());
        assert_eq!((outcome.code, &*outcome.sum), (0, "0"), "{reader:?}: {}", outcome.said);
    }
}

/// What was counted before stays, what comes with `--resume` is the rest: each line counts once.
#[test]
fn an_input_that_failed_stays_open_for_resume() {
    let site = Site::new();
    let reader = ["send", "--json", "--outbox", "OUTBOX", "-"];
    let (mut master, terminal) = closing_terminal();
    let watch = terminal.try_clone().unwrap();
    typed(&mut master, &watch, b"1000\n1000\n");
    let child = site.command_as("resumed", &reader).stdin(terminal).spawn().unwrap();
    drained(&watch);
    drop(master);
    let outcome = Outcome::of(child);
    assert_eq!(outcome.code, 1, "{}", outcome.said);
    assert!(outcome.said.contains("--resume"), "{}", outcome.said);

    let whole = site.home.join("whole.txt");
    std::fs::write(&whole, "1000\n".repeat(LINES)).unwrap();
    let again = || File::open(&whole).unwrap();
    let refused = Outcome::of(site.command_as("resumed", &reader).stdin(again()).spawn().unwrap());
    assert_eq!(refused.code, 1, "{}", refused.said);
    let resume = ["send", "--json", "--outbox", "OUTBOX", "--resume", "-"];
    let resumed = Outcome::of(site.command_as("resumed", &resume).stdin(again()).spawn().unwrap());
    assert_eq!((resumed.code, &*resumed.sum), (0, "5000"), "{}", resumed.said);
}

fn numbers(path: &Path, text: &[u8]) -> File {
    std::fs::write(path, text).unwrap();
    File::open(path).unwrap()
}

#[test]
fn every_number_is_whole_or_refused_by_its_line() {
    let site = Site::new();
    let path = site.home.join("numbers.txt");
    let zeros = format!("{}1234567890\n", "0".repeat(4090));
    let blanks = format!("{0}+{1}7{0}\r\n", " ".repeat(5000), "0".repeat(100_000));
    let junk = format!("5\n\n7{}junk\n", " ".repeat(5000));
    let long = format!("5\n{}\n", "1".repeat(5000));
    for reader in READERS {
        for (text, sum) in [(&zeros, "1234567890"), (&blanks, "7")] {
            for outcome in [
                site.fed(reader, text.as_bytes()),
                site.run(reader, numbers(&path, text.as_bytes())),
            ] {
                assert_eq!((outcome.code, &*outcome.sum), (0, sum), "{reader:?}: {}", outcome.said);
            }
        }
        for (text, what) in [
            (junk.as_bytes(), "line 3: "),
            (long.as_bytes(), "line 2 has more than 4096 bytes"),
            (b"5\n1\x000\n", "line 2 holds a NUL byte"),
            (b"5\n\n\n1\xfc\n", "line 4 is not UTF-8 text"),
            (b"5\n1\x1b[2J\n", "line 2: '1[2J' is not an integer"),
        ] {
            for outcome in [site.fed(reader, text), site.run(reader, numbers(&path, text))] {
                assert!(outcome.said.contains(what), "{what}: {reader:?}: {}", outcome.said);
                assert!(["0", "5"].contains(&&*outcome.sum), "{reader:?}: {}", outcome.said);
                // At a prompt a line that is refused ends nothing.
                let expected = if reader[0] == "connect" { 0 } else { 2 };
                assert_eq!(outcome.code, expected, "{reader:?}: {}", outcome.said);
            }
        }
    }
}

/// The console is heard through a pipe that does not block; whatever its input does, the server
/// serves.
#[test]
fn a_server_hears_its_console_and_outlives_it() {
    let home = folder();
    let serve = || {
        let mut command = ddes_at(&home, &["serve", "--json", "-q", "--ledger", "memory"]);
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (input, mut writer) = unblocking_pipe();
    let watch = input.try_clone().unwrap();
    let child = serve().stdin(input).spawn().unwrap();
    let long = "x".repeat(5000);
    for line in ["sessions", &long, "\u{fc}", "sessions", "exit"] {
        drained(&watch);
        writeln!(writer, "{line}").unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), said.matches("\"session_count\"").count()),
        (Some(0), 2),
        "{said}"
    );
    assert!(said.contains("\"exited\""), "{said}");

    for input in
        [Some(File::open(&home).unwrap()), Some(File::open("/proc/self/mem").unwrap()), None]
    {
        let input = input.map_or_else(Stdio::null, Stdio::from);
        let mut child = serve().stdin(input).spawn().unwrap();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        let address =
            line.split("\"addr\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let trust = fingerprint(&home);
        let flags = ["send", "-q", "--server", &address, "--trust", &trust, "42"];
        let (code, sum, error) = crate::output(ddes_at(&home, &flags));
        assert_eq!((code, &*sum), (0, "42\n"), "{error}");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

//! Ending a server: by a signal, by a failed disk, whatever nobody reads.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ddes_client::Signer;
use ddes_client::v2::{ClientConnection, ConnectOptions};
use ddes_identity::{PublicKey, SigningKey, read_public};
use ddes_session::DRAIN_MAX;
use ddes_session::v2::{ClientEnd, ClientEvent};
use ddes_wire::Total;
use ddes_wire::v2::{GroupSize, Reason, Suite};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Resource, Signal, kill_process};
use rustix::termios::tcgetattr;
use serde_json::Value;

use crate::input_faults::closing_terminal;
use crate::{ddes_at, folder, output};

/// Longer than any end that is in order, on a busy machine; what hangs takes for ever.
const LONG: Duration = Duration::from_secs(60);
const DRAIN_SECS: u64 = 20;

/// A server whose standard output is a pipe that this test fills, or reads.
struct Piped {
    child: Child,
    address: String,
    out: BufReader<PipeReader>,
    /// The server's end, to fill it.
    into: PipeWriter,
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Piped {
    fn start(home: &Path, flags: &[&str]) -> Self {
        let all = [&["serve", "--json", "--listen", "127.0.0.1:0"], flags].concat();
        Self::of(ddes_at(home, &all))
    }

    fn of(command: Command) -> Self {
        Self::with_input(command, Stdio::null())
    }

    fn with_input(mut command: Command, input: Stdio) -> Self {
        let (out, into) = std::io::pipe().unwrap();
        command.stdin(input).stdout(into.try_clone().unwrap()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(command);
        let mut piped = Self { child, address: String::new(), out: BufReader::new(out), into };
        piped.address = piped.event("listening")["addr"].as_str().unwrap().to_owned();
        piped
    }

    /// The next event of that name.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "no {name}");
            // What filled the pipe.
            if line.trim().is_empty() {
                continue;
            }
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Reads whatever comes from now on; gives back the last line.
    fn read_on(&mut self) -> std::thread::JoinHandle<Option<String>> {
        let (nothing, _) = std::io::pipe().unwrap();
        let out = std::mem::replace(&mut self.out, BufReader::new(nothing));
        std::thread::spawn(move || out.lines().map(Result::unwrap).last())
    }

    /// Nobody reads it: the next write waits for ever.
    fn fill(&self) {
        let mut into = self.into.try_clone().unwrap();
        let flags = fcntl_getfl(into.as_fd()).unwrap();
        fcntl_setfl(into.as_fd(), flags | OFlags::NONBLOCK).unwrap();
        for size in [4096, 1] {
            while into.write(&vec![b'\n'; size]).is_ok() {}
        }
        fcntl_setfl(into.as_fd(), flags).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Its exit code, and what it said on standard error; `None` if a signal ended it.
    fn ended(&mut self) -> (Option<i32>, String) {
        let until = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut said = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                return (status.code(), said);
            }
            assert!(Instant::now() < until, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_signal_ends_a_server_whose_output_nobody_reads() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = folder();
        let mut server = Piped::start(&home, &[]);
        server.fill();
        server.signal(signal);
        assert_eq!(server.ended().0, Some(0), "{signal:?}");
    }
}

#[test]
fn a_stranger_who_keeps_silent_holds_no_stop_for_as_long_as_a_session_may_end() {
    let home = folder();
    for flags in [&[][..], &["--classic=true"]] {
        let mut server = Piped::start(&home, &[flags, &["--ledger", "memory"]].concat());
        let stranger = TcpStream::connect(&server.address).unwrap();
        // Accepted: a command after it has its answer.
        let trust = crate::secure::fingerprint(&home);
        let total = ["total", "--quiet", "--server", &server.address, "--trust", &trust];
        assert_eq!(output(ddes_at(&home, &total)).0, 0);
        server.signal(Signal::TERM);
        let begin = Instant::now();
        assert_eq!(server.event("exited")["cut"], 0);
        assert_eq!(server.ended().0, Some(0));
        assert!(begin.elapsed() < DRAIN_MAX, "{flags:?} {:?}", begin.elapsed());
        drop(stranger);
    }
}

/// Whether anybody reads the other end of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    All,
    Nothing,
    /// And it holds no more.
    NothingFull,
}

#[test]
fn a_signal_leaves_a_terminal_in_the_mode_it_had_whether_or_not_anybody_reads_it() {
    for read in [Reader::All, Reader::Nothing, Reader::NothingFull] {
        let (master, terminal) = closing_terminal();
        let mode = || format!("{:?}", tcgetattr(&terminal).unwrap());
        let before = mode();
        let mut command =
            ddes_at(&folder(), &["serve", "--listen", "127.0.0.1:0", "--ledger", "memory"]);
        let ends = || Stdio::from(terminal.try_clone().unwrap());
        command.env("TERM", "xterm").stdin(ends()).stdout(ends()).stderr(ends());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + LONG;
        while mode() == before {
            assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "{read:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        if read == Reader::All {
            let mut master = master.try_clone().unwrap();
            // It ends with the terminal.
            std::thread::spawn(move || {
                std::io::copy(&mut master, &mut std::io::sink()).map_or(0, |read| read)
            });
        }
        if read == Reader::NothingFull {
            let flags = fcntl_getfl(&terminal).unwrap();
            fcntl_setfl(&terminal, flags | OFlags::NONBLOCK).unwrap();
            while (&terminal).write(&[b'x'; 64]).is_ok() {}
            fcntl_setfl(&terminal, flags).unwrap();
        }
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{read:?}: it goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(mode(), before, "{read:?}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{read:?}");
    }
}

/// Its folder is moved away: that can be had without a disk that fails.
#[test]
fn a_failed_disk_ends_a_server_whose_output_nobody_reads_with_the_reason() {
    for flags in [&[][..], &["--core-dumps"]] {
        let home = folder();
        let mut server = Piped::start(&home, flags);
        let trust = crate::secure::fingerprint(&home);
        server.fill();
        std::fs::rename(home.join("ledger"), home.join("moved")).unwrap();
        let send = ["send", "--quiet", "--server", &server.address, "--trust", &trust, "5"];
        assert_ne!(output(ddes_at(&home, &send)).0, 0);
        let (code, said) = server.ended();
        // JSON goes to standard output, and what that does not take to standard error.
        assert!(
            code == Some(5) && said.contains("the ledger cannot be written any more"),
            "{code:?} {said}"
        );
    }
}

#[test]
fn lines_that_nobody_read_in_time_are_counted_and_said_once_somebody_reads() {
    let home = folder();
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--ledger", "memory"];
    let (typed, mut types) = std::io::pipe().unwrap();
    let mut server = Piped::with_input(ddes_at(&home, &serve), typed.into());
    server.fill();
    // Answered with far more than waits for whoever reads; and longer than the pipe to the server
    // holds, so that nearly all of it was answered then.
    let line = format!("what{}\n", " ".repeat(200));
    for _ in 0..20_000 {
        types.write_all(line.as_bytes()).unwrap();
    }
    assert!(server.event("dropped")["count"].as_str().unwrap().parse::<u64>().unwrap() > 100);
    server.signal(Signal::TERM);
    server.event("exited");
    assert_eq!(server.ended().0, Some(0));
}

#[test]
fn a_file_that_may_not_grow_is_an_error_that_is_said_and_no_death() {
    let home = folder();
    assert_eq!(output(ddes_at(&home, &["key", "new"])).0, 0);
    let script = format!("ulimit -f 8; exec {} \"$@\"", env!("CARGO_BIN_EXE_ddes"));
    let limited = |arguments: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "ddes"]).args(arguments).env("DDES_HOME", &home);
        output(shell)
    };
    // `output` asks for a code: a process that a signal ended has none.
    let (code, _, error) = limited(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 1 && error.contains("File too large"), "{code} {error}");
    let values: Vec<String> = (0..2_000).map(|value| value.to_string()).collect();
    let outbox = home.join("outbox");
    let mut send =
        vec!["send", "--quiet", "--outbox", outbox.to_str().unwrap(), "--retry-secs", "0"];
    send.extend(["--server", "127.0.0.1:1"]);
    send.extend(values.iter().map(String::as_str));
    let (code, _, error) = limited(&send);
    assert!(code != 0 && !error.is_empty(), "{code} {error}");
}

#[test]
fn a_server_starts_and_goes_on_where_standard_error_cannot_be_written_and_says_so() {
    for redirection in ["2>/dev/full", "2>&-"] {
        let home = folder();
        let serve = format!(
            "exec {} serve --json --listen 127.0.0.1:0 {redirection}",
            env!("CARGO_BIN_EXE_ddes")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &serve]).env("DDES_HOME", &home);
        let mut server = Piped::of(shell);
        let trust = crate::secure::fingerprint(&home);
        if redirection == "2>/dev/full" {
            assert_eq!(server.event("unsaid")["count"], "1");
        }
        let send = ["send", "--quiet", "--server", &server.address, "--trust", &trust, "5"];
        assert_eq!(output(ddes_at(&home, &send)).1, "5\n");
        server.signal(Signal::TERM);
        assert_eq!(server.ended().0, Some(0));
    }
}

#[test]
fn a_server_s_process_may_leave_no_core() {
    let home = folder();
    for (flags, expected) in [(&[][..], true), (&["--core-dumps"], false)] {
        let server = Piped::start(&home, flags);
        let limits =
            std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<_> = core.split_whitespace().collect();
        let own = rustix::process::getrlimit(Resource::Core).maximum == Some(0);
        assert_eq!(words[4..6] == ["0", "0"], expected || own, "{core}");
    }
}

/// With `DDES_STOP_SESSIONS=1000 DDES_STOP_ROUNDS=30` the long form.
#[test]
fn every_session_hears_its_40_and_50_when_a_signal_stops_the_server_whether_or_not_its_output_is_read()
 {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let sessions: usize = asked("DDES_STOP_SESSIONS").unwrap_or(8);
    let rounds: usize = asked("DDES_STOP_ROUNDS").unwrap_or(4);
    let home = folder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let flags = ["--allow-any", "--max-unproven", "100000", "--max-handshakes-per-sec", "0"];
        let limits = ["--max-connects-per-sec", "0", "--drain-secs", &DRAIN_SECS.to_string()];
        let mut server = Piped::start(&home, &[&flags[..], &limits].concat());
        let is_read = round % 2 == 0;
        let key = server_key(&home);
        let reader = is_read.then(|| server.read_on());
        let mut open = runtime.block_on(enter(&server.address, key, sessions));
        if !is_read {
            server.fill();
        }
        let start = Instant::now();
        server.signal(Signal::TERM);
        let heard = runtime.block_on(async {
            let mut heard = 0;
            for (connection, sum) in &mut open {
                heard += usize::from(is_told(connection, *sum).await);
            }
            heard
        });
        drop(open);
        let code = server.ended().0;
        longest = longest.max(start.elapsed());
        println!("round {round}: {heard} of {sessions}, {:?}, {code:?}", start.elapsed());
        assert_eq!((heard, code), (sessions, Some(0)), "round {round}");
        drop(server);
        // It ends with the pipe. Nobody was cut off: each connection had its whole end.
        if let Some(last) = reader.map(std::thread::JoinHandle::join).transpose().unwrap() {
            let exited: Value = serde_json::from_str(&last.unwrap()).unwrap();
            assert_eq!((&exited["event"], &exited["cut"]), (&"exited".into(), &0.into()));
        }
    }
    // Stopping, and the last words that nobody reads.
    assert!(longest <= Duration::from_secs(DRAIN_SECS + 2), "{longest:?}");
}

fn server_key(home: &Path) -> PublicKey {
    let (_, shown, _) = output(ddes_at(home, &["key", "show", "--server-key", "--quiet"]));
    read_public(&shown).unwrap()
}

/// That many sessions, each with an account of its own that has counted a value, and the account's
/// sum.
async fn enter(server: &str, key: PublicKey, count: usize) -> Vec<(ClientConnection, Total)> {
    let suite = Suite::Hybrid(GroupSize::Bits2048);
    let options = ConnectOptions {
        server: server.parse().unwrap(),
        suite,
        connect: LONG,
        handshake: LONG,
        reply: LONG,
        wiretap: None,
    };
    let mut open = Vec::new();
    for number in 0..count {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let signer = Signer::Key(SigningKey::from_seed(&seed));
        let (mut connection, welcome) =
            ClientConnection::open(&options, &[key], &signer).await.unwrap();
        connection.submit(welcome.standing.last_seq.forward(1).unwrap(), &[number as i64]).unwrap();
        match connection.next().await {
            Some(ClientEvent::Answered(answer)) => open.push((connection, answer.sum)),
            other => panic!("{other:?}"),
        }
    }
    open
}

/// Whether it hears the sum once more, and then that the server stops.
async fn is_told(connection: &mut ClientConnection, sum: Total) -> bool {
    let mut has_sum = false;
    loop {
        match connection.next().await {
            Some(ClientEvent::Answered(answer)) => has_sum |= answer.sum == sum,
            Some(ClientEvent::Ended(ClientEnd::Farewell(end))) => {
                return has_sum && (end.reason, end.sum) == (Reason::ShuttingDown, sum);
            }
            Some(
                ClientEvent::Ended(_) | ClientEvent::ServerProven { .. } | ClientEvent::Ready(_),
            )
            | None => {
                return false;
            }
        }
    }
}

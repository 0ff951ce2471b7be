//! A server that a service manager starts: what it is told (sd_notify), and the sockets that it
//! passes.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::files::{can, has};
use crate::secure::fingerprint;
use crate::{Running, ddes_at, folder, output, started};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// How long the loop hangs, and the watchdog's time: the signs of life come at half of it.
const HANG: Duration = Duration::from_secs(3);
const WATCHDOG: Duration = Duration::from_millis(400);

/// The service manager's socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    /// What was said, and not asked for yet.
    lines: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let path = folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, path, lines: Vec::new() }
    }

    fn serve(&self, home: &Path, flags: &[&str]) -> Command {
        let all = [&["serve", "--json", "--listen", "127.0.0.1:0"], flags].concat();
        let mut command = ddes_at(home, &all);
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }

    fn watched(&self, home: &Path) -> Command {
        let mut command = self.serve(home, &[]);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// The next line that begins so.
    fn hear(&mut self, start: &str) -> String {
        let begin = Instant::now();
        loop {
            let at = self.lines.iter().position(|line| line.starts_with(start));
            if let Some(at) = at {
                return self.lines.drain(..=at).next_back().unwrap();
            }
            assert!(begin.elapsed() < LONG, "no {start}");
            let mut buffer = [0; 4096];
            let count = self.socket.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..count]).unwrap();
            self.lines.extend(text.lines().map(str::to_owned));
        }
    }
}

fn stop(server: &mut Running) {
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_service_manager_is_told_that_the_server_serves_what_it_does_and_that_it_stops() {
    let (home, mut manager) = (folder(), Manager::new());
    let mut server = started(manager.serve(&home, &["--drain-secs", "7"]));
    assert_eq!(manager.hear("READY="), "READY=1");
    let status = format!("STATUS=Serving on {}, 0 connections", server.address);
    assert_eq!(manager.hear("STATUS="), status);
    stop(&mut server);
    assert_eq!(manager.hear("STOPPING="), "STOPPING=1");
    assert_eq!(manager.hear("EXTEND_TIMEOUT_USEC="), "EXTEND_TIMEOUT_USEC=17000000");
}

/// The monotonic clock, in microseconds.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn a_service_manager_hears_when_a_reload_begins_and_that_it_is_over_whether_or_not_it_worked() {
    let (home, mut manager) = (folder(), Manager::new());
    let file = home.join("ddes.toml");
    std::fs::write(&file, "idle_secs = 30\n").unwrap();
    let mut server = started(manager.serve(&home, &["--config", file.to_str().unwrap()]));
    manager.hear("READY=1");
    let pid = Pid::from_child(&server.child);
    for (text, by_signal) in [
        ("idle_secs = 31\n", true),
        ("idle_secs = \n", true),
        ("idle_secs = 32\n", false),
        ("idle_sex = 33\n", false),
    ] {
        std::fs::write(&file, text).unwrap();
        let asked = monotonic();
        if by_signal {
            kill_process(pid, Signal::HUP).unwrap();
        } else {
            let code = output(ddes_at(&home, &["reload"])).0;
            assert_eq!(code, i32::from(text.contains("sex")), "{text}");
        }
        assert_eq!(manager.hear("RELOADING="), "RELOADING=1", "{text}");
        // In the same message, or systemd takes the reload for failed.
        let time = manager.lines.first().and_then(|line| line.strip_prefix("MONOTONIC_USEC="));
        let time: i64 = time.unwrap().parse().unwrap();
        assert!((asked..=monotonic()).contains(&time), "{asked} {time}");
        assert_eq!(manager.hear("READY="), "READY=1", "{text}");
    }
    stop(&mut server);
}

#[test]
fn a_server_that_does_not_start_is_never_ready() {
    let (home, manager) = (folder(), Manager::new());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = ddes_at(&home, &["serve", "--listen", &address]);
    command.env("NOTIFY_SOCKET", &manager.path);
    assert_eq!(output(command).0, 3);
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
}

#[test]
fn a_watchdog_hears_nothing_while_the_loop_hangs() {
    if !can("strace", has("strace")) {
        return;
    }
    let (home, mut manager) = (folder(), Manager::new());
    let command = manager.watched(&home);
    let mut strace = Command::new("strace");
    // -D: the server is this process's child, not strace's. Each thread that waits for sockets
    // hangs once: the loop among them.
    let fault = format!("inject=epoll_wait,epoll_pwait:delay_enter={}:when=9", HANG.as_micros());
    strace.args(["-D", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null"]);
    strace.args(["-e", "trace=epoll_wait,epoll_pwait", "-e", &fault]);
    strace.arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut server = started(strace);
    manager.hear("READY=1");
    let signs = (0..60).find(|_| {
        let before = Instant::now();
        manager.hear("WATCHDOG=1");
        before.elapsed() > HANG - WATCHDOG
    });
    assert!(signs.is_some_and(|signs| signs > 2), "{signs:?}");
    // Alive again.
    manager.hear("WATCHDOG=1");
    stop(&mut server);
}

#[test]
fn a_service_manager_that_is_not_there_is_reported_and_ends_nothing() {
    let home = folder();
    let mut command = ddes_at(&home, &["serve", "--json", "--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", home.join("nothing")).stderr(Stdio::piped());
    let mut server = started(command);
    let trust = fingerprint(&home);
    let send = ["send", "-q", "--server", &server.address, "--trust", &trust, "5"];
    assert_eq!(output(ddes_at(&home, &send)).1, "5\n");
    stop(&mut server);
    let mut said = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said.matches("takes no messages").count(), 1, "{said}");
}

/// Runs `ddes` as systemd does for a .socket unit: `sockets` is Python that makes a list of them.
fn activated(home: &Path, sockets: &str, flags: &[&str]) -> Command {
    let script = format!(
        "import os, socket, sys\n\
         sockets = {sockets}\n\
         held = [os.dup(s.fileno()) for s in sockets]\n\
         held = [os.dup2(os.dup2(fd, 100 + i), 100 + i) for i, fd in enumerate(held)]\n\
         for i, fd in enumerate(held): os.dup2(fd, 3 + i, inheritable=True)\n\
         os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))\n\
         os.execv(sys.argv[1], sys.argv[1:])"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_ddes"), "serve", "--json"]).args(flags);
    command.env("DDES_HOME", home);
    command
}

#[test]
fn a_socket_that_a_service_manager_passes_is_served_in_place_of_the_address() {
    let home = folder();
    let sockets = "[socket.create_server(('127.0.0.1', 0))]";
    let mut server = started(activated(&home, sockets, &["--listen", "127.0.0.1:1"]));
    assert!(!server.address.ends_with(":1"), "{}", server.address);
    let trust = fingerprint(&home);
    let send = ["send", "-q", "--server", &server.address, "--trust", &trust, "5"];
    assert_eq!(output(ddes_at(&home, &send)).1, "5\n");
    stop(&mut server);
}

#[test]
fn a_socket_for_another_process_is_not_taken() {
    let home = folder();
    let mut command = ddes_at(&home, &["serve", "--json", "--listen", "127.0.0.1:0"]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    stop(&mut started(command));
}

#[test]
fn a_socket_of_another_kind_is_an_error_that_says_what_is_wrong() {
    let home = folder();
    let inet = "socket.AF_INET";
    for (sockets, why) in [
        ("[open('/dev/null')]".to_owned(), "it is no socket"),
        (format!("[socket.socket({inet}, socket.SOCK_DGRAM)]"), "it is no TCP socket"),
        ("[socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)]".into(), "it is no TCP socket"),
        (format!("[socket.socket({inet}, socket.SOCK_STREAM)]"), "it does not listen"),
        ("[socket.create_server(('127.0.0.1', 0)) for i in range(2)]".into(), "there are 2"),
    ] {
        let (code, out, _) = output(activated(&home, &sockets, &[]));
        assert_eq!(code, 3, "{sockets}: {out}");
        assert!(out.contains(why) && out.contains("ListenStream="), "{sockets}: {out}");
    }
    let mut command = ddes_at(&home, &["serve", "--json"]);
    command.env("LISTEN_PID", "x").env("LISTEN_FDS", "1");
    let (code, out, _) = output(command);
    assert!(code == 3 && out.contains("LISTEN_PID"), "{out}");
}

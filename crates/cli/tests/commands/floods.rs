//! P-28 on real sockets: what strangers do, and what a client waits beside them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::secure::{fingerprint, serve};
use crate::{Running, ddes_at, folder, output};

/// So long nobody honest waits, on a machine that does much else. The faults this shows took
/// longer, or for ever.
const SOON: Duration = Duration::from_secs(4);
/// A message 1 of the suite `ddes`.
const HELLO_BODY: [u8; 258] = {
    let mut body = [3; 258];
    (body[0], body[1]) = (2, 2);
    body
};

fn hello() -> Vec<u8> {
    [&[0, 0, 0, 10, 0, 0, 1, 2][..], &HELLO_BODY].concat()
}

/// The first message that costs most: hybrid-4096.
fn long_hello() -> Vec<u8> {
    [&[0, 0, 0, 10, 0, 0, 6, 0xa2, 2, 0x21][..], &[3; 512], &[0; 1184]].concat()
}

/// A connection of an address of this machine's many.
fn connected(server: &Running, from: [u8; 4]) -> TcpStream {
    let address: SocketAddr = server.address.parse().unwrap();
    let flags = SocketFlags::CLOEXEC;
    let socket: OwnedFd =
        socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::from(from), 0))).unwrap();
    connect(socket.as_fd(), &address).unwrap();
    TcpStream::from(socket)
}

/// How long the server takes to answer a first message of an address that nobody else uses.
fn wait(server: &Running, from: u8) -> Duration {
    let start = Instant::now();
    let mut stream = connected(server, [127, 0, 9, from]);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&hello()).unwrap();
    let mut heard = [0; 8];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard[..4], [0, 0, 0, 10], "refused");
    start.elapsed()
}

fn files(server: &Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count()
}

/// Ends the flood, also where an assertion fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn connections_refused_that_keep_sending_are_cut_and_keep_nobody_waiting() {
    /// What the system keeps on its way, and the little that the server reads.
    const TAKEN_MAX: usize = 64 << 20;
    let home = folder();
    let server =
        serve(&home, &["--suite", "hybrid,ddes", "--ledger", "memory", "--max-unproven", "1"]);
    let is_over = AtomicBool::new(false);
    let (taken, waits) = std::thread::scope(|scope| {
        let silent = connected(&server, [127, 0, 7, 7]);
        // The most that one could send before it was cut; it never reads.
        let flood = || {
            let block = vec![0; 1 << 16];
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                let mut refused = connected(&server, [127, 0, 7, 7]);
                refused.set_write_timeout(Some(SOON)).unwrap();
                let mut taken = 0;
                while taken <= TAKEN_MAX {
                    let Ok(count) = refused.write(&block) else { break };
                    taken += count;
                }
                most = most.max(taken);
            }
            most
        };
        let floods = [(); 2].map(|()| scope.spawn(flood));
        let ends = Ends(&is_over);
        // Each from an address of its own, of which no connection before is being closed yet.
        let waits: Vec<_> = (1..=20).map(|from| wait(&server, from)).collect();
        drop((ends, silent));
        (floods.map(|flood| flood.join().unwrap()), waits)
    });
    assert!(waits.iter().all(|wait| *wait < SOON), "{waits:?}");
    assert!(taken.iter().all(|taken| *taken < TAKEN_MAX), "{taken:?}");
}

/// What the system knows of each of a server's threads.
fn threads(server: &Running, what: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join(what)).unwrap()).collect()
}

/// What all threads of a server have computed, once none of them has anything to do.
fn computed(server: &Running) -> Duration {
    while !threads(server, "stat").iter().all(|stat| stat.contains(") S ")) {
        std::thread::yield_now();
    }
    let nanos = |times: &String| times.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    Duration::from_nanos(threads(server, "schedstat").iter().map(nanos).sum())
}

#[test]
fn handshakes_of_connections_that_are_closed_are_not_computed() {
    const MANY: u8 = 200;
    let home = folder();
    let server = serve(&home, &["--suite", "hybrid-4096,ddes", "--ledger", "memory"]);
    wait(&server, 1);
    let [honest, gone] = [false, true].map(|are_gone| {
        let before = computed(&server);
        let process = Pid::from_child(&server.child);
        // So that it sees each message together with its connection's end, or its connection alive.
        kill_process(process, Signal::STOP).unwrap();
        let all: Vec<_> = (1..=MANY)
            .map(|from| {
                let mut stream = connected(&server, [127, 1, u8::from(are_gone), from]);
                stream.write_all(&long_hello()).unwrap();
                stream
            })
            .collect();
        let alive: Vec<TcpStream> = all.into_iter().filter(|_| !are_gone).collect();
        kill_process(process, Signal::CONT).unwrap();
        for mut stream in alive {
            stream.read_exact(&mut [0; 8]).unwrap();
        }
        wait(&server, if are_gone { 3 } else { 2 });
        computed(&server) - before
    });
    println!("computed for them: {gone:?}; for as many that stay: {honest:?}");
    assert!(gone < honest / 2, "{gone:?} beside {honest:?}");
}

/// 16 networks, and 1,000, that hold as many as they may.
#[test]
fn a_client_gets_in_beside_networks_full_of_silent_connections() {
    let home = folder();
    for (networks, each) in [(16_u16, 4), (300, 1)] {
        let flags = ["--max-connections", "64", "--max-unproven", "4", "--ledger", "memory"];
        let server = serve(&home, &flags);
        let of = |number: u16| {
            connected(&server, [127, 2, number.to_be_bytes()[0], number.to_be_bytes()[1]])
        };
        let silent: Vec<_> = (0..networks * each).map(|number| of(number % networks)).collect();
        let trust = fingerprint(&home);
        let send = ["send", "-q", "--server", &server.address, "--trust", &trust, "42"];
        let (code, sums, error) = output(ddes_at(&home, &send));
        assert_eq!((code, sums.as_str()), (0, "42\n"), "{error}");
        drop(silent);
    }
}

#[test]
fn a_stream_that_ends_together_with_bytes_is_closed_at_once() {
    let home = folder();
    let server = serve(&home, &["--suite", "ddes", "--ledger", "memory"]);
    for _ in 0..200 {
        let mut stream = connected(&server, [127, 0, 5, 5]);
        // Part of a frame; its end comes in the same turn of the server's, mostly.
        stream.write_all(&hello()[..20]).unwrap();
    }
    // It has accepted all that came before.
    wait(&server, 1);
    let start = Instant::now();
    // Far more than it has without connections, and far fewer than with them.
    while files(&server) > 100 {
        assert!(start.elapsed() < SOON, "{} files", files(&server));
        std::thread::yield_now();
    }
}

/// Of 64 files the ledger keeps what it needs, and the server says how many connections are left.
#[test]
fn with_few_open_files_connections_are_fewer_and_the_ledger_goes_on() {
    let home = folder();
    let mut command = std::process::Command::new("sh");
    let serve = format!(
        "ulimit -n 64; exec {} serve --json --listen 127.0.0.1:0",
        env!("CARGO_BIN_EXE_ddes")
    );
    command.args(["-c", &serve]).env("DDES_HOME", &home).stderr(std::process::Stdio::piped());
    let server = crate::started(command);
    let silent: Vec<_> = (1..=80).map(|from| connected(&server, [127, 0, 3, from])).collect();
    let trust = fingerprint(&home);
    let send =
        ["send", "-q", "--server", &server.address, "--trust", &trust, "--retry-secs", "30", "42"];
    let (code, sums, error) = output(ddes_at(&home, &send));
    assert_eq!((code, sums.as_str()), (0, "42\n"), "{error}");
    assert!(files(&server) <= 64 - 24, "{}", files(&server));
    drop(silent);
    let few = "ulimit -n 40; exec \"$0\" serve --ledger memory --listen 127.0.0.1:0";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", few, env!("CARGO_BIN_EXE_ddes")]).env("DDES_HOME", &home);
    let (code, _, error) = output(command);
    assert_eq!((code, error.contains("too few for a server")), (1, true), "{error}");
}

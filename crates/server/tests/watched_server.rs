//! A running server, watched from another thread: the counts of its driver, and its accounts in
//! slices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ddes_identity::{Namespace, SigningKey};
use ddes_ledger::store::{Folder, StoreOptions};
use ddes_ledger::{AccountId, Health, Ledger, Operation, Timestamp};
use ddes_server::watch::{Cause, ServerStats, Watch};
use ddes_server::{Access, Lists, Server, ServerHandle, ServerOptions};
use ddes_session::v2::{ClientConfig, ClientEvent, ClientSession, ServerConfig, noise};
use ddes_wire::Sequence;
use ddes_wire::v2::{GroupSize, Suite};
use zeroize::Zeroizing;

const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
const MINUTE: Duration = Duration::from_secs(60);

struct Running {
    handle: ServerHandle,
    address: SocketAddr,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    fn start(ledger: Ledger, is_watched: bool) -> Self {
        Self::start_with(ledger, Access::Any, is_watched)
    }

    fn start_with(ledger: Ledger, access: Access, is_watched: bool) -> Self {
        let key = SigningKey::from_seed(&[9; 32]);
        let suites = vec![SUITE];
        let v2 = ServerConfig { suites, key, idle: MINUTE, handshake: MINUTE, values_max: 8 };
        let options = ServerOptions { access, watch: is_watched, ..ServerOptions::on_loopback(v2) };
        let server = Server::bind(options, ledger).unwrap();
        let (handle, address) = (server.handle(), server.local_addr().unwrap());
        let thread = std::thread::spawn(move || drop(server.run(|_| {}).unwrap()));
        Self { handle, address, thread }
    }

    fn stop(self) {
        self.handle.stop();
        self.thread.join().unwrap();
    }
}

/// Waits for an answer of the server.
fn answer<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let start = Instant::now();
    while start.elapsed() < MINUTE {
        let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(answer) = poll {
            return answer;
        }
        std::thread::yield_now();
    }
    panic!("no answer in a minute");
}

/// Waits until what is published satisfies `is_it`.
fn wait(watch: &Watch, is_it: impl Fn(&ServerStats) -> bool) -> ServerStats {
    let start = Instant::now();
    while start.elapsed() < MINUTE {
        let stats = watch.stats();
        if is_it(&stats) {
            return stats;
        }
        std::thread::yield_now();
    }
    panic!("not published in a minute: {:?}", watch.stats());
}

/// Opens a session and submits one value; returns once it is counted.
fn count_one(address: SocketAddr) -> TcpStream {
    let key = SigningKey::from_seed(&[1; 32]);
    let config = ClientConfig { suite: SUITE, handshake: MINUTE, reply: MINUTE };
    let entropy = noise::Entropy { dh: Zeroizing::new(vec![1; 64]), kem: Zeroizing::new([1; 64]) };
    let mut stream = TcpStream::connect(address).unwrap();
    let mut client = ClientSession::new(config, Instant::now(), entropy);
    let mut buffer = [0; 4096];
    loop {
        let now = Instant::now();
        while let Some(work) = client.poll_work() {
            client.handle_done(now, work.run());
        }
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::ServerProven { .. } => {
                    let message = client.claim(&key.public()).unwrap();
                    let signature = key.sign(Namespace::Client, &message);
                    client.prove(now, &key.public(), signature).unwrap();
                }
                ClientEvent::Ready(_) => client.submit(now, Sequence::new(1), &[42]).unwrap(),
                ClientEvent::Answered(_) => return stream,
                ClientEvent::Ended(end) => panic!("{end:?}"),
            }
        }
        let pending = client.pending().to_vec();
        if pending.is_empty() {
            let count = stream.read(&mut buffer).unwrap();
            client.handle_bytes(now, &buffer[..count]);
        } else {
            stream.write_all(&pending).unwrap();
            client.sent(now, pending.len());
        }
    }
}

fn folder(name: &str) -> (std::path::PathBuf, Ledger) {
    let path = std::env::temp_dir().join(format!("ddes-watch-{name}-{}", std::process::id()));
    let disk = Folder::lock(&path).unwrap().unwrap();
    let (ledger, _) = Ledger::open(Arc::new(disk), StoreOptions::default(), [7; 16]).unwrap();
    (path, ledger)
}

#[test]
fn batches_are_timed_in_memory_and_in_a_folder() {
    let (path, in_folder) = folder("batches");
    for (ledger, is_folder) in [(Ledger::in_memory(), false), (in_folder, true)] {
        let server = Running::start(ledger, true);
        let watch = server.handle.watch().unwrap();
        let stream = count_one(server.address);
        let stats = wait(&watch, |stats| stats.counts.results == 1);
        // The opening and the value.
        assert_eq!(stats.ledger.commits.count(), 2);
        assert!(stats.ledger.commits.quantile(0.5).unwrap() > Duration::ZERO);
        assert_eq!((stats.counts.values, stats.counts.v2.open()), (1, 1));
        assert_eq!((stats.ledger.health, stats.is_stopping), (Health::Good, false));
        let trace = watch.trace(1, 0).unwrap();
        assert_eq!(trace.frames.len(), 7);
        assert_eq!(watch.all_sessions().len(), 1);

        let ledger = answer(server.handle.ledger()).unwrap();
        assert_eq!(
            (ledger.head.map(|(batch, _)| batch), ledger.accounts),
            (is_folder.then_some(2), 1)
        );
        let key = SigningKey::from_seed(&[1; 32]).public();
        let account = answer(server.handle.account(AccountId::Identity(*key.as_bytes())));
        assert_eq!(account.map(|account| account.standing().sum.get()), Some(42));
        assert!(answer(server.handle.account(AccountId::Classic(0))).is_none());
        assert!(answer(server.handle.pin_trace(1, true)));
        assert!(!answer(server.handle.pin_trace(2, true)));

        drop(stream);
        wait(&watch, |stats| stats.counts.v2.ended.get(Cause::Truncated) == 1);
        wait(&watch, |stats| stats.gauges.connections == 0);
        let handle = server.handle.clone();
        server.stop();
        assert!(watch.stats().is_stopping);
        assert!(answer(handle.accounts(0)).is_none());
    }
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn errors_in_the_lists_of_authorized_keys_are_counted() {
    let folder = std::env::temp_dir().join(format!("ddes-watch-lists-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let lists = Lists {
        authorized_keys: folder.join("authorized_keys"),
        identities: folder.join("keys"),
        database: None,
    };
    std::fs::write(&lists.authorized_keys, "no key\nno key either\n").unwrap();
    let server = Running::start_with(Ledger::in_memory(), Access::Listed(lists.clone()), true);
    let watch = server.handle.watch().unwrap();
    // The lists are read a second after the start at the latest.
    wait(&watch, |stats| stats.access_errors == 2 && stats.access_faults == 2);
    std::fs::write(&lists.authorized_keys, "no key\n").unwrap();
    wait(&watch, |stats| stats.access_faults == 1);
    std::fs::write(&lists.authorized_keys, "# nobody\n").unwrap();
    wait(&watch, |stats| stats.access_faults == 0);
    assert!(watch.stats().access_errors >= 2, "a counter only grows");
    server.stop();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_server_that_nobody_watches_publishes_nothing_and_answers() {
    let server = Running::start(Ledger::in_memory(), false);
    assert!(server.handle.watch().is_none());
    count_one(server.address);
    assert!(!answer(server.handle.pin_trace(1, true)));
    assert_eq!(answer(server.handle.ledger()).unwrap().accounts, 1);
    server.stop();
}

#[test]
fn ten_thousand_accounts_come_in_slices_without_a_gap_or_a_repeat() {
    let (path, in_folder) = folder("slices");
    let key = |number: u64| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        AccountId::Identity(key)
    };
    for mut ledger in [Ledger::in_memory(), in_folder] {
        let all = (0..10_000).map(key).chain((0..5000).map(AccountId::Classic));
        let all: Vec<_> = all.collect();
        let operations: Vec<_> = all.iter().map(|id| Operation::Open(*id)).collect();
        ledger.commit(Timestamp(0), &operations);
        let server = Running::start(ledger, false);
        let (mut found, mut next, mut sizes) = (Vec::new(), Some(0), Vec::new());
        while let Some(from) = next {
            let slice = answer(server.handle.accounts(from)).unwrap();
            sizes.push(slice.accounts.len());
            found.extend(slice.accounts.into_iter().map(|(id, _)| id));
            next = slice.next;
        }
        assert_eq!(sizes, [4096, 4096, 4096, 2712]);
        assert_eq!(found, all);
        server.stop();
    }
    std::fs::remove_dir_all(path).unwrap();
}

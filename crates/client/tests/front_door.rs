//! The clients that programs use, against a server in this process: what is added is counted, by
//! one task or by many, and whoever cannot be served is told why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "served/both.rs"]
mod both;
mod served;

use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ddes_client::{
    ADD_MAX, Balance, ClientError, CourierError, EnterError, Lost, Progress, SigningKey, blocking,
    tokio,
};

use both::{Any, BOTH, Kind, Setup, balance};

/// A server, and what a client of it needs.
struct World {
    server: String,
    trust: String,
    outbox: PathBuf,
    progress: mpsc::Receiver<Progress>,
    sender: mpsc::Sender<Progress>,
}

impl World {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("front-door-{}-{number}", std::process::id());
        let (server, trust) = served::start();
        let (sender, progress) = mpsc::channel();
        let outbox = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        Self { server, trust, outbox, progress, sender }
    }

    fn setup(&self, outbox: bool) -> Setup {
        Setup {
            server: self.server.parse().unwrap(),
            key: SigningKey::from_seed(&[7; 32]),
            trust: self.trust.clone(),
            outbox: outbox.then(|| self.outbox.clone()),
            progress: self.sender.clone(),
        }
    }

    fn start(&self, kind: Kind, outbox: bool) -> Any {
        Any::start(kind, self.setup(outbox)).unwrap()
    }

    /// What the server says to a later client of the same identity.
    fn total(&self) -> Balance {
        let unheard = mpsc::channel().0;
        let setup = Setup { progress: unheard, ..self.setup(false) };
        Any::start(Kind::Thread, setup).unwrap().total().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Not there if the test had none.
        drop(std::fs::remove_dir_all(&self.outbox));
    }
}

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
        assert_eq!(world.total(), all);
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
fn a_server_with_another_key_ends_the_client_and_hears_nothing() {
    for kind in BOTH {
        let world = World::new();
        let other = SigningKey::from_seed(&[8; 32]).public().fingerprint();
        let client = Any::start(kind, Setup { trust: other, ..world.setup(true) }).unwrap();
        // It may have met the server by now.
        let added = client.add(&[7]);
        assert!(matches!(added, Ok(()) | Err(ClientError::Ended(_))), "{added:?}");
        for outcome in [client.flush(), client.total(), client.flush()] {
            let Err(error) = outcome else { panic!("{kind:?}: {outcome:?}") };
            let said = error.to_string();
            assert!(said.starts_with("delivery ended: ") && said.contains("key"), "{said}");
            let ClientError::Ended(why) = error else { panic!("{kind:?}: {error:?}") };
            assert!(
                matches!(&*why, CourierError::Lost(Lost::Enter(EnterError::Untrusted { .. }))),
                "{why:?}"
            );
        }
        assert!(matches!(client.add(&[8]), Err(ClientError::Ended(_))));
        drop(client);
        assert_eq!(world.total(), balance(0, 0));
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
        let other = SigningKey::from_seed(&[8; 32]).public().fingerprint();
        let client = Any::start(kind, Setup { trust: other, ..world.setup(true) }).unwrap();
        assert!(matches!(client.flush(), Err(ClientError::Ended(_))));
        // It is there still, and refuses.
        let next = world.start(kind, true);
        assert!(matches!(client.add(&[1]), Err(ClientError::Ended(_))));
        assert_eq!(next.close().unwrap(), balance(5, 50));
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

/// A server that resets each connection: each attempt ends, none is taken for an answer.
#[test]
fn a_connection_that_is_reset_is_lost_and_tried_again() {
    for kind in BOTH {
        let world = World::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string().parse().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // With this, closing a socket resets its connection.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
        let client = Any::start(kind, Setup { server, ..world.setup(true) }).unwrap();
        client.add(&[7]).unwrap();
        for _ in 0..3 {
            let lost = world.progress.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(matches!(lost, Progress::Lost { retry: Some(_), .. }), "{kind:?}: {lost:?}");
        }
        drop(client);
    }
}

/// Nobody calls it any more: the last handle that is dropped ends the thread or the task.
#[test]
fn a_client_that_is_dropped_frees_its_outbox() {
    for kind in BOTH {
        let world = World::new();
        let client = world.start(kind, true);
        client.add(&[7]).unwrap();
        client.flush().unwrap();
        drop(client);
        let begin = Instant::now();
        let next = loop {
            match Any::start(kind, world.setup(true)) {
                Ok(client) => break client,
                Err(ClientError::Outbox(_)) if begin.elapsed() < Duration::from_secs(50) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{kind:?}: {error}"),
            }
        };
        assert_eq!(next.close().unwrap(), balance(1, 7));
    }
}

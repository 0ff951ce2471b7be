//! The handshake pool: threads that compute exponentiations without delaying traffic.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::endpoint::{ConnectionId, SessionDone, SessionWork};
use crate::mail::{Mail, Mailbox, PanicWatch, lock};
use crate::network::Network;
use crate::priority;
use crate::queue::HandshakeQueue;

/// One thread per processor. More work waits in a queue, which admission bounds.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<PoolShared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct PoolShared {
    state: Mutex<PoolState>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    queue: HandshakeQueue,
    closed: bool,
}

impl Pool {
    pub(crate) fn start(mailbox: &Arc<Mailbox>) -> io::Result<Self> {
        Self::start_with(mailbox, SessionWork::run)
    }

    fn start_with(
        mailbox: &Arc<Mailbox>,
        compute: fn(SessionWork) -> SessionDone,
    ) -> io::Result<Self> {
        let shared = Arc::new(PoolShared::default());
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let (shared, mailbox) = (Arc::clone(&shared), Arc::clone(mailbox));
            std::thread::Builder::new().name("handshakes".into()).spawn(move || {
                let watched = PanicWatch::new(&mailbox);
                run(&shared, &mailbox, compute);
                drop(watched);
            })
        };
        let threads = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    pub(crate) fn submit(&self, network: Network, connection: ConnectionId, work: SessionWork) {
        lock(&self.shared.state).queue.push(network, connection, work);
        self.shared.arrived.notify_one();
    }

    /// Removes a connection's queued work. Work that is being computed finishes.
    pub(crate) fn cancel(&self, connection: ConnectionId) {
        lock(&self.shared.state).queue.cancel(connection);
    }

    /// Drops queued work, and waits for running work to finish.
    pub(crate) fn stop(self) {
        let mut state = lock(&self.shared.state);
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.shared.arrived.notify_all();
        for thread in self.threads {
            // A panic of the thread was reported by its `PanicWatch`.
            drop(thread.join());
        }
    }
}

fn run(shared: &PoolShared, mailbox: &Mailbox, compute: fn(SessionWork) -> SessionDone) {
    priority::behind_traffic();
    loop {
        let mut state = lock(&shared.state);
        let (connection, work) = loop {
            if state.closed {
                return;
            }
            match state.queue.pop() {
                Some(work) => break work,
                None => {
                    state = shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(state);
        if !mailbox.post(Mail::Work(connection, compute(work))) {
            return;
        }
        // Without this the thread would use up its slice of some milliseconds before the loop runs.
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::endpoint::tests::first_work;

    #[test]
    fn a_panic_in_a_thread_of_the_pool_is_told_and_nobody_waits_for_it() {
        let mut poll = Poll::new().unwrap();
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let pool = Pool::start_with(&mailbox, |_| panic!("injected")).unwrap();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        pool.submit(Network::of(peer), ConnectionId::numbered(1), first_work());
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        assert!(matches!(&mailbox.take()[..], [Mail::Panicked(name)] if name == "handshakes"));
        pool.stop();
    }
}

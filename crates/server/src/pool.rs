//! The handshake pool: threads for exponentiations, beside the traffic and not in its way.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::endpoint::{ConnectionId, Work};
use crate::mail::{Mail, Mailbox, lock};

/// How much less than the loop's thread these count where both want a processor: nice values, of which each is worth a quarter.
const NICE: i32 = 10;

/// As many threads as the machine has processors. Work beyond them queues, bounded by the connections.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    work: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    work: VecDeque<(ConnectionId, Work)>,
    closed: bool,
}

impl Pool {
    pub(crate) fn start(mailbox: &Arc<Mailbox>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let (queue, mailbox) = (Arc::clone(&queue), Arc::clone(mailbox));
            std::thread::Builder::new().name("handshakes".into()).spawn(move || run(&queue, &mailbox))
        };
        let threads = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { queue, threads })
    }

    pub(crate) fn submit(&self, connection: ConnectionId, work: Work) {
        lock(&self.queue.work).work.push_back((connection, work));
        self.queue.arrived.notify_one();
    }

    /// Drops what is queued and waits for what runs.
    pub(crate) fn stop(self) {
        let mut waiting = lock(&self.queue.work);
        waiting.closed = true;
        waiting.work.clear();
        drop(waiting);
        self.queue.arrived.notify_all();
        for thread in self.threads {
            // A panic there has said so on standard error.
            drop(thread.join());
        }
    }
}

fn run(queue: &Queue, mailbox: &Mailbox) {
    // Where the system refuses, handshakes count as much as traffic.
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE).unwrap_or(());
    loop {
        let mut waiting = lock(&queue.work);
        let (connection, work) = loop {
            if waiting.closed {
                return;
            }
            match waiting.work.pop_front() {
                Some(work) => break work,
                None => waiting = queue.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(waiting);
        if !mailbox.post(Mail::Work(connection, work.run())) {
            return;
        }
        // The system lets a thread use up its slice of some milliseconds, whoever else wakes meanwhile.
        std::thread::yield_now();
    }
}

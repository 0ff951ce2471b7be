//! The queue of handshakes that wait for a thread. Networks take turns, and cancelled work is
//! removed. Pure; every operation takes constant time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::endpoint::{ConnectionId, SessionWork};
use crate::line::{LinkedQueue, QueueNodes};
use crate::network::Network;

/// The queued work, at most one piece per connection.
#[derive(Debug)]
pub(crate) struct HandshakeQueue<W = SessionWork> {
    waiting: QueueNodes<QueuedWork<W>>,
    places: HashMap<ConnectionId, usize>,
    networks: HashMap<Network, Turn>,
    turns: QueueNodes<Network>,
    order: LinkedQueue,
}

#[derive(Debug)]
struct QueuedWork<W> {
    of: ConnectionId,
    network: Network,
    work: W,
}

/// A network with queued work.
#[derive(Debug)]
struct Turn {
    queue: LinkedQueue,
    /// Its index in the queue of networks.
    place: usize,
}

impl<W> Default for HandshakeQueue<W> {
    fn default() -> Self {
        Self {
            waiting: QueueNodes::default(),
            places: HashMap::new(),
            networks: HashMap::new(),
            turns: QueueNodes::default(),
            order: LinkedQueue::default(),
        }
    }
}

impl<W> HandshakeQueue<W> {
    pub(crate) fn push(&mut self, network: Network, of: ConnectionId, work: W) {
        let turn = match self.networks.entry(network) {
            Entry::Occupied(turn) => turn.into_mut(),
            Entry::Vacant(turn) => {
                let place = self.turns.push(&mut self.order, network);
                turn.insert(Turn { queue: LinkedQueue::default(), place })
            }
        };
        let place = self.waiting.push(&mut turn.queue, QueuedWork { of, network, work });
        self.places.insert(of, place);
    }

    /// The oldest work of the network whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(ConnectionId, W)> {
        let network = self.turns.pop(&mut self.order)?;
        let turn = self.networks.get_mut(&network)?;
        let next = self.waiting.pop(&mut turn.queue);
        if turn.queue.is_empty() {
            self.networks.remove(&network);
        } else {
            turn.place = self.turns.push(&mut self.order, network);
        }
        next.map(|QueuedWork { of, work, .. }| {
            self.places.remove(&of);
            (of, work)
        })
    }

    /// Removes the work of a connection that no longer needs it.
    pub(crate) fn cancel(&mut self, of: ConnectionId) {
        let Some(place) = self.places.remove(&of) else { return };
        let Some(network) = self.waiting.at(place).map(|waiting| waiting.network) else { return };
        if let Entry::Occupied(mut turn) = self.networks.entry(network) {
            self.waiting.take(&mut turn.get_mut().queue, place);
            if turn.get().queue.is_empty() {
                let turn = turn.remove();
                self.turns.take(&mut self.order, turn.place);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn network(number: u8) -> Network {
        Network::of((Ipv4Addr::new(192, 0, 2, number), 1).into())
    }

    fn queue(of: &[(u8, u64)]) -> HandshakeQueue<u64> {
        let mut queue = HandshakeQueue::default();
        for (number, serial) in of {
            queue.push(network(*number), ConnectionId::numbered(*serial), *serial);
        }
        queue
    }

    fn order(queue: &mut HandshakeQueue<u64>) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|(_, work)| work).collect()
    }

    #[test]
    fn one_of_a_network_that_sent_one_waits_for_one_of_each_other() {
        let mut queue = queue(&[(1, 1), (1, 2), (1, 3), (1, 4), (2, 10), (2, 11), (3, 20)]);
        assert_eq!(order(&mut queue), [1, 10, 20, 2, 11, 3, 4]);
        assert!(queue.networks.is_empty() && queue.places.is_empty());
        assert_eq!((queue.waiting.len(), queue.turns.len()), (0, 0));
    }

    #[test]
    fn a_network_that_comes_back_waits_for_its_turn_again() {
        let mut queue = queue(&[(1, 1), (1, 2), (2, 10)]);
        assert_eq!(queue.pop().map(|(_, work)| work), Some(1));
        queue.push(network(2), ConnectionId::numbered(11), 11);
        queue.push(network(3), ConnectionId::numbered(20), 20);
        assert_eq!(order(&mut queue), [10, 2, 20, 11]);
    }

    /// Each choice of who is gone.
    #[test]
    fn what_nobody_waits_for_is_skipped_and_takes_no_room_and_no_turn() {
        let all = [(1, 1), (1, 2), (2, 10), (2, 11), (3, 20), (3, 21)];
        for gone in 0..1_u32 << all.len() {
            let mut queue = queue(&all);
            let is_gone = |serial: u64| {
                all.iter().zip(0..).any(|((_, of), at)| *of == serial && gone >> at & 1 == 1)
            };
            for (_, serial) in all.iter().filter(|(_, serial)| is_gone(*serial)) {
                queue.cancel(ConnectionId::numbered(*serial));
                queue.cancel(ConnectionId::numbered(*serial));
            }
            let mut done = order(&mut queue);
            done.sort_unstable();
            let left: Vec<_> = all.iter().map(|(_, of)| *of).filter(|of| !is_gone(*of)).collect();
            assert_eq!(done, left);
            assert!(queue.networks.is_empty() && queue.places.is_empty());
            assert_eq!((queue.waiting.len(), queue.turns.len()), (0, 0));
        }
    }
}

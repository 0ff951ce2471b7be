//! Doubly linked queues: push at the back and remove from anywhere, both in constant time. Many
//! queues may share one set of nodes.

use slab::Slab;

/// The nodes of any number of [`LinkedQueue`]s.
#[derive(Debug)]
pub(crate) struct QueueNodes<T> {
    nodes: Slab<Node<T>>,
}

/// The ends of one queue, whose values are in a [`QueueNodes`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkedQueue {
    first: Option<usize>,
    last: Option<usize>,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    before: Option<usize>,
    behind: Option<usize>,
}

impl<T> Default for QueueNodes<T> {
    fn default() -> Self {
        Self { nodes: Slab::new() }
    }
}

impl<T> QueueNodes<T> {
    /// Appends `value` and returns its index, which is valid until the value is removed.
    pub(crate) fn push(&mut self, queue: &mut LinkedQueue, value: T) -> usize {
        let place = self.nodes.insert(Node { value, before: queue.last, behind: None });
        match queue.last.and_then(|last| self.nodes.get_mut(last)) {
            Some(last) => last.behind = Some(place),
            None => queue.first = Some(place),
        }
        queue.last = Some(place);
        place
    }

    /// Removes the value at `place`, which must be in this queue.
    pub(crate) fn take(&mut self, queue: &mut LinkedQueue, place: usize) -> Option<T> {
        let Node { value, before, behind } = self.nodes.try_remove(place)?;
        match before.and_then(|before| self.nodes.get_mut(before)) {
            Some(node) => node.behind = behind,
            None => queue.first = behind,
        }
        match behind.and_then(|behind| self.nodes.get_mut(behind)) {
            Some(node) => node.before = before,
            None => queue.last = before,
        }
        Some(value)
    }

    /// The value at the front; `None` if the queue is empty.
    pub(crate) fn first(&self, queue: LinkedQueue) -> Option<&T> {
        self.nodes.get(queue.first?).map(|node| &node.value)
    }

    /// The value at `place`, in any queue.
    pub(crate) fn at(&self, place: usize) -> Option<&T> {
        self.nodes.get(place).map(|node| &node.value)
    }

    /// Removes the value at the front; `None` if the queue is empty.
    pub(crate) fn pop(&mut self, queue: &mut LinkedQueue) -> Option<T> {
        let first = queue.first?;
        self.take(queue, first)
    }

    /// The number of values in all queues.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl LinkedQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_from_anywhere_leaves_the_others_in_order() {
        // Each of the 2^5 choices of who leaves early.
        for leaving in 0..32_usize {
            let (mut lines, mut line) = (QueueNodes::default(), LinkedQueue::default());
            let places: Vec<_> = (0..5).map(|number| lines.push(&mut line, number)).collect();
            let (leave, stay): (Vec<_>, Vec<_>) =
                (0..5).partition(|number| leaving >> number & 1 == 1);
            for number in leave {
                assert_eq!(lines.take(&mut line, places[number]), Some(number));
            }
            assert_eq!(lines.len(), stay.len());
            let left: Vec<_> = std::iter::from_fn(|| lines.pop(&mut line)).collect();
            assert_eq!(left, stay);
            assert!(line.is_empty());
            lines.push(&mut line, 7);
            assert_eq!((lines.pop(&mut line), lines.pop(&mut line)), (Some(7), None));
        }
    }

    #[test]
    fn two_lines_of_one_store_do_not_meet() {
        let (mut lines, mut a, mut b) =
            (QueueNodes::default(), LinkedQueue::default(), LinkedQueue::default());
        for number in 0..3 {
            lines.push(&mut a, number);
            lines.push(&mut b, number + 10);
        }
        assert_eq!((lines.pop(&mut a), lines.pop(&mut b)), (Some(0), Some(10)));
        let rest: Vec<_> = std::iter::from_fn(|| lines.pop(&mut b)).collect();
        assert_eq!((rest, lines.len()), (vec![11, 12], 2));
    }
}

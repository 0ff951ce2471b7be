//! The timers of the loop: when to check a connection again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The timers of all connections. A connection has one entry, at or before its timeout. Where the
/// timeout has moved to a later time (every counted value moves it), this is noticed when the entry
/// is due, which is cheaper than moving the entry each time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Timers {
    /// Sets the timeout of `key` to `at`; `armed` holds the time of its current entry.
    pub(crate) fn set(&mut self, key: usize, armed: &mut Option<Instant>, at: Option<Instant>) {
        if let Some(at) = at.filter(|at| armed.is_none_or(|armed| *at < armed)) {
            *armed = Some(at);
            self.due.push(Reverse((at, key)));
        }
    }

    /// The time of the earliest entry.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes and returns an entry that is due. Its connection may be gone already.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let Reverse((at, key)) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= now)?;
        self.due.pop();
        Some((key, at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_that_moves_away_costs_no_entry_and_one_that_comes_nearer_does() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let (mut timers, mut armed) = (Timers::default(), None);
        for secs in [60, 61, 62] {
            timers.set(7, &mut armed, Some(at(secs)));
        }
        assert_eq!((timers.next(), timers.due.len()), (Some(at(60)), 1));
        timers.set(7, &mut armed, Some(at(10)));
        timers.set(7, &mut armed, None);
        assert_eq!(armed, Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(10)), Some((7, at(10))));
        assert_eq!(timers.pop(at(59)), None);
    }
}

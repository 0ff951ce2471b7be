//! How the files that a process may open are shared between connections and everything else. Pure.

use ddes_wire::saturating;

/// Open files reserved for everything but connections: the ledger's (its folder and lock, the
/// segment and the next, a checkpoint written and one read), the lists', the loop's own,
/// connections that are accepted and not yet counted, the console's. A server without connections
/// has 15 of them.
const FILES_KEPT: usize = 40;

/// The most excess connections that are refused with a message at a time.
const REFUSALS_MAX: usize = 64;

/// The files that a process may open, shared between connections and refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// The most connections at a time.
    pub connections_max: usize,
    /// The most excess connections that are refused with a message at a time.
    pub refusals_max: usize,
}

impl Files {
    /// The number of files that a server with `connections_max` connections opens.
    pub fn needed(connections_max: usize) -> u64 {
        connections_max.saturating_add(REFUSALS_MAX + FILES_KEPT) as u64
    }

    /// Shares `open_files` where `connections_max` connections are wanted; `None` if not even one
    /// is possible. The ledger's files come first: without them the server would have to stop at
    /// its next segment.
    pub fn share(open_files: u64, connections_max: usize) -> Option<Self> {
        // A limit beyond `usize` is never reached.
        let open_files = saturating::to_usize(open_files);
        let left = open_files.checked_sub(FILES_KEPT)?;
        let refusals_max = REFUSALS_MAX.min(left / 4);
        let connections_max = connections_max.min(left - refusals_max);
        (connections_max > 0).then_some(Self { connections_max, refusals_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledgers_files_come_first() {
        let share = |open_files| {
            Files::share(open_files, 4096).map(|files| (files.connections_max, files.refusals_max))
        };
        assert_eq!(Files::needed(4096), 4096 + 104);
        assert_eq!(share(4096 + 104), Some((4096, 64)));
        assert_eq!(share(4096 + 103), Some((4095, 64)));
        assert_eq!(share(1024), Some((920, 64)));
        assert_eq!(share(64), Some((18, 6)));
        assert_eq!((share(41), share(40), share(0)), (Some((1, 0)), None, None));
        assert_eq!(share(u64::MAX), Some((4096, 64)));
    }
}

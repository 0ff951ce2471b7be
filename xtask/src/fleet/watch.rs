//! What the clients of a fleet see: how long no acknowledgement came, and what came instead.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hears of each line that the clients print.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

/// What was seen since [`Watch::begin`].
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    last: Instant,
    /// The longest time without an acknowledgement.
    pub(crate) silence: Duration,
    pub(crate) acknowledged: u64,
    pub(crate) opened: u64,
    pub(crate) unavailable: u64,
    pub(crate) fenced: u64,
    pub(crate) lost: BTreeMap<String, u64>,
}

impl Seen {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            silence: Duration::ZERO,
            acknowledged: 0,
            opened: 0,
            unavailable: 0,
            fenced: 0,
            lost: BTreeMap::new(),
        }
    }
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Seen::new())))
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn hear(&self, line: &str) {
        // A line of one or two words has nothing after them.
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (_, what) = rest.split_once(' ').unwrap_or((rest, ""));
        self.seen(|seen| match word {
            "counted" => {
                seen.acknowledged += 1;
                seen.silence = seen.silence.max(seen.last.elapsed());
                seen.last = Instant::now();
            }
            "opened" => seen.opened += 1,
            "unavailable" => seen.unavailable += 1,
            "ghost" if what == "fenced" => seen.fenced += 1,
            "lost" => *seen.lost.entry(what.to_owned()).or_insert(0) += 1,
            // A ghost that saw nothing.
            _ => {}
        });
    }

    /// Forgets what was seen.
    pub(crate) fn begin(&self) {
        self.seen(|seen| *seen = Seen { last: seen.last, ..Seen::new() });
    }

    /// What was seen so far; a silence that lasts is in it.
    pub(crate) fn now(&self) -> Seen {
        self.seen(|seen| {
            let mut now = seen.clone();
            now.silence = now.silence.max(now.last.elapsed());
            now
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no acknowledgement for {:.1} s; {} acknowledgements, {} sessions opened, {} times \
             status 4, {} superseded sessions refused",
            self.silence.as_secs_f32(),
            self.acknowledged,
            self.opened,
            self.unavailable,
            self.fenced
        )?;
        for (why, times) in &self.lost {
            write!(f, "; {times} x {why}")?;
        }
        Ok(())
    }
}

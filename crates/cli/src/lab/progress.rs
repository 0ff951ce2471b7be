//! How far a search is: a line on standard error that is overwritten, and Ctrl-C.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ddes_lab::SearchStatus;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::failure::Failure;
use crate::streams;
use crate::terminal;
use crate::top::words::{grouped, rate};

/// How often the line is overwritten.
const EVERY: Duration = Duration::from_millis(200);
/// How often a line is written where it cannot be overwritten.
const EVERY_PLAIN: Duration = Duration::from_secs(10);
/// A search that takes less is not worth a line.
const SILENT: Duration = Duration::from_millis(500);

/// While it [holds](Self::hold), SIGINT and SIGTERM ask for a stop instead of ending the process; a
/// second one ends it.
pub(super) struct StopOnSignal {
    is_asked: Arc<AtomicBool>,
    /// Signals do what they do by default. To forget them would not do: then they did nothing.
    is_at_rest: Arc<AtomicBool>,
    signals: Vec<SigId>,
}

impl StopOnSignal {
    pub(super) fn watch() -> Result<Self, Failure> {
        let (is_asked, is_at_rest) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut stop = Self { is_asked, is_at_rest, signals: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let asked = || Arc::clone(&stop.is_asked);
            let rest = Arc::clone(&stop.is_at_rest);
            let rest = flag::register_conditional_default(signal, rest);
            let second = flag::register_conditional_default(signal, asked());
            let first = flag::register(signal, asked());
            for registered in [rest, second, first] {
                let id = registered
                    .map_err(|error| Failure::system("cannot watch for signals", &error))?;
                stop.signals.push(id);
            }
        }
        Ok(stop)
    }

    pub(super) fn hold(&self, is_held: bool) {
        self.is_at_rest.store(!is_held, Ordering::Relaxed);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }
}

impl Drop for StopOnSignal {
    fn drop(&mut self) {
        for id in self.signals.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// The line.
pub(super) struct SearchBar {
    is_quiet: bool,
    is_live: bool,
    began: Option<Instant>,
    shown: Option<Instant>,
    is_on_screen: bool,
}

impl SearchBar {
    pub(super) fn new(is_quiet: bool) -> Self {
        let is_live = io::stderr().is_terminal() && terminal::has_cursor();
        Self { is_quiet, is_live, began: None, shown: None, is_on_screen: false }
    }

    pub(super) fn show(&mut self, search: &SearchStatus) {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let every = if self.is_live { EVERY } else { EVERY_PLAIN };
        let is_early = self.shown.is_some_and(|shown| now - shown < every);
        if self.is_quiet || is_early || now - began < SILENT {
            return;
        }
        self.shown = Some(now);
        let text = text(search);
        // What standard error does not take ends nothing.
        let room = terminal::columns().saturating_sub(1);
        let text: String = text.chars().take(room).collect();
        if self.is_live {
            self.is_on_screen = streams::to_stderr(&format!("\r\x1b[K{text}")).is_ok();
        } else {
            streams::say(&text);
        }
    }

    /// Leaves a clean line to whatever follows.
    pub(super) fn clear(&mut self) {
        (self.began, self.shown) = (None, None);
        if self.is_on_screen {
            // What was not cleared is still there.
            self.is_on_screen = streams::to_stderr("\r\x1b[K").is_err();
        }
    }
}

fn text(search: &SearchStatus) -> String {
    let SearchStatus { what, tried, of, keys_per_sec } = search;
    let share = 100.0 * *tried as f64 / (*of).max(1) as f64;
    let left = of.saturating_sub(*tried) as f64 / keys_per_sec.max(1.0);
    format!(
        "{what}: {share:.1} % of {} keys, {} a second, {} left at most",
        grouped(of),
        rate(*keys_per_sec),
        seconds(left)
    )
}

fn seconds(secs: f64) -> String {
    const YEAR: f64 = 365.25 * 86_400.0;
    let units = [("years", YEAR), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)];
    match units.iter().find(|(_, each)| secs >= 2.0 * each) {
        Some((name, each)) => format!("{} {name}", grouped(&format!("{:.0}", secs / each))),
        None => format!("{secs:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_told_by_share_rate_and_time_left() {
        let search =
            SearchStatus { what: "Key1", tried: 250_000, of: 1_000_000, keys_per_sec: 250_000.0 };
        assert_eq!(
            text(&search),
            "Key1: 25.0 % of 1,000,000 keys, 250,000 a second, 3 s left at most"
        );
        let nothing = SearchStatus { what: "Key1", tried: 0, of: 0, keys_per_sec: 0.0 };
        assert!(text(&nothing).contains("0.0 %"));
        assert_eq!(seconds(7200.0), "2 hours");
        assert_eq!(seconds(1e15), "31,688,088 years");
    }
}

//! The server's console: its bracketed lines, its countdown, its commands. It never writes, so that
//! it always listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ddes_server::endpoint::SessionView;
use ddes_server::{Report, ServerHandle, Stopped};
use ddes_web::{Events, WebHandle};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;
use super::control::Control;
use super::http::{self, Stopper};
use super::lines;
use super::tally::Tally;
use crate::level::EventLevel;
use crate::prompt::{Prompt, PromptInput};
use crate::screen::Line;
use crate::streams;

const QUESTION: &str = "Enter 'exit' to stop the server: ";
const TICK: Duration = Duration::from_secs(1);
/// Reports are shown at most so long after they came, together: waking for each cost a session as
/// much as its handshake's signatures.
const GATHER: Duration = Duration::from_millis(10);
const GATHERED_MAX: usize = 4096;
/// The prompt waits at most so long for what is still to be written above it.
const SETTLE_MAX: Duration = Duration::from_millis(200);

pub(super) struct Console {
    pub(super) handle: ServerHandle,
    pub(super) stopper: Stopper,
    /// The page, if there is one.
    pub(super) web: Option<Arc<WebHandle>>,
    pub(super) events: Events,
    pub(super) board: Board,
    pub(super) control: Control,
    /// SIGTERM or Ctrl-C came; the server knows already.
    pub(super) signals: Arc<Notify>,
    pub(super) notices: mpsc::Receiver<Report>,
    pub(super) dropped: Arc<AtomicU64>,
    /// What is not among the notices, to be summed up.
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) stopped: oneshot::Receiver<Option<Stopped>>,
    /// Whether the end of a pipe stops the server.
    pub(super) ends_with_input: bool,
}

impl Console {
    pub(super) async fn run(mut self, prompt: &mut Prompt) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stopping = false;
        let mut gathered = Instant::now();
        self.say_unsaid();
        loop {
            if !stopping {
                // Lines of a pipe have no prompt, and whoever reads their answers may take his
                // time.
                if prompt.is_typed() && prompt.is_free() {
                    self.board.settle(SETTLE_MAX).await;
                }
                prompt.ask(QUESTION);
            }
            tokio::select! {
                stopped = &mut self.stopped => {
                    self.finish(stopped.ok().flatten());
                    return;
                }
                Some(report) = next(&mut self.notices, gathered) => {
                    let mut lines = self.lines(&report);
                    // Bounded, so that the console is heard under any load.
                    for _ in 0..GATHERED_MAX {
                        let Ok(report) = self.notices.try_recv() else { break };
                        lines.extend(self.lines(&report));
                    }
                    self.board.show_all(&lines);
                    gathered = Instant::now() + GATHER;
                }
                () = self.signals.notified() => self.say_stop(&mut stopping),
                input = prompt.line(), if !stopping => match input {
                    PromptInput::Text(text) => self.command(&text, &mut stopping).await,
                    PromptInput::Interrupted => self.stop(&mut stopping),
                    PromptInput::Refused(what) => {
                        self.board.show(&lines::help(&format!("{what}; the console takes")));
                    }
                    PromptInput::End if prompt.is_typed() => {
                        let what = "Ctrl-D does not stop a server; the console takes";
                        self.board.show(&lines::help(what));
                    }
                    PromptInput::End if self.ends_with_input => self.stop(&mut stopping),
                    // A service has no standard input; it goes on serving.
                    PromptInput::End => {}
                    PromptInput::Failed(failure) => {
                        let what = failure.what();
                        let what = format!("{what}; the console takes nothing any more");
                        self.board.show(&lines::help(&what));
                    }
                },
                _ = tick.tick(), if self.board.is_live() || lock(&self.tally).is_open() => {
                    self.tick().await;
                }
            }
        }
    }

    async fn tick(&self) {
        let sums = lock(&self.tally).take(Instant::now());
        self.board.show_all(&sums.iter().flat_map(lines::of_sum).collect::<Vec<_>>());
        self.say_unsaid();
        if self.board.is_live() {
            let sessions = self.handle.sessions().await;
            if let Some(countdown) = countdown(Instant::now(), &sessions) {
                self.board.status(&countdown);
            }
        }
    }

    fn say_unsaid(&self) {
        let unsaid = streams::take_unsaid();
        if unsaid > 0 {
            self.board.show(&lines::unsaid(unsaid));
        }
    }

    fn lines(&self, report: &Report) -> Vec<Line> {
        let mut all = match report {
            Report::Session(notice) => lines::of_notice(notice),
            Report::Access(fault) => vec![lines::access_fault(fault)],
            Report::Ledger(health) => vec![lines::ledger_health(health)],
            Report::Checkpoint(error) => vec![lines::ledger_checkpoint(error)],
            // For the service manager; the console says it when it is asked to stop.
            Report::Stopping(_) => Vec::new(),
        };
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.events.count_dropped(dropped);
            all.push(lines::dropped(dropped));
        }
        all
    }

    /// Drains; a second time stops at once.
    fn stop(&self, stopping: &mut bool) {
        self.say_stop(stopping);
        self.stopper.stop();
    }

    fn say_stop(&self, stopping: &mut bool) {
        if !std::mem::replace(stopping, true) {
            self.board.leave_prompt();
            self.board.show(&lines::shutting_down());
        }
    }

    async fn command(&self, text: &str, stopping: &mut bool) {
        let board = &self.board;
        let words: Vec<_> = text.split_whitespace().collect();
        match *words {
            [] => {}
            ["exit" | "quit"] => self.stop(stopping),
            ["sessions"] => {
                let now = Instant::now();
                let mut sessions = self.handle.sessions().await;
                sessions.sort_by_key(|view| view.connection.serial());
                board.show(&lines::session_count(sessions.len()));
                for view in &sessions {
                    board.show(&lines::session(now, view));
                }
            }
            ["totals"] => {
                let sessions = self.handle.sessions().await.len();
                if let Some(totals) = self.handle.totals().await {
                    board.show(&lines::totals(sessions, &totals));
                }
            }
            ["link"] => board.show_here(&[http::link(self.web.as_deref())]),
            ["end", "all"] => board.show(&lines::ended(self.handle.end(None).await)),
            ["end", id] => match id.trim_start_matches('#').parse() {
                Ok(serial) => board.show(&lines::ended(self.handle.end(Some(serial)).await)),
                Err(_) => board.show(&lines::help(&format!("'{id}' is not a session number"))),
            },
            ["log", name] => self.set_log_level(name),
            ["reload"] => self.control.ask_reload(),
            _ => board.show(&lines::help("the console takes")),
        }
    }

    fn set_log_level(&self, name: &str) {
        let line =
            match EventLevel::named(name).map(|level| (level, self.control.set_log_level(level))) {
                Some((level, Ok(()))) => lines::log_level(level),
                Some((_, Err(failure))) => {
                    lines::help(&format!("{}; the console takes", failure.what()))
                }
                None => lines::help(&format!(
                    "'{name}' is not a level (error, warn, info, debug); the console takes"
                )),
            };
        self.board.show(&line);
    }

    /// What the sessions said at their end, then the last line.
    fn finish(&mut self, stopped: Option<Stopped>) {
        self.board.leave_prompt();
        while let Ok(notice) = self.notices.try_recv() {
            self.board.show_all(&self.lines(&notice));
        }
        let sums = lock(&self.tally).take_all(Instant::now());
        self.board.show_all(&sums.iter().flat_map(lines::of_sum).collect::<Vec<_>>());
        self.board.show(&lines::exited(stopped.map_or(0, |stopped| stopped.cut)));
    }
}

/// The next report, not before `at`.
async fn next(notices: &mut mpsc::Receiver<Report>, at: Instant) -> Option<Report> {
    tokio::time::sleep_until(at.into()).await;
    notices.recv().await
}

/// What it guards is valid at any point.
pub(super) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The original's countdown, for the session that ends next.
fn countdown(now: Instant, sessions: &[SessionView]) -> Option<String> {
    let running = sessions.iter().filter_map(|view| Some((view.idle_at?, view)));
    let (idle_at, next) = running.min_by_key(|(idle_at, _)| *idle_at)?;
    let seconds = idle_at.saturating_duration_since(now).as_secs_f64().ceil();
    let others = match sessions.len() - 1 {
        0 => String::new(),
        others => format!(", {others} more"),
    };
    Some(format!(
        "[TIMER] {seconds} seconds remaining (#{} {}{others})",
        next.connection.serial(),
        next.peer
    ))
}

//! The server's console: its bracketed lines, its countdown, its commands, its signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ddes_server::endpoint::SessionView;
use ddes_server::{Handle, Report, Stopped};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::lines;
use crate::failure::Failure;
use crate::prompt::{Input, Prompt};
use crate::screen::{Line, Screen};

const QUESTION: &str = "Enter 'exit' to stop the server: ";
const TICK: Duration = Duration::from_secs(1);
/// Reports are shown at most so long after they came, together: waking for each cost a session as much as its handshake's signatures.
const GATHER: Duration = Duration::from_millis(10);
const GATHERED_MAX: usize = 4096;

pub(super) struct Console {
    pub(super) handle: Handle,
    pub(super) notices: mpsc::Receiver<Report>,
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) stopped: oneshot::Receiver<Option<Stopped>>,
}

impl Console {
    pub(super) async fn run(mut self, prompt: &mut Prompt, screen: &mut Screen) -> Result<(), Failure> {
        let signals = |error| Failure::system("cannot watch for signals", &error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stopping = false;
        let mut gathered = Instant::now();
        loop {
            if !stopping {
                prompt.ask(QUESTION);
            }
            tokio::select! {
                stopped = &mut self.stopped => {
                    self.finish(screen, stopped.ok().flatten());
                    return Ok(());
                }
                Some(report) = next(&mut self.notices, gathered) => {
                    let mut lines = self.lines(&report);
                    // Bounded, so that the console is heard under any load.
                    for report in std::iter::from_fn(|| self.notices.try_recv().ok()).take(GATHERED_MAX).collect::<Vec<_>>() {
                        lines.extend(self.lines(&report));
                    }
                    screen.show_all(&lines);
                    gathered = Instant::now() + GATHER;
                }
                () = either(&mut interrupt, &mut terminate) => self.stop(screen, &mut stopping),
                input = prompt.line(), if !stopping => match input {
                    Input::Text(text) => self.command(screen, &text, &mut stopping).await,
                    Input::Interrupted => self.stop(screen, &mut stopping),
                    Input::Refused(what) => screen.show(&help(&format!("{what}; the console takes"))),
                    Input::End if prompt.is_typed() => screen.show(&help("Ctrl-D does not stop a server; the console takes")),
                    // A service has no standard input; it goes on serving.
                    Input::End => {}
                    Input::Failed(failure) => screen.show(&help(&format!("{}; the console takes nothing any more", failure.what()))),
                },
                _ = tick.tick(), if screen.is_live() => {
                    let sessions = self.handle.sessions().await;
                    if let Some(countdown) = countdown(Instant::now(), &sessions) {
                        screen.status(&countdown);
                    }
                }
            }
        }
    }

    fn lines(&self, report: &Report) -> Vec<Line> {
        let mut all = match report {
            Report::Session(notice) => lines::of_notice(notice),
            Report::Access(fault) => vec![lines::access_fault(fault)],
            Report::Ledger(health) => vec![lines::ledger_health(health)],
            Report::Checkpoint(error) => vec![lines::ledger_checkpoint(error)],
        };
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            all.push(lines::dropped(dropped));
        }
        all
    }

    /// Drains; a second time stops at once.
    fn stop(&self, screen: &mut Screen, stopping: &mut bool) {
        if !*stopping {
            screen.leave_prompt();
            screen.show(&lines::shutting_down());
        }
        *stopping = true;
        self.handle.stop();
    }

    async fn command(&self, screen: &mut Screen, text: &str, stopping: &mut bool) {
        let words: Vec<_> = text.split_whitespace().collect();
        match *words {
            [] => {}
            ["exit" | "quit"] => self.stop(screen, stopping),
            ["sessions"] => {
                let now = Instant::now();
                let mut sessions = self.handle.sessions().await;
                sessions.sort_by_key(|view| view.connection.serial());
                screen.show(&lines::session_count(sessions.len()));
                for view in &sessions {
                    screen.show(&lines::session(now, view));
                }
            }
            ["totals"] => {
                let sessions = self.handle.sessions().await.len();
                if let Some(totals) = self.handle.totals().await {
                    screen.show(&lines::totals(sessions, &totals));
                }
            }
            ["end", "all"] => screen.show(&lines::ended(self.handle.end(None).await)),
            ["end", id] => match id.trim_start_matches('#').parse() {
                Ok(serial) => screen.show(&lines::ended(self.handle.end(Some(serial)).await)),
                Err(_) => screen.show(&help(&format!("'{id}' is no session number"))),
            },
            _ => screen.show(&help("the console takes")),
        }
    }

    /// What the sessions said at their end, then the last line.
    fn finish(&mut self, screen: &mut Screen, stopped: Option<Stopped>) {
        screen.leave_prompt();
        while let Ok(notice) = self.notices.try_recv() {
            screen.show_all(&self.lines(&notice));
        }
        screen.show(&lines::exited(stopped.map_or(0, |stopped| stopped.cut)));
    }
}

/// The next report, not before `at`.
async fn next(notices: &mut mpsc::Receiver<Report>, at: Instant) -> Option<Report> {
    tokio::time::sleep_until(at.into()).await;
    notices.recv().await
}

fn help(why: &str) -> Line {
    Line::new("help", format!("[HELP] {why}: exit, sessions, end ID, end all, totals, help"))
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
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
    Some(format!("[TIMER] {seconds} seconds remaining (#{} {}{others})", next.connection.serial(), next.peer))
}

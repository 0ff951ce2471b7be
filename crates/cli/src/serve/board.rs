//! What a server shows: a queue before the one thread that writes to standard output, so that a
//! reader who does not read holds nothing else up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use ddes_server::endpoint::Notices;
use ddes_web::{Events, LogEvent};
use tokio::sync::Notify;

use super::lines;
use crate::args::{OutputArgs, ServeArgs};
use crate::failure::Failure;
use crate::level::EventLevel;
use crate::screen::{self, Borrowed, Line, Screen};
use crate::streams;

/// Text that waits for whoever reads. More is dropped and counted.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// Handed to whoever has something to show.
#[derive(Clone)]
pub(super) struct Board {
    desk: Arc<Desk>,
    /// What watches through the page.
    events: Events,
    is_json: bool,
    is_live: bool,
    is_quiet: bool,
    /// The level from which lines with values are shown.
    values_at: EventLevel,
    borrowed: Option<Borrowed>,
}

#[derive(Default)]
struct Desk {
    queue: Mutex<BoardQueue>,
    /// The number of the least important [`EventLevel`] shown.
    level: AtomicU8,
    changed: Condvar,
    /// Everything was written.
    settled: Notify,
}

#[derive(Default)]
struct BoardQueue {
    jobs: VecDeque<BoardJob>,
    bytes: usize,
    /// Lines that were not shown, and not yet told of.
    dropped: u64,
    is_writing: bool,
    has_left_prompt: bool,
}

enum BoardJob {
    Show(BoardLines),
    Status(String),
    LeavePrompt,
}

struct BoardLines {
    text: String,
    count: u64,
}

/// The level from which values are shown: they are for a person at the terminal, and stay out of
/// logs at every level but the last.
pub(super) fn values_at(output: &OutputArgs) -> EventLevel {
    let is_for_people = screen::is_interactive() && !output.json && !output.quiet;
    if is_for_people { EventLevel::Info } else { EventLevel::Debug }
}

/// The level of a run: for its lines on a terminal --quiet leaves warnings, and --verbose adds all.
pub(super) fn level_of(args: &ServeArgs, is_json: bool) -> EventLevel {
    match (args.verbose, args.output.quiet && !is_json) {
        (true, _) => EventLevel::Debug,
        (false, true) => args.log_level.min(EventLevel::Warn),
        (false, false) => args.log_level,
    }
}

/// What the server is to report where lines of `level` are shown.
pub(super) fn notices(level: EventLevel, values_at: EventLevel) -> Notices {
    if level >= values_at { Notices::Values } else { Notices::Sessions }
}

impl Board {
    /// Writes to `screen` from now on, what is as important as `level`; lines with values from
    /// `values_at` on. All lines go to `events`.
    pub(super) fn start(
        mut screen: Screen,
        args: &ServeArgs,
        level: EventLevel,
        values_at: EventLevel,
        events: Events,
    ) -> Result<Self, Failure> {
        let desk = Arc::<Desk>::default();
        desk.level.store(level as u8, Ordering::Relaxed);
        let (is_json, is_live, borrowed) = (screen.is_json(), screen.is_live(), screen.borrowed());
        let work = Arc::clone(&desk);
        thread::Builder::new()
            .name("writer".into())
            .spawn(move || write(&work, &mut screen))
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        let is_quiet = args.output.quiet;
        Ok(Self { desk, events, is_json, is_live, is_quiet, values_at, borrowed })
    }

    /// Whether somebody watches, so that a countdown makes sense.
    pub(super) fn is_live(&self) -> bool {
        self.is_live && !self.is_quiet
    }

    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// The level that these settings stand for here.
    pub(super) fn level_of(&self, args: &ServeArgs) -> EventLevel {
        level_of(args, self.is_json)
    }

    /// Changes which lines are shown from now on.
    pub(super) fn set_level(&self, level: EventLevel) {
        self.desk.level.store(level as u8, Ordering::Relaxed);
    }

    /// What the server is to report where lines of this level are shown.
    pub(super) fn notices(&self, level: EventLevel) -> Notices {
        notices(level, self.values_at)
    }

    fn shows(&self, line: &Line) -> bool {
        let level = EventLevel::numbered(self.desk.level.load(Ordering::Relaxed));
        line.level().is_none_or(|of_line| match of_line {
            EventLevel::Debug => self.values_at <= level,
            EventLevel::Error | EventLevel::Warn | EventLevel::Info => of_line <= level,
        })
    }

    pub(super) fn show(&self, line: &Line) {
        self.show_all(std::slice::from_ref(line));
    }

    /// Shows all of them with one write.
    pub(super) fn show_all(&self, lines: &[Line]) {
        if self.events.is_watched() {
            let at = SystemTime::now();
            // Of what the log leaves out, only values stay out of here too.
            let is_published =
                |line: &&Line| self.shows(line) || line.level() != Some(EventLevel::Debug);
            for (name, fields) in lines.iter().filter(is_published).map(Line::event) {
                self.events.publish(LogEvent { name, at, fields: fields.clone() });
            }
        }
        self.show_here(lines);
    }

    /// Shows them to the console, and to nobody else.
    pub(super) fn show_here(&self, lines: &[Line]) {
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| self.shows(line))
            .map(|line| line.render(self.is_json))
            .collect();
        if lines.is_empty() {
            return;
        }
        let (text, count) = (lines.join("\n"), lines.len() as u64);
        let mut queue = self.desk.lock();
        if queue.bytes.saturating_add(text.len()) > QUEUE_BYTES_MAX {
            queue.dropped += count;
            self.events.count_dropped(count);
        } else {
            queue.bytes += text.len();
            queue.push(BoardJob::Show(BoardLines { text, count }), &self.desk);
        }
    }

    /// A line that the next one overwrites. It is worth nothing behind others.
    pub(super) fn status(&self, text: &str) {
        let mut queue = self.desk.lock();
        if queue.jobs.is_empty() && !queue.is_writing {
            queue.push(BoardJob::Status(text.to_owned()), &self.desk);
        }
    }

    /// Waits until all is written, or for `patience`. What is written before the prompt is put
    /// again stands in its order; what comes while somebody types goes through the editor, and one
    /// that waits there would be overtaken.
    pub(super) async fn settle(&self, patience: Duration) {
        let settled = async {
            loop {
                let next = self.desk.settled.notified();
                if !self.desk.lock().is_busy() {
                    return;
                }
                next.await;
            }
        };
        tokio::select! {
            () = settled => {}
            // A reader who takes nothing for that long gets the prompt all the same.
            () = tokio::time::sleep(patience) => {}
        }
    }

    /// Takes the terminal back from the prompt.
    pub(super) fn leave_prompt(&self) {
        let mut queue = self.desk.lock();
        if self.is_live && !std::mem::replace(&mut queue.has_left_prompt, true) {
            queue.push(BoardJob::LeavePrompt, &self.desk);
        }
    }

    /// Waits until all is written, or for `patience`: whoever reads no more must not keep a process
    /// from ending. The terminal is given back whether or not.
    pub(super) fn finish(&self, patience: Duration) {
        let waited = self
            .desk
            .changed
            .wait_timeout_while(self.desk.lock(), patience, |queue| queue.is_busy());
        let queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        let dropped = queue.dropped;
        drop(queue);
        if dropped > 0 {
            // Where somebody may still read.
            let last = lines::dropped(dropped);
            streams::within(patience, move || {
                streams::say(last.text());
                true
            });
        }
        if let Some(borrowed) = &self.borrowed {
            borrowed.give_back();
        }
    }
}

impl Desk {
    /// What is guarded is valid at any point.
    fn lock(&self) -> MutexGuard<'_, BoardQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardQueue {
    fn is_busy(&self) -> bool {
        self.is_writing || !self.jobs.is_empty()
    }

    fn push(&mut self, job: BoardJob, desk: &Desk) {
        self.jobs.push_back(job);
        desk.changed.notify_all();
    }
}

fn write(desk: &Desk, screen: &mut Screen) {
    let mut queue = desk.lock();
    loop {
        queue.is_writing = false;
        desk.changed.notify_all();
        if queue.jobs.is_empty() {
            desk.settled.notify_waiters();
        }
        let is_idle = |queue: &mut BoardQueue| queue.jobs.is_empty();
        queue = desk.changed.wait_while(queue, is_idle).unwrap_or_else(PoisonError::into_inner);
        let jobs = std::mem::take(&mut queue.jobs);
        let dropped = std::mem::take(&mut queue.dropped);
        (queue.bytes, queue.is_writing) = (0, true);
        drop(queue);
        let mut failed: u64 = jobs.into_iter().map(|job| run(job, screen)).sum();
        if dropped > 0 && screen.print(&lines::dropped(dropped).render(screen.is_json())).is_err() {
            failed += dropped;
        }
        queue = desk.lock();
        queue.dropped += failed;
    }
}

/// How many lines could not be written.
fn run(job: BoardJob, screen: &mut Screen) -> u64 {
    match job {
        BoardJob::Show(BoardLines { text, count }) => screen.print(&text).map_or(count, |()| 0),
        // It is written again in a second.
        BoardJob::Status(text) => screen.status(&text).map_or(0, |()| 0),
        BoardJob::LeavePrompt => {
            screen.leave_prompt();
            0
        }
    }
}

//! What the screen shows, and what a key changes of it. It neither draws nor asks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ladder::SessionLadder;
use super::poll::{Ask, Look, ROWS_MAX};
use super::words::between;
use crate::api::RequestError;
use crate::api::answers::ListedSession;

const FILTER_CHARS_MAX: usize = 64;
/// Sessions that are asked for above and below those in sight, so that most moves need no new look.
const ROWS_AROUND: usize = 100;
/// A window of sessions begins at a multiple of this.
const ROWS_STEP: usize = 50;
/// How long what happened stays in sight.
const NOTE_FOR: Duration = Duration::from_secs(10);
/// The weight of the newest second in a session's rate.
const NEWEST: f64 = 0.3;
/// Numbers that have not moved on for longer are stale although the server answers.
const STILL_MAX: Duration = Duration::from_secs(5);

/// What sessions are sorted by: the API's name, and the heading.
pub(super) const COLUMNS: [(&str, &str); 7] = [
    ("id", "#"),
    ("name", "name"),
    ("peer", "peer"),
    ("count", "count"),
    ("sum", "sum"),
    ("idle", "idle in"),
    ("opened", "open for"),
];

#[derive(Debug)]
pub(super) enum Mode {
    Sessions,
    Security,
    Help,
    /// The messages of one session.
    Wire(Box<SessionLadder>),
    /// A filter is typed; this is what it was before.
    Filter {
        before: String,
    },
    /// Whether to end this session.
    Confirm {
        id: u64,
        label: String,
    },
}

/// What a key asks the program for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Quit,
    Interrupt,
    Suspend,
    End(u64),
}

pub(super) struct TopView {
    pub(super) mode: Mode,
    pub(super) look: Look,
    /// When that came.
    pub(super) looked_at: Instant,
    /// When its numbers were others than those before.
    moved_at: Instant,
    /// Why the last attempt brought nothing.
    pub(super) error: Option<String>,
    note: Option<(String, Instant)>,
    pub(super) sort: usize,
    pub(super) is_descending: bool,
    pub(super) filter: String,
    /// Sessions that fit below one another, as drawn last.
    pub(super) rows: usize,
    /// Of all sessions that match, in their order.
    pub(super) first: usize,
    pub(super) selected: usize,
    selected_id: Option<u64>,
    /// Values a second of the sessions of the last look.
    pub(super) rates: HashMap<u64, f64>,
}

impl TopView {
    pub(super) fn new(now: Instant, look: Look) -> Self {
        Self {
            mode: Mode::Sessions,
            look,
            looked_at: now,
            moved_at: now,
            error: None,
            note: None,
            sort: 0,
            is_descending: false,
            filter: String::new(),
            rows: 1,
            first: 0,
            selected: 0,
            selected_id: None,
            rates: HashMap::new(),
        }
    }

    /// What is asked before anything is seen.
    pub(super) fn first_ask() -> Ask {
        Ask {
            sort: COLUMNS[0].0,
            is_descending: false,
            filter: String::new(),
            first: 0,
            rows: ROWS_MAX,
            wants_security: false,
            ladder: None,
        }
    }

    /// What to look at from now on.
    pub(super) fn ask(&self) -> Ask {
        let ladder = match &self.mode {
            Mode::Wire(wire) => Some((wire.id, wire.frames.last().map(|frame| frame.seq))),
            Mode::Sessions
            | Mode::Security
            | Mode::Help
            | Mode::Filter { .. }
            | Mode::Confirm { .. } => None,
        };
        Ask {
            sort: COLUMNS[self.sort].0,
            is_descending: self.is_descending,
            filter: self.filter.clone(),
            first: (self.first / ROWS_STEP * ROWS_STEP).saturating_sub(ROWS_AROUND),
            rows: (self.rows + 2 * ROWS_AROUND + ROWS_STEP).min(ROWS_MAX),
            wants_security: matches!(self.mode, Mode::Security),
            ladder,
        }
    }

    /// The session in this place, if it was looked at.
    pub(super) fn session(&self, place: usize) -> Option<&ListedSession> {
        self.look.page.sessions.get(place.checked_sub(self.look.ask.first)?)
    }

    /// Why the numbers are not of now, and for how long.
    pub(super) fn staleness(&self, now: Instant) -> Option<(String, Duration)> {
        if let Some(error) = &self.error {
            return Some((error.clone(), now.duration_since(self.looked_at)));
        }
        let still = now.duration_since(self.moved_at);
        (still > STILL_MAX).then(|| ("the server's numbers do not move".to_owned(), still))
    }

    pub(super) fn note(&self, now: Instant) -> Option<&str> {
        let (note, at) = self.note.as_ref()?;
        (now.duration_since(*at) < NOTE_FOR).then_some(note)
    }

    fn set_note(&mut self, now: Instant, note: impl Into<String>) {
        self.note = Some((note.into(), now));
    }

    pub(super) fn handle_look(&mut self, now: Instant, look: Result<Box<Look>, RequestError>) {
        let mut look = match look {
            Ok(look) => *look,
            Err(error) => {
                self.error = Some(error.to_string());
                return;
            }
        };
        self.error = None;
        self.looked_at = now;
        if look.overview.as_of != self.look.overview.as_of {
            self.moved_at = now;
        }
        let is_same_server = look.overview.server.boot == self.look.overview.server.boot;
        self.rates = match is_same_server {
            true => rates(&self.look, &look, &self.rates),
            false => HashMap::new(),
        };
        if !is_same_server {
            self.set_note(now, "the server has restarted");
        }
        if let Mode::Wire(wire) = &mut self.mode {
            wire.handle(look.ladder.take(), look.ask.ladder);
        }
        self.look = look;
        self.follow();
    }

    pub(super) fn handle_ended(&mut self, now: Instant, id: u64, ended: Result<(), String>) {
        match ended {
            Ok(()) => self.set_note(now, format!("session #{id} is ended")),
            Err(why) => self.set_note(now, format!("session #{id} is not ended: {why}")),
        }
    }

    /// Keeps to the session that was selected, wherever it is now.
    fn follow(&mut self) {
        let place = self
            .selected_id
            .and_then(|id| self.look.page.sessions.iter().position(|session| session.id == id));
        if let Some(place) = place {
            self.selected = self.look.ask.first + place;
        }
        self.select(self.selected);
    }

    fn select(&mut self, place: usize) {
        self.selected = place.min(self.look.page.total.saturating_sub(1));
        self.selected_id = self.session(self.selected).map(|session| session.id);
        let last_first = self.selected.saturating_sub(self.rows.saturating_sub(1));
        self.first = self.first.clamp(last_first, self.selected);
    }

    /// As many sessions fit now.
    pub(super) fn set_rows(&mut self, rows: usize) {
        if self.rows != rows {
            self.rows = rows;
            self.select(self.selected);
        }
        let last = self.look.page.total.saturating_sub(self.rows);
        self.first = self.first.min(last);
    }

    /// A key by its name; see [`super::key`].
    pub(super) fn handle_key(&mut self, now: Instant, key: &str) -> Wish {
        match key {
            "ctrl-c" | "ctrl-\\" => return Wish::Interrupt,
            "ctrl-z" => return Wish::Suspend,
            _ => {}
        }
        match &mut self.mode {
            Mode::Sessions | Mode::Security => return self.handle_list_key(now, key),
            Mode::Filter { .. } => self.handle_filter_key(key),
            Mode::Help | Mode::Wire(_) if key == "q" => return Wish::Quit,
            Mode::Help => self.mode = Mode::Sessions,
            Mode::Wire(wire) => match key {
                "esc" | "enter" | "backspace" => self.mode = Mode::Sessions,
                key => wire.handle_key(key, self.rows),
            },
            Mode::Confirm { id, .. } => {
                let id = *id;
                self.mode = Mode::Sessions;
                if matches!(key, "y" | "Y") {
                    return Wish::End(id);
                }
            }
        }
        Wish::Nothing
    }

    fn handle_list_key(&mut self, now: Instant, key: &str) -> Wish {
        let is_security = matches!(self.mode, Mode::Security);
        match key {
            "q" => return Wish::Quit,
            "?" | "h" => self.mode = Mode::Help,
            "tab" | "esc" if is_security => self.mode = Mode::Sessions,
            "tab" => self.mode = Mode::Security,
            _ if is_security => {}
            "esc" => {
                self.filter.clear();
                self.start_over();
            }
            "s" => {
                self.sort = (self.sort + 1) % COLUMNS.len();
                // The most is what one looks for.
                self.is_descending = matches!(COLUMNS[self.sort].0, "count" | "sum");
                self.start_over();
            }
            "r" => {
                self.is_descending = !self.is_descending;
                self.start_over();
            }
            "/" => self.mode = Mode::Filter { before: self.filter.clone() },
            "e" => self.confirm(now),
            "enter" => {
                if let Some(session) = self.session(self.selected) {
                    self.mode = Mode::Wire(Box::new(SessionLadder::new(session.id)));
                }
            }
            key => self.select(moved(key, self.selected, self.rows, self.look.page.total)),
        }
        Wish::Nothing
    }

    fn handle_filter_key(&mut self, key: &str) {
        let mut letters = key.chars();
        match (key, letters.next(), letters.next()) {
            ("esc", ..) => {
                if let Mode::Filter { before } = std::mem::replace(&mut self.mode, Mode::Sessions) {
                    self.filter = before;
                }
            }
            ("enter", ..) => self.mode = Mode::Sessions,
            ("backspace", ..) => drop(self.filter.pop()),
            ("ctrl-u", ..) => self.filter.clear(),
            (_, Some(letter), None) if self.filter.chars().count() < FILTER_CHARS_MAX => {
                self.filter.push(letter);
            }
            _ => return,
        }
        self.start_over();
    }

    fn confirm(&mut self, now: Instant) {
        let Some(session) = self.session(self.selected) else {
            return self.set_note(now, "there is no session to end");
        };
        if !self.look.overview.can_act {
            let what = "ending a session needs the server's token: --token-file FILE";
            return self.set_note(now, what);
        }
        let who = session.name.as_ref().unwrap_or(&session.peer).clone();
        self.mode = Mode::Confirm { id: session.id, label: who };
    }

    /// Another order has another first session.
    fn start_over(&mut self) {
        (self.first, self.selected, self.selected_id) = (0, 0, None);
    }
}

/// The place in a list after a key.
pub(super) fn moved(key: &str, place: usize, rows: usize, length: usize) -> usize {
    let place = match key {
        "up" | "k" => place.saturating_sub(1),
        "down" | "j" => place.saturating_add(1),
        "page up" => place.saturating_sub(rows),
        "page down" => place.saturating_add(rows),
        "home" => 0,
        "end" => length,
        _ => place,
    };
    place.min(length.saturating_sub(1))
}

/// Values a second of each session, from two looks. Where the server has not copied the session
/// anew in between, what was known stays.
fn rates(before: &Look, after: &Look, known: &HashMap<u64, f64>) -> HashMap<u64, f64> {
    let before: HashMap<u64, &ListedSession> =
        before.page.sessions.iter().map(|session| (session.id, session)).collect();
    let rate = |session: &ListedSession| {
        let before = before.get(&session.id)?;
        let span = between(&before.as_of, &session.as_of)?.as_secs_f64();
        if span == 0.0 {
            return known.get(&session.id).copied();
        }
        let more = session.count.value()?.checked_sub(before.count.value()?)?;
        // For people: a few digits of it are shown.
        let now = more.max(0) as f64 / span;
        let known = known.get(&session.id).copied();
        Some(known.map_or(now, |known| known + NEWEST * (now - known)))
    };
    let rates = after.page.sessions.iter().filter_map(|of| Some((of.id, rate(of)?)));
    rates.collect()
}

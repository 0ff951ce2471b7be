//! Asks the server, on a thread of its own: what the screen shows once a second, and what a key
//! asks for at once.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::TopInput;
use crate::api::answers::{Ladder, Overview, Security, SessionPage};
use crate::api::{Api, RequestError, encoded, understood};
use crate::failure::Failure;

/// Between two looks, counted from the first one's begin.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// A held key asks no more often than this.
const PAUSE: Duration = Duration::from_millis(50);
/// The API gives at most so many sessions at once.
pub(super) const ROWS_MAX: usize = 500;

/// What to look at, beside the overview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// The API's name of the column.
    pub(super) sort: &'static str,
    pub(super) is_descending: bool,
    pub(super) filter: String,
    /// The first session wanted, in the order of the column.
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) wants_security: bool,
    /// The messages of this session, after this number.
    pub(super) ladder: Option<(u64, Option<u64>)>,
}

/// One look: everything of one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) ask: Ask,
    pub(super) overview: Overview,
    pub(super) page: SessionPage,
    pub(super) security: Option<Result<Security, String>>,
    pub(super) ladder: Option<Result<Ladder, String>>,
}

/// As [`Look`], with the overview and the sessions as the server wrote them.
pub(super) fn raw(api: &Api, ask: &Ask) -> Result<(Value, Value), RequestError> {
    Ok((api.get("/api/v1/overview")?, api.get(&sessions_path(ask))?))
}

pub(super) fn look(api: &Api, ask: Ask) -> Result<Look, RequestError> {
    let (overview, page) = raw(api, &ask)?;
    let (overview, mut page): (Overview, SessionPage) = (understood(overview)?, understood(page)?);
    page.sessions.truncate(ROWS_MAX);
    let security = ask.wants_security.then(|| {
        let answer = api.get("/api/v1/security").and_then(understood);
        answer.map_err(|error| error.to_string())
    });
    let ladder = ask.ladder.map(|(id, after)| {
        let answer = trace(api, id, after).and_then(understood);
        answer.map_err(|error| error.to_string())
    });
    Ok(Look { ask, overview, page, security, ladder })
}

fn sessions_path(ask: &Ask) -> String {
    let order = if ask.is_descending { "desc" } else { "asc" };
    let Ask { sort, first, rows, .. } = ask;
    let filter = encoded(&ask.filter);
    format!("/api/v1/sessions?q={filter}&sort={sort}&order={order}&limit={rows}&offset={first}")
}

/// The server traces few sessions: one that is not among them is, from now on, if that is allowed.
fn trace(api: &Api, id: u64, after: Option<u64>) -> Result<Value, RequestError> {
    let after = after.map_or_else(String::new, |seq| format!("?after={seq}"));
    let path = format!("/api/v1/wire/{id}{after}");
    match api.get(&path) {
        Err(RequestError::Refused { status: 404, .. }) => {
            api.post(&format!("/api/v1/wire/{id}/pin"), &json!({}))?;
            api.get(&path)
        }
        answer => answer,
    }
}

/// What the screen's thread wants of the one that asks.
#[derive(Clone)]
pub(super) struct Poller(Arc<(Mutex<Wanted>, Condvar)>);

struct Wanted {
    ask: Ask,
    /// Look at once.
    is_urgent: bool,
    end: Option<u64>,
}

impl Poller {
    /// From now on a look comes as [`TopInput::Looked`] once a second.
    pub(super) fn start(api: Api, ask: Ask, inputs: SyncSender<TopInput>) -> Result<Self, Failure> {
        let wanted = Wanted { ask, is_urgent: true, end: None };
        let poller = Self(Arc::new((Mutex::new(wanted), Condvar::new())));
        let ours = poller.clone();
        super::spawn("poll", inputs, move |inputs| {
            loop {
                let begin = Instant::now();
                let (ask, end) = ours.take();
                if let Some(id) = end {
                    let ended = api.post(&format!("/api/v1/sessions/{id}/end"), &json!({}));
                    let ended = ended.map(drop).map_err(|error| error.to_string());
                    if inputs.send(TopInput::Ended { id, ended }).is_err() {
                        return;
                    }
                }
                let look = look(&api, ask).map(Box::new);
                if inputs.send(TopInput::Looked(look)).is_err() {
                    return;
                }
                ours.wait_until(begin + INTERVAL);
            }
        })?;
        Ok(poller)
    }

    /// Looks at this from now on; at once if it is another view. The next messages of the same
    /// ladder have time until the next look.
    pub(super) fn ask(&self, ask: Ask) {
        let mut wanted = self.lock();
        let id = |ask: &Ask| ask.ladder.map(|(id, _)| id);
        let is_other = Ask { ladder: ask.ladder, ..wanted.ask.clone() } != ask;
        let is_urgent = is_other || id(&wanted.ask) != id(&ask);
        wanted.ask = ask;
        if is_urgent {
            self.wake(wanted);
        }
    }

    pub(super) fn end(&self, id: u64) {
        let mut wanted = self.lock();
        wanted.end = Some(id);
        self.wake(wanted);
    }

    fn wake(&self, mut wanted: MutexGuard<'_, Wanted>) {
        wanted.is_urgent = true;
        self.0.1.notify_one();
    }

    fn take(&self) -> (Ask, Option<u64>) {
        let mut wanted = self.lock();
        wanted.is_urgent = false;
        (wanted.ask.clone(), wanted.end.take())
    }

    fn wait_until(&self, until: Instant) {
        thread::sleep(PAUSE);
        let wanted = self.lock();
        let left = until.saturating_duration_since(Instant::now());
        // Poisoned: the screen's thread panicked, and the process ends.
        drop(self.0.1.wait_timeout_while(wanted, left, |wanted| !wanted.is_urgent));
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the next second after `begin`.
pub(super) fn rest_of_interval(begin: Instant) {
    thread::sleep((begin + INTERVAL).saturating_duration_since(Instant::now()));
}

//! `/api/v1/sessions`: connections and their sessions, and ending them.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Json, Path, State};
use ddes_ledger::AccountId;
use ddes_server::watch::{Profile, SessionRow, SessionState};
use serde::{Deserialize, Serialize};

use crate::about::suite_name;
use crate::answer::{ActionBody, Answer, ListPart, Params, SortOrder, search, shown_time};
use crate::app::{App, Clock};
use crate::error::ApiError;
use crate::names::{account_id, fingerprint};
use crate::ranking::by_key;

/// Ending all sessions is refused where a tenth more are open than the asker knows, and at least
/// so many more.
const EXCESS_MIN: u64 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsQuery {
    q: Option<String>,
    profile: Option<ProfileName>,
    state: Option<StateName>,
    #[serde(default)]
    sort: SessionColumn,
    #[serde(default)]
    order: SortOrder,
    limit: Option<usize>,
    offset: Option<usize>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProfileName {
    V2,
    Classic,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateName {
    Open,
    Handshake,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SessionColumn {
    #[default]
    Id,
    Peer,
    Name,
    Idle,
    Sum,
    Count,
    Opened,
}

#[derive(Serialize)]
pub(crate) struct SessionsJson {
    total: usize,
    all: usize,
    sessions: Vec<SessionJson>,
}

#[derive(Serialize)]
pub(crate) struct SessionJson {
    id: u64,
    profile: &'static str,
    suite: Option<&'static str>,
    peer: String,
    state: &'static str,
    name: Option<Arc<str>>,
    fingerprint: Option<String>,
    account: Option<String>,
    operator: bool,
    opened: String,
    idle_deadline: Option<String>,
    last_value_at: Option<String>,
    last_value: Option<String>,
    count: String,
    sum: String,
    as_of: String,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Params(query): Params<SessionsQuery>,
) -> Result<Answer<SessionsJson>, ApiError> {
    let part = ListPart::parse(query.limit, query.offset)?;
    let text = search(query.q.clone())?;
    let all = app.watch.all_sessions();
    let mut found: Vec<&SessionRow> =
        all.iter().filter(|row| query.fits(row) && matches(row, text.as_deref())).collect();
    sort(&mut found, query.sort, query.order);
    let clock = Clock::now();
    let sessions = part.of(&found).iter().map(|row| SessionJson::new(clock, row)).collect();
    Ok(Answer::now(SessionsJson { total: found.len(), all: all.len(), sessions }))
}

impl SessionsQuery {
    fn fits(&self, row: &SessionRow) -> bool {
        let profile = self.profile.is_none_or(|profile| match profile {
            ProfileName::V2 => row.profile == Profile::V2,
            ProfileName::Classic => row.profile == Profile::Classic,
        });
        let state = self.state.is_none_or(|state| match state {
            StateName::Open => row.state == SessionState::Open,
            StateName::Handshake => row.state == SessionState::Handshake,
        });
        profile && state
    }
}

/// Whether the number, peer, name or account of a session contains the text.
fn matches(row: &SessionRow, text: Option<&str>) -> bool {
    let Some(text) = text else { return true };
    format!("#{} {}", row.serial, row.peer).contains(text)
        || row.name.as_ref().is_some_and(|name| name.to_lowercase().contains(text))
        || row.account.as_ref().is_some_and(|id| account_id(id).to_lowercase().contains(text))
}

fn sort(rows: &mut [&SessionRow], column: SessionColumn, order: SortOrder) {
    match column {
        SessionColumn::Id => by(rows, order, |row| Some(row.serial)),
        SessionColumn::Peer => by(rows, order, |row| Some((row.peer.ip(), row.peer.port()))),
        SessionColumn::Name => {
            by(rows, order, |row| row.name.as_ref().map(|name| name.to_lowercase()));
        }
        SessionColumn::Idle => by(rows, order, |row| row.idle_at),
        SessionColumn::Sum => by(rows, order, |row| Some(row.sum.get())),
        SessionColumn::Count => by(rows, order, |row| Some(row.count)),
        SessionColumn::Opened => by(rows, order, |row| Some(row.opened)),
    }
}

fn by<K: Ord>(rows: &mut [&SessionRow], order: SortOrder, key: impl Fn(&SessionRow) -> Option<K>) {
    let mut keyed: Vec<_> = rows.iter().map(|row| (key(row), *row)).collect();
    keyed.sort_unstable_by(|(one, first), (other, second)| {
        by_key(order, one.as_ref(), other.as_ref()).then(first.serial.cmp(&second.serial))
    });
    rows.iter_mut().zip(keyed).for_each(|(row, (_, sorted))| *row = sorted);
}

impl SessionJson {
    fn new(clock: Clock, row: &SessionRow) -> Self {
        let shown = |at| shown_time(clock.time(at));
        let key = row.account.as_ref().and_then(|id| match id {
            AccountId::Identity(key) => Some(key),
            AccountId::Classic(_) => None,
        });
        Self {
            id: row.serial,
            profile: row.profile.as_str(),
            suite: row.suite.map(suite_name),
            peer: row.peer.to_string(),
            state: row.state.as_str(),
            name: row.name.clone(),
            fingerprint: key.map(fingerprint),
            account: row.account.as_ref().map(account_id),
            operator: row.is_operator,
            opened: shown(row.opened),
            idle_deadline: row.idle_at.map(shown),
            last_value_at: row.last_value_at.map(shown),
            last_value: row.last_value.map(|value| value.to_string()),
            count: row.count.to_string(),
            sum: row.sum.to_string(),
            as_of: shown(row.at),
        }
    }
}

/// `GET /api/v1/sessions/{id}`. The session's own `as_of` is the answer's.
#[derive(Serialize)]
pub(crate) struct OneSession {
    schema_version: u32,
    #[serde(flatten)]
    session: SessionJson,
}

pub(crate) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<OneSession>, ApiError> {
    let id = serial(id)?;
    let row = app.watch.session(id).ok_or_else(|| gone(id))?;
    let session = SessionJson::new(Clock::now(), &row);
    Ok(Json(OneSession { schema_version: crate::SCHEMA_VERSION, session }))
}

#[derive(Serialize)]
pub(crate) struct EndedJson {
    ended: usize,
}

/// `POST /api/v1/sessions/{id}/end`
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Answer<EndedJson>, ApiError> {
    let id = serial(id)?;
    match app.ask(move |handle| async move { handle.end(Some(id)).await }).await? {
        0 => Err(gone(id)),
        ended => Ok(Answer::now(EndedJson { ended })),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndAll {
    expect: u64,
}

/// `POST /api/v1/sessions/end-all`
pub(crate) async fn end_all(
    State(app): State<Arc<App>>,
    ActionBody(EndAll { expect }): ActionBody<EndAll>,
) -> Result<Answer<EndedJson>, ApiError> {
    let open = app.watch.stats().gauges.connections as u64;
    let most = expect.saturating_add(EXCESS_MIN.max(expect / 10));
    if open > most {
        let message =
            format!("{open} are open now, far more than {expect}: ask again with that number");
        return Err(ApiError::conflict(message));
    }
    Ok(Answer::now(EndedJson {
        ended: app.ask(|handle| async move { handle.end(None).await }).await?,
    }))
}

pub(crate) fn serial(id: Result<Path<u64>, PathRejection>) -> Result<u64, ApiError> {
    id.map(|Path(id)| id).map_err(|_| ApiError::bad_request("the id is a number"))
}

fn gone(id: u64) -> ApiError {
    ApiError::not_found(format!("there is no session #{id}: it has ended, or never was"))
}

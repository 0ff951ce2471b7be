//! `/api/v1/accounts`: lists of accounts from the mirror, and one of them as the ledger has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use ddes_ledger::{Account, AccountId};
use ddes_server::watch::SessionState;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, ListPart, Params, SortOrder, search, shown_secs};
use crate::app::App;
use crate::error::ApiError;
use crate::mirror::{AccountKind, AccountRow};
use crate::names::{Names, account_id, fingerprint};
use crate::ranking::{AccountColumn, Ranking};

/// How long a request for one account waits until all accounts are known.
const LOOK_MAX: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountsQuery {
    q: Option<String>,
    #[serde(default)]
    sort: AccountColumn,
    #[serde(default)]
    order: SortOrder,
    limit: Option<usize>,
    offset: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct AccountsJson {
    complete: bool,
    total: usize,
    all: usize,
    accounts: Vec<AccountJson>,
}

/// An account, as the API shows it.
#[derive(Serialize)]
pub(crate) struct AccountJson {
    pub(crate) id: String,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) kind: &'static str,
    pub(crate) count: String,
    pub(crate) sum: String,
    pub(crate) mean: Option<f64>,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) first_seen: Option<String>,
    pub(crate) last_seen: Option<String>,
    pub(crate) open: bool,
}

/// `GET /api/v1/accounts`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Params(query): Params<AccountsQuery>,
) -> Result<Answer<AccountsJson>, ApiError> {
    let part = ListPart::parse(query.limit, query.offset)?;
    let ranking = Ranking { search: search(query.q)?, column: query.sort, order: query.order };
    let names = app.names.read(&app.aside).await?;
    let rows = app.mirror.rows().await;
    let places = app.ranked.places(&app.aside, ranking, &rows, &names).await?;
    let open = open_accounts(&app);
    let shown = part.of(&places).iter().filter_map(|place| {
        let (kind, row) = rows.get(*place as usize)?;
        Some(AccountJson::new(kind, row, &names, &open))
    });
    let accounts = AccountsJson {
        complete: rows.is_complete,
        total: places.len(),
        all: rows.len(),
        accounts: shown.collect(),
    };
    Ok(Answer::at(rows.time.unwrap_or_else(SystemTime::now), accounts))
}

/// The accounts with an open session.
pub(crate) fn open_accounts(app: &App) -> HashSet<AccountId> {
    let rows = app.watch.all_sessions().into_iter();
    rows.filter(|row| row.state == SessionState::Open).filter_map(|row| row.account).collect()
}

impl AccountJson {
    pub(crate) fn new(
        kind: AccountKind,
        row: &AccountRow,
        names: &Names,
        open: &HashSet<AccountId>,
    ) -> Self {
        let id = row.id(kind);
        let (min, max) = row.extremes(kind).unzip();
        let (first, last) = row.times().unzip();
        Self {
            id: account_id(&id),
            name: match kind {
                AccountKind::Identity => names.get(row.key()).cloned(),
                AccountKind::Classic => None,
            },
            kind: match kind {
                AccountKind::Identity => "identity",
                AccountKind::Classic => "classic",
            },
            count: row.count.to_string(),
            sum: row.sum.to_string(),
            mean: row.mean(),
            min: min.map(|min| min.to_string()),
            max: max.map(|max| max.to_string()),
            first_seen: first.map(shown_secs),
            last_seen: last.map(shown_secs),
            open: open.contains(&id),
        }
    }
}

/// `GET /api/v1/accounts/{id}`
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<AccountJson>, ApiError> {
    let Path(text) = id.map_err(|_| ApiError::bad_request("the id is not UTF-8"))?;
    let names = app.names.read(&app.aside).await?;
    let unknown = || ApiError::not_found(format!("the ledger has no account {text}"));
    let id = find(&app, &names, &text).await?.ok_or_else(unknown)?;
    let account: Account = app
        .ask(move |handle| async move { handle.account(id).await })
        .await?
        .ok_or_else(unknown)?;
    let (kind, row) = AccountRow::of(&id, &account);
    Ok(Answer::now(AccountJson::new(kind, &row, &names, &open_accounts(&app))))
}

/// The account with this name in the API. A fingerprint says nothing about its key, so that the key
/// is looked for: among the sessions and the lists, which are few, then among all accounts.
async fn find(app: &App, names: &Arc<Names>, text: &str) -> Result<Option<AccountId>, ApiError> {
    if let Some(number) = text.strip_prefix("classic-") {
        return Ok(number.parse().ok().map(AccountId::Classic));
    }
    if !text.starts_with("SHA256:") {
        return Ok(None);
    }
    let (sessions, names) = (app.watch.all_sessions(), Arc::clone(names));
    let wanted = text.to_owned();
    let near = app.aside.run(move || {
        let open = sessions.iter().filter_map(|row| match row.account {
            Some(AccountId::Identity(key)) => Some(key),
            Some(AccountId::Classic(_)) | None => None,
        });
        open.chain(names.keys().copied()).find(|key| fingerprint(key) == wanted)
    });
    if let Some(key) = near.await? {
        return Ok(Some(AccountId::Identity(key)));
    }
    let rows = app.mirror.rows_within(LOOK_MAX).await;
    let is_complete = rows.is_complete;
    match app.ranked.find(&app.aside, text, rows).await? {
        None if !is_complete => {
            Err(ApiError::unavailable("the accounts are still being read: try again"))
        }
        found => Ok(found),
    }
}

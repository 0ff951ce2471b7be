//! `GET /api/v1/accounts/export`: all accounts that match, as a file, streamed.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use ddes_ledger::AccountId;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::mpsc::{self, error::SendError};

use crate::answer::{Params, SortOrder, search};
use crate::api::accounts::{AccountJson, open_accounts};
use crate::app::App;
use crate::error::ApiError;
use crate::mirror::AccountRows;
use crate::names::Names;
use crate::ranking::{AccountColumn, Ranking, RowOrder};

/// Downloads at a time.
pub(crate) const EXPORTS_MAX: usize = 2;
/// How long a download waits until all accounts are known.
const COMPLETE_MAX: Duration = Duration::from_secs(30);
/// Bytes of one piece, and pieces that wait for the client.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES_MAX: usize = 4;

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExportFormat {
    #[default]
    Csv,
    Ndjson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    #[serde(default)]
    format: ExportFormat,
    q: Option<String>,
    #[serde(default)]
    sort: AccountColumn,
    #[serde(default)]
    order: SortOrder,
}

pub(crate) async fn export(
    State(app): State<Arc<App>>,
    Params(query): Params<ExportQuery>,
) -> Result<Response, ApiError> {
    let ranking = Ranking { search: search(query.q)?, column: query.sort, order: query.order };
    let place = Arc::clone(&app.exports).try_acquire_owned().map_err(|_| {
        ApiError::unavailable(format!("{EXPORTS_MAX} downloads are running: wait for one of them"))
    })?;
    let names = app.names.read(&app.aside).await?;
    let rows = app.mirror.rows_within(COMPLETE_MAX).await;
    if !rows.is_complete {
        return Err(ApiError::unavailable("the accounts are still being read: try again"));
    }
    let places = app.ranked.places(&app.aside, ranking, &rows, &names).await?;
    let table =
        AccountsTable { rows, places, names, open: open_accounts(&app), format: query.format };
    let (pieces, taken) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let written = table.write(&pieces);
        drop(place);
        // Of a client that has left nobody asks.
        written
    });
    let body = unfold(taken, async |mut taken| {
        let piece = taken.recv().await?;
        Some((Ok::<_, Infallible>(piece), taken))
    });
    let (kind, name) = match query.format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "accounts.csv"),
        ExportFormat::Ndjson => ("application/x-ndjson", "accounts.ndjson"),
    };
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// The accounts of one download.
struct AccountsTable {
    rows: AccountRows,
    places: RowOrder,
    names: Arc<Names>,
    open: HashSet<AccountId>,
    format: ExportFormat,
}

impl AccountsTable {
    /// Gives it piece by piece, until all is taken; an error, if the client leaves before that.
    fn write(&self, pieces: &mpsc::Sender<Bytes>) -> Result<(), SendError<Bytes>> {
        let mut text = match self.format {
            ExportFormat::Csv => format!("{}\r\n", HEAD.join(",")),
            ExportFormat::Ndjson => String::new(),
        };
        for place in self.places.iter() {
            let Some((kind, row)) = self.rows.get(*place as usize) else { continue };
            let shown = AccountJson::new(kind, row, &self.names, &self.open);
            match self.format {
                ExportFormat::Csv => push_csv(&mut text, &shown),
                ExportFormat::Ndjson => push_json(&mut text, &shown),
            }
            if text.len() >= PIECE_BYTES {
                pieces.blocking_send(std::mem::take(&mut text).into())?;
            }
        }
        pieces.blocking_send(text.into())
    }
}

const HEAD: [&str; 11] =
    ["id", "name", "kind", "count", "sum", "mean", "min", "max", "first_seen", "last_seen", "open"];

fn push_csv(text: &mut String, shown: &AccountJson) {
    let AccountJson { id, name, kind, count, sum, mean, min, max, first_seen, last_seen, open } =
        shown;
    let or_empty = |cell: &Option<String>| cell.as_deref().map_or_else(String::new, str::to_owned);
    let cells = [
        id.clone(),
        name.as_deref().map_or_else(String::new, cell),
        (*kind).to_owned(),
        count.clone(),
        sum.clone(),
        mean.map_or_else(String::new, |mean| mean.to_string()),
        or_empty(min),
        or_empty(max),
        or_empty(first_seen),
        or_empty(last_seen),
        open.to_string(),
    ];
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

fn push_json(text: &mut String, shown: &AccountJson) {
    // Strings and numbers always have a form in JSON.
    if let Ok(line) = serde_json::to_string(shown) {
        text.push_str(&line);
        text.push('\n');
    }
}

/// A name as a cell (RFC 4180). What a spreadsheet would run as a formula begins with an apostrophe
/// instead.
fn cell(name: &str) -> String {
    let is_formula = name.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let name = if is_formula { format!("'{name}") } else { name.to_owned() };
    match name.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_formula_or_breaks_its_cell() {
        for (name, expected) in [
            ("anna", "anna"),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("@x", "'@x"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("a,b", "\"a,b\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
        ] {
            assert_eq!(cell(name), expected, "{name}");
        }
    }
}

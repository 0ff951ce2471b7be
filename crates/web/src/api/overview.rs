//! `GET /api/v1/overview`: the server at a glance; and the totals over all accounts.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Extension, State};
use ddes_ledger::Totals;
use ddes_server::watch::{CauseCounts, ServerStats};
use serde::Serialize;

use crate::about::suite_name;
use crate::access::CanAct;
use crate::answer::{Answer, shown_time};
use crate::app::{App, lock};
use crate::error::ApiError;
use crate::health::{HealthLine, ServingState, is_refusal, occurrences};
use crate::history::{History, HistorySecond, MeanRates};
use crate::totals::CachedTotals;

#[derive(Serialize)]
pub(crate) struct OverviewJson {
    server: ServerJson,
    can_act: bool,
    health: HealthLine,
    sessions: SessionCountsJson,
    rates: MeanRates,
    commit: CommitJson,
    totals: Sums,
    refusals: Vec<Refusals>,
    history: Series,
}

#[derive(Serialize)]
struct ServerJson {
    version: &'static str,
    address: String,
    http: String,
    started: String,
    uptime_secs: u64,
    fingerprint: String,
    boot: String,
    state: ServingState,
    classic: bool,
    allow_any: bool,
    suites: Vec<&'static str>,
    idle_secs: u64,
}

#[derive(Serialize)]
struct SessionCountsJson {
    open: u64,
    unproven: usize,
    classic: u64,
    connections: usize,
    max: usize,
}

#[derive(Serialize)]
struct CommitJson {
    p50_micros: Option<f64>,
    p99_micros: Option<f64>,
    queued_values: usize,
}

#[derive(Serialize)]
struct Sums {
    /// Older than the rest if the ledger does not answer.
    as_of: String,
    accounts: String,
    count: String,
    sum: String,
}

/// How often something was refused or failed.
#[derive(Serialize)]
pub(crate) struct Refusals {
    reason: &'static str,
    count: u64,
    last_minute: u64,
}

#[derive(Serialize)]
struct Series {
    step_secs: u64,
    values_per_sec: Vec<f64>,
    sessions: Vec<u64>,
    commit_p50_micros: Vec<Option<f64>>,
    commit_p99_micros: Vec<Option<f64>>,
}

pub(crate) async fn overview(
    State(app): State<Arc<App>>,
    Extension(CanAct(can_act)): Extension<CanAct>,
) -> Result<Answer<OverviewJson>, ApiError> {
    let known = CachedTotals::last_known(&app).await;
    let (totals, totals_time) = known.ok_or_else(ApiError::no_answer)?;
    let stats = app.watch.stats();
    let (all, last_minute) = occurrences(&app, &stats);
    let history = lock(&app.history);
    let (p50_micros, p99_micros) = history.commit_micros();
    Ok(Answer::now(OverviewJson {
        server: server(&app, &stats),
        can_act,
        health: HealthLine::of(&app, &stats, &last_minute),
        sessions: SessionCountsJson {
            open: stats.counts.v2.open() + stats.counts.classic.open(),
            unproven: stats.gauges.unproven,
            classic: stats.counts.classic.open(),
            connections: stats.gauges.connections,
            max: app.about.limits.bounds().connections_max,
        },
        rates: history.rates(),
        commit: CommitJson { p50_micros, p99_micros, queued_values: stats.gauges.queued_values },
        totals: Sums {
            as_of: shown_time(totals_time),
            accounts: totals.accounts.to_string(),
            count: totals.count.to_string(),
            sum: totals.sum.to_string(),
        },
        refusals: refusals(&all, &last_minute),
        history: series(&history),
    }))
}

fn server(app: &App, stats: &ServerStats) -> ServerJson {
    let uptime = SystemTime::now().duration_since(app.started);
    ServerJson {
        version: app.about.version,
        address: app.about.address.to_string(),
        http: app.access.address.to_string(),
        started: shown_time(app.started),
        // A clock that was set back behind the start has no better answer.
        uptime_secs: uptime.map_or(stats.uptime(), |uptime| uptime).as_secs(),
        fingerprint: app.about.fingerprint.clone(),
        boot: app.boot.clone(),
        state: ServingState::of(app, stats),
        classic: app.about.is_classic,
        allow_any: app.about.allows_any,
        suites: app.about.suites.iter().map(|suite| suite_name(*suite)).collect(),
        idle_secs: app.about.limits.idle().as_secs(),
    }
}

fn refusals(all: &CauseCounts, last_minute: &CauseCounts) -> Vec<Refusals> {
    let happened = all.iter().filter(|(cause, count)| is_refusal(*cause) && *count > 0);
    let refusals = happened.map(|(cause, count)| Refusals {
        reason: cause.as_str(),
        count,
        last_minute: last_minute.get(cause),
    });
    refusals.collect()
}

fn series(history: &History) -> Series {
    let of = |value: fn(&HistorySecond) -> Option<f64>| history.steps().map(value).collect();
    Series {
        step_secs: 1,
        values_per_sec: history.steps().map(|step| step.values_per_sec).collect(),
        sessions: history.steps().map(|step| step.sessions).collect(),
        commit_p50_micros: of(|step| step.commit_p50_micros),
        commit_p99_micros: of(|step| step.commit_p99_micros),
    }
}

/// The totals, as `ddes ledger totals --json` has them.
#[derive(Serialize)]
pub(crate) struct AllTotals {
    accounts: String,
    count: String,
    sum: String,
    mean: Option<String>,
    min: Option<String>,
    max: Option<String>,
}

impl AllTotals {
    fn new(totals: &Totals) -> Self {
        let (min, max) = totals.extremes().unzip();
        Self {
            accounts: totals.accounts.to_string(),
            count: totals.count.to_string(),
            sum: totals.sum.to_string(),
            mean: totals.mean(),
            min: min.map(|min| min.to_string()),
            max: max.map(|max| max.to_string()),
        }
    }
}

/// `GET /api/v1/totals`
pub(crate) async fn totals(State(app): State<Arc<App>>) -> Result<Answer<AllTotals>, ApiError> {
    let (totals, time) = CachedTotals::get(&app).await?;
    Ok(Answer::at(time, AllTotals::new(&totals)))
}

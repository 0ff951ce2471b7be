//! Whether the server works: in one line for people, and as probes for programs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use ddes_ledger::Health as LedgerHealth;
use ddes_server::watch::{Cause, CauseCounts, ServerStats};
use serde::Serialize;

use crate::access::CanRead;
use crate::app::{App, lock};
use crate::verification::VerificationOutcome;

/// The loop publishes at least once a second. After so long without that it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Refused or failed connections in a minute that deserve a warning.
const REFUSALS_WARN: u64 = 60;

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServingState {
    Serving,
    Draining,
    LedgerFull,
    LedgerAway,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum HealthLevel {
    Ok,
    Warning,
    Critical,
}

/// One line on how the server is.
#[derive(Debug, Serialize)]
pub(crate) struct HealthLine {
    level: HealthLevel,
    text: String,
}

impl HealthLine {
    fn new(level: HealthLevel, text: impl Into<String>) -> Self {
        Self { level, text: text.into() }
    }

    /// The worst that there is to say.
    pub(crate) fn of(app: &App, stats: &ServerStats, last_minute: &CauseCounts) -> Self {
        if let LedgerHealth::Failed(why) = &stats.ledger.health {
            let text = format!(
                "The ledger failed: {why}. Nothing is counted any more; what was acknowledged is \
                 on the disk."
            );
            return Self::new(HealthLevel::Critical, text);
        }
        if is_stuck(stats) {
            let secs = stats.at.elapsed().as_secs();
            let text = format!("The server has not answered for {secs} s.");
            return Self::new(HealthLevel::Critical, text);
        }
        let standing = app.verification.standing();
        if standing.is_some_and(|finding| finding.outcome == VerificationOutcome::Damaged) {
            let text = "The last verification found damage in the ledger: what was acknowledged \
                        is not all on the disk. See the view of the ledger.";
            return Self::new(HealthLevel::Critical, text);
        }
        if stats.ledger.health == LedgerHealth::Full {
            let text = "The disk of the ledger is full: clients wait, and nothing is lost. Make \
                        room on it.";
            return Self::new(HealthLevel::Critical, text);
        }
        if let LedgerHealth::Away(why) = &stats.ledger.health {
            let text = format!(
                "The database of the ledger is away: {why}. Clients wait, and nothing is lost."
            );
            return Self::new(HealthLevel::Critical, text);
        }
        if app.is_draining() || stats.is_stopping {
            return Self::new(
                HealthLevel::Warning,
                "The server is stopping: sessions receive their sum.",
            );
        }
        warning(app, stats, last_minute).unwrap_or_else(|| fine(app, stats))
    }
}

fn warning(app: &App, stats: &ServerStats, last_minute: &CauseCounts) -> Option<HealthLine> {
    let warn = |text: String| Some(HealthLine::new(HealthLevel::Warning, text));
    let (open, most) = (stats.gauges.connections, app.about.limits.bounds().connections_max);
    if open.saturating_mul(10) >= most.saturating_mul(9) {
        return warn(format!("{open} of {most} connections are in use (--max-connections)."));
    }
    let failures = stats.ledger.checkpoint_failures;
    if failures > 0 {
        return warn(format!(
            "{failures} checkpoints of the ledger failed: opening it will take longer. Look at \
             its disk."
        ));
    }
    let worst = last_minute.iter().filter(|(cause, _)| is_refusal(*cause));
    let (cause, count) = worst.max_by_key(|(_, count)| *count)?;
    if count < REFUSALS_WARN {
        return None;
    }
    warn(format!("{count} times in the last minute: {}", meaning(cause)))
}

fn fine(app: &App, stats: &ServerStats) -> HealthLine {
    let open = stats.counts.v2.open() + stats.counts.classic.open();
    let sessions = match open {
        0 => "no session is open".to_owned(),
        1 => "1 session is open".to_owned(),
        open => format!("{open} sessions are open"),
    };
    let ledger = if app.about.ledger.is_some() {
        "every acknowledged integer is on the disk"
    } else if app.about.database.is_some() {
        "every acknowledged integer is in the database"
    } else {
        "the ledger is in memory, and ends with the server"
    };
    HealthLine::new(HealthLevel::Ok, format!("Serving: {sessions}; {ledger}."))
}

pub(crate) fn is_stuck(stats: &ServerStats) -> bool {
    Instant::now().saturating_duration_since(stats.at) > STUCK_AFTER
}

impl ServingState {
    pub(crate) fn of(app: &App, stats: &ServerStats) -> Self {
        match stats.ledger.health {
            LedgerHealth::Failed(_) => Self::Failed,
            LedgerHealth::Good | LedgerHealth::Full | LedgerHealth::Away(_)
                if app.is_draining() || stats.is_stopping =>
            {
                Self::Draining
            }
            LedgerHealth::Full => Self::LedgerFull,
            LedgerHealth::Away(_) => Self::LedgerAway,
            LedgerHealth::Good => Self::Serving,
        }
    }
}

/// Why clients cannot be served now; empty if they can.
pub(crate) fn unready(app: &App, stats: &ServerStats) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if app.is_draining() || stats.is_stopping {
        reasons.push("draining");
    }
    match stats.ledger.health {
        LedgerHealth::Good => {}
        LedgerHealth::Full => reasons.push("ledger_full"),
        LedgerHealth::Away(_) => reasons.push("ledger_away"),
        LedgerHealth::Failed(_) => reasons.push("ledger_failed"),
    }
    if is_stuck(stats) {
        reasons.push("stuck");
    }
    reasons
}

/// Whether a cause is a refusal or a failure. A client that says goodbye is neither.
pub(crate) fn is_refusal(cause: Cause) -> bool {
    cause != Cause::Bye
}

/// What a cause means, in words.
pub(crate) fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::FullConnections => "all connections were in use (--max-connections).",
        Cause::FullUnproven => {
            "too many connections had proven no identity (--max-unproven-total)."
        }
        Cause::FullAddress => {
            "too many unproven connections came from one address (--max-unproven)."
        }
        Cause::TooFastConnects => "one address connected too often (--max-connects-per-sec).",
        Cause::TooFastHandshakes => {
            "one address began too many handshakes (--max-handshakes-per-sec)."
        }
        Cause::NotAuthorized => "an identity is not in the list of authorized keys.",
        Cause::BadHmac => "a record or a classic frame was changed on its way, or forged.",
        Cause::BadToken => "an integer came with the token of another session.",
        Cause::BadSignature => "a client did not prove the identity that it claimed.",
        Cause::BadHandshake => "a message of the handshake was malformed.",
        Cause::BadOrder => "a message came out of order.",
        Cause::TooLong => "a frame was longer than allowed.",
        Cause::Truncated => "a connection was cut inside a message, or without a goodbye.",
        Cause::TimeoutHandshake => "a handshake was not finished in time.",
        Cause::Idle => "a session was idle for too long (--idle-secs).",
        Cause::Superseded => "an identity opened a newer session.",
        Cause::Left => "a client left before it proved an identity.",
        Cause::LedgerUnavailable => "the ledger could not be written.",
        Cause::Operator => "an operator ended the session.",
        Cause::Shutdown => "the server stopped.",
        Cause::Bye => "the client said goodbye.",
        Cause::TooOld => "a session reached its maximum age.",
        Cause::Stalled => "a client did not read what it was sent.",
        Cause::Other => "another cause.",
    }
}

/// `GET /livez`
pub(crate) async fn live() -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], "ok\n").into_response()
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<&'static str>,
}

/// `GET /readyz`; the reasons are for those who may read the rest too.
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    Extension(can_read): Extension<CanRead>,
) -> Response {
    let mut reasons = unready(&app, &app.watch.stats());
    let ready = reasons.is_empty();
    if !can_read.0 {
        reasons.clear();
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// What happened by cause since the start, and in the last minute.
pub(crate) fn occurrences(app: &App, stats: &ServerStats) -> (CauseCounts, CauseCounts) {
    let all = stats.occurrences();
    let last_minute = lock(&app.history).last_minute(&all);
    (all, last_minute)
}

//! `/api/v1/ledger`: the ledger, verifying it, and checking a receipt against it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ddes_ledger::audit::VerifyError;
use ddes_ledger::keeper::KeeperCounts;
use ddes_ledger::{Health, Statement, Subject};
use ddes_wire::shown::hex;
use serde::{Deserialize, Serialize};

use crate::answer::{ActionBody, Answer, shown_time};
use crate::api::sessions::serial;
use crate::app::{App, lock};
use crate::error::ApiError;
use crate::names::account_id;
use crate::operations::ReceiptFault;
use crate::verification::{
    VerificationFinding, VerificationJob, VerificationOutcome, find, verify,
};

#[derive(Serialize)]
pub(crate) struct LedgerJson {
    kind: &'static str,
    path: Option<String>,
    size_bytes: Option<u64>,
    segments: Option<u64>,
    head: Option<HeadJson>,
    checkpoint: Option<u64>,
    health: &'static str,
    free_bytes: Option<u64>,
    database: Option<DatabaseJson>,
    last_verification: Option<VerificationFinding>,
    job: Option<RunningJson>,
}

#[derive(Serialize)]
struct HeadJson {
    batch: u64,
    chain: String,
}

#[derive(Serialize)]
struct DatabaseJson {
    connections: u64,
    transactions: u64,
    round_trips: u64,
    conflicts: u64,
    unknown_outcomes: u64,
    standby: bool,
}

impl From<KeeperCounts> for DatabaseJson {
    fn from(counts: KeeperCounts) -> Self {
        let KeeperCounts {
            connections,
            transactions,
            round_trips,
            conflicts,
            unknown,
            has_standby: standby,
        } = counts;
        Self {
            connections,
            transactions,
            round_trips,
            conflicts,
            unknown_outcomes: unknown,
            standby,
        }
    }
}

#[derive(Serialize)]
struct RunningJson {
    id: u64,
    state: &'static str,
    started: String,
    done_batches: u64,
    all_batches: u64,
}

/// `GET /api/v1/ledger`
pub(crate) async fn ledger(State(app): State<Arc<App>>) -> Result<Answer<LedgerJson>, ApiError> {
    let view = app.ask(|handle| async move { handle.ledger().await }).await?;
    let view = view.ok_or_else(ApiError::no_answer)?;
    let files = *lock(&app.ledger_files);
    let (folder, database) = (app.about.ledger.as_ref(), app.about.database.as_ref());
    let batches = view.head.map_or(0, |(batch, _)| batch);
    Ok(Answer::now(LedgerJson {
        kind: match (folder, database) {
            (Some(_), _) => "folder",
            (None, Some(_)) => "postgres",
            (None, None) => "memory",
        },
        path: folder.map(|path| path.display().to_string()).or_else(|| database.cloned()),
        size_bytes: files.map(|files| files.bytes),
        segments: files.map(|files| files.segments),
        head: view.head.map(|(batch, chain)| HeadJson { batch, chain: hex(&chain.0) }),
        checkpoint: view.checkpoint,
        health: match view.health {
            Health::Good => "good",
            Health::Full => "full",
            Health::Away(_) => "away",
            Health::Failed(_) => "failed",
        },
        free_bytes: files.map(|files| files.free_bytes),
        database: app.watch.stats().ledger.database.map(DatabaseJson::from),
        last_verification: app.verification.last(),
        job: app.verification.running().map(|job| RunningJson::new(&job, batches)),
    }))
}

impl RunningJson {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of the batches, for people"
    )]
    fn new(job: &VerificationJob, all_batches: u64) -> Self {
        let done_batches = (job.progress() * all_batches as f64) as u64;
        let started = shown_time(job.started);
        Self { id: job.id, state: "running", started, done_batches, all_batches }
    }
}

fn folder(app: &App) -> Result<PathBuf, ApiError> {
    app.about.ledger.clone().ok_or_else(|| {
        ApiError::bad_request(match &app.about.database {
            Some(_) => {
                "the ledger is in a database: `ddes ledger verify --ledger URL` verifies it, from \
                 a standby too"
            }
            None => "the ledger is in memory: there are no files to verify",
        })
    })
}

fn begin(app: &App) -> Result<Arc<VerificationJob>, ApiError> {
    app.verification.begin().ok_or_else(|| {
        ApiError::conflict("the ledger is being verified already: wait until that has ended")
    })
}

#[derive(Serialize)]
pub(crate) struct Started {
    job: u64,
}

/// `POST /api/v1/ledger/verify`
pub(crate) async fn start(
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, Answer<Started>), ApiError> {
    let (folder, job) = (folder(&app)?, begin(&app)?);
    let id = job.id;
    tokio::spawn(async move {
        let began = std::time::Instant::now();
        let work = Arc::clone(&job);
        let found = app.aside.run(move || find(&folder, &work)).await.unwrap_or_else(|_| {
            VerificationFinding::new(
                VerificationOutcome::Failed,
                "The verification panicked: see the log.".into(),
                began,
            )
        });
        let (shared, finding) = (Arc::clone(&app), found.clone());
        let kept = app.aside.run(move || shared.verification.keep(&finding)).await;
        let kept = kept.unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
        app.operations.verified(&found, kept);
        app.verification.end(&job, Some(found));
    });
    Ok((StatusCode::ACCEPTED, Answer::now(Started { job: id })))
}

#[derive(Serialize)]
pub(crate) struct JobAnswer {
    id: u64,
    state: &'static str,
    progress: f64,
    result: Option<VerificationFinding>,
}

/// `GET /api/v1/jobs/{id}`
pub(crate) async fn job(
    State(app): State<Arc<App>>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Answer<JobAnswer>, ApiError> {
    let id = serial(id)?;
    if let Some(job) = app.verification.running().filter(|job| job.id == id) {
        let progress = job.progress();
        return Ok(Answer::now(JobAnswer { id, state: "running", progress, result: None }));
    }
    let result = app.verification.result(id);
    let result = result.ok_or_else(|| ApiError::not_found(format!("there is no job {id}")))?;
    Ok(Answer::now(JobAnswer { id, state: "done", progress: 1.0, result: Some(result) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptText {
    receipt: String,
}

#[derive(Serialize)]
pub(crate) struct Checked {
    outcome: &'static str,
    text: String,
}

/// `POST /api/v1/ledger/receipt`: whether the server's key signed it, and whether the ledger holds
/// what it states. The second question reads the whole ledger.
pub(crate) async fn receipt(
    State(app): State<Arc<App>>,
    ActionBody(ReceiptText { receipt }): ActionBody<ReceiptText>,
) -> Result<Answer<Checked>, ApiError> {
    let folder = folder(&app)?;
    let operations = Arc::clone(&app.operations);
    let statement = match app.aside.run(move || operations.read_receipt(&receipt)).await? {
        Ok(statement) => statement,
        Err(ReceiptFault::Unreadable(text)) => {
            return Ok(Answer::now(Checked { outcome: "unreadable", text }));
        }
        Err(ReceiptFault::NotSigned(text)) => {
            return Ok(Answer::now(Checked { outcome: "does_not_hold", text }));
        }
    };
    let job = begin(&app)?;
    // On a task of its own: the place of the job is given back also if the client leaves.
    let checked = tokio::spawn(async move {
        let work = Arc::clone(&job);
        let checked = app.aside.run(move || check(&folder, &statement, &work)).await;
        app.verification.end(&job, None);
        checked
    });
    let failed = |_| ApiError::internal("a task of the HTTP server panicked: see its log");
    checked.await.map_err(failed)??.map(Answer::now)
}

fn check(
    folder: &std::path::Path,
    statement: &Statement,
    job: &VerificationJob,
) -> Result<Checked, ApiError> {
    match verify(folder, std::slice::from_ref(statement), job) {
        Ok(_) => Ok(Checked { outcome: "holds", text: summary(statement) }),
        Err(VerifyError::Receipt { why, .. }) => {
            let text =
                format!("The server's key signed it, and the ledger holds something else: {why}");
            Ok(Checked { outcome: "does_not_hold", text })
        }
        Err(VerifyError::Store(error)) => {
            Err(ApiError::internal(format!("the ledger could not be read: {error}")))
        }
    }
}

fn summary(statement: &Statement) -> String {
    let whose = match &statement.subject {
        Subject::Account(id) | Subject::Shared(id) => account_id(id),
        Subject::Checkpoint { accounts, .. } => format!("{accounts} accounts"),
    };
    let Statement { count, sum, batch, time, .. } = statement;
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_micros(time.0);
    format!(
        "The ledger holds it: {whose}, {count} integers, sum {sum}, with batch {batch} of {}",
        shown_time(at)
    )
}

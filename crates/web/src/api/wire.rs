//! `/api/v1/wire`: the frames of a few connections, and what each is for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use ddes_server::watch::{Direction, Profile, TracedConnection, TracedFrame};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Params, shown_time};
use crate::api::sessions::serial;
use crate::app::{App, Clock};
use crate::error::ApiError;

#[derive(Serialize)]
pub(crate) struct Traces {
    traces: Vec<Traced>,
}

#[derive(Serialize)]
struct Traced {
    id: u64,
    peer: String,
    name: Option<Arc<str>>,
    profile: &'static str,
    opened: String,
    ended: Option<String>,
    frames: u64,
    pinned: bool,
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer<Traces> {
    let clock = Clock::now();
    let traced = |trace: TracedConnection| Traced {
        id: trace.serial,
        peer: trace.peer.to_string(),
        name: trace.name,
        profile: trace.profile.as_str(),
        opened: shown_time(clock.time(trace.opened)),
        ended: trace.ended.map(|at| shown_time(clock.time(at))),
        frames: trace.frames,
        pinned: trace.is_pinned,
    };
    Answer::now(Traces { traces: app.watch.traces().into_iter().map(traced).collect() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireQuery {
    /// Without it all that are kept.
    #[serde(default)]
    after: u64,
}

#[derive(Serialize)]
pub(crate) struct WireJson {
    id: u64,
    peer: String,
    profile: &'static str,
    from_start: bool,
    ended: Option<String>,
    dropped: u64,
    frames: Vec<FrameJson>,
}

#[derive(Serialize)]
struct FrameJson {
    seq: u64,
    at: String,
    micros_since_open: u64,
    direction: &'static str,
    opcode: u32,
    name: String,
    bytes: u32,
    encrypted: bool,
    note: &'static str,
    seen: &'static str,
}

/// `GET /api/v1/wire/{id}`
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<u64>, PathRejection>,
    Params(query): Params<WireQuery>,
) -> Result<Answer<WireJson>, ApiError> {
    let id = serial(id)?;
    let trace = app.watch.trace(id, query.after).ok_or_else(|| untraced(id))?;
    let (clock, of) = (Clock::now(), &trace.connection);
    let frame = |frame: &TracedFrame| {
        let FrameTold { name, note, seen } = FrameTold::of(of, frame);
        let at = of.opened.checked_add(Duration::from_micros(frame.micros));
        FrameJson {
            seq: frame.seq,
            at: shown_time(clock.time(at.unwrap_or(of.opened))),
            micros_since_open: frame.micros,
            direction: match frame.direction {
                Direction::In => "in",
                Direction::Out => "out",
            },
            opcode: frame.opcode,
            name,
            bytes: frame.bytes,
            encrypted: frame.is_encrypted,
            note,
            seen,
        }
    };
    Ok(Answer::now(WireJson {
        id,
        peer: of.peer.to_string(),
        profile: of.profile.as_str(),
        from_start: of.is_from_start,
        ended: of.ended.map(|at| shown_time(clock.time(at))),
        dropped: trace.dropped,
        frames: trace.frames.iter().map(frame).collect(),
    }))
}

#[derive(Serialize)]
pub(crate) struct Pinned {
    id: u64,
    pinned: bool,
}

/// `POST /api/v1/wire/{id}/pin`
pub(crate) async fn pin(
    State(app): State<Arc<App>>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Answer<Pinned>, ApiError> {
    set_pinned(&app, serial(id)?, true).await
}

/// `DELETE /api/v1/wire/{id}/pin`
pub(crate) async fn unpin(
    State(app): State<Arc<App>>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Answer<Pinned>, ApiError> {
    set_pinned(&app, serial(id)?, false).await
}

async fn set_pinned(app: &App, id: u64, pinned: bool) -> Result<Answer<Pinned>, ApiError> {
    if !app.ask(move |handle| async move { handle.pin_trace(id, pinned).await }).await? {
        return Err(untraced(id));
    }
    Ok(Answer::now(Pinned { id, pinned }))
}

fn untraced(id: u64) -> ApiError {
    ApiError::not_found(format!(
        "the frames of #{id} are not recorded: only those of the newest connections are, and of \
         those that were pinned"
    ))
}

/// What there is to tell of a frame.
struct FrameTold {
    name: String,
    note: &'static str,
    /// What an eavesdropper sees of it.
    seen: &'static str,
}

impl FrameTold {
    fn of(connection: &TracedConnection, frame: &TracedFrame) -> Self {
        let is_in = frame.direction == Direction::In;
        let (note, seen) = match (connection.profile, frame.opcode) {
            (Profile::Classic, 10) => classic_key(is_in),
            (Profile::Classic, opcode) => classic(opcode, is_in),
            (Profile::V2 | Profile::Undecided, 10) => key(connection, frame),
            (Profile::V2 | Profile::Undecided, opcode) => v2(opcode, is_in, frame.is_encrypted),
        };
        let keys = if connection.profile == Profile::Classic { 2 } else { 4 };
        let name = match frame.opcode {
            10 if connection.is_from_start && frame.seq <= keys => {
                format!("key {} of {keys}", frame.seq)
            }
            10 => "key".to_owned(),
            20 => "token".to_owned(),
            30 => "data".to_owned(),
            40 => "result".to_owned(),
            50 => "end".to_owned(),
            opcode => format!("unknown opcode {opcode}"),
        };
        Self { name, note, seen }
    }
}

/// A 10 of D-DDES/2. Which of the four it is shows in its number, or in its direction and whether
/// it is encrypted.
fn key(connection: &TracedConnection, frame: &TracedFrame) -> (&'static str, &'static str) {
    let number = if connection.is_from_start { frame.seq } else { 0 };
    match (number, frame.direction, frame.is_encrypted) {
        (1, ..) | (_, Direction::In, false) => (
            "The client names version and suite, and sends its fresh public keys.",
            "Version, suite and public keys: from them alone no key can be computed.",
        ),
        (2, ..) | (_, Direction::Out, false) => (
            "The server sends its fresh public keys; both sides compute the same keys now.",
            "Public keys, and with a hybrid suite a sealed ciphertext of ML-KEM.",
        ),
        (_, Direction::Out, true) => (
            "The server shows its identity, and signs the whole exchange.",
            "The length only: who the server is stays hidden.",
        ),
        (_, Direction::In, true) => (
            "The client shows its identity, and signs the whole exchange.",
            "The length only: who the client is stays hidden.",
        ),
    }
}

fn v2(opcode: u32, is_in: bool, is_encrypted: bool) -> (&'static str, &'static str) {
    const LENGTH: &str = "Opcode and length; the content is encrypted, and cannot be changed.";
    match (opcode, is_in) {
        (20, _) => {
            ("The server gives the session its token, and says where the account stands.", LENGTH)
        }
        (30, _) => (
            "Integers to count, numbered so that none counts twice.",
            "Opcode and length: from the length follows how many integers there are, not which.",
        ),
        (40, _) => (
            "The server answers once the integers are durable: the account's count and sum.",
            LENGTH,
        ),
        (50, true) => ("The client says goodbye.", LENGTH),
        (50, false) if !is_encrypted => (
            "The server refuses the connection, before there are keys.",
            "All of it: the reason stands in the clear.",
        ),
        (50, false) => ("The server ends the session, with the reason and the last sum.", LENGTH),
        (_, _) => (UNKNOWN, "Opcode and length."),
    }
}

fn classic_key(is_in: bool) -> (&'static str, &'static str) {
    let note = if is_in {
        "The client sends its Diffie-Hellman public key."
    } else {
        "The server sends its Diffie-Hellman public key: nobody proves who they are."
    };
    (note, "The whole key. Somebody in between could replace it without being noticed.")
}

fn classic(opcode: u32, is_in: bool) -> (&'static str, &'static str) {
    const DOUBLE_DES: &str = "The length, and which blocks are equal; Double DES falls to about \
                              2^57 work.";
    match (opcode, is_in) {
        (20, _) => ("The server gives the session its token, under the first key.", DOUBLE_DES),
        (30, true) => (
            "An integer and the client's id, the token, and a MAC over all of it.",
            "The token in the clear, and the ciphertext: sent again within the session it counts \
             again.",
        ),
        (30, false) => ("The server says what became of the integer.", "All of it, in the clear."),
        (40, _) => ("The sum so far, with a MAC.", DOUBLE_DES),
        (50, true) => ("The client asks for the end.", "All of it: it is empty."),
        (50, false) => ("The server ends the session, and says why.", "All of it, in the clear."),
        (_, _) => (UNKNOWN, "All of it."),
    }
}

const UNKNOWN: &str = "An opcode that the protocol does not have.";

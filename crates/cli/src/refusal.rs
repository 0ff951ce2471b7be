//! What a D-DDES/2 server, or the way to it, refuses: what happened, the likely cause, the next
//! command.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ddes_client::ConnectError;
use ddes_client::FailureClass;
use ddes_client::SignError;
use ddes_client::courier::{CourierError, Lost};
use ddes_client::delivery::DeliveryError;
use ddes_client::outbox::{JournalError, Objection, TakeError};
use ddes_client::v2::EnterError;
use ddes_identity::agent::AgentError;
use ddes_session::v2::{ClientEnd, ClientFault};
use ddes_wire::v2::{Farewell, Reason, Rejection};

use crate::failure::{Code, Failure};
use crate::meet::Meeting;
use crate::screen::Line;

#[cfg(test)]
mod tests;

/// Why a courier stopped.
pub(crate) fn of(error: CourierError, meeting: &Meeting) -> Failure {
    match error {
        CourierError::Lost(lost) => of_lost(&lost, meeting),
        CourierError::Delivery(DeliveryError::Objection(objection)) => of_objection(objection),
        CourierError::Delivery(DeliveryError::Journal(error)) => of_journal(&error),
        CourierError::Delivery(DeliveryError::Unavailable { .. }) => {
            Failure::new(Code::Timeout, error.to_string())
                .cause("its disk is full, say; what was sent since is not counted")
                .next("ask the server's operator, or wait longer: --retry-secs SECS")
        }
        CourierError::Delivery(DeliveryError::Malformed { .. }) => {
            Failure::new(Code::Integrity, error.to_string()).cause(
                "the account's numbering is at its end, or the two sides differ in what they take",
            )
        }
    }
}

pub(crate) fn of_lost(lost: &Lost, meeting: &Meeting) -> Failure {
    match lost {
        Lost::Enter(EnterError::Connect(error)) => {
            of_connect(error, "ddes serve     (in another terminal)")
        }
        Lost::Enter(EnterError::Sign(error)) => of_sign(error),
        // Settled where a person can be asked.
        Lost::Enter(error @ EnterError::Untrusted { .. }) => {
            Failure::new(Code::Identity, error.to_string())
        }
        Lost::Enter(EnterError::Ended(end)) | Lost::Ended(end) => of_end(end, meeting),
    }
}

fn of_sign(error: &SignError) -> Failure {
    let failure = Failure::new(Code::Identity, error.to_string());
    match error {
        SignError::Agent(AgentError::Refused) => failure
            .cause("the ssh-agent does not hold this key, or a person denied its use")
            .next("ssh-add -l     (what it holds)"),
        SignError::Socket(_) => failure
            .cause(
                "SSH_AUTH_SOCK leads to no running ssh-agent: it has ended, or the variable is \
                    from another session",
            )
            .next("eval $(ssh-agent); ssh-add KEY     or --key with the private file"),
        SignError::Agent(AgentError::Malformed | AgentError::Signature) => {
            failure.cause("SSH_AUTH_SOCK does not lead to an ssh-agent, or the agent is faulty")
        }
        SignError::TimedOut => failure
            .cause("it waits for a person to allow the use of the key, or it hangs")
            .next("answer its question, then run the same command again"),
    }
}

/// A session that ended before the user wanted it to.
pub(crate) fn of_end(end: &ClientEnd, meeting: &Meeting) -> Failure {
    match end {
        ClientEnd::Farewell(farewell) => of_farewell(farewell, meeting),
        ClientEnd::Rejected(rejection) => of_rejection(rejection),
        ClientEnd::Fault(fault) => of_fault(fault),
    }
}

fn of_farewell(farewell: &Farewell, meeting: &Meeting) -> Failure {
    let code = FailureClass::of_reason(farewell.reason).into();
    let failure = Failure::new(code, format!("the server ended the session: {}", farewell.text));
    match farewell.reason {
        Reason::NotAuthorized => Failure::new(
            code,
            format!(
                "{} does not let this identity in: {}",
                meeting.server,
                meeting.identity.fingerprint()
            ),
        )
        .cause("its key is not in the server's list, has expired, or lacks the role")
        .next(&meeting.admission),
        Reason::Superseded => failure
            .cause("another process uses the same identity; the newest session is the only one")
            .next("--as NAME     (an identity, and a sum, of its own)"),
        Reason::Idle => failure.next(
            "connect again; the server's --idle-secs sets \
            the time",
        ),
        Reason::Token | Reason::Authentication => failure
            .cause("a message was changed on its way, or one of the two programs is at fault"),
        Reason::Protocol | Reason::Unsupported => {
            failure.cause("the two programs are of different versions")
        }
        Reason::TooMany => failure
            .cause(
                "it has as many sessions as it takes, or its ledger has no room: its disk is \
                    full, say",
            )
            .next("connect again later"),
        Reason::Bye | Reason::ShuttingDown | Reason::Operator | Reason::TooOld => {
            failure.next("connect again later")
        }
    }
}

/// `50 all`.
pub(crate) fn not_operator(meeting: &Meeting) -> Failure {
    Failure::new(Code::Identity, "this identity may not end every session; only its own has ended")
        .cause("the server does not list it as an operator")
        .next(format!(
            "on the server: ddes authorize '{}' --role operator",
            meeting.identity.to_openssh()
        ))
}

/// Nobody vouches for this reason, and the user is told so.
pub(crate) fn of_rejection(rejection: &Rejection) -> Failure {
    let what = format!("the connection was refused; unauthenticated reason: {}", rejection.text);
    let failure = Failure::new(Code::Connect, what);
    match rejection.reason {
        Reason::Unsupported => failure
            .cause("the server does not take this suite; it decides which it takes")
            .next("--suite with one it takes, or on the server: ddes serve --suite hybrid,ddes"),
        Reason::TooMany => failure.next("connect again later"),
        Reason::Bye
        | Reason::Idle
        | Reason::ShuttingDown
        | Reason::Superseded
        | Reason::NotAuthorized
        | Reason::Token
        | Reason::Authentication
        | Reason::Protocol
        | Reason::Operator
        | Reason::TooOld => failure.next("connect again"),
    }
}

pub(crate) fn of_fault(fault: &ClientFault) -> Failure {
    let failure = Failure::new(FailureClass::of_fault(fault).into(), fault.to_string());
    match fault {
        ClientFault::Truncated => failure
            .cause("the server stopped, or somebody cut the connection")
            .next("connect again"),
        ClientFault::Opcode { .. } | ClientFault::Length { .. } | ClientFault::TooLong(_) => {
            failure
                .cause(
                    "what answers does not speak D-DDES/2: another kind of server, or one of the \
                     original's",
                )
                .next("check --server HOST:PORT; --classic for the original's wire (not secure)")
        }
        ClientFault::Handshake(_) | ClientFault::Record(_) | ClientFault::Malformed { .. } => {
            failure
                .cause("a message was changed on its way, or one of the two programs is at fault")
        }
        ClientFault::Proof => failure.cause(
            "the peer does not hold the server's key. Nothing was \
                sent",
        ),
        ClientFault::HandshakeTimeout | ClientFault::ReplyTimeout | ClientFault::TakesNothing => {
            failure
                .cause("the server is busy or gone, or what answers waits for something else")
                .next("--timeout SECS to wait longer; check --server HOST:PORT")
        }
        ClientFault::Limit(_) => failure,
    }
}

/// `serve` is the command that starts a server of the kind that was wanted.
pub(crate) fn of_connect(error: &ConnectError, serve: &str) -> Failure {
    let failure = Failure::new(FailureClass::of_connect(error).into(), error.to_string());
    match error {
        ConnectError::Resolve { .. } => failure
            .cause("the name does not resolve, or HOST:PORT is misspelt")
            .next("--server HOST:PORT, for example --server 127.0.0.1:5566"),
        ConnectError::Refused { .. } => {
            failure.cause("no server runs there, or it listens on another port").next(serve)
        }
        ConnectError::TimedOut { .. } => failure
            .cause("the host is down, or a firewall drops the packets")
            .next("--timeout SECS to wait longer"),
        ConnectError::Failed { .. } => failure.next("check --server HOST:PORT and the network"),
        ConnectError::Randomness(_) => failure,
    }
}

/// The ledger is not the one that the outbox knows: nothing more was sent, and nothing is dropped.
pub(crate) fn of_objection(objection: Objection) -> Failure {
    let when = match objection {
        // At a 20: before anything was sent in that session.
        Objection::History { .. }
        | Objection::AnotherWriter { .. }
        | Objection::SessionWentBack { .. } => "Nothing was sent",
        Objection::WentBack { .. } | Objection::Beyond { .. } | Objection::Sum { .. } => {
            "Nothing more was sent, and the outbox keeps what it holds"
        }
    };
    let failure = Failure::new(Code::Integrity, format!("{objection}. {when}"));
    match objection {
        Objection::History { .. } => failure
            .cause(
                "the outbox that sent those is elsewhere, or lost; what it still held would be \
                    lost too",
            )
            .next("use that outbox, or --adopt to continue from there with this one"),
        Objection::WentBack { .. } | Objection::SessionWentBack { .. } => failure
            .cause(
                "the server's ledger was set back to an older copy, or lost: values that were \
                    counted are missing",
            )
            .next(
                "ask the server's operator; to continue from the ledger's total: another \
                   --outbox with --adopt",
            ),
        Objection::Beyond { .. } | Objection::Sum { .. } => failure
            .cause(
                "this outbox was put back from a copy, and other integers were counted under \
                    its numbers; or another sends as this identity, or the server has another \
                    ledger",
            )
            .next(
                "find out which integers were counted (ddes ledger export, on the server), then \
                   send the others with another --outbox and --adopt",
            ),
        Objection::AnotherWriter { .. } => failure
            .cause(
                "another process or machine sends as this identity, or this outbox is an older \
                    copy",
            )
            .next(
                "find out which of its integers were counted (ddes ledger export, on the \
                   server), then send the others with another --outbox and --adopt; later --as \
                   NAME for each sender",
            ),
    }
}

/// As [`of_objection`], where no value of the outbox is in doubt: what was counted without it does
/// no harm.
pub(crate) fn with_adopt(failure: Failure) -> Failure {
    failure.next(
        "the same command with --adopt continues from there; none of the outbox's integers \
               is in doubt",
    )
}

pub(crate) fn of_journal(error: &JournalError) -> Failure {
    let failure = Failure::new(FailureClass::of_journal(error).into(), error.to_string());
    match error {
        JournalError::Locked(_) => {
            failure.next("wait for it, or give each sender its own --outbox and --as")
        }
        JournalError::Foreign { .. } => {
            failure.next("another --outbox DIR for this identity and server")
        }
        JournalError::Damaged { .. } => {
            failure.cause("the disk, or another program, changed it. It was left as it is").next(
                "restore it from a copy, or start another outbox with --adopt: what it held is \
                   lost",
            )
        }
        JournalError::Full(_) => failure
            .cause("the disk is full, or a quota or `ulimit -f` is reached. What it holds is kept")
            .next("free some room; ddes send --outbox DIR without integers delivers what it holds"),
        JournalError::Moved(_) => failure
            .cause(
                "nothing was written to what replaced it; its integers are where it was moved \
                    to",
            )
            .next("move it back, or name its new place"),
        JournalError::Io { error, .. } => of_outbox_io(failure, error),
        JournalError::Poisoned(_) => failure.cause("the disk fails"),
    }
}

/// What the system refuses of a folder is rarely the disk's fault.
fn of_outbox_io(failure: Failure, error: &io::Error) -> Failure {
    let kind = error.kind();
    if matches!(kind, ErrorKind::NotADirectory | ErrorKind::AlreadyExists) {
        failure
            .cause("a file has this name, and an outbox is a folder")
            .next("--outbox DIR, a folder; it is made where there is none")
    } else if kind == ErrorKind::PermissionDenied {
        failure
            .cause("this user may not write there")
            .next("--outbox DIR, a folder of your own; or run this as its owner")
    } else if kind == ErrorKind::ReadOnlyFilesystem {
        failure
            .cause("what is mounted there may only be read")
            .next("--outbox DIR, a folder on a disk that can be written")
    } else if matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        failure
            .cause("the disk is full, or a quota is reached")
            .next("free some room, and the same command again")
    } else {
        failure.cause("the disk fails")
    }
}

pub(crate) fn of_take(error: &TakeError) -> Failure {
    match error {
        TakeError::Journal(error) => of_journal(error),
        TakeError::Full | TakeError::TooMany | TakeError::Overflow => {
            Failure::new(Code::No, error.to_string())
        }
    }
}

/// The server answers, and counts nothing.
pub(crate) fn unavailable() -> Line {
    let what = "the server's ledger accepts nothing at present (its disk may be full)";
    Line::new("unavailable", format!("[STATUS] Not counted yet: {what}; trying again each second"))
        .with("why", what)
}

/// A shorter wait is none to a person, and would be said to be 0.0 s.
const SAID_FROM: Duration = Duration::from_millis(50);

/// A session that is tried again, or will be once there is something to send.
pub(crate) fn lost(why: &Lost, retry: Option<Duration>, meeting: &Meeting) -> Line {
    let what = of_lost(why, meeting).what().to_owned();
    let when = match retry {
        Some(wait) if wait < SAID_FROM => "trying again now".into(),
        Some(wait) => format!("trying again in {:.1} s", wait.as_secs_f32()),
        None => "it is opened again with the next integer".into(),
    };
    let line = Line::new("lost", format!("[STATUS] No session: {what}; {when}")).with("why", what);
    line.with("retry_ms", retry.and_then(|wait| u64::try_from(wait.as_millis()).ok()))
}

//! What the server says: the original's bracketed lines, and the same as JSON.

use std::net::SocketAddr;
use std::time::Instant;

use ddes_server::endpoint::{Notice, NoticeEvent, SessionView};
use ddes_session::classic::{End, Fault, Reason};
use ddes_wire::classic::text;

use crate::screen::{Line, number};

pub(super) fn starting() -> Line {
    Line::new("starting", "[SERVER STARTING] Server is starting...")
}

pub(super) fn listening(address: SocketAddr) -> Line {
    Line::new("listening", format!("[SERVER LISTENING] Server is listening on {address}"))
        .with("addr", address.to_string())
        .with("profile", "classic")
}

pub(super) fn shutting_down() -> Line {
    Line::new("shutting_down", "[SERVER SHUTTING DOWN] No new connections; every client is told.")
}

pub(super) fn exited(cut: usize) -> Line {
    let text = match cut {
        0 => "[SERVER EXITED][50] Server has exited.".to_owned(),
        cut => format!(
            "[SERVER EXITED][50] Server has exited; {cut} connections did not end in time and were cut."
        ),
    };
    Line::new("exited", text).with("cut", cut)
}

pub(super) fn dropped(count: u64) -> Line {
    Line::new("dropped", format!("[LOG] {count} lines could not be shown in time")).with("count", count)
}

pub(super) fn ended(count: usize) -> Line {
    let text = match count {
        0 => "[SESSIONS] No such session.".to_owned(),
        count => format!("[SESSIONS] {count} ended."),
    };
    Line::new("sessions_ended", text).with("count", count)
}

pub(super) fn session_count(count: usize) -> Line {
    Line::new("session_count", format!("[SESSIONS] {count} connected")).with("count", count)
}

pub(super) fn session(now: Instant, view: &SessionView) -> Line {
    let seconds = view.idle_at.map(|at| at.saturating_duration_since(now).as_secs());
    let state = seconds.map_or("in its handshake".to_owned(), |seconds| format!("{seconds} s left"));
    let text = format!(
        "  #{} {}  {} integers, sum {}, {state}",
        view.connection.serial(),
        view.peer,
        view.count,
        view.sum
    );
    Line::new("session", text)
        .with("session", view.connection.serial())
        .with("peer", view.peer.to_string())
        .with("count", view.count)
        .with("sum", number(&view.sum))
}

pub(super) fn totals(sessions: &[SessionView]) -> Line {
    let count: u64 = sessions.iter().map(|view| view.count).sum();
    let sum = sessions.iter().try_fold(0_i128, |sum, view| sum.checked_add(view.sum.get()));
    let sum = sum.map_or("beyond 2^127".to_owned(), |sum| sum.to_string());
    Line::new("totals", format!("[TOTALS] {} sessions, {count} integers, sum {sum}", sessions.len()))
        .with("sessions", sessions.len())
        .with("count", count)
        .with("sum", sum)
}

/// One notice is one line or two, as in the original.
pub(super) fn of_notice(notice: &Notice) -> Vec<Line> {
    let peer = notice.peer;
    let who = format!("#{} {peer}", notice.connection.serial());
    let lines = match &notice.event {
        NoticeEvent::Connected => vec![Line::new("connected", format!("[NEW CONNECTION] {who} connected."))],
        NoticeEvent::KeyVerified => {
            vec![Line::new("key_verified", format!("[10] KEY VERIFICATION {who}: public keys exchanged."))]
        }
        NoticeEvent::TokenShared => {
            vec![Line::new(
                "token_shared",
                format!("[20] Shared SESSION KEY: {who} has its token; the timer runs."),
            )]
        }
        NoticeEvent::Received { amount } => vec![
            Line::new("hmac_verified", format!("[HMAC VERIFIED SUCCESSFULLY] {who}")),
            Line::new("received", format!("[STATUS] {who} Received {amount}"))
                .with("amount", number(&amount)),
        ],
        NoticeEvent::ResultSent { sum } => {
            vec![
                Line::new("result_sent", format!("[40] Sent ENC AGGR RESULT to {who}: {sum}"))
                    .with("sum", number(&sum)),
            ]
        }
        NoticeEvent::Tampered => {
            vec![Line::new(
                "tampered",
                format!("[WARNING] {who}: Data tampering detected. Message discarded."),
            )]
        }
        NoticeEvent::Ignored { opcode } => {
            vec![
                Line::new("ignored", format!("[STATUS] {who}: opcode {opcode} ignored"))
                    .with("opcode", *opcode),
            ]
        }
        NoticeEvent::Ended(end) => vec![of_end(&who, end)],
    };
    let serial = notice.connection.serial();
    lines.into_iter().map(|line| line.with("session", serial).with("peer", peer.to_string())).collect()
}

fn of_end(who: &str, end: &End) -> Line {
    let (cause, text) = match end {
        End::Bye => ("bye", format!("[CLIENT DISCONNECT][50] {who} asked for the end.")),
        End::Closed => ("closed", format!("[DISCONNECTED][50] {who} closed the connection.")),
        End::Idle { counted: false } => ("idle", format!("[TIMEOUT] {who}: {}", text::IDLE)),
        End::Idle { counted: true } => ("idle", format!("[TIMEOUT] {who}: time is up; the sum is sent.")),
        End::Ordered(Reason::EndAll) => ("end_all", format!("[BROADCAST] {who}: {}", text::END_ALL)),
        End::Ordered(Reason::Shutdown) => {
            ("shutdown", format!("[DISCONNECTED][50] {who}: {}", text::SHUTDOWN))
        }
        End::Ordered(Reason::Operator) => {
            ("operator", format!("[DISCONNECTED][50] {who}: {}", text::OPERATOR))
        }
        End::Ordered(Reason::LedgerUnavailable) => {
            ("ledger", format!("[DISCONNECTED][50] {who}: {}", text::LEDGER))
        }
        End::Fault(fault) => ("fault", format!("[DISCONNECTED][50] {who}: {fault} ({})", rule(fault))),
    };
    let line = Line::new("ended", text).with("cause", cause);
    match end {
        End::Fault(fault) => line.with("rule", rule(fault)).with("fault", fault.to_string()),
        End::Bye | End::Closed | End::Idle { .. } | End::Ordered(_) => line,
    }
}

/// The rule of PROTOCOL.md that a client broke.
fn rule(fault: &Fault) -> &'static str {
    match fault {
        Fault::TooLong(_) => "C-02",
        Fault::Truncated => "C-03",
        Fault::ExpectedKey { .. } => "C-05",
        Fault::Key(_) => "C-06",
        Fault::OtherGroup => "C-07",
        Fault::PublicValue(_) => "C-08",
        Fault::Token => "C-12",
        Fault::Hmac => "C-13",
        Fault::HandshakeTimeout => "C-19",
        Fault::TakesNothing => "C-20",
    }
}

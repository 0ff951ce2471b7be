//! What the server says: the original's bracketed lines, and the same as JSON.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use ddes_ledger::store::Damage;
use ddes_ledger::{Health, Opened, Totals};
use ddes_ledger_postgres::FoundDatabase;
use ddes_server::Lists;
use ddes_server::endpoint::{Admitted, Notice, NoticeEvent, SessionView};
use ddes_server::watch::Cause;
use ddes_session::classic::{EndReason, ServerEnd};
use ddes_session::v2;
use ddes_web::{VerificationFinding, VerificationOutcome};
use ddes_wire::classic::text;
use ddes_wire::v2::Status;
use ddes_wire::{ClientId, Total, saturating};

use super::control::{Change, Changes};
use super::events::Event;
use super::tally::{Sum, UnprovenKind};
use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::home;
use crate::ledger::with_totals;
use crate::level::EventLevel;
use crate::screen::{Line, number};

pub(super) fn starting() -> Line {
    Event::Starting.line("[SERVER STARTING] Server is starting...")
}

pub(super) fn listening(address: SocketAddr, http: Option<SocketAddr>, args: &ServeArgs) -> Line {
    let profiles = match (args.classic, args.classic_wait_ms) {
        (false, _) => "D-DDES/2",
        (true, 0) => "classic",
        (true, _) => "D-DDES/2, classic",
    };
    Event::Listening
        .line(format!("[SERVER LISTENING] Server is listening on {address} ({profiles})"))
        .with("addr", address.to_string())
        .with("http", http.map(|address| address.to_string()))
        .with("profiles", profiles)
}

/// Why there is no page, where nobody asked for one.
pub(super) fn http_off(failure: &Failure) -> Line {
    let why = failure.what();
    let next = failure.remedy().map_or_else(String::new, |next| format!(" ({next})"));
    Event::HttpOff.line(format!("[HTTP] {why}{next}")).with("fault", why)
}

/// A link that opens the page. Whoever has it may act: it is shown to the console alone.
pub(super) fn link(link: &str) -> Line {
    let text = format!(
        "[HTTP] {link}\n  opens the page with the right to act: once, within 10 minutes; `link` \
         prints another"
    );
    Event::Link.line(text).with("link", link)
}

/// Why there is no link.
pub(super) fn no_link(why: &str) -> Line {
    Event::Link.line(format!("[HTTP] No link: {why}."))
}

/// What a client is asked to compare.
pub(super) fn server_key(fingerprint: &str, is_new: bool) -> Line {
    let new = if is_new { " (just made)" } else { "" };
    Event::ServerKey
        .line(format!("[SERVER KEY] {fingerprint}{new}: clients compare this at first contact"))
        .with("fingerprint", fingerprint)
        .with("new", is_new)
}

pub(super) fn access(lists: &Lists) -> Line {
    let (keys, _) = lists.read();
    let (list, own) = (&lists.authorized_keys, &lists.identities);
    let in_database = lists.database.as_ref().map(|database| database.read().0.len());
    let command = format!("ddes authorize{} KEY", home::flag());
    let (of_these, after) = match in_database {
        None => (String::new(), command),
        Some(count) => (
            format!(" ({count} in the database)"),
            format!("{command}, or at every server on the database with --ledger"),
        ),
    };
    let text = format!(
        "[ACCESS] {} listed so far{of_these}. Any identity of this home may connect ({}), others \
         after: {after}",
        keys.len(),
        own.display(),
    );
    let line = Event::Access
        .line(text)
        .with("keys", keys.len())
        .with("authorized_keys", list.display().to_string())
        .with("identities", own.display().to_string());
    // Of a ledger in a folder there is no such list.
    in_database.into_iter().fold(line, |line, count| line.with("database_keys", count))
}

pub(super) fn access_fault(fault: &str) -> Line {
    Event::AccessFault.line(format!("[ACCESS] {fault}")).with("fault", fault)
}

pub(super) fn shutting_down() -> Line {
    Event::ShuttingDown
        .line("[SERVER SHUTTING DOWN] No new connections; every session receives its sum and a 50.")
}

pub(super) fn exited(cut: usize) -> Line {
    let text = match cut {
        0 => "[SERVER EXITED][50] Server has exited.".to_owned(),
        cut => format!(
            "[SERVER EXITED][50] Server has exited; {cut} connections did not end in time and \
             were cut."
        ),
    };
    Event::Exited.line(text).with("cut", cut)
}

pub(super) fn dropped(count: u64) -> Line {
    Event::Dropped
        .line(format!("[LOG] {count} lines could not be shown in time"))
        .with("count", count)
}

/// Of standard error, which could not be written.
pub(super) fn unsaid(count: u64) -> Line {
    let text = format!("[LOG] {count} lines could not be written to standard error");
    Event::Unsaid.line(text).with("count", count)
}

/// What a reload changed, and what it left for the next start.
pub(crate) fn reloaded(changes: &Changes) -> Line {
    let Changes { changed, needs_restart, file } = changes;
    let from = match file {
        Some(file) => format!("from {}", file.display()),
        None => "without a file".to_owned(),
    };
    let count = match changed.len() {
        0 => "nothing changed".to_owned(),
        1 => "1 setting changed".to_owned(),
        count => format!("{count} settings changed"),
    };
    let mut text = format!("[CONFIGURATION] Read again {from}: {count}.");
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
    for Change { key, from, to } in changed {
        text.push_str(&format!("\n  {key}: {} -> {}", value(from), value(to)));
    }
    for Change { key, from, to } in needs_restart {
        let (from, to) = (value(from), value(to));
        text.push_str(&format!("\n  {key}: stays {from}; {to} needs a restart"));
    }
    let keys: Vec<_> = needs_restart.iter().map(|change| change.key).collect();
    Event::Reloaded
        .line(text)
        .with("changed", changed.iter().map(Change::to_json).collect::<Vec<_>>())
        .with("needs_restart", keys)
        .with("file", file.as_ref().map(|file| file.display().to_string()))
}

/// Nothing was changed.
pub(super) fn reload_failed(failure: &Failure) -> Line {
    let (what, cause) = (failure.what(), failure.likely_cause());
    let because = cause.map_or(String::new(), |cause| format!("; {cause}"));
    Event::ReloadFailed
        .line(format!("[CONFIGURATION] Nothing is changed: {what}{because}"))
        .with("what", what)
        .with("cause", cause)
}

pub(super) fn log_level(level: EventLevel) -> Line {
    let text = format!("[LOG] The level is {} until the next reload.", level.name());
    Event::LogLevel.line(text).with("log_level", level.name())
}

/// Why the console did nothing.
pub(super) fn help(why: &str) -> Line {
    Event::Help.line(format!(
        "[HELP] {why}: exit, sessions, end ID, end all, totals, link, log LEVEL, reload, help"
    ))
}

/// What strangers caused in about a second.
pub(super) fn of_sum(sum: &Sum) -> Vec<Line> {
    match sum {
        Sum::One(notice) => of_notice(notice),
        Sum::Many { kind, count, addresses, has_more_addresses, over } => {
            let at_least = if *has_more_addresses { "at least " } else { "" };
            let from = match addresses {
                1 => "1 address".to_owned(),
                addresses => format!("{at_least}{addresses} addresses"),
            };
            let secs = over.as_secs_f64();
            let text = format!(
                "[SUM] {count} more {}, from {from}, in {secs:.1} s",
                UnprovenKind::text(*kind)
            );
            let line = Event::Summed
                .line(text)
                .with("kind", kind.name())
                .with("count", *count)
                .with("addresses", *addresses)
                .with("more_addresses", *has_more_addresses)
                .with("millis", saturating::millis(*over));
            vec![line]
        }
    }
}

pub(super) fn ended(count: usize) -> Line {
    let text = match count {
        0 => "[SESSIONS] No such session.".to_owned(),
        count => format!("[SESSIONS] {count} ended."),
    };
    Event::SessionsEnded.line(text).with("count", count)
}

pub(super) fn session_count(count: usize) -> Line {
    Event::SessionCount.line(format!("[SESSIONS] {count} connected")).with("count", count)
}

pub(super) fn session(now: Instant, view: &SessionView) -> Line {
    let seconds = view.idle_at.map(|at| at.saturating_duration_since(now).as_secs());
    let state =
        seconds.map_or("in its handshake".to_owned(), |seconds| format!("{seconds} s left"));
    let who =
        view.admitted.as_ref().map_or(String::new(), |admitted| format!("  {}", name(admitted)));
    let text = format!(
        "  #{} {}{who}  {} integers, sum {}, {state}",
        view.connection.serial(),
        view.peer,
        view.count,
        view.sum
    );
    Event::Session
        .line(text)
        .with("session", view.connection.serial())
        .with("peer", view.peer.to_string())
        .with("identity", view.admitted.as_ref().map(|admitted| admitted.key.fingerprint()))
        .with("count", view.count)
        .with("sum", number(&view.sum))
}

/// Over all accounts, as the course asks.
pub(super) fn totals(sessions: usize, totals: &Totals) -> Line {
    let mut text = format!(
        "[TOTALS] {} accounts, {sessions} connected, {} integers, sum {}",
        totals.accounts, totals.count, totals.sum
    );
    if let (Some((min, max)), Some(mean)) = (totals.extremes(), totals.mean()) {
        text.push_str(&format!(", mean {mean}, least {min}, greatest {max}"));
    }
    with_totals(Event::Totals.line(text).with("sessions", sessions), totals)
}

pub(super) fn ledger(path: &Path, totals: &Totals, opened: &Opened) -> Line {
    let text = if opened.is_new {
        format!("[LEDGER] {}: new", path.display())
    } else {
        let Totals { accounts, count, .. } = totals;
        format!(
            "[LEDGER] {}: {accounts} accounts, {count} integers, batch {}",
            path.display(),
            opened.batch
        )
    };
    Event::Ledger
        .line(text)
        .with("path", path.display().to_string())
        .with("new", opened.is_new)
        .with("accounts", totals.accounts)
        .with("count", number(&totals.count))
        .with("batch", opened.batch)
        .with("checkpoint", opened.checkpoint)
}

/// A ledger that other servers write too. Its totals are not added up: that reads every account.
pub(super) fn ledger_in_database(place: &str, found: &FoundDatabase) -> Line {
    let standby =
        if found.has_standby { "a standby has what is acknowledged" } else { "no standby" };
    let version = format!("{}.{}", found.version / 10_000, found.version % 10_000);
    Event::Ledger
        .line(format!("[LEDGER] {place}: PostgreSQL {version}, {standby}"))
        .with("path", place)
        .with("postgres", version)
        .with("standby", found.has_standby)
}

/// What is not as it should be in the database.
pub(super) fn ledger_warning(why: &str) -> Line {
    Event::LedgerWarning.line(format!("[LEDGER] Warning: {why}")).with("why", why)
}

pub(super) fn ledger_in_memory() -> Line {
    Event::Ledger.line("[LEDGER] In memory: totals end with this server.").with("path", "memory")
}

/// No harm was done, and an operator may want to know.
pub(super) fn ledger_torn(batch: u64) -> Line {
    let text = format!(
        "[LEDGER] A batch after batch {batch} was torn by a crash; it was never acknowledged."
    );
    Event::LedgerTorn.line(text).with("batch", batch)
}

pub(super) fn ledger_note(damage: &Damage) -> Line {
    Event::LedgerNote
        .line(format!("[LEDGER] {damage}"))
        .with("file", damage.file.clone())
        .with("offset", damage.offset)
        .with("batch", damage.batch)
        .with("why", damage.why.clone())
}

pub(super) fn ledger_health(health: &Health) -> Line {
    let (state, text) = match health {
        Health::Good => {
            ("good", "[LEDGER] It can be written again: integers are counted.".to_owned())
        }
        Health::Full => (
            "full",
            "[LEDGER] There is no room on the disk, or too many files are open: only what fits is \
             counted. Clients receive status 4 and try again; so does the server, once a second."
                .to_owned(),
        ),
        Health::Away(why) => (
            "away",
            format!(
                "[LEDGER] The database is away: {why}. Clients wait; after 30 s they receive \
                 status 4 and try again."
            ),
        ),
        Health::Failed(why) => (
            "failed",
            format!(
                "[LEDGER] It cannot be written any more: {why}. \
            The server stops."
            ),
        ),
    };
    Event::LedgerHealth.line(text).with("state", state)
}

pub(super) fn ledger_checkpoint(error: &std::io::Error) -> Line {
    let text = format!(
        "[LEDGER] A checkpoint could not be made: {error}. Nothing is lost; the next start takes \
         longer."
    );
    Event::LedgerCheckpoint.line(text).with("error", error.to_string())
}

/// What a verification that the API was asked for found.
pub(super) fn verified(finding: &VerificationFinding) -> Line {
    verification(finding.outcome, &finding.text)
}

pub(super) fn verification(outcome: VerificationOutcome, text: &str) -> Line {
    let line = format!("[LEDGER] {text}");
    match outcome {
        VerificationOutcome::Damaged => Event::LedgerDamaged.line(line).with("text", text),
        VerificationOutcome::Whole | VerificationOutcome::Failed => {
            Event::LedgerVerified.line(line).with("outcome", outcome.as_str()).with("text", text)
        }
    }
}

/// The next start will not know of it.
pub(super) fn verification_unkept(error: &std::io::Error) -> Line {
    let text = format!("[LEDGER] What was found is not kept for the next start: {error}");
    Event::LedgerUnkept.line(text).with("error", error.to_string())
}

/// One notice is one line or two, as in the original.
pub(super) fn of_notice(notice: &Notice) -> Vec<Line> {
    let peer = notice.peer;
    let who = format!("#{} {peer}", notice.connection.serial());
    let lines = match &notice.event {
        NoticeEvent::Connected => {
            vec![Event::Connected.line(format!("[NEW CONNECTION] {who} connected."))]
        }
        NoticeEvent::KeyVerified => {
            vec![
                Event::KeyVerified
                    .line(format!("[10] KEY VERIFICATION {who}: public keys exchanged.")),
            ]
        }
        NoticeEvent::Admitted(admitted) => vec![of_admitted(&who, admitted)],
        NoticeEvent::Regranted(admitted) => vec![of_regranted(&who, admitted)],
        NoticeEvent::TurnedAway { key } => vec![
            Event::TurnedAway
                .line(format!(
                    "[REFUSED] {who}: not authorized. To let it in: ddes authorize{} '{}'",
                    home::flag(),
                    key.to_openssh()
                ))
                .with("identity", key.fingerprint())
                .with("key", key.to_openssh()),
        ],
        NoticeEvent::TokenShared => {
            vec![
                Event::TokenShared
                    .line(format!("[20] Shared SESSION KEY: {who} has its token; the timer runs.")),
            ]
        }
        NoticeEvent::Received { first, count } => {
            let text = match count {
                1 => format!("[STATUS] {who} Received {first}"),
                count => format!("[STATUS] {who} Received {count} integers, the first {first}"),
            };
            vec![
                Event::HmacVerified.line(format!("[HMAC VERIFIED SUCCESSFULLY] {who}")),
                Event::Received.line(text).with("amount", number(&first)).with("count", *count),
            ]
        }
        NoticeEvent::ResultSent { status, sum } => vec![result_sent(&who, *status, sum)],
        NoticeEvent::Tampered => {
            vec![
                Event::Tampered
                    .line(format!("[WARNING] {who}: Data tampering detected. Message discarded.")),
            ]
        }
        NoticeEvent::Ignored { opcode } => {
            vec![
                Event::Ignored
                    .line(format!("[STATUS] {who}: opcode {opcode} ignored"))
                    .with("opcode", *opcode),
            ]
        }
        NoticeEvent::ClassicEnded(end) => vec![of_classic_end(&who, end)],
        NoticeEvent::Ended(end) => vec![of_end(&who, end)],
    };
    let serial = notice.connection.serial();
    lines
        .into_iter()
        .map(|line| line.with("session", serial).with("peer", peer.to_string()))
        .collect()
}

fn of_admitted(who: &str, admitted: &Admitted) -> Line {
    let role = if admitted.is_operator { ", an operator" } else { "" };
    let id = ClientId::new(admitted.key.uuid());
    Event::Admitted
        .line(format!("[10] KEY VERIFICATION {who}: {}{role}, UUID {id}", name(admitted)))
        .with("identity", admitted.key.fingerprint())
        .with("name", admitted.name.clone())
        .with("operator", admitted.is_operator)
}

fn of_regranted(who: &str, admitted: &Admitted) -> Line {
    let role = if admitted.is_operator { "an operator" } else { "a client" };
    Event::Regranted
        .line(format!("[ACCESS] {who}: {} is {role} from now on", name(admitted)))
        .with("identity", admitted.key.fingerprint())
        .with("name", admitted.name.clone())
        .with("operator", admitted.is_operator)
}

fn result_sent(who: &str, status: Status, sum: &Total) -> Line {
    let text = match status {
        Status::Applied => format!("[40] Sent ENC AGGR RESULT to {who}: {sum}"),
        Status::Gap => format!("[40] Refused {who}: a gap in the numbering; sum {sum}"),
        Status::Malformed => format!("[40] Refused {who}: malformed; sum {sum}"),
        Status::Unavailable => format!("[40] Told {who} that the ledger is unavailable; sum {sum}"),
    };
    Event::ResultSent.line(text).with("sum", number(sum)).with("status", status as u8)
}

/// As an operator knows a client.
fn name(admitted: &Admitted) -> String {
    let fingerprint = admitted.key.fingerprint();
    admitted.name.as_ref().map_or(fingerprint.clone(), |name| format!("{name} ({fingerprint})"))
}

fn of_end(who: &str, end: &v2::ServerEnd) -> Line {
    let (cause, text) = match end {
        v2::ServerEnd::Bye => ("bye", format!("[CLIENT DISCONNECT][50] {who} asked for the end.")),
        v2::ServerEnd::Closed => {
            ("closed", format!("[DISCONNECTED][50] {who} closed the connection."))
        }
        v2::ServerEnd::Left => {
            ("left", format!("[DISCONNECTED][50] {who} left before it proved an identity."))
        }
        v2::ServerEnd::Idle => ("idle", format!("[TIMEOUT] {who}: time is up; the sum is sent.")),
        v2::ServerEnd::TooOld => {
            ("too_old", format!("[TIMEOUT] {who}: the session is 24 hours old."))
        }
        v2::ServerEnd::Ordered(reason) => {
            ("ordered", format!("[DISCONNECTED][50] {who}: {}", reason.text()))
        }
        v2::ServerEnd::LedgerUnavailable => (
            "ledger_unavailable",
            format!(
                "[DISCONNECTED][50] {who}: the ledger has no room for a session, or has failed."
            ),
        ),
        v2::ServerEnd::TooFast { most } => (
            "too_fast",
            format!(
                "[REFUSED] {who}: its address begins too many handshakes a second \
                 (--max-handshakes-per-sec {most})."
            ),
        ),
        v2::ServerEnd::Fault(fault) => {
            ("fault", format!("[DISCONNECTED][50] {who}: {fault} ({})", fault.rule()))
        }
    };
    let label = Cause::from(end).as_str();
    let line = Event::Ended.line(text).with("cause", cause).with("label", label);
    match end {
        v2::ServerEnd::Fault(fault) => {
            line.with("rule", fault.rule()).with("fault", fault.to_string())
        }
        v2::ServerEnd::Ordered(reason) => line.with("reason", *reason as u8),
        v2::ServerEnd::LedgerUnavailable => {
            line.with("reason", ddes_wire::v2::Reason::TooMany as u8)
        }
        v2::ServerEnd::Bye
        | v2::ServerEnd::Closed
        | v2::ServerEnd::Left
        | v2::ServerEnd::Idle
        | v2::ServerEnd::TooOld
        | v2::ServerEnd::TooFast { .. } => line,
    }
}

fn of_classic_end(who: &str, end: &ServerEnd) -> Line {
    let (cause, text) = match end {
        ServerEnd::Bye => ("bye", format!("[CLIENT DISCONNECT][50] {who} asked for the end.")),
        ServerEnd::Closed => ("closed", format!("[DISCONNECTED][50] {who} closed the connection.")),
        ServerEnd::Idle { counted: false } => ("idle", format!("[TIMEOUT] {who}: {}", text::IDLE)),
        ServerEnd::Idle { counted: true } => {
            ("idle", format!("[TIMEOUT] {who}: time is up; the sum is sent."))
        }
        ServerEnd::Ordered(EndReason::EndAll) => {
            ("end_all", format!("[BROADCAST] {who}: {}", text::END_ALL))
        }
        ServerEnd::Ordered(EndReason::Shutdown) => {
            ("shutdown", format!("[DISCONNECTED][50] {who}: {}", text::SHUTDOWN))
        }
        ServerEnd::Ordered(EndReason::Operator) => {
            ("operator", format!("[DISCONNECTED][50] {who}: {}", text::OPERATOR))
        }
        ServerEnd::Ordered(EndReason::LedgerUnavailable) => {
            ("ledger", format!("[DISCONNECTED][50] {who}: {}", text::LEDGER))
        }
        ServerEnd::Ordered(EndReason::TooFast) => (
            "too_fast",
            format!(
                "[REFUSED] {who}: its address begins too many handshakes a second \
                 (--max-handshakes-per-sec)."
            ),
        ),
        ServerEnd::Ordered(EndReason::TooMany) => (
            "too_many",
            format!(
                "[REFUSED] {who}: there are too many that prove nothing (--max-unproven-total, \
                 --max-classic)."
            ),
        ),
        ServerEnd::Fault(fault) => {
            ("fault", format!("[DISCONNECTED][50] {who}: {fault} ({})", fault.rule()))
        }
    };
    let label = Cause::from(end).as_str();
    let line = Event::Ended.line(text).with("cause", cause).with("label", label);
    match end {
        ServerEnd::Fault(fault) => line.with("rule", fault.rule()).with("fault", fault.to_string()),
        ServerEnd::Bye | ServerEnd::Closed | ServerEnd::Idle { .. } | ServerEnd::Ordered(_) => line,
    }
}

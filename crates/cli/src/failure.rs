//! Every error a user sees: what happened, the likely cause, the next command; and its exit code.

use std::process::ExitCode;
use std::time::Duration;
use std::{fmt, io};

use ddes_client::ConnectError;
use ddes_session::classic::{ClientEnd, ClientFault};
use ddes_wire::shown::plain_lines;
use serde_json::json;

use crate::screen::{self, SCHEMA_VERSION};
use crate::terminal;

/// The exit codes scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// The answer was no.
    No = 1,
    Usage = 2,
    Connect = 3,
    Identity = 4,
    Integrity = 5,
    Timeout = 6,
    Interrupted = 130,
}

/// Whoever's words are in it, they are fit to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    cause: Option<String>,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: plain_lines(&what.into()), cause: None, next: None }
    }

    pub(crate) fn cause(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(plain_lines(&cause.into())), ..self }
    }

    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(plain_lines(&next.into())), ..self }
    }

    /// The next command, where nothing better is known.
    pub(crate) fn or_next(self, next: &str) -> Self {
        let next = self.next.unwrap_or_else(|| next.into());
        Self { next: Some(next), ..self }
    }

    /// Something the operating system refused.
    pub(crate) fn system(what: &str, error: &dyn fmt::Display) -> Self {
        Self::new(Code::No, format!("{what}: {error}"))
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Code::Interrupted, "interrupted")
    }

    /// What happened.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Prefixes what happened: how far the work had come, say.
    pub(crate) fn after(self, context: &str) -> Self {
        Self { what: format!("{context}: {}", self.what), ..self }
    }

    /// Tells the user, and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            // Who reads it no more is told nothing.
            screen::to_stdout(&format!("{}\n", self.json())).unwrap_or(());
        } else {
            screen::say_styled(&self.text());
        }
        ExitCode::from(self.code as u8)
    }

    /// As [`Self::report`], for a process that must end whether or not anybody reads: what standard output does not take goes to standard error.
    pub(crate) fn report_within(&self, patience: Duration, json: bool) -> ExitCode {
        let object = format!("{}\n", self.json());
        let is_told = json && screen::within(patience, move || screen::to_stdout(&object).is_ok());
        let text = self.text();
        if !is_told {
            screen::within(patience, move || {
                screen::say_styled(&text);
                true
            });
        }
        ExitCode::from(self.code as u8)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "schema_version": SCHEMA_VERSION, "event": "error", "exit_code": self.code as u8,
            "what": self.what, "cause": self.cause, "next": self.next,
        })
    }

    fn text(&self) -> String {
        let styled = |style, label| terminal::styled(&io::stderr(), style, label);
        let label = |label| styled(terminal::LABEL, label);
        let cause = self.cause.iter().map(|cause| format!("\n  {} {cause}", label("cause:")));
        let next = self.next.iter().map(|next| format!("\n  {}   {next}", label("try:")));
        let error = styled(terminal::LOUD, "error:");
        format!("{error} {}{}", self.what, cause.chain(next).collect::<String>())
    }
}

/// Of a classic server.
impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        crate::refusal::of_connect(&error, "ddes serve --classic     (in another terminal)")
    }
}

/// A session that ended before the user wanted it to.
impl From<ClientEnd> for Failure {
    fn from(end: ClientEnd) -> Self {
        match end {
            ClientEnd::Fault(fault) => fault.into(),
            ClientEnd::Idle => {
                Self::new(Code::Timeout, "the server ended the session: its idle timer ran out")
                    .next("connect again; the server's --idle-secs sets the time")
            }
            ClientEnd::Disconnected { text, .. } => {
                Self::new(Code::Connect, format!("the server ended the session: {}", said(&text)))
                    .next("connect again")
            }
        }
    }
}

impl From<ClientFault> for Failure {
    fn from(fault: ClientFault) -> Self {
        let failure = |code| Self::new(code, fault.to_string());
        match &fault {
            ClientFault::NotClassic { .. } => failure(Code::Connect)
                .cause("another kind of server listens on that port")
                .next("check --server HOST:PORT"),
            ClientFault::TooLong(_)
            | ClientFault::Unexpected { .. }
            | ClientFault::Key(_) => failure(Code::Connect).cause("what answers does not keep to the classic protocol"),
            ClientFault::Truncated => failure(Code::Connect)
                .cause("the server stopped, or somebody cut the connection")
                .next("connect again"),
            ClientFault::Join(_) => failure(Code::Identity)
                .cause("the server's Diffie-Hellman key is weak or forged: nothing was sent"),
            ClientFault::Token | ClientFault::Hmac | ClientFault::Result => failure(Code::Integrity)
                .cause("the message was changed on its way, or the two sides hold different keys"),
            ClientFault::HandshakeTimeout { silent: true, .. } => failure(Code::Timeout)
                .cause("what listens there waits for the client to speak first, or is busy: a classic server speaks first")
                .next("without --classic, if it speaks D-DDES/2; or --timeout SECS to wait longer"),
            ClientFault::HandshakeTimeout { .. } | ClientFault::ReplyTimeout { .. } | ClientFault::TakesNothing => {
                failure(Code::Timeout).next("--timeout SECS to wait longer")
            }
        }
    }
}

fn said(text: &str) -> &str {
    if text.is_empty() { "it gave no reason" } else { text }
}

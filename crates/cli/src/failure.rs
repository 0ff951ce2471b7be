//! Every error a user sees: what happened, the likely cause, the next command; and its exit code.

use std::process::ExitCode;
use std::{fmt, io};

use ddes_client::ConnectError;
use ddes_session::classic::{ClientEnd, ClientFault};
use serde_json::json;

use crate::screen::SCHEMA_VERSION;
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

#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    cause: Option<String>,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), cause: None, next: None }
    }

    pub(crate) fn cause(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
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
            let error = json!({
                "schema_version": SCHEMA_VERSION, "event": "error", "exit_code": self.code as u8,
                "what": self.what, "cause": self.cause, "next": self.next,
            });
            println!("{error}");
        } else {
            let styled = |style, label| terminal::styled(&io::stderr(), style, label);
            eprintln!("{} {}", styled(terminal::LOUD, "error:"), self.what);
            if let Some(cause) = &self.cause {
                eprintln!("  {} {cause}", styled(terminal::LABEL, "cause:"));
            }
            if let Some(next) = &self.next {
                eprintln!("  {}   {next}", styled(terminal::LABEL, "try:"));
            }
        }
        ExitCode::from(self.code as u8)
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

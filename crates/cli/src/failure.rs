//! Every error a user sees: what happened, the likely cause, the next command; and its exit code.

use std::process::ExitCode;
use std::time::Duration;
use std::{fmt, io};

use ddes_client::{ConnectError, FailureClass};
use ddes_session::classic::{ClientEnd, ClientFault};
use ddes_wire::shown::plain_lines;
use serde_json::{Value, json};

use crate::screen::Line;
use crate::streams;
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
    /// Nobody reads standard output any more. What SIGPIPE (13) makes of any other filter: what was
    /// asked for is not all printed, and whoever left knows why.
    Unread = 141,
}

/// What the client's library calls a kind of failure.
impl From<FailureClass> for Code {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Refused => Self::No,
            FailureClass::Usage => Self::Usage,
            FailureClass::Connect => Self::Connect,
            FailureClass::Identity => Self::Identity,
            FailureClass::Integrity => Self::Integrity,
            FailureClass::Timeout => Self::Timeout,
        }
    }
}

/// Whoever's words are in it, they are fit to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    cause: Option<String>,
    next: Option<String>,
    /// Whom it concerns knows it.
    is_known: bool,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: plain_lines(&what.into()), cause: None, next: None, is_known: false }
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

    /// The likely cause, where nothing better is known.
    pub(crate) fn or_cause(self, cause: &str) -> Self {
        let cause = self.cause.unwrap_or_else(|| cause.into());
        Self { cause: Some(cause), ..self }
    }

    /// A failure that standard output already shows in full.
    pub(crate) fn shown(code: Code, what: impl Into<String>) -> Self {
        Self { is_known: true, ..Self::new(code, what) }
    }

    /// The likely cause of what the operating system refused to open, if its error does not say it.
    pub(crate) fn cause_of_path(self, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return self
                .cause("it is another user's, or its mode or its folder's keeps this one out");
        }
        let is_not_there = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        if is_not_there.contains(&error.kind()) {
            return self.cause("the path is misspelt, or a folder of it is not there");
        }
        self
    }

    /// Something the operating system refused.
    pub(crate) fn system(what: &str, error: &dyn fmt::Display) -> Self {
        Self::new(Code::No, format!("{what}: {error}"))
    }

    /// What standard output did not take. Who reads no more ends the command as it ends any filter,
    /// without a word.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            let failure = Self::new(Code::Unread, "the reader of standard output has gone");
            return Self { is_known: true, ..failure };
        }
        Self::system("cannot write standard output", error)
            .cause("what was asked for is not there, or not whole")
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Code::Interrupted, "interrupted")
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The next command, if one is known.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// What happened.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The same with another exit code.
    pub(crate) fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// What happened, its cause and what to do, for another process to say.
    pub(crate) fn parts(&self) -> Value {
        json!({"what": self.what, "cause": self.cause, "next": self.next})
    }

    /// What another process could not do.
    pub(crate) fn of_parts(parts: &Value) -> Self {
        let text = |name| parts.get(name).and_then(Value::as_str);
        let failure = Self::new(Code::No, text("what").unwrap_or("it failed"));
        let failure = match text("cause") {
            Some(cause) => failure.cause(cause),
            None => failure,
        };
        match text("next") {
            Some(next) => failure.next(next),
            None => failure,
        }
    }

    /// The likely cause, if one is known.
    pub(crate) fn likely_cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The next command, if one is known.
    pub(crate) fn next_command(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Prefixes what happened: how far the work had come, say, which is always said.
    pub(crate) fn after(self, context: &str) -> Self {
        Self { what: plain_lines(&format!("{context}: {}", self.what)), is_known: false, ..self }
    }

    /// Tells the user, and gives the exit code. What standard output does not take goes to standard
    /// error.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let is_told = self.is_known || json && streams::to_stdout(&self.json()).is_ok();
        if !is_told {
            streams::say_styled(&self.text());
        }
        ExitCode::from(self.code as u8)
    }

    /// As [`Self::report`], for a process that must end whether or not anybody reads.
    pub(crate) fn report_within(&self, patience: Duration, json: bool) -> ExitCode {
        let object = self.json();
        let is_told =
            json && streams::within(patience, move || streams::to_stdout(&object).is_ok());
        let text = self.text();
        if !is_told {
            streams::within(patience, move || {
                streams::say_styled(&text);
                true
            });
        }
        ExitCode::from(self.code as u8)
    }

    /// A line of JSON.
    fn json(&self) -> String {
        let line = Line::new("error", "")
            .with("exit_code", self.code as u8)
            .with("what", self.what.clone())
            .with("cause", self.cause.clone())
            .with("next", self.next.clone());
        format!("{}\n", line.render(true))
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
            ClientFault::TooLong(_) | ClientFault::Unexpected { .. } | ClientFault::Key(_) => {
                failure(Code::Connect).cause(
                    "what answers does not keep to \
                the classic protocol",
                )
            }
            ClientFault::Truncated => failure(Code::Connect)
                .cause("the server stopped, or somebody cut the connection")
                .next("connect again"),
            ClientFault::Join(_) => failure(Code::Identity)
                .cause("the server's Diffie-Hellman key is weak or forged: nothing was sent"),
            ClientFault::Token | ClientFault::Hmac | ClientFault::Result => failure(
                Code::Integrity,
            )
            .cause("the message was changed on its way, or the two sides hold different keys"),
            ClientFault::HandshakeTimeout { silent: true, .. } => failure(Code::Timeout)
                .cause(
                    "what listens there waits for the client to speak first, or is busy: a \
                        classic server speaks first",
                )
                .next("without --classic, if it speaks D-DDES/2; or --timeout SECS to wait longer"),
            ClientFault::HandshakeTimeout { .. }
            | ClientFault::ReplyTimeout { .. }
            | ClientFault::TakesNothing => {
                failure(Code::Timeout).next("--timeout SECS to wait longer")
            }
        }
    }
}

fn said(text: &str) -> &str {
    if text.is_empty() { "it gave no reason" } else { text }
}

#[cfg(test)]
mod tests {
    use ddes_session::classic::JoinError;
    use ddes_wire::classic::DhKeyError;
    use ddes_wire::frame::TooLong;

    use super::*;

    fn codes(rows: impl IntoIterator<Item = (Failure, Code)>) {
        for (failure, code) in rows {
            assert_eq!(failure.code(), code, "{}", failure.what());
        }
    }

    /// The numbers that scripts rely on (the contract of the command line), and 128 + 13 of
    /// SIGPIPE.
    #[test]
    fn the_codes_have_their_numbers() {
        let numbers = [
            (Code::No, 1),
            (Code::Usage, 2),
            (Code::Connect, 3),
            (Code::Identity, 4),
            (Code::Integrity, 5),
            (Code::Timeout, 6),
            (Code::Interrupted, 130),
            (Code::Unread, 141),
        ];
        for (code, number) in numbers {
            assert_eq!(code as u8, number, "{code:?}");
        }
        for class in [
            FailureClass::Refused,
            FailureClass::Usage,
            FailureClass::Connect,
            FailureClass::Identity,
            FailureClass::Integrity,
            FailureClass::Timeout,
        ] {
            assert_eq!(Code::from(class) as u8, class.code(), "{class}");
        }
    }

    #[test]
    fn what_standard_output_does_not_take_is_a_no_and_a_reader_that_left_is_none() {
        let of = |kind| Failure::output(&io::Error::from(kind));
        codes([
            (of(io::ErrorKind::StorageFull), Code::No),
            (of(io::ErrorKind::Other), Code::No),
            (of(io::ErrorKind::BrokenPipe), Code::Unread),
            (Failure::interrupted(), Code::Interrupted),
        ]);
    }

    #[test]
    fn each_end_of_a_classic_session_has_its_code() {
        let fault = |fault| ClientEnd::Fault(fault).into();
        let waited = Duration::from_secs(1);
        let late = |silent| fault(ClientFault::HandshakeTimeout { waited, silent });
        let bye = |asked| ClientEnd::Disconnected { asked, text: String::new() }.into();
        codes([
            (ClientEnd::Idle.into(), Code::Timeout),
            (bye(true), Code::Connect),
            (bye(false), Code::Connect),
            (fault(ClientFault::NotClassic { first: [0; _] }), Code::Connect),
            (fault(ClientFault::TooLong(TooLong { length: 2, most: 1 })), Code::Connect),
            (fault(ClientFault::Truncated), Code::Connect),
            (fault(ClientFault::Unexpected { opcode: 1, expected: "2" }), Code::Connect),
            (fault(ClientFault::Key(DhKeyError::Der)), Code::Connect),
            (fault(ClientFault::Join(JoinError::Key(DhKeyError::Der))), Code::Identity),
            (fault(ClientFault::Token), Code::Integrity),
            (fault(ClientFault::Hmac), Code::Integrity),
            (fault(ClientFault::Result), Code::Integrity),
            (late(true), Code::Timeout),
            (late(false), Code::Timeout),
            (fault(ClientFault::ReplyTimeout { waited }), Code::Timeout),
            (fault(ClientFault::TakesNothing), Code::Timeout),
        ]);
    }
}

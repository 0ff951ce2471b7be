//! `ddes connect`: the original client's menu over D-DDES/2, at a prompt that never keeps the network waiting.

use std::time::Duration;

use ddes_client::courier::{Courier, CourierEvent, Lost};
use ddes_client::delivery::Patience;
use ddes_client::outbox::{InputMark, Outbox};
use ddes_session::v2::ClientEnd;
use ddes_wire::ClientId;
use ddes_wire::v2::{Farewell, Reason, Scope, Welcome};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::ConnectArgs;
use crate::failure::{Code, Failure};
use crate::input;
use crate::meet::Meeting;
use crate::prompt::{Input, Prompt};
use crate::refusal;
use crate::screen::{self, Line, Screen, number};

pub(crate) const MENU: &str = "Enter opcode (30 to send data, 50 to disconnect): ";
pub(crate) const INTEGER: &str = "Enter an integer: ";
/// What both profiles take at the prompt.
pub(crate) const HELP: &str = "30 asks for an integer; 30 N, or N alone, sends N; 30 30 and 30 50 send 30 and 50; 50, quit or exit disconnects";
const HELP_OF_OPERATORS: &str = "; 50 all (operators) ends every session";
pub(crate) const RANGE: &str = "-9223372036854775808 to 9223372036854775807 (64 bits)";

/// A person at a prompt does not wait for a server at first, and a minute for one that was lost.
const PATIENCE: Patience = Patience { first: Duration::ZERO, later: Duration::from_secs(60) };

pub(crate) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let (meeting, mut courier) =
        Meeting::arrange(&args.client, PATIENCE, |_| Ok(Outbox::in_memory()))?;
    let runtime = crate::runtime()?;
    let mut interrupt = runtime.block_on(async {
        signal(SignalKind::interrupt())
            .map_err(|error| Failure::system("cannot watch for signals", &error))
    })?;
    // A person may be asked before the prompt takes the terminal.
    let welcome = runtime.block_on(async {
        tokio::select! {
            welcome = meeting.open(&mut courier, |_, _| {}) => welcome,
            () = interrupted(&mut interrupt) => Err(Failure::interrupted()),
        }
    })?;
    let (mut prompt, mut screen) = if args.client.output.json {
        (Prompt::on_pipe()?, Screen::json())
    } else if screen::is_interactive() {
        Prompt::on_terminal()?
    } else {
        (Prompt::on_pipe()?, Screen::plain())
    };
    let mut talk = Talk {
        meeting,
        screen: &mut screen,
        asks: Asks::Menu,
        is_open: true,
        unsent: None,
        place: String::new(),
        unshown: None,
    };
    talk.welcome(&welcome);
    let outcome = runtime.block_on(talk.hold(courier, &mut prompt, &mut interrupt));
    talk.meeting.remember();
    let unshown = talk.unshown.take();
    screen.leave_prompt();
    for line in &outcome? {
        screen.show(line)?;
    }
    unshown.map_or(Ok(()), Err)
}

/// What the prompt asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Menu,
    Integer,
    /// An answer is awaited first.
    Nothing,
}

struct Talk<'a> {
    meeting: Meeting,
    screen: &'a mut Screen,
    asks: Asks,
    is_open: bool,
    /// Taken while no session was open.
    unsent: Option<i64>,
    /// Where the line that is dealt with stands, for complaints.
    place: String,
    /// Why a line could not be shown, which ends the conversation.
    unshown: Option<Failure>,
}

impl Talk<'_> {
    /// The last lines, or why the session failed.
    async fn hold(
        &mut self,
        mut courier: Courier,
        prompt: &mut Prompt,
        interrupt: &mut Signal,
    ) -> Result<Vec<Line>, Failure> {
        let scope = loop {
            if let Some(failure) = self.unshown.take() {
                return Err(failure);
            }
            match self.asks {
                Asks::Menu => prompt.ask(MENU),
                Asks::Integer => prompt.ask(INTEGER),
                Asks::Nothing => {}
            }
            tokio::select! {
                delivery = self.meeting.next(&mut courier) => match delivery {
                    Ok(CourierEvent::Lost { why: Lost::Ended(ClientEnd::Farewell(farewell)), .. })
                        // By what may be our own ghost (rule P-29): the courier connects once more, or gives up.
                        if farewell.reason != Reason::Superseded =>
                    {
                        return self.ended(&farewell);
                    }
                    Ok(delivery) => self.show(&delivery, courier.outbox().pending() == 0),
                    Err(failure) => {
                        self.screen.leave_prompt();
                        return Err(failure);
                    }
                },
                () = interrupted(interrupt) => return Err(Failure::interrupted()),
                input = prompt.line(), if self.asks != Asks::Nothing => match input {
                    Input::Text(text) => {
                        self.place = prompt.place();
                        if let Some(scope) = self.typed(&mut courier, &text) {
                            break scope;
                        }
                    }
                    Input::Refused(what) => {
                        self.place = String::new();
                        self.complain(&what);
                    }
                    Input::End => break Scope::Session,
                    Input::Interrupted => return Err(Failure::interrupted()),
                    Input::Failed(failure) => return Err(failure),
                },
            }
        };
        self.tell(&Line::new("disconnecting", "[STATUS][50] Disconnecting"));
        match courier.close(scope).await.map_err(|error| refusal::of(error, &self.meeting))?.1 {
            Some(ClientEnd::Farewell(farewell))
                if scope == Scope::All && farewell.reason == Reason::NotAuthorized =>
            {
                Err(refusal::not_operator(&self.meeting))
            }
            Some(ClientEnd::Farewell(farewell)) => self.ended(&farewell),
            Some(end) => Err(refusal::of_end(&end, &self.meeting)),
            None => Ok(vec![Line::new(
                "disconnected",
                "[DISCONNECTED][50] There was no session to end.",
            )]),
        }
    }

    fn welcome(&mut self, welcome: &Welcome) {
        let (server, key) = (self.meeting.server.clone(), self.meeting.identity);
        let id = ClientId::new(key.uuid());
        self.tell(
            &Line::new(
                "connected",
                format!("[CONNECTED] Connected to server at {server}; its key is the one known"),
            )
            .with("server", server.to_string()),
        );
        self.tell(
            &Line::new("client_id", format!("[CLIENT ID] UUID: {id}, {}", key.fingerprint()))
                .with("uuid", id.to_string())
                .with("fingerprint", key.fingerprint()),
        );
        self.opened(welcome);
    }

    fn opened(&mut self, welcome: &Welcome) {
        let standing = welcome.standing;
        let text = format!(
            "[STATUS][20] Session {} is open. So far: {} integers, sum {}",
            welcome.session, standing.last_seq, standing.sum
        );
        self.tell(
            &Line::new("ready", text)
                .with("session", number(&welcome.session))
                .with("count", number(&standing.last_seq))
                .with("sum", number(&standing.sum))
                .with("idle_secs", welcome.idle_millis / 1000),
        );
    }

    /// 30 and 50 are the menu; an integer may also follow the 30, or stand for itself. The scope, if it is to end.
    fn typed(&mut self, courier: &mut Courier, text: &str) -> Option<Scope> {
        let words: Vec<_> = text.split_whitespace().collect();
        match (self.asks, &*words) {
            (_, []) => {}
            (_, ["help" | "?"]) => {
                self.tell(&Line::new("help", format!("[HELP] {HELP}{HELP_OF_OPERATORS}")));
            }
            (_, ["quit" | "exit"]) => return Some(Scope::Session),
            (Asks::Integer, [integer]) | (_, ["30", integer]) => self.send(courier, integer),
            (_, ["30"]) => self.asks = Asks::Integer,
            (_, ["50"]) => return Some(Scope::Session),
            (_, ["50", "all"]) => return Some(Scope::All),
            (_, [integer]) => self.send(courier, integer),
            _ => self.complain(&format!("{HELP}{HELP_OF_OPERATORS}")),
        }
        None
    }

    fn send(&mut self, courier: &mut Courier, text: &str) {
        let value: i64 = match input::integer(text, RANGE) {
            Ok(value) => value,
            Err(what) => return self.complain(&what),
        };
        match courier.take(&[value], InputMark::default()) {
            Ok(()) => {
                self.asks = Asks::Nothing;
                self.unsent = Some(value);
                if self.is_open {
                    self.sent();
                } else {
                    let text = format!(
                        "[STATUS] There is no session; {value} is sent as soon as one opens"
                    );
                    self.tell(&Line::new("queued", text).with("amount", number(&value)));
                }
            }
            Err(error) => self.complain(&error.to_string()),
        }
    }

    /// An open session sends what was taken before anything else happens in it.
    fn sent(&mut self) {
        if let Some(value) = self.unsent.take() {
            let line = Line::new("sent", format!("[STATUS][30] Sent {value}, encrypted"));
            let else_said = format!("{value} is sent, and may be counted");
            self.tell_or_say(&line.with("amount", number(&value)), &else_said);
        }
    }

    fn tell(&mut self, line: &Line) {
        if let Err(failure) = self.screen.show(line) {
            self.unshown.get_or_insert(failure);
        }
    }

    /// As [`Self::tell`], of what is said somewhere in any case.
    fn tell_or_say(&mut self, line: &Line, else_said: &str) {
        if let Err(failure) = self.screen.show(line) {
            self.unshown.get_or_insert(failure.after(else_said));
        }
    }

    fn complain(&mut self, what: &str) {
        let what = format!("{}{what}", self.place);
        self.tell(&Line::new("invalid", format!("[INVALID] {what}")).with("what", what));
        self.asks = Asks::Menu;
    }

    /// `all_counted`: no integer waits for its answer.
    fn show(&mut self, delivery: &CourierEvent, all_counted: bool) {
        if all_counted && self.asks == Asks::Nothing {
            self.asks = Asks::Menu;
        }
        match delivery {
            CourierEvent::Opened(welcome) => {
                self.is_open = true;
                self.opened(welcome);
                self.sent();
            }
            CourierEvent::Counted { last_seq, sum } => {
                let line = Line::new("result", format!("[SERVER RESULT] Result: {sum}"));
                let line = line.with("sum", number(sum)).with("count", number(last_seq));
                self.tell_or_say(&line, &unshown_sum(sum));
            }
            CourierEvent::Unavailable => self.tell(&refusal::unavailable()),
            CourierEvent::Lost { why, retry } => {
                self.is_open = false;
                self.tell(&refusal::lost(why, *retry, &self.meeting));
            }
        }
    }

    /// An orderly end, whoever wanted it, is no failure.
    fn ended(&mut self, farewell: &Farewell) -> Result<Vec<Line>, Failure> {
        let (sum, count, text) = (farewell.sum, farewell.last_seq, &farewell.text);
        let last = Line::new("last_sum", format!("[SERVER RESULT] Last result: {sum}"));
        let last = last.with("sum", number(&sum)).with("count", number(&count));
        let line = match farewell.reason {
            Reason::Bye => Line::new("disconnected", "[DISCONNECTED][50] Session ended."),
            Reason::ShuttingDown | Reason::Operator | Reason::TooOld => {
                Line::new("disconnected", format!("[DISCONNECTED][50] {text}"))
                    .with("text", text.clone())
            }
            Reason::Idle => {
                self.screen.leave_prompt();
                self.tell(&last);
                return Err(Failure::new(
                    Code::Timeout,
                    "the server ended the session: no integer came in time",
                )
                .next("connect again: the sum goes on; the server's --idle-secs sets the time"));
            }
            Reason::Superseded
            | Reason::NotAuthorized
            | Reason::Token
            | Reason::Authentication
            | Reason::Protocol
            | Reason::Unsupported
            | Reason::TooMany => {
                self.screen.leave_prompt();
                return Err(refusal::of_end(&ClientEnd::Farewell(farewell.clone()), &self.meeting));
            }
        };
        Ok(vec![last, line])
    }
}

/// What standard error hears of a sum that standard output did not take.
pub(crate) fn unshown_sum(sum: &impl std::fmt::Display) -> String {
    format!("the last integer is counted, the sum is {sum}")
}

pub(crate) async fn interrupted(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

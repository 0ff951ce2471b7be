//! `ddes connect --classic`: the original client's whole life, at a prompt that never keeps the
//! network waiting.

use ddes_client::classic::{ClassicConnection, ClassicOptions};
use ddes_session::classic::{ClientEnd, ClientEvent};
use ddes_wire::classic::text;
use tokio::signal::unix::{SignalKind, signal};

use super::{amount, options};
use crate::args::ConnectArgs;
use crate::connect::{HELP, INTEGER, MENU, interrupted, unshown_sum};
use crate::failure::Failure;
use crate::prompt::{Input, Prompt};
use crate::screen::{self, Line, Screen, number};

pub(crate) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let options = options(&args.client)?;
    let (mut prompt, mut screen) = if args.client.output.json {
        (Prompt::on_pipe()?, Screen::json())
    } else if screen::is_interactive() {
        Prompt::on_terminal()?
    } else {
        (Prompt::on_pipe()?, Screen::plain())
    };
    let outcome = crate::runtime()?.block_on(talk(&options, &mut prompt, &mut screen));
    screen.leave_prompt();
    match outcome {
        Ok(last) => {
            for line in &last {
                screen.show(line)?;
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// What the prompt asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Menu,
    Integer,
    /// An answer or the end is awaited first.
    Nothing,
}

struct Talk<'a> {
    connection: ClassicConnection,
    screen: &'a mut Screen,
    asks: Asks,
    /// A sum that answered nothing: shown with the end that follows it.
    last_sum: Option<Line>,
    /// Where the line that is dealt with stands, for complaints.
    place: String,
    /// Why a line could not be shown, which ends the conversation.
    unshown: Option<Failure>,
}

/// The last lines, or why the session failed.
async fn talk(
    options: &ClassicOptions,
    prompt: &mut Prompt,
    screen: &mut Screen,
) -> Result<Vec<Line>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::system("cannot watch for signals", &error))?;
    let connection = tokio::select! {
        connection = ClassicConnection::open(options) => connection?,
        () = interrupted(&mut interrupt) => return Err(Failure::interrupted()),
    };
    screen.show(
        &Line::new("connected", format!("[CONNECTED] Connected to server at {}", options.server))
            .with("server", options.server.to_string()),
    )?;
    screen.show(
        &Line::new(
            "client_id",
            format!("[CLIENT ID] UUID: {}, Integer: {}", options.id, options.id.as_integer()),
        )
        .with("uuid", options.id.to_string())
        .with("integer", number(&options.id.as_integer())),
    )?;
    screen.show(&Line::new(
        "waiting",
        "[STATUS] Waiting for the server's public key (the original takes 1 s to 60 s)",
    ))?;
    let mut talk = Talk {
        connection,
        screen,
        asks: Asks::Nothing,
        last_sum: None,
        place: String::new(),
        unshown: None,
    };
    loop {
        if let Some(failure) = talk.unshown.take() {
            return Err(failure);
        }
        match talk.asks {
            Asks::Menu => prompt.ask(MENU),
            Asks::Integer => prompt.ask(INTEGER),
            Asks::Nothing => {}
        }
        tokio::select! {
            event = talk.connection.next() => match event {
                Some(ClientEvent::Ended(end)) => {
                    let last = talk.ended(end)?;
                    return talk.unshown.take().map_or(Ok(last), Err);
                }
                Some(event) => talk.show(event),
                None => return Ok(Vec::new()),
            },
            () = interrupted(&mut interrupt) => return Err(Failure::interrupted()),
            input = prompt.line(), if talk.asks != Asks::Nothing => match input {
                Input::Text(text) => {
                    talk.place = prompt.place();
                    talk.typed(&text);
                }
                Input::Refused(what) => {
                    talk.place = String::new();
                    talk.complain(&what);
                }
                Input::End => talk.disconnect(),
                Input::Interrupted => return Err(Failure::interrupted()),
                Input::Failed(failure) => return Err(failure),
            },
        }
    }
}

impl Talk<'_> {
    /// 30 and 50 are the menu; an integer may also follow the 30, or stand for itself.
    fn typed(&mut self, text: &str) {
        let words: Vec<_> = text.split_whitespace().collect();
        match (self.asks, &*words) {
            (_, []) => {}
            (_, ["help" | "?"]) => self.tell(&Line::new("help", format!("[HELP] {HELP}"))),
            (_, ["quit" | "exit"]) => self.disconnect(),
            (Asks::Integer, [integer]) | (_, ["30", integer]) => self.send(integer),
            (_, ["30"]) => self.asks = Asks::Integer,
            (_, ["50"]) => self.disconnect(),
            (_, [integer]) => self.send(integer),
            _ => self.complain(HELP),
        }
    }

    fn send(&mut self, text: &str) {
        match amount(text) {
            Err(what) => self.complain(&what),
            Ok(value) => match self.connection.submit(value) {
                Ok(()) => {
                    self.asks = Asks::Nothing;
                    let line = Line::new("sent", format!("[STATUS][30] Sent {value}, encrypted"));
                    let else_said = format!("{value} is sent, and may be counted");
                    self.tell_or_say(&line.with("amount", number(&value)), &else_said);
                }
                Err(error) => self.complain(&error.to_string()),
            },
        }
    }

    fn disconnect(&mut self) {
        self.asks = Asks::Nothing;
        match self.connection.disconnect() {
            Ok(()) => self.tell(&Line::new("disconnecting", "[STATUS][50] Disconnecting")),
            Err(error) => self.complain(&error.to_string()),
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

    fn show(&mut self, event: ClientEvent) {
        let line = match event {
            ClientEvent::KeyReceived { bits } => Line::new(
                "key_received",
                format!("[STATUS][10] Received the server's public key ({bits} bits)"),
            )
            .with("bits", bits),
            ClientEvent::KeySent => {
                Line::new("key_sent", "[STATUS][10] Sent our public key; Key1 and Key2 derived")
            }
            ClientEvent::Ready { token } => {
                self.asks = Asks::Menu;
                let hex: String =
                    token.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                Line::new("ready", format!("[STATUS][20] Received session token: {hex}"))
                    .with("token", hex)
            }
            ClientEvent::Acknowledged => {
                Line::new("acknowledged", format!("[STATUS][30] {}", text::RECEIVED))
            }
            ClientEvent::Result { sum } => {
                self.asks = Asks::Menu;
                let line = Line::new("result", format!("[SERVER RESULT] Result: {sum}"));
                return self.tell_or_say(&line.with("sum", number(&sum)), &unshown_sum(&sum));
            }
            ClientEvent::Discarded { text } => {
                self.asks = Asks::Menu;
                Line::new("discarded", format!("[STATUS][30] {text}")).with("text", text)
            }
            ClientEvent::LastSum { sum } => {
                let line = Line::new("last_sum", format!("[SERVER RESULT] Last result: {sum}"));
                self.last_sum = Some(line.with("sum", number(&sum)));
                return;
            }
            ClientEvent::Ended(_) => return,
        };
        self.tell(&line);
    }

    /// An orderly end, whoever wanted it, is no failure.
    fn ended(&mut self, end: ClientEnd) -> Result<Vec<Line>, Failure> {
        let line = match end {
            ClientEnd::Disconnected { asked: true, .. } => {
                Line::new("disconnected", "[DISCONNECTED][50] Session ended.")
            }
            ClientEnd::Disconnected { asked: false, ref text } if is_orderly(text) => {
                Line::new("disconnected", format!("[DISCONNECTED][50] {text}"))
                    .with("text", text.clone())
            }
            ClientEnd::Disconnected { .. } | ClientEnd::Idle | ClientEnd::Fault(_) => {
                self.screen.leave_prompt();
                if let Some(last_sum) = self.last_sum.take() {
                    self.tell(&last_sum);
                }
                return Err(end.into());
            }
        };
        Ok(self.last_sum.take().into_iter().chain([line]).collect())
    }
}

/// Whether a server's unasked 50 is its decision to end, not an error of ours.
fn is_orderly(text: &str) -> bool {
    !text.starts_with("Error:") && !text.starts_with("Timeout:")
}

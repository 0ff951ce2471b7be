//! `ddes connect`: the original client's menu, at a prompt that never keeps the network waiting.

use std::time::Duration;

use ddes_client::delivery::Patience;
use ddes_client::outbox::{InputMark, Outbox};
use ddes_wire::v2::Scope;

use crate::args::{ConnectArgs, OutputArgs};
use crate::counter::classic::{self, ClassicSession};
use crate::counter::v2::AccountCounter;
use crate::counter::{Counter, CounterEnd, CounterReport, Queue};
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupt;
use crate::meet::Meeting;
use crate::prompt::{Prompt, PromptInput};
use crate::screen::{self, Line, Screen, number};

const MENU: &str = "Enter opcode (30 to send data, 50 to disconnect): ";
const INTEGER: &str = "Enter an integer: ";
const HELP: &str = "30 asks for an integer; 30 N, or N alone, sends N; \
    30 30 and 30 50 send 30 and 50; 50, quit or exit disconnects";
const HELP_OF_OPERATORS: &str = "; 50 all (operators) ends every session";

/// A person does not wait for the first session, and waits a minute for one that was lost.
const PATIENCE: Patience = Patience { first: Duration::ZERO, later: Duration::from_secs(60) };

/// Each integer is answered before the next is asked for.
const WAITING_MAX: usize = 1;

pub(crate) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    if args.client.classic { with_session(args) } else { with_account(args) }
}

fn with_session(args: &ConnectArgs) -> Result<(), Failure> {
    let options = classic::options(&args.client)?;
    let runtime = crate::runtime()?;
    let mut interrupt = Interrupt::watch(&runtime)?;
    let session = runtime.block_on(ClassicSession::open(options, &mut interrupt))?;
    let greeting = session.greeting();
    runtime.block_on(converse(session, greeting, &args.client.output, &mut interrupt))?.show()
}

fn with_account(args: &ConnectArgs) -> Result<(), Failure> {
    let in_memory = |_| Ok(Outbox::in_memory());
    let (meeting, mut courier) = Meeting::arrange(&args.client, PATIENCE, in_memory)?;
    let runtime = crate::runtime()?;
    let mut interrupt = Interrupt::watch(&runtime)?;
    // A person may be asked before the prompt takes the terminal.
    let welcome = runtime.block_on(async {
        tokio::select! {
            welcome = meeting.open(&mut courier, |_, _| {}) => welcome,
            failure = interrupt.came() => Err(failure),
        }
    })?;
    let mut account = AccountCounter::new(&meeting, courier, WAITING_MAX);
    let greeting = account.greeting(&welcome);
    let talk = converse(account, greeting, &args.client.output, &mut interrupt);
    let last_words = runtime.block_on(talk);
    meeting.remember();
    last_words?.show()
}

/// Talks with a person, or a program at a pipe, until either side ends it.
async fn converse(
    counter: impl Counter,
    greeting: Vec<CounterReport>,
    output: &OutputArgs,
    interrupt: &mut Interrupt,
) -> Result<LastWords, Failure> {
    let (mut prompt, screen) = if output.json {
        (Prompt::on_pipe()?, Screen::json())
    } else if screen::is_interactive() {
        Prompt::on_terminal()?
    } else {
        (Prompt::on_pipe()?, Screen::plain())
    };
    let mut talk = Talk {
        screen,
        asks: Asks::Nothing,
        is_open: false,
        unsent: None,
        place: String::new(),
        unshown: None,
    };
    let outcome = talk.run(counter, greeting, &mut prompt, interrupt).await;
    let Talk { mut screen, unshown, .. } = talk;
    screen.leave_prompt();
    Ok(LastWords { lines: outcome?, screen, unshown })
}

/// What is still to be shown of a conversation that ended in good order.
struct LastWords {
    screen: Screen,
    lines: Vec<Line>,
    unshown: Option<Failure>,
}

impl LastWords {
    fn show(mut self) -> Result<(), Failure> {
        self.lines.iter().try_for_each(|line| self.screen.show(line))?;
        self.unshown.map_or(Ok(()), Err)
    }
}

/// What the prompt asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Menu,
    Integer,
    /// An answer is awaited first.
    Nothing,
}

struct Talk {
    screen: Screen,
    asks: Asks,
    is_open: bool,
    /// An integer that was taken while no session was open.
    unsent: Option<String>,
    /// The number of the line that was typed last, for complaints.
    place: String,
    /// Why a line could not be shown, which ends the conversation.
    unshown: Option<Failure>,
}

impl Talk {
    /// The last lines, or why the session failed.
    async fn run<C: Counter>(
        &mut self,
        mut counter: C,
        greeting: Vec<CounterReport>,
        prompt: &mut Prompt,
        interrupt: &mut Interrupt,
    ) -> Result<Vec<Line>, Failure> {
        for report in greeting {
            if let Some(end) = self.show(report) {
                return self.ended(end);
            }
        }
        let scope = loop {
            if let Some(failure) = self.unshown.take() {
                return Err(failure);
            }
            if self.asks == Asks::Nothing && counter.queue() == Queue::Empty {
                self.asks = Asks::Menu;
            }
            match self.asks {
                Asks::Menu => prompt.ask(MENU),
                Asks::Integer => prompt.ask(INTEGER),
                Asks::Nothing => {}
            }
            tokio::select! {
                report = counter.next() => {
                    if let Some(end) = self.show(report?) {
                        return self.ended(end);
                    }
                }
                failure = interrupt.came() => return Err(failure),
                input = prompt.line(), if self.asks != Asks::Nothing => match input {
                    PromptInput::Text(text) => {
                        self.place = prompt.place();
                        if let Some(scope) = self.typed(&mut counter, &text) {
                            break scope;
                        }
                    }
                    PromptInput::Refused(what) => {
                        self.place = String::new();
                        self.complain(&what);
                    }
                    PromptInput::End => break Scope::Session,
                    PromptInput::Interrupted => return Err(Failure::interrupted()),
                    PromptInput::Failed(failure) => return Err(failure),
                },
            }
        };
        self.tell(&Line::new("disconnecting", "[STATUS][50] Disconnecting"));
        tokio::select! {
            end = counter.leave(scope) => self.ended(end?),
            failure = interrupt.came() => Err(failure),
        }
    }

    /// 30 and 50 are the menu; an integer may also follow the 30, or stand for itself.
    /// Gives the scope of the end, if the line asks for one.
    fn typed<C: Counter>(&mut self, counter: &mut C, text: &str) -> Option<Scope> {
        let operators = if C::HAS_OPERATORS { HELP_OF_OPERATORS } else { "" };
        let words: Vec<_> = text.split_whitespace().collect();
        match (self.asks, &*words) {
            (_, []) => {}
            (_, ["help" | "?"]) => {
                self.tell(&Line::new("help", format!("[HELP] {HELP}{operators}")));
            }
            (_, ["quit" | "exit"]) => return Some(Scope::Session),
            (Asks::Integer, [integer]) | (_, ["30", integer]) => self.send(counter, integer),
            (_, ["30"]) => self.asks = Asks::Integer,
            (_, ["50"]) => return Some(Scope::Session),
            (_, ["50", "all"]) if C::HAS_OPERATORS => return Some(Scope::All),
            (_, [integer]) => self.send(counter, integer),
            _ => self.complain(&format!("{HELP}{operators}")),
        }
        None
    }

    fn send<C: Counter>(&mut self, counter: &mut C, text: &str) {
        let value: C::Integer = match input::integer(text) {
            Ok(value) => value,
            Err(what) => return self.complain(&what),
        };
        if let Err(not_taken) = counter.give(&[value], InputMark::default()) {
            return self.complain(not_taken.failure.what());
        }
        self.asks = Asks::Nothing;
        self.unsent = Some(value.to_string());
        if self.is_open {
            self.sent();
        } else {
            let what = format!("There is no session; {value} is sent as soon as one opens");
            let line = Line::new("queued", format!("[STATUS] {what}"));
            self.tell(&line.with("amount", number(&value)));
        }
    }

    /// An open session sends what was taken before anything else happens in it.
    fn sent(&mut self) {
        if let Some(value) = self.unsent.take() {
            let line = Line::new("sent", format!("[STATUS][30] Sent {value}, encrypted"));
            let else_said = format!("{value} is sent, and may be counted");
            self.tell_or_say(&line.with("amount", value), &else_said);
        }
    }

    fn tell(&mut self, line: &Line) {
        if let Err(failure) = self.screen.show(line) {
            self.unshown.get_or_insert(failure);
        }
    }

    /// As [`Self::tell`]; the failure of a line that cannot be shown begins with `else_said`.
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

    /// Shows what happened. An end is given back: its lines come after the prompt.
    fn show(&mut self, report: CounterReport) -> Option<CounterEnd> {
        match report {
            CounterReport::Opened { line, .. } => {
                self.is_open = true;
                self.tell(&line);
                self.sent();
            }
            CounterReport::Summed { sum, count } => {
                let line = Line::new("result", format!("[SERVER RESULT] Result: {sum}"));
                let line = line.with("sum", number(&sum));
                let line = match count {
                    Some(count) => line.with("count", number(&count)),
                    None => line,
                };
                self.tell_or_say(&line, &unshown_sum(&sum));
            }
            CounterReport::Step(line)
            | CounterReport::Discarded { line, .. }
            | CounterReport::Delayed(line) => {
                self.tell(&line);
            }
            CounterReport::Lost { end: Some(end), .. } | CounterReport::Ended { end, .. } => {
                return Some(end);
            }
            CounterReport::Lost { line, end: None } => {
                self.is_open = false;
                self.tell(&line);
            }
        }
        None
    }

    /// The last lines of an orderly end.
    fn ended(&mut self, end: CounterEnd) -> Result<Vec<Line>, Failure> {
        let CounterEnd { last_sum, outcome } = end;
        match outcome {
            Ok(line) => Ok(last_sum.into_iter().chain([line]).collect()),
            Err(failure) => {
                self.screen.leave_prompt();
                if let Some(last_sum) = last_sum {
                    self.tell(&last_sum);
                }
                Err(failure)
            }
        }
    }
}

/// What standard error states of a sum that standard output did not take.
pub(crate) fn unshown_sum(sum: &impl std::fmt::Display) -> String {
    format!("the last integer is counted, the sum is {sum}")
}

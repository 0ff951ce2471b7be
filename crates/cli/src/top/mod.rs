//! `ddes top`: a server's page in the terminal, over the same API.

mod columns;
mod draw;
mod facts;
mod key;
mod ladder;
mod panels;
mod plain;
mod poll;
mod view;
mod window;
mod wire;
pub(crate) mod words;

use std::io::{self, BufWriter};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect};
use rustix::stdio::stdin;
use serde_json::Value;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::api::{Api, RequestError};
use crate::args::TopArgs;
use crate::failure::{Code, Failure};
use crate::screen::{self, Line, Screen};
use crate::streams::Output;
use crate::suspend::Suspend;
use crate::terminal;
use draw::{Palette, draw};
use poll::{Look, Poller, look, raw};
use view::{TopView, Wish};
use window::TerminalWindow;

/// What waits to be shown or done; whoever brings more waits.
const INPUTS_MAX: usize = 64;
/// The screen is drawn anew after this long without anything new: ages grow.
const REDRAW: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &TopArgs) -> Result<(), Failure> {
    let mut api = Api::find(&args.api)?;
    api.hurry(Some(Instant::now() + Duration::from_secs(args.timeout.into())));
    if args.output.json {
        return stream(api, args.once);
    }
    let first = look(&api, TopView::first_ask()).map_err(|error| api.failure(&error))?;
    api.hurry(None);
    if args.once || !screen::is_interactive() || !terminal::has_cursor() {
        return Screen::plain().show(&Line::new("top", plain::text(&first)));
    }
    let signal = watch(api, first)?;
    // As if nobody had caught it: the shell sees what ended this.
    match signal.map(emulate_default_handler) {
        None => Ok(()),
        Some(_) => Err(Failure::interrupted()),
    }
}

/// One object, or one a second: the overview and the sessions as the server wrote them.
fn stream(mut api: Api, once: bool) -> Result<(), Failure> {
    let mut screen = Screen::json();
    let (mut has_begun, mut is_away) = (false, false);
    loop {
        let begin = Instant::now();
        match raw(&api, &TopView::first_ask()) {
            Ok((overview, sessions)) => {
                screen.show(&line(overview, sessions))?;
                (has_begun, is_away) = (true, false);
                api.hurry(None);
            }
            Err(error) if once || !has_begun => return Err(api.failure(&error)),
            Err(error) if !is_away => {
                screen.show(&Line::new("away", "").with("what", error.to_string()))?;
                is_away = true;
            }
            Err(_) => {}
        }
        if once {
            return Ok(());
        }
        poll::rest_of_interval(begin);
    }
}

fn line(mut overview: Value, sessions: Value) -> Line {
    if let Some(accounts) = overview.pointer_mut("/totals/accounts") {
        // A number wherever else commands write it.
        let number = accounts.as_str().and_then(|digits| digits.parse::<u64>().ok());
        *accounts = number.map_or_else(|| accounts.clone(), Value::from);
    }
    let inner = |mut answer: Value| {
        if let Value::Object(fields) = &mut answer {
            // The line has its own.
            fields.remove("schema_version");
        }
        answer
    };
    Line::new("top", "").with("overview", inner(overview)).with("page", inner(sessions))
}

/// What the screen's thread waits for.
enum TopInput {
    /// By its name.
    Key(String),
    Looked(Result<Box<Look>, RequestError>),
    Ended {
        id: u64,
        ended: Result<(), String>,
    },
    Signal(i32),
    /// A thread has ended, which none does by itself.
    Gone(String),
}

/// Reports the end of its thread, however it comes.
struct Watched {
    inputs: SyncSender<TopInput>,
    what: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Nobody is left to be told when the program ends.
        drop(self.inputs.send(TopInput::Gone(std::mem::take(&mut self.what))));
    }
}

fn spawn(
    name: &str,
    inputs: SyncSender<TopInput>,
    work: impl FnOnce(&SyncSender<TopInput>) + Send + 'static,
) -> Result<(), Failure> {
    let watched = Watched { inputs, what: format!("the thread '{name}' ended") };
    thread::Builder::new()
        .name(name.into())
        .spawn(move || work(&watched.inputs))
        .map(drop)
        .map_err(|error| Failure::system("cannot start a thread", &error))
}

/// The screen, until a key or a signal ends it; which signal.
fn watch(api: Api, first: Look) -> Result<Option<i32>, Failure> {
    let failed = |error: io::Error| Failure::system("cannot use the terminal", &error);
    let shell = Suspend::new().map_err(failed)?;
    let (inputs, received) = sync_channel(INPUTS_MAX);
    watch_signals(inputs.clone())?;
    let place = api.server().to_string();
    let view = TopView::new(Instant::now(), first);
    let poller = Poller::start(api, view.ask(), inputs.clone())?;
    let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(Output))).map_err(failed)?;
    let window = TerminalWindow::take(stdin(), Output).map_err(failed)?;
    read_keys(inputs)?;
    TopScreen { view, poller, shell, window, terminal, place, palette: Palette::of_terminal() }
        .run(&received)
}

fn watch_signals(inputs: SyncSender<TopInput>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, SIGWINCH])
        .map_err(|error| Failure::system("cannot watch for signals", &error))?;
    spawn("signals", inputs, move |inputs| {
        for signal in signals.forever() {
            if inputs.send(TopInput::Signal(signal)).is_err() {
                return;
            }
        }
    })
}

fn read_keys(inputs: SyncSender<TopInput>) -> Result<(), Failure> {
    spawn("keys", inputs, |inputs| {
        loop {
            let input = match event::read() {
                Ok(Event::Key(key)) => match key::name(key) {
                    Some(name) => TopInput::Key(name),
                    None => continue,
                },
                // A paste comes as keys. A new size is a signal too: crossterm loses its event
                // where a key comes with it.
                Ok(
                    Event::Resize(..)
                    | Event::FocusGained
                    | Event::FocusLost
                    | Event::Mouse(_)
                    | Event::Paste(_),
                ) => continue,
                Err(error) => TopInput::Gone(format!("cannot read keys: {error}")),
            };
            let is_last = matches!(input, TopInput::Gone(_));
            if inputs.send(input).is_err() || is_last {
                return;
            }
        }
    })
}

/// Everything of the screen's thread.
struct TopScreen {
    view: TopView,
    poller: Poller,
    /// The terminal as the shell left it.
    shell: Suspend,
    window: TerminalWindow,
    terminal: Terminal<CrosstermBackend<BufWriter<Output>>>,
    /// Where the API is.
    place: String,
    palette: Palette,
}

/// How the screen ends.
type ScreenEnd = Result<Option<i32>, Failure>;

impl TopScreen {
    fn run(mut self, inputs: &Receiver<TopInput>) -> ScreenEnd {
        loop {
            self.draw()?;
            self.poller.ask(self.view.ask());
            match inputs.recv_timeout(REDRAW) {
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return gone("all threads ended"),
                Ok(input) => {
                    if let Some(end) = self.handle(input) {
                        return end;
                    }
                }
            }
            // Bounded by the channel: keys that are held do not hold up the drawing.
            for input in inputs.try_iter().take(INPUTS_MAX).collect::<Vec<_>>() {
                if let Some(end) = self.handle(input) {
                    return end;
                }
            }
        }
    }

    fn handle(&mut self, input: TopInput) -> Option<ScreenEnd> {
        let now = Instant::now();
        match input {
            TopInput::Key(key) => match self.view.handle_key(now, &key) {
                Wish::Nothing => {}
                Wish::Quit => return Some(Ok(None)),
                Wish::Interrupt => return Some(Ok(Some(SIGINT))),
                Wish::Suspend => {
                    let taken = self.window.suspend(|| self.shell.suspend());
                    return self.again(taken).err().map(Err);
                }
                Wish::End(id) => self.poller.end(id),
            },
            TopInput::Looked(look) => self.view.handle_look(now, look),
            TopInput::Ended { id, ended } => self.view.handle_ended(now, id, ended),
            // A terminal forgets what a smaller window had no room for.
            TopInput::Signal(SIGWINCH) => return self.again(Ok(())).err().map(Err),
            // Somebody stopped it from outside, and the shell may have set its own mode.
            TopInput::Signal(SIGCONT) => return self.again(self.window.retake()).err().map(Err),
            TopInput::Signal(signal) => return Some(Ok(Some(signal))),
            TopInput::Gone(what) => return Some(gone(&what)),
        }
        None
    }

    /// Draws everything anew after the terminal was taken again. `Terminal::clear` asks the
    /// terminal where its cursor is, and the answer would come among the keys.
    fn again(&mut self, taken: io::Result<()>) -> Result<(), Failure> {
        let size = taken.and_then(|()| self.terminal.size());
        let cleared =
            size.and_then(|size| self.terminal.resize(Rect::from((Position::ORIGIN, size))));
        cleared.map_err(|error| unusable(&error))
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let (view, place, palette) = (&mut self.view, &self.place, self.palette);
        let now = Instant::now();
        let drawn = self.terminal.draw(|frame| draw(frame, view, place, palette, now));
        drawn.map(drop).map_err(|error| unusable(&error))
    }
}

fn unusable(error: &io::Error) -> Failure {
    Failure::system("cannot use the terminal", error)
}

fn gone(what: &str) -> ScreenEnd {
    Err(Failure::new(Code::No, what).next("ddes top --once"))
}

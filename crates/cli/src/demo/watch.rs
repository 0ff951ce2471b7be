//! The course of the demo: starts everything, says what happens, starts again what was killed, and
//! ends in order.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level::emulate_default_handler;

use super::child::{DemoMessage, Who};
use super::party::{Party, PartyTotals};
use super::show::Show;
use super::{lines, page};
use crate::api::answers::{self, Digits};
use crate::api::{Api, understood};
use crate::args::DemoArgs;
use crate::failure::{Code, Failure};
use crate::screen;

const TICK: Duration = Duration::from_secs(1);
/// A login link comes within this time, or is not offered.
const LINK: Duration = Duration::from_secs(5);
/// What the server says over HTTP is no older.
const PUBLISHED: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Each of two steps of the end takes at most so long; what is left is killed.
const GOODBYE: Duration = Duration::from_secs(5);

pub(super) struct Demo<'a> {
    party: Party,
    messages: Receiver<DemoMessage>,
    show: &'a Show,
    home: &'a Path,
    /// Of the page, valid once.
    link: Option<String>,
    /// What the clients knew to be counted when the server was lost, and when that was.
    lost: Option<(PartyTotals, Instant)>,
    is_over: bool,
}

impl<'a> Demo<'a> {
    pub(super) fn new(
        party: Party,
        messages: Receiver<DemoMessage>,
        show: &'a Show,
        home: &'a Path,
    ) -> Self {
        Self { party, messages, show, home, link: None, lost: None, is_over: false }
    }

    pub(super) fn run(mut self, args: &DemoArgs) -> Result<(), Failure> {
        let most = Duration::from_secs(args.timeout.into());
        self.party.start_server()?;
        let is_up = |demo: &Self| !demo.party.address.ends_with(":0");
        if !self.wait(most, is_up)? {
            return self.ended_early("the server does not start", most);
        }
        for place in 0..self.party.members.len() {
            self.party.start_member(place)?;
        }
        if !self.wait(most, |demo| demo.party.members.iter().all(|member| member.is_open))? {
            return self.ended_early("the clients do not get in", most);
        }
        self.party.server.type_line("link");
        if !self.party.http.is_empty() {
            self.wait(LINK, |demo| demo.link.is_some())?;
        }
        let is_opened = self.open_page(args);
        let link = self.link.as_deref();
        self.show.line(&lines::started(&self.party, self.home, link, is_opened))?;
        let until = args.duration.map(|secs| Instant::now() + Duration::from_secs(secs.into()));
        let is_over =
            |demo: &Self| demo.is_over || until.is_some_and(|until| Instant::now() >= until);
        while !is_over(&self) {
            let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()));
            self.wait(TICK.min(left), is_over)?;
            self.show.tick(&lines::tick(&self.party))?;
        }
        self.say_goodbye()
    }

    /// Handles messages until something is so, which is given back, or the time is over, or the
    /// demo.
    fn wait(&mut self, most: Duration, is_so: impl Fn(&Self) -> bool) -> Result<bool, Failure> {
        let until = Instant::now() + most;
        while !is_so(self) {
            let left = until.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => self.handle(message)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Ok(false);
                }
            }
            if self.is_over {
                return Ok(is_so(self));
            }
        }
        Ok(true)
    }

    fn ended_early(&mut self, what: &str, most: Duration) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        let failure = Failure::new(Code::Timeout, format!("{what} within {} s", most.as_secs()));
        let mut errors = self.party.members.iter_mut().map(|member| &mut member.process);
        let error =
            self.party.server.error.take().or_else(|| errors.find_map(|of| of.error.take()));
        Err(match error {
            Some(error) => failure.cause(error),
            None => failure.cause("this machine is busy"),
        }
        .next("ddes demo --timeout SECS     (waits longer)"))
    }

    fn handle(&mut self, message: DemoMessage) -> Result<(), Failure> {
        match message {
            DemoMessage::Signal(SIGTSTP) => self.suspend(),
            DemoMessage::Signal(_) => {
                self.is_over = true;
                Ok(())
            }
            DemoMessage::Said { who, pid, event } if self.party.is_current(who, pid) => match who {
                Who::Server => self.handle_server(&event),
                Who::Client(place) => self.handle_client(place, &event),
            },
            DemoMessage::Gone { who, pid } if self.party.is_current(who, pid) => match who {
                Who::Server => self.restart_server(pid),
                Who::Client(place) => self.restart_client(place, pid),
            },
            // Of a process before the one that runs.
            DemoMessage::Said { .. } | DemoMessage::Gone { .. } => Ok(()),
        }
    }

    /// All of it stops, and continues with this process.
    fn suspend(&self) -> Result<(), Failure> {
        self.show.leave()?;
        self.party.signal_all(Signal::STOP);
        let stopped = emulate_default_handler(SIGTSTP);
        self.party.signal_all(Signal::CONT);
        stopped.map_err(|error: io::Error| Failure::system("cannot stop", &error))
    }

    fn handle_server(&mut self, event: &Value) -> Result<(), Failure> {
        match event["event"].as_str() {
            Some("listening") => {
                let text = |name: &str| event[name].as_str().unwrap_or("").to_owned();
                // The first address stays: clients and page look for it there.
                (self.party.address, self.party.http) = (text("addr"), text("http"));
            }
            Some("error") => self.party.server.error = event["what"].as_str().map(str::to_owned),
            Some("link") => self.link = event["link"].as_str().map(str::to_owned),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn handle_client(&mut self, place: usize, event: &Value) -> Result<(), Failure> {
        let member = &mut self.party.members[place];
        match event["event"].as_str() {
            Some("opened") => {
                member.take(event)?;
                member.is_open = true;
                if std::mem::take(&mut member.is_returning) {
                    self.show.line(&lines::client_returned(member))?;
                }
                self.note_return()?;
            }
            Some("counted" | "closed") => member.take(event)?,
            Some("lost") => member.is_open = false,
            Some("error") => member.process.error = event["what"].as_str().map(str::to_owned),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn restart_client(&mut self, place: usize, pid: u32) -> Result<(), Failure> {
        let member = &mut self.party.members[place];
        let end = member.process.end(member.meter.name)?;
        (member.is_open, member.is_returning) = (false, true);
        self.party.start_member(place)?;
        self.show.line(&lines::client_restarted(&self.party.members[place], pid, &end))
    }

    fn restart_server(&mut self, pid: u32) -> Result<(), Failure> {
        let end = self.party.server.end("the server")?;
        self.lost.get_or_insert((self.party.totals(), Instant::now()));
        for member in &mut self.party.members {
            member.is_open = false;
        }
        self.party.start_server()?;
        self.show.line(&lines::server_restarted(&self.party, pid, &end))
    }

    /// After a restart, once all clients have a session again.
    fn note_return(&mut self) -> Result<(), Failure> {
        if !self.party.members.iter().all(|member| member.is_open) {
            return Ok(());
        }
        let Some((before, at)) = self.lost.take() else { return Ok(()) };
        let secs = at.elapsed().as_secs_f64();
        self.show.line(&lines::server_returned(&self.party, &before, secs))
    }

    /// In the browser, if there is one and somebody looks.
    fn open_page(&self, args: &DemoArgs) -> bool {
        let may = !args.no_open && screen::is_interactive() && page::has_display();
        may && self.link.as_ref().is_some_and(|link| page::open(self.home, link))
    }

    /// The clients send what they have, then the ledger is asked, then the server ends.
    fn say_goodbye(mut self) -> Result<(), Failure> {
        self.show.leave()?;
        for member in &mut self.party.members {
            member.process.dismiss(false);
        }
        let deadline = Instant::now() + GOODBYE;
        self.await_ends(deadline, |party| {
            party.members.iter().all(|member| member.process.pid().is_none())
        })?;
        let counted = self.party.totals();
        let agrees = self.ledger_agrees(counted);
        self.party.server.dismiss(true);
        let deadline = Instant::now() + GOODBYE;
        self.await_ends(deadline, |party| party.server.pid().is_none())?;
        self.show.line(&lines::ended(&counted, agrees))
    }

    /// Until the processes have ended; a signal or the deadline ends the wait.
    fn await_ends(
        &mut self,
        deadline: Instant,
        is_so: impl Fn(&Party) -> bool,
    ) -> Result<(), Failure> {
        while !is_so(&self.party) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(DemoMessage::Gone { who, pid }) if self.party.is_current(who, pid) => {
                    match who {
                        Who::Server => self.party.server.forget(),
                        Who::Client(place) => self.party.members[place].process.forget(),
                    }
                }
                Ok(DemoMessage::Signal(signal)) if signal != SIGTSTP => return Ok(()),
                Ok(DemoMessage::Said { who: Who::Client(place), pid, event })
                    if self.party.is_current(Who::Client(place), pid) =>
                {
                    self.handle_client(place, &event)?;
                }
                Ok(
                    DemoMessage::Gone { .. } | DemoMessage::Signal(_) | DemoMessage::Said { .. },
                ) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// `None` where it cannot be asked. The server publishes what it holds a little later.
    fn ledger_agrees(&self, counted: PartyTotals) -> Option<bool> {
        let until = Instant::now() + PUBLISHED;
        loop {
            let agrees = self.ledger_totals()? == counted;
            if agrees || Instant::now() >= until {
                return Some(agrees);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// `None` where it cannot be asked.
    fn ledger_totals(&self) -> Option<PartyTotals> {
        let api = Api::new(self.party.http.parse().ok()?);
        let totals: answers::LedgerTotals = understood(api.get("/api/v1/totals").ok()?).ok()?;
        let whole = |digits: &Digits| digits.value();
        let count = u64::try_from(whole(&totals.count)?).ok()?;
        Some(PartyTotals { count, sum: whole(&totals.sum)? })
    }
}

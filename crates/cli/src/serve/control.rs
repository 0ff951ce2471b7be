//! What an operator may change in a running server, whoever asks for it: the console, a signal,
//! `ddes reload`, or a program over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ddes_server::{Files, ServerHandle};
use ddes_web::ReloadableLimits;
use serde_json::{Value, json};

use super::board::Board;
use super::systemd::Manager;
use super::{lines, settings};
use crate::args::ServeArgs;
use crate::config::{CommandLine, Configuration, Origin, Setting, args_of};
use crate::failure::{Code, Failure};
use crate::level::EventLevel;

/// Handed to whoever may change something.
#[derive(Clone)]
pub(super) struct Control {
    shared: Arc<ControlShared>,
}

struct ControlShared {
    running: Mutex<Running>,
    /// Of this process: its flags stay first.
    line: CommandLine,
    server: ServerHandle,
    board: Board,
    page: PageControl,
    /// Hears of each reload.
    manager: Manager,
    /// Asks for a reload by nobody who waits for its outcome.
    asked: SyncSender<()>,
}

/// What the page has to do with.
pub(super) struct PageControl {
    /// As it shows them.
    pub(super) limits: ReloadableLimits,
    /// Where it is.
    pub(super) http: Option<SocketAddr>,
}

struct Running {
    configuration: Configuration,
    files: Files,
}

/// What a reload changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Applied, in the order of the keys.
    pub(crate) changed: Vec<Change>,
    /// Not applied: these wait for the next start.
    pub(crate) needs_restart: Vec<Change>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// A setting with another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: &'static str,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

impl Change {
    /// As in the JSON lines of the server and of `ddes reload`.
    pub(super) fn to_json(&self) -> Value {
        json!({"key": self.key, "from": self.from, "to": self.to})
    }
}

impl Control {
    /// Of a server that runs with this configuration, which its command line began.
    pub(super) fn start(
        line: CommandLine,
        configuration: Configuration,
        files: Files,
        server: ServerHandle,
        board: Board,
        page: PageControl,
        manager: Manager,
    ) -> Result<Self, Failure> {
        // One that waits covers all that are asked for until it begins.
        let (asked, when_asked) = sync_channel(1);
        let running = Mutex::new(Running { configuration, files });
        let shared = ControlShared { running, line, server, board, page, manager, asked };
        let control = Self { shared: Arc::new(shared) };
        let working = control.clone();
        thread::Builder::new()
            .name("reload".into())
            .spawn(move || working.serve(&when_asked))
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
        Ok(control)
    }

    fn serve(&self, when_asked: &Receiver<()>) {
        while let Ok(()) = when_asked.recv() {
            // The board says how it went, which is all that was asked for.
            drop(self.reload());
        }
    }

    /// Reloads soon. Waits for nothing: a file on a slow disk must not keep signals waiting.
    pub(super) fn ask_reload(&self) {
        match self.shared.asked.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Where the server answers HTTP.
    pub(super) fn http(&self) -> Option<SocketAddr> {
        self.shared.page.http
    }

    /// Each setting as the server uses it.
    pub(super) fn entries(&self) -> Vec<Setting> {
        self.lock().configuration.entries.clone()
    }

    /// The file that was read last.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.lock().configuration.file.clone()
    }

    /// Reads the whole configuration again and applies it, or nothing of it. The board says which.
    pub(super) fn reload(&self) -> Result<Changes, Failure> {
        let outcome = self.reload_unsaid();
        self.shared.board.show(&match &outcome {
            Ok(changes) => lines::reloaded(changes),
            Err(failure) => lines::reload_failed(failure),
        });
        outcome
    }

    fn reload_unsaid(&self) -> Result<Changes, Failure> {
        // One at a time.
        let mut running = self.lock();
        let _reloading = self.shared.manager.reload();
        let named = running.configuration.args.config.as_deref();
        let new = Configuration::load(&self.shared.line, named)
            .map_err(|unusable| Failure::from(unusable).with_code(Code::No))?;
        let (changes, configuration) = merge(&running.configuration, new)?;
        let (files, _) = settings::share_files(&configuration.args)?;
        let level = self.shared.board.level_of(&configuration.args);
        self.apply(&mut running, Running { configuration, files }, level)?;
        Ok(changes)
    }

    /// Changes which lines are shown, until the next reload.
    pub(super) fn set_log_level(&self, level: EventLevel) -> Result<(), Failure> {
        let mut running = self.lock();
        let Configuration { entries, file, .. } = &running.configuration;
        let (mut entries, file) = (entries.clone(), file.clone());
        for entry in entries.iter_mut().filter(|entry| entry.key.name == "log_level") {
            entry.given = Some(level.name().into());
            (entry.value, entry.origin) = (entry.given.clone(), Origin::Operator);
        }
        let configuration = with_entries(&running.configuration, entries, file)?;
        let files = running.files;
        // Also where the run is quiet: somebody wants to see these lines now.
        self.apply(&mut running, Running { configuration, files }, level)
    }

    /// All of it, or nothing; with lines of this level from now on.
    fn apply(&self, running: &mut Running, new: Running, level: EventLevel) -> Result<(), Failure> {
        let ControlShared { server, board, page, .. } = &*self.shared;
        let args = &new.configuration.args;
        let live = settings::live(args, new.files, board.notices(level));
        let (bounds, idle) = (live.bounds.clone(), live.idle);
        if !server.apply(live) {
            return Err(Failure::new(Code::No, "the server is stopping"));
        }
        page.limits.set(bounds, idle);
        board.set_level(level);
        *running = new;
        Ok(())
    }

    /// What it guards is replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running configuration with all that a reload applies of the new one; and what that changes.
fn merge(running: &Configuration, new: Configuration) -> Result<(Changes, Configuration), Failure> {
    let mut changes = Changes { file: new.file.clone(), ..Changes::default() };
    let mut entries = Vec::new();
    for (old, new) in running.entries.iter().zip(new.entries) {
        let change = Change { key: old.key.name, from: old.value.clone(), to: new.value.clone() };
        let (list, entry) = match old.key.is_reloadable() {
            true => (&mut changes.changed, new),
            false => (&mut changes.needs_restart, old.clone()),
        };
        if change.from != change.to {
            list.push(change);
        }
        entries.push(entry);
    }
    Ok((changes, with_entries(running, entries, new.file)?))
}

/// Of one run are the home, the name of the file, and the form and extent of the output.
fn with_entries(
    running: &Configuration,
    entries: Vec<Setting>,
    file: Option<PathBuf>,
) -> Result<Configuration, Failure> {
    let ServeArgs { config, home, output, verbose, .. } = &running.args;
    let args = ServeArgs {
        config: config.clone(),
        home: home.clone(),
        output: output.clone(),
        verbose: *verbose,
        ..args_of(&entries)?
    };
    Ok(Configuration { args, entries, file })
}

//! What systemd, or another service manager, learns of the server (sd_notify(3)): when it serves,
//! that it is alive, when it reloads, and that it stops.
//!
//! The thread here asks the server's loop for each sign of life that it passes on. It has no timer
//! that would report a loop that hangs as alive.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ddes_server::{Pulse, ServerHandle};
use ddes_wire::saturating;
use sd_notify::NotifyState;

use crate::failure::Failure;
use crate::streams;

/// Pause between two signs of life without a watchdog, and the longest one with it: the status
/// line is at most this old.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The shortest pause, whatever watchdog is asked for.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// What stopping takes at most after its sessions have ended or are cut.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Tells the thread that the server stops; dropped, that it has stopped.
pub(super) type StopNote = Sender<Duration>;

/// Starts the thread that notifies the service manager; without a service manager nothing is sent.
/// `served` is the address, for the status line.
pub(super) fn watch(
    manager: Manager,
    handle: ServerHandle,
    served: String,
) -> Result<StopNote, Failure> {
    let (note, stopping) = channel();
    if manager.told.is_some() {
        let watchdog = sd_notify::watchdog_enabled();
        // Half of the time that the service manager allows, as it recommends.
        let pause = watchdog.map_or(PAUSE_MAX, |most| (most / 2).clamp(PAUSE_MIN, PAUSE_MAX));
        thread::Builder::new()
            .name("systemd".into())
            .spawn(move || run(&manager, &handle, &served, pause, &stopping))
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
    }
    Ok(note)
}

fn run(
    manager: &Manager,
    handle: &ServerHandle,
    served: &str,
    pause: Duration,
    stopping: &Receiver<Duration>,
) {
    while let Some(pulse) = handle.pulse() {
        manager.live(&status(served, pulse));
        match stopping.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(drain) => manager.stop(drain),
        }
    }
}

/// In a field of 32 bits: 71 minutes at most, which --drain-secs may exceed.
fn extend(by: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(saturating::to_u32(saturating::micros(by)))
}

fn status(served: &str, pulse: Pulse) -> String {
    let connections = match pulse.connections {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    match pulse.is_stopping {
        true => format!("Stopping, {connections} left"),
        false => format!("Serving on {served}, {connections}"),
    }
}

/// The service manager that started the server, if one did (NOTIFY_SOCKET).
#[derive(Clone)]
pub(super) struct Manager {
    told: Option<Arc<Mutex<ManagerTold>>>,
}

/// What it was told.
#[derive(Default)]
struct ManagerTold {
    is_ready: bool,
    is_stopping: bool,
    /// It took nothing, which is reported once.
    is_deaf: bool,
}

/// A reload under way: dropped, it is over.
pub(super) struct Reloading<'a>(&'a Manager);

impl Manager {
    pub(super) fn of_process() -> Self {
        Self { told: std::env::var_os("NOTIFY_SOCKET").map(|_| Arc::default()) }
    }

    /// The server is still about to serve, and needs at least this long until it says so again.
    pub(super) fn starting(&self, status: &str, more: Duration) {
        let Some(mut told) = self.told() else { return };
        told.tell(&[extend(more), NotifyState::Status(status)]);
    }

    /// The server lives. The first time, it serves from now on.
    fn live(&self, status: &str) {
        let Some(mut told) = self.told() else { return };
        if !std::mem::replace(&mut told.is_ready, true) {
            told.tell(&[NotifyState::Ready]);
        }
        told.tell(&[NotifyState::Watchdog, NotifyState::Status(status)]);
    }

    /// The server stops, and takes this long to let its sessions end.
    fn stop(&self, drain: Duration) {
        let Some(mut told) = self.told() else { return };
        told.is_stopping = true;
        told.tell(&[NotifyState::Stopping, extend(drain + STOP_MARGIN)]);
    }

    /// The configuration is read again from now on, until what this returns is dropped; whoever
    /// asked for it with `systemctl reload` waits for that. `None` if there is nobody to tell, or
    /// if the manager does not take the server for running: it would after a reload.
    pub(super) fn reload(&self) -> Option<Reloading<'_>> {
        let mut told = self.told().filter(|told| told.is_ready && !told.is_stopping)?;
        // Without the time systemd would fail the reload and end the server, so it hears neither.
        let now = NotifyState::monotonic_usec_now().ok()?;
        told.tell(&[NotifyState::Reloading, now]);
        Some(Reloading(self))
    }

    /// What it guards is whole at any time.
    fn told(&self) -> Option<MutexGuard<'_, ManagerTold>> {
        self.told.as_ref().map(|told| told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        if let Some(mut told) = self.0.told().filter(|told| !told.is_stopping) {
            told.tell(&[NotifyState::Ready]);
        }
    }
}

impl ManagerTold {
    fn tell(&mut self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !std::mem::replace(&mut self.is_deaf, true)
        {
            streams::say(&format!(
                "Warning: the service manager (NOTIFY_SOCKET) takes no messages: {error}. It may \
                 end the server."
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_a_field_of_32_bits_does_not_hold_is_the_longest() {
        let longest = u32::MAX.into();
        for (micros, expect) in [(0, 0), (longest, u32::MAX), (longest + 1, u32::MAX)] {
            let NotifyState::ExtendTimeoutUsec(extended) = extend(Duration::from_micros(micros))
            else {
                panic!("another field")
            };
            assert_eq!(extended, expect);
        }
    }
}

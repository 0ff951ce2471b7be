//! What systemd, or another service manager, learns of the server (sd_notify(3)): when it serves,
//! that it is alive, when it reloads, and that it stops.
//!
//! The thread here asks the server's loop for each sign of life that it passes on. It has no timer
//! that would report a loop that hangs as alive.

use std::convert::Infallible;
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

/// The end of the thread: what the service manager is told is told.
pub(super) struct AllTold(Receiver<Infallible>);

impl AllTold {
    /// Waits for it, at most so long. Call it when the [`StopNote`] is dropped: a process that ends
    /// earlier may not have told that it stops.
    pub(super) fn wait(&self, most: Duration) {
        match self.0.recv_timeout(most) {
            // A service manager that takes nothing does not hold up the end.
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
            Ok(never) => match never {},
        }
    }
}

/// Starts the thread that notifies the service manager; without a service manager nothing is sent.
/// `served` is the address, for the status line.
pub(super) fn watch(
    manager: Manager,
    handle: ServerHandle,
    served: String,
) -> Result<(StopNote, AllTold), Failure> {
    let (note, stopping) = channel();
    let (until_told, all_told) = channel();
    if manager.told.is_some() {
        let watchdog = sd_notify::watchdog_enabled();
        // Half of the time that the service manager allows, as it recommends.
        let pause = watchdog.map_or(PAUSE_MAX, |most| (most / 2).clamp(PAUSE_MIN, PAUSE_MAX));
        thread::Builder::new()
            .name("systemd".into())
            .spawn(move || {
                run(&manager, || handle.pulse(), &served, pause, &stopping);
                drop(until_told);
            })
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
    }
    Ok((note, AllTold(all_told)))
}

/// `pulse` asks the server's loop for a sign of life; `None`: it has ended.
fn run(
    manager: &Manager,
    pulse: impl Fn() -> Option<Pulse>,
    served: &str,
    pause: Duration,
    stopping: &Receiver<Duration>,
) {
    while let Some(pulse) = pulse() {
        manager.live(&status(served, pulse));
        match stopping.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(drain) => manager.stop(drain),
        }
    }
    // A loop with few sessions has ended before its last sign of life was asked for.
    if let Ok(drain) = stopping.try_recv() {
        manager.stop(drain);
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
    use std::time::Instant;

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

    /// No NOTIFY_SOCKET is set here: what would be sent is noted alone.
    fn listened_to() -> Manager {
        Manager { told: Some(Arc::default()) }
    }

    #[test]
    fn a_loop_that_has_ended_before_its_sign_of_life_was_asked_for_has_stopped() {
        for is_stopping in [true, false] {
            let (manager, (note, stopping)) = (listened_to(), channel());
            if is_stopping {
                note.send(Duration::from_secs(7)).unwrap();
            }
            drop(note);
            run(&manager, || None, "", PAUSE_MAX, &stopping);
            assert_eq!(manager.told().unwrap().is_stopping, is_stopping);
        }
    }

    #[test]
    fn the_end_waits_for_what_is_told_and_at_most_so_long() {
        let (until_told, all_told) = channel();
        let began = Instant::now();
        AllTold(all_told).wait(Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20));
        drop(until_told);
        let (until_told, all_told) = channel();
        let teller = thread::spawn(move || drop(until_told));
        AllTold(all_told).wait(Duration::MAX);
        teller.join().unwrap();
    }
}

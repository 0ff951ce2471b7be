//! What systemd, or another service manager, learns of the server (sd_notify(3)): when it serves,
//! that it is alive, and that it stops.
//!
//! The thread here asks the server's loop for each sign of life that it passes on. It has no timer
//! that would report a loop that hangs as alive.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use ddes_server::{Pulse, ServerHandle};
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
pub(super) fn watch(handle: ServerHandle, served: String) -> Result<StopNote, Failure> {
    let (note, stopping) = channel();
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        let watchdog = sd_notify::watchdog_enabled();
        // Half of the time that the service manager allows, as it recommends.
        let pause = watchdog.map_or(PAUSE_MAX, |most| (most / 2).clamp(PAUSE_MIN, PAUSE_MAX));
        thread::Builder::new()
            .name("systemd".into())
            .spawn(move || run(&handle, &served, pause, &stopping))
            .map_err(|error| Failure::system("cannot start a thread", &error))?;
    }
    Ok(note)
}

fn run(handle: &ServerHandle, served: &str, pause: Duration, stopping: &Receiver<Duration>) {
    let mut manager = Manager { is_deaf: false };
    let mut is_ready = false;
    while let Some(pulse) = handle.pulse() {
        if !std::mem::replace(&mut is_ready, true) {
            manager.tell(&[NotifyState::Ready]);
        }
        manager.tell(&[NotifyState::Watchdog, NotifyState::Status(&status(served, pulse))]);
        match stopping.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(drain) => {
                let most = (drain + STOP_MARGIN).as_micros();
                // A field of 32 bits, which --drain-secs exceeds above an hour.
                let most = NotifyState::ExtendTimeoutUsec(u32::try_from(most).unwrap_or(u32::MAX));
                manager.tell(&[NotifyState::Stopping, most]);
            }
        }
    }
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

/// The service manager's socket.
struct Manager {
    /// It took nothing, which is reported once.
    is_deaf: bool,
}

impl Manager {
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

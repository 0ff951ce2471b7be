//! Ctrl-C while a command waits for a server, and the system's wish that it ends.

use std::future::pending;

use tokio::runtime::Runtime;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC as Signal, ctrl_c};

use crate::failure::Failure;

pub(crate) struct Interrupt(Signal);

impl Interrupt {
    /// From now on SIGINT does not end the process by itself.
    pub(crate) fn watch(runtime: &Runtime) -> Result<Self, Failure> {
        let _entered = runtime.enter();
        #[cfg(unix)]
        let signal = signal(SignalKind::interrupt());
        #[cfg(windows)]
        let signal = ctrl_c();
        signal.map(Self).map_err(|error| unwatched(&error))
    }

    /// Waits for a Ctrl-C and gives what the command fails with.
    pub(crate) async fn came(&mut self) -> Failure {
        match self.0.recv().await {
            Some(()) => Failure::interrupted(),
            None => pending().await,
        }
    }
}

/// SIGTERM, where there is one.
pub(crate) struct Termination(#[cfg(unix)] Signal);

impl Termination {
    /// From now on SIGTERM does not end the process by itself. To be called within a runtime.
    pub(crate) fn watch() -> Result<Self, Failure> {
        #[cfg(unix)]
        return signal(SignalKind::terminate()).map(Self).map_err(|error| unwatched(&error));
        #[cfg(windows)]
        return Ok(Self());
    }

    pub(crate) async fn came(&mut self) {
        #[cfg(unix)]
        if self.0.recv().await.is_some() {
            return;
        }
        pending::<()>().await;
    }
}

fn unwatched(error: &std::io::Error) -> Failure {
    Failure::system("cannot watch for signals", error)
}

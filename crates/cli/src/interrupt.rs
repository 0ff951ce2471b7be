//! Ctrl-C while a command waits for a server.

use std::future::pending;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

pub(crate) struct Interrupt(Signal);

impl Interrupt {
    /// From now on SIGINT does not end the process by itself.
    pub(crate) fn watch(runtime: &Runtime) -> Result<Self, Failure> {
        let _entered = runtime.enter();
        let signal = signal(SignalKind::interrupt());
        signal.map(Self).map_err(|error| Failure::system("cannot watch for signals", &error))
    }

    /// Waits for a Ctrl-C and gives what the command fails with.
    pub(crate) async fn came(&mut self) -> Failure {
        match self.0.recv().await {
            Some(()) => Failure::interrupted(),
            None => pending().await,
        }
    }
}

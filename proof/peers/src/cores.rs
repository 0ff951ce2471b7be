//! Which core runs what: the servers on one, the load on the other, so that neither takes the
//! other's time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::server::{Kind, Server};

const SERVER: usize = 0;
const LOAD: usize = 1;

/// This thread and what it starts is the load; says where there is no second core.
pub(crate) fn take() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    if !pin(LOAD) {
        println!("\nOne core for both sides: the rates are of no use.");
    }
    Ok(())
}

/// A server, with all its threads, on the other core.
pub(crate) fn serve(kind: Kind) -> Result<Server, String> {
    serve_with(kind, &[])
}

/// The same with further flags of its command.
pub(crate) fn serve_with(kind: Kind, flags: &[&str]) -> Result<Server, String> {
    // On a machine with one core both fail, which `take` has printed.
    pin(SERVER);
    let server = Server::start_with(kind, flags);
    pin(LOAD);
    server
}

/// Keeps this thread on a core; `false` if the machine does not have it.
fn pin(core: usize) -> bool {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).is_ok()
}

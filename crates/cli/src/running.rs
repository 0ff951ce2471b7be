//! The running server of this home, for the commands that ask it for something.

use std::io;
use std::time::Duration;

use crate::args::RunningArgs;
use crate::failure::{Code, Failure};
use crate::home::{Home, flag};
use crate::serve::RunningServer;

/// The one that is meant; `command` is the command that asks.
pub(crate) fn find(args: &RunningArgs, command: &str) -> Result<RunningServer, Failure> {
    let home = Home::find(&args.home)?;
    let folder = home.sockets();
    let servers = RunningServer::all(&folder, Duration::from_secs(args.timeout.into()))
        .map_err(|error| Failure::system(&folder.display().to_string(), &error))?;
    choose(servers, args.pid, command)
}

fn choose(
    servers: Vec<RunningServer>,
    pid: Option<u32>,
    command: &str,
) -> Result<RunningServer, Failure> {
    let all: Vec<_> =
        servers.iter().map(|server| format!("{} on {}", server.pid, server.address)).collect();
    let is_meant = |server: &RunningServer| pid.is_none_or(|pid| server.pid == u64::from(pid));
    let mut meant: Vec<_> = servers.into_iter().filter(is_meant).collect();
    let one_of_these = || format!("ddes {command}{} --pid PID     (one of these)", flag());
    match (meant.pop(), meant.is_empty(), pid) {
        (Some(server), true, _) => Ok(server),
        (Some(_), false, _) => Err(Failure::new(
            Code::No,
            format!("{} servers of this home run: {}", all.len(), all.join(", ")),
        )
        .next(one_of_these())),
        (None, _, Some(pid)) if !all.is_empty() => Err(Failure::new(
            Code::No,
            format!("no server of this home is process {pid}; these run: {}", all.join(", ")),
        )
        .next(one_of_these())),
        (None, ..) => Err(Failure::new(Code::No, "no server of this home runs")
            .cause("it has stopped, runs with another --home, or is another user's")
            .next("--home DIR (or DDES_HOME) as the server has it; or ddes serve starts one")),
    }
}

/// It was there, and gave no answer.
pub(crate) fn lost(pid: u64, address: &str, error: &io::Error) -> Failure {
    let is_late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind());
    let code = if is_late { Code::Timeout } else { Code::No };
    Failure::new(code, format!("the server (process {pid}, on {address}) gave no answer: {error}"))
}

//! `ddes reload`.

use std::io;

use crate::args::ReloadArgs;
use crate::failure::{Code, Failure};
use crate::home::{self, Home};
use crate::screen::Screen;
use crate::serve::{RunningServer, reloaded};

pub(crate) fn run(args: &ReloadArgs) -> Result<(), Failure> {
    let home = Home::find(&args.home)?;
    let folder = home.sockets();
    let servers = RunningServer::all(&folder)
        .map_err(|error| Failure::system(&folder.display().to_string(), &error))?;
    let mut server = choose(servers, args.pid)?;
    let (pid, address) = (server.pid, server.address.clone());
    let changes = server.reload().map_err(|error| lost(pid, &address, &error))??;
    if args.output.quiet && !args.output.json {
        return Ok(());
    }
    Screen::of(&args.output).show_done(&reloaded(&changes).with("pid", pid).with("addr", address))
}

fn choose(servers: Vec<RunningServer>, pid: Option<u32>) -> Result<RunningServer, Failure> {
    let all: Vec<_> =
        servers.iter().map(|server| format!("{} on {}", server.pid, server.address)).collect();
    let is_meant = |server: &RunningServer| pid.is_none_or(|pid| server.pid == u64::from(pid));
    let mut meant: Vec<_> = servers.into_iter().filter(is_meant).collect();
    match (meant.pop(), meant.is_empty(), pid) {
        (Some(server), true, _) => Ok(server),
        (Some(_), false, _) => Err(Failure::new(
            Code::No,
            format!("{} servers of this home run: {}", all.len(), all.join(", ")),
        )
        .next(format!("ddes reload{} --pid PID     (one of these)", home::flag()))),
        (None, _, Some(pid)) if !all.is_empty() => Err(Failure::new(
            Code::No,
            format!("no server of this home is process {pid}; these run: {}", all.join(", ")),
        )
        .next(format!("ddes reload{} --pid PID     (one of these)", home::flag()))),
        (None, ..) => Err(Failure::new(Code::No, "no server of this home runs")
            .cause("it has stopped, runs with another --home, or is another user's")
            .next("--home DIR (or DDES_HOME) as the server has it; or ddes serve starts one")),
    }
}

fn lost(pid: u64, address: &str, error: &io::Error) -> Failure {
    let is_late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind());
    let code = if is_late { Code::Timeout } else { Code::No };
    let what = format!("the server (process {pid}, on {address}) gave no answer: {error}");
    Failure::new(code, what)
        .cause("it is stopping, or its configuration is on a disk that does not answer")
        .next("the server's own lines say whether it has reloaded; then: ddes reload")
}

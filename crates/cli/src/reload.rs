//! `ddes reload`.

use crate::args::RunningArgs;
use crate::failure::Failure;
use crate::running;
use crate::screen::Screen;
use crate::serve::reloaded;

pub(crate) fn run(args: &RunningArgs) -> Result<(), Failure> {
    let mut server = running::find(args, "reload")?;
    let (pid, address) = (server.pid, server.address.clone());
    let changes = server.reload().map_err(|error| {
        running::lost(pid, &address, &error)
            .cause("it is stopping, or its configuration is on a disk that does not answer")
            .next("the server's own lines say whether it has reloaded; then: ddes reload")
    })??;
    if args.output.quiet && !args.output.json {
        return Ok(());
    }
    Screen::of(&args.output).show_done(&reloaded(&changes).with("pid", pid).with("addr", address))
}

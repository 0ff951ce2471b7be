//! `ddes link`: what the console's `link` prints, of a server that has no console.

use crate::args::RunningArgs;
use crate::failure::Failure;
use crate::running;
use crate::screen::{Line, Screen};
use crate::streams;

pub(crate) fn run(args: &RunningArgs) -> Result<(), Failure> {
    let mut server = running::find(args, "link")?;
    let (pid, address) = (server.pid, server.address.clone());
    let link = server.link().map_err(|error| {
        running::lost(pid, &address, &error)
            .cause("it is stopping, or is of a release without this request")
            .next("systemctl status ddes; then: ddes link")
    })??;
    let line = Line::new("link", link.as_str()).with("link", link.as_str());
    // The link alone, so that `xdg-open "$(ddes link)"` opens it.
    Screen::of(&args.output).show_done(&line.with("pid", pid).with("addr", address))?;
    if !args.output.quiet && !args.output.json {
        streams::say(
            "It opens the page with the right to act: once, within 10 minutes. From another \
             machine, first: ssh -L 5580:127.0.0.1:5580 HOST (with the link's port).",
        );
    }
    Ok(())
}

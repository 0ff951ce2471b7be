//! A server and clients on another processor, with each other and with the Python peer.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::toolchain::{Foreign, Toolchain};
use crate::process::{Running, Server, World, lines, output};
use crate::shell;

const SUMS: &str = "42\n92\n";
/// For a server to say where it listens; an emulator begins slowly.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// `ddes` under the emulator, with a home of its own.
struct Emulated<'a> {
    toolchain: &'a Toolchain,
    foreign: &'a Foreign,
    world: &'a World,
}

impl Emulated<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.toolchain.emulated(self.foreign, "ddes");
        command.args(arguments).env("DDES_HOME", &self.world.home).env("DDES_HTTP", "off");
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Result<String, String> {
        output(&mut self.command(arguments))
            .map_err(|said| format!("`ddes {}` failed: {said}", arguments.join(" ")))
    }

    fn expect(&self, arguments: &[&str], expected: &str) -> Result<(), String> {
        same(&format!("`ddes {}`", arguments.join(" ")), &self.output(arguments)?, expected)
    }

    /// A running server, and its public key.
    fn serve(&self) -> Result<(Server, String), String> {
        let mut server = self.world.serve(&mut self.command(&[]), &[])?;
        if !server.listens()? {
            return Err(format!("the server ended:\n{}", server.said.text()));
        }
        let key = self.output(&["key", "show", "--server-key", "--quiet"])?;
        Ok((server, key.trim().to_owned()))
    }

    /// Ends a server; its ledger is whole.
    fn stop(&self, mut server: Server) -> Result<(), String> {
        match server.process.stop()? {
            Some(0) => self.output(&["ledger", "verify"]).map(drop),
            code => Err(format!("the server ended with {code:?}:\n{}", server.said.text())),
        }
    }
}

fn same(what: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} gives {found:?}, and {expected:?} was expected"))
}

/// Builds `ddes` and does something with it in a home.
fn with(
    toolchain: &Toolchain,
    foreign: &Foreign,
    act: impl FnOnce(&Emulated<'_>) -> Result<(), String>,
) -> Result<(), String> {
    toolchain.cargo(foreign.triple, &["build", "--quiet", "--package", "ddes"], &[])?;
    let world = World::empty("platforms")?;
    let outcome = act(&Emulated { toolchain, foreign, world: &world });
    world.end(outcome)
}

/// Integers from a client to a server that both run under the emulator, and the ledger verified.
pub(super) fn send_and_serve(toolchain: &Toolchain, foreign: &Foreign) -> Result<(), String> {
    with(toolchain, foreign, |ddes| {
        let (server, key) = ddes.serve()?;
        let address = &ddes.world.address;
        ddes.output(&["trust", "add", address, &key])?;
        ddes.expect(&["send", "--quiet", "--server", address, "42", "50"], SUMS)?;
        let outbox = ddes.world.home.join("outbox").display().to_string();
        let through = ["send", "--quiet", "--server", address, "--outbox", &outbox, "--", "-2"];
        ddes.expect(&through, "90\n")?;
        ddes.stop(server)
    })
}

/// The Python client at our server, and our client at the Python server.
pub(super) fn python(toolchain: &Toolchain, foreign: &Foreign) -> Result<(), String> {
    let python = shell::python()?;
    with(toolchain, foreign, |ddes| {
        python_client(ddes, &python)?;
        python_server(ddes, &python)
    })
}

fn python_client(ddes: &Emulated<'_>, python: &str) -> Result<(), String> {
    ddes.output(&["key", "new", "peer"])?;
    let (server, server_key) = ddes.serve()?;
    let (host, port) = ddes.world.address.split_once(':').ok_or("an address has a port")?;
    let key = ddes.world.home.join("identities/peer").display().to_string();
    let mut client = Command::new(python);
    client.arg("peer/ddes2/client.py").args(["--host", host, "--port", port]);
    client.args(["--key", &key, "--server-key", &server_key, "42", "50"]);
    let sums = output(client.current_dir(shell::root()));
    same("the Python client", &sums.map_err(|said| format!("the Python client: {said}"))?, SUMS)?;
    ddes.stop(server)
}

fn python_server(ddes: &Emulated<'_>, python: &str) -> Result<(), String> {
    let mut command = Command::new(python);
    command.args(["peer/ddes2/server.py", "--port", "0"]).current_dir(shell::root());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = command.spawn().map(Running).map_err(|error| error.to_string())?;
    let said = server.0.stdout.take().ok_or("the Python server has no output")?;
    let (sender, receiver) = channel();
    // Who has heard both needs no more lines.
    lines(said, move |line| drop(sender.send(line.to_owned())));
    let (mut key, mut address) = (None, None);
    while key.is_none() || address.is_none() {
        let line = receiver
            .recv_timeout(BEGINS_WITHIN)
            .map_err(|error| format!("the Python server does not begin: {error}"))?;
        key = line.strip_prefix("key ").map(str::to_owned).or(key);
        address = line.strip_prefix("listening ").map(str::to_owned).or(address);
    }
    let (Some(key), Some(address)) = (key, address) else {
        return Err("the Python server does not begin".into());
    };
    ddes.output(&["trust", "add", &address, &key])?;
    ddes.expect(&["send", "--quiet", "--server", &address, "42", "50"], SUMS)
}

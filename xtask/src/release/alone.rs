//! The one file where nothing else is: in a root folder of its own, without /proc, /dev, /etc, a
//! locale or a user's name, it serves, sends and verifies. What it cannot do there it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::files;
use crate::process::{self, Running};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// What must be said where something is missing: the command, its exit code, and a part of its
/// error.
const LACKS: &[(&[&str], i32, &str)] = &[
    (&["total"], 2, "there is no home directory"),
    (&["total", "--home", "/home", "--server", "counter.example:1"], 3, "counter.example"),
    (&["demo", "--no-open", "--duration", "1"], 1, "cannot"),
    (&["ledger", "verify", "--home", "/nobody"], 1, "/nobody"),
];

/// For a program of another processor, `emulator` is a static program that goes along.
pub(super) fn serves(program: &Path, emulator: Option<&str>) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("ddes-alone-{}", std::process::id()));
    files::empty(&folder)?;
    files::copy(program, &folder.join("ddes"))?;
    if let Some(emulator) = emulator {
        let path = process::output(Command::new("which").arg(emulator))?;
        files::copy(Path::new(path.trim()), &folder.join("emulator"))?;
    }
    let who = process::output(Command::new("id").arg("-u"))?;
    let outcome = counts(&Alone {
        folder: folder.clone(),
        is_root: who.trim() == "0",
        is_emulated: emulator.is_some(),
    });
    outcome.map_err(|why| format!("{why}\nwhat it left is in {}", folder.display()))?;
    files::remove(&folder)
}

fn counts(alone: &Alone) -> Result<(), String> {
    alone.ddes(&["version", "--json"])?;
    let mut server = alone.serve("127.0.0.1:0")?;
    let key = alone.ddes(&["key", "show", "--server-key", "--quiet", "--home", "/home"])?;
    let to = |server: &AloneServer, command: &str, rest: &[&str]| {
        let flags = [command, "--quiet", "--home", "/home", "--server", &server.address];
        alone.ddes(&[&flags[..], &["--trust", key.trim()], rest].concat())
    };
    expect(&to(&server, "send", &["1", "2", "3"])?, "1\n3\n6")?;
    let health = alone.ddes(&["check", "--quiet", "--http", &server.http, "--home", "/home"]);
    health.map_err(|why| format!("its HTTP port: {why}"))?;
    // As in a power cut: what was said is in the ledger.
    server.process.0.kill().map_err(|error| error.to_string())?;
    server.process.wait(WAIT_MAX)?;
    let mut server = alone.serve(&server.address)?;
    expect(&to(&server, "send", &["--outbox", "/outbox", "--adopt", "4"])?, "10")?;
    expect(&to(&server, "total", &[])?, "10")?;
    let code = server.process.stop()?;
    if code != Some(0) {
        return Err(format!("the server ended with {code:?}"));
    }
    alone.ddes(&["ledger", "verify", "--home", "/home"])?;
    for (arguments, code, part) in LACKS {
        let (found, said) = alone.outcome(arguments)?;
        if (found, said.contains(part)) != (Some(*code), true) {
            return Err(format!(
                "{arguments:?}: exit code {found:?}, not {code} and `{part}`: {said}"
            ));
        }
    }
    println!("alone in its folder it served, sent and verified");
    Ok(())
}

fn expect(found: &str, expected: &str) -> Result<(), String> {
    match found.trim() == expected {
        true => Ok(()),
        false => Err(format!("it printed {found:?}, not {expected:?}")),
    }
}

struct Alone {
    folder: PathBuf,
    is_root: bool,
    is_emulated: bool,
}

struct AloneServer {
    process: Running,
    address: String,
    http: String,
}

impl Alone {
    /// With a root folder of its own, and nothing in the environment. Whoever is not root is so in
    /// a namespace of users.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        // By which unshare itself is found.
        let path = std::env::var_os("PATH");
        command.env_clear().envs(path.map(|path| ("PATH", path)));
        if !self.is_root {
            command.arg("--map-root-user");
        }
        command.arg("--root").arg(&self.folder);
        command.args(self.is_emulated.then_some("/emulator")).arg("/ddes").args(arguments);
        command
    }

    fn outcome(&self, arguments: &[&str]) -> Result<(Option<i32>, String), String> {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot run unshare: {error}"))?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// What a command prints that succeeds.
    fn ddes(&self, arguments: &[&str]) -> Result<String, String> {
        process::output(self.command(arguments).stdin(Stdio::null()))
            .map_err(|said| format!("{arguments:?}: {said}"))
    }

    fn serve(&self, listen: &str) -> Result<AloneServer, String> {
        let flags = ["serve", "--json", "--quiet", "--home", "/home", "--listen", listen];
        let mut command = self.command(&[&flags[..], &["--http", "127.0.0.1:0"]].concat());
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().map(Running).map_err(|error| error.to_string())?;
        let output = process.0.stdout.take().ok_or("the server has no output")?;
        let (sender, said) = mpsc::channel();
        // Lines behind the first are read for the server's sake: nobody waits for them.
        process::lines(output, move |line| drop(sender.send(line.to_owned())));
        let first = said.recv_timeout(WAIT_MAX).map_err(|_| "the server says nothing")?;
        let text = |name: &str| {
            let mark = format!("\"{name}\":\"");
            let value = first.split(&mark).nth(1).and_then(|rest| rest.split('"').next());
            value.map(str::to_owned).ok_or_else(|| format!("it does not listen: {first}"))
        };
        Ok(AloneServer { address: text("addr")?, http: text("http")?, process })
    }
}

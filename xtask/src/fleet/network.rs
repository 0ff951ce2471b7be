//! Hosts of a fleet on this machine: each is a network namespace, with a cable to one or two
//! switches. Pulling a cable loses frames and tells nobody, as between real machines.
//!
//! A janitor removes all of it, with the processes in it, when its input ends: also when whoever
//! started it was killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::output;
use crate::shell;

/// Switch `front` has clients and servers, switch `back` servers and databases.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    Front,
    Back,
}

impl Switch {
    fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Back => "back",
        }
    }

    /// The address of the host with this number.
    pub(crate) fn address(self, number: u8) -> String {
        match self {
            Self::Front => format!("10.77.1.{number}"),
            Self::Back => format!("10.77.0.{number}"),
        }
    }
}

/// Ends with its input. `$1` is what the namespaces' names begin with, `$2` the folder.
const JANITOR: &str = r#"
trap '' INT TERM HUP
while read -r line; do :; done
spaces=$(ip netns list | cut -d ' ' -f 1 | grep "^$1-")
for round in 1 2 3 4 5; do
    for space in $spaces; do
        for process in $(ip netns pids "$space"); do kill -KILL "$process" 2>/dev/null; done
    done
    sleep 0.2
done
for space in $spaces; do ip netns delete "$space"; done
mount | cut -d ' ' -f 3 | grep "^$2/" | while read -r place; do umount "$place" || umount -l "$place"; done
rm -rf --one-file-system "$2"
"#;

pub(crate) struct Network {
    prefix: String,
    /// Where the hosts have their files.
    pub(crate) folder: PathBuf,
    janitor: Option<Child>,
}

impl Network {
    /// Both switches, and an empty folder.
    pub(crate) fn new() -> Result<Self, String> {
        let prefix = format!("ddes{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("ddes-fleet-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // Its own session: a Ctrl-C of the terminal is not for it.
        let mut janitor = Command::new("setsid");
        janitor.args(["sh", "-c", JANITOR, "janitor", &prefix]).arg(&folder);
        let janitor = janitor.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let janitor = Some(janitor.map_err(|error| format!("setsid: {error}"))?);
        let network = Self { prefix, folder, janitor };
        // Users other than root read there.
        shell::run("chmod", &["755", &network.folder.display().to_string()], &[])?;
        network.ip(&["netns", "add", &network.space("hub")])?;
        for switch in [Switch::Front, Switch::Back] {
            network.in_hub(&["link", "add", switch.name(), "type", "bridge"])?;
            network.in_hub(&["link", "set", switch.name(), "up"])?;
        }
        Ok(network)
    }

    fn space(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        output(Command::new("ip").args(arguments))
            .map(drop)
            .map_err(|why| format!("ip {}: {why}", arguments.join(" ")))
    }

    fn in_hub(&self, arguments: &[&str]) -> Result<(), String> {
        self.ip(&[&["-netns", &self.space("hub")], arguments].concat())
    }

    /// A host with this number at each of these switches.
    pub(crate) fn add(&self, host: &str, number: u8, switches: &[Switch]) -> Result<(), String> {
        let space = self.space(host);
        self.ip(&["netns", "add", &space])?;
        let inside = |arguments: &[&str]| self.ip(&[&["-netns", &space], arguments].concat());
        inside(&["link", "set", "lo", "up"])?;
        for switch in switches {
            let (name, cable) = (switch.name(), cable(host, *switch));
            let peer = ["type", "veth", "peer", "name", name, "netns", &space];
            self.in_hub(&[&["link", "add", &cable], &peer[..]].concat())?;
            self.plug(host, *switch)?;
            self.in_hub(&["link", "set", &cable, "up"])?;
            let address = switch.address(number) + "/24";
            inside(&["address", "add", &address, "dev", name])?;
            inside(&["link", "set", name, "up"])?;
        }
        Ok(())
    }

    /// Loses every frame from and to the host at this switch. Both ends think that the cable is in.
    pub(crate) fn unplug(&self, host: &str, switch: Switch) -> Result<(), String> {
        self.in_hub(&["link", "set", &cable(host, switch), "nomaster"])
    }

    pub(crate) fn plug(&self, host: &str, switch: Switch) -> Result<(), String> {
        self.in_hub(&["link", "set", &cable(host, switch), "master", switch.name()])
    }

    /// A program that runs on a host.
    pub(crate) fn on(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(host)]).arg(program);
        command
    }

    /// The same as PostgreSQL's user, since many of these programs refuse root.
    pub(crate) fn on_as_postgres(&self, host: &str, program: &str, home: &Path) -> Command {
        let mut command = self.on(host, "setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", program]);
        // Whoever started this may have a folder that the user may not read.
        command.env("HOME", home).current_dir("/");
        command
    }

    /// The processes of a host.
    fn processes(&self, host: &str) -> Result<Vec<String>, String> {
        let pids = output(Command::new("ip").args(["netns", "pids", &self.space(host)]))?;
        Ok(pids.split_whitespace().map(str::to_owned).collect())
    }

    /// Sends each process of a host a signal.
    pub(crate) fn signal(&self, host: &str, signal: &str) -> Result<(), String> {
        for process in self.processes(host)? {
            let sent = output(Command::new("kill").args([signal, &process]));
            // Some end when others do.
            if let Err(why) = sent
                && Path::new("/proc").join(&process).exists()
            {
                return Err(format!("kill {signal} {process}: {why}"));
            }
        }
        Ok(())
    }

    /// Kills the processes of a host whose program has this name; how many there were.
    pub(crate) fn kill_named(&self, host: &str, name: &str) -> Result<usize, String> {
        let is_named = |process: &String| {
            let comm = std::fs::read_to_string(Path::new("/proc").join(process).join("comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        };
        let found: Vec<_> = self.processes(host)?.into_iter().filter(is_named).collect();
        for process in &found {
            // The postmaster's end is its children's.
            drop(output(Command::new("kill").args(["-KILL", process])));
        }
        Ok(found.len())
    }

    /// The host is gone: its cable first, so that no last word of its processes gets out.
    pub(crate) fn destroy(&self, host: &str, switch: Switch) -> Result<(), String> {
        self.unplug(host, switch)?;
        // Processes that were being started are there at the second look.
        while !self.processes(host)?.is_empty() {
            self.signal(host, "-KILL")?;
        }
        Ok(())
    }

    /// A folder of a host's own, on a disk of its own.
    pub(crate) fn disk(&self, host: &str, megabytes: u32) -> Result<PathBuf, String> {
        let folder = self.folder.join(host);
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let size = format!("size={megabytes}m");
        let shown = folder.display().to_string();
        shell::run("mount", &["-t", "tmpfs", "-o", &size, "ddes-fleet", &shown], &[])?;
        Ok(folder)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(mut janitor) = self.janitor.take() else { return };
        if let Some(mut input) = janitor.stdin.take() {
            // Its end is what counts, and that comes with the drop.
            drop(input.flush());
        }
        drop(janitor.wait());
    }
}

/// The hub's end of a cable.
fn cable(host: &str, switch: Switch) -> String {
    format!("{}-{host}", switch.name())
}

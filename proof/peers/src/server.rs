//! The servers under test, each a process of its own on a free port.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::figures::status_kib;
use crate::redis;

/// A kind of server that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// This project's server with the classic profile: `ddes serve --classic`.
    Ours,
    /// `ddes serve`, letting in every key.
    OursSecure,
    /// The same with its default bounds.
    OursBounded,
    /// As `OursSecure`, with its ledger in a folder.
    OursDurable,
    /// rustls, this program in another role.
    Rustls,
    /// The same, answering 32 bytes with themselves.
    RustlsEcho,
    /// Redis over TLS, and with `appendfsync always`.
    Redis,
    RedisDurable,
    /// The Python peer with ffdhe2048, its two writes a reply as the original makes them.
    PythonNamedGroup,
    /// The same with TCP_NODELAY: the original without its stall.
    PythonNoDelay,
    /// The Python peer that makes a 2048-bit group for each connection, as the original does.
    PythonFreshGroup,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "`ddes serve --classic`",
            Self::OursSecure | Self::OursBounded => "`ddes serve`",
            Self::OursDurable => "`ddes serve`, a folder",
            Self::Rustls => "rustls",
            Self::RustlsEcho => "tokio-rustls echo, 32 bytes",
            Self::Redis => "Redis TLS",
            Self::RedisDurable => "Redis TLS, appendfsync always",
            Self::PythonNamedGroup => "Python peer, ffdhe2048",
            Self::PythonNoDelay => "Python peer, ffdhe2048, TCP_NODELAY",
            Self::PythonFreshGroup => "Python peer, a fresh group each (the original's way)",
        }
    }

    fn command(self, folder: &Path) -> Result<Command, String> {
        let python = |arguments: &[&str]| {
            let python =
                std::env::var_os("DDES_PEER_PYTHON").ok_or("DDES_PEER_PYTHON is not set")?;
            let mut command = Command::new(python);
            command.args(["peer/classic/server.py", "--port", "0"]).args(arguments);
            Ok(command)
        };
        let own = |name: &str, arguments: &[&str]| {
            let program =
                std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(name);
            let mut command = Command::new(program);
            command.args(arguments).env("DDES_HOME", folder);
            Ok(command)
        };
        let ledger = folder.join("ledger").display().to_string();
        let ours = |ledger: &str, more: &[&str]| {
            let serve = ["serve", "--listen", "127.0.0.1:0", "--json", "--ledger", ledger];
            // All load comes from one address, as fast as it can.
            let any_rate = ["--max-connects-per-sec", "0", "--max-handshakes-per-sec", "0"];
            own("ddes", &[&serve[..], &any_rate, more].concat())
        };
        let secure = [
            "--allow-any",
            "--suite",
            "hybrid,ddes",
            "--idle-secs",
            "3600",
            "--max-connections",
            "18000",
            "--max-unproven",
            "18000",
        ];
        let peer = |service: &str| {
            crate::tls::make_certificates(folder)?;
            own("ddes-peers", &["tls-server", &folder.display().to_string(), service])
        };
        match self {
            Self::Ours => ours("memory", &["--classic", "--classic-wait-ms", "0"]),
            Self::OursSecure => ours("memory", &secure),
            Self::OursBounded => ours("memory", &["--allow-any"]),
            Self::OursDurable => ours(&ledger, &secure),
            Self::Rustls => peer("sums"),
            Self::RustlsEcho => peer("echo"),
            Self::Redis => redis::command(folder, false),
            Self::RedisDurable => redis::command(folder, true),
            Self::PythonNamedGroup => python(&["--group", "ffdhe2048"]),
            Self::PythonNoDelay => python(&["--group", "ffdhe2048", "--nodelay"]),
            Self::PythonFreshGroup => python(&["--group", "fresh"]),
        }
    }
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: String,
    /// The folder that holds its keys.
    pub(crate) folder: PathBuf,
    process: Child,
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Result<Self, String> {
        Self::start_with(kind, &[])
    }

    /// The same with further flags of its command.
    pub(crate) fn start_with(kind: Kind, flags: &[&str]) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("ddes-peers-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut command = kind.command(&folder)?;
        command.args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process =
            command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let output = process.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| address(&line).or_else(|| redis::address(&line, &folder)))
            .ok_or_else(|| format!("{} did not say where it listens", kind.name()))?;
        // What else it says is read, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { kind, address, folder, process })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        cpu_of(self.id())
    }

    /// Resident memory in KiB, from `/proc`.
    pub(crate) fn resident_kib(&self) -> Result<u64, String> {
        status_kib(self.id(), "VmRSS:")
    }

    /// The most that it was so far.
    pub(crate) fn peak_kib(&self) -> Result<u64, String> {
        status_kib(self.id(), "VmHWM:")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("{} does not stop: {error}", self.kind.name());
        }
        // It is in the system's folder for such things.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// `listening HOST:PORT`, or our JSON.
fn address(line: &str) -> Option<String> {
    let after = |start: &str, end: char| {
        let rest = line.split_once(start)?.1;
        Some(rest.split(end).next().unwrap_or(rest).trim().to_owned())
    };
    after("\"addr\":\"", '"').or_else(|| after("listening ", '\n'))
}

/// Processor time that a process used so far, in ticks of 10 ms.
pub(crate) fn cpu_of(process: u32) -> Result<Duration, String> {
    let nanos = ddes_load::cpu_of(process).ok_or(format!("process {process} is gone"))?;
    Ok(Duration::from_nanos(nanos))
}

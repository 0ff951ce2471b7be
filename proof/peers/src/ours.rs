//! `ddes bench run` against `ddes serve`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ddes_identity::read_public;
use ddes_load::RunRecord;

use crate::figures::Figures;
use crate::server::Server;

/// Sessions, values in a frame, frames of a session on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) sessions: u32,
    pub(crate) batch: u16,
    pub(crate) pipeline: u32,
    /// Values a second of all sessions, by the clock; else a frame goes out when one was answered.
    pub(crate) rate: Option<u32>,
}

/// A load under way.
pub(crate) struct Run {
    process: Child,
    saved: PathBuf,
}

/// `length` and `warm_up` count in whole seconds, `length` as one at least.
pub(crate) fn start(
    server: &Server,
    load: Load,
    length: Duration,
    warm_up: Duration,
) -> Result<Run, String> {
    let mut arguments = vec![
        "--sessions".into(),
        load.sessions.to_string(),
        "--batch".into(),
        load.batch.to_string(),
        "--pipeline".into(),
        load.pipeline.to_string(),
        "--duration".into(),
        length.as_secs().max(1).to_string(),
        "--warmup".into(),
        warm_up.as_secs().to_string(),
    ];
    if let Some(rate) = load.rate {
        arguments.extend(["--rate".into(), rate.to_string()]);
    }
    run(server, "load", &arguments)
}

/// `ddes bench run` with these arguments; `name` tells what runs at the same time apart.
pub(crate) fn run<S: AsRef<OsStr>>(
    server: &Server,
    name: &str,
    arguments: &[S],
) -> Result<Run, String> {
    let key = std::fs::read_to_string(server.folder.join("server_key.pub")).map_err(text)?;
    let key = read_public(&key).map_err(text)?;
    let (home, saved) = (server.folder.join(name), server.folder.join(format!("{name}.json")));
    let program = std::env::current_exe().map_err(text)?.with_file_name("ddes");
    let mut command = Command::new(program);
    command.args([
        "bench",
        "run",
        "--quiet",
        "--no-input",
        "--yes",
        "--timeout",
        "60",
        "--server",
        &server.address,
    ]);
    command.args(["--trust", &key.fingerprint(), "--server-pid", &server.id().to_string()]);
    command.args(arguments).arg("--save").arg(&saved).env("DDES_HOME", home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let process = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    Ok(Run { process, saved })
}

impl Run {
    /// Waits for its end. Fails too where the server's sums are not what was sent.
    pub(crate) fn record(self) -> Result<RunRecord, String> {
        let output = self.process.wait_with_output().map_err(text)?;
        if !output.status.success() {
            return Err(format!("ddes bench run: {}", String::from_utf8_lossy(&output.stderr)));
        }
        RunRecord::parse(&std::fs::read_to_string(&self.saved).map_err(text)?).map_err(text)
    }
}

/// See [`start`] and [`Run::record`].
pub(crate) fn load(
    server: &Server,
    load: Load,
    length: Duration,
    warm_up: Duration,
) -> Result<Figures, String> {
    let record = start(server, load, length, warm_up)?.record()?;
    let server_cpu = record.generator.server_cpu_secs.ok_or("the load saw no processor time")?;
    let nanos = Duration::from_nanos;
    Ok(Figures {
        rate: record.values_per_sec,
        latency: Some((nanos(record.latency.p50_ns), nanos(record.latency.p99_ns))),
        cpu: Duration::from_secs_f64(server_cpu / record.values.max(1) as f64),
        server_share: server_cpu / record.seconds,
        load_share: record.generator.cpu_secs / record.seconds,
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

//! `ddes bench run` against `ddes serve`.

use std::process::Command;
use std::time::Duration;

use ddes_identity::read_public;
use ddes_load::Record;

use crate::figures::Figures;
use crate::server::Server;

/// Sessions, values in a frame, frames of a session on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) sessions: u32,
    pub(crate) batch: u16,
    pub(crate) pipeline: u32,
}

/// Fails too where the server's sums are not what was sent. `length` and `warm_up` count in whole seconds, `length` as one at least.
pub(crate) fn load(
    server: &Server,
    load: Load,
    length: Duration,
    warm_up: Duration,
) -> Result<Figures, String> {
    let (sessions, batch, pipeline) =
        (load.sessions.to_string(), load.batch.to_string(), load.pipeline.to_string());
    let (length, warm_up) = (length.as_secs().max(1).to_string(), warm_up.as_secs().to_string());
    let shape = ["--sessions", &sessions, "--batch", &batch, "--pipeline", &pipeline];
    let record = run(server, "load", &[&shape[..], &["--duration", &length, "--warmup", &warm_up]].concat())?;
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

/// One run with `more` arguments; `name` tells what runs at the same time apart.
pub(crate) fn run(server: &Server, name: &str, more: &[&str]) -> Result<Record, String> {
    let text = |error: std::io::Error| error.to_string();
    let key = std::fs::read_to_string(server.folder.join("server_key.pub")).map_err(text)?;
    let key = read_public(&key).map_err(|error| error.to_string())?;
    let (home, saved) = (server.folder.join(name), server.folder.join(format!("{name}.json")));
    let program = std::env::current_exe().map_err(text)?.with_file_name("ddes");
    let mut command = Command::new(program);
    command.args(["bench", "run", "--quiet", "--no-input", "--timeout", "60", "--server", &server.address]);
    command.args(["--trust", &key.fingerprint(), "--server-pid", &server.id().to_string()]);
    command.args(more).arg("--save").arg(&saved).env("DDES_HOME", home);
    let output = command.output().map_err(text)?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let record = std::fs::read_to_string(&saved).map_err(text)?;
    Record::parse(&record).map_err(|error| error.to_string())
}

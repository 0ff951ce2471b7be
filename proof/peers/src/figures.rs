//! What is measured of any server under any load.

use std::time::{Duration, Instant};

use crate::report;
use crate::server::{Server, cpu_of};

/// The results of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Operations a second, over the whole time.
    pub(crate) rate: f64,
    /// Median and 99th percentile.
    pub(crate) latency: Option<(Duration, Duration)>,
    /// The server's processor time for an operation.
    pub(crate) cpu: Duration,
    /// The share of a core that each side used.
    pub(crate) server_share: f64,
    pub(crate) load_share: f64,
}

impl Figures {
    /// In words, and empty where there are none.
    pub(crate) fn latencies(&self) -> [String; 2] {
        self.latency.map_or([const { String::new() }; 2], |(median, p99)| {
            [median, p99].map(report::duration)
        })
    }
}

/// The processor times of both sides as they were.
pub(crate) struct Clock<'a> {
    server: &'a Server,
    load: u32,
    start: Instant,
    before: (Duration, Duration),
}

impl<'a> Clock<'a> {
    pub(crate) fn start(server: &'a Server, load: u32) -> Result<Self, String> {
        Ok(Self { server, load, before: (server.cpu()?, cpu_of(load)?), start: Instant::now() })
    }

    /// Ends the measurement, after this many operations.
    pub(crate) fn stop(
        &self,
        operations: u64,
        latency: Option<(Duration, Duration)>,
    ) -> Result<Figures, String> {
        let elapsed = self.start.elapsed().as_secs_f64();
        let (server, load) =
            (self.server.cpu()? - self.before.0, cpu_of(self.load)? - self.before.1);
        Ok(Figures {
            rate: operations as f64 / elapsed,
            latency,
            cpu: server.div_f64(operations.max(1) as f64),
            server_share: server.as_secs_f64() / elapsed,
            load_share: load.as_secs_f64() / elapsed,
        })
    }
}

/// The middle one; none where one is missing.
pub(crate) fn median(mut of: Vec<f64>) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().filter(|_| of.iter().all(|it| it.is_finite()))
}

/// A line of `/proc/PROCESS/status` that is in kB: `VmRSS:` is resident memory, `VmHWM:` the most
/// of it so far.
pub(crate) fn status_kib(process: impl std::fmt::Display, name: &str) -> Result<u64, String> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    line.and_then(|kib| kib.parse().ok()).ok_or_else(|| format!("{path} has no {name}"))
}

/// Bytes of memory that this process has.
pub(crate) fn resident() -> Result<u64, String> {
    Ok(status_kib("self", "VmRSS:")? * 1024)
}

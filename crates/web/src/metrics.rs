//! `GET /metrics`: counters and gauges for Prometheus, in the OpenMetrics text format. Labels are
//! bounded: none is of a client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use ddes_ledger::Health;
use ddes_ledger::keeper::KeeperCounts;
use ddes_server::watch::{CauseCounts, Histogram, Profile, ServerStats, SessionCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::app::{App, lock};
use crate::error::ApiError;
use crate::files::LedgerFiles;
use crate::health::unready;
use crate::process::ProcessUsage;
use crate::totals::CachedTotals;
use crate::verification::VerificationOutcome;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Limits of the buckets for the time of a commit.
const BUCKETS_MICROS: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    10_000_000,
];

/// Everything that one scrape shows.
#[derive(Debug)]
struct Scrape {
    version: &'static str,
    started: SystemTime,
    stats: ServerStats,
    connections_max: u64,
    is_ready: bool,
    /// `None` if the ledger never answered.
    accounts: Option<u64>,
    files: Option<LedgerFiles>,
    verified: Option<(SystemTime, bool)>,
    clock_jumps: u64,
    events_dropped: u64,
    usage: Option<ProcessUsage>,
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let usage = app.aside.run(ProcessUsage::read).await?;
    // A server that is stuck is scraped all the same.
    let accounts = CachedTotals::last_known(&app).await.map(|(totals, _)| totals.accounts);
    let stats = app.watch.stats();
    let scrape = Scrape {
        version: app.about.version,
        started: app.started,
        connections_max: app.about.limits.bounds().connections_max as u64,
        is_ready: unready(&app, &stats).is_empty(),
        accounts,
        files: *lock(&app.ledger_files),
        verified: app
            .verification
            .standing()
            .map(|finding| (finding.time, finding.outcome == VerificationOutcome::Whole)),
        clock_jumps: lock(&app.history).clock_jumps,
        events_dropped: app.events.dropped(),
        usage,
        stats,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|_| ApiError::internal("the metrics could not be written"))?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = MetricsWriter(encoder);
        self.server(&mut out)?;
        self.sessions(&mut out)?;
        self.ledger(&mut out)?;
        self.process(&mut out)
    }
}

impl Scrape {
    fn server(&self, out: &mut MetricsWriter<'_>) -> fmt::Result {
        let (counts, gauges) = (&self.stats.counts, &self.stats.gauges);
        out.0
            .encode_descriptor("ddes_build", "The release of the server", None, MetricType::Info)?
            .encode_info(&[("version", self.version)])?;
        out.gauge(
            "ddes_start_time_seconds",
            "When the server started, in seconds since 1970",
            secs_of(self.started),
        )?;
        out.gauge("ddes_ready", "Whether clients can be served", self.is_ready.into())?;
        out.gauge("ddes_connections", "Open connections", count(gauges.connections as u64))?;
        out.gauge("ddes_connections_max", "The limit on them", count(self.connections_max))?;
        out.gauge(
            "ddes_unproven_connections",
            "Open connections without a proven identity",
            count(gauges.unproven as u64),
        )?;
        out.counter("ddes_connections_accepted", "Accepted connections", counts.accepted)?;
        out.causes(
            "ddes_connections_refused",
            "Connections refused at once, by reason",
            &counts.refused,
        )?;
        out.counter("ddes_received_bytes", "Bytes received from clients", counts.received_bytes)?;
        out.counter("ddes_sent_bytes", "Bytes sent to clients", counts.sent_bytes)?;
        out.counter(
            "ddes_access_list_errors",
            "Errors found in the lists of authorized keys",
            self.stats.access_errors,
        )?;
        out.gauge(
            "ddes_access_list_faults",
            "Errors that these lists have now",
            count(self.stats.access_faults),
        )?;
        out.counter("ddes_clock_jumps", "How often the clock was set", self.clock_jumps)?;
        out.counter(
            "ddes_events_dropped",
            "Lines of the log that were dropped because nobody read them in time",
            self.events_dropped,
        )
    }

    fn sessions(&self, out: &mut MetricsWriter<'_>) -> fmt::Result {
        let counts = &self.stats.counts;
        let profiles = [(Profile::V2, &counts.v2), (Profile::Classic, &counts.classic)];
        let mut metric = out.0.encode_descriptor(
            "ddes_sessions",
            "Open sessions by profile",
            None,
            MetricType::Gauge,
        )?;
        for (profile, sessions) in profiles {
            let labels = [("profile", profile.as_str())];
            metric.encode_family(&labels)?.encode_gauge(&count(sessions.open()))?;
        }
        let handshakes = [
            ("completed", counts.handshakes_completed),
            ("failed", counts.handshakes_failed.sum()),
        ];
        let mut metric = out.0.encode_descriptor(
            "ddes_handshakes",
            "Handshakes by outcome",
            None,
            MetricType::Counter,
        )?;
        for (outcome, value) in handshakes {
            let labels = [("outcome", outcome)];
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
        }
        out.causes(
            "ddes_handshake_failures",
            "Handshakes that failed, by reason",
            &counts.handshakes_failed,
        )?;
        out.ends(&profiles)?;
        out.counter("ddes_submissions", "Messages with integers", counts.submissions)?;
        out.counter("ddes_values", "Integers in them", counts.values)?;
        out.counter("ddes_results", "Answers to them", counts.results)
    }

    fn ledger(&self, out: &mut MetricsWriter<'_>) -> fmt::Result {
        let ledger = &self.stats.ledger;
        out.gauge(
            "ddes_queued_values",
            "Integers that wait for the ledger",
            count(self.stats.gauges.queued_values as u64),
        )?;
        out.counter("ddes_ledger_batches", "Batches committed", ledger.commits.count())?;
        out.histogram(
            "ddes_ledger_commit_seconds",
            "The time until a batch was durable",
            &ledger.commits,
        )?;
        let (writable, failed) = match ledger.health {
            Health::Good => (1.0, 0.0),
            Health::Full | Health::Away(_) => (0.0, 0.0),
            Health::Failed(_) => (0.0, 1.0),
        };
        out.gauge("ddes_ledger_writable", "Whether the ledger can be written", writable)?;
        out.gauge("ddes_ledger_failed", "Whether the ledger has failed for good", failed)?;
        if let Some(files) = self.files {
            out.gauge("ddes_ledger_size_bytes", "Bytes of its files", count(files.bytes))?;
            out.gauge("ddes_ledger_free_bytes", "Bytes free on its disk", count(files.free_bytes))?;
        }
        if let Some(accounts) = self.accounts {
            out.gauge("ddes_ledger_accounts", "Accounts", count(accounts))?;
        }
        out.counter(
            "ddes_ledger_checkpoint_failures",
            "Checkpoints that could not be written",
            ledger.checkpoint_failures,
        )?;
        if let Some(database) = &ledger.database {
            out.database(database)?;
        }
        let Some((time, is_whole)) = self.verified else { return Ok(()) };
        out.gauge(
            "ddes_ledger_last_verification_timestamp_seconds",
            "When the ledger was verified last, in seconds since 1970",
            secs_of(time),
        )?;
        out.gauge(
            "ddes_ledger_last_verification_success",
            "Whether it was whole then",
            is_whole.into(),
        )
    }

    fn process(&self, out: &mut MetricsWriter<'_>) -> fmt::Result {
        let Some(usage) = self.usage else { return Ok(()) };
        let cpu = ConstCounter::new(usage.cpu_secs);
        let name = "process_cpu_seconds";
        cpu.encode(out.0.encode_descriptor(name, "Processor time", None, MetricType::Counter)?)?;
        out.gauge("process_resident_memory_bytes", "Memory", count(usage.resident_bytes))?;
        out.gauge("process_open_fds", "Open files", count(usage.open_files))
    }
}

/// Writes metrics, each with its description. A counter's name gets `_total` from the encoder.
struct MetricsWriter<'a>(DescriptorEncoder<'a>);

impl MetricsWriter<'_> {
    fn database(&mut self, counts: &KeeperCounts) -> fmt::Result {
        let KeeperCounts { connections, transactions, round_trips, conflicts, unknown, .. } =
            *counts;
        self.counter("ddes_database_connections", "Connections opened to write", connections)?;
        self.counter("ddes_database_transactions", "Transactions committed", transactions)?;
        self.counter("ddes_database_round_trips", "Answers waited for", round_trips)?;
        self.counter(
            "ddes_database_conflicts",
            "Accounts that another server had written, and that were read again",
            conflicts,
        )?;
        self.counter(
            "ddes_database_unknown_outcomes",
            "Transactions that failed or were not answered, and that were done again",
            unknown,
        )?;
        self.gauge(
            "ddes_database_standby",
            "Whether the database waits for a standby",
            counts.has_standby.into(),
        )
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    /// All causes, also those that never occurred: a rate needs a zero to begin with.
    fn causes(&mut self, name: &str, help: &str, counts: &CauseCounts) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (cause, value) in counts.iter() {
            let labels = [("reason", cause.as_str())];
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn ends(&mut self, profiles: &[(Profile, &SessionCounts)]) -> fmt::Result {
        let name = "ddes_sessions_ended";
        let help = "Sessions that ended, by profile and reason";
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (profile, sessions) in profiles {
            for (cause, value) in sessions.ended.iter() {
                let labels = [("profile", profile.as_str()), ("reason", cause.as_str())];
                ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Histogram) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        // Not cumulative: the encoder adds them up.
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BUCKETS_MICROS.len() + 1);
        for micros in BUCKETS_MICROS {
            let limit = Duration::from_micros(micros);
            let up_to = times.count_up_to(limit);
            buckets.push((limit.as_secs_f64(), up_to.saturating_sub(below)));
            below = up_to;
        }
        let all = times.count();
        buckets.push((f64::MAX, all.saturating_sub(below)));
        metric.encode_histogram::<NoLabelSet>(times.sum().as_secs_f64(), all, &buckets, None)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge of OpenMetrics is a floating-point number")]
fn count(value: u64) -> f64 {
    value as f64
}

/// Seconds since 1970; zero before that.
fn secs_of(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

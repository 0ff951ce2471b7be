//! Markdown tables, a row as soon as it is known.

use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) fn heading(title: &str, columns: &[&str]) {
    println!("\n### {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

pub(crate) fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// A duration in the unit in which it has digits before the point.
pub(crate) fn duration(value: Duration) -> String {
    let micros = value.as_secs_f64() * 1e6;
    match micros {
        ..1.0 => format!("{:.0} ns", micros * 1e3),
        1.0..20.0 => format!("{micros:.1} µs"),
        20.0..1e3 => format!("{micros:.0} µs"),
        1e3..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// Latencies with three digits, in microseconds.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self, String> {
        Histogram::new_with_max(LATENCY_MICROS_MAX, 3).map(Self).map_err(|error| error.to_string())
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn at(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    pub(crate) fn quantile(&self, quantile: f64) -> String {
        duration(self.at(quantile))
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), String> {
        self.0.add(&other.0).map_err(|error| error.to_string())
    }
}

/// Ten minutes; what takes longer counts as that.
const LATENCY_MICROS_MAX: u64 = 600_000_000;

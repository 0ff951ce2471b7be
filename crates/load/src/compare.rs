//! Compares two runs: how many times better the second is, and whether that is more than the
//! variation within each of them.

use crate::record::{Interval, RunRecord};

/// The fewest intervals that show how much a run varies.
const INTERVALS_MIN: usize = 5;
/// A difference of means is beyond the spread from this many standard deviations of single
/// intervals.
const DEVIATIONS: f64 = 2.0;

/// The comparison of two runs.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// One row for each figure that both runs have.
    pub rows: Vec<CompareRow>,
    /// Reasons to doubt the comparison.
    pub cautions: Vec<String>,
}

/// One figure of both runs.
#[derive(Clone, Debug)]
pub struct CompareRow {
    /// The name of the figure, for example `p99`.
    pub name: &'static str,
    /// The first run's figure; times are in nanoseconds.
    pub first: f64,
    /// The second run's figure.
    pub second: f64,
    /// Whether these are times.
    pub is_time: bool,
    /// How many times better the second is: above 1, a higher rate or a shorter time.
    pub ratio: f64,
    /// Whether that is more than the runs vary.
    pub spread: Spread,
}

/// How a difference compares with the spread of the runs' intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The means differ by more than two standard deviations of single intervals.
    Beyond,
    /// The means differ by no more than that.
    Within,
    /// A run has too few intervals, or the figure has none.
    Unknown,
}

/// Compares the second run with the first.
pub fn compare(first: &RunRecord, second: &RunRecord) -> Comparison {
    let value = |figure: &dyn Fn(&RunRecord) -> f64| (figure(first), figure(second));
    let spread = |figure: &dyn Fn(&Interval) -> f64| {
        let of = |record: &RunRecord| record.intervals.iter().map(figure).collect::<Vec<_>>();
        spread(&of(first), &of(second))
    };
    let per_value =
        |record: &RunRecord| record.generator.cpu_secs * 1e9 / count(record.values).max(1.0);
    let server = |record: &RunRecord| {
        record
            .generator
            .server_cpu_secs
            .map_or(0.0, |cpu| cpu * 1e9 / count(record.values).max(1.0))
    };
    let rows = vec![
        row("values/s", false, value(&|it| it.values_per_sec), spread(&|it| it.values_per_sec)),
        row("p50", true, value(&|it| count(it.latency.p50_ns)), spread(&|it| count(it.p50_ns))),
        row("p90", true, value(&|it| count(it.latency.p90_ns)), Spread::Unknown),
        row("p99", true, value(&|it| count(it.latency.p99_ns)), spread(&|it| count(it.p99_ns))),
        row(
            "p99.9",
            true,
            value(&|it| count(it.latency.p99_9_ns)),
            spread(&|it| count(it.p99_9_ns)),
        ),
        row("longest", true, value(&|it| count(it.latency.max_ns)), spread(&|it| count(it.max_ns))),
        row("handshake p50", true, value(&|it| count(it.handshake.p50_ns)), Spread::Unknown),
        row("handshake p99", true, value(&|it| count(it.handshake.p99_ns)), Spread::Unknown),
        row("load's CPU a value", true, value(&per_value), Spread::Unknown),
        row("server's CPU a value", true, value(&server), Spread::Unknown),
    ];
    let is_there = |row: &CompareRow| row.first > 0.0 && row.second > 0.0;
    Comparison {
        rows: rows.into_iter().filter(is_there).collect(),
        cautions: cautions(first, second),
    }
}

impl Comparison {
    /// The row of this name.
    pub fn row(&self, name: &str) -> Option<&CompareRow> {
        self.rows.iter().find(|row| row.name == name)
    }
}

fn row(
    name: &'static str,
    is_time: bool,
    (first, second): (f64, f64),
    spread: Spread,
) -> CompareRow {
    let ratio = if is_time { first / second } else { second / first };
    CompareRow { name, first, second, is_time, ratio, spread }
}

fn spread(first: &[f64], second: &[f64]) -> Spread {
    if first.len().min(second.len()) < INTERVALS_MIN {
        return Spread::Unknown;
    }
    let ((mean_first, variance_first), (mean_second, variance_second)) =
        (moments(first), moments(second));
    let deviation = f64::midpoint(variance_first, variance_second).sqrt();
    if (mean_first - mean_second).abs() > DEVIATIONS * deviation {
        Spread::Beyond
    } else {
        Spread::Within
    }
}

/// The mean, and the variance of a sample.
#[allow(clippy::cast_precision_loss, reason = "a number of intervals")]
fn moments(of: &[f64]) -> (f64, f64) {
    let count = of.len() as f64;
    let mean = of.iter().sum::<f64>() / count;
    (mean, of.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0))
}

#[allow(clippy::cast_precision_loss, reason = "a ratio need not be exact")]
fn count(number: u64) -> f64 {
    number as f64
}

fn cautions(first: &RunRecord, second: &RunRecord) -> Vec<String> {
    let mut cautions = Vec::new();
    let (a, b) = (&first.parameters, &second.parameters);
    let mut differ = |name: &str, a: String, b: String| {
        if a != b {
            cautions.push(format!("the runs differ in {name}: {a} and {b}"));
        }
    };
    let option = |value: Option<f64>| value.map_or("none".into(), |value| value.to_string());
    differ("suite", a.suite.clone(), b.suite.clone());
    differ("sessions", a.sessions.to_string(), b.sessions.to_string());
    differ("threads", a.threads.to_string(), b.threads.to_string());
    differ("mode", a.mode.clone(), b.mode.clone());
    differ("batch", a.batch.to_string(), b.batch.to_string());
    differ("pipeline", a.pipeline.to_string(), b.pipeline.to_string());
    differ("rate", option(a.rate), option(b.rate));
    differ("arrivals", format!("{:?}", a.arrivals), format!("{:?}", b.arrivals));
    differ("values", a.values_from.clone(), b.values_from.clone());
    differ("version", first.version.clone(), second.version.clone());
    for (name, record) in [("first", first), ("second", second)] {
        if record.generator.was_limit {
            cautions.push(format!("in the {name} run the load itself was the limit"));
        }
        if !record.verification.wrong.is_empty() || !record.verification.open.is_empty() {
            cautions.push(format!("in the {name} run not every sum was verified"));
        }
        if record.was_stopped {
            cautions.push(format!("the {name} run was stopped before its end"));
        }
        if record.intervals.len() < INTERVALS_MIN {
            cautions.push(format!(
                "the {name} run has {} intervals, too few to tell how much it varies",
                record.intervals.len()
            ));
        }
    }
    cautions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{outcome, sample};

    fn compared(first: &[(f64, u64)], second: &[(f64, u64)]) -> Comparison {
        let run = |intervals: &[(f64, u64)]| {
            let mut outcome = outcome();
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small whole numbers"
            )]
            let values = intervals.iter().map(|(rate, _)| *rate as u64).sum::<u64>();
            outcome.total.values = 10 * values / intervals.len() as u64;
            sample(intervals, &outcome)
        };
        compare(&run(first), &run(second))
    }

    #[test]
    fn twice_the_rate_and_half_the_time_are_both_twice_as_good() {
        let comparison =
            compared(&[(100.0, 8), (102.0, 8), (98.0, 8), (101.0, 8), (99.0, 8)], &[(200.0, 4); 5]);
        let rate = comparison.row("values/s").unwrap();
        assert!((rate.ratio - 2.0).abs() < 1e-9 && rate.spread == Spread::Beyond, "{rate:?}");
        // Of the whole run these two were alike; their intervals were not.
        let p99 = comparison.row("p99").unwrap();
        assert!((p99.ratio - 1.0).abs() < 1e-9 && p99.spread == Spread::Beyond, "{p99:?}");
        assert!(comparison.cautions.is_empty(), "{:?}", comparison.cautions);
    }

    #[test]
    fn a_difference_within_the_runs_own_spread_is_called_that() {
        let noisy = [(80.0, 5), (120.0, 9), (70.0, 3), (130.0, 8), (100.0, 5)];
        let comparison =
            compared(&noisy, &[(105.0, 6), (85.0, 7), (135.0, 4), (125.0, 6), (75.0, 7)]);
        assert_eq!(comparison.row("values/s").unwrap().spread, Spread::Within);
        assert_eq!(comparison.row("p90").unwrap().spread, Spread::Unknown);
    }

    #[test]
    fn what_makes_a_comparison_doubtful_is_said() {
        let few = sample(&[(1.0, 1)], &outcome());
        let mut other = sample(&[(1.0, 1); 9], &outcome());
        other.parameters.batch = 64;
        other.generator.was_limit = true;
        let cautions = compare(&few, &other).cautions.join("; ");
        for part in ["batch: 1 and 64", "second run the load itself", "first run has 1 intervals"] {
            assert!(cautions.contains(part), "{part}: {cautions}");
        }
        assert_eq!(compare(&few, &other).row("values/s").unwrap().spread, Spread::Unknown);
    }
}

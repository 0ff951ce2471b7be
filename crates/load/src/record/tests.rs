use super::*;
use crate::account::Mismatch;
use crate::stats::{Stats, histogram};

/// A run whose intervals had these rates and, in ms, these p99s.
pub(crate) fn sample(intervals: &[(f64, u64)], outcome: &RunOutcome) -> RunRecord {
    let parameters = Parameters {
        server: "counter.example:5566".into(),
        suite: "hybrid".into(),
        sessions: 3,
        threads: 1,
        mode: "open".into(),
        batch: 1,
        pipeline: 64,
        rate: Some(1e4),
        arrivals: Some("poisson".into()),
        duration_secs: Some(10.0),
        values: None,
        warmup_secs: 1.0,
        ramp_secs: 0.0,
        interval_secs: 1.0,
        values_from: "file:<a & b>".into(),
        seed: 1,
    };
    let intervals = intervals.iter().zip(1_u32..).map(|((rate, p99), at)| Interval {
        at_secs: at.into(),
        values_per_sec: *rate,
        frames: 100,
        p50_ns: p99 * 500_000,
        p99_ns: p99 * 1_000_000,
        p99_9_ns: p99 * 1_000_000,
        max_ns: p99 * 2_000_000,
        lag_p99_ns: 1_000,
        errors: 0,
        sessions_up: 3,
        cpu_share: 0.5,
    });
    RunRecord::new(parameters, "2026-11-25T00:00:00Z".into(), outcome, intervals.collect(), None)
        .unwrap()
}

/// A run of 10 s and 1000 frames of 1 to 1000 ms, in which all went well.
pub(crate) fn outcome() -> RunOutcome {
    let mut total = Stats { values: 1_000, frames: 1_000, ..Stats::default() };
    (1..=1_000).for_each(|ms| total.latency.saturating_record(ms * 1_000_000));
    (0..1_000).for_each(|_| total.lag.saturating_record(2_000));
    RunOutcome {
        total,
        measured: Duration::from_secs(10),
        verdicts: (0..3)
            .map(|session| (session, SessionVerdict::Right { count: 7, sum: -1 }))
            .collect(),
        handshakes: histogram(),
        threads: vec![ThreadUse {
            span: 10_000_000_000,
            cpu: 5_000_000_000,
            waited: 1_000_000_000,
        }],
        was_stopped: false,
    }
}

#[test]
fn a_record_is_read_back_with_its_histogram_and_sums_are_strings() {
    let mut outcome = outcome();
    outcome.verdicts[1].1 = SessionVerdict::Right { count: 7, sum: 1 << 100 };
    let text = sample(&[(100.0, 5)], &outcome).to_json().unwrap();
    let record = RunRecord::parse(&text).unwrap();
    assert_eq!(record.latency.histogram().unwrap(), outcome.total.latency);
    assert_eq!(record.latency.p99_ns, outcome.total.latency.value_at_quantile(0.99));
    assert_eq!(record.verification.sum, ((1_i128 << 100) - 2).to_string());
    assert_eq!((record.verification.right, record.verification.count.as_str()), (3, "21"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["verification"]["sum"].is_string());
    assert!((record.values_per_sec - 100.0).abs() < 1e-9);
}

#[test]
fn what_is_no_record_is_refused_with_what_it_is() {
    assert!(matches!(RunRecord::parse("{}"), Err(RunRecordError::Json(_))));
    let text = sample(&[], &outcome())
        .to_json()
        .unwrap()
        .replace("\"schema_version\": 1", "\"schema_version\": 2");
    assert!(RunRecord::parse(&text).unwrap_err().to_string().contains("version 2"));
}

#[test]
fn the_load_says_when_it_was_the_limit_and_not_otherwise() {
    let why =
        |outcome: &RunOutcome, intervals: &[(f64, u64)]| sample(intervals, outcome).generator.why;
    assert!(why(&outcome(), &[(1.0, 1); 8]).is_empty());
    let mut busy = outcome();
    busy.threads[0].cpu = 9_200_000_000;
    assert!(why(&busy, &[])[0].contains("92 % of a core"));
    let mut waiting = outcome();
    waiting.threads[0].waited = 4_500_000_000;
    assert!(why(&waiting, &[])[0].contains("waited for a core another 45 %"));
    let mut late = outcome();
    (0..100).for_each(|_| late.total.lag.saturating_record(90_000_000));
    assert!(why(&late, &[])[0].contains("90.0 ms late"), "{:?}", why(&late, &[]));
    let mut record = sample(&[(1.0, 1); 8], &outcome());
    record.intervals[7].lag_p99_ns = 40_000_000;
    assert!(super::late(&outcome(), &record.intervals).unwrap().contains("further and further"));
}

#[test]
fn wrong_and_open_sessions_are_named() {
    let mut outcome = outcome();
    let mismatch = Mismatch { expected_count: 7, expected_sum: 8, stated_count: 7, stated_sum: 9 };
    outcome.verdicts[1].1 = SessionVerdict::Wrong(mismatch);
    outcome.verdicts[2].1 = SessionVerdict::Open { why: "cut".into(), values: 4 };
    let found = sample(&[], &outcome).verification;
    assert_eq!((found.right, found.wrong[0].session, found.open[0].session), (1, 1, 2));
    assert_eq!(
        (found.wrong[0].expected_sum.as_str(), found.wrong[0].stated_sum.as_str()),
        ("8", "9")
    );
}

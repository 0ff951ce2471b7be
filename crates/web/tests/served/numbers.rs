//! One source of truth: page, API, metrics and the ledger on the disk agree.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ddes_ledger::audit::View;
use ddes_ledger::store::Folder;
use serde_json::Value;

use crate::world::{Plan, World, folder};

/// The value of a metric, by its name and labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[test]
fn after_some_sessions_all_views_agree() {
    let path = folder();
    let world = World::of(Plan { folder: Some(path.clone()), ..Plan::default() });
    let clients: Vec<_> = (1..=3).map(|seed| world.client(seed)).collect();
    for (client, values) in clients.iter().zip([&[1, 2, 3][..], &[-50], &[i64::MAX, 7]]) {
        client.add(values).unwrap();
        client.flush().unwrap();
    }
    let (count, sum) = (6, i128::from(i64::MAX) - 37);
    let view = View::read(&Folder::look(&path).unwrap()).unwrap().totals();
    assert_eq!((view.accounts, view.count, view.sum.get()), (3, count, sum));
    let is_whole = |json: &Value| json["count"] == count.to_string();
    let totals = world.until("/api/v1/totals", is_whole);
    let [accounts, sum, count] = [3, sum, 6].map(|number: i128| Value::from(number.to_string()));
    let expected = [&accounts, &count, &sum];
    assert_eq!([&totals["accounts"], &totals["count"], &totals["sum"]], expected);
    assert_eq!(totals["mean"].as_str(), view.mean().as_deref());
    assert_eq!(
        [&totals["min"], &totals["max"]],
        [&Value::from("-50"), &i64::MAX.to_string().into()]
    );
    let overview = world.until("/api/v1/overview", |json| json["sessions"]["open"] == 3);
    let shown = &overview["totals"];
    assert_eq!([&shown["accounts"], &shown["count"], &shown["sum"]], expected);
    let listed = world.until("/api/v1/accounts?sort=sum&order=desc", |json| json["total"] == 3);
    let sums: Vec<i128> = listed["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| account["sum"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(sums.is_sorted_by(|one, other| one >= other) && listed["complete"] == true);
    assert_eq!(sums.iter().sum::<i128>().to_string(), sum.as_str().unwrap());
    let is_counted = |json: &Value| {
        let rows = json["sessions"].as_array().unwrap();
        let counts = rows.iter().map(|row| row["count"].as_str().unwrap().parse::<u64>().unwrap());
        json["total"] == 3 && counts.sum::<u64>() == 6
    };
    world.until("/api/v1/sessions?state=open&profile=v2", is_counted);
    let metrics = world.get("/metrics").body;
    assert_eq!(metric(&metrics, "ddes_values_total"), Some(6.0), "{metrics}");
    assert_eq!(metric(&metrics, "ddes_ledger_accounts"), Some(3.0));
    assert_eq!(metric(&metrics, "ddes_sessions{profile=\"v2\"}"), Some(3.0));
    assert_eq!(metric(&metrics, "ddes_handshakes_total{outcome=\"completed\"}"), Some(3.0));
    assert_eq!(metric(&metrics, "ddes_ready"), Some(1.0));
    let batches = metric(&metrics, "ddes_ledger_batches_total").unwrap();
    assert_eq!(metric(&metrics, "ddes_ledger_commit_seconds_count"), Some(batches));
    let all = "ddes_ledger_commit_seconds_bucket{le=\"+Inf\"}";
    assert_eq!(metric(&metrics, all), Some(batches));
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn each_metric_of_the_contract_is_there_and_no_label_is_of_a_client() {
    let path = folder();
    let world = World::of(Plan { folder: Some(path), ..Plan::default() });
    world.client(1).close().unwrap();
    assert_eq!(world.act("POST", "/api/v1/ledger/verify", "").status, 202);
    world.until("/api/v1/ledger", |json| !json["last_verification"].is_null());
    world.until("/api/v1/ledger", |json| !json["size_bytes"].is_null());
    let metrics = world.get("/metrics").body;
    for name in [
        "ddes_build_info{version=\"0.0.1\"}",
        "ddes_start_time_seconds",
        "ddes_ready",
        "ddes_connections",
        "ddes_connections_max",
        "ddes_unproven_connections",
        "ddes_sessions{profile=\"classic\"}",
        "ddes_connections_accepted_total",
        "ddes_connections_refused_total{reason=\"full_address\"}",
        "ddes_handshakes_total{outcome=\"failed\"}",
        "ddes_handshake_failures_total{reason=\"bad_signature\"}",
        "ddes_sessions_ended_total{profile=\"v2\",reason=\"idle\"}",
        "ddes_submissions_total",
        "ddes_values_total",
        "ddes_results_total",
        "ddes_received_bytes_total",
        "ddes_sent_bytes_total",
        "ddes_queued_values",
        "ddes_ledger_batches_total",
        "ddes_ledger_commit_seconds_bucket{le=\"0.001\"}",
        "ddes_ledger_writable",
        "ddes_ledger_failed",
        "ddes_ledger_size_bytes",
        "ddes_ledger_free_bytes",
        "ddes_ledger_accounts",
        "ddes_ledger_checkpoint_failures_total",
        "ddes_ledger_last_verification_timestamp_seconds",
        "ddes_ledger_last_verification_success",
        "ddes_access_list_errors_total",
        "ddes_access_list_faults",
        "ddes_clock_jumps_total",
        "ddes_events_dropped_total",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(metric(&metrics, name).is_some(), "{name} is not in {metrics}");
    }
    let series = metrics.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 250 && !metrics.contains("127.0.0.1") && !metrics.contains("SHA256"));
}

#[test]
fn totals_are_new_however_many_ask() {
    let world = World::start();
    let client = world.client(1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    world.get("/api/v1/ledger");
                }
            });
        }
        // A question waits for its turn among theirs.
        world.until("/api/v1/totals", |json| json["count"] == "0");
        client.add(&[1, 2, 3]).unwrap();
        client.flush().unwrap();
        let start = Instant::now();
        world.until("/api/v1/overview", |json| json["totals"]["count"] == "3");
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        assert!(took < Duration::from_secs(10), "{took:?}");
    });
}

#[test]
fn a_ledger_that_does_not_answer_holds_up_no_metrics_and_each_who_asks_only_once() {
    // A question to the loop may take 5 s.
    const ONE: Duration = Duration::from_secs(5);
    let world = World::of(Plan { is_silent: true, ..Plan::default() });
    let timed = |path: &str| {
        let start = Instant::now();
        (world.get(path).status, start.elapsed())
    };
    std::thread::scope(|scope| {
        let paths = ["/api/v1/totals", "/api/v1/overview"].into_iter().cycle().take(16);
        let asking: Vec<_> = paths.map(|path| scope.spawn(move || timed(path))).collect();
        let (status, took) = timed("/metrics");
        assert!(status == 200 && took < ONE, "{took:?}");
        for asking in asking {
            let (status, took) = asking.join().unwrap();
            assert!(status == 503 && took < 2 * ONE, "{took:?}");
        }
    });
    // For the next ones the silence is known.
    for path in ["/api/v1/totals", "/api/v1/overview", "/metrics"] {
        let (_, took) = timed(path);
        assert!(took < ONE, "{path}: {took:?}");
    }
}

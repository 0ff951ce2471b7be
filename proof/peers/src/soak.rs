//! A long run at half of what the server takes: whether its memory stays what it was, and every sum
//! is exact.
//!
//! Beside the load, sessions come and go all the time: each sample is taken after some more of
//! them, with identities of their own.

use std::time::{Duration, Instant};

use ddes_load::RunRecord;

use crate::server::{Kind, Server};
use crate::{cores, ours, report};

const COLUMNS: &[&str] = &[
    "after",
    "resident memory",
    "ledger on disk",
    "server, share of a core",
    "sessions opened and closed",
];

/// Samples of a run.
const SAMPLES: u32 = 30;
/// From this sample, half the time, memory is to stay what it is: by then buffers have met their
/// largest batch. What leaks grows in this half too.
const SETTLED: usize = 14;
/// What it may grow by after that, of itself; in a run shorter than this it still warms up.
const GROWTH_MAX: f64 = 0.05;
const LENGTH_MIN: Duration = Duration::from_secs(60);

const FULL: ours::Load = ours::Load { sessions: 200, batch: 1, pipeline: 1, rate: None };
/// Sessions that come and go for one sample.
const CHURN: u32 = 50;

/// Fails where memory grew or, as `ddes bench run` does, where a sum is not what was sent.
pub(crate) fn measure(length: Duration) -> Result<(), String> {
    cores::take()?;
    let server = cores::serve(Kind::OursDurable)?;
    let full = ours::load(&server, FULL, Duration::from_secs(3), Duration::from_secs(1))?;
    let half = full.rate / 2.0;
    println!(
        "\nClosed loop, {} sessions: {:.0} values/s. Soaked at half of that.",
        FULL.sessions, full.rate
    );
    report::heading("Soak", COLUMNS);
    let (sessions, rate, secs) =
        (FULL.sessions.to_string(), format!("{half:.0}"), length.as_secs().max(1).to_string());
    let soak =
        ["--soak", "--sessions", &sessions, "--rate", &rate, "--duration", &secs, "--seed", "2"];
    let load = ours::run(&server, "soak", &soak)?;
    let memory = watch(&server, length)?;
    let record = load.record()?;
    tell(&record);
    let (settled, last) = (memory.get(SETTLED), memory.last());
    let (Some(settled), Some(last)) = (settled.copied(), last.copied()) else {
        return Err("too short to say whether memory stays".into());
    };
    let growth = last as f64 / settled as f64 - 1.0;
    println!("Memory from sample {} to the last: {:+.1} %.", SETTLED + 1, 100.0 * growth);
    if growth > GROWTH_MAX && length >= LENGTH_MIN { Err("memory grows".into()) } else { Ok(()) }
}

/// Resident KiB at each sample.
fn watch(server: &Server, length: Duration) -> Result<Vec<u64>, String> {
    let (start, cpu, sessions) = (Instant::now(), server.cpu()?, CHURN.to_string());
    let mut memory = Vec::new();
    for sample in 1..=SAMPLES {
        // As many frames as sessions: each opens, counts once and ends.
        let churn =
            ["--sessions", &sessions, "--values", &sessions, "--warmup", "0", "--seed", "3"];
        ours::run(server, "churn", &churn)?.record()?;
        let at = length * sample / SAMPLES;
        std::thread::sleep(at.saturating_sub(start.elapsed()));
        let kib = server.resident_kib()?;
        memory.push(kib);
        report::row(&[
            report::duration(start.elapsed()),
            format!("{:.1} MiB", kib as f64 / 1024.0),
            format!("{:.0} MiB", disk(server) as f64 / f64::from(1 << 20)),
            format!(
                "{:.0} %",
                100.0 * (server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64()
            ),
            (sample * CHURN).to_string(),
        ]);
    }
    Ok(memory)
}

/// Bytes of the ledger's files.
fn disk(server: &Server) -> u64 {
    let files = std::fs::read_dir(server.folder.join("ledger")).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

fn tell(record: &RunRecord) {
    let time = |nanos| report::duration(Duration::from_nanos(nanos));
    println!(
        "\n{} values in {:.0} s, {:.0} a second; p50 {}, p99 {}, p99.9 {}, longest {}; {} sessions lost; every sum as sent: {}; the load was the limit: {}.",
        record.values,
        record.seconds,
        record.values_per_sec,
        time(record.latency.p50_ns),
        time(record.latency.p99_ns),
        time(record.latency.p99_9_ns),
        time(record.latency.max_ns),
        record.errors.lost,
        if record.verification.wrong.is_empty() && record.verification.open.is_empty() {
            "yes"
        } else {
            "NO"
        },
        if record.generator.was_limit { "yes" } else { "no" },
    );
}

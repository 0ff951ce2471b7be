//! What a run found, in a screenful and as one JSON object.

use ddes_load::{RunRecord, nanos, short, time};
use serde_json::Value;

use crate::screen::Line;

/// Fields that are in the lines before, or in every line.
const LEFT_OUT: [&str; 3] = ["intervals", "kind", "schema_version"];

/// The run, for people and for programs.
pub(crate) fn line(record: &RunRecord) -> Line {
    let mut line = Line::new("result", text(record));
    if let Ok(Value::Object(fields)) = serde_json::to_value(record) {
        for (name, value) in fields {
            if !LEFT_OUT.contains(&name.as_str()) {
                line = line.with(&name, value);
            }
        }
    }
    line
}

fn text(record: &RunRecord) -> String {
    let (at, latency, handshake) = (&record.parameters, &record.latency, &record.handshake);
    let mut text = String::new();
    let mut row = |name: &str, what: String| text.push_str(&format!("{name:<10} {what}\n"));
    let pace = match (at.rate, &at.arrivals) {
        (Some(rate), arrivals) => {
            format!(
                "open loop at {} values/s, {} arrivals",
                short(rate),
                arrivals.as_deref().unwrap_or("constant")
            )
        }
        (None, _) => format!("closed loop, {} a session on the way", plural(at.pipeline, "frame")),
    };
    let stopped = if record.was_stopped { ", stopped" } else { "" };
    row(
        "run",
        format!(
            "{} on {}, {pace}, {} a frame",
            plural(at.sessions, "session"),
            at.server,
            plural(u32::from(at.batch), "value")
        ),
    );
    row(
        "",
        format!(
            "{:.2} s measured after {} s of warm-up{stopped}; suite {}",
            record.seconds, at.warmup_secs, at.suite
        ),
    );
    row(
        "rate",
        format!(
            "{} values/s, {} frames/s ({} values)",
            short(record.values_per_sec),
            short(record.frames_per_sec),
            record.values
        ),
    );
    row(
        "latency",
        format!(
            "p50 {}   p90 {}   p99 {}   p99.9 {}   longest {}",
            nanos(latency.p50_ns),
            nanos(latency.p90_ns),
            nanos(latency.p99_ns),
            nanos(latency.p99_9_ns),
            nanos(latency.max_ns)
        ),
    );
    row(
        "handshake",
        format!(
            "p50 {}   p99 {}   longest {}",
            nanos(handshake.p50_ns),
            nanos(handshake.p99_ns),
            nanos(handshake.max_ns)
        ),
    );
    row("errors", errors(record));
    row("load", generator(record));
    for why in &record.generator.why {
        row("", format!("THE LOAD WAS THE LIMIT: {why}"));
    }
    row("sums", verification(record));
    text.trim_end().to_owned()
}

fn errors(record: &RunRecord) -> String {
    let errors = &record.errors;
    if errors.total() == 0 {
        return "none".into();
    }
    format!(
        "{} sessions lost ({} opened again); 40s of status 1, 3, 4: {}, {}, {}; {} frames sent \
         again, {} never",
        errors.lost,
        errors.reopened,
        errors.gaps,
        errors.malformed,
        errors.unavailable,
        errors.retried,
        errors.unsent
    )
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn generator(record: &RunRecord) -> String {
    let own = &record.generator;
    let each = |secs: f64| time(secs * 1e9 / (record.values.max(1) as f64));
    let shares: Vec<_> =
        own.cpu_shares.iter().map(|share| format!("{:.0} %", 100.0 * share)).collect();
    let server = own.server_cpu_secs.map_or(String::new(), |cpu| {
        format!(
            "; the server {cpu:.2} s, {} a value: {:.2} times as much",
            each(cpu),
            cpu / own.cpu_secs.max(1e-9)
        )
    });
    format!(
        "{} of a core, {:.2} s, {} a value{server}",
        shares.join(", "),
        own.cpu_secs,
        each(own.cpu_secs)
    )
}

fn verification(record: &RunRecord) -> String {
    let found = &record.verification;
    let mut text = format!("{} of {} sessions verified", found.right, record.parameters.sessions);
    if !found.wrong.is_empty() {
        text.push_str(&format!("; {} WRONG", found.wrong.len()));
        for it in found.wrong.iter().take(3) {
            text.push_str(&format!(
                "\n{:<10} session {}: {} values, sum {}; the server says {} and {}",
                "", it.session, it.expected_count, it.expected_sum, it.stated_count, it.stated_sum
            ));
        }
    }
    if !found.open.is_empty() {
        text.push_str(&format!("; {} without a last word", found.open.len()));
    }
    text
}

fn plural(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

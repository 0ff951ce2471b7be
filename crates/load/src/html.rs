//! A run as one HTML file that needs nothing else: no script, no font, no picture from anywhere.

use crate::chart::{Axis, line, linear, logarithmic};
use crate::figures::{nanos, short, time};
use crate::record::{Interval, RunRecord, RunRecordError};

/// Sessions named in a table, at most; the record names all.
const NAMED_MAX: usize = 20;

const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--soft:#57606a;--rule:#d0d7de;\
--line:#0b5fc0;--good:#176f2c;--bad:#b3261e;--card:#f6f8fa}
@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--soft:#9aa4af;\
--rule:#30363d;--line:#6cb2ff;--good:#5fd07a;--bad:#ff8a80;--card:#161b22}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1.5rem;background:var(--ground);\
color:var(--text);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
p{margin:.3rem 0}.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11.5rem,1fr));\
gap:.75rem;margin:1.25rem 0}
.card{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:.6rem .8rem}
.card b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}\
.card span{color:var(--soft);font-size:.85rem}
.say{border-left:.3rem solid var(--good);background:var(--card);padding:.6rem .9rem;margin:.6rem 0}\
.say.bad{border-color:var(--bad)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--rule);\
vertical-align:top}th{font-weight:600;color:var(--soft)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:0 2rem}
svg{width:100%;height:auto;display:block}.grid{stroke:var(--rule);stroke-width:1}\
.mark,.axis{fill:var(--soft);font-size:11px}
.line{fill:none;stroke:var(--line);stroke-width:2;stroke-linejoin:round}\
.dot{fill:var(--line);opacity:.55}
";

/// The page of a run.
pub fn page(record: &RunRecord) -> Result<String, RunRecordError> {
    let mut page = String::new();
    let at = &record.parameters;
    let title = format!("Load on {}", escape(&at.server));
    page.push_str(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n",
    );
    add(
        &mut page,
        format_args!(
            "<title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
        ),
    );
    let stopped = if record.was_stopped { "; stopped before its end" } else { "" };
    add(
        &mut page,
        format_args!(
            "<p class=\"soft\">{}, {:.1} s measured after {} s of warm-up{stopped}; ddes {}</p>\n",
            escape(&record.started),
            record.seconds,
            at.warmup_secs,
            escape(&record.version)
        ),
    );
    cards(&mut page, record);
    verification(&mut page, record);
    generator(&mut page, record);
    page.push_str("<h2>Latency by percentile</h2>\n");
    page.push_str(match at.rate {
        Some(_) => {
            "<p class=\"soft\">Of a frame, from its intended start to the answer that \
             covers it: what waited because the server stalled is in it.</p>\n"
        }
        None => {
            "<p class=\"soft\">Of a frame, from when it was sent to the answer that covers it. \
             In a closed loop a stall delays the frames on their way and holds back those to \
             come.</p>\n"
        }
    });
    page.push_str(&percentiles(record)?);
    page.push_str("<h2>Values a second</h2>\n");
    let values_per_sec = |it: &Interval| it.values_per_sec;
    page.push_str(&over_time(
        "Values a second over time",
        record,
        "values/s",
        &values_per_sec,
        &|rate| short(rate),
    ));
    page.push_str("<h2>p99 over time</h2>\n");
    #[allow(clippy::cast_precision_loss, reason = "a pixel need not be exact")]
    let p99 = |it: &Interval| it.p99_ns as f64;
    page.push_str(&over_time("p99 over time", record, "p99", &p99, &time));
    page.push_str("<h2>Parameters</h2>\n");
    parameters(&mut page, record);
    page.push_str("</body></html>\n");
    Ok(page)
}

fn cards(page: &mut String, record: &RunRecord) {
    page.push_str("<div class=\"cards\">\n");
    let latency = &record.latency;
    let cards = [
        (short(record.values_per_sec), "values a second"),
        (nanos(latency.p50_ns), "median"),
        (nanos(latency.p99_ns), "p99"),
        (nanos(latency.p99_9_ns), "p99.9"),
        (nanos(latency.max_ns), "longest"),
        (nanos(record.handshake.p50_ns), "handshake, median"),
        (nanos(record.handshake.p99_ns), "handshake, p99"),
        (record.errors.total().to_string(), "errors"),
    ];
    for (value, what) in cards {
        add(page, format_args!("<div class=\"card\"><b>{value}</b><span>{what}</span></div>\n"));
    }
    page.push_str("</div>\n");
}

fn verification(page: &mut String, record: &RunRecord) {
    let found = &record.verification;
    let is_right = found.wrong.is_empty() && found.open.is_empty();
    add(
        page,
        format_args!(
            "<div class=\"say{}\"><b>{}</b> {} of {} sessions: the server's last count and sum are \
             what was sent. Their accounts hold {} values, sum {}.</div>\n",
            if is_right { "" } else { " bad" },
            if is_right { "Verified." } else { "NOT verified." },
            found.right,
            record.parameters.sessions,
            escape(&found.count),
            escape(&found.sum)
        ),
    );
    if !found.wrong.is_empty() {
        page.push_str(
            "<table><tr><th>session</th><th>has to be</th><th>the server says</th></tr>\n",
        );
        for it in found.wrong.iter().take(NAMED_MAX) {
            add(
                page,
                format_args!(
                    "<tr><td>{}</td><td>{} values, sum {}</td><td>{} values, sum {}</td></tr>\n",
                    it.session,
                    escape(&it.expected_count),
                    escape(&it.expected_sum),
                    escape(&it.stated_count),
                    escape(&it.stated_sum)
                ),
            );
        }
        page.push_str("</table>\n");
    }
    if !found.open.is_empty() {
        page.push_str(
            "<table><tr><th>session without a last word</th><th>why</th><th>values in doubt</th>\
             </tr>\n",
        );
        for it in found.open.iter().take(NAMED_MAX) {
            add(
                page,
                format_args!(
                    "<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                    it.session,
                    escape(&it.why),
                    it.values
                ),
            );
        }
        page.push_str("</table>\n");
    }
}

fn generator(page: &mut String, record: &RunRecord) {
    let own = &record.generator;
    let shares: Vec<String> =
        own.cpu_shares.iter().map(|share| format!("{:.0} %", 100.0 * share)).collect();
    let server = own.server_cpu_secs.map_or(String::new(), |cpu| {
        format!(" The server used {cpu:.2} s, {:.2} times as much.", cpu / own.cpu_secs.max(1e-9))
    });
    let used = format!(
        "The load used {:.2} s of processor time, of a core by thread: {}.{server}",
        own.cpu_secs,
        shares.join(", ")
    );
    if own.was_limit {
        let why: Vec<String> = own.why.iter().map(|why| escape(why)).collect();
        add(
            page,
            format_args!(
                "<div class=\"say bad\"><b>The load itself was the limit:</b> {}. {used}</div>\n",
                why.join("; ")
            ),
        );
    } else {
        add(
            page,
            format_args!("<div class=\"say\"><b>The load was not the limit.</b> {used}</div>\n"),
        );
    }
}

/// Equal steps to the right are equal numbers of nines.
#[allow(clippy::cast_precision_loss, reason = "a pixel need not be exact")]
fn percentiles(record: &RunRecord) -> Result<String, RunRecordError> {
    let times = record.latency.histogram()?;
    let nines = (times.len().max(10) as f64).log10().clamp(1.0, 7.0);
    let place = |quantile: f64| -(1.0 - quantile).max(1e-12).log10() / nines;
    let names = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999"];
    let marks =
        names.iter().zip(0_u8..).map(|(name, nine)| (f64::from(nine) / nines, format!("{name} %")));
    let x = Axis { label: "percentile", marks: marks.filter(|(share, _)| *share <= 1.0).collect() };
    let (y, height) =
        logarithmic("time", times.min().max(1) as f64, times.max().max(2) as f64, time);
    let points: Vec<_> = (0..=120)
        .map(|step| {
            let share = f64::from(step) / 120.0;
            let quantile = 1.0 - 10_f64.powf(-share * nines);
            let value = times.value_at_quantile(quantile) as f64;
            (place(quantile), height(value), format!("{:.5} %: {}", 100.0 * quantile, time(value)))
        })
        .collect();
    Ok(line("Latency by percentile", &x, &y, &points))
}

fn over_time(
    title: &str,
    record: &RunRecord,
    label: &'static str,
    figure: &dyn Fn(&Interval) -> f64,
    show: &dyn Fn(f64) -> String,
) -> String {
    if record.intervals.is_empty() {
        return "<p class=\"soft\">No interval ended before the run did.</p>\n".into();
    }
    let most = record.intervals.iter().map(figure).fold(0.0, f64::max);
    let end = record.intervals.last().map_or(1.0, |it| it.at_secs);
    let (x, width) = linear("seconds", end, true, short);
    let (y, height) = linear(label, most, false, show);
    let points: Vec<_> = record
        .intervals
        .iter()
        .map(|it| {
            (
                it.at_secs / width,
                figure(it) / height,
                format!("{:.1} s: {}", it.at_secs, show(figure(it))),
            )
        })
        .collect();
    line(title, &x, &y, &points)
}

fn parameters(page: &mut String, record: &RunRecord) {
    let at = &record.parameters;
    let pace = match (at.rate, &at.arrivals) {
        (Some(rate), arrivals) => {
            format!(
                "open loop, {} values/s, {} arrivals",
                short(rate),
                arrivals.as_deref().unwrap_or("constant")
            )
        }
        (None, _) => "closed loop".into(),
    };
    let length = match (at.duration_secs, at.values) {
        (Some(secs), _) => format!("{secs} s"),
        (None, Some(values)) => format!("{values} values"),
        (None, None) => "not stated".into(),
    };
    let errors = record.errors;
    let rows = [
        ("Pace", pace),
        ("Sessions, threads", format!("{}, {}", at.sessions, at.threads)),
        ("Values a frame", at.batch.to_string()),
        ("Frames on their way, a session", at.pipeline.to_string()),
        ("Suite", at.suite.clone()),
        ("Length", length),
        ("Warm-up, ramp", format!("{} s, {} s", at.warmup_secs, at.ramp_secs)),
        ("Values from", at.values_from.clone()),
        ("Seed", at.seed.to_string()),
        ("Values, frames counted", format!("{}, {}", record.values, record.frames)),
        ("Sessions lost, opened again", format!("{}, {}", errors.lost, errors.reopened)),
        (
            "40s of status 1, 3, 4",
            format!("{}, {}, {}", errors.gaps, errors.malformed, errors.unavailable),
        ),
        ("Frames sent again, never sent", format!("{}, {}", errors.retried, errors.unsent)),
        (
            "Late starts of the load itself, p99",
            record.lag.as_ref().map_or("closed loop: none".into(), |lag| nanos(lag.p99_ns)),
        ),
    ];
    page.push_str("<div class=\"columns\">\n");
    for half in rows.chunks(rows.len().div_ceil(2)) {
        page.push_str("<table>\n");
        for (name, value) in half {
            add(page, format_args!("<tr><th>{name}</th><td>{}</td></tr>\n", escape(value)));
        }
        page.push_str("</table>\n");
    }
    page.push_str("</div>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.push_str(&text.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::SessionVerdict;
    use crate::record::tests::{outcome, sample};

    #[test]
    fn the_page_needs_nothing_else_and_says_what_was_found() {
        let page = page(&sample(&[(100.0, 5), (120.0, 7)], &outcome())).unwrap();
        for absent in ["<script", "http:", "https:", "@import", "url(", "<img", "<link"] {
            assert!(!page.contains(absent), "{absent}");
        }
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("</svg>").count(), 3);
        for part in [
            "prefers-color-scheme:dark",
            "Verified.",
            "The load was not the limit",
            "open loop, 10 k values/s, poisson",
        ] {
            assert!(page.contains(part), "{part}");
        }
        // The 990th of 1000 took 990 ms, to three digits.
        assert!(page.contains("<b>990 ms</b><span>p99</span>"), "{page}");
        // What a user typed is text.
        assert!(page.contains("file:&lt;a &amp; b&gt;") && !page.contains("<a & b>"));
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn a_page_of_nothing_is_a_page_and_a_failure_is_one_to_the_eye() {
        let mut outcome = outcome();
        outcome.total = crate::stats::Stats::default();
        outcome.verdicts[0].1 = SessionVerdict::Open { why: "cut <off>".into(), values: 4 };
        outcome.threads[0].cpu = outcome.threads[0].span;
        let page = page(&sample(&[], &outcome)).unwrap();
        for part in [
            "NOT verified.",
            "cut &lt;off&gt;",
            "The load itself was the limit:",
            "No interval ended",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}

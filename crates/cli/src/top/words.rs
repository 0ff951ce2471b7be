//! Numbers as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// What stands where nothing is known.
pub(crate) const UNKNOWN: &str = "-";

/// Digits in groups of three: `1,234,567`.
pub(crate) fn grouped(digits: &impl ToString) -> String {
    let text = digits.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |digits| ("-", digits));
    let mut grouped = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate: one decimal below ten.
pub(crate) fn rate(per_sec: f64) -> String {
    if per_sec.abs() < 9.95 && per_sec.fract() != 0.0 {
        return format!("{per_sec:.1}");
    }
    grouped(&format!("{per_sec:.0}"))
}

/// `1 session`, `3 sessions`.
pub(crate) fn counted(count: &impl ToString, noun: &str) -> String {
    let digits = count.to_string();
    format!("{} {noun}{}", grouped(&digits), if digits == "1" { "" } else { "s" })
}

/// A latency.
pub(crate) fn micros(micros: Option<f64>) -> String {
    match micros {
        None => UNKNOWN.into(),
        Some(micros) if micros < 1e3 => format!("{micros:.0} µs"),
        Some(micros) if micros < 1e5 => format!("{:.2} ms", micros / 1e3),
        Some(micros) if micros < 1e6 => format!("{:.0} ms", micros / 1e3),
        Some(micros) => format!("{:.1} s", micros / 1e6),
    }
}

/// Bytes a second.
pub(crate) fn bytes(per_sec: f64) -> String {
    match per_sec {
        few if few < 1e3 => format!("{few:.0} B/s"),
        some if some < 1e6 => format!("{:.1} kB/s", some / 1e3),
        many => format!("{:.1} MB/s", many / 1e6),
    }
}

/// A span of time in its two greatest units.
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", secs % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A span of time in its greatest unit of which there are at least two.
pub(crate) fn brief(span: Duration) -> String {
    match span.as_secs() {
        secs if secs < 120 => format!("{secs} s"),
        secs if secs < 2 * 3600 => format!("{} min", secs / 60),
        secs if secs < 2 * 86_400 => format!("{} h", secs / 3600),
        secs => format!("{} d", secs / 86_400),
    }
}

/// Seconds of an answer: one that is negative or too large for a span is none.
pub(crate) fn secs(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::ZERO)
}

/// From one time of an answer to a later one; `None` if either is not a time.
pub(crate) fn between(from: &str, to: &str) -> Option<Duration> {
    let (from, to): (Timestamp, Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Some(Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_where_they_must_be() {
        let shown = ["0", "-12", "999", "-1000", "123456789012345678901234567890"];
        let grouped = shown.map(|digits| grouped(&digits));
        let long = "123,456,789,012,345,678,901,234,567,890";
        assert_eq!(grouped, ["0", "-12", "999", "-1,000", long]);
        assert_eq!([0.0, 2.0, 2.25, 9.96, 1234.5].map(rate), ["0", "2", "2.2", "10", "1,234"]);
        let latencies = [None, Some(410.4), Some(1204.0), Some(250_000.0), Some(2.5e6)];
        assert_eq!(latencies.map(micros), ["-", "410 µs", "1.20 ms", "250 ms", "2.5 s"]);
    }

    #[test]
    fn spans_have_two_units_and_times_that_are_none_give_none() {
        let shown = [0, 59, 61, 3600 * 3 + 720, 86_400 * 4].map(|s| span(Duration::from_secs(s)));
        assert_eq!(shown, ["0 s", "59 s", "1 min 1 s", "3 h 12 min", "4 d 0 h"]);
        let briefly = [0, 119, 120, 7300, 400_000].map(|s| brief(Duration::from_secs(s)));
        assert_eq!(briefly, ["0 s", "119 s", "2 min", "2 h", "4 d"]);
        let (early, late) = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.500Z");
        assert_eq!(between(early, late), Some(Duration::from_millis(1500)));
        assert_eq!(between(late, early), Some(Duration::ZERO));
        assert_eq!(between("yesterday", late), None);
        assert_eq!(secs(-1.0) + secs(f64::MAX), Duration::ZERO);
    }
}

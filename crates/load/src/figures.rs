//! Figures for people: three significant digits and a unit.

/// A whole number of nanoseconds as a time with a unit, such as `12.3 ms`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn nanos(nanos: u64) -> String {
    time(nanos as f64)
}

/// A number of nanoseconds as a time with a unit, such as `12.3 ms`.
pub fn time(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{} ns", three(nanos)),
        ..1e6 => format!("{} µs", three(nanos / 1e3)),
        ..1e9 => format!("{} ms", three(nanos / 1e6)),
        _ => format!("{} s", three(nanos / 1e9)),
    }
}

/// A number or a rate with a decimal prefix, such as `1.23 k`.
pub fn short(number: f64) -> String {
    match number {
        ..1e3 => three(number),
        ..1e6 => format!("{} k", three(number / 1e3)),
        ..1e9 => format!("{} M", three(number / 1e6)),
        _ => format!("{} G", three(number / 1e9)),
    }
}

fn three(number: f64) -> String {
    let digits = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(
            [0, 999, 1_250, 12_340_000, 3_600_000_000_000].map(nanos),
            ["0 ns", "999 ns", "1.25 µs", "12.3 ms", "3600 s"]
        );
        assert_eq!([0.0, 950.0, 1_234.0, 5_000_000.0].map(short), ["0", "950", "1.23 k", "5 M"]);
    }
}

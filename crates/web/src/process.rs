//! What this process uses of the machine, for the metrics.

use std::fs;

/// From /proc/self; `None` where that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ProcessUsage {
    pub(crate) cpu_secs: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
}

impl ProcessUsage {
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let files = fs::read_dir("/proc/self/fd").ok()?.count();
        let (ticks, page_bytes) =
            (rustix::param::clock_ticks_per_second(), rustix::param::page_size());
        let (cpu_ticks, pages) = parse(&stat)?;
        #[allow(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
        let cpu_secs = cpu_ticks as f64 / ticks as f64;
        let resident_bytes = pages.checked_mul(page_bytes as u64)?;
        // The folder itself was open while it was counted.
        Some(Self { cpu_secs, resident_bytes, open_files: (files as u64).saturating_sub(1) })
    }
}

/// User and system time in ticks, and resident pages: the 14th, 15th and 24th field. The second
/// one, the program's name, may hold spaces and parentheses.
fn parse(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
    let (user, system) = (number(11)?, number(0)?);
    Some((user.checked_add(system)?, number(8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 9 0 5 6000 77 18446744";
        assert_eq!(parse(stat), Some((150, 77)));
        assert!(ProcessUsage::read().is_some_and(|usage| usage.resident_bytes > 0));
    }
}

//! Conversions of times, sizes and bounds that end at the greatest number of the type.
//!
//! Only for a number of which more means the same: a time beyond 584 years, a bound that no memory
//! reaches, a figure that is shown. There the greatest number is the right answer. Where it would
//! be a wrong one, `try_from` says so, and its error is handled.

use std::time::Duration;

/// `number`, at most `u32::MAX`.
pub fn to_u32(number: u64) -> u32 {
    // More means the same: see the module.
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `number`, at most `u64::MAX`.
pub fn to_u64(number: u128) -> u64 {
    // More means the same: see the module.
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// `number`, at most `usize::MAX`.
pub fn to_usize(number: u64) -> usize {
    // More means the same: see the module.
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Whole milliseconds, at most 584 million years.
pub fn millis(duration: Duration) -> u64 {
    to_u64(duration.as_millis())
}

/// Whole microseconds, at most 584,000 years.
pub fn micros(duration: Duration) -> u64 {
    to_u64(duration.as_micros())
}

/// Nanoseconds, at most 584 years.
pub fn nanos(duration: Duration) -> u64 {
    to_u64(duration.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_the_greatest_number_is_the_greatest() {
        for (number, expect) in [(0, 0), (u32::MAX.into(), u32::MAX), (1 << 32, u32::MAX)] {
            assert_eq!(to_u32(number), expect);
        }
        for (number, expect) in [(0, 0), (u64::MAX.into(), u64::MAX), (1 << 64, u64::MAX)] {
            assert_eq!(to_u64(number), expect);
        }
        assert_eq!((to_usize(0), to_usize(u64::MAX)), (0, usize::MAX));
        assert_eq!(to_usize(usize::MAX as u64), usize::MAX);
    }

    #[test]
    fn times_are_cut_to_whole_units_and_end_at_the_greatest() {
        let time = Duration::new(2, 3_456_789);
        assert_eq!((millis(time), micros(time), nanos(time)), (2_003, 2_003_456, 2_003_456_789));
        let last = Duration::from_nanos(u64::MAX);
        for more in [0, 1] {
            assert_eq!(nanos(last + Duration::from_nanos(more)), u64::MAX);
        }
        for convert in [millis, micros, nanos] {
            assert_eq!(convert(Duration::MAX), u64::MAX);
        }
    }
}

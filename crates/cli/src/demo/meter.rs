//! The clients of the demo: what each counts, and how often. The integers repeat, so that the exact
//! sum of any number of them is known without the server.

pub(super) struct Meter {
    pub(super) name: &'static str,
    pub(super) per_sec: u32,
    readings: &'static [i64],
}

/// A kitchen's door, a gate's visitors, a turbine's ticks.
pub(super) const METERS: [Meter; 3] = [
    Meter { name: "kitchen", per_sec: 2, readings: &[1, 2, 1, 4] },
    Meter { name: "gate", per_sec: 11, readings: &[1, 1, 3, 1, 2, 5] },
    Meter { name: "turbine", per_sec: 90, readings: &[12, 14, 13, 15, 11, 13, 9] },
];

impl Meter {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        METERS.iter().find(|meter| meter.name == name)
    }

    /// The integers number `first` to `first + count - 1`, from 0 on.
    pub(super) fn readings(&self, first: u64, count: u64) -> Vec<i64> {
        (first..first + count).map(|number| self.readings[self.place(number)]).collect()
    }

    /// The exact sum of the first `count` integers.
    pub(super) fn sum_of(&self, count: u64) -> i128 {
        let length = self.readings.len() as u64;
        let whole: i128 = self.readings.iter().map(|reading| i128::from(*reading)).sum();
        let rest = &self.readings[..self.place(count)];
        let rest: i128 = rest.iter().map(|reading| i128::from(*reading)).sum();
        i128::from(count / length) * whole + rest
    }

    #[allow(clippy::cast_possible_truncation, reason = "below the length of a list")]
    fn place(&self, number: u64) -> usize {
        (number % self.readings.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_any_number_of_readings_is_known_without_adding_them() {
        for meter in &METERS {
            let mut sum = 0;
            for count in 0..100 {
                assert_eq!(meter.sum_of(count), sum, "{} of {}", count, meter.name);
                sum += i128::from(meter.readings(count, 1)[0]);
            }
        }
    }
}

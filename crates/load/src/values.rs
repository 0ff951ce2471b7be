//! The values of the load: a function of the seed, the session and the value's number, so that no
//! value has to be kept to be sent again.

use std::fmt;
use std::sync::Arc;

/// The most distinct values of a Zipf distribution: its table is searched for each value.
const ZIPF_MAX: u64 = 65_536;

/// A source of values.
#[derive(Clone)]
pub struct Values {
    distribution: Distribution,
    seed: u64,
}

#[derive(Clone)]
enum Distribution {
    Constant(i64),
    /// `span` values from `low` on; a span of 2^64 is all of them.
    Uniform {
        low: i64,
        span: u128,
    },
    /// The cumulated probabilities of 1, 2, 3 …, in 2^-64.
    Zipf(Arc<[u64]>),
    /// The values of a list in a cycle; each session starts at a place of its own.
    List(Arc<[i64]>),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.distribution {
            Distribution::Constant(value) => write!(f, "Constant({value})"),
            Distribution::Uniform { low, span } => write!(f, "Uniform({low}, {span})"),
            Distribution::Zipf(table) => write!(f, "Zipf(1..={})", table.len()),
            Distribution::List(list) => write!(f, "List({} values)", list.len()),
        }
    }
}

impl Values {
    /// `constant:N`, `uniform:A..B` (both ends included), `zipf:N` or `zipf:N:S` (1 to N, exponent
    /// S, 1 where none is named).
    pub fn parse(text: &str, seed: u64) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let integer =
            |text: &str| text.parse::<i64>().map_err(|_| format!("'{text}' is not an integer"));
        let distribution = match name {
            "constant" => Distribution::Constant(integer(rest)?),
            "uniform" => {
                let (low, high) = rest.split_once("..").ok_or("a range is A..B")?;
                let (low, high) = (integer(low)?, integer(high)?);
                if low > high {
                    return Err(format!("the range {rest} is empty"));
                }
                Distribution::Uniform { low, span: u128::from(high.abs_diff(low)) + 1 }
            }
            "zipf" => {
                let (most, exponent) = rest.split_once(':').unwrap_or((rest, "1"));
                let most = most.parse().ok().filter(|most| (1..=ZIPF_MAX).contains(most));
                let exponent =
                    exponent.parse().ok().filter(|exponent: &f64| (0.0..=10.0).contains(exponent));
                let (Some(most), Some(exponent)) = (most, exponent) else {
                    return Err(format!(
                        "a Zipf distribution is zipf:N or zipf:N:S, N at most {ZIPF_MAX}, S at \
                         most 10"
                    ));
                };
                Distribution::Zipf(zipf(most, exponent))
            }
            _ => {
                return Err(format!(
                    "'{name}' is not a distribution; use constant:N, uniform:A..B, zipf:N, \
                     file:PATH"
                ));
            }
        };
        Ok(Self { distribution, seed })
    }

    /// The values of a list, over and over; `None` for an empty one.
    pub fn list(values: Vec<i64>, seed: u64) -> Option<Self> {
        (!values.is_empty()).then(|| Self { distribution: Distribution::List(values.into()), seed })
    }

    /// Fills `out` with a session's values from number `first` on, and returns their sum.
    pub(crate) fn fill(&self, session: u64, first: u64, out: &mut [i64]) -> i128 {
        let stream = mix(self.seed.wrapping_add(session.wrapping_mul(GOLDEN)));
        let draw = |number: u64| mix(stream.wrapping_add(number.wrapping_mul(GOLDEN)));
        let numbers = first..;
        match &self.distribution {
            Distribution::Constant(value) => out.fill(*value),
            Distribution::Uniform { low, span } => {
                for (number, out) in numbers.zip(&mut *out) {
                    #[allow(
                        clippy::cast_possible_truncation,
                        reason = "below the span, which is at most 2^64"
                    )]
                    let offset = ((u128::from(draw(number)) * span) >> 64) as u64;
                    *out = low.wrapping_add_unsigned(offset);
                }
            }
            Distribution::Zipf(table) => {
                for (number, out) in numbers.zip(&mut *out) {
                    let drawn = draw(number);
                    #[allow(
                        clippy::cast_possible_wrap,
                        reason = "a table has at most 2^16 entries"
                    )]
                    let rank = table.partition_point(|bound| *bound < drawn) as i64 + 1;
                    *out = rank;
                }
            }
            Distribution::List(list) => {
                for (number, out) in numbers.zip(&mut *out) {
                    let at = stream.wrapping_add(number) % list.len() as u64;
                    #[allow(
                        clippy::cast_possible_truncation,
                        reason = "below the list's length, which is a usize"
                    )]
                    let value = list[at as usize];
                    *out = value;
                }
            }
        }
        out.iter().map(|value| i128::from(*value)).sum()
    }
}

/// The last bound is 2^64 - 1, so that every draw falls below one.
fn zipf(most: u64, exponent: f64) -> Arc<[u64]> {
    #[allow(clippy::cast_precision_loss, reason = "at most 2^16")]
    let weights: Vec<f64> = (1..=most).map(|rank| (rank as f64).powf(-exponent)).collect();
    let whole: f64 = weights.iter().sum();
    let mut below = 0.0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 stays in range"
    )]
    let mut table: Vec<u64> = weights
        .iter()
        .map(|weight| {
            below += weight;
            (below / whole * 2_f64.powi(64)) as u64
        })
        .collect();
    if let Some(last) = table.last_mut() {
        *last = u64::MAX;
    }
    table.into()
}

/// 2^64 / φ, odd: the step of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014).
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64. Of a counter it makes numbers as even as a load needs; nothing
/// secret depends on it.
pub(crate) fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, count: usize) -> Vec<i64> {
        let mut out = vec![0; count];
        let sum = Values::parse(text, 7).unwrap().fill(3, 1, &mut out);
        assert_eq!(sum, out.iter().map(|value| i128::from(*value)).sum());
        out
    }

    /// The generator's first outputs for seed 1234567, from its authors' `splitmix64.c`.
    #[test]
    fn the_mixer_is_that_of_splitmix64() {
        let outputs: Vec<u64> =
            (1..=3_u64).map(|n| mix(1_234_567_u64.wrapping_add(n.wrapping_mul(GOLDEN)))).collect();
        assert_eq!(
            outputs,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_value_depends_on_its_number_and_not_on_its_frame() {
        for text in
            ["uniform:-5..5", "zipf:100", "uniform:-9223372036854775808..9223372036854775807"]
        {
            let values = Values::parse(text, 1).unwrap();
            let (mut whole, mut part) = ([0; 64], [0; 16]);
            values.fill(9, 100, &mut whole);
            values.fill(9, 132, &mut part);
            assert_eq!(whole[32..48], part, "{text}");
        }
    }

    #[test]
    fn distributions_have_their_ends_and_their_shape() {
        assert_eq!(drawn("constant:-3", 2), [-3, -3]);
        let dice = drawn("uniform:1..6", 6_000);
        for face in 1..=6 {
            let count = dice.iter().filter(|value| **value == face).count();
            assert!((850..1150).contains(&count), "{face}: {count}");
        }
        // Exponent 1 over 10: the share of 1 is 1 / (1 + 1/2 + … + 1/10) = 0.341, of 10 a tenth of
        // that.
        let ranks = drawn("zipf:10", 10_000);
        let share = |rank| ranks.iter().filter(|value| **value == rank).count();
        assert!((3_200..3_630).contains(&share(1)), "{}", share(1));
        assert!((250..440).contains(&share(10)), "{}", share(10));
        assert!(ranks.iter().all(|value| (1..=10).contains(value)));
    }

    #[test]
    fn a_list_goes_round() {
        let mut out = [0; 6];
        Values::list(vec![1, 2, 3], 1).unwrap().fill(0, 1, &mut out);
        assert_eq!(out[..3], out[3..]);
        assert_eq!(out.iter().sum::<i64>(), 12);
        assert!(Values::list(Vec::new(), 1).is_none());
    }

    #[test]
    fn what_is_no_distribution_is_refused_in_words() {
        for (text, part) in [
            ("constant:x", "'x' is not an integer"),
            ("uniform:5", "A..B"),
            ("uniform:5..4", "empty"),
            ("zipf:0", "zipf:N"),
            ("zipf:10:nan", "zipf:N"),
            ("gauss:1", "not a distribution"),
        ] {
            let error = Values::parse(text, 0).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

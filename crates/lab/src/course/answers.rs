//! What is right for a seed. Computed from what it draws, without a socket.

use serde_json::Value;
#[cfg(test)]
use serde_json::json;

use crate::keys::blocks;
use crate::rungs::course as rung;
use crate::{LabError, Seed, hex};

/// A right answer, and how far another may differ in form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// A whole number, as a number or as decimal digits.
    Number(i128),
    /// Hexadecimal digits; upper and lower case are the same.
    Hex(String),
    /// A DES key in hexadecimal, without regard to parity.
    Key([u8; 8]),
    /// Whole numbers in order, as an array or as text with blanks or commas between.
    Numbers(Vec<i128>),
}

impl Right {
    /// Whether an answer is this one.
    pub(super) fn is(&self, answer: &Value) -> bool {
        match self {
            Self::Number(right) => number(answer) == Some(*right),
            Self::Hex(right) => {
                answer.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case(right))
            }
            Self::Key(right) => answer.as_str().and_then(key).is_some_and(|given| {
                std::iter::zip(given, right).all(|(given, right)| given >> 1 == right >> 1)
            }),
            Self::Numbers(right) => numbers(answer).is_some_and(|given| given == *right),
        }
    }

    /// As a student would write it.
    #[cfg(test)]
    pub(super) fn written(&self) -> Value {
        match self {
            Self::Number(right) => json!(right.to_string()),
            Self::Hex(right) => json!(right.to_uppercase()),
            Self::Key(right) => json!(hex(&right.map(|byte| byte ^ 1))),
            Self::Numbers(right) => {
                let texts: Vec<_> = right.iter().map(i128::to_string).collect();
                json!(texts.join(", "))
            }
        }
    }
}

fn number(answer: &Value) -> Option<i128> {
    match answer {
        Value::Number(number) => number.as_i64().map(i128::from),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn numbers(answer: &Value) -> Option<Vec<i128>> {
    match answer {
        Value::Array(items) => items.iter().map(number).collect(),
        Value::String(text) => text
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .map(|word| word.parse().ok())
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn key(digits: &str) -> Option<[u8; 8]> {
    let digits = digits.trim();
    let is_hex = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()?;
    Some(number.to_be_bytes())
}

type Answer = Result<Right, LabError>;

fn count(number: impl Into<i128>) -> Answer {
    Ok(Right::Number(number.into()))
}

fn list(values: &[u64]) -> Answer {
    Ok(Right::Numbers(values.iter().map(|value| i128::from(*value)).collect()))
}

pub(super) fn token(seed: &Seed) -> Answer {
    Ok(Right::Hex(hex(&rung::token(seed))))
}

/// Two of token and one of padding.
pub(super) fn known_blocks(_: &Seed) -> Answer {
    count(3)
}

pub(super) fn equal(_: &Seed) -> Answer {
    list(&[1, 3])
}

pub(super) fn pad_block(seed: &Seed) -> Answer {
    let sealed = rung::equal_keys(seed)?.seal_data(&[0; 24], &[]);
    // Integer, two of UUID, padding.
    let block = blocks(&sealed).get(3).ok_or_else(|| LabError::unplanned("four blocks"))?;
    Ok(Right::Hex(hex(block)))
}

pub(super) fn sum(seed: &Seed) -> Answer {
    let values = rung::replayed(seed);
    count(2 * values[0] + values[1])
}

pub(super) fn overcount(seed: &Seed) -> Answer {
    count(rung::replayed(seed)[0])
}

pub(super) fn votes(seed: &Seed) -> Answer {
    list(&rung::votes(seed)[12..])
}

pub(super) fn distinct(seed: &Seed) -> Answer {
    let mut votes = rung::votes(seed);
    votes.sort_unstable();
    votes.dedup();
    count(u32::try_from(votes.len()).map_err(|_| LabError::unplanned("few votes"))?)
}

pub(super) fn server_holds(seed: &Seed) -> Answer {
    let values = rung::changed(seed);
    count(values.iter().sum::<u64>() + 2_000_000)
}

pub(super) fn client_believes(seed: &Seed) -> Answer {
    count(rung::changed(seed).iter().sum::<u64>())
}

pub(super) fn bytes_shown(seed: &Seed) -> Answer {
    let shown = u64::try_from(rung::bytes_reflected(seed)?);
    count(shown.map_err(|_| LabError::unplanned("few bytes"))?)
}

pub(super) fn sessions_ended(_: &Seed) -> Answer {
    count(3)
}

pub(super) fn different_primes(_: &Seed) -> Answer {
    count(4)
}

/// The square for the candidates, the cube for each trial: 4^5.
pub(super) fn growth(_: &Seed) -> Answer {
    count(1024)
}

pub(super) fn key1(seed: &Seed) -> Answer {
    Ok(Right::Key(rung::searched_keys(seed)?.key1))
}

pub(super) fn key2(seed: &Seed) -> Answer {
    Ok(Right::Hex(hex(&rung::searched_keys(seed)?.key2)))
}

pub(super) fn integers(seed: &Seed) -> Answer {
    list(&rung::searched_values(seed))
}

pub(super) fn met_key1(seed: &Seed) -> Answer {
    Ok(Right::Key(rung::met_keys(seed)?.key1))
}

pub(super) fn met_key2(seed: &Seed) -> Answer {
    Ok(Right::Key(rung::met_keys(seed)?.key2))
}

pub(super) fn work_log2(_: &Seed) -> Answer {
    count(57)
}

pub(super) fn half_memory(_: &Seed) -> Answer {
    count(2)
}

pub(super) fn forged_sum(seed: &Seed) -> Answer {
    count(rung::forged(seed).iter().sum::<u64>() + 500_000)
}

pub(super) fn hmacs_most(_: &Seed) -> Answer {
    count(256)
}

pub(super) fn lost(seed: &Seed) -> Answer {
    count(rung::tampered(seed))
}

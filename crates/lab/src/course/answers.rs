//! What is right for a seed. Computed from what it draws, without a socket.

use serde_json::Value;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::hex;
use crate::keys::blocks;
use crate::rungs::course as rung;
use crate::{LabError, Seed, hexadecimal};

/// A right answer, and how far another may differ in form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RightAnswer {
    /// A whole number, as a number or as decimal digits.
    Number(i128),
    /// Bytes in hexadecimal, as `ddes calc` takes them.
    Hex(Vec<u8>),
    /// Whole numbers in order.
    Numbers(Vec<i128>),
}

/// What an answer is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole number.
    Number,
    /// Bytes in hexadecimal.
    Hex,
    /// Whole numbers, in order.
    Numbers,
}

impl Form {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Number => "a whole number",
            Self::Hex => "hexadecimal, in quotes",
            Self::Numbers => "whole numbers in order, as [1, 2] or \"1 2\"",
        }
    }
}

impl RightAnswer {
    /// Whether an answer is this one; `None` if it is not of the form.
    pub(super) fn is(&self, answer: &Value) -> Option<bool> {
        match self {
            Self::Number(right) => number(answer).map(|given| given == *right),
            Self::Hex(right) => {
                let given = hexadecimal::read(answer.as_str()?).ok()?;
                Some(given == *right)
            }
            Self::Numbers(right) => numbers(answer).map(|given| given == *right),
        }
    }

    /// What it is like.
    #[cfg(test)]
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Number(_) => Form::Number,
            Self::Hex(_) => Form::Hex,
            Self::Numbers(_) => Form::Numbers,
        }
    }

    /// As a student would write it.
    #[cfg(test)]
    pub(super) fn written(&self) -> Value {
        match self {
            Self::Number(right) => json!(right.to_string()),
            Self::Hex(right) => json!(format!("0x{}", hex(right).to_uppercase())),
            Self::Numbers(right) => {
                let texts: Vec<_> = right.iter().map(i128::to_string).collect();
                json!(format!("{}.", texts.join(" and ")))
            }
        }
    }
}

/// Whether nothing is in it: a form that was not filled in.
pub(super) fn is_empty(answer: &Value) -> bool {
    match answer {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn number(answer: &Value) -> Option<i128> {
    match answer {
        Value::Number(number) => number.as_i64().map(i128::from),
        Value::String(text) => text.trim().trim_end_matches('.').parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An array, or a text with blanks, commas or `and` between the numbers, and perhaps a full stop.
fn numbers(answer: &Value) -> Option<Vec<i128>> {
    match answer {
        Value::Array(items) => items.iter().map(number).collect(),
        Value::String(text) => text
            .trim()
            .trim_end_matches('.')
            .split([' ', ',', ';', '\t', '\n'])
            .filter(|word| !word.is_empty() && *word != "and")
            .map(|word| word.parse().ok())
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

type CourseAnswer = Result<RightAnswer, LabError>;

fn count(number: impl Into<i128>) -> CourseAnswer {
    Ok(RightAnswer::Number(number.into()))
}

fn list(numbers: &[u64]) -> CourseAnswer {
    Ok(RightAnswer::Numbers(numbers.iter().map(|number| i128::from(*number)).collect()))
}

fn bytes(bytes: &[u8]) -> CourseAnswer {
    Ok(RightAnswer::Hex(bytes.to_vec()))
}

fn small(number: usize) -> CourseAnswer {
    count(u32::try_from(number).map_err(|_| LabError::unplanned("few of them"))?)
}

/// What a question is about, if the seed says that: a number from `least` to `most`.
fn asked(seed: &Seed, question: &str, least: u64, most: u64) -> u64 {
    seed.number(&format!("course/{question}"), least, most)
}

pub(super) fn token(seed: &Seed) -> CourseAnswer {
    bytes(&rung::token(seed))
}

/// Of the 20 two blocks of token and one of padding; of each 30 its padding.
pub(super) fn known_blocks(seed: &Seed) -> CourseAnswer {
    small(3 + rung::frames_with_the_token(seed))
}

pub(super) fn equal(seed: &Seed) -> CourseAnswer {
    let places = rung::equal_places(seed).into_iter().map(u64::try_from);
    let places: Result<Vec<_>, _> = places.collect();
    list(&places.map_err(|_| LabError::unplanned("few places"))?)
}

pub(super) fn pad_block(seed: &Seed) -> CourseAnswer {
    let sealed = rung::equal_keys(seed)?.seal_data(&[0; 24], &[]);
    // Integer, two of UUID, padding.
    let block = blocks(&sealed).get(3).ok_or_else(|| LabError::unplanned("four blocks"))?;
    bytes(block)
}

pub(super) fn sum(seed: &Seed) -> CourseAnswer {
    let [first, second] = rung::replayed(seed);
    count(2 * first + second)
}

pub(super) fn overcount(seed: &Seed) -> CourseAnswer {
    count(rung::replayed(seed)[0])
}

pub(super) fn votes(seed: &Seed) -> CourseAnswer {
    let (_, unknown) = rung::votes(seed);
    list(&unknown)
}

pub(super) fn distinct(seed: &Seed) -> CourseAnswer {
    let (known, unknown) = rung::votes(seed);
    let mut votes = [known, unknown].concat();
    votes.sort_unstable();
    votes.dedup();
    small(votes.len())
}

pub(super) fn server_holds(seed: &Seed) -> CourseAnswer {
    let values = rung::changed(seed);
    count(values.iter().sum::<u64>() + 2_000_000)
}

pub(super) fn client_believes(seed: &Seed) -> CourseAnswer {
    count(rung::changed(seed).iter().sum::<u64>())
}

pub(super) fn bytes_shown(seed: &Seed) -> CourseAnswer {
    small(rung::bytes_reflected(seed)?)
}

pub(super) fn sessions_ended(seed: &Seed) -> CourseAnswer {
    count(rung::evicted(seed))
}

pub(super) fn different_primes(seed: &Seed) -> CourseAnswer {
    count(rung::primes(seed))
}

/// How many times as long the primes of `growth` are as those of rung 7.
fn factor(seed: &Seed) -> u64 {
    asked(seed, "growth", 5, 12)
}

/// The square for the candidates, the cube for each trial.
pub(super) fn growth(seed: &Seed) -> CourseAnswer {
    count(factor(seed).pow(5))
}

pub(super) fn middle(seed: &Seed) -> CourseAnswer {
    bytes(&rung::searched_middle(seed)?)
}

pub(super) fn integers(seed: &Seed) -> CourseAnswer {
    list(&rung::searched_values(seed))
}

pub(super) fn met(seed: &Seed) -> CourseAnswer {
    bytes(&rung::met_middle(seed)?)
}

fn unknown(seed: &Seed) -> u64 {
    asked(seed, "unknown bits", 40, 55)
}

/// As many DES for the table as for the look-ups.
pub(super) fn work_log2(seed: &Seed) -> CourseAnswer {
    count(unknown(seed) + 1)
}

/// log2 of the share of the keys that a table holds.
fn share(seed: &Seed) -> u64 {
    asked(seed, "share", 3, 12)
}

pub(super) fn passes(seed: &Seed) -> CourseAnswer {
    count(1_u64 << share(seed))
}

pub(super) fn forged_sum(seed: &Seed) -> CourseAnswer {
    count(rung::forged(seed).iter().sum::<u64>() + 500_000)
}

fn to_forge(seed: &Seed) -> u64 {
    asked(seed, "to forge", 1_000_000, 9_999_999)
}

pub(super) fn forged_hmac(seed: &Seed) -> CourseAnswer {
    let body = rung::forged_30(seed, to_forge(seed))?;
    // Ciphertext 32, token 16, HMAC.
    bytes(body.get(48..).ok_or_else(|| LabError::unplanned("a short 30"))?)
}

pub(super) fn lost(seed: &Seed) -> CourseAnswer {
    count(rung::tampered(seed))
}

/// The numbers in the text of a question, each in the place of an `{}`.
pub(super) fn about(question: &str, seed: &Seed) -> Vec<u64> {
    match question {
        "growth" => vec![512 * factor(seed)],
        "work_log2" => vec![unknown(seed)],
        "passes" => vec![unknown(seed), unknown(seed) - share(seed)],
        "forged_hmac" => vec![to_forge(seed)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_be_written_in_several_ways() {
        let is = |right: &RightAnswer, answer: Value| right.is(&answer);
        let token = RightAnswer::Hex(vec![0x0c, 0x3f]);
        for text in ["0c3f", "0x0C3F", "0c:3f", " 0c 3f "] {
            assert_eq!(is(&token, json!(text)), Some(true), "{text}");
        }
        assert_eq!(is(&token, json!("0c3e")), Some(false));
        assert_eq!((is(&token, json!("0c3")), is(&token, json!(12))), (None, None));
        let places = RightAnswer::Numbers(vec![1, 3]);
        for answer in [json!([1, 3]), json!("1 and 3"), json!("1, 3."), json!(["1", "3"])] {
            assert_eq!(is(&places, answer.clone()), Some(true), "{answer}");
        }
        assert_eq!(is(&places, json!("3 1")), Some(false));
        assert_eq!(is(&places, json!("first and third")), None);
        let five = RightAnswer::Number(5);
        assert_eq!((is(&five, json!(5)), is(&five, json!("5"))), (Some(true), Some(true)));
        assert_eq!((is(&five, json!("five")), is(&five, json!(6))), (None, Some(false)));
    }
}

//! The ten exercises of docs/course, and what is right for a student's seed.
//!
//! Each answer follows from the seed alone: values, exponents and tokens are drawn from it, so the
//! sessions of `ddes lab run N --seed NAME` are the same wherever they run.

mod answers;

use serde_json::Value;

use crate::{LabError, Seed};
use answers::Right;

/// One exercise.
#[derive(Clone, Copy, Debug)]
pub struct Exercise {
    /// Its number, from 1; its table in a file of answers is `exercise-N`.
    pub number: u8,
    /// Its title.
    pub title: &'static str,
    /// The rungs that it runs.
    pub rungs: &'static [u8],
    /// Its questions that have one answer.
    pub questions: &'static [Question],
}

/// A question with one answer.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Its key in a file of answers.
    pub name: &'static str,
    /// The question.
    pub asks: &'static str,
    right: fn(&Seed) -> Result<Right, LabError>,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// There is none.
    Missing,
}

impl Mark {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
        }
    }
}

/// A question, and what its answer is worth.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// The exercise.
    pub exercise: &'static Exercise,
    /// The question.
    pub question: &'static Question,
    /// What its answer is worth.
    pub mark: Mark,
}

/// Marks every question of the course. `answers` holds a table for each exercise; what it holds
/// besides is an error, since it is likely a mistyped name.
pub fn grade(answers: &Value, seed: &Seed) -> Result<Vec<Marked>, LabError> {
    let unknown = |name: &str, known: &mut dyn Iterator<Item = String>| {
        let known: Vec<_> = known.collect();
        LabError::Unusable(format!("no `{name}` is asked for; there are {}", known.join(", ")))
    };
    let tables = answers.as_object().ok_or_else(|| {
        LabError::Unusable("the answers are no table of exercises: [exercise-1], …".into())
    })?;
    let mut marked = Vec::new();
    for name in tables.keys() {
        if !EXERCISES.iter().any(|exercise| exercise.table() == *name) {
            return Err(unknown(name, &mut EXERCISES.iter().map(Exercise::table)));
        }
    }
    for exercise in EXERCISES {
        let given = tables.get(&exercise.table()).and_then(Value::as_object);
        let names = || exercise.questions.iter().map(|question| question.name.to_owned());
        for name in given.into_iter().flat_map(|given| given.keys()) {
            if !names().any(|known| known == *name) {
                return Err(unknown(&format!("{}.{name}", exercise.table()), &mut names()));
            }
        }
        for question in exercise.questions {
            let mark = match given.and_then(|given| given.get(question.name)) {
                None => Mark::Missing,
                Some(answer) if (question.right)(seed)?.is(answer) => Mark::Right,
                Some(_) => Mark::Wrong,
            };
            marked.push(Marked { exercise, question, mark });
        }
    }
    Ok(marked)
}

impl Exercise {
    /// The name of its table in a file of answers.
    pub fn table(&self) -> String {
        format!("exercise-{}", self.number)
    }
}

macro_rules! question {
    ($name:ident, $asks:literal) => {
        Question { name: stringify!($name), asks: $asks, right: answers::$name }
    };
}

/// All of them.
pub const EXERCISES: &[Exercise] = &[
    Exercise {
        number: 1,
        title: "A secret that is sent in the clear",
        rungs: &[1],
        questions: &[
            question!(token, "The session token, in hexadecimal."),
            question!(known_blocks, "How many plaintext blocks of the 20 are known after one 30?"),
        ],
    },
    Exercise {
        number: 2,
        title: "Equal blocks",
        rungs: &[2],
        questions: &[
            question!(equal, "Which two integers are equal? Two numbers from 1 on."),
            question!(pad_block, "The ciphertext of a 30's last block, in hexadecimal."),
        ],
    },
    Exercise {
        number: 3,
        title: "The same frame twice",
        rungs: &[3],
        questions: &[
            question!(sum, "The sum that the server holds at the end."),
            question!(overcount, "By how much is it too high?"),
        ],
    },
    Exercise {
        number: 4,
        title: "A codebook",
        rungs: &[4],
        questions: &[
            question!(votes, "The integers 13 to 24, in order."),
            question!(distinct, "How many different blocks do the integers have?"),
        ],
    },
    Exercise {
        number: 5,
        title: "Who answers?",
        rungs: &[5],
        questions: &[
            question!(server_holds, "The sum that the server holds at the end."),
            question!(client_believes, "The sum that the client was told."),
        ],
    },
    Exercise {
        number: 6,
        title: "A message that comes back",
        rungs: &[6, 8],
        questions: &[
            question!(bytes_shown, "Rung 8: how many bytes of its own message are shown?"),
            question!(sessions_ended, "Rung 6: how many sessions of others did one frame end?"),
        ],
    },
    Exercise {
        number: 7,
        title: "Work before authentication",
        rungs: &[7],
        questions: &[
            question!(different_primes, "How many different primes did the connections get?"),
            question!(growth, "How many times as long does a prime of 4 times the bits take?"),
        ],
    },
    Exercise {
        number: 8,
        title: "Two passes of one key",
        rungs: &[9],
        questions: &[
            question!(key1, "Key1 in hexadecimal; its parity bits do not matter."),
            question!(key2, "Key2 in hexadecimal, parity bits included."),
            question!(integers, "The integers of the session, in order."),
        ],
    },
    Exercise {
        number: 9,
        title: "Meet in the middle",
        rungs: &[10, 12],
        questions: &[
            question!(met_key1, "Rung 10: Key1 in hexadecimal; its parity bits do not matter."),
            question!(met_key2, "Rung 10: Key2 in hexadecimal; its parity bits do not matter."),
            question!(work_log2, "With a whole table, all 56 bits unknown: log2 of the DES."),
            question!(half_memory, "How many times as many second passes for half the memory?"),
        ],
    },
    Exercise {
        number: 10,
        title: "Forgery and evidence",
        rungs: &[11, 13],
        questions: &[
            question!(forged_sum, "Rung 11: the sum that the server holds at the end."),
            question!(hmacs_most, "Rung 11: how many HMACs at most find the parity bits?"),
            question!(lost, "Rung 13: the sum that a classic reconnect loses."),
        ],
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The right answers, as a student would write them.
    fn right(seed: &Seed) -> Value {
        let tables = EXERCISES.iter().map(|exercise| {
            let answers = exercise.questions.iter().map(|question| {
                (question.name.to_owned(), (question.right)(seed).unwrap().written())
            });
            (exercise.table(), Value::Object(answers.collect()))
        });
        Value::Object(tables.collect())
    }

    #[test]
    fn right_answers_are_right_and_those_of_another_student_are_not() {
        let (anna, ben) = (Seed::named("anna"), Seed::named("ben"));
        let answers = right(&anna);
        assert!(grade(&answers, &anna).unwrap().iter().all(|marked| marked.mark == Mark::Right));
        let marked = grade(&answers, &ben).unwrap();
        let wrong: Vec<_> = marked.iter().filter(|marked| marked.mark == Mark::Wrong).collect();
        // All that depends on the seed.
        assert!(wrong.len() >= 14, "{wrong:?}");
        assert!(
            grade(&json!({}), &anna).unwrap().iter().all(|marked| marked.mark == Mark::Missing)
        );
    }

    #[test]
    fn mistyped_names_are_errors_that_name_the_right_ones() {
        let seed = Seed::named("anna");
        let of = |answers: Value| grade(&answers, &seed).unwrap_err().to_string();
        assert!(of(json!({"exercise-11": {}})).contains("exercise-10"));
        assert!(of(json!({"exercise-1": {"tokn": ""}})).contains("token"));
        assert!(of(json!([])).contains("[exercise-1]"));
    }
}

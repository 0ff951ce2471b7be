//! The ten exercises of docs/course, and what is right for a student's seed.
//!
//! Each answer follows from the seed alone: integers, exponents and tokens are drawn from it, so
//! the sessions of `ddes lab run N --seed NAME` are the same wherever they run. With `--quiz` a run
//! withholds what is asked for here; the frames, and `ddes calc`, lead to it.

mod answers;

use serde_json::Value;

use crate::{LabError, Seed};
use answers::RightAnswer;

pub use answers::Form;

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
    /// The question, with `{}` where the seed says a number.
    asks: &'static str,
    /// What stands there where no seed is known.
    names: &'static [&'static str],
    form: Form,
    right: fn(&Seed) -> Result<RightAnswer, LabError>,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// It is not of the question's form: no number, or not hexadecimal.
    Unreadable,
    /// There is none.
    Missing,
}

impl Mark {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Unreadable => "unreadable",
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
        LabError::unusable(format!("no `{name}` is asked for; there are {}", known.join(", ")))
    };
    let tables = answers.as_object().ok_or_else(|| {
        LabError::unusable("the answers are no table of exercises: [exercise-1], …")
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
                Some(answer) if answers::is_empty(answer) => Mark::Missing,
                Some(answer) => match (question.right)(seed)?.is(answer) {
                    Some(true) => Mark::Right,
                    Some(false) => Mark::Wrong,
                    None => Mark::Unreadable,
                },
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

impl Question {
    /// The question, as this student is asked; without a seed letters stand for its numbers.
    pub fn asks(&self, seed: Option<&Seed>) -> String {
        let numbers = seed.map(|seed| answers::about(self.name, seed));
        let mut text = self.asks.to_owned();
        for (at, name) in self.names.iter().enumerate() {
            let number = numbers.as_ref().and_then(|numbers| numbers.get(at)).map(u64::to_string);
            text = text.replacen("{}", number.as_deref().unwrap_or(name), 1);
        }
        text
    }

    /// What its answer is like.
    pub fn form(&self) -> Form {
        self.form
    }
}

macro_rules! question {
    ($name:ident, $form:ident, $asks:literal $(, $about:literal)*) => {
        Question {
            name: stringify!($name),
            asks: $asks,
            names: &[$($about),*],
            form: Form::$form,
            right: answers::$name,
        }
    };
}

/// All of them.
pub const EXERCISES: &[Exercise] = &[
    Exercise {
        number: 1,
        title: "A secret in the clear",
        rungs: &[1],
        questions: &[
            question!(token, Hex, "The session token."),
            question!(
                known_blocks,
                Number,
                "Of how many blocks of ciphertext, in the 20 and all 30s, is the plaintext known?"
            ),
        ],
    },
    Exercise {
        number: 2,
        title: "Equal blocks",
        rungs: &[2],
        questions: &[
            question!(equal, Numbers, "Which integers are equal? Their places, from 1 on."),
            question!(pad_block, Hex, "The ciphertext of a 30's last block."),
        ],
    },
    Exercise {
        number: 3,
        title: "The same frame twice",
        rungs: &[3],
        questions: &[
            question!(sum, Number, "The sum that the server holds at the end."),
            question!(overcount, Number, "By how much is it too high?"),
        ],
    },
    Exercise {
        number: 4,
        title: "A codebook",
        rungs: &[4],
        questions: &[
            question!(votes, Numbers, "The integers 13 to 24, in order."),
            question!(distinct, Number, "How many different blocks do the integers have?"),
        ],
    },
    Exercise {
        number: 5,
        title: "Who answers?",
        rungs: &[5],
        questions: &[
            question!(server_holds, Number, "The sum that the server holds at the end."),
            question!(client_believes, Number, "The sum that the client was told."),
        ],
    },
    Exercise {
        number: 6,
        title: "A message that comes back",
        rungs: &[8, 6],
        questions: &[
            question!(
                bytes_shown,
                Number,
                "Rung 8: how many bytes of its own message does the client show?"
            ),
            question!(
                sessions_ended,
                Number,
                "Rung 6: how many sessions of others did one frame end?"
            ),
        ],
    },
    Exercise {
        number: 7,
        title: "Work before authentication",
        rungs: &[7],
        questions: &[
            question!(different_primes, Number, "How many different primes did the server send?"),
            question!(
                growth,
                Number,
                "How many times as long as for 512 bits does a prime of {} bits take?",
                "B"
            ),
        ],
    },
    Exercise {
        number: 8,
        title: "Two passes of one key",
        rungs: &[9],
        questions: &[
            question!(middle, Hex, "E(Key1, 08 08 08 08 08 08 08 08): after the first pass."),
            question!(integers, Numbers, "The integers of the session, in order."),
        ],
    },
    Exercise {
        number: 9,
        title: "Meet in the middle",
        rungs: &[10, 12],
        questions: &[
            question!(met, Hex, "Rung 10: the block in which both sides meet."),
            question!(
                work_log2,
                Number,
                "With a whole table and {} unknown bits of each key: log2 of the DES operations.",
                "N"
            ),
            question!(
                passes,
                Number,
                "With {} unknown bits of each key and a table of 2^{} keys: how often is every \
                 Key2 tried?",
                "N",
                "M"
            ),
        ],
    },
    Exercise {
        number: 10,
        title: "Forgery and evidence",
        rungs: &[11, 13],
        questions: &[
            question!(forged_sum, Number, "Rung 11: the sum that the server holds at the end."),
            question!(
                forged_hmac,
                Hex,
                "Rung 11: the HMAC of the client's 30 if its integer were {}.",
                "X"
            ),
            question!(lost, Number, "Rung 13: the sum that a classic reconnect loses."),
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
        // A small number may be the same for both by chance.
        assert!(wrong.len() >= 18, "{wrong:?}");
        assert!(
            grade(&json!({}), &anna).unwrap().iter().all(|marked| marked.mark == Mark::Missing)
        );
    }

    /// What one student found is of no use to the next one.
    #[test]
    fn each_answer_differs_between_seeds() {
        let seeds: Vec<_> = (0..12).map(|name| Seed::named(&format!("student {name}"))).collect();
        for question in EXERCISES.iter().flat_map(|exercise| exercise.questions) {
            let answers = seeds.iter().map(|seed| (question.right)(seed).unwrap().written());
            let answers: std::collections::BTreeSet<_> =
                answers.map(|answer| answer.to_string()).collect();
            assert!(answers.len() >= 3, "{}: {answers:?}", question.name);
        }
    }

    #[test]
    fn a_question_has_the_form_of_its_answer_and_the_seed_s_numbers() {
        let seed = Seed::named("anna");
        for question in EXERCISES.iter().flat_map(|exercise| exercise.questions) {
            let right = (question.right)(&seed).unwrap();
            assert_eq!(right.form(), question.form, "{}", question.name);
            let numbers = answers::about(question.name, &seed).len();
            assert_eq!(
                (question.names.len(), question.asks.matches("{}").count()),
                (numbers, numbers)
            );
            assert!(!question.asks(Some(&seed)).contains("{}"));
            assert_eq!(question.asks(Some(&seed)) == question.asks(None), numbers == 0);
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_told_from_what_is_wrong_and_what_is_missing() {
        let given = json!({"exercise-1": {"token": "abc", "known_blocks": ""},
            "exercise-3": {"sum": "a lot", "overcount": 0}});
        let marked = grade(&given, &Seed::named("anna")).unwrap();
        let mark = |name| marked.iter().find(|one| one.question.name == name).map(|one| one.mark);
        assert_eq!(mark("token"), Some(Mark::Unreadable));
        assert_eq!(mark("known_blocks"), Some(Mark::Missing));
        assert_eq!(mark("sum"), Some(Mark::Unreadable));
        assert_eq!(mark("overcount"), Some(Mark::Wrong));
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

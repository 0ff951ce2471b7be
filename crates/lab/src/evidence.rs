//! What an attack leaves behind: what went over the wire, what was found, and how it ended.

use serde_json::{Map, Value, json};

use crate::Lab;
use crate::stage::Recorded;

/// How an attack ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttackVerdict {
    /// It reached its goal: what the attacker has now.
    Succeeded {
        /// What the attacker has now.
        gained: String,
    },
    /// A check stopped it.
    Stopped {
        /// The check.
        by: String,
        /// Its rule in PROTOCOL.md.
        rule: &'static str,
    },
    /// It ended in another way than it has to.
    Unexpected {
        /// What happened instead.
        what: String,
    },
}

/// One attack, done.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The frames that passed the attacker, and those that the attacker made.
    pub frames: Vec<Recorded>,
    /// What was found, by name. What may exceed 2^53 is text.
    pub facts: Map<String, Value>,
    /// Facts that a student has to find, and that are not told: their names.
    pub withheld: Vec<String>,
    /// How it ended.
    pub verdict: AttackVerdict,
}

impl Trial {
    /// An attack that reached its goal.
    pub(crate) fn succeeded(gained: impl Into<String>) -> Self {
        Self::ended(AttackVerdict::Succeeded { gained: gained.into() })
    }

    /// An attack that a check stopped.
    pub(crate) fn stopped(by: impl Into<String>, rule: &'static str) -> Self {
        Self::ended(AttackVerdict::Stopped { by: by.into(), rule })
    }

    /// An attack that ended in another way than it has to.
    pub(crate) fn unexpected(what: impl Into<String>) -> Self {
        Self::ended(AttackVerdict::Unexpected { what: what.into() })
    }

    fn ended(verdict: AttackVerdict) -> Self {
        Self { frames: Vec::new(), facts: Map::new(), withheld: Vec::new(), verdict }
    }

    /// With what passed the attacker.
    pub(crate) fn frames(self, frames: Vec<Recorded>) -> Self {
        Self { frames, ..self }
    }

    /// With something that was found.
    pub(crate) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.into(), value.into());
        self
    }

    /// The same of what an exercise asks for: with `--quiz` only its name is told.
    pub(crate) fn answer(mut self, lab: &Lab<'_>, name: &str, value: impl Into<Value>) -> Self {
        if lab.is_quiz {
            self.withheld.push(name.into());
            return self;
        }
        self.fact(name, value)
    }

    /// As evidence.
    pub fn json(&self) -> Value {
        let verdict = match &self.verdict {
            AttackVerdict::Succeeded { gained } => {
                json!({"outcome": "succeeded", "gained": gained})
            }
            AttackVerdict::Stopped { by, rule } => {
                json!({"outcome": "stopped", "by": by, "rule": rule})
            }
            AttackVerdict::Unexpected { what } => json!({"outcome": "unexpected", "what": what}),
        };
        let frames: Vec<_> =
            (1_u64..).zip(&self.frames).map(|(number, frame)| frame.json(number)).collect();
        json!({
            "verdict": verdict,
            "facts": self.facts,
            "withheld": self.withheld,
            "seen_frames": frames,
        })
    }
}

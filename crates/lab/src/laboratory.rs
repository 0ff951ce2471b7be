//! What an attack runs with: its seed, its bounds, a recording to read instead of a live session,
//! and somebody who listens.

use ddes_capture::{Conversation, Direction, OpenedKeys, Profile};

use crate::keys::ClassicKeys;
use crate::search::SearchResume;
use crate::stage::{By, LabServer, LogLine, Recorded, Way};
use crate::{Said, Seed, Voice};

/// The bounds of the searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unknown bits of each key, of 56; the others are given as a hint.
    pub bits: u32,
    /// Memory of the meet in the middle, in bytes.
    pub memory_bytes: u64,
    /// Threads of a search.
    pub threads: usize,
}

/// Who listens to an exercise.
pub trait Listener {
    /// A line of the narration.
    fn say(&mut self, said: &Said);

    /// How far a search is; returning `false` stops it, and it can be resumed.
    fn progress(&mut self, search: &SearchStatus) -> bool;

    /// A search was stopped here; a later run continues from it.
    fn keep(&mut self, resume: &SearchResume);
}

/// How far a search is.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchStatus {
    /// What is searched.
    pub what: &'static str,
    /// Keys tried so far.
    pub tried: u64,
    /// Keys there are.
    pub of: u64,
    /// Keys tried a second, as of late.
    pub keys_per_sec: f64,
}

/// A session that was captured before.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Whether it is of the classic wire.
    pub is_classic: bool,
    /// Its frames.
    pub frames: Vec<Recorded>,
    /// What its secrets gave, if it has them.
    pub truth: Option<Truth>,
}

/// What the lab knows of a classic session, to check the attacker's work and to give hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Its keys.
    pub keys: ClassicKeys,
}

/// What an attacker who only listened has.
#[derive(Clone, Debug)]
pub struct Material {
    /// The frames.
    pub frames: Vec<Recorded>,
    /// The session's keys, to check what is found; `None` with a capture without secrets.
    pub truth: Option<Truth>,
    /// Integers that were sent, in order, to check what is read; empty if nobody knows them.
    pub values: Vec<u64>,
}

impl Material {
    /// The bodies of one kind of frame, one way, in order.
    pub(crate) fn bodies(&self, way: Way, opcode: u32) -> Vec<&[u8]> {
        let wanted = self.frames.iter().filter(|frame| frame.is_of_the_ends(way, opcode));
        wanted.map(|frame| frame.body.as_slice()).collect()
    }
}

impl Recording {
    /// A conversation of a capture.
    pub fn of(conversation: &Conversation) -> Self {
        let frames = conversation.frames.iter().map(|frame| {
            let (way, by) = match frame.direction {
                Direction::ToServer => (Way::ToServer, By::Client),
                Direction::ToClient => (Way::ToClient, By::Server),
            };
            Recorded::captured(way, by, frame.opcode, frame.body().to_vec())
        });
        let truth = match &conversation.session {
            Some(OpenedKeys::Classic(opened)) => {
                Some(Truth { keys: ClassicKeys { key1: *opened.key1, key2: *opened.key2 } })
            }
            Some(OpenedKeys::V2(_)) | None => None,
        };
        Self {
            is_classic: conversation.profile == Profile::Classic,
            frames: frames.collect(),
            truth,
        }
    }
}

/// Lines of one kind that are told; of more, the first and how many there are.
const LINES_MAX: usize = 12;

fn few(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX / 2;
        lines.truncate(LINES_MAX / 2);
        lines.push(format!("… and {more} lines like these"));
    }
    lines
}

/// What an attack runs with.
pub struct Lab<'a> {
    /// Where values, exponents and tokens come from.
    pub seed: Seed,
    /// The bounds of searches.
    pub settings: Settings,
    /// What is read instead of a live session, by the rungs that only listen.
    pub recording: Option<Recording>,
    /// Hints for a capture: keys of which all but the unknown bits are right.
    pub hints: Option<ClassicKeys>,
    /// The first integers of a capture, as far as the attacker knows them.
    pub known: Vec<u64>,
    /// Whether what the exercises ask for is left out of narration and facts.
    pub is_quiz: bool,
    /// Where a search that was stopped continues.
    pub resume: Option<SearchResume>,
    /// Who listens.
    pub listener: &'a mut dyn Listener,
}

impl Lab<'_> {
    fn say(&mut self, voice: Voice, text: impl Into<String>) {
        self.listener.say(&Said { voice, text: text.into() });
    }

    pub(crate) fn scene(&mut self, text: impl Into<String>) {
        self.say(Voice::Scene, text);
    }

    pub(crate) fn client(&mut self, text: impl Into<String>) {
        self.say(Voice::Client, text);
    }

    pub(crate) fn sees(&mut self, text: impl Into<String>) {
        self.say(Voice::Sees, text);
    }

    /// The first of many lines, and how many there are.
    pub(crate) fn sees_few(&mut self, lines: Vec<String>) {
        few(lines).into_iter().for_each(|line| self.sees(line));
    }

    pub(crate) fn does(&mut self, text: impl Into<String>) {
        self.say(Voice::Does, text);
    }

    pub(crate) fn gets(&mut self, text: impl Into<String>) {
        self.say(Voice::Gets, text);
    }

    pub(crate) fn stopped(&mut self, text: impl Into<String>) {
        self.say(Voice::Stopped, text);
    }

    pub(crate) fn lesson(&mut self, text: impl Into<String>) {
        self.say(Voice::Lesson, text);
    }

    /// What an exercise may ask for: a blank, if somebody is being asked.
    pub(crate) fn veiled(&self, answer: impl std::fmt::Display) -> String {
        if self.is_quiz { "[?]".into() } else { answer.to_string() }
    }

    /// The new lines of a server's log, as far as they are told.
    fn log(&self, server: &LabServer) -> Vec<String> {
        let told = |LogLine { text, number }| match number {
            Some(number) => format!("{text} {}", self.veiled(number)),
            None => text,
        };
        few(server.take_lines().into_iter().map(told).collect())
    }

    /// The lines of a server's log. Each says that it serves this machine alone.
    pub(crate) fn server(&mut self, server: &LabServer) {
        for line in self.log(server) {
            self.say(Voice::Server, format!("[{}, loopback only] {line}", server.address()));
        }
    }

    /// The same with the hint of reduced keys in each line.
    pub(crate) fn server_with_hint(&mut self, server: &LabServer, hint: &str) {
        for line in self.log(server) {
            let address = server.address();
            self.say(Voice::Server, format!("[{address}, loopback only; {hint}] {line}"));
        }
    }

    /// The recording, if it is of that wire.
    pub(crate) fn recording(&self, is_classic: bool) -> Option<&Recording> {
        self.recording.as_ref().filter(|recording| recording.is_classic == is_classic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_the_first_are_told_and_how_many_there_are() {
        let lines = |count: usize| (0..count).map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(few(lines(LINES_MAX)), lines(LINES_MAX));
        assert_eq!(few(lines(1000)).len(), LINES_MAX / 2 + 1);
        assert_eq!(few(lines(1000)).last().unwrap(), "… and 994 lines like these");
    }
}

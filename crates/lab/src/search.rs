//! Runs the searches of [`crate::recover`]: progress to whoever listens, and a text to resume from.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use ddes_cipher::{DesKey, Engine, KeySpace};

use crate::laboratory::Search;
use crate::recover::{OnProgress, Outcome, RecoverError, Run, State};
use crate::{Lab, LabError, Settings, hex};

/// The most unknown bits of a key: all.
pub const BITS_MAX: u32 = KeySpace::BITS_MAX;

/// Where a rung with a search stopped: enough to repeat what came before, and the search's state.
///
/// ```text
/// ddes lab, stopped search 1
/// rung 9
/// seed anna
/// bits 36
/// key1 0123456789abcdef      if it was found already
/// stage key1
/// … the lines of the search's state
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The rung.
    pub rung: u8,
    /// The seed's name.
    pub seed: String,
    /// Unknown bits of each key.
    pub bits: u32,
    /// Memory of a meet in the middle, in bytes.
    pub memory_bytes: u64,
    /// Which search of the rung: `key1`, `key2` or `meet`.
    pub stage: String,
    /// Key1, if it was found already.
    pub key1: Option<[u8; 8]>,
    /// The state of the search, as it writes itself.
    pub state: String,
}

/// The text is not of a stopped search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no stopped search of `ddes lab`: it breaks at line {line}")]
pub struct ResumeError {
    /// The line, from 1.
    pub line: usize,
}

const TITLE: &str = "ddes lab, stopped search 1";

impl std::fmt::Display for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rung, seed, bits, memory_bytes, stage, key1, state } = self;
        let key1 = key1.map_or_else(|| "-".into(), |key1| hex(&key1));
        writeln!(f, "{TITLE}\nrung {rung}\nseed {seed}\nbits {bits}\nmemory {memory_bytes}")?;
        write!(f, "key1 {key1}\nstage {stage}\n{state}")
    }
}

impl std::str::FromStr for Resume {
    type Err = ResumeError;

    fn from_str(text: &str) -> Result<Self, ResumeError> {
        let mut rest = text;
        let mut line = 0;
        let mut next = |word: &str| -> Result<(String, usize), ResumeError> {
            line += 1;
            let (found, after) = rest.split_once('\n').ok_or(ResumeError { line })?;
            rest = after;
            let value = found.strip_prefix(word).ok_or(ResumeError { line })?;
            Ok((value.to_owned(), line))
        };
        next(TITLE)?;
        let number =
            |(text, line): (String, usize)| text.parse::<u64>().map_err(|_| ResumeError { line });
        let small =
            |(text, line): (String, usize)| text.parse::<u32>().map_err(|_| ResumeError { line });
        let rung = next("rung ")?;
        let rung = rung.0.parse().map_err(|_| ResumeError { line: rung.1 })?;
        let seed = next("seed ")?.0;
        let bits = small(next("bits ")?)?;
        let memory_bytes = number(next("memory ")?)?;
        let (key1, line) = next("key1 ")?;
        let key1 = match key1.as_str() {
            "-" => None,
            digits => Some(unhex(digits).ok_or(ResumeError { line })?),
        };
        let stage = next("stage ")?.0;
        Ok(Self { rung, seed, bits, memory_bytes, stage, key1, state: rest.to_owned() })
    }
}

fn unhex(digits: &str) -> Option<[u8; 8]> {
    let is_hex = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()?;
    Some(number.to_be_bytes())
}

/// The keys that agree with `key` in all but `bits` bits.
pub(crate) fn space(key: &[u8; 8], bits: u32) -> KeySpace {
    let bits = bits.min(BITS_MAX);
    let unknown = 1_u64.checked_shl(bits).map_or(u64::MAX, |above| above - 1);
    KeySpace::around(&DesKey::new(*key), unknown)
}

/// The hint that a lab server gives of a key: its bits but for the unknown ones, which are 0.
pub(crate) fn hint(key: &[u8; 8], bits: u32) -> String {
    hex(space(key, bits).key(0).as_bytes())
}

/// Which search of which rung.
pub(crate) struct Stage {
    pub(crate) rung: u8,
    /// Its name in a stopped search.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) what: &'static str,
    pub(crate) key1: Option<[u8; 8]>,
    /// Whether the first key that fits is enough.
    pub(crate) first_only: bool,
}

impl Lab<'_> {
    /// Runs a search until it is done. If whoever listens stops it, what it takes to resume is
    /// given to them.
    pub(crate) fn search<F>(
        &mut self,
        stage: &Stage,
        run: impl FnOnce(&Run, OnProgress<'_>) -> Result<Outcome<F>, RecoverError>,
    ) -> Result<Vec<F>, LabError> {
        let settings = run_settings(&self.settings, stage, self.resumed(stage)?);
        let (listener, what) = (&mut *self.listener, stage.what);
        let outcome = run(&settings, &mut |progress| {
            let search = Search {
                what,
                tried: progress.tried,
                of: progress.of,
                keys_per_sec: progress.keys_per_second,
            };
            if listener.progress(&search) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match outcome.map_err(|error| LabError::Unusable(error.to_string()))? {
            Outcome::Done(found) => Ok(found),
            Outcome::Stopped(state) => {
                let resume = Resume {
                    rung: stage.rung,
                    seed: self.seed.name().to_owned(),
                    bits: self.settings.bits,
                    memory_bytes: self.settings.memory_bytes,
                    stage: stage.name.into(),
                    key1: stage.key1,
                    state: state.to_string(),
                };
                self.listener.keep(&resume);
                Err(LabError::Stopped)
            }
        }
    }

    /// The state to resume from, if it is one of this search.
    fn resumed(&self, stage: &Stage) -> Result<Option<State>, LabError> {
        let resume = self.resume.as_ref().filter(|resume| resume.stage == stage.name);
        let state = resume.map(|resume| resume.state.parse());
        state.transpose().map_err(|error: RecoverError| LabError::Unusable(error.to_string()))
    }
}

fn run_settings(settings: &Settings, stage: &Stage, resume: Option<State>) -> Run {
    Run {
        // No threads at all would find nothing.
        threads: NonZeroUsize::new(settings.threads).unwrap_or(NonZeroUsize::MIN),
        engine: Engine::best(usize::MAX),
        first_only: stage.first_only,
        resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_search_is_read_as_it_was_written() {
        let resume = Resume {
            rung: 9,
            seed: "anna of class 7".into(),
            bits: 36,
            memory_bytes: 1 << 30,
            stage: "key2".into(),
            key1: Some([1, 2, 3, 4, 5, 6, 7, 8]),
            state: "one\ntwo\n".into(),
        };
        assert_eq!(resume.to_string().parse(), Ok(resume.clone()));
        let none = Resume { key1: None, ..resume };
        assert_eq!(none.to_string().parse(), Ok(none.clone()));
        let broken = none.to_string().replace("bits 36", "bits x");
        assert_eq!(broken.parse::<Resume>(), Err(ResumeError { line: 4 }));
        assert_eq!("".parse::<Resume>(), Err(ResumeError { line: 1 }));
    }

    #[test]
    fn a_hint_hides_the_unknown_bits_and_no_others() {
        let key = [0xff; 8];
        assert_eq!(space(&key, 0).keys(), 1);
        assert_eq!(space(&key, 56).keys(), 1 << 56);
        assert!(space(&key, 12).contains(&DesKey::new(key)));
        // Bits 0 to 11 are the seven of the first byte and five of the second.
        assert_eq!(&hint(&key, 12)[4..], &hint(&key, 0)[4..]);
    }
}

//! Runs the searches of [`crate::recover`]: progress to whoever listens, and a text to resume from.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

use ddes_cipher::{DesKey, Engine, KeySpace};

use crate::laboratory::SearchStatus;
use crate::recover::{
    MEMORY_MIN, OnProgress, RecoverError, SearchOutcome, SearchProgress, SearchRun, SearchState,
};
use crate::{Lab, LabError, Seed, Settings, Side, hex, hexadecimal};

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
pub struct SearchResume {
    /// The rung.
    pub rung: u8,
    /// The seed's name.
    pub seed: String,
    /// Unknown bits of each key.
    pub bits: u32,
    /// Memory of a meet in the middle, in bytes.
    pub memory_bytes: u64,
    /// Which search of the rung.
    pub stage: String,
    /// Key1, if it was found already.
    pub key1: Option<[u8; 8]>,
    /// The state of the search, as it writes itself.
    pub state: String,
}

/// The searches of each rung that has some, in order; the side that each is against.
const STAGES: &[(&[u8], &str, Side)] = &[
    (&[9, 11], "key1", Side::Classic),
    (&[9, 11], "key2", Side::Classic),
    (&[9], "control", Side::V2),
    (&[9], "v2", Side::V2),
    (&[10], "meet", Side::Classic),
    (&[10], "ddes", Side::V2),
    (&[10], "hybrid", Side::V2),
];

/// The text is not of a stopped search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no stopped search of `ddes lab`: it breaks at line {line}")]
pub struct ResumeError {
    /// The line, from 1.
    pub line: usize,
}

const TITLE: &str = "ddes lab, stopped search 1";

impl std::fmt::Display for SearchResume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rung, seed, bits, memory_bytes, stage, key1, state } = self;
        let key1 = key1.map_or_else(|| "-".into(), |key1| hex(&key1));
        writeln!(f, "{TITLE}\nrung {rung}\nseed {seed}\nbits {bits}\nmemory {memory_bytes}")?;
        write!(f, "key1 {key1}\nstage {stage}\n{state}")
    }
}

impl std::str::FromStr for SearchResume {
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
        let (seed, line) = next("seed ")?;
        hold(line, Seed::is_name(&seed))?;
        let bits = next("bits ")?;
        let line = bits.1;
        let bits = small(bits)?;
        hold(line, (1..=BITS_MAX).contains(&bits))?;
        let memory = next("memory ")?;
        let line = memory.1;
        let memory_bytes = number(memory)?;
        hold(line, memory_bytes >= MEMORY_MIN)?;
        let (key1, line) = next("key1 ")?;
        let key1 = match key1.as_str() {
            "-" => None,
            digits => Some(hexadecimal::key(digits).map_err(|_| ResumeError { line })?),
        };
        let (stage, line) = next("stage ")?;
        hold(line, side_of(rung, &stage).is_some())?;
        Ok(Self { rung, seed, bits, memory_bytes, stage, key1, state: rest.to_owned() })
    }
}

fn hold(line: usize, is_so: bool) -> Result<(), ResumeError> {
    if is_so { Ok(()) } else { Err(ResumeError { line }) }
}

fn side_of(rung: u8, stage: &str) -> Option<Side> {
    let mut stages = STAGES.iter();
    let found = stages.find(|(rungs, name, _)| rungs.contains(&rung) && *name == stage);
    found.map(|(_, _, side)| *side)
}

impl SearchResume {
    /// The wire that is attacked.
    pub fn side(&self) -> Side {
        // Whoever makes one names a search; what is read is checked.
        side_of(self.rung, &self.stage).unwrap_or(Side::Classic)
    }
}

/// The keys that agree with `key` in all but `bits` bits.
pub(crate) fn space(key: &[u8; 8], bits: u32) -> KeySpace {
    let bits = bits.min(BITS_MAX);
    let unknown = 1_u64.checked_shl(bits).map_or(u64::MAX, |above| above - 1);
    KeySpace::around(&DesKey::new(*key), unknown)
}

/// Which bits of a key are unknown, behind "the first N bits of each key".
pub const UNKNOWN_BITS: &str = "from the left, without parity bits";

/// The hint of a key: all its bits but for the first `bits`, which are 0. Parity is odd.
pub fn hint(key: &[u8; 8], bits: u32) -> String {
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

/// What a search came to.
pub(crate) struct Searched<F> {
    pub(crate) found: Vec<F>,
    /// Keys tried in this run.
    pub(crate) tried: u64,
    /// Keys tried before a resume.
    pub(crate) before: u64,
    pub(crate) secs: f64,
    pub(crate) keys_per_sec: f64,
}

impl<F> Searched<F> {
    /// For people: how many keys, how long, how fast.
    pub(crate) fn told(&self) -> String {
        let Self { tried, before, secs, keys_per_sec, .. } = self;
        let earlier = match before {
            0 => String::new(),
            before => format!(" ({before} keys were tried before it was stopped)"),
        };
        format!("{tried} keys in {secs:.2} s, {} a second{earlier}", short(*keys_per_sec))
    }
}

impl Lab<'_> {
    /// Measures how many keys a second a search tries: it runs for at least so long, and is then
    /// ended. There must be more keys than it can try in that time.
    pub(crate) fn measure<F>(
        &mut self,
        what: &'static str,
        least: Duration,
        run: impl FnOnce(&SearchRun, OnProgress<'_>) -> Result<SearchOutcome<F>, RecoverError>,
    ) -> Result<f64, LabError> {
        let stage = Stage { rung: 0, name: "rate", what, key1: None, first_only: false };
        let settings = run_settings(&self.settings, &stage, None);
        let (listener, mut rate, mut is_stopped) = (&mut *self.listener, 0.0, false);
        let outcome = run(&settings, &mut |progress| {
            rate = progress.keys_per_second;
            is_stopped |= !listener.progress(&told(what, progress));
            if is_stopped || progress.elapsed >= least {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        outcome.map_err(|error| unusable(&error))?;
        if is_stopped { Err(LabError::Stopped) } else { Ok(rate) }
    }

    /// Runs a search until it is done. If whoever listens stops it, what it takes to resume is
    /// given to them.
    pub(crate) fn search<F>(
        &mut self,
        stage: &Stage,
        run: impl FnOnce(&SearchRun, OnProgress<'_>) -> Result<SearchOutcome<F>, RecoverError>,
    ) -> Result<Searched<F>, LabError> {
        let settings = run_settings(&self.settings, stage, self.resumed(stage)?);
        let (listener, mut last) = (&mut *self.listener, None);
        let outcome = run(&settings, &mut |progress| {
            last = Some(*progress);
            if listener.progress(&told(stage.what, progress)) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match outcome.map_err(|error| unusable(&error))? {
            SearchOutcome::Done(found) => {
                // Each search reports its end.
                let last = last.ok_or_else(|| LabError::unplanned("a search said nothing"))?;
                Ok(Searched {
                    found,
                    tried: last.tried.saturating_sub(last.before),
                    before: last.before,
                    secs: last.elapsed.as_secs_f64(),
                    keys_per_sec: last.keys_per_second,
                })
            }
            SearchOutcome::Stopped(state) => {
                let resume = SearchResume {
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

    /// Whether a search that was stopped is resumed in this stage.
    pub(crate) fn is_resumed_in(&self, stage: &str) -> bool {
        self.resume.as_ref().is_some_and(|resume| resume.stage == stage)
    }

    /// The state to resume from, if it is one of this search.
    fn resumed(&self, stage: &Stage) -> Result<Option<SearchState>, LabError> {
        let resume = self.resume.as_ref().filter(|_| self.is_resumed_in(stage.name));
        let state = resume.map(|resume| resume.state.parse());
        state.transpose().map_err(|error| unusable(&error))
    }
}

fn unusable(error: &RecoverError) -> LabError {
    let unusable = LabError::unusable(error.to_string());
    match error {
        RecoverError::NoThread => unusable.next("end other programs, or raise the limit"),
        RecoverError::AnotherSearch | RecoverError::MalformedState { .. } => {
            unusable.next("leave out --resume")
        }
        RecoverError::TooLittleMemory { .. }
        | RecoverError::NoPair
        | RecoverError::TooMuchWork
        | RecoverError::OutOfMemory { .. } => unusable,
    }
}

fn told(what: &'static str, progress: &SearchProgress) -> SearchStatus {
    let SearchProgress { tried, of, keys_per_second: keys_per_sec, .. } = *progress;
    SearchStatus { what, tried, of, keys_per_sec }
}

/// A number of any size in a few characters.
pub(crate) fn short(number: f64) -> String {
    let words = [(1e12, "trillion"), (1e9, "billion"), (1e6, "million")];
    if number >= 1e15 {
        return format!("{number:.1e}");
    }
    match words.iter().find(|(from, _)| number >= *from) {
        Some((from, word)) => format!("{:.1} {word}", number / from),
        None if number >= 100.0 => format!("{number:.0}"),
        None => format!("{number:.1}"),
    }
}

pub(crate) fn threads(settings: &Settings) -> NonZeroUsize {
    // No threads at all would find nothing.
    NonZeroUsize::new(settings.threads).unwrap_or(NonZeroUsize::MIN)
}

fn run_settings(settings: &Settings, stage: &Stage, resume: Option<SearchState>) -> SearchRun {
    SearchRun {
        threads: threads(settings),
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
        let resume = SearchResume {
            rung: 9,
            seed: "anna of class 7".into(),
            bits: 36,
            memory_bytes: 1 << 30,
            stage: "key2".into(),
            key1: Some([1, 2, 3, 4, 5, 6, 7, 8]),
            state: "one\ntwo\n".into(),
        };
        assert_eq!(resume.to_string().parse(), Ok(resume.clone()));
        let none = SearchResume { key1: None, ..resume };
        assert_eq!(none.to_string().parse(), Ok(none.clone()));
        for (line, right, wrong) in [
            (2, "rung 9", "rung 256"),
            (3, "seed anna of class 7", "seed \u{1b}[2Janna"),
            (3, "seed anna of class 7", "seed "),
            (4, "bits 36", "bits x"),
            (4, "bits 36", "bits 0"),
            (4, "bits 36", "bits 57"),
            (5, "memory 1073741824", "memory 1"),
            (7, "stage key2", "stage key3"),
            (7, "stage key2", "stage meet"),
        ] {
            let broken = none.to_string().replace(right, wrong);
            assert_eq!(broken.parse::<SearchResume>(), Err(ResumeError { line }), "{wrong}");
        }
        assert_eq!(none.side(), Side::Classic);
        assert_eq!(SearchResume { stage: "v2".into(), ..none }.side(), Side::V2);
        assert_eq!("".parse::<SearchResume>(), Err(ResumeError { line: 1 }));
    }

    #[test]
    fn a_hint_hides_the_unknown_bits_and_no_others() {
        let key = [0xff; 8];
        assert_eq!(space(&key, 0).keys(), 1);
        assert_eq!(space(&key, 56).keys(), 1 << 56);
        assert!(space(&key, 12).contains(&DesKey::new(key)));
        // Bits 0 to 11 are the seven of the first byte and five of the second.
        assert_eq!(&hint(&key, 12)[4..], &hint(&key, 0)[4..]);
        // From the left, parity left out and made odd: 0000000 and 00000, then 11.
        assert_eq!(&hint(&key, 12)[..4], "0107");
    }
}

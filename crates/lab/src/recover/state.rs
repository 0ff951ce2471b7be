//! Where a search stopped, as text.

use std::fmt;
use std::str::FromStr;

use ddes_cipher::DesKey;
use sha2::{Digest, Sha256};

use super::RecoverError;
use crate::hex;

/// Where a search stopped: `to_string` gives a few lines of text, `parse` reads them. The keys
/// found so far are among them.
#[derive(Clone, PartialEq, Eq)]
pub struct SearchState {
    /// What is searched.
    pub(super) task: TaskDigest,
    /// The table, of a meet in the middle.
    pub(super) part: u64,
    /// The next slice.
    pub(super) next: u64,
    /// The keys of each find.
    pub(super) found: Vec<Vec<[u8; 8]>>,
}

/// A digest of all that a search is about, so that it resumes none but its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskDigest([u8; 16]);

impl TaskDigest {
    pub(super) fn new(kind: &str, fields: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for field in [kind.as_bytes()].iter().chain(fields) {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(std::array::from_fn(|i| digest[i]))
    }
}

/// Something that a search finds: one key, or two.
pub(super) trait Find: Clone + Send {
    fn to_keys(&self) -> Vec<[u8; 8]>;
    fn from_keys(keys: &[[u8; 8]]) -> Option<Self>;
}

impl Find for DesKey {
    fn to_keys(&self) -> Vec<[u8; 8]> {
        vec![*self.as_bytes()]
    }

    fn from_keys(keys: &[[u8; 8]]) -> Option<Self> {
        match keys {
            [key] => Some(Self::new(*key)),
            _ => None,
        }
    }
}

impl Find for (DesKey, DesKey) {
    fn to_keys(&self) -> Vec<[u8; 8]> {
        vec![*self.0.as_bytes(), *self.1.as_bytes()]
    }

    fn from_keys(keys: &[[u8; 8]]) -> Option<Self> {
        match keys {
            [one, other] => Some((DesKey::new(*one), DesKey::new(*other))),
            _ => None,
        }
    }
}

impl SearchState {
    pub(super) fn at<F: Find>(task: TaskDigest, part: u64, next: u64, found: &[F]) -> Self {
        Self { task, part, next, found: found.iter().map(Find::to_keys).collect() }
    }

    /// Part, slice and finds, if the state is one of this task.
    pub(super) fn open<F: Find>(
        resume: Option<&Self>,
        task: TaskDigest,
    ) -> Result<(u64, u64, Vec<F>), RecoverError> {
        let Some(state) = resume else { return Ok((0, 0, Vec::new())) };
        let found = state.found.iter().map(|keys| F::from_keys(keys)).collect();
        match found {
            Some(found) if state.task == task => Ok((state.part, state.next, found)),
            _ => Err(RecoverError::AnotherSearch),
        }
    }
}

const TITLE: &str = "ddes key recovery, state 1";

impl fmt::Display for SearchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\ntask {}\npart {}\nnext {}", hex(&self.task.0), self.part, self.next)?;
        for keys in &self.found {
            let keys: Vec<_> = keys.iter().map(|key| hex(key)).collect();
            writeln!(f, "found {}", keys.join(" "))?;
        }
        Ok(())
    }
}

/// Keys stay out of it.
impl fmt::Debug for SearchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, next, found, .. } = self;
        write!(f, "State(part {part}, slice {next}, {} found)", found.len())
    }
}

impl FromStr for SearchState {
    type Err = RecoverError;

    fn from_str(text: &str) -> Result<Self, RecoverError> {
        let mut lines = text.lines();
        let mut line = 0;
        let mut next = |word: &str| {
            line += 1;
            let rest = lines.next().and_then(|text| text.strip_prefix(word));
            rest.ok_or(RecoverError::MalformedState { line })
        };
        if !next(TITLE)?.is_empty() {
            return Err(RecoverError::MalformedState { line: 1 });
        }
        let task = bytes(next("task ")?).map(TaskDigest);
        let task = task.ok_or(RecoverError::MalformedState { line: 2 })?;
        let part = next("part ")?.parse();
        let part = part.map_err(|_| RecoverError::MalformedState { line: 3 })?;
        let slice = next("next ")?.parse();
        let slice = slice.map_err(|_| RecoverError::MalformedState { line: 4 })?;
        let found = (5..).zip(lines).map(|(line, text)| {
            let keys = text.strip_prefix("found ").map(|keys| keys.split(' ').map(bytes));
            keys.and_then(Iterator::collect).ok_or(RecoverError::MalformedState { line })
        });
        Ok(Self { task, part, next: slice, found: found.collect::<Result<_, _>>()? })
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != 2 * N || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok();
    let bytes: Vec<u8> = (0..N).map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

//! What happened, so that it can be read, and compared.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

/// The number of lines kept for the report of a failure.
const LINES_KEPT: usize = 120;

/// The lines of one run, their digest, and how often what happened.
#[derive(Debug)]
pub(crate) struct Trace {
    digest: Sha256,
    kept: VecDeque<String>,
    prints: bool,
    counts: Tally,
}

/// How often what happened.
pub type Tally = BTreeMap<&'static str, u64>;

impl Trace {
    /// Where it `prints`, each line goes to standard error at once.
    pub(crate) fn new(prints: bool) -> Self {
        Self { digest: Sha256::new(), kept: VecDeque::new(), prints, counts: Tally::new() }
    }

    pub(crate) fn line(&mut self, step: u64, what: fmt::Arguments<'_>) {
        // The oldest line makes room for the newest.
        let mut text = String::new();
        if self.kept.len() == LINES_KEPT {
            std::mem::swap(&mut text, self.kept.front_mut().unwrap_or(&mut String::new()));
            self.kept.pop_front();
        }
        text.clear();
        // Writing to a string does not fail.
        write!(text, "{step}: {what}").unwrap_or(());
        self.digest.update(text.as_bytes());
        self.digest.update(b"\n");
        if self.prints {
            eprintln!("{text}");
        }
        self.kept.push_back(text);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_insert(0) += count;
    }

    /// SHA-256 of all lines, the last of them, and the counts.
    pub(crate) fn finish(self) -> ([u8; 32], Vec<String>, Tally) {
        (self.digest.finalize().into(), self.kept.into(), self.counts)
    }
}

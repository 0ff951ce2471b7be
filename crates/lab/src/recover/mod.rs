//! Key recovery: the keys of a session from its ciphertext.
//!
//! Two ways lead to the keys of the classic profile:
//!
//! - [`key1`], then [`key2`]: without a table. Opcode 20 is two passes of Key1 over a token and a
//!   padding block that is always 08×8. 2^56 trials of two DES give Key1; then Key2 is behind known
//!   text, 2^56 trials of one. 2^57.6 DES at worst.
//! - [`meet`]: the textbook's meet in the middle (Diffie and Hellman, 1977), from any two known
//!   blocks of Double DES: 2^57 DES and a table, or less memory and more time.
//!
//! The lab leaves most key bits known: a [`KeySpace`] says which are not. A search runs on several
//! threads, reports [`SearchProgress`], stops when told, and resumes from its [`SearchState`].

mod classic;
mod meet;
pub mod projection;
mod state;
mod sweep;
mod table;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

pub use ddes_cipher::{Block, DesKey, Engine, KeySpace};

pub use classic::{PAD, behind, key1, key2, mac_key};
pub use meet::{MEMORY_MIN, TablePlan, meet, table_plan};
pub use state::SearchState;

/// A block, and what it is encrypted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Before.
    pub plaintext: Block,
    /// After.
    pub ciphertext: Block,
}

/// How a search runs.
#[derive(Clone, Debug)]
pub struct SearchRun {
    /// On so many threads.
    pub threads: NonZeroUsize,
    /// On these lanes; portable ones where the processor lacks them.
    pub engine: Engine,
    /// Whether to stop at the first key that passes every test, instead of trying all.
    pub first_only: bool,
    /// Where an earlier search for the same stopped.
    pub resume: Option<SearchState>,
}

impl SearchRun {
    /// On all cores, the fastest engine, until a key is found, from the start.
    pub fn all_cores() -> Self {
        // Where the system does not say, one thread is always there.
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { threads, engine: Engine::best(usize::MAX), first_only: true, resume: None }
    }
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchProgress {
    /// Keys tried, those before a resume among them.
    pub tried: u64,
    /// Of these, keys tried before a resume.
    pub before: u64,
    /// Keys to try at most. A meet in the middle counts a key once for each table that it is tried
    /// with, and once if it goes into one.
    pub of: u64,
    /// Keys found.
    pub found: usize,
    /// Since this run began.
    pub elapsed: Duration,
    /// On average since this run began.
    pub keys_per_second: f64,
}

/// Told of progress several times a second, and of the end; `Break` stops the search.
pub type OnProgress<'a> = &'a mut dyn FnMut(&SearchProgress) -> ControlFlow<()>;

/// What a search came to.
#[derive(Clone, Debug)]
pub enum SearchOutcome<F> {
    /// What was found: nothing, if no key of the space fits.
    Done(Vec<F>),
    /// The search was stopped; it can go on from here.
    Stopped(SearchState),
}

/// Why a search does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// A state of another search.
    #[error("this state belongs to another search: start without it")]
    AnotherSearch,
    /// No text that [`SearchState`] writes.
    #[error("line {line} is none of a search's state: start without it")]
    MalformedState {
        /// Counted from 1.
        line: usize,
    },
    /// Too little memory for any table.
    #[error("{bytes} bytes hold no table: give at least {MEMORY_MIN}")]
    TooLittleMemory {
        /// What was given.
        bytes: u64,
    },
    /// A search without a known block.
    #[error("no known block: a search needs a block and what it is encrypted to")]
    NoPair,
    /// More work than a 64-bit count of keys holds.
    #[error("so many keys with so little memory are more than can be counted: more than 2^64")]
    TooMuchWork,
    /// Not one thread could be started.
    #[error("the system gives no thread to search with: its limits are reached (ulimit -a)")]
    NoThread,
    /// The table was not allocated.
    #[error("the system gives no {bytes} bytes for the table: give less memory")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },
}

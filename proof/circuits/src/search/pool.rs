//! The pool: for each set of outputs, the smallest circuits seen that have them.

use fastrand::Rng;

use super::wires::{Basis, Goal, Signal, Wires, build};
use crate::circuit::{Circuit, INPUTS};
use crate::tables::target;

/// Circuits kept for each set of outputs.
const KEPT: usize = 256;

/// Sets of the four outputs, a bit each.
const SETS: usize = 16;
const ALL: usize = SETS - 1;

/// What a step of the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing as small as what is known.
    Nothing,
    /// Another partial circuit.
    Kept,
    /// A whole circuit of as few gates, or fewer, as any before.
    Whole {
        /// Its gates.
        gates: usize,
    },
}

#[derive(Clone, Copy)]
struct Partial {
    wires: Wires,
    outputs: [Option<Signal>; 4],
}

/// A search for one S-box.
pub struct Pool {
    basis: Basis,
    sbox: usize,
    rng: Rng,
    sets: [Vec<Partial>; SETS],
    best: [usize; SETS],
}

impl Pool {
    /// A search from its start.
    pub fn new(basis: Basis, sbox: usize, seed: u64) -> Self {
        let mut sets: [Vec<Partial>; SETS] = std::array::from_fn(|_| Vec::new());
        sets[0].push(Partial { wires: Wires::inputs(), outputs: [None; 4] });
        // No circuit is larger than this to begin with; Kwan's first finds are not.
        let best = std::array::from_fn(|set: usize| INPUTS + set.count_ones() as usize * 24);
        Self { basis, sbox, rng: Rng::with_seed(seed), sets, best }
    }

    /// One extension of one partial circuit.
    pub fn step(&mut self) -> Outcome {
        let sets: Vec<usize> = (0..ALL).filter(|set| !self.sets[*set].is_empty()).collect();
        let set = sets[self.rng.usize(..sets.len())];
        let from = self.sets[set][self.rng.usize(..self.sets[set].len())];
        let missing: Vec<usize> = (0..4).filter(|bit| set >> bit & 1 == 0).collect();
        let bit = missing[self.rng.usize(..missing.len())];
        let next = set | 1 << bit;
        // A partial circuit may be a gate larger than the best: it may share more later.
        let slack = usize::from(next != ALL && self.rng.bool());
        let goal = Goal {
            table: target(self.sbox, bit),
            mask: !0,
            limit: self.best[next] + slack,
            bits: (1 << INPUTS) - 1,
        };
        let Some((wires, signal)) = build(self.basis, &mut self.rng, &from.wires, goal) else {
            return Outcome::Nothing;
        };
        let mut outputs = from.outputs;
        outputs[bit] = Some(signal);
        self.keep(next, Partial { wires, outputs });
        if next == ALL { Outcome::Whole { gates: wires.gates().len() } } else { Outcome::Kept }
    }

    fn keep(&mut self, set: usize, partial: Partial) {
        let count = partial.wires.count();
        let kept = &mut self.sets[set];
        if count < self.best[set] {
            self.best[set] = count;
            kept.retain(|old| old.wires.count() <= count + 1);
        }
        if kept.len() < KEPT {
            kept.push(partial);
        } else {
            kept[self.rng.usize(..KEPT)] = partial;
        }
    }

    /// The smallest whole circuit yet.
    pub fn best(&self) -> Option<Circuit> {
        let best = self.sets[ALL].iter().min_by_key(|partial| partial.wires.count())?;
        // A target is normalised, and so are wires: where the mask is all, neither is the other's
        // complement.
        let outputs = best.outputs.map(|signal| signal.map_or(0, |signal| signal.wire));
        Some(Circuit { gates: best.wires.gates().to_vec(), outputs })
    }
}

//! A circuit in the making, and what both bases share of the search.

use fastrand::Rng;

use super::{three, two};
use crate::circuit::{Gate, INPUTS, input};

/// Wires a circuit may have while it is searched: twice what is needed.
const WIRES_MAX: usize = 96;

/// Which gates there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Two inputs: AND, AND-NOT, OR, XOR.
    Two,
    /// Three inputs: any function (VPTERNLOG).
    Three,
}

/// A wire, or its complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) wire: usize,
    pub(super) complement: bool,
}

/// What is asked for: a function where `mask` has ones, in no more than `limit` wires.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    pub(super) table: u64,
    pub(super) mask: u64,
    pub(super) limit: usize,
    /// Inputs not split on yet, a bit each.
    pub(super) bits: u8,
}

impl Goal {
    /// This table is the goal (false), or its complement is (true).
    pub(super) fn met_by(&self, table: u64) -> Option<bool> {
        let wrong = (table ^ self.table) & self.mask;
        if wrong == 0 { Some(false) } else { (wrong == self.mask).then_some(true) }
    }

    pub(super) fn on(self, mask: u64, bit: usize) -> Self {
        Self { mask: self.mask & mask, bits: self.bits & !(1 << bit), ..self }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Wires {
    count: usize,
    tables: [u64; WIRES_MAX],
    gates: [Gate; WIRES_MAX],
}

impl Wires {
    pub(super) fn inputs() -> Self {
        let mut tables = [0; WIRES_MAX];
        for (i, table) in tables.iter_mut().take(INPUTS).enumerate() {
            *table = input(i);
        }
        Self { count: INPUTS, tables, gates: [Gate { wires: [0; 3], function: 0 }; WIRES_MAX] }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn tables(&self) -> &[u64] {
        &self.tables[..self.count]
    }

    pub(super) fn gates(&self) -> &[Gate] {
        &self.gates[INPUTS..self.count]
    }

    pub(super) fn table(&self, signal: Signal) -> u64 {
        let table = self.tables[signal.wire];
        if signal.complement { !table } else { table }
    }

    /// The function of up to three wires, normalised: the wire that has it already, or a new gate.
    /// `function` need not be even.
    pub(super) fn gate(&mut self, wires: [usize; 3], function: u8) -> Signal {
        let complement = function & 1 == 1;
        let gate = Gate { wires, function: if complement { !function } else { function } };
        let table = gate.evaluate(wires.map(|wire| self.tables[wire]));
        let old = self.tables().iter().position(|old| *old == table);
        let wire = old.unwrap_or_else(|| {
            self.tables[self.count] = table;
            self.gates[self.count] = gate;
            self.count += 1;
            self.count - 1
        });
        Signal { wire, complement }
    }

    /// The goal as a wire that is there.
    fn found(&self, goal: &Goal) -> Option<Signal> {
        self.tables().iter().enumerate().find_map(|(wire, table)| {
            goal.met_by(*table).map(|complement| Signal { wire, complement })
        })
    }
}

/// Kwan's recursion: the smallest circuit found that has the goal, and the goal in it.
pub(super) fn build(
    basis: Basis,
    rng: &mut Rng,
    wires: &Wires,
    goal: Goal,
) -> Option<(Wires, Signal)> {
    if let Some(signal) = wires.found(&goal) {
        return (wires.count <= goal.limit).then_some((*wires, signal));
    }
    let free =
        goal.limit.checked_sub(wires.count).filter(|free| *free > 0)?.min(WIRES_MAX - wires.count);
    let near = match basis {
        Basis::Two => two::near(rng, wires, &goal, free),
        Basis::Three => three::near(rng, wires, &goal, free),
    };
    if near.is_some() || free < 2 {
        return near;
    }
    split(basis, rng, wires, goal)
}

/// The best of splits on some of the inputs left.
fn split(basis: Basis, rng: &mut Rng, wires: &Wires, mut goal: Goal) -> Option<(Wires, Signal)> {
    let mut bits: Vec<usize> = (0..INPUTS).filter(|bit| goal.bits >> bit & 1 == 1).collect();
    rng.shuffle(&mut bits);
    bits.truncate(rng.usize(1..=bits.len().max(1)));
    let mut best = None;
    for bit in bits {
        for side in [false, true] {
            let joined = match basis {
                Basis::Two => two::join(rng, wires, goal, bit, side),
                Basis::Three => three::join(rng, wires, goal, bit, side),
            };
            if let Some(joined) = joined {
                // What comes next must be smaller.
                goal.limit = joined.0.count - 1;
                best = Some(joined);
            }
        }
    }
    best
}

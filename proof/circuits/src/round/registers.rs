//! Registers for a round's values.

use std::collections::VecDeque;

use super::{Line, Op, Place, two_inputs};
use crate::tables::{expanded, is_complemented, key_place, permuted};

/// Where a value is now. One that was spilled keeps its slot.
#[derive(Clone, Copy, Default)]
struct Home {
    register: Option<usize>,
    slot: Option<usize>,
}

struct Allocation<'a> {
    ops: &'a [Op],
    homes: Vec<Home>,
    /// The value in each register.
    held: Vec<Option<usize>>,
    /// The register free for longest is taken first.
    free: VecDeque<usize>,
    slots: usize,
    lines: Vec<Line>,
}

/// Registers from first to last op; where they do not suffice, the value is spilled that is needed
/// last.
pub(super) fn allocate(ops: &[Op], values: usize, registers: usize) -> Vec<Line> {
    let overwritten = overwritten(ops, values);
    let mut all = Allocation {
        ops,
        homes: vec![Home::default(); values],
        held: vec![None; registers],
        free: (0..registers).collect(),
        slots: 0,
        lines: Vec::new(),
    };
    for (at, op) in ops.iter().enumerate() {
        match *op {
            Op::Input { to, sbox, input } => {
                let register = all.register(at, to);
                let bit = expanded(sbox, input);
                let (key, complement) = (key_place(6 * sbox + input), is_complemented(bit));
                all.lines.push(Line::Input { to: register, bit, key, complement });
            }
            Op::Output { from, output } => {
                let by = all.load(at, from);
                all.release(at);
                let register = all.register(at, from);
                all.lines.push(Line::Output { from: register, by, bit: permuted(output) });
                all.vacate(register);
                if all.next_use(from, at).is_some() {
                    all.homes[from].register = Some(by);
                }
            }
            Op::Gate { to, of, function } => match two_inputs(of, function) {
                Some((name, operands)) => all.two(at, to, name, operands),
                None => all.three(at, to, of, function, overwritten[at]),
            },
        }
    }
    all.lines
}

impl Allocation<'_> {
    /// A register for a value that is made by the op `at`.
    fn register(&mut self, at: usize, value: usize) -> usize {
        let register = self.free.pop_front().unwrap_or_else(|| self.evict(at));
        self.held[register] = Some(value);
        self.homes[value].register = Some(register);
        register
    }

    fn next_use(&self, value: usize, after: usize) -> Option<usize> {
        self.ops.iter().skip(after + 1).position(|op| op.reads().contains(&value))
    }

    /// Empties the register whose value is needed last, and not now.
    fn evict(&mut self, at: usize) -> usize {
        let candidates =
            self.held.iter().enumerate().filter_map(|(register, held)| Some((register, (*held)?)));
        let last = candidates
            .filter(|(_, value)| !self.ops[at].reads().contains(value))
            .max_by_key(|(_, value)| self.next_use(*value, at).unwrap_or(usize::MAX));
        // A gate reads three values at most, and there are more registers.
        let (register, value) = last.unwrap_or((0, 0));
        if self.homes[value].slot.is_none() {
            self.homes[value].slot = Some(self.slots);
            self.lines.push(Line::Spill { from: register, slot: self.slots });
            self.slots += 1;
        }
        self.homes[value].register = None;
        self.held[register] = None;
        register
    }

    fn vacate(&mut self, register: usize) {
        self.held[register] = None;
        self.free.push_back(register);
    }

    /// The register of a value, reloaded if need be.
    fn load(&mut self, at: usize, value: usize) -> usize {
        let Home { register, slot } = self.homes[value];
        register.unwrap_or_else(|| {
            let to = self.register(at, value);
            self.lines.push(Line::Reload { to, slot: slot.unwrap_or(0) });
            to
        })
    }

    /// Frees the registers of values that are not read after `at`.
    fn release(&mut self, at: usize) {
        for value in self.ops[at].reads() {
            if self.next_use(*value, at).is_none()
                && let Some(register) = self.homes[*value].register.take()
            {
                self.vacate(register);
            }
        }
    }

    fn two(&mut self, at: usize, to: usize, name: &'static str, [mut a, mut b]: [usize; 2]) {
        if name != "andn" && self.homes[a].register.is_none() {
            (a, b) = (b, a);
        }
        let first = self.load(at, a);
        let second = match self.homes[b] {
            Home { register: None, slot: Some(slot) } => Place::Slot(slot),
            _ => Place::Register(self.load(at, b)),
        };
        self.release(at);
        let to = self.register(at, to);
        self.lines.push(Line::Two { name, to, first, second });
    }

    fn three(
        &mut self,
        at: usize,
        to: usize,
        of: [usize; 3],
        function: u8,
        overwritten: Option<usize>,
    ) {
        let registers = of.map(|value| self.load(at, value));
        // Without one of its own, whichever.
        let which = of.iter().position(|value| Some(*value) == overwritten).unwrap_or(0);
        let (value, target) = (of[which], registers[which]);
        if self.next_use(value, at).is_some() {
            let copy = self.register(at, value);
            self.lines.push(Line::Copy { to: copy, from: target });
        } else {
            self.homes[value].register = None;
        }
        self.held[target] = Some(to);
        self.homes[to].register = Some(target);
        self.lines.push(three(registers, which, function));
        self.release(at);
    }
}

/// For each gate that overwrites, which of its values: no value twice (a copy would be
/// overwritten), and the youngest where that can be: the one that is there last goes the quickest
/// way through the processor. A matching by augmenting paths.
fn overwritten(ops: &[Op], values: usize) -> Vec<Option<usize>> {
    let mut made = vec![0; values];
    for (at, op) in ops.iter().enumerate() {
        if let Op::Input { to, .. } | Op::Gate { to, .. } = op {
            made[*to] = at;
        }
    }
    let by_age = |op: &Op| match op {
        Op::Gate { of, function, .. } if two_inputs(*of, *function).is_none() => {
            let mut values = of.to_vec();
            values.sort_by_key(|value| core::cmp::Reverse(made[*value]));
            values
        }
        Op::Input { .. } | Op::Gate { .. } | Op::Output { .. } => Vec::new(),
    };
    let all: Vec<Vec<usize>> = ops.iter().map(by_age).collect();
    let mut matching = Matching {
        choices: Vec::new(),
        of_gate: vec![None; ops.len()],
        of_value: vec![None; values],
    };
    for allowed in 1..=3 {
        matching.choices =
            all.iter().map(|values| values.iter().copied().take(allowed).collect()).collect();
        for gate in 0..ops.len() {
            if matching.of_gate[gate].is_none() {
                matching.augment(gate, &mut vec![false; values]);
            }
        }
    }
    matching.of_gate
}

struct Matching {
    choices: Vec<Vec<usize>>,
    of_gate: Vec<Option<usize>>,
    of_value: Vec<Option<usize>>,
}

impl Matching {
    fn augment(&mut self, gate: usize, seen: &mut [bool]) -> bool {
        for value in self.choices[gate].clone() {
            if std::mem::replace(&mut seen[value], true) {
                continue;
            }
            if self.of_value[value].is_none_or(|other| self.augment(other, seen)) {
                self.of_value[value] = Some(gate);
                self.of_gate[gate] = Some(value);
                return true;
            }
        }
        false
    }
}

/// VPTERNLOG with operand `which` first.
fn three(of: [usize; 3], which: usize, function: u8) -> Line {
    let mut order = [0, 1, 2];
    order.swap(0, which);
    let row_of = |shown: u8| {
        let bits = [shown >> 2 & 1, shown >> 1 & 1, shown & 1];
        order.into_iter().zip(bits).fold(0, |row, (operand, bit)| row | bit << (2 - operand))
    };
    let function = (0..8).fold(0, |sum, shown| sum | (function >> row_of(shown) & 1) << shown);
    Line::Three { of: order.map(|operand| of[operand]), function }
}

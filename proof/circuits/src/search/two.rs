//! Gates of two inputs.

use fastrand::Rng;

use super::wires::{Basis, Goal, Signal, Wires, build};
use crate::circuit::input;

/// `a & b`, `a & !b`, `!a & b`, `a | b`, `a ^ b` as functions of (a, b, b): only the rows 0, 3, 4
/// and 7 come up.
const FUNCTIONS: [u8; 5] = [0b1000_0000, 0b0001_0000, 0b0000_1000, 0b1001_1000, 0b0001_1000];

fn apply(function: usize, a: u64, b: u64) -> u64 {
    match function {
        0 => a & b,
        1 => a & !b,
        2 => !a & b,
        3 => a | b,
        _ => a ^ b,
    }
}

/// The goal by one or two new gates.
pub(super) fn near(
    rng: &mut Rng,
    wires: &Wires,
    goal: &Goal,
    free: usize,
) -> Option<(Wires, Signal)> {
    let mut order: Vec<usize> = (0..wires.count()).collect();
    rng.shuffle(&mut order);
    let tables: Vec<u64> = order.iter().map(|wire| wires.tables()[*wire]).collect();
    let made = |gates: &[(usize, usize, usize)]| {
        let mut next = *wires;
        let mut last = None;
        for (function, a, b) in gates {
            let wire = |i: usize| {
                order.get(i).copied().or(last.map(|signal: Signal| signal.wire)).unwrap_or(0)
            };
            last = Some(next.gate([wire(*a), wire(*b), wire(*b)], FUNCTIONS[*function]));
        }
        let signal = last?;
        // The last gate is the goal or its complement.
        let complement = goal.met_by(next.tables()[signal.wire])?;
        Some((next, Signal { wire: signal.wire, complement }))
    };
    for (i, a) in tables.iter().enumerate() {
        for (j, b) in tables.iter().enumerate().take(i) {
            for function in 0..FUNCTIONS.len() {
                if goal.met_by(apply(function, *a, *b)).is_some() {
                    return made(&[(function, i, j)]);
                }
            }
        }
    }
    if free < 2 {
        return None;
    }
    for (i, a) in tables.iter().enumerate() {
        for (j, b) in tables.iter().enumerate().take(i) {
            for inner in 0..FUNCTIONS.len() {
                let v = apply(inner, *a, *b);
                if let Some((outer, k)) = completion(goal, v, &tables) {
                    return made(&[(inner, i, j), (outer, usize::MAX, k)]);
                }
            }
        }
    }
    None
}

/// A function and a wire that make the goal of `v`.
fn completion(goal: &Goal, v: u64, tables: &[u64]) -> Option<(usize, usize)> {
    let (ones, zeros) = (goal.table & goal.mask, !goal.table & goal.mask);
    let (v1, v0) = (v & goal.mask, !v & goal.mask);
    // Which functions v allows at all: v & w covers only v's ones, and so on; each for the goal and
    // its complement.
    let and = ones & v0 == 0 || zeros & v0 == 0;
    let or = ones & v1 == 0 || zeros & v1 == 0;
    tables.iter().enumerate().find_map(|(k, w)| {
        let try_all = |range: &[usize]| {
            range.iter().copied().find(|f| goal.met_by(apply(*f, v, *w)).is_some())
        };
        let found = goal.met_by(v ^ w).map(|_| 4);
        let found = found.or_else(|| if and { try_all(&[0, 1]) } else { None });
        let found = found.or_else(|| if or { try_all(&[2, 3]) } else { None });
        found.map(|function| (function, k))
    })
}

/// `f ^ (bit & g)`: f has the goal where the bit is `!side`, g corrects it where it is `side`.
pub(super) fn join(
    rng: &mut Rng,
    wires: &Wires,
    goal: Goal,
    bit: usize,
    side: bool,
) -> Option<(Wires, Signal)> {
    let there = if side { input(bit) } else { !input(bit) };
    let room = |goal: Goal, gates: usize| Goal { limit: goal.limit.saturating_sub(gates), ..goal };
    let (wires, f) = build(Basis::Two, rng, wires, room(goal.on(!there, bit), 2))?;
    let rest = Goal { table: goal.table ^ wires.table(f), ..goal };
    let (mut wires, g) = build(Basis::Two, rng, &wires, room(rest.on(there, bit), 2))?;
    let part = and(&mut wires, Signal { wire: bit, complement: !side }, g);
    let whole = wires.gate([f.wire, part.wire, part.wire], FUNCTIONS[4]);
    let signal = Signal { wire: whole.wire, complement: f.complement ^ part.complement };
    (wires.count() <= goal.limit).then_some((wires, signal))
}

fn and(wires: &mut Wires, a: Signal, b: Signal) -> Signal {
    let (function, complement) = match (a.complement, b.complement) {
        (false, false) => (0, false),
        (false, true) => (1, false),
        (true, false) => (2, false),
        (true, true) => (3, true),
    };
    let signal = wires.gate([a.wire, b.wire, b.wire], FUNCTIONS[function]);
    Signal { wire: signal.wire, complement }
}

//! Gates of three inputs, any function.

use fastrand::Rng;

use super::wires::{Basis, Goal, Signal, Wires, build};
use crate::circuit::input;

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
    if let Some(triple) = triple(&tables, goal.table, goal.mask) {
        let mut next = *wires;
        let signal = gate_for(&mut next, triple.map(|i| order[i]), goal);
        return Some((next, signal));
    }
    if free < 2 {
        return None;
    }
    for d in 0..tables.len() {
        for e in 0..d {
            if let Some((triple, table, mask)) = inner(&tables, goal, d, e) {
                let mut next = *wires;
                let inner = Goal { table, mask, ..*goal };
                let h = gate_for(&mut next, triple.map(|i| order[i]), &inner);
                let signal = gate_for(&mut next, [h.wire, order[d], order[e]], goal);
                return Some((next, signal));
            }
        }
    }
    None
}

/// Three wires of which some function is `table` where `mask` cares.
fn triple(tables: &[u64], table: u64, mask: u64) -> Option<[usize; 3]> {
    let (ones, zeros) = (table & mask, !table & mask);
    for (i, a) in tables.iter().enumerate() {
        for (j, b) in tables.iter().enumerate().take(i) {
            // Cells of (a, b) that hold both values; c must part each.
            let cells = [a & b, a & !b, !a & b, !a & !b];
            let mut mixed = [(0, 0); 4];
            let mut count = 0;
            for cell in cells {
                if ones & cell != 0 && zeros & cell != 0 {
                    mixed[count] = (ones & cell, zeros & cell);
                    count += 1;
                }
            }
            let parts = |c: u64| {
                mixed[..count].iter().all(|(ones, zeros)| {
                    (ones & c == 0 || zeros & c == 0) && (ones & !c == 0 || zeros & !c == 0)
                })
            };
            if let Some(k) = tables.iter().take(j).position(|c| parts(*c)) {
                return Some([i, j, k]);
            }
        }
    }
    None
}

/// h = a gate of three wires such that the goal is a function of (h, d, e): in each cell of (d, e)
/// it is 0, 1, h or !h.
fn inner(tables: &[u64], goal: &Goal, d: usize, e: usize) -> Option<([usize; 3], u64, u64)> {
    let (d, e) = (tables[d], tables[e]);
    let (ones, zeros) = (goal.table & goal.mask, !goal.table & goal.mask);
    let mut mixed = [0; 4];
    let mut count = 0;
    for cell in [d & e, d & !e, !d & e, !d & !e] {
        if ones & cell != 0 && zeros & cell != 0 {
            mixed[count] = cell & goal.mask;
            count += 1;
        }
    }
    let mask = mixed[..count].iter().fold(0, |sum, cell| sum | cell);
    // The first cell may be taken as h; each other as h or !h.
    (0..1_usize << count.saturating_sub(1)).find_map(|choice| {
        let complemented =
            mixed[..count].iter().skip(1).enumerate().filter(|(i, _)| choice >> i & 1 == 1);
        let table = complemented.fold(goal.table, |table, (_, cell)| table ^ cell);
        triple(tables, table, mask).map(|triple| (triple, table, mask))
    })
}

/// The gate of three wires that is the goal; the wires are known to allow one.
fn gate_for(wires: &mut Wires, of: [usize; 3], goal: &Goal) -> Signal {
    let [a, b, c] = of.map(|wire| wires.tables()[wire]);
    let pick = |bit: u8, wire: u64| if bit == 0 { !wire } else { wire };
    let ones = goal.table & goal.mask;
    // Where nothing is asked for, the function is 0.
    let rows =
        (0..8_u8).filter(|row| ones & pick(row & 4, a) & pick(row & 2, b) & pick(row & 1, c) != 0);
    let function = rows.fold(0, |sum: u8, row| sum | 1 << row);
    wires.gate(of, function)
}

/// A multiplexer: f has the goal where the bit is `!side`; g, or g ^ f, has it where it is `side`.
pub(super) fn join(
    rng: &mut Rng,
    wires: &Wires,
    goal: Goal,
    bit: usize,
    side: bool,
) -> Option<(Wires, Signal)> {
    let there = if side { input(bit) } else { !input(bit) };
    let room = |goal: Goal| Goal { limit: goal.limit.saturating_sub(1), ..goal };
    let (wires, f) = build(Basis::Three, rng, wires, room(goal.on(!there, bit)))?;
    let table = if rng.bool() { goal.table } else { goal.table ^ wires.table(f) };
    let (mut wires, g) =
        build(Basis::Three, rng, &wires, room(Goal { table, ..goal }.on(there, bit)))?;
    let signal = gate_for(&mut wires, [bit, f.wire, g.wire], &goal);
    (wires.count() <= goal.limit).then_some((wires, signal))
}

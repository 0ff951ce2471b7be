//! The order of a round's gates: list scheduling.

use super::{Op, Plan};
use crate::circuit::{Circuit, INPUTS};

/// A gate, and the step in which it is due.
struct Due {
    sbox: usize,
    gate: usize,
    step: f64,
}

struct Order<'a> {
    plan: &'a Plan,
    circuits: &'a [Circuit; 8],
    /// The value that is the first wire of each S-box.
    firsts: [usize; 8],
    /// For each value that is there, from which step on.
    ready: Vec<Option<usize>>,
    ops: Vec<Op>,
}

/// The ops in order, and how many values they have. Of the gates whose inputs are there, those due
/// first; inputs just before who needs them, outputs at once.
pub(super) fn ops(circuits: &[Circuit; 8], plan: &Plan) -> (Vec<Op>, usize) {
    let mut firsts = [0; 8];
    let mut values = 0;
    for (first, circuit) in firsts.iter_mut().zip(circuits) {
        *first = values;
        values += INPUTS + circuit.gates.len();
    }
    let mut order = Order { plan, circuits, firsts, ready: vec![None; values], ops: Vec::new() };
    let mut due = due(circuits, plan);
    let mut step = 0;
    while !due.is_empty() {
        for _ in 0..plan.width {
            let Some(at) = due.iter().position(|due| order.is_ready(due, step)) else { break };
            let Due { sbox, gate, .. } = due.remove(at);
            order.take(sbox, gate, step + plan.latency);
        }
        step += 1;
    }
    (order.ops, values)
}

/// As late as the end of its S-box allows.
fn due(circuits: &[Circuit; 8], plan: &Plan) -> Vec<Due> {
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut all = Vec::new();
    for (rank, sbox) in plan.order.iter().copied().enumerate() {
        let heights = heights(&circuits[sbox], plan.outputs[sbox]);
        let depth = heights.iter().copied().max().unwrap_or(0);
        for gate in 0..circuits[sbox].gates.len() {
            if heights[INPUTS + gate] == 0 {
                continue;
            }
            let late = plan.latency * (depth - heights[INPUTS + gate]);
            all.push(Due {
                sbox,
                gate,
                step: plan.distance * rank as f64 + late as f64 + 2.0 * rng.f64(),
            });
        }
    }
    all.sort_by(|a, b| a.step.total_cmp(&b.step));
    all
}

/// For each wire, the wires on the longest way from it to an output that is asked for; 0 where no
/// way leads to one.
fn heights(circuit: &Circuit, outputs: u8) -> Vec<usize> {
    let mut heights = vec![0_usize; INPUTS + circuit.gates.len()];
    for (n, output) in circuit.outputs.iter().enumerate() {
        if outputs >> n & 1 == 1 {
            heights[*output] = 1;
        }
    }
    for (i, gate) in circuit.gates.iter().enumerate().rev() {
        if heights[INPUTS + i] > 0 {
            for wire in gate.wires {
                heights[wire] = heights[wire].max(heights[INPUTS + i] + 1);
            }
        }
    }
    heights
}

impl Order<'_> {
    fn is_ready(&self, due: &Due, step: usize) -> bool {
        let there = |wire: usize| {
            self.ready[self.firsts[due.sbox] + wire].is_some_and(|ready| ready <= step)
        };
        self.circuits[due.sbox].gates[due.gate]
            .wires
            .iter()
            .all(|wire| *wire < INPUTS || there(*wire))
    }

    fn take(&mut self, sbox: usize, gate: usize, ready: usize) {
        let circuit = &self.circuits[sbox];
        let wires = circuit.gates[gate].wires;
        let first = self.firsts[sbox];
        for input in wires.into_iter().filter(|wire| *wire < INPUTS) {
            if self.ready[first + input].is_none() {
                self.ready[first + input] = Some(0);
                self.ops.push(Op::Input { to: first + input, sbox, input });
            }
        }
        let to = first + INPUTS + gate;
        self.ready[to] = Some(ready);
        self.ops.push(Op::Gate {
            to,
            of: wires.map(|wire| first + wire),
            function: circuit.gates[gate].function,
        });
        for (n, output) in circuit.outputs.iter().enumerate() {
            if *output == INPUTS + gate && self.plan.outputs[sbox] >> n & 1 == 1 {
                self.ops.push(Op::Output { from: to, output: 4 * sbox + n });
            }
        }
    }
}

//! Rung 2: equal integers make equal blocks.

use super::scene::{CIPHERTEXT, DATA, at_least, data, overheard, v2_overheard, values};
use crate::keys::blocks;
use crate::stage::Way;
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 2/classic";

/// Three integers, of which the first and the last are equal, and the one between is not.
fn three(seed: &Seed) -> [u64; 3] {
    let drawn = values(seed, LABEL, 2, 1, 400);
    let (same, step) = (drawn[0], drawn[1]);
    [same, same + step, same]
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let values = three(&lab.seed);
    let material = overheard(lab, LABEL, &values, None)?;
    let sent = at_least(material.bodies(Way::ToServer, DATA), 2, "frames with opcode 30")?;
    let firsts: Vec<_> = sent
        .iter()
        .filter_map(|body| body.get(CIPHERTEXT))
        .filter_map(|ciphertext| blocks(ciphertext).first().copied())
        .collect();
    for (number, block) in firsts.iter().enumerate() {
        lab.sees(format!("Frame {}: the integer's block is {}.", number + 1, hex(block)));
    }
    lab.does("Compares the blocks. It needs no key for that.");
    let pairs = equal_pairs(&firsts);
    for (one, other) in &pairs {
        lab.gets(format!("Integers {} and {} are equal.", one + 1, other + 1));
    }
    lab.lesson(
        "DES in ECB turns the same block into the same ciphertext while the keys stay. A vote, a \
         reading that does not change, a repeated amount: all are visible.",
    );
    let is_right = material.values.is_empty() || equal_pairs(&material.values) == pairs;
    let trial = match (pairs.is_empty(), is_right) {
        (true, true) if material.values.is_empty() => {
            return Err(LabError::Unusable(
                "no two frames of the capture have equal integers; send one integer twice".into(),
            ));
        }
        (true, _) => Trial::unexpected("no blocks are equal"),
        (false, false) => Trial::unexpected("equal blocks do not stand for equal integers"),
        (false, true) => Trial::succeeded(format!("{} pairs of equal integers", pairs.len())),
    };
    let pairs: Vec<_> = pairs.iter().map(|(one, other)| vec![one + 1, other + 1]).collect();
    let shown: Vec<_> = firsts.iter().map(|block| hex(block)).collect();
    Ok(trial.fact("equal", pairs).fact("blocks", shown).frames(material.frames))
}

fn equal_pairs<T: PartialEq>(items: &[T]) -> Vec<(usize, usize)> {
    let others = |one: usize| (one + 1..items.len()).map(move |other| (one, other));
    let pairs = (0..items.len()).flat_map(others);
    pairs.filter(|(one, other)| items[*one] == items[*other]).collect()
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let values = three(&lab.seed);
    let (frames, _) = v2_overheard(lab, "rung 2/v2", &values)?;
    let sent = at_least(data(&frames), 2, "frames with opcode 30")?;
    lab.does("Compares every block of 8 bytes, at every offset, in all frames of the client.");
    let windows: Vec<_> = sent.iter().flat_map(|body| body.windows(8)).collect();
    let mut sorted = windows.clone();
    sorted.sort_unstable();
    let repeated = sorted.windows(2).filter(|pair| pair[0] == pair[1]).count();
    lab.sees(format!("{} blocks, {repeated} of them twice.", windows.len()));
    let trial = if repeated > 0 {
        Trial::unexpected("8 bytes come twice")
    } else {
        lab.stopped(
            "Each record has a number, and each block a counter made of it: n << 16 | i. No block \
             of keystream is used twice under one key (P-05, and P-09 changes the key in time).",
        );
        Trial::stopped("a counter in each block of keystream", "P-05")
    };
    let trial = trial.fact("blocks", windows.len()).fact("repeated", repeated);
    Ok(trial.frames(frames))
}

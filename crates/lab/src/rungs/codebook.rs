//! Rung 4: a codebook of the integer's block.

use std::collections::BTreeMap;

use ddes_cipher::Block;

use super::scene::{CIPHERTEXT, DATA, at_least, data, overheard, v2_overheard};
use crate::keys::blocks;
use crate::stage::Way;
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 4/classic";
/// Few possible values: votes from 1 to 5.
const CHOICES: u64 = 5;
/// Votes whose values the attacker knows, for example because they were published.
const KNOWN: usize = 12;
const UNKNOWN: usize = 12;

/// The votes: the known ones hold each choice at least once.
pub(super) fn votes(seed: &Seed) -> Vec<u64> {
    let mut votes = super::scene::values(seed, LABEL, KNOWN + UNKNOWN, 1, CHOICES);
    for (vote, choice) in votes.iter_mut().zip(1..=CHOICES) {
        *vote = choice;
    }
    votes
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let material = overheard(lab, LABEL, &votes(&lab.seed), None)?;
    let sent = at_least(material.bodies(Way::ToServer, DATA), 2, "frames with opcode 30")?;
    let firsts: Vec<Block> = sent
        .iter()
        .filter_map(|body| body.get(CIPHERTEXT))
        .filter_map(|ciphertext| blocks(ciphertext).first().copied())
        .collect();
    if material.values.len() != firsts.len() {
        return Err(LabError::Unusable(
            "a codebook needs some known integers: this rung reads a capture with its secrets"
                .into(),
        ));
    }
    let known = if lab.recording(true).is_some() { firsts.len().div_ceil(2) } else { KNOWN };
    lab.sees(format!(
        "{} frames. The first {known} integers are public: say, the votes of one room.",
        firsts.len()
    ));
    let book: BTreeMap<Block, u64> =
        firsts.iter().copied().zip(material.values.iter().copied()).take(known).collect();
    lab.does("Writes down which block stands for which integer:");
    for (block, value) in book.iter().take(8) {
        lab.does(format!("  {}  {value}", hex(block)));
    }
    let read: Vec<_> = firsts.iter().skip(known).map(|block| book.get(block).copied()).collect();
    let found = read.iter().flatten().count();
    let shown: Vec<_> =
        read.iter().map(|value| value.map_or("?".into(), |value| value.to_string())).collect();
    lab.gets(format!("The other integers, in order: {}.", shown.join(" ")));
    let is_right = read
        .iter()
        .zip(material.values.iter().skip(known))
        .all(|(read, sent)| read.is_none_or(|read| read == *sent));
    lab.lesson("Neither key is known. The cipher is a table of 2^64 rows, and five are enough.");
    let trial = match (found, is_right) {
        (0, true) if lab.recording(true).is_some() => {
            return Err(LabError::Unusable("no integer of the capture comes twice".into()));
        }
        (1.., true) => Trial::succeeded(format!("{found} of {} integers, read", read.len())),
        (_, _) => Trial::unexpected(format!("{found} integers read, right: {is_right}")),
    };
    let trial = trial.fact("known", known).fact("read", shown);
    Ok(trial.frames(material.frames))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let votes = votes(&lab.seed);
    let (frames, _) = v2_overheard(lab, "rung 4/v2", &votes)?;
    let sent = at_least(data(&frames), 2, "frames with opcode 30")?;
    let known = sent.len().div_ceil(2);
    lab.does(format!(
        "Writes down the last 24 bytes of the first {known} frames, where the integer and the tag \
         are, and looks the others up."
    ));
    let tail = |body: &&[u8]| body.get(body.len().saturating_sub(24)..).map(<[u8]>::to_vec);
    let book: Vec<_> = sent.iter().take(known).filter_map(tail).collect();
    let integers = |entry: &Vec<u8>| entry.get(..8).map(<[u8]>::to_vec);
    let book: Vec<_> = book.iter().filter_map(integers).collect();
    let others: Vec<_> =
        sent.iter().skip(known).filter_map(tail).filter_map(|entry| integers(&entry)).collect();
    let found = others.iter().filter(|block| book.contains(block)).count();
    lab.sees(format!("{found} of {} frames are in the codebook.", others.len()));
    let trial = if found > 0 {
        Trial::unexpected(format!("{found} blocks come twice"))
    } else {
        lab.stopped(
            "The same integer is another ciphertext each time: counter mode, with a number that \
             never comes twice under a key (P-05).",
        );
        Trial::stopped("counter mode: no plaintext has a ciphertext of its own", "P-05")
    };
    let trial = trial.fact("known", known).fact("looked_up", others.len()).fact("found", found);
    Ok(trial.frames(frames))
}

//! Rung 4: a codebook of the integer's block.

use std::collections::BTreeMap;

use ddes_cipher::Block;

use super::scene::{CIPHERTEXT, DATA, at_least, data, known, overheard, v2_overheard};
use crate::keys::blocks;
use crate::stage::Way;
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 4/classic";
/// Votes whose values the attacker knows, for example because they were published.
pub(super) const KNOWN: usize = 12;
const UNKNOWN: usize = 12;
/// Rows of the codebook that are told.
const ROWS_MAX: usize = 9;

/// Few possible integers: votes from 1 to so many.
fn choices(seed: &Seed) -> u64 {
    seed.number(&format!("{LABEL}/choices"), 4, 9)
}

/// The votes: the known ones hold each choice at least once, in any order.
pub(super) fn votes(seed: &Seed) -> Vec<u64> {
    let choices = choices(seed);
    let mut votes = super::scene::values(seed, LABEL, KNOWN + UNKNOWN, 1, choices);
    let place = |choice: u64| seed.number(&format!("{LABEL}/place/{choice}"), 0, u64::MAX - 1);
    let mut places: Vec<_> = (0..KNOWN as u64).map(|at| (place(at), at)).collect();
    places.sort_unstable();
    for ((_, at), choice) in places.into_iter().zip(1..=choices) {
        if let Some(vote) = usize::try_from(at).ok().and_then(|at| votes.get_mut(at)) {
            *vote = choice;
        }
    }
    votes
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let is_live = lab.recording(true).is_none();
    if is_live {
        let choices = choices(&lab.seed);
        lab.scene(format!("The integers are votes from 1 to {}.", lab.veiled(choices)));
    }
    let material = overheard(lab, LABEL, &votes(&lab.seed), KNOWN, None)?;
    let sent = at_least(material.bodies(Way::ToServer, DATA), 2, "frames with opcode 30")?;
    let firsts: Vec<Block> = sent
        .iter()
        .filter_map(|body| body.get(CIPHERTEXT))
        .filter_map(|ciphertext| blocks(ciphertext).first().copied())
        .collect();
    if material.truth.is_some() && material.values.len() != firsts.len() {
        return Err(LabError::unusable("some 30s of the capture do not open with its secrets")
            .next("ddes inspect FILE     (shows which)"));
    }
    let most = if is_live { KNOWN } else { firsts.len().div_ceil(2) };
    let values = known(lab, &material, most)?;
    if values.is_empty() {
        return Err(LabError::unusable("a codebook needs some integers that the attacker knows")
            .next("--known 7,9     (the first integers of the session, in order)"));
    }
    let known = values.len().min(firsts.len());
    lab.sees(format!(
        "{} frames. The first 8 bytes of each are the integer's block. {}",
        firsts.len(),
        match is_live {
            true => format!("The first {known} integers are public: say, the votes of one room."),
            false => format!("Suppose that the first {known} integers are known."),
        }
    ));
    let book: BTreeMap<Block, u64> = firsts.iter().copied().zip(values.iter().copied()).collect();
    lab.does("Writes down which block stands for which integer.");
    let rows_max = if lab.is_quiz { 0 } else { ROWS_MAX };
    for (block, value) in book.iter().take(rows_max) {
        lab.does(format!("  {}  {value}", hex(block)));
    }
    if let Some(more) = book.len().checked_sub(ROWS_MAX).filter(|more| *more > 0 && !lab.is_quiz) {
        lab.does(format!("  … and {more} more"));
    }
    let read: Vec<_> = firsts.iter().skip(known).map(|block| book.get(block).copied()).collect();
    let found = read.iter().flatten().count();
    let shown: Vec<_> =
        read.iter().map(|value| value.map_or("?".into(), |value| value.to_string())).collect();
    lab.gets(format!("The other integers, in order: {}.", lab.veiled(shown.join(" "))));
    let is_right = read
        .iter()
        .zip(material.values.iter().skip(known))
        .all(|(read, sent)| read.is_none_or(|read| read == *sent));
    lab.lesson(format!(
        "Neither key is known. The cipher is a table of 2^64 rows; here {} of them are enough.",
        lab.veiled(book.len())
    ));
    let trial = match (found, is_right) {
        (0, true) if !is_live => {
            return Err(LabError::unusable(
                "none of the capture's other integers is one that is known",
            )
            .next("--known with more integers, or a capture in which some come twice"));
        }
        (1.., true) => {
            Trial::succeeded(format!("{found} of the {} other integers, read", read.len()))
        }
        (_, _) => Trial::unexpected(format!("{found} integers read, right: {is_right}")),
    };
    let trial = trial.fact("known", known).answer(lab, "read", shown);
    Ok(trial.frames(material.frames))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let votes = votes(&lab.seed);
    let (frames, _) = v2_overheard(lab, "rung 4/v2", &votes, KNOWN)?;
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
        Trial::stopped("counter mode: equal plaintexts have different ciphertexts", "P-05")
    };
    let trial = trial.fact("known", known).fact("looked_up", others.len()).fact("found", found);
    Ok(trial.frames(frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_votes_hold_each_choice_and_are_in_no_order() {
        let mut sorted = 0;
        for name in 0..100 {
            let votes = votes(&Seed::named(&name.to_string()));
            let (known, others) = votes.split_at(KNOWN);
            assert!(others.iter().all(|vote| known.contains(vote)), "{votes:?}");
            sorted += u32::from(known.starts_with(&[1, 2, 3, 4]));
        }
        assert!(sorted < 10, "{sorted}");
    }
}

//! Rung 2: equal integers make equal blocks.

use std::collections::BTreeMap;

use ddes_cipher::Block;

use super::scene::{
    CIPHERTEXT, DATA, at_least, compared, data, frames_of, overheard, v2_overheard,
};
use crate::keys::blocks;
use crate::stage::Way;
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 2/classic";

/// The places of the equal integers, from 1, and all integers.
pub(super) fn drawn(seed: &Seed) -> (Vec<usize>, Vec<u64>) {
    let number = |what: &str, least, most| seed.number(&format!("{LABEL}/{what}"), least, most);
    let count = number("count", 4, 7);
    let equal = number("equal", 2, 3);
    let mut places: Vec<_> = (1..=count)
        .map(|place| (number(&format!("place/{place}"), 0, u64::MAX - 1), place))
        .collect();
    places.sort_unstable();
    let mut places: Vec<_> =
        places.into_iter().zip(0..equal).map(|((_, place), _)| place).collect();
    places.sort_unstable();
    let (same, step) = (number("value/0", 1, 400), number("value/1", 1, 400));
    // The others differ from it, and from each other.
    let values = (1..=count)
        .map(|place| if places.contains(&place) { same } else { same + step * place })
        .collect();
    (places.into_iter().flat_map(usize::try_from).collect(), values)
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let (_, values) = drawn(&lab.seed);
    let material = overheard(lab, LABEL, &values, 0, None)?;
    let sent = at_least(material.bodies(Way::ToServer, DATA), 2, "frames with opcode 30")?;
    let firsts: Vec<_> = sent
        .iter()
        .filter_map(|body| body.get(CIPHERTEXT))
        .filter_map(|ciphertext| blocks(ciphertext).first().copied())
        .collect();
    lab.sees(
        "The first 8 bytes of a 30 are the integer's block. Its second, third and fourth are \
              the client's UUID and padding.",
    );
    let line = |(number, block): (usize, &Block)| {
        format!("30 number {number}: the integer's block is {}.", hex(block))
    };
    lab.sees_few((1..).zip(&firsts).map(line).collect());
    lab.does("Compares the blocks. It needs no key for that.");
    let groups = equal_groups(&firsts);
    for group in groups.iter().take(NAMED_MAX) {
        lab.gets(format!("Equal: {}.", lab.veiled(named(group))));
    }
    if let Some(more) = groups.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        lab.gets(format!("And {} more groups.", lab.veiled(more)));
    }
    lab.lesson(
        "DES in ECB turns the same block into the same ciphertext while the keys stay. A vote, a \
         reading that does not change, a repeated amount: all are visible.",
    );
    let is_right = material.values.is_empty() || equal_groups(&material.values) == groups;
    let trial = match (groups.is_empty(), is_right) {
        (true, true) if lab.recording(true).is_some() => {
            return Err(LabError::unusable("no two 30s of the capture have equal integers")
                .next("ddes send --classic --capture FILE 7 9 7     (one integer twice)"));
        }
        (true, _) => Trial::unexpected("no blocks are equal"),
        (false, false) => Trial::unexpected("equal blocks do not stand for equal integers"),
        (false, true) => Trial::succeeded(match groups.as_slice() {
            [one] => format!("{} are equal", lab.veiled(named(one))),
            many => format!("{} groups of equal integers", many.len()),
        }),
    };
    let shown: Vec<_> = firsts.iter().map(|block| hex(block)).collect();
    let trial = trial.answer(lab, "equal", groups).fact("blocks", shown);
    Ok(trial.frames(material.frames))
}

/// Places of a group, and groups, that are named.
const NAMED_MAX: usize = 20;

/// `integers 1 and 3`
fn named(places: &[usize]) -> String {
    let more = places.len().saturating_sub(NAMED_MAX);
    let places: Vec<_> = places.iter().take(NAMED_MAX).map(usize::to_string).collect();
    if more > 0 {
        return format!("integers {} and {more} more", places.join(", "));
    }
    match places.split_last() {
        Some((last, others)) if !others.is_empty() => {
            format!("integers {} and {last}", others.join(", "))
        }
        Some(_) | None => format!("integer {}", places.join("")),
    }
}

/// The places, from 1, of items that come more than once, by the first place of each.
fn equal_groups<T: Ord>(items: &[T]) -> Vec<Vec<usize>> {
    let mut places = BTreeMap::<_, Vec<usize>>::new();
    for (place, item) in (1..).zip(items) {
        places.entry(item).or_default().push(place);
    }
    let mut groups: Vec<_> = places.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let (_, values) = drawn(&lab.seed);
    let (frames, _) = v2_overheard(lab, "rung 2/v2", &values, 0)?;
    let sent = at_least(data(&frames), 2, "frames with opcode 30")?;
    let compared = compared(&sent);
    lab.does(format!(
        "Compares every block of 8 bytes, at every offset, in {} of the client.",
        frames_of(compared.len(), sent.len())
    ));
    let mut windows: Vec<_> = compared.iter().flat_map(|body| body.windows(8)).collect();
    windows.sort_unstable();
    let repeated = windows.windows(2).filter(|pair| pair[0] == pair[1]).count();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_number_of_equal_integers_differ_between_seeds() {
        let mut seen = std::collections::BTreeSet::new();
        for name in 0..200 {
            let (places, values) = drawn(&Seed::named(&name.to_string()));
            assert_eq!(equal_groups(&values), std::slice::from_ref(&places), "{values:?}");
            seen.insert(places);
        }
        assert!(seen.len() > 20, "{seen:?}");
    }

    #[test]
    fn groups_are_named_by_their_places() {
        assert_eq!(equal_groups(&[7, 9, 7, 7, 9, 1]), [vec![1, 3, 4], vec![2, 5]]);
        assert_eq!(named(&[1, 3, 4]), "integers 1, 3 and 4");
        assert_eq!(named(&[2, 5]), "integers 2 and 5");
        let many: Vec<_> = (1..=50_000).collect();
        assert!(named(&many).ends_with("19, 20 and 49980 more"), "{}", named(&many));
        // Compared each with each, this is 10^12 comparisons.
        let equal = vec![[7; 8]; 1_000_000];
        assert_eq!(equal_groups(&equal).len(), 1);
    }
}

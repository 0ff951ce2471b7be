//! Rung 1: the token that opcode 20 encrypts and opcode 30 shows.

use super::scene::{
    CLEAR_TOKEN, DATA, DATA_BYTES, TOKEN, at_least, compared, data, frames_of, overheard,
    v2_overheard,
};
use crate::stage::Way;
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 1/classic";

/// The integers: as many frames as the seed says.
pub(super) fn sent(seed: &Seed) -> Vec<u64> {
    let count = seed.number(&format!("{LABEL}/count"), 2, 6);
    (0..count).map(|n| seed.number(&format!("{LABEL}/value/{n}"), 1, 999)).collect()
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let values = sent(&lab.seed);
    let material = overheard(lab, LABEL, &values, 0, None)?;
    let sealed = at_least(material.bodies(Way::ToClient, TOKEN), 1, "frames with opcode 20")?;
    let sent = at_least(material.bodies(Way::ToServer, DATA), 1, "frames with opcode 30")?;
    lab.sees(format!(
        "The 20 is {} bytes of ciphertext: two passes of DES keep the token secret.",
        sealed[0].len()
    ));
    lab.does("Takes bytes 32 to 47 of the first 30, where the client repeats the token.");
    let tokens: Vec<_> = sent.iter().filter_map(|body| body.get(CLEAR_TOKEN)).collect();
    let Some(first) = tokens.first() else {
        return Ok(Trial::unexpected("a 30 is too short to hold a token").frames(material.frames));
    };
    lab.gets(format!("The token: {}.", lab.veiled(hex(first))));
    let is_in_all = tokens.iter().all(|token| token == first)
        && sent.iter().all(|body| body.len() == DATA_BYTES);
    if is_in_all && tokens.len() > 1 {
        lab.sees(match tokens.len() {
            2 => "Both frames show the same token.".to_owned(),
            count => format!("Each of the {count} frames shows the same token."),
        });
    }
    let opened = material.truth.as_ref().and_then(|truth| truth.keys.open_token(sealed[0]));
    let trial = match opened {
        Some(token) if token != **first => Trial::unexpected("it is not the token of the 20"),
        Some(_) | None => {
            Trial::succeeded(format!("the session's token, {}", lab.veiled(hex(first))))
        }
    };
    lab.lesson(
        "The encrypted 20 proves nothing about who sends a 30. It gives an attacker two blocks of \
         known plaintext under Key1 instead: rung 9 uses them.",
    );
    let trial = trial.answer(lab, "token", hex(first)).fact("sealed_token", hex(sealed[0]));
    Ok(trial.fact("checked_with_the_keys", material.truth.is_some()).frames(material.frames))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let values = sent(&lab.seed);
    let (frames, token) = v2_overheard(lab, "rung 1/v2", &values, 0)?;
    let sent = at_least(data(&frames), 2, "frames with opcode 30")?;
    lab.does("Takes the first 16 bytes of each 30, where the token is.");
    let shown: Vec<_> = sent.iter().filter_map(|body| body.get(..16)).collect();
    lab.sees_few(shown.iter().map(|bytes| hex(bytes)).collect());
    let compared = compared(&sent);
    lab.does(format!(
        "Looks for any 16 bytes that two frames share, in {}.",
        frames_of(compared.len(), sent.len())
    ));
    let is_shared = is_shared(compared);
    if token.is_none() {
        lab.sees(
            "What the token is, only the client and the server know: whether it is in the clear \
             somewhere is not checked, only whether frames share bytes.",
        );
    }
    let is_shown = token.is_some_and(|token| {
        frames.iter().any(|frame| frame.body.windows(16).any(|bytes| bytes == token))
    });
    let trial = if is_shared || is_shown {
        Trial::unexpected("16 bytes of a 30 come twice, or the token is in the clear")
    } else {
        lab.stopped(
            "Every body from message 3 on is a record: the 20 and each 30 carry the token \
             encrypted, under a number of its own (P-08).",
        );
        Trial::stopped("the token is inside an encrypted record", "P-08")
    };
    let first: Vec<_> = shown.iter().map(|bytes| hex(bytes)).collect();
    let trial = trial.fact("looked_for_the_token", token.is_some());
    Ok(trial.fact("first_bytes", first).frames(frames))
}

/// Whether two bodies share 16 bytes, wherever they are.
fn is_shared(bodies: &[&[u8]]) -> bool {
    let windows = (0_usize..)
        .zip(bodies)
        .flat_map(|(at, body)| body.windows(16).map(move |bytes| (bytes, at)));
    let mut all: Vec<_> = windows.collect();
    all.sort_unstable();
    all.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_by_two_frames_wherever_they_are() {
        let one: Vec<u8> = (0..100).collect();
        let other: Vec<u8> = (50..66).chain(200..=255).collect();
        assert!(is_shared(&[&one, &other]));
        assert!(!is_shared(&[&one, &other[1..]]));
        // Within one frame is not between two.
        assert!(!is_shared(&[&[7; 100], &one]));
    }

    /// Each with each, these are 10^11 comparisons of 16 bytes.
    #[test]
    fn long_captures_are_compared_in_little_time() {
        let mut number = 0_u64;
        let mut body = || -> Vec<u8> {
            let block = |_| {
                number += 1;
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
            };
            (0..8_000).flat_map(block).collect()
        };
        let bodies: Vec<Vec<u8>> = (0..100).map(|_| body()).collect();
        let bodies: Vec<_> = bodies.iter().map(Vec::as_slice).collect();
        assert_eq!(compared(&bodies).len(), 16);
        assert!(!is_shared(compared(&bodies)));
        assert_eq!(frames_of(16, 100), "the first 16 of 100 frames");
    }
}

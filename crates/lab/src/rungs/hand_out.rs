//! A session to hand out: what a listener has of it, and a hint of its keys.

use super::key_search::{is_of_the_session, targets};
use crate::search::hint;
use crate::{LabError, Material, Recording, Truth};

/// The hints that go with a capture without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOut {
    /// Key1 but for its first bits, in hexadecimal.
    pub hint1: String,
    /// The same of Key2.
    pub hint2: String,
}

/// Hints of a recording with its secrets, `bits` bits of each key left out. An error if the rungs
/// that look for keys could not find them again.
pub fn hand_out(recording: &Recording, bits: u32) -> Result<HandOut, LabError> {
    if !recording.is_classic {
        return Err(LabError::unusable("the session is of D-DDES/2: nothing finds its keys")
            .next("ddes send --classic --capture FILE --capture-secrets 7 9 7"));
    }
    let Some(Truth { keys }) = &recording.truth else {
        return Err(LabError::unusable("the capture holds no secrets to make hints of")
            .next("--secrets FILE, or a capture made with --capture-secrets"));
    };
    let frames = recording.frames.clone();
    let material = Material { frames, truth: None, values: Vec::new() };
    targets(&material)?;
    if !is_of_the_session(&material, keys) {
        return Err(LabError::unusable("not every 30 of the session has a right token and HMAC")
            .next("ddes inspect FILE     (shows which); hand out another session"));
    }
    Ok(HandOut { hint1: hint(&keys.key1, bits), hint2: hint(&keys.key2, bits) })
}

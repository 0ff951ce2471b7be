//! Rung 11: integers that nobody sent, once Key2 is known.

use std::sync::{Arc, Mutex, PoisonError};

use super::key_search::{Around, FoundKeys, both_keys, hint_line, is_of_the_session, material};
use super::scene::{
    self, CLEAR_TOKEN, DATA, DATA_BYTES, classic_keys, classic_token, client_id, values,
};
use crate::keys::ClassicKeys;
use crate::stage::{IntegerReply, RawFrame, Way};
use crate::{Lab, LabError, Material, Seed, Trial, Truth, hex};

pub(super) const LABEL: &str = "rung 11/classic";
const RUNG: u8 = 11;
/// Few unknown bits, unless the user gave a hint with more: this rung is about what follows, and
/// rung 9 has the search.
const BITS_MAX: u32 = 16;
const FORGED: u64 = 500_000;

/// Takes the parity bits from Key2, and finds them again by the HMAC.
fn parity(lab: &mut Lab<'_>, found: ClassicKeys, body: &[u8]) -> Option<(ClassicKeys, u32)> {
    lab.sees(
        "DES ignores the lowest bit of each byte of Key2, its parity. HMAC does not: 56 bits are \
         known, and 8 are missing.",
    );
    let stripped = ClassicKeys { key2: found.key2.map(|byte| byte & 0xfe), ..found };
    lab.does("Tries the 2^8 ways to set them, one HMAC each, on a 30 that it recorded.");
    let (keys, tried) = stripped.with_parity_of(body)?;
    lab.gets(format!("Key2 with its parity bits, {}, after {tried} HMACs.", hex(&keys.key2)));
    Some((keys, tried))
}

/// A 30 like the recorded one, with another integer.
fn forge(keys: &ClassicKeys, recorded: &[u8]) -> Option<Vec<u8>> {
    let (_, uuid) = keys.open_data(recorded)?;
    let token = recorded.get(CLEAR_TOKEN)?;
    Some(keys.seal_data(&[&FORGED.to_be_bytes()[..], &uuid].concat(), token))
}

/// The client's 30 in this rung, with any integer: what a student forges.
pub(super) fn forged_30(seed: &Seed, integer: u64) -> Result<Vec<u8>, LabError> {
    let keys = classic_keys(seed, LABEL)?;
    let uuid = client_id(seed, LABEL);
    let token = classic_token(seed, LABEL);
    Ok(keys.seal_data(&[&integer.to_be_bytes()[..], uuid.as_bytes()].concat(), &token))
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let is_recorded = lab.recording(true).is_some();
    if !is_recorded || lab.hints.is_none() {
        lab.settings.bits = lab.settings.bits.min(BITS_MAX);
    }
    if is_recorded {
        return from_recording(lab);
    }
    let bits = lab.settings.bits;
    let values = values(&lab.seed, LABEL, 2, 1, 999);
    let forged = Arc::new(Mutex::new(None));
    let mut scene = scene::classic(lab, LABEL, inject(Arc::clone(&forged)))?;
    let told = scene.client.sum_after(values[0])?;
    let (sent, sum) = (lab.veiled(values[0]), lab.veiled(told));
    lab.client(format!("sends {sent}, and hears that the sum is {sum}."));
    let truth = Truth { keys: classic_keys(&lab.seed, LABEL)? };
    let hint = hint_line(&truth.keys, bits);
    lab.server_with_hint(&scene.server, &hint);
    let frames = scene.relay.recorded();
    let around = Around::of_the_lab(truth.keys);
    let material = Material { frames, truth: Some(truth), values: values.clone() };
    lab.does(format!("Finds Key1 and Key2 as in rung 9; {bits} bits of each are unknown."));
    let Some(FoundKeys { keys: found, .. }) = both_keys(lab, &material, &around, RUNG)? else {
        return around.fits_none(lab, material.frames);
    };
    let recorded = scene.relay.bodies(Way::ToServer, DATA);
    let Some((keys, tried)) = parity(lab, found, &recorded[0]) else {
        return Ok(Trial::unexpected("no parity fits the HMAC"));
    };
    let body = forge(&keys, &recorded[0]);
    let body = body.ok_or_else(|| LabError::unplanned("a 30 does not open"))?;
    lab.does(format!("Writes a 30 that says {FORGED}, with token and HMAC, and slips it in."));
    *forged.lock().unwrap_or_else(PoisonError::into_inner) = Some(body.clone());
    let after = scene.client.sum_after(values[1])?;
    let (sent, told) = (lab.veiled(values[1]), lab.veiled(after));
    lab.client(format!("sends {sent}, and hears that the sum is {told}."));
    lab.server_with_hint(&scene.server, &hint);
    let (count, sum) = scene.server.totals();
    let honest: u64 = values.iter().sum();
    lab.gets(format!(
        "The server holds {}; the client sent {}.",
        lab.veiled(sum),
        lab.veiled(honest)
    ));
    lab.lesson(
        "One key did two jobs: whoever breaks the cipher also writes. A MAC key of its own would \
         have kept the totals right.",
    );
    let is_forged = sum == i128::from(honest + FORGED) && count == 3;
    let trial = if is_forged {
        Trial::succeeded(format!("{FORGED}, counted, and nobody sent it"))
    } else {
        Trial::unexpected(format!("the sum is {sum}"))
    };
    let trial = trial.fact("forged_30", hex(&body)).fact("hmacs_tried", tried);
    let trial = trial.fact("key1", hex(&keys.key1));
    let trial = trial.fact("key2", hex(&keys.key2)).fact("bits", bits);
    let trial = trial.answer(lab, "sum", sum.to_string());
    Ok(trial.frames(scene.relay.recorded()))
}

/// Sends a forged 30, once there is one, before the client's next, and keeps back its answers.
fn inject(
    forged: Arc<Mutex<Option<Vec<u8>>>>,
) -> impl FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send + 'static {
    let mut to_drop = 0;
    move |way, frame| {
        if way == Way::ToServer
            && frame.opcode == DATA
            && let Some(body) = forged.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // An acknowledgement and a sum.
            to_drop = 2;
            return vec![(way, RawFrame::new(DATA, body)), (way, frame.clone())];
        }
        if way == Way::ToClient && to_drop > 0 {
            to_drop -= 1;
            return Vec::new();
        }
        vec![(way, frame.clone())]
    }
}

/// With a capture nothing can be slipped in: the frame that the server would have counted.
fn from_recording(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let bits = lab.settings.bits;
    let (material, around) = material(lab, LABEL, &[])?;
    let Some(FoundKeys { keys: found, .. }) = both_keys(lab, &material, &around, RUNG)? else {
        return around.fits_none(lab, material.frames);
    };
    let sent = material.bodies(Way::ToServer, DATA);
    let recorded = sent.iter().find(|body| body.len() == DATA_BYTES);
    let recorded = recorded.ok_or_else(|| LabError::unusable("no 30 of 80 bytes"))?;
    let Some((keys, tried)) = parity(lab, found, recorded) else {
        return Ok(Trial::unexpected("no parity fits the HMAC").frames(material.frames));
    };
    let body = forge(&keys, recorded);
    let body = body.ok_or_else(|| LabError::unusable("the 30 does not open"))?;
    lab.gets(format!("A 30 that says {FORGED}, which that server would have counted."));
    let is_valid = keys.verifies(&body) && is_of_the_session(&material, &keys);
    let trial = if is_valid && keys.open_data(&body).is_some_and(|(v, _)| v == FORGED) {
        Trial::succeeded(format!("a valid 30 that says {FORGED}"))
    } else {
        Trial::unexpected("the forged 30 does not verify")
    };
    let trial = trial.fact("forged_30", hex(&body)).fact("hmacs_tried", tried).fact("bits", bits);
    let trial = trial.fact("key1", hex(&keys.key1));
    Ok(trial.fact("key2", hex(&keys.key2)).frames(material.frames))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let mut has_changed = false;
    let deed = move |way: Way, frame: &RawFrame| {
        let mut frame = frame.clone();
        if way == Way::ToServer && frame.opcode == DATA && !has_changed {
            has_changed = true;
            // Of token 16, number 8, count 2, integer 8: a bit of the integer. The tag is behind.
            if let Some(byte) = frame.body.get_mut(30) {
                *byte ^= 1;
            }
        }
        vec![(way, frame)]
    };
    let mut scene = scene::v2(lab, "rung 11/v2", deed)?;
    let value = i64::try_from(values(&lab.seed, LABEL, 1, 1, 999)[0]);
    let value = value.map_err(|_| LabError::unplanned("an integer beyond 63 bits"))?;
    lab.sees(
        "Suppose that the whole keystream is known, so that any integer could be written over the \
         client's: one flipped bit of ciphertext flips that bit of the integer.",
    );
    lab.does("Flips a bit in the integer of the client's 30.");
    let reply = scene.client.count(value)?;
    let Some((rule, what)) = scene.server.await_fault() else {
        return Ok(Trial::unexpected(format!("the server said nothing: {reply:?}")));
    };
    lab.server(&scene.server);
    let (count, sum) = scene.server.standing(&scene.account);
    let is_refused = matches!(reply, IntegerReply::Ended(_)) && count == 0 && rule == "P-08";
    let trial = if is_refused {
        lab.stopped(format!(
            "The tag is made with MacKey, 256 bits of their own, which no DES key leads to (P-05): \
             {what}. The session ends, and nothing counts (P-08)."
        ));
        Trial::stopped("a tag under a key of its own", rule)
    } else {
        Trial::unexpected(format!("{reply:?}, count {count}, sum {sum}, {rule}: {what}"))
    };
    let trial = trial.fact("server_says", what).fact("counted", count);
    Ok(trial.frames(scene.relay.recorded()))
}

//! Rung 9: Key1 from the padding block of opcode 20, then Key2 from opcode 30. No table.

use ddes_cipher::{DesKey, Function, KEY_BYTES, key_pair};
use ddes_session::v2::noise::Initiator;
use ddes_session::v2::{prologue, protocol};
use hkdf::Hkdf;
use sha2::Sha256;

use super::scene::{
    self, CLEAR_TOKEN, DATA, KEY, TOKEN, at_least, classic_keys, overheard, values,
};
use crate::keys::ClassicKeys;
use crate::recover;
use crate::search::{Stage, hint, space};
use crate::stage::{SUITE, Way, pass, v2_entropy};
use crate::{Lab, LabError, Material, Recorded, Seed, Trial, Truth, hex};

pub(super) const LABEL: &str = "rung 9/classic";
const RUNG: u8 = 9;

/// What the server says in each line of its log.
pub(super) fn hint_line(keys: &ClassicKeys, bits: u32) -> String {
    format!(
        "lab hint: all but {bits} bits of each key: Key1 {}, Key2 {}",
        hint(&keys.key1, bits),
        hint(&keys.key2, bits)
    )
}

/// The session to attack, with the keys that the hint is made of.
pub(super) fn material(
    lab: &mut Lab<'_>,
    label: &str,
    values: &[u64],
) -> Result<(Material, Truth), LabError> {
    let keys = classic_keys(&lab.seed, label)?;
    let line = hint_line(&keys, lab.settings.bits);
    let material = overheard(lab, label, values, Some(&line))?;
    let truth = material.truth.clone();
    let truth = truth.or_else(|| lab.hints.map(|keys| Truth { keys })).ok_or_else(|| {
        LabError::Unusable(
            "the hint of reduced keys needs the capture's secrets, or --hint1 and --hint2".into(),
        )
    })?;
    if lab.recording(true).is_some() {
        let line = hint_line(&truth.keys, lab.settings.bits);
        lab.scene(format!("The {line}."));
    }
    Ok((material, truth))
}

/// The bodies of the 20 and the first whole 30.
pub(super) fn targets(material: &Material) -> Result<([u8; 24], [u8; 80]), LabError> {
    let sealed = at_least(material.bodies(Way::ToClient, TOKEN), 1, "frames with opcode 20")?;
    let sent = material.bodies(Way::ToServer, DATA);
    let whole = sent.iter().find_map(|body| <[u8; 80]>::try_from(*body).ok());
    let missing = |what: &str| LabError::Unusable(format!("the capture has no {what}"));
    let sealed = <[u8; 24]>::try_from(sealed[0]).map_err(|_| missing("20 of 24 bytes"))?;
    Ok((sealed, whole.ok_or_else(|| missing("30 of 80 bytes"))?))
}

/// Both keys, parity of Key2 included; `None` if no key fits.
pub(super) fn both_keys(
    lab: &mut Lab<'_>,
    material: &Material,
    truth: &Truth,
    bits: u32,
) -> Result<Option<ClassicKeys>, LabError> {
    let (sealed, sent) = targets(material)?;
    let mut token = [0; 16];
    token.copy_from_slice(&sent[CLEAR_TOKEN]);
    let resumed = lab.resume.as_ref().and_then(|resume| resume.key1);
    let key1 = match resumed {
        Some(key1) => DesKey::new(key1),
        None => {
            let what = "Key1, two DES a trial";
            let stage = Stage { rung: RUNG, name: "key1", what, key1: None, first_only: true };
            let unknown = space(&truth.keys.key1, bits);
            let found = lab.search(&stage, |run, progress| {
                recover::key1(&sealed, Some(&token), &unknown, run, progress)
            })?;
            match found.into_iter().next() {
                Some(key1) => key1,
                None => return Ok(None),
            }
        }
    };
    let what = "Key2, one DES a trial";
    let found_already = Some(*key1.as_bytes());
    let stage = Stage { rung: RUNG, name: "key2", what, key1: found_already, first_only: true };
    let unknown = space(&truth.keys.key2, bits);
    let found =
        lab.search(&stage, |run, progress| recover::key2(&key1, &sent, &unknown, run, progress))?;
    let key2 = found.into_iter().next();
    Ok(key2.map(|key2| ClassicKeys { key1: *key1.as_bytes(), key2: *key2.as_bytes() }))
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let bits = lab.settings.bits;
    let values = values(&lab.seed, LABEL, 2, 1, 999_999);
    let (material, truth) = material(lab, LABEL, &values)?;
    let (sealed, _) = targets(&material)?;
    lab.sees(format!(
        "The 20's third block, {}: E(Key1, E(Key1, 08 08 08 08 08 08 08 08)). The same plaintext \
         in every session, and one key.",
        hex(&sealed[16..])
    ));
    lab.does(format!(
        "Tries the 2^{bits} keys that the hint leaves, two DES each. The token in the clear is the \
         sieve."
    ));
    let begun = std::time::Instant::now();
    let Some(found) = both_keys(lab, &material, &truth, bits)? else {
        return Ok(Trial::unexpected("no key fits").frames(material.frames));
    };
    lab.gets(format!("Key1: {} (the parity bits do not matter).", hex(&found.key1)));
    lab.does(format!(
        "Tries 2^{bits} keys for Key2 behind it, one DES each; the HMAC is the sieve."
    ));
    lab.gets(format!("Key2: {}, as the HMAC has it.", hex(&found.key2)));
    let read: Vec<_> = material
        .bodies(Way::ToServer, DATA)
        .into_iter()
        .filter_map(|body| found.open_data(body).map(|(value, _)| value.to_string()))
        .collect();
    lab.gets(format!("Every integer of the session: {}.", read.join(", ")));
    lab.lesson(
        "With all 56 bits unknown this is 2^56 trials of two DES and 2^56 of one: 2^57.6 DES at \
         worst, 2^56.6 on average, and no memory. Rung 12 says how long that takes.",
    );
    let sent: Vec<_> = material.values.iter().map(u64::to_string).collect();
    let is_right = sent == read || sent.is_empty();
    let trial = if is_right && found.key2 == truth_key2(&truth, &found) {
        Trial::succeeded("both keys of the session, and every integer")
    } else {
        Trial::unexpected(format!("it reads {read:?} instead of {sent:?}"))
    };
    let trial = trial.fact("key1", hex(&found.key1)).fact("key2", hex(&found.key2));
    let trial = trial.fact("integers_read", read).fact("bits", bits);
    let trial = trial.fact("hint", hint_line(&truth.keys, bits));
    Ok(trial.fact("secs", begun.elapsed().as_secs_f64()).frames(material.frames))
}

/// Key2 as it has to be: of hints, which may lack parity, only the 56 bits count.
fn truth_key2(truth: &Truth, found: &ClassicKeys) -> [u8; 8] {
    let same =
        std::iter::zip(truth.keys.key2, found.key2).all(|(one, other)| one >> 1 == other >> 1);
    if same { found.key2 } else { truth.keys.key2 }
}

/// What the lab knows of a D-DDES/2 session of its own: the key of the records to the client.
pub(super) fn v2_key(
    seed: &Seed,
    label: &str,
    frames: &[Recorded],
    suite: ddes_wire::v2::Suite,
) -> Result<[u8; KEY_BYTES], LabError> {
    let entropy = v2_entropy(seed, &format!("{label}/client"));
    let (initiator, _) = Initiator::start(protocol(suite), &prologue(suite), &entropy, &[]);
    let second = frames.iter().find(|frame| frame.way == Way::ToClient && frame.opcode == KEY);
    let second = second.ok_or_else(|| LabError::unplanned("no message 2"))?;
    let (finished, _) =
        initiator.finish(&second.body).map_err(|error| LabError::unplanned(error.to_string()))?;
    Ok(*finished.to_client)
}

/// The two DES keys that a cipher function makes of its key (P-05, P-06).
pub(super) fn des_keys(key: &[u8; KEY_BYTES], function: Function) -> Result<ClassicKeys, LabError> {
    let info: &[u8] = match function {
        Function::Ddes => b"D-DDES/2 DDES",
        Function::DdesChaCha => b"D-DDES/2 DDESChaCha",
    };
    let mut okm = [0; 16];
    let hkdf =
        Hkdf::<Sha256>::from_prk(key).map_err(|error| LabError::unplanned(error.to_string()))?;
    hkdf.expand(info, &mut okm).map_err(|error| LabError::unplanned(error.to_string()))?;
    let (mut key1, mut key2) = ([0; 8], [0; 8]);
    key1.copy_from_slice(&okm[..8]);
    key2.copy_from_slice(&okm[8..]);
    let (key1, key2) = key_pair(key1, key2);
    Ok(ClassicKeys { key1: *key1.as_bytes(), key2: *key2.as_bytes() })
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let label = "rung 9/v2";
    let bits = lab.settings.bits;
    let mut scene = scene::v2(lab, label, pass)?;
    let value = 7;
    let sum = scene.client.sum_after(value)?;
    lab.client(format!("sends {value}, and hears that the sum is {sum}."));
    let frames = scene.relay.recorded();
    let keys = des_keys(&v2_key(&lab.seed, label, &frames, SUITE)?, Function::DdesChaCha)?;
    let line = hint_line(&keys, bits);
    lab.server_with_hint(&scene.server, &line);
    let welcome = scene.relay.bodies(Way::ToClient, TOKEN);
    let sealed = welcome.first().and_then(|body| body.first_chunk::<24>().copied());
    let sealed = sealed.ok_or_else(|| LabError::unplanned("no 20"))?;
    lab.sees(format!("The 20 is a record: {}…", hex(&sealed)));
    lab.does(format!("Tries the same 2^{bits} keys, two DES each, on its third block."));
    let stage =
        Stage { rung: RUNG, name: "v2", what: "Key1 in a record", key1: None, first_only: false };
    let unknown = space(&keys.key1, bits);
    // A stopped search of the classic half is not of this one.
    lab.resume = None;
    let found =
        lab.search(&stage, |run, progress| recover::key1(&sealed, None, &unknown, run, progress))?;
    lab.gets(format!(
        "{} keys that fit, although the right one is among those tried.",
        found.len()
    ));
    let is_among = found.iter().any(|key| key.as_bytes() == &keys.key1);
    let trial = if is_among {
        Trial::unexpected("Key1 fits a record")
    } else {
        lab.stopped(
            "No block is under one key alone, none is padding, and none is known to be the same: \
             the keystream is E(Key2, E(Key1, counter)) with ChaCha20's added to it (P-05).",
        );
        Trial::stopped("nothing is encrypted under Key1 alone", "P-05")
    };
    let trial = trial.fact("bits", bits).fact("keys_that_fit", found.len());
    Ok(trial.fact("hint", line).frames(frames))
}

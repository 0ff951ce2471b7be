//! Rung 9: Key1 from the padding block of opcode 20, then Key2 from opcode 30. No table.

use ddes_cipher::{DesKey, Function, KEY_BYTES, KeySpace, key_pair};
use ddes_session::v2::noise::Initiator;
use ddes_session::v2::{prologue, protocol};
use hkdf::Hkdf;
use sha2::Sha256;

use super::scene::{
    self, CLEAR_TOKEN, DATA, DATA_BYTES, KEY, TOKEN, at_least, classic_keys, overheard, values,
};
use crate::keys::ClassicKeys;
use crate::recover;
use crate::search::{Searched, Stage, UNKNOWN_BITS, hint, space};
use crate::stage::{SUITE, Way, pass, v2_entropy};
use crate::{Lab, LabError, Material, Recorded, Seed, Trial, Truth, hex};

pub(super) const LABEL: &str = "rung 9/classic";
const RUNG: u8 = 9;

/// What the server says in each line of its log.
pub(super) fn hint_line(keys: &ClassicKeys, bits: u32) -> String {
    format!(
        "lab hint: all but the first {bits} bits of each key, {UNKNOWN_BITS}: Key1 {}, Key2 {}",
        hint(&keys.key1, bits),
        hint(&keys.key2, bits)
    )
}

/// Keys of which all but the unknown bits are right.
pub(super) struct Around {
    pub(super) keys: ClassicKeys,
    /// Whether the user gave them.
    is_given: bool,
}

impl Around {
    pub(super) fn of_the_lab(keys: ClassicKeys) -> Self {
        Self { keys, is_given: false }
    }

    /// No key was found: a mistake of whoever gave the hints, or of the lab.
    pub(super) fn fits_none(
        &self,
        lab: &Lab<'_>,
        frames: Vec<Recorded>,
    ) -> Result<Trial, LabError> {
        if !self.is_given {
            return Ok(Trial::unexpected("no key fits").frames(frames));
        }
        let bits = lab.settings.bits;
        Err(LabError::unusable(format!(
            "no key fits: the hints are wrong beyond the first {bits} bits, or of another session"
        ))
        .next(format!(
            "check --hint1, --hint2, --stream and --bits: the first {bits} bits of each key are \
             tried, {UNKNOWN_BITS}; all others have to be right"
        )))
    }
}

/// The session to attack, and what is known of its keys.
pub(super) fn material(
    lab: &mut Lab<'_>,
    label: &str,
    values: &[u64],
) -> Result<(Material, Around), LabError> {
    let keys = classic_keys(&lab.seed, label)?;
    let line = hint_line(&keys, lab.settings.bits);
    let material = overheard(lab, label, values, 0, Some(&line))?;
    if lab.recording(true).is_none() {
        return Ok((material, Around::of_the_lab(keys)));
    }
    let of_secrets = material.truth.as_ref().map(|truth| Around::of_the_lab(truth.keys));
    let given = lab.hints.map(|keys| Around { keys, is_given: true });
    let around = given.or(of_secrets).ok_or_else(|| {
        LabError::unusable("the capture holds no secrets, and no hint of the keys was given").next(
            "--hint1 and --hint2, as `ddes lab hand-out` prints them; or --secrets FILE; or a \
                 capture made with --capture-secrets",
        )
    })?;
    let line = hint_line(&around.keys, lab.settings.bits);
    lab.scene(format!("The {line}."));
    Ok((material, around))
}

/// Whether the session itself says that these are its keys: the 20 opens to the token in the clear,
/// and each 30 has the HMAC that Key2 makes.
pub(super) fn is_of_the_session(material: &Material, keys: &ClassicKeys) -> bool {
    let sealed = material.bodies(Way::ToClient, TOKEN);
    let sent = material.bodies(Way::ToServer, DATA);
    let whole = || sent.iter().filter(|body| body.len() == DATA_BYTES);
    let token = sealed.first().and_then(|body| keys.open_token(body));
    whole().count() > 0
        && whole().all(|body| keys.verifies(body))
        && whole().all(|body| token.as_deref() == body.get(CLEAR_TOKEN))
}

/// Whether keys that were found are right, as far as the lab knows: by the session's secrets, and
/// by the session itself.
pub(super) fn is_right(material: &Material, found: &ClassicKeys, read: &[String]) -> bool {
    let is_true = material.truth.as_ref().is_none_or(|Truth { keys }| {
        // DES ignores the parity bits of Key1, and nothing else depends on them.
        let same = |(one, other): (u8, u8)| one >> 1 == other >> 1;
        found.key2 == keys.key2 && std::iter::zip(found.key1, keys.key1).all(same)
    });
    let sent: Vec<_> = material.values.iter().map(u64::to_string).collect();
    is_true && is_of_the_session(material, found) && (sent.is_empty() || sent == read)
}

/// The bodies of the 20 and the first whole 30.
pub(super) fn targets(material: &Material) -> Result<([u8; 24], [u8; 80]), LabError> {
    let sealed = at_least(material.bodies(Way::ToClient, TOKEN), 1, "frames with opcode 20")?;
    let sent = material.bodies(Way::ToServer, DATA);
    let whole = sent.iter().find_map(|body| <[u8; 80]>::try_from(*body).ok());
    let missing = |what: &str| {
        LabError::unusable(format!("the capture has no {what}"))
            .next("ddes inspect FILE     (shows its frames)")
    };
    let sealed = <[u8; 24]>::try_from(sealed[0]).map_err(|_| missing("20 of 24 bytes"))?;
    Ok((sealed, whole.ok_or_else(|| missing("30 of 80 bytes"))?))
}

/// Both keys, parity of Key2 included; `None` if no key fits.
pub(super) fn both_keys(
    lab: &mut Lab<'_>,
    material: &Material,
    around: &Around,
    rung: u8,
) -> Result<Option<FoundKeys>, LabError> {
    let bits = lab.settings.bits;
    let (sealed, sent) = targets(material)?;
    let mut token = [0; 16];
    token.copy_from_slice(&sent[CLEAR_TOKEN]);
    let resumed = lab.resume.as_ref().filter(|resume| resume.stage == "key2");
    let resumed = resumed.and_then(|resume| resume.key1);
    if resumed.is_some_and(|key1| !is_key1(key1, &sealed, &token)) {
        return Err(LabError::unusable("the Key1 of the stopped search is not this session's")
            .next("leave out --resume"));
    }
    let mut told = Vec::new();
    let key1 = match resumed {
        Some(key1) => DesKey::new(key1),
        None => {
            let what = "Key1, two DES a trial";
            let stage = Stage { rung, name: "key1", what, key1: None, first_only: true };
            let unknown = space(&around.keys.key1, bits);
            let searched = lab.search(&stage, |run, progress| {
                recover::key1(&sealed, Some(&token), &unknown, run, progress)
            })?;
            told.push(SearchPass::of("Key1", &searched));
            match searched.found.into_iter().next() {
                Some(key1) => key1,
                None => return Ok(None),
            }
        }
    };
    let what = "Key2, one DES a trial";
    let found_already = Some(*key1.as_bytes());
    let stage = Stage { rung, name: "key2", what, key1: found_already, first_only: true };
    let unknown = space(&around.keys.key2, bits);
    let searched =
        lab.search(&stage, |run, progress| recover::key2(&key1, &sent, &unknown, run, progress))?;
    told.push(SearchPass::of("Key2", &searched));
    let key2 = searched.found.into_iter().next();
    Ok(key2.map(|key2| FoundKeys {
        keys: ClassicKeys { key1: *key1.as_bytes(), key2: *key2.as_bytes() },
        passes: told,
    }))
}

/// Whether a key turns token and padding into the 20.
fn is_key1(key1: [u8; 8], sealed: &[u8; 24], token: &[u8; 16]) -> bool {
    ClassicKeys { key1, key2: key1 }.seal_token(token) == sealed
}

/// Both keys, and what each search of this run did.
pub(super) struct FoundKeys {
    pub(super) keys: ClassicKeys,
    passes: Vec<SearchPass>,
}

struct SearchPass {
    told: String,
    keys_per_sec: f64,
}

impl SearchPass {
    fn of<F>(name: &str, searched: &Searched<F>) -> Self {
        let told = format!("The search for {name}: {}.", searched.told());
        Self { told, keys_per_sec: searched.keys_per_sec }
    }
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let bits = lab.settings.bits;
    let values = values(&lab.seed, LABEL, 2, 1, 999_999);
    let (material, around) = material(lab, LABEL, &values)?;
    let (sealed, _) = targets(&material)?;
    lab.sees(format!(
        "The 20's third block, bytes 16 to 23: {}. It is \
         E(Key1, E(Key1, 08 08 08 08 08 08 08 08)): the same plaintext in every session, and one \
         key. This block is what keys are tried on.",
        hex(&sealed[16..])
    ));
    lab.does(format!(
        "Tries the 2^{bits} keys that the hint leaves, two DES each. The 20's first two blocks are \
         the sieve: they are the token, which each 30 shows in the clear. With few unknown bits \
         the third block alone decides almost always."
    ));
    let begun = std::time::Instant::now();
    let Some(FoundKeys { keys: found, passes }) = both_keys(lab, &material, &around, RUNG)? else {
        return around.fits_none(lab, material.frames);
    };
    lab.gets(format!("Key1: {} (the parity bits do not matter).", hex(&found.key1)));
    lab.does(format!(
        "Tries 2^{bits} keys for Key2 behind it, one DES each, on the 30's block of padding, bytes \
         24 to 31. The HMAC is the sieve."
    ));
    lab.gets(format!("Key2: {}, as the HMAC has it.", hex(&found.key2)));
    for pass in &passes {
        lab.sees(pass.told.as_str());
    }
    let read: Vec<_> = material
        .bodies(Way::ToServer, DATA)
        .into_iter()
        .filter_map(|body| found.open_data(body).map(|(value, _)| value.to_string()))
        .collect();
    lab.gets(format!("Every integer of the session: {}.", lab.veiled(read.join(", "))));
    lab.lesson(
        "With all 56 bits unknown this is 2^56 trials of two DES and 2^56 of one: 2^57.6 DES at \
         worst, 2^56.6 on average, and no memory. Rung 12 says how long that takes.",
    );
    let trial = if is_right(&material, &found, &read) {
        Trial::succeeded("both keys of the session, and every integer")
    } else {
        Trial::unexpected(format!("the keys that it finds are wrong: it reads {read:?}"))
    };
    let trial = trial.fact("key1", hex(&found.key1)).fact("key2", hex(&found.key2));
    let trial = trial.answer(lab, "integers_read", read).fact("bits", bits);
    let trial = trial.fact("hint", hint_line(&around.keys, bits));
    let rates: Vec<_> = passes.iter().map(|pass| pass.keys_per_sec).collect();
    let trial = trial.fact("rates", rates);
    Ok(trial.fact("secs", begun.elapsed().as_secs_f64()).frames(material.frames))
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
    let second = frames.iter().find(|frame| frame.is_of_the_ends(Way::ToClient, KEY));
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
    // Any integer: nobody is asked for it.
    lab.client(format!("sends {value}, and hears that the sum is {sum}."));
    let frames = scene.relay.recorded();
    let keys = des_keys(&v2_key(&lab.seed, label, &frames, SUITE)?, Function::DdesChaCha)?;
    let line = hint_line(&keys, bits);
    lab.server_with_hint(&scene.server, &line);
    let welcome = scene.relay.bodies(Way::ToClient, TOKEN);
    let sealed = welcome.first().and_then(|body| body.first_chunk::<24>().copied());
    let sealed = sealed.ok_or_else(|| LabError::unplanned("no 20"))?;
    lab.sees(format!("The 20 is a record: {}…", hex(&sealed)));
    let stage =
        Stage { rung: RUNG, name: "v2", what: "Key1 in a record", key1: None, first_only: false };
    let unknown = space(&keys.key1, bits);
    if !is_found_where_it_has_to_be(lab, &keys, &unknown)? {
        // Without this the search could find nothing anywhere, and look as if it were stopped.
        let trial = Trial::unexpected("the same search does not find Key1 in a classic 20");
        return Ok(trial.frames(frames));
    }
    lab.does(format!("Tries the same 2^{bits} keys, two DES each, on its third block."));
    let searched =
        lab.search(&stage, |run, progress| recover::key1(&sealed, None, &unknown, run, progress))?;
    let (told, found) = (searched.told(), searched.found);
    lab.gets(format!(
        "{} keys that fit, although the right one is among those tried: {told}.",
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
    Ok(trial.fact("hint", line).fact("control_found", true).frames(frames))
}

/// The control: the same search, with the same keys, on a 20 as the classic wire has it.
fn is_found_where_it_has_to_be(
    lab: &mut Lab<'_>,
    keys: &ClassicKeys,
    unknown: &KeySpace,
) -> Result<bool, LabError> {
    if lab.is_resumed_in("v2") {
        // The search of the record begins only behind the control.
        lab.sees("The control was found before the search was stopped.");
        return Ok(true);
    }
    let token = lab.seed.draw::<16>("rung 9/v2/control");
    let sealed = keys.seal_token(&token);
    let sealed = sealed.first_chunk::<24>().ok_or_else(|| LabError::unplanned("a short 20"))?;
    lab.does("First, as a control, the same on a classic 20 that is made with the same keys.");
    let what = "Key1 in the control";
    let stage = Stage { rung: RUNG, name: "control", what, key1: None, first_only: true };
    let searched =
        lab.search(&stage, |run, progress| recover::key1(sealed, None, unknown, run, progress))?;
    let is_found = searched.found.iter().any(|key| key.as_bytes() == &keys.key1);
    if is_found {
        lab.gets(format!("There it finds Key1: {}.", searched.told()));
    }
    Ok(is_found)
}

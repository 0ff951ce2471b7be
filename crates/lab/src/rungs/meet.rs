//! Rung 10: the meet in the middle on opcode 30 alone, with a dial between time and memory.

use ddes_cipher::{Block, DesKey, Function};
use ddes_wire::v2::{GroupSize, Suite};

use super::key_search::{des_keys, hint_line, is_right, material, targets, v2_key};
use super::scene::{CIPHERTEXT, DATA, KEY, known, values};
use crate::keys::{ClassicKeys, blocks};
use crate::recover::{self, PAD, Pair, TablePlan};
use crate::search::{Searched, Stage, space, threads};
use crate::stage::{
    LabServer, Met, Relay, SUITE, ServerPlan, V2Client, Way, identity, pass, server_key,
};
use crate::{Lab, LabError, Material, Recorded, Trial, hex};

pub(super) const LABEL: &str = "rung 10/classic";
const RUNG: u8 = 10;

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let bits = lab.settings.bits;
    let values = values(&lab.seed, LABEL, 2, 1, 999_999);
    let (material, around) = material(lab, LABEL, &values)?;
    let (_, sent) = targets(&material)?;
    let ciphertext = blocks(&sent[CIPHERTEXT]);
    let [first, .., last] = ciphertext else {
        return Err(LabError::unusable("the 30 has no two blocks"));
    };
    let pairs = known_pairs(lab, &material, first, last)?;
    let memory = lab.settings.memory_bytes;
    let plan = recover::table_plan(&space(&around.keys.key1, bits), memory, threads(&lab.settings));
    let plan = plan.map_err(|error| LabError::unusable(error.to_string()))?;
    lab.does(format!(
        "Encrypts 08×8 under 2^{bits} keys Key1 into {}. For each table decrypts the ciphertext \
         under 2^{bits} keys Key2, and looks where they meet.",
        told(plan)
    ));
    let searched = meet(lab, &pairs, &around.keys, "meet", pairs.len() > 1)?;
    let done = searched.told();
    let (keys_per_sec, secs) = (searched.keys_per_sec, searched.secs);
    let found = searched.found.into_iter().find_map(|(key1, key2)| {
        recover::mac_key(&key2, &sent)
            .map(|key2| ClassicKeys { key1: *key1.as_bytes(), key2: *key2.as_bytes() })
    });
    let Some(found) = found else {
        return around.fits_none(lab, material.frames);
    };
    lab.gets(format!("Key1 {}, Key2 {}.", hex(&found.key1), hex(&found.key2)));
    lab.sees(format!(
        "The search: {done}. A key that is tried with several tables counts for each."
    ));
    let read: Vec<_> = material
        .bodies(Way::ToServer, DATA)
        .into_iter()
        .filter_map(|body| found.open_data(body).map(|(value, _)| value.to_string()))
        .collect();
    lab.gets(format!("Every integer of the session: {}.", read.join(", ")));
    lab.lesson(
        "Two keys of 56 bits took 2^57 DES and a table, not 2^112 DES. With half the memory there \
         are twice as many tables, and every Key2 is tried twice as often: that is the dial, \
         --memory.",
    );
    let trial = if is_right(&material, &found, &read) {
        Trial::succeeded("both keys of the session, from opcode 30 alone")
    } else {
        Trial::unexpected(format!("the keys that it finds are wrong: it reads {read:?}"))
    };
    let trial = trial.fact("key1", hex(&found.key1)).fact("key2", hex(&found.key2));
    let trial = trial.fact("bits", bits).fact("memory_bytes", memory.to_string());
    let trial = trial.fact("tables", plan.tables).fact("keys_a_table", plan.keys);
    let trial = trial.fact("bytes_used", plan.bytes).fact("keys_per_sec", keys_per_sec);
    let trial = trial.fact("integers_read", read).fact("hint", hint_line(&around.keys, bits));
    Ok(trial.fact("secs", secs).frames(material.frames))
}

/// The block of padding and, if an integer is known, its own, with what they are encrypted to.
fn known_pairs(
    lab: &mut Lab<'_>,
    material: &Material,
    first: &Block,
    last: &Block,
) -> Result<Vec<Pair>, LabError> {
    let mut pairs = vec![Pair { plaintext: PAD, ciphertext: *last }];
    lab.sees(format!(
        "The 30's fourth block, bytes 24 to 31: {}. It is Double DES of 08×8, the padding: keys \
         are tried on it.",
        hex(last)
    ));
    match known(lab, material, 1)?.first() {
        Some(known) => {
            lab.sees(format!(
                "Suppose that this integer is known: {known}. Its block, bytes 0 to 7, is the \
                 sieve: {}.",
                hex(first)
            ));
            pairs.push(Pair { plaintext: known.to_be_bytes(), ciphertext: *first });
        }
        None => lab.sees("No integer is known (--known): the HMAC is the sieve."),
    }
    Ok(pairs)
}

/// `8 tables of 131072 keys each, one after the other, of 1.0 MiB`
fn told(plan: TablePlan) -> String {
    let TablePlan { tables, keys, bytes } = plan;
    let size = match bytes as f64 / f64::from(1 << 20) {
        small if small < 1.0 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        large => format!("{large:.1} MiB"),
    };
    match tables {
        1 => format!("one table of {keys} keys, {size}"),
        more => format!("{more} tables, one after the other, each of {keys} keys and {size}"),
    }
}

fn meet(
    lab: &mut Lab<'_>,
    pairs: &[Pair],
    keys: &ClassicKeys,
    name: &'static str,
    first_only: bool,
) -> Result<Searched<(DesKey, DesKey)>, LabError> {
    let (bits, memory) = (lab.settings.bits, lab.settings.memory_bytes);
    let (space1, space2) = (space(&keys.key1, bits), space(&keys.key2, bits));
    let what = "Key1 and Key2 in the middle";
    let stage = Stage { rung: RUNG, name, what, key1: None, first_only };
    lab.search(&stage, |run, progress| {
        recover::meet(pairs, &space1, &space2, memory, run, progress)
    })
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let bits = lab.settings.bits;
    // The control first: without it the search could find nothing anywhere, and look as if it
    // were stopped.
    if !falls_in_ddes(lab)? {
        return Ok(Trial::unexpected(
            "the same search finds nothing in the suite ddes, which has to fall",
        ));
    }
    let hybrid = keystream(lab, "rung 10/v2", SUITE)?;
    lab.does(format!("Does the same to the default suite, with 2^{bits} keys a side again."));
    let found = meet(lab, &hybrid.pairs, &hybrid.keys, "hybrid", false)?.found;
    lab.gets(format!(
        "{} pairs of keys, although the right ones are among those tried.",
        found.len()
    ));
    let trial = if is_found(&found, &hybrid.keys) {
        Trial::unexpected("Key1 and Key2 fit the keystream of the hybrid suite")
    } else {
        lab.stopped(
            "In the default suite the keystream of ChaCha20, under a key of 256 bits, is added to \
             that of Double DES: no block between the two passes can be compared (P-05).",
        );
        Trial::stopped("ChaCha20's keystream on top of Double DES", "P-05")
    };
    let trial = trial.fact("bits", bits).fact("pairs_found", found.len());
    let trial = trial.fact("suite_ddes_falls", true).fact("hint", hint_line(&hybrid.keys, bits));
    Ok(trial.frames(hybrid.frames))
}

fn is_found(found: &[(DesKey, DesKey)], keys: &ClassicKeys) -> bool {
    let is_right = |(key1, key2): &(DesKey, DesKey)| {
        key1.as_bytes() == &keys.key1 && key2.as_bytes() == &keys.key2
    };
    found.iter().any(is_right)
}

/// Whether the keys are found where Double DES is alone.
fn falls_in_ddes(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    let bits = lab.settings.bits;
    if lab.is_resumed_in("hybrid") {
        // The search of the default suite begins only behind this one.
        lab.sees("The keys of the suite `ddes` were found before the search was stopped.");
        return Ok(true);
    }
    let study = keystream(lab, "rung 10/v2 ddes", Suite::Ddes(GroupSize::Bits2048))?;
    lab.sees(
        "Message 3 begins with the server's public key, which everybody knows: four blocks of \
         known plaintext, so four blocks of keystream, for the counters 0 to 3.",
    );
    lab.does(format!(
        "First the suite `ddes`, which is Double DES alone, for study: meets in the middle of each \
         counter and its keystream, 2^{bits} keys a side."
    ));
    let found = meet(lab, &study.pairs, &study.keys, "ddes", true)?.found;
    let falls = is_found(&found, &study.keys);
    if falls {
        lab.gets(
            "There it finds Key1 and Key2: 2^57 work is all that `--suite ddes` promises, for \
             secrecy. Its tags have a key of their own, so totals stay authentic.",
        );
    }
    Ok(falls)
}

/// Known keystream of a D-DDES/2 session, with the keys that the hint is made of.
struct Keystream {
    pairs: Vec<Pair>,
    keys: ClassicKeys,
    frames: Vec<Recorded>,
}

fn keystream(lab: &mut Lab<'_>, label: &str, suite: Suite) -> Result<Keystream, LabError> {
    let client = format!("{label}/client");
    let account = identity(&lab.seed, &client).public();
    let grants = vec![(account, ddes_identity::Role::Client)];
    let server = LabServer::start(ServerPlan::v2(&lab.seed, label, grants))?;
    let relay = Relay::start(server.address(), pass)?;
    let trusted = server_key(&lab.seed, label).public();
    lab.scene(format!(
        "A D-DDES/2 server listens on {}, loopback only; suite {}.",
        server.address(),
        suite.name()
    ));
    let met = V2Client::meet(relay.address(), &trusted, &lab.seed, &client, suite)?;
    let Met::Open(mut session) = met else {
        return Err(LabError::unplanned(format!("no session opened: {met:?}")));
    };
    session.sum_after(7)?;
    let frames = relay.recorded();
    let function = if suite.is_hybrid() { Function::DdesChaCha } else { Function::Ddes };
    let keys = des_keys(&v2_key(&lab.seed, label, &frames, suite)?, function)?;
    lab.server_with_hint(&server, &hint_line(&keys, lab.settings.bits));
    let proofs = relay.bodies(Way::ToClient, KEY);
    let third = proofs.get(1).ok_or_else(|| LabError::unplanned("no message 3"))?;
    let known: &[Block] = blocks(trusted.as_bytes());
    // The first record to the client: number 0, so its counters are 0, 1, 2, 3.
    let pairs = (0_u64..).zip(known.iter().zip(blocks(third))).map(|(counter, (plain, sealed))| {
        let keystream = std::array::from_fn(|i| plain[i] ^ sealed[i]);
        Pair { plaintext: counter.to_be_bytes(), ciphertext: keystream }
    });
    Ok(Keystream { pairs: pairs.collect(), keys, frames })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_by_number_keys_and_size() {
        let plan = |tables, bytes| told(TablePlan { tables, keys: 4096, bytes });
        assert_eq!(plan(1, 3 << 19), "one table of 4096 keys, 1.5 MiB");
        assert_eq!(plan(8, 65_536), "8 tables, one after the other, each of 4096 keys and 64 KiB");
    }
}

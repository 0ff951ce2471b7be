//! Key1 from opcode 20, then Key2 from opcode 30.

use ddes_cipher::{Block, Des, DesKey, KeySearch, KeySpace, Passes};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::state::{SearchState, TaskDigest};
use super::sweep::{Sweep, SweepMeter, Swept};
use super::{OnProgress, Pair, RecoverError, SearchOutcome, SearchRun};

/// The padding of a text of whole blocks.
pub const PAD: Block = [8; 8];

/// Key1 from the body of an opcode 20, `E(Key1, E(Key1, token ‖ 08×8))`: the keys of `space` that
/// turn the padding block into the third block and, if the token is known (any opcode 30 has it in
/// the clear), the token into the first two.
///
/// Parity is unknown and set odd. One block of 64 bits leaves a wrong key among 2^56 in one case of
/// 256; the token leaves none.
pub fn key1(
    message: &[u8; 24],
    token: Option<&[u8; 16]>,
    space: &KeySpace,
    run: &SearchRun,
    progress: OnProgress<'_>,
) -> Result<SearchOutcome<DesKey>, RecoverError> {
    let pad = Pair { plaintext: PAD, ciphertext: block(message, 2) };
    let mut others = Vec::new();
    if let Some(token) = token {
        others.extend(
            (0..2).map(|i| KeySearch::new(Passes::Two, block(token, i), block(message, i))),
        );
    }
    let sieve = |key: DesKey| others.iter().all(|other| other.accepts(&key)).then_some(key);
    let no_token: &[u8] = &[];
    let task = [message.as_slice(), token.map_or(no_token, |token| token)];
    one_key("key1", &task, Passes::Two, pad, space, run, &sieve, progress)
}

/// Key2 from the body of an opcode 30 (ciphertext of 32 bytes, token of 16, HMAC of 32) once Key1
/// is known: the keys of `space` that turn `E(Key1, 08×8)` into the ciphertext's last block and
/// make the HMAC, whose key is Key2 with its parity bits. So the key that is found has them.
pub fn key2(
    key1: &DesKey,
    body: &[u8; 80],
    space: &KeySpace,
    run: &SearchRun,
    progress: OnProgress<'_>,
) -> Result<SearchOutcome<DesKey>, RecoverError> {
    let [pad] = behind(key1, &[Pair { plaintext: PAD, ciphertext: block(body, 3) }]);
    let sieve = |key: DesKey| mac_key(&key, body);
    let task = [key1.as_bytes().as_slice(), body];
    one_key("key2", &task, Passes::One, pad, space, run, &sieve, progress)
}

/// What Key2 alone does: each plaintext is encrypted under Key1.
pub fn behind<const N: usize>(key1: &DesKey, pairs: &[Pair; N]) -> [Pair; N] {
    let mut blocks = pairs.map(|pair| pair.plaintext);
    Des::new(key1).encrypt(&mut blocks);
    std::array::from_fn(|i| Pair { plaintext: blocks[i], ..pairs[i] })
}

/// The key that has the key bits of `key2` and makes the HMAC of the body of an opcode 30: of the
/// 2^8 ways to set the parity bits, that one.
pub fn mac_key(key2: &DesKey, body: &[u8; 80]) -> Option<DesKey> {
    let (text, mac) = body.split_at(48);
    (0..=u8::MAX).find_map(|parity| {
        let bytes = key2.as_bytes();
        let key = std::array::from_fn(|i| (bytes[i] & !1) | (parity >> i & 1));
        // Any length of key will do.
        let mut of_key = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        of_key.update(text);
        of_key.verify_slice(mac).ok().map(|()| DesKey::new(key))
    })
}

/// Block `i` of a message that has it.
fn block(message: &[u8], i: usize) -> Block {
    std::array::from_fn(|byte| message[8 * i + byte])
}

#[allow(clippy::too_many_arguments, reason = "the two callers differ in all of them")]
fn one_key(
    kind: &str,
    task: &[&[u8]],
    passes: Passes,
    pair: Pair,
    space: &KeySpace,
    run: &SearchRun,
    sieve: &(impl Fn(DesKey) -> Option<DesKey> + Sync),
    progress: OnProgress<'_>,
) -> Result<SearchOutcome<DesKey>, RecoverError> {
    let (known, unknown) = (space.known().to_be_bytes(), space.unknown().to_be_bytes());
    let task = TaskDigest::new(kind, &[task, &[&known, &unknown]].concat());
    let (_, first, mut found) = SearchState::open::<DesKey>(run.resume.as_ref(), task)?;
    let search = KeySearch::new(passes, pair.plaintext, pair.ciphertext);
    // What the text of a state says is not known to be so.
    let is_key = |key: &DesKey| {
        let whole = sieve(key.clone());
        space.contains(key)
            && search.accepts(key)
            && whole.is_some_and(|whole| whole.as_bytes() == key.as_bytes())
    };
    if first > space.slices() || !found.iter().all(is_key) {
        return Err(RecoverError::AnotherSearch);
    }
    let sweep = Sweep {
        slices: first..space.slices(),
        slice_keys: space.slice_keys(),
        threads: run.threads,
        first_only: run.first_only,
    };
    let before = first.saturating_mul(space.slice_keys()).min(space.keys());
    let mut meter = SweepMeter::new(progress, before, space.keys());
    let try_slice = |slice, found: &mut Vec<DesKey>| {
        search.scan(run.engine, space, slice, &mut |number| {
            found.extend(sieve(space.key(number)));
        });
    };
    Ok(match sweep.run(&try_slice, &mut found, &mut meter)? {
        Swept::Done => {
            meter.end(found.len());
            SearchOutcome::Done(found)
        }
        Swept::Stopped(next) => SearchOutcome::Stopped(SearchState::at(task, 0, next, &found)),
    })
}

//! The cipher functions of D-DDES/2: keys, keystreams, records.
//!
//! The results are the crate `cipher`'s; the steps are computed here by the formulas, and a test
//! holds each to the other.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use ddes_cipher::{
    Block, DesKey, DoubleDes, Function, KEY_BYTES, LimitError, NONCE_END, OpenError,
    PLAINTEXT_BYTES_MAX, TAG_BYTES,
};

use super::kdf::{expand, hmac};
use super::{CalcError, Label, Named, Step, Value, Worked, exactly, holds, named, step};

pub(super) const COUNTER: Label = (
    "DDES-CTR",
    "PROTOCOL.md, P-05 and P-07",
    "block(i) = n << 16 | i, 8 bytes\n\
     keystream = E(Key2, E(Key1, block(0))) ‖ E(Key2, E(Key1, block(1))) ‖ …",
);
pub(super) const KEY_PAIR: Label = (
    "Key1 and Key2 of D-DDES/2",
    "PROTOCOL.md, P-06",
    "Key1 = fix(odd parity(Key1)); Key2 = fix(odd parity(Key2))\n\
     fix(K): K[7] ^= F0 if K is one of the 64 weak keys\n\
     if Key2 = Key1: Key2[7] ^= 0E, odd parity, fix",
);
pub(super) const KEYS: Label = (
    "Keys of DDES",
    "PROTOCOL.md, P-05 and P-06; RFC 5869",
    "Key1 ‖ Key2 ‖ MacKey = HKDF-Expand(k, \"D-DDES/2 DDES\", 48)\n\
     Key1, Key2: odd parity, not weak, not equal",
);
pub(super) const KEYS_CHACHA: Label = (
    "Keys of DDESChaCha",
    "PROTOCOL.md, P-05 and P-06; RFC 5869",
    "Key1 ‖ Key2 ‖ MacKey ‖ ChaChaKey = HKDF-Expand(k, \"D-DDES/2 DDESChaCha\", 80)\n\
     Key1, Key2: odd parity, not weak, not equal",
);
pub(super) const SEAL: Label = (
    "DDES: sealing a record",
    "PROTOCOL.md, P-05 and P-08",
    "ct = pt ⊕ DDES-CTR\n\
     tag = HMAC-SHA256(MacKey, n ‖ len(ad) ‖ ad ‖ ct)[0..16]",
);
pub(super) const SEAL_CHACHA: Label = (
    "DDESChaCha: sealing a record",
    "PROTOCOL.md, P-05 and P-08; RFC 8439",
    "ct = pt ⊕ DDES-CTR ⊕ ChaCha20(ChaChaKey, 0^4 ‖ n little-endian, from block 0)\n\
     tag = HMAC-SHA256(MacKey, n ‖ len(ad) ‖ ad ‖ ct)[0..16]",
);
pub(super) const OPEN: Label = (
    "DDES: opening a record",
    "PROTOCOL.md, P-05 and P-08",
    "tag = HMAC-SHA256(MacKey, n ‖ len(ad) ‖ ad ‖ ct)[0..16], checked first\n\
     pt = ct ⊕ DDES-CTR",
);
pub(super) const OPEN_CHACHA: Label = (
    "DDESChaCha: opening a record",
    "PROTOCOL.md, P-05 and P-08; RFC 8439",
    "tag = HMAC-SHA256(MacKey, n ‖ len(ad) ‖ ad ‖ ct)[0..16], checked first\n\
     pt = ct ⊕ DDES-CTR ⊕ ChaCha20(ChaChaKey, 0^4 ‖ n little-endian, from block 0)",
);
pub(super) const REKEY: Label =
    ("REKEY", "PROTOCOL.md, P-09; RFC 5869", "k' = HKDF-Expand(k, \"D-DDES/2 rekey\", 32)");

const BLOCK_BYTES: usize = size_of::<Block>();
const KEY: &str = "8, of which DES uses 56 bits";
const LONG_KEY: &str = "32";

/// Key1, Key2, MacKey and ChaChaKey as they are used, and how they came about.
struct FunctionKeys {
    pair: (DesKey, DesKey),
    mac: Vec<u8>,
    chacha: Vec<u8>,
    okm: Vec<u8>,
}

impl FunctionKeys {
    fn new(function: Function, key: &[u8]) -> Result<Self, CalcError> {
        let (info, length): (&[u8], _) = match function {
            Function::Ddes => (b"D-DDES/2 DDES", 48),
            Function::DdesChaCha => (b"D-DDES/2 DDESChaCha", 80),
        };
        let okm = expand(key, info, length)?;
        let (first, rest) = okm.split_at(BLOCK_BYTES);
        let (second, rest) = rest.split_at(BLOCK_BYTES);
        let (mac, chacha) = rest.split_at(KEY_BYTES);
        Ok(Self {
            pair: ddes_cipher::key_pair(
                exactly("key1", first, KEY)?,
                exactly("key2", second, KEY)?,
            ),
            mac: mac.to_vec(),
            chacha: chacha.to_vec(),
            okm,
        })
    }

    fn named(&self) -> Vec<Named> {
        let mut all = vec![
            named("Key1", *self.pair.0.as_bytes()),
            named("Key2", *self.pair.1.as_bytes()),
            named("MacKey", &self.mac[..]),
        ];
        if !self.chacha.is_empty() {
            all.push(named("ChaChaKey", &self.chacha[..]));
        }
        all
    }

    /// The keystream of a text, and its two parts if it has two.
    fn keystream(&self, n: u64, length: usize) -> (Vec<u8>, Vec<Step>) {
        let mut stream = counter_stream(&DoubleDes::new(&self.pair.0, &self.pair.1), n, length);
        let mut steps = vec![step("DDES-CTR", stream.clone())];
        if let Ok(key) = <[u8; KEY_BYTES]>::try_from(&self.chacha[..]) {
            let mut iv = [0; 12];
            iv[4..].copy_from_slice(&n.to_le_bytes());
            let mut other = vec![0; length];
            ChaCha20::new(&key.into(), &iv.into()).apply_keystream(&mut other);
            stream = xor(&stream, &other);
            steps.push(step("ChaCha20", other));
        }
        (stream, steps)
    }

    fn tag(&self, n: u64, ad: &[u8], ciphertext: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let covered =
            [&n.to_be_bytes()[..], &(ad.len() as u64).to_be_bytes(), ad, ciphertext].concat();
        let tag = hmac(&self.mac, &covered)[..TAG_BYTES].to_vec();
        (covered, tag)
    }
}

pub(super) fn counter(keys: [&[u8]; 2], n: u64, length: usize) -> Result<Worked, CalcError> {
    let key1 = DesKey::new(exactly("key1", keys[0], KEY)?);
    let key2 = DesKey::new(exactly("key2", keys[1], KEY)?);
    limits(n, length)?;
    let inner = ddes_cipher::Des::new(&key1);
    let double = DoubleDes::new(&key1, &key2);
    let mut steps = Vec::new();
    for i in 0..length.div_ceil(BLOCK_BYTES) as u64 {
        let block = (n << 16 | i).to_be_bytes();
        let (mut once, mut twice) = ([block], [block]);
        inner.encrypt(&mut once);
        double.encrypt(&mut twice);
        let chain =
            vec![named("block", block), named("E(Key1)", once[0]), named("E(Key2)", twice[0])];
        steps.push(Step { name: format!("block {i}").into(), chain });
    }
    Ok(Worked { steps, results: vec![named("keystream", counter_stream(&double, n, length))] })
}

pub(super) fn key_pair(keys: [&[u8]; 2]) -> Result<Worked, CalcError> {
    let (key1, key2) = (exactly("key1", keys[0], KEY)?, exactly("key2", keys[1], KEY)?);
    let (first, second) = ddes_cipher::key_pair(key1, key2);
    let odd = [odd_parity(key1), odd_parity(key2)];
    let names = ["Key1, odd parity", "Key2, odd parity"];
    let mut steps: Vec<Step> =
        names.into_iter().zip(odd).map(|(name, key)| step(name, key)).collect();
    for (name, odd, used) in [("Key1", odd[0], &first), ("Key2", odd[1], &second)] {
        if odd != *used.as_bytes() {
            let changed =
                Named { name: name.into(), value: Value::Bytes(used.as_bytes().to_vec()) };
            steps.push(Step {
                name: "weak, or equal to the other: changed".into(),
                chain: vec![changed],
            });
        }
    }
    let results = vec![named("Key1", *first.as_bytes()), named("Key2", *second.as_bytes())];
    Ok(Worked { steps, results })
}

pub(super) fn keys(function: Function, key: &[u8]) -> Result<Worked, CalcError> {
    let key: [u8; KEY_BYTES] = exactly("key", key, LONG_KEY)?;
    let keys = FunctionKeys::new(function, &key)?;
    Ok(Worked { steps: vec![step("OKM", keys.okm.clone())], results: keys.named() })
}

pub(super) fn seal(
    function: Function,
    key: &[u8],
    n: u64,
    ad: &[u8],
    input: &[u8],
) -> Result<Worked, CalcError> {
    let key: [u8; KEY_BYTES] = exactly("key", key, LONG_KEY)?;
    super::bounded("ad", ad)?;
    let mut sealed = input.to_vec();
    let tag = function.key(&key).seal(n, ad, &mut sealed)?;
    sealed.extend(tag);
    let keys = FunctionKeys::new(function, &key)?;
    let mut steps = of_keys(&keys);
    let (stream, streams) = keys.keystream(n, input.len());
    steps.extend(streams);
    let ciphertext = xor(input, &stream);
    let (covered, tag) = keys.tag(n, ad, &ciphertext);
    steps.extend([
        step("ct", ciphertext),
        step("n ‖ len(ad) ‖ ad ‖ ct", covered),
        step("tag", tag),
    ]);
    Ok(Worked { steps, results: vec![named("record", sealed)] })
}

pub(super) fn open(
    function: Function,
    key: &[u8],
    n: u64,
    ad: &[u8],
    input: &[u8],
) -> Result<Worked, CalcError> {
    let key: [u8; KEY_BYTES] = exactly("key", key, LONG_KEY)?;
    super::bounded("ad", ad)?;
    let short = CalcError::Length { name: "in", length: input.len(), expected: "16 or more" };
    let (ciphertext, tag) = input.split_last_chunk::<TAG_BYTES>().ok_or(short)?;
    let mut text = ciphertext.to_vec();
    function.key(&key).open(n, ad, &mut text, tag).map_err(|error| match error {
        OpenError::Limit(limit) => CalcError::Limit(limit),
        OpenError::Tag => CalcError::Tag,
    })?;
    let keys = FunctionKeys::new(function, &key)?;
    let mut steps = of_keys(&keys);
    let (covered, computed) = keys.tag(n, ad, ciphertext);
    steps.extend([step("n ‖ len(ad) ‖ ad ‖ ct", covered), step("tag", computed)]);
    steps.push(holds("it is the record's last 16 bytes"));
    steps.extend(keys.keystream(n, ciphertext.len()).1);
    Ok(Worked { steps, results: vec![named("plaintext", text)] })
}

pub(super) fn rekey(key: &[u8]) -> Result<Worked, CalcError> {
    let key: [u8; KEY_BYTES] = exactly("key", key, LONG_KEY)?;
    // Both functions have the same.
    let next = Function::Ddes.rekey(&key);
    Ok(Worked { steps: Vec::new(), results: vec![named("k'", *next)] })
}

fn of_keys(keys: &FunctionKeys) -> Vec<Step> {
    let all = keys.named().into_iter();
    all.map(|key| Step { name: key.name, chain: vec![Named { name: "".into(), value: key.value }] })
        .collect()
}

fn counter_stream(double: &DoubleDes, n: u64, length: usize) -> Vec<u8> {
    let mut blocks = vec![[0; BLOCK_BYTES]; length.div_ceil(BLOCK_BYTES)];
    double.encrypt_counters(n << 16, &mut blocks);
    let mut stream = blocks.as_flattened().to_vec();
    stream.truncate(length);
    stream
}

fn limits(n: u64, length: usize) -> Result<(), LimitError> {
    if n >= NONCE_END {
        return Err(LimitError::Nonce);
    }
    if length > PLAINTEXT_BYTES_MAX { Err(LimitError::Length { length }) } else { Ok(()) }
}

fn xor(text: &[u8], stream: &[u8]) -> Vec<u8> {
    text.iter().zip(stream).map(|(a, b)| a ^ b).collect()
}

fn odd_parity(key: Block) -> Block {
    key.map(|byte| byte & 0xfe | u8::from((byte >> 1).count_ones().is_multiple_of(2)))
}

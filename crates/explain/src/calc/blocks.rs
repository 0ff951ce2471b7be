//! DES and Double DES in ECB, block by block.

use ddes_cipher::{Block, Des, DesKey};

use super::des::{BlockTrace, trace};
use super::{CalcError, Label, Named, Step, Value, Worked, bounded, exactly, named, step};

pub(super) const DES: Label = (
    "DES in ECB",
    "FIPS 46-3; FIPS 81",
    "c[i] = E(K, m[i]), block by block\n\
     E: IP, then 16 times L, R = R, L ⊕ P(S(E(R) ⊕ K[i])),\n\
     then R ‖ L, the halves in each other's place, then the inverse of IP",
);
pub(super) const DES_BACK: Label =
    ("DES in ECB, decryption", "FIPS 46-3; FIPS 81", "m[i] = D(K, c[i]), block by block");
pub(super) const DDES: Label = (
    "Double DES in ECB",
    "PROTOCOL.md, classic; FIPS 46-3",
    "c[i] = E(Key2, E(Key1, m[i])), block by block, no IV",
);
pub(super) const DDES_BACK: Label = (
    "Double DES in ECB, decryption",
    "PROTOCOL.md, classic; FIPS 46-3",
    "m[i] = D(Key1, D(Key2, c[i])), block by block",
);

const BLOCK_BYTES: usize = size_of::<Block>();
/// Each block has 19 steps.
const ROUNDS_BLOCKS_MAX: usize = 64;
const KEY: &str = "8, of which DES uses 56 bits";

pub(super) fn des(
    key: &[u8],
    input: &[u8],
    decrypt: bool,
    pad: bool,
    rounds: bool,
) -> Result<Worked, CalcError> {
    let key: Block = exactly("key", key, KEY)?;
    let name = if decrypt { "D(K)" } else { "E(K)" };
    in_ecb(&[(name, key, decrypt)], input, decrypt, pad, rounds)
}

pub(super) fn ddes(
    keys: [&[u8]; 2],
    input: &[u8],
    decrypt: bool,
    pad: bool,
) -> Result<Worked, CalcError> {
    let (key1, key2) = (exactly("key1", keys[0], KEY)?, exactly("key2", keys[1], KEY)?);
    let passes = if decrypt {
        [("D(Key2)", key2, true), ("D(Key1)", key1, true)]
    } else {
        [("E(Key1)", key1, false), ("E(Key2)", key2, false)]
    };
    in_ecb(&passes, input, decrypt, pad, false)
}

/// A pass: its name, its key, and whether it decrypts.
type NamedPass = (&'static str, Block, bool);

fn in_ecb(
    passes: &[NamedPass],
    input: &[u8],
    decrypt: bool,
    pad: bool,
    rounds: bool,
) -> Result<Worked, CalcError> {
    bounded("in", input)?;
    let mut steps = Vec::new();
    let mut text = input.to_vec();
    if pad && !decrypt {
        text.extend_from_slice(padding(input.len()));
        steps.push(step("padded (PKCS#7)", text.clone()));
    }
    let (blocks, []) = text.as_chunks::<BLOCK_BYTES>() else {
        return Err(CalcError::Blocks { length: text.len() });
    };
    if rounds && blocks.len() > ROUNDS_BLOCKS_MAX {
        return Err(CalcError::Rounds { blocks: blocks.len(), most: ROUNDS_BLOCKS_MAX });
    }
    let mut columns = vec![blocks.to_vec()];
    for (_, key, decrypt) in passes {
        let mut column = columns.last().map_or_else(Vec::new, Clone::clone);
        let des = Des::new(&DesKey::new(*key));
        if *decrypt {
            des.decrypt(&mut column);
        } else {
            des.encrypt(&mut column);
        }
        columns.push(column);
    }
    for i in 0..blocks.len() {
        let names = ["in"].into_iter().chain(passes.iter().map(|(name, _, _)| *name));
        let chain = names.zip(&columns).map(|(name, column)| named(name, column[i])).collect();
        steps.push(Step { name: format!("block {i}").into(), chain });
        if rounds {
            steps.extend(
                passes
                    .iter()
                    .flat_map(|(_, key, decrypt)| of_rounds(&trace(*key, blocks[i], *decrypt))),
            );
        }
    }
    let mut out = columns.pop().map_or_else(Vec::new, |column| column.as_flattened().to_vec());
    if pad && decrypt {
        steps.push(step("with its padding (PKCS#7)", out.clone()));
        let length = unpadded(&out).ok_or(CalcError::Padding)?;
        out.truncate(length);
    }
    Ok(Worked { steps, results: vec![named("out", out)] })
}

/// IP, each round's key, f, L and R, the halves that change places, and the inverse of IP.
fn of_rounds(trace: &BlockTrace) -> Vec<Step> {
    let word = |name: &'static str, word: u32| named(name, word.to_be_bytes());
    let start = vec![word("L", trace.start.0), word("R", trace.start.1)];
    let mut steps = vec![Step { name: "IP".into(), chain: start }];
    for (i, round) in trace.rounds.iter().enumerate() {
        let subkey = round.subkey.to_be_bytes();
        let chain = vec![
            Named { name: "K".into(), value: Value::Bytes(subkey[2..].to_vec()) },
            word("f", round.f),
            word("L", round.left),
            word("R", round.right),
        ];
        steps.push(Step { name: format!("round {}", i + 1).into(), chain });
    }
    let (right, left) = trace.preoutput;
    let chain = vec![word("R", right), word("L", left)];
    steps.push(Step { name: "halves change places".into(), chain });
    steps.push(step("inverse of IP", trace.out));
    steps
}

/// RFC 5652, section 6.3: n bytes of value n.
fn padding(length: usize) -> &'static [u8] {
    const ALL: [&[u8]; 8] = [&[8; 8], &[7; 7], &[6; 6], &[5; 5], &[4; 4], &[3; 3], &[2; 2], &[1]];
    ALL[length % BLOCK_BYTES]
}

/// The length without the padding, if it is one.
fn unpadded(bytes: &[u8]) -> Option<usize> {
    let count = usize::from(*bytes.last()?);
    let length = bytes.len().checked_sub(count)?;
    (bytes.len().is_multiple_of(BLOCK_BYTES) && bytes[length..] == *padding(length) && count > 0)
        .then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow DES of the trace against the engine, on FIPS 81's text and on bits all over.
    #[test]
    fn the_traced_des_is_the_engine_s() {
        let mut bits = 0x0123_4567_89ab_cdef_u64;
        for _ in 0..200 {
            let key = bits.to_be_bytes();
            bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ 0x5bd1_e995;
            let block = bits.to_be_bytes();
            for decrypt in [false, true] {
                let mut expect = [block];
                let des = Des::new(&DesKey::new(key));
                if decrypt {
                    des.decrypt(&mut expect);
                } else {
                    des.encrypt(&mut expect);
                }
                assert_eq!(trace(key, block, decrypt).out, expect[0]);
            }
        }
    }
}

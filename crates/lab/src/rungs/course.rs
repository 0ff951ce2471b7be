//! What the rungs draw from a seed, for those who check answers.

use ddes_cipher::{Block, Des, DesKey};

use super::scene::{classic_keys, classic_token, values};
use super::{
    codebook, cost, equal, eviction, forgery, key_search, meet, middleman, reflection, replay,
    tampering,
};
use crate::keys::ClassicKeys;
use crate::recover::PAD;
use crate::{LabError, Seed};

pub(crate) fn token(seed: &Seed) -> [u8; 16] {
    classic_token(seed, super::token::LABEL)
}

/// The client's 30s in rung 1.
pub(crate) fn frames_with_the_token(seed: &Seed) -> usize {
    super::token::sent(seed).len()
}

pub(crate) fn equal_places(seed: &Seed) -> Vec<usize> {
    equal::drawn(seed).0
}

pub(crate) fn equal_keys(seed: &Seed) -> Result<ClassicKeys, LabError> {
    classic_keys(seed, equal::LABEL)
}

pub(crate) fn replayed(seed: &Seed) -> [u64; 2] {
    let value = |n: u8| seed.number(&format!("{}/value/{n}", replay::LABEL), 1, 999);
    [value(0), value(1)]
}

/// The votes that the attacker knows, and those that are asked for.
pub(crate) fn votes(seed: &Seed) -> (Vec<u64>, Vec<u64>) {
    let mut votes = codebook::votes(seed);
    let unknown = votes.split_off(codebook::KNOWN);
    (votes, unknown)
}

pub(crate) fn changed(seed: &Seed) -> Vec<u64> {
    values(seed, middleman::LABEL, 2, 1, 999)
}

pub(crate) fn bytes_reflected(seed: &Seed) -> Result<usize, LabError> {
    reflection::bytes_shown(seed)
}

pub(crate) fn evicted(seed: &Seed) -> u32 {
    eviction::clients(seed)
}

pub(crate) fn primes(seed: &Seed) -> u32 {
    cost::connections(seed)
}

/// Eight bytes of value 8 after one pass of rung 9's Key1.
pub(crate) fn searched_middle(seed: &Seed) -> Result<Block, LabError> {
    Ok(middle(&classic_keys(seed, key_search::LABEL)?))
}

pub(crate) fn searched_values(seed: &Seed) -> Vec<u64> {
    values(seed, key_search::LABEL, 2, 1, 999_999)
}

/// The same of rung 10's Key1: where both sides meet.
pub(crate) fn met_middle(seed: &Seed) -> Result<Block, LabError> {
    Ok(middle(&classic_keys(seed, meet::LABEL)?))
}

fn middle(keys: &ClassicKeys) -> Block {
    let mut block = [PAD];
    Des::new(&DesKey::new(keys.key1)).encrypt(&mut block);
    block[0]
}

pub(crate) fn forged(seed: &Seed) -> Vec<u64> {
    values(seed, forgery::LABEL, 2, 1, 999)
}

/// The client's 30 in rung 11, with this integer.
pub(crate) fn forged_30(seed: &Seed, integer: u64) -> Result<Vec<u8>, LabError> {
    forgery::forged_30(seed, integer)
}

pub(crate) fn tampered(seed: &Seed) -> u64 {
    seed.number(&format!("{}/value/0", tampering::LABEL), 1, 999)
}

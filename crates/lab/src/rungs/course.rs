//! What the rungs draw from a seed, for those who check answers.

use super::scene::{classic_keys, classic_token, values};
use super::{codebook, equal, forgery, key_search, meet, middleman, reflection, replay, tampering};
use crate::keys::ClassicKeys;
use crate::{LabError, Seed};

pub(crate) fn token(seed: &Seed) -> [u8; 16] {
    classic_token(seed, super::token::LABEL)
}

pub(crate) fn equal_keys(seed: &Seed) -> Result<ClassicKeys, LabError> {
    classic_keys(seed, equal::LABEL)
}

pub(crate) fn replayed(seed: &Seed) -> Vec<u64> {
    values(seed, replay::LABEL, 2, 1, 999)
}

pub(crate) fn votes(seed: &Seed) -> Vec<u64> {
    codebook::votes(seed)
}

pub(crate) fn changed(seed: &Seed) -> Vec<u64> {
    values(seed, middleman::LABEL, 2, 1, 999)
}

pub(crate) fn bytes_reflected(seed: &Seed) -> Result<usize, LabError> {
    reflection::bytes_shown(seed)
}

pub(crate) fn searched_keys(seed: &Seed) -> Result<ClassicKeys, LabError> {
    classic_keys(seed, key_search::LABEL)
}

pub(crate) fn searched_values(seed: &Seed) -> Vec<u64> {
    values(seed, key_search::LABEL, 2, 1, 999_999)
}

pub(crate) fn met_keys(seed: &Seed) -> Result<ClassicKeys, LabError> {
    classic_keys(seed, meet::LABEL)
}

pub(crate) fn forged(seed: &Seed) -> Vec<u64> {
    values(seed, forgery::LABEL, 2, 1, 999)
}

pub(crate) fn tampered(seed: &Seed) -> u64 {
    values(seed, tampering::LABEL, 1, 1, 999)[0]
}

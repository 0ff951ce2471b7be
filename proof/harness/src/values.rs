//! What each client of a harness sends: a check of the ledger computes from it what every sum must
//! be.

/// Client `client`'s value number `number`, from 1. Of every size, with either sign.
pub(crate) fn value(client: u64, number: u64) -> i64 {
    let mixed = mix(client << 40 | number);
    i64::from_ne_bytes(mixed.to_ne_bytes()) >> (mixed % 64)
}

/// A number that looks like none before it: `SplitMix64` (Steele, Lea, Flood 2014).
pub(crate) fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A client's sums, as far as anybody has asked for them.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    client: u64,
    sums: Vec<i128>,
}

impl Sums {
    pub(crate) fn new(client: u64) -> Self {
        Self { client, sums: vec![0] }
    }

    /// The sum of the first `count` values; `None` for more than anybody sends.
    pub(crate) fn of(&mut self, count: u64) -> Option<i128> {
        const MOST: usize = 1 << 26;
        let count = usize::try_from(count).ok().filter(|count| *count <= MOST)?;
        while self.sums.len() <= count {
            let last = *self.sums.last()?;
            self.sums.push(last + i128::from(value(self.client, self.sums.len() as u64)));
        }
        self.sums.get(count).copied()
    }
}

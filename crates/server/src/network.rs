//! Where connections come from, and how much each network has of something.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Instant;

use crate::rate::Rate;

/// The prefixes by which addresses of IPv6 are counted, and how many times the bound of one address
/// is that of each. A host or a home's network has a /64, a home a /56 (RIPE-690), a site a /48
/// (RFC 6177). Few networks of one home are busy at a time, so that its bound grows slower than its
/// /64s: with the defaults a /48 gets at most half of the unproven connections.
const PREFIXES: [(u8, NonZeroU32); 3] = [
    (64, NonZeroU32::new(1).unwrap()),
    (56, NonZeroU32::new(2).unwrap()),
    (48, NonZeroU32::new(4).unwrap()),
];

/// The prefix whose networks take turns where work waits: a home's.
const TURN_PREFIX: u8 = 56;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(IpAddr);

/// What one address may command: an IPv4 address, or a prefix of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// That of one address.
    #[cfg(test)]
    pub(crate) fn of(peer: SocketAddr) -> Self {
        let (prefix, _) = PREFIXES[0];
        PeerAddress::of(peer).network(prefix)
    }
}

impl PeerAddress {
    /// The one whose turn work waits for.
    pub(crate) fn of_turn(self) -> Network {
        self.network(TURN_PREFIX)
    }

    pub(crate) fn of(peer: SocketAddr) -> Self {
        Self(peer.ip().to_canonical())
    }

    /// The networks that it is in, narrow ones first, each with how many times the bound of one
    /// address is its own.
    fn networks(self) -> impl Iterator<Item = (Network, NonZeroU32)> {
        let levels = if self.0.is_ipv4() { 1 } else { PREFIXES.len() };
        PREFIXES.into_iter().take(levels).map(move |(prefix, times)| (self.network(prefix), times))
    }

    fn network(self, prefix: u8) -> Network {
        let address = match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let hidden = u128::BITS - u32::from(prefix).min(u128::BITS);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> hidden << hidden))
            }
        };
        Network { address, prefix }
    }
}

/// How many connections each network has, and all together.
#[derive(Debug, Default)]
pub(crate) struct NetworkCounts {
    pub(crate) of: HashMap<Network, usize>,
    pub(crate) all: usize,
}

impl NetworkCounts {
    /// Whether none of its networks has its bound already; else that bound.
    pub(crate) fn fits(&self, address: PeerAddress, most: usize) -> Result<(), usize> {
        for (network, times) in address.networks() {
            let most = most.saturating_mul(times.get() as usize);
            if self.of.get(&network).is_some_and(|count| *count >= most) {
                return Err(most);
            }
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, address: PeerAddress) {
        self.all += 1;
        for (network, _) in address.networks() {
            *self.of.entry(network).or_insert(0) += 1;
        }
    }

    pub(crate) fn remove(&mut self, address: PeerAddress) {
        self.all -= 1;
        for (network, _) in address.networks() {
            if let Entry::Occupied(mut count) = self.of.entry(network) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

/// A rate for each level of networks.
#[derive(Debug)]
pub(crate) struct Rates([Rate; PREFIXES.len()]);

impl Rates {
    pub(crate) fn new(per_sec: NonZeroU32) -> Self {
        Self(PREFIXES.map(|(_, times)| Rate::new(per_sec.saturating_mul(times))))
    }

    /// Narrow networks first: who is stopped there takes nothing from its neighbours.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        address: PeerAddress,
        count: NonZeroU32,
    ) -> Result<(), u32> {
        self.0
            .iter_mut()
            .zip(address.networks())
            .try_for_each(|(rate, (network, _))| rate.take(now, network, count))
    }

    pub(crate) fn forget(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|rate| rate.forget(now));
    }
}

//! Networks of clients, and counts and rates for each network.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Instant;

use crate::rate::Rate;

/// The prefixes by which IPv6 addresses are counted, each with its bound as a multiple of the bound
/// of one address. A host or one network of a home has a /64, a home a /56 (RIPE-690), a site a /48
/// (RFC 6177). Few networks of one home are busy at a time, so the bound grows more slowly than the
/// number of /64s: with the defaults a /48 gets at most half of the unproven connections.
const PREFIXES: [(u8, NonZeroU32); 3] = [
    (64, NonZeroU32::new(1).unwrap()),
    (56, NonZeroU32::new(2).unwrap()),
    (48, NonZeroU32::new(4).unwrap()),
];

/// The prefix whose networks take turns in the handshake queue: a home's.
const TURN_PREFIX: u8 = 56;

/// The address that a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(IpAddr);

/// The addresses that one client may control: an IPv4 address, or an IPv6 prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The narrowest network of an address.
    #[cfg(test)]
    pub(crate) fn of(peer: SocketAddr) -> Self {
        let (prefix, _) = PREFIXES[0];
        PeerAddress::of(peer).network(prefix)
    }
}

impl PeerAddress {
    /// The network whose turn the address's handshakes wait for.
    pub(crate) fn of_turn(self) -> Network {
        self.network(TURN_PREFIX)
    }

    pub(crate) fn of(peer: SocketAddr) -> Self {
        Self(peer.ip().to_canonical())
    }

    /// The networks that the address is in, narrowest first, each with its bound as a multiple of
    /// the bound of one address.
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

/// The number of connections of each network, and of all networks.
#[derive(Debug, Default)]
pub(crate) struct NetworkCounts {
    pub(crate) of: HashMap<Network, usize>,
    pub(crate) all: usize,
}

impl NetworkCounts {
    /// Checks that none of the address's networks is at its bound; otherwise returns that bound.
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

/// A rate limit for each prefix length.
#[derive(Debug)]
pub(crate) struct PrefixRates([Rate; PREFIXES.len()]);

impl PrefixRates {
    pub(crate) fn new(per_sec: NonZeroU32) -> Self {
        Self(PREFIXES.map(|(_, times)| Rate::new(per_sec.saturating_mul(times))))
    }

    /// Checks narrow networks first: a client refused there uses up nothing of its neighbours'
    /// rate.
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

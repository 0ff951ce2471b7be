//! Failures by network, bounded: the network without a failure for the longest time is forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use ddes_wire::saturating;

use super::{Cause, CauseCounts};
use crate::line::{LinkedQueue, QueueNodes};

/// The most networks kept, in some 2 MiB with the published copy.
pub const NETWORKS_MAX: usize = 4096;

/// Failures of the last hour are counted in windows of this length.
const WINDOW: Duration = Duration::from_secs(10 * 60);
const WINDOWS: usize = 6;

/// The failures of one network.
#[derive(Clone, Copy, Debug)]
pub struct NetworkFailures {
    /// Its first address.
    pub address: IpAddr,
    /// Its prefix length: 24 of IPv4, 48 of IPv6.
    pub prefix: u8,
    /// When the last failure was.
    pub last_at: Instant,
    /// Its failures by cause, since the network is kept.
    pub causes: CauseCounts,
    /// Failures in each window, the newest first.
    windows: [u32; WINDOWS],
    /// When the newest window began.
    window_at: Instant,
}

/// The failures of all networks that are kept.
#[derive(Debug, Default)]
pub(crate) struct NetworkTable {
    entries: Vec<TableEntry>,
    places: HashMap<IpAddr, usize>,
    /// The places of all entries, the one without a failure for the longest time first.
    nodes: QueueNodes<usize>,
    order: LinkedQueue,
    /// Entries that changed since they were last published.
    changed: Vec<usize>,
}

#[derive(Debug)]
struct TableEntry {
    failures: NetworkFailures,
    /// Its index in the queue.
    node: usize,
    /// Whether it is in [`NetworkTable::changed`].
    is_changed: bool,
}

impl NetworkFailures {
    /// Failures in the last hour, in steps of ten minutes: at least the last 50 minutes.
    pub fn in_last_hour(&self, now: Instant) -> u64 {
        let left = WINDOWS.saturating_sub(self.windows_until(now));
        self.windows.iter().take(left).map(|count| u64::from(*count)).sum()
    }

    fn new(address: IpAddr, prefix: u8, now: Instant) -> Self {
        Self {
            address,
            prefix,
            last_at: now,
            causes: CauseCounts::default(),
            windows: [0; WINDOWS],
            window_at: now,
        }
    }

    fn add(&mut self, now: Instant, cause: Cause) {
        let windows = self.windows_until(now).min(WINDOWS);
        if windows > 0 {
            self.windows.rotate_right(windows);
            self.windows[..windows].fill(0);
            self.window_at = now;
        }
        self.windows[0] = self.windows[0].saturating_add(1);
        self.causes.add(cause);
        self.last_at = now;
    }

    /// How many windows later than the newest one `now` is.
    fn windows_until(&self, now: Instant) -> usize {
        let windows = now.saturating_duration_since(self.window_at).as_secs() / WINDOW.as_secs();
        // More than all windows.
        saturating::to_usize(windows)
    }
}

impl NetworkTable {
    pub(crate) fn add(&mut self, now: Instant, peer: SocketAddr, cause: Cause) {
        let (address, prefix) = network(peer);
        let place = match self.places.get(&address) {
            Some(place) => *place,
            None => self.enter(NetworkFailures::new(address, prefix, now)),
        };
        let entry = &mut self.entries[place];
        entry.failures.add(now, cause);
        self.nodes.take(&mut self.order, entry.node);
        entry.node = self.nodes.push(&mut self.order, place);
        if !std::mem::replace(&mut entry.is_changed, true) {
            self.changed.push(place);
        }
    }

    /// Adds a network, in the place of the one without a failure for the longest time if there is
    /// no other. Returns its place.
    fn enter(&mut self, failures: NetworkFailures) -> usize {
        let free =
            if self.entries.len() < NETWORKS_MAX { None } else { self.nodes.pop(&mut self.order) };
        let place = free.unwrap_or(self.entries.len());
        let node = self.nodes.push(&mut self.order, place);
        self.places.insert(failures.address, place);
        match self.entries.get_mut(place) {
            Some(entry) => {
                self.places.remove(&entry.failures.address);
                (entry.failures, entry.node) = (failures, node);
            }
            None => self.entries.push(TableEntry { failures, node, is_changed: false }),
        }
        place
    }

    /// Copies what changed since the last call, each network to its place.
    pub(crate) fn publish(&mut self, published: &mut Vec<NetworkFailures>) {
        // The lowest places first: those beyond the end are appended in order.
        self.changed.sort_unstable();
        for place in self.changed.drain(..) {
            let entry = &mut self.entries[place];
            entry.is_changed = false;
            match published.get_mut(place) {
                Some(failures) => *failures = entry.failures,
                None => published.push(entry.failures),
            }
        }
    }
}

/// The first address and the prefix length of the network by which failures are counted. A site has
/// a /48 (RFC 6177).
fn network(peer: SocketAddr) -> (IpAddr, u8) {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => (Ipv4Addr::from_bits(address.to_bits() & !0xff).into(), 24),
        IpAddr::V6(address) => (Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into(), 48),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    fn numbered(number: u32) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::from_bits(number << 8).into(), 1)
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let now = Instant::now();
        let mut table = NetworkTable::default();
        let all = ["192.0.2.1", "192.0.2.255", "::ffff:192.0.2.9", "192.0.3.1", "2001:db8:1::1"];
        for address in all.into_iter().chain(["2001:db8:1:ffff::2", "2001:db8:2::1"]) {
            table.add(now, peer(address), Cause::BadHmac);
        }
        let mut published = Vec::new();
        table.publish(&mut published);
        let found: Vec<_> = published
            .iter()
            .map(|failures| {
                format!("{}/{} {}", failures.address, failures.prefix, failures.causes.sum())
            })
            .collect();
        let expected =
            ["192.0.2.0/24 3", "192.0.3.0/24 1", "2001:db8:1::/48 2", "2001:db8:2::/48 1"];
        assert_eq!(found, expected);
    }

    #[test]
    fn one_network_more_than_is_kept_takes_the_place_of_the_one_without_a_failure_for_the_longest()
    {
        let now = Instant::now();
        let mut table = NetworkTable::default();
        let mut published = Vec::new();
        let most = u32::try_from(NETWORKS_MAX).unwrap();
        (0..most).for_each(|number| table.add(now, numbered(number), Cause::Left));
        table.publish(&mut published);
        assert_eq!(published.len(), NETWORKS_MAX);
        // Network 0 fails again, so network 1 is the oldest.
        table.add(now, numbered(0), Cause::Left);
        table.add(now, numbered(most), Cause::BadToken);
        table.publish(&mut published);
        let of = |number| {
            let address = numbered(number).ip();
            published.iter().find(|failures| failures.address == address)
        };
        assert_eq!(published.len(), NETWORKS_MAX);
        assert_eq!(of(0).map(|failures| failures.causes.sum()), Some(2));
        assert!(of(1).is_none() && of(2).is_some());
        assert_eq!(of(most).map(|failures| failures.causes.get(Cause::BadToken)), Some(1));
        assert_eq!((table.places.len(), table.entries.len()), (NETWORKS_MAX, NETWORKS_MAX));
        // All others go before network 0, which failed later.
        (0..most - 2).for_each(|number| table.add(now, numbered(2 * most + number), Cause::Left));
        assert!(table.places.contains_key(&numbered(0).ip()));
        table.add(now, numbered(4 * most), Cause::Left);
        assert!(!table.places.contains_key(&numbered(0).ip()));
    }

    #[test]
    fn failures_leave_the_last_hour_after_fifty_to_sixty_minutes() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut table = NetworkTable::default();
        for minutes in [0, 5, 25, 59] {
            table.add(at(minutes), peer("192.0.2.1"), Cause::Left);
        }
        let failures = table.entries[0].failures;
        assert_eq!(failures.causes.sum(), 4);
        let found: Vec<_> = [59, 65, 75, 89, 108, 109, 200]
            .map(|minutes| failures.in_last_hour(at(minutes)))
            .into();
        assert_eq!(found[0], 4);
        assert_eq!(found[6], 0);
        assert!(found.is_sorted_by(|before, after| before >= after), "{found:?}");
        // Of the last 50 minutes none is missing: the one of minute 59.
        assert_eq!(failures.in_last_hour(at(59 + 50)), 1);
    }
}

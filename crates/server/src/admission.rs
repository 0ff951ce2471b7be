//! Admission: every bound on connections whose client has not proven an identity (rule P-28). Pure:
//! time is an argument.
//!
//! At most half of all connections may be unproven and, with classic, a quarter may be classic
//! sessions, which prove nothing: so clients with a key find room whatever strangers do. If there
//! is no room for a new connection, the oldest connection is evicted that has not sent its whole
//! first message: staying silent costs a stranger nothing, and an honest client sends that message
//! immediately.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use crate::endpoint::{ConnectionId, Full};
use crate::line::{LinkedQueue, QueueNodes};
use crate::network::{Network, NetworkCounts, PeerAddress, PrefixRates};
use crate::watch::Gauges;

/// The limits on connections and handshakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most connections at a time.
    pub connections_max: usize,
    /// The most of them without a proven identity.
    pub unproven_max: usize,
    /// The most of these from one IPv4 address or IPv6 /64; twice as many from a /56, four times as
    /// many from a /48.
    pub unproven_network_max: usize,
    /// The most classic sessions, whose clients sent a key and prove nothing.
    pub classic_max: usize,
    /// The most of these from one network, counted as above.
    pub classic_network_max: usize,
    /// The most handshakes that are being computed or wait for it.
    pub handshakes_max: usize,
    /// The most connections per second from one network, counted as above, with bursts of twice as
    /// many; `None` for no limit.
    pub connects_per_sec_max: Option<NonZeroU32>,
    /// The same for handshakes, counted in those over 2048 bits: one over 3072 bits counts as two,
    /// one over 4096 bits as four.
    pub handshakes_per_sec_max: Option<NonZeroU32>,
}

impl Bounds {
    /// The bounds for `connections_max` connections, without limits per network.
    pub fn of(connections_max: usize) -> Self {
        let unproven_max = connections_max.div_ceil(2);
        Self {
            connections_max,
            unproven_max,
            unproven_network_max: unproven_max,
            classic_max: connections_max.div_ceil(4),
            classic_network_max: connections_max.div_ceil(4),
            handshakes_max: unproven_max,
            connects_per_sec_max: None,
            handshakes_per_sec_max: None,
        }
    }
}

/// The current connections, counted against the [`Bounds`].
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    open: usize,
    unproven: NetworkCounts,
    classic: NetworkCounts,
    /// Handshakes whose computation was given out and has no result yet.
    computing: usize,
    /// Unproven connections that have not sent their whole first message, oldest first.
    silent: QueueNodes<ConnectionId>,
    silent_queue: LinkedQueue,
    connects: Option<PrefixRates>,
    handshakes: Option<PrefixRates>,
}

/// The right to add one connection.
#[derive(Debug)]
pub(crate) struct Reservation {
    address: PeerAddress,
    pub(crate) evicts: Option<ConnectionId>,
}

/// What admission holds of one connection, until [`Admission::leave`].
#[derive(Debug)]
pub(crate) struct AdmissionEntry {
    address: PeerAddress,
    state: AdmissionState,
    has_begun: bool,
    is_computing: bool,
}

/// Which limits a connection counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AdmissionState {
    /// Unproven, and in the queue of silent connections, at this index.
    Silent(usize),
    /// Unproven; its whole first message was received.
    Unproven,
    Classic,
    Proven,
    Gone,
}

/// Why a handshake may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// Its network would exceed this many handshakes per second.
    TooFast(u32),
    /// Too many handshakes are being computed or wait for it.
    TooMany,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            connects: bounds.connects_per_sec_max.map(PrefixRates::new),
            handshakes: bounds.handshakes_per_sec_max.map(PrefixRates::new),
            bounds,
            open: 0,
            unproven: NetworkCounts::default(),
            classic: NetworkCounts::default(),
            computing: 0,
            silent: QueueNodes::default(),
            silent_queue: LinkedQueue::default(),
        }
    }

    /// Replaces the limits. What is counted stays counted, so that a lower limit refuses newcomers
    /// and ends nobody. A rate that changes begins with full buckets.
    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        if bounds.connects_per_sec_max != self.bounds.connects_per_sec_max {
            self.connects = bounds.connects_per_sec_max.map(PrefixRates::new);
        }
        if bounds.handshakes_per_sec_max != self.bounds.handshakes_per_sec_max {
            self.handshakes = bounds.handshakes_per_sec_max.map(PrefixRates::new);
        }
        self.bounds = bounds;
    }

    /// Whether there is room for a connection, and which other one to evict for it. The evicted one
    /// must [leave](Self::leave) first.
    pub(crate) fn admit(&mut self, now: Instant, peer: SocketAddr) -> Result<Reservation, Full> {
        let Bounds { connections_max, unproven_max, unproven_network_max, .. } = self.bounds;
        let address = PeerAddress::of(peer);
        self.unproven.fits(address, unproven_network_max).map_err(|most| Full::Address { most })?;
        let evicts = self.silent.first(self.silent_queue).copied();
        let is_full = self.open >= connections_max;
        let is_crowded = self.unproven.all >= unproven_max;
        if is_full && evicts.is_none() {
            return Err(Full::Connections { most: connections_max });
        }
        if is_crowded && evicts.is_none() {
            return Err(Full::Unproven { most: unproven_max });
        }
        if let Some(rates) = &mut self.connects {
            rates.take(now, address, NonZeroU32::MIN).map_err(|most| Full::TooFast { most })?;
        }
        Ok(Reservation { address, evicts: evicts.filter(|_| is_full || is_crowded) })
    }

    /// Adds a connection for a reservation.
    #[allow(clippy::needless_pass_by_value, reason = "room is taken once")]
    pub(crate) fn enter(&mut self, room: Reservation, id: ConnectionId) -> AdmissionEntry {
        let Reservation { address, evicts: _ } = room;
        self.open += 1;
        self.unproven.add(address);
        let state = AdmissionState::Silent(self.silent.push(&mut self.silent_queue, id));
        AdmissionEntry { address, state, has_begun: false, is_computing: false }
    }

    /// The whole first message was received: the connection is not evicted from now on.
    pub(crate) fn end_silence(&mut self, entry: &mut AdmissionEntry) {
        if let AdmissionState::Silent(at) = entry.state {
            self.silent.take(&mut self.silent_queue, at);
            entry.state = AdmissionState::Unproven;
        }
    }

    /// Counts a computation of the handshake; the first one only if the handshake may begin.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        entry: &mut AdmissionEntry,
        cost: NonZeroU32,
    ) -> Result<(), Declined> {
        if !std::mem::replace(&mut entry.has_begun, true) {
            if self.computing >= self.bounds.handshakes_max {
                return Err(Declined::TooMany);
            }
            if let Some(rates) = &mut self.handshakes {
                rates.take(now, entry.address, cost).map_err(Declined::TooFast)?;
            }
        }
        if !std::mem::replace(&mut entry.is_computing, true) {
            self.computing += 1;
        }
        Ok(())
    }

    /// The computation has a result, or needs none any more. Returns whether one was running.
    pub(crate) fn finish(&mut self, entry: &mut AdmissionEntry) -> bool {
        let was_computing = std::mem::replace(&mut entry.is_computing, false);
        self.computing -= usize::from(was_computing);
        was_computing
    }

    /// The client proved an identity that may connect.
    pub(crate) fn prove(&mut self, entry: &mut AdmissionEntry) {
        self.set_state(entry, AdmissionState::Proven);
    }

    /// The client sent a classic key. Returns whether there is room for its session.
    pub(crate) fn turn_classic(&mut self, entry: &mut AdmissionEntry) -> bool {
        let Bounds { classic_max, classic_network_max, .. } = self.bounds;
        let has_room = self.classic.all < classic_max
            && self.classic.fits(entry.address, classic_network_max).is_ok();
        if has_room && self.set_state(entry, AdmissionState::Classic) {
            self.classic.add(entry.address);
        }
        has_room
    }

    /// Removes the connection from all counts. Returns whether a computation was running.
    pub(crate) fn leave(&mut self, entry: &mut AdmissionEntry) -> bool {
        if self.set_state(entry, AdmissionState::Gone) {
            self.open -= 1;
        }
        self.finish(entry)
    }

    /// Moves the connection to `next`; `false` if it had left already, which is final.
    fn set_state(&mut self, entry: &mut AdmissionEntry, next: AdmissionState) -> bool {
        if entry.state == AdmissionState::Gone {
            return false;
        }
        match std::mem::replace(&mut entry.state, next) {
            AdmissionState::Silent(at) => {
                self.silent.take(&mut self.silent_queue, at);
                self.unproven.remove(entry.address);
            }
            AdmissionState::Unproven => self.unproven.remove(entry.address),
            AdmissionState::Classic => self.classic.remove(entry.address),
            AdmissionState::Proven | AdmissionState::Gone => {}
        }
        true
    }

    /// The number of connections that have proved nothing yet and speak no classic.
    pub(crate) fn unproven(&self) -> usize {
        self.unproven.all
    }

    /// The counts that the bounds are about, as far as admission keeps them.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            unproven: self.unproven.all,
            classic: self.classic.all,
            handshakes: self.computing,
            ..Gauges::default()
        }
    }

    /// Whether rates are limited, so that there are networks to [forget](Self::forget).
    pub(crate) fn has_rates(&self) -> bool {
        self.connects.is_some() || self.handshakes.is_some()
    }

    /// Forgets networks that are below their rates again.
    pub(crate) fn forget(&mut self, now: Instant) {
        for rates in self.connects.iter_mut().chain(&mut self.handshakes) {
            rates.forget(now);
        }
    }
}

impl AdmissionEntry {
    /// Whether a computation was given out whose result is still needed.
    pub(crate) fn is_computing(&self) -> bool {
        self.is_computing
    }

    /// The network whose turn its computations wait for.
    pub(crate) fn network(&self) -> Network {
        self.address.of_turn()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;

    /// Connections, kept as an endpoint keeps them.
    struct Door {
        admission: Admission,
        now: Instant,
        places: HashMap<ConnectionId, AdmissionEntry>,
        next: u64,
    }

    impl Door {
        fn new(bounds: Bounds) -> Self {
            Self {
                admission: Admission::new(bounds),
                now: Instant::now(),
                places: HashMap::new(),
                next: 0,
            }
        }

        fn come(&mut self, address: &str) -> Result<ConnectionId, Full> {
            let peer = SocketAddr::new(address.parse().unwrap(), 1);
            let room = self.admission.admit(self.now, peer)?;
            if let Some(other) = room.evicts {
                self.go(other);
            }
            self.next += 1;
            let id = ConnectionId::numbered(self.next);
            self.places.insert(id, self.admission.enter(room, id));
            Ok(id)
        }

        fn go(&mut self, id: ConnectionId) {
            self.admission.leave(&mut self.places.remove(&id).unwrap());
        }

        fn is_in(&self, id: ConnectionId) -> bool {
            self.places.contains_key(&id)
        }

        fn speak(&mut self, id: ConnectionId) -> Result<(), Declined> {
            let entry = self.places.get_mut(&id).unwrap();
            self.admission.end_silence(entry);
            self.admission.begin(self.now, entry, NonZeroU32::MIN)
        }

        fn prove(&mut self, id: ConnectionId) {
            let entry = self.places.get_mut(&id).unwrap();
            self.admission.end_silence(entry);
            self.admission.prove(entry);
        }

        fn turn_classic(&mut self, id: ConnectionId) -> bool {
            self.admission.turn_classic(self.places.get_mut(&id).unwrap())
        }

        /// All connections leave, and no count remains.
        fn close(mut self) {
            let all: Vec<_> = self.places.keys().copied().collect();
            all.into_iter().for_each(|id| self.go(id));
            let Admission { open, unproven, classic, computing, silent, .. } = self.admission;
            assert_eq!((open, unproven.all, classic.all, computing, silent.len()), (0, 0, 0, 0, 0));
            assert!(unproven.of.is_empty() && classic.of.is_empty());
        }
    }

    #[test]
    fn the_oldest_silent_one_goes_for_the_first_beyond_the_bound_and_none_before() {
        let mut door = Door::new(Bounds { unproven_max: 3, ..Bounds::of(9) });
        let [first, second, third] = [1, 2, 3].map(|n| door.come(&format!("192.0.2.{n}")).unwrap());
        assert!(door.is_in(first));
        // A connection with a first message stays; the next oldest is evicted.
        door.speak(first).unwrap();
        let fourth = door.come("192.0.2.4").unwrap();
        assert_eq!(
            [first, second, third, fourth].map(|id| door.is_in(id)),
            [true, false, true, true]
        );
        // If all have, the new connection is refused with that reason.
        for id in [third, fourth] {
            door.speak(id).unwrap();
        }
        assert_eq!(door.come("192.0.2.5").unwrap_err(), Full::Unproven { most: 3 });
        // A proven identity no longer counts as unproven.
        door.prove(first);
        assert!(door.come("192.0.2.5").is_ok());
        door.close();
    }

    #[test]
    fn a_table_full_of_sessions_and_silence_takes_a_newcomer_and_one_full_of_sessions_none() {
        let mut door = Door::new(Bounds { unproven_max: 3, ..Bounds::of(3) });
        let [first, second, silent] =
            [1, 2, 3].map(|n| door.come(&format!("192.0.2.{n}")).unwrap());
        for id in [first, second] {
            door.prove(id);
        }
        let last = door.come("192.0.2.4").unwrap();
        assert_eq!(
            [first, second, silent, last].map(|id| door.is_in(id)),
            [true, true, false, true]
        );
        door.prove(last);
        assert_eq!(door.come("192.0.2.5").unwrap_err(), Full::Connections { most: 3 });
        door.close();
    }

    #[test]
    fn new_limits_refuse_newcomers_and_end_nobody_and_an_unchanged_rate_keeps_its_buckets() {
        let one = NonZeroU32::new(1);
        let bounds = Bounds { unproven_network_max: 9, connects_per_sec_max: one, ..Bounds::of(4) };
        let mut door = Door::new(bounds.clone());
        let all = [1, 1].map(|_| door.come("192.0.2.1").unwrap());
        all.iter().for_each(|id| door.speak(*id).unwrap());
        assert_eq!(door.come("192.0.2.1").unwrap_err(), Full::Unproven { most: 2 });
        // The bucket of that address is empty, and stays so.
        door.admission.set_bounds(Bounds { unproven_max: 3, ..bounds.clone() });
        assert_eq!(door.come("192.0.2.1").unwrap_err(), Full::TooFast { most: 1 });
        door.admission.set_bounds(Bounds { unproven_max: 1, connects_per_sec_max: None, ..bounds });
        assert_eq!(door.come("192.0.2.1").unwrap_err(), Full::Unproven { most: 1 });
        assert!(all.iter().all(|id| door.is_in(*id)));
        all.iter().for_each(|id| door.prove(*id));
        assert!(door.come("192.0.2.1").is_ok());
        door.close();
    }

    #[test]
    fn someone_with_a_key_gets_in_beside_sixteen_and_a_thousand_silent_networks() {
        for networks in [16, 1000] {
            let mut door = Door::new(Bounds { unproven_network_max: 256, ..Bounds::of(4096) });
            for number in 0..networks * 256_u32 {
                let address = std::net::Ipv4Addr::from(0x7f01_0000 + number % networks);
                door.come(&address.to_string()).unwrap();
            }
            assert_eq!(door.admission.unproven.all, 2048);
            let known = door.come("192.0.2.1").unwrap();
            // As many again come before its first message is here.
            for number in 0..2047 {
                let address = std::net::Ipv4Addr::from(0x7f02_0000 + number);
                door.come(&address.to_string()).unwrap();
            }
            assert!(door.is_in(known));
            door.speak(known).unwrap();
            for number in 0..2048 {
                let address = std::net::Ipv4Addr::from(0x7f03_0000 + number);
                door.come(&address.to_string()).unwrap();
            }
            door.prove(known);
            assert!(door.is_in(known));
            door.close();
        }
    }

    #[test]
    fn an_address_has_its_bound_and_a_home_of_ipv6_twice_and_a_site_four_times_that() {
        let mut door = Door::new(Bounds { unproven_network_max: 2, ..Bounds::of(99) });
        let address = |site: u8, home: u8, net: u8| format!("2001:db8:{site}:{home:x}{net:02x}::1");
        let mut come =
            |site, home, net| door.come(&address(site, home, net)).map_err(|full| full.to_string());
        let said = |most: u8| {
            Err(format!("{most} connections of this address have not proven an identity yet"))
        };
        // A /64: two.
        assert!(come(1, 1, 1).is_ok() && come(1, 1, 1).is_ok());
        assert_eq!(come(1, 1, 1), said(2));
        // A /56: four.
        assert!(come(1, 1, 2).is_ok() && come(1, 1, 3).is_ok());
        assert_eq!(come(1, 1, 4), said(4));
        // A /48: eight.
        for home in [2, 3, 4, 5] {
            assert!(come(1, home, 1).is_ok());
        }
        assert_eq!(come(1, 6, 1), said(8));
        assert!(come(2, 6, 1).is_ok());
        // IPv4, whatever it looks like.
        assert!(door.come("192.0.2.1").is_ok() && door.come("::ffff:192.0.2.1").is_ok());
        assert!(door.come("192.0.2.1").is_err() && door.come("192.0.2.2").is_ok());
        door.close();
    }

    #[test]
    fn rates_of_ipv6_are_counted_by_home_and_by_site_too_and_neighbours_of_one_stopped_lose_nothing()
     {
        let mut door =
            Door::new(Bounds { connects_per_sec_max: NonZeroU32::new(1), ..Bounds::of(999) });
        let mut come =
            |address: &str, count: usize| (0..count).filter(|_| door.come(address).is_ok()).count();
        // Twice as many at once, at each level.
        assert_eq!(come("2001:db8:1:101::1", 50), 2);
        assert_eq!(come("2001:db8:1:102::1", 50), 2);
        assert_eq!(come("2001:db8:1:103::1", 50), 0);
        assert_eq!(come("2001:db8:1:201::1", 50), 2);
        assert_eq!(come("2001:db8:1:202::1", 50), 2);
        assert_eq!(come("2001:db8:1:301::1", 50), 0);
        assert_eq!(come("2001:db8:2:301::1", 50), 2);
        door.now += Duration::from_secs(1);
        assert_eq!(door.come("2001:db8:1:101::1").map(drop), Ok(()));
        door.close();
    }

    #[test]
    fn classic_sessions_have_bounds_of_their_own_and_give_back_the_unproven_ones() {
        let bounds = Bounds {
            classic_max: 3,
            classic_network_max: 2,
            unproven_network_max: 1,
            ..Bounds::of(9)
        };
        let mut door = Door::new(bounds);
        for (address, fits) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("192.0.2.3", false),
        ] {
            let id = door.come(address).unwrap();
            assert_eq!(door.turn_classic(id), fits, "{address}");
            if !fits {
                door.go(id);
            }
        }
        assert_eq!((door.admission.classic.all, door.admission.unproven.all), (3, 0));
        door.close();
    }

    #[test]
    fn as_many_handshakes_begin_as_may_wait_and_one_that_is_done_or_gone_makes_room() {
        let mut door = Door::new(Bounds { handshakes_max: 2, ..Bounds::of(9) });
        let [first, second, third, fourth] = [1, 2, 3, 4].map(|_| door.come("192.0.2.1").unwrap());
        assert_eq!(
            [first, second, third].map(|id| door.speak(id)),
            [Ok(()), Ok(()), Err(Declined::TooMany)]
        );
        assert!(door.admission.finish(door.places.get_mut(&first).unwrap()));
        assert_eq!(door.speak(fourth), Ok(()));
        let fifth = door.come("192.0.2.1").unwrap();
        door.go(second);
        assert_eq!(door.speak(fifth), Ok(()));
        // A computation that continues does not begin again.
        assert_eq!(door.speak(first), Ok(()));
        door.close();
    }

    #[test]
    fn who_is_gone_stays_gone() {
        let mut door = Door::new(Bounds::of(9));
        let id = door.come("192.0.2.1").unwrap();
        let mut entry = door.places.remove(&id).unwrap();
        door.speak_of(&mut entry);
        assert!(door.admission.leave(&mut entry));
        assert!(!door.admission.leave(&mut entry));
        door.admission.prove(&mut entry);
        assert!(door.admission.turn_classic(&mut entry));
        door.close();
    }

    impl Door {
        fn speak_of(&mut self, entry: &mut AdmissionEntry) {
            self.admission.end_silence(entry);
            self.admission.begin(self.now, entry, NonZeroU32::MIN).unwrap();
        }
    }
}

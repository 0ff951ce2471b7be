//! What strangers cause is counted: each kind is said once in full, and then summed up once a
//! second, however much of it there is.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ddes_server::endpoint::{ConnectionId, Notice, NoticeEvent};
use ddes_session::{classic, v2};

/// How long one kind is summed up.
const WINDOW: Duration = Duration::from_secs(1);

/// Addresses that are told apart in one sum; of more it says that there are more.
const ADDRESSES_MAX: usize = 1024;

/// Something that a client causes who has proven nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UnprovenKind {
    Connected,
    KeyVerified,
    TokenShared,
    TurnedAway,
    TooFast,
    Tampered,
    Ignored,
    Left,
    TimedOut,
    Failed,
    Ordered,
}

/// Bounded: by the kinds, and by the addresses of each.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<UnprovenKind, TallyWindow>);

#[derive(Debug)]
struct TallyWindow {
    since: Instant,
    count: u64,
    addresses: HashSet<IpAddr>,
    /// What came last.
    last: Option<Box<Notice>>,
}

/// What a window comes to.
#[derive(Debug)]
pub(super) enum Sum {
    /// A sum of one is that one.
    One(Box<Notice>),
    Many {
        kind: UnprovenKind,
        count: u64,
        addresses: usize,
        /// There were more of them than are told apart.
        has_more_addresses: bool,
        over: Duration,
    },
}

impl Tally {
    /// The notice, where it is to be said now.
    pub(super) fn note(&mut self, now: Instant, notice: Notice) -> Option<Notice> {
        let (connection, is_end) = (notice.connection, is_end(&notice.event));
        let said = self.note_kind(now, notice);
        if is_end && said.is_some() {
            self.forget(connection);
        }
        said
    }

    /// Drops what waits to be said of a connection: it would be said after its end.
    fn forget(&mut self, connection: ConnectionId) {
        for window in self.0.values_mut() {
            window.last.take_if(|last| last.connection == connection);
        }
    }

    fn note_kind(&mut self, now: Instant, notice: Notice) -> Option<Notice> {
        let Some(kind) = UnprovenKind::of(&notice) else { return Some(notice) };
        let Some(window) = self.0.get_mut(&kind) else {
            self.0.insert(kind, TallyWindow::new(now));
            return Some(notice);
        };
        window.count += 1;
        if window.addresses.len() <= ADDRESSES_MAX {
            window.addresses.insert(notice.peer.ip());
        }
        window.last = Some(Box::new(notice));
        None
    }

    /// Whether there is, or will be, something to take.
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// The sums that are due. After a second in which nothing came the next is said in full again.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Sum> {
        let mut sums = Vec::new();
        self.0.retain(|kind, window| {
            if now < window.since + WINDOW {
                return true;
            }
            let window = std::mem::replace(window, TallyWindow::new(now));
            let was_quiet = window.count == 0;
            sums.extend(window.sum(*kind, now));
            !was_quiet
        });
        sums
    }

    /// All of them, before the end.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<Sum> {
        std::mem::take(&mut self.0)
            .into_iter()
            .filter_map(|(kind, window)| window.sum(kind, now))
            .collect()
    }
}

fn is_end(event: &NoticeEvent) -> bool {
    matches!(event, NoticeEvent::Ended(_) | NoticeEvent::ClassicEnded(_))
}

impl TallyWindow {
    fn new(since: Instant) -> Self {
        Self { since, count: 0, addresses: HashSet::new(), last: None }
    }

    fn sum(self, kind: UnprovenKind, now: Instant) -> Option<Sum> {
        let Self { since, count, addresses, last } = self;
        if count <= 1 {
            return last.map(Sum::One);
        }
        let has_more_addresses = addresses.len() > ADDRESSES_MAX;
        let addresses = addresses.len().min(ADDRESSES_MAX);
        Some(Sum::Many {
            kind,
            count,
            addresses,
            has_more_addresses,
            over: now.duration_since(since),
        })
    }
}

impl UnprovenKind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 11] = [
        Self::Connected,
        Self::KeyVerified,
        Self::TokenShared,
        Self::TurnedAway,
        Self::TooFast,
        Self::Tampered,
        Self::Ignored,
        Self::Left,
        Self::TimedOut,
        Self::Failed,
        Self::Ordered,
    ];

    /// `None` of what is always said: of proven identities, and of values, which are told to a
    /// person only.
    fn of(notice: &Notice) -> Option<Self> {
        if notice.is_proven {
            return None;
        }
        Some(match &notice.event {
            NoticeEvent::Connected => Self::Connected,
            NoticeEvent::KeyVerified => Self::KeyVerified,
            NoticeEvent::TokenShared => Self::TokenShared,
            NoticeEvent::TurnedAway { .. } => Self::TurnedAway,
            NoticeEvent::Tampered => Self::Tampered,
            NoticeEvent::Ignored { .. } => Self::Ignored,
            NoticeEvent::ClassicEnded(end) => Self::of_classic_end(end),
            NoticeEvent::Ended(end) => Self::of_end(end),
            NoticeEvent::Admitted(_)
            | NoticeEvent::Regranted(_)
            | NoticeEvent::Received { .. }
            | NoticeEvent::ResultSent { .. } => return None,
        })
    }

    fn of_end(end: &v2::ServerEnd) -> Self {
        match end {
            v2::ServerEnd::Bye | v2::ServerEnd::Closed | v2::ServerEnd::Left => Self::Left,
            v2::ServerEnd::Idle
            | v2::ServerEnd::TooOld
            | v2::ServerEnd::Fault(v2::Fault::HandshakeTimeout) => Self::TimedOut,
            v2::ServerEnd::Ordered(_) | v2::ServerEnd::LedgerUnavailable => Self::Ordered,
            v2::ServerEnd::TooFast { .. } => Self::TooFast,
            v2::ServerEnd::Fault(_) => Self::Failed,
        }
    }

    fn of_classic_end(end: &classic::ServerEnd) -> Self {
        match end {
            classic::ServerEnd::Bye | classic::ServerEnd::Closed => Self::Left,
            classic::ServerEnd::Idle { .. }
            | classic::ServerEnd::Fault(classic::Fault::HandshakeTimeout) => Self::TimedOut,
            classic::ServerEnd::Ordered(classic::EndReason::TooFast) => Self::TooFast,
            classic::ServerEnd::Ordered(_) => Self::Ordered,
            classic::ServerEnd::Fault(_) => Self::Failed,
        }
    }

    /// As programs know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::KeyVerified => "key_verified",
            Self::TokenShared => "token_shared",
            Self::TurnedAway => "turned_away",
            Self::TooFast => "too_fast",
            Self::Tampered => "tampered",
            Self::Ignored => "ignored",
            Self::Left => "left",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Ordered => "ordered",
        }
    }

    /// `N more ...`
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::KeyVerified => "classic key exchanges",
            Self::TokenShared => "classic sessions",
            Self::TurnedAway => "turned away: not authorized",
            Self::TooFast => "refused: too many handshakes of an address",
            Self::Tampered => "classic frames that did not decrypt, discarded",
            Self::Ignored => "classic frames ignored",
            Self::Left => "left before they proved an identity",
            Self::TimedOut => "ended: silent for too long",
            Self::Failed => "ended: they broke the protocol",
            Self::Ordered => "ended by this server",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use ddes_identity::SigningKey;
    use ddes_server::endpoint::{
        Bounds, Config, ConnectionEntropy, ConnectionId, Endpoint, Notices, Profiles,
    };
    use zeroize::Zeroizing;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    pub(in crate::serve) fn connection(now: Instant) -> ConnectionId {
        endpoint(now).1
    }

    /// An endpoint with one connection.
    pub(in crate::serve) fn endpoint(now: Instant) -> (Endpoint, ConnectionId) {
        let key = SigningKey::from_seed(&[1; 32]);
        let v2 = v2::ServerConfig {
            suites: Vec::new(),
            key,
            idle: WINDOW,
            handshake: WINDOW,
            values_max: 1,
        };
        let config = Config {
            bounds: Bounds::of(9),
            queued_values_max: 1,
            notices: Notices::Nothing,
            classic_first: 0,
            profiles: Profiles { v2: Arc::new(v2), classic: None },
        };
        let mut endpoint = Endpoint::new(now, config);
        let id = accept(&mut endpoint, now);
        (endpoint, id)
    }

    fn accept(endpoint: &mut Endpoint, now: Instant) -> ConnectionId {
        let entropy = ConnectionEntropy {
            exponent: Zeroizing::new([0; _]),
            kem: Zeroizing::new([0; _]),
            token: Zeroizing::new([0; _]),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        endpoint.accept(now, peer, entropy).unwrap()
    }

    fn of(connection: ConnectionId, address: u32, event: NoticeEvent) -> Notice {
        let peer = SocketAddr::from((Ipv4Addr::from(address), 1));
        Notice { connection, peer, is_proven: false, event }
    }

    #[test]
    fn each_kind_is_said_once_and_then_summed_up_once_a_second() {
        let start = Instant::now();
        let (mut tally, id) = (Tally::default(), connection(start));
        let mut said = 0;
        for n in 0..10_000 {
            for event in [NoticeEvent::Connected, NoticeEvent::Tampered] {
                said += usize::from(
                    tally.note(start + MOMENT * (n / 100), of(id, n % 7, event)).is_some(),
                );
            }
        }
        assert_eq!((said, tally.take(start + MOMENT * 999).len()), (2, 0));
        let sums = tally.take(start + WINDOW);
        for (sum, expected) in sums.iter().zip([UnprovenKind::Connected, UnprovenKind::Tampered]) {
            let Sum::Many { kind, count, addresses, has_more_addresses, over } = sum else {
                panic!("{sum:?}")
            };
            assert_eq!((*kind, *count, *addresses), (expected, 9_999, 7));
            assert_eq!((*has_more_addresses, *over), (false, WINDOW));
        }
        assert_eq!(sums.len(), 2);
        // While it goes on nothing is said in between.
        assert!(tally.note(start + WINDOW + MOMENT, of(id, 1, NoticeEvent::Connected)).is_none());
    }

    #[test]
    fn a_sum_of_one_is_that_one_and_after_a_quiet_second_the_next_is_said_at_once() {
        let start = Instant::now();
        let (mut tally, id) = (Tally::default(), connection(start));
        let connected = || of(id, 1, NoticeEvent::Connected);
        assert!(tally.note(start, connected()).is_some());
        assert!(tally.note(start, connected()).is_none());
        let sums = tally.take(start + WINDOW);
        let [Sum::One(last)] = &sums[..] else { panic!("{sums:?}") };
        assert!(matches!(last.event, NoticeEvent::Connected));
        assert!(tally.is_open() && tally.take(start + WINDOW * 2).is_empty() && !tally.is_open());
        assert!(tally.note(start + WINDOW * 2, connected()).is_some());
    }

    #[test]
    fn that_a_client_connected_is_not_said_after_its_end() {
        let start = Instant::now();
        let (mut endpoint, first) = endpoint(start);
        let second = accept(&mut endpoint, start);
        let mut tally = Tally::default();
        let left = NoticeEvent::Ended(v2::ServerEnd::Left);
        assert!(tally.note(start, of(first, 1, NoticeEvent::Connected)).is_some());
        assert!(tally.note(start, of(second, 1, NoticeEvent::Connected)).is_none());
        assert!(tally.note(start, of(second, 1, left)).is_some());
        assert!(tally.take(start + WINDOW).is_empty());
    }

    #[test]
    fn what_proven_identities_do_is_always_said() {
        let start = Instant::now();
        let (mut tally, id) = (Tally::default(), connection(start));
        for _ in 0..100 {
            let notice =
                Notice { is_proven: true, ..of(id, 1, NoticeEvent::Ended(v2::ServerEnd::Bye)) };
            assert!(tally.note(start, notice).is_some());
        }
        assert!(!tally.is_open());
    }

    #[test]
    fn more_addresses_than_are_told_apart_take_no_more_room() {
        let start = Instant::now();
        let (mut tally, id) = (Tally::default(), connection(start));
        for n in 0..100_000 {
            tally.note(start, of(id, n, NoticeEvent::Connected));
        }
        let sums = tally.take_all(start);
        let [Sum::Many { count: 99_999, addresses: ADDRESSES_MAX, has_more_addresses: true, .. }] =
            sums[..]
        else {
            panic!("{sums:?}")
        };
        assert!(!tally.is_open());
    }
}

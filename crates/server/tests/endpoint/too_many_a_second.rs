//! P-28, C-21: connections and handshakes that one address begins too fast.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ddes_server::endpoint::{Classic, ConnectionId, Full, NoticeEvent};
use ddes_session::v2::{ClientEnd, ClientEvent, ServerEnd};
use ddes_session::{Phase, classic};
use ddes_wire::frame::Header;
use ddes_wire::v2::{GroupSize, Reason, Suite};

use crate::world::World;

const CLASSIC: &[u8] = b"\0\0\0\x32\0\0\0\x33Error: Too many connections. Connection terminated.";

fn connects(most: u32) -> World {
    World::new(|config| config.bounds.connects_per_sec_max = NonZeroU32::new(most))
}

fn handshakes(most: u32) -> World {
    World::new(|config| config.bounds.handshakes_per_sec_max = NonZeroU32::new(most))
}

/// How many of ten connections are accepted.
fn accepted(world: &mut World, address: &str) -> usize {
    (0..10).filter(|_| world.accept(address).is_ok()).count()
}

/// Whether the message 1 of a new connection is taken.
fn begins(world: &mut World, address: &str) -> bool {
    let client = world.connect(address, 1);
    world.endpoint.handle_bytes(world.now, client.id, client.session.pending());
    let has_work = world.work().is_some();
    assert_eq!(has_work, world.endpoint.pending(client.id).is_empty());
    has_work
}

fn ended(world: &mut World, id: ConnectionId) -> Option<ServerEnd> {
    world.notices().into_iter().find_map(|notice| match notice.event {
        NoticeEvent::Ended(end) if notice.connection == id => Some(end),
        _ => None,
    })
}

#[test]
fn connections_come_in_a_burst_and_then_at_the_rate() {
    let mut world = connects(2);
    assert_eq!(accepted(&mut world, "192.0.2.1"), 4);
    let full = world.accept("192.0.2.1").unwrap_err();
    assert_eq!(full, Full::TooFast { most: 2 });
    let said = b"\0\0\0\x32\0\0\0\x31\x09this address connects more than 2 times a second";
    assert_eq!((full.farewell(false), full.farewell(true)), (said.to_vec(), CLASSIC.to_vec()));
    assert_eq!(world.endpoint.len(), 4);

    for (millis, most) in [(499, 0), (1, 1), (0, 0), (1000, 2), (9_000, 4)] {
        world.pass(millis);
        assert_eq!(accepted(&mut world, "192.0.2.1"), most, "after {millis} ms more");
    }
}

#[test]
fn another_address_is_not_kept_from_anything() {
    let mut world = connects(2);
    assert_eq!(accepted(&mut world, "192.0.2.1"), 4);
    assert_eq!(accepted(&mut world, "::ffff:192.0.2.1"), 0, "the same in IPv6's clothes");
    assert_eq!(accepted(&mut world, "192.0.2.2"), 4);
    assert_eq!(accepted(&mut world, "2001:db8:0:1::1"), 4);
    assert_eq!(accepted(&mut world, "2001:db8:0:1:ffff::2"), 0, "a /64 is one sender");
    assert_eq!(accepted(&mut world, "2001:db8:0:2::1"), 4);
}

#[test]
fn a_handshake_too_many_hears_so_in_the_place_of_message_2_and_costs_no_exponentiation() {
    let mut world = handshakes(1);
    assert!(begins(&mut world, "192.0.2.1") && begins(&mut world, "192.0.2.1"));
    let mut client = world.connect("192.0.2.1", 1);
    world.endpoint.handle_bytes(world.now, client.id, client.session.pending());
    assert!(world.work().is_none());
    let said = b"\0\0\0\x32\0\0\0\x4f\x09this address begins too many handshakes a second (the limit is 1 of 2048 bits)";
    assert_eq!(world.endpoint.pending(client.id), said);
    assert_eq!(world.endpoint.phase(client.id), Phase::Draining);
    assert_eq!(ended(&mut world, client.id), Some(ServerEnd::TooFast { most: 1 }));

    world.talk(&mut client);
    let Some(ClientEvent::Ended(ClientEnd::Rejected(rejection))) = client.events.last() else {
        panic!("{:?}", client.events)
    };
    assert_eq!(rejection.reason, Reason::TooMany);

    assert!(begins(&mut world, "192.0.2.2"));
    assert!(!begins(&mut world, "192.0.2.1"));
    world.pass(1000);
    assert!(begins(&mut world, "192.0.2.1"));
    assert!(!begins(&mut world, "192.0.2.1"));
}

#[test]
fn a_session_is_one_handshake_and_a_silent_connection_none() {
    let mut world = handshakes(1);
    for _ in 0..5 {
        world.accept("192.0.2.1").unwrap();
    }
    // Each gives out work twice.
    world.join("192.0.2.1", 1);
    world.join("192.0.2.1", 2);
    assert!(!begins(&mut world, "192.0.2.1"));
}

#[test]
fn a_handshake_of_4096_bits_counts_as_four_and_is_never_out_of_reach() {
    // Two seconds' worth, and in one: handshakes of 2048, 3072 and 4096 bits.
    for (most, counts) in [(4, [8, 4, 2]), (1, [2, 1, 1])] {
        for (size, count) in
            [GroupSize::Bits2048, GroupSize::Bits3072, GroupSize::Bits4096].iter().zip(counts)
        {
            let mut world = handshakes(most);
            let hello = [&[2, Suite::Ddes(*size).id()][..], &vec![3; size.public_bytes()]].concat();
            let header = Header { opcode: 10, length: u32::try_from(hello.len()).unwrap() };
            let hello = [&header.encode()[..], &hello].concat();
            let begun = (0..10).filter(|_| {
                let id = world.accept("192.0.2.1").unwrap();
                world.endpoint.handle_bytes(world.now, id, &hello);
                world.work().is_some()
            });
            assert_eq!(begun.count(), count, "{size:?} at {most} a second");
        }
    }
}

#[test]
fn a_classic_handshake_too_many_hears_its_own_text() {
    let hour = Duration::from_secs(3600);
    let group = ddes_ffdhe::Group::named(ddes_ffdhe::NamedGroup::Ffdhe2048);
    let config =
        Arc::new(classic::ServerConfig { group, idle: hour, handshake: hour, end_all: false });
    let mut world = World::new(|to| {
        to.bounds.handshakes_per_sec_max = NonZeroU32::new(1);
        to.profiles.classic = Some(Classic { config, silence: Duration::from_millis(250) });
    });
    let all: Vec<_> = (0..3).map(|_| world.accept("192.0.2.1").unwrap()).collect();
    world.pass(250);
    all.iter().for_each(|id| world.endpoint.handle_connection_timeout(world.now, *id));
    assert_eq!(std::iter::from_fn(|| world.work()).count(), 2);
    assert_eq!(world.endpoint.pending(all[2]), CLASSIC);
    assert_eq!(world.endpoint.phase(all[2]), Phase::Draining);
}

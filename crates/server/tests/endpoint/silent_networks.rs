//! P-28: silent connections of many networks keep nobody out who speaks.

use ddes_server::endpoint::{ConnectionId, Full, NoticeEvent};
use ddes_session::Phase;
use ddes_session::v2::ServerEnd;
use ddes_wire::v2::Reason;

use crate::world::World;

fn world() -> World {
    World::new(|config| {
        config.bounds.connections_max = 8;
        config.bounds.unproven_max = 4;
        config.bounds.unproven_network_max = 2;
    })
}

fn silent(world: &mut World, count: u8) -> Vec<ConnectionId> {
    (0..count).map(|at| world.accept(&format!("198.51.100.{}", at / 2)).unwrap()).collect()
}

#[test]
fn the_oldest_silent_one_hears_that_there_are_too_many_and_is_closed_for_a_newcomer() {
    let mut world = world();
    let all = silent(&mut world, 4);
    world.wakes();
    world.notices();
    let newcomer = world.accept("192.0.2.1").unwrap();
    assert_eq!(world.wakes(), [all[0]]);
    assert_eq!(world.endpoint.pending(all[0]).get(..9), Some(&b"\0\0\0\x32\0\0\0\x1f\x09"[..]));
    assert_eq!(world.endpoint.phase(all[0]), Phase::Done);
    let ended = world.notices().into_iter().find_map(|notice| match notice.event {
        NoticeEvent::Ended(end) => Some((notice.connection, end)),
        _ => None,
    });
    assert_eq!(ended, Some((all[0], ServerEnd::Ordered(Reason::TooMany))));
    world.endpoint.remove(world.now, all[0]);
    assert_eq!(world.endpoint.len(), 4);
    for id in all[1..].iter().chain([&newcomer]) {
        assert_eq!(world.endpoint.phase(*id), Phase::Live);
        world.endpoint.remove(world.now, *id);
    }
    assert!(world.endpoint.is_empty());
}

#[test]
fn clients_open_their_sessions_one_after_the_other_beside_silence_until_no_place_is_left() {
    let mut world = world();
    let (mut sessions, mut all) = (Vec::new(), Vec::new());
    for seed in 1..=8 {
        // As many silent ones as may be, anew each time.
        for at in 0..4 {
            all.extend(world.accept(&format!("198.51.100.{}", 4 * seed + at)));
        }
        sessions.push(world.join("192.0.2.1", seed));
        for id in &all {
            if world.endpoint.phase(*id) == Phase::Done {
                world.endpoint.remove(world.now, *id);
            }
        }
    }
    assert_eq!((sessions.len(), world.endpoint.len()), (8, 8));
    assert_eq!(world.accept("192.0.2.1").unwrap_err(), Full::Connections { most: 8 });
}

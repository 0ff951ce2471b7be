//! The frames of traced connections: each with its direction, from the first byte on, within
//! bounds.

use ddes_server::watch::{Direction, FRAMES_MAX, Profile, TRACES_MAX, TracedFrame};
use ddes_wire::v2::Scope;

use crate::original::{Original, classic_only};
use crate::world::World;

use Direction::{In, Out};

const ADDRESS: &str = "192.0.2.1";

/// Direction, opcode and whether it is encrypted, of all frames of connection 1. `late`: bytes that
/// its client sent after the session's end.
fn ladder(world: &mut World, late: usize) -> Vec<(Direction, u32, bool)> {
    world.stats();
    let trace = world.watch.trace(1, 0).unwrap();
    assert_eq!(trace.dropped, 0);
    assert!(trace.connection.is_from_start);
    let seqs: Vec<_> = trace.frames.iter().map(|frame| frame.seq).collect();
    assert_eq!(seqs, (1..=trace.connection.frames).collect::<Vec<_>>());
    // The frames are all bytes that were carried.
    let bytes = |direction| {
        let of = trace.frames.iter().filter(|frame| frame.direction == direction);
        of.map(|frame| frame.bytes as usize).sum::<usize>()
    };
    assert_eq!((bytes(In) + late, bytes(Out)), world.carried);
    let step = |frame: &TracedFrame| (frame.direction, frame.opcode, frame.is_encrypted);
    trace.frames.iter().map(step).collect()
}

#[test]
fn a_session_of_d_ddes_2_is_10_10_10_10_20_30_40_50() {
    let mut world = World::new(|_| {});
    let mut client = world.join(ADDRESS, 1);
    client.submit(world.now, 1, &[7]);
    world.talk(&mut client);
    while world.commit() {}
    world.talk(&mut client);
    client.session.disconnect(world.now, Scope::Session).unwrap();
    world.pass(1500);
    world.talk(&mut client);
    let expected = [
        (In, 10, false),
        (Out, 10, false),
        (Out, 10, true),
        (In, 10, true),
        (Out, 20, true),
        (In, 30, true),
        (Out, 40, true),
        (In, 50, true),
        (Out, 50, true),
    ];
    assert_eq!(ladder(&mut world, 0), expected);
    let trace = world.watch.trace(1, 7).unwrap();
    let times: Vec<_> = trace.frames.iter().map(|frame| frame.micros).collect();
    assert_eq!(times, [1_500_000; 2]);
    assert_eq!(trace.connection.ended, Some(world.now));
    // It stays after the connection is removed, and the slot belongs to another one.
    world.endpoint.remove(world.now, client.id);
    world.accept(ADDRESS).unwrap();
    assert_eq!(ladder(&mut world, 0), expected);
    assert_eq!(world.watch.trace(2, 0).unwrap().frames, []);
}

#[test]
fn a_classic_session_has_a_ladder_of_its_own() {
    let mut world = World::new(classic_only);
    let mut client = Original::join(&mut world, 1);
    client.submission(&world, 42);
    client.talk(&mut world);
    client.session.disconnect(world.now).unwrap();
    client.talk(&mut world);
    let expected = [
        (Out, 10, false),
        (In, 10, false),
        (Out, 20, true),
        (In, 30, true),
        (Out, 30, false),
        (Out, 40, true),
        (In, 50, false),
        (Out, 50, false),
    ];
    // The client answers the 50 with an empty one, which is not looked at.
    assert_eq!(ladder(&mut world, 8), expected);
    assert_eq!(world.watch.traces()[0].profile, Profile::Classic);
}

#[test]
fn a_connection_that_is_undecided_at_first_is_traced_from_its_first_byte_on() {
    let mut world = World::new(|config| {
        classic_only(config);
        let classic = config.profiles.classic.as_mut().unwrap();
        classic.silence = std::time::Duration::from_millis(250);
    });
    let id = world.accept(ADDRESS).unwrap();
    world.stats();
    assert_eq!(world.watch.traces()[0].profile, Profile::Undecided);
    world.endpoint.handle_bytes(world.now, id, &[0, 0, 0, 20, 0, 0, 0, 0]);
    world.stats();
    let trace = world.watch.trace(1, 0).unwrap();
    assert_eq!(trace.connection.profile, Profile::V2);
    let steps: Vec<_> = trace.frames.iter().map(|frame| (frame.direction, frame.opcode)).collect();
    assert_eq!(steps, [(In, 20), (Out, 50)]);
}

/// Both where each frame is published and where all wait for one publication.
#[test]
fn the_newest_frames_are_kept_and_the_others_counted() {
    for publishes in [false, true] {
        let mut world = World::new(|_| {});
        let mut client = world.join(ADDRESS, 1);
        let mut frames = 5;
        for first_seq in 1.. {
            client.submit(world.now, first_seq, &[1]);
            world.talk(&mut client);
            while world.commit() {}
            world.talk(&mut client);
            frames += 2;
            if publishes {
                world.stats();
            }
            if frames > FRAMES_MAX {
                break;
            }
        }
        world.stats();
        let trace = world.watch.trace(1, 0).unwrap();
        assert_eq!(trace.connection.frames, frames as u64);
        assert_eq!(trace.dropped, (frames - FRAMES_MAX) as u64);
        let first = trace.frames.first().map(|frame| frame.seq);
        assert_eq!((trace.frames.len(), first), (FRAMES_MAX, Some(trace.dropped + 1)));
        assert_eq!(world.watch.trace(1, frames as u64 - 1).unwrap().frames.len(), 1);
    }
}

fn traced(world: &mut World) -> Vec<u64> {
    world.stats();
    world.watch.traces().iter().map(|connection| connection.serial).collect()
}

#[test]
fn the_newest_connections_are_traced_and_those_that_are_pinned() {
    let mut world = World::new(|_| {});
    let accept = |world: &mut World| world.accept(ADDRESS).unwrap();
    let most = TRACES_MAX as u64;
    let first = accept(&mut world);
    for _ in 1..most {
        accept(&mut world);
    }
    assert_eq!(traced(&mut world), (1..=most).collect::<Vec<_>>());
    accept(&mut world);
    assert_eq!(traced(&mut world), (2..=most + 1).collect::<Vec<_>>());
    // Number 1 is no longer traced, and its frames are not kept; once it is pinned, later ones are.
    world.endpoint.handle_bytes(world.now, first, &[0]);
    assert!(world.endpoint.pin_trace(1, true));
    world.endpoint.handle_eof(world.now, first);
    for _ in 0..most {
        accept(&mut world);
    }
    let expected: Vec<_> = std::iter::once(1).chain(most + 3..=2 * most + 1).collect();
    assert_eq!(traced(&mut world), expected);
    let trace = world.watch.trace(1, 0).unwrap();
    assert!(trace.connection.is_pinned && !trace.connection.is_from_start);
    // Unpinned, it goes with the next connection.
    assert!(world.endpoint.pin_trace(1, false));
    accept(&mut world);
    assert_eq!(traced(&mut world), (most + 3..=2 * most + 2).collect::<Vec<_>>());
    // No session and no trace.
    world.endpoint.remove(world.now, first);
    assert!(!world.endpoint.pin_trace(1, true) && !world.endpoint.pin_trace(999, true));
}

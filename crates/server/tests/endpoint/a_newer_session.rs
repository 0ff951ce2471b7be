//! P-19: the newest session of an identity is the only one, and nobody ends another's but an
//! operator.

use ddes_session::Phase;
use ddes_session::v2::{ClientEnd, ClientEvent};
use ddes_wire::v2::{Reason, Scope};

use crate::world::{Client, World};

/// What a client was told at the end.
fn reason(client: &Client) -> Option<Reason> {
    client.events.iter().find_map(|event| match event {
        ClientEvent::Ended(ClientEnd::Farewell(farewell)) => Some(farewell.reason),
        _ => None,
    })
}

#[test]
fn the_older_session_is_told_that_it_is_superseded_and_the_newer_one_counts_on() {
    let mut world = World::new(|_| {});
    let (mut first, berta) = (world.join("127.0.0.1", 1), world.join("127.0.0.1", 2));
    first.submit(world.now, 1, &[1, 2]);
    world.talk(&mut first);
    while world.commit() {}
    let mut second = world.join("127.0.0.1", 1);
    world.talk(&mut first);
    assert_eq!(
        (reason(&first), world.endpoint.phase(second.id)),
        (Some(Reason::Superseded), Phase::Live)
    );
    assert_ne!(world.endpoint.phase(first.id), Phase::Live);
    // Of another identity: nobody's.
    assert_eq!(world.endpoint.phase(berta.id), Phase::Live);
    second.submit(world.now, 3, &[40]);
    world.talk(&mut second);
    while world.commit() {}
    world.talk(&mut second);
    assert_eq!((second.told(), world.standing(&second)), (3, (3, 43)));
}

/// The older one's end comes late: the newer one is still known to be the newest.
#[test]
fn each_of_three_sessions_supersedes_the_one_before_whenever_that_goes() {
    for goes_between in [false, true] {
        let mut world = World::new(|_| {});
        let mut first = world.join("127.0.0.1", 1);
        let mut second = world.join("127.0.0.1", 1);
        world.talk(&mut first);
        if goes_between {
            world.endpoint.remove(world.now, first.id);
        }
        let third = world.join("127.0.0.1", 1);
        world.talk(&mut second);
        assert_eq!(
            (reason(&first), reason(&second)),
            (Some(Reason::Superseded), Some(Reason::Superseded))
        );
        assert_eq!((reason(&third), world.endpoint.phase(third.id)), (None, Phase::Live));
    }
}

#[test]
fn who_is_no_operator_ends_no_session_but_its_own() {
    let mut world = World::new(|_| {});
    let (mut anna, berta) = (world.join("127.0.0.1", 1), world.join("127.0.0.1", 2));
    anna.session.disconnect(world.now, Scope::All).unwrap();
    world.talk(&mut anna);
    assert_eq!(world.endpoint.phase(berta.id), Phase::Live);
    assert_ne!(world.endpoint.phase(anna.id), Phase::Live);
}

/// A 30 of the older session and the opening of the newer one are in one batch: the older session
/// is told what was counted before it is told that it is superseded.
#[test]
fn what_one_batch_counts_and_supersedes_is_answered_first() {
    let mut world = World::new(|_| {});
    let mut first = world.join("127.0.0.1", 1);
    first.submit(world.now, 1, &[5, 6]);
    world.talk(&mut first);
    let mut second = world.connect("127.0.0.1", 1);
    world.talk(&mut second);
    world.commit_together();
    world.talk(&mut first);
    assert_eq!((first.told(), reason(&first)), (2, Some(Reason::Superseded)));
    let last = first.events.iter().find_map(|event| match event {
        ClientEvent::Ended(ClientEnd::Farewell(last)) => {
            Some((last.last_seq.get(), last.sum.get()))
        }
        _ => None,
    });
    assert_eq!(last, Some((2, 11)));
    world.talk(&mut second);
    assert_eq!(world.standing(&second), (2, 11));
}

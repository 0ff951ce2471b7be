//! What is published of each session, and that one publication has a bound.

use std::sync::Arc;
use std::time::Duration;

use ddes_identity::Grant;
use ddes_server::endpoint::{Bounds, EndOrder};
use ddes_server::watch::{Profile, ROWS_MAX, SessionState};
use ddes_wire::Amount;

use crate::original::{Original, classic_only};
use crate::world::World;

const ADDRESS: &str = "192.0.2.1";

#[test]
fn thousands_of_sessions_are_published_in_turns_and_none_is_left_out() {
    let mut world = World::new(|config| {
        let most = 3 * ROWS_MAX;
        config.bounds =
            Bounds { unproven_max: most, unproven_network_max: most, ..Bounds::of(most) };
    });
    let all: Vec<_> = (0..2 * ROWS_MAX + 1).map(|_| world.accept(ADDRESS).unwrap()).collect();
    for count in [ROWS_MAX, 2 * ROWS_MAX, 2 * ROWS_MAX + 1] {
        world.pass(250);
        world.stats();
        assert_eq!(world.watch.all_sessions().len(), count);
    }
    // Three publications later each row is at most three publications old.
    let before = world.now;
    (0..3).for_each(|_| {
        world.pass(250);
        world.stats();
    });
    let mut rows = world.watch.all_sessions();
    assert!(rows.iter().all(|row| row.at > before));
    rows.sort_by_key(|row| row.serial);
    let serials: Vec<_> = rows.iter().map(|row| row.serial).collect();
    assert_eq!(serials, (1..=all.len() as u64).collect::<Vec<_>>());

    // Vacated slots are cleared, and a slot's next connection takes the row.
    for id in &all[10..] {
        world.endpoint.remove(world.now, *id);
    }
    world.stats();
    let late = world.accept(ADDRESS).unwrap();
    world.stats();
    let mut left: Vec<_> = world.watch.all_sessions().iter().map(|row| row.serial).collect();
    left.sort_unstable();
    assert_eq!(left, (1..=10).chain([late.serial()]).collect::<Vec<_>>());
    assert!(world.watch.session(11).is_none() && world.watch.session(10).is_some());
}

#[test]
fn a_row_says_what_its_session_is_and_what_it_counted() {
    let mut world = World::new(|_| {});
    let opened = world.now;
    world.grant = Some(Grant { name: Some("anna".into()), ..Grant::default() });
    let mut client = world.connect(ADDRESS, 1);
    let row = |world: &mut World| {
        world.stats();
        world.watch.session(1).unwrap()
    };
    let first = row(&mut world);
    assert_eq!((first.state, first.suite, first.idle_at), (SessionState::Handshake, None, None));
    assert_eq!((first.last_value, first.last_value_at, first.account), (None, None, None));
    world.talk(&mut client);
    while world.commit() {}
    world.talk(&mut client);
    world.pass(2000);
    client.submit(world.now, 1, &[40, 2]);
    world.talk(&mut client);
    while world.commit() {}
    let counted = row(&mut world);
    assert_eq!((counted.state, counted.profile), (SessionState::Open, Profile::V2));
    assert_eq!((counted.suite.map(|suite| suite.name()), counted.peer.port()), (Some("ddes"), 1));
    assert_eq!((counted.name.as_deref(), counted.is_operator), (Some("anna"), false));
    assert_eq!((counted.count, counted.sum.get()), (2, 42));
    let last = (counted.last_value, counted.last_value_at);
    assert_eq!(last, (Some(Amount::from(2_i64)), Some(world.now)));
    assert_eq!(counted.idle_at, Some(world.now + Duration::from_secs(3600)));
    // Microseconds are kept.
    assert!(opened.saturating_duration_since(counted.opened) < Duration::from_micros(1));
    // The name is not copied again.
    let name = |row: ddes_server::watch::SessionRow| row.name.unwrap();
    assert!(Arc::ptr_eq(&name(counted), &name(row(&mut world))));
    world.endpoint.end(world.now, client.id, EndOrder::Operator);
    assert_eq!(row(&mut world).state, SessionState::Ending);
    assert_eq!(world.watch.traces()[0].name.as_deref(), Some("anna"));
}

#[test]
fn a_classic_session_has_an_account_from_its_first_integer_on() {
    let mut world = World::new(classic_only);
    let mut client = Original::join(&mut world, 1);
    let account = |world: &mut World| {
        world.stats();
        let row = world.watch.session(1).unwrap();
        (row.profile, row.account.map(|account| account.to_string()), row.sum.get())
    };
    assert_eq!(account(&mut world), (Profile::Classic, None, 0));
    client.submission(&world, 42);
    client.talk(&mut world);
    assert_eq!(account(&mut world), (Profile::Classic, Some("classic/0".into()), 42));
}

//! P-22: what an identity may do is what its list says now, not what it said when its session
//! opened.

use ddes_identity::{Grant, Role};
use ddes_server::endpoint::NoticeEvent;
use ddes_session::Phase;
use ddes_wire::v2::Scope;

use crate::world::{Client, World};

fn two_clients() -> (World, Client, Client) {
    let mut world = World::new(|_| {});
    let (anna, berta) = (world.join("127.0.0.1", 1), world.join("127.0.0.1", 2));
    world.notices();
    (world, anna, berta)
}

fn operator() -> Grant {
    Grant { role: Role::Operator, name: Some("ops".into()), expires: None }
}

/// What the server says of each change.
fn said(world: &mut World) -> Vec<(Option<String>, bool)> {
    let regranted = |notice: ddes_server::endpoint::Notice| match notice.event {
        NoticeEvent::Regranted(admitted) => Some((admitted.name, admitted.is_operator)),
        _ => None,
    };
    world.notices().into_iter().filter_map(regranted).collect()
}

#[test]
fn who_is_no_operator_any_more_ends_nobody_else() {
    let (mut world, mut anna, berta) = two_clients();
    world.endpoint.handle_regrant(anna.id, operator());
    world.endpoint.handle_regrant(anna.id, operator());
    world.endpoint.handle_regrant(anna.id, Grant::default());
    // Said where something changes.
    assert_eq!(said(&mut world), [(Some("ops".into()), true), (None, false)]);
    anna.session.disconnect(world.now, Scope::All).unwrap();
    world.talk(&mut anna);
    assert_eq!(world.endpoint.phase(berta.id), Phase::Live);
    assert_ne!(world.endpoint.phase(anna.id), Phase::Live);
}

#[test]
fn who_becomes_an_operator_may_end_all_without_another_session() {
    let (mut world, mut anna, berta) = two_clients();
    world.endpoint.handle_regrant(anna.id, operator());
    anna.session.disconnect(world.now, Scope::All).unwrap();
    world.talk(&mut anna);
    assert_ne!(world.endpoint.phase(berta.id), Phase::Live);
}

/// The list changed while the ledger was opening the session.
#[test]
fn a_session_that_is_being_opened_gets_what_is_granted_now() {
    let mut world = World::new(|_| {});
    let berta = world.join("127.0.0.1", 2);
    let mut anna = world.connect("127.0.0.1", 1);
    world.talk(&mut anna);
    world.endpoint.handle_regrant(anna.id, operator());
    while world.commit() {}
    world.talk(&mut anna);
    anna.session.disconnect(world.now, Scope::All).unwrap();
    world.talk(&mut anna);
    assert_ne!(world.endpoint.phase(berta.id), Phase::Live);
}

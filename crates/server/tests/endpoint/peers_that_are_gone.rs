//! P-18, P-28: for a connection whose peer is gone nothing more is computed, and no session opens.

use std::time::Duration;

use ddes_identity::Grant;
use ddes_ledger::{AccountNumber, Operation};
use ddes_server::endpoint::{AuthorizationRequest, SessionWork};
use ddes_session::Phase;

use crate::world::{Client, World};

/// Its message 1 is taken; the work of it.
fn begin(world: &mut World, client: &Client) -> SessionWork {
    world.endpoint.handle_bytes(world.now, client.id, client.session.pending());
    world.work().unwrap().1
}

/// Its message 4 is taken and verified; what it claims.
fn claim(world: &mut World, client: &mut Client) -> AuthorizationRequest {
    loop {
        let up = client.session.pending().to_vec();
        client.session.sent(world.now, up.len());
        world.endpoint.handle_bytes(world.now, client.id, &up);
        while let Some((id, work)) = world.work() {
            world.endpoint.handle_done(world.now, id, work.run());
        }
        if let Some(claim) = world.claim() {
            return claim;
        }
        let down = world.endpoint.pending(client.id).to_vec();
        world.endpoint.sent(world.now, client.id, down.len());
        client.session.handle_bytes(world.now, &down);
        client.advance(world.now);
    }
}

#[test]
fn work_of_one_that_closes_after_its_first_message_is_called_back_and_its_place_is_free() {
    let mut world = World::new(|config| config.bounds.handshakes_max = 1);
    let (gone, next) = (world.connect("192.0.2.1", 1), world.connect("192.0.2.2", 2));
    let work = begin(&mut world, &gone);
    assert!(world.cancel().is_none());
    world.endpoint.handle_eof(world.now, gone.id);
    assert_eq!(world.cancel(), Some(gone.id));
    assert_eq!(world.endpoint.phase(gone.id), Phase::Done);
    world.endpoint.remove(world.now, gone.id);
    assert!(world.cancel().is_none());
    // What was computed all the same is nobody's.
    world.endpoint.handle_done(world.now, gone.id, work.run());
    begin(&mut world, &next);
    assert_eq!(world.endpoint.len(), 1);
}

#[test]
fn work_that_was_not_handed_out_yet_is_not() {
    let mut world = World::new(|_| {});
    let client = world.connect("192.0.2.1", 1);
    world.endpoint.handle_bytes(world.now, client.id, client.session.pending());
    world.endpoint.handle_reset(world.now, client.id);
    assert!(world.work().is_none());
}

#[test]
fn work_is_called_back_at_the_handshakes_deadline() {
    let mut world = World::new(|_| {});
    let client = world.connect("192.0.2.1", 1);
    let work = begin(&mut world, &client);
    world.now = world.endpoint.connection_timeout(client.id).unwrap() - Duration::from_millis(1);
    world.endpoint.handle_connection_timeout(world.now, client.id);
    assert!(world.cancel().is_none());
    world.now += Duration::from_millis(1);
    world.endpoint.handle_connection_timeout(world.now, client.id);
    assert_eq!(world.cancel(), Some(client.id));
    world.endpoint.handle_done(world.now, client.id, work.run());
    assert!(world.claim().is_none());
}

#[test]
fn a_handshake_more_than_may_wait_hears_that_there_are_too_many() {
    let mut world = World::new(|config| config.bounds.handshakes_max = 2);
    let clients = [1, 2, 3].map(|seed| world.connect("192.0.2.1", seed));
    let works = [0, 1].map(|at| begin(&mut world, &clients[at]));
    world.endpoint.handle_bytes(world.now, clients[2].id, clients[2].session.pending());
    assert!(world.work().is_none());
    assert!(world.endpoint.pending(clients[2].id).starts_with(b"\0\0\0\x32"));
    assert_eq!(world.endpoint.pending(clients[2].id).get(8), Some(&9), "reason 9");
    for (client, work) in clients.iter().zip(works) {
        world.endpoint.handle_done(world.now, client.id, work.run());
    }
    let next = world.connect("192.0.2.1", 4);
    begin(&mut world, &next);
}

/// A message 4 that was late on a connection given up long ago: the living client of that identity
/// keeps its session.
#[test]
fn one_that_closes_behind_its_proof_opens_no_session_and_ends_none() {
    let mut world = World::new(|_| {});
    let mut living = world.join("192.0.2.1", 1);
    let mut ghost = world.connect("192.0.2.1", 1);
    let late = claim(&mut world, &mut ghost);
    world.endpoint.handle_eof(world.now, ghost.id);
    world.endpoint.handle_grant(world.now, late, Some(Grant::default()));
    assert_eq!(world.queued(), 0);
    assert_eq!(world.endpoint.phase(ghost.id), Phase::Done);
    living.submit(world.now, 1, &[7]);
    world.talk(&mut living);
    assert!(world.commit());
    world.talk(&mut living);
    assert_eq!(living.told(), 1);
}

/// Half of it before the ledger's answer: the ledger has opened the session, so that the older one
/// is over. Nobody is told 20.
#[test]
fn one_that_closes_before_the_ledgers_answer_hears_no_20() {
    let mut world = World::new(|_| {});
    let mut client = world.connect("192.0.2.1", 1);
    let late = claim(&mut world, &mut client);
    world.endpoint.handle_grant(world.now, late, Some(Grant::default()));
    assert_eq!(world.queued(), 1);
    world.endpoint.handle_eof(world.now, client.id);
    assert!(world.commit());
    assert!(world.endpoint.pending(client.id).is_empty());
    assert_eq!(world.endpoint.phase(client.id), Phase::Done);
}

/// A ledger in a database holds an account for as long as a session of it lasts.
#[test]
fn a_ledger_that_asks_for_it_hears_of_each_end_once_after_all_requests_and_others_of_none() {
    for tells in [false, true] {
        let mut world = World::new(|_| {});
        if tells {
            world.endpoint = world.endpoint.telling_ends();
        }
        let mut client = world.join("192.0.2.1", 1);
        let newer = world.join("192.0.2.1", 1);
        client.submit(world.now, 1, &[5]);
        let bytes = client.session.pending().to_vec();
        world.endpoint.handle_bytes(world.now, client.id, &bytes);
        for id in [client.id, newer.id] {
            world.endpoint.remove(world.now, id);
            world.endpoint.remove(world.now, id);
        }
        world.queued();
        let ends = world.queue.iter().map(|request| match &request.operation {
            Operation::End(account) => Some(*account),
            Operation::Open(_) | Operation::Add(_) => None,
        });
        let ends: Vec<_> = ends.collect();
        let account = Some(AccountNumber::Identity(0));
        let expected = if tells { vec![account, account] } else { Vec::new() };
        // The newer session has ended the older one: its submission is nobody's.
        assert_eq!(ends, expected);
    }
}

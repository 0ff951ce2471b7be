//! P-17, P-18, P-21: what a well-behaved client sees.

use ddes_session::Phase;
use ddes_session::v2::ServerEnd;
use ddes_wire::v2::{Farewell, GroupSize, Reason, Scope, Suite};

use crate::world::{Client, Server, frame, hello};

#[test]
fn two_values_give_their_sums_and_a_50_is_answered_by_one() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    let welcome = client.welcome.clone().unwrap();
    assert_eq!((welcome.session.get(), welcome.idle_millis, welcome.values_max), (1, 60_000, 100));
    server.give(&client.data(1, &[42]));
    server.give(&client.data(2, &[50]));
    assert_eq!(client.heard(&mut server), (vec![(0, 1, 42), (0, 2, 92)], None));
    let bye = client.bye(Scope::Session);
    server.give(&bye);
    let (opcode, plaintext) = client.take(&mut server).remove(0);
    let farewell = Farewell::decode(&plaintext).unwrap();
    assert_eq!(
        (opcode, farewell.reason, farewell.last_seq.get(), farewell.sum.get()),
        (50, Reason::Bye, 2, 92)
    );
    assert_eq!(server.session.phase(), Phase::Draining);
    server.close();
    assert_eq!((server.session.phase(), server.end), (Phase::Done, Some(ServerEnd::Bye)));
}

#[test]
fn the_sum_goes_on_in_the_next_session_of_the_same_identity_and_of_no_other() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.give(&client.data(1, &[42, -2, 52]));
    let mut server = Server::with_ledger(server.ledger);
    let mut client = Client::join(&mut server, 3);
    let standing = client.welcome.clone().unwrap().standing;
    assert_eq!(
        (standing.last_seq.get(), standing.last_session.get(), standing.sum.get()),
        (3, 1, 92)
    );
    server.give(&client.data(4, &[8]));
    assert_eq!(client.heard(&mut server).0, [(0, 4, 100)]);
    let mut server = Server::with_ledger(server.ledger);
    let other = Client::join(&mut server, 4);
    assert_eq!(other.welcome.unwrap().standing.last_seq.get(), 0);
}

#[test]
fn answers_come_in_the_order_of_the_questions_and_before_the_50() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.ledger_stands = true;
    let frames = [client.data(1, &[1]), client.data(2, &[2]), client.bye(Scope::Session)].concat();
    server.give(&frames);
    assert_eq!(client.heard(&mut server), (vec![], None));
    server.ledger_answers();
    assert_eq!(client.heard(&mut server), (vec![(0, 1, 1), (0, 2, 3)], Some(Reason::Bye)));
}

#[test]
fn every_byte_in_its_own_segment_changes_nothing() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    for byte in client.data(1, &[42]) {
        server.give(&[byte]);
    }
    assert_eq!(client.heard(&mut server).0, [(0, 1, 42)]);
}

#[test]
fn the_hybrid_suite_goes_the_same_way() {
    let mut server = Server::new();
    Client::meet(&mut server, Suite::Hybrid(GroupSize::Bits2048));
    assert_eq!(server.end, None);
}

#[test]
fn bytes_behind_the_end_are_drained() {
    let mut server = Server::new();
    server.give(&frame(50, b""));
    server.give(&hello(crate::world::SUITE).1);
    assert_eq!(server.take().len(), 1);
}

//! P-21: silence, what restarts the timer, age, and a server that stops.

use std::time::Duration;

use ddes_session::v2::ServerEnd;
use ddes_wire::v2::Reason;

use crate::world::{Client, IDLE, Server};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn silence_ends_the_session_with_the_account_as_it_stands() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.pass(IDLE - SECOND);
    assert_eq!(server.end, None);
    server.pass(SECOND);
    assert_eq!(client.heard(&mut server), (vec![(0, 0, 0)], Some(Reason::Idle)));
    assert_eq!(server.end, Some(ServerEnd::Idle));
}

#[test]
fn an_applied_30_restarts_the_timer_and_a_refused_one_does_not() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.pass(IDLE - SECOND);
    server.give(&client.data(1, &[42]));
    server.pass(IDLE - SECOND);
    server.give(&client.data(9, &[50]));
    assert_eq!(client.heard(&mut server), (vec![(0, 1, 42), (1, 1, 42)], None));
    server.pass(SECOND);
    assert_eq!(client.heard(&mut server), (vec![(0, 1, 42)], Some(Reason::Idle)));
}

#[test]
fn the_timer_stands_while_a_30_waits_for_the_ledger() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.ledger_stands = true;
    server.give(&client.data(1, &[42]));
    server.pass(2 * IDLE);
    assert_eq!(server.end, None);
    server.ledger_answers();
    assert_eq!(client.heard(&mut server), (vec![(0, 1, 42)], None));
}

#[test]
fn a_session_ends_after_a_day_however_busy() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    for seq in 1..2_880 {
        server.pass(IDLE / 2);
        server.give(&client.data(seq, &[1]));
    }
    assert_eq!((server.end.clone(), client.heard(&mut server).1), (None, None));
    server.pass(IDLE);
    assert_eq!(client.heard(&mut server), (vec![], Some(Reason::TooOld)));
    assert_eq!(server.end, Some(ServerEnd::TooOld));
}

#[test]
fn a_server_that_stops_answers_what_waits_then_says_so() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.ledger_stands = true;
    server.give(&client.data(1, &[42]));
    server.session.order_end(server.now, Reason::ShuttingDown, false);
    server.ledger_answers();
    assert_eq!(
        client.heard(&mut server),
        (vec![(0, 1, 42), (0, 1, 42)], Some(Reason::ShuttingDown))
    );
}

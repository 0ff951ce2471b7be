//! P-27: a client waits 10 s for its session, and a while for each answer.

use std::time::{Duration, Instant};

use ddes_session::v2::{ClientEnd, ClientEvent, ClientFault, ClientSession};
use ddes_wire::Sequence;
use ddes_wire::v2::Scope;

use crate::world::{CONFIG, Server, Session, entropy, identity};

fn ended(client: &Session, fault: ClientFault) {
    assert_eq!(client.end(), Some(ClientEnd::Fault(fault)));
}

#[test]
fn the_session_is_open_after_ten_seconds_or_given_up() {
    let mut client = Session::new(CONFIG);
    client.take();
    client.pass(CONFIG.handshake);
    ended(&client, ClientFault::HandshakeTimeout);
    // The proof does not buy more time.
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.pass(CONFIG.handshake - Duration::from_secs(1));
    client.talk(&mut server);
    client.prove(&identity(3));
    client.take();
    client.pass(Duration::from_secs(1));
    ended(&client, ClientFault::HandshakeTimeout);
}

#[test]
fn an_answer_that_does_not_come_ends_the_session_and_silence_without_a_question_does_not() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.talk(&mut server);
    client.prove(&identity(3));
    client.talk(&mut server);
    client.pass(3 * CONFIG.reply);
    assert_eq!(client.end(), None);
    client.session.submit(client.now, Sequence::new(1), &[42]).unwrap();
    client.talk(&mut server);
    client.pass(3 * CONFIG.reply);
    assert_eq!(client.end(), None);
    client.session.submit(client.now, Sequence::new(2), &[50]).unwrap();
    client.take();
    client.pass(CONFIG.reply);
    ended(&client, ClientFault::ReplyTimeout);
}

#[test]
fn so_does_a_50_that_is_not_answered() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.talk(&mut server);
    client.prove(&identity(3));
    client.talk(&mut server);
    client.session.disconnect(client.now, Scope::Session).unwrap();
    client.take();
    client.pass(CONFIG.reply);
    ended(&client, ClientFault::ReplyTimeout);
}

#[test]
fn a_client_asks_for_bytes_until_there_are_no_more_or_it_has_ended() {
    let mut client = Session::new(CONFIG);
    assert!(client.session.wants_bytes());
    client.session.handle_eof(client.now);
    assert!(!client.session.wants_bytes());
    let mut client = Session::new(CONFIG);
    client.take();
    client.pass(CONFIG.handshake);
    ended(&client, ClientFault::HandshakeTimeout);
    assert!(!client.session.wants_bytes());
}

/// While the client computes, bytes wait for it, up to the longest frame.
#[test]
fn a_client_that_computes_asks_for_no_more_than_a_frame() {
    let now = Instant::now();
    let mut client = ClientSession::new(CONFIG, now, entropy(1));
    let work = client.poll_work().unwrap();
    client.handle_bytes(now, &[0; 8 + 65_535]);
    assert!(client.wants_bytes());
    client.handle_bytes(now, &[0]);
    assert!(!client.wants_bytes());
    // Zeros are no frame.
    client.handle_done(now, work.run());
    assert!(!client.wants_bytes());
    assert!(matches!(client.poll_event(), Some(ClientEvent::Ended(ClientEnd::Fault(_)))));
}

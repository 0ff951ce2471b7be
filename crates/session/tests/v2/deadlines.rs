//! P-21, P-23, P-24: what begins once and is not begun again by what a peer does, each at its end
//! and just before it.

use std::time::Duration;

use ddes_session::Phase;
use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{Reason, Scope};

use ddes_identity::Namespace;

use crate::world::{Client, IDLE, SUITE, Server, frame, hello, identity};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const TIMEOUT: Option<ServerEnd> = Some(ServerEnd::Fault(Fault::HandshakeTimeout));

#[test]
fn message_1_begins_no_other_deadline() {
    let mut server = Server::new();
    server.pass(9 * SECOND);
    let mut client = Client::meet(&mut server, SUITE);
    server.pass(SECOND - MILLI);
    assert_eq!(server.end, None);
    server.pass(MILLI);
    assert_eq!((client.heard(&mut server).1, server.end), (Some(Reason::Protocol), TIMEOUT));
}

#[test]
fn a_message_4_that_is_not_whole_begins_no_other_deadline() {
    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    let proof = client.proof(&identity(3), Namespace::Client);
    let message = client.seal(Opcode::KeyVerification, &proof.encode());
    server.pass(9 * SECOND);
    server.give(&message[..message.len() - 1]);
    server.pass(SECOND - MILLI);
    assert_eq!(server.end, None);
    server.pass(MILLI);
    assert_eq!(server.end, TIMEOUT);
}

/// The work may be slow: the pool is bounded, and the deadline holds all the same.
#[test]
fn work_that_is_not_done_in_time_is_not_waited_for() {
    let mut server = Server::new();
    server.session.handle_bytes(server.now, &hello(SUITE).1);
    let work = server.session.poll_work().unwrap();
    server.pass(10 * SECOND - MILLI);
    assert_eq!(server.end, None);
    server.pass(MILLI);
    assert_eq!((server.rejection().reason, server.end.clone()), (Reason::Protocol, TIMEOUT));
    server.session.handle_done(server.now, work.run());
    server.settle();
    assert!(server.take().is_empty(), "nothing is said behind the 50");

    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    let proof = client.proof(&identity(3), Namespace::Client);
    server.pass(9 * SECOND);
    server.session.handle_bytes(server.now, &client.seal(Opcode::KeyVerification, &proof.encode()));
    let work = server.session.poll_work().unwrap();
    server.pass(SECOND);
    assert_eq!(
        (client.heard(&mut server).1, server.end.clone()),
        (Some(Reason::Protocol), TIMEOUT)
    );
    server.session.handle_done(server.now, work.run());
    server.settle();
    assert!(
        server.take().is_empty() && server.ledger.standing(&account(3)).is_none(),
        "nobody was let in"
    );
}

fn account(seed: u8) -> ddes_ledger::AccountId {
    ddes_ledger::AccountId::Identity(*identity(seed).public().as_bytes())
}

#[test]
fn answers_queued_meanwhile_give_a_peer_that_takes_nothing_no_more_time() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.stop_taking();
    for seq in 1..=10 {
        server.give(&client.data(seq, &[1]));
        assert_eq!(server.end, None);
        server.pass(if seq < 10 { SECOND } else { SECOND - MILLI });
    }
    assert_eq!((server.session.phase(), server.end.clone()), (Phase::Live, None));
    server.pass(MILLI);
    assert_eq!(
        (server.session.phase(), server.end),
        (Phase::Done, Some(ServerEnd::Fault(Fault::TakesNothing)))
    );
}

#[test]
fn a_peer_that_takes_a_byte_now_and_then_is_not_dropped() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.stop_taking();
    server.give(&client.data(1, &[1]));
    for _ in 0..5 {
        server.pass(10 * SECOND - MILLI);
        server.session.sent(server.now, 1);
    }
    assert_eq!(server.session.phase(), Phase::Live);
    // None is no byte.
    server.session.sent(server.now, 0);
    server.pass(10 * SECOND);
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::TakesNothing)));
}

/// A peer that stays is not stayed with, whatever it sends and however the session ended.
#[test]
fn a_session_that_is_over_is_drained_for_five_seconds() {
    let over: [&dyn Fn(&mut Server); 5] = [
        &|server| server.give(&frame(50, b"")),
        &|server| server.pass(10 * SECOND),
        &|server| {
            let mut client = Client::join(server, 3);
            server.give(&client.bye(Scope::Session));
        },
        &|server| {
            Client::join(server, 3);
            server.pass(IDLE);
        },
        &|server| {
            Client::join(server, 3);
            server.session.order_end(server.now, Reason::ShuttingDown, false);
            server.settle();
        },
    ];
    for end in over {
        let mut server = Server::new();
        end(&mut server);
        assert!(server.end.is_some());
        for _ in 0..4 {
            server.pass(SECOND);
            server.give(b"one more word");
        }
        server.pass(SECOND - MILLI);
        assert_eq!(server.session.phase(), Phase::Draining, "{:?}", server.end);
        server.pass(MILLI);
        assert_eq!(server.session.phase(), Phase::Done, "{:?}", server.end);
        assert!(!server.session.wants_bytes() && server.session.poll_timeout().is_none());
    }
}

#[test]
fn the_idle_timer_ends_a_session_at_its_end_and_not_before() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    // Neither a 30 that is refused nor a part of one restarts it.
    server.pass(IDLE - 2 * MILLI);
    server.give(&client.data(0, &[1]));
    let part = client.data(1, &[1]);
    server.give(&part[..part.len() - 1]);
    server.pass(MILLI);
    assert_eq!(client.heard(&mut server), (vec![(3, 0, 0)], None));
    server.pass(MILLI);
    assert_eq!(client.heard(&mut server), (vec![(0, 0, 0)], Some(Reason::Idle)));
}

/// The timers stand while a 30 waits for the ledger, so the frame itself has to be looked at.
#[test]
fn a_frame_that_comes_at_24_hours_is_not_taken_while_another_waits_for_the_ledger() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    // The last of these comes half a minute before the day is over.
    for seq in 1..2_880 {
        server.pass(IDLE / 2);
        server.give(&client.data(seq, &[1]));
    }
    assert_eq!((client.heard(&mut server).1, server.end.clone()), (None, None));
    server.ledger_stands = true;
    server.give(&client.data(2_880, &[1]));
    server.pass(IDLE / 2 - MILLI);
    server.give(&client.data(2_881, &[1]));
    assert_eq!(server.held(), 2);
    server.pass(MILLI);
    server.give(&client.data(2_882, &[1]));
    assert_eq!((server.held(), server.end.clone()), (2, None), "what waits is answered first");
    server.ledger_answers();
    let (answers, reason) = client.heard(&mut server);
    assert_eq!((answers.last(), reason), (Some(&(0, 2_881, 2_881)), Some(Reason::TooOld)));
    assert_eq!((server.end, server.counted), (Some(ServerEnd::TooOld), 2_881));
}

#[test]
fn a_clock_that_is_read_too_early_ends_nothing() {
    let mut server = Server::new();
    let early = |server: &mut Server, phase| {
        server.session.handle_timeout(server.session.poll_timeout().unwrap() - MILLI);
        assert_eq!(server.session.phase(), phase);
    };
    early(&mut server, Phase::Live);
    let mut client = Client::join(&mut server, 3);
    client.take(&mut server);
    early(&mut server, Phase::Live);
    server.give(&client.bye(Scope::Session));
    client.take(&mut server);
    early(&mut server, Phase::Draining);
}

//! Our client against our server, and what it does at the session's end.

use std::time::{Duration, Instant};

use ddes_session::Phase;
use ddes_session::classic::{
    ClientConfig, ClientEnd, ClientEntropy, ClientEvent, ClientFault, ClientSession,
    ENTROPY_BYTES_MAX, EndReason, SubmitError,
};
use ddes_wire::{ClientId, Total};
use zeroize::Zeroizing;

use crate::world::{IDLE, Server};

pub(crate) fn client(now: Instant) -> ClientSession {
    let config = ClientConfig {
        id: ClientId::random([1; 16]),
        handshake: Duration::from_secs(120),
        reply: Duration::from_secs(10),
    };
    ClientSession::new(
        config,
        now,
        ClientEntropy { exponent: Zeroizing::new([0x77; ENTROPY_BYTES_MAX]) },
    )
}

/// Carries bytes both ways until nothing moves; the client's events.
fn exchange(client: &mut ClientSession, server: &mut Server) -> Vec<ClientEvent> {
    let mut events = Vec::new();
    loop {
        let to_server = client.pending().to_vec();
        client.sent(server.now, to_server.len());
        server.give(&to_server);
        let to_client = server.session.pending().to_vec();
        server.session.sent(server.now, to_client.len());
        client.handle_bytes(server.now, &to_client);
        if let Some(work) = client.poll_work() {
            client.handle_done(server.now, work.run());
            continue;
        }
        while let Some(event) = client.poll_event() {
            events.push(event);
        }
        if to_server.is_empty() && to_client.is_empty() {
            return events;
        }
    }
}

fn joined() -> (ClientSession, Server) {
    let mut server = Server::new();
    let mut client = client(server.now);
    let events = exchange(&mut client, &mut server);
    assert!(matches!(
        events[..],
        [ClientEvent::KeyReceived { bits: 2048 }, ClientEvent::KeySent, ClientEvent::Ready { .. }]
    ));
    (client, server)
}

#[test]
fn integers_come_back_as_sums() {
    let (mut client, mut server) = joined();
    for (value, expected) in [(42, 42), (50, 92)] {
        client.submit(server.now, value).unwrap();
        assert_eq!(client.submit(server.now, 1), Err(SubmitError::Busy));
        let events = exchange(&mut client, &mut server);
        assert!(
            matches!(events[..], [ClientEvent::Acknowledged, ClientEvent::Result { sum }] if sum == Total::new(expected))
        );
    }
    client.disconnect(server.now).unwrap();
    let events = exchange(&mut client, &mut server);
    assert!(matches!(
        &events[..],
        [ClientEvent::Ended(ClientEnd::Disconnected { asked: true, .. })]
    ));
    assert_eq!(client.phase(), Phase::Done);
}

#[test]
fn a_shutdown_reaches_a_client_that_waits_at_its_prompt() {
    let (mut client, mut server) = joined();
    server.session.order_end(server.now, EndReason::Shutdown);
    let events = exchange(&mut client, &mut server);
    let [ClientEvent::Ended(ClientEnd::Disconnected { asked: false, text })] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(text, "Server is shutting down.");
}

#[test]
fn the_idle_end_is_known_with_and_without_a_sum() {
    for counted in [false, true] {
        let (mut client, mut server) = joined();
        if counted {
            client.submit(server.now, 42).unwrap();
            exchange(&mut client, &mut server);
        }
        server.pass(IDLE);
        let mut events = exchange(&mut client, &mut server);
        if counted {
            assert!(
                matches!(events.remove(0), ClientEvent::LastSum { sum } if sum == Total::new(42))
            );
            client.handle_eof(Instant::now());
            events.extend(client.poll_event());
        }
        assert!(matches!(&events[..], [ClientEvent::Ended(ClientEnd::Idle)]), "{events:?}");
    }
}

#[test]
fn an_answer_that_does_not_come_ends_the_session_in_time() {
    let (mut client, server) = joined();
    client.submit(server.now, 42).unwrap();
    client.sent(server.now, client.pending().len());
    let at = client.poll_timeout().unwrap();
    assert_eq!(at, server.now + Duration::from_secs(10));
    client.handle_timeout(at);
    assert!(matches!(client.poll_event(), Some(ClientEvent::Ended(ClientEnd::Fault(_)))));
}

/// A client takes bytes for later while it computes its key, up to the longest frame, and none once
/// it has ended.
#[test]
fn a_client_asks_for_as_many_bytes_as_a_frame_has_and_for_none_at_its_end() {
    let server = Server::new();
    let mut client = client(server.now);
    assert!(client.wants_bytes());
    client.handle_bytes(server.now, server.session.pending());
    let work = client.poll_work().unwrap();
    client.handle_bytes(server.now, &[0; 8 + 65_535]);
    assert!(client.wants_bytes());
    client.handle_bytes(server.now, &[0]);
    assert!(!client.wants_bytes());
    // Zeros are no frame.
    client.handle_done(server.now, work.run());
    assert_eq!((client.phase(), client.wants_bytes()), (Phase::Done, false));
}

/// C-19: the wait for the token begins with the client's own key.
#[test]
fn the_token_is_waited_for_from_the_clients_key_on() {
    let server = Server::new();
    let mut client = client(server.now);
    client.handle_bytes(server.now, server.session.pending());
    let work = client.poll_work().unwrap();
    // The computation took a while.
    let sent_at = server.now + Duration::from_secs(7);
    client.handle_done(sent_at, work.run());
    client.sent(sent_at, client.pending().len());
    let due = sent_at + Duration::from_secs(120);
    assert_eq!(client.poll_timeout(), Some(due));
    client.handle_timeout(due - Duration::from_millis(1));
    assert_eq!(client.phase(), Phase::Live);
    client.handle_timeout(due);
    assert_eq!(client.phase(), Phase::Done);
}

#[test]
fn a_handshake_that_is_late_says_whether_the_server_has_said_anything() {
    let server = Server::new();
    for (heard, silent) in [(&[][..], true), (&server.session.pending()[..1], false)] {
        let mut client = client(server.now);
        client.handle_bytes(server.now, heard);
        client.handle_timeout(client.poll_timeout().unwrap());
        let waited = Duration::from_secs(120);
        let late = ClientFault::HandshakeTimeout { waited, silent };
        let Some(ClientEvent::Ended(ClientEnd::Fault(fault))) = client.poll_event() else {
            panic!("no fault")
        };
        assert_eq!(fault, late);
    }
}

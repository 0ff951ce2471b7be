//! Our client against our server, and what it does at the session's end.

use std::time::{Duration, Instant};

use ddes_session::Phase;
use ddes_session::classic::{
    ClientConfig, ClientEnd, ClientEntropy, ClientEvent, ClientSession, ENTROPY_BYTES_MAX,
    EndReason, SubmitError,
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

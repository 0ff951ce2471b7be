//! What an endpoint does for its idle sessions; and endpoints for other tests.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ddes_identity::SigningKey;
use zeroize::Zeroizing;

use super::*;

pub(crate) fn config() -> v2::ServerConfig {
    let second = Duration::from_secs(1);
    let suite = ddes_wire::v2::Suite::Ddes(ddes_wire::v2::GroupSize::Bits2048);
    let (suites, key) = (vec![suite], SigningKey::from_seed(&[1; 32]));
    v2::ServerConfig { suites, key, idle: second, handshake: second, values_max: 1 }
}

/// The work of a connection that sent a first message.
pub(crate) fn first_work() -> SessionWork {
    let now = Instant::now();
    let mut endpoint = endpoint(now);
    let id = accept(&mut endpoint, now);
    let hello = [&[0, 0, 0, 10, 0, 0, 1, 2, 2, 2][..], &[3; 256]].concat();
    endpoint.handle_bytes(now, id, &hello);
    // It comes before the other actions: no authorization waits.
    let Some(Action::Compute(_, work)) = endpoint.poll_action() else { panic!("no work") };
    work
}

fn accept(endpoint: &mut Endpoint, now: Instant) -> ConnectionId {
    let entropy = ConnectionEntropy {
        exponent: Zeroizing::new([0; _]),
        kem: Zeroizing::new([0; _]),
        token: Zeroizing::new([0; _]),
    };
    endpoint.accept(now, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), entropy).unwrap()
}

pub(crate) fn endpoint(now: Instant) -> Endpoint {
    let config = Config {
        bounds: Bounds::of(300),
        queued_values_max: 9,
        notices: Notices::Nothing,
        classic_first: 0,
        profiles: Profiles { v2: Arc::new(config()), classic: None },
    };
    Endpoint::new(now, config)
}

#[test]
fn only_connections_that_received_bytes_are_checked_until_their_buffers_are_freed() {
    let now = Instant::now();
    let mut endpoint = endpoint(now);
    let [first, second, _silent] = [0; 3].map(|_| accept(&mut endpoint, now));
    assert_eq!(endpoint.poll_timeout(), None);
    let check = |endpoint: &mut Endpoint| {
        let now = endpoint.poll_timeout().unwrap();
        endpoint.handle_timeout(now);
        endpoint.handle_timeout(now);
        now
    };
    // A part of a header ends nothing.
    endpoint.handle_bytes(now, first, &[0]);
    let now = check(&mut endpoint);
    endpoint.handle_bytes(now, second, &[0]);
    endpoint.handle_bytes(now, second, &[0]);
    assert_eq!(endpoint.buffered, [first, second]);
    let now = check(&mut endpoint);
    assert_eq!(endpoint.buffered, [second]);
    endpoint.handle_bytes(now, first, &[0]);
    let now = check(&mut endpoint);
    assert_eq!(endpoint.buffered, [first]);
    // A new connection in the slot of a removed one is a different connection.
    endpoint.remove(now, first);
    let third = accept(&mut endpoint, now);
    endpoint.handle_bytes(now, third, &[0]);
    let now = check(&mut endpoint);
    assert_eq!(endpoint.buffered, [third]);
    assert_eq!(endpoint.poll_timeout(), Some(now + IDLE_CHECK));
    check(&mut endpoint);
    assert_eq!(endpoint.poll_timeout(), None);
}

#[test]
fn an_endpoint_is_due_at_once_while_more_buffers_are_to_be_freed_than_a_turn_frees() {
    let mut now = Instant::now();
    let mut endpoint = endpoint(now);
    for _ in 0..2 * FREED_MAX + 1 {
        let id = accept(&mut endpoint, now);
        endpoint.handle_bytes(now, id, &[0]);
    }
    now += IDLE_CHECK;
    endpoint.handle_timeout(now);
    now += IDLE_CHECK;
    for left in [FREED_MAX + 1, 1, 0] {
        assert!(endpoint.poll_timeout().is_some_and(|at| at <= now));
        endpoint.handle_timeout(now);
        assert_eq!(endpoint.to_free.len(), left);
    }
    assert_eq!(endpoint.poll_timeout(), None);
}

//! C-19: the handshake has a deadline, however slowly bytes come.

use std::time::Duration;

use ddes_session::classic::{Fault, ServerEnd};

use crate::world::{HANDSHAKE, Peer, Server, farewell};

#[test]
fn a_client_that_says_nothing_is_dropped_after_ten_seconds() {
    let mut server = Server::new();
    Peer::offer(&mut server);
    server.pass(HANDSHAKE - Duration::from_millis(1));
    assert!(server.is_live());
    server.pass(Duration::from_millis(1));
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::HandshakeTimeout)));
    assert_eq!(server.take(), [farewell("Timeout: No key provided.")]);
}

#[test]
fn a_client_that_drips_bytes_gains_no_time() {
    let mut server = Server::new();
    Peer::offer(&mut server);
    for byte in [0, 0, 0, 10, 0, 0, 2, 0, b'-'] {
        server.give(&[byte]);
        server.pass(Duration::from_secs(1));
    }
    assert!(server.is_live());
    server.pass(Duration::from_secs(1));
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::HandshakeTimeout)));
}

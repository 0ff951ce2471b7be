//! C-13.

use ddes_session::classic::{Fault, ServerEnd};

use crate::world::{Peer, Server, farewell, raw};

#[test]
fn a_changed_ciphertext_or_hmac_ends_the_session_and_counts_nothing() {
    for at in [0, 15, 31, 48, 79] {
        let mut server = Server::new();
        let peer = Peer::join(&mut server);
        let mut body = peer.data(42);
        body[at] ^= 0x80;
        server.give(&raw(30, &body));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Hmac)), "byte {at}");
        assert_eq!(server.take(), [farewell("Error: Invalid HMAC. Connection terminated.")]);
        assert!(server.counted.is_empty());
    }
}

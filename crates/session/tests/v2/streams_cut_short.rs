//! P-18: the stream ends without a 50, between frames or at each byte of one.

use ddes_session::v2::{Fault, ServerEnd};

use crate::world::{Client, SUITE, Server, hello};

#[test]
fn at_each_byte_of_a_30() {
    let length = Client::join(&mut Server::new(), 3).data(1, &[42]).len();
    for cut in 0..length {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        server.give(&client.data(1, &[42])[..cut]);
        server.close();
        assert_eq!(
            (server.end, server.counted),
            (Some(ServerEnd::Fault(Fault::Truncated)), 0),
            "byte {cut}"
        );
    }
}

#[test]
fn in_the_handshake() {
    let mut server = Server::new();
    server.close();
    assert_eq!(server.end, Some(ServerEnd::Closed));
    for cut in [1, 8, 9, 265] {
        let mut server = Server::new();
        server.give(&hello(SUITE).1[..cut]);
        server.close();
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Truncated)), "byte {cut}");
    }
}

/// As a client does that only wants to know the server's key, or does not trust it.
#[test]
fn after_the_servers_proof_and_before_the_clients_own_it_is_no_fault() {
    let mut server = Server::new();
    Client::meet(&mut server, SUITE);
    server.close();
    assert_eq!(server.end, Some(ServerEnd::Left));
}

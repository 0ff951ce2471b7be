//! P-23: from accept to a verified message 4 there are ten seconds in all, however slowly bytes
//! come.

use std::time::Duration;

use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::v2::Reason;

use crate::world::{Client, SUITE, Server, hello};

const TIMEOUT: Option<ServerEnd> = Some(ServerEnd::Fault(Fault::HandshakeTimeout));

#[test]
fn one_that_says_nothing_hears_so_in_the_clear() {
    let mut server = Server::new();
    server.pass(Duration::from_secs(10));
    assert_eq!((server.rejection().reason, server.end), (Reason::Protocol, TIMEOUT));
}

#[test]
fn one_that_drips_gets_no_more_time() {
    let mut server = Server::new();
    for byte in hello(SUITE).1.iter().take(100) {
        server.pass(Duration::from_millis(100));
        server.give(&[*byte]);
    }
    assert_eq!(server.end, TIMEOUT);
}

#[test]
fn one_that_proves_nothing_hears_so_in_a_record() {
    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    server.pass(Duration::from_secs(10));
    assert_eq!((client.heard(&mut server).1, server.end), (Some(Reason::Protocol), TIMEOUT));
}

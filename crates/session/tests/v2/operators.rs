//! P-22: who may end every session.

use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{Reason, Scope};

use crate::world::{Client, Server};

#[test]
fn an_operator_ends_every_session() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 1);
    server.give(&client.bye(Scope::All));
    assert!(server.end_all);
    assert_eq!(client.heard(&mut server).1, Some(Reason::Bye));
}

#[test]
fn anybody_else_ends_their_own() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.give(&client.bye(Scope::All));
    assert!(!server.end_all);
    assert_eq!(client.heard(&mut server).1, Some(Reason::NotAuthorized));
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::NotOperator)));
}

/// P-13.
#[test]
fn a_50_that_is_none_ends_the_session_all_the_same() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 1);
    server.give(&client.seal(Opcode::Disconnect, &[0, 2, 0, 0]));
    assert_eq!((client.heard(&mut server).1, server.end_all), (Some(Reason::Protocol), false));
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Farewell)));
}

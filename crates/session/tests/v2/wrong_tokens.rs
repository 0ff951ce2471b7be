//! P-20: another token, in an authentic record.

use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::Token;
use ddes_wire::frame::Opcode;
use ddes_wire::v2::Reason;

use crate::world::{Client, Server};

#[test]
fn it_ends_the_session_before_the_rest_is_looked_at() {
    for plaintext in [&[8; 34][..], &[0; 16], &[7; 15], b""] {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        server.give(&client.seal(Opcode::EncryptedData, plaintext));
        assert_eq!(client.heard(&mut server), (vec![], Some(Reason::Token)));
        assert_eq!(server.end, Some(ServerEnd::Fault(Fault::Token)));
    }
}

#[test]
fn one_bit_is_enough() {
    for bit in 0..128 {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        let mut token = [7; 16];
        token[bit / 8] ^= 1 << (bit % 8);
        client.welcome.as_mut().unwrap().token = Token::new(token);
        server.give(&client.data(1, &[42]));
        assert_eq!(
            (client.heard(&mut server).1, server.counted),
            (Some(Reason::Token), 0),
            "bit {bit}"
        );
    }
}

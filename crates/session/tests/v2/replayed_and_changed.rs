//! P-08: records replayed in the same session and in another, reflected, reordered, dropped, and
//! with each bit changed.

use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::v2::Reason;

use crate::world::{Client, Server};

fn refused(server: &mut Server, client: &mut Client, counted: u64) {
    assert_eq!(client.heard(server).1, Some(Reason::Authentication));
    assert!(matches!(server.end, Some(ServerEnd::Fault(Fault::Record(_)))), "{:?}", server.end);
    assert_eq!(server.counted, counted);
}

#[test]
fn a_replay_in_the_same_session() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    let frame = client.data(1, &[42]);
    server.give(&frame);
    server.give(&frame);
    refused(&mut server, &mut client, 1);
}

#[test]
fn a_replay_in_another_session() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    let frame = client.data(1, &[42]);
    let mut other = Server::with_randomness(server.ledger, 5);
    let mut victim = Client::join(&mut other, 3);
    other.give(&frame);
    refused(&mut other, &mut victim, 0);
}

#[test]
fn the_servers_own_frames_reflected() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.give(&client.data(1, &[42]));
    for (header, body) in server.take() {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        let reflected =
            [&ddes_wire::frame::Header { opcode: 30, ..header }.encode()[..], &body].concat();
        server.give(&reflected);
        refused(&mut server, &mut client, 0);
    }
}

#[test]
fn two_frames_swapped_or_the_first_dropped() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    let frames = [client.data(1, &[1]), client.data(2, &[2])];
    server.give(&frames[1]);
    server.give(&frames[0]);
    refused(&mut server, &mut client, 0);
}

#[test]
fn each_bit_of_a_frame_but_those_of_its_length() {
    let length = {
        let mut server = Server::new();
        Client::join(&mut server, 3).data(1, &[42]).len()
    };
    // Another length is another frame; frames_out_of_place and streams_cut_short have those.
    for bit in (0..8 * length).filter(|bit| !(32..64).contains(bit)) {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        let mut frame = client.data(1, &[42]);
        frame[bit / 8] ^= 1 << (7 - bit % 8);
        server.give(&frame);
        assert!(
            matches!(client.heard(&mut server).1, Some(Reason::Authentication | Reason::Protocol)),
            "bit {bit}"
        );
        assert_eq!(server.counted, 0, "bit {bit}");
    }
}

//! C-04 to C-15: what a well-behaved client sees.

use ddes_session::Phase;
use ddes_session::classic::{ServerConfig, ServerEnd};
use ddes_wire::Amount;

use crate::world::{HANDSHAKE, IDLE, Peer, Server, farewell, group, raw};

#[test]
fn two_integers_give_two_sums() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    for (value, sum) in [(42, "42"), (50, "92")] {
        server.give(&raw(30, &peer.data(value)));
        let frames = server.take();
        assert_eq!(frames[0], (30, b"Server Received number".to_vec()));
        assert_eq!((frames[1].0, peer.keys.sum(&frames[1].1).as_str()), (40, sum));
        assert_eq!(frames.len(), 2);
    }
}

#[test]
fn integers_without_a_uuid_or_shorter_than_eight_bytes_count() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    for plaintext in [&7_u64.to_be_bytes()[..], &[2], &[]] {
        let ciphertext = ddes_cipher::ecb::seal(&peer.keys.traffic, plaintext);
        server.give(&raw(30, &peer.body(&ciphertext)));
    }
    assert_eq!(server.counted, [7_u64, 2, 0].map(Amount::from));
}

#[test]
fn sums_go_beyond_64_bits() {
    let mut server = Server::new();
    let peer = Peer::join(&mut server);
    for _ in 0..3 {
        server.give(&raw(30, &peer.data(u64::MAX)));
    }
    let frames = server.take();
    assert_eq!(peer.keys.sum(&frames[5].1), (u128::from(u64::MAX) * 3).to_string());
}

/// C-18.
#[test]
fn a_50_ends_its_own_session_only() {
    let mut server = Server::new();
    Peer::join(&mut server);
    server.give(&[raw(50, b""), raw(50, b"")].concat());
    assert_eq!(server.end, Some(ServerEnd::Bye));
    assert_eq!(server.take(), [farewell("Client requested session end.")]);
    assert_eq!(server.session.phase(), Phase::Draining);
    server.give_eof();
    assert_eq!(server.session.phase(), Phase::Done);
}

/// C-18.
#[test]
fn a_50_says_so_where_it_ends_all_sessions() {
    let config = ServerConfig { group: group(), idle: IDLE, handshake: HANDSHAKE, end_all: true };
    let mut server = Server::with(config);
    Peer::join(&mut server);
    server.give(&raw(50, b""));
    assert_eq!(server.take(), [farewell("Client requested session end for all.")]);
}

/// Each integer waits for the ledger; the ones behind it wait with it.
#[test]
fn integers_sent_without_waiting_are_answered_in_order() {
    let mut server = Server::new();
    server.ledger_is_slow = true;
    let peer = Peer::join(&mut server);
    server.give(&[raw(30, &peer.data(1)), raw(30, &peer.data(2))].concat());
    assert_eq!((server.waiting.len(), server.take().len()), (1, 0));
    server.settle_waiting();
    assert_eq!(server.waiting.len(), 1);
    server.settle_waiting();
    let sums: Vec<_> = server
        .take()
        .iter()
        .filter(|(opcode, _)| *opcode == 40)
        .map(|(_, b)| peer.keys.sum(b))
        .collect();
    assert_eq!(sums, ["1", "3"]);
}

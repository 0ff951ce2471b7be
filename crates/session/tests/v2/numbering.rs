//! P-12, P-25: what is counted once stays counted once, and what would leave a hole is refused.

use ddes_wire::frame::Opcode;
use ddes_wire::v2::Reason;

use crate::world::{Client, Server};

#[test]
fn a_value_sent_again_counts_once() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.give(&client.data(1, &[40, 2]));
    server.give(&client.data(1, &[40, 2]));
    server.give(&client.data(2, &[2, 50]));
    assert_eq!(client.heard(&mut server).0, [(0, 2, 42), (0, 2, 42), (0, 3, 92)]);
}

#[test]
fn a_hole_is_refused_and_so_is_all_behind_it() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    for (seq, value) in [(2, 50), (3, 8), (1, 42)] {
        server.give(&client.data(seq, &[value]));
    }
    assert_eq!(client.heard(&mut server).0, [(1, 0, 0), (1, 0, 0), (0, 1, 42)]);
}

#[test]
fn malformed_numbering_and_lengths_change_nothing_and_the_session_lives() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.give(&client.data(0, &[1]));
    server.give(&client.data(u64::MAX, &[1, 2]));
    server.give(&client.data(1, &[1; 101]));
    let token_alone = *client.welcome.as_ref().unwrap().token.as_bytes();
    server.give(&client.seal(Opcode::EncryptedData, &token_alone));
    server.give(&client.data(1, &[42]));
    assert_eq!(
        client.heard(&mut server).0,
        [(3, 0, 0), (3, 0, 0), (3, 0, 0), (3, 0, 0), (0, 1, 42)]
    );
}

#[test]
fn an_older_session_of_the_account_is_ended_at_its_next_30() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    let account = ddes_ledger::AccountId::Identity(*crate::world::identity(3).public().as_bytes());
    crate::world::open(&mut server.ledger, account);
    server.give(&client.data(1, &[42]));
    assert_eq!(client.heard(&mut server), (vec![], Some(Reason::Superseded)));
    assert_eq!(server.ledger.standing(&account).unwrap().last_seq.get(), 0);
}

//! P-18, P-24: more frames in one piece than are dealt with at once. What a bound leaves waits, in
//! its order; what stands behind a 50 is nothing.

use ddes_session::UNSENT_BYTES_MAX;
use ddes_session::v2::ServerEnd;
use ddes_wire::v2::{Reason, Scope};

use crate::world::{Client, Server};

/// Header, status, last_seq, sum, tag.
const ANSWER_BYTES: usize = 8 + 1 + 8 + 16 + 16;

fn burst(client: &mut Client, count: u64) -> Vec<u8> {
    (1..=count).flat_map(|seq| client.data(seq, &[1])).collect()
}

#[test]
fn sixty_four_submissions_wait_for_the_ledger_and_no_more() {
    for count in [63, 64, 65, 200] {
        let mut server = Server::new();
        let mut client = Client::join(&mut server, 3);
        server.ledger_stands = true;
        let frames = burst(&mut client, count);
        server.give(&frames);
        assert_eq!(server.held() as u64, count.min(64));
        assert!(!server.session.has_backlog(), "the ledger's answer is awaited");
        server.ledger_answers();
        assert_eq!((server.counted, client.heard(&mut server).1), (count, None));
    }
}

#[test]
fn with_64_kib_unsent_no_further_frame_is_dealt_with() {
    let count = 3_000;
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.stop_taking();
    server.give(&burst(&mut client, count));
    // Those that wait for the ledger already are answered.
    let most = UNSENT_BYTES_MAX + 64 * ANSWER_BYTES;
    let unsent = server.session.pending().len();
    assert!((UNSENT_BYTES_MAX..most).contains(&unsent), "{unsent} bytes unsent");
    assert!(server.counted as usize <= most / ANSWER_BYTES, "{} counted", server.counted);
    assert!(!server.session.wants_bytes() && !server.session.has_backlog());
    // One byte below the bound, one frame at least goes on.
    let (before, over) = (server.counted, unsent - UNSENT_BYTES_MAX);
    server.session.sent(server.now, over);
    server.settle();
    assert_eq!(server.counted, before, "the bound is met exactly");
    server.session.sent(server.now, 1);
    server.settle();
    assert!(server.counted > before);
    while !server.session.pending().is_empty() {
        server.session.sent(server.now, server.session.pending().len());
        server.settle();
    }
    assert_eq!((server.counted, server.end), (count, None));
}

#[test]
fn what_stands_behind_a_50_is_not_counted_while_answers_are_awaited() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.ledger_stands = true;
    let frames = [
        client.data(1, &[1]),
        client.data(2, &[2]),
        client.bye(Scope::Session),
        client.data(3, &[40]),
        client.bye(Scope::All),
    ];
    server.give(&frames.concat());
    server.give(&client.data(4, &[50]));
    assert_eq!(server.held(), 2);
    server.ledger_answers();
    assert_eq!(client.heard(&mut server), (vec![(0, 1, 1), (0, 2, 3)], Some(Reason::Bye)));
    assert_eq!((server.end, server.counted), (Some(ServerEnd::Bye), 2));
}

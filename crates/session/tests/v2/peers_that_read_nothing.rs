//! P-24: a peer that takes nothing costs bounded memory, for ten seconds.

use std::time::Duration;

use ddes_session::v2::{Fault, ServerEnd};
use ddes_session::{Phase, UNSENT_BYTES_MAX};

use crate::world::{Client, Server};

#[test]
fn its_frames_wait_and_then_it_is_dropped() {
    let mut server = Server::new();
    let mut client = Client::join(&mut server, 3);
    server.stop_taking();
    let mut given = 0_u64;
    while server.session.wants_bytes() && given < 10_000 {
        given += 1;
        server.give(&client.data(given, &[1]));
    }
    assert!(given < 10_000, "it is asked for no more");
    assert!(server.session.pending().len() < UNSENT_BYTES_MAX + 1_000);
    server.pass(Duration::from_secs(10));
    assert_eq!(
        (server.session.phase(), server.end),
        (Phase::Done, Some(ServerEnd::Fault(Fault::TakesNothing)))
    );
}

#[test]
fn what_a_trace_saw_outlives_what_was_not_sent() {
    let mut server = Server::new();
    server.session.set_traced(true);
    let mut client = Client::join(&mut server, 3);
    server.session.take_frames();
    server.stop_taking();
    server.give(&client.data(1, &[1]));
    server.pass(Duration::from_secs(10));
    assert_eq!(server.end, Some(ServerEnd::Fault(Fault::TakesNothing)));
    let opcodes: Vec<u32> =
        server.session.take_frames().frames.iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [30, 40]);
}

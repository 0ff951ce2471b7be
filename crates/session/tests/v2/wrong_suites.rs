//! P-01: versions, suites and lengths that are not taken here; P-03, P-04: values that are none.
//! Each has its reason in the clear.

use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::v2::{GroupSize, HelloError, Reason, Suite};

use crate::world::{SUITE, Server, frame, hello};

#[test]
fn each_has_its_reason() {
    let unsupported = |version, suite| Fault::Hello(HelloError::Unsupported { version, suite });
    let not_taken = Suite::Ddes(GroupSize::Bits3072);
    let body = |at: usize, byte: u8| {
        let mut first = hello(SUITE).1;
        first[8 + at] = byte;
        first
    };
    let cases = [
        (body(0, 1), unsupported(1, 2), Reason::Unsupported),
        (body(1, 0x7f), unsupported(2, 0x7f), Reason::Unsupported),
        (hello(not_taken).1, Fault::Suite { suite: not_taken }, Reason::Unsupported),
        (frame(10, &[2, 2, 0]), Fault::Hello(HelloError::Length { length: 3 }), Reason::Protocol),
        (frame(10, b""), Fault::Hello(HelloError::Length { length: 0 }), Reason::Protocol),
    ];
    for (first, fault, reason) in cases {
        let mut server = Server::new();
        server.give(&first);
        assert_eq!(
            (server.rejection().reason, server.end),
            (reason, Some(ServerEnd::Fault(fault)))
        );
    }
}

#[test]
fn a_public_value_of_zero_one_or_above_p_is_refused_in_the_clear() {
    for value in [[0; 256], [0xff; 256]] {
        let mut server = Server::new();
        server.give(&frame(10, &[&[2, 2], &value[..]].concat()));
        assert_eq!(server.rejection().reason, Reason::Protocol);
        assert!(
            matches!(server.end, Some(ServerEnd::Fault(Fault::Handshake(_)))),
            "{:?}",
            server.end
        );
    }
}

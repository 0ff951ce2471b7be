//! C-10, C-15, C-23, C-24: what a client refuses after the key.

use std::time::Instant;

use ddes_cipher::ecb;
use ddes_ffdhe::{Exponent, PublicValue};
use ddes_session::classic::{ClientEnd, ClientEvent, ClientFault, ClientSession};
use ddes_wire::classic::DhPublicKey;
use ddes_wire::frame;

use crate::a_client_round::client;
use crate::world::{PeerKeys, group, raw};

/// A server made of raw frames, up to the point where it sends its token.
struct Liar {
    client: ClientSession,
    keys: PeerKeys,
    now: Instant,
}

impl Liar {
    fn new() -> Self {
        let now = Instant::now();
        let mut client = client(now);
        let group = group();
        let exponent = Exponent::from_entropy(&group, &[0x44; 32]);
        let offer = DhPublicKey {
            prime: group.prime().to_vec(),
            generator: vec![2],
            public: exponent.public_value().as_bytes().to_vec(),
        };
        client.handle_bytes(now, &raw(10, offer.to_pem().unwrap().as_bytes()));
        let work = client.poll_work().unwrap();
        client.handle_done(now, work.run());
        let answer = frame::split(client.pending(), 65_536).unwrap().unwrap();
        let public = DhPublicKey::from_pem(answer.body).unwrap().public;
        let sent = client.pending().len();
        client.sent(now, sent);
        let shared = exponent.agree(&PublicValue::received(&group, &public).unwrap()).unwrap();
        Self { client, keys: PeerKeys::derive(shared.as_bytes()), now }
    }

    /// A session in which an integer waits for its answer; the client's own 30.
    fn with_integer_sent() -> (Self, Vec<u8>) {
        let mut liar = Self::new();
        let token = ecb::seal(&liar.keys.token_cipher(), &[0x70; 16]);
        liar.send(20, &token);
        liar.client.submit(liar.now, 42).unwrap();
        let sent = liar.client.pending().to_vec();
        liar.client.sent(liar.now, sent.len());
        (liar, sent)
    }

    fn send(&mut self, opcode: u32, body: &[u8]) {
        self.client.handle_bytes(self.now, &raw(opcode, body));
    }

    fn fault(mut self) -> ClientFault {
        loop {
            match self.client.poll_event() {
                Some(ClientEvent::Ended(ClientEnd::Fault(fault))) => return fault,
                Some(ClientEvent::Ended(end)) => panic!("{end:?}"),
                Some(ClientEvent::Result { sum } | ClientEvent::LastSum { sum }) => {
                    panic!("a sum of {sum}")
                }
                Some(_) => {}
                None => panic!("no fault"),
            }
        }
    }
}

#[test]
fn a_token_under_other_keys_is_refused() {
    let mut liar = Liar::new();
    liar.send(20, &[7; 24]);
    assert_eq!(liar.fault(), ClientFault::Token);
}

#[test]
fn a_message_out_of_order_is_refused() {
    let mut liar = Liar::new();
    liar.send(40, &[]);
    assert!(matches!(liar.fault(), ClientFault::Unexpected { opcode: 40, .. }));
    let (mut liar, _) = Liar::with_integer_sent();
    liar.send(20, &[]);
    assert!(matches!(liar.fault(), ClientFault::Unexpected { opcode: 20, .. }));
}

#[test]
fn a_sum_with_a_wrong_hmac_is_refused() {
    let (mut liar, _) = Liar::with_integer_sent();
    liar.send(30, b"Server Received number");
    let mut body = liar.keys.result("42");
    *body.last_mut().unwrap() ^= 1;
    liar.send(40, &body);
    assert_eq!(liar.fault(), ClientFault::Hmac);
}

/// The same HMAC key both ways: a reflected 30 passes its HMAC, but is no decimal number.
#[test]
fn the_clients_own_30_reflected_as_a_40_is_no_sum() {
    let (mut liar, sent) = Liar::with_integer_sent();
    liar.send(30, b"Server Received number");
    liar.send(40, &sent[8..]);
    assert_eq!(liar.fault(), ClientFault::Result);
}

#[test]
fn an_authentic_text_that_is_no_number_is_refused() {
    for text in ["", "forty-two", "042"] {
        let (mut liar, _) = Liar::with_integer_sent();
        liar.send(30, b"Server Received number");
        let body = liar.keys.result(text);
        liar.send(40, &body);
        assert_eq!(liar.fault(), ClientFault::Result, "{text}");
    }
}

#[test]
fn an_end_without_a_word_is_a_truncation() {
    let (mut liar, _) = Liar::with_integer_sent();
    liar.client.handle_eof(Instant::now());
    assert_eq!(liar.fault(), ClientFault::Truncated);
}

#[test]
fn another_protocol_is_named_as_such() {
    for greeting in
        [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"220 mail.example ESMTP", b"HTTP/1.1 400 Bad Request"]
    {
        let now = Instant::now();
        let mut client = client(now);
        client.handle_bytes(now, greeting);
        let first = greeting[..8].try_into().unwrap();
        let Some(ClientEvent::Ended(ClientEnd::Fault(fault))) = client.poll_event() else {
            panic!()
        };
        assert_eq!(fault, ClientFault::NotClassic { first });
    }
}

#[test]
fn control_and_format_characters_of_a_servers_text_are_not_shown() {
    let mut liar = Liar::new();
    liar.send(50, "\x1b[2Jgo\x07n\u{202e}\u{2066}e\u{200b}\r\n".as_bytes());
    while let Some(event) = liar.client.poll_event() {
        if let ClientEvent::Ended(ClientEnd::Disconnected { text, .. }) = event {
            assert_eq!(text, "[2Jgone");
            return;
        }
    }
    panic!("no end");
}

//! P-10 to P-13, P-18 to P-22, P-25: every message and every refusal, as bytes, in
//! vectors/ddes2/conversations.txt and records.txt. The Python peer opens and reads them
//! (peer/test_ddes2.py). `DDES_BLESS=1 cargo test -p ddes-session --test v2 conversations` writes
//! the files anew.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use ddes_cipher::Function;
use ddes_identity::Namespace;
use ddes_session::v2::noise::respond;
use ddes_session::v2::record::{Opener, Sealer};
use ddes_session::v2::{prologue, protocol};
use ddes_wire::Token;
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};
use ddes_wire::v2::{Data, Farewell, Hello, Outcome, Reason, Rejection, Scope, Welcome};
use zeroize::Zeroizing;

use crate::world::{Client, IDLE, STRANGER, SUITE, Server, entropy, frame, hello, identity};

const HEAD: &str = "\
# Conversations of suite ddes with the randomness of the case ddes in handshakes.txt, token 07 x 16, a new account, at most 100 values a frame, 60 s of idle
# time. plain: opcode and plaintext of the client's records after message 4. send: all frames of the client. then: what happens after them. expect: all
# frames of the server. heard: what is in those after message 3 (or in the clear), in words; unproven: sealed by whoever answered message 1.
";

const RECORDS_HEAD: &str = "\
# The record that brings the blocks under a key to 2^20 is the last under it (P-09). Under key k, 129 records of opcode 30 with 65,519 zero bytes each (8190
# blocks): the 129th is the last under k. Then the record of opcode 40 with plaintext pt. expect: the last 16 bytes of the 129th frame, then the whole frame after it.
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A conversation as it goes: what each side sent.
struct Talk {
    server: Server,
    client: Option<Client>,
    plain: Vec<String>,
    sent: Vec<Vec<u8>>,
    frames: Vec<(Header, Vec<u8>)>,
}

impl Talk {
    fn new() -> Self {
        Self {
            server: Server::new(),
            client: None,
            plain: Vec::new(),
            sent: Vec::new(),
            frames: Vec::new(),
        }
    }

    fn give(&mut self, bytes: Vec<u8>) {
        self.server.give(&bytes);
        self.sent.push(bytes);
        self.frames.extend(self.server.take());
    }

    /// Messages 1 and 4 as `seed`.
    fn join(seed: u8) -> Self {
        let mut talk = Self::new();
        let mut server = Server::new();
        // The same once more, for the client's keys.
        let mut client = Client::meet(&mut server, SUITE);
        talk.give(hello(SUITE).1);
        let proof = client.proof(&identity(seed), Namespace::Client).encode();
        let message = client.seal(Opcode::KeyVerification, &proof);
        talk.client = Some(client);
        talk.give(message);
        talk
    }

    fn record(&mut self, opcode: Opcode, plaintext: &[u8]) {
        self.plain.push(format!("{opcode}:{}", hex(plaintext)));
        let sealed = self.client.as_mut().unwrap().seal(opcode, plaintext);
        self.give(sealed);
    }

    fn data(&mut self, token: u8, first_seq: u64, values: &[i64]) {
        let data = Data { first_seq: ddes_wire::Sequence::new(first_seq), values: values.into() };
        let plaintext = data.encode(&Token::new([token; 16])).unwrap();
        self.record(Opcode::EncryptedData, &plaintext);
    }

    fn bye(&mut self, scope: Scope) {
        let (last_seq, sum) = (ddes_wire::Sequence::NONE, ddes_wire::Total::ZERO);
        let farewell = Farewell { reason: Reason::Bye, scope, last_seq, sum, text: String::new() };
        self.record(Opcode::Disconnect, &farewell.encode());
    }

    fn text(mut self, name: &str, then: &str) -> String {
        self.frames.extend(self.server.take());
        let heard = match &mut self.client {
            Some(client) => self.frames[2..]
                .iter()
                .map(|(header, body)| {
                    let plaintext =
                        client.opener.open(*header, &mut body.clone()).unwrap().to_vec();
                    said(header.opcode, &plaintext)
                })
                .collect::<Vec<_>>(),
            None => self
                .frames
                .iter()
                .map(|(_, body)| {
                    let rejection = Rejection::decode(body).unwrap();
                    format!("50 reason {} text {}", rejection.reason as u8, rejection.text)
                })
                .collect(),
        };
        let expect: Vec<_> = self
            .frames
            .iter()
            .map(|(header, body)| hex(&[&header.encode()[..], body].concat()))
            .collect();
        let sent: Vec<_> = self.sent.iter().map(|frame| hex(frame)).collect();
        format!(
            "name: {name}\nplain:{}\nsend:{}\nthen: {then}\nheard: {}\nexpect: {}\n",
            after_blanks(&self.plain),
            after_blanks(&sent),
            heard.join("; "),
            expect.join(" ")
        )
    }
}

fn after_blanks(words: &[String]) -> String {
    words.iter().map(|word| format!(" {word}")).collect()
}

fn said(opcode: u32, plaintext: &[u8]) -> String {
    match opcode {
        20 => {
            let Welcome { session, standing, idle_millis, values_max, .. } =
                Welcome::decode(plaintext).unwrap();
            let (last_seq, last_session, sum) =
                (standing.last_seq, standing.last_session, standing.sum);
            format!(
                "20 session {session} last_seq {last_seq} last_session {last_session} sum {sum} idle {idle_millis} most {values_max}"
            )
        }
        40 => {
            let Outcome { status, last_seq, sum } = Outcome::decode(plaintext).unwrap();
            format!("40 status {} last_seq {last_seq} sum {sum}", status as u8)
        }
        50 => {
            let Farewell { reason, scope, last_seq, sum, text } =
                Farewell::decode(plaintext).unwrap();
            format!(
                "50 reason {} scope {} last_seq {last_seq} sum {sum} text {text}",
                reason as u8, scope as u8
            )
        }
        other => panic!("opcode {other}"),
    }
}

/// What the client of identity 3 sends, after which nothing else happens.
fn after_joining(name: &str, act: impl FnOnce(&mut Talk)) -> String {
    let mut talk = Talk::join(3);
    act(&mut talk);
    talk.text(name, "nothing")
}

/// The server's word after 42 was counted.
fn then(name: &str, then: &str, act: impl FnOnce(&mut Server)) -> String {
    let mut talk = Talk::join(3);
    talk.data(7, 1, &[42]);
    act(&mut talk.server);
    talk.text(name, then)
}

fn in_the_clear(name: &str, first: Vec<u8>) -> String {
    let mut talk = Talk::new();
    talk.give(first);
    talk.text(name, "nothing")
}

fn order(reason: Reason, at_once: bool) -> impl FnOnce(&mut Server) {
    move |server| {
        server.session.order_end(server.now, reason, at_once);
        server.settle();
    }
}

fn messages() -> Vec<String> {
    vec![
        after_joining("a round", |talk| {
            talk.data(7, 1, &[42, -1]);
            talk.data(7, 3, &[50]);
            talk.bye(Scope::Session);
        }),
        after_joining("what was counted before is skipped", |talk| {
            talk.data(7, 1, &[42]);
            talk.data(7, 1, &[42]);
            talk.data(7, 1, &[42, 50]);
        }),
        after_joining("a gap", |talk| talk.data(7, 2, &[42])),
        after_joining("number 0", |talk| talk.data(7, 0, &[42])),
        after_joining("the numbering at its end", |talk| talk.data(7, u64::MAX, &[1, 2])),
        after_joining("a count that is not the values'", |talk| {
            let mut plaintext =
                Data { first_seq: ddes_wire::Sequence::new(1), values: [42].into_iter().collect() }
                    .encode(&Token::new([7; 16]))
                    .unwrap();
            plaintext[25] = 2;
            talk.record(Opcode::EncryptedData, &plaintext);
        }),
        after_joining("the greatest and the least", |talk| {
            talk.data(7, 1, &[i64::MAX, i64::MIN, i64::MIN]);
        }),
        then("silence", "60 s pass", |server| server.pass(IDLE)),
        then("a day", "24 h pass, a value each minute", |server| {
            // The age is looked at when a frame comes or the timer ends; the ledger is asked for
            // nothing here.
            server.session.order_end(server.now, Reason::TooOld, false);
            server.settle();
        }),
        then("the server stops", "the server stops", order(Reason::ShuttingDown, false)),
        then(
            "a newer session",
            "a newer session of the identity begins",
            order(Reason::Superseded, true),
        ),
        then("an operator", "an operator ends the session", order(Reason::Operator, false)),
    ]
}

fn refusals() -> Vec<String> {
    let first = hello(SUITE).1;
    let changed = |at: usize, to: u8| {
        let mut first = first.clone();
        first[at] = to;
        first
    };
    let suite_of = |id: u8, bytes: usize| frame(10, &[&[2, id][..], &vec![3; bytes]].concat());
    let mut value_one = vec![2, 2];
    value_one.extend([0; 255]);
    value_one.push(1);
    let mut too_many = Talk::new();
    order(Reason::TooMany, true)(&mut too_many.server);
    vec![
        in_the_clear("another version", changed(HEADER_BYTES, 3)),
        in_the_clear("no such suite", changed(HEADER_BYTES + 1, 3)),
        in_the_clear("a suite that is not taken", suite_of(0x12, 384)),
        in_the_clear("message 1 too short", suite_of(0x02, 255)),
        in_the_clear("message 1 of another opcode", changed(3, 30)),
        in_the_clear("a public value of 1", frame(10, &value_one)),
        too_many.text("too many connections", "the server is full"),
        Talk::join(STRANGER).text("an identity that is not authorized", "nothing"),
        {
            let mut talk = Talk::new();
            let mut client = Client::meet(&mut Server::new(), SUITE);
            talk.give(hello(SUITE).1);
            let proof = client.proof(&identity(3), Namespace::Server).encode();
            let message = client.seal(Opcode::KeyVerification, &proof);
            talk.client = Some(client);
            talk.give(message);
            talk.text("a false proof", "nothing")
        },
        after_joining("another token", |talk| talk.data(8, 1, &[42])),
        after_joining("a record that does not open", |talk| {
            let mut sealed = talk.client.as_mut().unwrap().seal(Opcode::EncryptedData, &[0; 34]);
            *sealed.last_mut().unwrap() ^= 1;
            talk.give(sealed);
        }),
        after_joining("a body shorter than a tag", |talk| talk.give(frame(30, &[0; 15]))),
        after_joining("an opcode out of order", |talk| {
            talk.record(Opcode::EncryptedResult, &[0; 25]);
        }),
        after_joining("an unknown opcode", |talk| talk.give(frame(60, &[0; 16]))),
        after_joining("a frame too long", |talk| {
            talk.give(Header { opcode: 30, length: 65_536 }.encode().to_vec());
        }),
        after_joining("a 50 that is none", |talk| talk.record(Opcode::Disconnect, &[0; 25])),
        after_joining("scope all from one who is no operator", |talk| talk.bye(Scope::All)),
        early_farewell(),
    ]
}

/// Whoever answers message 1 can seal this, without any key: the client takes it for a lost
/// connection with an unproven reason (P-26).
fn early_farewell() -> String {
    let first = hello(SUITE).1;
    let noise = &Hello::decode(&first[HEADER_BYTES..]).unwrap().noise.to_vec();
    let response = respond(&protocol(SUITE), &prologue(SUITE), &entropy(2), noise, &[]).unwrap();
    let mut sealed = Vec::new();
    let (reason, scope, text) =
        (Reason::NotAuthorized, Scope::Session, "run ddes trust rm".to_owned());
    let (last_seq, sum) = (ddes_wire::Sequence::NONE, ddes_wire::Total::ZERO);
    let farewell = Farewell { reason, scope, last_seq, sum, text }.encode();
    Sealer::new(Function::Ddes, response.finished.to_client)
        .seal(Opcode::Disconnect, &farewell, &mut sealed)
        .unwrap();
    format!(
        "name: a sealed 50 in the place of message 3\nplain:\nsend: {}\nthen: somebody without a key answers\nheard: unproven 50 reason {} text run ddes trust rm\nexpect: {} {}\n",
        hex(&first),
        reason as u8,
        hex(&frame(10, &response.message)),
        hex(&sealed)
    )
}

fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/ddes2").join(file);
    if std::env::var_os("DDES_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == text,
        "another conversation than that of {file}"
    );
}

#[test]
fn every_message_and_every_refusal_is_that_of_the_file() {
    let cases = [messages(), refusals()].concat();
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::TooMany) {
        let number = format!("50 reason {} ", *reason as u8);
        assert!(cases.iter().any(|case| case.contains(&number)), "{reason:?}");
    }
    check("conversations.txt", &format!("{HEAD}\n{}", cases.join("\n")));
}

#[test]
fn the_key_changes_where_the_file_says() {
    let mut text = RECORDS_HEAD.to_owned();
    for (name, function) in [("DDES", Function::Ddes), ("DDESChaCha", Function::DdesChaCha)] {
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let mut sealer = Sealer::new(function, Zeroizing::new(key));
        let mut opener = Opener::new(function, Zeroizing::new(key));
        let mut out = Vec::new();
        for _ in 0..129 {
            out.clear();
            sealer.seal(Opcode::EncryptedData, &[0; 65_519], &mut out).unwrap();
            let (header, body) = out.split_first_chunk_mut().unwrap();
            opener.open(Header::decode(*header), body).unwrap();
        }
        let tag = hex(&out[out.len() - 16..]);
        let old = function.key(&Zeroizing::new(key));
        let mut after = Vec::new();
        sealer.seal(Opcode::EncryptedResult, b"after the rekey", &mut after).unwrap();
        write!(
            text,
            "\nname: {name}\nk: {}\npt: {}\nexpect: {tag} {}\n",
            hex(&key),
            hex(b"after the rekey"),
            hex(&after)
        )
        .unwrap();
        let mut under_the_old = *b"after the rekey";
        old.seal(129, &after[..HEADER_BYTES], &mut under_the_old).unwrap();
        assert_ne!(after[HEADER_BYTES..HEADER_BYTES + 15], under_the_old);
        let (header, body) = after.split_first_chunk_mut().unwrap();
        assert_eq!(opener.open(Header::decode(*header), body).unwrap(), b"after the rekey");
    }
    check("records.txt", &text);
}

/// The timer's end is the spec's 60 s, and no sooner.
#[test]
fn the_session_of_the_file_lives_until_its_timer_ends() {
    let mut talk = Talk::join(3);
    talk.data(7, 1, &[42]);
    talk.server.pass(IDLE - Duration::from_millis(1));
    assert_eq!(talk.server.end, None);
}

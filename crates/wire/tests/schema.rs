//! The tables of fields, held to the encoders and to the enums.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use ddes_wire::frame::Opcode;
use ddes_wire::schema::{
    FieldKind, FieldsPlace, MESSAGES, Message, OPCODES, REASONS, SCOPES, STATUSES, SUITES, Size,
    Suites, Wire, name_of,
};
use ddes_wire::v2::{
    Data, Farewell, GroupSize, Hello, IdentityProof, Outcome, Reason, Rejection, Scope, Status,
    Suite, Welcome,
};
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total, classic};

fn message(wire: Wire, name: &str, place: FieldsPlace, suites: Suites) -> &'static Message {
    let mut all = MESSAGES.iter().filter(|message| {
        (message.wire, message.name, message.place, message.suites) == (wire, name, place, suites)
    });
    let found = all.next().unwrap_or_else(|| panic!("{name} is not in the tables"));
    assert!(all.next().is_none(), "{name} is there twice");
    found
}

/// The fields of bytes as their tables split them, integers read.
fn fields(message: &Message, bytes: &[u8]) -> Vec<(&'static str, i128)> {
    let split = message.split(bytes.len(), None).unwrap();
    assert_eq!(split.last().unwrap().1.end, bytes.len());
    split
        .into_iter()
        .map(|(field, range)| {
            let bytes = &bytes[range];
            let is_negative = field.kind == FieldKind::Signed && bytes[0] >= 0x80;
            let start = if is_negative { -1 } else { 0 };
            let value = bytes
                .iter()
                .rev()
                .take(16)
                .rev()
                .fold(start, |value: i128, byte| value << 8 | i128::from(*byte));
            (field.name, value)
        })
        .collect()
}

fn plain(name: &str) -> &'static Message {
    message(Wire::V2, name, FieldsPlace::Plaintext, Suites::All)
}

#[test]
fn a_welcome_has_the_fields_of_its_table() {
    let welcome = Welcome {
        token: Token::new([0; 16]),
        session: SessionNumber::new(2),
        standing: Standing {
            last_seq: Sequence::new(3),
            last_session: SessionNumber::new(4),
            sum: Total::new(-5),
        },
        idle_millis: 6,
        values_max: 7,
    };
    let found = fields(plain("welcome"), &welcome.encode());
    let expected = [
        ("token", 0),
        ("session", 2),
        ("last_seq", 3),
        ("last_session", 4),
        ("sum", -5),
        ("idle_millis", 6),
        ("values_max", 7),
    ];
    assert_eq!(found, expected);
}

#[test]
fn data_outcome_and_farewell_have_the_fields_of_their_tables() {
    let data = Data { first_seq: Sequence::new(8), values: [9, -10][..].into() };
    let bytes = data.encode(&Token::new([0; 16])).unwrap();
    let found = fields(plain("data"), &bytes);
    assert_eq!(found[..3], [("token", 0), ("first_seq", 8), ("count", 2)]);
    assert_eq!(plain("data").split(bytes.len(), None).unwrap()[3].1, 26..42);

    let (last_seq, sum) = (Sequence::new(11), Total::new(-12));
    let outcome = Outcome { status: Status::Unavailable, last_seq, sum };
    let found = fields(plain("outcome"), &outcome.encode());
    assert_eq!(found, [("status", 4), ("last_seq", 11), ("sum", -12)]);

    let (reason, scope) = (Reason::Operator, Scope::All);
    let farewell = Farewell { reason, scope, last_seq, sum, text: "\0\x01".into() };
    let found = fields(plain("farewell"), &farewell.encode());
    let expected = [("reason", 10), ("scope", 1), ("last_seq", 11), ("sum", -12), ("text", 1)];
    assert_eq!(found, expected);

    let rejection = Rejection { reason: Reason::TooMany, text: "\x02".into() };
    let table = message(Wire::V2, "rejection", FieldsPlace::Body, Suites::All);
    assert_eq!(fields(table, &rejection.encode()), [("reason", 9), ("text", 2)]);
}

#[test]
fn proofs_have_the_fields_of_their_tables() {
    let proof = IdentityProof { key: [0; 32], signature: [0; 64] };
    for name in ["server_proof", "client_proof"] {
        let split = plain(name).split(proof.encode().len(), None).unwrap();
        assert_eq!((split[0].1.clone(), split[1].1.clone()), (0..32, 32..96));
    }
}

#[test]
fn messages_1_and_2_have_the_lengths_of_every_suite() {
    for suite in Suite::ALL {
        let suites = if suite.is_hybrid() { Suites::Hybrid } else { Suites::Ddes };
        let group = Some(suite.group());
        for (name, bytes) in [("hello", suite.hello_bytes()), ("answer", suite.answer_bytes())] {
            let table = message(Wire::V2, name, FieldsPlace::Body, suites);
            assert!(table.split(bytes, group).is_some(), "{name} of {}", suite.name());
            for wrong in [bytes - 1, bytes + 1, 0] {
                assert!(table.split(wrong, group).is_none());
            }
            assert!(table.split(bytes, None).is_none(), "nobody knows DHLEN");
        }
    }
    let suite = Suite::Ddes(GroupSize::Bits2048);
    let hello = Hello { suite, noise: &[7; 256] }.encode();
    let table = message(Wire::V2, "hello", FieldsPlace::Body, Suites::Ddes);
    let split = table.split(hello.len(), Some(suite.group())).unwrap();
    assert_eq!(hello[split[1].1.clone()], [suite.id()]);
    assert_eq!(hello[split[2].1.clone()], [7; 256]);
}

#[test]
fn the_bodies_of_classic_split_as_its_decoders_split_them() {
    let bytes: Vec<u8> = (0..80).collect();
    let data = classic::Data::decode(&bytes).unwrap();
    let table = message(Wire::Classic, "integer", FieldsPlace::Body, Suites::All);
    let split = table.split(bytes.len(), None).unwrap();
    let part = |at: usize| &bytes[split[at].1.clone()];
    assert_eq!((part(0), part(1), part(2)), (data.ciphertext, &data.token[..], &data.hmac[..]));

    let result = classic::AggregateResult::decode(&bytes).unwrap();
    let table = message(Wire::Classic, "result", FieldsPlace::Body, Suites::All);
    let split = table.split(bytes.len(), None).unwrap();
    assert_eq!(&bytes[split[0].1.clone()], result.ciphertext);
    assert_eq!(&bytes[split[1].1.clone()], &result.hmac[..]);

    let client = ddes_wire::ClientId::random([3; 16]);
    let plaintext = classic::plaintext(77, &client);
    let table = message(Wire::Classic, "integer", FieldsPlace::Plaintext, Suites::All);
    let split = table.split(plaintext.len(), None).unwrap();
    assert_eq!(plaintext[split[0].1.clone()], 77_u64.to_be_bytes());
    assert_eq!(plaintext[split[1].1.clone()], *client.as_bytes());
}

#[test]
fn every_number_with_a_meaning_has_its_name() {
    for number in 0..=256 {
        let byte = u8::try_from(number);
        let opcode = u32::try_from(number).ok().and_then(Opcode::from_number);
        assert_eq!(name_of(OPCODES, number).is_some(), opcode.is_some(), "opcode {number}");
        let suite = byte.ok().and_then(Suite::from_id);
        assert_eq!(name_of(SUITES, number), suite.map(Suite::name));
        let status = byte.ok().and_then(Status::from_number);
        assert_eq!(name_of(STATUSES, number).is_some(), status.is_some(), "status {number}");
        let reason = byte.ok().and_then(Reason::from_number);
        assert_eq!(name_of(REASONS, number).is_some(), reason.is_some(), "reason {number}");
    }
    assert_eq!((SCOPES[0].0, SCOPES[1].0), (Scope::Session as u64, Scope::All as u64));
}

#[test]
fn every_message_has_one_field_without_a_length_at_most_and_names_of_its_own() {
    for message in MESSAGES {
        let rests = message.fields.iter().filter(|field| field.size == Size::Rest).count();
        assert!(rests <= 1, "{}", message.name);
        for (at, field) in message.fields.iter().enumerate() {
            let twin = message.fields[..at].iter().find(|other| other.name == field.name);
            assert!(twin.is_none(), "{} has {} twice", message.name, field.name);
            assert!(!field.meaning.is_empty() && !field.meaning.ends_with('.'), "{}", field.name);
        }
    }
}

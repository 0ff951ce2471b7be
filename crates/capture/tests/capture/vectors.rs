//! Captures of the published conversations: what they hold is known from elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use ddes_capture::{
    Direction, Field, FieldValue, Frame, OpenedKeys, Plain, Profile, SecretRole, SessionSecrets,
    What,
};

use crate::checks::unchecked;
use crate::{Scene, only, unhex};

type Case = BTreeMap<String, String>;

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/ddes2").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("\n\n").map(|block| {
        let lines = block.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect::<Case>()
    });
    blocks.filter(|case| case.contains_key("expect")).collect()
}

fn frames(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').filter(|frame| !frame.trim().is_empty()).map(unhex).collect()
}

/// The numbers of a 20, 40 or 50, in the words of the vectors.
fn heard(frame: &Frame) -> Option<String> {
    let (fields, is_clear) = match &frame.plain {
        Some(plain) => (&plain.fields, false),
        None => (&frame.fields, true),
    };
    let said = |field: &Field| match &field.value {
        FieldValue::Text(text) => text.clone(),
        value => value.integer().unwrap().to_string(),
    };
    let words: &[(&str, &str)] = match frame.opcode {
        20 => &[
            ("session", "session"),
            ("last_seq", "last_seq"),
            ("last_session", "last_session"),
            ("sum", "sum"),
            ("idle", "idle_millis"),
            ("most", "values_max"),
        ],
        40 => &[("status", "status"), ("last_seq", "last_seq"), ("sum", "sum")],
        50 if is_clear => &[("reason", "reason"), ("text", "text")],
        50 => &[
            ("reason", "reason"),
            ("scope", "scope"),
            ("last_seq", "last_seq"),
            ("sum", "sum"),
            ("text", "text"),
        ],
        _ => return None,
    };
    let mut text = frame.opcode.to_string();
    for (word, name) in words {
        let field = fields.iter().find(|field| field.name == *name)?;
        text += &format!(" {word} {}", said(field));
    }
    Some(text)
}

fn bytes(plain: &Plain) -> String {
    plain.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Scope and numbers of a 50 that ends no account.
const NUMBERS_OF_NONE: &str = " scope 0 last_seq 0 sum 0";

#[test]
fn every_published_conversation_says_what_the_vectors_say() {
    let ddes = cases("handshakes.txt").into_iter().find(|case| case["name"] == "ddes").unwrap();
    let mut decrypted = 0;
    for role in [SecretRole::Client, SecretRole::Server] {
        let x = if role == SecretRole::Client { "client_x" } else { "server_x" };
        let secrets = SessionSecrets::drawn(role, &unhex(&ddes[x]), None);
        for case in cases("conversations.txt") {
            let (sent, answered) = (frames(&case["send"]), frames(&case["expect"]));
            let mut scene = Scene::new();
            let connection = scene.open("127.0.0.1:40000", None);
            // A server answers what came before: the first message, then the rest.
            let (first, rest) = sent.split_at(sent.len().min(1));
            let (handshake, answers) = answered.split_at(answered.len().min(2));
            for (direction, frames) in [
                (Direction::ToServer, first),
                (Direction::ToClient, handshake),
                (Direction::ToServer, rest),
                (Direction::ToClient, answers),
            ] {
                for frame in frames {
                    scene.send(connection, direction, frame);
                }
            }
            scene.close(connection);
            let conversation = only(&scene.finish(), std::slice::from_ref(&secrets));
            let name = &case["name"];
            let is_whole = |frame: &&Vec<u8>| {
                let length = u32::from_be_bytes(frame[4..8].try_into().unwrap());
                frame.len() == 8 + length as usize
            };
            let whole = sent.iter().chain(&answered).filter(is_whole).count();
            assert_eq!(conversation.frames.len(), whole, "{name}");

            let of = |direction| {
                conversation.frames.iter().filter(move |frame| frame.direction == direction)
            };
            let said: Vec<_> = of(Direction::ToClient).filter_map(heard).collect();
            // What a 50 is worth before the server is known is the client's to say; a reader shows
            // all of its fields.
            let said = match case["heard"].starts_with("unproven 50 ") {
                true => format!("unproven {}", said.join("; ").replace(NUMBERS_OF_NONE, "")),
                false => said.join("; "),
            };
            assert_eq!(said, case["heard"].trim_start_matches("unproven: "), "{name}");
            if conversation.session.is_none() {
                continue;
            }
            decrypted += 1;
            let plain: Vec<String> = of(Direction::ToServer)
                .skip(2)
                .filter_map(|frame| {
                    Some(format!("{}:{}", frame.opcode, bytes(frame.plain.as_ref()?)))
                })
                .collect();
            let known: Vec<&str> = case["plain"].split_whitespace().collect();
            // What the vectors leave open was changed on its way, so that it does not open.
            assert!(plain.len() <= known.len() || known.is_empty(), "{name}: {plain:?}");
            for (found, known) in plain.iter().zip(known) {
                assert_eq!(found, known, "{name}");
            }
        }
    }
    assert!(decrypted >= 20, "only {decrypted} conversations were decrypted");
}

#[test]
fn either_ends_randomness_opens_a_handshake_of_every_suite() {
    let all = cases("handshakes.txt");
    assert_eq!(all.len(), 6);
    for case in all {
        let frames = frames(&case["expect"]);
        let is_hybrid = case.contains_key("kem_seed");
        for (role, x, kem) in
            [(SecretRole::Client, "client_x", "kem_seed"), (SecretRole::Server, "server_x", "m")]
        {
            let kem = is_hybrid.then(|| unhex(&case[kem]));
            let secrets = SessionSecrets::drawn(role, &unhex(&case[x]), kem.as_deref());
            let mut scene = Scene::new();
            // The writer keeps the secrets, with the keys that they lead to.
            let connection = scene.open("[::1]:40000", Some(secrets));
            for (frame, direction) in frames.iter().zip([
                Direction::ToServer,
                Direction::ToClient,
                Direction::ToClient,
                Direction::ToServer,
                Direction::ToServer,
            ]) {
                scene.send(connection, direction, frame);
            }
            let conversation = only(&scene.finish(), &[]);
            let name = &case["name"];
            let Profile::V2 { suite: Some(suite) } = conversation.profile else { panic!("{name}") };
            assert_eq!(suite.name(), name);
            let Some(OpenedKeys::V2(opened)) = &conversation.session else {
                panic!("{name} as {role:?}: {:?}", conversation.refused)
            };
            assert_eq!(opened.hash.unwrap().to_vec(), unhex(&case["h"]), "{name}");
            let signatures = conversation.frames.iter().flat_map(|frame| &frame.checks);
            let signatures =
                signatures.filter(|check| check.what == What::Signature && check.passed);
            assert_eq!(signatures.count(), 2, "{name}");
            assert!(conversation.frames.iter().all(Frame::passed), "{:?}", conversation.frames);
            let data = conversation.frames[4].plain.as_ref().unwrap();
            assert_eq!(data.field("values").unwrap().value, FieldValue::Integers(vec![42, -1]));
            assert_eq!(data.field_bytes("token").unwrap(), [7; 16]);
        }
    }
}

#[test]
fn signatures_are_said_to_be_unchecked_where_the_handshake_hash_is_not_known() {
    let case = cases("handshakes.txt").into_iter().find(|case| case["name"] == "ddes").unwrap();
    let drawn = SessionSecrets::drawn(SecretRole::Client, &unhex(&case["client_x"]), None);
    let session = |secrets: &SessionSecrets| {
        let mut scene = Scene::new();
        let connection = scene.open("127.0.0.1:40000", None);
        for (frame, direction) in frames(&case["expect"]).iter().zip([
            Direction::ToServer,
            Direction::ToClient,
            Direction::ToClient,
            Direction::ToServer,
            Direction::ToServer,
        ]) {
            scene.send(connection, direction, frame);
        }
        only(&scene.finish(), std::slice::from_ref(secrets))
    };
    let whole = session(&drawn);
    assert_eq!(unchecked(&whole), [What::Token]);
    let derived = drawn.with_keys_of(whole.session.as_ref().unwrap());
    let signatures = |hash: &str| {
        let mut text: serde_json::Value =
            serde_json::from_str(&derived.to_json().unwrap()).unwrap();
        let members = text.as_object_mut().unwrap();
        members.retain(|name, _| !["role", "dh", "hash"].contains(&name.as_str()));
        if !hash.is_empty() {
            members.insert("hash".into(), hash.into());
        }
        let found = session(&SessionSecrets::from_json(&text.to_string()).unwrap());
        assert!(found.session.is_some(), "{:?}", found.refused);
        let checks = found.frames.iter().flat_map(|frame| &frame.checks);
        let signed = checks.filter(|check| check.what == What::Signature).cloned();
        (signed.collect::<Vec<_>>(), unchecked(&found))
    };
    let (signed, missing) = signatures("");
    assert_eq!((signed, missing), (Vec::new(), vec![What::Signature, What::Token]));
    let (signed, missing) = signatures(&case["h"]);
    assert!(signed.iter().all(|check| check.passed) && signed.len() == 2, "{signed:?}");
    assert!(signed[0].detail.ends_with("over the hash of the secrets"), "{signed:?}");
    assert_eq!(missing, [What::Token]);
    let (signed, _) = signatures(&"00".repeat(32));
    assert!(signed.iter().all(|check| !check.passed) && signed.len() == 2, "{signed:?}");
}

#[test]
fn the_steps_of_a_handshake_lead_to_its_keys() {
    let case = cases("handshakes.txt").into_iter().find(|case| case["name"] == "hybrid").unwrap();
    let secrets = SessionSecrets::drawn(
        SecretRole::Client,
        &unhex(&case["client_x"]),
        Some(&unhex(&case["kem_seed"])),
    );
    let mut scene = Scene::new();
    let connection = scene.open("127.0.0.1:40000", Some(secrets));
    let frames = frames(&case["expect"]);
    scene.send(connection, Direction::ToServer, &frames[0]);
    scene.send(connection, Direction::ToClient, &frames[1]);
    let conversation = only(&scene.finish(), &[]);
    let Some(OpenedKeys::V2(opened)) = &conversation.session else { panic!() };
    let steps: Vec<&str> = opened.steps.iter().map(|step| step.what).collect();
    let expected =
        ["name", "prologue", "e", "e1", "payload", "e", "ee", "ekem1", "ekem1", "payload", "split"];
    assert_eq!(steps, expected);
    let last = opened.steps.last().unwrap();
    assert_eq!(last.hash.to_vec(), unhex(&case["h"]));
    let split = [&opened.to_server[0].key[..], &opened.to_client[0].key[..]].concat();
    assert_eq!(&last.input[..], split);
    // The public value of message 1 is what `e` mixes in.
    assert_eq!(&opened.steps[2].input[..], &frames[0][10..10 + 256]);
}

#[test]
fn secrets_of_another_session_are_refused() {
    let case = cases("handshakes.txt").into_iter().find(|case| case["name"] == "ddes").unwrap();
    let mut x = unhex(&case["client_x"]);
    x[31] ^= 1;
    let wrong = SessionSecrets::drawn(SecretRole::Client, &x, None);
    let mut scene = Scene::new();
    let connection = scene.open("127.0.0.1:40000", None);
    for (frame, direction) in frames(&case["expect"]).iter().zip([
        Direction::ToServer,
        Direction::ToClient,
        Direction::ToClient,
    ]) {
        scene.send(connection, direction, frame);
    }
    let conversation = only(&scene.finish(), &[wrong]);
    assert!(conversation.session.is_none());
    assert_eq!(conversation.refused.as_deref(), Some("the secrets are of another session"));
    assert!(conversation.frames.iter().all(|frame| frame.plain.is_none()));
}

#[test]
fn a_handshake_that_leads_to_no_keys_is_computed_once_and_waits_for_nothing() {
    let case = cases("handshakes.txt").into_iter().find(|case| case["name"] == "ddes").unwrap();
    let all = frames(&case["expect"]);
    let mut x = unhex(&case["server_x"]);
    x[31] ^= 1;
    for (x, is_right) in [(unhex(&case["server_x"]), true), (x, false)] {
        let mut scene = Scene::new();
        let secrets = SessionSecrets::drawn(SecretRole::Server, &x, None);
        let connection = scene.open("127.0.0.1:40000", Some(secrets));
        let empty = scene.writer.bytes();
        for piece in all[0].chunks(10) {
            scene.send(connection, Direction::ToServer, piece);
        }
        // Half of an answer is none yet.
        let (half, rest) = all[1].split_at(100);
        scene.send(connection, Direction::ToClient, half);
        assert_eq!(scene.writer.bytes(), empty);
        scene.send(connection, Direction::ToClient, rest);
        let written = scene.writer.bytes();
        assert!(written > empty, "the first packets are written");
        scene.send(connection, Direction::ToServer, &all[3][..1]);
        assert!(scene.writer.bytes() > written, "nothing waits any more");
        let conversation = only(&scene.finish(), &[]);
        assert_eq!(conversation.session.is_some(), is_right, "{:?}", conversation.refused);
    }
}

#[test]
fn secrets_survive_their_text() {
    let secrets = SessionSecrets::drawn(SecretRole::Server, &[1; 64], Some(&[2; 64]));
    let text = secrets.to_json().unwrap();
    let again = SessionSecrets::from_json(&text).unwrap();
    assert_eq!(*again.to_json().unwrap(), *text);
    for (wrong, error) in [
        ("{}", "column 2: a member is missing"),
        ("", "column 0: this is not JSON"),
        (r#"{"ddes_secrets":1,}"#, "column 19: this is not JSON"),
        (r#"{"ddes_secrets":2,"shared":"00"}"#, "format 2"),
        (r#"{"ddes_secrets":1}"#, "neither"),
        (r#"{"ddes_secrets":1,"key1":"00","key2":"00"}"#, "`key1` has 1 bytes instead of 8"),
        (r#"{"ddes_secrets":1,"shared":"0"}"#, "hexadecimal"),
        (r#"{"ddes_secrets":1,"shared":"é0"}"#, "hexadecimal"),
        (r#"{"ddes_secrets":1,"other":"00"}"#, "column 25: a member is missing, unknown"),
        ("{\"ddes_secrets\":1,\n\"other\":\"00\"}", "line 2, column 7: a member"),
    ] {
        let found = SessionSecrets::from_json(wrong).unwrap_err().to_string();
        assert!(found.contains(error), "{wrong}: {found}");
    }
    // A secret at a wrong place is not repeated.
    for wrong in [
        r#"{"ddes_secrets":1,"handshake_keys":"81005ec2e7"}"#,
        r#"{"ddes_secrets":"81005ec2e7"}"#,
        r#"{"ddes_secrets":1,"role":"81005ec2e7"}"#,
        r#"{"ddes_secrets":1,"client":"81005ec2e7"}"#,
        r#"{"ddes_secrets":1,"81005ec2e7":"dh"}"#,
        r#"{"ddes_secrets":1,"dh":81005277}"#,
        r#"{"ddes_secrets":1,"dh":"81005ec2ex"}"#,
    ] {
        let found = SessionSecrets::from_json(wrong).unwrap_err();
        assert!(!format!("{found} {found:?}").contains("81005"), "{wrong}: {found}");
    }
}

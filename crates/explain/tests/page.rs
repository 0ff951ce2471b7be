//! Pages of captured sessions: of recorded handshakes in every suite and from either side's
//! secrets, of a classic session, and of what nobody would send in earnest.
//!
//! The pages stay in the folder of temporary files, to be looked at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ddes_capture::{Conversation, Direction, Limits, Role, SessionSecrets, Writer, Written, read};
use ddes_explain::{Calculation, DhGroup, HkdfExpansion, Sources, cards, document, forget_secrets};
use ddes_ffdhe::{Group, NamedGroup};
use ddes_wire::classic::DhPublicKey;

type Case = BTreeMap<String, String>;

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let fields = |case: &str| -> Case {
        let lines = case.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.trim().into(), value.trim().into())).collect()
    };
    text.split("\n\n").map(fields).filter(|case| !case.is_empty()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// A conversation of these frames, through a file as a program would capture it.
fn captured(frames: &[(Direction, Vec<u8>)], secrets: Option<SessionSecrets>) -> Conversation {
    let client: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    let server: SocketAddr = "127.0.0.1:5566".parse().unwrap();
    let mut writer = Writer::new(Vec::new(), 1 << 20).unwrap();
    let mut at = Duration::from_secs(1_700_000_000);
    let connection = writer.open(at, client, server, secrets).unwrap();
    for (direction, frame) in frames {
        at += Duration::from_micros(1700);
        let written = writer.data(connection, at, *direction, frame).unwrap();
        assert_eq!(written, Written::Whole);
    }
    assert_eq!(writer.close(connection, at, None).unwrap(), Written::Whole);
    let file = writer.finish().unwrap();
    let mut found = read(&file[..], &Limits::default(), &[]).unwrap();
    assert_eq!(found.all.len(), 1, "{:?}", found.notes);
    found.all.remove(0)
}

fn frame(opcode: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&opcode.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

fn page(conversation: &Conversation, name: &str) -> String {
    let page = document(&Sources { main: conversation, file: name, other: None });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join(format!("{name}.html")), &page).unwrap();
    page
}

/// Each address names one thing, and each link leads to one.
fn is_linked(page: &str) {
    let quoted = |text: &str| text.split('"').next().unwrap().to_owned();
    let ids: Vec<String> = page.split(" id=\"").skip(1).map(quoted).collect();
    let unique: BTreeSet<_> = ids.iter().cloned().collect();
    let twice: Vec<_> =
        ids.iter().filter(|id| ids.iter().filter(|one| one == id).count() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for target in page.split("href=\"#").skip(1).map(quoted) {
        assert!(unique.contains(&target), "#{target} leads nowhere");
    }
}

#[test]
fn every_suite_is_explained_from_either_side_s_secrets() {
    for case in cases("ddes2/handshakes.txt") {
        let name = &case["name"];
        let directions = [
            Direction::ToServer,
            Direction::ToClient,
            Direction::ToClient,
            Direction::ToServer,
            Direction::ToServer,
        ];
        let frames: Vec<_> =
            directions.into_iter().zip(case["expect"].split(' ').map(bytes)).collect();
        let sides = [
            (Role::Client, "client_x", case.get("kem_seed")),
            (Role::Server, "server_x", case.get("m")),
        ];
        for (role, exponent, kem) in sides {
            let kem = kem.filter(|_| name.starts_with("hybrid")).map(|kem| bytes(kem));
            let secrets = SessionSecrets::drawn(role, &bytes(&case[exponent]), kem.as_deref());
            let conversation = captured(&frames, Some(secrets));
            assert!(conversation.session.is_some(), "{name} {role:?}: {:?}", conversation.refused);
            let cards = cards(&conversation, "");
            let has = |end: &str| cards.iter().any(|card| card.anchor.ends_with(end));
            for end in [
                "public",
                "shared",
                "start",
                "split",
                "keys-to-server",
                "3.calc-signature",
                "4.calc-signature",
                "5.calc-open",
            ] {
                assert!(has(&format!("calc-{end}")) || has(end), "{name} {role:?}: {end}");
            }
            assert_eq!(has("calc-kem"), name.starts_with("hybrid"), "{name} {role:?}");
            for card in &cards {
                let worked = card.calculation.work();
                let worked = worked.unwrap_or_else(|error| panic!("{}: {error}", card.anchor));
                if let Some(claim) = &card.claim {
                    let last = worked.results.last().unwrap();
                    assert_eq!(
                        last.value.bytes(),
                        Some(&claim.bytes[..]),
                        "{name} {}",
                        card.anchor
                    );
                }
            }
            let html = page(&conversation, &format!("{name}-{role:?}").to_lowercase());
            assert!(html.contains("✓ the same as"), "{name}");
            assert!(!html.contains("✗ not the same as"), "{name} {role:?}");
            is_linked(&html);
        }
    }
}

/// What both ends of a classic session computed, and its frames.
struct Classic {
    frames: Vec<(Direction, Vec<u8>)>,
    entropy: Vec<u8>,
}

fn result(calculation: &Calculation) -> Vec<u8> {
    calculation.work().unwrap().results[0].value.bytes().unwrap().to_vec()
}

/// A session that counts these integers.
fn classic(integers: &[u64], tail: &[(Direction, Vec<u8>)]) -> Classic {
    let group = Group::named(NamedGroup::Ffdhe2048);
    let dh = |private: &[u8], peer: Option<Vec<u8>>| {
        let group = DhGroup::Named(NamedGroup::Ffdhe2048);
        result(&Calculation::Dh { group, private: private.to_vec(), peer })
    };
    let pem = |public: Vec<u8>| {
        let (prime, generator) = (group.prime().to_vec(), group.generator().to_vec());
        DhPublicKey { prime, generator, public }.to_pem().unwrap().into_bytes()
    };
    let entropy: Vec<u8> = (0..64).map(|i| 0x80 | i).collect();
    let (x, y) = (&entropy[..group.exponent_len()], &[0xc3; 28][..]);
    let (client, server) = (dh(x, None), dh(y, None));
    let ikm = dh(x, Some(server.clone()));
    let expand = Some(HkdfExpansion { info: b"handshake data".to_vec(), length: 16 });
    let okm = result(&Calculation::Hkdf { salt: None, ikm, expand });
    let (key1, key2) = (okm[..8].to_vec(), okm[8..].to_vec());
    let ddes = |key2: &[u8], input: &[u8]| {
        let (key1, key2, input) = (key1.clone(), key2.to_vec(), input.to_vec());
        result(&Calculation::Ddes { key1, key2, input, decrypt: false, pad: true })
    };
    let hmac = |input: &[u8]| {
        let mac = result(&Calculation::Hmac { key: key2.clone(), input: input.to_vec() });
        [input, &mac].concat()
    };
    let (token, uuid) = ([0x5a; 16], *b"a uuid of sixtee");
    let (to_server, to_client) = (Direction::ToServer, Direction::ToClient);
    let mut frames = vec![
        (to_client, frame(10, &pem(server))),
        (to_server, frame(10, &pem(client))),
        (to_client, frame(20, &ddes(&key1, &token))),
    ];
    let mut sum = 0;
    for integer in integers {
        sum += integer;
        let sealed = ddes(&key2, &[&integer.to_be_bytes()[..], &uuid].concat());
        frames.push((to_server, frame(30, &hmac(&[&sealed[..], &token].concat()))));
        frames.push((to_client, frame(30, b"Server Received number")));
        frames.push((to_client, frame(40, &hmac(&ddes(&key2, sum.to_string().as_bytes())))));
    }
    frames.extend_from_slice(tail);
    Classic { frames, entropy }
}

#[test]
fn a_classic_session_is_explained_and_what_repeats_in_it_is_found_without_a_key() {
    let goodbye = [(Direction::ToServer, frame(50, &[])), (Direction::ToServer, frame(50, &[]))];
    let Classic { frames, entropy } = classic(&[42, 50, 42], &goodbye);
    let secrets = SessionSecrets::drawn(Role::Client, &entropy, None);
    let mut conversation = captured(&frames, Some(secrets));
    assert!(conversation.session.is_some(), "{:?}", conversation.refused);
    let all = cards(&conversation, "");
    assert_eq!(all.len(), 3 + 1 + 3 * 4, "public, shared, keys; token; four for each integer");
    for card in &all {
        let worked = card.calculation.work().unwrap();
        if let Some(claim) = &card.claim {
            assert_eq!(worked.results.last().unwrap().value.bytes(), Some(&claim.bytes[..]));
        }
    }
    let with = page(&conversation, "classic");
    is_linked(&with);
    for said in [
        "<a href=\"#frame-10\">frame 10</a>",
        "data-mark=\"08×8\"",
        "data-mark=\"A\"",
        ">42</span>",
    ] {
        assert!(with.contains(said), "{said}");
    }
    forget_secrets(&mut conversation);
    let without = page(&conversation, "classic-wire");
    is_linked(&without);
    assert!(cards(&conversation, "").is_empty());
    assert!(without.contains("This is the eavesdropper’s page"));
    assert!(without.contains("data-mark=\"A\"") && !without.contains("class=\"calc "));
}

#[test]
fn both_wires_stand_side_by_side_and_no_address_names_two_things() {
    let one = captured(&classic(&[7], &[]).frames, None);
    let case = cases("ddes2/handshakes.txt").remove(0);
    let directions = [Direction::ToServer, Direction::ToClient, Direction::ToClient];
    let frames: Vec<_> = directions.into_iter().zip(case["expect"].split(' ').map(bytes)).collect();
    let other = captured(&frames, None);
    let html = document(&Sources { main: &one, file: "a", other: Some((&other, "b")) });
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("beside.html"), &html).unwrap();
    is_linked(&html);
    assert!(
        html.contains("The same act on both wires") && html.contains("href=\"#other-frame-1\"")
    );
    // Of one wire there is nothing to compare.
    let again = document(&Sources { main: &one, file: "a", other: Some((&one, "b")) });
    assert!(!again.contains("The same act on both wires"));
    is_linked(&again);
}

#[test]
fn what_others_wrote_is_text_on_the_page_and_nothing_else() {
    let said = "</script><script>alert(1)</script>\u{202e}<img src=x onerror=alert(2)>";
    let tail = [(Direction::ToClient, frame(50, said.as_bytes()))];
    let conversation = captured(&classic(&[1], &tail).frames, None);
    let html = document(&Sources { main: &conversation, file: "<b>\"'&", other: None });
    assert!(html.contains("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x"));
    assert!(html.contains("&lt;b&gt;&quot;&#39;&amp;"));
    assert!(!html.contains("<img") && !html.contains('\u{202e}'));
    assert_eq!(html.matches("<script>").count(), 1, "our own");
    assert_eq!(html.matches("</script>").count(), 1);
}

#[test]
fn a_long_conversation_and_a_long_frame_are_bounded_and_say_so() {
    let integers: Vec<u64> = (0..200).collect();
    let mut long = classic(&integers, &[]);
    long.frames.push((Direction::ToClient, frame(50, &vec![b'x'; 60_000])));
    let conversation = captured(&long.frames, None);
    let html = document(&Sources { main: &conversation, file: "long", other: None });
    assert!(html.contains("are not on this page"), "600 frames");
    assert!(html.len() < 8 << 20, "{} bytes", html.len());
    let mut short = classic(&[1], &[]);
    short.frames.push((Direction::ToClient, frame(50, &vec![b'x'; 60_000])));
    let html = document(&Sources { main: &captured(&short.frames, None), file: "s", other: None });
    assert!(html.contains("not shown …"), "a frame of 60,000 bytes");
}

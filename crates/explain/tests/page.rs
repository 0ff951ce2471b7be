//! Pages of captured sessions: of recorded handshakes in every suite and from either side's
//! secrets, of a classic session, and of what nobody would send in earnest.
//!
//! The pages stay in the folder of temporary files, to be looked at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ddes_capture::{
    Conversation, Direction, Limits, SecretRole, SessionSecrets, Writer, Written, read,
};
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

/// The text between tags, what is only heard included.
fn heard(html: &str) -> String {
    let pieces = html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
    pieces.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The contents of all elements of a kind.
fn elements(page: &str, name: &str) -> Vec<String> {
    let (open, end) = (format!("<{name}"), format!("</{name}>"));
    let starts = page.split(&open).skip(1).filter(|rest| rest.starts_with([' ', '>']));
    starts.map(|rest| heard(&format!("<{}", rest.split(&end).next().unwrap()))).collect()
}

/// Nothing in a list of headings, of frames or of parts has the name of another thing.
fn is_told_apart(page: &str) {
    let headings: Vec<String> =
        ["h1", "h2", "h3", "h4", "h5"].iter().flat_map(|name| elements(page, name)).collect();
    let ladders = page.split("<nav class=\"ladder\"").skip(1);
    let rungs: Vec<String> = ladders
        .flat_map(|rest| elements(rest.split("</nav>").next().unwrap(), "li"))
        // The number alone tells them apart, and nobody looks for a number.
        .map(|rung| rung.split_once(' ').unwrap().1.to_owned())
        .collect();
    let labels: Vec<String> = page
        .split(" aria-label=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert!(headings.len() > 10 && rungs.len() > 2, "{headings:?} {rungs:?}");
    for all in [headings, rungs, labels] {
        let unique: BTreeSet<_> = all.iter().collect();
        let twice: Vec<_> = unique
            .iter()
            .filter(|name| all.iter().filter(|other| other == *name).count() > 1)
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
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
            (SecretRole::Client, "client_x", case.get("kem_seed")),
            (SecretRole::Server, "server_x", case.get("m")),
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
                "5.calc-open-stream",
            ] {
                assert!(has(&format!("calc-{end}")) || has(end), "{name} {role:?}: {end}");
            }
            let is_hybrid = name.starts_with("hybrid");
            assert_eq!(has("calc-kem"), is_hybrid, "{name} {role:?}");
            assert_eq!(has("2.calc-open-ekem1-stream"), is_hybrid, "{name} {role:?}");
            // Message 2's empty payload is a tag alone.
            assert!(!has("2.calc-open-payload-stream"), "{name} {role:?}");
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
            is_told_apart(&html);
            let (formula, of_the_other) = match role {
                SecretRole::Client => ("X = g^x mod p", "Y = g^y mod p"),
                SecretRole::Server => ("Y = g^y mod p", "X = g^x mod p"),
            };
            assert!(html.contains(formula) && !html.contains(of_the_other), "{name} {role:?}");
            assert!(!html.contains("Y = g^x mod p"), "{name} {role:?}");
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
    let (x, y) = (&entropy[..group.exponent_len()], &vec![0xc3; group.exponent_len()][..]);
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
    let secrets = SessionSecrets::drawn(SecretRole::Client, &entropy, None);
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
    is_told_apart(&with);
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
fn the_keystream_of_a_record_is_two_passes_of_des_for_each_block() {
    let case = cases("ddes2/handshakes.txt").remove(0);
    let directions =
        [Direction::ToServer, Direction::ToClient, Direction::ToClient, Direction::ToServer];
    let frames: Vec<_> = directions.into_iter().zip(case["expect"].split(' ').map(bytes)).collect();
    let kem = case.get("kem_seed").filter(|_| case["name"].starts_with("hybrid"));
    let kem = kem.map(|kem| bytes(kem));
    let secrets =
        SessionSecrets::drawn(SecretRole::Client, &bytes(&case["client_x"]), kem.as_deref());
    let conversation = captured(&frames, Some(secrets));
    let cards = cards(&conversation, "");
    let find = |end: &str| cards.iter().find(|card| card.anchor.ends_with(end)).unwrap();
    let stream = find("frame-3.calc-open-stream");
    let Calculation::Counter { key1, key2, n, length } = &stream.calculation else {
        panic!("{stream:?}")
    };
    let sealed = conversation.frames[2].field_bytes("ciphertext").unwrap();
    assert_eq!((*n, *length), (0, sealed.len()));
    let des = |key: &[u8], block: &[u8]| {
        result(&Calculation::Des {
            key: key.to_vec(),
            input: block.to_vec(),
            decrypt: false,
            pad: false,
            rounds: false,
        })
    };
    let worked = stream.calculation.work().unwrap();
    assert_eq!(worked.steps.len(), length.div_ceil(8));
    let mut whole = Vec::new();
    for (i, step) in (0_u64..).zip(&worked.steps) {
        let chain: Vec<_> = step.chain.iter().map(|named| named.value.bytes().unwrap()).collect();
        let once = des(key1, &i.to_be_bytes());
        let twice = des(key2, &once);
        assert_eq!(chain, [&i.to_be_bytes()[..], &once, &twice]);
        whole.extend(twice);
    }
    whole.truncate(*length);
    assert_eq!(worked.results[0].value.bytes(), Some(&whole[..]));
    assert_eq!(stream.claim.as_ref().unwrap().bytes, whole);
    assert_eq!(stream.claim.as_ref().unwrap().anchor, find("frame-3.calc-open").anchor);
    assert!(stream.calculation.command().starts_with("ddes calc counter "));
}

#[test]
fn an_end_that_the_capture_does_not_hold_is_said() {
    let (client, server) = ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:5566".parse().unwrap());
    let at = Duration::from_secs(1_700_000_000);
    for (lost, says) in [
        (Direction::ToServer, "The end of what the client sent is not in the capture."),
        (Direction::ToClient, "The end of what the server sent is not in the capture."),
    ] {
        let mut writer = Writer::new(Vec::new(), 1 << 20).unwrap();
        let connection = writer.open(at, client, server, None).unwrap();
        for (direction, frame) in classic(&[7], &[]).frames {
            assert_eq!(writer.data(connection, at, direction, &frame).unwrap(), Written::Whole);
        }
        writer.lost(connection, lost, 1234).unwrap();
        let file = writer.finish().unwrap();
        let found = read(&file[..], &Limits::default(), &[]).unwrap();
        let html = document(&Sources { main: &found.all[0], file: "gap", other: None });
        assert_eq!(html.matches("is not in the capture.").count(), 1);
        assert!(html.contains(says) && html.contains("<dd>1234 bytes</dd>"), "{says}");
    }
}

#[test]
fn what_the_page_says_of_the_classic_wire_is_so() {
    let goodbye = [(Direction::ToServer, frame(50, &[]))];
    let Classic { frames, .. } = classic(&[42, 50], &goodbye);
    let secrets = SessionSecrets::drawn(SecretRole::Server, &[0xc3; 64], None);
    let conversation = captured(&frames, Some(secrets));
    assert!(conversation.session.is_some(), "{:?}", conversation.refused);
    let html = page(&conversation, "classic-server");
    // What goes into HKDF is g^(xy): no product of the two public values.
    assert!(html.contains("Only the shared value g^(xy) goes in"));
    assert!(!html.contains("product"));
    // The server's exponent is y, in the words and in the formulas.
    assert!(html.contains("Y = g^y mod p") && html.contains("Z = X^y mod p"));
    assert!(!html.contains("g^x mod p</pre>") && !html.contains("Y^x"));
    // A pasted block fails the HMAC; a codebook does not.
    assert!(html.contains("codebook") && !html.contains("pasted") && !html.contains("recogni"));
    // What the lesson of the first two frames is about is marked in them.
    for mark in ["p, g and g^y, unsigned", "p, g and g^x, unsigned", "p", "g", "g^y", "g^x"] {
        assert!(html.contains(&format!("data-mark=\"{mark}\"")), "{mark}");
    }
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
    is_told_apart(&html);
    // This client's 50 ended its own session: the table speaks of the original.
    assert!(html.contains("In the original they end the session of every client."));
    assert!(
        html.contains("The same act on both wires") && html.contains("href=\"#other-frame-1\"")
    );
    // Of one wire there is nothing to compare.
    let again = document(&Sources { main: &one, file: "a", other: Some((&one, "b")) });
    assert!(!again.contains("The same act on both wires"));
    is_linked(&again);
    // With its calculations, beside itself: everything is there twice, under another name.
    let Classic { frames, entropy } = classic(&[7, 7, 9], &[]);
    let secrets = SessionSecrets::drawn(SecretRole::Client, &entropy, None);
    let one = captured(&frames, Some(secrets));
    let twice = document(&Sources { main: &one, file: "a", other: Some((&one, "b")) });
    is_linked(&twice);
    is_told_apart(&twice);
    // On paper each kind of calculation is in full once for each conversation.
    let again = "<details class=\"calc server repeat\" id=\"frame-7.calc-hmac\"";
    assert!(twice.contains(again) && twice.contains("\"calc server\" id=\"frame-4.calc-hmac\""));
    assert!(twice.contains("\"calc server\" id=\"other-frame-4.calc-hmac\""));
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
    // The second half repeats the first, so that frames on the page are those of frames behind it.
    let integers: Vec<u64> = (0..200).map(|i| i % 100).collect();
    let mut long = classic(&integers, &[]);
    long.frames.push((Direction::ToClient, frame(50, &vec![b'x'; 60_000])));
    let conversation = captured(&long.frames, None);
    let html = document(&Sources { main: &conversation, file: "long", other: None });
    assert!(html.contains("are not on this page"), "600 frames");
    is_linked(&html);
    assert_eq!(conversation.frames[105].bytes, conversation.frames[405].bytes);
    assert!(html.contains("The whole frame is that of frame 406, HMAC"), "no link leads there");
    // Beside a short one of the other wire the table names an end that is on no page.
    let case = cases("ddes2/handshakes.txt").remove(0);
    let first = bytes(case["expect"].split(' ').next().unwrap());
    let other = captured(&[(Direction::ToServer, first)], None);
    let both = document(&Sources { main: &conversation, file: "a", other: Some((&other, "b")) });
    assert!(both.contains("<p class=\"frames\">frame 604, "), "the server's 50 has no link");
    is_linked(&both);
    assert!(html.len() < 8 << 20, "{} bytes", html.len());
    let mut short = classic(&[1], &[]);
    short.frames.push((Direction::ToClient, frame(50, &vec![b'x'; 60_000])));
    let html = document(&Sources { main: &captured(&short.frames, None), file: "s", other: None });
    assert!(html.contains("not shown …"), "a frame of 60,000 bytes");
}

//! Lists as OpenSSH reads them, and one name for one server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ddes_identity::{
    AuthorizedKeys, Contact, KnownServers, PublicKey, Role, ServerAddress, SigningKey, read_public,
};

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

fn line(seed: u8) -> String {
    key(seed).to_openssh()
}

fn at(text: &str) -> ServerAddress {
    text.parse().unwrap()
}

/// `ssh-ed25519` and the rest, with something else between them.
fn apart(between: &str) -> String {
    line(1).replace(' ', between)
}

#[test]
fn a_latin_1_comment_takes_nothing_from_the_others_nor_from_its_own_key() {
    let mut text = format!("{} anna\n{} J", line(1), line(2)).into_bytes();
    text.extend_from_slice(b"\xfcrgen\nddes-name=\"M\xfcller\" ");
    text.extend_from_slice(format!("{}\n# caf", line(3)).as_bytes());
    text.extend_from_slice(b"\xe9\n");
    let (keys, errors) = AuthorizedKeys::parse(&text);
    assert_eq!((keys.len(), errors), (3, vec![]));
    assert_eq!(keys.get(&key(2)).unwrap().name.as_deref(), Some("J\u{fffd}rgen"));
    assert_eq!(read_public([line(4).as_bytes(), b" J\xfcrgen\n"].concat()), Ok(key(4)));
}

#[test]
fn a_byte_that_is_no_text_in_a_key_or_option_refuses_that_line_by_its_number() {
    let mut text = format!("{}\n", line(1)).into_bytes();
    text.extend_from_slice(b"ddes-r\xf6le=\"client\" ");
    text.extend_from_slice(format!("{}\nssh-ed25519 AAAA", line(2)).as_bytes());
    text.extend_from_slice(b"\xff\r\n");
    let (keys, errors) = AuthorizedKeys::parse(&text);
    assert_eq!(keys.len(), 1);
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3]);
}

/// A row grants to the key that it is for, or nothing.
#[test]
fn a_row_of_a_table_is_one_line_of_its_own_key() {
    let row = |seed: u8, line: &str| AuthorizedKeys::parse_row(key(seed).as_bytes(), line);
    let operator = format!("ddes-role=\"operator\",expiry-time=\"19700102Z\" {} anna", line(1));
    for text in [operator.clone(), format!("\r\n {operator}\n# a comment\n")] {
        let (found, grant) = row(1, &text).unwrap();
        assert_eq!((found, grant.role, grant.expires), (key(1), Role::Operator, Some(86_400)));
        assert_eq!(grant.name.as_deref(), Some("anna"));
    }
    for (seed, text, why) in [
        (1, String::new(), "not one line"),
        (1, format!("# {}", line(1)), "not one line"),
        // The second would grant what the row does not show.
        (1, format!("{}\n{}", line(1), line(2)), "not one line"),
        (2, line(1), "another key than its identity"),
        (1, format!("from=\"10.0.0.1\" {}", line(1)), "'from' is not known here"),
        (1, format!("{}A", line(1)), "key"),
        (1, "x\u{1b}y=\"1\" ssh-ed25519 AAAA".into(), "key"),
    ] {
        let error = row(seed, &text).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains('\u{1b}'), "{text:?}: {error:?}");
    }
    assert!(AuthorizedKeys::parse_row(&key(1).as_bytes()[..31], &line(1)).is_err());
}

#[test]
fn blanks_and_tabs_between_fields_a_mark_before_them_and_cr_lf_are_as_one_blank() {
    for between in [" ", "  ", "\t", " \t "] {
        let line = apart(between);
        assert_eq!(read_public(format!("{line}{between}anna\r\n")), Ok(key(1)), "{between:?}");
        let text = format!(
            "\u{feff}{line}{between}anna\r\n\r\n\tddes-role=\"operator\"{between}{}\r\n",
            self::line(2)
        );
        let (keys, errors) = AuthorizedKeys::parse(&text);
        assert_eq!((keys.len(), errors), (2, vec![]), "{between:?}");
        assert_eq!(keys.get(&key(1)).unwrap().name.as_deref(), Some("anna"));
        let servers = KnownServers::parse(format!("a:1{between}{line}{between}note\r\n")).unwrap();
        assert_eq!(servers.contact(&at("a:1"), &key(1)), Contact::Known, "{between:?}");
    }
}

#[test]
fn what_is_no_line_of_known_servers_is_an_error_and_never_a_first_contact() {
    let bad = [
        "\u{feff}a:1 KEY",
        "\u{feff}# a comment",
        "[a]:1 KEY",
        "a:1,b:1 KEY",
        "|1|c2FsdA==|aGFzaA== KEY",
        "@revoked a:1 KEY",
        "a KEY",
        "a:1",
        "a:1 ssh-rsa AAAA",
        "a:1 KE",
        "\u{fffd}:1 KEY",
    ];
    for bad in bad {
        let text = bad.replace("KEY", &line(1));
        assert_eq!(KnownServers::parse(&text).unwrap_err().line, 1, "{bad}");
        if !bad.starts_with('\u{feff}') {
            let text = format!("# mine\r\n{} \n{text}\n", format_args!("b:2 {}", line(2)));
            assert_eq!(KnownServers::parse(&text).unwrap_err().line, 3, "{bad}");
        }
    }
}

#[test]
fn every_line_of_known_servers_that_is_kept_is_kept_byte_for_byte() {
    let head =
        [b"# m\xfcne\r\n\n".to_vec(), format!("A:1\t{}  the old one\r\n", line(1)).into_bytes()]
            .concat();
    let tail = format!("b:2 {} no line end", line(2)).into_bytes();
    let mut servers = KnownServers::parse([&head[..], &tail].concat()).unwrap();
    servers.add(&at("a:1"), key(1));
    assert_eq!(servers.to_bytes(), [&head[..], &tail].concat());
    servers.add(&at("c:3"), key(3));
    let added = format!("\nc:3 {}\n", line(3)).into_bytes();
    assert_eq!(servers.to_bytes(), [&head[..], &tail, &added].concat());
    servers.remove(&at("b:2"));
    assert_eq!(servers.to_bytes(), [&head[..], &added[1..]].concat());
}

#[test]
fn one_server_has_one_name() {
    let names = [
        ("[::1]:5566", &["::1:5566", "[0:0::1]:05566", "0:0:0:0:0:0:0:1:5566"][..]),
        (
            "127.0.0.1:5566",
            &[
                "localhost:5566",
                "LocalHost.:5566",
                "[::ffff:127.0.0.1]:5566",
                "127.1:5566",
                "0x7f000001:5566",
                "0177.0.1:5566",
            ],
        ),
        ("counter.example:1", &["Counter.EXAMPLE:1", "counter.example.:1"]),
        ("[2001:db8::a]:7", &["2001:DB8:0::A:7"]),
        ("[fe80::1%eth0]:7", &["fe80::1%eth0:7"]),
    ];
    for (name, others) in names {
        assert_eq!(at(name).to_string(), name);
        for other in others {
            assert_eq!((at(other), at(other).to_string()), (at(name), name.to_owned()));
        }
    }
    assert_ne!(at("[::1]:5566"), at("127.0.0.1:5566"));
    assert_ne!(at("a:1"), at("a:2"));
    // A resolver is asked for what it knows.
    assert_eq!(
        (at("localhost:1").host(), at("[::1]:1").host()),
        ("localhost".into(), "::1".into())
    );
}

#[test]
fn what_is_no_address_is_refused_with_the_right_form() {
    let bad = [
        "",
        ":",
        ":5566",
        "a",
        "a:",
        "a:0",
        "a:65536",
        "a:+1",
        "a: 1",
        "a b:1",
        " a:1",
        "a:1\n",
        "a\n:1",
        "a,b:1",
        "#x:1",
        "::1",
        "[::1]",
        "[::1]5566",
        "[a]:1",
        "[127.0.0.1]:1",
        "*:1",
        "|1|x:1",
        "a\u{1b}[2J:1",
        "127.1.1.1.1:1",
        "0x1ffffffff:1",
        "256.0.0.1:1",
        "m\u{fc}ller:1",
        "\u{feff}a:1",
        "fe80::1%:1",
        ".:1",
    ];
    for text in bad {
        let error = text.parse::<ServerAddress>().unwrap_err().to_string();
        assert!(
            error.contains("is not HOST:PORT") && error.contains("[2001:db8::7]:5566"),
            "{text:?}: {error}"
        );
        assert!(!error.contains(['\n', '\u{1b}']), "{error:?}");
    }
    assert!(format!("{}:1", "a".repeat(253)).parse::<ServerAddress>().is_ok());
    assert!(format!("{}:1", "a".repeat(254)).parse::<ServerAddress>().is_err());
}

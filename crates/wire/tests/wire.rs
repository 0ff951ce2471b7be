//! Frames, values and the key of opcode 10.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]

use ddes_wire::classic::{self, AggregateResult, Data, DhKeyError, DhPublicKey};
use ddes_wire::frame::{self, Header, TooLong};
use ddes_wire::{Amount, ClientId, Total};

#[test]
fn a_header_is_opcode_then_length_big_endian() {
    let header = Header { opcode: 30, length: 0x0102_0304 };
    assert_eq!(header.encode(), [0, 0, 0, 30, 1, 2, 3, 4]);
    assert_eq!(Header::decode(header.encode()), header);
}

#[test]
fn a_frame_is_given_only_when_it_is_whole() {
    let bytes = [0, 0, 0, 50, 0, 0, 0, 3, b'b', b'y', b'e', 0xff];
    for cut in 0..11 {
        assert_eq!(frame::split(&bytes[..cut], 16), Ok(None), "{cut} bytes");
    }
    let frame = frame::split(&bytes, 16).unwrap().unwrap();
    assert_eq!((frame.body, frame.len()), (&b"bye"[..], 11));
}

/// C-02.
#[test]
fn a_length_beyond_the_bound_is_refused_on_sight_of_the_header() {
    let header = Header { opcode: 30, length: classic::BODY_MAX + 1 }.encode();
    let too_long = TooLong { length: 65_537, most: 65_536 };
    assert_eq!(frame::split(&header, classic::BODY_MAX), Err(too_long));
    let largest = Header { opcode: 30, length: classic::BODY_MAX }.encode();
    assert_eq!(frame::split(&largest, classic::BODY_MAX), Ok(None));
}

#[test]
fn bodies_are_taken_apart_from_their_ends() {
    let body: Vec<u8> = (0..80).collect();
    let data = Data::decode(&body).unwrap();
    assert_eq!((data.ciphertext, data.authenticated), (&body[..32], &body[..48]));
    assert_eq!((&data.token[..], &data.hmac[..]), (&body[32..48], &body[48..]));
    assert!(Data::decode(&body[..47]).is_none());
    let result = AggregateResult::decode(&body[..40]).unwrap();
    assert_eq!((result.ciphertext, &result.hmac[..]), (&body[..8], &body[8..40]));
    assert!(AggregateResult::decode(&body[..31]).is_none());
}

/// C-14: with or without a UUID, and shorter than 8 bytes.
#[test]
fn the_integer_is_the_first_eight_bytes_or_all_there_is() {
    let id = ClientId::random([0xff; 16]);
    assert_eq!(classic::amount(&classic::plaintext(42, &id)), Amount::from(42_u64));
    assert_eq!(classic::amount(&[0xff; 24]), Amount::from(u64::MAX));
    assert_eq!(classic::amount(&[1, 0]), Amount::from(256_u64));
    assert_eq!(classic::amount(&[]), Amount::from(0_u64));
}

/// C-15: one text for each sum.
#[test]
fn a_sum_has_one_decimal_text() {
    let largest = i128::MAX.to_string();
    for (text, sum) in [("0", 0), ("92", 92), (largest.as_str(), i128::MAX)] {
        assert_eq!(classic::total(text.as_bytes()), Some(Total::new(sum)), "{text}");
    }
    let beyond = (i128::MAX as u128 + 1).to_string();
    for text in [
        "",
        "00",
        "042",
        "+42",
        "-1",
        " 42",
        "42 ",
        "4_2",
        "4.2",
        "x",
        beyond.as_str(),
        &"9".repeat(40),
    ] {
        assert_eq!(classic::total(text.as_bytes()), None, "{text}");
    }
}

/// RFC 9562, section 5.4 and appendix A.3.
#[test]
fn a_random_client_id_is_a_version_4_uuid() {
    let id = ClientId::random(0x919108f7_52d1_0320_1bac_f847db4148a8_u128.to_be_bytes());
    assert_eq!(id.to_string(), "919108f7-52d1-4320-9bac-f847db4148a8");
    assert_eq!(id.as_integer(), 0x919108f7_52d1_4320_9bac_f847db4148a8);
}

/// Made by pyca cryptography 50: PKCS#3 for a group that OpenSSL does not know, X9.42 for
/// ffdhe2048.
const PKCS3: &str = include_str!("data/pkcs3.pem");
const X942: &str = include_str!("data/x942.pem");

/// C-06.
#[test]
fn both_forms_of_a_key_are_read() {
    for (pem, first_byte_of_prime) in [(PKCS3, 0x86), (X942, 0xff)] {
        let key = DhPublicKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!((key.prime.len(), key.prime[0]), (256, first_byte_of_prime));
        assert_eq!(key.generator, [2]);
        assert!((255..=256).contains(&key.public.len()));
    }
}

#[test]
fn what_we_write_is_what_the_original_writes() {
    let key = DhPublicKey::from_pem(PKCS3.as_bytes()).unwrap();
    assert_eq!(key.to_pem().unwrap(), PKCS3);
}

/// C-06. Each text was given to pyca cryptography 48, whose verdict stands beside it.
#[test]
fn a_key_is_read_in_every_text_that_the_originals_library_reads() {
    let base64: String = PKCS3.lines().filter(|line| !line.starts_with('-')).collect();
    let lines = |length: usize| {
        let lines = base64.as_bytes().chunks(length).map(|line| std::str::from_utf8(line).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    };
    let block =
        |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let expected = DhPublicKey::from_pem(PKCS3.as_bytes()).unwrap();
    for (what, text, is_read) in [
        ("76 columns", block(&lines(76)), true),
        ("one line", block(&base64), true),
        ("no line ends", block(&base64).replace('\n', ""), true),
        ("NUL behind", format!("{PKCS3}\0"), true),
        ("text behind", format!("{PKCS3}hello\n"), true),
        ("text before", format!("hello\n{PKCS3}"), true),
        ("a BOM", format!("\u{feff}{PKCS3}"), true),
        ("CR LF", PKCS3.replace('\n', "\r\n"), true),
        ("no final line end", PKCS3.trim_end().to_owned(), true),
        ("blanks at line ends", PKCS3.replace('\n', " \n"), true),
        ("twice", format!("{PKCS3}{PKCS3}"), true),
        ("NUL inside", block(&lines(64).replacen('M', "\0", 1)), false),
        ("another block first", format!("{}{PKCS3}", PKCS3.replace("PUBLIC KEY", "X")), false),
        ("another end", PKCS3.replace("END PUBLIC", "END PRIVATE"), false),
    ] {
        let key = DhPublicKey::from_pem(text.as_bytes());
        assert_eq!(key.as_ref().ok(), is_read.then_some(&expected), "{what}: {key:?}");
    }
}

/// C-06.
#[test]
fn garbage_in_the_keys_place_is_refused_by_name() {
    let relabelled = PKCS3.replace("PUBLIC KEY", "PRIVATE KEY");
    let truncated = PKCS3.replace("MIICJ", "MIIBJ");
    // An Ed25519 key (RFC 8410, section 10.1).
    let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    for (text, error) in [
        ("", DhKeyError::Pem),
        ("GET / HTTP/1.1", DhKeyError::Pem),
        (relabelled.as_str(), DhKeyError::Pem),
        ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", DhKeyError::Der),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", DhKeyError::Der),
        (truncated.as_str(), DhKeyError::Der),
        (ed25519, DhKeyError::Algorithm),
    ] {
        assert_eq!(DhPublicKey::from_pem(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(DhPublicKey::from_pem(&[0xff; 100]), Err(DhKeyError::Pem));
}

#[test]
fn no_single_changed_byte_of_a_key_panics_the_parser() {
    let pem = PKCS3.as_bytes();
    for at in 0..pem.len() {
        for value in [0, b'\n', b'-', b'A', b'/', 0xff] {
            let mut changed = pem.to_vec();
            changed[at] = value;
            if let Ok(key) = DhPublicKey::from_pem(&changed) {
                assert!(key.to_pem().is_ok());
            }
        }
    }
}

mod d_ddes_2 {
    use ddes_wire::v2::{
        Data, Farewell, IdentityProof, Outcome, Reason, Rejection, Scope, Status, Suite,
        VALUES_MAX, Welcome,
    };
    use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    /// P-01.
    #[test]
    fn suites_have_the_numbers_and_names_of_the_table() {
        let table = Suite::ALL.map(|suite| (suite.id(), suite.name()));
        let expected = [
            (0x01, "hybrid"),
            (0x11, "hybrid-3072"),
            (0x21, "hybrid-4096"),
            (0x02, "ddes"),
            (0x12, "ddes-3072"),
            (0x22, "ddes-4096"),
        ];
        assert_eq!(table, expected);
        assert_eq!((0..=255).filter(|id| Suite::from_id(*id).is_some()).count(), 6);
    }

    /// P-10.
    #[test]
    fn a_20_has_its_fields_in_their_places() {
        let body = bytes(
            "000102030405060708090a0b0c0d0e0f00000000000000070000000000000002000000000000000600\
                          00000000000000000000000000005c0000ea601ffa",
        );
        let welcome = Welcome::decode(&body).unwrap();
        assert_eq!(welcome.token.as_bytes()[15], 15);
        assert_eq!(
            (welcome.session, welcome.idle_millis, welcome.values_max),
            (SessionNumber::new(7), 60_000, 8186)
        );
        let (last_seq, last_session, sum) =
            (Sequence::new(2), SessionNumber::new(6), Total::new(92));
        assert_eq!(welcome.standing, Standing { last_seq, last_session, sum });
        assert_eq!(welcome.encode(), body);
        let mut many = body.clone();
        many[61] += 1;
        let mut none = body.clone();
        none[60..].fill(0);
        for wrong in [&body[..61], &[&body[..], &[0]].concat(), &many, &none] {
            assert!(Welcome::decode(wrong).is_none());
        }
    }

    /// P-11.
    #[test]
    fn a_30_has_as_many_values_as_it_says_and_at_least_one() {
        let token = Token::new([7; 16]);
        let data = Data { first_seq: Sequence::new(3), values: vec![42, -1, i64::MIN].into() };
        let body = data.encode(&token).unwrap();
        assert_eq!(body.len(), 26 + 24);
        assert_eq!(
            body[16..],
            bytes("00000000000000030003000000000000002affffffffffffffff8000000000000000")
        );
        let (carried, rest) = Data::token(&body).unwrap();
        assert_eq!(carried.as_bytes(), token.as_bytes());
        let decoded = Data::decode(rest, 3).unwrap();
        assert_eq!((decoded.first_seq, decoded.values), (data.first_seq, data.values));
        assert!(Data::decode(rest, 2).is_none());
        assert!(Data::token(&body[..15]).is_none());
        for length in 0..rest.len() {
            assert!(Data::decode(&rest[..length], VALUES_MAX).is_none(), "{length}");
        }
        assert!(Data::decode(&[rest, &[0; 8]].concat(), VALUES_MAX).is_none());
        assert!(Data::decode(&bytes("00000000000000030000"), VALUES_MAX).is_none());
        for count in [0, 8187] {
            assert!(
                Data { first_seq: Sequence::new(1), values: vec![0; count].into() }
                    .encode(&token)
                    .is_none()
            );
        }
    }

    /// P-12.
    #[test]
    fn a_40_has_a_known_status_and_its_length() {
        let body = bytes("00000000000000000200000000000000000000000000000000ff");
        assert!(Outcome::decode(&body).is_none());
        let outcome = Outcome::decode(&body[..25]).unwrap();
        assert_eq!(
            outcome,
            Outcome { status: Status::Applied, last_seq: Sequence::new(2), sum: Total::ZERO }
        );
        assert_eq!(outcome.encode(), body[..25]);
        let known = (0..=255)
            .filter(|status| Outcome::decode(&[&[*status], &body[1..25]].concat()).is_some());
        assert_eq!(known.collect::<Vec<_>>(), [0, 1, 3, 4]);
    }

    /// P-13.
    #[test]
    fn a_50_has_a_known_reason_and_scope_and_a_text_fit_to_be_shown() {
        let farewell = Farewell {
            reason: Reason::Operator,
            scope: Scope::All,
            last_seq: Sequence::new(2),
            sum: Total::new(-1),
            text: "ends".into(),
        };
        let body = farewell.encode();
        assert_eq!(body, bytes("0a010000000000000002ffffffffffffffffffffffffffffffff656e6473"));
        assert_eq!(Farewell::decode(&body), Some(farewell.clone()));
        let with = |at: usize, byte: u8| {
            let mut body = body.clone();
            body[at] = byte;
            Farewell::decode(&body)
        };
        assert_eq!(
            (with(0, 12), with(1, 2), with(26, 0xff), Farewell::decode(&body[..25])),
            (None, None, None, None)
        );
        assert_eq!(with(26, 0x1b).unwrap().text, "nds");
        let hidden =
            "\u{1b}[2J\u{202e}\u{2066}a\u{2028}\u{e0041}\u{200d}\u{fe0f}\u{e000}\u{378}é 漢\u{7f}";
        let farewell = Farewell { text: hidden.into(), ..farewell };
        assert_eq!(Farewell::decode(&farewell.encode()).unwrap().text, "[2Jaé 漢");
        let rejection = Rejection { reason: Reason::TooMany, text: hidden.into() };
        assert_eq!(Rejection::decode(&rejection.encode()).unwrap().text, "[2Jaé 漢");
        let long = Farewell { text: "ä".repeat(200), ..farewell };
        assert_eq!(long.encode().len(), 26 + 256);
        assert!(Farewell::decode(&[&long.encode()[..], b"x"].concat()).is_none());
        let rejection = Rejection { reason: Reason::TooMany, text: "later".into() };
        assert_eq!(Rejection::decode(&rejection.encode()), Some(rejection));
        assert_eq!((Rejection::decode(&[]), Rejection::decode(&[12])), (None, None));
    }

    /// P-14.
    #[test]
    fn a_proof_is_a_key_and_a_signature() {
        let plaintext: Vec<u8> = (0..96).collect();
        let proof = IdentityProof::decode(&plaintext).unwrap();
        assert_eq!((proof.key[31], proof.signature[0]), (31, 32));
        assert_eq!(proof.encode(), plaintext);
        assert!(
            IdentityProof::decode(&plaintext[..95]).is_none()
                && IdentityProof::decode(&[0; 97]).is_none()
        );
    }
}

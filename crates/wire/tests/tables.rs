//! The tables of PROTOCOL.md, written out a second time, and the ends of every range.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and knows its numbers")]

use ddes_wire::frame::{self, Frame, Header, Opcode};
use ddes_wire::v2::{
    Data, Farewell, GroupSize, Hello, HelloError, IdentityProof, Outcome, Reason, Rejection, Scope,
    Status, Suite, TEXT_BYTES_MAX, VALUES_MAX, Welcome,
};
use ddes_wire::{
    Amount, ClientId, OverflowError, Sequence, SessionNumber, Standing, Token, Total, classic,
};
use subtle::ConstantTimeEq;

#[test]
fn the_five_opcodes_have_their_numbers_and_no_other_number_is_one() {
    let five = [
        (10, Opcode::KeyVerification),
        (20, Opcode::SessionToken),
        (30, Opcode::EncryptedData),
        (40, Opcode::EncryptedResult),
        (50, Opcode::Disconnect),
    ];
    for (number, opcode) in five {
        assert_eq!((Opcode::from_number(number), opcode.number()), (Some(opcode), number));
        assert_eq!(opcode.to_string(), number.to_string());
    }
    let known =
        (0..=1_000).chain([u32::MAX]).filter(|number| Opcode::from_number(*number).is_some());
    assert_eq!(known.collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
}

#[test]
fn every_bit_of_a_header_has_its_place() {
    for bit in 0..32 {
        let header = Header { opcode: 1 << bit, length: 1 << (31 - bit) };
        let bytes = [header.opcode.to_be_bytes(), header.length.to_be_bytes()].concat();
        assert_eq!(header.encode(), bytes[..]);
        assert_eq!(Header::decode(header.encode()), header);
    }
    // A frame has a header, so none is empty.
    let frame = frame::split(&[0, 0, 0, 50, 0, 0, 0, 0], 0).unwrap().unwrap();
    assert_eq!((frame.len(), frame.is_empty(), frame.body), (8, false, &b""[..]));
    assert_eq!(frame, Frame { header: Header { opcode: 50, length: 0 }, body: b"" });
}

/// P-01, and what the table of messages says of lengths.
#[test]
fn a_suite_says_its_group_its_noise_and_the_lengths_of_its_first_messages() {
    let table = [
        (
            0x01,
            GroupSize::Bits2048,
            true,
            "Noise_NNhfs_FFDHE2048+MLKEM768_DDESChaCha_SHA256",
            1_442,
            1_376,
        ),
        (
            0x11,
            GroupSize::Bits3072,
            true,
            "Noise_NNhfs_FFDHE3072+MLKEM768_DDESChaCha_SHA256",
            1_570,
            1_504,
        ),
        (
            0x21,
            GroupSize::Bits4096,
            true,
            "Noise_NNhfs_FFDHE4096+MLKEM768_DDESChaCha_SHA256",
            1_698,
            1_632,
        ),
        (0x02, GroupSize::Bits2048, false, "Noise_NN_FFDHE2048_DDES_SHA256", 258, 272),
        (0x12, GroupSize::Bits3072, false, "Noise_NN_FFDHE3072_DDES_SHA256", 386, 400),
        (0x22, GroupSize::Bits4096, false, "Noise_NN_FFDHE4096_DDES_SHA256", 514, 528),
    ];
    for (id, group, is_hybrid, noise, hello, answer) in table {
        let suite = Suite::from_id(id).unwrap();
        assert_eq!((suite.id(), suite.group(), suite.is_hybrid()), (id, group, is_hybrid));
        assert_eq!(
            (suite.noise_name(), suite.hello_bytes(), suite.answer_bytes()),
            (noise, hello, answer)
        );
    }
    let sizes = [GroupSize::Bits2048, GroupSize::Bits3072, GroupSize::Bits4096]
        .map(GroupSize::public_bytes);
    assert_eq!(sizes, [256, 384, 512]);
}

#[test]
fn a_hello_has_exactly_its_suites_length_and_this_version() {
    for suite in Suite::ALL {
        let noise: Vec<u8> = (0..=255).cycle().take(suite.hello_bytes() - 2).collect();
        let body = Hello { suite, noise: &noise }.encode();
        assert_eq!(body, [&[2, suite.id()], &noise[..]].concat());
        assert_eq!(Hello::decode(&body), Ok(Hello { suite, noise: &noise }));
        let longer = [&body[..], &[0]].concat();
        for wrong in [&body[..body.len() - 1], &longer] {
            assert_eq!(Hello::decode(wrong), Err(HelloError::Length { length: wrong.len() }));
        }
        for version in [0, 1, 3, 255] {
            let mut other = body.clone();
            other[0] = version;
            let suite = suite.id();
            assert_eq!(Hello::decode(&other), Err(HelloError::Unsupported { version, suite }));
        }
    }
    assert_eq!(Hello::decode(&[2, 0]), Err(HelloError::Unsupported { version: 2, suite: 0 }));
    for length in 0..2 {
        assert_eq!(Hello::decode(&[2; 2][..length]), Err(HelloError::Length { length }));
    }
}

#[test]
fn plaintexts_have_the_lengths_that_the_protocol_says() {
    assert_eq!((Welcome::BYTES, Outcome::BYTES, IdentityProof::BYTES), (62, 25, 96));
    assert_eq!([0, 1, 2, 8_186].map(Data::bytes), [26, 34, 42, 65_514]);
    let token = Token::new([9; 16]);
    for count in [1, 2, VALUES_MAX] {
        let values: Vec<i64> = (0..i64::from(count)).map(|value| value - 5).collect();
        let data = Data { first_seq: Sequence::new(7), values: values.clone().into() };
        let plaintext = data.encode(&token).unwrap();
        assert_eq!(plaintext.len(), Data::bytes(values.len()));
        let (_, rest) = Data::token(&plaintext).unwrap();
        assert_eq!(Data::decode(rest, count).unwrap().values[..], values);
        assert!(Data::decode(rest, count - 1).is_none());
        let amounts: Vec<i128> = data.amounts().iter().map(|amount| amount.get()).collect();
        assert_eq!(amounts, values.iter().map(|value| i128::from(*value)).collect::<Vec<_>>());
    }
    let mut out = b"before".to_vec();
    for values in [&[][..], &[0; 8_187]] {
        assert!(Data::write(&token, Sequence::new(1), values, &mut out).is_none());
    }
    assert_eq!(out, b"before");
}

/// A count that says more or fewer values than there are, each by one.
#[test]
fn a_30_whose_count_is_off_by_one_is_none() {
    for (count, values) in [(1_u16, 0), (1, 2), (2, 1), (2, 3)] {
        let body = [&1_u64.to_be_bytes()[..], &count.to_be_bytes(), &vec![0; 8 * values]].concat();
        assert!(Data::decode(&body, VALUES_MAX).is_none(), "{count} said, {values} there");
    }
}

#[test]
fn a_20_states_between_1_and_8186_values_a_frame() {
    let welcome = |values_max| Welcome {
        token: Token::new([1; 16]),
        session: SessionNumber::new(u64::MAX),
        standing: Standing {
            last_seq: Sequence::new(1),
            last_session: SessionNumber::new(2),
            sum: Total::new(i128::MIN),
        },
        idle_millis: u32::MAX,
        values_max,
    };
    for (values_max, is_taken) in
        [(0, false), (1, true), (8_186, true), (8_187, false), (u16::MAX, false)]
    {
        let decoded = Welcome::decode(&welcome(values_max).encode());
        assert_eq!(decoded.is_some(), is_taken, "{values_max}");
    }
}

/// P-12, P-13.
#[test]
fn statuses_and_reasons_have_their_numbers_and_each_reason_its_words() {
    let statuses =
        [(0, Status::Applied), (1, Status::Gap), (3, Status::Malformed), (4, Status::Unavailable)];
    for (number, status) in statuses {
        assert_eq!(Status::from_number(number), Some(status));
        let outcome = Outcome { status, last_seq: Sequence::new(u64::MAX), sum: Total::new(-2) };
        let plaintext = outcome.encode();
        let expected = [&[number], &[0xff; 8][..], &[0xff; 15], &[0xfe]].concat();
        assert_eq!((plaintext.to_vec(), Outcome::decode(&plaintext)), (expected, Some(outcome)));
        assert_eq!(Outcome::decode(&plaintext[..24]), None);
    }
    let reasons = [
        Reason::Bye,
        Reason::Idle,
        Reason::ShuttingDown,
        Reason::Superseded,
        Reason::NotAuthorized,
        Reason::Token,
        Reason::Authentication,
        Reason::Protocol,
        Reason::Unsupported,
        Reason::TooMany,
        Reason::Operator,
        Reason::TooOld,
    ];
    for (number, reason) in (0..).zip(reasons) {
        assert_eq!(Reason::from_number(number), Some(reason));
        assert!(reason.text().len() >= 3 && reason.text().len() <= TEXT_BYTES_MAX);
        assert!(reasons.iter().all(|other| other == &reason || other.text() != reason.text()));
    }
    assert_eq!((12..=255).filter_map(Reason::from_number).count(), 0);
    assert_eq!((5..=255).chain([2]).filter_map(Status::from_number).count(), 0);
    assert!(
        Reason::Superseded.text().contains("newer session")
            && Reason::Idle.text().contains("no data")
    );
}

#[test]
fn the_text_of_a_50_ends_at_256_bytes() {
    let farewell = |length: usize| Farewell {
        reason: Reason::Bye,
        scope: Scope::Session,
        last_seq: Sequence::NONE,
        sum: Total::ZERO,
        text: "x".repeat(length),
    };
    for length in [0, 1, 255, 256] {
        assert_eq!(Farewell::decode(&farewell(length).encode()), Some(farewell(length)));
        let rejection = Rejection { reason: Reason::TooMany, text: "y".repeat(length) };
        assert_eq!(rejection.encode(), [&[9], "y".repeat(length).as_bytes()].concat());
        assert_eq!(Rejection::decode(&rejection.encode()), Some(rejection));
    }
    assert_eq!(farewell(257).encode(), farewell(256).encode());
    let longer = [&farewell(256).encode()[..], b"x"].concat();
    assert_eq!(
        (Farewell::decode(&longer), Farewell::decode(&longer[..282])),
        (None, Some(farewell(256)))
    );
    assert_eq!(Rejection::decode(&[&[9][..], &[b'y'; 257]].concat()), None);
    assert_eq!(Rejection::decode(b"\x09a\x07b\xc2\x9bc").unwrap().text, "abc");
    // A scope of its own number.
    let all = Farewell { scope: Scope::All, ..farewell(1) }.encode();
    assert_eq!((all[1], Farewell::decode(&all).unwrap().scope), (1, Scope::All));
}

#[test]
fn numbers_end_where_their_types_do_and_never_wrap() {
    let i64_min = i128::from(i64::MIN);
    for value in
        [i64_min, -1, 0, 1, i128::from(i64::MAX), i128::from(i64::MAX) + 1, i128::from(u64::MAX)]
    {
        assert_eq!(Amount::try_from(value).unwrap().get(), value);
        assert_eq!(Amount::try_from(value).unwrap().to_string(), value.to_string());
    }
    for value in [i64_min - 1, i128::from(u64::MAX) + 1, i128::MIN, i128::MAX] {
        assert_eq!(Amount::try_from(value), Err(OverflowError));
    }
    let total = Total::new(i128::MAX - 1).plus(Amount::from(1_u64)).unwrap();
    assert_eq!((total.get(), total.plus(Amount::from(1_u64))), (i128::MAX, Err(OverflowError)));
    assert_eq!(Total::new(i128::MIN).plus(Amount::from(-1_i64)), Err(OverflowError));
    assert_eq!(Total::new(-5).plus(Amount::from(-6_i64)).unwrap().to_string(), "-11");
    let last = Sequence::new(u64::MAX - 1).forward(1).unwrap();
    assert_eq!(
        (last.get(), last.forward(0), last.forward(1)),
        (u64::MAX, Ok(last), Err(OverflowError))
    );
    assert_eq!(Sequence::NONE.forward(u64::MAX).unwrap().to_string(), u64::MAX.to_string());
    let last = SessionNumber::new(u64::MAX - 1).next().unwrap();
    assert_eq!((last.get(), last.next()), (u64::MAX, Err(OverflowError)));
    assert_eq!(SessionNumber::NONE.next().unwrap().to_string(), "1");
}

#[test]
fn a_token_is_equal_to_itself_alone_and_shows_nothing() {
    let bytes: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let token = Token::new(bytes);
    assert_eq!(token.as_bytes(), &bytes);
    assert!(bool::from(token.ct_eq(&Token::new(bytes))));
    for bit in 0..128 {
        let mut other = bytes;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!bool::from(token.ct_eq(&Token::new(other))), "bit {bit}");
    }
    assert_eq!(format!("{token:?}"), "Token(..)");
}

/// RFC 9562, section 5.4: four bits of version, two of variant; the other 122 are the randomness.
#[test]
fn the_bits_of_a_uuid_that_are_not_version_or_variant_are_kept() {
    for (entropy, expected) in [
        ([0; 16], "00000000-0000-4000-8000-000000000000"),
        ([0xff; 16], "ffffffff-ffff-4fff-bfff-ffffffffffff"),
    ] {
        let id = ClientId::random(entropy);
        assert_eq!((id.to_string().as_str(), id), (expected, ClientId::new(*id.as_bytes())));
        assert_eq!(id.as_integer().to_be_bytes(), *id.as_bytes());
    }
}

/// C-14, C-15.
#[test]
fn classic_bodies_hold_the_integer_first_and_sums_of_39_digits_at_most() {
    let id = ClientId::new([0xab; 16]);
    assert_eq!(classic::plaintext(0x0102_0304_0506_0708, &id)[..9], [1, 2, 3, 4, 5, 6, 7, 8, 0xab]);
    assert_eq!(classic::amount(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).get(), 0x0102_0304_0506_0708);
    assert_eq!(classic::BODY_MAX, 65_536);
    let most = i128::MAX.to_string();
    assert_eq!((most.len(), classic::total(most.as_bytes())), (39, Some(Total::new(i128::MAX))));
    for text in
        ["9".repeat(39), "1".repeat(40), format!("1{}", "0".repeat(39)), "1x".into(), "10x".into()]
    {
        assert_eq!(classic::total(text.as_bytes()), None, "{text}");
    }
}

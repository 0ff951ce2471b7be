//! P-01 to P-04: the handshake of each suite: both sides agree, and nothing that was changed on the
//! way passes.

use ddes_session::v2::kem::KemError;
use ddes_session::v2::noise::{Entropy, Finished, Initiator, NoiseError, respond};
use ddes_session::v2::{Ffdhe, prologue, protocol};
use ddes_wire::v2::{GroupSize, Hello, HelloError, Suite};
use zeroize::Zeroizing;

fn entropy(seed: u8) -> Entropy {
    Entropy {
        dh: Zeroizing::new((0..64).map(|i| seed ^ i).collect()),
        kem: Zeroizing::new([seed; 64]),
    }
}

fn start(suite: Suite) -> (Initiator<Ffdhe, ddes_cipher::Function>, Vec<u8>) {
    Initiator::start(protocol(suite), &prologue(suite), &entropy(1), &[])
}

fn answer(
    suite: Suite,
    message: &[u8],
) -> Result<(Finished, Vec<u8>), NoiseError<ddes_ffdhe::PublicValueError>> {
    respond(&protocol(suite), &prologue(suite), &entropy(2), message, &[])
        .map(|response| (response.finished, response.message))
}

#[test]
fn both_sides_hold_the_same_keys_in_every_suite_and_the_lengths_are_the_tables() {
    let lengths = [(1442, 1376), (1570, 1504), (1698, 1632), (258, 272), (386, 400), (514, 528)];
    let mut hashes = Vec::new();
    for (suite, (hello, reply)) in Suite::ALL.into_iter().zip(lengths) {
        let (initiator, first) = start(suite);
        let body = Hello { suite, noise: &first }.encode();
        assert_eq!((body.len(), suite.hello_bytes()), (hello, hello), "{suite:?}");
        assert_eq!(Hello::decode(&body).unwrap().noise, first);
        let (server, second) = answer(suite, &first).unwrap();
        assert_eq!((second.len(), suite.answer_bytes()), (reply, reply), "{suite:?}");
        let (client, payload) = initiator.finish(&second).unwrap();
        assert!(payload.is_empty());
        assert_eq!(client.hash, server.hash);
        assert_eq!((&client.to_server, &client.to_client), (&server.to_server, &server.to_client));
        assert_ne!(client.to_server, client.to_client);
        hashes.push(client.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 6);
}

#[test]
fn any_byte_of_the_second_message_changed_is_refused() {
    let suite = Suite::Hybrid(GroupSize::Bits2048);
    let (_, first) = start(suite);
    let (_, second) = answer(suite, &first).unwrap();
    for position in 0..second.len() {
        let mut changed = second.clone();
        changed[position] ^= 1;
        assert!(start(suite).0.finish(&changed).is_err(), "byte {position}");
    }
}

#[test]
fn a_changed_first_message_leaves_the_sides_apart() {
    let suite = Suite::Ddes(GroupSize::Bits2048);
    let (initiator, mut first) = start(suite);
    first[200] ^= 1;
    let (_, second) = answer(suite, &first).unwrap();
    assert!(initiator.finish(&second).is_err());
}

#[test]
fn another_suite_on_the_other_side_is_refused() {
    let (ours, theirs) =
        (Suite::Ddes(GroupSize::Bits2048), prologue(Suite::Ddes(GroupSize::Bits3072)));
    let (initiator, first) = start(ours);
    let response = respond(&protocol(ours), &theirs, &entropy(2), &first, &[]).unwrap();
    assert!(initiator.finish(&response.message).is_err());
}

#[test]
fn messages_cut_short_are_refused() {
    let suite = Suite::Hybrid(GroupSize::Bits2048);
    let (_, first) = start(suite);
    let (_, second) = answer(suite, &first).unwrap();
    for length in [0, 1, 255, 256, 1439] {
        assert!(matches!(answer(suite, &first[..length]), Err(NoiseError::Length)), "{length}");
    }
    for length in [0, 255, 256, 1359, 1360, 1375] {
        assert!(
            matches!(start(suite).0.finish(&second[..length]), Err(NoiseError::Length)),
            "{length}"
        );
    }
}

#[test]
fn public_values_outside_the_group_are_refused_by_both_sides() {
    let suite = Suite::Ddes(GroupSize::Bits2048);
    let (_, first) = start(suite);
    let (_, second) = answer(suite, &first).unwrap();
    let one: Vec<u8> = [&[0; 255][..], &[1]].concat();
    for value in [vec![0; 256], one, vec![0xff; 256]] {
        assert!(matches!(answer(suite, &value), Err(NoiseError::Dh(_))));
        let message = [&value[..], &second[256..]].concat();
        assert!(matches!(start(suite).0.finish(&message), Err(NoiseError::Dh(_))));
    }
}

/// FIPS 203, section 7.2: a coefficient of q or more.
#[test]
fn an_ml_kem_key_that_is_not_reduced_is_refused() {
    let suite = Suite::Hybrid(GroupSize::Bits2048);
    let (_, mut first) = start(suite);
    first[256..259].copy_from_slice(&[0xff; 3]);
    assert!(matches!(answer(suite, &first), Err(NoiseError::Kem(KemError::Key))));
}

#[test]
fn a_first_body_of_another_version_suite_or_length_is_named() {
    let suite = Suite::Ddes(GroupSize::Bits2048);
    let (_, first) = start(suite);
    let body = Hello { suite, noise: &first }.encode();
    let changed = |at: usize, byte: u8| {
        let mut body = body.clone();
        body[at] = byte;
        Hello::decode(&body).err()
    };
    assert_eq!(changed(0, 1), Some(HelloError::Unsupported { version: 1, suite: 2 }));
    assert_eq!(changed(1, 0x32), Some(HelloError::Unsupported { version: 2, suite: 0x32 }));
    assert_eq!(changed(1, 0x12), Some(HelloError::Length { length: 258 }));
    assert_eq!(Hello::decode(&body[..257]), Err(HelloError::Length { length: 257 }));
    assert_eq!(Hello::decode(&[]), Err(HelloError::Length { length: 0 }));
}

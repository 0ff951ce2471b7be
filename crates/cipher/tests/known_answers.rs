//! Known answers: NIST's for DES, the RFCs' for HKDF and HMAC, another implementation's for Double
//! DES in ECB.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and knows its numbers"
)]

use std::collections::BTreeMap;
use std::path::Path;

use ddes_cipher::{
    Block, Des, DesKey, DoubleDes, Engine, Function, LimitError, NONCE_END, OpenError,
    PLAINTEXT_BYTES_MAX, ecb,
};

/// The cases of a file under `vectors`: `name: value` lines, cases apart by blank lines.
fn cases(file: &str) -> Vec<BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let fields = |case: &str| {
        let lines = case.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(k, v)| (k.trim().into(), v.trim().into()))
            .collect()
    };
    let cases: Vec<BTreeMap<_, _>> =
        text.split("\n\n").map(fields).filter(|case: &BTreeMap<_, _>| !case.is_empty()).collect();
    assert!(cases.len() >= 3, "{file} has {} cases only", cases.len());
    cases
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn block(hex: &str) -> Block {
    bytes(hex).try_into().unwrap()
}

fn encrypted(key: &DesKey, plaintext: Block) -> Block {
    let mut blocks = [plaintext];
    Des::new(key).encrypt(&mut blocks);
    blocks[0]
}

#[test]
fn des_gives_the_answers_of_nist_and_nessie() {
    for file in [
        "des/vartext.txt",
        "des/varkey.txt",
        "des/permop.txt",
        "des/subtab.txt",
        "des/invperm.txt",
        "des/nessie.txt",
    ] {
        for case in cases(file) {
            let key = DesKey::new(block(&case["key"]));
            let mut blocks = [block(&case["pt"])];
            Des::new(&key).encrypt(&mut blocks);
            assert_eq!(blocks, [block(&case["expect"])], "{file}: {}", case["name"]);
            Des::new(&key).decrypt(&mut blocks);
            assert_eq!(blocks, [block(&case["pt"])], "{file}: {}", case["name"]);
        }
    }
}

#[test]
fn hkdf_gives_the_answers_of_rfc_5869() {
    for case in cases("kdf/hkdf-sha256.txt") {
        let (prk, hkdf) =
            hkdf::Hkdf::<sha2::Sha256>::extract(Some(&bytes(&case["salt"])), &bytes(&case["ikm"]));
        assert_eq!(prk.to_vec(), bytes(&case["prk"]), "{}", case["name"]);
        let mut okm = vec![0; case["expect"].len() / 2];
        hkdf.expand(&bytes(&case["info"]), &mut okm).unwrap();
        assert_eq!(okm, bytes(&case["expect"]), "{}", case["name"]);
    }
}

#[test]
fn hmac_gives_the_answers_of_rfc_4231() {
    use hmac::{KeyInit, Mac};
    for case in cases("kdf/hmac-sha256.txt") {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&bytes(&case["key"])).unwrap();
        mac.update(&bytes(&case["data"]));
        mac.verify_truncated_left(&bytes(&case["expect"])).unwrap();
    }
}

#[test]
fn double_des_in_ecb_gives_the_answers_of_pycryptodome() {
    for case in cases("des/double-ecb.txt") {
        let key =
            DoubleDes::new(&DesKey::new(block(&case["key1"])), &DesKey::new(block(&case["key2"])));
        let sealed = ecb::seal(&key, &bytes(&case["pt"]));
        assert_eq!(sealed, bytes(&case["expect"]), "{}", case["name"]);
        assert_eq!(ecb::open(&key, &sealed), Ok(bytes(&case["pt"])), "{}", case["name"]);
    }
}

#[test]
fn a_weak_key_undoes_itself() {
    // FIPS 74, section 3.6: the four weak keys.
    for weak in [
        0x0101_0101_0101_0101_u64,
        0xfefe_fefe_fefe_fefe,
        0xe0e0_e0e0_f1f1_f1f1,
        0x1f1f_1f1f_0e0e_0e0e,
    ] {
        let key = DesKey::new(weak.to_be_bytes());
        let mut blocks = [*b"D-DDES/1"];
        DoubleDes::new(&key, &key).encrypt(&mut blocks);
        assert_eq!(blocks, [*b"D-DDES/1"], "{weak:016x}");
    }
}

#[test]
fn parity_bits_change_nothing() {
    let key = *b"\x01\x23\x45\x67\x89\xab\xcd\xef";
    let other = key.map(|byte| byte ^ 1);
    assert_eq!(encrypted(&DesKey::new(key), [7; 8]), encrypted(&DesKey::new(other), [7; 8]));
}

#[test]
fn complementing_key_and_plaintext_complements_the_ciphertext() {
    let (key, plaintext) =
        (*b"\x13\x34\x57\x79\x9b\xbc\xdf\xf1", *b"\x01\x23\x45\x67\x89\xab\xcd\xef");
    let straight = encrypted(&DesKey::new(key), plaintext);
    let complemented = encrypted(&DesKey::new(key.map(|byte| !byte)), plaintext.map(|byte| !byte));
    assert_eq!(complemented, straight.map(|byte| !byte));
}

#[test]
fn the_inner_pass_uses_the_first_key() {
    let (key1, key2) = (DesKey::new([1; 8]), DesKey::new([2; 8]));
    let mut blocks = [[9; 8]];
    DoubleDes::new(&key1, &key2).encrypt(&mut blocks);
    assert_eq!(blocks[0], encrypted(&key2, encrypted(&key1, [9; 8])));
}

#[test]
fn ciphertexts_that_are_not_whole_blocks_are_refused() {
    let key = DoubleDes::new(&DesKey::new([1; 8]), &DesKey::new([2; 8]));
    for length in [0, 1, 7, 9, 15] {
        assert_eq!(ecb::open(&key, &vec![0; length]), Err(ecb::EcbError::Length), "{length} bytes");
    }
}

#[test]
fn every_wrong_padding_is_refused() {
    let key = DoubleDes::new(&DesKey::new([1; 8]), &DesKey::new([2; 8]));
    let open = |mut plaintext: Block| {
        key.encrypt(std::slice::from_mut(&mut plaintext));
        ecb::open(&key, &plaintext)
    };
    for last in (0..=255).filter(|last| !(1..=8).contains(last)) {
        assert_eq!(
            open([0, 0, 0, 0, 0, 0, 0, last]),
            Err(ecb::EcbError::Padding),
            "last byte {last}"
        );
    }
    for n in 2..=8_u8 {
        for wrong in 1..n {
            let mut plaintext = [n; 8];
            plaintext[7 - usize::from(wrong)] ^= 1;
            assert_eq!(
                open(plaintext),
                Err(ecb::EcbError::Padding),
                "padding {n}, byte {wrong} from the end"
            );
        }
    }
}

/// Every byte of one block, of as many blocks as it says, and of more: a length beyond a block is
/// no padding, however much of it there is.
#[test]
fn a_padding_longer_than_a_block_is_refused() {
    let key = DoubleDes::new(&DesKey::new([1; 8]), &DesKey::new([2; 8]));
    for n in (0..=u8::MAX).filter(|n| !(1..=8).contains(n)) {
        for blocks in [1, usize::from(n).div_ceil(8), 33] {
            let mut ciphertext = vec![[n; 8]; blocks.max(1)];
            key.encrypt(&mut ciphertext);
            let opened = ecb::open(&key, ciphertext.as_flattened());
            assert_eq!(opened, Err(ecb::EcbError::Padding), "{blocks} blocks of {n}");
        }
    }
}

#[test]
fn every_right_padding_is_taken_away() {
    let key = DoubleDes::new(&DesKey::new([1; 8]), &DesKey::new([2; 8]));
    for length in 0..=17 {
        // RFC 5652, section 6.3, written out.
        let n = [8, 7, 6, 5, 4, 3, 2, 1][length % 8];
        let message = vec![n; length];
        let mut padded = [&message[..], &vec![n; usize::from(n)]].concat();
        key.encrypt(padded.as_chunks_mut().0);
        assert_eq!(ecb::seal(&key, &message), padded, "{length} bytes");
        assert_eq!(ecb::open(&key, &padded), Ok(message), "{length} bytes");
    }
}

/// P-05.
#[test]
fn the_cipher_functions_give_the_answers_of_the_specification() {
    for case in cases("ddes2/cipher-functions.txt") {
        let k: [u8; 32] = bytes(&case["k"]).try_into().unwrap();
        let function = match case["name"].as_str() {
            "DDES" => Function::Ddes,
            "DDESChaCha" => Function::DdesChaCha,
            rekey => {
                assert_eq!(rekey, "REKEY");
                assert_eq!(Function::Ddes.rekey(&k).to_vec(), bytes(&case["expect"]));
                continue;
            }
        };
        let (n, ad) = (case["n"].parse().unwrap(), bytes(&case["ad"]));
        let mut text = bytes(&case["pt"]);
        let tag = function.key(&k).seal(n, &ad, &mut text).unwrap();
        assert_eq!([&text[..], &tag].concat(), bytes(&case["expect"]), "{function:?}");
        function.key(&k).open(n, &ad, &mut text, &tag).unwrap();
        assert_eq!(text, bytes(&case["pt"]), "{function:?}");
    }
}

/// P-05, P-07: the counter goes on from batch to batch of the engines, up to the longest text.
#[test]
fn long_texts_are_sealed_as_another_implementation_seals_them() {
    use sha2::Digest;
    for case in cases("ddes2/long-texts.txt") {
        let function = if case["name"] == "DDES" { Function::Ddes } else { Function::DdesChaCha };
        let key = function.key(&bytes(&case["k"]).try_into().unwrap());
        let (n, ad): (u64, _) = (case["n"].parse().unwrap(), bytes(&case["ad"]));
        let length: usize = case["length"].parse().unwrap();
        let plaintext: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut text = plaintext.clone();
        let tag = key.seal(n, &ad, &mut text).unwrap();
        let digest = sha2::Sha256::digest([&text[..], &tag].concat());
        assert_eq!(
            digest.to_vec(),
            bytes(&case["expect"]),
            "{function:?}, {length} bytes, number {n}"
        );
        key.open(n, &ad, &mut text, &tag).unwrap();
        assert!(text == plaintext, "{function:?}, {length} bytes, number {n}");
    }
}

#[test]
fn a_message_with_any_bit_changed_does_not_open_and_is_left_as_it_came() {
    for function in [Function::Ddes, Function::DdesChaCha] {
        let key = function.key(&[7; 32]);
        let (ad, mut text) = ([1, 2, 3, 4], *b"totals that are exact");
        let tag = key.seal(5, &ad, &mut text).unwrap();
        let refused = |n: u64, ad: &[u8], text: &[u8], tag: &[u8; 16]| {
            let mut buffer = text.to_vec();
            assert_eq!(key.open(n, ad, &mut buffer, tag), Err(OpenError::Tag));
            assert_eq!(buffer, text);
        };
        let flip = |bytes: &[u8], bit: usize| {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        (0..8 * text.len()).for_each(|bit| refused(5, &ad, &flip(&text, bit), &tag));
        (0..8 * ad.len()).for_each(|bit| refused(5, &flip(&ad, bit), &text, &tag));
        (0..8 * 16).for_each(|bit| refused(5, &ad, &text, &flip(&tag, bit).try_into().unwrap()));
        (0..48).for_each(|bit| refused(5 ^ 1 << bit, &ad, &text, &tag));
        // The boundary between associated data and text is authenticated too.
        refused(5, &ad[..3], &[&ad[3..], &text].concat(), &tag);
    }
}

/// P-07.
#[test]
fn nonces_and_lengths_end_where_the_block_counter_does() {
    let key = Function::Ddes.key(&[7; 32]);
    assert_eq!(key.seal(NONCE_END, &[], &mut []), Err(LimitError::Nonce));
    assert_eq!(key.open(NONCE_END, &[], &mut [], &[0; 16]), Err(LimitError::Nonce.into()));
    let mut longest = vec![0; PLAINTEXT_BYTES_MAX + 1];
    let length = longest.len();
    assert_eq!(key.seal(1, &[], &mut longest), Err(LimitError::Length { length }));
    assert_eq!(key.open(1, &[], &mut longest, &[0; 16]), Err(LimitError::Length { length }.into()));
    let tag = key.seal(NONCE_END - 1, &[], &mut longest[1..]).unwrap();
    key.open(NONCE_END - 1, &[], &mut longest[1..], &tag).unwrap();
    assert!(longest.iter().all(|byte| *byte == 0));
}

#[test]
fn keystreams_of_different_lengths_nonces_and_functions_share_no_block() {
    let mut seen = std::collections::BTreeSet::new();
    for function in [Function::Ddes, Function::DdesChaCha] {
        for nonce in 0..4 {
            let mut stream = vec![0; 8 * 200];
            function.key(&[7; 32]).seal(nonce, &[], &mut stream).unwrap();
            let mut front = vec![0; 8 * 65 - 3];
            function.key(&[7; 32]).seal(nonce, &[], &mut front).unwrap();
            assert_eq!(front, stream[..front.len()]);
            seen.extend(stream.chunks(8).map(<[u8]>::to_vec));
        }
    }
    assert_eq!(seen.len(), 2 * 4 * 200);
}

/// P-06: both halves of the output of a KDF are the same weak key; the function still takes two
/// keys, neither of them it.
#[test]
fn the_keys_of_a_function_are_never_weak_nor_equal() {
    let weak = DesKey::new([1; 8]);
    let mended = DesKey::new([1, 1, 1, 1, 1, 1, 1, 0xf1]);
    let second = DesKey::new([1, 1, 1, 1, 1, 1, 1, 0xfe]);
    let (key1, key2) = ddes_cipher::key_pair(*weak.as_bytes(), *weak.as_bytes());
    assert_eq!((key1.as_bytes(), key2.as_bytes()), (mended.as_bytes(), second.as_bytes()));
}

/// P-06: all 64 with any parity in either place, every pair that is told apart into one of them,
/// and the 192 as regular whose halves have odd weight.
#[test]
fn keys_are_judged_after_their_parity_is_set_and_again_after_they_are_told_apart() {
    let cases = cases("ddes2/key-pairs.txt");
    assert_eq!(cases.len(), 4 * 64 + 16 + 192);
    for case in cases {
        let (key1, key2) = ddes_cipher::key_pair(block(&case["key1"]), block(&case["key2"]));
        assert_eq!(
            [*key1.as_bytes(), *key2.as_bytes()].concat(),
            bytes(&case["expect"]),
            "{}",
            case["name"]
        );
    }
}

/// One batch of the engine, of 64 to 512 blocks: fewer records gain nothing, more of them cost
/// memory.
#[test]
fn as_many_records_are_made_ahead_as_one_batch_has_room_for() {
    let key = Function::Ddes.key(&[3; 32]);
    for (length, blocks) in
        [(0, 1), (8, 1), (48, 6), (49, 7), (1_000, 125), (PLAINTEXT_BYTES_MAX, 8_190)]
    {
        let covered =
            |ahead: &ddes_cipher::Ahead| (0..2_000).filter(|n| ahead.covers(*n, length)).count();
        let most = covered(&key.ahead(0, 1_000, length));
        let batch = Engine::best(usize::MAX).blocks();
        assert_eq!(most, (batch / blocks).max(1), "records of {length} bytes");
        assert_eq!(covered(&key.ahead(0, 1, length)), 1);
        assert_eq!(covered(&key.ahead(0, 0, length)), 1);
    }
    let last = key.ahead(NONCE_END - 1, 5, 8);
    assert!(
        last.covers(NONCE_END - 1, 8)
            && !last.covers(NONCE_END, 8)
            && !last.covers(NONCE_END - 2, 8)
    );
}

#[test]
fn nothing_secret_is_shown() {
    let key = Function::DdesChaCha.key(&[7; 32]);
    assert_eq!(format!("{key:?} {:?}", key.ahead(0, 2, 8)), "CipherKey(..) Ahead(..)");
    let (des, double) =
        (DesKey::new([7; 8]), DoubleDes::new(&DesKey::new([7; 8]), &DesKey::new([8; 8])));
    assert_eq!(
        format!("{des:?} {:?} {double:?}", Des::new(&des)),
        "DesKey(..) Des(..) DoubleDes(..)"
    );
}

/// Keystream made ahead is the same keystream: every nonce, every length, in it, beside it and
/// beyond it.
#[test]
fn keystream_made_ahead_changes_no_record() {
    for function in [Function::Ddes, Function::DdesChaCha] {
        let key = function.key(&[3; 32]);
        for first in [0, 5, NONCE_END - 2] {
            let ahead = key.ahead(first, 100, 48);
            for nonce in
                [first.saturating_sub(1), first, first + 1, first + 84, first + 85, first + 99]
            {
                for length in [0, 1, 8, 41, 48, 49, 100] {
                    let (mut with, mut without) = (vec![9; length], vec![9; length]);
                    let tags = [
                        key.seal_with(Some(&ahead), nonce, b"ad", &mut with),
                        key.seal(nonce, b"ad", &mut without),
                    ];
                    assert_eq!(tags[0], tags[1]);
                    assert_eq!(with, without, "nonce {nonce} of {first}…, {length} bytes");
                    let Ok(tag) = tags[0] else { continue };
                    key.open_with(Some(&ahead), nonce, b"ad", &mut with, &tag).unwrap();
                    assert_eq!(with, vec![9; length]);
                }
            }
            assert!(ahead.covers(first, 48) && !ahead.covers(first, 49));
        }
    }
}

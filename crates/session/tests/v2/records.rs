//! P-08, P-09: only the next record of its direction opens, and both ends change keys after the
//! same one.

use ddes_cipher::{Function, OpenError, PLAINTEXT_BYTES_MAX, TAG_BYTES};
use ddes_session::v2::record::{Opener, REKEY_BLOCKS, RecordError, Sealer};
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};
use zeroize::Zeroizing;

fn pair(function: Function) -> (Sealer, Opener) {
    let key = || Zeroizing::new([9; 32]);
    (Sealer::new(function, key()), Opener::new(function, key()))
}

fn seal(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    sealer.seal(Opcode::EncryptedData, plaintext, &mut frame).unwrap();
    frame
}

fn open(opener: &mut Opener, frame: &[u8]) -> Result<Vec<u8>, RecordError> {
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    opener.open(Header::decode(*header), &mut body.to_vec()).map(<[u8]>::to_vec)
}

const WRONG: RecordError = RecordError::Open(OpenError::Tag);

#[test]
fn each_bit_of_a_frame_counts() {
    for function in [Function::Ddes, Function::DdesChaCha] {
        let (mut sealer, _) = pair(function);
        let frame = seal(&mut sealer, b"forty-two");
        for bit in 0..8 * frame.len() {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&mut pair(function).1, &changed), Err(WRONG), "bit {bit}");
        }
        assert_eq!(open(&mut pair(function).1, &frame).unwrap(), b"forty-two");
    }
}

#[test]
fn replayed_reordered_and_dropped_records_do_not_open() {
    let (mut sealer, mut opener) = pair(Function::DdesChaCha);
    let frames: Vec<_> = [b"1", b"2", b"3"].map(|text| seal(&mut sealer, text)).into();
    assert_eq!(open(&mut opener, &frames[1]), Err(WRONG));
    assert_eq!(open(&mut opener, &frames[0]).unwrap(), b"1");
    assert_eq!(open(&mut opener, &frames[0]), Err(WRONG));
    assert_eq!(open(&mut opener, &frames[2]), Err(WRONG));
    assert_eq!(open(&mut opener, &frames[1]).unwrap(), b"2");
}

#[test]
fn a_body_shorter_than_a_tag_is_no_record() {
    for length in 0..16 {
        let header = Header { opcode: 30, length: length as u32 };
        let opened = pair(Function::Ddes).1.open(header, &mut vec![0; length]).map(<[u8]>::len);
        assert_eq!(opened, Err(RecordError::Short { length }));
    }
}

#[test]
fn a_plaintext_too_long_appends_nothing_and_uses_no_number() {
    let (mut sealer, mut opener) = pair(Function::Ddes);
    let mut out = b"before".to_vec();
    sealer.seal(Opcode::EncryptedData, &vec![0; PLAINTEXT_BYTES_MAX + 1], &mut out).unwrap_err();
    assert_eq!(out, b"before");
    let frame = seal(&mut sealer, b"after");
    assert_eq!(open(&mut opener, &frame).unwrap(), b"after");
}

/// The rekeying, told by a second count here: records before the change open under the first key
/// alone, those after it under REKEY of it.
#[test]
fn both_ends_change_keys_after_the_record_that_fills_the_count() {
    let function = Function::Ddes;
    let (mut sealer, mut opener) = pair(function);
    let text = vec![0; PLAINTEXT_BYTES_MAX];
    let (mut key, mut blocks, mut changes) = (Zeroizing::new([9; 32]), 0, 0);
    let mut expanded = function.key(&key);
    for nonce in 0..300_u64 {
        // Lengths that are no whole blocks count as their last block's.
        let length = if nonce.is_multiple_of(3) { 1 } else { PLAINTEXT_BYTES_MAX };
        let frame = seal(&mut sealer, &text[..length]);
        // A record that does not open adds nothing.
        assert_eq!(
            open(&mut opener, &[&frame[..frame.len() - 1], &[!frame[frame.len() - 1]]].concat()),
            Err(WRONG)
        );
        assert_eq!(open(&mut opener, &frame).unwrap().len(), length);
        let (sealed, tag) = frame[HEADER_BYTES..].split_last_chunk().unwrap();
        expanded.open(nonce, &frame[..HEADER_BYTES], &mut sealed.to_vec(), tag).unwrap();
        blocks += length.div_ceil(8) as u64;
        if blocks >= REKEY_BLOCKS {
            (key, blocks, changes) = (function.rekey(&key), 0, changes + 1);
            expanded = function.key(&key);
        }
    }
    assert_eq!(changes, 1);
}

/// One block short of the count, the count, one block beyond it: of both ends together nobody would
/// see a key that changes one record late.
#[test]
fn the_record_that_fills_the_count_exactly_is_the_last_under_its_key() {
    assert_eq!(REKEY_BLOCKS, 1 << 20);
    let function = Function::Ddes;
    let first = Zeroizing::new([9; 32]);
    let second = function.rekey(&first);
    // 128 records of 8190 blocks leave 256.
    for (last_bytes, changes) in
        [(255 * 8, false), (255 * 8 + 1, true), (256 * 8, true), (256 * 8 + 1, true)]
    {
        let (mut sealer, mut opener) = pair(function);
        for _ in 0..128 {
            let frame = seal(&mut sealer, &vec![0; PLAINTEXT_BYTES_MAX]);
            open(&mut opener, &frame).unwrap();
        }
        for (number, plaintext, key) in [
            (128, vec![0; last_bytes], &first),
            (129, vec![0; 9], if changes { &second } else { &first }),
        ] {
            let frame = seal(&mut sealer, &plaintext);
            let (sealed, tag) = frame[HEADER_BYTES..].split_last_chunk().unwrap();
            let opened =
                function.key(key).open(number, &frame[..HEADER_BYTES], &mut sealed.to_vec(), tag);
            assert_eq!(opened, Ok(()), "record {number}, after one of {last_bytes} bytes");
            assert_eq!(open(&mut opener, &frame).unwrap(), plaintext);
        }
    }
}

/// Records sealed and opened in bursts, whose keystream is made ahead, are those sealed and opened
/// one by one; also where the key changes while there is keystream of the old one.
#[test]
fn records_in_bursts_are_the_records_one_by_one() {
    let mixed = [42, 42, 42, 25, 25, 1000, 42, 0, 42, 65_000, 42, 42];
    for function in [Function::Ddes, Function::DdesChaCha] {
        let ((mut one, _), (mut many, mut opener)) = (pair(function), pair(function));
        // 128 records of 8190 blocks leave 256 under the first key: 42 records of 42 bytes, and all
        // their keystream is made ahead at once.
        let lengths: Vec<_> = [PLAINTEXT_BYTES_MAX; 128]
            .into_iter()
            .chain([42; 60])
            .chain((0..20).flat_map(|_| mixed))
            .collect();
        let (mut single, mut burst) = (Vec::new(), Vec::new());
        for (number, length) in lengths.iter().enumerate() {
            let plaintext = vec![number as u8; *length];
            one.seal(Opcode::EncryptedData, &plaintext, &mut single).unwrap();
            one.drop_keystream();
            many.seal(Opcode::EncryptedData, &plaintext, &mut burst).unwrap();
            if number > 200 && number.is_multiple_of(36) {
                many.drop_keystream();
            }
        }
        assert!(single == burst);
        let mut rest = &mut burst[..];
        for (number, length) in lengths.into_iter().enumerate() {
            let (frame, behind) = rest.split_at_mut(HEADER_BYTES + length + TAG_BYTES);
            let (header, body) = frame.split_first_chunk_mut().unwrap();
            let opened = opener.open(Header::decode(*header), body).unwrap();
            assert!(opened.len() == length && opened.iter().all(|byte| *byte == number as u8));
            rest = behind;
        }
    }
}

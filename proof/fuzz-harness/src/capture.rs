//! Captures: any file is read to its end in bounded memory, and what is shown is in it.

use ddes_capture::{Conversations, Field, Limits, SessionSecrets};

/// Memory for frames: small, so that the bound is reached.
const BYTES_MAX: usize = 64 * 1024;

/// A file as it is, and as the packets of one connection behind a header that fits.
pub fn capture(data: &[u8]) {
    let secrets = secrets();
    let limits = Limits {
        bytes_max: BYTES_MAX,
        connections_max: 16,
        conversations_max: 8,
        ..Limits::default()
    };
    for file in [data.to_vec(), pcap(data)] {
        if let Ok(found) = ddes_capture::read(&file[..], &limits, &secrets) {
            check(&found);
        }
    }
}

fn check(found: &Conversations) {
    let frames = || found.all.iter().flat_map(|conversation| &conversation.frames);
    let kept: usize = frames().map(|frame| frame.bytes.len()).sum();
    assert!(kept <= BYTES_MAX, "{kept} bytes of frames are kept");
    for frame in frames() {
        assert!(frame.fields.iter().all(|field| is_inside(field, &frame.bytes)));
        for inside in frame.plain.iter().chain(&frame.der) {
            assert!(inside.fields.iter().all(|field| is_inside(field, &inside.bytes)));
        }
    }
}

fn is_inside(field: &Field, bytes: &[u8]) -> bool {
    bytes.get(field.range.clone()).is_some()
}

/// Keys that open next to nothing, so that decryption is tried.
fn secrets() -> [SessionSecrets; 2] {
    let key = "00".repeat(32);
    let texts = [
        r#"{"ddes_secrets":1,"key1":"0101010101010101","key2":"0202020202020202"}"#.to_owned(),
        format!(r#"{{"ddes_secrets":1,"to_server":"{key}","to_client":"{key}"}}"#),
    ];
    texts.map(|text| SessionSecrets::from_json(&text).unwrap())
}

/// The data as the bytes of two TCP streams: a byte says how long the next piece is and who sends
/// it, so that a fuzzer needs no checksums and no lengths.
fn pcap(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4_u32.to_le_bytes());
    out.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0]);
    let mut sequence = [0_u32; 2];
    while let Some((&first, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(first >> 1)));
        data = rest;
        let sender = usize::from(first & 1);
        let packet = packet(sender, sequence[sender], piece);
        sequence[sender] = sequence[sender].wrapping_add(u32::try_from(piece.len()).unwrap());
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        out.extend([[0; 4], [0; 4], length, length].as_flattened());
        out.extend(packet);
    }
    out
}

/// IPv4 and TCP around a piece.
fn packet(sender: usize, sequence: u32, piece: &[u8]) -> Vec<u8> {
    let total = u16::try_from(40 + piece.len()).unwrap().to_be_bytes();
    let (from, to) = if sender == 0 { (1, 2) } else { (2, 1) };
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend([10, 0, 0, from, 10, 0, 0, to, 0, from, 0, to]);
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(piece);
    packet
}

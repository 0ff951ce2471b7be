//! Captures: any file is read to its end in bounded memory, and what is shown is in it.

use std::time::Duration;

use ddes_capture::{
    ConnectionNumber, Conversation, Conversations, Direction, Field, Limits, NoteKind,
    SessionSecrets, Writer, Written,
};
use ddes_cipher::{DesKey, DoubleDes, Function, ecb};
use ddes_session::v2::record::Sealer;
use ddes_wire::frame::{Header, Opcode};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

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

/// A session whose keys are known, of which every byte is the fuzzer's: what is inside each frame
/// is well sealed, so that it is decrypted, parsed and checked.
///
/// A first byte says the wire. Then each frame has a byte for direction, opcode and form, one for
/// its length, and its plaintext.
pub fn opened(data: &[u8]) {
    let Some((&wire, rest)) = data.split_first() else { return };
    match wire & 1 {
        0 => opened_v2(rest),
        _ => opened_classic(rest),
    }
}

const KEYS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const KEY1: [u8; 8] = [0x13; 8];
const KEY2: [u8; 8] = [0x26; 8];
const TOKEN: [u8; 16] = [7; 16];

/// What the fuzzer asks for next: its flags, and the text.
fn next<'a>(data: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[flags, length], rest) = data.split_first_chunk()?;
    let (text, rest) = rest.split_at(rest.len().min(usize::from(length)));
    *data = rest;
    Some((flags, text))
}

fn direction(flags: u8) -> Direction {
    if flags & 1 == 0 { Direction::ToServer } else { Direction::ToClient }
}

fn opcode(flags: u8) -> Opcode {
    const ALL: [Opcode; 5] = [
        Opcode::KeyVerification,
        Opcode::SessionToken,
        Opcode::EncryptedData,
        Opcode::EncryptedResult,
        Opcode::Disconnect,
    ];
    ALL[usize::from(flags >> 1 & 7) % ALL.len()]
}

/// Its text with the token in front, in every second frame: no fuzzer guesses one.
fn with_token(flags: u8, text: &[u8]) -> Vec<u8> {
    let token = if flags & 0x10 == 0 { &TOKEN[..] } else { &[] };
    [token, text].concat()
}

struct Scene {
    writer: Writer<Vec<u8>>,
    connection: ConnectionNumber,
    has_gap: bool,
}

impl Scene {
    fn new() -> Self {
        let mut writer = Writer::new(Vec::new(), u64::MAX).unwrap();
        let ends = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let connection = writer.open(Duration::ZERO, ends.0, ends.1, None).unwrap();
        Self { writer, connection, has_gap: false }
    }

    fn send(&mut self, direction: Direction, bytes: &[u8]) {
        let written = self.writer.data(self.connection, Duration::ZERO, direction, bytes).unwrap();
        assert_eq!(written, Written::Whole);
    }

    fn lose(&mut self, direction: Direction, bytes: usize) {
        self.writer.lost(self.connection, direction, bytes).unwrap();
        self.has_gap |= bytes > 0;
    }

    fn read(self, secrets: &str) -> Option<Conversation> {
        let capture = self.writer.finish().unwrap();
        let secrets = SessionSecrets::from_json(secrets).unwrap();
        let mut found = ddes_capture::read(&capture[..], &Limits::default(), &[secrets]).unwrap();
        check(&found);
        let checks = found.all.iter().flat_map(|one| &one.frames).flat_map(|one| &one.checks);
        assert!(checks.filter(|check| !check.passed).all(|check| !check.detail.is_empty()));
        found.all.pop()
    }
}

fn opened_v2(mut data: &[u8]) {
    let mut scene = Scene::new();
    let mut sealers = KEYS.map(|key| Sealer::new(Function::DdesChaCha, Zeroizing::new(key)));
    // Known by its length to be D-DDES/2. The first 10 of each side has no record in it.
    let first = sealed(&mut sealers[1], Opcode::EncryptedResult, &[0; 25]);
    scene.send(Direction::ToClient, &first);
    for direction in [Direction::ToServer, Direction::ToClient] {
        scene.send(direction, &frame(Opcode::KeyVerification.number(), &[]));
    }
    let mut count = 1;
    while let Some((flags, text)) = next(&mut data) {
        let direction = direction(flags);
        if flags & 0x80 != 0 {
            scene.lose(direction, text.len());
            continue;
        }
        let sealer = &mut sealers[usize::from(direction == Direction::ToClient)];
        let text = with_token(flags, text);
        let bytes = sealed(sealer, opcode(flags), &text);
        count += 1;
        scene.send(direction, &bytes);
    }
    let has_gap = scene.has_gap;
    let [to_server, to_client] = KEYS.map(|key| hex(&key));
    let secrets =
        format!(r#"{{"ddes_secrets":1,"to_server":"{to_server}","to_client":"{to_client}"}}"#);
    let Some(found) = scene.read(&secrets) else { return };
    if !has_gap {
        assert!(found.session.is_some(), "{:?}", found.refused);
        let opened = found.frames.iter().filter(|frame| frame.plain.is_some()).count();
        // A 50 of the server is in the clear where it comes in place of message 2: not here.
        assert_eq!(opened, count);
        assert!(!found.notes.iter().any(|note| matches!(note.kind, NoteKind::Lost { .. })));
    }
}

fn sealed(sealer: &mut Sealer, opcode: Opcode, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    sealer.seal(opcode, text, &mut bytes).unwrap();
    bytes
}

fn opened_classic(mut data: &[u8]) {
    let mut scene = Scene::new();
    let (key1, key2) = (DesKey::new(KEY1), DesKey::new(KEY2));
    let token_key = DoubleDes::new(&key1, &key1);
    let traffic = DoubleDes::new(&key1, &key2);
    scene.send(Direction::ToClient, &frame(20, &ecb::seal(&token_key, &TOKEN)));
    while let Some((flags, text)) = next(&mut data) {
        let direction = direction(flags);
        if flags & 0x80 != 0 {
            scene.lose(direction, text.len());
            continue;
        }
        let opcode = opcode(flags);
        let body = match opcode {
            // Without the form that its keys give it.
            _ if flags & 0x20 != 0 => text.to_vec(),
            Opcode::SessionToken => ecb::seal(&token_key, text),
            Opcode::EncryptedData if direction == Direction::ToServer => {
                let covered = [&ecb::seal(&traffic, text)[..], &with_token(flags, &[])].concat();
                [&covered[..], &hmac(&KEY2, &covered)].concat()
            }
            Opcode::EncryptedResult => {
                let covered = ecb::seal(&traffic, text);
                [&covered[..], &hmac(&KEY2, &covered)].concat()
            }
            Opcode::KeyVerification | Opcode::EncryptedData | Opcode::Disconnect => text.to_vec(),
        };
        scene.send(direction, &frame(opcode.number(), &body));
    }
    let (key1, key2) = (hex(&KEY1), hex(&KEY2));
    let secrets = format!(r#"{{"ddes_secrets":1,"key1":"{key1}","key2":"{key2}"}}"#);
    let found = scene.read(&secrets).unwrap();
    assert!(found.session.is_some(), "{:?}", found.refused);
}

fn frame(opcode: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&Header { opcode, length }.encode()[..], body].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2104, with a key shorter than a block.
fn hmac(key: &[u8; 8], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
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

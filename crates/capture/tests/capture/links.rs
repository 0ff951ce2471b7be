//! The forms in which tcpdump and Wireshark write packets: every one gives the same conversation.

use ddes_capture::{Direction, End, NoteKind, Profile};

use crate::{Scene, only, read};

const KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n";

fn frame(opcode: u32, body: &[u8]) -> Vec<u8> {
    [&opcode.to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat()
}

/// A classic session, as far as an eavesdropper sees it.
fn session() -> Vec<u8> {
    let mut scene = Scene::new();
    let connection = scene.open("127.0.0.1:40000", None);
    scene.send(connection, Direction::ToClient, &frame(10, KEY));
    scene.send(connection, Direction::ToServer, &frame(10, KEY));
    scene.send(connection, Direction::ToClient, &frame(20, &[9; 24]));
    scene.send(connection, Direction::ToServer, &frame(30, &[8; 80]));
    scene.send(connection, Direction::ToClient, &frame(30, b"Server Received number"));
    scene.send(connection, Direction::ToClient, &frame(40, &[7; 40]));
    scene.close(connection);
    scene.finish()
}

/// The packets of a capture of ours, from their IP headers on.
fn packets(capture: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut packets) = (0, Vec::new());
    while at < capture.len() {
        if word(at) == 6 {
            packets.push(capture[at + 28..at + 28 + word(at + 20)].to_vec());
        }
        at += word(at + 4);
    }
    packets
}

/// A pcap file of packets behind a header of their link.
fn pcap(magic: u32, link: u32, packets: &[Vec<u8>], header: &[u8]) -> Vec<u8> {
    let big = magic == 0xa1b2_c3d4;
    let word = |word: u32| if big { word.to_be_bytes() } else { word.to_le_bytes() };
    let magic = if big { magic.to_be_bytes() } else { magic.to_le_bytes() };
    let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut out = [magic, version, word(0), word(0), word(65535), word(link)].concat();
    for (number, packet) in packets.iter().enumerate() {
        let length = word((header.len() + packet.len()) as u32);
        out.extend([word(1_700_000_000), word(number as u32), length, length].concat());
        out.extend([header, packet].concat());
    }
    out
}

fn shape(capture: &[u8]) -> (Profile, Vec<(u32, Direction, usize)>, End) {
    let conversation = only(capture, &[]);
    assert_eq!(conversation.server.port(), 5566);
    assert_eq!(conversation.notes, []);
    let frames = conversation.frames.iter();
    let frames = frames.map(|frame| (frame.opcode, frame.direction, frame.bytes.len())).collect();
    (conversation.profile, frames, conversation.end)
}

#[test]
fn every_link_type_of_a_loopback_or_an_ethernet_is_read() {
    let capture = session();
    let expected = shape(&capture);
    assert_eq!(expected.0, Profile::Classic);
    assert_eq!(expected.1.len(), 6);
    assert_eq!(expected.2, End::Closed);
    let packets = packets(&capture);
    let ethernet = [&[0; 12][..], &[0x08, 0x00]].concat();
    let vlan = [&[0; 12][..], &[0x81, 0x00, 0x00, 0x07, 0x08, 0x00]].concat();
    let sll = [&[0; 14][..], &[0x08, 0x00]].concat();
    let sll2 = [&[0x08, 0x00][..], &[0; 18]].concat();
    for (link, header) in [
        (1, &ethernet[..]),
        (1, &vlan),
        (0, &[2, 0, 0, 0]),
        (108, &[0, 0, 0, 2]),
        (101, &[]),
        (228, &[]),
        (113, &sll),
        (276, &sll2),
    ] {
        // In microseconds and nanoseconds, and from a machine of the other byte order.
        for magic in [0xa1b2_c3d4, 0xa1b2_3c4d, 0xd4c3_b2a1_u32.swap_bytes()] {
            assert_eq!(shape(&pcap(magic, link, &packets, header)), expected, "link {link}");
        }
    }
}

#[test]
fn reordered_and_repeated_packets_change_nothing() {
    let capture = session();
    let expected = shape(&capture);
    let mut all = packets(&capture);
    // Behind the three of the TCP handshake: pairs swapped, and everything twice.
    all[3..9].as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
    let doubled: Vec<_> = all.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let (profile, mut frames, end) = shape(&pcap(0xa1b2_3c4d, 101, &doubled, &[]));
    frames.sort_by_key(|frame| (frame.1, frame.0));
    let mut known = expected.1;
    known.sort_by_key(|frame| (frame.1, frame.0));
    assert_eq!((profile, frames, end), (expected.0, known, expected.2));
}

#[test]
fn a_packet_that_is_missing_is_a_gap_and_the_whole_frames_are_shown() {
    let all = packets(&session());
    // The server's 20.
    let without: Vec<_> =
        all.iter().enumerate().filter(|(at, _)| *at != 5).map(|(_, one)| one.clone()).collect();
    let conversation = only(&pcap(0xa1b2_3c4d, 101, &without, &[]), &[]);
    let opcodes: Vec<u32> = conversation.frames.iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [10, 10, 30, 30, 40]);
    let gap = conversation.notes.iter().find(|note| note.kind == NoteKind::Gap { bytes: 32 });
    assert_eq!(gap.unwrap().direction, Some(Direction::ToClient));
}

#[test]
fn a_retransmission_with_other_bytes_is_said_and_does_not_count() {
    let mut all = packets(&session());
    let mut changed = all[6].clone();
    *changed.last_mut().unwrap() ^= 1;
    all.insert(7, changed);
    let conversation = only(&pcap(0xa1b2_3c4d, 101, &all, &[]), &[]);
    assert_eq!(conversation.frames[3].body(), [8; 80]);
    let offset = conversation.frames[1].bytes.len() as u64 + 87;
    assert!(conversation.notes.iter().any(|note| note.kind == NoteKind::Conflict { offset }));
}

#[test]
fn a_capture_that_began_after_the_connection_says_so() {
    let all = packets(&session());
    let conversation = only(&pcap(0xa1b2_3c4d, 101, &all[3..], &[]), &[]);
    assert_eq!(conversation.profile, Profile::Classic);
    assert_eq!(conversation.server.port(), 5566);
    assert_eq!(conversation.frames.len(), 6);
    assert_eq!(conversation.notes[0].kind, NoteKind::Midway);
}

#[test]
fn other_traffic_is_counted_and_not_shown() {
    let mut scene = Scene::new();
    let web = scene.open("127.0.0.1:40001", None);
    scene.send(web, Direction::ToServer, b"GET / HTTP/1.1\r\n\r\n");
    let silent = scene.open("127.0.0.1:40002", None);
    scene.close(silent);
    let ours = scene.open("[::1]:40003", None);
    scene.send(ours, Direction::ToClient, &frame(10, KEY));
    let found = read(&scene.finish(), &[]);
    assert_eq!(found.all.len(), 1);
    assert_eq!(found.all[0].number, 1);
    assert_eq!(found.all[0].client.to_string(), "[::1]:40003");
    assert_eq!(found.counts.other_connections, 2);
}

#[test]
fn two_sessions_of_the_same_addresses_are_two_conversations() {
    let mut all = packets(&session());
    let mut again = all.clone();
    for packet in &mut again {
        // Other sequence numbers, as the next connection has them.
        for at in [24, 28] {
            packet[at] = packet[at].wrapping_add(0x40);
        }
    }
    all.extend(again);
    let found = read(&pcap(0xa1b2_3c4d, 101, &all, &[]), &[]);
    assert_eq!(found.all.iter().map(|one| one.frames.len()).collect::<Vec<_>>(), [6, 6]);
    assert_eq!(found.all.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2]);
}

//! Files that lie, that end anywhere, and that are larger than memory.

use std::io::{self, Read};
use std::time::Duration;

use ddes_capture::{Direction, Limits, Missing, NoteKind, ReadError, Writer, Written};

use crate::{Scene, address, read};

fn frame(opcode: u32, body: &[u8]) -> Vec<u8> {
    [&opcode.to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat()
}

fn session() -> Vec<u8> {
    let mut scene = Scene::new();
    let connection = scene.open("127.0.0.1:40000", None);
    scene.send(connection, Direction::ToClient, &frame(10, b"-----BEGIN"));
    scene.send(connection, Direction::ToServer, &frame(30, &[7; 80]));
    scene.close(connection);
    scene.finish()
}

#[test]
fn a_file_cut_at_any_byte_gives_what_is_whole_or_an_error() {
    let capture = session();
    let mut frames_before = 0;
    for length in 0..=capture.len() {
        match ddes_capture::read(&capture[..length], &Limits::default(), &[]) {
            Ok(found) => {
                let frames = found.all.iter().map(|one| one.frames.len()).sum();
                assert!(frames >= frames_before, "{length} bytes show fewer frames");
                frames_before = frames;
                let is_whole = found.notes.is_empty();
                assert!(is_whole || found.notes[0].contains("the file"), "{:?}", found.notes);
            }
            Err(error) => {
                assert!(matches!(error, ReadError::Format) && length < 4, "{length}: {error}");
            }
        }
    }
    assert_eq!(frames_before, 2);
}

#[test]
fn a_file_with_any_byte_changed_is_read_without_a_panic() {
    let capture = session();
    for at in 0..capture.len() {
        for change in [0xff, 0x80, 0x01] {
            let mut changed = capture.clone();
            changed[at] ^= change;
            // What comes out is of no account: that it ends, and in bounded memory, is.
            drop(ddes_capture::read(&changed[..], &Limits::default(), &[]));
        }
    }
}

#[test]
fn a_length_beyond_the_file_is_a_note_and_no_allocation() {
    let mut capture = session();
    let block = [6, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    capture.extend(block);
    let found = read(&capture, &[]);
    assert_eq!(found.all[0].frames.len(), 2);
    assert_eq!(found.notes.len(), 1);
}

#[test]
fn what_is_no_capture_is_an_error() {
    for bytes in [&b""[..], b"\x0a\x0d", b"#!/bin/sh\nexit", b"\x1f\x8b\x08\x00compressed"] {
        let outcome = ddes_capture::read(bytes, &Limits::default(), &[]);
        assert!(matches!(outcome, Err(ReadError::Format)));
    }
}

#[test]
fn an_error_of_the_disk_is_passed_on() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let capture = session();
            let rest = &capture[self.0.min(capture.len())..];
            if rest.is_empty() {
                return Err(io::Error::other("the disk is gone"));
            }
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.0 += count;
            Ok(count)
        }
    }
    let outcome = ddes_capture::read(Broken(0), &Limits::default(), &[]);
    assert_eq!(outcome.unwrap_err().to_string(), "the disk is gone");
}

/// A capture of `count` packets that is never in memory as a whole.
struct Endless<F> {
    make: F,
    left: u64,
    writer: Writer<Vec<u8>>,
    taken: usize,
    bytes: Vec<u8>,
}

impl<F: FnMut(&mut Writer<Vec<u8>>, u64)> Endless<F> {
    fn new(count: u64, make: F) -> Self {
        let writer = Writer::new(Vec::new(), u64::MAX).unwrap();
        Self { make, left: count, writer, taken: 0, bytes: Vec::new() }
    }
}

impl<F: FnMut(&mut Writer<Vec<u8>>, u64)> Read for Endless<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.bytes.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            (self.make)(&mut self.writer, self.left);
            self.bytes = std::mem::take(self.writer.get_mut());
            self.taken = 0;
        }
        let rest = &self.bytes[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[test]
fn half_a_gigabyte_of_one_session_is_read_within_the_bound() {
    let body = frame(30, &vec![7; 60_000]);
    let mut connection = None;
    let source = Endless::new(9_000, |writer: &mut Writer<Vec<u8>>, left| {
        let at = Duration::from_secs(1_800_000_000 - left);
        let ends = (address("10.0.0.1:1"), address("10.0.0.2:2"));
        let number =
            *connection.get_or_insert_with(|| writer.open(at, ends.0, ends.1, None).unwrap());
        let written = writer.data(number, at, Direction::ToServer, &body).unwrap();
        assert_eq!(written, Written::Whole);
    });
    let limits = Limits { bytes_max: 1 << 20, ..Limits::default() };
    let found = ddes_capture::read(source, &limits, &[]).unwrap();
    let conversation = &found.all[0];
    let kept: usize = conversation.frames.iter().map(|frame| frame.bytes.len()).sum();
    assert!(kept <= 1 << 20 && !conversation.frames.is_empty(), "{kept} bytes are kept");
    let beyond = conversation.notes.iter().find_map(|note| match note.kind {
        NoteKind::Beyond { frames, .. } => Some(frames),
        _ => None,
    });
    assert_eq!(beyond.unwrap() + conversation.frames.len() as u64, 9_000);
}

#[test]
fn forty_thousand_connections_are_read_within_the_bound() {
    const COUNT: u64 = 40_000;
    let hello = frame(10, b"-----BEGIN");
    let source = Endless::new(COUNT, |writer: &mut Writer<Vec<u8>>, left| {
        let at = Duration::from_secs(1_800_000_000 - left);
        let client = format!("10.{}.{}.1:{}", left >> 16, left >> 8 & 255, 1000 + (left & 255));
        let number = writer.open(at, address(&client), address("10.0.0.2:5566"), None).unwrap();
        // Every tenth one speaks; none of them ends.
        if left % 10 == 0 {
            assert_eq!(
                writer.data(number, at, Direction::ToClient, &hello).unwrap(),
                Written::Whole
            );
        }
    });
    let limits = Limits { connections_max: 1000, conversations_max: 50, ..Limits::default() };
    let found = ddes_capture::read(source, &limits, &[]).unwrap();
    assert!(found.all.len() <= 50, "{} conversations", found.all.len());
    assert!(found.counts.unfollowed > 0);
    assert!(found.notes.iter().any(|note| note.contains("not followed")), "{:?}", found.notes);
}

/// What is missing of a session of which the writer could not take everything.
fn missing(lose: impl FnOnce(&mut Scene, ddes_capture::ConnectionNumber)) -> [Missing; 2] {
    let mut scene = Scene::new();
    let connection = scene.open("127.0.0.1:40000", None);
    scene.send(connection, Direction::ToClient, &frame(10, b"-----BEGIN"));
    scene.send(connection, Direction::ToServer, &frame(10, b"-----BEGIN"));
    lose(&mut scene, connection);
    let found = crate::only(&scene.finish(), &[]);
    [found.missing(Direction::ToServer), found.missing(Direction::ToClient)]
}

#[test]
fn bytes_that_were_lost_are_counted_and_whether_they_are_the_end_is_known() {
    let none = Missing::default();
    let end = Missing { bytes: 100, is_end: true };
    let middle = Missing { bytes: 100, is_end: false };
    let to_server = Direction::ToServer;
    let lost = |scene: &mut Scene, connection| {
        scene.writer.lost(connection, to_server, 100).unwrap();
    };
    assert_eq!(missing(|_, _| {}), [none, none]);
    // The connection is open where the capture ends, and nothing comes behind the gap.
    assert_eq!(missing(lost), [end, none]);
    let closed = missing(|scene, connection| {
        lost(scene, connection);
        scene.close(connection);
    });
    assert_eq!(closed, [end, none]);
    let other_side = missing(|scene, connection| {
        lost(scene, connection);
        scene.send(connection, Direction::ToClient, &frame(50, b"gone"));
    });
    assert_eq!(other_side, [end, none], "a frame of the other side is not this side's end");
    let went_on = missing(|scene, connection| {
        lost(scene, connection);
        scene.send(connection, to_server, &frame(30, &[7; 80]));
    });
    assert_eq!(went_on, [middle, none]);
    // No whole frame: these may be the inside of anything.
    let no_frame = missing(|scene, connection| {
        lost(scene, connection);
        scene.send(connection, to_server, &[7; 80]);
    });
    assert_eq!(no_frame, [end, none]);
}

#[test]
fn a_capture_that_is_full_stays_a_capture_and_says_that_the_end_is_missing() {
    // Open where the capture ends.
    let mut writer = Writer::new(Vec::new(), 4096).unwrap();
    let (at, ends) = (Duration::from_secs(1), (address("10.0.0.1:1"), address("10.0.0.2:2")));
    let number = writer.open(at, ends.0, ends.1, None).unwrap();
    let hello = frame(10, &[b'-'; 500]);
    while writer.data(number, at, Direction::ToClient, &hello).unwrap() == Written::Whole {}
    let capture = writer.finish().unwrap();
    assert!(capture.len() <= 4096, "{} bytes", capture.len());
    let missing = crate::only(&capture, &[]).missing_to_client;
    assert_eq!(missing, Missing { bytes: hello.len() as u64, is_end: true });
}

#[test]
fn a_capture_that_is_full_stays_a_capture() {
    let mut writer = Writer::new(Vec::new(), 4096).unwrap();
    let at = Duration::from_secs(1);
    let ends = (address("10.0.0.1:1"), address("10.0.0.2:2"));
    let number = writer.open(at, ends.0, ends.1, None).unwrap();
    let hello = frame(10, &[b'-'; 500]);
    let states: Vec<Written> =
        (0..20).map(|_| writer.data(number, at, Direction::ToClient, &hello).unwrap()).collect();
    assert!(states.contains(&Written::Full) && states[0] == Written::Whole);
    assert_eq!(writer.close(number, at, None).unwrap(), Written::Full);
    let capture = writer.finish().unwrap();
    assert!(capture.len() <= 4096, "{} bytes", capture.len());
    let found = read(&capture, &[]);
    assert_eq!(found.notes, Vec::<String>::new());
    assert!(!found.all[0].frames.is_empty());
}

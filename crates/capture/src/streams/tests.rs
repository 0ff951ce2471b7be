//! Tests of the connections of a capture.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::packet::Flags;

const HEADER: [u8; 8] = [0, 0, 0, 10, 0, 0, 0, 0];

struct Scene(Streams);

impl Scene {
    fn new(limits: Limits) -> Self {
        Self(Streams::new(limits))
    }

    fn packet(&mut self, port: u16, sequence: u32, data: &[u8]) -> &mut Self {
        self.take(port, sequence, Flags { ack: true, ..Flags::default() }, data, &[])
    }

    fn syn(&mut self, port: u16, sequence: u32, comments: &[&str]) -> &mut Self {
        let syn = Flags { syn: true, ..Flags::default() };
        self.take(port, sequence.wrapping_sub(1), syn, &[], comments)
    }

    fn take(
        &mut self,
        port: u16,
        sequence: u32,
        flags: Flags,
        data: &[u8],
        comments: &[&str],
    ) -> &mut Self {
        let (from, to) = (([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 5566).into());
        let segment = TcpSegment { from, to, sequence, flags, data, cut: 0 };
        self.0.take(Duration::from_secs(1), &segment, comments);
        self
    }

    fn finish(self) -> Vec<Stream> {
        self.0.finish().0
    }
}

#[test]
fn the_same_addresses_again_and_again_take_no_memory() {
    let mut scene = Scene::new(Limits { connections_max: 3, ..Limits::default() });
    scene.syn(2, 1, &[]).packet(2, 1, &HEADER);
    for sequence in 1..10_000 {
        scene.syn(1, sequence * 5, &[]);
        assert!(scene.0.order.len() <= 200, "{} places", scene.0.order.len());
    }
    // Room is made by what is silent, and not by the newest with addresses of the oldest.
    scene.packet(1, 9_999 * 5, &HEADER).syn(3, 1, &[]).syn(4, 1, &[]);
    assert!([2, 1, 4].iter().all(|port| {
        let ends = (([10, 0, 0, 1], *port).into(), ([10, 0, 0, 2], 5566).into());
        scene.0.followed.contains_key(&ends)
    }));
    assert_eq!(scene.finish().len(), 2);
}

#[test]
fn bytes_apart_by_gaps_and_notes_about_them_are_charged() {
    let limits = Limits { bytes_max: 1 << 18, ..Limits::default() };
    let mut scene = Scene::new(limits);
    for port in 1..=10 {
        scene.syn(port, 1, &[]).packet(port, 1, &HEADER);
        for number in 0..3_000 {
            scene.packet(port, 100 + 2 * number, &[7]);
        }
    }
    let all = scene.finish();
    let pieces: usize = all.iter().flat_map(|one| &one.halves).map(|half| half.kept.pieces()).sum();
    let notes: usize = all.iter().map(|one| one.notes.len()).sum();
    let most = limits.bytes_max + FRAME_COST * all.len();
    assert!(pieces * PIECE_COST + notes * NOTE_COST <= most, "{pieces} pieces, {notes} notes");
    assert!(pieces > 1000 && notes > 1000, "{pieces} pieces, {notes} notes");
    // What was not kept is said.
    assert!(all[0].notes.len() <= NOTES_MAX + 1);
    assert_eq!(all[0].beyond.0, 0);
}

#[test]
fn what_is_not_kept_gives_its_memory_back() {
    let comment = format!("ddes_secrets{}", " ".repeat(4000));
    let limits = Limits { bytes_max: 64 * 1024, connections_max: 8, ..Limits::default() };
    for only in [None, Some(101)] {
        let mut scene = Scene::new(Limits { only, ..limits });
        for port in 1..=100 {
            let other = if only.is_some() { &HEADER } else { b"GET / HT" };
            scene.syn(port, 1, &[&comment]).packet(port, 1, other);
            scene.take(port, 9, Flags { rst: true, ..Flags::default() }, &[], &[]);
            // Silent ones are given up when there is no more room.
            scene.syn(1000 + port, 1, &[&comment]);
        }
        scene.syn(999, 1, &[&comment]).packet(999, 1, &HEADER);
        let all = scene.finish();
        assert_eq!((all.len(), all[0].comments.len()), (1, 1));
        assert_eq!(all[0].frames.len(), 1);
    }
}

#[test]
fn connections_whose_first_bytes_are_missing_are_numbered_as_they_came() {
    let mut scene = Scene::new(Limits::default());
    for port in 1..=50 {
        scene.syn(port, 1, &[]);
        scene.packet(port, 6, &HEADER);
    }
    let numbers: Vec<_> =
        scene.finish().iter().map(|one| (one.number, one.ends[0].port())).collect();
    assert_eq!(numbers, (1..=50).map(|port| (u32::from(port), port)).collect::<Vec<_>>());
}

#[test]
fn what_waits_in_other_connections_costs_ours_nothing() {
    let piece = [7; 1000];
    for is_other in [true, false] {
        let mut scene = Scene::new(Limits::default());
        for port in 1..=70 {
            scene.syn(port, 1, &[]);
            for number in 0..900 {
                scene.packet(port, 100 + 1100 * number, &piece);
            }
            scene.packet(port, 1, if is_other { b"GET / HT" } else { &HEADER });
        }
        assert!(scene.0.held <= HELD_TOTAL_MAX, "{} bytes are held", scene.0.held);
        assert_eq!(scene.0.held == 0, is_other);
        let holders: usize = scene.0.holders.iter().map(|(held, ..)| held).sum();
        assert_eq!(holders, scene.0.held);
        // Two frames out of order.
        scene.syn(999, 1, &[]).packet(999, 9, &HEADER).packet(999, 1, &HEADER);
        let all = scene.finish();
        let ours = all.iter().find(|one| one.ends[0].port() == 999).unwrap();
        assert_eq!((ours.frames.len(), ours.notes.len()), (2, 0));
    }
}

#[test]
fn a_gap_before_the_end_leaves_the_end_known() {
    let fin = Flags { fin: true, ack: true, ..Flags::default() };
    let mut scene = Scene::new(Limits::default());
    scene.syn(1, 1, &[]).packet(1, 1, &HEADER).take(1, 100, fin, &[], &[]);
    let segment = TcpSegment {
        from: ([10, 0, 0, 2], 5566).into(),
        to: ([10, 0, 0, 1], 1).into(),
        sequence: 1,
        flags: fin,
        data: &[],
        cut: 0,
    };
    scene.0.take(Duration::from_secs(1), &segment, &[]);
    let all = scene.finish();
    assert_eq!(all[0].end, StreamEnd::Closed);
    assert!(matches!(all[0].notes[0].kind, NoteKind::Gap { bytes: 91 }), "{:?}", all[0].notes);
}

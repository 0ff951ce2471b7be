//! P-08, P-17, P-18, P-26: one whole session, real at both ends, with one of its frames changed on
//! the way: every bit flipped, cut at each byte, dropped, sent twice, reflected, replaced by its
//! twin of another session, with each other opcode and other lengths.
//!
//! Whatever is done, only true values count, the client believes only true sums, nobody panics, and
//! who was lied to says which rule broke.

use ddes_session::v2::{ClientEnd, ClientEvent, ServerEnd};
use ddes_wire::Sequence;
use ddes_wire::frame::{HEADER_BYTES, Header};
use ddes_wire::v2::{Scope, Status};

use crate::world::{CONFIG, Server, Session, identity};

/// What the client sends: messages 1 and 4, two 30s and a 50. The server: messages 2 and 3, 20, two
/// 40s and a 50.
const FRAMES: [usize; 2] = [5, 6];
const TO_SERVER: usize = 0;
const TO_CLIENT: usize = 1;
/// Where the 30s are, and what stands when they are counted.
const DATA: [usize; 2] = [2, 3];
const STANDINGS: [(u64, i128); 3] = [(0, 0), (1, 42), (2, 92)];

/// What is done to a frame: what arrives in its place, given the frame and the last one of the
/// other direction.
type Change<'a> = &'a dyn Fn(&[u8], &[u8]) -> Vec<u8>;

struct World {
    server: Server,
    client: Session,
    seen: usize,
    /// Frames gone over, for each direction.
    passed: [usize; 2],
    last: [Vec<u8>; 2],
    believed: Vec<(u64, i128)>,
    sent: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
}

impl World {
    fn new(seed: u8) -> Self {
        Self {
            server: Server::with_randomness(ddes_ledger::Ledger::in_memory(), seed),
            client: Session::new(CONFIG),
            seen: 0,
            passed: [0, 0],
            last: [Vec::new(), Vec::new()],
            believed: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
        }
    }

    /// The client's part: it trusts, proves, sends 42, then 50, then says goodbye.
    fn act(&mut self) {
        while let Some(event) = self.client.events.get(self.seen) {
            self.seen += 1;
            match event {
                ClientEvent::ServerProven { key } => {
                    // With more than one frame in its hand it may have ended since.
                    let is_open = self.client.session.claim(key).is_some();
                    if is_open && *key == identity(200).public() {
                        self.client.prove(&identity(3));
                    }
                }
                ClientEvent::Ready(welcome) => {
                    self.believed
                        .push((welcome.standing.last_seq.get(), welcome.standing.sum.get()));
                    self.client
                        .session
                        .submit(self.client.now, Sequence::new(1), &[42])
                        .unwrap_or(());
                }
                ClientEvent::Answered(answer) => {
                    assert_eq!(answer.status, Status::Applied);
                    self.believed.push((answer.last_seq.get(), answer.sum.get()));
                    let now = self.client.now;
                    // A 40 that is one too many finds the session leaving.
                    match answer.last_seq.get() {
                        1 => self.client.session.submit(now, Sequence::new(2), &[50]).unwrap_or(()),
                        _ => self.client.session.disconnect(now, Scope::Session).unwrap_or(()),
                    }
                }
                ClientEvent::Ended(_) => {}
            }
        }
    }

    /// Carries frames until nobody has any; `at` the one that is changed.
    fn run(&mut self, at: (usize, usize), change: Option<Change<'_>>) {
        let mut waiting = [Vec::new(), Vec::new()];
        loop {
            self.client.give(&[]);
            self.act();
            waiting[TO_SERVER].extend(self.client.take());
            waiting[TO_CLIENT].extend(self.server.take_bytes());
            let mut moved = false;
            for direction in [TO_SERVER, TO_CLIENT] {
                let Some((header, rest)) = waiting[direction].split_first_chunk::<HEADER_BYTES>()
                else {
                    continue;
                };
                let length = HEADER_BYTES + Header::decode(*header).length as usize;
                assert!(rest.len() + HEADER_BYTES >= length);
                let frame: Vec<_> = waiting[direction].drain(..length).collect();
                let is_meant = (direction, self.passed[direction]) == at;
                self.passed[direction] += 1;
                let arrives = match change.filter(|_| is_meant) {
                    Some(change) => change(&frame, &self.last[1 - direction]),
                    None => frame.clone(),
                };
                self.last[direction] = frame.clone();
                match direction {
                    TO_SERVER => {
                        self.sent.push(frame);
                        self.server.give(&arrives);
                    }
                    _ => {
                        self.received.push(frame);
                        self.client.give(&arrives);
                    }
                }
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// The connection is gone, and time passes.
    fn close(&mut self) {
        self.server.close();
        self.client.session.handle_eof(self.client.now);
        self.client.give(&[]);
        self.act();
        self.server.pass(std::time::Duration::from_secs(120));
    }
}

/// The true session.
fn recorded(seed: u8) -> World {
    let mut world = World::new(seed);
    world.run((usize::MAX, 0), None);
    world.close();
    assert_eq!(world.passed, FRAMES);
    assert_eq!(
        (world.server.end.clone(), &world.believed[..]),
        (Some(ServerEnd::Bye), &STANDINGS[..])
    );
    assert!(matches!(world.client.end(), Some(ClientEnd::Farewell(_))));
    world
}

/// With one frame changed: what must hold, whatever it was.
fn check(at: (usize, usize), what: &str, change: Change<'_>) {
    let mut world = World::new(2);
    world.run(at, Some(change));
    world.close();
    let (direction, frame) = at;
    let context = format!("{what}, frame {frame} of direction {direction}");
    let counted = world.server.counted as usize;
    match direction {
        TO_SERVER => {
            let before = DATA.iter().filter(|data| **data < frame).count();
            assert_eq!(counted, before, "{context}");
            // A client whose first message was changed does not open the server's proof, and
            // leaves.
            let left = frame == 0 && world.server.end == Some(ServerEnd::Left);
            assert!(
                left || matches!(world.server.end, Some(ServerEnd::Fault(_))),
                "{context}: {:?}",
                world.server.end
            );
        }
        _ => {
            let end = world.client.end();
            assert!(
                matches!(end, Some(ClientEnd::Fault(_) | ClientEnd::Rejected(_))),
                "{context}: {end:?}"
            );
        }
    }
    assert!(counted <= 2, "{context}");
    // It believes what it has heard, a beginning of the truth.
    assert_eq!(world.believed[..], STANDINGS[..world.believed.len()], "{context}");
    assert!(world.believed.len() <= counted + 1, "{context}");
}

fn everywhere(what: &str, change: Change<'_>) {
    for direction in [TO_SERVER, TO_CLIENT] {
        for frame in 0..FRAMES[direction] {
            check((direction, frame), what, change);
        }
    }
}

fn flip_each_bit(direction: usize) {
    let world = recorded(2);
    let frames = if direction == TO_SERVER { &world.sent } else { &world.received };
    for (index, frame) in frames.iter().enumerate() {
        for bit in 0..8 * frame.len() {
            let flip = |frame: &[u8], _: &[u8]| {
                let mut frame = frame.to_vec();
                frame[bit / 8] ^= 0x80 >> (bit % 8);
                frame
            };
            check((direction, index), &format!("bit {bit} flipped"), &flip);
        }
    }
}

#[test]
fn with_each_bit_of_each_of_the_clients_frames_flipped() {
    flip_each_bit(TO_SERVER);
}

#[test]
fn with_each_bit_of_each_of_the_servers_frames_flipped() {
    flip_each_bit(TO_CLIENT);
}

#[test]
fn cut_off_at_each_byte_of_each_frame() {
    let world = recorded(2);
    for (direction, frames) in [(TO_SERVER, &world.sent), (TO_CLIENT, &world.received)] {
        for (index, frame) in frames.iter().enumerate() {
            for length in 0..frame.len() {
                // What is cut off is followed by nothing.
                let mut world = World::new(2);
                let cut = |frame: &[u8], _: &[u8]| frame[..length].to_vec();
                world.run((direction, index), Some(&cut));
                world.close();
                let counted = world.server.counted as usize;
                assert_eq!(world.believed[..], STANDINGS[..world.believed.len()]);
                if direction == TO_SERVER {
                    assert_eq!(counted, DATA.iter().filter(|data| **data < index).count());
                    // Cut before its first byte, the connection was only closed.
                    let silent = (index, length) == (0, 0);
                    assert_eq!(matches!(world.server.end, Some(ServerEnd::Closed)), silent);
                }
                assert!(
                    matches!(world.client.end(), Some(ClientEnd::Fault(_))),
                    "{:?}",
                    world.client.end()
                );
            }
        }
    }
}

#[test]
fn with_each_frame_reflected_or_replaced_by_its_twin_of_another_session() {
    let other = recorded(5);
    for direction in [TO_SERVER, TO_CLIENT] {
        for frame in 0..FRAMES[direction] {
            if (direction, frame) != (TO_SERVER, 0) {
                check((direction, frame), "reflected", &|_, last| last.to_vec());
            }
        }
    }
    for (direction, frames) in [(TO_SERVER, &other.sent), (TO_CLIENT, &other.received)] {
        // The client's first message is the same: its randomness is.
        for (index, twin) in frames.iter().enumerate().skip(usize::from(direction == TO_SERVER)) {
            check((direction, index), "replaced", &|_, _| twin.clone());
        }
    }
}

#[test]
fn with_each_frame_retyped_or_of_another_length() {
    for opcode in [0_u32, 10, 20, 30, 40, 50, 60, 0x0a00_0000] {
        for direction in [TO_SERVER, TO_CLIENT] {
            let world = recorded(2);
            let frames = if direction == TO_SERVER { &world.sent } else { &world.received };
            for (index, frame) in frames.iter().enumerate() {
                if frame[..4] != opcode.to_be_bytes() {
                    let retyped =
                        |frame: &[u8], _: &[u8]| [&opcode.to_be_bytes(), &frame[4..]].concat();
                    check((direction, index), "retyped", &retyped);
                }
            }
        }
    }
    let with_length =
        |frame: &[u8], length: u32| [&frame[..4], &length.to_be_bytes(), &frame[8..]].concat();
    for length in [0, 1, 15, 16, 65_535, 65_536, u32::MAX] {
        everywhere("of another length", &|frame, _| with_length(frame, length));
    }
    everywhere("with a byte more", &|frame, _| {
        let longer = with_length(frame, u32::try_from(frame.len() - HEADER_BYTES + 1).unwrap());
        [&longer[..], &[0]].concat()
    });
    everywhere("with a byte less", &|frame, _| {
        let shorter = with_length(frame, u32::try_from(frame.len() - HEADER_BYTES - 1).unwrap());
        shorter[..frame.len() - 1].to_vec()
    });
}

/// A 50 is the last frame, so a second one comes too late to matter; before it each frame sent
/// twice, and each dropped, ends the session.
#[test]
fn with_each_frame_sent_twice_or_dropped() {
    for direction in [TO_SERVER, TO_CLIENT] {
        for frame in 0..FRAMES[direction] - 1 {
            let mut world = World::new(2);
            let twice = |frame: &[u8], _: &[u8]| [frame, frame].concat();
            world.run((direction, frame), Some(&twice));
            world.close();
            let counted = world.server.counted as usize;
            let ours = if direction == TO_SERVER {
                assert_eq!(counted, DATA.iter().filter(|data| **data <= frame).count());
                matches!(world.server.end, Some(ServerEnd::Fault(_)))
            } else {
                matches!(world.client.end(), Some(ClientEnd::Fault(_)))
            };
            assert!(ours && counted <= 2, "frame {frame} of direction {direction}");
            assert_eq!(world.believed[..], STANDINGS[..world.believed.len()]);
        }
    }
    // Dropped and then silence: the end of the stream tells both.
    for direction in [TO_SERVER, TO_CLIENT] {
        for frame in 0..FRAMES[direction] {
            let mut world = World::new(2);
            world.run((direction, frame), Some(&|_, _| Vec::new()));
            world.close();
            assert!(matches!(world.client.end(), Some(ClientEnd::Fault(_))));
            assert_eq!(world.believed[..], STANDINGS[..world.believed.len()]);
        }
    }
}

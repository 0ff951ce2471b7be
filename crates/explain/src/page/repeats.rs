//! What stands on the wire more than once: blocks of ciphertext, and whole frames.
//!
//! The work is linear in the bytes of a conversation, which others made: each block and each body
//! is looked up, and none is compared with all others. Of what repeats only the first places are
//! kept.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Range;

use ddes_capture::{Conversation, Frame};

use super::FRAMES_MAX;
use super::acts::Act;

pub(super) const BLOCK_BYTES: usize = 8;
/// Frames that a sentence names; the others are counted.
pub(super) const NAMED_MAX: usize = 4;

/// What repeats in a conversation. The frames of the page are looked up in it.
pub(super) struct Repeats<'a> {
    /// The blocks of the frames on the page.
    blocks: HashMap<Compared<[u8; BLOCK_BYTES]>, Places>,
    /// The bodies of the integers on the page.
    bodies: HashMap<Compared<&'a [u8]>, Places>,
    /// Blocks of the whole conversation, and how many of them were seen before.
    pub(super) compared: usize,
    pub(super) repeated: usize,
}

/// Where some bytes stand.
#[derive(Clone, Copy, Default)]
struct Places {
    /// The first frames: one more than is named, since one of them may be the reader's own.
    first: [u32; NAMED_MAX + 1],
    frames: usize,
    last: u32,
    /// A frame may have them more than once.
    times: usize,
    /// Of blocks that stand in more than one place, in the order of their first one.
    number: Option<usize>,
}

/// Frames other than that which is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// The first of them, at most [`NAMED_MAX`].
    pub(super) named: Vec<u32>,
    /// How many there are besides.
    pub(super) more: usize,
}

impl Others {
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

impl Places {
    fn add(&mut self, frame: u32) {
        self.times += 1;
        if self.frames > 0 && self.last == frame {
            return;
        }
        self.last = frame;
        if let Some(free) = self.first.get_mut(self.frames) {
            *free = frame;
        }
        self.frames += 1;
    }

    /// Without a frame that is one of them.
    fn but(&self, frame: u32) -> Others {
        let first = self.first.iter().take(self.frames).filter(|number| **number != frame);
        let named: Vec<u32> = first.take(NAMED_MAX).copied().collect();
        let more = self.frames.saturating_sub(1 + named.len());
        Others { named, more }
    }
}

impl<'a> Repeats<'a> {
    /// `acts`: those of the frames.
    pub(super) fn of(conversation: &'a Conversation, acts: &[Act]) -> Self {
        let (mut blocks, mut bodies) = (HashMap::<_, Places>::new(), HashMap::<_, Places>::new());
        let (mut order, mut all, mut compared) = (Vec::new(), HashSet::new(), 0);
        for (at, (frame, act)) in conversation.frames.iter().zip(acts).enumerate() {
            let is_shown = at < FRAMES_MAX;
            for range in cipher_blocks(frame, *act) {
                let Some(block) = block(frame, &range) else { continue };
                compared += 1;
                all.insert(block);
                if is_shown && !blocks.contains_key(&block) {
                    order.push(block);
                    blocks.insert(block, Places::default());
                }
                if let Some(places) = blocks.get_mut(&block) {
                    places.add(frame.number);
                }
            }
            if *act == Act::Integer {
                let body = Compared(frame.body());
                if is_shown {
                    bodies.entry(body).or_default().add(frame.number);
                } else if let Some(places) = bodies.get_mut(&body) {
                    places.add(frame.number);
                }
            }
        }
        let mut numbers = 0..;
        for block in order {
            if let Some(places) = blocks.get_mut(&block).filter(|places| places.times > 1) {
                places.number = numbers.next();
            }
        }
        Self { blocks, bodies, compared, repeated: compared - all.len() }
    }

    /// The number of a block of a frame on the page, if it stands in more than one place.
    pub(super) fn number(&self, frame: &Frame, range: &Range<usize>) -> Option<usize> {
        self.blocks.get(&block(frame, range)?)?.number
    }

    /// The other frames that have this block of a frame on the page.
    pub(super) fn with_block(&self, frame: &Frame, range: &Range<usize>) -> Others {
        let places = block(frame, range).and_then(|block| self.blocks.get(&block));
        places.map_or_else(Others::default, |places| places.but(frame.number))
    }

    /// The other integers that are this one of the page, byte by byte.
    pub(super) fn with_body(&self, frame: &Frame) -> Others {
        let places = self.bodies.get(&Compared(frame.body()));
        places.map_or_else(Others::default, |places| places.but(frame.number))
    }
}

fn block(frame: &Frame, range: &Range<usize>) -> Option<Compared<[u8; BLOCK_BYTES]>> {
    frame.bytes.get(range.clone())?.try_into().ok().map(Compared)
}

/// The blocks of a frame that are ciphertext; of a record as if it were in ECB, to show that it is
/// not.
pub(super) fn cipher_blocks(frame: &Frame, act: Act) -> Vec<Range<usize>> {
    let is_sealed = matches!(
        act,
        Act::Token
            | Act::Integer
            | Act::Result
            | Act::ServerProof
            | Act::ClientProof
            | Act::Welcome
            | Act::Data
            | Act::Outcome
            | Act::Farewell
    );
    let Some(field) = frame.field("ciphertext").filter(|_| is_sealed) else { return Vec::new() };
    let starts = field.range.clone().step_by(BLOCK_BYTES);
    starts
        .map(|start| start..start + BLOCK_BYTES)
        .filter(|range| range.end <= field.range.end)
        .collect()
}

/// Bytes that are looked up among others. A test counts how often they are hashed and compared.
#[derive(Clone, Copy, Eq)]
struct Compared<T>(T);

impl<T: PartialEq> PartialEq for Compared<T> {
    fn eq(&self, other: &Self) -> bool {
        counted();
        self.0 == other.0
    }
}

impl<T: Hash> Hash for Compared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        counted();
        self.0.hash(state);
    }
}

#[cfg(not(test))]
fn counted() {}

#[cfg(test)]
fn counted() {
    tests::COUNT.set(tests::COUNT.get() + 1);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::Cell;
    use std::net::SocketAddr;
    use std::time::Duration;

    use ddes_capture::{Direction, Limits, Writer, Written, read};
    use ddes_wire::classic::DhPublicKey;

    use super::*;
    use crate::page::acts::acts;
    use crate::{Sources, document};

    thread_local! {
        pub(super) static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    /// A handshake, and this many 30s. Each integer is sent twice, far apart.
    fn integers(count: u64) -> Conversation {
        let (client, server): (SocketAddr, SocketAddr) =
            ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:5566".parse().unwrap());
        let mut writer = Writer::new(Vec::new(), 1 << 30).unwrap();
        let at = Duration::from_secs(1_700_000_000);
        let connection = writer.open(at, client, server, None).unwrap();
        let mut frame = |direction, opcode: u32, body: &[u8]| {
            let length = u32::try_from(body.len()).unwrap();
            let bytes = [&opcode.to_be_bytes()[..], &length.to_be_bytes(), body].concat();
            let written = writer.data(connection, at, direction, &bytes).unwrap();
            assert_eq!(written, Written::Whole);
        };
        let key = DhPublicKey { prime: vec![0x71; 256], generator: vec![2], public: vec![7; 256] };
        let pem = key.to_pem().unwrap();
        frame(Direction::ToClient, 10, pem.as_bytes());
        frame(Direction::ToServer, 10, pem.as_bytes());
        frame(Direction::ToClient, 20, &[0x20; 24]);
        for i in 0..count {
            let block = (i % (count / 2)).to_be_bytes();
            let body = [&block[..], &[0x77; 24], &[0x5a; 16], &block.repeat(4)].concat();
            frame(Direction::ToServer, 30, &body);
        }
        assert_eq!(writer.close(connection, at, None).unwrap(), Written::Whole);
        let file = writer.finish().unwrap();
        let mut found = read(&file[..], &Limits::default(), &[]).unwrap();
        assert_eq!(found.all.len(), 1, "{:?}", found.notes);
        found.all.remove(0)
    }

    #[test]
    fn a_long_capture_is_explained_with_work_that_grows_as_its_frames_do() {
        let conversation = integers(20_000);
        assert_eq!(conversation.frames.len(), 20_003);
        COUNT.set(0);
        let page = document(&Sources { main: &conversation, file: "long", other: None });
        // Each frame has four blocks and one body, which are looked up in two maps and a set.
        let work = COUNT.get();
        assert!(work > 5 * 20_000, "{work}: the maps are not what the page is made of");
        assert!(work < 25 * 20_000, "{work} comparisons for 20,000 frames");
        // Frame 4's integer is that of a frame that the page does not show: no link leads there.
        assert!(page.contains("Block 0 is that of frame 10004: the same"), "the other half");
        assert!(page.contains("The whole frame is that of frame 10004, HMAC"));
        assert!(!page.contains("#frame-10004") && page.contains("id=\"frame-400\""));
        assert!(!page.contains("id=\"frame-401\""));
    }

    #[test]
    fn of_places_the_first_are_named_and_the_others_counted() {
        let conversation = integers(20_000);
        let acts = acts(&conversation);
        let repeats = Repeats::of(&conversation, &acts);
        let frame = &conversation.frames[3];
        let blocks = cipher_blocks(frame, acts[3]);
        let of = |named: &[u32], more| Others { named: named.to_vec(), more };
        assert_eq!(repeats.with_block(frame, &blocks[0]), of(&[10_004], 0));
        assert_eq!(repeats.with_body(frame), of(&[10_004], 0));
        // Three times in each 30.
        assert_eq!(repeats.with_block(frame, &blocks[1]), of(&[5, 6, 7, 8], 19_995));
        let later = &conversation.frames[100];
        let blocks = cipher_blocks(later, acts[100]);
        assert_eq!(repeats.with_block(later, &blocks[1]), of(&[4, 5, 6, 7], 19_995));
        assert_eq!((repeats.compared, repeats.repeated), (80_003, 80_003 - 10_002));
        assert_eq!(repeats.number(frame, &blocks[0]), Some(1), "after the 20's");
        assert_eq!(repeats.number(frame, &blocks[1]), Some(2));
    }
}

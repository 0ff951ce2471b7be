//! A direction's bytes to frames, without keeping the bytes.

use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};

/// The longest body of either wire: of classic; D-DDES/2's is one byte shorter.
const BODY_MAX: u32 = ddes_wire::classic::BODY_MAX;

/// Where a whole frame is in its direction's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: u64,
    pub(crate) bytes: usize,
}

/// What comes next in the stream.
#[derive(Debug)]
enum Next {
    Header {
        bytes: [u8; HEADER_BYTES],
        filled: usize,
    },
    /// `left` bytes of the body; a broken one began before a gap.
    Body {
        length: u32,
        left: u32,
        is_broken: bool,
    },
    /// After a gap: a frame may begin where a segment begins.
    Search,
    /// A header announced too much.
    Nothing,
}

/// Splits one direction of a connection.
#[derive(Debug)]
pub(crate) struct Framer {
    next: Next,
    /// Where the frame began that is being read.
    start: u64,
    /// The next byte's place.
    at: u64,
    /// Bytes that belong to no whole frame, since this was last taken.
    unframed: u64,
    /// The length that ended the splitting.
    too_long: Option<u32>,
}

impl Framer {
    pub(crate) fn new() -> Self {
        Self { next: NEW, start: 0, at: 0, unframed: 0, too_long: None }
    }

    /// The next bytes of the stream. `begins` says whether a segment begins with them.
    pub(crate) fn push(&mut self, mut bytes: &[u8], begins: bool, found: &mut dyn FnMut(Found)) {
        if matches!(self.next, Next::Search) && begins && bytes.first_chunk().is_some_and(is_header)
        {
            (self.next, self.start) = (NEW, self.at);
        }
        while !bytes.is_empty() {
            let taken = match &mut self.next {
                Next::Header { bytes: header, filled } => {
                    let count = bytes.len().min(HEADER_BYTES - *filled);
                    header[*filled..*filled + count].copy_from_slice(&bytes[..count]);
                    *filled += count;
                    count
                }
                Next::Body { left, .. } => {
                    let count = bytes.len().min(*left as usize);
                    // Not above `left`.
                    *left -= u32::try_from(count).unwrap_or(*left);
                    count
                }
                Next::Search | Next::Nothing => {
                    self.unframed += bytes.len() as u64;
                    bytes.len()
                }
            };
            self.at += taken as u64;
            bytes = &bytes[taken..];
            self.advance(found);
        }
    }

    /// Goes on to what follows a whole header or body.
    fn advance(&mut self, found: &mut dyn FnMut(Found)) {
        if let Next::Header { bytes, filled: HEADER_BYTES } = self.next {
            let length = Header::decode(bytes).length;
            if length > BODY_MAX {
                self.too_long = Some(length);
                self.unframed += HEADER_BYTES as u64;
                self.next = Next::Nothing;
                return;
            }
            self.next = Next::Body { length, left: length, is_broken: false };
        }
        if let Next::Body { length, left: 0, is_broken } = self.next {
            let bytes = HEADER_BYTES + length as usize;
            if !is_broken {
                found(Found { start: self.start, bytes });
            }
            (self.next, self.start) = (NEW, self.at);
        }
    }

    /// `bytes` of the stream are missing. A frame whose body they lie in is lost, and the next one
    /// begins where its header said; otherwise the next beginning has to be found.
    pub(crate) fn skip(&mut self, bytes: u64) {
        let in_frame = self.at - self.start;
        self.at = self.at.saturating_add(bytes);
        match &mut self.next {
            Next::Body { left, is_broken, .. } if bytes <= u64::from(*left) => {
                if *is_broken {
                    self.unframed -= bytes.min(self.unframed);
                } else {
                    // The rest of the frame, too, belongs to no whole one.
                    self.unframed += in_frame + u64::from(*left) - bytes;
                }
                *is_broken = true;
                // Checked by the guard.
                *left -= u32::try_from(bytes).unwrap_or(*left);
                self.advance(&mut |_| {});
            }
            Next::Body { left, is_broken, .. } => {
                self.unframed -= if *is_broken { u64::from(*left).min(self.unframed) } else { 0 };
                self.unframed += if *is_broken { 0 } else { in_frame };
                self.next = Next::Search;
            }
            Next::Header { filled, .. } => {
                self.unframed += *filled as u64;
                self.next = Next::Search;
            }
            Next::Search | Next::Nothing => {}
        }
    }

    /// The stream ends: what is begun will not be whole.
    pub(crate) fn end(&mut self) {
        match self.next {
            Next::Body { is_broken: false, .. } | Next::Header { .. } => {
                self.unframed += self.at - self.start;
            }
            Next::Body { is_broken: true, left, .. } => {
                self.unframed -= u64::from(left).min(self.unframed);
            }
            Next::Search | Next::Nothing => {}
        }
        self.next = Next::Nothing;
    }

    /// The place of the next byte in the stream.
    pub(crate) fn place(&self) -> u64 {
        self.at
    }

    /// Bytes that belong to no whole frame, since this was called last.
    pub(crate) fn take_unframed(&mut self) -> u64 {
        std::mem::take(&mut self.unframed)
    }

    /// The length that no message has, if one was announced; once.
    pub(crate) fn take_too_long(&mut self) -> Option<u32> {
        self.too_long.take()
    }
}

const NEW: Next = Next::Header { bytes: [0; HEADER_BYTES], filled: 0 };

/// Whether these bytes can be the header of a frame.
pub(crate) fn is_header(bytes: &[u8; HEADER_BYTES]) -> bool {
    let Header { opcode, length } = Header::decode(*bytes);
    Opcode::from_number(opcode).is_some() && length <= BODY_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u32, body: usize) -> Vec<u8> {
        let length = u32::try_from(body).unwrap();
        [&Header { opcode, length }.encode()[..], &vec![7; body]].concat()
    }

    fn found(framer: &mut Framer, bytes: &[u8], begins: bool) -> Vec<(u64, usize)> {
        let mut all = Vec::new();
        framer.push(bytes, begins, &mut |found| all.push((found.start, found.bytes)));
        all
    }

    #[test]
    fn frames_in_pieces_of_any_size_are_found() {
        let stream = [frame(10, 0), frame(30, 5), frame(99, 3)].concat();
        for piece in 1..=stream.len() {
            let mut framer = Framer::new();
            let all: Vec<_> =
                stream.chunks(piece).flat_map(|bytes| found(&mut framer, bytes, true)).collect();
            assert_eq!(all, [(0, 8), (8, 13), (21, 11)], "in pieces of {piece}");
            framer.end();
            assert_eq!(framer.take_unframed(), 0);
        }
    }

    #[test]
    fn a_gap_inside_a_body_loses_that_frame_alone() {
        let mut framer = Framer::new();
        assert_eq!(found(&mut framer, &frame(30, 100)[..50], true), []);
        framer.skip(20);
        let rest = [vec![7; 38], frame(40, 4)].concat();
        assert_eq!(found(&mut framer, &rest, false), [(108, 12)]);
        framer.end();
        assert_eq!(framer.take_unframed(), 88);
    }

    #[test]
    fn a_gap_over_a_header_is_left_where_a_segment_begins_with_one() {
        let mut framer = Framer::new();
        assert_eq!(found(&mut framer, &frame(30, 100)[..50], true), []);
        framer.skip(70);
        assert_eq!(found(&mut framer, &[1, 2, 3], true), []);
        // Not at the beginning of a segment: this may be anything.
        assert_eq!(found(&mut framer, &frame(40, 4), false), []);
        assert_eq!(found(&mut framer, &frame(40, 4), true), [(135, 12)]);
        framer.end();
        assert_eq!(framer.take_unframed(), 50 + 3 + 12);
    }

    #[test]
    fn a_length_that_no_message_has_ends_the_splitting() {
        let mut framer = Framer::new();
        let header = Header { opcode: 30, length: BODY_MAX + 1 }.encode();
        assert_eq!(found(&mut framer, &header, true), []);
        assert_eq!(found(&mut framer, &frame(40, 4), true), []);
        assert_eq!(framer.take_too_long(), Some(BODY_MAX + 1));
        framer.end();
        assert_eq!(framer.take_unframed(), 8 + 12);
    }
}

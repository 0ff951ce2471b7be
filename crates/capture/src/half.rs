//! One direction of a TCP connection: segments to a stream, the first transmission of each byte.

use std::collections::BTreeMap;

use ddes_wire::saturating;

use crate::packet::TcpSegment;

/// The most bytes that wait for an earlier one, for each direction. TCP's window bounds what can be
/// on the way; what waits behind more than this waits for something the capture does not hold.
const HELD_BYTES_MAX: usize = 1 << 20;

/// What a piece that waits costs beside its bytes.
const HELD_COST: usize = 96;

/// Segments to a stream.
#[derive(Debug, Default)]
pub(crate) struct HalfStream {
    /// The sequence number of the stream's first byte.
    base: Option<u32>,
    /// Whether `base` was stated by a SYN.
    pub(crate) began: bool,
    /// The place of the next byte to deliver.
    next: u64,
    /// What came before its turn, by place; the pieces do not overlap.
    held: BTreeMap<u64, Vec<u8>>,
    held_bytes: usize,
    /// Where the stream ends, once that is known.
    end: Option<u64>,
    /// How far the segments reach, also those whose bytes the capture does not hold.
    reach: u64,
    /// What was delivered and is kept to be compared with retransmissions.
    pub(crate) kept: KeptBytes,
}

/// The bytes of a stream that are kept: pieces, apart by gaps.
#[derive(Debug, Default)]
pub(crate) struct KeptBytes(Vec<(u64, Vec<u8>)>);

/// What comes out of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamDelivery<'a> {
    /// The next bytes; `begins` if a segment begins with them.
    Bytes { bytes: &'a [u8], begins: bool },
    /// Bytes that the capture does not hold.
    Gap(u64),
    /// A retransmission differs from what came first, at this place.
    Conflict(u64),
}

impl HalfStream {
    /// A SYN states where the stream begins.
    pub(crate) fn begin(&mut self, sequence: u32) {
        if self.base.is_none() {
            self.base = Some(sequence.wrapping_add(1));
            self.began = true;
        }
    }

    /// Whether a SYN with this number begins another connection than this one.
    pub(crate) fn is_other(&self, sequence: u32) -> bool {
        self.base.is_some_and(|base| !self.began || base != sequence.wrapping_add(1))
    }

    /// A segment that is no SYN, or the data of one.
    pub(crate) fn take(
        &mut self,
        segment: &TcpSegment<'_>,
        deliver: &mut dyn FnMut(StreamDelivery<'_>),
    ) {
        let first = segment.sequence.wrapping_add(u32::from(segment.flags.syn));
        let Some(at) = self.place(first) else { return };
        let length = segment.data.len() as u64 + u64::from(segment.cut);
        if segment.flags.fin {
            self.end.get_or_insert(at.saturating_add(length));
        }
        if !segment.flags.rst {
            self.reach = self.reach.max(at.saturating_add(length));
        }
        self.insert(at, segment.data, deliver);
        while self.held_bytes > HELD_BYTES_MAX {
            self.skip_gap(deliver);
        }
    }

    /// Whether everything up to the end of the stream is delivered.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end <= self.next)
    }

    /// Nothing more comes: delivers what waits behind gaps, and says what is missing at the end.
    pub(crate) fn finish(&mut self, deliver: &mut dyn FnMut(StreamDelivery<'_>)) {
        while !self.held.is_empty() {
            self.skip_gap(deliver);
        }
        // A stream without an end goes at least as far as the numbers of its segments.
        let missing = self.end.unwrap_or(self.reach).saturating_sub(self.next);
        if missing > 0 {
            self.next += missing;
            deliver(StreamDelivery::Gap(missing));
        }
    }

    /// Frees what waits and what is kept: nobody asks for it any more.
    pub(crate) fn clear(&mut self) {
        (self.held, self.held_bytes) = (BTreeMap::new(), 0);
        self.kept.clear();
    }

    /// Bytes of memory that wait.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The place of a sequence number; `None` if it is before the beginning, or nowhere near.
    fn place(&mut self, sequence: u32) -> Option<u64> {
        let base = *self.base.get_or_insert(sequence);
        #[allow(clippy::cast_possible_truncation, reason = "sequence numbers count modulo 2^32")]
        let next = base.wrapping_add(self.next as u32);
        let distance = i64::from(sequence.wrapping_sub(next).cast_signed());
        self.next.checked_add_signed(distance)
    }

    /// Takes bytes at their place: what is new is delivered or held, what is not is compared.
    fn insert(
        &mut self,
        mut at: u64,
        mut bytes: &[u8],
        deliver: &mut dyn FnMut(StreamDelivery<'_>),
    ) {
        if at < self.next {
            let old = saturating::to_usize(self.next - at).min(bytes.len());
            if let Some(offset) = self.kept.difference(at, &bytes[..old]) {
                deliver(StreamDelivery::Conflict(offset));
            }
            at += old as u64;
            bytes = &bytes[old..];
        }
        if self.held.is_empty() && at == self.next {
            return self.deliver(bytes, true, deliver);
        }
        self.hold(at, bytes, deliver);
        let mut begins = true;
        while let Some(entry) = self.held.first_entry()
            && *entry.key() == self.next
        {
            let piece = entry.remove();
            self.held_bytes -= piece.len() + HELD_COST;
            self.deliver(&piece, begins, deliver);
            begins = true;
        }
    }

    /// Keeps the parts of `bytes` that no piece holds yet, and compares the others.
    fn hold(&mut self, mut at: u64, mut bytes: &[u8], deliver: &mut dyn FnMut(StreamDelivery<'_>)) {
        while !bytes.is_empty() {
            let before = self.held.range(..=at).next_back();
            let covered = before.and_then(|(start, piece)| {
                let inside = usize::try_from(at - start).ok()?;
                piece.get(inside..).filter(|rest| !rest.is_empty())
            });
            if let Some(rest) = covered {
                let count = rest.len().min(bytes.len());
                let differs = rest.iter().zip(bytes).position(|(old, new)| old != new);
                if let Some(offset) = differs {
                    deliver(StreamDelivery::Conflict(at + offset as u64));
                }
                at += count as u64;
                bytes = &bytes[count..];
                continue;
            }
            let room = self.held.range(at..).next().map_or(u64::MAX, |(start, _)| start - at);
            // More room than memory has is enough for all bytes.
            let count = saturating::to_usize(room).min(bytes.len());
            self.held.insert(at, bytes[..count].to_vec());
            self.held_bytes += count + HELD_COST;
            at += count as u64;
            bytes = &bytes[count..];
        }
    }

    /// Gives up the bytes before the first piece that waits, and delivers that.
    pub(crate) fn skip_gap(&mut self, deliver: &mut dyn FnMut(StreamDelivery<'_>)) {
        let Some((start, piece)) = self.held.pop_first() else { return };
        self.held_bytes -= piece.len() + HELD_COST;
        if start > self.next {
            deliver(StreamDelivery::Gap(start - self.next));
            self.next = start;
        }
        self.deliver(&piece, true, deliver);
        while let Some(entry) = self.held.first_entry()
            && *entry.key() == self.next
        {
            let piece = entry.remove();
            self.held_bytes -= piece.len() + HELD_COST;
            self.deliver(&piece, true, deliver);
        }
    }

    fn deliver(&mut self, bytes: &[u8], begins: bool, deliver: &mut dyn FnMut(StreamDelivery<'_>)) {
        if !bytes.is_empty() {
            self.next += bytes.len() as u64;
            deliver(StreamDelivery::Bytes { bytes, begins });
        }
    }
}

impl KeptBytes {
    /// Appends what follows at `at`.
    pub(crate) fn push(&mut self, at: u64, bytes: &[u8]) {
        match self.0.last_mut() {
            Some((start, piece)) if *start + piece.len() as u64 == at => {
                piece.extend_from_slice(bytes);
            }
            Some(_) | None => self.0.push((at, bytes.to_vec())),
        }
    }

    /// Whether what comes at `at` follows the last piece, and needs none of its own.
    pub(crate) fn ends_at(&self, at: u64) -> bool {
        self.0.last().is_some_and(|(start, piece)| *start + piece.len() as u64 == at)
    }

    /// The bytes of a range, if they are kept.
    pub(crate) fn get(&self, at: u64, count: usize) -> Option<&[u8]> {
        let after = self.0.partition_point(|(start, _)| *start <= at);
        let (start, piece) = self.0.get(after.checked_sub(1)?)?;
        let inside = usize::try_from(at - start).ok()?;
        piece.get(inside..inside.checked_add(count)?)
    }

    /// The place of the first byte that is kept and differs from `bytes` at `at`.
    fn difference(&self, at: u64, bytes: &[u8]) -> Option<u64> {
        let end = at + bytes.len() as u64;
        let first = self.0.partition_point(|(start, piece)| start + piece.len() as u64 <= at);
        let pieces = self.0.get(first..)?.iter().take_while(|(start, _)| *start < end);
        for (start, piece) in pieces {
            let from = at.max(*start);
            let old = piece.get(usize::try_from(from - start).ok()?..)?;
            let new = bytes.get(usize::try_from(from - at).ok()?..)?;
            if let Some(offset) = old.iter().zip(new).position(|(old, new)| old != new) {
                return Some(from + offset as u64);
            }
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn pieces(&self) -> usize {
        self.0.len()
    }

    /// Frees what is kept.
    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Flags;

    const BASE: u32 = u32::MAX - 3;

    /// A stream across the end of the sequence numbers.
    struct Scene {
        half: HalfStream,
        said: Vec<String>,
    }

    impl Scene {
        fn new() -> Self {
            let mut half = HalfStream::default();
            half.begin(BASE.wrapping_sub(1));
            Self { half, said: Vec::new() }
        }

        fn send(&mut self, at: u32, data: &str) -> &mut Self {
            self.cut(at, data, 0, false)
        }

        fn cut(&mut self, at: u32, data: &str, cut: u32, fin: bool) -> &mut Self {
            let anywhere = "127.0.0.1:1".parse().unwrap();
            let segment = TcpSegment {
                from: anywhere,
                to: anywhere,
                sequence: BASE.wrapping_add(at),
                flags: Flags { fin, ..Flags::default() },
                data: data.as_bytes(),
                cut,
            };
            let mut delivered = Vec::new();
            self.half.take(&segment, &mut |delivery| match delivery {
                StreamDelivery::Bytes { bytes, .. } => delivered.push(bytes.to_vec()),
                StreamDelivery::Gap(gap) => delivered.push(format!("<{gap}>").into_bytes()),
                StreamDelivery::Conflict(at) => delivered.push(format!("!{at}").into_bytes()),
            });
            for bytes in delivered {
                let text = String::from_utf8(bytes).unwrap();
                if !text.starts_with(['<', '!']) {
                    let at = self.half.next - text.len() as u64;
                    self.half.kept.push(at, text.as_bytes());
                }
                self.said.push(text);
            }
            self
        }

        fn finish(&mut self) -> String {
            let mut said = std::mem::take(&mut self.said);
            self.half.finish(&mut |delivery| match delivery {
                StreamDelivery::Bytes { bytes, .. } => {
                    said.push(String::from_utf8(bytes.to_vec()).unwrap());
                }
                StreamDelivery::Gap(gap) => said.push(format!("<{gap}>")),
                StreamDelivery::Conflict(at) => said.push(format!("!{at}")),
            });
            assert_eq!(self.half.held_bytes(), 0);
            said.concat()
        }
    }

    #[test]
    fn segments_out_of_order_become_a_stream() {
        let said = Scene::new().send(6, "gh").send(2, "cdef").send(0, "ab").finish();
        assert_eq!(said, "abcdefgh");
    }

    #[test]
    fn the_first_transmission_of_a_byte_counts_and_a_different_one_is_said() {
        let mut scene = Scene::new();
        scene.send(0, "abcd").send(0, "abcd").send(2, "cdef");
        assert_eq!(scene.finish(), "abcdef");
        let mut scene = Scene::new();
        scene.send(0, "abcd").send(1, "bXdef");
        assert_eq!(scene.finish(), "abcd!2ef");
    }

    #[test]
    fn what_waits_is_not_changed_by_a_later_transmission() {
        let mut scene = Scene::new();
        scene.send(4, "ef").send(2, "cdEfgh").send(0, "ab");
        assert_eq!(scene.finish(), "!4abcdefgh");
    }

    #[test]
    fn a_gap_that_is_never_filled_is_said_at_the_end() {
        assert_eq!(Scene::new().send(0, "ab").send(5, "fg").finish(), "ab<3>fg");
        assert_eq!(Scene::new().send(0, "ab").cut(2, "cd", 6, true).finish(), "abcd<6>");
        // A segment without data says where the stream is, also where no end is captured.
        assert_eq!(Scene::new().send(0, "ab").send(7, "").finish(), "ab<5>");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut scene = Scene::new();
        let piece = "x".repeat(1000);
        for number in 1..3000 {
            scene.send(number * 2000, &piece);
            assert!(scene.half.held_bytes() <= HELD_BYTES_MAX);
        }
        assert!(scene.said.iter().any(|said| said == "<2000>"), "the first gap was given up");
        scene.said.clear();
        scene.finish();
    }
}

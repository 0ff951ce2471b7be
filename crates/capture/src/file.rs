//! Packets out of a pcapng or pcap file, one at a time, in constant memory.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{
    Block, InterfaceDescriptionBlock, LegacyPcapReader, OptionCode, PcapBlockOwned, PcapError,
    PcapNGOption, PcapNGReader,
};

use crate::read::ReadError;

/// The buffer that most files need: a block and what is read ahead.
const BUFFER_BYTES: usize = 1 << 20;

/// The longest block of a file. Packets have at most 262,144 bytes; the rest is for comments and
/// for what other programs put into blocks of their own.
const BLOCK_BYTES_MAX: usize = 16 << 20;

/// The most interfaces of one section of a pcapng file.
const INTERFACES_MAX: usize = 65_536;

/// One packet.
pub(crate) struct Packet<'a> {
    /// The type of its outermost header, as in <https://www.tcpdump.org/linktypes.html>.
    pub(crate) link: i32,
    /// When it was captured, since 1970-01-01 UTC.
    pub(crate) at: Duration,
    /// The bytes that were captured of it.
    pub(crate) data: &'a [u8],
    /// Its comments.
    pub(crate) comments: Vec<&'a str>,
}

/// How a file ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its last block.
    Whole,
    /// In the middle of something; the text says what.
    Cut(String),
}

/// Gives each packet of a file to `each`.
pub(crate) fn for_each(
    source: impl Read,
    each: &mut dyn FnMut(&Packet<'_>),
) -> Result<Ending, ReadError> {
    let fault = Rc::new(RefCell::new(None));
    let mut source = ExactSource { inner: source, head: Vec::new(), fault: Rc::clone(&fault) };
    let is_pcapng = match source.magic()? {
        [0x0a, 0x0d, 0x0d, 0x0a] => true,
        [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0xc3, 0xd4]
        | [0x4d, 0x3c, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d]
        | [0x34, 0xcd, 0xb2, 0xa1] => false,
        _ => return Err(ReadError::Format),
    };
    let in_header = || Ok(Ending::Cut("the file ends in its header".to_owned()));
    let mut shape = Shape::default();
    let mut handle = |block: PcapBlockOwned<'_>| shape.handle(&block, each);
    let ending = if is_pcapng {
        match PcapNGReader::new(BUFFER_BYTES, source) {
            Ok(mut reader) => walk(&mut reader, &mut handle),
            Err(_) => return fault.take().map_or_else(in_header, |error| Err(error.into())),
        }
    } else {
        match LegacyPcapReader::new(BUFFER_BYTES, source) {
            Ok(mut reader) => walk(&mut reader, &mut handle),
            Err(_) => return fault.take().map_or_else(in_header, |error| Err(error.into())),
        }
    };
    match fault.take() {
        Some(error) => Err(error.into()),
        None => Ok(ending),
    }
}

/// What to do after a look at the buffer.
enum ParseStep {
    Consume(usize),
    Refill,
    Grow,
    End(Ending),
}

fn walk<R: PcapReaderIterator>(
    reader: &mut R,
    handle: &mut dyn FnMut(PcapBlockOwned<'_>),
) -> Ending {
    let mut capacity = BUFFER_BYTES;
    loop {
        let at = reader.consumed();
        let damaged = || Ending::Cut(format!("the file is damaged at byte {at}"));
        let step = match reader.next() {
            Ok((0, _)) => ParseStep::End(damaged()),
            Ok((bytes, block)) => {
                handle(block);
                ParseStep::Consume(bytes)
            }
            Err(PcapError::Eof) => ParseStep::End(Ending::Whole),
            Err(PcapError::Incomplete(_)) => ParseStep::Refill,
            Err(PcapError::BufferTooSmall) => ParseStep::Grow,
            Err(PcapError::UnexpectedEof) => {
                ParseStep::End(Ending::Cut(format!("the file ends inside the block at byte {at}")))
            }
            Err(PcapError::ReadError) => {
                ParseStep::End(Ending::Cut("the file cannot be read".into()))
            }
            Err(
                PcapError::HeaderNotRecognized
                | PcapError::NomError(..)
                | PcapError::OwnedNomError(..),
            ) => ParseStep::End(damaged()),
        };
        match step {
            ParseStep::Consume(bytes) => reader.consume(bytes),
            ParseStep::Refill => {
                let before = reader.data().len();
                if reader.refill().is_err() {
                    return Ending::Cut("the file cannot be read".into());
                }
                if reader.data().len() == before && !reader.reader_exhausted() {
                    return Ending::Cut(format!("the file is damaged at byte {at}"));
                }
            }
            ParseStep::Grow => {
                // A buffer that is not full yet may only need more of the file.
                let before = reader.data().len();
                if reader.refill().is_err() {
                    return Ending::Cut("the file cannot be read".into());
                }
                if reader.data().len() == before {
                    capacity = capacity.saturating_mul(2);
                    if capacity > BLOCK_BYTES_MAX || !reader.grow(capacity) {
                        return Ending::Cut(format!(
                            "the block at byte {at} has more than {} bytes",
                            capacity / 2
                        ));
                    }
                }
            }
            ParseStep::End(ending) => return ending,
        }
    }
}

/// What the blocks before a packet say about it.
#[derive(Default)]
struct Shape {
    interfaces: Vec<Interface>,
    /// Of a pcap file: its link type, and whether its times have nanoseconds.
    legacy: Option<(i32, bool)>,
}

struct Interface {
    link: i32,
    /// Units of its times in a second.
    resolution: u64,
    offset: i64,
}

impl Shape {
    fn handle(&mut self, block: &PcapBlockOwned<'_>, each: &mut dyn FnMut(&Packet<'_>)) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                // The upper bits hold the length of a checksum behind each packet.
                let link = header.network.0 & 0x03ff_ffff;
                self.legacy = Some((link, header.is_nanosecond_precision()));
            }
            PcapBlockOwned::Legacy(packet) => {
                let (link, has_nanos) = self.legacy.unwrap_or((1, false));
                let nanos = packet.ts_usec.saturating_mul(if has_nanos { 1 } else { 1000 });
                let at =
                    Duration::from_secs(packet.ts_sec.into()) + Duration::from_nanos(nanos.into());
                each(&Packet { link, at, data: packet.data, comments: Vec::new() });
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.interfaces.len() < INTERFACES_MAX {
                    self.interfaces.push(Interface::of(interface));
                }
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = usize::try_from(packet.if_id).ok();
                let Some(interface) = interface.and_then(|at| self.interfaces.get(at)) else {
                    return each(&Packet::unreadable());
                };
                let time = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                each(&Packet {
                    link: interface.link,
                    at: interface.time(time),
                    data: packet.packet_data(),
                    comments: comments(&packet.options),
                });
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let link = self.interfaces.first().map_or(-1, |interface| interface.link);
                let data = packet.packet_data();
                each(&Packet { link, at: Duration::ZERO, data, comments: Vec::new() });
            }
            PcapBlockOwned::NG(
                Block::NameResolution(_)
                | Block::InterfaceStatistics(_)
                | Block::SystemdJournalExport(_)
                | Block::DecryptionSecrets(_)
                | Block::ProcessInformation(_)
                | Block::Custom(_)
                | Block::Unknown(_),
            ) => {}
        }
    }
}

impl Packet<'_> {
    /// A packet of an interface that the file does not describe.
    fn unreadable() -> Self {
        Self { link: -1, at: Duration::ZERO, data: &[], comments: Vec::new() }
    }
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let exponent = u32::from(block.if_tsresol & 0x7f);
        let base = if block.if_tsresol & 0x80 == 0 { 10_u64 } else { 2 };
        // A resolution that no clock has: the times are shown as seconds.
        let resolution = base.checked_pow(exponent).unwrap_or(1);
        Self { link: block.linktype.0, resolution, offset: block.if_tsoffset }
    }

    fn time(&self, units: u64) -> Duration {
        let seconds = (units / self.resolution).saturating_add_signed(self.offset);
        let part = u128::from(units % self.resolution) * 1_000_000_000;
        // Below a second.
        Duration::from_secs(seconds) + Duration::from_nanos_u128(part / u128::from(self.resolution))
    }
}

fn comments<'a>(options: &'a [PcapNGOption<'_>]) -> Vec<&'a str> {
    let comments = options.iter().filter(|option| option.code == OptionCode::Comment);
    comments.filter_map(|option| option.as_str().ok()).collect()
}

/// Reads as much as is asked for, and keeps the error that the parser does not pass on.
struct ExactSource<R> {
    inner: R,
    /// What was read to see what the file is.
    head: Vec<u8>,
    fault: Rc<RefCell<Option<io::Error>>>,
}

impl<R: Read> ExactSource<R> {
    fn magic(&mut self) -> Result<[u8; 4], ReadError> {
        let mut magic = [0; 4];
        let count = fill(&mut self.inner, &mut magic)?;
        self.head = magic[..count].to_vec();
        if count < magic.len() { Err(ReadError::Format) } else { Ok(magic) }
    }
}

impl<R: Read> Read for ExactSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let first = self.head.len().min(buffer.len());
        let (front, rest) = buffer.split_at_mut(first);
        front.copy_from_slice(&self.head[..first]);
        self.head.drain(..first);
        match fill(&mut self.inner, rest) {
            Ok(count) => Ok(first + count),
            Err(error) => {
                let kind = error.kind();
                *self.fault.borrow_mut() = Some(error);
                Err(kind.into())
            }
        }
    }
}

/// Reads until `buffer` is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match source.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

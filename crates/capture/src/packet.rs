//! A captured packet to a TCP segment.

use std::net::{IpAddr, SocketAddr};

use ddes_wire::saturating;
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// One TCP segment.
#[derive(Debug)]
pub(crate) struct TcpSegment<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) flags: Flags,
    /// What was captured of its data.
    pub(crate) data: &'a [u8],
    /// Bytes of data that it had beyond those, as far as its headers say.
    pub(crate) cut: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
}

// https://www.tcpdump.org/linktypes.html
const NULL: i32 = 0;
const EN10MB: i32 = 1;
const RAW_BSD: i32 = 12;
const RAW_OPENBSD: i32 = 14;
/// What [`crate::Writer`] writes: the packet begins with an IP header.
pub(crate) const RAW: i32 = 101;
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const IPV4: i32 = 228;
const IPV6: i32 = 229;
const LINUX_SLL2: i32 = 276;

/// The segment in a packet; `None` for anything else, and for fragments of IP packets.
pub(crate) fn segment(link: i32, data: &[u8]) -> Option<TcpSegment<'_>> {
    let packet = match link {
        EN10MB => LaxSlicedPacket::from_ethernet(data).ok()?,
        // Four bytes that say which protocol follows, in the order of the machine that captured:
        // the version of the IP header says it too.
        NULL | LOOP => LaxSlicedPacket::from_ip(data.get(4..)?).ok()?,
        RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => LaxSlicedPacket::from_ip(data).ok()?,
        LINUX_SLL => by_ether_type(data.get(14..16)?, data.get(16..)?)?,
        LINUX_SLL2 => by_ether_type(data.get(..2)?, data.get(20..)?)?,
        _ => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
    let (source, destination, cut) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let there = header.slice().len() + ip.payload().payload.len();
            let cut = missing(header.total_len(), there);
            let (from, to) = (header.source_addr(), header.destination_addr());
            (IpAddr::V4(from), IpAddr::V4(to), cut)
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let there = ip.extensions().slice().len() + ip.payload().payload.len();
            let cut = missing(header.payload_length(), there);
            let (from, to) = (header.source_addr(), header.destination_addr());
            (IpAddr::V6(from), IpAddr::V6(to), cut)
        }
        LaxNetSlice::Arp(_) => return None,
    };
    Some(TcpSegment {
        from: SocketAddr::new(source, tcp.source_port()),
        to: SocketAddr::new(destination, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        flags: Flags { syn: tcp.syn(), ack: tcp.ack(), fin: tcp.fin(), rst: tcp.rst() },
        data: tcp.payload(),
        cut,
    })
}

/// How many of the bytes that an IP header announces are not there. A frame may have more.
fn missing(announced: u16, there: usize) -> u32 {
    u32::from(announced).saturating_sub(saturating::to_u32(there as u64))
}

fn by_ether_type<'a>(ether_type: &[u8], payload: &'a [u8]) -> Option<LaxSlicedPacket<'a>> {
    let ether_type = u16::from_be_bytes(ether_type.try_into().ok()?);
    Some(LaxSlicedPacket::from_ether_type(EtherType(ether_type), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_missing_until_all_that_were_announced_are_there() {
        for (there, expect) in [(0, 5), (4, 1), (5, 0), (6, 0), (usize::MAX, 0)] {
            assert_eq!(missing(5, there), expect, "{there}");
        }
        assert_eq!(missing(u16::MAX, 0), 65_535);
    }
}

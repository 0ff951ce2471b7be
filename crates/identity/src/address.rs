//! The address of a server: `HOST:PORT`. All spellings of one address compare equal.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ddes_wire::shown;

/// The most characters of a host name (RFC 1035).
const NAME_CHARS_MAX: usize = 253;

/// A server's address. Addresses of the same host and port are equal and displayed the same: letter
/// case is ignored, an IPv6 address is shown in its shortest form in brackets, and `localhost` is
/// shown as 127.0.0.1, whichever loopback address it resolves to.
#[derive(Clone, Debug)]
pub struct ServerAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Localhost,
    Ip(IpAddr),
    /// A link-local address and its interface.
    Zoned(Ipv6Addr, String),
    /// A name in lower case, without a dot at the end.
    Name(String),
}

/// A text that is not an address, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not HOST:PORT: {why}. Write counter.example:5566, 192.0.2.7:5566 or \
     [2001:db8::7]:5566"
)]
pub struct AddressError {
    /// Fit to be shown ([`shown::plain`]).
    text: String,
    why: &'static str,
}

impl ServerAddress {
    /// The host for a resolver: an address without brackets, or a name.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Localhost => "localhost".to_owned(),
            Host::Ip(address) => address.to_string(),
            Host::Zoned(address, zone) => format!("{address}%{zone}"),
            Host::Name(name) => name.clone(),
        }
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The form in which it is compared and displayed.
    fn name(&self) -> (Host, u16) {
        let host = match &self.host {
            Host::Localhost => Host::Ip(Ipv4Addr::LOCALHOST.into()),
            host @ (Host::Ip(_) | Host::Zoned(..) | Host::Name(_)) => host.clone(),
        };
        (host, self.port)
    }
}

impl PartialEq for ServerAddress {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ServerAddress {}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.name();
        let host = Self { host, port }.host();
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |why| AddressError { text: shown::plain(text), why };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| error("it has no port"))?;
        let host = host_of(host).map_err(error)?;
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_number && *port != 0);
        Ok(Self {
            host,
            port: port.ok_or_else(|| error("its port is not a number from 1 to 65535"))?,
        })
    }
}

fn host_of(text: &str) -> Result<Host, &'static str> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return ipv6(inner).ok_or("the text in brackets is not an IPv6 address");
    }
    if text.contains(':') {
        return ipv6(text).ok_or("the text before its last colon is not an IPv6 address");
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err("it has no host");
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() > NAME_CHARS_MAX || !name.bytes().all(fits) {
        return Err("a host name is letters, digits and -_. (253 at most)");
    }
    // Resolvers read 127.1 and 0x7f000001 as 127.0.0.1, so such names are addresses.
    let last = name.rsplit('.').next().unwrap_or(&name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        let address = ipv4(&name).ok_or("an IPv4 address is four numbers from 0 to 255")?;
        return Ok(Host::Ip(address.into()));
    }
    if name == "localhost" { Ok(Host::Localhost) } else { Ok(Host::Name(name)) }
}

/// Parses like inet_aton(3): one to four numbers, of which the last fills the remaining bytes.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let numbers = text.split('.').map(|part| match part.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    });
    let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    let (last, bytes) = numbers.split_last().filter(|(_, bytes)| bytes.len() < 4)?;
    let mut address = u64::from(*last);
    let room = 8 * (4 - bytes.len());
    (address < 1 << room).then_some(())?;
    for (place, byte) in (1..4).rev().map(|byte| 8 * byte).zip(bytes) {
        address |= u64::from(u8::try_from(*byte).ok()?) << place;
    }
    u32::try_from(address).ok().map(Ipv4Addr::from_bits)
}

/// An IPv6 address with or without a zone. An IPv4-mapped address becomes the IPv4 address.
fn ipv6(text: &str) -> Option<Host> {
    let Some((address, zone)) = text.split_once('%') else {
        return Some(Host::Ip(text.parse::<Ipv6Addr>().ok()?.to_canonical()));
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_zone = !zone.is_empty() && zone.len() <= NAME_CHARS_MAX && zone.bytes().all(fits);
    is_zone.then_some(Host::Zoned(address.parse().ok()?, zone.to_owned()))
}

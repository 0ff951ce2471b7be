//! The servers that a client knows: lines `host:port ssh-ed25519 AAAA… [comment]`, and comments.

use ddes_wire::shown;

use crate::lines::{BYTE_ORDER_MARK, content, first_field, numbered};
use crate::{LineError, PublicKey, ServerAddress, read_public};

/// How a server's key compares with the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// The key is listed for this address.
    Known,
    /// No key is listed for the address: ask the user.
    First,
    /// Only other keys are listed for the address: refuse.
    Changed {
        /// The keys listed for the address.
        known: Vec<PublicKey>,
    },
}

/// A parsed file of known servers. An address may have several keys, so that a server's next key
/// can be listed in advance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownServers(Vec<KnownLine>);

/// A line of the file, with its line ending.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownLine {
    bytes: Vec<u8>,
    /// `None` for a comment or an empty line.
    says: Option<(ServerAddress, PublicKey)>,
}

impl KnownServers {
    /// Parses a file. A line that cannot be parsed makes the whole file an error: a server that the
    /// line may list must not count as a first contact.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, LineError> {
        let lines = numbered(text.as_ref()).map(|(line, bytes)| {
            let says = content(bytes).map(|text| pinned(&text)).transpose();
            let says = says.map_err(|why| LineError { line, why: shown::plain(&why) })?;
            Ok(KnownLine { bytes: bytes.to_owned(), says })
        });
        lines.collect::<Result<_, _>>().map(Self)
    }

    /// The file's text: every parsed line unchanged, comments included.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|line| &line.bytes).copied().collect()
    }

    /// Compares the `key` of the server at `address` with the list.
    pub fn contact(&self, address: &ServerAddress, key: &PublicKey) -> Contact {
        let known: Vec<_> =
            self.iter().filter(|(known, _)| *known == address).map(|(_, key)| *key).collect();
        match &known[..] {
            [] => Contact::First,
            keys if keys.contains(key) => Contact::Known,
            _ => Contact::Changed { known },
        }
    }

    /// Adds a key of a server, unless it is listed.
    pub fn add(&mut self, address: &ServerAddress, key: PublicKey) {
        if self.contact(address, &key) == Contact::Known {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && !last.bytes.ends_with(b"\n")
        {
            last.bytes.push(b'\n');
        }
        let bytes = format!("{address} {}\n", key.to_openssh()).into_bytes();
        self.0.push(KnownLine { bytes, says: Some((address.clone(), key)) });
    }

    /// Removes all keys of a server; returns how many there were.
    pub fn remove(&mut self, address: &ServerAddress) -> usize {
        let before = self.0.len();
        self.0.retain(|line| line.says.as_ref().is_none_or(|(known, _)| known != address));
        before - self.0.len()
    }

    /// Every address with each of its keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ServerAddress, &PublicKey)> {
        self.0.iter().filter_map(|line| line.says.as_ref()).map(|(address, key)| (address, key))
    }
}

/// The server and the key of a line, or why it cannot be parsed.
fn pinned(line: &str) -> Result<(ServerAddress, PublicKey), String> {
    if line.starts_with(BYTE_ORDER_MARK) {
        return Err(
            "the file begins with a byte order mark (BOM): save it as UTF-8 without one".into()
        );
    }
    if line.starts_with('|') {
        return Err("hashed names are not understood here: write HOST:PORT".into());
    }
    if line.starts_with('@') {
        return Err("markers are not understood here: a line is HOST:PORT and a key".into());
    }
    let (address, key) = first_field(line).ok_or("no key on this line")?;
    if address.contains(',') {
        return Err("a line names one server: write one for each".into());
    }
    let address = address.parse().map_err(|error: crate::AddressError| error.to_string())?;
    Ok((address, read_public(key).map_err(|error| error.to_string())?))
}

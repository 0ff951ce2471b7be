//! Which servers a client knows: lines `host:port ssh-ed25519 AAAA… [comment]`, and comments.

use ddes_wire::shown;

use crate::lines::{BYTE_ORDER_MARK, content, first_field, numbered};
use crate::{LineError, PublicKey, ServerAddress, read_public};

/// What a client knows of a server that shows a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// The key is listed for this very address.
    Known,
    /// Nothing is listed for it: ask a person.
    First,
    /// Other keys are: fail closed.
    Changed {
        /// Those listed.
        known: Vec<PublicKey>,
    },
}

/// The file, read. An address may have several keys, so that a server's key can be changed in
/// advance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownServers(Vec<Line>);

/// A line as it stands in the file, with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    bytes: Vec<u8>,
    /// `None`: a comment, or nothing.
    says: Option<(ServerAddress, PublicKey)>,
}

impl KnownServers {
    /// Reads a file. A line that is not understood is an error of the whole: a key that it pins
    /// must not read as a first contact.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, LineError> {
        let lines = numbered(text.as_ref()).map(|(line, bytes)| {
            let says = content(bytes).map(|text| pinned(&text)).transpose();
            let says = says.map_err(|why| LineError { line, why: shown::plain(&why) })?;
            Ok(Line { bytes: bytes.to_owned(), says })
        });
        lines.collect::<Result<_, _>>().map(Self)
    }

    /// The file's text: every line that was read as it was, comments too.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|line| &line.bytes).copied().collect()
    }

    /// What is known of the server at `address` that shows `key`.
    pub fn contact(&self, address: &ServerAddress, key: &PublicKey) -> Contact {
        let known: Vec<_> =
            self.iter().filter(|(known, _)| *known == address).map(|(_, key)| *key).collect();
        match &known[..] {
            [] => Contact::First,
            keys if keys.contains(key) => Contact::Known,
            _ => Contact::Changed { known },
        }
    }

    /// Adds a key of a server; nothing changes if it is listed.
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
        self.0.push(Line { bytes, says: Some((address.clone(), key)) });
    }

    /// Forgets all keys of a server; how many there were.
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

/// The server and the key that a line pins, or why it is not understood.
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

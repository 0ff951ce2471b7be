//! Which servers a client knows: lines `host:port ssh-ed25519 AAAA…`.

use ddes_wire::shown;

use crate::{LineError, PublicKey, read_public};

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

/// The file, read. An address may have several keys, so that a server's key can be changed in advance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownServers(Vec<(String, PublicKey)>);

impl KnownServers {
    /// Reads a file. A line that says nothing is an error of its own: a key that is not understood must not read as a first contact.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut servers = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = |why: String| LineError { line: number + 1, why: shown::plain(&why) };
            let (address, key) = line.split_once(' ').ok_or_else(|| error("no key on this line".into()))?;
            servers.push((normal(address), read_public(key).map_err(|why| error(why.to_string()))?));
        }
        Ok(Self(servers))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(address, key)| format!("{address} {}\n", key.to_openssh())).collect()
    }

    /// What is known of the server at `address` that shows `key`.
    pub fn contact(&self, address: &str, key: &PublicKey) -> Contact {
        let known: Vec<_> = self.keys(address).copied().collect();
        match &known[..] {
            [] => Contact::First,
            keys if keys.contains(key) => Contact::Known,
            _ => Contact::Changed { known },
        }
    }

    /// Adds a key of a server; nothing changes if it is listed.
    pub fn add(&mut self, address: &str, key: PublicKey) {
        if self.contact(address, &key) != Contact::Known {
            self.0.push((normal(address), key));
        }
    }

    /// Forgets all keys of a server; how many there were.
    pub fn remove(&mut self, address: &str) -> usize {
        let before = self.0.len();
        let address = normal(address);
        self.0.retain(|(known, _)| *known != address);
        before - self.0.len()
    }

    /// Every address with each of its keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().map(|(address, key)| (address.as_str(), key))
    }

    fn keys(&self, address: &str) -> impl Iterator<Item = &PublicKey> {
        let address = normal(address);
        self.0.iter().filter(move |(known, _)| *known == address).map(|(_, key)| key)
    }
}

/// Host names know no case.
fn normal(address: &str) -> String {
    address.to_ascii_lowercase()
}

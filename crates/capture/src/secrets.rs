//! What one end of a session drew or derived: enough to decrypt a capture of it.
//!
//! The format is JSON, one object a line in a file, or a packet's comment in a pcapng file;
//! docs/capture.md describes it. Whoever holds it reads the session.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The version of the format, the value of `ddes_secrets`.
pub const SECRETS_VERSION: u32 = 1;

/// The longest text of one session's secrets, in bytes.
pub const SECRETS_BYTES_MAX: usize = 8 * 1024;

/// The most sessions whose secrets are read.
pub const SECRETS_MAX: usize = 4096;

/// The secrets of one session: any part that suffices.
///
/// What one end drew (`role`, `dh`, and in hybrid suites `kem`) is enough, because everything else
/// follows from it and the frames. The other fields are for sessions of other programs, and for
/// readers that cannot exponentiate.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSecrets {
    /// The version of the format: 1.
    pub ddes_secrets: u32,
    /// Which end drew `dh` and `kem`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<SecretRole>,
    /// The client's address, if it is known: which conversation is meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<SocketAddr>,
    /// The server's address, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<SocketAddr>,
    /// The random bytes of the Diffie-Hellman exponent; as many as the group takes are used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dh: Option<Hex>,
    /// Hybrid suites: `d ‖ z` of the client (64 bytes), or `m` of the server (its first 32 bytes).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kem: Option<Hex>,
    /// Classic: the Diffie-Hellman shared value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shared: Option<Hex>,
    /// Classic: Key1, 8 bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key1: Option<Hex>,
    /// Classic: Key2, 8 bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key2: Option<Hex>,
    /// Either wire: the session token, 16 bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<Hex>,
    /// D-DDES/2: the key of the records to the server, 32 bytes: the first output of Split.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_server: Option<Hex>,
    /// D-DDES/2: the key of the records to the client, 32 bytes: the second output of Split.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_client: Option<Hex>,
    /// D-DDES/2: the handshake hash, 32 bytes, which the signatures cover.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<Hex>,
    /// Hybrid suites: the keys that open message 2, one after `ee` (32 bytes) and one after
    /// `ekem1`; `ddes` suites: the latter alone, after `ee`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshake_keys: Option<Vec<Hex>>,
}

/// Which end a secret is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRole {
    /// The client drew it.
    Client,
    /// The server drew it.
    Server,
}

/// Secret bytes, as hexadecimal text in JSON. Wiped on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hex(pub Zeroizing<Vec<u8>>);

/// Why text is not the secrets of a session.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It is longer than any session's secrets.
    #[error("the secrets of one session have at most {SECRETS_BYTES_MAX} bytes")]
    TooLong,
    /// It is not JSON.
    #[error("{0}: this is not JSON")]
    Json(TextPlace),
    /// It is JSON, but not of this form. What is there is not quoted: it may be a secret.
    #[error("{0}: a member is missing, unknown, or of another type; bytes are hexadecimal digits")]
    Member(TextPlace),
    /// It cannot be written.
    #[error("the secrets cannot be written as JSON")]
    Write,
    /// The format has another version.
    #[error("the secrets have format {0}, this program reads format {SECRETS_VERSION}")]
    Version(u32),
    /// A field does not have its length.
    #[error("`{field}` has {length} bytes instead of {expected}")]
    Length {
        /// The field's name.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The length it should have.
        expected: usize,
    },
    /// No field, or not enough of them, to decrypt anything.
    #[error(
        "they name neither `dh` with `role`, nor `shared`, nor `key1` and `key2`, nor `to_server` \
         and `to_client`"
    )]
    Nothing,
}

/// Where in a text something is wrong, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The line.
    pub line: usize,
    /// The byte in it.
    pub column: usize,
}

/// The texts are one line each, as a rule.
impl std::fmt::Display for TextPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, column } = self;
        if *line > 1 {
            write!(f, "line {line}, column {column}")
        } else {
            write!(f, "column {column}")
        }
    }
}

impl From<serde_json::Error> for SecretsError {
    fn from(error: serde_json::Error) -> Self {
        let place = TextPlace { line: error.line(), column: error.column() };
        match error.classify() {
            Category::Data => Self::Member(place),
            Category::Io | Category::Syntax | Category::Eof => Self::Json(place),
        }
    }
}

impl ZeroizeOnDrop for SessionSecrets {}

impl SessionSecrets {
    /// What one end drew: the bytes of its exponent and, for D-DDES/2, of ML-KEM.
    pub fn drawn(role: SecretRole, dh: &[u8], kem: Option<&[u8]>) -> Self {
        Self {
            ddes_secrets: SECRETS_VERSION,
            role: Some(role),
            dh: Some(Hex::of(dh)),
            kem: kem.map(Hex::of),
            ..Self::default()
        }
    }

    /// The same for the connection between these addresses.
    #[must_use]
    pub fn between(mut self, client: SocketAddr, server: SocketAddr) -> Self {
        (self.client, self.server) = (Some(client), Some(server));
        self
    }

    /// Reads the secrets of one session.
    pub fn from_json(text: &str) -> Result<Self, SecretsError> {
        if text.len() > SECRETS_BYTES_MAX {
            return Err(SecretsError::TooLong);
        }
        let secrets: Self = serde_json::from_str(text)?;
        secrets.check()?;
        Ok(secrets)
    }

    /// One line of JSON.
    pub fn to_json(&self) -> Result<Zeroizing<String>, SecretsError> {
        serde_json::to_string(self).map(Zeroizing::new).map_err(|_| SecretsError::Write)
    }

    fn check(&self) -> Result<(), SecretsError> {
        if self.ddes_secrets != SECRETS_VERSION {
            return Err(SecretsError::Version(self.ddes_secrets));
        }
        let fields = [
            ("key1", &self.key1, 8),
            ("key2", &self.key2, 8),
            ("token", &self.token, 16),
            ("to_server", &self.to_server, 32),
            ("to_client", &self.to_client, 32),
            ("hash", &self.hash, 32),
        ];
        for (field, bytes, expected) in fields {
            if let Some(length) = bytes.as_ref().map(|bytes| bytes.0.len())
                && length != expected
            {
                return Err(SecretsError::Length { field, length, expected });
            }
        }
        let has_keys = self.key1.is_some() && self.key2.is_some();
        let has_split = self.to_server.is_some() && self.to_client.is_some();
        let has_drawn = self.dh.is_some() && self.role.is_some();
        if has_drawn || self.shared.is_some() || has_keys || has_split {
            Ok(())
        } else {
            Err(SecretsError::Nothing)
        }
    }
}

impl Hex {
    /// A copy of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes, if there are exactly as many.
    pub(crate) fn array<const N: usize>(&self) -> Option<Zeroizing<[u8; N]>> {
        <[u8; N]>::try_from(self.0.as_slice()).ok().map(Zeroizing::new)
    }
}

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hex(..)")
    }
}

impl std::fmt::Debug for SessionSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionSecrets({:?})", self.role)
    }
}

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let bytes = unhex(&text);
        text.zeroize();
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("expected hexadecimal digits"))
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

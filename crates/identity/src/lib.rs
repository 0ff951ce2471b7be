//! Identities: Ed25519 keys in OpenSSH's formats, the keys that may connect, and known servers.
//!
//! A signature made here is the raw Ed25519 signature of an SSHSIG blob (OpenSSH's
//! PROTOCOL.sshsig), so a signature for D-DDES is valid in no other protocol.

mod address;
pub mod agent;
mod authorized;
mod key;
mod known;
mod lines;
mod openssh;

pub use address::{AddressError, ServerAddress};
pub use authorized::{AuthorizedKeys, Grant, LineError, Role, RowError};
pub use key::{KeyError, Namespace, PublicKey, SignatureError, SigningKey, signed_data};
pub use known::{Contact, KnownServers};
pub use openssh::{ArmorError, FILE_BYTES_MAX, KeyFileError, read_private, read_public};

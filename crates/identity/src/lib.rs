//! Identities: Ed25519 keys in OpenSSH's formats, the keys that may connect, and known servers.
//!
//! | I want to … | type |
//! |---|---|
//! | read a key of `ssh-keygen` or `ddes key new` | [`read_private`], [`read_public`] |
//! | sign for one purpose, and verify strictly | [`SigningKey`], [`PublicKey`], [`Namespace`] |
//! | make and check signatures as `ssh-keygen -Y` does | [`SigningKey::sign_armored`], [`PublicKey::verify_armored`] |
//! | let an ssh-agent sign | [`agent`] |
//! | decide who may connect, in which role and until when | [`AuthorizedKeys`], [`Grant`], [`Role`] |
//! | know whether a server is the one that was met before | [`KnownServers`], [`Contact`] |
//! | compare addresses that name one server | [`ServerAddress`] |
//!
//! A signature made here is the raw Ed25519 signature of an SSHSIG blob (OpenSSH's
//! PROTOCOL.sshsig), so a signature for D-DDES is valid in no other protocol.
//!
//! ```
//! use ddes_identity::{AuthorizedKeys, Contact, KnownServers, Namespace, SigningKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_seed(&[7; 32]); // Yours comes from `read_private`.
//! let signature = key.sign(Namespace::Client, b"what is proven");
//! key.public().verify(Namespace::Client, b"what is proven", &signature)?;
//! assert!(key.public().verify(Namespace::Server, b"what is proven", &signature).is_err());
//!
//! let line = format!("{} anna@laptop\n", key.public().to_openssh());
//! let (list, errors) = AuthorizedKeys::parse(&line);
//! assert!(errors.is_empty() && list.get(&key.public()).is_some());
//!
//! let mut known = KnownServers::default();
//! let address = "localhost:5566".parse()?;
//! assert_eq!(known.contact(&address, &key.public()), Contact::First);
//! known.add(&address, key.public());
//! assert_eq!(known.contact(&"127.0.0.1:5566".parse()?, &key.public()), Contact::Known);
//! # Ok(())
//! # }
//! ```

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

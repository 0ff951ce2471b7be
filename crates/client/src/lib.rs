//! The D-DDES client library: integers that count exactly once, over networks that nobody trusts.
//!
//! | I want to … | type |
//! |---|---|
//! | count from a program on tokio | [`Client`] |
//! | count from a program without a runtime | [`blocking::Client`] |
//! | choose server, identity, outbox, suite and waits | [`Builder`] |
//! | read my identity's key, or a server's | [`read_private`], [`read_public`] |
//! | sign by something else, as an ssh-agent | [`Signer`] |
//! | see reconnections, and what is counted, as they happen | [`Builder::on_progress`], [`Progress`] |
//! | know why a client ended | [`ClientError`], [`Lost`] |
//! | look into a folder of integers that are not counted yet | [`outbox::inspect()`] |
//! | deliver an outbox over sockets of my own | [`delivery::Delivery`] |
//! | have one session over one connection, and number the integers myself | [`v2::ClientConnection`] |
//! | speak the wire of the original programs | [`classic::ClassicConnection`] |
//!
//! [`Client`] is what most programs want. It takes integers from any task, keeps them in an outbox
//! until the server has counted them, connects again when it has to, and returns the sum that the
//! server holds. [`blocking::Client`] is the same for programs without an asynchronous runtime; it
//! needs neither tokio nor any of this crate's features.
//!
//! ```
//! # mod served { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/served/mod.rs")); }
//! # use ddes_client::tokio;
//! use ddes_client::{Client, SigningKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (server, fingerprint) = served::start();
//! # let outbox = std::env::temp_dir().join(format!("ddes-example-{}", std::process::id()));
//! # let folder = outbox.clone();
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let key = SigningKey::from_seed(&[7; 32]); // Your own: see `ddes key new`.
//! let client = Client::builder(server.parse()?, key) // For example "127.0.0.1:5566".
//!     .trust_fingerprint(fingerprint) // "SHA256:…", as `ddes serve` prints it.
//!     .outbox(outbox) // A folder for what is not counted yet.
//!     .start()?;
//! client.add(&[3, 4, 5]).await?; // On the disk from here on.
//! let balance = client.flush().await?; // Counted.
//! assert_eq!((balance.count, balance.sum.get()), (3, 12));
//! client.close().await?;
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! The same without a runtime:
//!
//! ```
//! # mod served { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/served/mod.rs")); }
//! use ddes_client::{SigningKey, blocking};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (server, fingerprint) = served::start();
//! let key = SigningKey::from_seed(&[7; 32]);
//! let client = blocking::Client::builder(server.parse()?, key)
//!     .trust_fingerprint(fingerprint)
//!     .start()?;
//! client.add(&[3, 4, 5])?;
//! assert_eq!(client.flush()?.sum.get(), 12);
//! client.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! Below them: [`delivery::Delivery`] is the rules without I/O, `courier::Courier` delivers an
//! [`outbox::Outbox`] on tokio, `v2::ClientConnection` is one session over one socket, and
//! `classic::ClassicConnection` one on the original's wire.

mod backoff;
mod class;
#[cfg(feature = "tokio")]
pub mod classic;
mod client;
#[cfg(feature = "tokio")]
pub mod courier;
pub mod credentials;
pub mod delivery;
mod dial;
mod lost;
mod options;
pub mod outbox;
#[cfg(feature = "tokio")]
mod pump;
mod signer;
#[cfg(feature = "tokio")]
pub mod v2;

pub use class::FailureClass;
#[cfg(feature = "tokio")]
pub use client::Client;
pub use client::blocking;
pub use client::{ADD_MAX, Balance, Builder, ClientError, PendingCall, Progress};
pub use dial::ConnectError;
pub use lost::{CourierError, EnterError, Lost};
pub use options::{ConnectOptions, handshake_entropy};
pub use signer::{SignError, Signer};

/// The runtime of [`Client`]: a program needs no dependency of its own to have one.
#[cfg(feature = "tokio")]
pub use tokio;

// What the signatures above name.
pub use ddes_identity::{
    KeyFileError, PublicKey, ServerAddress, SigningKey, read_private, read_public,
};
pub use ddes_session::v2::{ClientEnd, ClientFault};
pub use ddes_wire::v2::{Farewell, GroupSize, Reason, Rejection, Suite, Welcome};
pub use ddes_wire::{Sequence, Total};

/// A uniform random number. If the system gives none it is `u64::MAX`, which draws the longest
/// wait.
fn random() -> u64 {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_or(u64::MAX, |()| u64::from_be_bytes(random))
}

#[cfg(test)]
mod tests {
    use super::random;

    #[test]
    fn clients_do_not_draw_one_number() {
        assert_ne!(random(), random());
    }
}

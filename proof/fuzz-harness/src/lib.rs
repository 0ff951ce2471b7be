//! What the fuzz targets do with their bytes. Each function panics if a promise is broken, and on
//! nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking"
)]

mod capture;
mod ledger;
mod outbox;
mod pair;

use ddes_identity::{AuthorizedKeys, KnownServers, Namespace, agent, read_private, read_public};
use ddes_wire::classic::DhPublicKey;
use ddes_wire::frame;
use ddes_wire::v2::{self, Data, Farewell, Hello, IdentityProof, Outcome, Rejection, Welcome};

pub use capture::{capture, opened};
pub use ledger::{checkpoint, journal, receipt, record, segment};
pub use outbox::outbox;
pub use pair::{classic_pair, v2_pair};

/// Frames and messages of both profiles: what decodes is encoded to the very bytes again, where
/// there is one encoding.
pub fn frames(data: &[u8]) {
    for most in [ddes_wire::classic::BODY_MAX, v2::BODY_MAX] {
        if let Ok(Some(frame)) = frame::split(data, most) {
            let again = [&frame.header.encode()[..], frame.body].concat();
            assert_eq!(data[..frame.len()], again);
        }
    }
    if let Ok(hello) = Hello::decode(data) {
        assert_eq!(hello.encode(), data);
    }
    if let Some(proof) = IdentityProof::decode(data) {
        assert_eq!(proof.encode(), data);
    }
    if let Some(welcome) = Welcome::decode(data) {
        assert_eq!(welcome.encode(), data);
    }
    if let Some((token, rest)) = Data::token(data)
        && let Some(values) = Data::decode(rest, v2::VALUES_MAX)
    {
        assert_eq!(values.encode(&token).unwrap(), data);
    }
    if let Some(outcome) = Outcome::decode(data) {
        assert_eq!(outcome.encode(), data);
    }
    // Texts lose their control characters, so these are stable from the second time on.
    if let Some(farewell) = Farewell::decode(data) {
        assert_eq!(Farewell::decode(&farewell.encode()), Some(farewell));
    }
    if let Some(rejection) = Rejection::decode(data) {
        assert_eq!(Rejection::decode(&rejection.encode()), Some(rejection));
    }
    if let Ok(key) = DhPublicKey::from_pem(data)
        && let Ok(again) = key.to_pem()
    {
        assert_eq!(DhPublicKey::from_pem(again.as_bytes()).unwrap().to_pem().unwrap(), again);
    }
}

/// Identity files: keys, who may connect, which servers are known, what an agent answers.
pub fn identity(data: &[u8]) {
    // A passphrase costs up to 10 s by design, and its file is the user's own.
    drop(read_private(data, None));
    let key = ddes_identity::SigningKey::from_seed(&[7; 32]).public();
    assert!(
        agent::signature(data, &key, Namespace::Client, b"message").is_err(),
        "a forged signature"
    );
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = read_public(text) {
        assert_eq!(read_public(key.to_openssh()), Ok(key));
    }
    let (keys, _) = AuthorizedKeys::parse(text);
    for (key, grant) in keys.iter() {
        assert_eq!(keys.find(key, i64::MIN), Some(grant));
        // A row grants what its line would in a file, and to its own key alone.
        if let Ok(row) = AuthorizedKeys::parse_row(key.as_bytes(), text) {
            assert_eq!((row, keys.len()), ((*key, grant.clone()), 1));
        }
    }
    if let Ok(servers) = KnownServers::parse(text) {
        assert_eq!(KnownServers::parse(servers.to_bytes()), Ok(servers));
    }
}

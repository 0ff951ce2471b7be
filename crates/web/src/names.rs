//! The names of identities: those that the lists of authorized keys give them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64ct::{Base64Unpadded, Encoding};
use ddes_identity::AuthorizedKeys;
use ddes_ledger::AccountId;
use ddes_server::Lists;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex as AsyncMutex;

use crate::app::lock;
use crate::aside::Aside;
use crate::error::ApiError;

/// The lists are read again after so long, if somebody asks.
const VALID: Duration = Duration::from_secs(5);

/// Names by the bytes of a public key.
pub(crate) type Names = HashMap<[u8; 32], Arc<str>>;

/// When the names were read, and those.
type LastNames = Option<(Instant, Arc<Names>)>;

/// Reads the lists.
type ReadNames = dyn Fn() -> Names + Send + Sync;

/// The lists, and the names as they were read last.
pub(crate) struct NameLists {
    /// `None` without lists.
    read: Option<Arc<ReadNames>>,
    last: Arc<Mutex<LastNames>>,
    /// Held by the one reading.
    turn: Arc<AsyncMutex<()>>,
}

impl NameLists {
    pub(crate) fn new(lists: Option<Lists>) -> Self {
        // What is wrong with the lists is reported by who lets people in.
        let read = lists.map(|lists| move || names(&lists.read().0));
        Self {
            read: read.map(|read| Arc::new(read) as _),
            last: Arc::default(),
            turn: Arc::default(),
        }
    }

    pub(crate) async fn read(&self, aside: &Aside) -> Result<Arc<Names>, ApiError> {
        let Some(read) = self.read.clone() else { return Ok(Arc::default()) };
        if let Some(names) = self.valid() {
            return Ok(names);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Whoever had the turn before has read them.
        if let Some(names) = self.valid() {
            return Ok(names);
        }
        let last = Arc::clone(&self.last);
        // A client that leaves meanwhile leaves the names to the next one, and its turn until then.
        let reading = move || {
            let names = Arc::new(read());
            *lock(&last) = Some((Instant::now(), Arc::clone(&names)));
            drop(turn);
            names
        };
        aside.run(reading).await
    }

    fn valid(&self) -> Option<Arc<Names>> {
        let last = lock(&self.last).clone();
        last.filter(|(at, _)| at.elapsed() < VALID).map(|(_, names)| names)
    }
}

fn names(keys: &AuthorizedKeys) -> Names {
    let named = keys.iter().filter_map(|(key, grant)| {
        let name: Arc<str> = grant.name.as_deref()?.into();
        Some((*key.as_bytes(), name))
    });
    named.collect()
}

/// The digest in an identity's fingerprint, as OpenSSH computes it.
pub(crate) fn digest(key: &[u8; 32]) -> [u8; 32] {
    const ALGORITHM: &[u8] = b"ssh-ed25519";
    let mut hash = Sha256::new();
    for field in [ALGORITHM, key] {
        #[allow(clippy::cast_possible_truncation, reason = "11 and 32")]
        hash.update((field.len() as u32).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// `SHA256:…`, as `ssh-keygen -l` shows it. It does not check that the key is a valid point, which
/// would take longer than all the rest.
pub(crate) fn fingerprint(key: &[u8; 32]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&digest(key)))
}

/// The digest that a fingerprint shows.
pub(crate) fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let text = text.strip_prefix("SHA256:")?;
    let decoded = Base64Unpadded::decode(text, &mut digest).ok()?;
    (decoded.len() == 32).then_some(digest)
}

/// How an account is named in the API.
pub(crate) fn account_id(id: &AccountId) -> String {
    match id {
        AccountId::Identity(key) => fingerprint(key),
        AccountId::Classic(number) => format!("classic-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ddes_identity::SigningKey;

    use super::*;
    use crate::aside::tests::{abandon, gated};

    #[test]
    fn four_hundred_clients_that_leave_read_the_lists_once() {
        let (runtime, gate) = gated();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let read = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Names::from([([7; 32], "anna".into())])
        };
        let lists = NameLists { read: Some(Arc::new(read)), ..NameLists::new(None) };
        let (aside, entered) = (Aside::new(), runtime.enter());
        (0..400).for_each(|_| abandon(lists.read(&aside)));
        drop(entered);
        drop(gate);
        let names = runtime.block_on(lists.read(&aside)).unwrap();
        assert_eq!(names.get(&[7; 32]).map(AsRef::as_ref), Some("anna"));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_fingerprint_is_the_one_that_openssh_shows() {
        let key = SigningKey::from_seed(&[7; 32]).public();
        assert_eq!(fingerprint(key.as_bytes()), key.fingerprint());
        assert_eq!(parse_fingerprint(&key.fingerprint()), Some(digest(key.as_bytes())));
        assert_eq!(parse_fingerprint("SHA256:AAAA"), None);
        assert_eq!(account_id(&AccountId::Classic(7)), "classic-7");
    }
}

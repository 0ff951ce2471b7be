//! Which account is meant, and how one is shown.

use std::path::Path;

use ddes_identity::{AuthorizedKeys, PublicKey, read_public};
use ddes_ledger::AccountId;
use ddes_server::{DatabaseKeys, Lists};
use ddes_wire::ClientId;

use crate::failure::{Code, Failure};
use crate::home::{Home, public_path, read_public_file};
use crate::screen::Line;

/// An account as people and programs are shown it.
pub(super) struct ShownAccount {
    /// 64 hexadecimal digits, or `classic/N`.
    pub(super) id: String,
    /// Of an identity: `SHA256:…`.
    pub(super) fingerprint: Option<String>,
    uuid: Option<String>,
}

impl ShownAccount {
    pub(super) fn new(id: &AccountId) -> Self {
        let key = key_of(id);
        Self {
            id: id.to_string(),
            fingerprint: key.map(|key| key.fingerprint()),
            uuid: key.as_ref().map(uuid),
        }
    }

    /// The fingerprint, or what there is instead.
    pub(super) fn short(&self) -> &str {
        self.fingerprint.as_ref().unwrap_or(&self.id)
    }

    pub(super) fn with(&self, line: Line) -> Line {
        line.with("account", self.id.clone())
            .with("fingerprint", self.fingerprint.clone())
            .with("uuid", self.uuid.clone())
    }
}

/// What the home calls its identities, and those it lets in; then what a database calls those that
/// it lists.
pub(super) struct HomeNames(AuthorizedKeys);

impl HomeNames {
    pub(super) fn read(home: &Home, database: Option<DatabaseKeys>) -> Self {
        // What is wrong with the lists is said by who lets people in.
        Self(Lists { database, ..home.lists() }.read().0)
    }

    pub(super) fn of(&self, id: &AccountId) -> Option<&str> {
        let key = key_of(id)?;
        // A key that has expired keeps its name.
        self.0.find(&key, i64::MIN)?.name.as_deref()
    }
}

/// The account that a person means, whether or not the ledger has it.
///
/// `find` looks in the ledger itself: one that is let in no more is there still.
pub(super) fn named(
    text: &str,
    home: &Home,
    database: Option<DatabaseKeys>,
    flags: &str,
    find: impl FnOnce(&dyn Fn(&AccountId) -> bool) -> Result<Option<AccountId>, Failure>,
) -> Result<AccountId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if text.starts_with("ssh-") {
        let key =
            read_public(text).map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
        return Ok(id_of(&key));
    }
    let own = home.identity(text).ok().map(|path| public_path(&path)).filter(|path| path.exists());
    let mut meant: Vec<PublicKey> =
        own.map(|path| read_public_file(&path)).transpose()?.into_iter().collect();
    let listed = HomeNames::read(home, database);
    let is_meant = |key: &PublicKey| key.fingerprint() == text || uuid(key) == text;
    let listed =
        listed.0.iter().filter(|(key, grant)| grant.name.as_deref() == Some(text) || is_meant(key));
    meant.extend(listed.map(|(key, _)| *key));
    meant.sort_unstable_by_key(|key| *key.as_bytes());
    meant.dedup();
    match meant[..] {
        [key] => return Ok(id_of(&key)),
        [] => {}
        _ => {
            return Err(Failure::new(Code::No, format!("several keys are called '{text}'"))
                .next(format!("name it by its fingerprint: ddes ledger ls{flags}")));
        }
    }
    let path = Path::new(text);
    if path.extension().is_some_and(|extension| extension == "pub") {
        return read_public_file(path).map(|key| id_of(&key));
    }
    let found = find(&|id| key_of(id).as_ref().is_some_and(is_meant))?;
    found.ok_or_else(|| {
        Failure::new(Code::No, format!("no account is called '{text}'"))
            .cause(
                "it is neither a name of this home, nor a public key, nor a fingerprint in the \
                    ledger",
            )
            .next(format!("ddes ledger ls{flags}"))
    })
}

fn id_of(key: &PublicKey) -> AccountId {
    AccountId::Identity(*key.as_bytes())
}

fn key_of(id: &AccountId) -> Option<PublicKey> {
    match id {
        AccountId::Identity(bytes) => PublicKey::new(bytes).ok(),
        AccountId::Classic(_) => None,
    }
}

fn uuid(key: &PublicKey) -> String {
    ClientId::new(key.uuid()).to_string()
}

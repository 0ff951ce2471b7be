//! Which identities may connect: lists in files, which are read again when they change, and a list
//! in the ledger's database, where servers share one.
//!
//! A list that cannot be read keeps granting what it granted, and is read again. A change that
//! removes a right takes effect once the list is complete: if it was moved into place as a whole,
//! or if two readings a second apart are equal. So an editor that writes a list in place, or a list
//! that is absent for a moment, ends no session. Of the database a list is always whole.

mod database;
mod list;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ddes_identity::{AuthorizedKeys, Grant, PublicKey};

pub use database::DatabaseKeys;

use database::{WatchedDatabase, either};
use list::{KeyFile, KeyFolder, WatchedList};

/// Which identities may connect.
#[derive(Clone, Debug)]
pub enum Access {
    /// Every identity, as with the original.
    Any,
    /// The identities in the lists.
    Listed(Lists),
}

/// The lists of authorized identities.
#[derive(Clone, Debug)]
pub struct Lists {
    /// A file in OpenSSH's authorized_keys format.
    pub authorized_keys: PathBuf,
    /// A folder of `NAME.pub` files: the identities of the user who started the server.
    pub identities: PathBuf,
    /// What the database of the ledger authorizes beside them, if it is in one.
    pub database: Option<DatabaseKeys>,
}

impl Lists {
    /// The keys that the lists contain now, and the errors in the lists. A list that cannot be read
    /// or trusted grants nothing. A key that several lists contain has the grant of the first.
    pub fn read(&self) -> (AuthorizedKeys, Vec<String>) {
        let mut lists = WatchedLists::new(self);
        let faults = lists.refresh(Instant::now());
        let own = lists.file.granted().clone().with(lists.folder.granted());
        (lists.database.iter().fold(own, |keys, list| keys.with(list.granted())), faults)
    }
}

/// Decides what an identity may do, by the lists as they were last read.
#[derive(Debug)]
pub(crate) struct AccessControl {
    /// `None` authorizes every identity.
    lists: Option<WatchedLists>,
    /// Whether a grant may have changed since [`Self::take_change`].
    has_changed: bool,
    /// The time of the last [`Self::take_change`], in seconds since 1970.
    asked_at: i64,
}

#[derive(Debug)]
struct WatchedLists {
    file: WatchedList<KeyFile>,
    folder: WatchedList<KeyFolder>,
    database: Option<WatchedDatabase>,
}

impl AccessControl {
    pub(crate) fn new(access: Access) -> Self {
        let lists = match access {
            Access::Any => None,
            Access::Listed(lists) => Some(WatchedLists::new(&lists)),
        };
        Self { lists, has_changed: false, asked_at: i64::MIN }
    }

    /// Reads the lists again if they changed or could not be read. Returns new errors in them.
    pub(crate) fn refresh(&mut self, now: Instant) -> Vec<String> {
        let Some(lists) = &mut self.lists else { return Vec::new() };
        let faults = lists.refresh(now);
        self.has_changed |= lists.take_change();
        faults
    }

    /// Errors that the lists have now.
    pub(crate) fn faults(&self) -> u64 {
        self.lists.as_ref().map_or(0, WatchedLists::faults)
    }

    /// Whether a grant may have changed since the last call: a list changed, or a key expired by
    /// `now`, in seconds since 1970.
    pub(crate) fn take_change(&mut self, now: i64) -> bool {
        let before = std::mem::replace(&mut self.asked_at, now);
        // A clock that is set back makes an expired key valid again.
        let has_passed = |at: i64| (before < at && at <= now) || (now < at && at <= before);
        let lists = self.lists.iter().flat_map(WatchedLists::granted);
        let has_expired = lists.flat_map(AuthorizedKeys::expiries).any(has_passed);
        std::mem::take(&mut self.has_changed) || has_expired
    }

    /// The rights of `key` at `now`, in seconds since 1970; `None` if it has none.
    pub(crate) fn grant(&self, key: &PublicKey, now: i64) -> Option<Grant> {
        match &self.lists {
            None => Some(Grant::default()),
            // An entry in the file takes precedence over the folder's.
            Some(WatchedLists { file, folder, database }) => {
                let own = file.granted().get(key).or_else(|| folder.granted().get(key));
                match database {
                    Some(database) => either(own, database.granted(), key, now),
                    None => own.filter(|grant| grant.holds_at(now)).cloned(),
                }
            }
        }
    }
}

impl WatchedLists {
    fn new(lists: &Lists) -> Self {
        Self {
            file: WatchedList::new(KeyFile(lists.authorized_keys.clone())),
            folder: WatchedList::new(KeyFolder(lists.identities.clone())),
            database: lists.database.clone().map(WatchedDatabase::new),
        }
    }

    fn refresh(&mut self, now: Instant) -> Vec<String> {
        let mut faults = self.file.refresh(now);
        faults.extend(self.folder.refresh(now));
        faults.extend(self.database.iter_mut().flat_map(WatchedDatabase::refresh));
        faults
    }

    fn take_change(&mut self) -> bool {
        let of_database = self.database.as_mut().is_some_and(WatchedDatabase::take_change);
        self.file.take_change() | self.folder.take_change() | of_database
    }

    fn faults(&self) -> u64 {
        let of_database = self.database.as_ref().map_or(0, WatchedDatabase::faults);
        self.file.faults() + self.folder.faults() + of_database
    }

    fn granted(&self) -> impl Iterator<Item = &AuthorizedKeys> {
        let of_files = [self.file.granted(), self.folder.granted()];
        of_files.into_iter().chain(self.database.as_ref().map(WatchedDatabase::granted))
    }
}

/// Seconds since 1970. A clock before 1970 fails closed: keys with an expiry count as expired.
pub(crate) fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    since.ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX)
}

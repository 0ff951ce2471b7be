//! Who may connect: the files that say so, read again when they change.
//!
//! A list that cannot be read keeps what it granted, and is tried again. What takes a right away is
//! believed when the list is whole: where it was put in its place as a whole, or where two looks a
//! second apart see the same. An editor that writes a list in place, or one that is gone for a
//! moment, ends no session.

mod list;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ddes_identity::{AuthorizedKeys, Grant, PublicKey};

use list::{KeyFile, KeyFolder, WatchedList};

/// Who may connect.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever holds a key: the original's openness.
    Any,
    /// Those listed.
    Listed(Lists),
}

/// Where they are listed.
#[derive(Clone, Debug)]
pub struct Lists {
    /// A file in the manner of OpenSSH's.
    pub authorized_keys: PathBuf,
    /// A folder of `NAME.pub` files: the identities of the user who started the server.
    pub identities: PathBuf,
}

impl Lists {
    /// The keys listed now, and what is wrong with the lists. A list that cannot be read or trusted
    /// grants nothing.
    pub fn read(&self) -> (AuthorizedKeys, Vec<String>) {
        let mut lists = WatchedLists::new(self);
        let faults = lists.refresh(Instant::now());
        (lists.file.granted().clone().with(lists.folder.granted()), faults)
    }
}

/// Holds what the lists granted last.
#[derive(Debug)]
pub(crate) struct AccessControl {
    /// `None` lets everybody in.
    lists: Option<WatchedLists>,
    /// A grant may have changed since [`Self::take_change`].
    has_changed: bool,
    /// When that was asked, in seconds since 1970.
    asked_at: i64,
}

#[derive(Debug)]
struct WatchedLists {
    file: WatchedList<KeyFile>,
    folder: WatchedList<KeyFolder>,
}

impl AccessControl {
    pub(crate) fn new(access: Access) -> Self {
        let lists = match access {
            Access::Any => None,
            Access::Listed(lists) => Some(WatchedLists::new(&lists)),
        };
        Self { lists, has_changed: false, asked_at: i64::MIN }
    }

    /// Reads the lists again if they changed or could not be read; what is newly wrong with them.
    pub(crate) fn refresh(&mut self, now: Instant) -> Vec<String> {
        let Some(lists) = &mut self.lists else { return Vec::new() };
        let faults = lists.refresh(now);
        self.has_changed |= lists.file.take_change() | lists.folder.take_change();
        faults
    }

    /// Whether a grant may have changed since this was asked last: a list did, or a key has expired
    /// at `now`, in seconds since 1970.
    pub(crate) fn take_change(&mut self, now: i64) -> bool {
        let before = std::mem::replace(&mut self.asked_at, now);
        // A clock that was set back brings a key back, too.
        let has_passed = |at: i64| (before < at && at <= now) || (now < at && at <= before);
        let lists =
            self.lists.iter().flat_map(|lists| [lists.file.granted(), lists.folder.granted()]);
        let has_expired = lists.flat_map(AuthorizedKeys::expiries).any(has_passed);
        std::mem::take(&mut self.has_changed) || has_expired
    }

    /// What `key` may do at `now`, in seconds since 1970.
    pub(crate) fn grant(&self, key: &PublicKey, now: i64) -> Option<Grant> {
        match &self.lists {
            None => Some(Grant::default()),
            // What the file says of a key holds before its being an identity of the home.
            Some(WatchedLists { file, folder }) => {
                let grant = file.granted().get(key).or_else(|| folder.granted().get(key))?;
                grant.holds_at(now).then(|| grant.clone())
            }
        }
    }
}

impl WatchedLists {
    fn new(lists: &Lists) -> Self {
        Self {
            file: WatchedList::new(KeyFile(lists.authorized_keys.clone())),
            folder: WatchedList::new(KeyFolder(lists.identities.clone())),
        }
    }

    fn refresh(&mut self, now: Instant) -> Vec<String> {
        let mut faults = self.file.refresh(now);
        faults.extend(self.folder.refresh(now));
        faults
    }
}

/// Since 1970. A clock before that authorizes nobody whose key ever expires.
pub(crate) fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    since.ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX)
}

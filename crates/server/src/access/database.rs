//! The keys that a table of the ledger's database authorizes, for every server on it.
//!
//! Whoever watches the table hands over each reading, on a thread of its own: parsing a long list
//! takes a while, for which the loop must not wait. The loop takes up the last one.

use std::sync::{Arc, Mutex};

use ddes_identity::{AuthorizedKeys, Grant, PublicKey};
use ddes_wire::shown::hex;

use crate::mail::lock;

/// The most rows that are reported by themselves; further ones are counted.
const FAULTS_MAX: usize = 100;
/// The most bytes of a row's key that a report shows: more than any key has.
const IDENTITY_SHOWN_MAX: usize = 32;

/// What a table of the database authorizes, as it was last read. Clones share it.
#[derive(Clone, Debug)]
pub struct DatabaseKeys {
    /// The database, as people are shown it.
    place: Arc<str>,
    last: Arc<Mutex<DatabaseReading>>,
}

#[derive(Clone, Debug, Default)]
struct DatabaseReading {
    keys: Arc<AuthorizedKeys>,
    faults: Arc<[String]>,
    /// Grows with each reading that differs from the one before.
    version: u64,
}

impl DatabaseKeys {
    /// Grants nothing until it is read.
    pub fn new(place: &str) -> Self {
        Self { place: place.into(), last: Arc::default() }
    }

    /// Takes a whole reading: each row's bytes of its key, and its line. A row that cannot be
    /// parsed grants nothing, and is reported; the other rows are valid.
    pub fn set<'a>(&self, rows: impl IntoIterator<Item = (&'a [u8], &'a str)>) {
        let (mut keys, mut faults, mut more) = (AuthorizedKeys::default(), Vec::new(), 0_u64);
        for (identity, line) in rows {
            match AuthorizedKeys::parse_row(identity, line) {
                Ok((key, grant)) => keys.add(key, grant),
                Err(_) if faults.len() >= FAULTS_MAX => more += 1,
                Err(error) => faults.push(self.fault_of(identity, &error.to_string())),
            }
        }
        if more > 0 {
            faults.push(format!("{}: {more} more rows grant nothing", self.place()));
        }
        self.replace(Some(keys), faults);
    }

    /// The keys that it authorizes now, and the errors in it.
    pub fn read(&self) -> (AuthorizedKeys, Vec<String>) {
        let last = self.last();
        ((*last.keys).clone(), last.faults.to_vec())
    }

    /// The table could not be read, for this reason: what it granted before holds.
    pub fn fail(&self, why: &str) {
        let until = if lock(&self.last).keys.is_empty() {
            "nobody in it is authorized"
        } else {
            "what it granted before holds"
        };
        let fault = format!("{}: {why}; {until} until it can be read", self.place());
        self.replace(None, vec![fault]);
    }

    fn place(&self) -> String {
        format!("the table ddes_authorized of {}", self.place)
    }

    /// Names the row as SQL does, for whoever is to mend it.
    fn fault_of(&self, identity: &[u8], why: &str) -> String {
        let shown = hex(&identity[..identity.len().min(IDENTITY_SHOWN_MAX)]);
        format!("{}: the row with the identity \\x{shown}: {why}", self.place())
    }

    /// `None` keeps the keys.
    fn replace(&self, keys: Option<AuthorizedKeys>, faults: Vec<String>) {
        // Compared outside the lock: the loop must not wait for it.
        let before = self.last();
        let keys = keys.filter(|keys| *keys != *before.keys).map(Arc::new);
        if keys.is_none() && faults == *before.faults {
            return;
        }
        // What was granted before holds.
        let (keys, faults) = (keys.unwrap_or(before.keys), faults.into());
        let mut last = lock(&self.last);
        *last = DatabaseReading { keys, faults, version: last.version + 1 };
    }

    fn last(&self) -> DatabaseReading {
        lock(&self.last).clone()
    }
}

/// The table as the loop has taken it up.
#[derive(Debug)]
pub(super) struct WatchedDatabase {
    source: DatabaseKeys,
    taken: DatabaseReading,
    /// Whether the keys changed since [`Self::take_change`].
    has_changed: bool,
}

impl WatchedDatabase {
    pub(super) fn new(source: DatabaseKeys) -> Self {
        Self { source, taken: DatabaseReading::default(), has_changed: false }
    }

    /// Takes up the last reading. Returns new errors in it.
    pub(super) fn refresh(&mut self) -> Vec<String> {
        let last = self.source.last();
        if last.version == self.taken.version {
            return Vec::new();
        }
        // Not compared: another reading with the same keys ends no session either.
        self.has_changed = true;
        let said = &self.taken.faults;
        let new = last.faults.iter().filter(|fault| !said.contains(fault)).cloned().collect();
        self.taken = last;
        new
    }

    pub(super) fn granted(&self) -> &AuthorizedKeys {
        &self.taken.keys
    }

    /// Errors that it has now.
    pub(super) fn faults(&self) -> u64 {
        self.taken.faults.len() as u64
    }

    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }
}

/// What somebody may do whom the server's own lists and the database may both name: whatever either
/// grants now. So nothing that the database says takes away what a machine's owner has granted
/// there, and an entry that has expired in one takes nothing from the other.
pub(super) fn either(
    own: Option<&Grant>,
    shared: &AuthorizedKeys,
    key: &PublicKey,
    now: i64,
) -> Option<Grant> {
    let holds = |grant: &&Grant| grant.holds_at(now);
    match (own.filter(holds), shared.get(key).filter(holds)) {
        (Some(own), Some(shared)) => {
            let mut both = own.or(shared);
            both.name = own.name.clone().or(both.name);
            Some(both)
        }
        (Some(grant), None) | (None, Some(grant)) => Some(grant.clone()),
        (None, None) => None,
    }
}

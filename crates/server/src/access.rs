//! Who may connect: the files that say so, read again when they change.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ddes_identity::{AuthorizedKeys, Grant, PublicKey, read_public};

/// An authorized_keys file may have so many bytes: some 100,000 keys.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

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

/// Holds what the lists said last.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    access: Access,
    keys: AuthorizedKeys,
    seen: Option<Seen>,
    /// The lists were read since [`Self::take_change`].
    has_changed: bool,
    /// When that was asked, in seconds since 1970.
    asked_at: i64,
}

/// What tells that a list, or who may write it, has changed: ctime, length and inode of each.
type Seen = [Option<(i64, i64, u64, u64)>; 2];

impl Doorkeeper {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, keys: AuthorizedKeys::default(), seen: None, has_changed: false, asked_at: i64::MIN }
    }

    /// Reads the lists again if they changed; what is wrong with them.
    pub(crate) fn refresh(&mut self) -> Vec<String> {
        let Access::Listed(lists) = &self.access else { return Vec::new() };
        let seen = Some([stamp(&lists.authorized_keys), stamp(&lists.identities)]);
        if seen == self.seen {
            return Vec::new();
        }
        self.seen = seen;
        self.has_changed = true;
        let (keys, faults) = lists.read();
        self.keys = keys;
        faults
    }

    /// Whether a key may have lost its right since this was asked last: the lists changed, or one expired.
    pub(crate) fn take_change(&mut self) -> bool {
        let now = seconds();
        let before = std::mem::replace(&mut self.asked_at, now);
        let has_expired = self.keys.expiries().any(|at| before < at && at <= now);
        std::mem::take(&mut self.has_changed) || has_expired
    }

    /// What `key` may do now.
    pub(crate) fn grant(&self, key: &PublicKey) -> Option<Grant> {
        match &self.access {
            Access::Any => Some(Grant::default()),
            Access::Listed(_) => self.keys.find(key, seconds()).cloned(),
        }
    }
}

impl Lists {
    /// The keys listed, and what is wrong with the lists. A list that cannot be trusted grants nothing.
    pub fn read(&self) -> (AuthorizedKeys, Vec<String>) {
        let mut faults = Vec::new();
        let shown = self.authorized_keys.display();
        let mut text = read(&self.authorized_keys).unwrap_or_else(|error| {
            faults.push(format!("{shown}: {error}; nobody listed there is authorized"));
            String::new()
        });
        // After the file's own lines: where a key stands twice the first line holds.
        text.push('\n');
        for (name, key) in self.own() {
            text.push_str(&format!("ddes-name=\"{name}\" {}\n", key.to_openssh()));
        }
        let (keys, errors) = AuthorizedKeys::parse(&text);
        faults.extend(errors.iter().map(|error| format!("{shown}: {error}")));
        (keys, faults)
    }

    fn own(&self) -> Vec<(String, PublicKey)> {
        let Ok(entries) = fs::read_dir(&self.identities) else { return Vec::new() };
        let mut own: Vec<_> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?.strip_suffix(".pub")?.to_owned();
                let key = read_public(&read(&path).ok()?).ok()?;
                (!name.contains(['"', '\n', '\r'])).then_some((name, key))
            })
            .collect();
        own.sort_by(|a, b| a.0.cmp(&b.0));
        own
    }
}

/// A file that is not there lists nobody. One that others can write, or that is another user's, is worth nothing (OpenSSH's StrictModes); root takes what it is given.
fn read(path: &Path) -> io::Result<String> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let (mode, owner, ours) = (metadata.mode(), metadata.uid(), rustix::process::geteuid());
    if ![0, ours.as_raw()].contains(&owner) && !ours.is_root() {
        return Err(io::Error::other(format!(
            "it belongs to another user (uid {owner}): chown it to the server's"
        )));
    }
    if mode & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "others can write it (mode {:03o}): chmod go-w it",
            mode & 0o777
        )));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn stamp(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ctime(), metadata.ctime_nsec(), metadata.len(), metadata.ino()))
}

/// Since 1970. A clock before that authorizes nobody whose key ever expires.
fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    since.ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX)
}

//! One list of authorized keys: its last reading, and what it grants.

use std::fmt::Debug;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ddes_identity::{AuthorizedKeys, Grant, PublicKey, read_public};
use ddes_wire::shown;
use rustix::fs::{Mode, OFlags};

/// The most bytes of an authorized_keys file: some 100,000 keys.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The time between readings where a reading failed or is not yet confirmed.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a list is read from: a file or a folder.
pub(super) trait ListSource: Debug {
    fn path(&self) -> &Path;

    /// Reads the list. A part that cannot be read keeps granting what it granted in `before`.
    fn read(&self, before: &AuthorizedKeys) -> io::Result<ListReading>;
}

/// An authorized_keys file.
#[derive(Debug)]
pub(super) struct KeyFile(pub(super) PathBuf);

/// A folder with the identities of a home, one `.pub` file each.
#[derive(Debug)]
pub(super) struct KeyFolder(pub(super) PathBuf);

/// The result of reading a list once.
#[derive(Debug)]
pub(super) struct ListReading {
    /// The version that was read; `None` if the list does not exist.
    stamp: Option<Stamp>,
    keys: AuthorizedKeys,
    /// Errors in parts of the list.
    faults: Vec<String>,
    /// The list was moved into place as a whole, so that no writer is at work on it.
    is_whole: bool,
    /// A part of the list could not be read, so that it is read again.
    is_partial: bool,
}

/// A version of a list: it differs if the content or the permissions may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// The time of the last write, in seconds and nanoseconds.
    written: (i64, i64),
    changed: (i64, i64),
}

/// A list that is read again when it changes, and what it grants.
#[derive(Debug)]
pub(super) struct WatchedList<S> {
    source: S,
    granted: AuthorizedKeys,
    state: ListState,
    /// Whether [`Self::granted`] changed since [`Self::take_change`].
    has_changed: bool,
    /// The errors that were reported and still exist.
    said: Vec<String>,
}

#[derive(Debug)]
enum ListState {
    New,
    Believed(Option<Stamp>),
    /// The reading removes a right, and may be an incomplete list that is being written. Until it
    /// is confirmed, it only adds to what was granted before.
    Doubted {
        reading: ListReading,
        since: Instant,
        before: AuthorizedKeys,
    },
    Failed {
        at: Instant,
    },
}

impl<S: ListSource> WatchedList<S> {
    pub(super) fn new(source: S) -> Self {
        let granted = AuthorizedKeys::default();
        Self { source, granted, state: ListState::New, has_changed: false, said: Vec::new() }
    }

    pub(super) fn granted(&self) -> &AuthorizedKeys {
        &self.granted
    }

    /// Errors that it has now.
    pub(super) fn faults(&self) -> u64 {
        self.said.len() as u64
    }

    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Reads the list if it may have changed. Returns new errors in it.
    pub(super) fn refresh(&mut self, now: Instant) -> Vec<String> {
        if !self.is_due(now) {
            return Vec::new();
        }
        let faults = match self.source.read(&self.granted) {
            Ok(reading) => match self.take(now, reading) {
                Some(faults) => faults,
                // Errors in a list that may be incomplete are not reported.
                None => return Vec::new(),
            },
            Err(error) => vec![self.fail(now, &error)],
        };
        let new = faults.iter().filter(|fault| !self.said.contains(fault)).cloned().collect();
        self.said = faults;
        new
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_other = |seen: &Option<Stamp>| {
            let stamp = metadata_of(self.source.path());
            stamp.map_or(true, |stamp| stamp.as_ref().map(Stamp::of) != *seen)
        };
        match &self.state {
            ListState::New => true,
            ListState::Believed(stamp) => is_other(stamp),
            ListState::Doubted { reading, since, .. } => {
                *since + READ_AGAIN_AFTER <= now || is_other(&reading.stamp)
            }
            ListState::Failed { at } => *at + READ_AGAIN_AFTER <= now,
        }
    }

    /// Applies a reading. Returns its errors, or `None` if it is not confirmed yet.
    fn take(&mut self, now: Instant, reading: ListReading) -> Option<Vec<String>> {
        let (before, seen) = match std::mem::replace(&mut self.state, ListState::New) {
            ListState::Doubted { reading, since, before } => (before, Some((reading, since))),
            ListState::New | ListState::Believed(_) | ListState::Failed { .. } => {
                (self.granted.clone(), None)
            }
        };
        let either = before.or(&reading.keys);
        let same =
            seen.filter(|(seen, _)| seen.stamp == reading.stamp && seen.keys == reading.keys);
        let since = same.map_or(now, |(_, since)| since);
        if reading.is_whole || either == reading.keys || since + READ_AGAIN_AFTER <= now {
            let ListReading { stamp, keys, faults, is_partial, is_whole: _ } = reading;
            self.state =
                if is_partial { ListState::Failed { at: now } } else { ListState::Believed(stamp) };
            self.grant(keys);
            return Some(faults);
        }
        self.grant(either);
        self.state = ListState::Doubted { reading, since, before };
        None
    }

    fn grant(&mut self, keys: AuthorizedKeys) {
        self.has_changed |= self.granted != keys;
        self.granted = keys;
    }

    fn fail(&mut self, now: Instant, error: &io::Error) -> String {
        self.state = ListState::Failed { at: now };
        let until = if self.granted.is_empty() {
            "nobody in it is authorized"
        } else {
            "what it granted before holds"
        };
        format!("{}: {error}; {until} until it can be read", self.source.path().display())
    }
}

impl ListSource for KeyFile {
    fn path(&self) -> &Path {
        &self.0
    }

    fn read(&self, _: &AuthorizedKeys) -> io::Result<ListReading> {
        let Some((text, stamp, is_whole)) = read_text(&self.0)? else {
            return Ok(ListReading::absent());
        };
        let shown = self.0.display();
        let (keys, faults) = match text {
            FileText::Trusted(text) => {
                let (keys, errors) = AuthorizedKeys::parse(&text);
                (keys, errors.iter().map(|error| format!("{shown}: {error}")).collect())
            }
            FileText::Untrusted(why) => {
                let fault = format!("{shown}: {why}; nobody in it is authorized");
                (AuthorizedKeys::default(), vec![fault])
            }
        };
        Ok(ListReading { stamp: Some(stamp), keys, faults, is_whole, is_partial: false })
    }
}

impl ListSource for KeyFolder {
    fn path(&self) -> &Path {
        &self.0
    }

    fn read(&self, before: &AuthorizedKeys) -> io::Result<ListReading> {
        let Some(metadata) = metadata_of(&self.0)? else { return Ok(ListReading::absent()) };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".pub"));
            files.extend(name.map(shown::plain).map(|name| (name, path)));
        }
        files.sort();
        let (mut keys, mut faults, mut is_partial) = (AuthorizedKeys::default(), Vec::new(), false);
        for (name, path) in files {
            let grant = Grant { name: Some(name), ..Grant::default() };
            let shown = path.display();
            match read_text(&path) {
                Ok(Some((FileText::Trusted(text), ..))) => {
                    // Other files are ignored: such folders also hold ssh keys of other types.
                    if let Ok(key) = read_public(&text) {
                        keys.add(key, grant);
                    }
                }
                Ok(Some((FileText::Untrusted(why), ..))) => {
                    faults.push(format!("{shown}: {why}; it is not authorized"));
                }
                // It was removed after the folder was listed.
                Ok(None) => {}
                Err(error) => {
                    is_partial = true;
                    faults.push(format!(
                        "{shown}: {error}; what it granted before holds until it can be read"
                    ));
                    if let Some(key) = known(before, &grant) {
                        keys.add(key, grant);
                    }
                }
            }
        }
        let stamp = Stamp::of(&metadata);
        Ok(ListReading { stamp: Some(stamp), keys, faults, is_whole: stamp.is_whole(), is_partial })
    }
}

/// The key with this grant, if exactly one has it.
fn known(before: &AuthorizedKeys, grant: &Grant) -> Option<PublicKey> {
    let mut keys = before.iter().filter(|(_, listed)| *listed == grant).map(|(key, _)| *key);
    keys.next().filter(|_| keys.next().is_none())
}

impl ListReading {
    /// An absent list grants nothing.
    fn absent() -> Self {
        let keys = AuthorizedKeys::default();
        Self { stamp: None, keys, faults: Vec::new(), is_whole: false, is_partial: false }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the list was moved into place after it was written. A write sets both times; a later
    /// time of change comes from a new name or mode.
    fn is_whole(&self) -> bool {
        self.written < self.changed && self.bytes > 0
    }
}

enum FileText {
    Trusted(Vec<u8>),
    /// Why it is not trusted, for the message.
    Untrusted(String),
}

/// Why a file is not trusted: other users can write it, or it belongs to one (OpenSSH's
/// StrictModes). Root accepts any owner.
fn distrust(metadata: &Metadata) -> Option<String> {
    let (owner, ours, mode) = (metadata.uid(), rustix::process::geteuid(), metadata.mode() & 0o777);
    if ![0, ours.as_raw()].contains(&owner) && !ours.is_root() {
        return Some(format!("it belongs to another user (uid {owner}): chown it to the server's"));
    }
    (mode & 0o022 != 0).then(|| format!("others can write it (mode {mode:03o}): chmod go-w it"))
}

/// The text, its version, and whether it is complete; `None` if there is no such file.
fn read_text(path: &Path) -> io::Result<Option<(FileText, Stamp, bool)>> {
    // A device might do something when it is opened.
    let Some(metadata) = metadata_of(path)? else { return Ok(None) };
    refuse_unless_file(&metadata)?;
    // By now it may be something else, and opening a pipe waits for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
    let Some(file) = found(opened)?.map(fs::File::from) else { return Ok(None) };
    let metadata = file.metadata()?;
    refuse_unless_file(&metadata)?;
    let stamp = Stamp::of(&metadata);
    if let Some(why) = distrust(&metadata) {
        return Ok(Some((FileText::Untrusted(why), stamp, stamp.is_whole())));
    }
    let mut text = Vec::new();
    (&file).take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let is_same = Stamp::of(&file.metadata()?) == stamp;
    Ok(Some((FileText::Trusted(text), stamp, is_same && stamp.is_whole())))
}

fn refuse_unless_file(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::other("it is not a regular file"))
}

/// The metadata; `None` if nothing has that name. A dangling link is an error, not absent: its
/// target may be on a disk that is unmounted for a while.
fn metadata_of(path: &Path) -> io::Result<Option<Metadata>> {
    match found(fs::metadata(path))? {
        Some(metadata) => Ok(Some(metadata)),
        None => match found(fs::symlink_metadata(path))? {
            Some(name) if name.is_symlink() => {
                Err(io::Error::new(ErrorKind::NotFound, "a link that leads nowhere"))
            }
            // It was created after the first call, or does not exist.
            Some(_) | None => Ok(None),
        },
    }
}

/// Turns the error for an absent file into `None`.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

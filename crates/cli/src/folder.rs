//! A folder that files are made in: opened once, so that all that follows happens in that one, and
//! its names are made durable.
//!
//! Whose it is and who may write it is looked at as OpenSSH's StrictModes does: it is ours or
//! root's, and nobody else may write it. Root may act in anybody's folder, since an administrator
//! keeps the lists of a service. Only the folder itself is looked at, and not those above it:
//! whoever may write above it can put another folder in its place, but only one that passes the
//! same test, so one of our own; and shared places above it (/tmp, volumes of containers) are
//! common.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RawMode, fsync, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::failure::{Code, Failure};

const MODE: u32 = 0o700;
const OTHERS_WRITE: u32 = 0o022;

/// An open folder.
pub(crate) struct OpenFolder {
    descriptor: OwnedFd,
    path: PathBuf,
    owner: Owner,
}

/// Who a file or folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Owner {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { user: metadata.uid(), group: metadata.gid() }
    }

    /// Whoever could act as us anyway.
    pub(crate) fn is_ours_or_root(self) -> bool {
        self.user == geteuid().as_raw() || self.user == 0
    }
}

impl OpenFolder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let descriptor = rustix::fs::open(path, FLAGS, Mode::empty())?;
        Self::opened(descriptor, path.to_owned())
    }

    /// Makes it and what is missing above it, each name durable. What root makes belongs to the
    /// owner of the folder it is made in.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Ok(folder) => {
                // Its name may be new: whoever made it may have been killed before this.
                folder.sync_name()?;
                return Ok(folder);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
        let above = Self::make(parent(path))?;
        match mkdirat(&above, name, mode_of(MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let descriptor = openat(&above, name, FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
        above.give(descriptor.as_fd())?;
        above.sync()?;
        Self::opened(descriptor, path.to_owned())
    }

    fn opened(descriptor: OwnedFd, path: PathBuf) -> io::Result<Self> {
        let file = File::from(descriptor);
        let owner = Owner::of(&file.metadata()?);
        Ok(Self { descriptor: file.into(), path, owner })
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// The path of a name in it, for messages.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// What root has just made in it goes to its owner, who could not read it otherwise.
    pub(crate) fn give(&self, made: BorrowedFd<'_>) -> io::Result<()> {
        if !geteuid().is_root() || self.owner.user == 0 {
            return Ok(());
        }
        fchown(made, Some(self.owner.user), Some(self.owner.group))
    }

    /// Names in it are durable behind this.
    pub(crate) fn sync(&self) -> io::Result<()> {
        settled(fsync(&self.descriptor))
    }

    /// Its own name is durable behind this.
    fn sync_name(&self) -> io::Result<()> {
        match openat(&self.descriptor, "..", FLAGS, Mode::empty()) {
            Ok(above) => settled(fsync(&above)),
            // It may be entered, but not read: all of the file system, then, where that can be
            // said.
            #[cfg(target_os = "linux")]
            Err(Errno::ACCESS) => settled(rustix::fs::syncfs(&self.descriptor)),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a folder that others can put keys or lists into.
    pub(crate) fn refuse_if_shared(&self) -> Result<(), Failure> {
        let unusable = |error: io::Error| Failure::system(&self.path.display().to_string(), &error);
        let file = File::from(self.descriptor.try_clone().map_err(unusable)?);
        refuse_if_shared(&self.path, &file.metadata().map_err(unusable)?)
    }
}

impl AsFd for OpenFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The bits of a mode, of which systems have numbers of different widths.
pub(crate) fn mode_of(bits: u32) -> Mode {
    #[allow(clippy::useless_conversion, reason = "it is one on some systems")]
    let bits = RawMode::try_from(bits);
    // All callers have 12 bits at most: what had more would be its owner's alone.
    Mode::from_raw_mode(bits.unwrap_or(0o600))
}

/// Some file systems know no sync of a folder; there is nothing more to do there.
fn settled(synced: rustix::io::Result<()>) -> io::Result<()> {
    match synced {
        Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// As [`OpenFolder::refuse_if_shared`], by its path; one that is not there is nobody's.
pub(crate) fn refuse_if_shared_at(path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) => refuse_if_shared(path, &metadata),
        // Whoever opens it hears what is wrong.
        Err(_) => Ok(()),
    }
}

fn refuse_if_shared(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let (shown, mode, owner) = (path.display(), metadata.mode() & 0o7777, Owner::of(metadata));
    if mode & OTHERS_WRITE != 0 {
        return Err(Failure::new(
            Code::Identity,
            format!("the folder {shown} can be written by others (mode {mode:03o})"),
        )
        .cause("anyone who can write it can replace keys and lists in it")
        .next(format!("chmod go-w {shown}     or --home DIR, a folder of your own")));
    }
    if !owner.is_ours_or_root() && !geteuid().is_root() {
        let (theirs, ours) = (owner.user, geteuid().as_raw());
        return Err(Failure::new(
            Code::Identity,
            format!(
                "the folder {shown} belongs to another user (uid {theirs}, and this is uid {ours})"
            ),
        )
        .cause("its owner can put keys and lists of their own there")
        .next("--home DIR, a folder of your own; or run this as that user"));
    }
    Ok(())
}

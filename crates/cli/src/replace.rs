//! Files that are made or replaced whole: the old one or the new one, whatever happens on the way,
//! and durable when it is said to be there.
//!
//! A new file is written beside the old one, under a random name that nobody can have prepared
//! (`O_EXCL`, `O_NOFOLLOW`), and takes its place by rename; then the folder is synced. What the old
//! file had is kept: owner, group, mode, access lists and other extended attributes, and symbolic
//! links that lead to it.
//!
//! Three things a rename cannot keep: other hard links, an owner or group that we may not give,
//! attributes that we may not set. Then the new text is made durable beside the old file, and
//! written into it. A crash in between leaves the whole of it there, under the name of the copy. Of
//! the attributes in `security.` only SELinux's label is kept: the others (capabilities, IMA's and
//! EVM's hashes) speak of what the file held.
//!
//! What is no regular file (a device, a pipe, whatever /dev/stdout is) is written through.
//!
//! In a folder of another user root does only what that user could do: where a link was made by
//! somebody who is neither root nor we, it leads only to what is theirs.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, Mode, OFlags, RenameFlags, XattrFlags, accessat, fchmod, fgetxattr,
    flistxattr, fremovexattr, fsetxattr, fstat, linkat, openat, renameat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::failure::{Code, Failure};
use crate::folder::{OpenFolder, Owner, mode_of, parent};

/// As many symbolic links as Linux follows.
const LINKS_MAX: usize = 40;
/// Linux lets a list of attributes and each of them have so many bytes.
const ATTRIBUTE_BYTES_MAX: usize = 1 << 16;
/// Of the bits that a mode has.
const MODE_BITS: u32 = 0o7777;
/// A file that is not yet whole is its owner's alone.
const UNFINISHED_MODE: u32 = 0o600;

/// What a file is like where there was none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New {
    /// Less what the umask takes away.
    mode: u32,
    /// Made by root it belongs to the folder's owner.
    is_folders: bool,
}

impl New {
    /// A private key or a list.
    pub(crate) const PRIVATE: Self = Self { mode: 0o600, is_folders: true };
    /// The public half of a key.
    pub(crate) const PUBLIC: Self = Self { mode: 0o644, is_folders: true };
    /// What is counted is its owner's alone to read.
    pub(crate) const EXPORT: Self = Self { mode: 0o600, is_folders: false };
    /// What a user asked for, as the umask has it.
    pub(crate) const REPORT: Self = Self { mode: 0o666, is_folders: false };
}

/// Why a file could not be made or replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("uid {holder} made it lead to what belongs to uid {owner}")]
    Foreign { holder: u32, owner: u32 },
    #[error(
        "it belongs to uid {user} and group {group}; a new file could not, and it cannot be \
         written: {error}"
    )]
    Unkept { user: u32, group: u32, error: Errno },
    #[error("it was not written to its end: {error}")]
    Torn { copy: PathBuf, error: io::Error },
}

impl From<Errno> for ReplaceError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl ReplaceError {
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            error @ (Self::Foreign { .. } | Self::Unkept { .. } | Self::Torn { .. }) => {
                io::Error::other(error)
            }
        }
    }

    pub(crate) fn failure(self, code: Code, path: &Path) -> Failure {
        let failure = Failure::new(code, format!("cannot write {}: {self}", path.display()));
        match self {
            Self::Io(error) => failure.cause_of_path(&error),
            Self::Foreign { .. } => failure
                .cause(
                    "the owner of the link may not write there, so this command does not write \
                        there for them",
                )
                .next("remove the link, or name the file itself"),
            Self::Unkept { .. } => failure.next(
                "run this as the file's owner or as root; or name \
                another file",
            ),
            Self::Torn { copy, .. } => {
                failure.next(format!("the whole of it is in {}", copy.display()))
            }
        }
    }
}

/// A file on its way: it has its name when it has [ended](Self::end), and leaves nothing behind
/// when it is dropped before.
pub(crate) struct Writing(ReplaceWay);

enum ReplaceWay {
    Replace(NewFile),
    InPlace { beside: NewFile, old: File },
    Through(File),
}

impl Writing {
    pub(crate) fn begin(path: &Path, new: New) -> Result<Self, ReplaceError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(Errno::ISDIR.into()),
            Ok(metadata) if !metadata.is_file() => {
                // A pipe has no end to append to, and a terminal must not become ours.
                let options = OpenOptions::new()
                    .write(true)
                    .custom_flags(OFlags::NOCTTY.bits().cast_signed())
                    .open(path);
                return Ok(Self(ReplaceWay::Through(options?)));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let Some(place) = RealPath::of(path)? else {
            // What this process has open already: it may hold more than ours.
            return Ok(Self(ReplaceWay::Through(OpenOptions::new().append(true).open(path)?)));
        };
        place.begin(new)
    }

    /// Durable under its name behind this.
    pub(crate) fn end(self) -> Result<(), ReplaceError> {
        match self.0 {
            ReplaceWay::Replace(beside) => beside.replace(),
            ReplaceWay::InPlace { beside, old } => beside.write_into(old),
            ReplaceWay::Through(file) => match file.sync_all() {
                // Pipes and most devices have nothing to sync.
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error.into()),
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            ReplaceWay::Replace(beside) | ReplaceWay::InPlace { beside, .. } => {
                beside.file.write(bytes)
            }
            ReplaceWay::Through(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The old file or the new one, whatever happens on the way.
pub(crate) fn replace(path: &Path, bytes: &[u8], new: New) -> Result<(), ReplaceError> {
    let mut file = Writing::begin(path, new)?;
    file.write_all(bytes)?;
    file.end()
}

/// Refuses to write to a file that is read, by whatever name: it may be the only one of its kind.
/// `-` is standard input or output.
pub(crate) fn spare<'a>(
    out: &Path,
    read: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    // Where there is nothing yet, nothing is lost; what cannot be looked at cannot be written.
    let Ok(there) = fs::metadata(out) else { return Ok(()) };
    // A device or a pipe is written through, and keeps nothing that could be lost.
    if out.as_os_str() == "-" || !there.is_file() {
        return Ok(());
    }
    for path in read {
        let is_stdin = path.as_os_str() == "-";
        let read = if is_stdin {
            let handle = io::stdin().as_fd().try_clone_to_owned();
            handle.and_then(|handle| File::from(handle).metadata())
        } else {
            fs::metadata(path)
        };
        // One that cannot be looked at cannot be read, and reading says why.
        if read.is_ok_and(|read| is_one(&there, &read)) {
            let name = if is_stdin { "standard input" } else { &path.display().to_string() };
            let what = format!("{} would replace what is read: {name}", out.display());
            return Err(Failure::new(Code::Usage, what)
                .cause("both are the same file")
                .next("name another file to write to"));
        }
    }
    Ok(())
}

/// Whether two names lead to one file.
fn is_one(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Makes the file whole or not at all; whether it was not there before.
pub(crate) fn create(path: &Path, bytes: &[u8], new: New) -> Result<bool, ReplaceError> {
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let folder = OpenFolder::open(parent(path))?;
    let mut beside = NewFile::new(folder, name, new.mode)?;
    if new.is_folders {
        beside.folder.give(beside.file.as_fd())?;
    }
    beside.file.write_all(bytes)?;
    Ok(beside.take_free_name()?)
}

/// Where a new file of ours takes the place of whatever is there, when it has something to hold.
///
/// Of the old file nothing is kept: neither its owner nor its mode, nor those who have it open.
/// That is for what may hold secrets.
pub(crate) struct Fresh(RealPath);

impl Fresh {
    /// Nothing if the path leads to what is no regular file, or to what this process has open.
    /// Changes nothing; what will fail later is found here as far as that can be.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, ReplaceError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(Errno::ISDIR.into()),
            Ok(metadata) if !metadata.is_file() => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let Some(place) = RealPath::of(path)? else { return Ok(None) };
        let (folder, me) = (place.folder.owner().user, geteuid());
        let owner = match statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(old) => old.st_uid,
            Err(Errno::NOENT) => folder,
            Err(error) => return Err(error.into()),
        };
        place.refuse_foreign(owner)?;
        accessat(&place.folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?;
        // In a folder such as /tmp only the owner of a name may replace it.
        let is_sticky = Mode::from_raw_mode(fstat(&place.folder)?.st_mode).contains(Mode::SVTX);
        if is_sticky && !me.is_root() && ![owner, folder].contains(&me.as_raw()) {
            return Err(Errno::PERM.into());
        }
        Ok(Some(Self(place)))
    }

    /// The file, empty, for us alone to read and write.
    pub(crate) fn take(self) -> Result<File, ReplaceError> {
        let RealPath { folder, name, holder: _ } = self.0;
        let mut beside = NewFile::new(folder, &name, UNFINISHED_MODE)?;
        let file = beside.file.try_clone()?;
        beside.take_name()?;
        Ok(file)
    }
}

/// Where a name lies, behind all symbolic links.
struct RealPath {
    folder: OpenFolder,
    name: OsString,
    /// Who is to own what is written there: the maker of a link that is neither root nor we.
    holder: Option<u32>,
}

impl RealPath {
    /// Nothing if the path leads through what this process has open.
    fn of(path: &Path) -> Result<Option<Self>, ReplaceError> {
        let (mut path, mut holder) = (path.to_owned(), None);
        for _ in 0..LINKS_MAX {
            let link = match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => metadata,
                Ok(_) => return Self::at(&path, holder).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Self::at(&path, holder).map(Some);
                }
                Err(error) => return Err(error.into()),
            };
            if is_of_processes(parent(&path))? {
                return Ok(None);
            }
            if !Owner::of(&link).is_ours_or_root() {
                holder = Some(link.uid());
            }
            path = parent(&path).join(fs::read_link(&path)?);
        }
        Err(Errno::LOOP.into())
    }

    fn at(path: &Path, holder: Option<u32>) -> Result<Self, ReplaceError> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        Ok(Self { folder: OpenFolder::open(parent(path))?, name, holder })
    }

    /// Where somebody's link leads here, what is here has to be theirs.
    fn refuse_foreign(&self, owner: u32) -> Result<(), ReplaceError> {
        match self.holder {
            Some(holder) if holder != owner => Err(ReplaceError::Foreign { holder, owner }),
            Some(_) | None => Ok(()),
        }
    }

    fn begin(self, new: New) -> Result<Writing, ReplaceError> {
        let Some(old) = Old::find(&self.folder, &self.name)? else {
            self.refuse_foreign(self.folder.owner().user)?;
            let Self { folder, name, holder: _ } = self;
            let beside = NewFile::new(folder, &name, new.mode)?;
            if new.is_folders {
                beside.folder.give(beside.file.as_fd())?;
            }
            return Ok(Writing(ReplaceWay::Replace(beside)));
        };
        self.refuse_foreign(old.metadata.uid())?;
        let Self { folder, name, holder: _ } = self;
        let beside = NewFile::new(folder, &name, UNFINISHED_MODE)?;
        if old.lend(&beside.file)? {
            return Ok(Writing(ReplaceWay::Replace(beside)));
        }
        fchmod(&beside.file, mode_of(UNFINISHED_MODE))?;
        let old = old.writable(&beside.folder, &name)?;
        Ok(Writing(ReplaceWay::InPlace { beside, old }))
    }
}

/// Whether links there lead to what processes have open.
fn is_of_processes(folder: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::statfs(folder)?.f_type == rustix::fs::PROC_SUPER_MAGIC);
    // Elsewhere /dev/fd has no links, but what is open itself.
    #[cfg(not(target_os = "linux"))]
    return Ok(folder.starts_with("/proc"));
}

/// To look at a file, whether or not we may read it, where a system has that.
const LOOK: OFlags = {
    #[cfg(target_os = "linux")]
    const ONLY: OFlags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    const ONLY: OFlags = OFlags::NONBLOCK;
    ONLY
};

/// A regular file that is to be replaced.
struct Old {
    metadata: fs::Metadata,
    /// If we may read it.
    file: Option<File>,
}

impl Old {
    fn find(folder: &OpenFolder, name: &OsStr) -> Result<Option<Self>, ReplaceError> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match openat(folder, name, flags | LOOK, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = handle.metadata()?;
        // It was a regular file, or nothing, a moment ago.
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file any more").into());
        }
        let file =
            match openat(folder, name, flags | OFlags::NONBLOCK | OFlags::RDONLY, Mode::empty()) {
                Ok(file) => Some(File::from(file)),
                Err(Errno::ACCESS) => None,
                Err(error) => return Err(error.into()),
            };
        Ok(Some(Self { metadata, file }))
    }

    /// Gives all that it has to the file that takes its place; whether that was possible.
    fn lend(&self, new: &File) -> io::Result<bool> {
        let Some(old) = &self.file else { return Ok(false) };
        if self.metadata.nlink() > 1 {
            return Ok(false);
        }
        let (owner, made) = (Owner::of(&self.metadata), Owner::of(&new.metadata()?));
        let user = (owner.user != made.user).then_some(owner.user);
        let group = (owner.group != made.group).then_some(owner.group);
        match (user.is_some() || group.is_some()).then(|| fchown(new, user, group)) {
            None | Some(Ok(())) => {}
            // Not ours to give; or an owner that this namespace has no number for.
            Some(Err(error))
                if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::INVAL)) =>
            {
                return Ok(false);
            }
            Some(Err(error)) => return Err(error),
        }
        match lend_attributes(old, new) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        // Last: an access list sets the group's bits, and a new owner takes some away.
        fchmod(new, mode_of(self.metadata.mode() & MODE_BITS))?;
        Ok(true)
    }

    /// The same file, to be written in place.
    fn writable(&self, folder: &OpenFolder, name: &OsStr) -> Result<File, ReplaceError> {
        let Owner { user, group } = Owner::of(&self.metadata);
        // A hard link says nothing of who made it.
        if !folder.owner().is_ours_or_root() && folder.owner().user != user {
            return Err(ReplaceError::Foreign { holder: folder.owner().user, owner: user });
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(folder, name, flags, Mode::empty())
            .map_err(|error| ReplaceError::Unkept { user, group, error })?;
        let file = File::from(file);
        let found = file.metadata()?;
        if !is_one(&found, &self.metadata) {
            return Err(io::Error::other("somebody else is replacing it").into());
        }
        Ok(file)
    }
}

/// Gives the new file the old one's extended attributes, of which access lists are some, and no
/// others.
fn lend_attributes(old: &File, new: &File) -> rustix::io::Result<()> {
    let (wanted, had) = (attributes(old)?, attributes(new)?);
    // A folder's own access list is put on whatever is made in it.
    for (name, _) in had.iter().filter(|(name, _)| !wanted.iter().any(|(wanted, _)| wanted == name))
    {
        fremovexattr(new, &name[..])?;
    }
    for attribute in wanted.iter().filter(|attribute| !had.contains(attribute)) {
        let (name, value) = attribute;
        fsetxattr(new, &name[..], value, XattrFlags::empty())?;
    }
    Ok(())
}

type Attribute = (Vec<u8>, Vec<u8>);

/// Those that a file keeps when what it holds is replaced.
fn attributes(file: &File) -> rustix::io::Result<Vec<Attribute>> {
    let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        // The file system has none.
        Err(Errno::NOTSUP | Errno::NOSYS) => 0,
        Err(error) => return Err(error),
    };
    names.truncate(length);
    let is_kept = |name: &&[u8]| {
        !name.is_empty() && (!name.starts_with(b"security.") || *name == b"security.selinux")
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(is_kept) {
        let mut value = vec![0; ATTRIBUTE_BYTES_MAX];
        let length = fgetxattr(file, name, &mut value[..])?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    Ok(found)
}

/// A new file under a name of its own, beside the name it is for.
struct NewFile {
    folder: OpenFolder,
    name: OsString,
    file: File,
    own_name: OsString,
    has_own_name: bool,
}

impl NewFile {
    fn new(folder: OpenFolder, name: &OsStr, mode: u32) -> io::Result<Self> {
        let number = getrandom::u64().map_err(io::Error::other)?;
        // Short, since the other name may be as long as a name can be.
        let own_name = OsString::from(format!(".ddes-new-{number:016x}"));
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &own_name, flags, mode_of(mode))?;
        Ok(Self { folder, name: name.to_owned(), file: file.into(), own_name, has_own_name: true })
    }

    fn replace(mut self) -> Result<(), ReplaceError> {
        self.file.sync_all()?;
        self.take_name()?;
        Ok(self.folder.sync()?)
    }

    fn take_name(&mut self) -> Result<(), ReplaceError> {
        renameat(&self.folder, &self.own_name, &self.folder, &self.name)?;
        self.has_own_name = false;
        Ok(())
    }

    /// Whether the name was free.
    fn take_free_name(mut self) -> io::Result<bool> {
        self.file.sync_all()?;
        let (folder, from, to) = (&self.folder, &self.own_name, &self.name);
        let taken = match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
            // Not on every file system; a link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match linkat(folder, from, folder, to, AtFlags::empty()) {
                    Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => {
                        return Err(io::Error::other(
                            "this file system has neither hard links nor a rename that replaces \
                             nothing, so no file can be made there safely",
                        ));
                    }
                    linked => linked,
                }
            }
            moved => moved.inspect(|()| self.has_own_name = false),
        };
        match taken {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.remove()?;
        self.folder.sync()?;
        Ok(true)
    }

    /// Writes it into the old file, durable here until it is durable there.
    fn write_into(mut self, mut old: File) -> Result<(), ReplaceError> {
        self.file.sync_all()?;
        self.folder.sync()?;
        let mut copied = || {
            self.file.rewind()?;
            let length = io::copy(&mut self.file, &mut old)?;
            old.set_len(length)?;
            old.sync_all()
        };
        if let Err(error) = copied() {
            self.has_own_name = false;
            return Err(ReplaceError::Torn { copy: self.folder.path_of(&self.own_name), error });
        }
        self.remove()?;
        Ok(self.folder.sync()?)
    }

    fn remove(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_own_name, false) {
            unlinkat(&self.folder, &self.own_name, AtFlags::empty())?;
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // What cannot be removed is an unfinished file that nobody reads.
        drop(self.remove());
    }
}

//! What a home asks of its files: that nothing waits, that one process changes a list at a time,
//! and that a key is its owner's alone.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{LOCK, unusable};
use crate::failure::{Code, Failure};
use crate::folder::{OpenFolder, mode_of};

/// The one process that changes lists in this folder.
pub(super) fn lock(folder: &OpenFolder) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = openat(folder, LOCK, flags | OFlags::CREATE | OFlags::EXCL, mode_of(0o600));
    let file = match new {
        Ok(new) => {
            folder.give(new.as_fd())?;
            new
        }
        Err(Errno::EXIST) => openat(folder, LOCK, flags, Mode::empty())?,
        Err(error) => return Err(error.into()),
    };
    let file = File::from(file);
    file.lock()?;
    Ok(file)
}

/// A private key that others may read is refused, as OpenSSH does.
pub(super) fn refuse_if_open_to_others(path: &Path, file: &File) -> Result<(), Failure> {
    let metadata = file.metadata().map_err(|error| unusable(path, &error))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Code::Identity,
        format!("the private key {} is open to others (mode {mode:03o})", path.display()),
    )
    .cause("anyone who can read it can act as its owner")
    .next(private_copy(path, &metadata)))
}

/// What makes a key its owner's alone: its mode, or a copy where that is not ours to change.
fn private_copy(path: &Path, metadata: &Metadata) -> String {
    let shown = path.display();
    let is_ours = geteuid().is_root() || metadata.uid() == geteuid().as_raw();
    let is_read_only = rustix::fs::statvfs(path)
        .is_ok_and(|system| system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if is_ours && !is_read_only {
        return format!("chmod 600 {shown}");
    }
    let why = if is_read_only {
        "what is mounted there may only be read"
    } else {
        "it is another user's"
    };
    format!(
        "install -m 600 {shown} COPY, and --key COPY ({why}, so its mode stays); or mount it with \
         mode 0400, owned by uid {}",
        geteuid().as_raw()
    )
}

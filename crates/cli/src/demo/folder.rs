//! The home of the demo: a folder of its own, which is gone when the demo is.

use std::fs::{DirBuilder, remove_dir_all};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Removed when this is dropped.
pub(super) struct TemporaryHome {
    path: PathBuf,
    is_there: bool,
}

impl TemporaryHome {
    pub(super) fn make() -> Result<Self, Failure> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::system("the system gives no randomness", &error))?;
        let name = format!("ddes-demo-{:08x}", u32::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        // A name that somebody else took is an error: what they put there must not be used.
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Failure::system(&format!("cannot make the folder {}", path.display()), &error)
                .next("TMPDIR=DIR ddes demo, with a folder that you may write")
        })?;
        Ok(Self { path, is_there: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn remove(mut self) -> io::Result<()> {
        self.is_there = false;
        remove_dir_all(&self.path)
    }
}

impl Drop for TemporaryHome {
    fn drop(&mut self) {
        if self.is_there {
            // An error is on its way to the user already.
            drop(remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_panic_leaves_no_folder_and_nobody_else_reads_it_before() {
        let (tell, path) = std::sync::mpsc::channel();
        let panicked = std::panic::catch_unwind(move || {
            let home = TemporaryHome::make().unwrap();
            std::fs::write(home.path().join("key"), "secret").unwrap();
            let mode = std::fs::metadata(home.path()).unwrap().mode();
            tell.send((home.path().to_owned(), mode)).unwrap();
            panic!("on purpose");
        });
        let (path, mode) = path.recv().unwrap();
        assert!(panicked.is_err() && mode & 0o777 == 0o700);
        assert!(!path.exists());
    }
}

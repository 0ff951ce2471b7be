//! A folder of an exercise, gone when the exercise is.

use std::fs::{DirBuilder, remove_dir_all};
use std::os::unix::fs::DirBuilderExt;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use crate::LabError;

/// Removed when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn make() -> Result<Self, LabError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| LabError::unplanned(format!("no randomness: {error}")))?;
        let path = std::env::temp_dir().join(format!("ddes-lab-{}", crate::hex(&random)));
        // A name that somebody else took is an error: what they put there must not be used.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(LabError::system("cannot make a temporary folder (TMPDIR)"))?;
        Ok(Self(path))
    }

    /// A new folder inside.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, LabError> {
        let path = self.0.join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(LabError::system("cannot make a temporary folder"))?;
        Ok(path)
    }

    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // The exercise is over; what cannot be removed is in the system's temporary folder.
        drop(remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_gone_when_the_exercise_is() {
        let folder = TemporaryFolder::make().unwrap();
        let inside = folder.folder("ledger").unwrap();
        std::fs::write(inside.join("file"), "x").unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}

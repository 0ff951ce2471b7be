//! The terminal below a prompt on Windows, whose mode the editor itself sets back after each line.

use std::io;

#[derive(Clone, Debug)]
pub(crate) struct Borrowed(());

impl Borrowed {
    #[allow(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(()))
    }

    #[allow(clippy::unused_self, reason = "elsewhere it has what to give back")]
    pub(crate) fn give_back(&self) {}
}

//! The ledgers that the servers of a home have counted in, by name: a file beside their key.
//!
//! Without it a server could not tell a first start from a lost ledger. It would begin at 0 with
//! the key that its clients trust, because a disk was not mounted or a folder was moved.
//!
//! A restored ledger has the name of its original, and a moved one keeps its own, so both are
//! known. A home that is older than this file has no line: the next start writes the first one.

use std::path::Path;

use ddes_ledger::audit;
use ddes_ledger::store::{Folder, StoreError, holds_ledger};
use ddes_wire::shown::hex;

use super::database::name as ledger_name;
use super::folder::{of_store, unusable};
use crate::failure::{Code, Failure};
use crate::home::{Home, flag, named, read_list};

/// Hexadecimal digits of a name.
const DIGITS: usize = 64;

const HEAD: &str = "\
# The ledgers of this home's servers, by name (SHA-256 of the ledger's id, as receipts have it). A
# server refuses to start without one of them, since every total would begin at 0 again;
# `ddes serve --new-ledger` begins another one on purpose.
";

/// The name of a ledger, which its backups share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerName(String);

impl LedgerName {
    fn parse(line: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (line.len() == DIGITS && line.bytes().all(is_digit)).then(|| Self(line.to_owned()))
    }

    /// Of the ledger with this id.
    pub(crate) fn of_id(id: &[u8; 16]) -> Self {
        Self(ledger_name(id))
    }

    /// Of the ledger in a folder; `None` if there is none.
    pub(crate) fn read(path: &Path, folder: &Folder) -> Result<Option<Self>, Failure> {
        if !holds_ledger(folder).map_err(|error| unusable(path, &error))? {
            return Ok(None);
        }
        match audit::name(folder) {
            Ok(name) => Ok(Some(Self(hex(&name)))),
            // One whose making was cut off, which the next opening makes anew.
            Err(StoreError::Missing) => Ok(None),
            Err(error) => Err(of_store(path, error)),
        }
    }
}

/// What the file says.
#[derive(Debug)]
pub(crate) struct KnownLedgers(Vec<LedgerName>);

impl KnownLedgers {
    pub(crate) fn read(home: &Home) -> Result<Self, Failure> {
        let path = home.known_ledgers();
        let shown = path.display();
        let text = read_list(&path).map_err(|error| Failure::system(&shown.to_string(), &error))?;
        let mut names = Vec::new();
        for (number, line) in String::from_utf8_lossy(&text).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            names.push(LedgerName::parse(line).ok_or_else(|| {
                let what = format!("{shown}:{}: this is not the name of a ledger", number + 1);
                Failure::new(Code::Integrity, what)
                    .cause("the file was edited, or its disk is damaged")
                    .next("remove that line; the receipts of the ledger have its name too")
            })?);
        }
        Ok(Self(names))
    }

    /// Whether a server of this home has ever had a ledger in a folder.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a place without a ledger, or with one that is not of this home, where there is a
    /// known one.
    pub(crate) fn refuse_other(
        &self,
        path: &Path,
        found: Option<&LedgerName>,
    ) -> Result<(), Failure> {
        match found {
            _ if self.is_empty() => Ok(()),
            Some(name) if self.0.contains(name) => Ok(()),
            Some(_) => Err(other(path)),
            None => Err(missing(path)),
        }
    }

    /// Keeps the name of a ledger that a server opens, durably.
    pub(crate) fn add(&self, home: &Home, name: &LedgerName) -> Result<(), Failure> {
        if self.0.contains(name) {
            return Ok(());
        }
        home.edit(&home.known_ledgers(), |text| {
            let mut text = if text.is_empty() { HEAD.as_bytes().to_vec() } else { text.to_vec() };
            if text.last().is_some_and(|byte| *byte != b'\n') {
                text.push(b'\n');
            }
            text.extend(format!("{}\n", name.0).bytes());
            Ok((text, ()))
        })
    }
}

/// There is none where one has been.
fn missing(path: &Path) -> Failure {
    let (shown, serve) = (path.display(), serve(path));
    Failure::new(
        Code::Integrity,
        format!("there is no ledger in {shown}, and this home's server has one"),
    )
    .cause(
        "its disk is not mounted, the folder was moved, or --ledger names another place. A new \
         one would begin every total at 0",
    )
    .next(format!(
        "bring it back; or ddes ledger restore BACKUP{0}{1}; or, to begin at 0: {serve}",
        flag(),
        named("--ledger", path)
    ))
}

/// There is one that no server of this home has counted in.
fn other(path: &Path) -> Failure {
    Failure::new(Code::Integrity, format!("the ledger in {} is not this home's", path.display()))
        .cause("another disk is mounted, or --ledger names another server's. Its totals are others")
        .next(format!("--ledger DIR; or, to go on with this one: {}", serve(path)))
}

fn serve(path: &Path) -> String {
    format!("ddes serve{}{} --new-ledger", flag(), named("--ledger", path))
}

//! The statement of a receipt. The caller signs it: this crate holds no key.

use std::fmt;
use std::str::FromStr;

use ddes_wire::Total;
use ddes_wire::shown::hex;
use sha2::{Digest, Sha256};

use crate::store::{Batch, Chain};
use crate::{AccountId, Timestamp};

/// Count and sum of an account, or of the whole ledger, as of a batch. Its text is what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// SHA-256 of the ledger's id; `None` in receipts of earlier releases.
    pub ledger: Option<[u8; 32]>,
    /// The account or checkpoint that it is about.
    pub subject: Subject,
    /// How many values are counted.
    pub count: u128,
    /// The sum of those values.
    pub sum: Total,
    /// The batch as of which it holds; of a [`Subject::Shared`] account, the entry of its history.
    pub batch: Batch,
    /// The chain value of that batch or entry, which commits to all up to it.
    pub chain: Chain,
    /// The time of that batch or entry.
    pub time: Timestamp,
}

/// What a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One account; its count is its last number.
    Account(AccountId),
    /// One account of a ledger in a database, where each account has a history and a chain of its
    /// own.
    Shared(AccountId),
    /// All accounts of a checkpoint.
    Checkpoint {
        /// How many accounts it covers.
        accounts: u64,
        /// SHA-256 of the checkpoint's file.
        digest: [u8; 32],
    },
}

/// The text is not a statement, or not an account's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not of the form that a receipt has")]
pub struct StatementError;

const TITLE: &str = "D-DDES/2 receipt";

impl fmt::Display for Statement {
    /// One field a line, in this order:
    ///
    /// ```text
    /// D-DDES/2 receipt
    /// ledger: SHA-256 of the ledger's id, in hexadecimal       (not in those of earlier releases)
    /// account: 64 hexadecimal digits, or classic/N
    ///     or   checkpoint: SHA-256 of its file, in hexadecimal
    ///          accounts: how many
    /// count: how many values, which is last_seq
    /// sum: their sum
    /// batch: the batch with which it stood so              or   entry: N of its own history
    /// chain: the chain with it, in hexadecimal
    /// time: the batch's time, microseconds since 1970
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        if let Some(ledger) = &self.ledger {
            writeln!(f, "ledger: {}", hex(ledger))?;
        }
        match &self.subject {
            Subject::Account(id) | Subject::Shared(id) => writeln!(f, "account: {id}")?,
            Subject::Checkpoint { accounts, digest } => {
                writeln!(f, "checkpoint: {}\naccounts: {accounts}", hex(digest))?;
            }
        }
        let of = match &self.subject {
            Subject::Account(_) | Subject::Checkpoint { .. } => "batch",
            Subject::Shared(_) => "entry",
        };
        writeln!(f, "count: {}\nsum: {}\n{of}: {}", self.count, self.sum, self.batch)?;
        writeln!(f, "chain: {}\ntime: {}", hex(&self.chain.0), self.time.0)
    }
}

impl Statement {
    /// Parses the text of a statement. Accepts only the exact text that [`fmt::Display`] gives.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        // Each statement has exactly one text.
        Self::read(text).filter(|statement| statement.to_string() == text).ok_or(StatementError)
    }

    fn read(text: &str) -> Option<Self> {
        let fields = text.strip_prefix(TITLE)?.lines().skip(1).map(|line| line.split_once(": "));
        let mut lines = fields.peekable();
        let mut next_is =
            |name: &str| matches!(lines.peek(), Some(Some((found, _))) if *found == name);
        let (has_ledger, is_account) = (next_is("ledger"), text.contains("\naccount: "));
        let is_shared = is_account && text.contains("\nentry: ");
        let mut field = |name: &str| {
            let (found, value) = lines.next()??;
            (found == name).then_some(value)
        };
        let ledger = if has_ledger { Some(unhex(field("ledger")?)?) } else { None };
        let subject = if is_account {
            let id = field("account")?.parse().ok()?;
            if is_shared { Subject::Shared(id) } else { Subject::Account(id) }
        } else {
            let digest = unhex(field("checkpoint")?)?;
            Subject::Checkpoint { accounts: field("accounts")?.parse().ok()?, digest }
        };
        Some(Self {
            ledger,
            subject,
            count: field("count")?.parse().ok()?,
            sum: Total::new(field("sum")?.parse().ok()?),
            batch: field(if is_shared { "entry" } else { "batch" })?.parse().ok()?,
            chain: Chain(unhex(field("chain")?)?),
            time: Timestamp(field("time")?.parse().ok()?),
        })
    }
}

impl FromStr for AccountId {
    type Err = StatementError;

    /// Parses the displayed form: `classic/7`, or 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, StatementError> {
        let id = match text.strip_prefix("classic/") {
            Some(number) => number.parse().ok().map(Self::Classic),
            None => unhex(text).map(Self::Identity),
        };
        id.ok_or(StatementError)
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().as_chunks::<2>();
    let digits = Some(digits).filter(|(pairs, rest)| pairs.len() == 32 && rest.is_empty())?.0;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits) {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

/// The name of a ledger in receipts: SHA-256 of its id, which does not reveal the tag of its
/// frames.
pub fn name_of(ledger: &[u8; 16]) -> [u8; 32] {
    Sha256::digest(ledger).into()
}

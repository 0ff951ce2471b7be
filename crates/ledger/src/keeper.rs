//! What keeps the accounts of a server outside its process, as the server sees it.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::{Account, AccountId, AccountSlice, Health, Operation, OperationOutcome, Totals};

/// Keeps accounts in a database, on threads of its own.
///
/// Requests of one account are decided in the order in which they are given. Unlike a
/// [`Ledger`](crate::Ledger), a keeper also hears of the end of an identity's session
/// ([`Operation::End`]): once for each session that it has opened.
pub trait AccountKeeper: Send + fmt::Debug {
    /// Begins to work. `news` is called on the keeper's threads, and does not block.
    fn start(&mut self, news: Box<dyn Fn(News) + Send + Sync>) -> io::Result<()>;

    /// Operations to decide, each with a token that its answer repeats.
    fn submit(&mut self, requests: Vec<(u64, Operation)>);

    /// A question, which is answered later, or dropped if it cannot be.
    fn ask(&mut self, question: KeeperQuestion);

    /// What it has done so far, and how its database stands.
    fn counts(&self) -> KeeperCounts;

    /// Decides what was given, as far as the database can be reached, and stops. Whether no thread
    /// has panicked.
    fn stop(self: Box<Self>) -> bool;
}

/// What a keeper did with its database since it began. Every number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperCounts {
    /// Connections that were opened to write.
    pub connections: u64,
    /// Transactions that were committed.
    pub transactions: u64,
    /// Messages, or several sent together, that were waited for.
    pub round_trips: u64,
    /// Accounts that another server had written since they were read: they were read again.
    pub conflicts: u64,
    /// Transactions that failed, or of which nobody knows whether they were committed: they were
    /// done again.
    pub unknown: u64,
    /// Whether the database waits for a standby before it says that a change is durable.
    pub has_standby: bool,
}

/// What a keeper tells its server.
#[derive(Debug)]
pub enum News {
    /// Operations are decided, and what is acknowledged is durable.
    Decided {
        /// Each operation's token and outcome.
        outcomes: Vec<(u64, OperationOutcome)>,
        /// How long the batch took.
        took: Duration,
    },
    /// Whether the ledger can be written has changed.
    Health(Health),
    /// The thread of this name panicked.
    Panicked(String),
}

/// Takes an answer.
pub type AnswerTaker<T> = Box<dyn FnOnce(T) + Send>;

/// A question to a keeper, with the way to answer it.
pub enum KeeperQuestion {
    /// The totals over all accounts.
    Totals(AnswerTaker<Totals>),
    /// How many accounts there are.
    Accounts(AnswerTaker<u64>),
    /// One account; `None` if it never had a session.
    Account(AccountId, AnswerTaker<Option<Account>>),
    /// Some accounts, as [`Ledger::accounts_from`](crate::Ledger::accounts_from).
    Slice {
        /// The position of the first.
        from: u64,
        /// How many at most.
        most: usize,
        /// Takes them.
        asker: AnswerTaker<AccountSlice>,
    },
}

impl fmt::Debug for KeeperQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Totals(_) => "Totals",
            Self::Accounts(_) => "Accounts",
            Self::Account(..) => "Account",
            Self::Slice { .. } => "Slice",
        })
    }
}

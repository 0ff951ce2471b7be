//! Where a server counts: in a ledger of its own, or through a keeper in a database that other
//! servers write too.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ddes_ledger::keeper::{AccountKeeper, KeeperCounts, KeeperQuestion, News};
use ddes_ledger::{Health, Ledger, OperationOutcome};
use ddes_session::Ticket;
use slab::Slab;

use crate::clerk::{ACCOUNTS_MAX, LedgerAnswer, LedgerQuestion, LedgerView, values_in};
use crate::endpoint::{ConnectionId, Request};
use crate::mail::{Mail, Mailbox, lock, reply};

/// Where a server counts.
#[derive(Debug)]
pub enum ServerBooks {
    /// In a ledger of its own, in memory or in a folder.
    Own(Box<Ledger>),
    /// In a database that other servers write too. New classic accounts count up from a number that
    /// nobody else has.
    Shared {
        /// What keeps the accounts there.
        keeper: Box<dyn AccountKeeper>,
        /// The number of the first classic account.
        classic_first: u64,
    },
}

impl From<Ledger> for ServerBooks {
    fn from(ledger: Ledger) -> Self {
        Self::Own(Box::new(ledger))
    }
}

impl ServerBooks {
    /// The number of the next classic account.
    pub(crate) fn classic_next(&self) -> u64 {
        match self {
            Self::Own(ledger) => ledger.classic_next(),
            Self::Shared { classic_first, .. } => *classic_first,
        }
    }

    pub(crate) fn health(&self) -> Health {
        match self {
            Self::Own(ledger) => ledger.health(),
            Self::Shared { .. } => Health::Good,
        }
    }

    /// Whether it has to hear of the end of an identity's session.
    pub(crate) fn wants_ends(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }
}

/// What the loop knows of a keeper.
#[derive(Debug)]
pub(crate) struct KeeperBooks {
    keeper: Box<dyn AccountKeeper>,
    waiting: Arc<Mutex<Slab<SharedRequest>>>,
    health: Arc<Mutex<Health>>,
}

/// A request that the keeper has.
#[derive(Debug)]
struct SharedRequest {
    to: Option<(ConnectionId, Ticket)>,
    values: usize,
}

impl KeeperBooks {
    pub(crate) fn start(
        mut keeper: Box<dyn AccountKeeper>,
        mailbox: Arc<Mailbox>,
        is_timed: bool,
    ) -> io::Result<Self> {
        let waiting: Arc<Mutex<Slab<SharedRequest>>> = Arc::default();
        let health = Arc::new(Mutex::new(Health::Good));
        let (asked, known) = (Arc::clone(&waiting), Arc::clone(&health));
        keeper.start(Box::new(move |news| {
            let mail = match news {
                News::Decided { outcomes, took } => {
                    Mail::Answers(answered(&asked, outcomes, is_timed.then_some(took)))
                }
                News::Health(health) => {
                    lock(&known).clone_from(&health);
                    Mail::Answers(vec![LedgerAnswer::Health(health)])
                }
                News::Panicked(name) => Mail::Panicked(name),
            };
            mailbox.post(mail);
        }))?;
        Ok(Self { keeper, waiting, health })
    }

    pub(crate) fn submit(&mut self, requests: Vec<Request>) {
        let mut waiting = lock(&self.waiting);
        let token = |request: Request| {
            let values = values_in(&request);
            let Request { to, operation } = request;
            (waiting.insert(SharedRequest { to, values }) as u64, operation)
        };
        let requests = requests.into_iter().map(token).collect();
        drop(waiting);
        self.keeper.submit(requests);
    }

    pub(crate) fn counts(&self) -> KeeperCounts {
        self.keeper.counts()
    }

    pub(crate) fn stop(self) -> bool {
        self.keeper.stop()
    }

    pub(crate) fn ask(&mut self, question: LedgerQuestion) {
        self.keeper.ask(match question {
            LedgerQuestion::Totals(asker) => {
                KeeperQuestion::Totals(Box::new(move |totals| reply(asker, totals)))
            }
            LedgerQuestion::View(asker) => {
                let health = lock(&self.health).clone();
                KeeperQuestion::Accounts(Box::new(move |accounts| {
                    reply(asker, LedgerView { health, head: None, checkpoint: None, accounts });
                }))
            }
            LedgerQuestion::Account(id, asker) => {
                KeeperQuestion::Account(id, Box::new(move |account| reply(asker, account)))
            }
            LedgerQuestion::Accounts { from, slice } => KeeperQuestion::Slice {
                from,
                most: ACCOUNTS_MAX,
                asker: Box::new(move |accounts| reply(slice, accounts)),
            },
        });
    }
}

/// What a keeper's outcomes are to the loop.
fn answered(
    waiting: &Mutex<Slab<SharedRequest>>,
    outcomes: Vec<(u64, OperationOutcome)>,
    took: Option<Duration>,
) -> Vec<LedgerAnswer> {
    let (mut waiting, mut values) = (lock(waiting), 0);
    let mut answers = Vec::with_capacity(outcomes.len() + 1);
    for (token, outcome) in outcomes {
        let found = usize::try_from(token).ok().and_then(|token| waiting.try_remove(token));
        let Some(SharedRequest { to, values: count }) = found else { continue };
        values += count;
        if let Some((connection, ticket)) = to {
            answers.push(LedgerAnswer::Done { connection, ticket, outcome });
        }
    }
    answers.push(LedgerAnswer::Batch { values, took });
    answers
}

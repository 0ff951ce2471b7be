//! The server ends, in one of three ways, and begins again from what the disk holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddes_ledger::audit::{self, View};
use ddes_ledger::store::{Batch, Chain, Disk, StoreError};
use ddes_ledger::{Account, AccountId, Health, Ledger, Opened};

use crate::disk::SimDisk;
use crate::model::Violation;
use crate::plan::DiskRates;
use crate::random::Random;
use crate::server::{Clerk, Node};
use crate::world::World;

/// How the server, or a client, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// With the machine: what was not synced is there, or not.
    Power,
    /// The process alone: the system has what it wrote.
    Kill,
    /// As it was told to.
    Stop,
}

impl Outage {
    /// Of the two that nobody wants.
    pub(crate) fn draw(random: &mut Random) -> Self {
        if random.one_in(2) { Self::Power } else { Self::Kill }
    }
}

/// Classic accounts that an opening is to end. One that fails may have ended them already.
#[derive(Default)]
struct UnderWay {
    batch: Batch,
    accounts: BTreeMap<AccountId, Account>,
}

impl UnderWay {
    /// The newest batch. Before each try, on a copy of the disk: to read it makes it durable.
    fn look(&mut self, disk: &SimDisk) -> Result<Option<(Batch, Chain)>, Violation> {
        if disk.list().is_ok_and(|names| names.is_empty()) {
            return Ok(None);
        }
        let view = match View::read(&disk.copy()) {
            Ok(view) => view,
            // Its first segment was not begun.
            Err(StoreError::Missing) => return Ok(None),
            Err(error) => return Err(Violation(format!("the ledger cannot be read: {error}"))),
        };
        if view.batch < self.batch {
            self.accounts.clear();
        }
        self.batch = view.batch;
        let is_classic = |(id, _): &(AccountId, Account)| matches!(id, AccountId::Classic(_));
        self.accounts.extend(view.accounts().filter(is_classic));
        Ok(Some((view.batch, view.chain)))
    }
}

/// Checkpoints that an opening has removed.
fn refused(opened: &Opened) -> u64 {
    opened.notes.iter().filter(|note| note.why.ends_with("was removed")).count() as u64
}

/// The most attempts to open a ledger that are disturbed.
const DISTURBED_MAX: u32 = 6;
/// The most receipts that are kept.
const RECEIPTS_MAX: usize = 60;

impl World {
    /// The first opening, or one after an end.
    pub(crate) fn start(&mut self) -> Result<(), Violation> {
        self.life += 1;
        let (ledger, opened) = self.open()?;
        self.disk.settle();
        self.scene.trace.line(
            self.scene.step,
            format_args!(
                "opened: batch {}, checkpoint {}, torn {}, notes {}",
                opened.batch,
                opened.checkpoint,
                opened.was_torn,
                opened.notes.len()
            ),
        );
        if opened.was_torn {
            self.scene.trace.count("torn ends");
        }
        self.classic_next = self.classic_next.max(ledger.classic_next());
        for known in &mut self.scene.model.accounts {
            known.number = None;
        }
        self.scene.trace.add("classic accounts ended by an opening", opened.ended.len() as u64);
        self.scene.trace.add("checkpoints refused by an opening", refused(&opened));
        // One without room to open has made nothing of it durable yet, and says nothing.
        self.scene.model.check(&ledger, ledger.health() == Health::Good)?;
        self.clerk = Clerk::new(ledger);
        self.scene.inbox.clear();
        let (now, key, idle, first) =
            (self.scene.now, &self.scene.key, self.scene.plan.idle, self.classic_next);
        self.scene.nodes =
            (0..self.scene.plan.nodes).map(|_| Node::new(now, key, idle, first)).collect();
        self.verify()?;
        self.disk.set_rates(if self.scene.is_ending {
            DiskRates::default()
        } else {
            self.scene.plan.disk
        });
        Ok(())
    }

    pub(crate) fn restart(&mut self, outage: Outage) -> Result<(), Violation> {
        self.scene.trace.line(self.scene.step, format_args!("the server ends: {outage:?}"));
        self.scene.trace.count(match outage {
            Outage::Power => "power cuts",
            Outage::Kill => "kills",
            Outage::Stop => "stops",
        });
        for link in self.scene.links.values_mut() {
            let says_so = outage != Outage::Power || self.scene.random.one_in(2);
            link.lose_server(&mut self.scene.random, says_so);
        }
        self.scene.links.retain(|_, link| !link.is_gone());
        self.scene.nodes.clear();
        let head = self.clerk.ledger.head().filter(|_| self.clerk.ledger.health() == Health::Good);
        self.clerk = Clerk::new(Ledger::in_memory());
        self.scene.inbox.clear();
        // Whoever starts a server again has put the folder back.
        self.disk.set_moved(false);
        self.moved = None;
        match outage {
            Outage::Power => self.disk.cut_power(),
            Outage::Kill | Outage::Stop => self.disk.end_process(),
        }
        self.walkers.iter_mut().for_each(crate::walker::Walker::lose_server);
        if self.scene.random.happens(self.scene.plan.rates.edit) && self.disk.edit_checkpoint() {
            self.scene
                .trace
                .line(self.scene.step, format_args!("somebody edits the newest checkpoint"));
            self.scene.trace.count("checkpoints edited");
        }
        self.start()?;
        let now = self.found;
        // Openings add batches of their own.
        if outage == Outage::Stop && head.is_some() && head != now {
            return Err(Violation(format!("after a stop the head is {now:?}, and was {head:?}")));
        }
        Ok(())
    }

    /// Opens the ledger, which may be disturbed as well.
    fn open(&mut self) -> Result<(Ledger, Opened), Violation> {
        let mut tries = 0;
        let mut under_way = UnderWay::default();
        self.found = None;
        loop {
            tries += 1;
            let found = under_way.look(&self.disk)?;
            self.found = self.found.or(found);
            let is_disturbed = tries <= DISTURBED_MAX && !self.scene.is_ending;
            self.disk.set_rates(if is_disturbed {
                self.scene.plan.disk
            } else {
                DiskRates::default()
            });
            let is_armed =
                is_disturbed && self.scene.plan.rates.budget > 0 && self.scene.random.one_in(5);
            let calls = self.scene.random.below(80);
            self.disk.set_budget(is_armed.then_some(calls));
            if !is_disturbed {
                self.disk.set_full(false);
            }
            self.disk.take_faults();
            let options = self.scene.plan.options;
            let opened =
                Ledger::open(Arc::new(self.disk.clone()), options, self.scene.random.bytes());
            if self.disk.is_off() {
                self.scene
                    .trace
                    .line(self.scene.step, format_args!("the power goes while it opens"));
                self.scene.trace.count("power cuts while opening");
                self.disk.cut_power();
                continue;
            }
            match opened {
                Ok(opened) => {
                    if self.found.is_some_and(|(batch, _)| batch > opened.1.batch) && tries == 1 {
                        return Err(Violation(format!(
                            "it opens at {}, not {:?}",
                            opened.1.batch, self.found
                        )));
                    }
                    for (id, account) in
                        under_way.accounts.iter().filter(|(id, _)| opened.0.account(id).is_none())
                    {
                        self.scene.model.ended(id, account)?;
                    }
                    self.disk.set_rates(DiskRates::default());
                    self.disk.set_budget(None);
                    return Ok(opened);
                }
                Err(StoreError::Disk { file, error }) if self.disk.take_faults() > 0 => {
                    self.scene
                        .trace
                        .line(self.scene.step, format_args!("it does not open: {file}: {error}"));
                    self.scene.trace.count("openings that failed");
                    match self.scene.random.below(2) {
                        0 => self.disk.cut_power(),
                        _ => self.disk.end_process(),
                    }
                }
                Err(error) => return Err(Violation(format!("the ledger does not open: {error}"))),
            }
        }
    }

    /// The ledger holds together, and every receipt that it can still prove.
    pub(crate) fn verify(&mut self) -> Result<(), Violation> {
        let failed = |error: audit::VerifyError| Violation(format!("it does not verify: {error}"));
        let verified = audit::verify(&self.disk, &[], &mut |_, _| {}).map_err(failed)?;
        if self.clerk.ledger.health() == Health::Full {
            // What it could not write whole may be there all the same: it is written again before
            // anything else.
            let head = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
            let is_behind = verified.last < head;
            return if is_behind {
                Err(Violation(format!("verified up to {}, and the head is {head}", verified.last)))
            } else {
                Ok(())
            };
        }
        let totals = self.clerk.ledger.totals();
        if verified.totals != totals {
            return Err(Violation(format!(
                "verified are {:?}, and the ledger has {totals:?}",
                verified.totals
            )));
        }
        if self.clerk.ledger.head() != Some((verified.last, verified.chain)) {
            return Err(Violation(format!(
                "verified up to {}, which is not the head",
                verified.last
            )));
        }
        let is_kept =
            |batch: u64| self.scene.plan.options.history.is_none() || batch >= verified.first;
        let receipts: Vec<_> = self
            .scene
            .model
            .receipts
            .iter()
            .filter(|receipt| is_kept(receipt.batch))
            .cloned()
            .collect();
        if !receipts.is_empty() {
            audit::verify(&self.disk, &receipts, &mut |_, _| {}).map_err(|error| match error {
                audit::VerifyError::Receipt { index, ref why } => Violation(format!(
                    "{why}: {:?}, kept from {}",
                    receipts.get(index),
                    verified.first
                )),
                error @ audit::VerifyError::Store(_) => failed(error),
            })?;
        }
        Ok(())
    }

    /// Somebody looks at the ledger while it is written: is it whole, and a receipt, please.
    pub(crate) fn audit(&mut self) -> Result<(), Violation> {
        if self.clerk.ledger.health() != Health::Good
            || self.disk.is_armed()
            || !self.scene.random.one_in(4)
        {
            return Ok(());
        }
        self.disk.set_rates(DiskRates::default());
        self.verify()?;
        let place = self.scene.random.index(self.scene.model.accounts.len());
        let failed = |error: StoreError| Violation(format!("no receipt: {error}"));
        let disk: &dyn Disk = &self.disk;
        if let Some(known) = self.scene.model.accounts.get(place)
            && self.scene.model.receipts.len() < RECEIPTS_MAX
        {
            let view = View::read(disk).map_err(failed)?;
            self.scene
                .model
                .receipts
                .extend(view.statement(&known.id).filter(|receipt| receipt.batch > 0));
            let last_seq = ddes_wire::Sequence::new(known.promised());
            self.scene
                .model
                .receipts
                .extend(audit::statement_at(disk, &known.id, last_seq).map_err(failed)?);
            self.scene.model.receipts.extend(audit::checkpoint_statement(disk).map_err(failed)?);
        }
        self.scene.trace.count("audits");
        self.disk.set_rates(if self.scene.is_ending {
            DiskRates::default()
        } else {
            self.scene.plan.disk
        });
        Ok(())
    }
}

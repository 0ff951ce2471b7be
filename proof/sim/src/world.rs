//! The world of a ledger in a folder: one step after the other, each of them the seed's choice.

use std::time::Instant;

use ddes_ledger::store::{Batch, Chain};
use ddes_ledger::{AccountId, Health, Ledger};

use crate::disk::SimDisk;
use crate::model::Violation;
use crate::plan::{DiskRates, Mutant, Plan};
use crate::power::Outage;
use crate::random::Random;
use crate::scene::{DRAIN_STEPS_MAX, SimScene};
use crate::server::{Answer, Clerk, To, judge, values_in};
use crate::walker::Walker;

/// A ledger looks once a second whether its folder is in its place; the clock may have been set
/// back by as much since.
const MOVED_MICROS_MAX: u64 = 2_000_000;

pub(crate) struct World {
    pub(crate) scene: SimScene,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) disk: SimDisk,
    pub(crate) clerk: Clerk,
    pub(crate) walkers: Vec<Walker>,
    /// How often the server began.
    pub(crate) life: u64,
    pub(crate) classic_next: u64,
    /// When the wall clock stood where at the first commit after the ledger's folder was moved
    /// away, if something was acknowledged in it.
    pub(crate) moved: Option<u64>,
    /// The newest batch and chain before the last opening.
    pub(crate) found: Option<(Batch, Chain)>,
}

impl World {
    pub(crate) fn new(seed: u64, base: Instant, mutant: Option<Mutant>, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let disk = SimDisk::new(random.fork(), mutant);
        Self {
            scene: SimScene::new(random, plan, base, prints),
            mutant,
            disk,
            clerk: Clerk::new(Ledger::in_memory()),
            walkers: Vec::new(),
            life: 0,
            classic_next: 0,
            moved: None,
            found: None,
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.scene.add_clients()?;
        self.start()?;
        for number in 0..self.scene.plan.walkers {
            self.add_walker(number);
        }
        while self.scene.step < self.scene.plan.steps {
            self.scene.step += 1;
            self.faults()?;
            self.act()?;
        }
        self.drain()
    }

    fn add_walker(&mut self, number: usize) {
        let is_classic = number % 3 == 2;
        let id = AccountId::Identity(self.scene.random.bytes());
        // A classic one has an account for each session.
        let account = if is_classic { 0 } else { self.scene.model.open_account(id) };
        self.walkers.push(Walker::new(account, is_classic));
    }

    /// One thing of those that may happen now.
    fn act(&mut self) -> Result<(), Violation> {
        match self.scene.random.below(100) {
            0..50 => self.scene.network(),
            50..58 => self.scene.handshake(),
            58..70 => self.commit(),
            70..78 => self.scene.answer(),
            78..83 => self.scene.take(),
            83..86 => self.walk(),
            86..91 => self.scene.pass(None),
            91..95 => self.scene.connect(),
            95..97 => self.checkpoint(),
            97 => self.scene.leave(),
            98 => self.rest(),
            _ => self.audit(),
        }
    }

    /// The clerk commits some of what waits.
    pub(crate) fn commit(&mut self) -> Result<(), Violation> {
        let waiting = self.scene.inbox.len();
        if waiting == 0 || !self.scene.random.one_in(self.scene.plan.lull) {
            return Ok(());
        }
        let count = self.scene.random.count(1, waiting);
        self.disk.take_faults();
        let batch = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
        let done = self.clerk.commit(self.scene.timestamp(), &mut self.scene.inbox, count);
        if self.disk.is_off() {
            return self.restart(Outage::Power);
        }
        if self.mutant == Some(Mutant::CheckpointBeforeSegment) {
            let life = self.life;
            // One that the batch completed, taken and run.
            self.checkpoint()?;
            self.checkpoint()?;
            let is_made = self.life == life && self.clerk.done.is_some();
            if is_made && self.scene.plan.rates.power > 0 && self.scene.random.one_in(20) {
                self.restart(Outage::Power)?;
            }
            if self.life != life {
                return Ok(());
            }
            self.disk.settle();
        }
        let had_fault = self.disk.take_faults() > 0 || self.clerk.ledger.health() != Health::Good;
        self.check_moved(batch)?;
        let batch = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
        self.scene.trace.line(self.scene.step, format_args!("commit of {count}: batch {batch}"));
        self.scene.trace.count("commits");
        let mut values = vec![0; self.scene.nodes.len()];
        for (to, operation, outcome) in done {
            judge(&mut self.scene.model, &operation, &outcome, had_fault)?;
            match to {
                To::Walker(walker) => {
                    if let Some(walker) = self.walkers.get_mut(walker) {
                        walker.handle(&outcome);
                    }
                }
                To::Node(number, to) => {
                    let count = values_in(&operation);
                    if let (Some(node), Some(sum)) =
                        (self.scene.nodes.get_mut(number), values.get_mut(number))
                    {
                        *sum += count;
                        node.answers
                            .extend(to.map(|(id, ticket)| Answer::Done(id, ticket, outcome)));
                    }
                }
            }
        }
        for (node, values) in self.scene.nodes.iter_mut().zip(values) {
            node.answers.push_back(Answer::Values(values));
        }
        self.scene.model.check(&self.clerk.ledger, false).or_else(|violation| {
            // Without a disk nothing is claimed.
            if matches!(self.clerk.ledger.health(), Health::Failed(_)) {
                Ok(())
            } else {
                Err(violation)
            }
        })
    }

    /// Into a folder that is not in its place nothing is written for longer than a second. `before`
    /// is the newest batch before this commit.
    fn check_moved(&mut self, before: u64) -> Result<(), Violation> {
        let is_written = self.clerk.ledger.head().is_some_and(|(batch, _)| batch > before);
        if !self.disk.is_moved() || !is_written {
            return Ok(());
        }
        let first = *self.moved.get_or_insert(self.scene.wall);
        if first.abs_diff(self.scene.wall) >= MOVED_MICROS_MAX {
            return Err(Violation("a ledger writes on in a folder that was moved away".into()));
        }
        Ok(())
    }

    /// A walker asks for something.
    fn walk(&mut self) -> Result<(), Violation> {
        if self.walkers.is_empty() || self.scene.is_ending {
            return Ok(());
        }
        let number = self.scene.random.index(self.walkers.len());
        let Some(walker) = self.walkers.get_mut(number) else { return Ok(()) };
        let next = &mut self.classic_next;
        let asked = walker.ask(
            &mut self.scene.model,
            next,
            self.scene.plan.values_max,
            &mut self.scene.random,
        );
        self.scene.inbox.extend(asked.map(|operation| (To::Walker(number), operation)));
        Ok(())
    }

    /// Continues a checkpoint: runs its last part, or gives the clerk the result.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Violation> {
        if let Some((done, had_fault)) = self.clerk.done.take() {
            return match self.clerk.ledger.handle_done(done) {
                Err(error) if !had_fault => {
                    Err(Violation(format!("a checkpoint failed on a good disk: {error}")))
                }
                Err(_) | Ok(()) => Ok(()),
            };
        }
        if self.clerk.work.is_none() {
            self.clerk.work = self.clerk.ledger.poll_work();
            return Ok(());
        }
        let Some(work) = self.clerk.work.take() else { return Ok(()) };
        self.disk.take_faults();
        let done = work.run();
        if self.disk.is_off() {
            return self.restart(Outage::Power);
        }
        self.scene.trace.count("checkpoints");
        self.clerk.done = Some((done, self.disk.take_faults() > 0));
        Ok(())
    }

    pub(crate) fn rest(&mut self) -> Result<(), Violation> {
        self.clerk.ledger.rest();
        self.disk.settle();
        if self.disk.is_off() { self.restart(Outage::Power) } else { Ok(()) }
    }

    /// Without faults every outbox drains, and every total is exact.
    fn drain(&mut self) -> Result<(), Violation> {
        self.scene.is_ending = true;
        self.disk.set_rates(DiskRates::default());
        self.disk.set_budget(None);
        self.disk.set_full(false);
        self.scene.repair_client_disks();
        if matches!(self.clerk.ledger.health(), Health::Failed(_)) || self.disk.is_moved() {
            self.restart(Outage::Kill)?;
        }
        let last = self.scene.step + DRAIN_STEPS_MAX;
        while !self.is_drained() {
            self.scene.step += 1;
            if self.scene.step > last {
                return Err(Violation("the outboxes do not drain".into()));
            }
            self.act()?;
            if self.scene.step.is_multiple_of(200) {
                self.scene.advance(self.scene.until_due(None))?;
            }
        }
        for client in &self.scene.clients {
            let Some(known) = self.scene.model.accounts.get(client.account) else { continue };
            if client.has_stopped() {
                continue;
            }
            let counted =
                self.clerk.ledger.standing(&known.id).map_or(0, |standing| standing.last_seq.get());
            if counted != known.count() {
                let (id, count) = (known.id, known.count());
                return Err(Violation(format!("{id}: {count} were given, {counted} count")));
            }
            self.scene.trace.add("values", counted);
        }
        self.restart(Outage::Stop)?;
        let batches = self.clerk.ledger.head().map_or(0, |(batch, _)| batch);
        self.scene.trace.add("batches", batches);
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.scene.inbox.is_empty() && self.scene.is_drained()
    }
}

//! A client's delivery that outlives the client: `ddes_client::outbox` with its file, on a
//! simulated disk of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_client::delivery::{Delivery, DeliveryError, NextAttempt, Patience};
use ddes_client::outbox::{InputMark, JournalError, Outbox, OutboxOwner, TakeError, inspect};
use ddes_wire::v2::{Farewell, Outcome, Welcome};

use crate::disk::SimDisk;
use crate::model::{History, Violation};
use crate::plan::DiskRates;
use crate::power::Outage;
use crate::random::Random;
use crate::trace::Trace;

/// A simulated client never gives up of itself.
const PATIENCE: Patience = Patience { first: FOR_EVER, later: FOR_EVER };
const FOR_EVER: Duration = Duration::from_secs(1 << 32);
/// What errors call it.
const FOLDER: &str = "outbox";
/// The most attempts to open an outbox that are disturbed.
const DISTURBED_MAX: u32 = 4;
/// Disk calls of an opening that the power may go in.
const OPENING_CALLS: u64 = 16;

/// An outbox as it was once: its files, and its memory.
#[derive(Debug)]
pub(crate) struct Copy {
    disk: SimDisk,
    memory: Outbox,
}

/// What of a copy is put back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// The whole machine: where a session was open, the outbox takes values as if it still were.
    Machine,
    /// The files alone, as a tool copied them.
    Files,
    /// The files alone, as the disk held them.
    Snapshot,
}

#[derive(Debug)]
pub(crate) struct DurableDelivery {
    owner: OutboxOwner,
    disk: SimDisk,
    delivery: Delivery,
    /// The highest number of a value that was reported as stored.
    stored: u64,
}

impl DurableDelivery {
    /// A new one, at the disk's faults.
    pub(crate) fn begin(
        owner: OutboxOwner,
        disk: SimDisk,
        rates: DiskRates,
        random: &mut Random,
        trace: &mut Trace,
        now: Instant,
    ) -> Result<Self, Violation> {
        let outbox = open(&owner, &disk, rates, random, trace)?;
        Ok(Self { owner, disk, delivery: Delivery::new(now, PATIENCE, outbox), stored: 0 })
    }

    /// What writes nothing: connections, submissions, pauses, events.
    pub(crate) fn get(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        self.delivery.outbox()
    }

    pub(crate) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.delivery.poll_timeout()
    }

    /// The highest number given out.
    pub(crate) fn highest(&self) -> u64 {
        highest(self.outbox())
    }

    pub(crate) fn take(&mut self, now: Instant, values: &[i64]) -> Result<(), TakeError> {
        self.disk.take_faults();
        let mark = mark_after(self.outbox(), values);
        self.delivery.take(now, values, mark)?;
        self.stored = self.highest();
        Ok(())
    }

    pub(crate) fn handle_welcome(&mut self, welcome: &Welcome) -> Result<(), DeliveryError> {
        self.disk.take_faults();
        self.delivery.handle_welcome(welcome)
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &Outcome,
    ) -> Result<(), DeliveryError> {
        self.disk.take_faults();
        self.delivery.handle_answer(now, answer)
    }

    pub(crate) fn handle_end(
        &mut self,
        now: Instant,
        random: &mut Random,
        said: Option<&Farewell>,
    ) -> Result<NextAttempt, DeliveryError> {
        self.disk.take_faults();
        self.delivery.handle_end(now, random.u64(), said, false)
    }

    /// Whether the disk gave reason for the error.
    pub(crate) fn is_excused(&self, error: &JournalError) -> bool {
        is_of_the_disk(error) && self.disk.take_faults() > 0
    }

    pub(crate) fn copy(&self) -> Copy {
        Copy { disk: self.disk.copy(), memory: self.outbox().snapshot() }
    }

    /// The copy is put back, on a disk with room that does not fail; the outbox takes `values`
    /// before it learns that its session has ended. It connects at `at`.
    pub(crate) fn restore(
        &mut self,
        copy: Copy,
        extent: Extent,
        values: &[i64],
        at: Instant,
    ) -> Result<(), Violation> {
        self.disk.set_rates(DiskRates::default());
        self.disk.set_full(false);
        self.disk.set_back(&copy.disk);
        let again = || Outbox::open_on(Arc::new(self.disk.clone()), Path::new(FOLDER), &self.owner);
        self.disk.end_process();
        let outbox = match extent {
            Extent::Machine => Ok(copy.memory),
            Extent::Files => again(),
            Extent::Snapshot => {
                self.disk.cut_power();
                again()
            }
        };
        let mut outbox =
            outbox.map_err(|error| Violation(format!("a copy does not open: {error}")))?;
        if !values.is_empty() {
            let mark = mark_after(&outbox, values);
            outbox.take(values, mark).map_err(|error| Violation(error.to_string()))?;
        }
        outbox.session_ended();
        self.delivery = Delivery::new(at, PATIENCE, outbox);
        self.stored = self.highest();
        Ok(())
    }

    /// The process ends, and another opens the outbox, at the disk's faults. It connects at `at`.
    /// What was stored means the same as before; what was not may be there.
    pub(crate) fn restart(
        &mut self,
        outage: Outage,
        history: &History,
        rates: DiskRates,
        (random, trace): (&mut Random, &mut Trace),
        at: Instant,
    ) -> Result<(), Violation> {
        end(&self.disk, outage);
        let outbox = open(&self.owner, &self.disk, rates, random, trace)?;
        let highest = highest(&outbox);
        if highest < self.stored {
            let stored = self.stored;
            return Err(Violation(format!("{stored} values were stored, and {highest} are there")));
        }
        let (mark, _) = outbox.input();
        if mark != mark_after(&outbox, &[]) {
            return Err(Violation(format!("{highest} values were taken, and {mark:?} says so")));
        }
        self.check_values(history)?;
        self.delivery = Delivery::new(at, PATIENCE, outbox);
        self.stored = highest;
        Ok(())
    }

    /// The file has the values that its numbers mean.
    fn check_values(&self, history: &History) -> Result<(), Violation> {
        let found = self.disk.content("journal").ok_or_else(|| "it is gone".to_owned());
        let found = found
            .and_then(|bytes| inspect(&bytes))
            .map_err(|why| Violation(format!("the outbox's file: {why}")))?;
        for (number, value) in (found.confirmed.get() + 1..).zip(&found.pending) {
            if history.value(number) != Some((*value).into()) {
                return Err(Violation(format!("value {number} of an outbox is {value}")));
            }
        }
        Ok(())
    }
}

/// The process ends. Whatever of a call was going on is done or not.
fn end(disk: &SimDisk, outage: Outage) {
    match outage {
        Outage::Power => disk.cut_power(),
        Outage::Kill | Outage::Stop => disk.end_process(),
    }
}

/// Opens the outbox; at first the disk may fail, be full, or the process may end.
fn open(
    owner: &OutboxOwner,
    disk: &SimDisk,
    rates: DiskRates,
    random: &mut Random,
    trace: &mut Trace,
) -> Result<Outbox, Violation> {
    let mut tries = 0;
    loop {
        tries += 1;
        let is_disturbed = tries <= DISTURBED_MAX;
        disk.set_rates(if is_disturbed { rates } else { DiskRates::default() });
        let is_armed = is_disturbed && rates.write > 0 && random.one_in(4);
        let calls = random.below(OPENING_CALLS);
        disk.set_budget(is_armed.then_some(calls));
        if !is_disturbed {
            disk.set_full(false);
        }
        disk.take_faults();
        let opened = Outbox::open_on(Arc::new(disk.clone()), Path::new(FOLDER), owner);
        let why = match opened {
            Ok(outbox) if !disk.is_off() => {
                disk.set_rates(rates);
                disk.set_budget(None);
                if outbox.torn_bytes() > 0 {
                    trace.count("outboxes with a torn end");
                }
                return Ok(outbox);
            }
            Ok(_) => "outboxes interrupted while they opened",
            Err(error) if is_of_the_disk(&error) && disk.take_faults() > 0 => {
                "outboxes that did not open"
            }
            Err(error) => return Err(Violation(format!("an outbox does not open: {error}"))),
        };
        trace.count(why);
        end(disk, Outage::draw(random));
    }
}

fn is_of_the_disk(error: &JournalError) -> bool {
    match error {
        JournalError::Full(_) | JournalError::Io { .. } => true,
        JournalError::Locked(_)
        | JournalError::Foreign { .. }
        | JournalError::Damaged { .. }
        | JournalError::Moved(_)
        | JournalError::Poisoned(_) => false,
    }
}

fn highest(outbox: &Outbox) -> u64 {
    outbox.confirmed().get() + outbox.pending() as u64
}

/// The input's values and the outbox's have the same numbers.
fn mark_after(outbox: &Outbox, values: &[i64]) -> InputMark {
    InputMark { lines: highest(outbox) + values.len() as u64, digest: [0; 32] }
}

//! What goes wrong between servers and database, at the seed's rates.

use std::time::Duration;

use super::backend::SqlCut;
use super::world::DatabaseWorld;
use crate::model::Violation;
use crate::plan::Rates;
use crate::power::Outage;
use crate::random::Random;
use crate::scene::SimScene;

/// How often each fault happens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SqlFaults {
    /// Of a million messages: its connection breaks.
    pub(crate) cut: u64,
    /// Of a million messages: it takes up to 2 s.
    pub(crate) slow: u64,
    /// Of a million steps, as all below: any connection breaks.
    pub(crate) idle_cut: u64,
    /// Nobody reaches the database for a while.
    pub(crate) part: u64,
    /// The database crashes, and starts again.
    pub(crate) crash: u64,
    /// Its standby takes over.
    pub(crate) fail_over: u64,
    /// Nothing reaches the standby for a while.
    pub(crate) stall: u64,
    /// Somebody ends a wait for the standby.
    pub(crate) cancel: u64,
}

/// What a seed decides of a world with a database, beside [`crate::plan::Plan`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatabasePlan {
    /// Connections of each server.
    pub(crate) lanes: u32,
    /// Whether a COMMIT waits for the standby. Otherwise a failover loses a tail.
    pub(crate) is_synchronous: bool,
    /// How many chances to ship something to the standby pass by on average.
    pub(crate) lag: u64,
    pub(crate) faults: SqlFaults,
}

impl DatabasePlan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut often = |ppm: u64| if random.one_in(2) { 0 } else { ppm };
        let faults = SqlFaults {
            cut: often(40_000),
            slow: often(30_000),
            idle_cut: often(1_500),
            part: often(400),
            crash: often(400),
            fail_over: often(600),
            stall: often(700),
            cancel: often(1_500),
        };
        let is_synchronous = !random.one_in(3);
        let lag = if is_synchronous { 1 } else { random.within(1, 60) };
        let lanes = if random.one_in(2) { 1 } else { 2 };
        Self { lanes, is_synchronous, lag, faults }
    }
}

impl SqlFaults {
    pub(crate) fn draw_cut(random: &mut Random) -> SqlCut {
        match random.below(4) {
            0 => SqlCut::Before,
            1 => SqlCut::After,
            2 => SqlCut::Late,
            _ => SqlCut::Silent,
        }
    }

    pub(crate) fn name_of(cut: SqlCut) -> &'static str {
        match cut {
            SqlCut::Before => "database connections cut before a message",
            SqlCut::After => "database connections cut after a message",
            SqlCut::Late => "database connections cut, and the message is late",
            SqlCut::Silent => "database connections cut in silence",
        }
    }
}

impl DatabaseWorld {
    /// Causes random faults; called before each step.
    pub(crate) fn faults(&mut self) -> Result<(), Violation> {
        self.scene.disturb_client_disk();
        let Rates { power, kill, stop, .. } = self.scene.plan.rates;
        for (rate, outage) in [(power, Outage::Power), (kill, Outage::Kill), (stop, Outage::Stop)] {
            if self.scene.random.happens(rate) {
                let number = self.scene.random.index(self.keepers.len());
                self.disturb_server(number, outage)?;
            }
        }
        self.scene.disturb()?;
        self.scene.disturb_wall();
        self.disturb_connections();
        self.disturb_database()?;
        self.operate()
    }

    /// A server ends, and begins anew.
    fn disturb_server(&mut self, number: usize, outage: Outage) -> Result<(), Violation> {
        if self.is_down(number) {
            return Ok(());
        }
        if outage == Outage::Stop {
            self.scene.end_all(number);
            if let Some(keeper) = self.keepers.get_mut(number) {
                keeper.is_closed = true;
            }
            for _ in 0..self.scene.random.below(120) {
                match self.scene.random.below(5) {
                    0 => self.scene.answer()?,
                    1 => self.work()?,
                    2 => self.serve_database(),
                    _ => self.scene.network()?,
                }
                self.hand_out()?;
            }
        }
        self.restart(number, outage)
    }

    fn disturb_connections(&mut self) {
        let SqlFaults { idle_cut, part, .. } = self.plan.faults;
        let (now, step) = (self.scene.now, self.scene.step);
        let SimScene { random, trace, .. } = &mut self.scene;
        if random.happens(idle_cut)
            && let Some(id) = self.database.pick(random)
        {
            let how = SqlFaults::draw_cut(random);
            trace.line(step, format_args!("connection {id} is cut: {how:?}"));
            trace.count("database connections cut between messages");
            self.database.cut(id, how, now, random);
        }
        if random.happens(part) {
            let until = now + a_while(random);
            trace.line(step, format_args!("nobody reaches the database"));
            trace.count("databases out of reach");
            self.database.part(now, until, random);
        }
    }

    fn disturb_database(&mut self) -> Result<(), Violation> {
        let SqlFaults { crash, fail_over, stall, cancel, .. } = self.plan.faults;
        let (now, step) = (self.scene.now, self.scene.step);
        let SimScene { random, trace, .. } = &mut self.scene;
        if random.happens(crash) {
            let until = now + a_while(random);
            trace.line(step, format_args!("the database crashes"));
            trace.count("crashes of the database");
            self.database.crash(until, random);
        }
        if random.happens(stall) {
            self.database.stall_standby(now + a_while(random));
            trace.count("stalls of the standby");
        }
        if random.happens(cancel) && self.database.cancel_wait(now) {
            trace.line(step, format_args!("a wait for the standby is cancelled"));
            trace.count("waits for the standby that were cancelled");
        }
        if random.happens(fail_over) {
            let until = now + a_while(random);
            let is_left = random.one_in(2);
            let former = is_left.then(|| until + a_while(random));
            let lost = self.database.fail_over(until, former, random);
            trace.line(step, format_args!("the standby takes over"));
            trace.count("failovers");
            // Where a COMMIT waits for it, nothing is lost that was acknowledged.
            if !self.plan.is_synchronous && !lost.is_empty() {
                trace.count("failovers that lost a tail");
                self.lose(&lost);
                return self.disturb_site();
            }
        }
        Ok(())
    }

    /// With the database the power of all servers fails at times: then none is left that knew more.
    fn disturb_site(&mut self) -> Result<(), Violation> {
        if !self.scene.random.one_in(3) {
            return Ok(());
        }
        self.scene.trace.count("losses that no running server knew of");
        for number in 0..self.keepers.len() {
            if !self.is_down(number) {
                self.restart(number, Outage::Power)?;
            }
        }
        Ok(())
    }
}

/// From some ms to more than a minute: mostly far less than a server's patience.
fn a_while(random: &mut Random) -> Duration {
    let bits = if random.one_in(12) { 17 } else { random.within(4, 13) };
    Duration::from_millis(random.below(1 << bits))
}

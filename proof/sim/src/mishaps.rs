//! What goes wrong in the world, at the seed's rates.

use std::collections::BTreeMap;
use std::time::Duration;

use ddes_ledger::Health;
use ddes_server::endpoint::EndOrder;

use crate::link::Link;
use crate::model::Violation;
use crate::outbox::Extent;
use crate::plan::Rates;
use crate::power::Outage;
use crate::random::Random;
use crate::scene::SimScene;
use crate::world::World;

/// The most values, apart from a few, that a client takes at once when it is set back.
const LACKS_MAX: u64 = 100;

impl World {
    /// Causes random faults; called before each step.
    pub(crate) fn faults(&mut self) -> Result<(), Violation> {
        let Rates { power, budget, kill, stop, full, moved, .. } = self.scene.plan.rates;
        self.scene.disturb_client_disk();
        if matches!(self.clerk.ledger.health(), Health::Failed(_)) && self.scene.random.one_in(40) {
            let outage = Outage::draw(&mut self.scene.random);
            return self.restart(outage);
        }
        if self.scene.random.happens(power) {
            return self.restart(Outage::Power);
        }
        if self.scene.random.happens(kill) {
            return self.restart(Outage::Kill);
        }
        if self.scene.random.happens(stop) {
            return self.stop();
        }
        if self.scene.random.happens(budget) && !self.disk.is_armed() {
            let calls = self.scene.random.below(40);
            self.disk.set_budget(Some(calls));
        }
        self.scene.disturb()?;
        if self.scene.random.happens(full) || (self.disk.is_full() && self.scene.random.one_in(60))
        {
            self.disk.set_full(!self.disk.is_full());
        }
        if self.scene.random.happens(moved) && !self.disk.is_moved() {
            self.scene.trace.line(self.scene.step, format_args!("the folder is moved away"));
            self.scene.trace.count("folders moved");
            self.disk.set_moved(true);
        }
        self.scene.disturb_wall();
        Ok(())
    }

    /// The server is told to stop.
    fn stop(&mut self) -> Result<(), Violation> {
        for number in 0..self.scene.nodes.len() {
            self.scene.end_all(number);
        }
        for _ in 0..self.scene.random.below(60) {
            match self.scene.random.below(4) {
                0 => self.scene.answer()?,
                1 => self.commit()?,
                _ => self.scene.network()?,
            }
        }
        self.rest()?;
        self.restart(Outage::Stop)
    }
}

impl SimScene {
    /// What happens to clients and to their connections.
    pub(crate) fn disturb(&mut self) -> Result<(), Violation> {
        let Rates { client, cut, stall, .. } = self.plan.rates;
        if self.random.happens(client) {
            self.crash_client()?;
        }
        self.set_back()?;
        self.give_up();
        if self.random.happens(cut)
            && let Some(link) = pick(&mut self.links, &mut self.random)
        {
            link.cut(&mut self.random);
            self.trace.count("connections cut");
        }
        if self.random.happens(stall)
            && let Some(link) = pick(&mut self.links, &mut self.random)
        {
            link.until = self.now + Duration::from_millis(self.random.below(20_000));
            self.trace.count("connections stalled");
        }
        Ok(())
    }

    /// The wall clock jumps.
    pub(crate) fn disturb_wall(&mut self) {
        if self.random.happens(self.plan.rates.wall) {
            let bits = self.random.within(20, 38);
            let jump = self.random.below(1 << bits);
            let back = self.random.one_in(4);
            self.wall = if back { self.wall.saturating_sub(jump) } else { self.wall + jump };
            self.trace.count("wall clock jumps");
        }
    }

    /// A server is told to stop: it tells its clients.
    pub(crate) fn end_all(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.endpoint.end_all(self.now, EndOrder::Shutdown, None);
        node.hand_on(self.now, number, &mut self.inbox);
    }

    /// The disk of a client becomes full, or has room again; or it fails in the middle of a call.
    pub(crate) fn disturb_client_disk(&mut self) {
        let Rates { client_budget, client_full, .. } = self.plan.rates;
        let number = self.random.index(self.clients.len());
        let Some(disk) = self.clients.get(number).map(|client| client.delivery.disk()) else {
            return;
        };
        if self.random.happens(client_budget) && !disk.is_armed() {
            disk.set_budget(Some(self.random.below(20)));
        }
        if self.random.happens(client_full) || (disk.is_full() && self.random.one_in(60)) {
            disk.set_full(!disk.is_full());
            self.trace.count("disks of clients that became full, or have room again");
        }
    }

    /// A client dies, perhaps while it takes a value, and begins anew from its outbox.
    fn crash_client(&mut self) -> Result<(), Violation> {
        let number = self.random.index(self.clients.len());
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        if let Some(link) = client.meeting().map(|meeting| meeting.link) {
            self.leave_link(link);
        }
        let values_max = self.plan.values_max;
        let Some((client, mut around)) = self.client(number) else { return Ok(()) };
        if client.has_stopped() {
            return Ok(());
        }
        let Some(known) = around.model.accounts.get_mut(client.account) else { return Ok(()) };
        if known.count() < values_max && around.random.one_in(2) {
            let value = around.random.u64().cast_signed();
            match &mut client.restored {
                Some(history) => history.give(value.into()),
                None => known.give(value.into()),
            }
            client.delivery.disk().set_budget(Some(around.random.below(8)));
            // It is killed meanwhile or afterwards, whatever this came to.
            drop(client.delivery.take(around.now, &[value]));
        }
        let outage = Outage::draw(around.random);
        client.restart(outage, &mut around)?;
        self.trace.line(self.step, format_args!("client {number} dies: {outage:?}"));
        self.trace.count("client crashes");
        Ok(())
    }

    /// A client's outbox is copied, or set back to its copy: then it takes other values under
    /// numbers that may be used.
    fn set_back(&mut self) -> Result<(), Violation> {
        let Rates { copy, restore, .. } = self.plan.rates;
        if restore == 0 {
            return Ok(());
        }
        let number = self.random.index(self.clients.len());
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        let Some(known) = self.model.accounts.get(client.account) else { return Ok(()) };
        if self.random.happens(copy) {
            client.take_copy(known.history());
        }
        if !self.random.happens(restore) {
            return Ok(());
        }
        let link = client.meeting().map(|meeting| meeting.link);
        // As many as the copy lacks take the very numbers that count already: then only the sum
        // tells.
        let lacks = if self.random.one_in(2) { client.copy_lacks(known).min(LACKS_MAX) } else { 0 };
        let values: Vec<i64> = (0..lacks + self.random.below(12))
            .map(|_| self.random.u64().cast_signed() >> 1)
            .collect();
        let at = self.now + Duration::from_millis(self.random.below(4_000));
        let extent = match self.random.below(4) {
            0 => Extent::Files,
            1 => Extent::Snapshot,
            _ => Extent::Machine,
        };
        if !client.set_back(extent, &values, at)? {
            return Ok(());
        }
        if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
            link.leave_ghost(&mut self.random, self.now, &[]);
        }
        self.trace.line(
            self.step,
            format_args!("client {number} is set back: {extent:?}, and takes {}", values.len()),
        );
        self.trace.count("outboxes set back");
        Ok(())
    }

    /// A client gives up in its handshake. It begins anew at once, and its message 4 arrives later.
    fn give_up(&mut self) {
        if !self.random.happens(self.plan.rates.ghost) {
            return;
        }
        let number = self.random.index(self.clients.len());
        let Some((link, left)) =
            self.clients.get_mut(number).and_then(|client| client.give_up(self.now))
        else {
            return;
        };
        if let Some(link) = self.links.get_mut(&link) {
            link.leave_ghost(&mut self.random, self.now, &left);
            self.trace.count("handshakes given up");
        }
    }
}

fn pick<'a>(links: &'a mut BTreeMap<u64, Link>, random: &mut Random) -> Option<&'a mut Link> {
    let nth = if links.is_empty() { 0 } else { random.index(links.len()) };
    links.values_mut().nth(nth)
}

//! Bytes on their way, and what they set off at either end.

use ddes_session::Phase;

use crate::client::{Around, Client, Meeting};
use crate::link::Link;
use crate::model::Violation;
use crate::plan::DiskRates;
use crate::scene::SimScene;

/// Received at once at most.
const CHUNK_BYTES_MAX: usize = 700;

impl SimScene {
    /// Bytes move one hop on one connection.
    pub(crate) fn network(&mut self) -> Result<(), Violation> {
        if self.links.is_empty() {
            return Ok(());
        }
        let nth = self.random.index(self.links.len());
        let Some(number) = self.links.keys().nth(nth).copied() else { return Ok(()) };
        if self.links.get(&number).is_none_or(|link| link.until > self.now) {
            return Ok(());
        }
        match self.random.below(4) {
            0 => self.client_sends(number),
            1 => self.server_receives(number),
            2 => self.server_sends(number),
            _ => self.client_receives(number),
        }
        self.settle_of(number)?;
        self.links.retain(|_, link| !link.is_gone());
        Ok(())
    }

    fn client_sends(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let Some(meeting) = meeting_of(&mut self.clients, link, number) else { return };
        let count = link.up.put(meeting.session.pending());
        meeting.session.sent(self.now, count);
        let is_leaving = meeting.session.phase() == Phase::Draining;
        if is_leaving && meeting.session.pending().is_empty() && !meeting.is_shut {
            meeting.is_shut = true;
            link.up.end();
        }
    }

    fn client_receives(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let chunk = self.random.count(1, CHUNK_BYTES_MAX);
        let Some(meeting) = meeting_of(&mut self.clients, link, number) else {
            drop(link.down.take(chunk));
            return;
        };
        if link.down.is_over() {
            link.down.is_told = true;
            meeting.session.handle_eof(self.now);
        } else if link.down.len() > 0 && meeting.session.wants_bytes() {
            meeting.session.handle_bytes(self.now, &link.down.take(chunk));
        }
    }

    fn server_receives(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        if let Some(impostor) = &mut link.impostor {
            impostor.hear(&link.up.take(CHUNK_BYTES_MAX), &mut self.random);
        }
        let Some((id, node)) = link.id.zip(self.nodes.get_mut(link.node)) else { return };
        if link.up.is_over() {
            link.up.is_told = true;
            if link.has_client && self.random.one_in(2) {
                node.endpoint.handle_eof(self.now, id);
            } else {
                node.endpoint.handle_reset(self.now, id);
            }
        } else if link.up.len() > 0 && node.endpoint.wants_bytes(id) {
            let chunk = self.random.count(1, CHUNK_BYTES_MAX);
            node.endpoint.handle_bytes(self.now, id, &link.up.take(chunk));
        }
        node.hand_on(self.now, link.node, &mut self.inbox);
    }

    /// As `ddes_server::drive` has it.
    fn server_sends(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        if let Some(impostor) = &mut link.impostor {
            let count = link.down.put(&impostor.pending);
            impostor.pending.drain(..count);
        }
        let Some((id, node)) = link.id.zip(self.nodes.get_mut(link.node)) else { return };
        let count = link.down.put(node.endpoint.pending(id));
        node.endpoint.sent(self.now, id, count);
        let is_empty = node.endpoint.pending(id).is_empty();
        match node.endpoint.phase(id) {
            Phase::Done => {
                node.endpoint.remove(self.now, id);
                link.id = None;
                link.down.end();
            }
            Phase::Draining if is_empty => link.down.end(),
            Phase::Draining | Phase::Live => {}
        }
        node.hand_on(self.now, link.node, &mut self.inbox);
    }

    fn settle_of(&mut self, number: u64) -> Result<(), Violation> {
        match self.links.get(&number).map(|link| link.client) {
            Some(client) => self.settle(client),
            None => Ok(()),
        }
    }

    /// A client, and what it needs of the world.
    pub(crate) fn client(&mut self, number: usize) -> Option<(&mut Client, Around<'_>)> {
        let rates = if self.is_ending { DiskRates::default() } else { self.plan.client_disk };
        let around = Around {
            now: self.now,
            step: self.step,
            server: self.public,
            model: &mut self.model,
            trace: &mut self.trace,
            random: &mut self.random,
            rates,
        };
        Some((self.clients.get_mut(number)?, around))
    }

    /// The client has closed its connection, or is gone.
    pub(crate) fn leave_link(&mut self, link: u64) {
        let Some(link) = self.links.get_mut(&link) else { return };
        match self.random.below(4) {
            0 => link.leave_ghost(&mut self.random, self.now, &[]),
            says => link.lose_client(&mut self.random, says == 1),
        }
    }

    pub(crate) fn settle(&mut self, client: usize) -> Result<(), Violation> {
        let Some((client, mut around)) = self.client(client) else { return Ok(()) };
        if let Some(link) = client.settle(&mut around)?.and_then(|link| self.links.get_mut(&link)) {
            match self.random.below(3) {
                0 => link.leave_ghost(&mut self.random, self.now, &[]),
                _ => link.lose_client(&mut self.random, true),
            }
        }
        Ok(())
    }
}

/// The session of the client at this link, if it is still there.
fn meeting_of<'a>(clients: &'a mut [Client], link: &Link, number: u64) -> Option<&'a mut Meeting> {
    let meeting = clients.get_mut(link.client)?.meeting()?;
    (meeting.link == number).then_some(meeting)
}

//! A client of the classic profile, in a world whose connections are all classic.

use std::sync::Arc;
use std::time::Duration;

use ddes_server::endpoint::{Classic, Config, ConnectionId};
use ddes_session::classic;
use ddes_wire::ClientId;
use zeroize::Zeroizing;

use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Original {
    pub(crate) id: ConnectionId,
    pub(crate) session: classic::ClientSession,
}

/// Only classic connections.
pub(crate) fn classic_only(config: &mut Config) {
    let group = ddes_ffdhe::Group::named(ddes_ffdhe::NamedGroup::Ffdhe2048);
    let settings = classic::ServerConfig { group, idle: HOUR, handshake: HOUR, end_all: false };
    config.profiles.classic = Some(Classic { config: Arc::new(settings), silence: Duration::ZERO });
}

impl Original {
    /// Its connection is accepted.
    pub(crate) fn connect(world: &mut World, seed: u8) -> Self {
        let id = world.accept("192.0.2.1").unwrap();
        let random = ClientId::random([seed; 16]);
        let config = classic::ClientConfig { id: random, handshake: HOUR, reply: HOUR };
        let entropy = classic::ClientEntropy { exponent: Zeroizing::new([!seed; _]) };
        Self { id, session: classic::ClientSession::new(config, world.now, entropy) }
    }

    /// Its session is open.
    pub(crate) fn join(world: &mut World, seed: u8) -> Self {
        let mut client = Self::connect(world, seed);
        client.talk(world);
        client
    }

    /// Carries bytes both ways, and requests to the ledger, until nothing moves.
    pub(crate) fn talk(&mut self, world: &mut World) {
        loop {
            let up = self.session.pending().to_vec();
            self.session.sent(world.now, up.len());
            world.endpoint.handle_bytes(world.now, self.id, &up);
            let mut is_idle = up.is_empty();
            while let Some((id, work)) = world.work() {
                world.endpoint.handle_done(world.now, id, work.run());
                is_idle = false;
            }
            while world.commit() {
                is_idle = false;
            }
            let down = world.endpoint.pending(self.id).to_vec();
            world.endpoint.sent(world.now, self.id, down.len());
            self.session.handle_bytes(world.now, &down);
            while let Some(work) = self.session.poll_work() {
                self.session.handle_done(world.now, work.run());
                is_idle = false;
            }
            while self.session.poll_event().is_some() {}
            world.carried.0 += up.len();
            world.carried.1 += down.len();
            if is_idle && down.is_empty() {
                return;
            }
        }
    }

    /// A submission of one integer, and its bytes.
    pub(crate) fn submission(&mut self, world: &World, value: u64) -> Vec<u8> {
        self.session.submit(world.now, value).unwrap();
        self.session.pending().to_vec()
    }
}

//! Somebody on the path without a key: he answers message 1 himself, and seals a 50 in the place of
//! message 3. NN authenticates nobody, so the client can open it.

use ddes_session::v2::noise::{Entropy, respond};
use ddes_session::v2::record::Sealer;
use ddes_session::v2::{kem, prologue, protocol};
use ddes_wire::frame::{self, Opcode};
use ddes_wire::v2::{BODY_MAX, Farewell, Hello, Reason, Scope};
use ddes_wire::{Sequence, Total};
use zeroize::Zeroizing;

use crate::client::SUITE;
use crate::random::Random;

#[derive(Debug, Default)]
pub(crate) struct Impostor {
    heard: Vec<u8>,
    has_answered: bool,
    /// What the connection had no room for yet.
    pub(crate) pending: Vec<u8>,
}

impl Impostor {
    pub(crate) fn hear(&mut self, bytes: &[u8], random: &mut Random) {
        self.heard.extend(bytes);
        if self.has_answered {
            return;
        }
        let Ok(Some(first)) = frame::split(&self.heard, BODY_MAX) else { return };
        let Ok(hello) = Hello::decode(first.body) else { return };
        let entropy = Entropy {
            dh: Zeroizing::new(random.bytes::<64>().to_vec()),
            kem: Zeroizing::new(random.bytes::<{ kem::SEED_BYTES }>()),
        };
        let Ok(response) = respond(&protocol(SUITE), &prologue(SUITE), &entropy, hello.noise, &[])
        else {
            return;
        };
        let mut sealer = Sealer::new(protocol(SUITE).cipher, response.finished.to_client);
        let text = "run ddes trust rm".into();
        let (reason, scope, last_seq, sum) =
            (Reason::NotAuthorized, Scope::Session, Sequence::NONE, Total::ZERO);
        let farewell = Farewell { reason, scope, last_seq, sum, text }.encode();
        let Ok(length) = u32::try_from(response.message.len()) else { return };
        let head = frame::Header { opcode: Opcode::KeyVerification.number(), length };
        let mut sealed = Vec::new();
        self.has_answered = sealer.seal(Opcode::Disconnect, &farewell, &mut sealed).is_ok();
        self.pending = [&head.encode()[..], &response.message, &sealed].concat();
    }
}

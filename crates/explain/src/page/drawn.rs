//! What one side drew, if the capture says: its exponent, and its randomness for ML-KEM.

use ddes_capture::{Conversation, Direction};
use ddes_ffdhe::Group;

/// One side's secrets.
pub(super) struct DrawnSecrets {
    /// Whose they are, by the direction of what that side sends.
    pub(super) side: Direction,
    /// The exponent as it is used.
    pub(super) exponent: Vec<u8>,
    /// `d || z` of the client, `m` of the server.
    pub(super) kem: Option<Vec<u8>>,
}

/// What was drawn for a handshake in this group; `None` if the capture does not say.
pub(super) fn drawn(conversation: &Conversation, group: &Group) -> Option<DrawnSecrets> {
    let secrets = conversation.secrets.as_ref()?;
    let side = match secrets.role? {
        ddes_capture::SecretRole::Client => Direction::ToServer,
        ddes_capture::SecretRole::Server => Direction::ToClient,
    };
    let entropy = secrets.dh.as_ref()?;
    let mut exponent = entropy.0.get(..group.exponent_len())?.to_vec();
    // As `Exponent::from_entropy` does, so that all have the same length.
    *exponent.first_mut()? |= 0x80;
    let kem = secrets.kem.as_ref().map(|kem| kem.0.to_vec());
    Some(DrawnSecrets { side, exponent, kem })
}

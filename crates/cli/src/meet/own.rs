//! What sessions of this home have counted without an outbox, from an account's beginning on: a new outbox may go on from there without being told.
//!
//! The file `counted` has a line for each server and identity: `HOST:PORT FINGERPRINT LAST_SEQ SUM`. It is written when a command ends and is believed only where the
//! server states the very same, so one that is old proves nothing, and neither does an account that anybody else, or an outbox, has added to.

use std::cell::Cell;

use ddes_identity::{PublicKey, ServerAddress};
use ddes_wire::{Sequence, Standing, Total};

use crate::failure::Failure;
use crate::home::{Home, read_list};

/// Where an account stood.
type Stand = (Sequence, Total);

/// One account of this home.
pub(super) struct Own {
    line: String,
    /// An outbox counts: its numbers are its own.
    is_durable: bool,
    /// As far as all is counted by this home.
    stand: Cell<Option<Stand>>,
}

impl Own {
    pub(super) fn new(server: &ServerAddress, identity: &PublicKey, is_durable: bool) -> Self {
        Self { line: format!("{server} {} ", identity.fingerprint()), is_durable, stand: Cell::new(None) }
    }

    /// A session is open. What an earlier one of this process left is held to by its outbox in memory.
    pub(super) fn opened(&self, home: &Home, standing: Standing) {
        let stand = (standing.last_seq, standing.sum);
        let is_own = stand.0 == Sequence::NONE || self.stand.get().is_some() || self.is_all(home, stand);
        self.stand.set(is_own.then_some(stand));
    }

    pub(super) fn counted(&self, last_seq: Sequence, sum: Total) {
        self.stand.set(self.stand.get().map(|_| (last_seq, sum)));
    }

    /// Whether all that the account has counted came from this home without an outbox.
    pub(super) fn is_all(&self, home: &Home, (last_seq, sum): Stand) -> bool {
        let wanted = format!("{}{last_seq} {sum}", self.line);
        read_list(&home.counted())
            .is_ok_and(|text| text.split(|byte| *byte == b'\n').any(|line| line == wanted.as_bytes()))
    }

    /// Keeps it for the next command.
    pub(super) fn keep(&self, home: &Home) -> Result<(), Failure> {
        let Some((last_seq, sum)) = self.stand.get().filter(|_| !self.is_durable) else { return Ok(()) };
        if last_seq == Sequence::NONE || self.is_all(home, (last_seq, sum)) {
            return Ok(());
        }
        home.edit(&home.counted(), |text| {
            let others = text.split_inclusive(|byte| *byte == b'\n');
            let others =
                others.filter(|line| !line.starts_with(self.line.as_bytes()) && line.ends_with(b"\n"));
            let mut text: Vec<u8> = others.flatten().copied().collect();
            text.extend(format!("{}{last_seq} {sum}\n", self.line).bytes());
            Ok((text, ()))
        })
    }
}

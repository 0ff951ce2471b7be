//! What sessions of this home have counted without an outbox: an outbox may go on behind that
//! without being told.
//!
//! The file `counted` has a line for each server and identity: `HOST:PORT FINGERPRINT FROM_SEQ
//! FROM_SUM LAST_SEQ SUM`, where the account stood before the first of these sessions and after the
//! last, with nothing else counted in between. Older versions wrote the last two fields alone, and
//! only from an account's beginning on. The line is written when a command ends and is believed
//! only where the server states the very same end, so an old line proves nothing, and neither does
//! one of an account that anybody else has added to since.

use std::cell::Cell;

use ddes_client::outbox::Span;
use ddes_identity::{PublicKey, ServerAddress};
use ddes_wire::{Sequence, Standing, Total};

use crate::failure::Failure;
use crate::home::{Home, read_list};

/// One account of this home.
pub(super) struct Own {
    line: String,
    /// An outbox counts: its numbers are its own.
    is_durable: bool,
    /// What the sessions of this process, and those right before them, have counted.
    span: Cell<Option<Span>>,
}

impl Own {
    pub(super) fn new(server: &ServerAddress, identity: &PublicKey, is_durable: bool) -> Self {
        Self {
            line: format!("{server} {} ", identity.fingerprint()),
            is_durable,
            span: Cell::new(None),
        }
    }

    /// A session is open. What an earlier one of this process left is held to by its outbox in
    /// memory.
    ///
    /// The outbox stands where the account does now: what is counted aside begins anew. A line that
    /// stays, because the home cannot be written, proves less later, and nothing false.
    pub(super) fn opened(&self, home: &Home, standing: Standing) -> Result<(), Failure> {
        let replaced = if self.is_durable { self.replace(home, None) } else { Ok(()) };
        let now = (standing.last_seq, standing.sum);
        let before = self.span.get().or_else(|| self.kept(home).filter(|span| span.to == now));
        self.span.set(Some(Span { from: before.map_or(now, |span| span.from), to: now }));
        replaced
    }

    pub(super) fn counted(&self, last_seq: Sequence, sum: Total) {
        self.span.set(self.span.get().map(|span| Span { to: (last_seq, sum), ..span }));
    }

    /// What was counted without the outbox in use.
    pub(super) fn aside(&self, home: &Home) -> Option<Span> {
        self.kept(home).filter(|_| self.is_durable)
    }

    fn kept(&self, home: &Home) -> Option<Span> {
        let text = read_list(&home.counted()).ok()?;
        let mut lines = text.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            parse(std::str::from_utf8(line.strip_prefix(self.line.as_bytes())?).ok()?)
        })
    }

    /// Keeps it for the next command.
    pub(super) fn keep(&self, home: &Home) -> Result<(), Failure> {
        let Some(span) = self.span.get().filter(|span| !self.is_durable && span.from != span.to)
        else {
            return Ok(());
        };
        self.replace(home, Some(span))
    }

    fn replace(&self, home: &Home, span: Option<Span>) -> Result<(), Failure> {
        if self.kept(home) == span {
            return Ok(());
        }
        home.edit(&home.counted(), |text| {
            let others = text.split_inclusive(|byte| *byte == b'\n');
            let others = others
                .filter(|line| !line.starts_with(self.line.as_bytes()) && line.ends_with(b"\n"));
            let mut text: Vec<u8> = others.flatten().copied().collect();
            if let Some(Span { from, to }) = span {
                text.extend(
                    format!("{}{} {} {} {}\n", self.line, from.0, from.1, to.0, to.1).bytes(),
                );
            }
            Ok((text, ()))
        })
    }
}

/// The fields behind server and identity.
fn parse(fields: &str) -> Option<Span> {
    let stand = |seq: &str, sum: &str| {
        Some((Sequence::new(seq.parse().ok()?), Total::new(sum.parse().ok()?)))
    };
    match fields.split(' ').collect::<Vec<_>>()[..] {
        [from_seq, from_sum, seq, sum] => {
            Some(Span { from: stand(from_seq, from_sum)?, to: stand(seq, sum)? })
        }
        [seq, sum] => Some(Span { from: (Sequence::NONE, Total::ZERO), to: stand(seq, sum)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_an_older_version_begins_with_the_account_and_others_are_nothing() {
        let stand = |seq: u64, sum: i128| (Sequence::new(seq), Total::new(sum));
        assert_eq!(parse("3 -7"), Some(Span { from: stand(0, 0), to: stand(3, -7) }));
        assert_eq!(parse("3 -7 5 12"), Some(Span { from: stand(3, -7), to: stand(5, 12) }));
        for wrong in ["", "3", "3 -7 5", "3 -7 5 12 1", "-3 7", "x 7", "3 -7 5 12 "] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

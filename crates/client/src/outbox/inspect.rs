//! Reads a journal's bytes without its file and its locks: for tools and the fuzzer.

use ddes_wire::Sequence;

use super::format::{self, JournalWriter, OutboxRecord};
use super::{InputMark, Outbox, OutboxOwner};

/// The outbox that a journal's bytes describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The identity and the server of the outbox.
    pub owner: OutboxOwner,
    /// The highest number that its states call confirmed.
    pub confirmed: Sequence,
    /// The values after that number.
    pub pending: Vec<i64>,
    /// The length of a torn record at the end, in bytes; it was never used.
    pub torn: usize,
}

/// Reads a journal's bytes as [`Outbox::open`] does. The error names the damage.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, String> {
    let contents = format::read(bytes)?;
    let outbox = Outbox::of_records(contents.records, contents.salt.is_none());
    let outbox = outbox.ok_or("its numbers do not follow each other")?;
    let (confirmed, torn) = (outbox.confirmed(), bytes.len() - contents.length);
    Ok(Inspected { owner: contents.owner, confirmed, pending: outbox.pending.into(), torn })
}

/// The bytes of a journal that took these values, each group at once, and where each record ends.
pub fn journal_of(
    owner: &OutboxOwner,
    salt: [u8; 16],
    takings: &[&[i64]],
) -> (Vec<u8>, Vec<usize>) {
    let (mut writer, mut bytes) = JournalWriter::begin(owner, salt);
    let mut ends = vec![bytes.len()];
    let mut last = 0;
    for values in takings {
        let (first_seq, sent) = (Sequence::new(last + 1), Sequence::NONE);
        last += values.len() as u64;
        let record = OutboxRecord::Values {
            first_seq,
            sent,
            mark: InputMark::default(),
            values: values.to_vec(),
        };
        let (next, more) = writer.next(&record);
        writer = next;
        bytes.extend(more);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

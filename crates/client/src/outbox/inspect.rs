//! What a journal's bytes say, without its file and its locks: for tools that look, and for the
//! fuzzer.

use ddes_wire::Sequence;

use super::format::{self, Record, Writer};
use super::{Mark, Outbox, Owner};

/// What the bytes of a journal say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Whose it is.
    pub owner: Owner,
    /// The highest number that its states call confirmed.
    pub confirmed: Sequence,
    /// The values from there on.
    pub pending: Vec<i64>,
    /// So many bytes at the end are a torn record that was never used.
    pub torn: usize,
}

/// Reads a journal's bytes, as an opening does; or says what is damaged.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, String> {
    let contents = format::read(bytes)?;
    let outbox = Outbox::of_records(contents.records, contents.salt.is_none());
    let outbox = outbox.ok_or("its numbers do not follow each other")?;
    let (confirmed, torn) = (outbox.confirmed(), bytes.len() - contents.length);
    Ok(Inspected { owner: contents.owner, confirmed, pending: outbox.pending.into(), torn })
}

/// The bytes of a journal that took these values, each group at once, and where each record ends.
pub fn journal_of(owner: &Owner, salt: [u8; 16], takings: &[&[i64]]) -> (Vec<u8>, Vec<usize>) {
    let (mut writer, mut bytes) = Writer::begin(owner, salt);
    let mut ends = vec![bytes.len()];
    let mut last = 0;
    for values in takings {
        let (first_seq, sent) = (Sequence::new(last + 1), Sequence::NONE);
        last += values.len() as u64;
        let record =
            Record::Values { first_seq, sent, mark: Mark::default(), values: values.to_vec() };
        let (next, more) = writer.next(&record);
        writer = next;
        bytes.extend(more);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

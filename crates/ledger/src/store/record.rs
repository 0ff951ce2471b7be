//! Records: what a batch did. Numbers are LEB128; signed ones are zigzag-encoded first.

use ddes_wire::{Amount, Amounts, Sequence, SessionNumber, Total};

use super::frame::Batch;
use crate::{AccountId, AccountNumber};

/// One effect of a batch. Replay applies it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A new account; an identity has the next number.
    Account(AccountId),
    /// A session was opened.
    Open {
        /// The account that opened it.
        account: AccountNumber,
        /// The number that it was given.
        session: SessionNumber,
    },
    /// Values were counted in an account.
    Add(Added),
    /// A classic account ended.
    End(AccountNumber),
    /// All session numbers grew by 2^32.
    Raise,
    /// A checkpoint is durable under its name.
    Checkpoint(NamedCheckpoint),
    /// Segments before this one may be deleted: they are older than the history that is kept.
    Trim(u64),
    /// An account's session number became this one, in a store that raises each account by itself.
    Raised {
        /// The account.
        account: AccountNumber,
        /// Its newest session number since.
        session: SessionNumber,
    },
}

impl Record {
    /// Removes the first record from `bytes`; `None` if they do not begin with one.
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes)
    }

    /// Appends the record to `bytes`, in its one encoding.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Account(id) => put_account(bytes, id),
            Self::Open { account, session } => put_open(bytes, *account, *session),
            Self::Add(add) => {
                put_add(bytes, add.account, add.session, add.first_seq, &add.amounts, add.sum);
            }
            Self::End(account) => put_end(bytes, *account),
            Self::Raise => put_raise(bytes),
            Self::Checkpoint(named) => put_checkpoint(bytes, named),
            Self::Trim(segment) => put_trim(bytes, *segment),
            Self::Raised { account, session } => put_raised(bytes, *account, *session),
        }
    }
}

/// A checkpoint's file, as a batch after its end names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedCheckpoint {
    /// Replay starts after this batch; the number in the file's name.
    pub start: Batch,
    /// The last batch whose effects it holds.
    pub end: Batch,
    /// SHA-256 of the file without its last 32 bytes, which hold this digest.
    pub digest: [u8; 32],
}

/// Values that were counted, and the sum after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The account in which they count.
    pub account: AccountNumber,
    /// The session that sent them.
    pub session: SessionNumber,
    /// The number of the first value.
    pub first_seq: Sequence,
    /// The values, numbered consecutively.
    pub amounts: Amounts,
    /// The account's sum after the last value.
    pub sum: Total,
}

const ACCOUNT: u8 = 1;
const OPEN: u8 = 2;
const ADD: u8 = 3;
const END: u8 = 4;
const RAISE: u8 = 5;
const CLASSIC_ACCOUNT: u8 = 6;
const CHECKPOINT: u8 = 7;
const TRIM: u8 = 8;
const RAISED: u8 = 9;

/// The most bytes of an encoded number: 128 bits, 7 bits a byte.
const NUMBER_BYTES_MAX: usize = 19;
/// The most bytes of a record without its values.
pub(crate) const FIXED_BYTES_MAX: usize = 64;
/// The most bytes of one value: 65 bits, zigzag.
pub(crate) const VALUE_BYTES_MAX: usize = 10;

const _: () =
    assert!(1 + 4 * 10 + NUMBER_BYTES_MAX <= FIXED_BYTES_MAX && 1 + 2 * 10 + 32 < FIXED_BYTES_MAX);

pub(crate) fn put_account(bytes: &mut Vec<u8>, id: &AccountId) {
    match id {
        AccountId::Identity(key) => {
            bytes.push(ACCOUNT);
            bytes.extend_from_slice(key);
        }
        AccountId::Classic(number) => {
            RecordWriter::write(bytes, CLASSIC_ACCOUNT, 0, |record| record.put((*number).into()));
        }
    }
}

pub(crate) fn put_open(bytes: &mut Vec<u8>, account: AccountNumber, session: SessionNumber) {
    put_session(bytes, OPEN, account, session);
}

pub(crate) fn put_raised(bytes: &mut Vec<u8>, account: AccountNumber, session: SessionNumber) {
    put_session(bytes, RAISED, account, session);
}

fn put_session(bytes: &mut Vec<u8>, kind: u8, account: AccountNumber, session: SessionNumber) {
    RecordWriter::write(bytes, kind, 0, |record| {
        record.put(number(account));
        record.put(session.get().into());
    });
}

pub(crate) fn put_add(
    bytes: &mut Vec<u8>,
    account: AccountNumber,
    session: SessionNumber,
    first_seq: Sequence,
    amounts: &[Amount],
    sum: Total,
) {
    RecordWriter::write(bytes, ADD, amounts.len(), |record| {
        record.put(number(account));
        record.put(session.get().into());
        record.put(first_seq.get().into());
        record.put(amounts.len() as u128);
        for amount in amounts {
            record.put(zigzag(amount.get()));
        }
        record.put(zigzag(sum.get()));
    });
}

/// Appends values as [`put_add`] has them.
pub(crate) fn put_amounts(bytes: &mut Vec<u8>, amounts: &[Amount]) {
    let start = bytes.len();
    bytes.resize(start + amounts.len() * VALUE_BYTES_MAX + 8, 0);
    let mut writer = RecordWriter { room: &mut bytes[start..], at: 0 };
    for amount in amounts {
        writer.put(zigzag(amount.get()));
    }
    let end = start + writer.at;
    bytes.truncate(end);
}

/// The values of these bytes; `None` unless they are `count` values and nothing else.
pub(crate) fn take_amounts(mut bytes: &[u8], count: u32) -> Option<Vec<Amount>> {
    let count = usize::try_from(count).ok().filter(|count| *count <= bytes.len())?;
    let amounts = (0..count)
        .map(|_| Amount::try_from(unzigzag(take_u128(&mut bytes)?)).ok())
        .collect::<Option<_>>()?;
    bytes.is_empty().then_some(amounts)
}

pub(crate) fn put_end(bytes: &mut Vec<u8>, account: AccountNumber) {
    RecordWriter::write(bytes, END, 0, |record| record.put(number(account)));
}

pub(crate) fn put_raise(bytes: &mut Vec<u8>) {
    bytes.push(RAISE);
}

pub(crate) fn put_checkpoint(bytes: &mut Vec<u8>, named: &NamedCheckpoint) {
    RecordWriter::write(bytes, CHECKPOINT, 0, |record| {
        record.put(named.start.into());
        record.put(named.end.into());
    });
    bytes.extend_from_slice(&named.digest);
}

pub(crate) fn put_trim(bytes: &mut Vec<u8>, segment: u64) {
    RecordWriter::write(bytes, TRIM, 0, |record| record.put(segment.into()));
}

/// Encodes one record into room for the longest record of its kind.
struct RecordWriter<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl RecordWriter<'_> {
    fn write(
        bytes: &mut Vec<u8>,
        kind: u8,
        values: usize,
        fill: impl FnOnce(&mut RecordWriter<'_>),
    ) {
        let start = bytes.len();
        bytes.push(kind);
        bytes.resize(start + FIXED_BYTES_MAX + values * VALUE_BYTES_MAX, 0);
        let mut writer = RecordWriter { room: &mut bytes[start..], at: 1 };
        fill(&mut writer);
        let end = start + writer.at;
        bytes.truncate(end);
    }

    /// LEB128: seven bits a byte, low ones first, the top bit set on all but the last.
    #[inline]
    fn put(&mut self, number: u128) {
        if let (0..0x80, Some(byte)) = (number, self.room.get_mut(self.at)) {
            *byte = number.to_le_bytes()[0];
            self.at += 1;
            return;
        }
        // Most numbers are short: eight bytes are written at once, of which `count` are kept.
        if let Some(short) = u64::try_from(number).ok().filter(|short| *short < 1 << 56) {
            let count = (70 - (short | 1).leading_zeros() as usize) / 7;
            let more = MORE & !(u64::MAX << (8 * (count - 1)));
            if let Some(room) = self.room.get_mut(self.at..self.at + 8) {
                room.copy_from_slice(&(spread(short) | more).to_le_bytes());
                self.at += count;
                return;
            }
        }
        self.put_long(number);
    }

    fn put_long(&mut self, mut number: u128) {
        loop {
            let more = if number >= 0x80 { 0x80 } else { 0 };
            self.room[self.at] = number.to_le_bytes()[0] & 0x7f | more;
            self.at += 1;
            number >>= 7;
            if more == 0 {
                return;
            }
        }
    }
}

/// Removes the first record from `bytes`; `None` if they do not begin with one. Accepts any bytes:
/// a checksum can be right by chance or by intent.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<Record> {
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(match *kind {
        ACCOUNT => {
            let (key, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Record::Account(AccountId::Identity(*key))
        }
        CLASSIC_ACCOUNT => Record::Account(AccountId::Classic(take_u64(bytes)?)),
        OPEN => Record::Open {
            account: take_account(bytes)?,
            session: SessionNumber::new(take_u64(bytes)?),
        },
        ADD => {
            let account = take_account(bytes)?;
            let session = SessionNumber::new(take_u64(bytes)?);
            let first_seq = Sequence::new(take_u64(bytes)?);
            let count =
                usize::try_from(take_u64(bytes)?).ok().filter(|count| *count <= bytes.len())?;
            let amounts = (0..count)
                .map(|_| Amount::try_from(unzigzag(take_u128(bytes)?)).ok())
                .collect::<Option<_>>()?;
            let sum = Total::new(unzigzag(take_u128(bytes)?));
            Record::Add(Added { account, session, first_seq, amounts, sum })
        }
        END => Record::End(take_account(bytes)?),
        RAISE => Record::Raise,
        CHECKPOINT => {
            let (start, end) = (take_u64(bytes)?, take_u64(bytes)?);
            let (digest, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Record::Checkpoint(NamedCheckpoint { start, end, digest: *digest })
        }
        TRIM => Record::Trim(take_u64(bytes)?),
        RAISED => Record::Raised {
            account: take_account(bytes)?,
            session: SessionNumber::new(take_u64(bytes)?),
        },
        _ => return None,
    })
}

/// An account's number in a record: even for identities, odd for classic accounts.
fn number(account: AccountNumber) -> u128 {
    match account {
        AccountNumber::Identity(number) => u128::from(number) << 1,
        AccountNumber::Classic(number) => u128::from(number) << 1 | 1,
    }
}

fn take_account(bytes: &mut &[u8]) -> Option<AccountNumber> {
    let number = take_u128(bytes)?;
    if number & 1 == 0 {
        Some(AccountNumber::Identity(u32::try_from(number >> 1).ok()?))
    } else {
        Some(AccountNumber::Classic(u64::try_from(number >> 1).ok()?))
    }
}

/// Maps small numbers of either sign to small unsigned ones: 0, -1, 1, -2 … to 0, 1, 2, 3 …
fn zigzag(number: i128) -> u128 {
    (number.cast_unsigned() << 1) ^ (number >> 127).cast_unsigned()
}

fn unzigzag(number: u128) -> i128 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// The bit of each of eight bytes that says that another byte follows.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Spreads 56 bits to seven a byte: separates halves, then quarters, then eighths.
fn spread(bits: u64) -> u64 {
    let bits = (bits & 0x00ff_ffff_f000_0000) << 4 | bits & 0x0fff_ffff;
    let bits = (bits & 0x0fff_c000_0fff_c000) << 2 | bits & 0x3fff_0000_3fff;
    (bits & 0x3f80_3f80_3f80_3f80) << 1 | bits & 0x007f_007f_007f_007f
}

/// The inverse of [`spread`]; continuation bits are ignored.
fn gather(word: u64) -> u64 {
    let bits = (word & 0x7f00_7f00_7f00_7f00) >> 1 | word & 0x007f_007f_007f_007f;
    let bits = (bits & 0x3fff_0000_3fff_0000) >> 2 | bits & 0x3fff_0000_3fff;
    (bits & 0x0fff_ffff_0000_0000) >> 4 | bits & 0x0fff_ffff
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    match take_short(bytes) {
        Some(short) => Some(short),
        None => u64::try_from(take_long(bytes)?).ok(),
    }
}

/// Removes a number from `bytes`; `None` unless it has its shortest encoding.
fn take_u128(bytes: &mut &[u8]) -> Option<u128> {
    take_short(bytes).map(u128::from).or_else(|| take_long(bytes))
}

/// Removes a number of at most eight bytes, if eight can be read. `None` decides nothing: the
/// caller tries [`take_long`].
fn take_short(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, after) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = after;
        return Some(first.into());
    }
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let ends = !word & MORE;
    // All bits up to the end of the first byte without a continuation bit.
    let low = ends ^ ends.wrapping_sub(1);
    let count = low.count_ones() as usize / 8;
    let top = word & low & !(low >> 8);
    if ends == 0 || top == 0 {
        return None;
    }
    *bytes = bytes.get(count..)?;
    Some(gather(word & low))
}

fn take_long(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    for (i, byte) in bytes.iter().enumerate().take(NUMBER_BYTES_MAX) {
        let bits = u128::from(byte & 0x7f);
        let shifted = bits << (7 * i);
        if shifted >> (7 * i) != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            *bytes = bytes.get(i + 1..)?;
            return (*byte != 0 || i == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.put(&mut bytes);
        bytes
    }

    fn leb(number: u128) -> Vec<u8> {
        let mut bytes = Vec::new();
        RecordWriter::write(&mut bytes, 0, 0, |record| record.put(number));
        bytes.split_off(1)
    }

    #[test]
    fn known_encodings_are_as_dwarf_has_them() {
        // DWARF 5, appendix C, figure C.1; zigzag as Protocol Buffers define it.
        for (number, expected) in
            [(2_u128, &[2][..]), (127, &[127]), (128, &[0x80, 1]), (12_857, &[0x80 | 57, 100])]
        {
            assert_eq!(leb(number), expected);
        }
        // Each length, with another number behind it and without.
        for bits in 0..128 {
            for number in [1_u128 << bits, (1 << bits) - 1, u128::MAX >> bits] {
                let mut bytes = leb(number);
                assert_eq!(bytes.len(), (128 - (number | 1).leading_zeros()).div_ceil(7) as usize);
                let mut longer = bytes.clone();
                longer.extend([0xff; 8]);
                for (mut rest, left) in [(&bytes[..], 0), (&longer, 8)] {
                    assert_eq!(take_u128(&mut rest), Some(number));
                    assert_eq!(rest.len(), left);
                }
                // The same number in a byte more is another text.
                *bytes.last_mut().unwrap() |= 0x80;
                bytes.push(0);
                assert_eq!(take_u128(&mut &bytes[..]), None);
                bytes.extend([0; 8]);
                assert_eq!(take_u128(&mut &bytes[..]), None);
            }
        }
        assert_eq!(
            [0, -1, 1, -2, i128::MAX, i128::MIN].map(zigzag),
            [0, 1, 2, 3, u128::MAX - 1, u128::MAX]
        );
    }

    #[test]
    fn the_longest_record_fits_its_bound_and_every_record_comes_back() {
        let classic = AccountNumber::Classic(u64::MAX);
        let session = SessionNumber::new(u64::MAX);
        let records = [
            Record::Account(AccountId::Identity([0xff; 32])),
            Record::Account(AccountId::Classic(u64::MAX)),
            Record::Open { account: AccountNumber::Identity(u32::MAX), session },
            Record::Open { account: classic, session },
            Record::Add(Added {
                account: classic,
                session,
                first_seq: Sequence::new(u64::MAX),
                amounts: [Amount::from(u64::MAX), Amount::from(i64::MIN)].into_iter().collect(),
                sum: Total::new(i128::MIN),
            }),
            Record::End(classic),
            Record::Raise,
            Record::Checkpoint(NamedCheckpoint {
                start: u64::MAX,
                end: u64::MAX,
                digest: [0xff; 32],
            }),
            Record::Trim(u64::MAX),
            Record::Raised { account: classic, session },
        ];
        for record in records {
            let bytes = encoded(&record);
            assert!(
                bytes.len() <= FIXED_BYTES_MAX + 2 * VALUE_BYTES_MAX,
                "{record:?}: {}",
                bytes.len()
            );
            let mut rest = &bytes[..];
            assert_eq!(take(&mut rest).as_ref(), Some(&record));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..cut]), None);
            }
        }
        assert_eq!(take(&mut &[END, 0x80, 0x00][..]), None, "a longer encoding of 0");
    }
}

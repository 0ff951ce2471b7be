//! Records: what a batch did. Numbers in LEB128, signed ones zigzag first.

use ddes_wire::{Amount, Sequence, SessionNumber, Total};

use crate::{AccountId, AccountNumber};

/// Something that a batch did. Replay does it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A new account; an identity has the next number.
    Account(AccountId),
    /// A session was opened.
    Open {
        /// Of.
        account: AccountNumber,
        /// Its number.
        session: SessionNumber,
    },
    /// Values were counted.
    Add(Added),
    /// A classic account is over.
    End(AccountNumber),
    /// All session numbers grew by 2^32.
    Raise,
}

/// Values that were counted, and the sum after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Where.
    pub account: AccountNumber,
    /// By which session.
    pub session: SessionNumber,
    /// The number of the first.
    pub first_seq: Sequence,
    /// The values.
    pub amounts: Vec<Amount>,
    /// The account's sum with them.
    pub sum: Total,
}

const ACCOUNT: u8 = 1;
const OPEN: u8 = 2;
const ADD: u8 = 3;
const END: u8 = 4;
const RAISE: u8 = 5;
const CLASSIC_ACCOUNT: u8 = 6;

/// The most bytes of a number of 128 bits, and of 64.
const NUMBER_BYTES_MAX: usize = 19;
/// The most bytes of a record beside its values' own.
pub(crate) const FIXED_BYTES_MAX: usize = 64;
/// The most bytes of one value: 65 bits, zigzag.
pub(crate) const VALUE_BYTES_MAX: usize = 10;

const _: () = assert!(1 + 4 * 10 + NUMBER_BYTES_MAX <= FIXED_BYTES_MAX && 32 < FIXED_BYTES_MAX);

pub(crate) fn put_account(bytes: &mut Vec<u8>, id: &AccountId) {
    match id {
        AccountId::Identity(key) => {
            bytes.push(ACCOUNT);
            bytes.extend_from_slice(key);
        }
        AccountId::Classic(number) => {
            bytes.push(CLASSIC_ACCOUNT);
            put(bytes, (*number).into());
        }
    }
}

pub(crate) fn put_open(bytes: &mut Vec<u8>, account: AccountNumber, session: SessionNumber) {
    bytes.push(OPEN);
    put(bytes, number(account));
    put(bytes, session.get().into());
}

pub(crate) fn put_add(
    bytes: &mut Vec<u8>,
    account: AccountNumber,
    session: SessionNumber,
    first_seq: Sequence,
    amounts: &[Amount],
    sum: Total,
) {
    bytes.push(ADD);
    put(bytes, number(account));
    put(bytes, session.get().into());
    put(bytes, first_seq.get().into());
    put(bytes, amounts.len() as u128);
    for amount in amounts {
        put(bytes, zigzag(amount.get()));
    }
    put(bytes, zigzag(sum.get()));
}

pub(crate) fn put_end(bytes: &mut Vec<u8>, account: AccountNumber) {
    bytes.push(END);
    put(bytes, number(account));
}

pub(crate) fn put_raise(bytes: &mut Vec<u8>) {
    bytes.push(RAISE);
}

/// Takes the first record off `bytes`; `None` if it is none. Holds for any bytes: a checksum can be right by chance or by intent.
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
        OPEN => Record::Open { account: take_account(bytes)?, session: SessionNumber::new(take_u64(bytes)?) },
        ADD => {
            let account = take_account(bytes)?;
            let session = SessionNumber::new(take_u64(bytes)?);
            let first_seq = Sequence::new(take_u64(bytes)?);
            let count = usize::try_from(take_u64(bytes)?).ok().filter(|count| *count <= bytes.len())?;
            let amounts = (0..count)
                .map(|_| Amount::try_from(unzigzag(take_u128(bytes)?)).ok())
                .collect::<Option<_>>()?;
            let sum = Total::new(unzigzag(take_u128(bytes)?));
            Record::Add(Added { account, session, first_seq, amounts, sum })
        }
        END => Record::End(take_account(bytes)?),
        RAISE => Record::Raise,
        _ => return None,
    })
}

/// Even for identities, odd for classic accounts.
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

/// Small numbers of either sign become small ones without: 0, -1, 1, -2 … are 0, 1, 2, 3 …
fn zigzag(number: i128) -> u128 {
    (number.cast_unsigned() << 1) ^ (number >> 127).cast_unsigned()
}

fn unzigzag(number: u128) -> i128 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// LEB128: seven bits a byte, low ones first, the top bit set on all but the last.
fn put(bytes: &mut Vec<u8>, number: u128) {
    let mut number = number;
    // Most numbers fit, and 128-bit shifts are slow.
    if let Ok(mut short) = u64::try_from(number) {
        while short >= 0x80 {
            bytes.push(short.to_le_bytes()[0] | 0x80);
            short >>= 7;
        }
        return bytes.push(short.to_le_bytes()[0]);
    }
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    u64::try_from(take_u128(bytes)?).ok()
}

/// The shortest encoding only.
fn take_u128(bytes: &mut &[u8]) -> Option<u128> {
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
        match record {
            Record::Account(id) => put_account(&mut bytes, id),
            Record::Open { account, session } => put_open(&mut bytes, *account, *session),
            Record::Add(add) => {
                put_add(&mut bytes, add.account, add.session, add.first_seq, &add.amounts, add.sum);
            }
            Record::End(account) => put_end(&mut bytes, *account),
            Record::Raise => put_raise(&mut bytes),
        }
        bytes
    }

    #[test]
    fn known_encodings_are_as_dwarf_has_them() {
        // DWARF 5, appendix C, figure C.1; zigzag as Protocol Buffers define it.
        for (number, expected) in
            [(2_u128, &[2][..]), (127, &[127]), (128, &[0x80, 1]), (12_857, &[0x80 | 57, 100])]
        {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(bytes, expected);
        }
        assert_eq!([0, -1, 1, -2, i128::MAX, i128::MIN].map(zigzag), [0, 1, 2, 3, u128::MAX - 1, u128::MAX]);
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
                amounts: vec![Amount::from(u64::MAX), Amount::from(i64::MIN)],
                sum: Total::new(i128::MIN),
            }),
            Record::End(classic),
            Record::Raise,
        ];
        for record in records {
            let bytes = encoded(&record);
            assert!(bytes.len() <= FIXED_BYTES_MAX + 2 * VALUE_BYTES_MAX, "{record:?}: {}", bytes.len());
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

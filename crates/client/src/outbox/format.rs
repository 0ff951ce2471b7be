//! The bytes of an outbox's journal, without a file: a sequence of records.
//!
//! ```text
//! record = kind u32 || length u32 || CRC-32 of salt and head || payload
//!          || CRC-32 of salt, head and payload || chain (16)                     big-endian
//! head   = kind || length
//! chain  = SHA-256(chain of the record before || head || payload)[0..16]
//! owner  = magic (16) || salt (16) || key (32) || server as text
//!          the first record; for it the salt and the chain before are empty and zeros
//! state  = lines u64 || digest (32) || input is open u8 || sum is known u8 || sum i128
//!          || confirmed u64 || sent u64 || newest u64 || own sessions, each u64
//! moved  = counted u64 || state
//!          of the waiting values, those up to `counted` count; the others have the numbers after
//!          the state's
//! values = first_seq u64 || sent u64 || lines u64 || digest (32) || values, each i64
//! ```
//!
//! The salt is random and new for each file, so nobody can choose values that look like a record.
//!
//! Each record is synced before the next one is written, so a crash can leave only the last one
//! torn, with bytes that are missing or zeros. A record after a broken one shows that the broken
//! one was whole once, which is damage.
//! Files of the first format (no salt, no chain, no sums) are read, and rewritten in this one.

use ddes_identity::PublicKey;
use ddes_wire::{Sequence, SessionNumber, Total};
use sha2::{Digest, Sha256};

use super::{InputMark, OutboxOwner, OutboxState, TAKE_MAX};

const MAGIC: &[u8; 16] = b"D-DDES/2 outbox2";
const MAGIC_FIRST: &[u8; 16] = b"D-DDES/2 outbox\n";
const HEAD_BYTES: usize = 8;
const SUM_BYTES: usize = 4;
const CHAIN_BYTES: usize = 16;
/// What a record has in addition to its payload.
const FRAME_BYTES: usize = HEAD_BYTES + SUM_BYTES + SUM_BYTES + CHAIN_BYTES;
/// What a record of values has before them: number, sent, lines, digest.
const VALUES_FIXED_BYTES: usize = 8 + 8 + 8 + 32;
/// The longest record: one of [`TAKE_MAX`] values.
pub(super) const RECORD_BYTES_MAX: usize = FRAME_BYTES + VALUES_FIXED_BYTES + 8 * TAKE_MAX;
/// The most bytes that could be unsynced at once in the first format.
const UNSYNCED_BYTES_MAX_FIRST: usize = 32 * 1024;

const OWNER: u32 = 1;
const STATE: u32 = 2;
const CONFIRMED: u32 = 3;
const VALUES: u32 = 4;
const MOVED: u32 = 5;

/// Random bytes of one file, which bind its records to it.
pub(super) type Salt = [u8; 16];
/// A running hash over all records so far.
pub(super) type ChainHash = [u8; CHAIN_BYTES];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OutboxRecord {
    State(OutboxState),
    /// The account continued without this outbox, and the outbox continues after that: its values
    /// up to `counted` count. Those above can never count under their old numbers, so they get the
    /// numbers after `state.confirmed`.
    Moved {
        counted: Sequence,
        state: OutboxState,
    },
    /// In the first format only: now the confirmed number is in states and in the file of marks.
    Confirmed(Sequence),
    Values {
        first_seq: Sequence,
        /// No value above this number was ever sent; a value of this record may be from now on.
        sent: Sequence,
        mark: InputMark,
        values: Vec<i64>,
    },
}

/// What a journal's bytes hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) owner: OutboxOwner,
    /// None in the first format.
    pub(super) salt: Option<Salt>,
    pub(super) records: Vec<OutboxRecord>,
    /// The length of the valid part in bytes. A torn record may follow it, which was never used.
    pub(super) length: usize,
    /// Where the last valid record begins.
    pub(super) last: usize,
    pub(super) chain: ChainHash,
}

/// Writes records, each chained to the one before.
#[derive(Clone, Debug)]
pub(super) struct JournalWriter {
    salt: Salt,
    chain: ChainHash,
}

/// The format of the file, which decides how records are framed.
#[derive(Clone, Copy, Debug)]
enum FormatVersion {
    First,
    Second(Salt),
}

/// A record whose checksums hold.
struct Whole<'a> {
    kind: u32,
    payload: &'a [u8],
    head: &'a [u8],
    chain: &'a [u8],
    bytes: usize,
}

impl JournalWriter {
    /// A new file: its first record.
    pub(super) fn begin(owner: &OutboxOwner, salt: Salt) -> (Self, Vec<u8>) {
        let payload =
            [&MAGIC[..], &salt, owner.key.as_bytes(), owner.server.to_string().as_bytes()].concat();
        let (bytes, chain) = frame(&[], &[0; CHAIN_BYTES], OWNER, &payload);
        (Self { salt, chain }, bytes)
    }

    /// Continues after the records that were read.
    pub(super) fn resume(salt: Salt, chain: ChainHash) -> Self {
        Self { salt, chain }
    }

    /// The record's bytes, and the writer to continue with once they are durable.
    pub(super) fn next(&self, record: &OutboxRecord) -> (Self, Vec<u8>) {
        let (kind, payload) = record.encode();
        let (bytes, chain) = frame(&self.salt, &self.chain, kind, &payload);
        (Self { salt: self.salt, chain }, bytes)
    }

    pub(super) fn salt(&self) -> &Salt {
        &self.salt
    }
}

/// A whole file that holds just this.
pub(super) fn image(
    owner: &OutboxOwner,
    salt: Salt,
    state: &OutboxState,
    values: &[i64],
) -> (JournalWriter, Vec<u8>) {
    let (mut writer, mut bytes) = JournalWriter::begin(owner, salt);
    let mut append = |record: &OutboxRecord| {
        let (next, more) = writer.next(record);
        writer = next;
        bytes.extend(more);
    };
    append(&OutboxRecord::State(state.clone()));
    let mut first = state.confirmed.get();
    for chunk in values.chunks(TAKE_MAX) {
        // The numbers of values that wait exist.
        let first_seq = Sequence::new(first.saturating_add(1));
        first = first.saturating_add(chunk.len() as u64);
        append(&OutboxRecord::Values {
            first_seq,
            sent: state.sent,
            mark: state.mark,
            values: chunk.to_vec(),
        });
    }
    if !values.is_empty() {
        // A record of values marks the input as open; the state after it restores what is true.
        append(&OutboxRecord::State(state.clone()));
    }
    (writer, bytes)
}

/// Reads the owner and all valid records. The error names the damage.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, String> {
    let (owner, version, mut chain, mut length) = first(bytes)?;
    let (mut records, mut last) = (Vec::new(), 0);
    while let Some(rest) = bytes.get(length..).filter(|rest| !rest.is_empty()) {
        let Some(whole) = version.whole(rest) else {
            version.is_torn(rest).map_err(|what| format!("the record at byte {length} {what}"))?;
            break;
        };
        let expected = match version {
            FormatVersion::First => chain,
            FormatVersion::Second(_) => chained(&chain, whole.head, whole.payload),
        };
        if matches!(version, FormatVersion::Second(_)) && expected != *whole.chain {
            if rest.len() == whole.bytes && is_torn_chain(whole.chain, &expected) {
                break;
            }
            return Err(format!("the record at byte {length} does not follow the one before it"));
        }
        chain = expected;
        let record = OutboxRecord::decode(version, whole.kind, whole.payload);
        records.push(record.ok_or(format!("the record at byte {length} makes no sense"))?);
        (last, length) = (length, length + whole.bytes);
    }
    let salt = match version {
        FormatVersion::First => None,
        FormatVersion::Second(salt) => Some(salt),
    };
    Ok(Contents { owner, salt, records, length, last, chain })
}

/// Reads the first record, which is never torn: the file is renamed when it is whole.
fn first(bytes: &[u8]) -> Result<(OutboxOwner, FormatVersion, ChainHash, usize), String> {
    let owned = |rest: &[u8]| {
        let (key, server) = rest.split_first_chunk()?;
        // Older versions kept the spelling that they were given.
        let server = std::str::from_utf8(server).ok()?.parse().ok()?;
        Some(OutboxOwner { key: PublicKey::new(key).ok()?, server })
    };
    let no_outbox = || "it is not an outbox".to_owned();
    // For its own record the salt is empty.
    let second = whole(&crc32fast::Hasher::new(), true, bytes).filter(|whole| whole.kind == OWNER);
    if let Some(whole) = second
        && let Some((salt, rest)) =
            whole.payload.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk)
    {
        let chain = chained(&[0; CHAIN_BYTES], whole.head, whole.payload);
        let owner = owned(rest).filter(|_| chain == *whole.chain).ok_or_else(no_outbox)?;
        return Ok((owner, FormatVersion::Second(*salt), chain, whole.bytes));
    }
    let whole = FormatVersion::First.whole(bytes).ok_or("its first record is broken")?;
    let rest = Some(whole.payload).filter(|_| whole.kind == OWNER);
    let owner =
        rest.and_then(|rest| owned(rest.strip_prefix(MAGIC_FIRST)?)).ok_or_else(no_outbox)?;
    Ok((owner, FormatVersion::First, [0; CHAIN_BYTES], whole.bytes))
}

impl FormatVersion {
    fn salted(&self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        if let Self::Second(salt) = self {
            hasher.update(salt);
        }
        hasher
    }

    /// The record that `bytes` begin with, if its checksums hold.
    fn whole<'a>(&self, bytes: &'a [u8]) -> Option<Whole<'a>> {
        whole(&self.salted(), matches!(self, Self::Second(_)), bytes)
    }

    /// Whether `rest`, which begins with a broken record, can be what a crash left of an unused
    /// record. The error says why not.
    fn is_torn(&self, rest: &[u8]) -> Result<(), &'static str> {
        let salted = self.salted();
        let is_second = matches!(self, Self::Second(_));
        let most = match self {
            Self::First => RECORD_BYTES_MAX + UNSYNCED_BYTES_MAX_FIRST,
            Self::Second(_) => RECORD_BYTES_MAX,
        };
        if rest.len() > most {
            return Err("is broken, and more than one record is behind it");
        }
        if is_second
            && head(&salted, rest).is_some_and(|(_, length)| length + FRAME_BYTES < rest.len())
        {
            return Err("is broken, and its end is not the file's");
        }
        let follows = (1..rest.len()).filter_map(|at| rest.get(at..));
        match follows.into_iter().any(|rest| whole(&salted, is_second, rest).is_some()) {
            true => Err("is broken, and a whole one is behind it"),
            false => Ok(()),
        }
    }
}

/// Whether a crash can have left this chain of the last record, which no checksum covers: some of
/// its bytes were not written, in a file that has its length already.
fn is_torn_chain(chain: &[u8], expected: &ChainHash) -> bool {
    chain.iter().zip(expected).all(|(found, expected)| found == expected || *found == 0)
}

/// Kind and length, if their checksum holds.
fn head(salted: &crc32fast::Hasher, bytes: &[u8]) -> Option<(u32, usize)> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (sum, _) = rest.split_first_chunk::<SUM_BYTES>()?;
    (summed(salted, &[head]) == *sum).then_some(())?;
    let (kind, length) = head.split_first_chunk()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    Some((u32::from_be_bytes(*kind), usize::try_from(length).ok()?))
}

fn whole<'a>(salted: &crc32fast::Hasher, is_second: bool, bytes: &'a [u8]) -> Option<Whole<'a>> {
    let (kind, length) = head(salted, bytes)?;
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let (payload, rest) = rest.get(SUM_BYTES..)?.split_at_checked(length)?;
    let (sum, rest) = rest.split_first_chunk::<SUM_BYTES>()?;
    let chain = rest.get(..if is_second { CHAIN_BYTES } else { 0 })?;
    let expected =
        if is_second { summed(salted, &[head, payload]) } else { summed(salted, &[payload]) };
    let bytes = HEAD_BYTES + 2 * SUM_BYTES + length + chain.len();
    (expected == *sum).then_some(Whole { kind, payload, head, chain, bytes })
}

fn summed(salted: &crc32fast::Hasher, parts: &[&[u8]]) -> [u8; SUM_BYTES] {
    let mut hasher = salted.clone();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_be_bytes()
}

fn chained(before: &ChainHash, head: &[u8], payload: &[u8]) -> ChainHash {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(before)
        .chain_update(head)
        .chain_update(payload)
        .finalize()
        .into();
    let mut chain = [0; CHAIN_BYTES];
    chain.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    chain
}

fn frame(salt: &[u8], before: &ChainHash, kind: u32, payload: &[u8]) -> (Vec<u8>, ChainHash) {
    #[allow(clippy::expect_used, reason = "a payload is shorter than the longest file")]
    let length = u32::try_from(payload.len()).expect("a payload is far below 2^32 bytes");
    let head = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    let mut salted = crc32fast::Hasher::new();
    salted.update(salt);
    let chain = chained(before, &head, payload);
    let sums = [summed(&salted, &[&head]), summed(&salted, &[&head, payload])];
    ([&head[..], &sums[0], payload, &sums[1], &chain].concat(), chain)
}

impl OutboxRecord {
    fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Self::State(state) => (STATE, encode_state(state)),
            Self::Moved { counted, state } => {
                (MOVED, [&counted.get().to_be_bytes()[..], &encode_state(state)].concat())
            }
            Self::Confirmed(last_seq) => (CONFIRMED, last_seq.get().to_be_bytes().to_vec()),
            Self::Values { first_seq, sent, mark, values } => {
                let mut payload = Vec::with_capacity(VALUES_FIXED_BYTES + 8 * values.len());
                payload.extend(first_seq.get().to_be_bytes());
                payload.extend(sent.get().to_be_bytes());
                payload.extend(encode_mark(mark));
                payload.extend(values.iter().flat_map(|value| value.to_be_bytes()));
                (VALUES, payload)
            }
        }
    }

    fn decode(version: FormatVersion, kind: u32, payload: &[u8]) -> Option<Self> {
        match (version, kind) {
            (FormatVersion::First, STATE) => decode_state_first(payload).map(Self::State),
            (FormatVersion::Second(_), STATE) => decode_state(payload).map(Self::State),
            (FormatVersion::Second(_), MOVED) => {
                let (counted, rest) = number(payload)?;
                let state = decode_state(rest)?;
                Some(Self::Moved { counted: Sequence::new(counted), state })
            }
            (FormatVersion::First, CONFIRMED) => {
                Some(Self::Confirmed(Sequence::new(u64::from_be_bytes(payload.try_into().ok()?))))
            }
            (_, VALUES) => {
                let (first_seq, rest) = number(payload)?;
                // The first format did not store how far it had sent: `Outbox::open` decides.
                let (sent, rest) = match version {
                    FormatVersion::First => (0, rest),
                    FormatVersion::Second(_) => number(rest)?,
                };
                let (mark, rest) = decode_mark(rest)?;
                let (values, rest) = rest.as_chunks();
                let values: Vec<_> = values.iter().copied().map(i64::from_be_bytes).collect();
                let (first_seq, sent) = (Sequence::new(first_seq), Sequence::new(sent));
                let fits = rest.is_empty() && values.len() <= TAKE_MAX;
                fits.then_some(Self::Values { first_seq, sent, mark, values })
            }
            (FormatVersion::First | FormatVersion::Second(_), _) => None,
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn encode_mark(mark: &InputMark) -> Vec<u8> {
    [&mark.lines.to_be_bytes()[..], &mark.digest].concat()
}

fn decode_mark(bytes: &[u8]) -> Option<(InputMark, &[u8])> {
    let (lines, rest) = number(bytes)?;
    let (digest, rest) = rest.split_first_chunk()?;
    Some((InputMark { lines, digest: *digest }, rest))
}

fn encode_state(state: &OutboxState) -> Vec<u8> {
    let mut bytes = encode_mark(&state.mark);
    bytes.extend([u8::from(state.input_open), u8::from(state.sum.is_some())]);
    bytes.extend(state.sum.map_or(0, Total::get).to_be_bytes());
    let numbers = [state.confirmed.get(), state.sent.get(), state.newest.get()].into_iter();
    let numbers = numbers.chain(state.own.iter().map(|session| session.get()));
    bytes.extend(numbers.flat_map(u64::to_be_bytes));
    bytes
}

fn decode_state(payload: &[u8]) -> Option<OutboxState> {
    let (mark, rest) = decode_mark(payload)?;
    let ([open, known], rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let sum = match known {
        0 => None,
        1 => Some(Total::new(i128::from_be_bytes(*sum))),
        _ => return None,
    };
    let (confirmed, rest) = number(rest)?;
    let (sent, rest) = number(rest)?;
    let (newest, own) = sessions(rest)?;
    let (confirmed, sent) = (Sequence::new(confirmed), Sequence::new(sent));
    Some(OutboxState { confirmed, sum, sent, newest, own, mark, input_open: flag(*open)? })
}

/// `mark || input is open u8 || confirmed u64 || newest u64 || own sessions, each u64`.
fn decode_state_first(payload: &[u8]) -> Option<OutboxState> {
    let (mark, rest) = decode_mark(payload)?;
    let ([open], rest) = rest.split_first_chunk()?;
    let (confirmed, rest) = number(rest)?;
    let (newest, own) = sessions(rest)?;
    let (confirmed, sent) = (Sequence::new(confirmed), Sequence::NONE);
    Some(OutboxState { confirmed, sum: None, sent, newest, own, mark, input_open: flag(*open)? })
}

fn sessions(bytes: &[u8]) -> Option<(SessionNumber, Vec<SessionNumber>)> {
    let (newest, rest) = number(bytes)?;
    let (own, rest) = rest.as_chunks();
    let own = own
        .iter()
        .copied()
        .map(|session| SessionNumber::new(u64::from_be_bytes(session)))
        .collect();
    rest.is_empty().then(|| (SessionNumber::new(newest), own))
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ddes_identity::SigningKey;

    use super::*;

    /// Versions before one name stood for one server wrote what was typed, in lower case.
    #[test]
    fn an_owner_of_the_old_spelling_is_the_same_server() {
        let key = SigningKey::from_seed(&[3; 32]).public();
        for (old, name) in [
            ("::1:5566", "[::1]:5566"),
            ("localhost:5566", "127.0.0.1:5566"),
            ("127.1:05566", "127.0.0.1:5566"),
            ("a.example.:1", "a.example:1"),
        ] {
            let salt = [7; 16];
            let payload = [&MAGIC[..], &salt, key.as_bytes(), old.as_bytes()].concat();
            let (bytes, _) = frame(&[], &[0; CHAIN_BYTES], OWNER, &payload);
            let owner = read(&bytes).map(|contents| contents.owner);
            assert_eq!(
                owner,
                name.parse().map(|server| OutboxOwner { key, server }).map_err(|_| String::new())
            );
        }
    }
}

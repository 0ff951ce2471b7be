//! An outbox's journal: any bytes, and a true one of which some bytes are changed.

use ddes_client::outbox::{OutboxOwner, inspect, journal_of};
use ddes_identity::SigningKey;

/// The first byte chooses. Odd: the rest is a journal, whatever it is. Even: a script of takings,
/// and what happens to the file then; whatever that is, the outbox holds a prefix of what it took
/// and says what is torn, or says that it is damaged; and only the last record can be torn.
pub fn outbox(data: &[u8]) {
    match data.split_first() {
        Some((choice, rest)) if choice % 2 == 1 => {
            if let Ok(found) = inspect(rest) {
                assert!(found.torn <= rest.len());
                // What was not torn says the same again.
                let again = inspect(&rest[..rest.len() - found.torn]).unwrap();
                assert_eq!((again.pending, again.torn), (found.pending, 0));
            }
        }
        Some((_, script)) => changed(script),
        None => {}
    }
}

fn changed(script: &[u8]) {
    let Some(([takings, kind, at @ ..], values)) = script.split_first_chunk::<5>() else { return };
    let size = 1 + usize::from(*takings) % 9;
    let values: Vec<i64> = values.iter().map(|byte| i64::from(byte.cast_signed())).collect();
    let groups: Vec<&[i64]> = values.chunks(size).collect();
    let owner = OutboxOwner {
        key: SigningKey::from_seed(&[3; 32]).public(),
        server: "a:1".parse().unwrap(),
    };
    let (mut bytes, ends) = journal_of(&owner, [7; 16], &groups);
    let whole = inspect(&bytes).unwrap();
    assert_eq!((whole.pending, whole.torn, whole.owner), (values.clone(), 0, owner));
    let at = usize::from(u16::from_be_bytes([at[0], at[1]])) * 3 % bytes.len();
    match kind % 3 {
        0 => bytes[at] ^= 1 << (kind / 3 % 8),
        1 => bytes.truncate(at),
        _ => bytes[at..].fill(0),
    }
    let last = ends[ends.len().saturating_sub(2)];
    match inspect(&bytes) {
        Ok(found) => {
            assert!(values.starts_with(&found.pending), "other values");
            let lost = values.len() - found.pending.len();
            let is_flip = kind % 3 == 0;
            assert!(
                !is_flip || lost <= size && (at >= last || lost == 0),
                "whole records are lost"
            );
        }
        Err(_) => assert!(kind % 3 != 1 || at < ends[0], "a file cut off is torn, and no more"),
    }
}

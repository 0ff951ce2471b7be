//! Records of one direction, opened with its key from Split on.

use ddes_cipher::{CipherKey, Function, KEY_BYTES, Key, TAG_BYTES};
use ddes_session::v2::record::REKEY_BLOCKS;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::work::{WorkBudget, of_trial};
use crate::opened::Epoch;

/// After a gap: the most records that are taken to be missing.
const SKIP_MAX: u64 = 1024;

/// The most trials of one direction, in all its gaps.
const TRIALS_MAX: u64 = 1 << 16;

/// The receiving side of one direction, which survives missing records.
pub(super) struct Records {
    function: Function,
    expanded: CipherKey,
    pub(super) epochs: Vec<Epoch>,
    /// The number of the next record, as far as is known.
    pub(super) next: u64,
    blocks: u64,
    trials: u64,
    /// A gap was passed since the last record that opened.
    is_behind_gap: bool,
}

/// A record that opened.
pub(super) struct OpenedRecord {
    pub(super) plaintext: Vec<u8>,
    pub(super) number: u64,
    pub(super) epoch: usize,
}

impl Records {
    pub(super) fn new(function: Function, key: &Key) -> Self {
        Self {
            function,
            expanded: function.key(key),
            epochs: vec![epoch(function, key.clone(), 0)],
            next: 0,
            blocks: 0,
            trials: 0,
            is_behind_gap: false,
        }
    }

    /// Records may be missing before the next one.
    pub(super) fn pass_gap(&mut self) {
        self.is_behind_gap = true;
    }

    /// Opens the next record: `header` and `body` of its frame. `None` if its tag is wrong.
    pub(super) fn open(
        &mut self,
        header: &[u8],
        body: &[u8],
        work: &mut WorkBudget,
    ) -> Option<OpenedRecord> {
        let (ciphertext, tag) = body.split_last_chunk::<TAG_BYTES>()?;
        let most = if self.is_behind_gap { SKIP_MAX } else { 0 };
        for skipped in 0..=most.min(TRIALS_MAX - self.trials) {
            let number = self.next.checked_add(skipped)?;
            if skipped > 0 && !work.pay(of_trial(body.len())) {
                return None;
            }
            let mut text = ciphertext.to_vec();
            self.trials += u64::from(skipped > 0);
            if self.expanded.open(number, header, &mut text, tag).is_ok() {
                let epoch = self.epochs.len() - 1;
                self.count(number, text.len());
                self.is_behind_gap = false;
                return Some(OpenedRecord { plaintext: text, number, epoch });
            }
        }
        None
    }

    /// As both ends count: the record that reaches the bound is the last under its key.
    fn count(&mut self, number: u64, bytes: usize) {
        self.next = number + 1;
        self.blocks += bytes.div_ceil(8) as u64;
        if self.blocks >= REKEY_BLOCKS
            && let Some(last) = self.epochs.last()
        {
            let key = self.function.rekey(&last.key);
            self.expanded = self.function.key(&key);
            self.epochs.push(epoch(self.function, key, self.next));
            self.blocks = 0;
        }
    }
}

/// A key, and what the cipher function expands it to (rules P-05 and P-06).
fn epoch(function: Function, key: Key, first_record: u64) -> Epoch {
    // The shorter output of HKDF begins the longer one: DDES has no use for the rest of it.
    let mut okm = Zeroizing::new([0; 16 + 2 * KEY_BYTES]);
    let info = match function {
        Function::Ddes => &b"D-DDES/2 DDES"[..],
        Function::DdesChaCha => &b"D-DDES/2 DDESChaCha"[..],
    };
    expand(&key, info, &mut okm[..]);
    let (key1, key2) = ddes_cipher::key_pair(part::<0, 8>(&okm), part::<8, 8>(&okm));
    Epoch {
        first_record,
        key,
        key1: Zeroizing::new(*key1.as_bytes()),
        key2: Zeroizing::new(*key2.as_bytes()),
        mac_key: Zeroizing::new(part::<16, KEY_BYTES>(&okm)),
        chacha_key: match function {
            Function::Ddes => None,
            Function::DdesChaCha => Some(Zeroizing::new(part::<48, KEY_BYTES>(&okm))),
        },
    }
}

#[allow(clippy::expect_used, reason = "RFC 5869 gives up to 8160 bytes; these are 80 at most")]
fn expand(key: &Key, info: &[u8], okm: &mut [u8]) {
    let hkdf = Hkdf::<Sha256>::from_prk(key.as_ref()).expect("a key as long as the hash");
    hkdf.expand(info, okm).expect("an output far below the bound");
}

/// The `N` bytes from `AT` on; the compiler checks that they lie inside.
fn part<const AT: usize, const N: usize>(whole: &[u8; 80]) -> [u8; N] {
    const { assert!(AT + N <= 80) };
    std::array::from_fn(|i| whole[AT + i])
}

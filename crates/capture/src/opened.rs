//! What secrets give: the keys of a session, and every value on the way to them.

use ddes_session::v2::noise::HandshakeStep;
use ddes_wire::v2::Suite;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The keys of a conversation whose secrets fit. Wiped on drop, never printed by `Debug`.
pub enum OpenedKeys {
    /// A session of the original's wire.
    Classic(Box<OpenedClassic>),
    /// A session of D-DDES/2.
    V2(Box<OpenedV2>),
}

/// Rule C-09, step by step.
///
/// ```text
/// shared = Y^x mod p                                       as long as p
/// prk    = HMAC-SHA256(32 zero bytes, shared)              HKDF-Extract without a salt (RFC 5869)
/// okm    = HMAC-SHA256(prk, "handshake data" ‖ 01)[0..16]  HKDF-Expand
/// Key1   = okm[0..8]   Key2 = okm[8..16]                   parity bits as they come
/// ```
pub struct OpenedClassic {
    /// The shared value; `None` if only the keys are known.
    pub shared: Option<Zeroizing<Vec<u8>>>,
    /// HKDF's pseudorandom key; `None` if only the keys are known.
    pub prk: Option<Zeroizing<[u8; 32]>>,
    /// Key1 ‖ Key2.
    pub okm: Zeroizing<[u8; 16]>,
    /// The first DES key, and the only one of opcode 20.
    pub key1: Zeroizing<[u8; 8]>,
    /// The second DES key, and the key of every HMAC.
    pub key2: Zeroizing<[u8; 8]>,
    /// The token of the 20; `None` if the capture does not hold it.
    pub token: Option<Zeroizing<[u8; 16]>>,
}

/// The Noise handshake, and the keys of the records.
pub struct OpenedV2 {
    /// The suite of message 1; `None` if the capture does not hold it.
    pub suite: Option<Suite>,
    /// The handshake in the order of its steps, each with `h`, `ck` and `k` after it; empty if only
    /// the keys of the records are known.
    pub steps: Vec<HandshakeStep>,
    /// The handshake hash, which both signatures cover; `None` if only the keys are known.
    pub hash: Option<[u8; 32]>,
    /// The keys of the records to the server: the first, and one more for each rekey.
    pub to_server: Vec<Epoch>,
    /// The keys of the records to the client.
    pub to_client: Vec<Epoch>,
    /// The token of the 20; `None` if the capture does not hold it.
    pub token: Option<Zeroizing<[u8; 16]>>,
}

/// One key of one direction, and what the cipher function makes of it.
///
/// ```text
/// okm = HKDF-Expand-SHA256(k, "D-DDES/2 DDESChaCha", 80)
///     = Key1 8 ‖ Key2 8 ‖ MacKey 32 ‖ ChaChaKey 32
/// ```
pub struct Epoch {
    /// The number of the first record under it.
    pub first_record: u64,
    /// The 32 bytes of Split or REKEY.
    pub key: Zeroizing<[u8; 32]>,
    /// Key1, parity odd, not weak (rule P-06).
    pub key1: Zeroizing<[u8; 8]>,
    /// Key2, parity odd, not weak, other than Key1.
    pub key2: Zeroizing<[u8; 8]>,
    /// The key of the tags.
    pub mac_key: Zeroizing<[u8; 32]>,
    /// The key of ChaCha20; `None` in the suites `ddes`.
    pub chacha_key: Option<Zeroizing<[u8; 32]>>,
}

impl ZeroizeOnDrop for OpenedKeys {}

macro_rules! silent {
    ($($name:ident),*) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })*
    };
}

silent!(OpenedKeys, OpenedClassic, OpenedV2, Epoch);

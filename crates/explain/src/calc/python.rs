//! The line of Python that gives the same result: the standard library where it suffices, else the
//! libraries of the Python peer, or the peer itself.

use ddes_cipher::Function;
use ddes_wire::shown::hex;

use super::{Calculation, DhGroup, HkdfExpansion, KemKey};

/// A line for a shell, run in the folder of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The program, one line.
    pub code: String,
    /// Whether it uses the Python peer, which is in the folder `peer`.
    pub uses_peer: bool,
    /// How many of the results it prints, counted from the last.
    pub results: usize,
}

impl Python {
    /// The whole line, for a shell.
    pub fn command(&self) -> String {
        let path = if self.uses_peer { "PYTHONPATH=peer " } else { "" };
        format!("{path}python3 -c '{}'", self.code)
    }
}

impl Calculation {
    /// A line of Python that prints the results as `ddes calc -q` does.
    pub fn python(&self) -> Python {
        let (code, results) = self.program();
        let uses_peer = code.contains("from ddes2");
        Python { code, uses_peer, results }
    }

    fn program(&self) -> (String, usize) {
        let one = |code| (code, 1);
        match self {
            Self::Dh { group, private, peer } => one(dh(group, private, peer.as_deref())),
            Self::Hkdf { salt, ikm, expand } => {
                let salt = salt.as_ref().map_or_else(|| "bytes(32)".to_owned(), |salt| b(salt));
                one(hkdf(&hmac(&salt, &b(ikm)), expand.as_ref()))
            }
            Self::HkdfExpand { prk, expand } => one(hkdf(&b(prk), Some(expand))),
            Self::Hmac { key, input } => {
                one(format!("import hmac; print({}.hex())", hmac(&b(key), &b(input))))
            }
            Self::Des { key, input, decrypt, pad, .. } => one(ecb(&[key], input, *decrypt, *pad)),
            Self::Ddes { key1, key2, input, decrypt, pad } => {
                one(ecb(&[key1, key2], input, *decrypt, *pad))
            }
            Self::Counter { key1, key2, n, length } => one(counter(key1, key2, *n, *length)),
            Self::KeyPair { key1, key2 } => (
                format!(
                    "from ddes2.function import key_pair; \
                     print(*(key.hex() for key in key_pair({}, {})), sep=\"\\n\")",
                    b(key1),
                    b(key2)
                ),
                2,
            ),
            Self::Keys { function, key } => keys(*function, key),
            Self::Seal { function, key, n, ad, input } => {
                one(record(*function, key, &format!("seal({n}, {}, {})", b(ad), b(input))))
            }
            Self::Open { function, key, n, ad, input } => {
                one(record(*function, key, &format!("open({n}, {}, {})", b(ad), b(input))))
            }
            Self::Rekey { key } => {
                let expand = HkdfExpansion { info: b"D-DDES/2 rekey".to_vec(), length: 32 };
                one(hkdf(&b(key), Some(&expand)))
            }
            Self::NoiseStart { name, prologue } => (start(name, prologue), 2),
            Self::MixHash { h, data } => one(format!(
                "import hashlib; print(hashlib.sha256({} + {}).hexdigest())",
                b(h),
                b(data)
            )),
            Self::MixKey { ck, input } => (two(ck, input), 2),
            Self::NoiseSplit { ck } => (two(ck, &[]), 2),
            Self::KemGenerate { seed } => one(format!(
                "{KEM}; print({}.public_key().public_bytes_raw().hex())",
                kem_key(seed)
            )),
            Self::KemEncapsulate { ek, m } => one(encapsulate(ek, m)),
            Self::KemDecapsulate { key, ciphertext } => one(decapsulate(key, ciphertext)),
            Self::Ed25519 { public, message, signature } => {
                one(verify(public, &b(message), signature))
            }
            Self::SshSig { namespace, public, message, signature } => one(format!(
                "from ddes2.handshake import signed_data; {}",
                verify(
                    public,
                    &format!("signed_data(b\"{}\", {})", namespace.as_str(), b(message)),
                    signature
                )
            )),
        }
    }
}

/// An expression for bytes.
fn b(bytes: &[u8]) -> String {
    match bytes {
        [] => "b\"\"".to_owned(),
        bytes => format!("bytes.fromhex(\"{}\")", hex(bytes)),
    }
}

fn hmac(key: &str, message: &str) -> String {
    format!("hmac.digest({key}, {message}, \"sha256\")")
}

fn dh(group: &DhGroup, private: &[u8], peer: Option<&[u8]>) -> String {
    let (p, g) = group.numbers();
    let base = peer.unwrap_or(&g);
    format!(
        "print(pow(0x{}, 0x{}, 0x{}).to_bytes({}, \"big\").hex())",
        hex(base),
        hex(private),
        hex(&p),
        p.len()
    )
}

fn hkdf(prk: &str, expand: Option<&HkdfExpansion>) -> String {
    let Some(HkdfExpansion { info, length }) = expand else {
        return format!("import hmac; print({prk}.hex())");
    };
    if *length <= 32 {
        let message = format!("{} + b\"\\x01\"", b(info));
        return format!("import hmac; print({}[:{length}].hex())", hmac(prk, &message));
    }
    format!(
        "import hmac; from cryptography.hazmat.primitives.hashes import SHA256; \
         from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand; \
         print(HKDFExpand(SHA256(), {length}, {}).derive({prk}).hex())",
        b(info)
    )
}

fn ecb(keys: &[&Vec<u8>], input: &[u8], decrypt: bool, pad: bool) -> String {
    let des = |key: &Vec<u8>| format!("DES.new({}, DES.MODE_ECB)", b(key));
    let mut text = b(input);
    if pad && !decrypt {
        text = format!("pad({text}, 8)");
    }
    if decrypt {
        text = keys.iter().rev().fold(text, |text, key| format!("{}.decrypt({text})", des(key)));
    } else {
        text = keys.iter().fold(text, |text, key| format!("{}.encrypt({text})", des(key)));
    }
    if pad && decrypt {
        text = format!("unpad({text}, 8)");
    }
    let padding = match (pad, decrypt) {
        (false, _) => "",
        (true, false) => " from Crypto.Util.Padding import pad;",
        (true, true) => " from Crypto.Util.Padding import unpad;",
    };
    format!("from Crypto.Cipher import DES;{padding} print({text}.hex())")
}

fn counter(key1: &[u8], key2: &[u8], n: u64, length: usize) -> String {
    format!(
        "from Crypto.Cipher import DES; \
         blocks = b\"\".join(({n} << 16 | i).to_bytes(8, \"big\") for i in range({})); \
         print(DES.new({}, DES.MODE_ECB).encrypt(DES.new({}, DES.MODE_ECB).encrypt(blocks))\
         [:{length}].hex())",
        length.div_ceil(8),
        b(key2),
        b(key1)
    )
}

fn function(function: Function, key: &[u8]) -> String {
    let is_hybrid = match function {
        Function::Ddes => "False",
        Function::DdesChaCha => "True",
    };
    format!("Function({is_hybrid}, {})", b(key))
}

fn keys(which: Function, key: &[u8]) -> (String, usize) {
    let (chacha, count) = match which {
        Function::Ddes => ("", 3),
        Function::DdesChaCha => (", f.chacha_key", 4),
    };
    let code = format!(
        "from ddes2.function import Function; f = {}; \
         print(*(key.hex() for key in (f.key1, f.key2, f.mac_key{chacha})), sep=\"\\n\")",
        function(which, key)
    );
    (code, count)
}

fn record(which: Function, key: &[u8], call: &str) -> String {
    format!("from ddes2.function import Function; print({}.{call}.hex())", function(which, key))
}

fn start(name: &[u8], prologue: &[u8]) -> String {
    let ck = if name.len() > 32 {
        format!("hashlib.sha256({}).digest()", b(name))
    } else {
        format!("{}.ljust(32, bytes(1))", b(name))
    };
    format!(
        "import hashlib; ck = {ck}; print(ck.hex(), \
         hashlib.sha256(ck + {}).hexdigest(), sep=\"\\n\")",
        b(prologue)
    )
}

fn two(ck: &[u8], input: &[u8]) -> String {
    format!(
        "import hmac; t = {}; first = {}; print(first.hex(), {}.hex(), sep=\"\\n\")",
        hmac(&b(ck), &b(input)),
        hmac("t", "b\"\\x01\""),
        hmac("t", "first + b\"\\x02\"")
    )
}

fn verify(public: &[u8], message: &str, signature: &[u8]) -> String {
    format!(
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key; \
         Key.from_public_bytes({}).verify({}, {message}); print(\"good\")",
        b(public),
        b(signature)
    )
}

const KEM: &str = "from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey";

fn kem_key(seed: &[u8]) -> String {
    format!("MLKEM768PrivateKey.from_seed_bytes({})", b(seed))
}

/// Of an encapsulation with a given m only the secret, by its hash: cryptography draws m itself.
fn encapsulate(ek: &[u8], m: &[u8]) -> String {
    format!(
        "from hashlib import sha3_256, sha3_512; \
         print(sha3_512({} + sha3_256({}).digest()).digest()[:32].hex())",
        b(m),
        b(ek)
    )
}

fn decapsulate(key: &KemKey, ciphertext: &[u8]) -> String {
    match key {
        KemKey::Seed(seed) => {
            format!("{KEM}; print({}.decapsulate({}).hex())", kem_key(seed), b(ciphertext))
        }
        KemKey::Whole(_) => {
            "raise SystemExit(\"cryptography takes a key as its seed only\")".to_owned()
        }
    }
}

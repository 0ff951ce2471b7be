//! The inputs of a calculation by name, and the line of `ddes calc` that has them.

use ddes_cipher::Function;
use ddes_wire::shown::hex;

use super::{Calculation, DhGroup, HkdfExpansion, KemKey, Value};

/// An input: the flag that gives it to `ddes calc`, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// `None`: the flag stands alone.
    pub value: Option<Value>,
}

impl Calculation {
    /// The words behind `ddes calc`.
    pub fn verb(&self) -> &'static [&'static str] {
        match self {
            Self::Dh { .. } => &["dh"],
            Self::Hkdf { .. } | Self::HkdfExpand { .. } => &["hkdf"],
            Self::Hmac { .. } => &["hmac"],
            Self::Des { .. } => &["des"],
            Self::Ddes { .. } => &["ddes"],
            Self::Counter { .. } => &["counter"],
            Self::KeyPair { .. } => &["key-pair"],
            Self::Keys { .. } => &["keys"],
            Self::Seal { .. } => &["seal"],
            Self::Open { .. } => &["open"],
            Self::Rekey { .. } => &["rekey"],
            Self::NoiseStart { .. } => &["noise", "start"],
            Self::MixHash { .. } => &["noise", "mix-hash"],
            Self::MixKey { .. } => &["noise", "mix-key"],
            Self::NoiseSplit { .. } => &["noise", "split"],
            Self::KemGenerate { .. } => &["ml-kem", "keygen"],
            Self::KemEncapsulate { .. } => &["ml-kem", "encapsulate"],
            Self::KemDecapsulate { .. } => &["ml-kem", "decapsulate"],
            Self::Ed25519 { .. } => &["ed25519"],
            Self::SshSig { .. } => &["sshsig"],
        }
    }

    /// The inputs, in order.
    pub fn arguments(&self) -> Vec<Argument> {
        match self {
            Self::Dh { group, private, peer } => of_dh(group, private, peer.as_deref()),
            Self::Hkdf { salt, ikm, expand } => {
                let salt = salt.as_ref().map(|salt| bytes("salt", salt));
                let expand = expand.iter().flat_map(of_expansion);
                [bytes("ikm", ikm)].into_iter().chain(salt).chain(expand).collect()
            }
            Self::HkdfExpand { prk, expand } => {
                [bytes("prk", prk)].into_iter().chain(of_expansion(expand)).collect()
            }
            Self::Hmac { key, input } => vec![bytes("key", key), bytes("in", input)],
            Self::Des { key, input, decrypt, pad, rounds } => {
                let flags = [("decrypt", *decrypt), ("pad", *pad), ("rounds", *rounds)];
                with_flags(vec![bytes("key", key), bytes("in", input)], &flags)
            }
            Self::Ddes { key1, key2, input, decrypt, pad } => {
                let inputs = vec![bytes("key1", key1), bytes("key2", key2), bytes("in", input)];
                with_flags(inputs, &[("decrypt", *decrypt), ("pad", *pad)])
            }
            Self::Counter { key1, key2, n, length } => {
                let (n, length) = (number("n", *n), number("length", *length as u64));
                vec![bytes("key1", key1), bytes("key2", key2), n, length]
            }
            Self::KeyPair { key1, key2 } => vec![bytes("key1", key1), bytes("key2", key2)],
            Self::Keys { function, key } => vec![of_function(*function), bytes("key", key)],
            Self::Seal { function, key, n, ad, input }
            | Self::Open { function, key, n, ad, input } => vec![
                of_function(*function),
                bytes("key", key),
                number("n", *n),
                bytes("ad", ad),
                bytes("in", input),
            ],
            Self::Rekey { key } => vec![bytes("key", key)],
            Self::NoiseStart { name, prologue } => {
                vec![text("name", name), bytes("prologue", prologue)]
            }
            Self::MixHash { h, data } => vec![bytes("h", h), bytes("data", data)],
            Self::MixKey { ck, input } => vec![bytes("ck", ck), bytes("in", input)],
            Self::NoiseSplit { ck } => vec![bytes("ck", ck)],
            Self::KemGenerate { seed } => vec![bytes("seed", seed)],
            Self::KemEncapsulate { ek, m } => vec![bytes("ek", ek), bytes("m", m)],
            Self::KemDecapsulate { key, ciphertext } => {
                let key = match key {
                    KemKey::Seed(seed) => bytes("seed", seed),
                    KemKey::Whole(dk) => bytes("dk", dk),
                };
                vec![key, bytes("ciphertext", ciphertext)]
            }
            Self::Ed25519 { public, message, signature } => {
                let signature = bytes("signature", signature);
                vec![bytes("public", public), bytes("message", message), signature]
            }
            Self::SshSig { namespace, public, message, signature } => vec![
                word("namespace", namespace.as_str()),
                bytes("public", public),
                bytes("message", message),
                bytes("signature", signature),
            ],
        }
    }

    /// The whole line, for a shell.
    pub fn command(&self) -> String {
        let mut line = format!("ddes calc {}", self.verb().join(" "));
        for Argument { flag, value } in self.arguments() {
            line.push_str(" --");
            line.push_str(flag);
            if let Some(value) = value {
                line.push(' ');
                line.push_str(&for_shell(&value));
            }
        }
        line
    }
}

fn of_dh(group: &DhGroup, private: &[u8], peer: Option<&[u8]>) -> Vec<Argument> {
    let mut inputs = match group {
        DhGroup::Named(name) => vec![word("group", name.name())],
        DhGroup::Given { p, g } => vec![bytes("p", p), bytes("g", g)],
    };
    inputs.push(bytes("private", private));
    inputs.extend(peer.map(|peer| bytes("peer", peer)));
    inputs
}

fn of_expansion(expand: &HkdfExpansion) -> [Argument; 2] {
    [text("info", &expand.info), number("length", expand.length as u64)]
}

/// The name of a cipher function on the command line.
pub(super) fn function_name(function: Function) -> &'static str {
    match function {
        Function::Ddes => "ddes",
        Function::DdesChaCha => "ddeschacha",
    }
}

fn of_function(function: Function) -> Argument {
    word("function", function_name(function))
}

fn bytes(flag: &'static str, bytes: &[u8]) -> Argument {
    Argument { flag, value: Some(Value::Bytes(bytes.to_vec())) }
}

/// A text if a shell and a reader take it as one, else bytes.
fn text(flag: &'static str, bytes: &[u8]) -> Argument {
    let is_text = !bytes.is_empty()
        && bytes.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'\'');
    let (text, value) = (Value::Text(bytes.to_vec()), Value::Bytes(bytes.to_vec()));
    Argument { flag, value: Some(if is_text { text } else { value }) }
}

fn number(flag: &'static str, number: u64) -> Argument {
    Argument { flag, value: Some(Value::Number(number)) }
}

fn word(flag: &'static str, word: &'static str) -> Argument {
    Argument { flag, value: Some(Value::Word(word)) }
}

fn with_flags(mut inputs: Vec<Argument>, flags: &[(&'static str, bool)]) -> Vec<Argument> {
    let set = flags.iter().filter(|(_, is_set)| *is_set);
    inputs.extend(set.map(|(flag, _)| Argument { flag, value: None }));
    inputs
}

fn for_shell(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) if bytes.is_empty() => "''".to_owned(),
        Value::Bytes(bytes) => hex(bytes),
        Value::Text(bytes) => format!("'text:{}'", String::from_utf8_lossy(bytes)),
        Value::Number(_) | Value::Word(_) => value.plain(),
    }
}

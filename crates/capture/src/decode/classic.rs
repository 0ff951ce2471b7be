//! The original's wire: keys in PEM, the token, integers and sums.

use std::collections::VecDeque;

use ddes_cipher::{DesKey, DoubleDes, ecb};
use ddes_wire::classic::{self, AggregateResult, Data, DhPublicKey, text};
use ddes_wire::frame::Opcode;
use ddes_wire::schema::Wire;
use ddes_wire::shown::hex;
use ddes_wire::{Amount, Total};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{check, in_range, plain};
use crate::conversation::{Check, Conversation, Direction, Field, FieldValue, Frame, Plain, What};
use crate::opened::OpenedClassic;

/// Reads the public keys of both 10s, which everybody sees.
pub(super) fn read_keys(conversation: &mut Conversation) {
    let mut server: Option<DhPublicKey> = None;
    for frame in &mut conversation.frames {
        if frame.opcode != Opcode::KeyVerification.number() {
            continue;
        }
        let key = match DhPublicKey::from_pem(frame.body()) {
            Ok(key) => key,
            Err(error) => {
                frame.checks.push(check(What::Encoding, "C-06", false, error.to_string()));
                continue;
            }
        };
        let (rule, is_valid) = ("C-08", in_range(&key.public, &key.prime));
        let detail = if is_valid { "in 2..p-2" } else { "not in 2..p-2" };
        frame.checks.push(check(What::PublicValue, rule, is_valid, detail));
        if let Some(server) = &server {
            let is_same = (&server.prime, &server.generator) == (&key.prime, &key.generator);
            let detail = if is_same { "in the server's group" } else { "in another group" };
            frame.checks.push(check(What::PublicValue, "C-07", is_same, detail));
        }
        frame.der = der(frame.body(), &key);
        server.get_or_insert(key);
    }
}

/// The DER inside the PEM text, and where its numbers are.
fn der(pem: &[u8], key: &DhPublicKey) -> Option<Plain> {
    let bytes = classic::der_of_pem(pem).ok()?;
    let numbers = [
        ("prime", &key.prime, "p, the prime modulus of the group"),
        ("generator", &key.generator, "g, the generator of the group"),
        ("public", &key.public, "the sender's public value, g to its secret exponent modulo p"),
    ];
    let mut at = 0;
    let mut fields = Vec::new();
    for (name, number, meaning) in numbers {
        // They come in this order; a generator of one byte is looked for behind the prime.
        let tail = bytes.get(at..)?;
        let found = tail.windows(number.len().max(1)).position(|window| window == &number[..])?;
        let range = at + found..at + found + number.len();
        at = range.end;
        fields.push(Field { name, range, value: FieldValue::Bytes, meaning });
    }
    Some(Plain { bytes, fields, record: None, epoch: 0 })
}

/// The keys of a session as the frames need them.
struct FrameKeys {
    token: DoubleDes,
    traffic: DoubleDes,
    mac: DesKey,
}

impl FrameKeys {
    fn of(opened: &OpenedClassic) -> Self {
        let (key1, key2) = (DesKey::new(*opened.key1), DesKey::new(*opened.key2));
        Self {
            token: DoubleDes::new(&key1, &key1),
            traffic: DoubleDes::new(&key1, &key2),
            mac: key2,
        }
    }

    /// `HMAC-SHA256(Key2, covered)`.
    #[allow(clippy::expect_used, reason = "HMAC is defined for every key length")]
    fn hmac(&self, covered: &[u8]) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(self.mac.as_bytes()).expect("any length is a key");
        mac.chain_update(covered).finalize().into_bytes().into()
    }

    fn check_hmac(&self, rule: &'static str, covered: &[u8], stated: &[u8; 32]) -> Check {
        let computed = self.hmac(covered);
        let passed = bool::from(computed.ct_eq(stated));
        let detail = if passed {
            format!("HMAC-SHA256(Key2, {} bytes)", covered.len())
        } else {
            format!("computed {}, stated {}", hex(&computed), hex(stated))
        };
        check(What::Hmac, rule, passed, detail)
    }
}

/// The token inside a 20, if the keys are those of the session: the padding and its length say so.
pub(super) fn token(opened: &OpenedClassic, body: &[u8]) -> Option<Zeroizing<[u8; 16]>> {
    let plaintext = Zeroizing::new(ecb::open(&FrameKeys::of(opened).token, body).ok()?);
    <[u8; 16]>::try_from(&plaintext[..]).ok().map(Zeroizing::new)
}

/// Whether the keys are those of the session, by the first frame that can tell.
pub(super) fn fits(opened: &OpenedClassic, frames: &[Frame]) -> Option<bool> {
    let keys = FrameKeys::of(opened);
    frames.iter().find_map(|frame| {
        let body = frame.body();
        match (Opcode::from_number(frame.opcode)?, frame.direction) {
            (Opcode::SessionToken, Direction::ToClient) => Some(token(opened, body).is_some()),
            (Opcode::EncryptedData, Direction::ToServer) => {
                let data = Data::decode(body)?;
                Some(bool::from(keys.hmac(data.authenticated).ct_eq(data.hmac)))
            }
            (Opcode::EncryptedResult, Direction::ToClient) => {
                let result = AggregateResult::decode(body)?;
                Some(bool::from(keys.hmac(result.ciphertext).ct_eq(result.hmac)))
            }
            (
                Opcode::KeyVerification
                | Opcode::SessionToken
                | Opcode::EncryptedData
                | Opcode::EncryptedResult
                | Opcode::Disconnect,
                Direction::ToServer | Direction::ToClient,
            ) => None,
        }
    })
}

/// The state of a session as its server has it.
struct ClassicAccount {
    /// Authentic integers that are not answered yet; `None` for one with wrong padding.
    waiting: VecDeque<Option<Amount>>,
    /// The sum, if no frame of the session is missing so far.
    sum: Option<Total>,
}

/// Decrypts and checks every frame.
pub(super) fn decrypt(conversation: &mut Conversation, opened: &mut OpenedClassic) {
    let keys = FrameKeys::of(opened);
    let is_complete = conversation.notes.is_empty();
    let mut account =
        ClassicAccount { waiting: VecDeque::new(), sum: is_complete.then_some(Total::ZERO) };
    for frame in &mut conversation.frames {
        match (Opcode::from_number(frame.opcode), frame.direction) {
            (Some(Opcode::SessionToken), Direction::ToClient) => {
                open_token(&keys, frame, opened);
            }
            (Some(Opcode::EncryptedData), Direction::ToServer) => {
                open_data(&keys, frame, opened, &mut account);
            }
            (Some(Opcode::EncryptedData), Direction::ToClient) => {
                account.acknowledge(frame.body());
            }
            (Some(Opcode::EncryptedResult), Direction::ToClient) => {
                open_result(&keys, frame, &account);
            }
            (
                Some(
                    Opcode::KeyVerification
                    | Opcode::SessionToken
                    | Opcode::EncryptedResult
                    | Opcode::Disconnect,
                )
                | None,
                Direction::ToServer | Direction::ToClient,
            ) => {}
        }
    }
}

fn open_token(keys: &FrameKeys, frame: &mut Frame, opened: &mut OpenedClassic) {
    match ecb::open(&keys.token, frame.body()) {
        Ok(plaintext) => {
            frame.checks.push(padding(true));
            let length = plaintext.len();
            if let Ok(token) = <[u8; 16]>::try_from(&plaintext[..]) {
                opened.token.get_or_insert(Zeroizing::new(token));
            }
            let detail = format!("a token of {length} bytes");
            frame.checks.push(check(What::Token, "C-10", length == 16, detail));
            frame.plain = plain(Wire::Classic, frame, plaintext, None, 0);
        }
        Err(_) => frame.checks.push(padding(false)),
    }
}

fn open_data(
    keys: &FrameKeys,
    frame: &mut Frame,
    opened: &OpenedClassic,
    account: &mut ClassicAccount,
) {
    let Some(data) = Data::decode(frame.body()) else {
        let what = "shorter than a token and an HMAC";
        return frame.checks.push(check(What::Length, "C-11", false, what));
    };
    let mut checks = Vec::new();
    if let Some(token) = &opened.token {
        let passed = bool::from(data.token.ct_eq(token.as_ref()));
        let detail = if passed { "that of the 20" } else { "another than that of the 20" };
        checks.push(check(What::Token, "C-12", passed, detail));
    }
    checks.push(keys.check_hmac("C-13", data.authenticated, data.hmac));
    let is_authentic = checks.iter().all(|check| check.passed);
    let plaintext = ecb::open(&keys.traffic, data.ciphertext).ok();
    checks.push(padding(plaintext.is_some()));
    if is_authentic {
        account.waiting.push_back(plaintext.as_deref().map(classic::amount));
    }
    if let Some(plaintext) = plaintext {
        frame.plain = plain(Wire::Classic, frame, plaintext, None, 0);
    }
    frame.checks.append(&mut checks);
}

fn open_result(keys: &FrameKeys, frame: &mut Frame, account: &ClassicAccount) {
    let Some(result) = AggregateResult::decode(frame.body()) else {
        let what = "shorter than an HMAC";
        return frame.checks.push(check(What::Length, "C-15", false, what));
    };
    let mut checks = vec![keys.check_hmac("C-15", result.ciphertext, result.hmac)];
    match ecb::open(&keys.traffic, result.ciphertext) {
        Ok(plaintext) => {
            checks.push(padding(true));
            let stated = classic::total(&plaintext);
            if stated.is_none() {
                checks.push(check(What::Encoding, "C-15", false, "no decimal number"));
            }
            if let (Some(stated), Some(sum)) = (stated, account.sum) {
                let passed = stated == sum;
                let detail = if passed {
                    format!("the sum of the counted integers, {sum}")
                } else {
                    format!("{stated} stated, the counted integers sum to {sum}")
                };
                checks.push(check(What::Sum, "C-15", passed, detail));
            }
            frame.plain = plain(Wire::Classic, frame, plaintext, None, 0);
        }
        Err(_) => checks.push(padding(false)),
    }
    frame.checks.append(&mut checks);
}

impl ClassicAccount {
    /// The server says that it counted the oldest integer, or discarded it.
    fn acknowledge(&mut self, body: &[u8]) {
        let Some(amount) = self.waiting.pop_front() else { return };
        if body == text::RECEIVED.as_bytes() {
            self.sum = self.sum.zip(amount).and_then(|(sum, amount)| sum.plus(amount).ok());
        }
    }
}

fn padding(passed: bool) -> Check {
    let detail = if passed { "whole blocks, PKCS#7" } else { "no whole blocks, or no PKCS#7" };
    check(What::Padding, "C-14", passed, detail)
}

//! The handshake of suite `ddes` against clatter's implementation of Noise, in both roles: its
//! pattern, hash and key schedule, our DH and cipher functions (P-02). Its hybrid pattern is not
//! the hfs extension, so the suite `hybrid` has the Python peer for that.

use clatter::bytearray::{ByteArray, HeapArray};
use clatter::crypto::hash::Sha256;
use clatter::error::{CipherError, CipherResult, DhResult};
use clatter::handshakepattern::noise_nn;
use clatter::traits::{Cipher, CryptoComponent, Dh, Handshaker, Rng};
use clatter::{KeyPair, NqHandshake};
use ddes_cipher::{Function, KEY_BYTES, TAG_BYTES};
use ddes_session::v2::noise::{Dh as _, Initiator, respond};
use ddes_session::v2::{Ffdhe, prologue, protocol};

use crate::world::{SUITE, entropy};

#[derive(Clone)]
struct Group;

impl CryptoComponent for Group {
    fn name() -> &'static str {
        "FFDHE2048"
    }
}

fn group() -> Ffdhe {
    protocol(SUITE).dh
}

impl Dh for Group {
    /// What the exponent is made of.
    type PrivateKey = HeapArray<64>;
    type PubKey = HeapArray<256>;
    type Output = HeapArray<256>;

    fn genkey_rng<R: Rng>(_: &mut R) -> DhResult<KeyPair<Self::PubKey, Self::PrivateKey>> {
        panic!("the key pair is given");
    }

    fn pubkey(private: &Self::PrivateKey) -> Self::PubKey {
        HeapArray::from_slice(&group().generate(private.as_slice()).1)
    }

    fn dh(private: &Self::PrivateKey, public: &Self::PubKey) -> DhResult<Self::Output> {
        let (private, _) = group().generate(private.as_slice());
        Ok(HeapArray::from_slice(&group().agree(private, public.as_slice()).unwrap()))
    }
}

#[derive(Clone)]
struct Ddes;

impl CryptoComponent for Ddes {
    fn name() -> &'static str {
        "DDES"
    }
}

impl Cipher for Ddes {
    type Key = [u8; KEY_BYTES];

    fn tag_len() -> usize {
        TAG_BYTES
    }

    fn encrypt(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> CipherResult<()> {
        out[..plaintext.len()].copy_from_slice(plaintext);
        Self::encrypt_in_place(key, nonce, ad, out, plaintext.len()).map(drop)
    }

    fn encrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        length: usize,
    ) -> CipherResult<usize> {
        let key = Function::Ddes.key(key);
        let tag = key.seal(nonce, ad, &mut in_out[..length]).map_err(|_| CipherError::Encrypt)?;
        in_out[length..length + TAG_BYTES].copy_from_slice(&tag);
        Ok(length + TAG_BYTES)
    }

    fn decrypt(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> CipherResult<()> {
        let mut text = sealed.to_vec();
        let length = Self::decrypt_in_place(key, nonce, ad, &mut text, sealed.len())?;
        out[..length].copy_from_slice(&text[..length]);
        Ok(())
    }

    fn decrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        length: usize,
    ) -> CipherResult<usize> {
        let (text, tag) = in_out[..length].split_last_chunk_mut().ok_or(CipherError::Decrypt)?;
        let key = Function::Ddes.key(key);
        key.open(nonce, ad, text, tag).map_err(|_| CipherError::Decrypt)?;
        Ok(text.len())
    }
}

fn clatter(seed: u8, is_initiator: bool) -> NqHandshake<Group, Ddes, Sha256> {
    let private = HeapArray::from_slice(&entropy(seed).dh);
    let pair = KeyPair::new(Group::pubkey(&private), private);
    NqHandshake::new(noise_nn(), &prologue(SUITE), is_initiator, None, Some(pair), None, None)
        .unwrap()
}

/// Both directions' first records, without associated data.
fn check(
    mut other: clatter::transportstate::TransportState<Ddes, Sha256>,
    is_initiator: bool,
    ours: &ddes_session::v2::noise::Finished,
) {
    assert_eq!(other.get_handshake_hash().as_slice(), ours.hash);
    let (outwards, inwards) = if is_initiator {
        (&ours.to_server, &ours.to_client)
    } else {
        (&ours.to_client, &ours.to_server)
    };
    let mut text = *b"a record";
    let sealed = other.send_vec(&text).unwrap();
    let tag = Function::Ddes.key(outwards).seal(0, &[], &mut text).unwrap();
    assert_eq!(sealed, [&text[..], &tag].concat());
    let mut text = *b"and back";
    let tag = Function::Ddes.key(inwards).seal(0, &[], &mut text).unwrap();
    assert_eq!(other.receive_vec(&[&text[..], &tag].concat()).unwrap(), b"and back");
}

#[test]
fn our_initiator_agrees_with_its_responder() {
    let (ours, first) = Initiator::start(protocol(SUITE), &prologue(SUITE), &entropy(1), b"");
    let mut other = clatter(2, false);
    let (mut answer, mut payload) = ([0; 1024], [0; 1024]);
    assert_eq!(other.read_message(&first, &mut payload).unwrap(), 0);
    let length = other.write_message(b"", &mut answer).unwrap();
    let (finished, payload) = ours.finish(&answer[..length]).unwrap();
    assert_eq!(payload, b"");
    check(other.finalize().unwrap(), false, &finished);
}

#[test]
fn our_responder_agrees_with_its_initiator() {
    let mut other = clatter(1, true);
    let (mut first, mut payload) = ([0; 1024], [0; 1024]);
    let length = other.write_message(b"", &mut first).unwrap();
    let response =
        respond(&protocol(SUITE), &prologue(SUITE), &entropy(2), &first[..length], b"").unwrap();
    assert_eq!(other.read_message(&response.message, &mut payload).unwrap(), 0);
    check(other.finalize().unwrap(), true, &response.finished);
}

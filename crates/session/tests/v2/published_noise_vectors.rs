//! The published vectors of NN run through the code that production runs, with X25519 and
//! ChaCha20-Poly1305 in the places of ours.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use ddes_cipher::{LimitError, OpenError, Tag};
use ddes_session::v2::noise::{Cipher, Dh, Entropy, Initiator, Protocol, respond};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

#[derive(Clone)]
struct X25519;

impl Dh for X25519 {
    type Private = StaticSecret;
    type Error = Infallible;

    fn public_len(&self) -> usize {
        32
    }

    fn check(&self, public: &[u8]) -> Result<(), Infallible> {
        assert_eq!(public.len(), 32);
        Ok(())
    }

    fn generate(&self, entropy: &[u8]) -> (StaticSecret, Vec<u8>) {
        let private = StaticSecret::from(<[u8; 32]>::try_from(entropy).unwrap());
        let public = PublicKey::from(&private).as_bytes().to_vec();
        (private, public)
    }

    fn agree(
        &self,
        private: StaticSecret,
        public: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        let public = PublicKey::from(<[u8; 32]>::try_from(public).unwrap());
        Ok(Zeroizing::new(private.diffie_hellman(&public).as_bytes().to_vec()))
    }
}

struct ChaChaPoly;

fn nonce(n: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&n.to_le_bytes());
    nonce
}

impl Cipher for ChaChaPoly {
    type Key = ChaCha20Poly1305;

    fn key(&self, key: &[u8; 32]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(key.into())
    }

    fn seal(key: &ChaCha20Poly1305, n: u64, ad: &[u8], text: &mut [u8]) -> Result<Tag, LimitError> {
        Ok(key.encrypt_inout_detached(&nonce(n).into(), ad, text.into()).unwrap().into())
    }

    fn open(
        key: &ChaCha20Poly1305,
        n: u64,
        ad: &[u8],
        text: &mut [u8],
        tag: &Tag,
    ) -> Result<(), OpenError> {
        key.decrypt_inout_detached(&nonce(n).into(), ad, text.into(), tag.into())
            .map_err(|_| OpenError::Tag)
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim_matches('-');
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn list(field: &str) -> Vec<Vec<u8>> {
    field.split(' ').map(bytes).collect()
}

#[test]
fn nn_gives_the_messages_and_transport_keys_of_the_published_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../vectors/noise/nn-25519-chachapoly-sha256.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let cases: Vec<BTreeMap<&str, &str>> = text
        .split("\n\n")
        .map(|case| case.lines().filter_map(|line| line.split_once(": ")).collect())
        .filter(|case: &BTreeMap<_, _>| case.contains_key("name"))
        .collect();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let protocol = || Protocol {
            name: "Noise_NN_25519_ChaChaPoly_SHA256",
            dh: X25519,
            cipher: ChaChaPoly,
            hfs: false,
        };
        let entropy = |key: &str| Entropy {
            dh: Zeroizing::new(bytes(case[key])),
            kem: Zeroizing::new([0; 64]),
        };
        let (prologue, payloads, expected) =
            (bytes(case["prologue"]), list(case["payloads"]), list(case["expect"]));
        let (initiator, first) =
            Initiator::start(protocol(), &prologue, &entropy("initiator"), &payloads[0]);
        assert_eq!(first, expected[0], "{}", case["name"]);
        let response =
            respond(&protocol(), &prologue, &entropy("responder"), &first, &payloads[1]).unwrap();
        assert_eq!(response.message, expected[1], "{}", case["name"]);
        assert_eq!(response.payload, payloads[0]);
        let (finished, payload) = initiator.finish(&response.message).unwrap();
        assert_eq!(payload, payloads[1]);
        assert_eq!(finished.hash, response.finished.hash);
        for (i, (payload, expected)) in payloads.iter().zip(&expected).enumerate().skip(2) {
            let key = if i % 2 == 0 { &finished.to_server } else { &response.finished.to_client };
            let mut text = payload.clone();
            let tag =
                ChaChaPoly::seal(&ChaChaPoly.key(key), (i as u64 - 2) / 2, &[], &mut text).unwrap();
            assert_eq!([&text[..], &tag].concat(), *expected, "{}, message {i}", case["name"]);
        }
    }
}

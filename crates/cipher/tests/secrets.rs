//! What is secret is wiped when it is dropped, and never shown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ddes_cipher::{Ahead, CipherKey, Des, DesKey, DoubleDes, Function, Key};
use zeroize::ZeroizeOnDrop;

const fn is_wiped<T: ZeroizeOnDrop>() {}

#[test]
fn keys_and_keystream_are_wiped_and_never_shown() {
    const {
        is_wiped::<DesKey>();
        is_wiped::<Des>();
        is_wiped::<DoubleDes>();
        is_wiped::<CipherKey>();
        is_wiped::<Ahead>();
        is_wiped::<Key>();
    }
    let key = DesKey::new([0xab; 8]);
    let function = Function::DdesChaCha.key(&[0xab; 32]);
    let shown = format!(
        "{key:?}{:?}{:?}{function:?}{:?}{:?}",
        Des::new(&key),
        DoubleDes::new(&key, &key),
        function.ahead(0, 1, 8),
        Key::new([0xab; 32])
    );
    for part in ["171", "ab", "AB"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

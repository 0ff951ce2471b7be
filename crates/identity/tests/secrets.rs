//! What is secret is wiped when it is dropped, and never shown.

use ddes_identity::SigningKey;
use zeroize::ZeroizeOnDrop;

const fn is_wiped<T: ZeroizeOnDrop>() {}

#[test]
fn a_private_key_is_wiped_and_never_shown() {
    const {
        is_wiped::<SigningKey>();
        // And so is what it is made of.
        is_wiped::<ed25519_dalek::SigningKey>();
    }
    assert_eq!(format!("{:?}", SigningKey::from_seed(&[0xab; 32])), "SigningKey(..)");
}

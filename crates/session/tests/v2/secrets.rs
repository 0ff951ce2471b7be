//! What is secret is wiped when it is dropped, and never shown.

use ddes_session::v2::kem;
use ddes_session::v2::noise::{Entropy, Finished};
use ddes_wire::Token;
use zeroize::{ZeroizeOnDrop, Zeroizing};

const fn is_wiped<T: ZeroizeOnDrop>() {}

#[test]
fn randomness_keys_and_tokens_are_wiped_and_never_shown() {
    const {
        is_wiped::<Entropy>();
        is_wiped::<Finished>();
        is_wiped::<kem::DecapsulationKey>();
        is_wiped::<kem::Secret>();
        is_wiped::<Token>();
    }
    let key = || Zeroizing::new([0xab; 32]);
    let finished = Finished { hash: [1; 32], to_server: key(), to_client: key() };
    let (private, _) = kem::DecapsulationKey::generate(&[0xab; kem::SEED_BYTES]);
    let shown = format!("{finished:?}{private:?}{:?}", Token::new([0xab; Token::BYTES]));
    for part in ["171", "ab", "AB"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

//! What is secret is wiped when it is dropped, and never shown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ddes_ffdhe::{Exponent, Group, NamedGroup, SharedSecret};
use zeroize::ZeroizeOnDrop;

const fn is_wiped<T: ZeroizeOnDrop>() {}

#[test]
fn exponents_and_shared_values_are_wiped_and_never_shown() {
    const {
        is_wiped::<Exponent>();
        is_wiped::<SharedSecret>();
    }
    let group = Group::named(NamedGroup::Ffdhe2048);
    let peer = Exponent::from_entropy(&group, &[3; 64]).public_value();
    let exponent = Exponent::from_entropy(&group, &[0xab; 64]);
    assert_eq!(format!("{exponent:?}"), "Exponent(..)");
    assert_eq!(format!("{:?}", exponent.agree(&peer).unwrap()), "SharedSecret(..)");
}

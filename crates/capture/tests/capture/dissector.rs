//! The dissector in packaging/ is the one that the tables make.

use std::path::Path;

#[test]
fn the_dissector_in_packaging_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/wireshark/ddes.lua");
    let committed = std::fs::read_to_string(path).unwrap_or_else(|_| String::new());
    assert!(
        committed == ddes_capture::dissector(),
        "ddes generate dissector > packaging/wireshark/ddes.lua"
    );
}

//! ddes
fn main() {}

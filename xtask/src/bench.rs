//! `cargo xtask bench`.

pub(crate) fn run() -> Result<(), String> {
    Err("bench".into())
}

//! Debian's own Rust, which builds the standard library from its source for targets that the usual
//! toolchain has none for.

use std::process::Command;

use crate::process::output;
use crate::shell;

/// By their paths: rustup's come first on most machines' `PATH`.
pub(crate) const CARGO: &str = "/usr/bin/cargo";
pub(crate) const RUSTC: &str = "/usr/bin/rustc";

const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// What the workspace asks for.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Installs what is missing of it and of `others`; an error says why it is not to be had.
pub(crate) fn rust_with(others: &[&str]) -> Result<(), String> {
    shell::packages(&[&PACKAGES, others].concat())?;
    if is_recent(&version()?)? {
        return Ok(());
    }
    // The machine's list of packages is from before Debian had a newer one.
    shell::newest_packages(&PACKAGES)?;
    let version = version()?;
    match is_recent(&version)? {
        true => Ok(()),
        false => Err(format!("Debian's rustc is {version}, and {OLDEST} is needed")),
    }
}

/// The compiler's release, such as 1.96.0.
pub(crate) fn version() -> Result<String, String> {
    let text = output(Command::new(RUSTC).arg("--version"))?;
    let unread = || format!("{RUSTC} --version says no version: {text}");
    text.split_whitespace().nth(1).map(str::to_owned).ok_or_else(unread)
}

fn is_recent(version: &str) -> Result<bool, String> {
    Ok(release(version)? >= release(OLDEST)?)
}

/// Its first two numbers.
fn release(version: &str) -> Result<(u32, u32), String> {
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("'{version}' is no version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_older_by_its_numbers_and_not_by_its_text() {
        assert_eq!(OLDEST, "1.95");
        assert_eq!(is_recent("1.95.0"), Ok(true));
        assert_eq!(is_recent("1.100.0"), Ok(true));
        assert_eq!(is_recent("2.0.0"), Ok(true));
        assert_eq!(is_recent("1.85.0"), Ok(false));
        assert_eq!(is_recent("1.9.0"), Ok(false));
        assert!(is_recent("unknown").is_err());
    }
}

//! `--trust`: the server's key as people have it, as a fingerprint, a line or a file.

use std::path::Path;

use ddes_client::credentials::{self, CredentialError};

use crate::keys;

/// The fingerprint of the key. What cannot be one is no server's: it is refused here, and not said
/// to be another key's.
pub(crate) fn trust(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with("SHA256:") {
        return credentials::fingerprint(text)
            .ok_or_else(|| CredentialError::Fingerprint.to_string());
    }
    if !text.starts_with("ssh-") && !Path::new(text).exists() {
        return Err("it is a fingerprint SHA256:..., a public key ssh-ed25519 AAAA..., or a file \
                    with one, as `ddes key show --server-key` prints them"
            .into());
    }
    keys::public(text).map(|key| key.fingerprint()).map_err(|failure| failure.what().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_fingerprint_a_line_or_a_file_and_nothing_else() {
        // Of RFC 8032's first test key, by `ssh-keygen -l`.
        let line = "ssh-ed25519 \
                    AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea ddes";
        let fingerprint = trust(line).unwrap();
        assert_eq!(fingerprint, KNOWN);
        for same in [&*fingerprint, &format!("{fingerprint}="), &format!(" {fingerprint}\n")] {
            assert_eq!(trust(same).as_deref(), Ok(&*fingerprint));
        }
        let short = fingerprint.split_at(fingerprint.len() - 1).0;
        for unfit in ["", "foo", "SHA256:abc", short, &format!("{short}B"), "ssh-ed25519 AAAA"] {
            assert!(trust(unfit).is_err(), "{unfit}");
        }
    }

    const KNOWN: &str = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8";
}

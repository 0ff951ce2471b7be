//! Two messages of the ssh-agent protocol (draft-ietf-sshm-ssh-agent): sign this, and the
//! signature. Takes and gives bytes, opens no socket.
//!
//! Implemented here because it is two messages: crates for the whole protocol depend on RSA, DSA
//! and the NIST curves.

use crate::key::ssh_string;
use crate::{Namespace, PublicKey, signed_data};

/// The longest accepted answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 4096;

const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ALGORITHM: &[u8] = b"ssh-ed25519";

/// Why an agent's answer gives no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The agent does not hold the key, or refuses to use it.
    #[error("the agent does not sign with this key")]
    Refused,
    /// The answer does not follow the protocol.
    #[error("the agent's answer is malformed")]
    Malformed,
    /// The signature is not this key's over this message.
    #[error("the agent's signature does not verify")]
    Signature,
}

/// `u32 length || 13 || string(key) || string(data) || u32 flags`, where data is [`signed_data`].
pub fn request(key: &PublicKey, namespace: Namespace, message: &[u8]) -> Vec<u8> {
    let blob = [ssh_string(ALGORITHM), ssh_string(key.as_bytes())].concat();
    let body = [
        vec![SIGN_REQUEST],
        ssh_string(&blob),
        ssh_string(&signed_data(namespace, message)),
        vec![0; 4],
    ]
    .concat();
    ssh_string(&body)
}

/// The signature in an answer, of which `body` is the part after the length. It is verified.
pub fn signature(
    body: &[u8],
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
) -> Result<[u8; 64], AgentError> {
    let (&kind, rest) = body.split_first().ok_or(AgentError::Malformed)?;
    if kind != SIGN_RESPONSE {
        return Err(AgentError::Refused);
    }
    let parse = || {
        let (signature, end) = take(rest)?;
        let (algorithm, rest) = take(signature)?;
        let (raw, nothing) = take(rest)?;
        (end.is_empty() && nothing.is_empty() && algorithm == ALGORITHM).then_some(())?;
        <[u8; 64]>::try_from(raw).ok()
    };
    let raw = parse().ok_or(AgentError::Malformed)?;
    key.verify(namespace, message, &raw).map_err(|_| AgentError::Signature)?;
    Ok(raw)
}

/// Splits off the first string; `None` if it is incomplete.
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

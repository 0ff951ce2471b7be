//! The unencrypted texts of the original's frames, unchanged, and those that this project adds.

/// 30 from the server: the integer is counted.
pub const RECEIVED: &str = "Server Received number";
/// 30 from the server: the frame was authentic but did not decrypt; nothing was counted.
pub const TAMPERING: &str = "Warning: Data tampering detected. Message discarded.";
/// 50: the token of a 30 was not the session's.
pub const INVALID_TOKEN: &str = "Error: Invalid session token. Connection terminated.";
/// 50: the HMAC of a 30 did not verify.
pub const INVALID_HMAC: &str = "Error: Invalid HMAC. Connection terminated.";
/// 50: no integer came before the idle timer ran out.
pub const IDLE: &str = "Timeout: No data provided.";
/// 50: a client asked for the end, and that ends every session (`--classic-end-all`).
pub const END_ALL: &str = "Client requested session end for all.";

/// 50, ours: a client asked for its own session's end.
pub const END: &str = "Client requested session end.";
/// 50, ours: the server stops.
pub const SHUTDOWN: &str = "Server is shutting down.";
/// 50, ours: an operator ended this session.
pub const OPERATOR: &str = "Session ended by the operator.";
/// 50, ours: no public key in time.
pub const HANDSHAKE_TIMEOUT: &str = "Timeout: No key provided.";
/// 50, ours: a frame beyond [`super::BODY_MAX`].
pub const TOO_LONG: &str = "Error: Frame too long. Connection terminated.";
/// 50, ours: something other than a key in the key's place.
pub const EXPECTED_KEY: &str = "Error: Expected key verification. Connection terminated.";
/// 50, ours: the key does not parse, is over another group, or is out of range.
pub const INVALID_KEY: &str = "Error: Invalid public key. Connection terminated.";
/// 50, ours: more connections, or faster, than the server's limits allow (rule C-21).
pub const FULL: &str = "Error: Too many connections. Connection terminated.";
/// 50, ours: the ledger cannot count just now.
pub const LEDGER: &str = "Error: Ledger unavailable. Connection terminated.";

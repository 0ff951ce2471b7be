//! The handlers of /api/v1.

pub(crate) mod accounts;
pub(crate) mod config;
pub(crate) mod export;
pub(crate) mod ledger;
pub(crate) mod overview;
pub(crate) mod security;
pub(crate) mod sessions;
pub(crate) mod wire;

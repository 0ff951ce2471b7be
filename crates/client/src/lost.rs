//! Why a session ended or did not open, and why delivery ends.

use std::fmt;

use ddes_identity::PublicKey;
use ddes_session::v2::ClientEnd;
use ddes_wire::v2::Farewell;

use crate::delivery::DeliveryError;
use crate::dial::ConnectError;
use crate::outbox::{JournalError, Objection};
use crate::signer::SignError;

/// Why no session opened.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The TCP connection could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server proved a key that is not among those trusted. Nothing was sent to it after that.
    #[error("the server's key {} is not one that is known for it", .key.fingerprint())]
    Untrusted {
        /// The key that the server proved.
        key: Box<PublicKey>,
    },
    /// The identity could not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The session ended first.
    #[error("the session ended before it opened")]
    Ended(ClientEnd),
}

/// Why there is no open session.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The attempt to open one failed.
    #[error(transparent)]
    Enter(EnterError),
    /// It was open, and ended.
    #[error("the session ended")]
    Ended(ClientEnd),
}

/// Why the courier cannot continue. The outbox keeps what was not counted.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// There was no session for longer than the patience, or another attempt would be futile.
    #[error(transparent)]
    Lost(Lost),
    /// The ledger or the outbox does not allow it.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

impl From<Objection> for CourierError {
    fn from(objection: Objection) -> Self {
        Self::Delivery(objection.into())
    }
}

impl From<JournalError> for CourierError {
    fn from(error: JournalError) -> Self {
        Self::Delivery(error.into())
    }
}

impl Lost {
    /// The error with the reason that the server or the session gives, to be shown. Parts of it may
    /// be the server's words: `ddes_wire::shown` makes them fit for a terminal.
    pub fn whole(&self) -> impl fmt::Display {
        WholeLost(self)
    }

    /// The server's sealed 50, if there was one.
    pub(crate) fn farewell(&self) -> Option<&Farewell> {
        let (Self::Enter(EnterError::Ended(end)) | Self::Ended(end)) = self else { return None };
        match end {
            ClientEnd::Farewell(farewell) => Some(farewell),
            ClientEnd::Rejected(_) | ClientEnd::Fault(_) => None,
        }
    }

    /// Whether another attempt would end in the same way.
    pub(crate) fn is_futile(&self) -> bool {
        matches!(self, Self::Enter(EnterError::Untrusted { .. } | EnterError::Sign(_)))
    }
}

struct WholeLost<'a>(&'a Lost);

impl fmt::Display for WholeLost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.0;
        match lost {
            Lost::Enter(EnterError::Ended(end)) | Lost::Ended(end) => match end {
                ClientEnd::Farewell(farewell) => write!(f, "{lost}: {}", farewell.text),
                ClientEnd::Rejected(rejection) => {
                    write!(f, "{lost} (unauthenticated reason: {})", rejection.text)
                }
                ClientEnd::Fault(fault) => write!(f, "{lost}: {fault}"),
            },
            Lost::Enter(_) => write!(f, "{lost}"),
        }
    }
}

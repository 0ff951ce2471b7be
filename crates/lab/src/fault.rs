//! Why an exercise did not come to its end.

use std::io;

/// Why a rung has no verdict: the lab itself failed, or was stopped.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The system refused something: a socket, a folder, randomness.
    #[error("{what}: {error}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// A party of the exercise did not do what the wire says, so the exercise shows nothing.
    #[error("the exercise did not run as planned: {0}")]
    Unplanned(String),
    /// What was given cannot be used: a capture without the frames that the rung reads, say.
    #[error("{what}")]
    Unusable {
        /// Why.
        what: String,
        /// What to do instead, if something helps.
        next: Option<String>,
    },
    /// The user stopped a search; it can be resumed.
    #[error("stopped")]
    Stopped,
}

impl LabError {
    /// Names what was being done when the system refused.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }

    /// What was given cannot be used.
    pub(crate) fn unusable(what: impl Into<String>) -> Self {
        Self::Unusable { what: what.into(), next: None }
    }

    /// The same with what to do instead.
    pub(crate) fn next(self, instead: impl Into<String>) -> Self {
        match self {
            Self::Unusable { what, .. } => Self::Unusable { what, next: Some(instead.into()) },
            other @ (Self::System { .. } | Self::Unplanned(_) | Self::Stopped) => other,
        }
    }

    /// A party did something else than the wire says.
    pub(crate) fn unplanned(what: impl Into<String>) -> Self {
        Self::Unplanned(what.into())
    }
}

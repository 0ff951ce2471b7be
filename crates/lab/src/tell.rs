//! What an exercise says while it runs. Whoever shows it decides how.

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The stage: who is where, before anything happens.
    Scene,
    /// The lab's server.
    Server,
    /// The honest client.
    Client,
    /// What the attacker sees.
    Sees,
    /// What the attacker does.
    Does,
    /// What the attacker gets.
    Gets,
    /// The check that stopped the attacker.
    Stopped,
    /// Why it is so, and what follows.
    Lesson,
}

impl Voice {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scene => "scene",
            Self::Server => "server",
            Self::Client => "client",
            Self::Sees => "sees",
            Self::Does => "does",
            Self::Gets => "gets",
            Self::Stopped => "stopped",
            Self::Lesson => "lesson",
        }
    }
}

/// One line of the narration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whose it is.
    pub voice: Voice,
    /// Short plain sentences, on one line.
    pub text: String,
}

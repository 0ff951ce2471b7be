//! How important a line of a server is.

use clap::ValueEnum;

/// From the most important to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[repr(u8)]
pub(crate) enum EventLevel {
    /// Integers can not be counted any more, or a command failed
    Error,
    /// Something to look at
    Warn,
    /// What happens
    Info,
    /// Also the values that clients send, and their sums
    Debug,
}

impl EventLevel {
    /// As in flags, files and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The level of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|level| level.name() == name)
    }

    /// The level of that number; the least important one of any other.
    pub(crate) fn numbered(number: u8) -> Self {
        let mut levels = Self::value_variants().iter().copied();
        levels.find(|level| *level as u8 == number).unwrap_or(Self::Debug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag_and_numbers_come_back() {
        for level in EventLevel::value_variants() {
            assert_eq!(level.to_possible_value().unwrap().get_name(), level.name());
            assert_eq!(EventLevel::named(level.name()), Some(*level));
            assert_eq!(EventLevel::numbered(*level as u8), *level);
        }
        assert_eq!((EventLevel::named("INFO"), EventLevel::named("")), (None, None));
    }
}

//! The thirteen rungs of the ladder: twelve attacks and a projection.

mod codebook;
mod cost;
pub(crate) mod course;
mod equal;
mod eviction;
mod forgery;
mod hand_out;
mod key_search;
mod meet;
mod middleman;
mod projection;
mod reflection;
mod replay;
mod scene;
mod tampering;
mod token;

use crate::{Lab, LabError, Trial};

pub use hand_out::{HandOut, hand_out};

/// Runs one attack.
pub type Attack = fn(&mut Lab<'_>) -> Result<Trial, LabError>;

/// One attack, on both wires.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// Its number, from 1.
    pub number: u8,
    /// Its name in JSON.
    pub name: &'static str,
    /// What the attacker does.
    pub title: &'static str,
    /// What is wrong with the classic wire.
    pub flaw: &'static str,
    /// What it teaches, in a line.
    pub teaches: &'static str,
    /// Against which wires it reads a capture instead of a live session.
    pub reads: &'static [Side],
    /// Whether `bits` of each key are unknown in it.
    pub has_bits: bool,
    /// Against the classic wire; it has to succeed.
    pub classic: Attack,
    /// Against D-DDES/2; it has to be stopped.
    pub v2: Attack,
}

/// Which wire is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The wire of the original programs.
    Classic,
    /// D-DDES/2.
    V2,
}

impl Side {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::V2 => "v2",
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Classic => "the classic wire",
            Self::V2 => "D-DDES/2",
        }
    }
}

impl Rung {
    /// The rung with this number.
    pub fn numbered(number: u8) -> Option<&'static Self> {
        RUNGS.iter().find(|rung| rung.number == number)
    }

    /// The attack on that wire.
    pub fn attack(&self, side: Side) -> Attack {
        match side {
            Side::Classic => self.classic,
            Side::V2 => self.v2,
        }
    }

    /// Whether an attack ended as it has to: it succeeds on classic, and is stopped on D-DDES/2.
    pub fn is_as_expected(side: Side, trial: &Trial) -> bool {
        use crate::AttackVerdict::{Stopped, Succeeded};
        matches!(
            (side, &trial.verdict),
            (Side::Classic, Succeeded { .. }) | (Side::V2, Stopped { .. })
        )
    }
}

/// All of them, the easiest first.
pub const RUNGS: &[Rung] = &[
    Rung {
        number: 1,
        name: "token",
        title: "read the token in the clear",
        flaw: "opcode 20 encrypts a token that every opcode 30 then shows",
        teaches: "A secret that is sent in the clear once is no secret.",
        reads: &[Side::Classic, Side::V2],
        has_bits: false,
        classic: token::classic,
        v2: token::v2,
    },
    Rung {
        number: 2,
        name: "equal",
        title: "see which integers are equal",
        flaw: "ECB: equal blocks under one key make equal ciphertext",
        teaches: "Encryption without a nonce hides values, not that they are equal.",
        reads: &[Side::Classic, Side::V2],
        has_bits: false,
        classic: equal::classic,
        v2: equal::v2,
    },
    Rung {
        number: 3,
        name: "replay",
        title: "let an integer count twice",
        flaw: "no counter, no nonce: a recorded frame is as good as a new one",
        teaches: "A MAC says who wrote a message, not when, nor how often.",
        reads: &[],
        has_bits: false,
        classic: replay::classic,
        v2: replay::v2,
    },
    Rung {
        number: 4,
        name: "codebook",
        title: "read integers from a codebook",
        flaw: "ECB over few possible values: the block stands for the value",
        teaches: "Whoever learns some plaintexts reads all that repeat.",
        reads: &[Side::Classic, Side::V2],
        has_bits: false,
        classic: codebook::classic,
        v2: codebook::v2,
    },
    Rung {
        number: 5,
        name: "middleman",
        title: "swap the Diffie-Hellman values, read and change integers",
        flaw: "nobody signs the Diffie-Hellman exchange",
        teaches: "Diffie-Hellman agrees on a key with whoever answers.",
        reads: &[],
        has_bits: false,
        classic: middleman::classic,
        v2: middleman::v2,
    },
    Rung {
        number: 6,
        name: "eviction",
        title: "end everybody's session with one frame",
        flaw: "any client's 50 ends all sessions, and nobody proves to be anybody",
        teaches: "A right that everybody has is an attack that everybody has.",
        reads: &[],
        has_bits: false,
        classic: eviction::classic,
        v2: eviction::v2,
    },
    Rung {
        number: 7,
        name: "cost",
        title: "let the server compute for strangers",
        flaw: "fresh Diffie-Hellman parameters for each connection, before anything is proven",
        teaches: "Work before authentication must be small and bounded.",
        reads: &[],
        has_bits: false,
        classic: cost::classic,
        v2: cost::v2,
    },
    Rung {
        number: 8,
        name: "reflection",
        title: "send a client its own 30 back as a 40",
        flaw: "one HMAC key for both ways, and an HMAC that does not cover the opcode",
        teaches: "A MAC must cover what a message is, and who sends it.",
        reads: &[],
        has_bits: false,
        classic: reflection::classic,
        v2: reflection::v2,
    },
    Rung {
        number: 9,
        name: "key-search",
        title: "find Key1 from a block of padding, then Key2",
        flaw: "opcode 20 is two passes of Key1 over a block that is the same in every session",
        teaches: "Two passes of one key are one key: 2^57.6 DES at worst, and no memory.",
        reads: &[Side::Classic],
        has_bits: true,
        classic: key_search::classic,
        v2: key_search::v2,
    },
    Rung {
        number: 10,
        name: "meet",
        title: "meet in the middle of Double DES",
        flaw: "two keys of 56 bits are worth about 57 bits, not 112",
        teaches: "Work can be traded for memory: 2^57 DES and a table, or the trade-off.",
        reads: &[Side::Classic],
        has_bits: true,
        classic: meet::classic,
        v2: meet::v2,
    },
    Rung {
        number: 11,
        name: "forgery",
        title: "forge integers once Key2 is known",
        flaw: "the HMAC key is Key2: breaking the cipher breaks the integrity",
        teaches: "One key, one job.",
        reads: &[Side::Classic],
        has_bits: true,
        classic: forgery::classic,
        v2: forgery::v2,
    },
    Rung {
        number: 12,
        name: "projection",
        title: "project the measured rate: what 56 and 112 bits cost",
        flaw: "56 bits were too few in 1998",
        teaches: "A rate that was measured, and arithmetic: know what a key is worth.",
        reads: &[],
        has_bits: false,
        classic: projection::classic,
        v2: projection::v2,
    },
    Rung {
        number: 13,
        name: "tampering",
        title: "change a sum after it was counted",
        flaw: "a symmetric MAC proves nothing to others; sums live in memory",
        teaches: "Evidence needs a signature, and a history that hangs together.",
        reads: &[],
        has_bits: false,
        classic: tampering::classic,
        v2: tampering::v2,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rungs_are_numbered_in_order_and_have_names_of_their_own() {
        assert_eq!(RUNGS.len(), 13);
        for (rung, number) in RUNGS.iter().zip(1..) {
            assert_eq!(rung.number, number);
            assert_eq!(Rung::numbered(number).map(|found| found.name), Some(rung.name));
            assert_eq!(RUNGS.iter().filter(|other| other.name == rung.name).count(), 1);
        }
        assert!(Rung::numbered(14).is_none());
    }
}

//! The lab: attacks on the classic profile that work, and the same on D-DDES/2, which do not.
//!
//! A [`Rung`] is one attack. It runs with real bytes on real sockets of this machine's loopback,
//! against the server of `ddes serve` with exponents and tokens from a [`Seed`], and says what the
//! attacker sees, does and gets. [`RUNGS`] has all of them; [`course`] has the exercises made of
//! them, and checks answers.
//!
//! Nothing here reaches another machine: servers and relays bind 127.0.0.1, and clients dial what
//! was bound.

pub mod course;
mod evidence;
mod fault;
pub mod hexadecimal;
mod keys;
mod laboratory;
pub mod recover;
mod rungs;
mod search;
mod seed;
mod stage;
mod tell;

pub use evidence::{AttackVerdict, Trial};
pub use fault::LabError;
pub use keys::ClassicKeys;
pub use laboratory::{Lab, Listener, Material, Recording, SearchStatus, Settings, Truth};
pub use rungs::{Attack, HandOut, RUNGS, Rung, Side, hand_out};
pub use search::{BITS_MAX, ResumeError, SearchResume, UNKNOWN_BITS, hint};
pub use seed::Seed;
pub use stage::{By, Leg, Recorded, Way};
pub use tell::{Said, Voice};

pub(crate) use ddes_wire::shown::hex;

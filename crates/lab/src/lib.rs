//! The lab: what breaks in the classic profile of D-DDES, and what it takes to break it.

pub mod recover;

//! A client, a server and a ledger in memory, with the wire between them laid open.
//!
//! | I want to … | type |
//! |---|---|
//! | let the two sides talk, and act on the wire | [`Desk`], [`DeskSettings`] |
//! | say what to do, or keep it as a line of text | [`Act`], [`ActError`] |
//! | see the wire | [`WireItem`], [`Way`], [`Maker`] |
//! | know what each side did, and which rule refused a frame | [`Happening`], [`Side`] |
//! | keep what arrived for `ddes inspect`, `ddes explain` or Wireshark | [`Desk::capture`] |
//!
//! Both sides are the sessions of [`ddes_session`], and the ledger is [`ddes_ledger`]'s: nothing
//! but the network is simulated. A frame that a side sends stays on the wire until an act moves it.
//! Time is the desk's own, and all randomness follows from a name, so that the same acts give the
//! same bytes again.
//!
//! In the classic profile a frame that is delivered twice counts twice. D-DDES/2 refuses the second
//! one by rule P-08:
//!
//! ```
//! use ddes_page::{Act, Desk, DeskSettings, PageProfile};
//! use ddes_wire::v2::{GroupSize, Suite};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let replay = |profile| -> Result<Desk, Box<dyn std::error::Error>> {
//!     let mut desk = Desk::new(&DeskSettings { profile, seed: "anna".into() });
//!     for act in Act::parse_all("connect; flow; send 42")? {
//!         desk.apply(&act)?;
//!     }
//!     let frame = desk.wire().last().ok_or("nothing is on the wire")?.number;
//!     desk.apply(&Act::Copy(frame))?;
//!     desk.apply(&Act::Flow)?;
//!     Ok(desk)
//! };
//! assert_eq!(replay(PageProfile::Classic)?.sum(), Some(84));
//!
//! let desk = replay(PageProfile::V2(Suite::Ddes(GroupSize::Bits2048)))?;
//! assert_eq!(desk.sum(), Some(42));
//! assert!(desk.log().iter().any(|happening| happening.rule == Some("P-08")));
//! # Ok(())
//! # }
//! ```

mod act;
mod client;
mod desk;
mod draws;
mod record;
mod server;
mod wire;

pub use act::{Act, ActError, ByteChange};
pub use desk::{Desk, DeskError, DeskSettings, PageProfile};
pub use wire::{Happening, Maker, Side, Way, WireItem};

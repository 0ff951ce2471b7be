//! The seam between the commands and a profile: a counter takes integers and reports their sums.
//!
//! [`v2::AccountCounter`] counts each integer exactly once and survives a lost connection.
//! [`classic::ClassicSession`] sends one integer at a time and ends with its connection.

pub(crate) mod classic;
pub(crate) mod v2;

use ddes_client::outbox::InputMark;
use ddes_wire::v2::Scope;
use ddes_wire::{Sequence, Total};

use crate::failure::Failure;
use crate::input::Integer;
use crate::screen::{Line, number};

/// Takes integers and reports their sums, over one profile.
pub(crate) trait Counter {
    /// What the profile's wire carries.
    type Integer: Integer;

    /// Whether the profile has operators, who may end every session.
    const HAS_OPERATORS: bool;

    /// Runs until there is something to report. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<CounterReport, Failure>;

    /// Takes integers; [`Self::next`] sends them. `mark` is how much of an input they complete.
    fn give(&mut self, values: &[Self::Integer], mark: InputMark) -> Result<(), NotTaken>;

    /// Whether more integers are taken, and whether any wait to be counted.
    fn queue(&self) -> Queue;

    /// How many integers were counted since the counter first opened.
    fn counted(&self) -> u64;

    /// Ends the session, or with [`Scope::All`] every session of the server.
    async fn leave(self, scope: Scope) -> Result<CounterEnd, Failure>;
}

/// What happened.
#[derive(Debug)]
pub(crate) enum CounterReport {
    /// Integers are counted from now on.
    Opened {
        line: Line,
        /// What was counted before, where the server states it.
        sum: Option<Total>,
    },
    /// A step of the handshake, or on the way to a sum.
    Step(Line),
    Summed {
        sum: Total,
        /// How many integers the sum covers, where the server numbers them.
        count: Option<Sequence>,
    },
    /// The server did not count the integer, and the session goes on.
    Discarded { line: Line, failure: Failure },
    /// The server counts nothing for now; the integers are sent again.
    Delayed(Line),
    /// The connection is gone, and the counter opens another.
    Lost {
        line: Line,
        /// Set if the server ended the session and gave a reason, which ends a conversation.
        end: Option<CounterEnd>,
    },
    /// The session is over, and no other follows. A conversation ends with `end`; an input that
    /// is not yet counted fails with `failure`.
    Ended { end: CounterEnd, failure: Failure },
}

/// How a conversation ended.
#[derive(Debug)]
pub(crate) struct CounterEnd {
    /// The server's last sum.
    pub(crate) last_sum: Option<Line>,
    /// The last line of an orderly end, or why the end is a failure.
    pub(crate) outcome: Result<Line, Failure>,
}

/// Why integers were not taken.
#[derive(Debug)]
pub(crate) struct NotTaken {
    pub(crate) failure: Failure,
    /// There may be room for them after the next report.
    pub(crate) may_retry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// The counter takes no integer now.
    Full,
    /// It takes integers while others wait, or before a session has opened.
    HasRoom,
    /// It takes integers, and all that it took before are counted.
    Empty,
}

/// The line of the last sum of a session.
fn last_sum(sum: Total) -> Line {
    Line::new("last_sum", format!("[SERVER RESULT] Last result: {sum}")).with("sum", number(&sum))
}

/// The line of a session that the user ended.
fn session_ended() -> Line {
    Line::new("disconnected", "[DISCONNECTED][50] Session ended.")
}

/// The line of a session that the server ended in good order.
fn ended_by_server(text: &str) -> Line {
    Line::new("disconnected", format!("[DISCONNECTED][50] {text}")).with("text", text)
}

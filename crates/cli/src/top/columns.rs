//! The columns of the sessions: what stands in each, and which of them fit.

use std::collections::HashMap;
use std::time::Duration;

use super::words::{UNKNOWN, between, brief, grouped, rate};
use crate::api::answers::ListedSession;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopColumn {
    Id,
    Name,
    Peer,
    Suite,
    State,
    Count,
    Sum,
    Rate,
    Idle,
    Opened,
}

/// Which columns a screen of at least so many terminal columns has.
const LAYOUTS: [(usize, &[TopColumn]); 4] = [
    (
        112,
        &[
            TopColumn::Id,
            TopColumn::Name,
            TopColumn::Peer,
            TopColumn::Suite,
            TopColumn::State,
            TopColumn::Count,
            TopColumn::Sum,
            TopColumn::Rate,
            TopColumn::Idle,
            TopColumn::Opened,
        ],
    ),
    (
        76,
        &[
            TopColumn::Id,
            TopColumn::Name,
            TopColumn::Peer,
            TopColumn::Count,
            TopColumn::Sum,
            TopColumn::Rate,
            TopColumn::Idle,
        ],
    ),
    (56, &[TopColumn::Id, TopColumn::Name, TopColumn::Count, TopColumn::Sum, TopColumn::Rate]),
    (0, &[TopColumn::Id, TopColumn::Name, TopColumn::Sum, TopColumn::Rate]),
];

pub(super) fn fitting(columns: usize) -> &'static [TopColumn] {
    let layout = LAYOUTS.iter().find(|(least, _)| columns >= *least);
    layout.map_or(&[], |(_, layout)| layout)
}

impl TopColumn {
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Id => "#",
            Self::Name => "name",
            Self::Peer => "peer",
            Self::Suite => "suite",
            Self::State => "state",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Rate => "values/s",
            Self::Idle => "idle in",
            Self::Opened => "open for",
        }
    }

    /// Its least width; the name has what is left.
    pub(super) fn width(self, columns: usize) -> u16 {
        match self {
            Self::Id => 5,
            Self::Name => 8,
            Self::Peer => 21,
            Self::Suite => 11,
            Self::State => 9,
            Self::Count => 10,
            Self::Sum if columns < 56 => 12,
            Self::Sum => 13,
            Self::Rate => 8,
            Self::Idle => 7,
            Self::Opened => 8,
        }
    }

    pub(super) fn is_number(self) -> bool {
        match self {
            Self::Id | Self::Count | Self::Sum | Self::Rate | Self::Idle | Self::Opened => true,
            Self::Name | Self::Peer | Self::Suite | Self::State => false,
        }
    }

    /// `now` is the server's time; `age` is how long ago that was.
    pub(super) fn of(
        self,
        session: &ListedSession,
        rates: &HashMap<u64, f64>,
        now: &str,
        age: Duration,
    ) -> String {
        let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.into());
        match self {
            Self::Id => session.id.to_string(),
            Self::Name => name(session),
            Self::Peer => session.peer.clone(),
            Self::Suite => session.suite.clone().unwrap_or_else(|| session.profile.clone()),
            Self::State => session.state.clone(),
            Self::Count => grouped(&session.count),
            Self::Sum => grouped(&session.sum),
            Self::Rate => known(rates.get(&session.id).copied().map(rate)),
            Self::Idle => {
                let left = session.idle_deadline.as_deref().and_then(|at| between(now, at));
                known(left.map(|left| brief(left.saturating_sub(age))))
            }
            Self::Opened => known(between(&session.opened, now).map(|open| brief(open + age))),
        }
    }
}

/// What a person knows a session by.
fn name(session: &ListedSession) -> String {
    if let Some(name) = session.name.as_ref().or(session.fingerprint.as_ref()) {
        return name.clone();
    }
    match &*session.profile {
        "classic" => "(classic)".into(),
        _ => "(unproven)".into(),
    }
}

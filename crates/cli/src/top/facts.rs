//! The overview in words: the same lines on the screen and in a snapshot.

use super::words::{bytes, counted, grouped, micros, rate, secs, span};
use crate::api::answers::Overview;

/// One line: what it is about, then its parts, the most important first.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) parts: Vec<String>,
}

impl Fact {
    /// The parts that fit in so many columns, at least the first.
    pub(super) fn fitting(&self, columns: usize) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let joined = if text.is_empty() { part.clone() } else { format!("{text}, {part}") };
            if !text.is_empty() && joined.chars().count() > columns {
                break;
            }
            text = joined;
        }
        text
    }
}

/// `OK`, `WARNING` or `CRITICAL`; a level of a newer server is shown as it is.
pub(super) fn level(overview: &Overview) -> String {
    overview.health.level.to_uppercase()
}

/// The server, for the first line.
pub(super) fn title(overview: &Overview) -> Vec<String> {
    let server = &overview.server;
    let state = match &*server.state {
        "serving" => None,
        state => Some(state.replace('_', " ")),
    };
    let up = format!("up {}", span(secs(server.uptime_secs)));
    let at = format!("ddes {} at {}", server.version, server.address);
    [Some(at), state, Some(up)].into_iter().flatten().collect()
}

pub(super) fn facts(overview: &Overview) -> Vec<Fact> {
    let Overview { sessions, rates, commit, totals, .. } = overview;
    let fact = |label, parts| Fact { label, parts };
    let classic = (sessions.classic > 0).then(|| format!("{} classic", grouped(&sessions.classic)));
    let open = format!("{} open", grouped(&sessions.open));
    let unproven = format!("{} unproven", grouped(&sessions.unproven));
    let connections =
        format!("{} of {} connections", grouped(&sessions.connections), grouped(&sessions.max));
    let handshakes = format!("{} handshakes/s", rate(rates.handshakes_per_sec));
    let sessions = [Some(open), Some(unproven), classic, Some(connections), Some(handshakes)];
    vec![
        fact("sessions", sessions.into_iter().flatten().collect()),
        fact(
            "commit",
            vec![
                format!("p50 {}", micros(commit.p50_micros)),
                format!("p99 {}", micros(commit.p99_micros)),
                format!("{} queued", grouped(&commit.queued_values)),
                format!("{} batches/s", rate(rates.batches_per_sec)),
                format!("in {}", bytes(rates.bytes_in_per_sec)),
                format!("out {}", bytes(rates.bytes_out_per_sec)),
            ],
        ),
        fact(
            "totals",
            vec![
                format!("sum {}", grouped(&totals.sum)),
                counted(&totals.count, "value"),
                counted(&totals.accounts, "account"),
            ],
        ),
        fact("refusals", refusals(overview)),
    ]
}

/// Those of the last minute first, since they are news; how many those are stands behind a plus.
fn refusals(overview: &Overview) -> Vec<String> {
    let mut refusals: Vec<_> = overview.refusals.iter().filter(|of| of.count > 0).collect();
    refusals.sort_by_key(|of| std::cmp::Reverse((of.last_minute, of.count)));
    if refusals.is_empty() {
        return vec!["none".into()];
    }
    let shown = refusals.iter().map(|of| {
        let name = of.reason.replace('_', " ");
        match of.last_minute {
            0 => format!("{} {name}", grouped(&of.count)),
            new => format!("{} {name} (+{})", grouped(&of.count), grouped(&new)),
        }
    });
    shown.collect()
}

/// Values a second now, for the line of the curve.
pub(super) fn throughput(overview: &Overview) -> String {
    rate(overview.rates.values_per_sec)
}

/// The curve's highest second.
pub(super) fn peak(overview: &Overview) -> f64 {
    overview.history.values_per_sec.iter().flatten().copied().fold(0.0, f64::max)
}

/// How many sessions are in sight of how many, for the line above them.
pub(super) fn listed(first: usize, shown: usize, total: usize, all: usize) -> String {
    let matching = match (total, all) {
        (total, all) if total == all => counted(&all, "session"),
        (total, all) => format!("{} of {}", grouped(&total), counted(&all, "session")),
    };
    match shown {
        shown if shown >= total => matching,
        shown => {
            format!("{} to {} of {matching}", grouped(&(first + 1)), grouped(&(first + shown)))
        }
    }
}

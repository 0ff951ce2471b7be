//! One snapshot as plain text.

use std::collections::HashMap;
use std::time::Duration;

use super::columns::{TopColumn, fitting};
use super::facts::{self, facts};
use super::poll::Look;
use super::words::rate;
use crate::terminal;

/// Columns of the labels.
const LABEL: usize = 10;

pub(super) fn text(look: &Look) -> String {
    let Look { overview, page, .. } = look;
    let mut lines = vec![facts::title(overview).join(", ")];
    let labelled = |label: &str, text: &str| format!("{label:<LABEL$}{text}");
    lines.push(labelled(&facts::level(overview), &overview.health.text));
    let throughput = facts::throughput(overview);
    let peak = rate(facts::peak(overview));
    lines.push(labelled("values/s", &format!("{throughput}, at most {peak} in 5 minutes")));
    for fact in facts(overview) {
        lines.push(labelled(fact.label, &fact.parts.join(", ")));
    }
    lines.push(String::new());
    lines.push(facts::listed(0, page.sessions.len(), page.total, page.all));
    // A rate needs two looks.
    let columns = fitting(terminal::columns()).iter().filter(|column| **column != TopColumn::Rate);
    let columns: Vec<TopColumn> = columns.copied().collect();
    let headings = columns.iter().map(|column| column.heading().to_owned()).collect();
    let rows = page.sessions.iter().map(|session| {
        let of = |column: &TopColumn| {
            column.of(session, &HashMap::new(), &overview.as_of, Duration::ZERO)
        };
        columns.iter().map(of).collect()
    });
    if !page.sessions.is_empty() {
        lines.extend(table(&columns, &[vec![headings], rows.collect()].concat()));
    }
    lines.join("\n")
}

/// Each column as wide as its longest text.
fn table(columns: &[TopColumn], rows: &[Vec<String>]) -> Vec<String> {
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).fold(0, usize::max))
        .collect();
    let line = |row: &Vec<String>| {
        let cells =
            row.iter().zip(&widths).zip(columns).map(|((text, width), column)| {
                match column.is_number() {
                    true => format!("{text:>width$}"),
                    false => format!("{text:<width$}"),
                }
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

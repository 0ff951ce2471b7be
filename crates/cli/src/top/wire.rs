//! The ladder of one session: its messages as they happen, and what one of them is for.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::draw::{Palette, rule};
use super::ladder::SessionLadder;
use super::words::{grouped, micros};
use crate::api::answers;

/// The explanation of one message.
const ABOUT_ROWS: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, wire: &SessionLadder, palette: Palette) {
    let about = ABOUT_ROWS.min(area.height / 2);
    let [above, list, about] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(about)])
            .areas(area);
    rule(frame, above, &heading(wire), palette);
    if let Some(error) = &wire.error {
        let text = format!("The messages of this session cannot be shown: {error}");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), list);
        return;
    }
    if wire.frames.is_empty() {
        let text = match wire.about {
            None => "Asking the server ...",
            Some(_) => "No message yet: the server traces this session from now on.",
        };
        frame.render_widget(Paragraph::new(text).style(palette.faint()), list);
        return;
    }
    let chosen = wire.selected.unwrap_or(wire.frames.len() - 1);
    let rows = usize::from(list.height).max(1);
    let first = chosen.saturating_sub(rows / 2).min(wire.frames.len().saturating_sub(rows));
    let lines = wire.frames.iter().enumerate().skip(first).take(rows);
    let lines = lines.map(|(place, of)| {
        let style = if place == chosen { palette.selected() } else { Style::new() };
        message(of, area.width, palette).style(style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), list);
    explain(frame, about, &wire.frames[chosen], palette);
}

fn heading(wire: &SessionLadder) -> Vec<String> {
    let mut parts = vec![format!("messages of #{}", wire.id)];
    if let Some(about) = &wire.about {
        parts.push(about.peer.clone());
        parts.push(about.profile.clone());
        if about.ended.is_some() {
            parts.push("ended".into());
        }
        if wire.dropped > 0 {
            parts.push(format!("{} earlier ones are gone", grouped(&wire.dropped)));
        } else if !about.from_start {
            parts.push("not from its start".into());
        }
    }
    parts
}

/// Client on the left, server on the right.
fn message(of: &answers::LadderFrame, width: u16, palette: Palette) -> Line<'static> {
    let is_in = of.direction == "in";
    let arrow = if is_in { "──▶" } else { "◀──" };
    // For people: a few digits of it are shown.
    let at = micros(Some(of.micros_since_open as f64));
    let opcode = format!("{:>4}", of.opcode);
    let mut spans = vec![
        Span::styled(format!("{at:>9} "), palette.faint()),
        Span::styled(
            format!("{} {arrow} ", if is_in { "client" } else { "server" }),
            palette.label(),
        ),
        Span::styled(opcode, palette.heading()),
        Span::raw(format!("  {:<12}{:>7} B", of.name, grouped(&of.bytes))),
    ];
    if width >= 64 {
        spans.push(Span::raw(if of.encrypted { "  encrypted" } else { "  in the clear" }));
    }
    if width >= 120 {
        spans.push(Span::styled(format!("   {}", of.note), palette.faint()));
    }
    Line::from(spans)
}

fn explain(frame: &mut Frame<'_>, area: Rect, of: &answers::LadderFrame, palette: Palette) {
    let line = |label: &str, text: &str| {
        Line::from(vec![
            Span::styled(label.to_owned(), palette.label()),
            Span::raw(text.to_owned()),
        ])
    };
    let lines = vec![
        Line::raw(""),
        line("What it is for: ", &of.note),
        line("An eavesdropper sees: ", &of.seen),
    ];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), area);
}

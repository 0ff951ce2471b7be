//! What is not always in sight: refusals by network, and the help.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Padding, Paragraph};

use super::draw::{Palette, rule};
use super::view::TopView;
use super::words::{between, grouped, rate, span};

pub(super) fn security(frame: &mut Frame<'_>, area: Rect, view: &TopView, palette: Palette) {
    let [above, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    rule(frame, above, &["refusals and limits".into()], palette);
    let lines = match &view.look.security {
        None => vec![Line::raw("Asking the server ...")],
        Some(Err(why)) => vec![Line::styled(why.clone(), palette.stale())],
        Some(Ok(security)) => {
            let mut lines = Vec::new();
            let heading = |text: String| Line::styled(text, palette.heading());
            let wide = usize::from(area.width).saturating_sub(24).clamp(8, 24);
            lines.push(heading(format!("{:<wide$}{:>10}{:>14}", "network", "failures", "last")));
            for of in &security.networks {
                let ago = between(&of.last_at, &view.look.overview.as_of);
                let ago = ago.map_or_else(|| "-".to_owned(), span);
                let (failures, ago) = (grouped(&of.failures), format!("{ago} ago"));
                lines.push(Line::raw(format!("{:<wide$}{failures:>10}{ago:>14}", of.network)));
            }
            if security.networks.is_empty() {
                let none = "No network had a failed handshake in the last hour.";
                lines.push(Line::styled(none, palette.faint()));
            }
            lines.push(Line::raw(""));
            for of in security.reasons.iter().filter(|of| of.count > 0) {
                let name = of.reason.replace('_', " ");
                let count = format!("{:>8} ", grouped(&of.count));
                let new = match of.last_minute {
                    0 => String::new(),
                    new => format!(" (+{})", grouped(&new)),
                };
                let name = Span::styled(format!("{name}{new}"), palette.label());
                lines.push(Line::from(vec![Span::raw(count), name]));
                lines.push(Line::styled(format!("         {}", of.text), palette.faint()));
            }
            lines.push(Line::raw(""));
            for of in &security.limits {
                let used = of.used.map_or_else(String::new, |used| format!("{} of ", rate(used)));
                let name = of.name.replace('_', " ");
                lines.push(Line::raw(format!("{used:>10}{} {name}", rate(of.limit))));
            }
            lines
        }
    };
    frame.render_widget(Paragraph::new(lines), list);
}

const HELP: [(&str, &str); 9] = [
    ("arrows, PgUp, PgDn", "choose a session"),
    ("s", "sort by the next column"),
    ("r", "reverse the order"),
    ("/", "filter by name, peer, key"),
    ("Enter", "the messages of a session"),
    ("e", "end a session (asks)"),
    ("Tab", "refusals by network"),
    ("Ctrl-Z", "suspend; fg continues"),
    ("q", "quit"),
];

pub(super) fn help(frame: &mut Frame<'_>, place: &str, palette: Palette) {
    let area = frame.area();
    let width = area.width.min(52);
    let keys = usize::from(width.saturating_sub(32)).min(20);
    let mut lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, what)| {
            let key =
                if keys < 18 && key.len() > 6 { key.split(',').next().unwrap_or(key) } else { key };
            Line::from(vec![
                Span::styled(format!("{key:<keys$} "), palette.label()),
                Span::raw(*what),
            ])
        })
        .collect();
    lines.push(Line::raw(""));
    lines.push(Line::raw("Rates are means of 10 s; (+2) are"));
    lines.push(Line::raw("refusals of the last minute. The page:"));
    lines.push(Line::raw(format!("http://{place}")));
    // More rows than a `u16` are more than the screen has.
    let rows = u16::try_from(lines.len() + 2);
    let height = rows.map_or(area.height, |rows| rows.min(area.height));
    let at = area.centered(Constraint::Length(width), Constraint::Length(height));
    frame.render_widget(Clear, at);
    let block = Block::bordered().title(" ddes top ").padding(Padding::horizontal(1));
    frame.render_widget(Paragraph::new(lines).block(block), at);
}

//! Draws the view: the server in words and numbers, below it its sessions.

use std::io;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table, Wrap};

use super::columns::{TopColumn, fitting};
use super::facts::{self, Fact, facts};
use super::view::{COLUMNS, Mode, TopView};
use super::words::{rate, span};
use super::{panels, wire};

/// Columns of the labels.
const LABEL: u16 = 10;
/// From so many rows on there is room for a curve.
const CURVE_FROM: u16 = 16;
const CURVE_ROWS: u16 = 3;

/// What colours mean here; without colours the words say it.
#[derive(Clone, Copy)]
pub(super) struct Palette {
    has_colours: bool,
}

impl Palette {
    pub(super) fn of_terminal() -> Self {
        Self { has_colours: crate::terminal::colours(&io::stdout()) }
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn label(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(super) fn faint(self) -> Style {
        if self.has_colours { self.colour(Color::DarkGray) } else { Style::new() }
    }

    fn curve(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn stale(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    fn level(self, level: &str) -> Style {
        let colour = match level {
            "ok" => Color::Green,
            "warning" => Color::Yellow,
            _ => Color::Red,
        };
        self.colour(colour).add_modifier(Modifier::BOLD)
    }
}

pub(super) fn draw(
    frame: &mut Frame<'_>,
    view: &mut TopView,
    place: &str,
    palette: Palette,
    now: Instant,
) {
    let head_height = head_rows(frame.area(), view);
    let [top, body, keys] = Layout::vertical([
        Constraint::Length(head_height),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    head(frame, top, view, palette, now);
    // The heading of the list, and its line above.
    view.set_rows(usize::from(body.height.saturating_sub(2)).max(1));
    match &view.mode {
        Mode::Wire(wire) => wire::draw(frame, body, wire, palette),
        Mode::Security => panels::security(frame, body, view, palette),
        Mode::Sessions | Mode::Help | Mode::Filter { .. } | Mode::Confirm { .. } => {
            sessions(frame, body, view, palette, now);
        }
    }
    if matches!(view.mode, Mode::Help) {
        panels::help(frame, place, palette);
    }
    frame.render_widget(bottom(view, keys.width, palette, now), keys);
}

/// Whether there is room for a curve, and whether the sessions are what is looked at.
fn has_curve(height: u16, view: &TopView) -> bool {
    height >= CURVE_FROM && !matches!(view.mode, Mode::Wire(_) | Mode::Security)
}

fn curve_rows(height: u16, view: &TopView) -> u16 {
    if has_curve(height, view) { CURVE_ROWS } else { 1 }
}

/// One row, or two where it does not fit in one and there is room.
fn health_rows(area: Rect, view: &TopView) -> u16 {
    let overview = &view.look.overview;
    let columns = overview.health.level.chars().count() + 2 + overview.health.text.chars().count();
    let is_long = columns > usize::from(area.width) && area.height >= CURVE_FROM;
    if is_long { 2 } else { 1 }
}

/// The title, the health, the curve or its number, four facts.
fn head_rows(area: Rect, view: &TopView) -> u16 {
    let facts = if matches!(view.mode, Mode::Wire(_) | Mode::Security) { 0 } else { 4 };
    let rows = 1 + health_rows(area, view) + curve_rows(area.height, view) + facts;
    // A list of three sessions is worth more than the last facts.
    rows.min(area.height.saturating_sub(6))
}

fn head(frame: &mut Frame<'_>, area: Rect, view: &TopView, palette: Palette, now: Instant) {
    let overview = &view.look.overview;
    let stale = view.staleness(now);
    let [title, health, curve, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(health_rows(frame.area(), view)),
        Constraint::Length(curve_rows(frame.area().height, view)),
        Constraint::Fill(1),
    ])
    .areas(area);
    title_line(frame, title, view, palette, stale.as_ref().map(|(_, age)| *age));
    let level = facts::level(overview);
    let health_line = match &stale {
        Some((why, _)) => Line::from(vec![
            Span::styled("STALE", palette.stale()),
            Span::raw(format!("  {why}; trying again")),
        ]),
        None => Line::from(vec![
            Span::styled(level, palette.level(&overview.health.level)),
            Span::raw(format!("  {}", overview.health.text)),
        ]),
    };
    frame.render_widget(Paragraph::new(health_line).wrap(Wrap { trim: true }), health);
    throughput(frame, curve, view, palette);
    let lines = facts(overview).into_iter().map(|fact| fact_line(&fact, area.width, palette));
    let style = if stale.is_some() { palette.faint() } else { Style::new() };
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).style(style), rest);
}

fn title_line(
    frame: &mut Frame<'_>,
    area: Rect,
    view: &TopView,
    palette: Palette,
    stale: Option<Duration>,
) {
    let state = match stale {
        Some(age) => Span::styled(format!("{} old", span(age)), palette.stale()),
        None => Span::styled("live", palette.level("ok")),
    };
    let room = usize::from(area.width).saturating_sub(state.width() + 1);
    let title = Fact { label: "", parts: facts::title(&view.look.overview) }.fitting(room);
    frame.render_widget(Line::styled(title, palette.heading()), area);
    frame.render_widget(Line::from(state).alignment(Alignment::Right), area);
}

fn fact_line(fact: &Fact, width: u16, palette: Palette) -> Line<'static> {
    let room = usize::from(width.saturating_sub(LABEL));
    let label = format!("{:<1$}", fact.label, usize::from(LABEL));
    Line::from(vec![Span::styled(label, palette.label()), Span::raw(fact.fitting(room))])
}

/// The number, and the curve of five minutes beside it.
fn throughput(frame: &mut Frame<'_>, area: Rect, view: &TopView, palette: Palette) {
    let overview = &view.look.overview;
    let number = facts::throughput(overview);
    let peak = facts::peak(overview);
    let [words, curve] =
        Layout::horizontal([Constraint::Length(LABEL * 2), Constraint::Fill(1)]).areas(area);
    let label = format!("{:<1$}", "values/s", usize::from(LABEL));
    let mut lines = vec![Line::from(vec![
        Span::styled(label, palette.label()),
        Span::styled(number, palette.heading()),
    ])];
    let blank = " ".repeat(LABEL.into());
    lines.push(Line::styled(format!("{blank}peak {}", rate(peak)), palette.faint()));
    lines.push(Line::styled(format!("{blank}of 5 min"), palette.faint()));
    frame.render_widget(Paragraph::new(lines), words);
    let each = secs_of_bar(curve.width.into());
    // No wider than five minutes need; the newest second is at the right.
    let whole = u16::try_from(HISTORY_SECS.div_ceil(each)).unwrap_or(curve.width); // At most 300.
    let whole = whole.min(curve.width);
    let bars = bars(&overview.history.values_per_sec, each, whole.into(), peak);
    let begin = whole.saturating_sub(u16::try_from(bars.len()).unwrap_or(whole)); // As above.
    let curve = Rect { x: curve.x + begin, width: whole - begin, ..curve };
    frame.render_widget(Sparkline::default().data(bars).max(BAR_MAX).style(palette.curve()), curve);
}

/// The height of the highest bar.
const BAR_MAX: u64 = 1000;
const HISTORY_SECS: usize = 300;

/// Seconds that share a bar, so that five minutes fit.
fn secs_of_bar(columns: usize) -> usize {
    HISTORY_SECS.div_ceil(columns.max(1)).max(1)
}

/// Means of the seconds that share a bar, the newest last.
fn bars(history: &[Option<f64>], each: usize, most: usize, peak: f64) -> Vec<u64> {
    let history = &history[history.len().saturating_sub(HISTORY_SECS)..];
    let mean = |secs: &[Option<f64>]| {
        let sum: f64 = secs.iter().flatten().sum();
        sum / secs.len() as f64
    };
    // From the newest on: the oldest bar is the one with fewer seconds.
    let shares = history.rchunks(each).take(most).map(|secs| scaled(mean(secs) / peak));
    let mut bars: Vec<u64> = shares.collect();
    bars.reverse();
    bars
}

/// A share of the highest bar; what is not nothing is seen.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is from 0 to 1, so the height is from 0 to BAR_MAX"
)]
fn scaled(share: f64) -> u64 {
    let least = if share > 0.0 { BAR_MAX / 24 } else { 0 };
    ((share.clamp(0.0, 1.0) * BAR_MAX as f64) as u64).max(least)
}

fn sessions(frame: &mut Frame<'_>, area: Rect, view: &TopView, palette: Palette, now: Instant) {
    let [above, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let page = &view.look.page;
    let shown = page.total.saturating_sub(view.first).min(view.rows);
    let sorted = COLUMNS[view.sort].1;
    let arrow = if view.is_descending { "▼" } else { "▲" };
    let mut parts = vec![facts::listed(view.first, shown, page.total, page.all)];
    if !view.filter.is_empty() {
        parts.push(format!("filter '{}'", view.filter));
    }
    parts.push(format!("by {sorted} {arrow}"));
    rule(frame, above, &parts, palette);
    if page.total == 0 {
        let advice = match view.filter.is_empty() {
            true => "Nobody is connected. Try: ddes connect, or ddes send 42",
            false => "No session matches the filter. Esc shows all.",
        };
        let advice = Paragraph::new(advice).wrap(Wrap { trim: true }).style(palette.faint());
        frame.render_widget(advice, list);
        return;
    }
    frame.render_widget(table(view, list, palette, now), list);
}

fn table(view: &TopView, area: Rect, palette: Palette, now: Instant) -> Table<'static> {
    let width = usize::from(area.width);
    let columns = fitting(width);
    let age = now.duration_since(view.looked_at);
    let cell = |column: TopColumn, text: String| {
        let side = if column.is_number() { Alignment::Right } else { Alignment::Left };
        Text::from(text).alignment(side)
    };
    let heading = columns.iter().map(|column| {
        let is_sorted = column.heading() == COLUMNS[view.sort].1;
        let arrow = match (is_sorted, view.is_descending) {
            (false, _) => "",
            (true, true) => "▼",
            (true, false) => "▲",
        };
        cell(*column, format!("{arrow}{}", column.heading()))
    });
    let rows = (view.first..view.first + view.rows).map_while(|place| {
        let as_of = &view.look.overview.as_of;
        let session = view.session(place)?;
        let texts = columns.iter().map(|column| column.of(session, &view.rates, as_of, age));
        let cells = texts.zip(columns).map(|(text, column)| cell(*column, text));
        let style = if place == view.selected { palette.selected() } else { Style::new() };
        Some(Row::new(cells.collect::<Vec<_>>()).style(style))
    });
    let widths = columns.iter().map(|column| {
        let least = column.width(width);
        if *column == TopColumn::Name { Constraint::Min(least) } else { Constraint::Length(least) }
    });
    let heading = Row::new(heading.collect::<Vec<_>>()).style(palette.heading());
    Table::new(rows.collect::<Vec<_>>(), widths.collect::<Vec<_>>()).header(heading)
}

/// A line across, with words in it.
pub(super) fn rule(frame: &mut Frame<'_>, area: Rect, parts: &[String], palette: Palette) {
    let room = usize::from(area.width).saturating_sub(4);
    let words = Fact { label: "", parts: parts.to_vec() }.fitting(room);
    let block = Block::new().borders(ratatui::widgets::Borders::TOP);
    let block = block.border_style(palette.faint()).title(Span::raw(format!(" {words} ")));
    frame.render_widget(block, area);
}

/// The last line: a question, a filter being typed, what happened, or the keys.
fn bottom(view: &TopView, width: u16, palette: Palette, now: Instant) -> Line<'static> {
    match &view.mode {
        Mode::Confirm { id, label } => {
            let question = format!("End session #{id} ({label})? y or n ");
            return Line::styled(question, palette.stale());
        }
        Mode::Filter { .. } => {
            return Line::from(vec![
                Span::styled("filter: ", palette.label()),
                Span::raw(view.filter.clone()),
                Span::styled(" ", palette.selected()),
            ]);
        }
        Mode::Sessions | Mode::Security | Mode::Help | Mode::Wire(_) => {}
    }
    if let Some(note) = view.note(now) {
        return Line::styled(note.to_owned(), palette.stale());
    }
    let keys: &[&str] = match view.mode {
        Mode::Wire(_) => &["Esc back", "arrows choose a message", "End follows", "q quit"],
        Mode::Security => &["Tab sessions", "? help", "q quit"],
        Mode::Help => &["any key closes this", "q quit"],
        Mode::Sessions | Mode::Filter { .. } | Mode::Confirm { .. } => {
            &["? help", "q quit", "s sort", "/ filter", "Enter messages", "e end", "r reverse"]
        }
    };
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let keys = Fact { label: "", parts: keys }.fitting(width.into());
    Line::styled(keys, palette.faint())
}

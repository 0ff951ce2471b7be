//! What is shown while a run goes on: a bar for a person at a terminal, a line an interval for a
//! soak, JSON for programs.

use std::time::Duration;

use ddes_load::{Interval, Plan, Run, Until, nanos, short};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};

use crate::failure::Failure;
use crate::input::REDRAW;
use crate::screen::{Line, Screen};

pub(crate) struct Live {
    bar: ProgressBar,
    sessions: u32,
    warmup: Duration,
    /// Sessions lost and frames refused so far.
    errors: u64,
    values: u64,
    has_lines: bool,
    is_json: bool,
}

impl Live {
    pub(crate) fn new(plan: &Plan, is_soak: bool, is_json: bool, is_quiet: bool) -> Self {
        let length = match plan.until {
            Until::Elapsed(duration) => duration.as_secs(),
            Until::Sent(values) => values,
        };
        let is_shown = !is_quiet && !is_json && io::stderr().is_terminal();
        let bar = if is_shown { ProgressBar::new(length) } else { ProgressBar::hidden() };
        let unit = match plan.until {
            Until::Elapsed(_) => "{pos}/{len} s",
            Until::Sent(_) => "{pos}/{len} values",
        };
        let style = ProgressStyle::with_template(&format!("{{wide_bar}} {unit}\n{{msg}}"));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(REDRAW);
        Self {
            bar,
            sessions: plan.sessions,
            warmup: plan.warmup,
            errors: 0,
            values: 0,
            has_lines: is_soak && !is_json && !is_quiet,
            is_json,
        }
    }

    /// Between intervals.
    pub(crate) fn tick(&self, run: &Run, until: Until) {
        let (opened, up) = run.sessions();
        match (run.elapsed(), until) {
            (Some(elapsed), Until::Elapsed(duration)) => {
                self.bar.set_position(elapsed.min(duration).as_secs());
            }
            (Some(_), Until::Sent(_)) => {}
            (None, _) if usize::try_from(self.sessions).is_ok_and(|sessions| opened < sessions) => {
                self.bar.set_message(format!("opening sessions: {opened} of {}", self.sessions));
            }
            (None, _) => {
                self.bar.set_message(format!(
                    "warming up for {} s, {up} sessions up",
                    self.warmup.as_secs()
                ));
            }
        }
    }

    pub(crate) fn interval(
        &mut self,
        interval: &Interval,
        values: u64,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        self.errors += interval.errors;
        self.values += values;
        let text = format!(
            "{}/s   p50 {}   p99 {}   p99.9 {}   errors {}   sessions {}/{}   load {:.0} %",
            short(interval.values_per_sec),
            nanos(interval.p50_ns),
            nanos(interval.p99_ns),
            nanos(interval.p99_9_ns),
            self.errors,
            interval.sessions_up,
            self.sessions,
            100.0 * interval.cpu_share
        );
        self.bar.set_message(text.clone());
        if self.is_json {
            return screen.show(&line(interval));
        }
        if self.has_lines {
            let line = format!("{:>8.0} s   {text}", interval.at_secs);
            self.bar.suspend(|| crate::streams::say(&line));
        }
        Ok(())
    }

    /// Runs of a number of values show how many there are.
    pub(crate) fn counted(&self) {
        self.bar.set_position(self.values);
    }

    pub(crate) fn stopping(&self) {
        self.bar
            .set_message("stopping: waiting for the last answers (Ctrl-C again ends it at once)");
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// An interval as programs read it.
fn line(interval: &Interval) -> Line {
    let mut line = Line::new("interval", "");
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(interval) {
        for (name, value) in fields {
            // The result has errors of several kinds by that name.
            let name = if name == "errors" { "errors_total" } else { &name };
            line = line.with(name, value);
        }
    }
    line
}

//! A calculation for people and for programs.

use std::io;

use ddes_explain::{Argument, Calculation, Named, Step, Value, Worked};
use ddes_wire::shown;
use serde_json::{Value as Json, json};

use crate::screen::Line;
use crate::terminal;

/// Bytes of a line of hexadecimal, where the terminal has room.
const LINE_BYTES_MAX: usize = 32;
/// The widest column of names.
const NAME_COLUMNS_MAX: usize = 24;

pub(super) fn line(calculation: &Calculation, worked: &Worked) -> Line {
    let python = calculation.python();
    Line::styled("calc", text(calculation, worked))
        .with("operation", calculation.verb().join(" "))
        .with("title", calculation.title())
        .with("source", calculation.source())
        .with("formula", calculation.formula().lines().collect::<Vec<_>>())
        .with("inputs", calculation.arguments().iter().map(of_argument).collect::<Json>())
        .with("steps", worked.steps.iter().map(of_step).collect::<Json>())
        .with("results", worked.results.iter().map(of_named).collect::<Json>())
        .with("command", calculation.command())
        .with("python", python.command())
}

fn of_argument(argument: &Argument) -> Json {
    match &argument.value {
        Some(value) => of_value(argument.flag, value),
        None => of_value(argument.flag, &Value::Word("yes")),
    }
}

fn of_step(step: &Step) -> Json {
    json!({"name": step.name, "chain": step.chain.iter().map(of_named).collect::<Json>()})
}

fn of_named(named: &Named) -> Json {
    of_value(&named.name, &named.value)
}

fn of_value(name: &str, value: &Value) -> Json {
    match value {
        Value::Bytes(_) | Value::Text(_) => json!({"name": name, "hex": value.plain()}),
        Value::Number(_) | Value::Word(_) => json!({"name": name, "word": value.plain()}),
    }
}

fn text(calculation: &Calculation, worked: &Worked) -> String {
    let layout = Layout::of(calculation, worked);
    let mut text = format!("{}\n", bold(calculation.title()));
    text.push_str(&format!("{}\n", dim(calculation.source())));
    for line in calculation.formula().lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&head("inputs"));
    for Argument { flag, value } in calculation.arguments() {
        let value = value.unwrap_or(Value::Word("yes"));
        text.push_str(&layout.row(flag, &[Named { name: "".into(), value }]));
    }
    if !worked.steps.is_empty() {
        text.push_str(&head("steps"));
    }
    for step in &worked.steps {
        text.push_str(&layout.row(&step.name, &step.chain));
    }
    text.push_str(&head("result"));
    for result in &worked.results {
        let nameless = Named { name: "".into(), value: result.value.clone() };
        text.push_str(&layout.row(&result.name, &[nameless]));
    }
    text.trim_end().to_owned()
}

/// The columns of this calculation on this terminal.
struct Layout {
    name_columns: usize,
    line_bytes: usize,
}

impl Layout {
    fn of(calculation: &Calculation, worked: &Worked) -> Self {
        let arguments = calculation.arguments();
        let names = arguments.iter().map(|argument| argument.flag);
        let names = names.chain(worked.steps.iter().map(|step| &*step.name));
        let names = names.chain(worked.results.iter().map(|result| &*result.name));
        let widths = names.map(|name| name.chars().count());
        let widest = widths.filter(|width| *width <= NAME_COLUMNS_MAX).fold(0, usize::max);
        let room = terminal::columns().saturating_sub(widest + 5) / 2;
        // Whole blocks of 8 bytes stand below each other.
        Self { name_columns: widest, line_bytes: (room / 8 * 8).clamp(8, LINE_BYTES_MAX) }
    }

    /// A name and its values: short ones in one line, long ones in lines of hexadecimal.
    fn row(&self, name: &str, chain: &[Named]) -> String {
        let blanks = self.name_columns.saturating_sub(name.chars().count());
        let mut row = format!("  {}{:blanks$}  ", label(name), "");
        if name.chars().count() > self.name_columns {
            row.push_str(&format!("\n{:1$}", "", self.name_columns + 4));
        }
        let indent = " ".repeat(self.name_columns + 4);
        match chain {
            [Named { value: Value::Bytes(bytes) | Value::Text(bytes), .. }] => {
                row.push_str(&self.hex(bytes, &indent));
            }
            chain => row.push_str(&chained(chain)),
        }
        row.push('\n');
        row
    }

    fn hex(&self, bytes: &[u8], indent: &str) -> String {
        if bytes.is_empty() {
            return dim("(no bytes)");
        }
        let plain = Value::Bytes(bytes.to_vec()).plain();
        let digits: Vec<&str> = (0..plain.len())
            .step_by(2 * self.line_bytes)
            .filter_map(|at| plain.get(at..plain.len().min(at + 2 * self.line_bytes)))
            .collect();
        let remark = match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(shown::is_plain) && text.len() > 3 => {
                format!("  {}", dim(&format!("{text:?}")))
            }
            Ok(_) | Err(_) if bytes.len() > self.line_bytes => {
                format!("  {}", dim(&format!("{} bytes", bytes.len())))
            }
            Ok(_) | Err(_) => String::new(),
        };
        digits.join(&format!("\n{indent}")) + &remark
    }
}

/// `in 0123 → E(Key1) 4567 → …`
fn chained(chain: &[Named]) -> String {
    let values = chain.iter().map(|named| {
        let value = named.value.plain();
        if named.name.is_empty() { value } else { format!("{} {value}", dim(&named.name)) }
    });
    values.collect::<Vec<_>>().join(if chain.len() > 1 { "  " } else { "" })
}

fn head(name: &str) -> String {
    format!("\n{}\n", bold(name))
}

fn bold(text: &str) -> String {
    terminal::styled(&io::stdout(), terminal::TITLE, text)
}

fn dim(text: &str) -> String {
    terminal::styled(&io::stdout(), terminal::ASIDE, text)
}

fn label(text: &str) -> String {
    terminal::styled(&io::stdout(), terminal::LABEL, text)
}

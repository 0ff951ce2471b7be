//! A calculation between two frames, as it is drawn.

use ddes_capture::Direction;

use super::html::{count, short, spaced, text};
use crate::calc::{Argument, CalcError, Calculation, Named, Step, Value, Worked};

/// The longest input that a card works on, in bytes: a command line has a bound.
pub(super) const CARD_BYTES_MAX: usize = 4096;
/// Steps of a card that are shown; `ddes calc` shows all.
const STEPS_MAX: usize = 64;

/// Who works it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Both sides, and they come to the same.
    Both,
    /// The client alone.
    Client,
    /// The server alone.
    Server,
}

impl Role {
    pub(super) fn sender(direction: Direction) -> Self {
        match direction {
            Direction::ToServer => Self::Client,
            Direction::ToClient => Self::Server,
        }
    }

    pub(super) fn receiver(direction: Direction) -> Self {
        Self::sender(direction.reverse())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Both => "both sides",
            Self::Client => "the client",
            Self::Server => "the server",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What a result is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where that is, for people.
    pub place: String,
    /// Its anchor on the page.
    pub anchor: String,
    /// The bytes there.
    pub bytes: Vec<u8>,
}

/// A calculation in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its anchor, unique on the page.
    pub anchor: String,
    /// The number of the frame that it follows.
    pub after: u32,
    /// Who works it out.
    pub role: Role,
    /// What it is for.
    pub why: String,
    /// The formula and its inputs.
    pub calculation: Calculation,
    /// What its last result is found to be equal to on the wire.
    pub claim: Option<Claim>,
    /// Whether it is open from the beginning: the others are steps on the way.
    pub is_open: bool,
}

impl Card {
    /// The card, a `details` element.
    pub(super) fn html(&self) -> String {
        let (title, formula) = (self.calculation.title(), self.calculation.formula());
        let (outcome, body) = match self.calculation.work() {
            Ok(worked) => (of_results(&worked), self.worked(&worked)),
            Err(error) => ("does not hold".to_owned(), failed(&error)),
        };
        format!(
            "<details class=\"calc {class}\" id=\"{anchor}\"{open}>\
             <summary><span class=\"calc-title\">{title}</span>\
             <span class=\"calc-outcome\">{outcome}</span></summary>\
             <div class=\"calc-body\"><p class=\"why\">{why} <span class=\"who\">Worked out by {who}.\
             </span></p><pre class=\"formula\">{formula}</pre>{body}{again}\
             <p class=\"source\">{source}</p></div></details>\n",
            class = self.role.class(),
            anchor = text(&self.anchor),
            open = if self.is_open { " open" } else { "" },
            title = text(title),
            why = text(&self.why),
            who = self.role.name(),
            formula = super::html::lines(formula),
            again = self.again(),
            source = text(self.calculation.source()),
        )
    }

    fn worked(&self, worked: &Worked) -> String {
        let inputs: String = self.calculation.arguments().iter().filter_map(input).collect();
        let results: String = worked.results.iter().map(result).collect();
        format!(
            "<dl class=\"inputs\" aria-label=\"inputs\">{inputs}</dl>{}\
             <dl class=\"results\" aria-label=\"result\">{results}</dl>{}",
            of_steps(&worked.steps),
            self.compared(worked)
        )
    }

    /// Whether it is what the wire says.
    fn compared(&self, worked: &Worked) -> String {
        let Some(claim) = &self.claim else { return String::new() };
        let result = worked.results.last().and_then(|result| result.value.bytes());
        let is_equal = result == Some(&claim.bytes);
        let (class, word) =
            if is_equal { ("good", "✓ the same as") } else { ("bad", "✗ not the same as") };
        format!(
            "<p class=\"claim {class}\">{word} <a href=\"#{}\">{}</a></p>",
            text(&claim.anchor),
            text(&claim.place)
        )
    }

    /// The two lines that come to the same.
    fn again(&self) -> String {
        let python = self.calculation.python();
        format!(
            "<div class=\"again\"><h5>Do it yourself</h5>\
             <pre class=\"line\" data-kind=\"shell\" tabindex=\"0\" role=\"group\" \
             aria-label=\"The command\"><code>{}</code></pre>\
             <pre class=\"line\" data-kind=\"python\" data-results=\"{}\" tabindex=\"0\" \
             role=\"group\" aria-label=\"The line of Python\"><code>{}</code></pre></div>",
            text(&self.calculation.command()),
            python.results,
            text(&python.command())
        )
    }
}

fn input(argument: &Argument) -> Option<String> {
    let value = argument.value.as_ref()?;
    Some(format!("<dt>{}</dt><dd>{}</dd>", argument.flag, of_value(value)))
}

fn result(named: &Named) -> String {
    let plain = named.value.plain();
    format!(
        "<dt>{}</dt><dd data-result=\"{plain}\">{}</dd>",
        text(&named.name),
        of_value(&named.value)
    )
}

/// In the summary: short, as a reader compares it.
fn of_results(worked: &Worked) -> String {
    let one = |named: &Named| match named.value.bytes() {
        Some(bytes) => format!("{} <code>{}</code>", text(&named.name), short(bytes)),
        None => format!("{} {}", text(&named.name), text(&named.value.plain())),
    };
    worked.results.iter().map(one).collect::<Vec<_>>().join(" · ")
}

fn failed(error: &CalcError) -> String {
    format!("<p class=\"claim bad\">✗ {}</p>", text(&error.to_string()))
}

fn of_value(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) if bytes.is_empty() => "nothing".to_owned(),
        Value::Bytes(bytes) if bytes.len() > 32 => format!(
            "<code class=\"hex long\" tabindex=\"0\">{}</code> <span class=\"size\">{}</span>",
            spaced(bytes),
            count(bytes.len(), "byte", "bytes")
        ),
        Value::Bytes(bytes) => format!("<code class=\"hex\">{}</code>", spaced(bytes)),
        Value::Text(bytes) => format!("“{}”", text(&String::from_utf8_lossy(bytes))),
        Value::Number(_) | Value::Word(_) => text(&value.plain()),
    }
}

/// Steps of one value as a list, those of several as rows of a table.
fn of_steps(steps: &[Step]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let shown = &steps[..steps.len().min(STEPS_MAX)];
    let mut out = String::from("<div class=\"steps\"><h5>Step by step</h5>");
    let mut rest = shown;
    while let Some(first) = rest.first() {
        let is_row = first.chain.len() > 1;
        let end = rest.iter().position(|step| (step.chain.len() > 1) != is_row);
        let (now, later) = rest.split_at(end.unwrap_or(rest.len()));
        out.push_str(&if is_row { table(now) } else { list(now) });
        rest = later;
    }
    if shown.len() < steps.len() {
        let more = count(steps.len() - shown.len(), "step", "steps");
        out.push_str(&format!("<p class=\"more\">{more} more: the command shows all.</p>"));
    }
    out.push_str("</div>");
    out
}

fn list(steps: &[Step]) -> String {
    let rows = steps.iter().map(|step| {
        let values: String = step.chain.iter().map(|named| of_value(&named.value)).collect();
        format!("<dt>{}</dt><dd>{values}</dd>", text(&step.name))
    });
    format!("<dl>{}</dl>", rows.collect::<String>())
}

fn table(steps: &[Step]) -> String {
    let names = steps.first().map_or(&[][..], |step| &step.chain);
    let head: String =
        names.iter().map(|named| format!("<th scope=\"col\">{}</th>", text(&named.name))).collect();
    let rows: String = steps
        .iter()
        .map(|step| {
            let cells: String = step
                .chain
                .iter()
                .map(|named| format!("<td>{}</td>", of_value(&named.value)))
                .collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", text(&step.name))
        })
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"block by block\"><table>\
         <thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

//! A calculation between two frames, as it is drawn.

use ddes_capture::Direction;

use super::html::{count, heading, short, spaced, text};
use crate::calc::{Argument, CalcError, Calculation, Named, Step, Value, Worked};

/// The longest input that a card works on, in bytes: a command line has a bound.
pub(super) const CARD_BYTES_MAX: usize = 4096;
/// Steps of a card that are shown; `ddes calc` shows all.
const STEPS_MAX: usize = 64;

/// The longest value, in bytes, the longest line, in characters, and the most rows of a table that
/// paper has: nobody types more, and a longer value is a frame's.
const PAPER_BYTES_MAX: usize = 512;
const PAPER_LINE_MAX: usize = 2000;
const PAPER_ROWS_MAX: usize = 16;

/// Who works it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardRole {
    /// Both sides, with the same result.
    Both,
    /// The client alone.
    Client,
    /// The server alone.
    Server,
}

impl CardRole {
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

/// The letters that a card writes a formula in, where the formula of `ddes calc` has one letter for
/// both sides: x and X are the client's, y and Y the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letters {
    /// The formula.
    pub formula: &'static str,
    /// The name of its result.
    pub result: &'static str,
}

impl Letters {
    /// Of the public value that a side sends.
    pub(super) fn public(sender: Direction) -> Self {
        match sender {
            Direction::ToServer => Self { formula: "X = g^x mod p", result: "X" },
            Direction::ToClient => Self { formula: "Y = g^y mod p", result: "Y" },
        }
    }

    /// Of the shared value, with the exponent of this side.
    pub(super) fn shared(own: Direction) -> Self {
        match own {
            Direction::ToServer => Self { formula: "Z = Y^x mod p", result: "Z" },
            Direction::ToClient => Self { formula: "Z = X^y mod p", result: "Z" },
        }
    }
}

/// A calculation in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its anchor, unique on the page.
    pub anchor: String,
    /// What it is about: no other card of the conversation has this title.
    pub title: String,
    /// The number of the frame that it follows.
    pub after: u32,
    /// Who works it out.
    pub role: CardRole,
    /// What it is for.
    pub why: String,
    /// The formula and its inputs.
    pub calculation: Calculation,
    /// The letters of its formula, if they are not those of `ddes calc`.
    pub letters: Option<Letters>,
    /// What its last result is found to be equal to on the wire.
    pub claim: Option<Claim>,
    /// Whether it is open from the beginning: the others are steps on the way.
    pub is_open: bool,
}

impl Card {
    /// What is worked out, without the frame: `hmac` of `frame-4.calc-hmac`.
    pub(super) fn kind(&self) -> &str {
        self.anchor.rsplit_once(".calc-").map_or(&self.anchor, |(_, kind)| kind)
    }

    /// The card, a `details` element. `is_repeat`: one of its kind was shown before, so that paper
    /// has the title alone. `elsewhere` tells the titles of two conversations apart.
    pub(super) fn html(&self, is_repeat: bool, elsewhere: &str) -> String {
        let title = format!("{}{elsewhere}", text(&self.title));
        let (outcome, body) = match self.calculation.work() {
            Ok(worked) => (self.of_results(&worked), self.worked(&worked, &title)),
            Err(error) => ("does not hold".to_owned(), failed(&error)),
        };
        format!(
            "<details class=\"calc {class}{repeat}\" id=\"{anchor}\"{open}>\
             <summary><h4 class=\"calc-title\">{heading}</h4>\
             <span class=\"calc-outcome\">{outcome}</span></summary>\
             <div class=\"calc-body\"><p class=\"why\">{why} \
             <span class=\"who\">Worked out by {who}.\
             </span></p><p class=\"name\">{name}</p><pre class=\"formula\">{formula}</pre>{body}\
             {lines}\
             <p class=\"source\">{source}</p></div></details>\n",
            class = self.role.class(),
            repeat = if is_repeat { " repeat" } else { "" },
            anchor = text(&self.anchor),
            open = if self.is_open { " open" } else { "" },
            heading = heading(&text(&self.title), elsewhere),
            why = text(&self.why),
            who = self.role.name(),
            name = text(self.calculation.title()),
            formula = super::html::lines(self.formula()),
            lines = self.lines(&title),
            source = text(self.calculation.source()),
        )
    }

    fn formula(&self) -> &'static str {
        self.letters.map_or_else(|| self.calculation.formula(), |letters| letters.formula)
    }

    fn result_name<'a>(&self, named: &'a Named) -> &'a str {
        self.letters.map_or(&*named.name, |letters| letters.result)
    }

    fn worked(&self, worked: &Worked, title: &str) -> String {
        let inputs: String = self.calculation.arguments().iter().filter_map(input).collect();
        let results: String = worked.results.iter().map(|named| self.result(named)).collect();
        format!(
            "<dl class=\"inputs\" aria-label=\"inputs: {title}\">{inputs}</dl>{}\
             <dl class=\"results\" aria-label=\"result: {title}\">{results}</dl>{}",
            of_steps(&worked.steps, title),
            self.compared(worked)
        )
    }

    fn result(&self, named: &Named) -> String {
        let plain = named.value.plain();
        format!(
            "<dt>{}</dt><dd data-result=\"{plain}\">{}</dd>",
            text(self.result_name(named)),
            of_value(&named.value)
        )
    }

    /// In the summary: short, as a reader compares it.
    fn of_results(&self, worked: &Worked) -> String {
        let one = |named: &Named| {
            let name = text(self.result_name(named));
            match named.value.bytes() {
                Some(bytes) => format!("{name} <code>{}</code>", short(bytes)),
                None => format!("{name} {}", text(&named.value.plain())),
            }
        };
        worked.results.iter().map(one).collect::<Vec<_>>().join(" · ")
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

    /// The two lines that give the same result.
    fn lines(&self, title: &str) -> String {
        let python = self.calculation.python();
        let line = |line: &str| {
            let is_long = line.len() > PAPER_LINE_MAX;
            let vast = if is_long { " vast" } else { "" };
            let length = count(line.len(), "character", "characters");
            (vast, unprinted(is_long, &format!("{length}: the line is on the page")))
        };
        let (command, program) = (self.calculation.command(), python.command());
        let ((vast, instead), (python_vast, python_instead)) = (line(&command), line(&program));
        format!(
            "<div class=\"again\">{heading}\
             <pre class=\"line{vast}\" data-kind=\"shell\" tabindex=\"0\" role=\"group\" \
             aria-label=\"The command: {title}\"><code>{}</code></pre>{instead}\
             <pre class=\"line{python_vast}\" data-kind=\"python\" data-results=\"{}\" \
             tabindex=\"0\" role=\"group\" aria-label=\"The line of Python: {title}\">\
             <code>{}</code></pre>{python_instead}</div>",
            text(&command),
            python.results,
            text(&program),
            heading = part("Do it yourself", title),
        )
    }
}

/// A heading within a card: whoever hears the headings alone hears of which.
fn part(words: &str, title: &str) -> String {
    format!("<h5>{words}<span class=\"unseen\">: {title}</span></h5>")
}

/// What paper has instead of something that is too long for it; escaped already.
fn unprinted(is_vast: bool, what: &str) -> String {
    if !is_vast {
        return String::new();
    }
    format!("<span class=\"on-paper\">{what}</span>")
}

fn input(argument: &Argument) -> Option<String> {
    let value = argument.value.as_ref()?;
    Some(format!("<dt>{}</dt><dd>{}</dd>", argument.flag, of_value(value)))
}

fn failed(error: &CalcError) -> String {
    format!("<p class=\"claim bad\">✗ {}</p>", text(&error.to_string()))
}

fn of_value(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) if bytes.is_empty() => "nothing".to_owned(),
        Value::Bytes(bytes) if bytes.len() > 32 => {
            let is_vast = bytes.len() > PAPER_BYTES_MAX;
            format!(
                "<code class=\"hex long{}\" tabindex=\"0\">{}</code>{} <span class=\"size\">{}\
                 </span>",
                if is_vast { " vast" } else { "" },
                spaced(bytes),
                unprinted(is_vast, &format!("<code>{}</code>, whole on the page", short(bytes))),
                count(bytes.len(), "byte", "bytes")
            )
        }
        Value::Bytes(bytes) => format!("<code class=\"hex\">{}</code>", spaced(bytes)),
        Value::Text(bytes) => format!("“{}”", text(&String::from_utf8_lossy(bytes))),
        Value::Number(_) | Value::Word(_) => text(&value.plain()),
    }
}

/// Steps of one value as a list, those of several as rows of a table.
fn of_steps(steps: &[Step], title: &str) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let shown = &steps[..steps.len().min(STEPS_MAX)];
    let mut out = format!("<div class=\"steps\">{}", part("Step by step", title));
    let mut tables = 0;
    let mut rest = shown;
    while let Some(first) = rest.first() {
        let is_row = first.chain.len() > 1;
        let end = rest.iter().position(|step| (step.chain.len() > 1) != is_row);
        let (now, later) = rest.split_at(end.unwrap_or(rest.len()));
        tables += u32::from(is_row);
        let nth = if tables > 1 { format!(", table {tables}") } else { String::new() };
        out.push_str(&if is_row { table(now, &format!("{title}{nth}")) } else { list(now) });
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

fn table(steps: &[Step], title: &str) -> String {
    let names = steps.first().map_or(&[][..], |step| &step.chain);
    let head: String =
        names.iter().map(|named| format!("<th scope=\"col\">{}</th>", text(&named.name))).collect();
    let rows: String = steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let vast = if i < PAPER_ROWS_MAX { "" } else { " class=\"vast\"" };
            let cells: String = step
                .chain
                .iter()
                .map(|named| format!("<td>{}</td>", of_value(&named.value)))
                .collect();
            format!("<tr{vast}><th scope=\"row\">{}</th>{cells}</tr>", text(&step.name))
        })
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"block by block: \
         {title}\"><table>\
         <thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>{instead}</div>",
        instead = unprinted(
            steps.len() > PAPER_ROWS_MAX,
            &format!("the first {PAPER_ROWS_MAX} rows, more on the page")
        )
    )
}

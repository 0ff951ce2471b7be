//! Frames and fields for people, as wide as their terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style};
use ddes_capture::{
    Check, Conversation, Conversations, Direction, End, Epoch, Field, FieldValue, Frame,
    OpenedKeys, Plain, Profile, part,
};
use ddes_wire::shown::{self, hex};
use jiff::Timestamp;

use super::{missing, note};
use crate::args::InspectArgs;
use crate::terminal;

/// The widest lines: longer ones are harder to read.
const COLUMNS_MAX: usize = 120;
const COLUMNS_MIN: usize = 40;
/// Room for the name of a field.
const NAME_COLUMNS: usize = 15;
const INDENT: usize = 4;
/// Integers of one 30 that are shown without --full.
const INTEGERS_SHOWN: usize = 8;

const CLIENT: Style = AnsiColor::Cyan.on_default().bold();
const SERVER: Style = AnsiColor::Magenta.on_default().bold();
const PLAIN: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();

/// How to draw.
struct Pen {
    has_colours: bool,
    columns: usize,
    is_full: bool,
}

pub(super) fn write(
    out: &mut impl Write,
    found: &Conversations,
    args: &InspectArgs,
) -> io::Result<()> {
    let stdout = io::stdout();
    let columns = if stdout.is_terminal() { terminal::columns() } else { COLUMNS_MAX };
    let pen = Pen {
        has_colours: terminal::colours(&stdout),
        columns: columns.clamp(COLUMNS_MIN, COLUMNS_MAX),
        is_full: args.full,
    };
    let wanted = |number: u32| args.stream.is_none_or(|stream| stream == number);
    for (index, conversation) in
        found.all.iter().filter(|conversation| wanted(conversation.number)).enumerate()
    {
        if index > 0 {
            writeln!(out)?;
        }
        pen.conversation(out, conversation, args.keys)?;
    }
    Ok(())
}

impl Pen {
    fn conversation(
        &self,
        out: &mut impl Write,
        conversation: &Conversation,
        with_keys: bool,
    ) -> io::Result<()> {
        let suite = match conversation.profile {
            Profile::Classic => String::new(),
            Profile::V2 { suite: Some(suite) } => format!(", suite {}", suite.name()),
            Profile::V2 { suite: None } => ", suite unknown".to_owned(),
        };
        let title =
            format!("Conversation {}: {}{suite}", conversation.number, conversation.profile.name());
        writeln!(out, "{}", self.paint(BOLD, &title))?;
        let (client, server) = (conversation.client.to_string(), conversation.server.to_string());
        writeln!(
            out,
            "  client {}   server {}",
            self.paint(CLIENT, &client),
            self.paint(SERVER, &server)
        )?;
        let end = match conversation.end {
            End::Open => "open where the capture ends",
            End::Closed => "closed",
            End::Reset { by: Direction::ToServer } => "reset by the client",
            End::Reset { by: Direction::ToClient } => "reset by the server",
        };
        let frames = conversation.frames.len();
        writeln!(out, "  {}, {frames} frames, {end}", time(conversation.began))?;
        let state = match (&conversation.session, &conversation.refused) {
            (Some(_), _) => self.paint(GOOD, "decrypted with its secrets"),
            (None, Some(why)) => self.paint(terminal::LOUD, &format!("not decrypted: {why}")),
            (None, None) => "no secrets: this is what an eavesdropper sees".to_owned(),
        };
        writeln!(out, "  {state}")?;
        for line in missing(conversation) {
            writeln!(out, "  {}", self.paint(terminal::LOUD, &line))?;
        }
        if let Some(opened) = conversation.session.as_ref().filter(|_| with_keys) {
            self.keys(out, opened)?;
        }
        for frame in &conversation.frames {
            self.notes(out, conversation, |before| before == frame.number)?;
            self.frame(out, frame)?;
        }
        let last = conversation.frames.last().map_or(0, |frame| frame.number);
        self.notes(out, conversation, |before| before > last)
    }

    fn notes(
        &self,
        out: &mut impl Write,
        conversation: &Conversation,
        is_here: impl Fn(u32) -> bool,
    ) -> io::Result<()> {
        for found in conversation.notes.iter().filter(|note| is_here(note.before_frame)) {
            let who = match found.direction {
                Some(Direction::ToServer) => "client: ",
                Some(Direction::ToClient) => "server: ",
                None => "",
            };
            let text = format!("! {who}{}", note(&found.kind));
            writeln!(out, "\n{}", self.paint(terminal::LOUD, &text))?;
        }
        Ok(())
    }

    fn frame(&self, out: &mut impl Write, frame: &Frame) -> io::Result<()> {
        let (style, way) = match frame.direction {
            Direction::ToServer => (CLIENT, "client ──▶ server"),
            Direction::ToClient => (SERVER, "client ◀── server"),
        };
        let number = format!("#{}", frame.number);
        let at = format!("+{:.6} s", frame.at.as_secs_f64());
        let head = format!("{number:<4} {way}  {}  {}", frame.opcode, frame.name);
        let tail = format!("{at}  {} bytes", frame.bytes.len());
        let free = self.columns.saturating_sub(head.chars().count() + tail.len());
        writeln!(out)?;
        if free >= 2 {
            let space = " ".repeat(free);
            writeln!(out, "{}{space}{}", self.paint(style, &head), self.paint(FAINT, &tail))?;
        } else {
            writeln!(out, "{}", self.paint(style, &head))?;
            writeln!(out, "     {}", self.paint(FAINT, &tail))?;
        }
        // Opcode and length stand in the line above.
        let body = frame.fields.iter().filter(|field| !["opcode", "length"].contains(&field.name));
        for field in body {
            self.field(out, field, &frame.bytes, None)?;
        }
        if let Some(der) = &frame.der {
            for field in &der.fields {
                self.field(out, field, &der.bytes, None)?;
            }
        }
        if let Some(plain) = &frame.plain {
            self.plain(out, plain)?;
        }
        for check in &frame.checks {
            self.check(out, check)?;
        }
        Ok(())
    }

    fn plain(&self, out: &mut impl Write, plain: &Plain) -> io::Result<()> {
        if plain.fields.is_empty() {
            let field = "plaintext";
            return self.bytes(out, field, &plain.bytes, Some(PLAIN));
        }
        for field in &plain.fields {
            self.field(out, field, &plain.bytes, Some(PLAIN))?;
        }
        Ok(())
    }

    fn field(
        &self,
        out: &mut impl Write,
        field: &Field,
        bytes: &[u8],
        style: Option<Style>,
    ) -> io::Result<()> {
        let inside = part(bytes, &field.range);
        let text = match &field.value {
            FieldValue::Integer(integer) => integer.to_string(),
            FieldValue::Named { number, name } => match name {
                Some(name) => format!("{number} {name}"),
                None => format!("{number} unknown"),
            },
            FieldValue::Integers(integers) => self.integers(integers),
            // The lines of a PEM text are its fields below.
            FieldValue::Text(text) if text.contains('\n') => {
                let first = text.lines().next().unwrap_or("");
                format!("{} bytes  {first} …", inside.len())
            }
            FieldValue::Text(text) if text.is_empty() => "(empty)".to_owned(),
            FieldValue::Text(text) => shown::plain(text),
            FieldValue::Bytes => return self.bytes(out, field.name, inside, style),
        };
        let text = self.cut(&text);
        let text = style.map_or_else(|| text.clone(), |style| self.paint(style, &text));
        writeln!(out, "{:INDENT$}{:NAME_COLUMNS$} {text}", "", field.name)
    }

    fn integers(&self, integers: &[i64]) -> String {
        let most = if self.is_full { integers.len() } else { INTEGERS_SHOWN };
        let shown: Vec<_> = integers.iter().take(most).map(ToString::to_string).collect();
        let rest = integers.len() - shown.len();
        let more = if rest > 0 { format!(" … and {rest} more") } else { String::new() };
        format!("{}{more}", shown.join(" "))
    }

    /// Bytes in one line with their middle left out, or all of them in as many as it takes.
    fn bytes(
        &self,
        out: &mut impl Write,
        name: &str,
        bytes: &[u8],
        style: Option<Style>,
    ) -> io::Result<()> {
        let room = self.columns.saturating_sub(INDENT + NAME_COLUMNS + 1);
        let digits = hex(bytes);
        let paint =
            |text: &str| style.map_or_else(|| text.to_owned(), |style| self.paint(style, text));
        if digits.len() <= room {
            return writeln!(out, "{:INDENT$}{name:NAME_COLUMNS$} {}", "", paint(&digits));
        }
        if !self.is_full {
            let note = format!("  {} bytes", bytes.len());
            let each = room.saturating_sub(note.len() + 1) / 4 * 2;
            let front = digits.get(..each).unwrap_or("");
            let back = digits.get(digits.len() - each..).unwrap_or("");
            let text = paint(&format!("{front}…{back}"));
            let note = self.paint(FAINT, &note);
            return writeln!(out, "{:INDENT$}{name:NAME_COLUMNS$} {text}{note}", "");
        }
        let width = (room / 2 * 2).max(2);
        let mut name = name;
        let mut rest = digits.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(width.min(rest.len()));
            writeln!(out, "{:INDENT$}{name:NAME_COLUMNS$} {}", "", paint(line))?;
            (name, rest) = ("", after);
        }
        Ok(())
    }

    fn check(&self, out: &mut impl Write, check: &Check) -> io::Result<()> {
        let (style, mark) =
            if check.passed { (GOOD, "✓") } else { (terminal::LOUD, "✗ FAILED") };
        let rule = check.rule.map_or(String::new(), |rule| format!(" ({rule})"));
        let text = format!("{mark} {}{rule}: {}", check.what.name(), check.detail);
        let text = self.cut_to(&text, self.columns.saturating_sub(INDENT));
        writeln!(out, "{:INDENT$}{}", "", self.paint(style, &text))
    }

    fn keys(&self, out: &mut impl Write, opened: &OpenedKeys) -> io::Result<()> {
        match opened {
            OpenedKeys::Classic(keys) => {
                if let Some(shared) = &keys.shared {
                    self.bytes(out, "shared", shared, Some(PLAIN))?;
                }
                self.bytes(out, "Key1", &keys.key1[..], Some(PLAIN))?;
                self.bytes(out, "Key2", &keys.key2[..], Some(PLAIN))
            }
            OpenedKeys::V2(keys) => {
                if let Some(hash) = &keys.hash {
                    self.bytes(out, "h", hash, Some(PLAIN))?;
                }
                self.epochs(out, "to server", &keys.to_server)?;
                self.epochs(out, "to client", &keys.to_client)
            }
        }
    }

    fn epochs(&self, out: &mut impl Write, way: &str, epochs: &[Epoch]) -> io::Result<()> {
        for (index, epoch) in epochs.iter().enumerate() {
            let first = epoch.first_record;
            // Not by a number alone: beside Key1 and Key2 it reads as one of them.
            let which = match index {
                0 => "first key".to_owned(),
                index => format!("key after rekey {index}"),
            };
            writeln!(out, "{:INDENT$}{which} {way}, from record {first}", "")?;
            self.bytes(out, "  k", &epoch.key[..], Some(PLAIN))?;
            self.bytes(out, "  Key1", &epoch.key1[..], Some(PLAIN))?;
            self.bytes(out, "  Key2", &epoch.key2[..], Some(PLAIN))?;
            self.bytes(out, "  MacKey", &epoch.mac_key[..], Some(PLAIN))?;
            if let Some(key) = &epoch.chacha_key {
                self.bytes(out, "  ChaChaKey", &key[..], Some(PLAIN))?;
            }
        }
        Ok(())
    }

    /// As much of a field's text as the line holds.
    fn cut(&self, text: &str) -> String {
        self.cut_to(text, self.columns.saturating_sub(INDENT + NAME_COLUMNS + 1))
    }

    fn cut_to(&self, text: &str, room: usize) -> String {
        if self.is_full || text.chars().count() <= room {
            return text.to_owned();
        }
        text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// A time since 1970 as RFC 3339, UTC.
pub(super) fn time(since: Duration) -> String {
    let nanos = i128::try_from(since.as_nanos());
    let time = nanos.ok().and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
    time.map_or_else(|| "at an unknown time".to_owned(), |time| time.to_string())
}

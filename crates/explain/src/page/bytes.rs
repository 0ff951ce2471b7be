//! Bytes and their meaning, linked both ways.
//!
//! A field's bytes link to its row, and its name links to its bytes: with links alone the page
//! works by keyboard and without a script. The script marks both sides while one of them has the
//! pointer or the focus.

use std::ops::Range;

use ddes_capture::{Field, FieldValue, part};

use super::attack::FrameMark;
use super::html::{count, lines, short, spaced, text, thousands};

/// Bytes of a frame that are shown; of a longer one its beginning and its end.
const SHOWN_BYTES_MAX: usize = 2048;
const SHOWN_TAIL: usize = 128;
/// Integers of a frame that are listed.
const INTEGERS_MAX: usize = 64;
/// Bytes beside which fields have no room: they stand below, and the bytes in long lines.
const BESIDE_BYTES_MAX: usize = 256;
/// Hues of fields.
const HUES: usize = 6;

/// Bytes with their fields.
pub(super) struct Linked<'a> {
    /// Where its anchors begin: `frame-7`.
    pub(super) anchor: &'a str,
    /// What they are, for whoever cannot see them.
    pub(super) label: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) fields: &'a [Field],
    pub(super) marks: &'a [FrameMark],
}

impl Linked<'_> {
    pub(super) fn html(&self) -> String {
        let mut hex = String::new();
        let mut at = 0;
        for (i, field) in self.fields.iter().enumerate() {
            if field.range.start > at {
                hex.push_str(&self.piece(at..field.range.start, None));
            }
            hex.push_str(&self.piece(field.range.clone(), Some((i, field))));
            at = field.range.end;
        }
        if at < self.bytes.len() {
            hex.push_str(&self.piece(at..self.bytes.len(), None));
        }
        let rows: String =
            self.fields.iter().enumerate().map(|(i, field)| self.row(i, field)).collect();
        format!(
            "<div class=\"linked{tall}\">\
             <div class=\"bytes\" role=\"group\" aria-label=\"{label}, {size}\">\
             {hex}</div><table class=\"fields\"><thead class=\"unseen\"><tr><th scope=\"col\">bytes\
             </th><th scope=\"col\">field</th><th scope=\"col\">value and meaning</th></tr></thead>\
             <tbody>{rows}</tbody></table></div>",
            tall = if self.bytes.len() > BESIDE_BYTES_MAX { " tall" } else { "" },
            label = text(self.label),
            size = count(self.bytes.len(), "byte", "bytes"),
        )
    }

    /// Bytes of one field, or of none.
    fn piece(&self, range: Range<usize>, field: Option<(usize, &Field)>) -> String {
        if range.is_empty() {
            return String::new();
        }
        let inner = self.marked(range.clone());
        match field {
            Some((i, field)) => format!(
                "<a class=\"b h{hue}\" id=\"{anchor}.{name}.bytes\" href=\"#{anchor}.{name}\" \
                 data-f=\"{i}\"><span class=\"unseen\">{name}: </span>{inner}</a> ",
                hue = i % HUES,
                anchor = self.anchor,
                name = field.name,
            ),
            None => format!("<span class=\"b\">{inner}</span> "),
        }
    }

    /// The bytes of a range, its marks around some of them, its middle left out if it is long.
    fn marked(&self, range: Range<usize>) -> String {
        let room = SHOWN_BYTES_MAX.saturating_sub(range.start).max(2 * SHOWN_TAIL);
        if range.len() > room {
            let (head, tail) = (range.start + room - SHOWN_TAIL, range.end - SHOWN_TAIL);
            return format!(
                "{} <span class=\"gap\">… {} not shown …</span> {}",
                self.pieces(range.start..head),
                count(tail - head, "byte", "bytes"),
                self.pieces(tail..range.end)
            );
        }
        self.pieces(range)
    }

    fn pieces(&self, range: Range<usize>) -> String {
        let mut out = Vec::new();
        let mut at = range.start;
        let inside = self
            .marks
            .iter()
            .filter(|mark| range.start <= mark.range.start && mark.range.end <= range.end);
        for mark in inside {
            if mark.range.start > at {
                out.push(self.plain(at..mark.range.start));
            }
            out.push(format!(
                "<span class=\"mark m{}\" data-mark=\"{}\">{}</span>",
                mark.hue,
                text(&mark.label),
                self.plain(mark.range.clone())
            ));
            at = mark.range.end;
        }
        if at < range.end {
            out.push(self.plain(at..range.end));
        }
        out.join(" ")
    }

    fn plain(&self, range: Range<usize>) -> String {
        spaced(self.of(range))
    }

    fn of(&self, range: Range<usize>) -> &[u8] {
        part(self.bytes, &range)
    }

    fn row(&self, i: usize, field: &Field) -> String {
        let Range { start, end } = field.range;
        let place = match end - start {
            0 => format!("{start}"),
            1 => format!("{start}"),
            _ => format!("{start}–{}", end - 1),
        };
        let name = field.name.replace('_', " ");
        let name = if start == end {
            text(&name)
        } else {
            format!(
                "<a href=\"#{anchor}.{field}.bytes\">{name}</a>",
                anchor = self.anchor,
                field = field.name,
                name = text(&name)
            )
        };
        format!(
            "<tr id=\"{anchor}.{field}\" class=\"h{hue}\" data-f=\"{i}\" tabindex=\"-1\">\
             <td class=\"place\">{place}</td><th scope=\"row\">{name}</th>\
             <td><span class=\"value\">{value}</span> <span class=\"meaning\">{meaning}</span></td>\
             </tr>",
            anchor = self.anchor,
            field = field.name,
            hue = i % HUES,
            value = of_value(&field.value, self.of(field.range.clone())),
            meaning = text(field.meaning),
        )
    }
}

fn of_value(value: &FieldValue, bytes: &[u8]) -> String {
    match value {
        FieldValue::Integer(integer) => match usize::try_from(*integer) {
            Ok(number) => thousands(number),
            Err(_) => integer.to_string(),
        },
        FieldValue::Named { number, name: Some(name) } => format!("{number}, {}", text(name)),
        FieldValue::Named { number, name: None } => format!("{number}, which stands for nothing"),
        FieldValue::Integers(integers) => of_integers(integers),
        FieldValue::Text(said) if said.is_empty() => "no text".to_owned(),
        FieldValue::Text(said) if said.contains('\n') => {
            format!("<pre class=\"said\" tabindex=\"0\">{}</pre>", lines(said.trim_end()))
        }
        FieldValue::Text(said) => format!("“{}”", text(said)),
        FieldValue::Bytes => format!("<code>{}</code>", short(bytes)),
    }
}

fn of_integers(integers: &[i64]) -> String {
    let shown: Vec<String> =
        integers.iter().take(INTEGERS_MAX).map(|integer| integer.to_string()).collect();
    let more = integers.len().saturating_sub(INTEGERS_MAX);
    let end = if more == 0 { String::new() } else { format!(" and {} more", thousands(more)) };
    format!("{}{end}", shown.join(", "))
}

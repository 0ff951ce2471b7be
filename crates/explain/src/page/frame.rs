//! One frame as a card in its lane.

use ddes_capture::{Check, Direction, Frame, Plain};

use super::acts::{Act, opcode_name};
use super::attack::{Lesson, Mark};
use super::bytes::Linked;
use super::html::{count, text};

/// A frame with everything that is said about it.
pub(super) struct Shown<'a> {
    pub(super) anchor: String,
    pub(super) frame: &'a Frame,
    pub(super) act: Act,
    pub(super) marks: &'a [Mark],
    pub(super) lessons: &'a [Lesson],
    /// Whether the secrets of the session are known.
    pub(super) is_opened: bool,
}

impl Shown<'_> {
    pub(super) fn html(&self) -> String {
        let Self { anchor, frame, act, .. } = self;
        let (class, from, to) = match frame.direction {
            Direction::ToServer => ("client", "client", "server"),
            Direction::ToClient => ("server", "server", "client"),
        };
        format!(
            "<article class=\"frame {class}\" id=\"{anchor}\" tabindex=\"-1\" \
             aria-labelledby=\"{anchor}.title\">\
             <p class=\"arrow\"><span class=\"from\">{from}</span><span class=\"shaft\" \
             aria-hidden=\"true\"></span><span class=\"unseen\"> to </span>\
             <span class=\"op\">{opcode} · {name}</span>\
             <span class=\"shaft head\" aria-hidden=\"true\"></span><span class=\"to\">{to}</span></p>\
             <div class=\"sheet\"><header><h3 id=\"{anchor}.title\">\
             <a class=\"number\" href=\"#{anchor}\"><span class=\"unseen\">frame </span>{number}</a> \
             {title}</h3><p class=\"when\">{at} · {size}</p></header>\
             <p class=\"story\">{story}</p>{bytes}{der}{inside}{lessons}</div></article>\n",
            opcode = frame.opcode,
            name = opcode_name(frame.opcode),
            number = frame.number,
            title = act.title(),
            at = seconds(frame.at),
            size = count(frame.bytes.len(), "byte", "bytes"),
            story = act.story(),
            bytes = self.wire(),
            der = self.der(),
            inside = self.inside(),
            lessons = self.lessons(),
        )
    }

    fn wire(&self) -> String {
        let linked = Linked {
            anchor: &self.anchor,
            label: "the frame",
            bytes: &self.frame.bytes,
            fields: &self.frame.fields,
            marks: self.marks,
        };
        linked.html()
    }

    /// What the PEM text says, which everybody can read.
    fn der(&self) -> String {
        let Some(der) = &self.frame.der else { return String::new() };
        let anchor = format!("{}.der", self.anchor);
        format!(
            "<section class=\"part\" id=\"{anchor}\"><h4>In the PEM text</h4>{}</section>",
            plain(der, &anchor, "the numbers in the PEM text")
        )
    }

    /// The plaintext and the checks, for the view with the keys.
    fn inside(&self) -> String {
        let anchor = format!("{}.inside", self.anchor);
        let inside = self.frame.plain.as_ref().map_or_else(String::new, |inside| {
            let record = inside.record.map_or_else(String::new, |record| {
                format!(" <span class=\"aside\">record {record} of its direction</span>")
            });
            format!(
                "<section class=\"part inside with-keys\" id=\"{anchor}\"><h4>Inside{record}</h4>{}\
                 </section>",
                plain(inside, &anchor, "the plaintext")
            )
        });
        let is_sealed = self.frame.field("ciphertext").is_some();
        let locked = match (self.frame.plain.is_some(), is_sealed, self.is_opened) {
            (false, true, true) => {
                "<p class=\"locked with-keys\">The keys of this session do not open it.</p>"
            }
            (false, true, false) => {
                "<p class=\"locked with-keys\">Encrypted. This capture holds no secrets.</p>"
            }
            (true, ..) | (_, false, _) => "",
        };
        format!("{inside}{locked}{}", self.checks())
    }

    fn checks(&self) -> String {
        if self.frame.checks.is_empty() {
            return String::new();
        }
        let rows: String = self.frame.checks.iter().map(check).collect();
        format!(
            "<section class=\"part with-keys\"><h4>Checked</h4><ul class=\"checks\">{rows}</ul></section>"
        )
    }

    fn lessons(&self) -> String {
        if self.lessons.is_empty() {
            return String::new();
        }
        let rows: String = self.lessons.iter().map(lesson).collect();
        format!(
            "<section class=\"part lessons with-attack\"><h4>What an attacker learns</h4><ul>{rows}\
             </ul></section>"
        )
    }
}

fn plain(plain: &Plain, anchor: &str, label: &str) -> String {
    Linked { anchor, label, bytes: &plain.bytes, fields: &plain.fields, marks: &[] }.html()
}

fn check(check: &Check) -> String {
    let (class, mark, word) =
        if check.passed { ("good", "✓", "holds") } else { ("bad", "✗", "fails") };
    let rule = check
        .rule
        .map_or_else(String::new, |rule| format!(" <span class=\"rule\">{}</span>", text(rule)));
    format!(
        "<li class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> <b>{}</b>\
         <span class=\"unseen\"> {word}</span>{rule} <span class=\"aside\">{}</span></li>",
        text(check.what.name()),
        text(&check.detail)
    )
}

fn lesson(lesson: &Lesson) -> String {
    let (class, mark) = if lesson.is_flaw { ("flaw", "Learned") } else { ("stands", "Withstands") };
    let rung = lesson.rung.map_or_else(String::new, |rung| {
        format!(" <code class=\"rung\">ddes lab run {rung}</code>")
    });
    format!("<li class=\"{class}\"><b>{mark}.</b> {}{rung}</li>", lesson.html)
}

/// Since the beginning of the conversation.
fn seconds(at: std::time::Duration) -> String {
    format!("+{}.{:06} s", at.as_secs(), at.subsec_micros())
}

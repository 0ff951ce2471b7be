//! One frame as a card in its lane.

use ddes_capture::{Check, Direction, Frame, Plain};

use super::acts::{Act, opcode_name};
use super::attack::{FrameMark, Lesson};
use super::bytes::Linked;
use super::html::{count, heading, text};

/// A frame with everything that is said about it.
pub(super) struct ShownFrame<'a> {
    pub(super) anchor: String,
    pub(super) frame: &'a Frame,
    pub(super) act: Act,
    /// Its heading, which no other frame of the conversation has.
    pub(super) title: &'a str,
    /// What tells it from a frame of the other conversation.
    pub(super) elsewhere: &'static str,
    /// Whether one like it was shown before: paper has less of it.
    pub(super) is_repeat: bool,
    pub(super) marks: &'a [FrameMark],
    /// Those of the numbers in the PEM text.
    pub(super) der_marks: &'a [FrameMark],
    pub(super) lessons: &'a [Lesson],
    /// Whether the secrets of the session are known.
    pub(super) is_opened: bool,
}

impl ShownFrame<'_> {
    pub(super) fn html(&self) -> String {
        let Self { anchor, frame, act, elsewhere, .. } = self;
        let (class, from, to) = match frame.direction {
            Direction::ToServer => ("client", "client", "server"),
            Direction::ToClient => ("server", "server", "client"),
        };
        format!(
            "<article class=\"frame {class}{repeat}\" id=\"{anchor}\" tabindex=\"-1\" \
             aria-labelledby=\"{anchor}.title\">\
             <p class=\"arrow\"><span class=\"from\">{from}</span><span class=\"shaft\" \
             aria-hidden=\"true\"></span><span class=\"unseen\"> to </span>\
             <span class=\"op\">{opcode} · {name}</span>\
             <span class=\"shaft head\" aria-hidden=\"true\"></span><span class=\"to\">{to}</span>\
             </p>\
             <div class=\"sheet\"><header><h3 id=\"{anchor}.title\">\
             <a class=\"number\" href=\"#{anchor}\"><span class=\"unseen\">frame </span>{number}\
             </a> \
             {title}</h3><p class=\"when\">{at} · {size}</p></header>\
             <p class=\"story\">{story}</p>{bytes}{der}{inside}{lessons}</div></article>\n",
            opcode = frame.opcode,
            name = opcode_name(frame.opcode),
            number = frame.number,
            repeat = if self.is_repeat { " repeat" } else { "" },
            title = heading(&text(self.title), elsewhere),
            at = seconds(frame.at),
            size = count(frame.bytes.len(), "byte", "bytes"),
            story = act.story(),
            bytes = self.wire(),
            der = self.der(),
            inside = self.inside(),
            lessons = self.lessons(),
        )
    }

    /// For whoever hears it without its place.
    fn name(&self) -> String {
        format!("frame {}{}", self.frame.number, self.elsewhere)
    }

    /// The heading of a part.
    fn part(&self, words: &str) -> String {
        format!("<h4>{words}<span class=\"unseen\">: {}</span></h4>", self.name())
    }

    fn wire(&self) -> String {
        let linked = Linked {
            anchor: &self.anchor,
            label: &self.name(),
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
            "<section class=\"part\" id=\"{anchor}\">{}{}</section>",
            self.part("In the PEM text"),
            plain(
                der,
                &anchor,
                &format!("the PEM text’s numbers, {}", self.name()),
                self.der_marks
            )
        )
    }

    /// The plaintext and the checks, for the view with the keys.
    fn inside(&self) -> String {
        let (anchor, name) = (format!("{}.inside", self.anchor), self.name());
        let inside = self.frame.plain.as_ref().map_or_else(String::new, |inside| {
            let record = inside.record.map_or_else(String::new, |record| {
                format!(" <span class=\"aside\">record {record} of its direction</span>")
            });
            format!(
                "<section class=\"part inside with-keys\" id=\"{anchor}\"><h4>Inside\
                 <span class=\"unseen\">: {name}</span>{record}</h4>{}</section>",
                plain(inside, &anchor, &format!("the plaintext of {name}"), &[]),
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
            "<section class=\"part with-keys\">{}<ul class=\"checks\">{rows}</ul></section>",
            self.part("Checked")
        )
    }

    fn lessons(&self) -> String {
        if self.lessons.is_empty() {
            return String::new();
        }
        let rows: String = self.lessons.iter().map(lesson).collect();
        format!(
            "<section class=\"part lessons with-attack\">{}<ul>{rows}</ul></section>",
            self.part("What an attacker learns")
        )
    }
}

fn plain(plain: &Plain, anchor: &str, label: &str, marks: &[FrameMark]) -> String {
    Linked { anchor, label, bytes: &plain.bytes, fields: &plain.fields, marks }.html()
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

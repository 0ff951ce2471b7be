//! The whole page.

use std::collections::BTreeSet;

use ddes_capture::{Conversation, Direction, End, Note, NoteKind, Profile};
use sha2::{Digest, Sha256};

use super::acts::{Act, acts, titles};
use super::attack::{AttackMarks, attack, verdict};
use super::beside::{PageSide, beside};
use super::card::Card;
use super::cards::{cards, frame_anchor};
use super::frame::ShownFrame;
use super::html::{count, elsewhere, heading, text, thousands};
use super::{FRAMES_MAX, Sources};

/// Built from web/explain, and committed.
const STYLE: &str = include_str!("../../../../web/explain/dist/explain.css");
const SCRIPT: &str = include_str!("../../../../web/explain/dist/explain.js");

/// Before the anchors of the second conversation.
const OTHER: &str = "other-";

/// The page, HTML in UTF-8.
pub fn document(sources: &Sources<'_>) -> String {
    let Sources { main, file, other } = *sources;
    let is_opened = main.session.is_some();
    let title = format!("{} · {}", main.profile.name(), text(file));
    let attacked = attack(main, "");
    let one = PageSide { conversation: main, attack: &attacked, prefix: "" };
    let mut body = conversation(&one, file, "Frame by frame");
    let mut table = String::new();
    if let Some((second, file)) = other {
        let attacked = attack(second, OTHER);
        let side = PageSide { conversation: second, attack: &attacked, prefix: OTHER };
        table = beside(&one, &side).into_iter().collect();
        body.push_str(&conversation(&side, file, "The other capture"));
    }
    let has_secrets = is_opened || other.is_some_and(|(other, _)| other.session.is_some());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>The illustrated D-DDES · {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#frames\">Skip to the frames</a>\n\
         {top}{views}<main id=\"frames\" \
         tabindex=\"-1\">\n{table}{body}</main>\n{foot}<script>{SCRIPT}</script>\n</body>\n\
         </html>\n",
        policy = policy(),
        top = top(main, file, &attacked),
        views = views(has_secrets),
        foot = foot(),
    )
}

/// Nothing but the style and the script in the page: no request, no frame, no form.
fn policy() -> String {
    let hash = |text: &str| base64(&Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        // Padding is zero bits.
        let mut padded = [0; 4];
        padded[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(padded);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 0x3f) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn top(main: &Conversation, file: &str, attacked: &AttackMarks) -> String {
    let (wire, sentence) = match main.profile {
        Profile::Classic => (
            "the classic wire",
            "This is your own session on the wire of the original programs, byte by byte: a \
             Diffie-Hellman exchange, Double DES, an HMAC, and what each of them fails to protect.",
        ),
        Profile::V2 { .. } => (
            "D-DDES/2",
            "This is your own session on D-DDES/2, byte by byte: a Noise handshake, Double DES in \
             counter mode, and records that prove themselves.",
        ),
    };
    let bytes = main.frames.iter().map(|frame| frame.bytes.len()).sum();
    let suite = match main.profile {
        Profile::V2 { suite: Some(suite) } => {
            format!("<div><dt>suite</dt><dd>{}</dd></div>", suite.name())
        }
        Profile::Classic | Profile::V2 { suite: None } => String::new(),
    };
    let secrets = match (&main.session, &main.refused) {
        (Some(_), _) => "known",
        (None, Some(_)) => "of another session",
        (None, None) => "not in the capture",
    };
    let missing = main.missing_to_server.bytes.saturating_add(main.missing_to_client.bytes);
    let missing = match missing {
        0 => String::new(),
        bytes => format!("<div><dt>missing in the capture</dt><dd>{bytes} bytes</dd></div>"),
    };
    format!(
        "<header class=\"top\"><p class=\"kicker\">The illustrated D-DDES</p><h1>Every byte of \
         {wire}, explained</h1><p class=\"lead\">{sentence}</p><dl class=\"facts\">\
         <div><dt>capture</dt><dd>{}</dd></div>\
         <div><dt>client</dt><dd>{}</dd></div><div><dt>server</dt><dd>{}</dd></div>{suite}\
         <div><dt>frames</dt><dd>{}</dd></div><div><dt>bytes</dt><dd>{}</dd></div>\
         <div><dt>secrets</dt><dd>{secrets}</dd></div>{missing}</dl>{}\
         <p class=\"verdict with-attack\"><b>Without a key:</b> {}</p></header>\n",
        text(file),
        main.client,
        main.server,
        thousands(main.frames.len()),
        thousands(bytes),
        how_to_open(main),
        text(&verdict(main, attacked))
    )
}

/// How the reader gets the rest, where the capture holds no secrets.
fn how_to_open(main: &Conversation) -> String {
    if main.session.is_some() {
        return String::new();
    }
    let refused = main.refused.as_ref().map_or_else(String::new, |why| {
        format!("<p class=\"bad\">The secrets that were tried do not fit: {}</p>", text(why))
    });
    format!(
        "<aside class=\"how\"><h2>This is the eavesdropper’s page</h2>{refused}<p>The capture \
         holds no secrets, so the page shows what anybody on the path sees. To see inside, capture \
         a session of your own with its secrets, and explain that:</p>\
         <pre tabindex=\"0\"><code>ddes send --capture session.pcapng --capture-secrets 42 50\n\
         ddes explain session.pcapng -o page.html</code></pre>\
         <p>With <code>--classic</code> it is the original’s wire. Whoever has such a file reads \
         the session: make it for study only.</p></aside>"
    )
}

fn views(has_secrets: bool) -> String {
    let one = |id: &str, name: &str, hint: &str, is_checked: bool| {
        let checked = if is_checked { " checked" } else { "" };
        format!(
            "<label><input type=\"radio\" name=\"view\" id=\"view-{id}\" value=\"{id}\"{checked}> \
             <span class=\"view-name\">{name}</span> <span class=\"view-hint\">{hint}</span>\
             </label>"
        )
    };
    format!(
        "<form class=\"views\" aria-label=\"views\"><fieldset><legend>Look at it as</legend>{}{}{}\
         </fieldset></form>\n",
        one("wire", "Eavesdropper", "what is on the wire", !has_secrets),
        one("keys", "With the keys", "what is inside, and how", has_secrets),
        one("attack", "Attacker", "what the bytes give away", false)
    )
}

fn conversation(side: &PageSide<'_>, file: &str, heading: &str) -> String {
    let PageSide { conversation, attack, prefix } = side;
    let acts = acts(conversation);
    let titles = titles(conversation, &acts);
    let elsewhere = elsewhere(prefix);
    let is_opened = conversation.session.is_some();
    let mut seen = BTreeSet::new();
    let mut cards = cards(conversation, prefix).into_iter().peekable();
    let mut out = format!(
        "<section class=\"conversation\" aria-labelledby=\"{prefix}title\">\
         <h2 id=\"{prefix}title\">{heading}</h2>{}{}\
         <div class=\"lanes\"><p class=\"lane client\"><b>client</b> {}</p>\
         <p class=\"lane server\">\
         <b>server</b> {}</p>\n",
        file_line(conversation, file),
        ladder(conversation, &titles, prefix),
        conversation.client,
        conversation.server,
    );
    let shown = conversation.frames.iter().zip(&acts).take(FRAMES_MAX);
    for (at, (frame, act)) in shown.enumerate() {
        out.push_str(&notes(conversation, frame.number));
        let shown = ShownFrame {
            anchor: frame_anchor(prefix, frame.number),
            frame,
            act: *act,
            title: titles.get(at).map_or("", String::as_str),
            elsewhere,
            is_repeat: acts.get(..at).is_some_and(|before| before.contains(act)),
            marks: attack.marks.get(at).map_or(&[], Vec::as_slice),
            der_marks: attack.der_marks.get(at).map_or(&[], Vec::as_slice),
            lessons: attack.lessons.get(at).map_or(&[], Vec::as_slice),
            is_opened,
        };
        out.push_str(&shown.html());
        let mut here: Vec<Card> = Vec::new();
        while let Some(card) = cards.next_if(|card| card.after <= frame.number) {
            here.push(card);
        }
        let shown = here.iter().map(|card| {
            // A step on the way is worked out on paper once for each formula.
            let what = if card.is_open { card.kind() } else { card.calculation.title() };
            let is_repeat = !seen.insert((card.is_open.then_some(*act), what.to_owned()));
            card.html(is_repeat, elsewhere)
        });
        out.push_str(&between(*act, &shown.collect::<String>()));
    }
    out.push_str(&ending(conversation));
    out.push_str("</div></section>\n");
    out
}

fn file_line(conversation: &Conversation, file: &str) -> String {
    format!(
        "<p class=\"file\">{}, conversation {} of <b>{}</b></p>",
        conversation.profile.name(),
        conversation.number,
        text(file)
    )
}

/// All frames in one look, each a link.
fn ladder(conversation: &Conversation, titles: &[String], prefix: &str) -> String {
    let rung = |(frame, title): (&ddes_capture::Frame, &String)| {
        let (class, arrow, from) = match frame.direction {
            Direction::ToServer => ("client", "→", "client to server"),
            Direction::ToClient => ("server", "←", "server to client"),
        };
        format!(
            "<li class=\"{class}\"><a href=\"#{}\"><span class=\"n\">{}</span> <span \
             aria-hidden=\"true\">{arrow}</span><span class=\"unseen\">{from}</span> <span \
             class=\"op\">{}</span> {}</a></li>",
            frame_anchor(prefix, frame.number),
            frame.number,
            frame.opcode,
            heading(&text(title), elsewhere(prefix))
        )
    };
    let rungs: String = conversation.frames.iter().zip(titles).take(FRAMES_MAX).map(rung).collect();
    let which = if prefix.is_empty() { "" } else { "other " };
    format!(
        "<nav class=\"ladder\" aria-label=\"frames of the {which}conversation\"><ol>{rungs}</ol>\
         </nav>"
    )
}

/// The calculations behind a frame; for whoever has no keys a line that says that there are some.
fn between(act: Act, cards: &str) -> String {
    let unseen = act.unseen().map_or_else(String::new, |words| {
        format!(
            "<p class=\"locked without-keys\">{words} <span class=\"aside\">Without a key nobody \
             else can.</span></p>"
        )
    });
    if cards.is_empty() {
        return unseen;
    }
    format!("{unseen}<div class=\"between with-keys\">{cards}</div>\n")
}

fn notes(conversation: &Conversation, before: u32) -> String {
    let here = conversation.notes.iter().filter(|note| note.before_frame == before);
    here.map(|note| format!("<p class=\"note\">{}</p>", of_note(note))).collect()
}

fn of_note(note: &Note) -> String {
    let from = match note.direction {
        Some(Direction::ToServer) => " from the client",
        Some(Direction::ToClient) => " from the server",
        None => "",
    };
    match &note.kind {
        NoteKind::Gap { bytes } => format!("The capture misses {bytes} bytes{from} here."),
        NoteKind::Unframed { bytes } => format!("{bytes} bytes{from} belong to no whole frame."),
        NoteKind::Conflict { offset } => format!(
            "A retransmission{from} brought other bytes from offset {offset} on. The first ones \
             count."
        ),
        NoteKind::Midway => "The capture began after the connection.".to_owned(),
        NoteKind::Beyond { frames, bytes } => {
            format!("{frames} more frames{from}, {bytes} bytes, were not kept.")
        }
        NoteKind::TooLong { length } => {
            format!("A header{from} announces {length} bytes: what follows cannot be split.")
        }
        NoteKind::Lost { record } => format!(
            "Record {record}{from} did not open: what follows in its direction is not decrypted."
        ),
        NoteKind::Unchecked { what, why } => {
            format!("The {} in the next frame{from} is not checked: {why}.", what.name())
        }
    }
}

fn ending(conversation: &Conversation) -> String {
    let total = conversation.frames.len();
    let rest = total.saturating_sub(FRAMES_MAX);
    let more = if rest > 0 {
        format!(
            "<p class=\"note\">{} more are not on this page: <code>ddes inspect</code> shows \
             all.</p>",
            count(rest, "frame", "frames")
        )
    } else {
        String::new()
    };
    // Those behind the last frame.
    let behind: String = conversation
        .notes
        .iter()
        .filter(|note| note.before_frame as usize > total)
        .map(|note| format!("<p class=\"note\">{}</p>", of_note(note)))
        .collect();
    let missing: String = [(Direction::ToServer, "client"), (Direction::ToClient, "server")]
        .into_iter()
        .filter(|(direction, _)| conversation.missing(*direction).is_end)
        .map(|(_, sender)| {
            format!(
                "<p class=\"note\">The end of what the {sender} sent is not in the capture.</p>"
            )
        })
        .collect();
    let end = match conversation.end {
        End::Open => "The capture ends here; the connection may not have.",
        End::Closed => "Both sides closed the connection.",
        End::Reset { by: Direction::ToServer } => "The client reset the connection.",
        End::Reset { by: Direction::ToClient } => "The server reset the connection.",
    };
    format!("{more}{behind}{missing}<p class=\"note end\">{end}</p>")
}

fn foot() -> String {
    "<footer class=\"foot\"><p>Made by <code>ddes explain</code> from the bytes of one capture. \
     This page asks nobody for anything: it can be read offline, printed, and kept.</p><p>The \
     lines of Python run in the folder of the sources, with the libraries of \
     <code>peer/requirements.txt</code>. Rules such as C-11 and P-08 are those of PROTOCOL.md.</p>\
     </footer>\n"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, expect) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), expect);
        }
    }
}

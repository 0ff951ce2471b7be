//! The drawings of PROTOCOL.md. In the repository they are lines of characters, which every reader
//! shows; on the site the same lines become elements that fit any width and can be searched.
//!
//! ```text
//!  client                        server        0          4          8
//!    |-- 10  a message ------------>|          +----------+----------+
//!    |<- 20  another --------------|   note   | opcode   | length   |
//!                                              +----------+----------+
//! ```

/// What to show in the place of a block of text, if it is one of these drawings.
pub(super) fn draw(lines: &[&str]) -> Result<Option<String>, String> {
    if lines.iter().any(|line| line.contains("|<- ") || line.contains("|-- ")) {
        sequence(lines).map(Some)
    } else if lines.iter().any(|line| line.trim().starts_with("+--")) {
        fields(lines).map(Some)
    } else {
        Ok(None)
    }
}

/// Messages between two sides, one a line.
fn sequence(lines: &[&str]) -> Result<String, String> {
    let (ends, messages) = lines.split_first().ok_or("a drawing without lines")?;
    let ends: Vec<&str> = ends.split_whitespace().collect();
    let [left, right] = ends[..] else {
        return Err(format!("a drawing of messages begins with its two sides, not with {ends:?}"));
    };
    let mut drawn = format!(
        "<figure class=\"wire\">\n<div class=\"ends\"><b>{left}</b><b>{right}</b></div>\n<ol>\n"
    );
    for line in messages {
        let message = message(line).ok_or_else(|| format!("not a message: {line}"))?;
        let (class, way) = if message.to_right {
            ("to-server", format!("{left} to {right}"))
        } else {
            ("to-client", format!("{right} to {left}"))
        };
        let note = match message.note {
            "" => String::new(),
            note => format!(" <span class=\"note\">{}</span>", escaped(note)),
        };
        drawn += &format!(
            "<li class=\"{class}\"><span class=\"unseen\">{way}: </span><span class=\"op\">{}</span> {}{note}</li>\n",
            escaped(message.opcode),
            escaped(message.text)
        );
    }
    Ok(drawn + "</ol>\n</figure>\n")
}

struct Message<'a> {
    to_right: bool,
    opcode: &'a str,
    text: &'a str,
    note: &'a str,
}

fn message(line: &str) -> Option<Message<'_>> {
    let line = line.trim().strip_prefix('|')?;
    let (arrow, note) = line.rsplit_once('|')?;
    let (to_right, label) = match arrow.strip_prefix("<- ") {
        Some(label) => (false, label.trim_end_matches('-')),
        None => (true, arrow.strip_prefix("-- ")?.strip_suffix('>')?.trim_end_matches('-')),
    };
    let (opcode, text) = label.trim().split_once(' ')?;
    Some(Message { to_right, opcode, text: text.trim(), note: note.trim() })
}

/// Fields of messages: offsets above a frame of one line, and names inside of it.
fn fields(lines: &[&str]) -> Result<String, String> {
    let mut drawn = String::from("<figure class=\"bytes\">\n");
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        rest = after;
        let next = after.first().map_or("", |line| line.trim());
        if next.starts_with("+--") {
            let inside = after[1..].iter().take_while(|line| line.trim().starts_with('|')).count();
            let last = after.get(1 + inside).map_or("", |line| line.trim());
            if inside == 0 || last != next {
                return Err(format!("a frame without an end: {next}"));
            }
            drawn += &frame(line, after[0], &after[1..=inside]);
            rest = &after[2 + inside..];
        } else if !line.trim().is_empty() {
            let what = line.trim().trim_end_matches(':');
            drawn += &format!("<p class=\"what\">{}</p>\n", escaped(what));
        }
    }
    Ok(drawn + "</figure>\n")
}

fn frame(offsets: &str, border: &str, rows: &[&str]) -> String {
    let corners: Vec<usize> = border.match_indices('+').map(|(at, _)| at).collect();
    // Characters, since a name may have some of several bytes; the frame itself has none.
    let piece = |line: &str, from: usize, to: usize| -> String {
        let text: String = line.chars().skip(from).take(to - from).collect();
        text.trim().to_owned()
    };
    let mut drawn = String::from("<ol>\n");
    for (place, pair) in corners.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let names: Vec<String> = rows.iter().map(|row| piece(row, from + 1, to)).collect();
        // Where the last field ends.
        let end = match place + 2 == corners.len() {
            true => format!("<span>{}</span>", escaped(&piece(offsets, to, usize::MAX))),
            false => String::new(),
        };
        drawn += &format!(
            "<li><span class=\"at\">{}{end}</span><span class=\"field\">{}</span></li>\n",
            escaped(&piece(offsets, from, to)),
            escaped(names.join(" ").trim())
        );
    }
    drawn + "</ol>\n"
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_way_their_opcode_and_their_note() {
        let lines = [
            " client                  server",
            "   |-- 10  keys, a <b> ----->|   in the clear",
            "   |<- 20  token ------------|",
        ];
        let drawn = draw(&lines).unwrap().unwrap();
        assert!(drawn.contains("class=\"to-server\"><span class=\"unseen\">client to server: </span><span class=\"op\">10</span> keys, a &lt;b&gt; <span class=\"note\">in the clear</span></li>"), "{drawn}");
        assert!(drawn.contains("class=\"to-client\"><span class=\"unseen\">server to client: </span><span class=\"op\">20</span> token</li>"), "{drawn}");
        assert!(draw(&[" client  server", "   |-- 10  torn"]).is_err());
    }

    #[test]
    fn fields_have_their_offsets() {
        let lines = [
            " 20:",
            " 0        16        2 + D",
            " +--------+---------+",
            " | token  | session |",
            " |        | u64     |",
            " +--------+---------+",
        ];
        let drawn = draw(&lines).unwrap().unwrap();
        assert!(drawn.contains("<p class=\"what\">20</p>"), "{drawn}");
        let first = "<li><span class=\"at\">0</span><span class=\"field\">token</span></li>";
        let last = "<li><span class=\"at\">16<span>2 + D</span></span><span class=\"field\">session u64</span></li>";
        assert!(drawn.contains(first) && drawn.contains(last), "{drawn}");
        assert!(draw(&lines[..5]).is_err());
        assert_eq!(draw(&["anything else"]), Ok(None));
    }
}

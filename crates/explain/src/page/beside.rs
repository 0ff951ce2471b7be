//! The same act on both wires, side by side.

use ddes_capture::{Conversation, Profile};

use super::acts::{Act, acts};
use super::attack::AttackMarks;
use super::cards::frame_link;
use super::html::count;

/// A conversation with the prefix of its anchors.
pub(super) struct PageSide<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) attack: &'a AttackMarks,
    pub(super) prefix: &'a str,
}

/// A row: what is done, and the acts that do it on either wire.
struct ActRow {
    title: &'static str,
    classic: &'static [Act],
    v2: &'static [Act],
    /// What an attacker can do on the classic wire.
    weak: &'static str,
    /// What stops them on the other, with its rule.
    strong: &'static str,
}

const ROWS: &[ActRow] = &[
    ActRow {
        title: "Agree on a key",
        classic: &[Act::ServerKey, Act::ClientKey],
        v2: &[Act::Hello, Act::Answer],
        weak: "Unsigned: a middleman agrees with both sides and reads along.",
        strong: "Every byte goes into one hash, which both sides sign next (P-02, P-15). In hybrid \
                 suites ML-KEM as well.",
    },
    ActRow {
        title: "Say who is there",
        classic: &[],
        v2: &[Act::ServerProof, Act::ClientProof],
        weak: "Nobody does.",
        strong: "Ed25519 signatures inside records: seen by the other side only (P-14, P-16).",
    },
    ActRow {
        title: "Hand out the token",
        classic: &[Act::Token],
        v2: &[Act::Welcome],
        weak: "Under Key1 alone, with a block that is always known: 2^56 trials and no memory.",
        strong: "In a record, and never in the clear (P-10, P-20).",
    },
    ActRow {
        title: "Send an integer",
        classic: &[Act::Integer],
        v2: &[Act::Data],
        weak: "Equal integers make equal frames; a frame sent again counts again; the token is in \
               the clear.",
        strong: "A new keystream for each record, whose number is on no wire (P-05, P-08); each \
                 integer of an account has a number of its own (P-25).",
    },
    ActRow {
        title: "Receive the sum",
        classic: &[Act::Received, Act::Result],
        v2: &[Act::Outcome],
        weak: "The same HMAC key both ways: a reflected 30 passes for a 40. A sum is lost with its \
               connection.",
        strong: "Another key for each direction (P-02); a sum is on the disk before it is sent \
                 (P-32).",
    },
    ActRow {
        title: "Leave",
        classic: &[Act::ClientEnd, Act::ServerEnd],
        v2: &[Act::Farewell],
        weak: "Eight bytes without a key. In the original they end the session of every client.",
        strong: "Inside a record; for all sessions from operators only (P-18, P-22).",
    },
];

/// The table, if the two conversations are of different wires.
pub(super) fn beside(one: &PageSide<'_>, other: &PageSide<'_>) -> Option<String> {
    let is_classic = |side: &PageSide<'_>| side.conversation.profile == Profile::Classic;
    let (classic, v2) = match (is_classic(one), is_classic(other)) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        (true, true) | (false, false) => return None,
    };
    let rows: String = ROWS.iter().map(|row| of_row(row, classic, v2)).collect();
    let repeats = |side: &PageSide<'_>| {
        format!(
            "{} of {}",
            super::html::thousands(side.attack.repeated),
            count(side.attack.compared, "block", "blocks")
        )
    };
    Some(format!(
        "<section class=\"beside\" id=\"beside\" aria-labelledby=\"beside-title\">\
         <h2 id=\"beside-title\">The same act on both wires</h2>\
         <p>Both captures side by side: what each step is made of, what it gives away, and what \
         stops the attack.</p>\
         <div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"both wires\"><table>\
         <thead><tr><td></td><th scope=\"col\">classic</th><th scope=\"col\">D-DDES/2</th></tr>\
         </thead>\
         <tbody>{rows}<tr><th scope=\"row\">Blocks that repeat</th><td data-wire=\"classic\">{}\
         </td><td data-wire=\"D-DDES/2\">{}</td></tr></tbody>\
         </table></div></section>\n",
        repeats(classic),
        repeats(v2)
    ))
}

fn of_row(row: &ActRow, classic: &PageSide<'_>, v2: &PageSide<'_>) -> String {
    format!(
        "<tr><th scope=\"row\">{}</th><td data-wire=\"classic\">{}<p class=\"flaw\">{}</p></td>\
         <td data-wire=\"D-DDES/2\">{}<p class=\"stands\">{}\
         </p></td></tr>",
        row.title,
        frames(classic, row.classic),
        row.weak,
        frames(v2, row.v2),
        row.strong
    )
}

/// The first frame of each act, and how many bytes it takes.
fn frames(side: &PageSide<'_>, wanted: &[Act]) -> String {
    let acts = acts(side.conversation);
    let found = wanted.iter().filter_map(|act| {
        let at = acts.iter().position(|found| found == act)?;
        let frame = side.conversation.frames.get(at)?;
        Some(format!(
            "{}, {}",
            frame_link(side.prefix, frame.number),
            count(frame.bytes.len(), "byte", "bytes")
        ))
    });
    let found: Vec<String> = found.collect();
    if found.is_empty() {
        return String::new();
    }
    format!("<p class=\"frames\">{}</p>", found.join(" · "))
}

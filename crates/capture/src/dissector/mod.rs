//! The dissector for Wireshark: the tables of [`ddes_wire::schema`] in front of a body in Lua.
//!
//! It shows every field of both wires, and with the secrets in a capture what is inside. It needs
//! no exponentiation: a capture states the keys beside what they follow from.

use ddes_wire::schema::{
    FieldKind, FieldSchema, FieldsPlace, MESSAGES, Message, OPCODES, Sender, Size, Suites, Wire,
};

/// What does not depend on the tables: the cryptography, and the protocol for Wireshark.
const BODY: &str = include_str!("body.lua");

const HEAD: &str = "\
-- D-DDES for Wireshark and tshark: both wires, decrypted if the capture holds the secrets.
-- Made by `ddes generate dissector`; do not change it here.
--
-- Wireshark: put it into the folder of personal Lua plugins (Help, About, Folders).
-- tshark:    tshark -X lua_script:ddes.lua -r FILE -V

";

/// The text of the dissector.
pub fn dissector() -> String {
    let mut out = HEAD.to_owned();
    names(&mut out, "local OPCODES = ", OPCODES);
    line(&mut out, "local MESSAGES = {");
    for message in MESSAGES {
        add(&mut out, message);
    }
    line(&mut out, "}\n");
    out.push_str(BODY);
    out
}

fn add(out: &mut String, message: &Message) {
    let wire = match message.wire {
        Wire::Classic => "classic",
        Wire::V2 => "v2",
    };
    let sender = match message.sender {
        Sender::Client => "client",
        Sender::Server => "server",
        Sender::Either => "either",
    };
    let suites = match message.suites {
        Suites::All => "all",
        Suites::Hybrid => "hybrid",
        Suites::Ddes => "ddes",
    };
    let place = match message.place {
        FieldsPlace::Body => "body",
        FieldsPlace::Plaintext => "plaintext",
    };
    line(out, "    {");
    line(out, &format!("        wire = \"{wire}\", sender = \"{sender}\", place = \"{place}\","));
    let (name, opcode) = (unique_name(message), message.opcode);
    line(out, &format!("        name = \"{name}\", opcode = {opcode}, suites = \"{suites}\","));
    line(out, &format!("        title = {},", quoted(message.title)));
    line(out, "        fields = {");
    for field in message.fields {
        add_field(out, field);
    }
    line(out, "        },\n    },");
}

/// Wireshark wants a name of its own for each field: the two forms of a message with suites share
/// none.
fn unique_name(message: &Message) -> String {
    match message.suites {
        Suites::Ddes => format!("{}_ddes", message.name),
        Suites::All | Suites::Hybrid => message.name.to_owned(),
    }
}

fn add_field(out: &mut String, field: &FieldSchema) {
    let bytes = match field.size {
        Size::Bytes(bytes) => bytes.to_string(),
        Size::Group => "\"group\"".to_owned(),
        Size::Rest => "\"rest\"".to_owned(),
    };
    let kind = match field.kind {
        FieldKind::Unsigned | FieldKind::Named(_) => "uint",
        FieldKind::Signed => "signed",
        FieldKind::Integers => "integers",
        FieldKind::Text => "text",
        FieldKind::Uuid => "uuid",
        FieldKind::Bytes => "bytes",
    };
    let name = field.name;
    line(out, &format!("            {{ name = \"{name}\", bytes = {bytes}, kind = \"{kind}\","));
    if let FieldKind::Named(known) = field.kind {
        names(out, "                names = ", known);
        // The table ends its own line.
        out.truncate(out.trim_end().len());
        out.push_str(",\n");
    }
    line(out, &format!("                meaning = {} }},", quoted(field.meaning)));
}

fn names(out: &mut String, before: &str, names: &[(u64, &str)]) {
    let pairs: Vec<String> =
        names.iter().map(|(number, name)| format!("[{number}] = {}", quoted(name))).collect();
    line(out, &format!("{before}{{ {} }}", pairs.join(", ")));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

//! The keys that may connect: a file like OpenSSH's authorized_keys.
//!
//! ```text
//! # a comment
//! ssh-ed25519 AAAA… anna@laptop
//! ddes-role="operator",ddes-name="ops",expiry-time="20271231Z" ssh-ed25519 AAAA… ops
//! ```

use std::collections::HashMap;

use ddes_wire::shown;

use crate::lines::{BLANKS, BYTE_ORDER_MARK, content, fields, numbered};
use crate::{PublicKey, read_public};

/// What an identity may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It may count values.
    #[default]
    Client,
    /// Also end every session of the server.
    Operator,
}

/// The rights of one key in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The role of option `ddes-role`; a client without it.
    pub role: Role,
    /// The name of option `ddes-name`, or the line's comment, as plain text ([`shown::plain`]).
    pub name: Option<String>,
    /// The end of validity from option `expiry-time`, in seconds since 1970 (UTC).
    pub expires: Option<i64>,
}

/// A line that cannot be parsed and grants nothing. The other lines of its file are valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct LineError {
    /// The line's number, from 1.
    pub line: usize,
    /// The reason, as plain text for people ([`shown::plain`]).
    pub why: String,
}

/// A row of a table that grants nothing, and why, as plain text for people ([`shown::plain`]). The
/// other rows of its table are valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RowError(String);

/// A parsed file of authorized keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedKeys(HashMap<PublicKey, Grant>);

impl AuthorizedKeys {
    /// Parses a file. If a key is listed twice, the first line is valid, as in OpenSSH. A line that
    /// cannot be parsed grants nothing, and the other lines are valid.
    pub fn parse(text: impl AsRef<[u8]>) -> (Self, Vec<LineError>) {
        let text = text.as_ref();
        let text = text.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(text);
        let mut keys = Self::default();
        let mut errors = Vec::new();
        for (number, line) in numbered(text) {
            let Some(line) = content(line) else { continue };
            match grant(&line) {
                Ok((key, grant)) => keys.add(key, grant),
                Err(why) => errors.push(LineError { line: number, why: shown::plain(&why) }),
            }
        }
        (keys, errors)
    }

    /// Parses a row of a table of authorized keys: the bytes of its key, and one line as in a file.
    /// A row whose line is another key's grants nothing: which of the two was meant is unknown.
    pub fn parse_row(identity: &[u8], line: &str) -> Result<(PublicKey, Grant), RowError> {
        let mut lines = numbered(line.as_bytes()).filter_map(|(_, line)| content(line));
        let (Some(first), None) = (lines.next(), lines.next()) else {
            return Err(RowError("it has not one line with a key".into()));
        };
        let (key, grant) = grant(&first).map_err(|why| RowError(shown::plain(&why)))?;
        if key.as_bytes() != identity {
            return Err(RowError("its line has another key than its identity".into()));
        }
        Ok((key, grant))
    }

    /// Adds a key, unless it is listed.
    pub fn add(&mut self, key: PublicKey, grant: Grant) {
        self.0.entry(key).or_insert(grant);
    }

    /// Adds another list's keys. For a key in both lists, this list's grant is valid.
    pub fn with(mut self, other: &Self) -> Self {
        for (key, grant) in &other.0 {
            self.add(*key, grant.clone());
        }
        self
    }

    /// The grant of `key`, expired or not.
    pub fn get(&self, key: &PublicKey) -> Option<&Grant> {
        self.0.get(key)
    }

    /// The union of two lists, for while it is unknown which is valid: no right is lost.
    pub fn or(&self, other: &Self) -> Self {
        let mut either = other.clone();
        for (key, grant) in &self.0 {
            either
                .0
                .entry(*key)
                .and_modify(|listed| *listed = grant.or(listed))
                .or_insert(grant.clone());
        }
        either
    }

    /// The grant of `key` at `now`, in seconds since 1970; `None` if it is not listed or expired.
    pub fn find(&self, key: &PublicKey, now: i64) -> Option<&Grant> {
        self.0.get(key).filter(|grant| grant.holds_at(now))
    }

    /// When keys stop being authorized, in seconds since 1970.
    pub fn expiries(&self) -> impl Iterator<Item = i64> {
        self.0.values().filter_map(|grant| grant.expires)
    }

    /// Every key with its grant, expired ones included, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&PublicKey, &Grant)> {
        self.0.iter()
    }

    /// How many keys it lists.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it lists none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Grant {
    /// Whether the key may be used at `now`, in seconds since 1970.
    pub fn holds_at(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// The wider of each right, with the other's name.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let role = if self.role == Role::Operator { Role::Operator } else { other.role };
        let expires = self.expires.zip(other.expires).map(|(one, two)| one.max(two));
        Self { role, name: other.name.clone(), expires }
    }
}

fn grant(line: &str) -> Result<(PublicKey, Grant), String> {
    let (options, key_line) =
        if line.starts_with("ssh-") { ("", line) } else { split_options(line)? };
    let key = read_public(key_line).map_err(|error| error.to_string())?;
    let comment = fields(key_line).skip(2).collect::<Vec<_>>().join(" ");
    let mut grant = Grant { name: name(&comment), ..Grant::default() };
    let mut seen = Vec::new();
    for option in list(options) {
        let (option, value) = option.split_once('=').unwrap_or((option, ""));
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        // Which of the two was meant is unknown.
        if seen.contains(&option) {
            return Err(format!("option '{option}' appears twice, so the key is refused"));
        }
        seen.push(option);
        match (option, value) {
            ("ddes-role", "operator") => grant.role = Role::Operator,
            ("ddes-role", "client") => grant.role = Role::Client,
            ("ddes-role", _) => {
                return Err(format!("no role '{value}'; there are client and operator"));
            }
            ("ddes-name", _) => grant.name = name(&value.replace("\\\"", "\"")),
            ("expiry-time", _) => grant.expires = Some(expiry(value)?),
            // An unknown option may restrict the key.
            _ => {
                return Err(format!(
                    "option '{option}' is not known here, so the key is not taken"
                ));
            }
        }
    }
    Ok((key, grant))
}

/// A name as plain text; `None` if nothing of it is visible.
fn name(text: &str) -> Option<String> {
    Some(shown::plain(text)).filter(|name| !name.trim().is_empty())
}

/// The options end at the first blank outside quotes.
fn split_options(line: &str) -> Result<(&str, &str), String> {
    let end = unquoted(line, &BLANKS).next().ok_or("no key on this line")?;
    Ok((&line[..end], line[end..].trim_start_matches(BLANKS)))
}

fn list(options: &str) -> Vec<&str> {
    let mut start = 0;
    let mut parts: Vec<&str> = unquoted(options, &[','])
        .map(|end| {
            let part = &options[start..end];
            start = end + 1;
            part
        })
        .collect();
    parts.push(&options[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// The offsets of `wanted` characters, all ASCII, outside double quotes. `\"` inside quotes is a
/// quote.
fn unquoted<'a>(text: &'a str, wanted: &'a [char]) -> impl Iterator<Item = usize> + 'a {
    let mut quoted = false;
    let mut before = ' ';
    text.char_indices().filter_map(move |(at, c)| {
        if c == '"' && !(quoted && before == '\\') {
            quoted = !quoted;
        }
        before = c;
        (!quoted && wanted.contains(&c)).then_some(at)
    })
}

/// Parses `YYYYMMDD[HHMM[SS]]Z`. OpenSSH reads a time without the Z as local; here it is an error.
fn expiry(text: &str) -> Result<i64, String> {
    let wrong = || format!("expiry-time '{text}' is not YYYYMMDD[HHMM[SS]]Z (UTC)");
    let digits =
        text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = digits.filter(|digits| [8, 12, 14].contains(&digits.len())).ok_or_else(wrong)?;
    let field = |range| digits.get(range).map_or(Ok(0), str::parse::<i8>).map_err(|_| wrong());
    let year: i16 = digits[..4].parse().map_err(|_| wrong())?;
    let date = jiff::civil::DateTime::new(
        year,
        field(4..6)?,
        field(6..8)?,
        field(8..10)?,
        field(10..12)?,
        field(12..14)?,
        0,
    );
    let time =
        date.and_then(|date| jiff::tz::Offset::UTC.to_timestamp(date)).map_err(|_| wrong())?;
    Ok(time.as_second())
}

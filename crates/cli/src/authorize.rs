//! `ddes authorize`: who may come in, by the list of a home or by the table of a database.

use std::path::Path;

use ddes_identity::{AuthorizedKeys, PublicKey, Role};
use ddes_ledger_postgres::{
    self as postgres, AuthorizedError, AuthorizedRow, DatabaseError, DatabaseUrl,
};
use ddes_wire::shown;

use crate::args::{AuthorizeArgs, AuthorizeCommand, OutputArgs, RoleName};
use crate::failure::{Code, Failure};
use crate::home::{self, Home, flag, read_list};
use crate::keys::public;
use crate::ledger::{self, database, of_connect};
use crate::screen::{Line, Screen};
use crate::streams;

/// The list that is meant.
enum KeyList {
    /// The file of a home, beside the home's own identities.
    Home(Home),
    /// The table of a database, for every server on it.
    Database(Box<DatabaseUrl>),
}

/// A key that a list has, and the name it goes by.
type NamedKey = (PublicKey, Option<String>);

pub(crate) fn run(args: &AuthorizeArgs) -> Result<(), Failure> {
    let is_adding = args.key.is_some()
        || args.name.is_some()
        || args.expires.is_some()
        || args.role != RoleName::Client;
    if args.command.is_some() && is_adding {
        let what = "ls and rm take no key to add, name, role or term";
        return Err(Failure::new(Code::Usage, what).next("ddes authorize --help"));
    }
    let list = KeyList::find(args)?;
    match (&args.command, &args.key) {
        (Some(AuthorizeCommand::Ls), _) => list.show(&args.output),
        (Some(AuthorizeCommand::Rm { which }), _) => list.remove(which, &args.output),
        (None, Some(key)) => list.add(key, args),
        // The parser demands one of them.
        (None, None) => Err(Failure::new(Code::Usage, "which key?").next("ddes authorize --help")),
    }
}

impl KeyList {
    fn find(args: &AuthorizeArgs) -> Result<Self, Failure> {
        let Some(path) = &args.ledger else { return Home::find(&args.home).map(Self::Home) };
        let place = database(path).ok_or_else(|| {
            Failure::new(Code::Usage, "--ledger is for the keys of a database that servers share")
                .cause("the servers of a home let in whom its own list names")
                .next("ddes authorize without it, or --ledger postgres://USER@HOST/DATABASE")
        })?;
        Ok(Self::Database(Box::new(place?)))
    }

    /// The flags that name it once more, for a hint.
    fn flags(&self) -> String {
        match self {
            Self::Home(_) => flag(),
            Self::Database(place) => home::named("--ledger", Path::new(&place.to_string())),
        }
    }

    fn add(&self, text: &str, args: &AuthorizeArgs) -> Result<(), Failure> {
        let (key, line) = line_of(text, args)?;
        let (place, at) = match self {
            Self::Home(home) => {
                let path = home.authorized_keys();
                home.edit(&path, |text| {
                    let mut kept: Vec<u8> = other_lines(text, &key).flatten().copied().collect();
                    if !kept.is_empty() && !kept.ends_with(b"\n") {
                        kept.push(b'\n');
                    }
                    kept.extend(format!("{line}\n").bytes());
                    Ok((kept, ()))
                })?;
                ("file", path.display().to_string())
            }
            Self::Database(place) => {
                postgres::authorize(place, key.as_bytes(), &line)
                    .map_err(|error| self.failure(place, error))?;
                ("ledger", place.to_string())
            }
        };
        let text = format!("authorized {} in {at}", key.fingerprint());
        let line = Line::new("authorized", text).with("fingerprint", key.fingerprint());
        Screen::of(&args.output).show_done(&line.with(place, at))
    }

    fn show(&self, output: &OutputArgs) -> Result<(), Failure> {
        let (keys, faults) = match self {
            Self::Home(home) => home.lists().read(),
            Self::Database(place) => ledger::keys(place, &self.rows(place)?).read(),
        };
        let mut screen = Screen::of(output);
        let mut granted: Vec<_> = keys.iter().collect();
        granted.sort_by_key(|(key, grant)| (grant.name.clone(), key.fingerprint()));
        for (key, grant) in granted {
            let name = grant.name.clone().unwrap_or_else(|| "(no name)".into());
            let role = match grant.role {
                Role::Client => "client",
                Role::Operator => "operator",
            };
            let until = grant
                .expires
                .and_then(|at| jiff::Timestamp::from_second(at).ok())
                .map(|at| at.to_string());
            let shown = until.as_ref().map_or(String::new(), |until| format!("  until {until}"));
            let line = Line::new("grant", format!("{} {role:8} {name}{shown}", key.fingerprint()))
                .with("fingerprint", key.fingerprint())
                .with("key", key.to_openssh())
                .with("role", role)
                .with("name", name)
                .with("expires", until);
            screen.show(&line)?;
        }
        for fault in &faults {
            streams::say(&format!("warning: {fault}"));
        }
        Ok(())
    }

    fn remove(&self, which: &str, output: &OutputArgs) -> Result<(), Failure> {
        let key = match self {
            Self::Home(home) => {
                let (keys, _) = home.lists().read();
                let keys = keys.iter().map(|(key, grant)| (*key, grant.name.clone()));
                let key = self.meant(which, keys)?;
                remove_at_home(home, which, &key)?;
                key
            }
            Self::Database(place) => {
                let rows = self.rows(place)?;
                let key = self.meant(which, rows.iter().filter_map(named_key))?;
                let is_removed = postgres::unauthorize(place, key.as_bytes())
                    .map_err(|error| self.failure(place, error))?;
                if !is_removed {
                    // Between the two.
                    return Err(self.no_key(which, "it was removed by somebody else just now"));
                }
                key
            }
        };
        let text = format!("removed {}", key.fingerprint());
        let line = Line::new("removed", text).with("fingerprint", key.fingerprint());
        Screen::of(output).show_done(&line)
    }

    /// The one key that is called so.
    fn meant(
        &self,
        which: &str,
        keys: impl Iterator<Item = NamedKey>,
    ) -> Result<PublicKey, Failure> {
        let wanted = public(which).ok();
        let is_meant = |(key, name): &NamedKey| {
            Some(*key) == wanted || key.fingerprint() == which || name.as_deref() == Some(which)
        };
        let meant: Vec<_> = keys.filter(is_meant).collect();
        match meant[..] {
            [(key, _)] => Ok(key),
            [] => Err(self.no_key(which, "it was removed already, or goes by another name")),
            _ => Err(Failure::new(Code::No, format!("several keys are authorized as '{which}'"))
                .cause("they have one name: a fingerprint names one key")
                .next(format!("ddes authorize ls{}", self.flags()))),
        }
    }

    fn no_key(&self, which: &str, cause: &str) -> Failure {
        Failure::new(Code::No, format!("no key is authorized as '{which}'"))
            .cause(cause)
            .next(format!("ddes authorize ls{}", self.flags()))
    }

    fn rows(&self, place: &DatabaseUrl) -> Result<Vec<AuthorizedRow>, Failure> {
        postgres::authorized(place).map_err(|error| match error {
            // Nothing was to be changed.
            AuthorizedError::Unknown(why) => of_connect(place, DatabaseError::Unreachable(why)),
            error @ (AuthorizedError::Connect(_) | AuthorizedError::Full) => {
                self.failure(place, error)
            }
        })
    }

    fn failure(&self, place: &DatabaseUrl, error: AuthorizedError) -> Failure {
        match error {
            AuthorizedError::Connect(error) => of_connect(place, error),
            AuthorizedError::Full => {
                Failure::new(Code::No, format!("the database {place}: {error}; nothing is changed"))
                    .cause("servers read no more than that of it")
                    .next(format!("ddes authorize rm KEY{}", self.flags()))
            }
            AuthorizedError::Unknown(why) => {
                Failure::new(Code::Connect, format!("the database {place}: {why}"))
                    .cause("it failed on the way: whether the change was made is unknown")
                    .next("the same command again, which does no harm")
            }
        }
    }
}

/// A row whose line cannot be read has a key still, by which it may be removed.
fn named_key(row: &AuthorizedRow) -> Option<NamedKey> {
    let identity = <&[u8; PublicKey::BYTES]>::try_from(&*row.identity).ok()?;
    let key = PublicKey::new(identity).ok()?;
    let parsed = AuthorizedKeys::parse_row(&row.identity, &row.line);
    Some((key, parsed.ok().and_then(|(_, grant)| grant.name)))
}

/// The line that the flags ask for, as every list has it, and its key.
fn line_of(text: &str, args: &AuthorizeArgs) -> Result<(PublicKey, String), Failure> {
    let key = public(text)?;
    let comment = comment(text).filter(|_| args.name.is_none());
    if let Some(name) = args.name.as_ref().or(comment.as_ref())
        && !name.chars().all(shown::is_plain)
    {
        return Err(Failure::new(
            Code::Usage,
            format!("the name '{name}' has characters that are not seen, or move others"),
        )
        .next("--name NAME     (takes the place of the key's comment)"));
    }
    let mut options = Vec::new();
    if args.role == RoleName::Operator {
        options.push("ddes-role=\"operator\"".to_owned());
    }
    if let Some(name) = &args.name {
        if name.contains(['"', '\\', '\n', '\r']) {
            return Err(Failure::new(
                Code::Usage,
                "a name has no quotes, backslashes or line ends",
            ));
        }
        options.push(format!("ddes-name=\"{name}\""));
    }
    if let Some(expires) = &args.expires {
        options.push(format!("expiry-time=\"{expires}\""));
    }
    let mut line = [options.join(","), key.to_openssh()].join(" ").trim_start().to_owned();
    if let Some(comment) = comment {
        line = format!("{line} {comment}");
    }
    // What is written must be understood by whoever reads it.
    if let Some(error) = AuthorizedKeys::parse(&line).1.first() {
        return Err(Failure::new(Code::Usage, error.why.clone()).next("ddes authorize --help"));
    }
    Ok((key, line))
}

/// Takes the key out of the list of a home.
fn remove_at_home(home: &Home, which: &str, key: &PublicKey) -> Result<(), Failure> {
    let path = home.authorized_keys();
    let text = read_list(&path).map_err(|error| Failure::system("cannot read the list", &error))?;
    if other_lines(&text, key).flatten().count() == text.len() {
        return Err(Failure::new(
            Code::No,
            format!("'{which}' is an identity of this home, which may always connect"),
        )
        .cause(format!("its key lies in {}", home.identities().display()))
        .next("move its files away"));
    }
    home.edit(&path, |text| Ok((other_lines(text, key).flatten().copied().collect(), ())))
}

/// The lines that do not grant `key` anything, each with its end.
fn other_lines<'a>(text: &'a [u8], key: &'a PublicKey) -> impl Iterator<Item = &'a [u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
        .filter(move |line| !AuthorizedKeys::parse(line).0.iter().any(|(listed, _)| listed == key))
}

/// The comment of a line, or of the line in a file.
fn comment(text: &str) -> Option<String> {
    let text =
        if text.starts_with("ssh-") { text.into() } else { read_list(Path::new(text)).ok()? };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.trim_start_matches('\u{feff}').starts_with("ssh-"))?;
    let words: Vec<_> = line.split_whitespace().skip(2).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

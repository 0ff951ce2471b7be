//! `ddes key`, `ddes trust`, `ddes authorize`: who we are, whom we know, who may come in.

use std::path::Path;

use ddes_identity::{AuthorizedKeys, PublicKey, Role, ServerAddress, read_public};
use ddes_wire::{ClientId, shown};
use zeroize::Zeroizing;

use crate::args::{
    AuthorizeArgs, AuthorizeCommand, HomeArgs, IdentityArgs, KeyCommand, OutputArgs, RoleName,
    TrustCommand,
};
use crate::failure::{Code, Failure};
use crate::home::{Home, flag, public_path, read_list, read_public_file};
use crate::screen::{Line, Screen};
use crate::streams;
use crate::who;

pub(crate) fn key(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::New { name, home, output } => {
            let home = Home::find(home)?;
            let path = home.identity(name)?;
            let key = home.new_key(&path, name)?.ok_or_else(|| {
                Failure::new(Code::No, format!("the identity '{name}' exists already"))
                    .cause("it was made before, by this command or by a first connection")
                    .next(format!("ddes key show --as {name}{}", flag()))
            })?;
            let key = key.public();
            show(output, &key, name, &path)
                .map_err(|failure| failure.after(&format!("the identity '{name}' is made")))
        }
        KeyCommand::Show { identity, server_key, home, output } => {
            show_key(identity, *server_key, home, output)
        }
    }
}

/// Where the public half is at hand, the private one is not opened.
fn show_key(
    identity: &IdentityArgs,
    server: bool,
    home: &HomeArgs,
    output: &OutputArgs,
) -> Result<(), Failure> {
    let home = Home::find(home)?;
    let name = match &identity.key {
        Some(path) => path.display().to_string(),
        None => identity.identity.clone().unwrap_or_else(|| crate::home::DEFAULT_IDENTITY.into()),
    };
    let path = match &identity.key {
        _ if server => home.server_key(),
        Some(path) => path.clone(),
        None => home.identity(&name)?,
    };
    let name = if server { "server".to_owned() } else { name };
    let public = public_path(&path);
    let key = if public.exists() {
        read_public_file(&public)?
    } else if server || !path.exists() {
        let (cause, next) = if server {
            let next = format!("ddes serve{}     (makes it at its first start)", flag());
            ("no server has run in this home yet", next)
        } else {
            ("it is misspelt, or in another home", format!("ddes key new NAME{}", flag()))
        };
        let failure = Failure::new(Code::No, format!("there is no key {}", path.display()));
        return Err(failure.cause(cause).next(next));
    } else {
        who::signer(&home, identity, true)?.public()
    };
    show(output, &key, &name, &path)
}

fn show(output: &OutputArgs, key: &PublicKey, name: &str, path: &Path) -> Result<(), Failure> {
    let uuid = ClientId::new(key.uuid());
    let text = format!(
        "{}\n  name         {name}\n  fingerprint  {}\n  UUID         {uuid}\n  file         {}",
        key.to_openssh(),
        key.fingerprint(),
        path.display()
    );
    let line = Line::new("key", if output.quiet { key.to_openssh() } else { text });
    Screen::of(output).show(
        &line
            .with("name", name)
            .with("key", key.to_openssh())
            .with("fingerprint", key.fingerprint())
            .with("uuid", uuid.to_string())
            .with("file", path.display().to_string()),
    )
}

pub(crate) fn trust(command: &TrustCommand) -> Result<(), Failure> {
    match command {
        TrustCommand::Ls { home, output } => {
            let servers = Home::find(home)?.servers()?;
            let mut screen = Screen::of(output);
            for (server, key) in servers.iter() {
                screen.show(&known(server, key))?;
            }
            if servers.iter().next().is_none() && !output.json && !output.quiet {
                streams::say("No server is known yet; the first connection to one asks.");
            }
        }
        TrustCommand::Add { server, key, home, output } => {
            let key = public(key)?;
            Home::find(home)?.edit_servers(|servers| servers.add(server, key))?;
            Screen::of(output).show_done(&known(server, &key))?;
        }
        TrustCommand::Rm { server, home, output } => {
            let count = Home::find(home)?.edit_servers(|servers| servers.remove(server))?;
            if count == 0 {
                return Err(Failure::new(Code::No, format!("no key of {server} is known"))
                    .cause("it was removed already, or is known by another name, port or home")
                    .next(format!("ddes trust ls{}", flag())));
            }
            let text = format!("forgot {server}: {count} key(s)");
            let line =
                Line::new("forgot", text).with("server", server.to_string()).with("keys", count);
            Screen::of(output).show_done(&line)?;
        }
    }
    Ok(())
}

fn known(server: &ServerAddress, key: &PublicKey) -> Line {
    Line::new("known", format!("{server} {}", key.fingerprint()))
        .with("server", server.to_string())
        .with("key", key.to_openssh())
        .with("fingerprint", key.fingerprint())
}

pub(crate) fn authorize(args: &AuthorizeArgs) -> Result<(), Failure> {
    let home = Home::find(&args.home)?;
    let is_adding = args.key.is_some()
        || args.name.is_some()
        || args.expires.is_some()
        || args.role != RoleName::Client;
    match (&args.command, &args.key) {
        (Some(_), _) if is_adding => {
            Err(Failure::new(Code::Usage, "ls and rm take no key to add, name, role or term")
                .next("ddes authorize --help"))
        }
        (Some(AuthorizeCommand::Ls), _) => list(&home, &args.output),
        (Some(AuthorizeCommand::Rm { which }), _) => remove(&home, which, &args.output),
        (None, Some(key)) => add(&home, key, args),
        // The parser demands one of them.
        (None, None) => Err(Failure::new(Code::Usage, "which key?").next("ddes authorize --help")),
    }
}

fn add(home: &Home, text: &str, args: &AuthorizeArgs) -> Result<(), Failure> {
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
    let path = home.authorized_keys();
    home.edit(&path, |text| {
        let mut kept: Vec<u8> = other_lines(text, &key).flatten().copied().collect();
        if !kept.is_empty() && !kept.ends_with(b"\n") {
            kept.push(b'\n');
        }
        kept.extend(format!("{line}\n").bytes());
        Ok((kept, ()))
    })?;
    let text = format!("authorized {} in {}", key.fingerprint(), path.display());
    let line = Line::new("authorized", text).with("fingerprint", key.fingerprint());
    Screen::of(&args.output).show_done(&line.with("file", path.display().to_string()))
}

fn list(home: &Home, output: &OutputArgs) -> Result<(), Failure> {
    let (keys, faults) = home.lists().read();
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

fn remove(home: &Home, which: &str, output: &OutputArgs) -> Result<(), Failure> {
    let (keys, _) = home.lists().read();
    let wanted = public(which).ok();
    let is_meant = |key: &PublicKey, name: Option<&str>| {
        Some(*key) == wanted || key.fingerprint() == which || name == Some(which)
    };
    let meant: Vec<_> = keys
        .iter()
        .filter(|(key, grant)| is_meant(key, grant.name.as_deref()))
        .map(|(key, _)| *key)
        .collect();
    let [key] = meant[..] else {
        let (what, cause) = match meant.is_empty() {
            true => ("no key is", "it was removed already, or goes by another name"),
            false => ("several keys are", "they have one name: a fingerprint names one key"),
        };
        return Err(Failure::new(Code::No, format!("{what} authorized as '{which}'"))
            .cause(cause)
            .next(format!("ddes authorize ls{}", flag())));
    };
    let path = home.authorized_keys();
    let text = read_list(&path).map_err(|error| Failure::system("cannot read the list", &error))?;
    if other_lines(&text, &key).flatten().count() == text.len() {
        return Err(Failure::new(
            Code::No,
            format!("'{which}' is an identity of this home, which may always connect"),
        )
        .cause(format!("its key lies in {}", home.identities().display()))
        .next("move its files away"));
    }
    home.edit(&path, |text| Ok((other_lines(text, &key).flatten().copied().collect(), ())))?;
    let text = format!("removed {}", key.fingerprint());
    Screen::of(output).show_done(&Line::new("removed", text).with("fingerprint", key.fingerprint()))
}

/// A server's key has no passphrase.
pub(crate) fn no_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    Err(Failure::new(
        Code::Identity,
        format!("the server's key {} has a passphrase", path.display()),
    )
    .cause("a server starts without anybody to ask")
    .next(format!("ssh-keygen -p -N '' -f {}", path.display())))
}

/// The lines that do not grant `key` anything, each with its end.
fn other_lines<'a>(text: &'a [u8], key: &'a PublicKey) -> impl Iterator<Item = &'a [u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
        .filter(move |line| !AuthorizedKeys::parse(line).0.iter().any(|(listed, _)| listed == key))
}

/// A public key given as a line or as a file.
pub(crate) fn public(text: &str) -> Result<PublicKey, Failure> {
    if text.starts_with("ssh-") {
        return read_public(text).map_err(|error| {
            Failure::new(Code::Usage, error.to_string())
                .cause("it is not the whole line, or a key of another kind")
                .next("ddes key show, where the key is: the line to copy")
        });
    }
    read_public_file(Path::new(text)).map_err(|failure| {
        failure
            .or_cause("it is not a public key's line, and no file of that name has one")
            .next("a file, or a line 'ssh-ed25519 AAAA...'")
    })
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

//! `ddes key` and `ddes trust`: who we are, and whom we know.

use std::path::Path;

use ddes_identity::{PublicKey, ServerAddress, read_public};
use ddes_wire::ClientId;
use zeroize::Zeroizing;

use crate::args::{HomeArgs, IdentityArgs, KeyCommand, OutputArgs, TrustCommand};
use crate::failure::{Code, Failure};
use crate::home::{Home, flag, public_path, read_public_file};
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

/// A server's key has no passphrase.
pub(crate) fn no_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    Err(Failure::new(
        Code::Identity,
        format!("the server's key {} has a passphrase", path.display()),
    )
    .cause("a server starts without anybody to ask")
    .next(format!("ssh-keygen -p -N '' -f {}", path.display())))
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

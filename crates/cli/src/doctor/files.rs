//! The home: its folders, keys, lists and token, and who may read and write them. No secret is
//! shown.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};
use zeroize::Zeroizing;

use super::Finding;
use crate::folder::refuse_if_shared_at;
use crate::home::{Home, flag, open_at_once, public_path, read_key};
use crate::keys;

const TOPIC: &str = "home";
const KEY: &str = "key";
pub(super) const LISTS: &str = "lists";
const TOKEN: &str = "token";

/// Hexadecimal digits of the token for the HTTP port.
const TOKEN_DIGITS: usize = 64;

/// `has_database` says whether the ledger's database lists keys too.
pub(super) fn look(home: &Home, read_token: Option<&Path>, has_database: bool) -> Vec<Finding> {
    let mut findings = vec![folder(home.folder())];
    if home.identities().exists() {
        findings.push(folder(&home.identities()));
    }
    findings.push(server_key(home));
    findings.extend(lists(home, has_database));
    findings.extend(token(&home.http_token()));
    findings.extend(read_token.and_then(token));
    findings
}

fn folder(path: &Path) -> Finding {
    let shown = path.display();
    match path.try_exists() {
        Ok(false) => return Finding::ok(TOPIC, format!("{shown} is made at the first start")),
        Ok(true) => {}
        Err(error) => {
            return Finding::fail(TOPIC, format!("{shown}: {error}"), format!("ls -ld {shown}"));
        }
    }
    if let Err(failure) = refuse_if_shared_at(path) {
        return Finding::failed(TOPIC, &failure, &format!("chmod 700 {shown}"));
    }
    match access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(TOPIC, format!("{shown} can be written by its owner alone")),
        Err(error) => Finding::fail(
            TOPIC,
            format!("{shown} cannot be read and written by this user: {error}"),
            "run this as its owner; or --home DIR, a folder of your own",
        ),
    }
}

fn server_key(home: &Home) -> Finding {
    let path = home.server_key();
    if path.try_exists().is_ok_and(|exists| !exists) {
        return Finding::warn(
            KEY,
            "the server has no key yet",
            format!("ddes serve{}     (makes it at its first start)", flag()),
        );
    }
    match read_key(&path, keys::no_passphrase) {
        Ok(key) => {
            let shown = key.public().fingerprint();
            if public_path(&path).exists() {
                Finding::ok(
                    KEY,
                    format!("the server's key is {shown}, readable by its owner alone"),
                )
            } else {
                let next = format!("ddes serve{}     (writes it again)", flag());
                Finding::warn(KEY, format!("the public half of the key {shown} is missing"), next)
            }
        }
        Err(failure) => {
            Finding::failed(KEY, &failure, &format!("restore {} from a copy", path.display()))
        }
    }
}

fn lists(home: &Home, has_database: bool) -> Vec<Finding> {
    let (keys, faults) = home.lists().read();
    let path = home.authorized_keys();
    let edit = format!("edit {}", path.display());
    let mut findings: Vec<_> =
        faults.iter().map(|fault| Finding::fail(LISTS, fault.as_str(), edit.as_str())).collect();
    let count = keys.iter().count();
    findings.push(match count {
        0 if has_database => Finding::ok(LISTS, "nobody is listed in this home"),
        0 => Finding::warn(
            LISTS,
            "nobody may connect yet",
            format!("ddes authorize 'ssh-ed25519 AAAA...'{}", flag()),
        ),
        1 => Finding::ok(LISTS, "1 key may connect"),
        count => Finding::ok(LISTS, format!("{count} keys may connect")),
    });
    if let Err(failure) = home.servers() {
        let next = format!("edit {}", home.known_servers().display());
        findings.push(Finding::failed(LISTS, &failure, &next));
    }
    findings
}

/// Nothing where there is none: it is made when the HTTP port is first served.
fn token(path: &Path) -> Option<Finding> {
    let shown = path.display();
    let replace = format!("rm {shown}     (the next start makes another)");
    let file = match open_at_once(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let is_theirs = error.kind() == io::ErrorKind::PermissionDenied;
            let remedy = if is_theirs { "run this as its owner".to_owned() } else { replace };
            return Some(Finding::fail(TOKEN, format!("{shown}: {error}"), remedy));
        }
    };
    let mode = match file.metadata() {
        Ok(metadata) => metadata.mode() & 0o777,
        Err(error) => return Some(Finding::fail(TOKEN, format!("{shown}: {error}"), replace)),
    };
    if mode & 0o077 != 0 {
        let text = format!("{shown} is open to others (mode {mode:03o})");
        return Some(Finding::fail(TOKEN, text, format!("chmod 600 {shown}; better, {replace}")));
    }
    let mut text = Zeroizing::new(Vec::new());
    let most = TOKEN_DIGITS as u64 + 2;
    if let Err(error) = file.take(most).read_to_end(&mut text) {
        return Some(Finding::fail(TOKEN, format!("{shown}: {error}"), replace));
    }
    let digits = text.trim_ascii();
    let is_whole = digits.len() == TOKEN_DIGITS && digits.iter().all(u8::is_ascii_hexdigit);
    Some(if is_whole {
        Finding::ok(TOKEN, format!("{shown} is readable by its owner alone"))
    } else {
        Finding::fail(TOKEN, format!("{shown} is not a token of {TOKEN_DIGITS} digits"), replace)
    })
}

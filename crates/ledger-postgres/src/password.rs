//! Passwords from a file, as libpq has it: `HOST:PORT:DATABASE:USER:PASSWORD`, `*` for any.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use zeroize::Zeroizing;

/// Far more than a person keeps.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The file of passwords cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PasswordError(pub(crate) String);

/// The password for these settings: from `named`, from `PGPASSFILE`, or from `~/.pgpass`. `None` if
/// no line is meant, or there is no such file and nobody has named one.
pub(crate) fn find(
    config: &Config,
    named: Option<&Path>,
) -> Result<Option<Zeroizing<String>>, PasswordError> {
    let of_environment = || std::env::var_os("PGPASSFILE").filter(|path| !path.is_empty());
    let wanted = named.map(Path::to_path_buf).or_else(|| of_environment().map(PathBuf::from));
    let is_wanted = wanted.is_some();
    let own = || std::env::home_dir().map(|home| home.join(".pgpass"));
    let Some(path) = wanted.or_else(own) else { return Ok(None) };
    let wrong = |why: String| PasswordError(format!("{}: {why}", path.display()));
    match read_private(&path)? {
        Some(text) => of_text(&text, config).map_err(wrong),
        None if is_wanted => Err(wrong("it is not there".into())),
        None => Ok(None),
    }
}

/// A file that nobody else reads; `None` if it is not there.
pub(crate) fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, PasswordError> {
    let wrong = |why: String| PasswordError(format!("{}: {why}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.mode();
    if mode & 0o077 != 0 {
        return Err(wrong("others may read or write it: chmod 600".into()));
    }
    // At once, so that no shorter copy of it stays in memory.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(wrong(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(text))
}

fn of_text(text: &str, config: &Config) -> Result<Option<Zeroizing<String>>, String> {
    let hosts: Vec<String> = config.get_hosts().iter().map(name).collect();
    let (user, database) = (config.get_user(), config.get_dbname());
    let mut found: Option<Zeroizing<String>> = None;
    for (at, host) in hosts.iter().enumerate() {
        let ports = config.get_ports();
        let port = ports.get(at).or_else(|| ports.first()).map_or(5432, |port| *port).to_string();
        let wanted = [Some(host.as_str()), Some(&port), database, user];
        let password = text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = fields(line);
            let (password, names) = fields.split_last().filter(|(_, names)| names.len() == 4)?;
            let is_meant = |(field, wanted): (&Zeroizing<String>, &Option<&str>)| {
                field.as_str() == "*" || *wanted == Some(field.as_str())
            };
            names.iter().zip(&wanted).all(is_meant).then(|| Zeroizing::new(password.to_string()))
        });
        match (&found, password) {
            (Some(one), Some(other)) if *one != other => {
                return Err("the hosts of the URL have different passwords there".into());
            }
            (_, Some(password)) => found = Some(password),
            (_, None) => {}
        }
    }
    Ok(found)
}

fn name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        // As libpq: the folder, or localhost for the usual one, which nobody writes.
        Host::Unix(folder) => folder.display().to_string(),
    }
}

/// Five fields; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<Zeroizing<String>> {
    let mut fields = vec![Zeroizing::new(String::with_capacity(line.len()))];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.len();
        let Some(field) = fields.last_mut() else { return fields };
        match character {
            // The password may contain colons.
            ':' if last < 5 => fields.push(Zeroizing::new(String::with_capacity(line.len()))),
            '\\' => field.extend(characters.next()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, url: &str) -> Result<Option<String>, String> {
        let found = of_text(text, &url.parse().unwrap())?;
        Ok(found.map(|password| password.to_string()))
    }

    #[test]
    fn the_first_line_that_is_meant_counts() {
        let text = "\
# a:5432:d:u:comment
b:*:d:u:of b
a:5433:*:u:other port
a:*:d:other:other user
a:5432:d:u:with\\:colon:and\\\\more
*:*:*:*:any
short:line
";
        for (url, password) in [
            ("postgres://u@a/d", "with:colon:and\\more"),
            ("postgres://u@a:5433/x", "other port"),
            ("postgres://u@b:1/d", "of b"),
            ("postgres://v@c/d", "any"),
        ] {
            assert_eq!(found(text, url), Ok(Some(password.into())), "{url}");
        }
        assert_eq!(found("a:*:*:*:x", "postgres://u@c/d"), Ok(None));
        assert!(found(text, "postgres://u@a,b/d").is_err());
        assert_eq!(found("*:*:*:u:x", "postgres://u@a,b/d"), Ok(Some("x".into())));
        assert_eq!(found("/run/pg:*:*:u:x", "postgres://u@%2Frun%2Fpg/d"), Ok(Some("x".into())));
    }
}

//! Connections by name from a file, as libpq has it: `service=NAME` in the URL.
//!
//! ```text
//! [NAME]
//! host=db1,db2
//! dbname=ddes
//! user=ddes
//! password=…
//! ```

use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use zeroize::Zeroizing;

use crate::password::{PasswordError, read_private};

/// What libpq reads from a service, and this program does not.
const LIBPQ: [&str; 12] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "hostaddr",
    "keepalives",
    "options",
    "passfile",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
];

/// A section of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseService {
    path: PathBuf,
    name: String,
}

impl DatabaseService {
    /// In the file that `PGSERVICEFILE` names, or in `~/.pg_service.conf`.
    pub(crate) fn named(name: &str) -> Result<Self, PasswordError> {
        let of_environment = std::env::var_os("PGSERVICEFILE").filter(|path| !path.is_empty());
        let own = || std::env::home_dir().map(|home| home.join(".pg_service.conf"));
        let path = of_environment.map(PathBuf::from).or_else(own).ok_or_else(|| {
            PasswordError("there is no home directory with a file .pg_service.conf".into())
        })?;
        Ok(Self { path, name: name.to_owned() })
    }

    /// Sets what the URL leaves open.
    pub(crate) fn complete(&self, config: &mut Config) -> Result<(), PasswordError> {
        let text = self.read()?;
        let has_hosts = !config.get_hosts().is_empty() || !config.get_hostaddrs().is_empty();
        let has_ports = !config.get_ports().is_empty();
        for (key, value) in self.section(&text)? {
            match key {
                "host" if !has_hosts => value.split(',').for_each(|host| {
                    config.host(host.trim());
                }),
                "port" if !has_ports => {
                    for port in value.split(',') {
                        let port = port.trim().parse();
                        config.port(port.map_err(|_| self.wrong("its port is not a number"))?);
                    }
                }
                "dbname" if config.get_dbname().is_none() => {
                    config.dbname(value);
                }
                "user" if config.get_user().is_none() => {
                    config.user(value);
                }
                "host" | "port" | "dbname" | "user" | "password" => {}
                _ => {
                    // What is no key of libpq's may be a piece of a password.
                    let shown = LIBPQ.iter().find(|known| **known == key);
                    let what = shown.map_or("a key".into(), |known| format!("`{known}`"));
                    let why = format!(
                        "{what} is not read from a service: host, port, dbname, user, password"
                    );
                    return Err(self.wrong(&why));
                }
            }
        }
        Ok(())
    }

    /// The password of the section, if it has one.
    pub(crate) fn password(&self) -> Result<Option<Zeroizing<String>>, PasswordError> {
        let text = self.read()?;
        let found = self.section(&text)?.into_iter().find(|(key, _)| *key == "password");
        Ok(found.map(|(_, value)| Zeroizing::new(value.to_owned())))
    }

    fn wrong(&self, why: &str) -> PasswordError {
        PasswordError(format!("{}, [{}]: {why}", self.path.display(), self.name))
    }

    fn read(&self) -> Result<Zeroizing<String>, PasswordError> {
        let path: &Path = &self.path;
        let text = read_private(path)?;
        text.ok_or_else(|| PasswordError(format!("{} is not there", path.display())))
    }

    fn section<'a>(&self, text: &'a str) -> Result<Vec<(&'a str, &'a str)>, PasswordError> {
        let head = format!("[{}]", self.name);
        let lines = text.lines().map(str::trim);
        let mut lines = lines.skip_while(|line| *line != head);
        if lines.next().is_none() {
            return Err(self.wrong("there is no such section"));
        }
        let mut found = Vec::new();
        for line in lines.take_while(|line| !line.starts_with('[')) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Without the line, which may have a password in it.
            let pair = line.split_once('=').ok_or_else(|| self.wrong("a line is not KEY=VALUE"))?;
            found.push((pair.0.trim(), pair.1.trim()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# comment
[other]
host=x
[ddes]
host = a, b
port=5433

dbname=totals
user=u
password=with=sign
[broken]
no pair
[unknown]
sslmode=prefer
";

    fn service(name: &str) -> DatabaseService {
        DatabaseService { path: "file".into(), name: name.into() }
    }

    #[test]
    fn a_section_is_read_up_to_the_next_one() {
        let found = service("ddes").section(TEXT).unwrap();
        assert_eq!(found.len(), 5);
        assert_eq!((found[0], found[4]), (("host", "a, b"), ("password", "with=sign")));
        assert_eq!(service("other").section(TEXT).unwrap(), [("host", "x")]);
        for (name, why) in [("nowhere", "no such section"), ("broken", "KEY=VALUE")] {
            assert!(service(name).section(TEXT).unwrap_err().0.contains(why));
        }
    }
}

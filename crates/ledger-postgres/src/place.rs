//! Where the database is: a URL without a password in it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ddes_wire::saturating;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::password::{self, PasswordError};
use crate::service::DatabaseService;

/// How long one host may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const USER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A database, as `--ledger postgres://…` names it.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    shown: String,
    passfile: Option<PathBuf>,
    service: Option<DatabaseService>,
    tls: Option<Arc<ClientConfig>>,
    commit: &'static str,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To write: the host that can be written, and time limits that keep locks short.
    Write,
    /// To read where it is written.
    Ask,
    /// To read, from a standby too.
    Audit,
    /// To read or write all of a ledger that nobody else writes: without time limits.
    Move,
}

/// Limits of the database's own on a connection that writes: without the first a server that
/// vanishes holds its locks for ever. A pooler in between may not pass them on.
pub(crate) const LIMITS: [(&str, &str); 3] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "3s"),
    ("statement_timeout", "10s"),
];

/// How long a question to all accounts may take.
const QUESTION_MAX: &str = "60s";

/// A URL that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DatabaseUrlError {
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub next: String,
}

impl DatabaseUrlError {
    fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

const FORM: &str = "--ledger postgres://USER@HOST:5432,HOST:5432/DATABASE";
const SERVICE: &str =
    "~/.pg_service.conf, or the file of PGSERVICEFILE, readable by its user alone";

impl DatabaseUrl {
    /// Whether a text names a database rather than a folder.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Reads a URL. Of the parameters that libpq has, those that would change what a COMMIT means
    /// are not taken.
    pub fn parse(url: &str) -> Result<Self, DatabaseUrlError> {
        let (place, query) = match url.split_once('?') {
            Some((place, query)) => (place, query),
            None => (url, ""),
        };
        let UrlParameters { mode, roots, passfile, service, commit, kept } =
            UrlParameters::parse(query)?;
        let rest = format!("{place}?{}", kept.join("&"));
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            DatabaseUrlError::new(format!("the URL cannot be read: {}", told(&error)), FORM)
        })?;
        if config.get_password().is_some() {
            return Err(password_in_url());
        }
        let of_service = |PasswordError(what)| DatabaseUrlError::new(what, SERVICE);
        let service = service.map(DatabaseService::named).transpose().map_err(of_service)?;
        if let Some(service) = &service {
            service.complete(&mut config).map_err(of_service)?;
        }
        if config.get_user().is_none() {
            return Err(DatabaseUrlError::new("the URL names no user", FORM));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(DatabaseUrlError::new("the URL names no host", FORM));
        }
        if config.get_dbname().is_none() {
            return Err(DatabaseUrlError::new("the URL names no database", FORM));
        }
        let tls = tls(mode, roots.as_deref())?;
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(CONNECT_MAX)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE)
            .keepalives_retries(2)
            .tcp_user_timeout(USER_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("ddes");
        }
        Ok(Self { config, shown: url.to_owned(), passfile, service, tls, commit })
    }

    /// Whether nothing but this machine is between a server and the database.
    pub fn is_local(&self) -> bool {
        let is_loopback = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
        };
        let hosts = self.config.get_hosts();
        if self.config.get_hostaddrs().is_empty() {
            hosts.iter().all(is_loopback)
        } else {
            self.config.get_hostaddrs().iter().all(IpAddr::is_loopback)
        }
    }

    /// Whether the connection is encrypted, and the database's certificate checked.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }

    /// Whom servers connect as.
    pub(crate) fn user(&self) -> &str {
        // `parse` refuses a URL without one.
        self.config.get_user().unwrap_or("ddes")
    }

    /// What `synchronous_commit` is to be.
    pub(crate) fn commit(&self) -> &'static str {
        self.commit
    }

    /// How long all hosts may take together.
    pub(crate) fn patience(&self) -> Duration {
        let hosts = self.config.get_hosts().len().max(self.config.get_hostaddrs().len());
        // Each is tried in turn; then come the password and the first answers.
        CONNECT_MAX.saturating_mul(saturating::to_u32(hosts as u64)).saturating_add(CONNECT_MAX * 2)
    }

    /// The settings of a connection. The password is read anew each time: it may have changed.
    pub(crate) fn config(&self, purpose: Purpose) -> Result<Config, PasswordError> {
        let mut config = self.config.clone();
        let (options, attributes) = match purpose {
            Purpose::Write => {
                let limits = LIMITS.map(|(name, value)| format!(" -c {name}={value}")).concat();
                (
                    format!(
                        "-c synchronous_commit={} -c plan_cache_mode=force_generic_plan{limits}",
                        self.commit
                    ),
                    TargetSessionAttrs::ReadWrite,
                )
            }
            Purpose::Ask => {
                (format!("-c statement_timeout={QUESTION_MAX}"), TargetSessionAttrs::ReadWrite)
            }
            Purpose::Audit => {
                ("-c default_transaction_read_only=on".to_owned(), TargetSessionAttrs::Any)
            }
            Purpose::Move => (
                format!(
                    "-c synchronous_commit={} -c lock_timeout=10s -c statement_timeout=0 \
                     -c idle_in_transaction_session_timeout=0",
                    self.commit
                ),
                TargetSessionAttrs::ReadWrite,
            ),
        };
        config.options(options).target_session_attrs(attributes);
        let of_service = self.service.as_ref().map(DatabaseService::password).transpose()?;
        let found = match of_service.flatten() {
            Some(found) => Some(found),
            None => password::find(&config, self.passfile.as_deref())?,
        };
        if let Some(found) = found {
            config.password(found.as_bytes());
        }
        Ok(config)
    }
}

/// The parameters of a URL.
struct UrlParameters<'a> {
    mode: Option<&'a str>,
    roots: Option<PathBuf>,
    passfile: Option<PathBuf>,
    service: Option<&'a str>,
    commit: &'static str,
    /// Those that the client takes as they are.
    kept: Vec<&'a str>,
}

impl<'a> UrlParameters<'a> {
    fn parse(query: &'a str) -> Result<Self, DatabaseUrlError> {
        let mut found = Self {
            mode: None,
            roots: None,
            passfile: None,
            service: None,
            commit: "on",
            kept: Vec::new(),
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or_else(|| {
                DatabaseUrlError::new("a parameter of the URL is not NAME=VALUE", FORM)
            })?;
            match name {
                "sslmode" => found.mode = Some(value),
                "sslrootcert" => found.roots = Some(PathBuf::from(unescaped(value)?)),
                "passfile" => found.passfile = Some(PathBuf::from(unescaped(value)?)),
                "service" => found.service = Some(value),
                "synchronous_commit" => found.commit = commit(value)?,
                "password" => return Err(password_in_url()),
                "host" | "hostaddr" | "port" | "dbname" | "user" | "application_name"
                | "channel_binding" => found.kept.push(parameter),
                _ => {
                    let what = format!("`{name}` is not a parameter of this URL");
                    let next = "host, port, user, dbname, application_name, channel_binding, \
                                sslmode, sslrootcert, passfile, service, synchronous_commit";
                    return Err(DatabaseUrlError::new(what, next));
                }
            }
        }
        Ok(found)
    }
}

fn commit(value: &str) -> Result<&'static str, DatabaseUrlError> {
    match value {
        "on" => Ok("on"),
        "remote_apply" => Ok("remote_apply"),
        _ => {
            let what = format!(
                "with synchronous_commit={value} a server would acknowledge what is not durable"
            );
            Err(DatabaseUrlError::new(what, "synchronous_commit=on or remote_apply"))
        }
    }
}

/// What is asked for of TLS; `None` for none.
fn tls(
    mode: Option<&str>,
    roots: Option<&Path>,
) -> Result<Option<Arc<ClientConfig>>, DatabaseUrlError> {
    match mode {
        None | Some("disable") if roots.is_some() => {
            let what = "sslrootcert is of no use without TLS";
            Err(DatabaseUrlError::new(what, "sslmode=verify-full with it"))
        }
        None | Some("disable") => Ok(None),
        Some("verify-full") => client(roots).map(Some),
        Some(other) => {
            let what = format!(
                "sslmode={other} does not check who answers, so that it hides a database from \
                 nobody in between"
            );
            Err(DatabaseUrlError::new(what, "sslmode=verify-full&sslrootcert=FILE"))
        }
    }
}

fn password_in_url() -> DatabaseUrlError {
    DatabaseUrlError::new(
        "the URL has a password in it, which every user of this machine could read",
        "~/.pgpass, or passfile=FILE in the URL: a line HOST:PORT:DATABASE:USER:PASSWORD",
    )
}

/// TLS that checks the certificate and the name in it.
fn client(roots: Option<&Path>) -> Result<Arc<ClientConfig>, DatabaseUrlError> {
    let next = "sslrootcert=FILE: certificates in PEM of whoever signed the database's";
    let Some(path) = roots else {
        return Err(DatabaseUrlError::new(
            "sslmode=verify-full does not say whom to believe",
            next,
        ));
    };
    let shown = path.display();
    let wrong = |why: String| DatabaseUrlError::new(format!("{shown}: {why}"), next);
    let mut store = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("there is no certificate in it".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

/// A value in which `%2F` stands for `/`.
fn unescaped(value: &str) -> Result<String, DatabaseUrlError> {
    let wrong = || DatabaseUrlError::new(format!("`{value}` is not text with %XX in it"), FORM);
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// An error of the client with its cause, which its own text leaves out.
pub(crate) fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(of_database) => {
            format!("{} (SQLSTATE {})", of_database.message(), of_database.code().code())
        }
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

impl fmt::Display for DatabaseUrl {
    /// The URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        DatabaseUrl::parse(url).map(|place| place.to_string()).unwrap_err().what
    }

    #[test]
    fn a_url_has_several_hosts_and_no_password() {
        let url =
            "postgres://ddes@a.example:5432,b.example:5433/totals?synchronous_commit=remote_apply";
        let place = DatabaseUrl::parse(url).unwrap();
        assert_eq!(place.config.get_hosts().len(), 2);
        assert_eq!(place.config.get_ports(), [5432, 5433]);
        assert_eq!((place.to_string(), place.commit()), (url.to_owned(), "remote_apply"));
        assert!(!place.is_local() && !place.is_encrypted());
        for url in [
            "postgres://u@127.0.0.1/d",
            "postgres://u@[::1]/d",
            "postgres://u@localhost:1/d",
            "postgres://u@%2Frun%2Fpostgresql/d",
            "postgresql:///d?host=/run/postgresql&user=u",
        ] {
            assert!(DatabaseUrl::parse(url).unwrap().is_local(), "{url}");
        }
        for url in [
            "postgres://ddes:secret@a/totals",
            "postgres://ddes@a/totals?password=secret",
            "postgres://ddes:@a/totals",
        ] {
            assert!(refused(url).contains("has a password in it"), "{url}");
        }
    }

    #[test]
    fn what_would_weaken_a_commit_or_check_nobody_is_refused() {
        for (url, why) in [
            ("postgres://a/d", "names no user"),
            ("postgres://u@a", "names no database"),
            ("postgres:///d?user=u", "names no host"),
            ("postgres://u@a/d?synchronous_commit=off", "not durable"),
            ("postgres://u@a/d?options=-c%20fsync%3Doff", "not a parameter"),
            ("postgres://u@a/d?target_session_attrs=any", "not a parameter"),
            ("postgres://u@a/d?sslmode=require", "does not check who answers"),
            ("postgres://u@a/d?sslmode=prefer", "does not check who answers"),
            ("postgres://u@a/d?sslmode=verify-full", "whom to believe"),
            ("postgres://u@a/d?sslrootcert=/x", "without TLS"),
            ("postgres://u@a/d?sslmode=verify-full&sslrootcert=/nowhere", "/nowhere"),
            ("postgres://u@a/d?passfile=%2", "%XX"),
            ("postgres://u@a:b/d", "cannot be read"),
        ] {
            assert!(refused(url).contains(why), "{url}: {}", refused(url));
        }
    }
}

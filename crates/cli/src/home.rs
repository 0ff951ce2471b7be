//! Where keys and trust are kept: `--home DIR`, else the XDG directories.

#[cfg_attr(windows, path = "home/files_windows.rs")]
mod files;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ddes_client::credentials::is_identity_name;
pub(crate) use ddes_client::credentials::{DEFAULT_IDENTITY, open_at_once};
use ddes_identity::{FILE_BYTES_MAX, KnownServers, PublicKey, SigningKey, read_private};
use zeroize::Zeroizing;

use crate::args::HomeArgs;
use crate::failure::{Code, Failure};
use crate::folder::{OpenFolder, parent, refuse_if_shared_at};
use crate::replace::{New, create, replace};
use files::lock;

/// Held by whoever changes a list.
const LOCK: &str = "lock";
/// A list of servers or keys may have so many bytes.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) struct Home {
    folder: PathBuf,
    data: PathBuf,
}

/// The `--home` of this process, which the commands of its hints repeat.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// ` --home DIR`, where this process was given one.
pub(crate) fn flag() -> String {
    NAMED.get().map_or_else(String::new, |home| named("--home", home))
}

/// ` FLAG PATH`, quoted for a shell where it has to be.
pub(crate) fn named(flag: &str, path: &Path) -> String {
    format!(" {flag} {}", quoted(path))
}

/// A path, quoted for a shell where it has to be.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/-_.,:@+=~".contains(c);
    match path.chars().all(is_plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

impl Home {
    /// Refuses a home that others can write.
    pub(crate) fn find(args: &HomeArgs) -> Result<Self, Failure> {
        let home = Self::locate(args)?;
        for folder in [&home.folder, &home.identities()] {
            refuse_if_shared_at(folder)?;
        }
        Ok(home)
    }

    /// The home, whoever may write it: for a look at it only.
    pub(crate) fn locate(args: &HomeArgs) -> Result<Self, Failure> {
        if let Some(home) = args.home.as_ref().filter(|home| !home.as_os_str().is_empty()) {
            NAMED.get_or_init(|| home.clone());
        }
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let place = |variable, below: &str| {
            let folder =
                args.home.clone().or_else(|| set(variable).map(|folder| folder.join("ddes")));
            let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(below)));
            folder.filter(|folder| !folder.as_os_str().is_empty()).ok_or_else(|| {
                Failure::new(Code::Usage, "there is no home directory to keep keys in")
                    .next("--home DIR")
            })
        };
        let folder = place("XDG_CONFIG_HOME", ".config/ddes")?;
        Ok(Self { folder, data: place("XDG_DATA_HOME", ".local/share/ddes")? })
    }

    /// The folder of keys and lists.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The secret of the HTTP port.
    pub(crate) fn http_token(&self) -> PathBuf {
        self.folder.join("http-token")
    }

    /// Where the server of this home keeps its ledger.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.data.join("ledger")
    }

    /// The ledgers that its servers have counted in.
    pub(crate) fn known_ledgers(&self) -> PathBuf {
        self.folder.join("known_ledgers")
    }

    /// Where the servers of this home take requests of its commands.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.data.join("run")
    }

    pub(crate) fn identities(&self) -> PathBuf {
        self.folder.join("identities")
    }

    /// The private key file of an identity.
    pub(crate) fn identity(&self, name: &str) -> Result<PathBuf, Failure> {
        if is_identity_name(name) {
            return Ok(self.identities().join(name));
        }
        Err(Failure::new(Code::Usage, format!("'{name}' cannot be the name of an identity"))
            .cause("the name is that of a file in the home")
            .next("letters, digits and -_.@, for example --as kitchen"))
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.folder.join("server_key")
    }

    pub(crate) fn known_servers(&self) -> PathBuf {
        self.folder.join("known_servers")
    }

    pub(crate) fn authorized_keys(&self) -> PathBuf {
        self.folder.join("authorized_keys")
    }

    /// What was counted from here without an outbox.
    pub(crate) fn counted(&self) -> PathBuf {
        self.folder.join("counted")
    }

    /// Who may connect to a server of this home, beside those whom a database lists.
    #[cfg(unix)]
    pub(crate) fn lists(&self) -> ddes_server::Lists {
        ddes_server::Lists {
            authorized_keys: self.authorized_keys(),
            identities: self.identities(),
            database: None,
        }
    }

    /// The key in `path`, made if there is none; whether it was made. `secret` opens an encrypted
    /// one.
    pub(crate) fn key_or_new(
        &self,
        path: &Path,
        comment: &str,
        secret: impl FnOnce(&Path) -> Result<Zeroizing<Vec<u8>>, Failure>,
    ) -> Result<(SigningKey, bool), Failure> {
        if !path.try_exists().map_err(|error| unusable(path, &error))?
            && let Some(key) = self.new_key(path, comment)?
        {
            return Ok((key, true));
        }
        let key = read_key(path, secret)?;
        let public = public_path(path);
        // A crash may have come between the two files, and servers go by the public one.
        if !public.try_exists().map_err(|error| unusable(&public, &error))? {
            write_public(&public, &key, comment)?;
        }
        Ok((key, false))
    }

    /// A fresh key in `path` and its public half in `path.pub`; `None` if there is one already.
    pub(crate) fn new_key(
        &self,
        path: &Path,
        comment: &str,
    ) -> Result<Option<SigningKey>, Failure> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())
            .map_err(|error| Failure::system("the system gives no randomness", &error))?;
        let key = SigningKey::from_seed(&seed);
        let text = key.to_openssh(comment).map_err(|error| unusable(path, &error))?;
        make_folder(parent(path))?;
        let made = create(path, text.as_bytes(), New::PRIVATE);
        if !made.map_err(|error| error.failure(Code::Identity, path))? {
            return Ok(None);
        }
        write_public(&public_path(path), &key, comment)?;
        Ok(Some(key))
    }

    pub(crate) fn servers(&self) -> Result<KnownServers, Failure> {
        let path = self.known_servers();
        let text = read_list(&path).map_err(|error| unusable(&path, &error))?;
        KnownServers::parse(&text).map_err(|error| {
            Failure::new(Code::Identity, format!("{}: {error}", path.display()))
                .cause("a server key that cannot be read must not pass as a server never met")
                .next("mend or remove that line")
        })
    }

    /// Reads a list, changes its text, and puts it back whole; one process at a time.
    pub(crate) fn edit<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), Failure>,
    ) -> Result<T, Failure> {
        let folder = make_folder(&self.folder)?;
        let lock = lock(&folder).map_err(|error| unusable(&self.folder.join(LOCK), &error))?;
        let text = read_list(path).map_err(|error| unusable(path, &error))?;
        let (changed, result) = change(&text)?;
        if changed == text {
            // Whoever wrote it may have been killed before this.
            folder.sync().map_err(|error| unusable(path, &error))?;
        } else {
            replace(path, &changed, New::PRIVATE)
                .map_err(|error| error.failure(Code::Identity, path))?;
        }
        drop(lock);
        Ok(result)
    }

    /// Changes what is known of servers.
    pub(crate) fn edit_servers<T>(
        &self,
        change: impl FnOnce(&mut KnownServers) -> T,
    ) -> Result<T, Failure> {
        self.edit(&self.known_servers(), |_| {
            // Read under the lock: another process may have changed it.
            let mut servers = self.servers()?;
            let result = change(&mut servers);
            Ok((servers.to_bytes(), result))
        })
    }
}

/// The private key of a file that is its owner's alone.
pub(crate) fn read_key(
    path: &Path,
    secret: impl FnOnce(&Path) -> Result<Zeroizing<Vec<u8>>, Failure>,
) -> Result<SigningKey, Failure> {
    let file = open_at_once(path).map_err(|error| unusable(path, &error))?;
    files::refuse_if_open_to_others(path, &file)?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| unusable(path, &error))?;
    let bad = |error: ddes_identity::KeyFileError| {
        Failure::new(Code::Identity, format!("{}: {error}", path.display()))
    };
    match read_private(&text, None) {
        Ok(key) => Ok(key),
        Err(ddes_identity::KeyFileError::Encrypted) => {
            let passphrase = secret(path)?;
            read_private(&text, Some(&passphrase)).map_err(bad)
        }
        Err(error) => Err(bad(error)),
    }
}

/// The public key of a `.pub` file.
pub(crate) fn read_public_file(path: &Path) -> Result<PublicKey, Failure> {
    let mut text = Vec::new();
    let read = open_at_once(path)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text));
    read.map_err(|error| unusable(path, &error))?;
    ddes_identity::read_public(&text)
        .map_err(|error| Failure::new(Code::Identity, format!("{}: {error}", path.display())))
}

fn write_public(path: &Path, key: &SigningKey, comment: &str) -> Result<(), Failure> {
    let line = format!("{} {comment}\n", key.public().to_openssh());
    replace(path, line.as_bytes(), New::PUBLIC).map_err(|error| error.failure(Code::Identity, path))
}

pub(crate) fn public_path(private: &Path) -> PathBuf {
    sibling(private, ".pub")
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// A list that is not there is empty.
pub(crate) fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match open_at_once(path) {
        Ok(file) => file.take(LIST_BYTES_MAX + 1).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    // A part of a list must not be written back as the whole.
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {LIST_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn make_folder(path: &Path) -> Result<OpenFolder, Failure> {
    let folder = OpenFolder::make(path).map_err(|error| unusable(path, &error))?;
    folder.refuse_if_shared()?;
    Ok(folder)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Identity, format!("{}: {error}", path.display()))
        .next("--home DIR puts keys and trust elsewhere")
}

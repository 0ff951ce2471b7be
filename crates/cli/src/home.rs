//! Where keys and trust are kept: `--home DIR`, else the XDG directories.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ddes_identity::{FILE_BYTES_MAX, KnownServers, PublicKey, SigningKey, read_private};
use ddes_server::Lists;
use zeroize::Zeroizing;

use crate::args::HomeArgs;
use crate::failure::{Code, Failure};

/// The name of the identity that is used where none is named.
pub(crate) const DEFAULT_IDENTITY: &str = "default";

const NAME_CHARS_MAX: usize = 64;
/// A list of servers or keys may have so many bytes.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) struct Home {
    folder: PathBuf,
    data: PathBuf,
}

impl Home {
    pub(crate) fn find(args: &HomeArgs) -> Result<Self, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let place = |variable, below: &str| {
            let folder = args.home.clone().or_else(|| set(variable).map(|folder| folder.join("ddes")));
            let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(below)));
            folder.filter(|folder| !folder.as_os_str().is_empty()).ok_or_else(|| {
                Failure::new(Code::Usage, "there is no home directory to keep keys in").next("--home DIR")
            })
        };
        let folder = place("XDG_CONFIG_HOME", ".config/ddes")?;
        Ok(Self { folder, data: place("XDG_DATA_HOME", ".local/share/ddes")? })
    }

    /// Where the server of this home keeps its ledger.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.data.join("ledger")
    }

    pub(crate) fn identities(&self) -> PathBuf {
        self.folder.join("identities")
    }

    /// The private key file of an identity.
    pub(crate) fn identity(&self, name: &str) -> Result<PathBuf, Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        let fits = (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(plain);
        if fits && !name.starts_with(['.', '-']) && !name.ends_with(".pub") {
            return Ok(self.identities().join(name));
        }
        Err(Failure::new(Code::Usage, format!("'{name}' is no name for an identity"))
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

    /// Who may connect to a server of this home.
    pub(crate) fn lists(&self) -> Lists {
        Lists { authorized_keys: self.authorized_keys(), identities: self.identities() }
    }

    /// The key in `path`, made if there is none; whether it was made. `secret` opens an encrypted one.
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
    pub(crate) fn new_key(&self, path: &Path, comment: &str) -> Result<Option<SigningKey>, Failure> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())
            .map_err(|error| Failure::system("the system gives no randomness", &error))?;
        let key = SigningKey::from_seed(&seed);
        let text = key.to_openssh(comment).map_err(|error| unusable(path, &error))?;
        make_folder(path.parent().unwrap_or(&self.folder))?;
        if !create(path, text.as_bytes(), 0o600).map_err(|error| unusable(path, &error))? {
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
        change: impl FnOnce(&str) -> Result<(String, T), Failure>,
    ) -> Result<T, Failure> {
        make_folder(&self.folder)?;
        let lock = self.folder.join("lock");
        let unusable = |error: io::Error| unusable(path, &error);
        let lock = options(0o600).truncate(false).open(lock).map_err(unusable)?;
        lock.lock().map_err(unusable)?;
        let text = read_list(path).map_err(unusable)?;
        let (changed, result) = change(&text)?;
        if changed != text {
            replace(path, changed.as_bytes(), 0o600).map_err(unusable)?;
        }
        Ok(result)
    }

    /// Changes what is known of servers.
    pub(crate) fn edit_servers<T>(&self, change: impl FnOnce(&mut KnownServers) -> T) -> Result<T, Failure> {
        self.edit(&self.known_servers(), |_| {
            // Read under the lock: another process may have changed it.
            let mut servers = self.servers()?;
            let result = change(&mut servers);
            Ok((servers.to_text(), result))
        })
    }
}

/// The private key of a file that is its owner's alone.
pub(crate) fn read_key(
    path: &Path,
    secret: impl FnOnce(&Path) -> Result<Zeroizing<Vec<u8>>, Failure>,
) -> Result<SigningKey, Failure> {
    let file = File::open(path).map_err(|error| unusable(path, &error))?;
    let mode = file.metadata().map_err(|error| unusable(path, &error))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            Code::Identity,
            format!("the private key {} is open to others (mode {mode:03o})", path.display()),
        )
        .cause("whoever can read it can act as its owner")
        .next(format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(|error| unusable(path, &error))?;
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
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| unusable(path, &error))?;
    ddes_identity::read_public(&text)
        .map_err(|error| Failure::new(Code::Identity, format!("{}: {error}", path.display())))
}

fn write_public(path: &Path, key: &SigningKey, comment: &str) -> Result<(), Failure> {
    let line = format!("{} {comment}\n", key.public().to_openssh());
    replace(path, line.as_bytes(), 0o644).map_err(|error| unusable(path, &error))
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
pub(crate) fn read_list(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(LIST_BYTES_MAX + 1).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    // A part of a list must not be written back as the whole.
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {LIST_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| unusable(folder, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Identity, format!("{}: {error}", path.display()))
        .next("--home DIR puts keys and trust elsewhere")
}

fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(mode);
    options
}

/// Makes the file whole or not at all; whether it was not there before.
fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let new = sibling(path, &format!(".new-{}", std::process::id()));
    let mut file = options(mode).truncate(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// The old file or the new one, whatever happens on the way.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Of this process: another one may be at the same file.
    let new = sibling(path, &format!(".new-{}", std::process::id()));
    let mut file = options(mode).truncate(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

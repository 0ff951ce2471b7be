//! Whose identity a client has, and which keys its server may have, as people name them: names,
//! paths, fingerprints and lines. A program says these in a configuration or in its arguments.

#[cfg_attr(windows, path = "credentials/files_windows.rs")]
mod files;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ddes_identity::{
    FILE_BYTES_MAX, KeyFileError, KnownServers, LineError, PublicKey, ServerAddress, read_private,
    read_public,
};
use zeroize::Zeroizing;

use crate::class::FailureClass;
use crate::signer::Signer;
use files::mode_open_to_others;
pub use files::open_at_once;

/// The identity that is used where none is named.
pub const DEFAULT_IDENTITY: &str = "default";

const IDENTITIES: &str = "identities";
const NAME_CHARS_MAX: usize = 64;
/// A list of servers may have so many bytes.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Characters of SHA-256 in base 64, without padding.
const FINGERPRINT_DIGITS: usize = 43;
/// What the text of a private key has in it (OpenSSH's PROTOCOL.key).
const PRIVATE_KEY: &str = "-----BEGIN ";

/// Why an identity or a server's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There is neither a home directory nor one that was named.
    #[error("there is no home directory to look for keys in")]
    NoHome,
    /// It cannot be the name of an identity.
    #[error(
        "'{0}' cannot be the name of an identity: letters, digits and -_.@; a path has a slash, \
         as ./{0}"
    )]
    Name(String),
    /// The home has no identity of that name.
    #[error(
        "there is no identity '{name}' in {folder}: `ddes key new {name}` makes it; a path has a \
         slash, as ./{name}",
        folder = .folder.display()
    )]
    NoIdentity {
        /// The name that was looked for.
        name: String,
        /// The folder of the identities.
        folder: PathBuf,
    },
    /// A file could not be read.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error that the system returned.
        error: io::Error,
    },
    /// A private key that others can read is no secret.
    #[error(
        "the private key {} is open to others (mode {mode:03o}): chmod 600 {}",
        .path.display(), .path.display()
    )]
    Open {
        /// The path of the file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file holds no key that can be used.
    #[error("{}: {error}", .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyFileError,
    },
    /// A text is no key that can be used. The text is not repeated: it may be a secret.
    #[error("the key that was given as text: {0}")]
    Text(KeyFileError),
    /// A public key stands for one that an ssh-agent holds, and there is none.
    #[error("{} needs an ssh-agent, and SSH_AUTH_SOCK is not set", .0.display())]
    NoAgent(PathBuf),
    /// A list of servers has a line that cannot be read: the line might be about this server.
    #[error("{}: {error}", .path.display())]
    List {
        /// The path of the list.
        path: PathBuf,
        /// The line, and what is wrong with it.
        error: LineError,
    },
    /// It looks like a fingerprint and is none.
    #[error("a fingerprint has {FINGERPRINT_DIGITS} characters behind SHA256:")]
    Fingerprint,
    /// No key of the server is known: nothing is sent to a stranger.
    #[error(
        "no key of {server} is known: `ddes key show --server-key` shows it on the server's \
         machine, and `ddes trust add {server} KEY` keeps it here"
    )]
    Stranger {
        /// The server.
        server: ServerAddress,
    },
}

impl CredentialError {
    /// What kind of failure it is.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NoHome | Self::Name(_) | Self::Fingerprint => FailureClass::Usage,
            Self::NoIdentity { .. }
            | Self::Io { .. }
            | Self::Open { .. }
            | Self::File { .. }
            | Self::Text(_)
            | Self::NoAgent(_)
            | Self::List { .. }
            | Self::Stranger { .. } => FailureClass::Identity,
        }
    }
}

/// Where `ddes` keeps the keys and lists of a user.
#[derive(Clone, Debug)]
pub struct ClientHome {
    folder: PathBuf,
}

impl ClientHome {
    /// The folder that is `named`, else DDES_HOME, else `ddes` below XDG_CONFIG_HOME, else
    /// ~/.config/ddes.
    pub fn locate(named: Option<&Path>) -> Result<Self, CredentialError> {
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = named.map(Path::to_owned).or_else(|| set("DDES_HOME"));
        let folder = folder.or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("ddes")));
        let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".config/ddes")));
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        folder.map(|folder| Self { folder }).ok_or(CredentialError::NoHome)
    }

    /// The private key file of the identity `name`.
    pub fn identity(&self, name: &str) -> Result<PathBuf, CredentialError> {
        if !is_identity_name(name) {
            return Err(CredentialError::Name(name.to_owned()));
        }
        Ok(self.folder.join(IDENTITIES).join(name))
    }

    /// The list of the servers that are known here.
    pub fn known_servers(&self) -> PathBuf {
        self.folder.join("known_servers")
    }
}

/// Whether an identity of a home may have this name, which is that of its file.
pub fn is_identity_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let fits = (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(plain);
    fits && !name.starts_with(['.', '-']) && !name.ends_with(".pub")
}

/// The signer that `given` names: the text of a private key in OpenSSH's format; a path, which has
/// a slash; or the name of an identity of `home`. The path of a `.pub` file stands for the key that
/// the ssh-agent at SSH_AUTH_SOCK holds. `passphrase` opens an encrypted key.
pub fn identity(
    given: &OsStr,
    home: &ClientHome,
    passphrase: Option<&[u8]>,
) -> Result<Signer, CredentialError> {
    match given.to_str() {
        // No path has a line feed, and what may be a secret is in no error.
        Some(text) if text.contains(PRIVATE_KEY) || text.contains('\n') => {
            let key = read_private(text.trim_start().as_bytes(), passphrase);
            key.map(Signer::Key).map_err(CredentialError::Text)
        }
        Some(name) if !name.contains('/') => {
            let path = home.identity(name)?;
            if !path.try_exists().map_err(|error| unusable(&path, error))? {
                let folder = home.folder.join(IDENTITIES);
                return Err(CredentialError::NoIdentity { name: name.to_owned(), folder });
            }
            private_file(&path, passphrase)
        }
        Some(_) | None => identity_file(Path::new(given), passphrase),
    }
}

/// The signer of a key file, wherever it is: [`identity`] for a path that may have no slash.
pub fn identity_file(path: &Path, passphrase: Option<&[u8]>) -> Result<Signer, CredentialError> {
    if path.extension().is_none_or(|extension| extension != "pub") {
        return private_file(path, passphrase);
    }
    let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
    let socket = socket.ok_or_else(|| CredentialError::NoAgent(path.to_owned()))?;
    let text = read_file(path, FILE_BYTES_MAX as u64).map_err(|error| unusable(path, error))?;
    let key = read_public(&text)
        .map_err(|error| CredentialError::File { path: path.to_owned(), error })?;
    Ok(Signer::Agent { socket: socket.into(), key })
}

fn private_file(path: &Path, passphrase: Option<&[u8]>) -> Result<Signer, CredentialError> {
    let file = open_at_once(path).map_err(|error| unusable(path, error))?;
    if let Some(mode) = mode_open_to_others(&file).map_err(|error| unusable(path, error))? {
        return Err(CredentialError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| unusable(path, error))?;
    let key = read_private(&text, passphrase);
    key.map(Signer::Key).map_err(|error| CredentialError::File { path: path.to_owned(), error })
}

/// A key that a server may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedKey {
    /// This key.
    Key(PublicKey),
    /// The key with this fingerprint: `SHA256:` and 43 characters.
    Fingerprint(String),
}

/// The keys that `server` may have by what is `given`: a fingerprint `SHA256:…`; the line of a
/// public key; or a path, as [`trust_file`] has it.
pub fn trust(given: &OsStr, server: &ServerAddress) -> Result<Vec<TrustedKey>, CredentialError> {
    match given.to_str().map(str::trim) {
        Some(text) if text.starts_with("SHA256:") => {
            let fingerprint = fingerprint(text).ok_or(CredentialError::Fingerprint)?;
            Ok(vec![TrustedKey::Fingerprint(fingerprint)])
        }
        Some(line) if line.starts_with("ssh-") => {
            let key = read_public(line).map_err(CredentialError::Text)?;
            Ok(vec![TrustedKey::Key(key)])
        }
        Some(_) | None => trust_file(Path::new(given), server),
    }
}

/// The keys that `server` may have by a file: the one public key in it, or those of the server in a
/// list of known servers. There may be none.
pub fn trust_file(path: &Path, server: &ServerAddress) -> Result<Vec<TrustedKey>, CredentialError> {
    let text = read_file(path, LIST_BYTES_MAX).map_err(|error| unusable(path, error))?;
    if let Ok(key) = read_public(&text) {
        return Ok(vec![TrustedKey::Key(key)]);
    }
    let servers = KnownServers::parse(&text)
        .map_err(|error| CredentialError::List { path: path.to_owned(), error })?;
    let known = servers.iter().filter(|(known, _)| *known == server);
    Ok(known.map(|(_, key)| TrustedKey::Key(*key)).collect())
}

/// The keys of `server` that `home` knows. There may be none.
pub fn trust_of_home(
    home: &ClientHome,
    server: &ServerAddress,
) -> Result<Vec<TrustedKey>, CredentialError> {
    match trust_file(&home.known_servers(), server) {
        // No server is known yet.
        Err(CredentialError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        known => known,
    }
}

/// A fingerprint as it is compared, or `None` where the text cannot be one.
pub fn fingerprint(text: &str) -> Option<String> {
    let digits = text.strip_prefix("SHA256:")?.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    // The last one has four bits of the hash, and two that are zero.
    let is_whole = digits.len() == FINGERPRINT_DIGITS
        && digits.bytes().all(is_digit)
        && digits.ends_with(|last| "AEIMQUYcgkosw048".contains(last));
    is_whole.then(|| format!("SHA256:{digits}"))
}

/// A file of at most so many bytes: a part of a list must not pass as the whole.
fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_at_once(path)?.take(most + 1).read_to_end(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(text)
}

fn unusable(path: &Path, error: io::Error) -> CredentialError {
    CredentialError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use ddes_identity::SigningKey;

    use super::*;

    /// Of RFC 8032's first test key, by `ssh-keygen -l`.
    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea ddes";
    const FINGERPRINT: &str = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8";

    fn server() -> ServerAddress {
        "counter.example:5566".parse().unwrap()
    }

    /// A folder of this test alone, removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("ddes-credentials-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(folder.join(IDENTITIES)).unwrap();
            Self(folder)
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
            use std::os::unix::fs::PermissionsExt;
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn an_identity_is_a_name_a_path_or_a_text() {
        let folder = Folder::new("identity");
        let key = SigningKey::from_seed(&[7; 32]);
        let text = key.to_openssh("kitchen").unwrap();
        folder.write("identities/kitchen", text.as_bytes(), 0o600);
        let home = ClientHome::locate(Some(&folder.0)).unwrap();
        let path = folder.0.join("identities/kitchen");
        for given in ["kitchen", path.to_str().unwrap(), &text, &format!("\n{}", *text)] {
            let signer = identity(given.as_ref(), &home, None).unwrap();
            assert_eq!(signer.public(), key.public());
        }
        assert_eq!(identity_file(&path, None).unwrap().public(), key.public());
    }

    #[test]
    fn what_is_no_identity_is_refused_and_no_secret_is_repeated() {
        let folder = Folder::new("refused");
        let home = ClientHome::locate(Some(&folder.0)).unwrap();
        let given = |text: &str| identity(text.as_ref(), &home, None).unwrap_err();
        let missing = given("kitchen");
        assert!(matches!(&missing, CredentialError::NoIdentity { .. }), "{missing}");
        assert!(missing.to_string().contains("ddes key new kitchen"), "{missing}");
        assert!(matches!(given("kitchen key"), CredentialError::Name(_)));
        assert!(matches!(given("./no-such-file"), CredentialError::Io { .. }));
        let secret = "  -----BEGIN OPENSSH PRIVATE KEY-----\nsecret/words\n";
        for text in [secret, "secret/words\nsecret/words\n"] {
            let refused = given(text);
            assert!(matches!(refused, CredentialError::Text(_)));
            assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused:?}");
        }
        let key = SigningKey::from_seed(&[7; 32]).to_openssh("").unwrap();
        let open = folder.write("open", key.as_bytes(), 0o644);
        let open = identity_file(&open, None).unwrap_err();
        assert!(matches!(open, CredentialError::Open { mode: 0o644, .. }), "{open}");
        assert_eq!(open.class(), FailureClass::Identity);
    }

    #[test]
    fn a_servers_key_is_a_fingerprint_a_line_or_a_file() {
        let folder = Folder::new("trust");
        let key = TrustedKey::Key(read_public(LINE).unwrap());
        let public = folder.write("server.pub", LINE, 0o644);
        let list = format!("# ours\n{} {LINE}\nother.example:1 {LINE}\n", server());
        let list = folder.write("known_servers", list, 0o644);
        for given in [LINE, public.to_str().unwrap(), list.to_str().unwrap()] {
            assert_eq!(
                trust(given.as_ref(), &server()).unwrap(),
                std::slice::from_ref(&key),
                "{given}"
            );
        }
        let home = ClientHome::locate(Some(&folder.0)).unwrap();
        assert_eq!(trust_of_home(&home, &server()).unwrap(), [key]);
        let stranger = "stranger.example:5566".parse().unwrap();
        assert_eq!(trust_of_home(&home, &stranger).unwrap(), []);
        let by_fingerprint = trust(FINGERPRINT.as_ref(), &server()).unwrap();
        assert_eq!(by_fingerprint, [TrustedKey::Fingerprint(FINGERPRINT.into())]);
        let elsewhere = ClientHome::locate(Some(&folder.0.join("none"))).unwrap();
        assert_eq!(trust_of_home(&elsewhere, &server()).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_a_servers_key_is_refused() {
        let folder = Folder::new("strangers");
        let list = folder.write("known_servers", format!("{} {LINE}\n|1|x y\n", server()), 0o644);
        let given = |text: &str| trust(text.as_ref(), &server()).unwrap_err();
        let short = &FINGERPRINT[..FINGERPRINT.len() - 1];
        for unfit in [short, "SHA256:", &format!("{short}B")] {
            assert!(matches!(given(unfit), CredentialError::Fingerprint), "{unfit}");
        }
        assert!(matches!(given("ssh-ed25519 AAAA"), CredentialError::Text(_)));
        assert!(matches!(given("./no-such-file"), CredentialError::Io { .. }));
        // A line that cannot be read may be about this very server.
        let unread = given(list.to_str().unwrap());
        assert!(matches!(unread, CredentialError::List { .. }), "{unread}");
    }
}

//! Who acts: an identity of the home, a key file, or a key that an ssh-agent holds.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use ddes_client::Signer;
use zeroize::Zeroizing;

use crate::args::IdentityArgs;
use crate::failure::{Code, Failure};
use crate::home::{DEFAULT_IDENTITY, Home, read_key, read_public_file};

const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// The identity asked for; one of the home is made at first use.
pub(crate) fn signer(home: &Home, args: &IdentityArgs, quiet: bool) -> Result<Signer, Failure> {
    let secret = |path: &Path| passphrase(args.passphrase_fd, path);
    match &args.key {
        Some(path) if path.extension().is_some_and(|extension| extension == "pub") => {
            let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
            let socket = socket.map(PathBuf::from).ok_or_else(|| {
                Failure::new(
                    Code::Identity,
                    format!("{} needs an ssh-agent, and none runs", path.display()),
                )
                .cause("SSH_AUTH_SOCK is not set, or empty")
                .next("eval $(ssh-agent); ssh-add KEY     or --key with the private file")
            })?;
            Ok(Signer::Agent { socket, key: read_public_file(path)? })
        }
        Some(path) => Ok(Signer::Key(read_key(path, secret)?)),
        None => {
            let name = args.identity.as_deref().unwrap_or(DEFAULT_IDENTITY);
            let (key, is_new) = home.key_or_new(&home.identity(name)?, name, secret)?;
            if is_new && !quiet {
                crate::streams::say(&format!(
                    "Made the identity '{name}', {}",
                    key.public().fingerprint()
                ));
            }
            Ok(Signer::Key(key))
        }
    }
}

/// Opened by its name: a number alone would have to be trusted to be open.
fn inherited(descriptor: u32) -> io::Result<File> {
    if cfg!(windows) {
        return Err(io::Error::other("this system passes no open files by numbers"));
    }
    File::open(format!("/dev/fd/{descriptor}"))
}

/// From the file descriptor, or asked for on the terminal without showing it.
fn passphrase(descriptor: Option<u32>, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable = |error: io::Error| Failure::system("cannot read the passphrase", &error);
    let Some(descriptor) = descriptor else {
        if !io::stdin().is_terminal() {
            return Err(Failure::new(
                Code::Identity,
                format!("the key {} is encrypted", path.display()),
            )
            .next(
                "--passphrase-fd N, for example: --passphrase-fd 3 3< FILE     or an \
                       ssh-agent and --key KEY.pub",
            ));
        }
        let prompt = format!("Passphrase of {}: ", path.display());
        let text = rpassword::prompt_password(prompt).map_err(unreadable)?;
        return Ok(Zeroizing::new(text.into_bytes()));
    };
    let mut text = Zeroizing::new(Vec::new());
    let file = inherited(descriptor).map_err(|error| {
        // Where a program runs in a root folder of its own there may be no /dev either.
        let what = format!("cannot read the passphrase from /dev/fd/{descriptor}");
        Failure::system(&what, &error)
    })?;
    file.take(PASSPHRASE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > PASSPHRASE_BYTES_MAX {
        let what = format!("the passphrase has more than {PASSPHRASE_BYTES_MAX} bytes");
        return Err(Failure::new(Code::Usage, what)
            .next("--passphrase-fd N of a file with the passphrase alone"));
    }
    while text.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        text.pop();
    }
    Ok(text)
}

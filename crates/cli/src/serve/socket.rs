//! The socket through which `ddes reload` and `ddes link` reach the running servers of a home.
//!
//! Each server has one in the folder `run` of its home's data. That a server takes the connection
//! proves that it runs, which no file with a process number in it would: after a crash such a
//! number may be another process'. The protocol is a line each way, and no contract: both ends are
//! of one program.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ddes_web::WebHandle;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::control::{Change, Changes, Control};
use crate::failure::{Code, Failure};
use crate::folder::OpenFolder;
use crate::streams::say;

/// What a path of a socket may have of bytes (unix(7), unix(4)), with the 0 at its end.
const PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 108 } else { 104 };
const SUFFIX: &str = ".sock";
/// Sockets of one home that are looked at.
const SOCKETS_MAX: usize = 256;
/// A line, either way.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Requests of one connection.
const REQUESTS_MAX: usize = 8;
/// The next client waits for one that says nothing.
const REQUEST_MAX: Duration = Duration::from_secs(2);

const WHO: &str = "who";
const RELOAD: &str = "reload";
const LINK: &str = "link";

/// The socket of this process. Removed on drop.
pub(super) struct ControlSocket {
    path: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The next server of this home removes it.
                say(&format!("{} stays: {error}", self.path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl ControlSocket {
    /// Takes requests for a server that listens on `address`, on a thread of its own.
    pub(super) fn open(
        folder: &Path,
        address: String,
        control: Control,
        web: Option<&Arc<WebHandle>>,
    ) -> io::Result<Self> {
        // The page ends with the server, whatever this thread waits for.
        let web = web.map(Arc::downgrade);
        let open = OpenFolder::make(folder)?;
        for (path, _) in reachable(folder, &open)?.1 {
            // Nobody listens on it any more.
            std::fs::remove_file(path)?;
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("{:016x}{SUFFIX}", u64::from_be_bytes(random));
        // Listening before it has its name: one that does not listen is removed by others.
        let new = format!("{name}.new");
        let listener = UnixListener::bind(short(folder, &open, &new))?;
        let path = folder.join(&name);
        std::fs::rename(folder.join(&new), &path)?;
        let socket = Self { path };
        thread::Builder::new().name("control".into()).spawn(move || {
            // Errors of accept pass: of files that are all in use, of clients that left.
            for stream in listener.incoming().flatten() {
                let web = web.as_ref().and_then(Weak::upgrade);
                match answer(&stream, &address, &control, web.as_deref()) {
                    Err(error) if !has_left(&error) => {
                        say(&format!("A request of a command got no answer: {error}"));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        })?;
        Ok(socket)
    }
}

/// A client that leaves, or takes or asks nothing for too long, needs no answer.
fn has_left(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, WouldBlock};
    [BrokenPipe, ConnectionReset, TimedOut, WouldBlock].contains(&error.kind())
}

fn answer(
    stream: &UnixStream,
    address: &str,
    control: &Control,
    web: Option<&WebHandle>,
) -> io::Result<()> {
    if !is_ours_or_root(stream)? {
        return Ok(());
    }
    stream.set_read_timeout(Some(REQUEST_MAX))?;
    stream.set_write_timeout(Some(REQUEST_MAX))?;
    let mut lines = BufReader::new(stream.take(LINE_BYTES_MAX)).lines();
    for _ in 0..REQUESTS_MAX {
        let Some(request) = lines.next().transpose()? else { return Ok(()) };
        let answer = match &*request {
            WHO => {
                let http = control.http().map(|http| http.to_string());
                json!({"pid": std::process::id(), "addr": address, "http": http})
            }
            RELOAD => match control.reload() {
                Ok(changes) => json!({"reloaded": changes.to_json()}),
                Err(failure) => json!({"failed": failure.parts()}),
            },
            LINK => match login_link(web) {
                Ok(link) => json!({"link": link.as_str()}),
                Err(failure) => json!({"failed": failure.parts()}),
            },
            _ => json!({"failed": {"what": "the server does not know this request"}}),
        };
        let mut stream = stream;
        stream.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(())
}

/// Whether the client is this user, or root.
#[cfg(target_os = "linux")]
fn is_ours_or_root(stream: &UnixStream) -> io::Result<bool> {
    let client = rustix::net::sockopt::socket_peercred(stream)?.uid;
    Ok(client == rustix::process::geteuid() || client.is_root())
}

/// Nobody else may enter the folder, which is made so; a system that does not say whose a
/// connection is gives no more.
#[cfg(not(target_os = "linux"))]
fn is_ours_or_root(_: &UnixStream) -> io::Result<bool> {
    Ok(true)
}

fn login_link(web: Option<&WebHandle>) -> Result<Zeroizing<String>, Failure> {
    let web = web.ok_or_else(|| {
        Failure::new(Code::No, "this server has no page")
            .cause("it was started with --http off, or its port was taken")
            .next("ddes serve --http ADDR:PORT")
    })?;
    web.login_link().map_err(|error| Failure::system("the system gives no randomness", &error))
}

/// A running server, as the commands of its home see it.
pub(crate) struct RunningServer {
    stream: BufReader<UnixStream>,
    pub(crate) pid: u64,
    pub(crate) address: String,
}

impl RunningServer {
    /// All that run in this home now.
    pub(crate) fn all(folder: &Path, most: Duration) -> io::Result<Vec<Self>> {
        let open = match OpenFolder::open(folder) {
            Ok(open) => open,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let (streams, _) = reachable(folder, &open)?;
        // One that ends at this moment does not run.
        Ok(streams.into_iter().filter_map(|stream| Self::ask(stream, most).ok()).collect())
    }

    /// Each answer may take `most`.
    fn ask(stream: UnixStream, most: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(most))?;
        stream.set_write_timeout(Some(most))?;
        let mut server = Self { stream: BufReader::new(stream), pid: 0, address: String::new() };
        let who = server.request(WHO)?;
        server.pid = who.get("pid").and_then(Value::as_u64).ok_or(io::ErrorKind::InvalidData)?;
        let address = who.get("addr").and_then(Value::as_str);
        server.address = address.ok_or(io::ErrorKind::InvalidData)?.to_owned();
        Ok(server)
    }

    fn request(&mut self, request: &str) -> io::Result<Value> {
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut line = String::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_line(&mut line)?;
        serde_json::from_str(&line).map_err(io::Error::other)
    }

    /// A link that opens its page, once.
    pub(crate) fn link(&mut self) -> io::Result<Result<String, Failure>> {
        let answer = self.request(LINK)?;
        if let Some(failed) = answer.get("failed") {
            return Ok(Err(Failure::of_parts(failed)));
        }
        let link = answer.get("link").and_then(Value::as_str);
        link.map(|link| Ok(link.to_owned())).ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Lets it read its configuration again: what changed, or why nothing did.
    pub(crate) fn reload(&mut self) -> io::Result<Result<Changes, Failure>> {
        let answer = self.request(RELOAD)?;
        if let Some(failed) = answer.get("failed") {
            return Ok(Err(Failure::of_parts(failed)));
        }
        let changes = answer.get("reloaded").and_then(Changes::of_json);
        changes.map(Ok).ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// Where servers that run in this home now answer HTTP. Those that do not say so within `most` are
/// not among them.
pub(crate) fn pages(folder: &Path, most: Duration) -> io::Result<Vec<SocketAddr>> {
    let until = Instant::now() + most;
    let (streams, _) = reachable(folder, &OpenFolder::open(folder)?)?;
    Ok(streams.into_iter().filter_map(|stream| page(stream, until)).collect())
}

fn page(stream: UnixStream, until: Instant) -> Option<SocketAddr> {
    let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    stream.set_read_timeout(Some(left)).ok()?;
    stream.set_write_timeout(Some(left)).ok()?;
    let stream = BufReader::new(stream);
    let mut server = RunningServer { stream, pid: 0, address: String::new() };
    server.request(WHO).ok()?.get("http")?.as_str()?.parse().ok()
}

type Reached = (Vec<UnixStream>, Vec<(PathBuf, io::Error)>);

/// Connections to all sockets of the folder, and those on which nobody listens. In a folder that
/// others can write, anybody may listen.
fn reachable(folder: &Path, open: &OpenFolder) -> io::Result<Reached> {
    open.refuse_if_shared().map_err(|failure| io::Error::other(failure.what().to_owned()))?;
    let (mut reached, mut dead) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)?.take(SOCKETS_MAX) {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(SUFFIX)) else { continue };
        match connect(&short(folder, open, name)) {
            Ok(stream) => reached.push(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                dead.push((folder.join(name), error));
            }
            // It was removed meanwhile, is another user's, or its queue is full.
            Err(_) => {}
        }
    }
    Ok((reached, dead))
}

/// Does not wait where nobody takes connections.
fn connect(path: &Path) -> io::Result<UnixStream> {
    #[cfg(target_os = "linux")]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = SocketFlags::empty();
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The path of a name in the folder; where it is too long for a socket, by the folder's descriptor,
/// which Linux has paths for. Elsewhere the system refuses it.
fn short(folder: &Path, open: &OpenFolder, name: &str) -> PathBuf {
    let path = folder.join(name);
    if path.as_os_str().len() < PATH_BYTES_MAX {
        return path;
    }
    PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_fd().as_raw_fd()))
}

impl Changes {
    fn to_json(&self) -> Value {
        let list = |changes: &[Change]| changes.iter().map(Change::to_json).collect::<Vec<_>>();
        json!({
            "file": self.file.as_ref().map(|file| file.display().to_string()),
            "changed": list(&self.changed),
            "needs_restart": list(&self.needs_restart),
        })
    }

    fn of_json(value: &Value) -> Option<Self> {
        let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        let change = |value: &Value| {
            let key = crate::config::Key::named(value.get("key")?.as_str()?)?.name;
            Some(Change { key, from: text(value, "from"), to: text(value, "to") })
        };
        let list = |name: &str| -> Option<Vec<Change>> {
            value.get(name)?.as_array()?.iter().map(change).collect()
        };
        Some(Self {
            changed: list("changed")?,
            needs_restart: list("needs_restart")?,
            file: text(value, "file").map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_left_by_the_errors_of_its_socket_and_no_others() {
        assert!(has_left(&io::ErrorKind::BrokenPipe.into()));
        assert!(has_left(&io::ErrorKind::WouldBlock.into()));
        assert!(!has_left(&io::ErrorKind::InvalidData.into()));
    }
}

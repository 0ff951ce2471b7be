//! Sockets that a service manager passes (sd_listen_fds(3)), as systemd does for ddes.socket.

#![allow(
    unsafe_code,
    reason = "a descriptor arrives as a number, and one function makes it the socket's owner"
)]

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use crate::failure::{Code, Failure};

/// The descriptors are this process's once: whoever takes them owns them.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The socket to serve, where a service manager passed one.
pub(super) fn listener() -> Result<Option<TcpListener>, Failure> {
    let passed = sd_notify::listen_fds().map_err(|error| {
        refused(&format!("what LISTEN_FDS and LISTEN_PID say of them is wrong: {error}"))
    })?;
    if passed.len() > 1 {
        return Err(refused(&format!("there are {}, and `ddes serve` takes one", passed.len())));
    }
    passed.into_iter().next().and_then(take).map(checked).transpose()
}

fn take(descriptor: RawFd) -> Option<OwnedFd> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: LISTEN_PID names this process, so that the service manager opened this descriptor for
    // it; `sd_notify::listen_fds` has found it open; nothing else in this process uses it, and the
    // flag above lets it be taken once.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn checked(socket: OwnedFd) -> Result<TcpListener, Failure> {
    let kind = match socket_type(&socket) {
        Err(Errno::NOTSOCK) => return Err(refused("it is no socket")),
        kind => kind,
    };
    let failed = |error: Errno| refused(&error.to_string());
    let family = socket_domain(&socket).map_err(failed)?;
    let is_tcp = kind.map_err(failed)? == SocketType::STREAM
        && [AddressFamily::INET, AddressFamily::INET6].contains(&family);
    if !is_tcp {
        return Err(refused("it is no TCP socket"));
    }
    if !socket_acceptconn(&socket).map_err(failed)? {
        return Err(refused("it does not listen"));
    }
    Ok(socket.into())
}

fn refused(why: &str) -> Failure {
    Failure::new(
        Code::Connect,
        format!("the service manager passed a socket that cannot be served: {why}"),
    )
    .cause("the .socket unit has another kind of socket than `ddes serve` takes")
    .next("one ListenStream=ADDR:PORT, and Accept=no; or no .socket unit, and --listen")
}

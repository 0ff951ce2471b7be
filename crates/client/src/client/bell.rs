//! A pair of connected sockets: a byte written to one makes the other readable, which wakes a
//! thread that polls it beside other sockets.

use std::io;

#[cfg(unix)]
pub(super) type BellEnd = std::os::unix::net::UnixStream;

/// The standard library has no sockets of Unix on this system.
#[cfg(not(unix))]
pub(super) type BellEnd = std::net::TcpStream;

/// Both ends, neither of which blocks.
pub(super) fn bell() -> io::Result<[BellEnd; 2]> {
    let ends = pair()?;
    for end in &ends {
        end.set_nonblocking(true)?;
    }
    Ok(ends)
}

#[cfg(unix)]
fn pair() -> io::Result<[BellEnd; 2]> {
    BellEnd::pair().map(|(one, other)| [one, other])
}

/// Another program may connect first: it is refused, and ours is accepted behind it.
#[cfg(not(unix))]
fn pair() -> io::Result<[BellEnd; 2]> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let one = BellEnd::connect(listener.local_addr()?)?;
    let ours = one.local_addr()?;
    loop {
        let (other, address) = listener.accept()?;
        if address == ours {
            one.set_nodelay(true)?;
            return Ok([one, other]);
        }
    }
}

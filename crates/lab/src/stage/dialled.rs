//! Connections of the lab's own. Others of this machine can reach its ports, and a stranger must
//! not take the place, and with it the exponents and the token, that belong to a client.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::frames::PATIENCE;

struct Dialled {
    /// Dials that are not done yet.
    under_way: usize,
    /// Who dialled, and whom, of connections that are not accepted yet.
    own: BTreeSet<(SocketAddr, SocketAddr)>,
}

static DIALLED: Mutex<Dialled> = Mutex::new(Dialled { under_way: 0, own: BTreeSet::new() });
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Dialled> {
    DIALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects to a server or relay of the lab, which will know the connection.
pub(super) fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    lock().under_way += 1;
    let connected = TcpStream::connect_timeout(&address, PATIENCE)
        .and_then(|stream| Ok((stream.local_addr()?, stream)));
    let mut dialled = lock();
    dialled.under_way -= 1;
    let stream = connected.map(|(own, stream)| {
        dialled.own.insert((own, address));
        stream
    });
    drop(dialled);
    CHANGED.notify_all();
    stream
}

/// The next connection that was [dialled](dial). Others are closed without a word.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let address = listener.local_addr()?;
    loop {
        let (stream, peer) = listener.accept()?;
        if is_own(peer, address) {
            return Ok((stream, peer));
        }
    }
}

/// A connection can be accepted before whoever dials it has written that down.
fn is_own(peer: SocketAddr, address: SocketAddr) -> bool {
    let mut dialled = lock();
    loop {
        if dialled.own.remove(&(peer, address)) {
            return true;
        }
        if dialled.under_way == 0 {
            return false;
        }
        dialled = CHANGED.wait(dialled).unwrap_or_else(PoisonError::into_inner);
    }
}

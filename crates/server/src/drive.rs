//! One connection: its socket, its session, its timer.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Instant;

use ddes_session::Phase;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::endpoint::ConnectionId;
use crate::listen::Shard;

/// What one read takes at most. The buffer is shared by all connections of a thread.
pub(crate) const READ_BYTES_MAX: usize = 32 * 1024;

enum Next {
    Readable,
    Woken,
    Timeout,
}

/// Carries bytes between `stream` and its session until the session is done.
pub(crate) async fn drive(shard: Rc<Shard>, stream: TcpStream, id: ConnectionId) {
    let wake = shard.wake_of(id);
    let mut shut = false;
    loop {
        flush(&shard, &stream, id);
        let (phase, unsent, reads, timeout) = {
            let mut endpoint = shard.endpoint.borrow_mut();
            let unsent = !endpoint.pending(id).is_empty();
            (endpoint.phase(id), unsent, endpoint.wants_bytes(id), endpoint.poll_timeout(id))
        };
        match phase {
            Phase::Done => break,
            Phase::Draining if !unsent && !shut => {
                shut = true;
                if SockRef::from(&stream).shutdown(Shutdown::Write).is_err() {
                    shard.act(|endpoint, now| endpoint.handle_reset(now, id));
                    continue;
                }
            }
            Phase::Draining | Phase::Live => {}
        }
        let next = tokio::select! {
            () = wake.notified() => Next::Woken,
            _ = stream.readable(), if reads => Next::Readable,
            _ = stream.writable(), if unsent => Next::Woken,
            () = async { sleep_until(timeout.unwrap_or_else(Instant::now).into()).await }, if timeout.is_some() => Next::Timeout,
        };
        match next {
            Next::Readable => read(&shard, &stream, id),
            Next::Timeout => shard.act(|endpoint, now| endpoint.handle_timeout(now, id)),
            Next::Woken => {}
        }
    }
    shard.close(id);
}

/// Writes as much as the socket takes.
fn flush(shard: &Rc<Shard>, stream: &TcpStream, id: ConnectionId) {
    shard.act(|endpoint, now| {
        while !endpoint.pending(id).is_empty() {
            match stream.try_write(endpoint.pending(id)) {
                Ok(count) => endpoint.sent(now, id, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return endpoint.handle_reset(now, id),
            }
        }
    });
}

/// Reads once, so that no connection keeps the others waiting.
fn read(shard: &Rc<Shard>, stream: &TcpStream, id: ConnectionId) {
    let mut buffer = shard.buffer.borrow_mut();
    let outcome = stream.try_read(&mut buffer);
    shard.act(|endpoint, now| match outcome {
        Ok(0) => endpoint.handle_eof(now, id),
        Ok(count) => endpoint.handle_bytes(now, id, buffer.get(..count).unwrap_or(&[])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => endpoint.handle_reset(now, id),
    });
}

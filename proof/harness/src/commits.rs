//! A proxy between a server and its database that loses the outcome of a COMMIT: it lets the COMMIT
//! pass, waits until the database has done it, and closes both connections in place of the answer.
//! Some it closes before the COMMIT, so that nothing of the transaction happens. The server cannot
//! tell these apart.
//!
//! Each argument is `PORT=ADDRESS`: what listens on 127.0.0.1, and where that leads to. A line on
//! standard input is how many COMMITs there are for each that is lost; 0 loses none, which is how
//! it begins. Standard output says `lost AFTER BEFORE`, both counted since the start.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Random;

/// As [`tokio_postgres`](https://docs.rs/tokio-postgres) sends it: a simple query.
const QUERY: &[u8] = b"COMMIT\0";
/// The end of a transaction as the database reports it: a command's tag.
const DONE: &[u8] = b"COMMIT\0";
const UNDONE: &[u8] = b"ROLLBACK\0";
/// An answer to a batch is far shorter.
const HELD_MAX: usize = 1 << 22;
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Of those lost, one in so many is lost before the COMMIT.
const BEFORE_ONE_IN: u64 = 4;

#[derive(Debug, Default)]
struct Losses {
    /// One COMMIT in so many.
    one_in: AtomicU64,
    /// COMMITs that were done, and those that were not.
    lost: Mutex<(u64, u64)>,
}

impl Losses {
    fn count(&self, is_done: bool) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if is_done {
            lost.0 += 1;
        } else {
            lost.1 += 1;
        }
        // Under the lock, so that the numbers only grow. Whoever reads them may be gone.
        drop(writeln!(io::stdout(), "lost {} {}", lost.0, lost.1));
    }
}

pub(crate) fn run(places: &[&str]) -> Result<(), String> {
    let losses = Arc::new(Losses::default());
    for place in places {
        let (port, to) = place.split_once('=').ok_or_else(|| format!("{place}: PORT=ADDRESS"))?;
        let port: u16 = port.parse().map_err(|error| format!("{port}: {error}"))?;
        let to: SocketAddr = to.parse().map_err(|error| format!("{to}: {error}"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("port {port}: {error}"))?;
        let losses = Arc::clone(&losses);
        thread::spawn(move || listen(&listener, to, &losses));
    }
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("standard input: {error}"))?;
        let one_in = line.trim().parse().map_err(|error| format!("{line}: {error}"))?;
        losses.one_in.store(one_in, Ordering::Relaxed);
    }
    Ok(())
}

fn listen(listener: &TcpListener, to: SocketAddr, losses: &Arc<Losses>) {
    for (number, client) in (0..).zip(listener.incoming()) {
        // A connection that fails is the server's to try again.
        let Ok(client) = client else { continue };
        let losses = Arc::clone(losses);
        let random = Random::new(u64::from(to.port()) << 32 | number);
        thread::spawn(move || drop(pass(&client, to, random, &losses)));
    }
}

fn pass(
    client: &TcpStream,
    to: SocketAddr,
    random: Random,
    losses: &Arc<Losses>,
) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&to, CONNECT_MAX)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_armed = Arc::new(AtomicBool::new(false));
    let back = {
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        let (losses, is_armed) = (Arc::clone(losses), Arc::clone(&is_armed));
        thread::spawn(move || {
            drop(answers(&from, &to, &is_armed, &losses));
            close(&[&from, &to]);
        })
    };
    // Whatever ends one direction ends both.
    drop(questions(client, &server, random, &is_armed, losses));
    close(&[client, &server]);
    drop(back.join());
    Ok(())
}

fn close(streams: &[&TcpStream]) {
    for stream in streams {
        // It may be closed already.
        drop(stream.shutdown(Shutdown::Both));
    }
}

/// From the server to the database. What it pipelines it sends in one write, mostly.
fn questions(
    mut from: &TcpStream,
    mut to: &TcpStream,
    mut random: Random,
    is_armed: &AtomicBool,
    losses: &Losses,
) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut bytes)?;
        // `read` never counts more than there is room for.
        let message = bytes.get(..count).unwrap_or(&[]);
        if message.is_empty() {
            return Ok(());
        }
        let one_in = losses.one_in.load(Ordering::Relaxed);
        if has(message, QUERY) && one_in > 0 && random.one_in(one_in) {
            if random.one_in(BEFORE_ONE_IN) {
                losses.count(false);
                return Ok(());
            }
            is_armed.store(true, Ordering::SeqCst);
        }
        to.write_all(message)?;
    }
}

/// From the database to the server. Once armed, what comes is held until the transaction's end.
fn answers(
    mut from: &TcpStream,
    mut to: &TcpStream,
    is_armed: &AtomicBool,
    losses: &Losses,
) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    let mut held = Vec::new();
    loop {
        let count = from.read(&mut bytes)?;
        // `read` never counts more than there is room for.
        let message = bytes.get(..count).unwrap_or(&[]);
        if message.is_empty() {
            return Ok(());
        }
        if !is_armed.load(Ordering::SeqCst) {
            to.write_all(message)?;
            continue;
        }
        held.extend_from_slice(message);
        if has(&held, DONE) {
            losses.count(true);
            return Ok(());
        }
        if has(&held, UNDONE) || held.len() > HELD_MAX {
            to.write_all(&held)?;
            held.clear();
            is_armed.store(false, Ordering::SeqCst);
        }
    }
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that answers COMMIT to anything, behind the proxy.
    fn passed(one_in: u64) -> (Vec<u8>, (u64, u64)) {
        let database = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = database.local_addr().unwrap();
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = front.local_addr().unwrap();
        let losses = Arc::new(Losses::default());
        losses.one_in.store(one_in, Ordering::Relaxed);
        let counted = Arc::clone(&losses);
        thread::spawn(move || listen(&front, to, &losses));
        let mut server = TcpStream::connect(address).unwrap();
        server.write_all(b"Q\0\0\0\x0bCOMMIT\0").unwrap();
        let (mut question, mut said) = ([0; 12], Vec::new());
        let (mut connection, _) = database.accept().unwrap();
        // Nothing comes of what is lost before the COMMIT.
        if connection.read_exact(&mut question).is_ok() {
            connection.write_all(b"C\0\0\0\x0bCOM").unwrap();
            connection.write_all(b"MIT\0").unwrap();
        }
        drop(connection);
        server.read_to_end(&mut said).unwrap();
        let lost = *counted.lost.lock().unwrap();
        (said, lost)
    }

    #[test]
    fn an_outcome_is_lost_or_passed_whole() {
        assert_eq!(passed(0), (b"C\0\0\0\x0bCOMMIT\0".to_vec(), (0, 0)));
        let (said, (after, before)) = passed(1);
        assert_eq!((said.len(), after + before), (0, 1));
    }
}

//! A proxy that breaks connections before a message, after it, and long before it arrives.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::fight::FightDice;

/// What it does to connections. Zero does nothing.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// One message in so many breaks its connection.
    pub(crate) one_in: AtomicU64,
    /// What happened: connections broken before a message, after it, and with the message arriving
    /// late; and servers that vanished inside of a transaction.
    pub(crate) before: AtomicU64,
    pub(crate) after: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) orphaned: AtomicU64,
}

/// Starts a proxy to a port of this machine; its own port.
pub(crate) fn start(to: u16, seed: u64, faults: Arc<Faults>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let Ok(client) = client else { continue };
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let dice = FightDice::new(seed * 1_000 + number as u64);
            let faults = Arc::clone(&faults);
            let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || forward(client, server, dice, &faults));
            thread::spawn(move || copy(down, up));
        }
    });
    port
}

fn close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap_or(());
}

/// From the database to its client.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    close(&to);
}

/// From the client to the database, a write at a time: a client sends what it pipelines in one.
fn forward(mut client: TcpStream, mut server: TcpStream, mut dice: FightDice, faults: &Faults) {
    let mut bytes = vec![0; 1 << 20];
    // The start of a connection is left alone.
    let mut is_open = false;
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let message = &bytes[..count];
        let has = |word: &[u8]| message.windows(word.len()).any(|part| part == word);
        is_open |= has(b"BEGIN");
        let one_in = faults.one_in.load(Ordering::Relaxed);
        if !is_open || one_in == 0 || !dice.one_in(one_in) {
            if server.write_all(message).is_err() {
                break;
            }
            continue;
        }
        match dice.below(4) {
            0 => {
                faults.before.fetch_add(1, Ordering::Relaxed);
            }
            1 => {
                faults.after.fetch_add(1, Ordering::Relaxed);
                server.write_all(message).unwrap_or(());
                // Long enough for it to be done, and its answer is lost.
                close(&client);
                thread::sleep(Duration::from_millis(50));
            }
            2 => {
                faults.late.fetch_add(1, Ordering::Relaxed);
                close(&client);
                thread::sleep(Duration::from_millis(20 + dice.below(400)));
                server.write_all(message).unwrap_or(());
                thread::sleep(Duration::from_millis(50));
            }
            _ => {
                faults.orphaned.fetch_add(1, Ordering::Relaxed);
                close(&client);
                thread::sleep(Duration::from_millis(dice.below(600)));
            }
        }
        break;
    }
    close(&client);
    close(&server);
}

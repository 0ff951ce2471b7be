//! Connections that never speak, ten thousand a second.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::interval;

use super::attack::{Tally, add, text};

const TICK: Duration = Duration::from_millis(1);
/// Connections begun in each tick: 10,000 a second.
const CONNECTS_EACH_TICK: usize = 10;
/// The most connections that are being opened, and that are held; beyond it the oldest is closed.
/// Both are far below the limit of open files.
const CONNECTING_MAX: usize = 2_000;
const HELD_MAX: usize = 8_000;

/// A listener of this process that takes connections and holds them until they are cut; its
/// address.
pub(super) fn elsewhere() -> Result<String, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    listener.set_nonblocking(true).map_err(text)?;
    let address = listener.local_addr().map_err(text)?.to_string();
    let listener = TcpListener::from_std(listener).map_err(text)?;
    drop(spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The next byte is its end.
            drop(spawn_local(async move { stream.read_u8().await }));
        }
    }));
    Ok(address)
}

/// A tick that comes late is made up for.
pub(super) async fn flood(address: String, tally: Arc<Tally>) {
    let held = Rc::new(RefCell::new(VecDeque::with_capacity(HELD_MAX)));
    let connecting = Rc::new(Cell::new(0_usize));
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        for _ in 0..CONNECTS_EACH_TICK {
            if connecting.get() == CONNECTING_MAX {
                break;
            }
            connecting.set(connecting.get() + 1);
            let (address, tally) = (address.clone(), Arc::clone(&tally));
            let (held, connecting) = (Rc::clone(&held), Rc::clone(&connecting));
            drop(spawn_local(async move {
                let connected = TcpStream::connect(address).await;
                connecting.set(connecting.get() - 1);
                add(&tally.connections);
                // It is cut when it is dropped, so that no port is kept for it.
                let Ok(stream) =
                    connected.and_then(|stream| stream.set_zero_linger().map(|()| stream))
                else {
                    return;
                };
                add(&tally.deeds);
                let mut held = held.borrow_mut();
                if held.len() == HELD_MAX {
                    held.pop_front();
                }
                held.push_back(stream);
            }));
        }
    }
}

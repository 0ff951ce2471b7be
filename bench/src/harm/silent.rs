//! Connections that never speak, ten thousand a second.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::interval;

use super::attack::{Tally, add};

const TICK: Duration = Duration::from_millis(1);
/// 10,000 a second.
const CONNECTS_EACH_TICK: usize = 10;
/// So many wait for the system at a time, and so many are held; then the oldest is closed. Far below the limit of open files.
const CONNECTING_MAX: usize = 2_000;
const HELD_MAX: usize = 8_000;

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
                let Ok(stream) = connected.and_then(|stream| stream.set_zero_linger().map(|()| stream))
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

//! Which clients are open. A caller's handle is a number that is never used again, not an address:
//! one that was closed, or was never opened, is an error and no crash.
//!
//! After a fork the child has the memory of these clients but not their threads, and locks may be
//! held by threads that it does not have. So each process has a registry of its own, found without
//! a lock.

use std::collections::BTreeMap;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ddes_client::blocking::Client;

use crate::failure::CallError;

/// The next handle; a child continues with its parent's.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// Of the process that opened the first client; the others' are behind it.
static FIRST: OnceLock<Registry> = OnceLock::new();

struct Registry {
    process: u32,
    /// Handles below this one are from before the fork.
    first: usize,
    clients: Mutex<BTreeMap<usize, Client>>,
    /// That of a child, or of a child's child.
    next: OnceLock<Box<Self>>,
}

impl Registry {
    fn new() -> Self {
        Self {
            process: process::id(),
            first: NEXT.load(Ordering::Relaxed),
            clients: Mutex::new(BTreeMap::new()),
            next: OnceLock::new(),
        }
    }

    /// That of this process.
    fn of_this_process() -> &'static Self {
        let mut at = FIRST.get_or_init(Self::new);
        while at.process != process::id() {
            at = at.next.get_or_init(|| Box::new(Self::new()));
        }
        at
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<usize, Client>> {
        // Each change is one insertion or one removal, which does not panic half-way.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self, handle: usize) -> CallError {
        if handle == 0 {
            CallError::usage("the client is NULL")
        } else if handle < self.first {
            CallError::usage(
                "the client was opened before a fork, and is the parent's: open another one in \
                 this process",
            )
        } else {
            CallError::usage("the client is not open: it was closed, or never opened")
        }
    }
}

/// Keeps a client, under a new handle.
pub(crate) fn keep(client: Client) -> Result<usize, CallError> {
    let registry = Registry::of_this_process();
    let mut clients = registry.clients();
    // The last number is never given away, so that it cannot go back to 0.
    let taken = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| next.checked_add(1));
    let handle = taken.map_err(|_| CallError::usage("this process has opened too many clients"))?;
    clients.insert(handle, client);
    Ok(handle)
}

/// The client of a handle. It stays whole while it is used, also if another thread closes it.
pub(crate) fn find(handle: usize) -> Result<Client, CallError> {
    let registry = Registry::of_this_process();
    let found = registry.clients().get(&handle).cloned();
    found.ok_or_else(|| registry.unknown(handle))
}

/// The client of a handle that ends here.
pub(crate) fn remove(handle: usize) -> Result<Client, CallError> {
    let registry = Registry::of_this_process();
    let found = registry.clients().remove(&handle);
    found.ok_or_else(|| registry.unknown(handle))
}

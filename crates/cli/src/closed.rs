//! Which standard streams were closed when the process began. The runtime opens /dev/null in their
//! place before `main`, where what is written is lost without an error. With `unsafe`:
//! only what the loader calls is early enough.

#![allow(
    unsafe_code,
    reason = "a function that the loader calls makes one system call, and its test starts \
              processes without streams"
)]

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio;

static OUTPUT: AtomicBool = AtomicBool::new(false);
static ERROR: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_output() -> bool {
    OUTPUT.load(Ordering::Relaxed)
}

pub(crate) fn is_error() -> bool {
    ERROR.load(Ordering::Relaxed)
}

// SAFETY: the section holds pointers to functions that the loader calls once, before `main` and on
// the only thread. This one takes no argument (on this ABI the caller's are ignored), allocates
// nothing, cannot panic, and uses nothing that the runtime has yet to set up. Other systems are not
// asked.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "its loader is not asked"))]
extern "C" fn look() {
    OUTPUT.store(is_closed(stdio::stdout()), Ordering::Relaxed);
    ERROR.store(is_closed(stdio::stderr()), Ordering::Relaxed);
}

fn is_closed(stream: BorrowedFd<'_>) -> bool {
    fcntl_getfd(stream) == Err(Errno::BADF)
}

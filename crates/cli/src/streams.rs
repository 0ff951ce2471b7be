//! Standard output and standard error. Nothing else writes to them: what is written is whole, or it
//! is an error.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use ddes_wire::shown;

use crate::unheard::may_be_unheard;

/// What standard error did not take since it was last told, and questions on standard output.
static UNSAID: AtomicU64 = AtomicU64::new(0);

/// Whether the last text was cut off in the middle. Held while one is written, so that lines stay
/// whole.
static OUTPUT_IS_TORN: Mutex<bool> = Mutex::new(false);
static ERROR_IS_TORN: Mutex<bool> = Mutex::new(false);

/// Writes a text to standard output, at once.
pub(crate) fn to_stdout(text: &str) -> io::Result<()> {
    whole(&mut lock(&OUTPUT_IS_TORN), text.as_bytes(), output)
}

/// Writes what only moves the cursor, or puts a question again. Where standard output does not take
/// it, the next line is not taken either, and that is an error.
pub(crate) fn decorate(text: &str) {
    if to_stdout(text).is_err() {
        UNSAID.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes a text to standard error as it is.
pub(crate) fn to_stderr(text: &str) -> io::Result<()> {
    whole(&mut lock(&ERROR_IS_TORN), text.as_bytes(), error_output)
}

/// Says something on standard error. One that takes nothing ends nothing; how many lines it did not
/// take is known.
pub(crate) fn say(text: &str) {
    say_styled(&shown::plain_lines(text));
}

/// As [`say`], of a text with colours, all else of which is fit to be shown.
pub(crate) fn say_styled(text: &str) {
    if to_stderr(&format!("{text}\n")).is_err() {
        UNSAID.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many lines were not said since this was last asked.
pub(crate) fn take_unsaid() -> u64 {
    UNSAID.swap(0, Ordering::Relaxed)
}

/// Standard output for much at a time, below a buffer.
pub(crate) struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        output(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Does what may wait for a reader who never comes, on a thread of its own, and goes on without it
/// after a time; whether it was done.
pub(crate) fn within(patience: Duration, act: impl FnOnce() -> bool + Send + 'static) -> bool {
    let (done, when_done) = mpsc::channel();
    // Who waits no more needs no answer.
    let spawned = thread::Builder::new().spawn(move || may_be_unheard(done.send(act())));
    spawned.is_ok() && when_done.recv_timeout(patience).unwrap_or(false)
}

fn lock(is_torn: &Mutex<bool>) -> MutexGuard<'_, bool> {
    is_torn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Behind a text that was cut off the next one begins a line of its own.
fn whole(
    is_torn: &mut bool,
    mut bytes: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while *is_torn {
        *is_torn = write(b"\n")? == 0;
    }
    let length = bytes.len();
    while !bytes.is_empty() {
        match write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                let rest = bytes.get(count..);
                bytes = rest.ok_or_else(|| io::Error::other("more was written than there is"))?;
            }
            Err(error) => {
                *is_torn = bytes.len() < length;
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
use by_descriptor::{error_output, output};

/// Writes to a descriptor as much as goes at once. What does not block is waited for.
#[cfg(unix)]
mod by_descriptor {
    use std::io;
    use std::os::fd::BorrowedFd;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;
    use rustix::stdio::{stderr, stdout};

    use crate::closed;

    pub(super) fn output(bytes: &[u8]) -> io::Result<usize> {
        some(closed::is_output(), stdout(), bytes)
    }

    pub(super) fn error_output(bytes: &[u8]) -> io::Result<usize> {
        some(closed::is_error(), stderr(), bytes)
    }

    fn some(is_closed: bool, stream: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
        if is_closed {
            return Err(Errno::BADF.into());
        }
        loop {
            match rustix::io::write(stream, bytes) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for(stream)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait_for(stream: BorrowedFd<'_>) -> io::Result<()> {
        match poll(&mut [PollFd::from_borrowed_fd(stream, PollFlags::OUT)], None) {
            // Whatever it is, the next write tells.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A console of Windows takes text, not bytes: the standard library converts it.
#[cfg(windows)]
fn output(bytes: &[u8]) -> io::Result<usize> {
    all_of(&mut io::stdout(), bytes)
}

#[cfg(windows)]
fn error_output(bytes: &[u8]) -> io::Result<usize> {
    all_of(&mut io::stderr(), bytes)
}

#[cfg(windows)]
fn all_of(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    stream.write_all(bytes)?;
    stream.flush()?;
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_behind_one_that_was_cut_off_is_whole() {
        let (mut taken, mut room, mut is_torn) = (Vec::new(), 5, false);
        for (text, more) in
            [("{\"a\":1}\n", 0), ("{\"b\":2}\n", 0), ("{\"c\":3}\n", 100), ("{\"d\":4}\n", 0)]
        {
            room += more;
            let write = |bytes: &[u8]| {
                // Two bytes at most: short writes are no end.
                let count = bytes.len().min(room).min(2);
                room -= count;
                taken.extend_from_slice(&bytes[..count]);
                if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
            };
            assert_eq!(
                whole(&mut is_torn, text.as_bytes(), write).is_ok(),
                !text.contains(['a', 'b'])
            );
        }
        assert_eq!(String::from_utf8(taken).unwrap(), "{\"a\":\n{\"c\":3}\n{\"d\":4}\n");
    }
}

//! A wake-up to the microsecond: `epoll_wait` counts in milliseconds, and many answers take less.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

/// A timer in the poll, which Linux has as a file descriptor.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Alarm(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Alarm {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use mio::Interest;
        use mio::unix::SourceFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let clock = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&clock.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(clock))
    }

    /// Wakes the poll once, `wait` from now, and cancels an earlier wake-up.
    pub(crate) fn set(&self, wait: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        // A time of 0 would disarm it.
        let wait = wait.max(Duration::from_nanos(1));
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Timespec::try_from(wait).map_err(io::Error::other)?;
        let timer = Itimerspec { it_interval: never, it_value: once };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }
}

/// Does nothing: a wake-up is as late as the poll makes it.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn set(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

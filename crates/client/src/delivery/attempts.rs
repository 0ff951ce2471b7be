//! When a client connects again, and when it gives up (rule P-29).

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The wait after `superseded`: longer than a handshake may last (P-23), and up to half of it more.
/// By then a message 4 that was late on an abandoned connection is too late, and two clients of one
/// identity do not come back together.
const GHOST_WAIT: Duration = Duration::from_secs(10);
/// A second `superseded` within this comes from another process.
const GHOST_TWICE: Duration = Duration::from_secs(60);

/// How long to try to get a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before the first session; zero is one attempt.
    pub first: Duration,
    /// Once there has been a session.
    pub later: Duration,
}

/// How a session, or the attempt to open one, ended: what decides whether there is another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The connection failed, a limit was reached, the server stopped: another attempt may succeed.
    Passing,
    /// A newer session of the same identity: of another process, or of our own message 4 that was
    /// late.
    Superseded,
    /// A key or a list has to change first: another attempt is wrong or futile.
    Final,
}

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// Connect after this wait.
    After(Duration),
    /// Connect once there is something to send.
    WhenNeeded,
    /// Do not connect again.
    Never,
}

/// The attempts of one client.
#[derive(Debug)]
pub struct Attempts {
    patience: Patience,
    backoff: Backoff,
    /// Since when no session has made progress.
    failing_since: Instant,
    has_opened: bool,
    superseded_at: Option<Instant>,
}

impl Attempts {
    /// Before the first attempt; patience begins at `now`.
    pub fn new(now: Instant, patience: Patience) -> Self {
        Self {
            patience,
            backoff: Backoff::default(),
            failing_since: now,
            has_opened: false,
            superseded_at: None,
        }
    }

    /// How long a client waits: before its first session, or after that.
    pub fn patience(&self) -> Duration {
        if self.has_opened { self.patience.later } else { self.patience.first }
    }

    /// A person or new values ask for an attempt: patience starts again.
    pub fn handle_request(&mut self, now: Instant) {
        self.failing_since = now;
    }

    /// A session opened: from now on the later patience holds.
    pub fn handle_open(&mut self) {
        self.has_opened = true;
    }

    /// The server counted values.
    pub fn handle_progress(&mut self, now: Instant) {
        self.backoff.reset();
        self.failing_since = now;
    }

    /// The end of a session (`was_open`), or of an attempt. `is_idle`: nothing waits to be sent.
    /// `random` is even over all of u64.
    pub fn handle_end(
        &mut self,
        now: Instant,
        random: u64,
        cause: AttemptEnd,
        was_open: bool,
        is_idle: bool,
    ) -> NextAttempt {
        if was_open {
            self.failing_since = now;
        }
        let patience = self.patience();
        match cause {
            AttemptEnd::Final => NextAttempt::Never,
            AttemptEnd::Superseded => {
                let wait = ghost_wait(random);
                let last = self.superseded_at.replace(now);
                let is_twice =
                    last.is_some_and(|last| now.saturating_duration_since(last) < GHOST_TWICE);
                if cfg!(ddes_mutant = "superseded-ignored") {
                    return NextAttempt::After(self.backoff.next(random));
                }
                if is_twice || patience < wait {
                    NextAttempt::Never
                } else {
                    NextAttempt::After(wait)
                }
            }
            // A session that ended with nothing to send is not needed now.
            AttemptEnd::Passing if was_open && is_idle => NextAttempt::WhenNeeded,
            AttemptEnd::Passing
                if now.saturating_duration_since(self.failing_since) >= patience =>
            {
                NextAttempt::Never
            }
            AttemptEnd::Passing => NextAttempt::After(self.backoff.next(random)),
        }
    }
}

fn ghost_wait(random: u64) -> Duration {
    #[allow(clippy::cast_precision_loss, reason = "a wait need not be exact")]
    let part = random as f64 / u64::MAX as f64;
    GHOST_WAIT + (GHOST_WAIT / 2).mul_f64(part)
}

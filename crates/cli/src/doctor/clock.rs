//! The clocks: the wall clock's year, whether it jumps, whether it is synchronized.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Finding, ntp};
use crate::screen::time;

const TOPIC: &str = "clock";
/// 2026-01-01, before which no such program was, and 2100-01-01, in seconds since 1970.
const SANE_FROM: Duration = Duration::from_secs(1_767_225_600);
const SANE_UNTIL: Duration = Duration::from_secs(4_102_444_800);
/// By this much the two clocks may part while the other checks run.
const JUMP_MAX: Duration = Duration::from_millis(100);

const SYNCHRONIZE: &str =
    "apt-get install chrony; chronyc tracking     (or timedatectl set-ntp true)";

/// Both clocks, as they were at the same time.
pub(super) struct Clocks {
    wall: SystemTime,
    steady: Instant,
}

impl Clocks {
    pub(super) fn start() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    pub(super) fn look(&self) -> Vec<Finding> {
        vec![year(), self.jump(), synchronization()]
    }

    /// Whether the wall clock went as far as the steady one.
    fn jump(&self) -> Finding {
        let steady = self.steady.elapsed();
        let expected = self.wall + steady;
        let now = SystemTime::now();
        let (apart, direction) = match now.duration_since(expected) {
            Ok(ahead) => (ahead, "forward"),
            Err(behind) => (behind.duration(), "back"),
        };
        if apart <= JUMP_MAX {
            let ran = steady.as_millis();
            return Finding::ok(TOPIC, format!("wall and monotonic clock agree over {ran} ms"));
        }
        Finding::warn(
            TOPIC,
            format!("the wall clock was set {direction} by {} ms just now", apart.as_millis()),
            SYNCHRONIZE,
        )
    }
}

fn year() -> Finding {
    let now = SystemTime::now();
    let shown = time(now);
    let is_sane =
        now.duration_since(UNIX_EPOCH).is_ok_and(|since| (SANE_FROM..SANE_UNTIL).contains(&since));
    if is_sane {
        Finding::ok(TOPIC, format!("the wall clock says {shown:.0}"))
    } else {
        Finding::fail(
            TOPIC,
            format!(
                "the wall clock says {shown:.0}: times in the ledger and of keys would be wrong"
            ),
            format!("timedatectl set-time 'YYYY-MM-DD HH:MM:SS'; {SYNCHRONIZE}"),
        )
    }
}

fn synchronization() -> Finding {
    match ntp::is_synchronized() {
        Ok(true) => Finding::ok(TOPIC, "the kernel's clock is synchronized"),
        Ok(false) => Finding::warn(TOPIC, "the kernel's clock is not synchronized", SYNCHRONIZE),
        // As some containers have it.
        Err(error) => {
            Finding::ok(TOPIC, format!("whether it is synchronized is not told: {error}"))
        }
    }
}

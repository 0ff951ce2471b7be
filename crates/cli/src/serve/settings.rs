//! What the flags of `ddes serve` are to the server: its options at the start, and those that a
//! running one takes up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ddes_ffdhe::Group;
use ddes_identity::SigningKey;
use ddes_server::endpoint::{Bounds, Classic, Config, Notices, Profiles};
use ddes_server::{Access, Files, LiveSettings, ServerOptions};
use ddes_session::{classic, v2};
use ddes_wire::v2::Suite;

use super::http;
use crate::args::ServeArgs;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::streams;

/// From accept to a client's proof, or its classic key (PROTOCOL.md, P-23 and C-19).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Values that wait for the ledger, 16 bytes each; beyond them nothing is read.
const QUEUED_VALUES_MAX: usize = 1 << 20;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Fewer connections where this user may not open files for all of them: out of files the ledger
/// could not go on. Also how many files the page takes.
pub(super) fn share_files(args: &ServeArgs) -> Result<(Files, u64), Failure> {
    let wanted = args.max_connections as usize;
    let needed = Files::needed(wanted) + http::files(args, u64::MAX);
    let most = limits::open_files(needed).err().unwrap_or(needed);
    let http_files = http::files(args, most);
    let files = Files::share(most - http_files, wanted).ok_or_else(|| {
        Failure::new(
            Code::No,
            format!("this user may have {most} open files, too few for a server"),
        )
        .next("ulimit -Hn 1024, and ddes serve")
    })?;
    if files.connections_max < wanted && !args.output.quiet {
        streams::say(&format!(
            "Warning: {wanted} connections need {needed} open files, and this user may have \
             {most} (ulimit -Hn): at most {} connections are taken.",
            files.connections_max
        ));
    }
    Ok((files, http_files))
}

/// What strangers may hold: half of all places and, on the original's wire, a quarter.
pub(crate) fn bounds(args: &ServeArgs, connections_max: usize) -> Bounds {
    let usual = Bounds::of(connections_max);
    let classic_max = if args.classic_wait_ms == 0 { connections_max } else { usual.classic_max };
    let unproven_max = args.max_unproven_total.map_or(usual.unproven_max, |most| most as usize);
    Bounds {
        unproven_max,
        unproven_network_max: args.max_unproven as usize,
        classic_max: args.max_classic.map_or(classic_max, |most| most as usize),
        classic_network_max: args.max_unproven as usize,
        handshakes_max: unproven_max,
        connects_per_sec_max: NonZeroU32::new(args.max_connects_per_sec),
        handshakes_per_sec_max: NonZeroU32::new(args.max_handshakes_per_sec),
        ..usual
    }
}

/// How long the ledger keeps its history; `None` for ever.
pub(super) fn history(args: &ServeArgs) -> Option<Duration> {
    args.history_days.map(|days| DAY * days)
}

/// The settings that a running server takes up.
pub(super) fn live(args: &ServeArgs, files: Files, notices: Notices) -> LiveSettings {
    LiveSettings {
        bounds: bounds(args, files.connections_max),
        idle: Duration::from_secs(args.idle_secs.into()),
        notices,
        drain: Duration::from_secs(args.drain_secs.into()),
        refusals_max: files.refusals_max,
        history: history(args),
    }
}

pub(super) fn options(
    args: &ServeArgs,
    live: LiveSettings,
    key: SigningKey,
    suites: Vec<Suite>,
    access: Access,
) -> ServerOptions {
    // The ledger was opened with its history.
    let LiveSettings { bounds, idle, notices, drain, refusals_max, history: _ } = live;
    let classic = args.classic.then(|| Classic {
        config: Arc::new(classic::ServerConfig {
            group: Group::named(args.group.into()),
            idle,
            handshake: HANDSHAKE_MAX,
            end_all: args.classic_end_all,
        }),
        silence: Duration::from_millis(args.classic_wait_ms.into()),
    });
    let v2 = v2::ServerConfig {
        suites,
        key,
        idle,
        handshake: HANDSHAKE_MAX,
        values_max: args.frame_values,
    };
    ServerOptions {
        listen: args.listen,
        endpoint: Config {
            bounds,
            queued_values_max: QUEUED_VALUES_MAX,
            notices,
            // The ledger knows.
            classic_first: 0,
            profiles: Profiles { v2: Arc::new(v2), classic },
        },
        access,
        drain,
        refusals_max,
        watch: false,
    }
}

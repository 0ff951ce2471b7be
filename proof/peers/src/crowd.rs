//! What sessions that work notice of many that wait.

use std::time::Duration;

use crate::compare::Effort;
use crate::figures::Figures;
use crate::rate::closed;
use crate::secure::{Peer, Session, hold, runtime};
use crate::server::Server;
use crate::{ours, redis, report};

pub(crate) const COLUMNS: &[&str] = &[
    "what",
    "waiting",
    "memory each",
    "working",
    "values/s without, with the waiting",
    "p50",
    "p99",
    "server CPU a value",
];

pub(crate) fn measure(
    peer: Peer,
    server: &Server,
    idle: u64,
    active: u32,
    effort: &Effort,
) -> Result<(), String> {
    let runtime = runtime()?;
    let before = work(peer, server, active, effort)?;
    let held = runtime.block_on(hold(peer, server, idle, effort.settle))?;
    let after = work(peer, server, active, effort)?;
    drop(held.sessions);
    let both = |of: fn(&Figures) -> String| format!("{}, {}", of(&before), of(&after));
    let ([p50, p99], [p50_after, p99_after]) = (before.latencies(), after.latencies());
    report::row(&[
        peer.name(),
        idle.to_string(),
        format!("{:.1} KiB", held.kib_each),
        active.to_string(),
        both(|figures| format!("{:.0}", figures.rate)),
        format!("{p50}, {p50_after}"),
        format!("{p99}, {p99_after}"),
        both(|figures| report::duration(figures.cpu)),
    ]);
    Ok(())
}

fn work(peer: Peer, server: &Server, active: u32, effort: &Effort) -> Result<Figures, String> {
    match peer {
        Peer::Ours(_) => {
            let load = ours::Load { sessions: active, batch: 1, pipeline: 1, rate: None };
            ours::load(server, load, effort.length, effort.warm_up)
        }
        Peer::Redis => redis::load(server, active, 1, effort.length),
        Peer::Rustls => runtime()?.block_on(async {
            let sessions = hold(peer, server, active.into(), Duration::ZERO).await?.sessions;
            closed(server, sessions, effort.length, async |session: &mut Session| {
                session.count(1).await
            })
            .await
        }),
    }
}

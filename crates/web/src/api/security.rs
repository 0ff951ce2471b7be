//! `GET /api/v1/security`: refusals by reason and by network, and the limits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use ddes_server::watch::{NetworkFailures, ServerStats};
use serde::Serialize;

use crate::answer::{Answer, shown_time};
use crate::app::{App, Clock};
use crate::health::{is_refusal, meaning, occurrences};

/// Networks that are shown.
const NETWORKS_SHOWN: usize = 50;

#[derive(Serialize)]
pub(crate) struct SecurityJson {
    reasons: Vec<ReasonJson>,
    networks: Vec<NetworkJson>,
    limits: Vec<LimitJson>,
}

#[derive(Serialize)]
struct ReasonJson {
    reason: &'static str,
    count: u64,
    last_minute: u64,
    text: &'static str,
}

#[derive(Serialize)]
struct NetworkJson {
    network: String,
    failures: u64,
    last_at: String,
    reasons: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct LimitJson {
    name: &'static str,
    /// `None` without a limit.
    limit: Option<u64>,
    /// `None` where it is counted for each network.
    used: Option<u64>,
}

pub(crate) async fn security(State(app): State<Arc<App>>) -> Answer<SecurityJson> {
    let stats = app.watch.stats();
    let (all, last_minute) = occurrences(&app, &stats);
    let happened = all.iter().filter(|(cause, count)| is_refusal(*cause) && *count > 0);
    let reasons = happened.map(|(cause, count)| ReasonJson {
        reason: cause.as_str(),
        count,
        last_minute: last_minute.get(cause),
        text: meaning(cause),
    });
    let reasons = reasons.collect();
    Answer::now(SecurityJson { reasons, networks: networks(&app), limits: limits(&app, &stats) })
}

fn networks(app: &App) -> Vec<NetworkJson> {
    let now = Instant::now();
    let kept = app.watch.networks();
    let mut failing: Vec<(u64, &NetworkFailures)> =
        kept.iter().map(|network| (network.in_last_hour(now), network)).collect();
    failing.retain(|(failures, _)| *failures > 0);
    failing.sort_unstable_by(|(one, first), (other, second)| {
        other.cmp(one).then(second.last_at.cmp(&first.last_at))
    });
    let clock = Clock::now();
    let shown = failing.into_iter().take(NETWORKS_SHOWN).map(|(failures, network)| NetworkJson {
        network: format!("{}/{}", shown_address(network.address), network.prefix),
        failures,
        last_at: shown_time(clock.time(network.last_at)),
        reasons: network
            .causes
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| (cause.as_str(), count))
            .collect(),
    });
    shown.collect()
}

fn shown_address(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn limits(app: &App, stats: &ServerStats) -> Vec<LimitJson> {
    let (bounds, gauges) = (app.about.limits.bounds(), &stats.gauges);
    let held = |name, limit: usize, used: usize| LimitJson {
        name,
        limit: Some(limit as u64),
        used: Some(used as u64),
    };
    let by_network = |name, limit: Option<u64>| LimitJson { name, limit, used: None };
    let rate = |limit: Option<NonZeroU32>| limit.map(|limit| limit.get().into());
    vec![
        held("connections", bounds.connections_max, gauges.connections),
        held("unproven_connections", bounds.unproven_max, gauges.unproven),
        by_network("unproven_connections_of_network", Some(bounds.unproven_network_max as u64)),
        held("classic_sessions", bounds.classic_max, gauges.classic),
        by_network("classic_sessions_of_network", Some(bounds.classic_network_max as u64)),
        held("handshakes", bounds.handshakes_max, gauges.handshakes),
        by_network("connects_per_sec_of_network", rate(bounds.connects_per_sec_max)),
        by_network("handshakes_per_sec_of_network", rate(bounds.handshakes_per_sec_max)),
        held("queued_values", app.about.queued_values_max, gauges.queued_values),
    ]
}

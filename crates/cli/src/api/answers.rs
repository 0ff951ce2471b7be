//! What the API answers, as far as commands use it. Unknown fields are ignored: a newer server has
//! more of them.

use std::fmt;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// A count or a sum of any size: decimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digits(String);

impl Digits {
    /// Where it fits, for rates and sorting.
    pub(crate) fn value(&self) -> Option<i128> {
        self.0.parse().ok()
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digits {
    /// A string of digits, or a whole number.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match is_whole {
            true => Ok(Self(text)),
            false => Err(D::Error::invalid_value(Unexpected::Str(&text), &"decimal digits")),
        }
    }
}

/// `GET /api/v1/overview`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Overview {
    pub(crate) as_of: String,
    pub(crate) server: ServerFacts,
    /// Whether this request has the right to act.
    pub(crate) can_act: bool,
    pub(crate) health: ServerHealth,
    pub(crate) sessions: OpenSessions,
    pub(crate) rates: Rates,
    pub(crate) commit: Commit,
    pub(crate) totals: LedgerTotals,
    pub(crate) refusals: Vec<RefusalCount>,
    pub(crate) history: RateHistory,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServerFacts {
    pub(crate) version: String,
    pub(crate) address: String,
    pub(crate) uptime_secs: f64,
    /// Another one after each start.
    pub(crate) boot: String,
    pub(crate) state: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServerHealth {
    /// `ok`, `warning` or `critical`.
    pub(crate) level: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OpenSessions {
    pub(crate) open: u64,
    pub(crate) unproven: u64,
    pub(crate) classic: u64,
    pub(crate) connections: u64,
    pub(crate) max: u64,
}

/// Means of the last 10 s.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rates {
    pub(crate) values_per_sec: f64,
    pub(crate) batches_per_sec: f64,
    pub(crate) handshakes_per_sec: f64,
    pub(crate) bytes_in_per_sec: f64,
    pub(crate) bytes_out_per_sec: f64,
}

/// Of the last 10 s; `None` where nothing was committed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Commit {
    pub(crate) p50_micros: Option<f64>,
    pub(crate) p99_micros: Option<f64>,
    pub(crate) queued_values: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LedgerTotals {
    pub(crate) accounts: Digits,
    pub(crate) count: Digits,
    pub(crate) sum: Digits,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RefusalCount {
    pub(crate) reason: String,
    pub(crate) count: u64,
    pub(crate) last_minute: u64,
}

/// Oldest first.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RateHistory {
    pub(crate) values_per_sec: Vec<Option<f64>>,
}

/// `GET /api/v1/sessions`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SessionPage {
    /// Those that match the filter.
    pub(crate) total: usize,
    pub(crate) all: usize,
    pub(crate) sessions: Vec<ListedSession>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ListedSession {
    pub(crate) id: u64,
    pub(crate) profile: String,
    pub(crate) suite: Option<String>,
    pub(crate) peer: String,
    pub(crate) state: String,
    pub(crate) name: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) opened: String,
    pub(crate) idle_deadline: Option<String>,
    pub(crate) count: Digits,
    pub(crate) sum: Digits,
    pub(crate) as_of: String,
}

/// `GET /api/v1/security`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Security {
    pub(crate) reasons: Vec<ReasonCount>,
    pub(crate) networks: Vec<FailingNetwork>,
    pub(crate) limits: Vec<Limit>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReasonCount {
    pub(crate) reason: String,
    pub(crate) count: u64,
    pub(crate) last_minute: u64,
    pub(crate) text: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FailingNetwork {
    pub(crate) network: String,
    pub(crate) failures: u64,
    pub(crate) last_at: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) limit: f64,
    /// Unknown of a rate.
    pub(crate) used: Option<f64>,
}

/// `GET /api/v1/wire/{id}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ladder {
    pub(crate) peer: String,
    pub(crate) profile: String,
    /// Whether the first frame of the session is among those traced.
    pub(crate) from_start: bool,
    pub(crate) ended: Option<String>,
    /// Frames that were forgotten before they were asked for.
    pub(crate) dropped: u64,
    pub(crate) frames: Vec<LadderFrame>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LadderFrame {
    pub(crate) seq: u64,
    pub(crate) micros_since_open: u64,
    /// `in` or `out`, seen from the server.
    pub(crate) direction: String,
    pub(crate) opcode: u64,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) encrypted: bool,
    pub(crate) note: String,
    pub(crate) seen: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn counts_are_digits_of_any_length_and_nothing_else() {
        let long = "9".repeat(60);
        for fits in [json!("0"), json!("-7"), json!(12), json!(long)] {
            assert!(from_value::<Digits>(fits.clone()).is_ok(), "{fits}");
        }
        for unfit in [json!("1e5"), json!(1.5), json!(""), json!("-"), json!(null), json!([1])] {
            assert!(from_value::<Digits>(unfit.clone()).is_err(), "{unfit}");
        }
    }
}

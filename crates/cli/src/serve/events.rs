//! The events of a server's lines: their names, levels and fields are a contract, which
//! docs/events.md lists for those who read logs.

use crate::level::EventLevel;
use crate::screen::Line;

macro_rules! events {
    ($($event:ident $name:literal $level:ident [$($field:literal)*])*) => {
        /// What a line of the server is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Event { $($event),* }

        impl Event {
            /// As in JSON.
            fn name(self) -> &'static str {
                match self { $(Self::$event => $name),* }
            }

            fn shown(self) -> ShownFrom {
                match self { $(Self::$event => ShownFrom::$level),* }
            }

            /// Each field that a line of it may have, beside those of all lines.
            #[cfg(test)]
            fn fields(self) -> &'static [&'static str] {
                match self { $(Self::$event => &[$($field),*]),* }
            }

            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$event),*];
        }
    };
}

/// From which level on an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShownFrom {
    /// At every level: an answer to a command, or what scripts wait for.
    Always,
    Error,
    Warn,
    Info,
    Debug,
}

events! {
    Starting "starting" Info []
    Listening "listening" Always ["addr" "http" "profiles"]
    HttpOff "http_off" Warn ["fault"]
    Link "link" Always ["link"]
    ServerKey "server_key" Info ["fingerprint" "new"]
    Access "access" Info ["keys" "authorized_keys" "identities" "database_keys"]
    AccessFault "access_fault" Warn ["fault"]
    Ledger "ledger" Info ["path" "new" "accounts" "count" "batch" "checkpoint" "postgres" "standby"]
    LedgerTorn "ledger_torn" Warn ["batch"]
    LedgerNote "ledger_note" Warn ["file" "offset" "batch" "why"]
    LedgerWarning "ledger_warning" Warn ["why"]
    LedgerHealth "ledger_health" Error ["state"]
    LedgerCheckpoint "ledger_checkpoint" Warn ["error"]
    LedgerVerified "ledger_verified" Info ["outcome" "text"]
    LedgerDamaged "ledger_damaged" Error ["text"]
    LedgerUnkept "ledger_unkept" Warn ["error"]
    Connected "connected" Info ["session" "peer"]
    KeyVerified "key_verified" Info ["session" "peer"]
    Admitted "admitted" Info ["session" "peer" "identity" "name" "operator"]
    Regranted "regranted" Info ["session" "peer" "identity" "name" "operator"]
    TurnedAway "turned_away" Warn ["session" "peer" "identity" "key"]
    TokenShared "token_shared" Info ["session" "peer"]
    HmacVerified "hmac_verified" Debug ["session" "peer"]
    Received "received" Debug ["session" "peer" "amount" "count"]
    ResultSent "result_sent" Debug ["session" "peer" "sum" "status"]
    Tampered "tampered" Warn ["session" "peer"]
    Ignored "ignored" Debug ["session" "peer" "opcode"]
    Ended "ended" Info ["session" "peer" "cause" "label" "rule" "fault" "reason"]
    Summed "summed" Info ["kind" "count" "addresses" "more_addresses" "millis"]
    Reloaded "reloaded" Always ["changed" "needs_restart" "file"]
    ReloadFailed "reload_failed" Error ["what" "cause"]
    LogLevel "log_level" Always ["log_level"]
    SessionCount "session_count" Always ["count"]
    Session "session" Always ["session" "peer" "identity" "count" "sum"]
    SessionsEnded "sessions_ended" Always ["count"]
    Totals "totals" Always ["sessions" "accounts" "count" "sum" "mean" "min" "max"]
    Help "help" Always []
    Dropped "dropped" Warn ["count"]
    Unsaid "unsaid" Warn ["count"]
    ShuttingDown "shutting_down" Info []
    Exited "exited" Info ["cut"]
}

impl Event {
    /// The level at which it is shown; `None` if it always is.
    fn level(self) -> Option<EventLevel> {
        match self.shown() {
            ShownFrom::Always => None,
            ShownFrom::Error => Some(EventLevel::Error),
            ShownFrom::Warn => Some(EventLevel::Warn),
            ShownFrom::Info => Some(EventLevel::Info),
            ShownFrom::Debug => Some(EventLevel::Debug),
        }
    }

    /// A line of it, as people read it.
    pub(super) fn line(self, text: impl Into<String>) -> Line {
        let level = self.level();
        let name = level.unwrap_or(EventLevel::Info).name();
        Line::new(self.name(), text).at(level).with("level", name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use clap::Parser;
    use ddes_identity::SigningKey;
    use ddes_ledger::audit::Footing;
    use ddes_ledger::store::{Chain, Damage};
    use ddes_ledger::{Health, Opened, Totals};
    use ddes_ledger_postgres::FoundDatabase;
    use ddes_server::endpoint::{Admitted, Notice, NoticeEvent};
    use ddes_server::watch::Cause;
    use ddes_server::{DatabaseKeys, Lists};
    use ddes_session::{classic, v2};
    use ddes_web::VerificationOutcome;
    use ddes_wire::Total;
    use ddes_wire::v2::{Reason, Status};

    use super::super::control::{Change, Changes};
    use super::super::lines;
    use super::super::tally::tests::endpoint;
    use super::super::tally::{Sum, UnprovenKind};
    use super::*;
    use crate::args::{Cli, Command};
    use crate::failure::{Code, Failure};
    use crate::home::Home;

    /// One list for metrics, the API and the events.
    #[test]
    fn the_documentation_names_each_reason_of_the_metrics_and_each_kind_of_a_sum() {
        let between = |text: &str, start: &str| {
            let (_, rest) = text.split_once(start).unwrap();
            let list = rest.split_once('.').unwrap().0;
            list.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let metrics = include_str!("../../../../docs/metrics.md");
        let labels: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str().to_owned()).collect();
        assert_eq!(between(metrics, "`reason` is one of: "), labels);
        let events = include_str!("../../../../docs/events.md");
        let kinds: Vec<_> = UnprovenKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
        assert_eq!(between(events, "`kind` of `summed` is one of: "), kinds);
        let reasons = Reason::ALL.iter().map(|reason| format!("{} ", *reason as u8));
        let numbered = events.split_once("`reason` of `ended` is the number").unwrap().1;
        for reason in reasons {
            assert!(numbered.contains(&reason), "{reason}");
        }
    }

    /// Name, level as documented, and fields.
    type EventRow = (String, String, BTreeSet<String>);

    fn documented() -> Vec<EventRow> {
        let text = include_str!("../../../../docs/events.md");
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        let row = |row: &str| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let names = cells[3].split('`').skip(1).step_by(2).map(str::to_owned);
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned(), names.collect())
        };
        rows.map(row).collect()
    }

    #[test]
    fn the_documentation_has_each_event_with_its_level_and_its_fields() {
        let rows = documented();
        let level = |event: &Event| event.level().map_or("always", EventLevel::name).to_owned();
        let fields = |event: &Event| event.fields().iter().map(|name| (*name).to_owned()).collect();
        let all: Vec<EventRow> = Event::ALL
            .iter()
            .map(|event| (event.name().to_owned(), level(event), fields(event)))
            .collect();
        assert_eq!(rows.len(), all.len());
        for (row, expected) in rows.iter().zip(&all) {
            assert_eq!(row, expected);
        }
    }

    fn notices(at: Instant) -> Vec<Notice> {
        let key = SigningKey::from_seed(&[1; 32]).public();
        let admitted = || Box::new(Admitted { key, name: None, is_operator: true });
        let fault = v2::ServerEnd::Fault(v2::Fault::HandshakeTimeout);
        let classic_fault = classic::ServerEnd::Fault(classic::Fault::HandshakeTimeout);
        let events = vec![
            NoticeEvent::Connected,
            NoticeEvent::KeyVerified,
            NoticeEvent::Admitted(admitted()),
            NoticeEvent::Regranted(admitted()),
            NoticeEvent::TurnedAway { key },
            NoticeEvent::TokenShared,
            NoticeEvent::Received { first: 5_u64.into(), count: 2 },
            NoticeEvent::ResultSent { status: Status::Applied, sum: Total::default() },
            NoticeEvent::Tampered,
            NoticeEvent::Ignored { opcode: 7 },
            NoticeEvent::ClassicEnded(classic_fault),
            NoticeEvent::Ended(fault),
            NoticeEvent::Ended(v2::ServerEnd::Ordered(Reason::Superseded)),
        ];
        let (_, connection) = endpoint(at);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let notice = |event| Notice { connection, peer, is_proven: false, event };
        events.into_iter().map(notice).collect()
    }

    fn of_ledger() -> Vec<Line> {
        let path = Path::new("ledger");
        let opened = Opened {
            is_new: false,
            batch: 1,
            chain: Chain([0; 32]),
            footing: Footing::Beginning,
            ended: Vec::new(),
            checkpoint: 0,
            was_torn: false,
            notes: Vec::new(),
        };
        let found = FoundDatabase {
            ledger: [0; 16],
            version: 150_020,
            has_standby: true,
            warnings: Vec::new(),
        };
        let damage = Damage { file: "f".into(), offset: 1, batch: 1, why: "why".into() };
        vec![
            lines::ledger(path, &Totals::default(), &opened),
            lines::ledger_in_memory(),
            lines::ledger_in_database("postgres://u@h/d", &found),
            lines::ledger_warning("why"),
            lines::ledger_torn(1),
            lines::ledger_note(&damage),
            lines::ledger_health(&Health::Full),
            lines::ledger_checkpoint(&std::io::Error::other("why")),
            lines::verification(VerificationOutcome::Whole, "text"),
            lines::verification(VerificationOutcome::Damaged, "text"),
            lines::verification_unkept(&std::io::Error::other("why")),
            lines::totals(1, &Totals::default()),
        ]
    }

    fn of_operator() -> Vec<Line> {
        let change = Change { key: "listen", from: None, to: Some("x".into()) };
        let changes = Changes {
            changed: vec![change.clone()],
            needs_restart: vec![change],
            file: Some("f".into()),
        };
        vec![
            lines::reloaded(&changes),
            lines::reload_failed(&Failure::new(Code::No, "what").cause("cause")),
            lines::log_level(EventLevel::Debug),
            lines::help("why"),
            lines::ended(1),
            lines::session_count(1),
            lines::shutting_down(),
            lines::exited(1),
            lines::dropped(1),
            lines::unsaid(1),
        ]
    }

    /// A line of each event, with all of its fields among them.
    fn samples() -> Vec<Line> {
        let now = Instant::now();
        let Command::Serve(args) = Cli::parse_from(["ddes", "serve", "--home", "nowhere"]).command
        else {
            panic!("another command")
        };
        let home = Home::find(&args.home).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let sum = Sum::Many {
            kind: UnprovenKind::Connected,
            count: 2,
            addresses: 1,
            has_more_addresses: false,
            over: Duration::from_secs(1),
        };
        let mut samples = vec![
            lines::starting(),
            lines::listening(address, Some(address), &args),
            lines::http_off(&Failure::new(Code::No, "why")),
            lines::link("http://localhost"),
            lines::server_key("SHA256:x", true),
            lines::access(&Lists { database: Some(DatabaseKeys::new("db")), ..home.lists() }),
            lines::access_fault("why"),
        ];
        samples.extend(endpoint(now).0.sessions().map(|view| lines::session(now, &view)));
        samples.extend(notices(now).iter().flat_map(lines::of_notice));
        samples.extend(lines::of_sum(&sum));
        samples.extend(of_ledger());
        samples.extend(of_operator());
        samples
    }

    #[test]
    fn the_lines_have_the_fields_that_their_event_lists_and_no_others() {
        let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in samples() {
            let object: serde_json::Value = serde_json::from_str(&line.render(true)).unwrap();
            let names = object.as_object().unwrap().keys().cloned();
            let fields = written.entry(object["event"].as_str().unwrap().to_owned()).or_default();
            fields.extend(
                names.filter(|name| {
                    !["schema_version", "time", "level", "event"].contains(&&**name)
                }),
            );
            assert!(EventLevel::named(object["level"].as_str().unwrap()).is_some(), "{object}");
        }
        let listed = Event::ALL.iter().map(|event| {
            let fields = event.fields().iter().map(|name| (*name).to_owned());
            (event.name().to_owned(), fields.collect())
        });
        assert_eq!(written, listed.collect::<BTreeMap<_, _>>());
    }
}

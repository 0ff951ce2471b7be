//! What the demo says, for people and for programs.

use std::path::Path;

use serde_json::{Value, json};

use super::party::{Member, Party, PartyTotals, Process};
use crate::screen::{Line, number};
use crate::top::words::grouped;

/// Everything runs.
pub(super) fn started(party: &Party, home: &Path, link: Option<&str>, is_opened: bool) -> Line {
    let Party { address, http, server, members, .. } = party;
    let clients = members.iter().map(|member| {
        json!({"name": member.meter.name, "pid": member.process.pid(),
            "per_sec": member.meter.per_sec})
    });
    Line::new("started", introduction(party, home, link, is_opened))
        .with("home", home.display().to_string())
        .with("addr", address.clone())
        .with("http", (!http.is_empty()).then(|| http.clone()))
        .with("link", link)
        .with("pid", server.pid())
        .with("clients", clients.collect::<Value>())
}

/// Who is who, and what to try.
fn introduction(party: &Party, home: &Path, link: Option<&str>, is_opened: bool) -> String {
    let Party { address, http, server, members, .. } = party;
    let home = home.display();
    let process = |name: &str, process: &Process, what: &str| {
        format!("  {name:<9}process {:<9}{what}", pid(process))
    };
    let mut lines = vec![format!("A server and three clients count, in {home}:")];
    lines.push(process("server", server, address));
    for Member { meter, process: child, .. } in members {
        let rate = format!("{} integers a second", meter.per_sec);
        lines.push(process(meter.name, child, &rate));
    }
    match link {
        _ if http.is_empty() => lines.push("The server has no page.".into()),
        _ if is_opened => lines.push(format!("The page is open in your browser: http://{http}/")),
        None => lines.push(format!("The page, for a browser: http://{http}/")),
        Some(link) => {
            lines.push("The page, for a browser. This link works once, for 10 minutes:".into());
            lines.push(format!("  {link}"));
        }
    }
    lines.push("Try in a second terminal:".into());
    if let Some(Member { meter, process, .. }) = members.get(1) {
        let name = meter.name;
        lines.push(format!("  kill -9 {:<9}{name}: its total stays exact", pid(process)));
    }
    lines.push(format!("  kill -9 {:<9}the server: every total stays exact", pid(server)));
    if !http.is_empty() {
        lines.push(format!("  ddes top --http {http} --home {home}"));
    }
    lines.push("Ctrl-C ends the demo and removes everything.".into());
    lines.join("\n")
}

pub(super) fn client_restarted(member: &Member, before: u32, end: &str) -> Line {
    let (name, had) = (member.meter.name, shown(&member.balance));
    Line::new("client_restarted", format!("{name} ({before}) {end}, after {had}."))
        .with("client", name)
        .with("end", end)
        .with("pid", member.process.pid())
}

/// A client that was started again has a session.
pub(super) fn client_returned(member: &Member) -> Line {
    let (name, PartyTotals { count, sum }) = (member.meter.name, member.balance);
    let (pid, has) = (pid(&member.process), shown(&member.balance));
    Line::new("client_returned", format!("{name} is back as {pid}: {has}, exact."))
        .with("client", name)
        .with("count", number(&count))
        .with("sum", number(&sum))
}

pub(super) fn server_restarted(party: &Party, before: u32, end: &str) -> Line {
    Line::new("server_restarted", format!("The server ({before}) {end}."))
        .with("end", end)
        .with("pid", party.server.pid())
}

/// All clients have a session with the server that was started again.
pub(super) fn server_returned(party: &Party, before: &PartyTotals, secs: f64) -> Line {
    let after = party.totals();
    let text = format!(
        "The server is back as {}, after {secs:.1} s. Nothing is lost, nothing counts twice.\n  \
         before: {}; after: {}",
        pid(&party.server),
        shown(before),
        shown(&after)
    );
    let totals = |totals: &PartyTotals| json!({"count": totals.count.to_string(), "sum": totals.sum.to_string()});
    Line::new("server_returned", text).with("before", totals(before)).with("after", totals(&after))
}

/// Once a second.
pub(super) fn tick(party: &Party) -> Line {
    let totals = party.totals();
    let mut parts = vec![shown(&totals)];
    for Member { meter, balance, is_open, .. } in &party.members {
        let away = if *is_open { "" } else { " (away)" };
        parts.push(format!("{} {}{away}", meter.name, grouped(&balance.count)));
    }
    let clients = party.members.iter().map(|member| {
        json!({"name": member.meter.name, "is_open": member.is_open,
            "count": member.balance.count, "sum": member.balance.sum.to_string()})
    });
    Line::new("tick", parts.join(" | "))
        .with("count", number(&totals.count))
        .with("sum", number(&totals.sum))
        .with("clients", clients.collect::<Value>())
}

/// The clients have ended; whether the ledger holds the same, if it could be asked.
pub(super) fn ended(counted: &PartyTotals, ledger_agrees: Option<bool>) -> Line {
    let ledger = match ledger_agrees {
        Some(true) => " The ledger says the same.",
        // A client that did not end in time does not know all that was counted.
        Some(false) => " The ledger holds more: a client was cut off.",
        None => "",
    };
    Line::new("ended", format!("Three clients counted {}.{ledger}", shown(counted)))
        .with("count", number(&counted.count))
        .with("sum", number(&counted.sum))
        .with("ledger_agrees", ledger_agrees)
}

fn shown(totals: &PartyTotals) -> String {
    format!("{} integers, sum {}", grouped(&totals.count), grouped(&totals.sum))
}

/// Nothing for a process that has just ended.
fn pid(process: &Process) -> String {
    process.pid().map_or_else(String::new, |pid| pid.to_string())
}

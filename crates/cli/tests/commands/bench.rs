//! `ddes bench`: load on a real server, and on ones that refuse, cut off and lie.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ddes_identity::SigningKey;
use ddes_session::v2::noise::Entropy;
use ddes_session::v2::{Refused, ServerConfig, ServerEntropy, ServerEvent, ServerSession};
use ddes_session::{Phase, Ticket};
use ddes_wire::v2::{GroupSize, Suite};
use ddes_wire::{Sequence, SessionNumber, Standing};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::secure::{fingerprint, serve};
use crate::{ddes_at, folder, output};

fn bench(home: &Path, server: &str, trust: &str, flags: &[&str]) -> (i32, String, String) {
    let fixed = ["bench", "run", "--yes", "--server", server, "--trust", trust, "--warmup", "0"];
    output(ddes_at(home, &[&fixed[..], flags].concat()))
}

/// The events of a run by their names, the last of each.
fn events(out: &str) -> HashMap<String, Value> {
    let events = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| (event["event"].as_str().unwrap().to_owned(), event)).collect()
}

#[test]
fn a_run_counts_what_it_sent_and_leaves_a_record_and_a_page() {
    let home = folder();
    let server = serve(&home, &["--allow-any"]);
    let trust = fingerprint(&home);
    let [save, html] = ["run.json", "run.html"].map(|name| home.join(name).display().to_string());
    let flags = [
        "--json",
        "--sessions",
        "8",
        "--threads",
        "2",
        "--values",
        "20001",
        "--batch",
        "10",
        "--pipeline",
        "4",
    ];
    let files = ["--values-from", "constant:3", "--save", &save, "--html", &html];
    let (code, out, error) = bench(&home, &server.address, &trust, &[&flags[..], &files].concat());
    assert_eq!(code, 0, "{error}{out}");
    let result = &events(&out)["result"];
    assert_eq!((&result["schema_version"], &result["values"]), (&2.into(), &"20001".into()));
    // Seven sessions have 2500 values and one 2501: 250 frames each, and one more.
    assert_eq!((&result["frames"], &result["latency"]["count"]), (&2_001.into(), &"2001".into()));
    let found = &result["verification"];
    assert_eq!(
        (&found["right"], &found["count"], &found["sum"]),
        (&8.into(), &"20001".into(), &"60003".into())
    );
    assert_eq!(result["handshake"]["count"], "8");
    let text = std::fs::read_to_string(&html).unwrap();
    assert!(text.contains("Verified.") && text.matches("<svg").count() >= 1);

    // The accounts go on, and so does the check.
    let (code, again, error) = bench(
        &home,
        &server.address,
        &trust,
        &[&flags[..], &["--values-from", "constant:-2"]].concat(),
    );
    assert_eq!(code, 0, "{error}");
    assert_eq!(events(&again)["result"]["verification"]["sum"], (60_003 - 40_002).to_string());

    let compare = |flags: &[&str]| {
        output(ddes_at(&home, &[&["bench", "compare", &save, &save], flags].concat()))
    };
    let (code, table, _) = compare(&["--fail-below", "0.99"]);
    assert_eq!((code, table.contains("values/s") && table.contains("1.000")), (0, true), "{table}");
    let (code, _, error) = compare(&["--fail-below", "1.01", "--on", "p99"]);
    assert_eq!((code, error.contains("p99: 1.000 times as good")), (1, true), "{error}");
    let (code, _, error) = output(ddes_at(&home, &["bench", "compare", &html, &save]));
    assert_eq!(
        (code, error.contains("not a saved run") && error.contains("--save FILE")),
        (2, true),
        "{error}"
    );
}

#[test]
fn an_open_loop_keeps_its_rate_and_reports_each_interval() {
    let home = folder();
    let server = serve(&home, &["--allow-any"]);
    let trust = fingerprint(&home);
    let flags = ["--json", "--sessions", "4", "--duration", "3", "--rate", "2000"];
    for arrivals in ["constant", "poisson"] {
        let (code, out, error) = bench(
            &home,
            &server.address,
            &trust,
            &[&flags[..], &["--arrivals", arrivals]].concat(),
        );
        assert_eq!(code, 0, "{error}{out}");
        let result = &events(&out)["result"];
        // Poisson's count has a standard deviation of 77.
        let sent = result["latency"]["count"].as_str().unwrap().parse::<u64>().unwrap();
        let slack = if arrivals == "constant" { 0 } else { 400 };
        assert!(sent.abs_diff(6_000) <= slack, "{sent}");
        assert_eq!(result["verification"]["right"], 4);
        assert_eq!(result["lag"]["count"], sent.to_string());
        assert!(out.lines().filter(|line| line.contains("\"interval\"")).count() >= 2);
    }
}

#[test]
fn what_the_server_does_not_take_is_said_before_the_run_with_what_to_do() {
    let home = folder();
    let server = serve(&home, &["--frame-values", "10", "--idle-secs", "5"]);
    let trust = fingerprint(&home);
    let check = |(code, out, error): (i32, String, String), expected: i32, parts: &[&str]| {
        assert_eq!((code, out.as_str()), (expected, ""), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    let run = |flags: &[&str]| bench(&home, &server.address, &trust, flags);
    check(
        run(&["--sessions", "2"]),
        4,
        &["does not let this identity in", "ddes bench keys --sessions 2 --seed 1"],
    );
    let (_, keys, _) = output(ddes_at(&home, &["bench", "keys", "--sessions", "2"]));
    assert_eq!(keys.lines().count(), 2);
    std::fs::write(home.join("authorized_keys"), keys).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    check(run(&["--batch", "11"]), 2, &["takes 10 at most", "--batch 10", "--frame-values 11"]);
    check(run(&["--rate", "0.1"]), 2, &["every 500 s", "--idle-secs"]);
    check(run(&["--ramp", "9"]), 2, &["wait 9 s", "--idle-secs"]);
    check(run(&["--values-from", "gauss:1"]), 2, &["not a distribution", "uniform:0..1000"]);
    check(run(&["--threads", "9", "--sessions", "2"]), 2, &["9 threads have nothing to do"]);
    // A third session is a stranger.
    check(
        run(&["--sessions", "3"]),
        4,
        &["session 2 of 3 did not open", "ddes bench keys --sessions 3"],
    );
    let (code, out, error) = run(&["--sessions", "2", "--values", "10"]);
    assert_eq!((code, out.contains("2 of 2 sessions verified")), (0, true), "{out}{error}");
    check(bench(&home, "127.0.0.1:1", &trust, &[]), 3, &["refused the connection", "ddes serve"]);
    check(
        bench(&home, &server.address, crate::secure::OTHER, &[]),
        4,
        &[&format!("--trust says {}", crate::secure::OTHER)],
    );
}

#[test]
fn ctrl_c_ends_the_run_and_the_run_is_reported() {
    let home = folder();
    let server = serve(&home, &["--allow-any"]);
    let trust = fingerprint(&home);
    let flags = [
        "bench",
        "run",
        "--yes",
        "--server",
        &server.address,
        "--trust",
        &trust,
        "--warmup",
        "0",
        "--json",
    ];
    let command = ddes_at(
        &home,
        &[&flags[..], &["--sessions", "3", "--duration", "600", "--pipeline", "8"]].concat(),
    );
    let mut run = crate::start(command, |line| line.contains("\"interval\"").then(String::new));
    assert!(
        Command::new("kill")
            .args(["-INT", &run.child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let mut rest = String::new();
    while run.stdout.read_line(&mut rest).unwrap() > 0 {}
    let result = &events(&rest)["result"];
    assert_eq!(
        (&result["was_stopped"], &result["verification"]["right"]),
        (&true.into(), &3.into())
    );
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
}

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// One value too many in one account.
    Lies,
    /// The ledger is away now and then; connections break now and then.
    IsRough,
}

/// The liar's victim.
const VICTIM: u64 = 2;

#[test]
fn a_server_that_adds_one_to_one_sum_is_caught_and_the_session_named() {
    let home = folder();
    let (address, trust) = faulty(Fault::Lies);
    let flags = ["--sessions", "5", "--values", "5000", "--batch", "5", "--pipeline", "4"];
    let (code, out, error) = bench(&home, &address, &trust, &flags);
    assert_eq!(code, 5, "{out}{error}");
    assert!(
        error.contains("in 1 sessions: 2\n") && out.contains("4 of 5 sessions verified; 1 WRONG"),
        "{out}{error}"
    );
    let (code, out, _) =
        bench(&home, &address, &trust, &[&flags[..], &["--json", "--seed", "7"]].concat());
    assert_eq!(
        (code, &events(&out)["result"]["verification"]["right"]),
        (0, &5.into()),
        "another seed, other identities"
    );
}

#[test]
fn refusals_and_cut_connections_are_counted_and_nothing_is_lost_or_counted_twice() {
    let home = folder();
    let (address, trust) = faulty(Fault::IsRough);
    let flags =
        ["--json", "--sessions", "4", "--values", "8000", "--batch", "5", "--pipeline", "6"];
    let (code, out, error) =
        bench(&home, &address, &trust, &[&flags[..], &["--values-from", "constant:1"]].concat());
    assert_eq!(code, 0, "{out}{error}");
    let result = &events(&out)["result"];
    assert_eq!(
        (&result["verification"]["count"], &result["verification"]["sum"]),
        (&"8000".into(), &"8000".into())
    );
    for kind in ["lost", "reopened", "unavailable", "gaps", "retried"] {
        assert!(result["errors"][kind].as_u64().unwrap() > 0, "{kind}: {}", result["errors"]);
    }
}

type Accounts = Arc<Mutex<HashMap<[u8; 32], (Standing, u64)>>>;

/// A server of our own sessions, and of a ledger that is none; its address and fingerprint.
fn faulty(fault: Fault) -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let key = SigningKey::from_seed(&[9; 32]);
    let trust = key.public().fingerprint();
    let config = Arc::new(ServerConfig {
        suites: vec![Suite::Hybrid(GroupSize::Bits2048)],
        key,
        idle: Duration::from_secs(60),
        handshake: Duration::from_secs(10),
        values_max: 100,
    });
    let accounts = Accounts::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, accounts) = (Arc::clone(&config), Arc::clone(&accounts));
            std::thread::spawn(move || converse(stream.unwrap(), config, &accounts, fault));
        }
    });
    (address, trust)
}

fn converse(mut stream: TcpStream, config: Arc<ServerConfig>, accounts: &Accounts, fault: Fault) {
    let (mut dh, mut kem, mut token) = (vec![0; 64], [0; 64], [0; 16]);
    getrandom::fill(&mut dh).unwrap();
    getrandom::fill(&mut kem).unwrap();
    getrandom::fill(&mut token).unwrap();
    let noise = Entropy { dh: Zeroizing::new(dh), kem: Zeroizing::new(kem) };
    let mut session =
        ServerSession::new(config, Instant::now(), ServerEntropy { noise, token: token.into() });
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut account) = ([0; 4096], [0; 32]);
    while session.phase() != Phase::Done {
        while let Some(work) = session.poll_work() {
            session.handle_done(Instant::now(), work.run());
        }
        while let Some(event) = session.poll_event() {
            if !settle(&mut session, event, &mut account, accounts, fault) {
                return;
            }
        }
        if stream.write_all(session.pending()).is_err() {
            return;
        }
        session.sent(Instant::now(), session.pending().len());
        session.process_backlog(Instant::now());
        if session.phase() == Phase::Draining {
            stream.shutdown(Shutdown::Write).unwrap_or(());
        }
        match stream.read(&mut buffer) {
            Ok(0) => session.handle_eof(Instant::now()),
            Ok(count) => session.handle_bytes(Instant::now(), &buffer[..count]),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(_) => return,
        }
    }
}

/// Whether the connection is to last.
fn settle(
    session: &mut ServerSession,
    event: ServerEvent,
    account: &mut [u8; 32],
    accounts: &Accounts,
    fault: Fault,
) -> bool {
    static SUBMISSIONS: AtomicU64 = AtomicU64::new(0);
    let (now, mut accounts) = (Instant::now(), accounts.lock().unwrap());
    match event {
        ServerEvent::Authenticated { ticket, key } => {
            *account = *key.as_bytes();
            let (standing, sessions) = accounts.entry(*account).or_default();
            *sessions += 1;
            session.admit(now, ticket, SessionNumber::new(*sessions), *standing, false);
        }
        ServerEvent::Submit { ticket, first_seq, amounts } => {
            let (standing, _) = accounts.get_mut(account).unwrap();
            let count = SUBMISSIONS.fetch_add(1, Ordering::Relaxed);
            if first_seq.get() != standing.last_seq.get() + 1 {
                answer(session, ticket, Err(Refused::Gap));
                return true;
            }
            if fault == Fault::IsRough && count % 97 == 50 {
                answer(session, ticket, Err(Refused::Unavailable));
                return true;
            }
            for amount in &amounts {
                standing.sum = standing.sum.plus(*amount).unwrap();
            }
            standing.last_seq = Sequence::new(standing.last_seq.get() + amounts.len() as u64);
            let victim = ddes_load::key(1, VICTIM).public();
            if fault == Fault::Lies
                && account == victim.as_bytes()
                && standing.last_seq.get() == 500
            {
                standing.sum = standing.sum.plus(1_i64.into()).unwrap();
            }
            // Counted, and nobody hears of it.
            if fault == Fault::IsRough && count % 173 == 100 {
                return false;
            }
            answer(session, ticket, Ok(*standing));
        }
        _ => {}
    }
    true
}

fn answer(session: &mut ServerSession, ticket: Ticket, verdict: Result<Standing, Refused>) {
    let now = Instant::now();
    session.handle_verdict(now, ticket, verdict);
    session.flush_answers(now);
    session.process_backlog(now);
}

#[test]
fn nothing_is_put_into_a_ledger_before_somebody_said_yes() {
    let home = folder();
    let server = serve(&home, &["--allow-any"]);
    let trust = fingerprint(&home);
    let line = ["bench", "run", "--server", &server.address, "--trust", &trust, "--warmup", "0"];
    let flags = [&line[..], &["--sessions", "3", "--values", "9"]].concat();
    let accounts = || output(ddes_at(&home, &["ledger", "ls", "--json"])).1.lines().count();
    for more in [&[][..], &["--no-input"]] {
        let (code, out, error) = output(ddes_at(&home, &[&flags[..], more].concat()));
        assert_eq!((code, &*out), (2, ""), "{error}");
        let what = format!("puts 9 values into the ledger of {}, in 3 accounts", server.address);
        assert!(error.contains(&what) && error.contains("--yes"), "{error}");
    }
    let (code, out, _) = output(ddes_at(&home, &[&flags[..], &["--json"]].concat()));
    assert_eq!((code, &events(&out)["error"]["exit_code"]), (2, &2.into()));

    for (answer, expected) in
        [("", "nothing was sent"), ("n", "nothing was sent"), ("y", "3 of 3 sessions verified")]
    {
        assert_eq!(accounts(), 0);
        let mut asked =
            rexpect::session::spawn_command(ddes_at(&home, &flags), Some(20_000)).unwrap();
        asked.exp_string("Go on? [y/N] ").unwrap();
        asked.send_line(answer).unwrap();
        asked.exp_string(expected).unwrap();
        asked.exp_eof().unwrap();
    }
    assert_eq!(accounts(), 3);
    assert_eq!(output(ddes_at(&home, &[&flags[..], &["--yes", "--no-input"]].concat())).0, 0);
}

//! Before a run: is the server there, is it the one meant, does it let the load in, and can it take
//! what is planned?

use std::fs::File;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use ddes_client::Signer;
use ddes_client::delivery::Patience;
use ddes_client::outbox::Outbox;
use ddes_load::{Pace, Plan, Until, Values};
use ddes_wire::v2::{Scope, Welcome};

use crate::bench::args::BenchRunArgs;
use crate::bench::consent::DURATION_SECS;
use crate::failure::{Code, Failure};
use crate::input::next_line_of;
use crate::meet::Meeting;

/// An integer a line, at most so many lines.
const LIST_MAX: usize = 16 * 1024 * 1024;
/// Figures are kept of so many intervals, at most: a day of seconds.
const INTERVALS_MAX: u64 = 100_000;
/// Frames on their way that a server holds of one session.
const OPEN_PIPELINE: u32 = 64;
/// Descriptors beside those of the sessions.
const DESCRIPTORS_SPARE: u64 = 64;

const PATIENCE: Duration = Duration::from_secs(30);
const SOAK_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// The plan of what the command line asks for; the first identity has met the server.
pub(crate) fn prepare(args: &BenchRunArgs) -> Result<(Meeting, Plan), Failure> {
    let usage = |what: String| Failure::new(Code::Usage, what).next("ddes bench run --help");
    let values = values(args)?;
    let interval = args.interval.unwrap_or(if args.soak { 10 } else { 1 });
    let duration = args.duration.unwrap_or(DURATION_SECS);
    if args.values.is_none() && u64::from(duration / interval) > INTERVALS_MAX {
        return Err(usage(format!(
            "{duration} s are more than {INTERVALS_MAX} intervals of {interval} s"
        ))
        .next(format!("--interval {}", duration / 10_000)));
    }
    descriptors(args.sessions)?;
    let client = args.client();
    let patience = Patience { first: Duration::ZERO, later: Duration::ZERO };
    let signer = |_: &_| Ok(Signer::Key(ddes_load::key(args.seed, 0)));
    let (mut meeting, mut courier) =
        Meeting::arrange_as(signer, &client, patience, |_| Ok(Outbox::in_memory()))?;
    // The load has many identities, of which this is the first.
    meeting.admission = admission(args);
    let welcome = crate::runtime()?.block_on(async {
        let welcome = meeting.open(&mut courier, |_, _| {}).await?;
        // It was to see whether it opens; how it ends is of no account.
        drop(courier.close(Scope::Session).await);
        Ok::<_, Failure>(welcome)
    })?;
    let plan = Plan {
        address: address(args)?,
        trusted: meeting.trusted()?,
        suite: args.suite.into(),
        sessions: args.sessions,
        threads: args.threads,
        seed: args.seed,
        pace: args
            .rate
            .map_or(Pace::Closed, |rate| Pace::Open { rate, arrivals: args.arrivals.into() }),
        batch: args.batch,
        pipeline: args.pipeline.unwrap_or(if args.rate.is_some() { OPEN_PIPELINE } else { 1 }),
        values,
        until: args
            .values
            .map_or(Until::Elapsed(Duration::from_secs(duration.into())), Until::Sent),
        warmup: Duration::from_secs(args.warmup.into()),
        ramp: Duration::from_secs(args.ramp.into()),
        interval: Duration::from_secs(interval.into()),
        timeout: Duration::from_secs(args.timeout.into()),
        patience: if args.soak { SOAK_PATIENCE } else { PATIENCE },
    };
    plan.check().map_err(usage)?;
    fits(&plan, &welcome)?;
    Ok((meeting, plan))
}

/// What lets all identities of the load in.
fn admission(args: &BenchRunArgs) -> String {
    format!(
        "ddes serve --allow-any, or on the server: ddes bench keys --sessions {} --seed {} \
         >> ~/.config/ddes/authorized_keys",
        args.sessions, args.seed
    )
}

/// What the server's 20 says against the plan.
fn fits(plan: &Plan, welcome: &Welcome) -> Result<(), Failure> {
    if plan.batch > welcome.values_max {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "frames of {} values, and the server takes {} at most",
                plan.batch, welcome.values_max
            ),
        )
        .next(format!(
            "--batch {}, or on the server: ddes serve --frame-values {}",
            welcome.values_max, plan.batch
        )));
    }
    let idle = Duration::from_millis(welcome.idle_millis.into());
    let longer = |what: &str| {
        Failure::new(
            Code::Usage,
            format!("{what}, and the server ends a session after {} s of silence", idle.as_secs()),
        )
        .next("on the server: ddes serve --idle-secs SECS")
    };
    if plan.ramp >= idle {
        return Err(longer(&format!(
            "the first session would wait {} s for the last",
            plan.ramp.as_secs()
        )));
    }
    if let Pace::Open { rate, .. } = plan.pace {
        let each = f64::from(plan.sessions) * f64::from(plan.batch) / rate;
        if each >= idle.as_secs_f64() {
            return Err(longer(&format!("each session would send a frame every {each:.0} s")));
        }
    }
    Ok(())
}

fn values(args: &BenchRunArgs) -> Result<Values, Failure> {
    let usage = |what: String| {
        Failure::new(Code::Usage, format!("--values-from {}: {what}", args.values_from))
            .next("--values-from uniform:0..1000, or ddes bench run --help")
    };
    let Some(path) = args.values_from.strip_prefix("file:") else {
        return Values::parse(&args.values_from, args.seed).map_err(usage);
    };
    let file = File::open(path).map_err(|error| usage(error.to_string()))?;
    let (mut reader, mut line, mut list) = (BufReader::new(file), 0, Vec::new());
    while let Some(value) = next_line_of(path, &mut reader, &mut line) {
        list.push(value?);
        if list.len() > LIST_MAX {
            return Err(usage(format!("it has more than {LIST_MAX} integers")));
        }
    }
    Values::list(list, args.seed).ok_or_else(|| usage("it holds no integer".into()))
}

/// The address of the server's that answers.
fn address(args: &BenchRunArgs) -> Result<SocketAddr, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Connect, format!("cannot connect to {}: {error}", args.server))
            .next("check --server HOST:PORT and the network")
    };
    let wait = Duration::from_secs(args.timeout.into());
    let mut last = None;
    for address in (args.server.host(), args.server.port()).to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&address, wait) {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    Err(failed(last.unwrap_or_else(|| std::io::Error::other("the name has no address"))))
}

/// One descriptor a session.
fn descriptors(sessions: u32) -> Result<(), Failure> {
    let needed = u64::from(sessions) + DESCRIPTORS_SPARE;
    crate::limits::open_files(needed).map_err(|most| {
        let what = format!(
            "{sessions} sessions need {needed} open files, and this user may have {most} at most"
        );
        Failure::new(Code::Usage, what).next("fewer --sessions, or a higher limit (ulimit -Hn)")
    })
}

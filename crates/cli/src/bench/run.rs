//! `ddes bench run`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ddes_load::{
    GivenUp, Interval, Pace, Parameters, Plan, Run, RunError, RunOutcome, RunRecord, Until, cpu_of,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::bench::args::{ArrivalsName, BenchRunArgs};
use crate::bench::consent;
use crate::bench::live::Live;
use crate::bench::prepare::prepare;
use crate::bench::report;
use crate::failure::{Code, Failure};
use crate::meet::Meeting;
use crate::refusal;
use crate::replace::{New, Writing};
use crate::screen::Screen;

/// How often the threads are asked for what they measured.
const POLL: Duration = Duration::from_millis(50);
/// Sessions that a message names, at most.
const NAMED_MAX: usize = 10;

pub(crate) fn run(args: &BenchRunArgs) -> Result<(), Failure> {
    // Before a run that could not be kept.
    let (save, html) =
        (KeptFile::begin(args.save.as_deref())?, KeptFile::begin(args.html.as_deref())?);
    consent::ask(args)?;
    let (meeting, plan) = prepare(args)?;
    let mut screen = Screen::of(&args.output);
    let parameters = parameters(args, &plan);
    let now = crate::screen::time(std::time::SystemTime::now());
    let started = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let run = Run::start(plan.clone())
        .map_err(|error| Failure::system("cannot start the load", &error))?;
    let mut watch = RunWatch::new(args, &plan);
    let outcome = crate::runtime()?.block_on(watch.until_the_end(run, &mut screen));
    watch.live.end();
    let outcome = outcome?.map_err(|error| of_run(error, &meeting))?;
    let record = RunRecord::new(parameters, started, &outcome, watch.intervals, watch.server_cpu)
        .map_err(|error| Failure::system("cannot record the run", &error))?;
    let shown = watch.shown.and_then(|()| screen.show(&report::line(&record)));
    if let Some(file) = save {
        file.end(record.to_json())?;
    }
    if let Some(file) = html {
        file.end(ddes_load::page(&record))?;
    }
    verdict(&record, shown)
}

/// The side of the one who watches.
struct RunWatch<'a> {
    args: &'a BenchRunArgs,
    plan: &'a Plan,
    live: Live,
    intervals: Vec<Interval>,
    /// Sessions open at the look before: at the last one they have left already.
    up: usize,
    /// The server's processor time when the measured part began, then that of the measured part.
    server_before: Option<Duration>,
    server_cpu: Option<Duration>,
    /// A run that cannot be shown is stopped.
    shown: Result<(), Failure>,
}

impl<'a> RunWatch<'a> {
    fn new(args: &'a BenchRunArgs, plan: &'a Plan) -> Self {
        let live = Live::new(plan, args.soak, args.output.json, args.output.quiet);
        Self {
            args,
            plan,
            live,
            intervals: Vec::new(),
            up: 0,
            server_before: None,
            server_cpu: None,
            shown: Ok(()),
        }
    }

    async fn until_the_end(
        &mut self,
        mut run: Run,
        screen: &mut Screen,
    ) -> Result<Result<RunOutcome, RunError>, Failure> {
        let unwatchable =
            |error: std::io::Error| Failure::system("cannot watch for signals", &error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatchable)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(unwatchable)?;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_stopping = false;
        while !run.is_finished() {
            let is_signalled = tokio::select! {
                _ = poll.tick() => false,
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
            };
            if is_signalled && is_stopping {
                return Err(Failure::interrupted());
            }
            if is_signalled {
                is_stopping = true;
                run.stop();
                self.live.stopping();
            }
            if !is_stopping && self.shown.is_err() {
                is_stopping = true;
                run.stop();
            }
            self.look(&mut run, screen);
        }
        self.look(&mut run, screen);
        Ok(run.finish())
    }

    fn look(&mut self, run: &mut Run, screen: &mut Screen) {
        self.watch_server(run);
        self.live.tick(run, self.plan.until);
        let up = std::mem::replace(&mut self.up, run.sessions().1);
        let Some(point) = run.collect() else { return };
        let interval = Interval::of(&point, self.plan.threads, up);
        let shown = self.live.interval(&interval, point.stats.values, screen);
        if self.shown.is_ok() {
            self.shown = shown;
        }
        if matches!(self.plan.until, Until::Sent(_)) {
            self.live.counted();
        }
        self.intervals.push(interval);
    }

    /// The server's processor time, from the first look in the measured part to the last.
    fn watch_server(&mut self, run: &Run) {
        let Some(process) = self.args.server_pid else { return };
        let Some(elapsed) = run.elapsed() else { return };
        let is_over = match self.plan.until {
            Until::Elapsed(duration) => elapsed > duration,
            Until::Sent(_) => false,
        };
        let Some(now) = cpu_of(process).map(Duration::from_nanos) else { return };
        let before = *self.server_before.get_or_insert(now);
        if !is_over {
            self.server_cpu = Some(now.saturating_sub(before));
        }
    }
}

fn parameters(args: &BenchRunArgs, plan: &Plan) -> Parameters {
    let (mode, rate) = match plan.pace {
        Pace::Closed => ("closed", None),
        Pace::Open { rate, .. } => ("open", Some(rate)),
    };
    let arrivals = match args.arrivals {
        ArrivalsName::Constant => "constant",
        ArrivalsName::Poisson => "poisson",
    };
    let (duration_secs, values) = match plan.until {
        Until::Elapsed(duration) => (Some(duration.as_secs_f64()), None),
        Until::Sent(values) => (None, Some(values)),
    };
    Parameters {
        server: args.server.to_string(),
        suite: plan.suite.name().into(),
        sessions: plan.sessions,
        threads: plan.threads,
        mode: mode.into(),
        batch: plan.batch,
        pipeline: plan.pipeline,
        rate,
        arrivals: rate.map(|_| arrivals.into()),
        duration_secs,
        values,
        warmup_secs: plan.warmup.as_secs_f64(),
        ramp_secs: plan.ramp.as_secs_f64(),
        interval_secs: plan.interval.as_secs_f64(),
        values_from: args.values_from.clone(),
        seed: plan.seed,
    }
}

/// A file that was asked for.
struct KeptFile {
    path: PathBuf,
    file: Writing,
}

impl KeptFile {
    fn begin(path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let begin = |path: &Path| {
            let file =
                Writing::begin(path, New::REPORT).map_err(|error| error.failure(Code::No, path))?;
            Ok(Self { path: path.to_owned(), file })
        };
        path.map(begin).transpose()
    }

    fn end(mut self, text: Result<String, ddes_load::RunRecordError>) -> Result<(), Failure> {
        let text = text.map_err(|error| Failure::system("cannot record the run", &error))?;
        let written = self.file.write_all(text.as_bytes()).map_err(Into::into);
        written.and_then(|()| self.file.end()).map_err(|error| error.failure(Code::No, &self.path))
    }
}

/// What the exit code says. A run that could not be shown was stopped for that.
fn verdict(record: &RunRecord, shown: Result<(), Failure>) -> Result<(), Failure> {
    let found = &record.verification;
    let name = |sessions: Vec<u32>| {
        let named: Vec<_> = sessions.iter().take(NAMED_MAX).map(u32::to_string).collect();
        let more = if sessions.len() > NAMED_MAX { ", …" } else { "" };
        format!("{}{more}", named.join(", "))
    };
    if !found.wrong.is_empty() {
        let sessions = name(found.wrong.iter().map(|it| it.session).collect());
        return Err(Failure::new(
            Code::Integrity,
            format!(
                "the server's sums differ from what was sent, in {} sessions: {sessions}",
                found.wrong.len()
            ),
        )
        .cause(
            "the server lost, repeated or changed values; or something else sent as these \
                identities",
        )
        .next(
            "--save FILE keeps what each has to be and what the server says; another --seed \
               takes other identities",
        ));
    }
    shown?;
    if record.was_stopped {
        return Err(Failure::interrupted());
    }
    if let Some(first) = found.open.first() {
        let sessions = name(found.open.iter().map(|it| it.session).collect());
        return Err(Failure::new(
            Code::Connect,
            format!("{} sessions could not be verified to the last: {sessions}", found.open.len()),
        )
        .cause(format!("session {}: {}", first.session, first.why))
        .next("--timeout SECS to wait longer for the last words"));
    }
    Ok(())
}

/// Why a run did not take place.
fn of_run(error: RunError, meeting: &Meeting) -> Failure {
    match error {
        RunError::Session { session, sessions, why: GivenUp::Ended(end) } => {
            let failure = refusal::of_end(&end, meeting);
            failure.after(&format!("session {session} of {sessions} did not open"))
        }
        error @ RunError::Session { why: GivenUp::Untrusted, .. } => {
            Failure::new(Code::Identity, error.to_string())
                .cause("the server changed its key meanwhile, or there are two")
        }
        error @ RunError::Session { why: GivenUp::Lost(_), .. } => {
            Failure::new(Code::Connect, error.to_string())
        }
        RunError::Stopped { .. } => Failure::interrupted(),
        error @ (RunError::System(_) | RunError::Panicked) => {
            Failure::new(Code::No, error.to_string())
        }
    }
}

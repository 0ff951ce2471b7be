//! One client of the demo, in a process of its own that may be killed at any time: an outbox, and
//! integers at a rate.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ddes_client::{Balance, ClientError, Progress, blocking};

use super::meter::Meter;
use crate::args::DemoClientArgs;
use crate::failure::{Code, Failure};
use crate::home::Home;
use crate::keys;
use crate::screen::{Line, Screen, number};

/// What counted is reported at most so often.
const REPORT: Duration = Duration::from_millis(200);
/// What is late is sent together, up to this many at once.
const TOGETHER_MAX: u64 = 256;
/// News that wait to be reported; more are dropped, as newer ones say the same.
const NEWS_MAX: usize = 64;
/// Once the demo is gone, the session has this long to end.
const LEAVE: Duration = Duration::from_secs(3);

/// Counts until standard input ends: whoever started this holds the other end.
pub(crate) fn run(args: &DemoClientArgs) -> Result<(), Failure> {
    let meter = Meter::named(&args.name)
        .ok_or_else(|| Failure::new(Code::Usage, "the demo has no such client"))?;
    let home = Home::find(&args.home)?;
    let path = home.identity(meter.name)?;
    let (key, _) = home.key_or_new(&path, meter.name, keys::no_passphrase)?;
    let (tell, news) = sync_channel(NEWS_MAX);
    let client = blocking::Client::builder(args.server.clone(), key)
        .trust_fingerprint(&args.trust)
        .outbox(&args.outbox)
        .on_progress(move |progress| {
            // Full or closed: a newer one says as much, or nobody listens.
            if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
                tell.try_send(progress.clone())
            {}
        })
        .start()
        .map_err(|error| failed(&error))?;
    let is_over = watch_input(thread::current())?;
    count(meter, &client, &news, &is_over)?;
    let closed = client.close().map_err(|error| failed(&error))?;
    Screen::json().show(&line("closed", &closed))
}

fn count(
    meter: &Meter,
    client: &blocking::Client,
    news: &Receiver<Progress>,
    is_over: &AtomicBool,
) -> Result<(), Failure> {
    let mut screen = Screen::json();
    // What an earlier process stored counts first: its number is known then.
    let mut next = client.flush().map_err(|error| failed(&error))?.count;
    let (begin, mut sent, mut reported) = (Instant::now(), 0, Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_secs_f64() * f64::from(meter.per_sec);
        let late = whole(due).saturating_sub(sent).min(TOGETHER_MAX);
        if late > 0 {
            client.add(&meter.readings(next, late)).map_err(|error| failed(&error))?;
            (next, sent) = (next + late, sent + late);
        }
        if reported.elapsed() >= REPORT {
            report(&mut screen, news)?;
            reported = Instant::now();
        }
        thread::park_timeout(REPORT.min(Duration::from_secs(1) / meter.per_sec));
    }
    Ok(())
}

/// The whole integers due by now.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an elapsed time is not negative, and a cast from f64 saturates"
)]
fn whole(due: f64) -> u64 {
    due as u64
}

/// The newest of each kind.
fn report(screen: &mut Screen, news: &Receiver<Progress>) -> Result<(), Failure> {
    let mut counted = None;
    for progress in news.try_iter().take(NEWS_MAX) {
        match progress {
            Progress::Opened(balance) => screen.show(&line("opened", &balance))?,
            Progress::Counted(balance) => counted = Some(balance),
            Progress::Unavailable => screen.show(&Line::new("unavailable", ""))?,
            Progress::Lost { why, .. } => {
                screen.show(&Line::new("lost", "").with("why", why.to_string()))?;
            }
        }
    }
    counted.map_or(Ok(()), |balance| screen.show(&line("counted", &balance)))
}

fn line(event: &'static str, balance: &Balance) -> Line {
    Line::new(event, "")
        .with("count", number(&balance.count))
        .with("sum", number(&balance.sum.get()))
}

/// Whether standard input has ended. `counting` is woken then, and this process ends even if the
/// server does not answer any more.
fn watch_input(counting: Thread) -> Result<Arc<AtomicBool>, Failure> {
    let is_over = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&is_over);
    thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let mut ignored = [0; 64];
            while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
            tell.store(true, Ordering::Relaxed);
            counting.unpark();
            thread::sleep(LEAVE);
            // The outbox survives this, as it survives kill -9.
            std::process::exit(0);
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(is_over)
}

fn failed(error: &ClientError) -> Failure {
    Failure::new(Code::No, error.to_string())
}

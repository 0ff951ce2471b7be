//! Many sessions in one endpoint, without sockets: what each holds, and what a turn and the sweeps
//! over all of them take.
//!
//! A client is gone once its session has counted a value; what is at work is a thousand sessions,
//! among the others evenly, that are opened anew after memory was looked at.

mod house;

use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use house::{Guest, House};

use crate::aim::{Aim, Wanted};
use crate::figures::{median, resident};
use crate::report;

const COLUMNS: &[&str] = &[
    "sessions",
    "resident, bytes each",
    "of it the ledger's, by its own count",
    "endpoint and session",
    "a turn",
    "of one among 1,000",
    "rest, all at rest",
    "rest after 1,000 worked",
    "a look at all",
];

/// Where the figures begin, and how many sessions work.
const FEWEST: u64 = 1_000;
const ACTIVE: u64 = 1_000;
/// Turns of each that works; a round of all has one mean, the figure is the rounds' median.
const ROUNDS: usize = 50;
/// Far more often than the driver, which lets those rest that are quiet once a second: what they
/// kept for their burst would stay with the allocator, and be told of as theirs.
const REST_EACH: u64 = 10;
/// What memory is told for, in sessions.
const OUTLOOK: f64 = 1e7;

/// What one number of sessions came to.
struct Row {
    sessions: u64,
    resident_each: f64,
    ledger_each: f64,
    turn_nanos: f64,
    rest: Duration,
    rest_after_work: Duration,
    look: Duration,
}

/// At each power of ten from 1,000 to `most` sessions.
pub(crate) fn measure(most: u64) -> Result<(), String> {
    report::heading("Sessions of one endpoint, without sockets", COLUMNS);
    let mut rows = Vec::new();
    let steps = std::iter::successors(Some(FEWEST), |step| step.checked_mul(10));
    for sessions in steps.take_while(|step| *step <= most) {
        let row = Row::of_child(sessions)?;
        row.print(rows.first().unwrap_or(&row));
        rows.push(row);
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err(format!("{FEWEST} sessions at least"));
    };
    println!(
        "\n10,000,000 sessions at the {:.0} bytes of the last row: {:.1} GB, of it {:.1} GB the ledger's. Sockets are the kernel's.",
        last.resident_each,
        last.resident_each * OUTLOOK / 1e9,
        last.ledger_each * OUTLOOK / 1e9,
    );
    Aim::table(&[
        Aim {
            what: "a turn among the most sessions, of one among 1,000",
            wanted: Wanted::AtMost(1.25),
            measured: Some(last.turn_nanos / first.turn_nanos),
        },
        Aim {
            what: "ms to let sessions rest, once a second, where all do",
            wanted: Wanted::AtMost(5.0),
            measured: Some(last.rest.as_secs_f64() * 1e3),
        },
    ]);
    Ok(())
}

/// One row, as the process of its own that it needs: what another left to the allocator would be
/// counted, or hide what is to be counted.
pub(crate) fn step(sessions: u64) -> Result<(), String> {
    let most =
        usize::try_from(sessions.saturating_add(2 * ACTIVE)).map_err(|error| error.to_string())?;
    let mut house = House::new(most);
    // Code and tables that serve all sessions are there by then.
    open(&mut house, u64::MAX - 20..u64::MAX)?;
    let before = (resident()?, house.ledger.memory_bytes());
    open(&mut house, 0..sessions)?;
    let each = |now: f64, before: f64| (now - before) / sessions as f64;
    let resident_each = each(resident()? as f64, before.0 as f64);
    let ledger_each = each(house.ledger.memory_bytes() as f64, before.1 as f64);
    let turn_nanos = turn(&mut house, sessions)?;
    // They are quiet by the first, so it is the second that has something to do.
    house.rest();
    let rest_after_work = time(|| house.rest());
    let rest = time(|| house.rest());
    // As the driver looks for rights that were lost, each 2 s.
    let look = time(|| {
        std::hint::black_box(
            house.endpoint.sessions().filter(|view| view.admitted.is_none()).count(),
        );
    });
    let [rest, rest_after_work, look] =
        [rest, rest_after_work, look].map(|time| time.as_secs_f64());
    println!("{resident_each} {ledger_each} {turn_nanos} {rest} {rest_after_work} {look}");
    Ok(())
}

impl Row {
    fn of_child(sessions: u64) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["endpoint-step", &sessions.to_string()]).stderr(Stdio::inherit());
        let output =
            command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> =
            said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [resident_each, ledger_each, turn_nanos, rest, rest_after_work, look] = numbers[..]
        else {
            return Err(format!("{command:?} says '{said}'"));
        };
        let [rest, rest_after_work, look] =
            [rest, rest_after_work, look].map(Duration::from_secs_f64);
        Ok(Self { sessions, resident_each, ledger_each, turn_nanos, rest, rest_after_work, look })
    }

    fn print(&self, first: &Self) {
        report::row(&[
            self.sessions.to_string(),
            format!("{:.0}", self.resident_each),
            format!("{:.0}", self.ledger_each),
            format!("{:.0}", self.resident_each - self.ledger_each),
            format!("{:.0} ns", self.turn_nanos),
            format!("{:.2}", self.turn_nanos / first.turn_nanos),
            report::duration(self.rest),
            report::duration(self.rest_after_work),
            report::duration(self.look),
        ]);
    }
}

/// Each counts one value, and its client is gone; in the end all rest.
fn open(house: &mut House, numbers: Range<u64>) -> Result<(), String> {
    for number in numbers {
        let mut guest = house.enter(number)?;
        house.count(&mut guest)?;
        if number % REST_EACH == 0 {
            house.rest();
        }
        if number > 0 && number % 100_000 == 0 {
            eprintln!("{number} sessions are open");
        }
    }
    // The first finds them quiet, the second lets them rest.
    house.rest();
    house.rest();
    Ok(())
}

/// Of those that work, one after the other.
fn turn(house: &mut House, sessions: u64) -> Result<f64, String> {
    let stride = sessions / ACTIVE;
    let guests = (0..ACTIVE).map(|place| house.enter(place * stride));
    let mut guests: Vec<Guest> = guests.collect::<Result<_, _>>()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut all = Duration::ZERO;
        for guest in &mut guests {
            all += house.count(guest)?;
        }
        rounds.push(all.as_secs_f64() * 1e9 / guests.len() as f64);
    }
    median(rounds).ok_or("there were no turns".into())
}

fn time(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

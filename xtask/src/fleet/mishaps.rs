//! What happens to a fleet while its clients send. Each does one thing, undoes it, and says what it
//! saw. Whoever calls it waits until all clients have what they were given.

use std::time::{Duration, Instant};

use super::Fleet;
use super::network::Switch;
use super::servers::Route;

/// From when a standby is stopped until no acknowledgement may come that it has not: answers are on
/// their way for this long on a busy machine.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// Longer than a server waits for its database.
const LONG: Duration = Duration::from_secs(42);
const FAILOVER_MAX: Duration = Duration::from_secs(120);

/// What a phase does, and what it says of it.
pub(crate) type Mishap = fn(&mut Fleet, usize) -> Result<String, String>;

/// A phase of the run: its name, how servers reach their database, what happens, and how often it
/// does in a whole run and in a short one.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) route: Route,
    pub(crate) mishap: Mishap,
    pub(crate) times: (usize, usize),
}

const fn phase(name: &'static str, route: Route, mishap: Mishap, times: (usize, usize)) -> Phase {
    Phase { name, route, mishap, times }
}

pub(crate) const PHASES: &[Phase] = &[
    phase("calm", Route::Direct, nothing, (1, 1)),
    phase("server-killed", Route::Direct, kill_a_server, (3, 1)),
    phase("primary-lost", Route::Direct, lose_the_primary, (3, 1)),
    phase("database-killed", Route::Direct, kill_the_database, (1, 0)),
    phase("cut-short", Route::Direct, cut_a_server_off, (1, 0)),
    phase("cut-long", Route::Direct, cut_a_server_off_for_long, (1, 1)),
    phase("standby-stopped", Route::Direct, stop_the_standby, (1, 1)),
    phase("standbys-stopped", Route::Direct, stop_both_standbys, (1, 1)),
    phase("disk-full", Route::Direct, fill_the_disk, (1, 1)),
    phase("pgbouncer", Route::Pooled, nothing, (1, 1)),
    phase("pgbouncer-server-killed", Route::Pooled, kill_a_server, (1, 0)),
    phase("pgbouncer-primary-lost", Route::Pooled, lose_the_primary, (1, 0)),
    phase("outcomes-lost", Route::Lossy, lose_outcomes, (1, 1)),
];

fn nothing(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    fleet.wait(Duration::from_secs(15))?;
    Ok("nothing happens".into())
}

fn kill_a_server(fleet: &mut Fleet, round: usize) -> Result<String, String> {
    fleet.servers.kill(round % 3);
    fleet.wait(Duration::from_secs(5))?;
    fleet.servers.start(&fleet.network, round % 3)?;
    Ok(format!("server {} is killed, and started 5 s later", round % 3 + 1))
}

/// The machine is gone: its network first, then each process.
fn lose_the_primary(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    let before = fleet.database.whole(&fleet.network)?;
    let lost = before.primary.ok_or("the database has no primary")?;
    let begin = Instant::now();
    fleet.network.destroy(lost, Switch::Back)?;
    let next = loop {
        let roles = fleet.database.roles(&fleet.network);
        if let Some(next) = roles.primary.filter(|host| *host != lost) {
            break next;
        }
        if begin.elapsed() > FAILOVER_MAX {
            return Err(format!("nobody takes over from {lost}"));
        }
        fleet.wait(Duration::from_millis(100))?;
    };
    let took = begin.elapsed();
    fleet.failovers += 1;
    if before.synchronous.as_deref() != Some(next) {
        return Err(format!(
            "{next} took over, and the synchronous standby was another: {before:?}"
        ));
    }
    // Acknowledged again by two of three.
    fleet.caught_up()?;
    let counted = begin.elapsed();
    fleet.network.plug(lost, Switch::Back)?;
    fleet.database.start_host(&fleet.network, lost)?;
    fleet.database.whole(&fleet.network)?;
    Ok(format!(
        "the primary's host {lost} is gone; {next} takes over after {:.1} s; all clients have all \
         they were given after {:.1} s; three hosts again after {:.1} s",
        took.as_secs_f32(),
        counted.as_secs_f32(),
        begin.elapsed().as_secs_f32()
    ))
}

/// Only its processes: Patroni and the machine go on.
fn kill_the_database(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    let roles = fleet.database.whole(&fleet.network)?;
    let host = roles.primary.ok_or("the database has no primary")?;
    let begin = Instant::now();
    let killed = fleet.network.kill_named(host, "postgres")?;
    fleet.caught_up()?;
    let after = fleet.database.whole(&fleet.network)?;
    // Patroni may promote the same one again.
    fleet.failovers = fleet.database.timeline.saturating_sub(1);
    let who =
        if after.primary == Some(host) { "Patroni starts it again" } else { "another takes over" };
    Ok(format!(
        "{killed} processes of PostgreSQL on the primary are killed: {who}; three hosts again \
         after {:.1} s",
        begin.elapsed().as_secs_f32()
    ))
}

fn cut_a_server_off(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    cut(fleet, Duration::from_secs(8))
}

fn cut_a_server_off_for_long(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    cut(fleet, LONG)
}

/// Its clients can reach it, and it cannot reach its database.
fn cut(fleet: &mut Fleet, time: Duration) -> Result<String, String> {
    fleet.network.unplug("s1", Switch::Back)?;
    fleet.wait(time)?;
    fleet.network.plug("s1", Switch::Back)?;
    Ok(format!("server 1 is cut off from the database for {} s", time.as_secs()))
}

/// The other standby is there to take its place.
fn stop_the_standby(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    let roles = fleet.database.whole(&fleet.network)?;
    let standby = roles.synchronous.ok_or("no standby is synchronous")?;
    let begin = Instant::now();
    fleet.network.signal(&standby, "-STOP")?;
    fleet.caught_up()?;
    let counted = begin.elapsed();
    let other = fleet.database.roles(&fleet.network).synchronous;
    fleet.network.signal(&standby, "-CONT")?;
    fleet.database.whole(&fleet.network)?;
    if other.as_ref() == Some(&standby) {
        return Err(format!("{standby} is stopped, and what was given since is acknowledged"));
    }
    Ok(format!(
        "the synchronous standby {standby} is stopped; all clients have all they were given after \
         {:.1} s; the synchronous one is {other:?} then",
        counted.as_secs_f32()
    ))
}

/// What only the primary has may not be acknowledged.
fn stop_both_standbys(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    let roles = fleet.database.whole(&fleet.network)?;
    let primary = roles.primary.ok_or("the database has no primary")?;
    for (host, _) in super::database::hosts() {
        if host != primary {
            fleet.network.signal(host, "-STOP")?;
        }
    }
    fleet.wait(LAST_ANSWERS)?;
    let before = fleet.watch.now();
    fleet.wait(LONG)?;
    let after = fleet.watch.now();
    for (host, _) in super::database::hosts() {
        fleet.network.signal(host, "-CONT")?;
    }
    let acknowledged = after.acknowledged - before.acknowledged + after.opened - before.opened;
    if acknowledged > 0 {
        return Err(format!("{acknowledged} acknowledgements of what is on one disk only"));
    }
    if after.unavailable == before.unavailable {
        return Err("no client was told that nothing can be counted".into());
    }
    let begin = Instant::now();
    fleet.caught_up()?;
    let counted = begin.elapsed();
    fleet.database.whole(&fleet.network)?;
    Ok(format!(
        "both standbys are stopped for {} s: nothing is acknowledged, {} times status 4; all \
         clients have all they were given {:.1} s after they go on",
        (LAST_ANSWERS + LONG).as_secs(),
        after.unavailable - before.unavailable,
        counted.as_secs_f32()
    ))
}

fn fill_the_disk(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    let roles = fleet.database.whole(&fleet.network)?;
    let host = roles.primary.ok_or("the database has no primary")?;
    let bytes = fleet.database.fill(&fleet.network, host)?;
    let begin = Instant::now();
    // What it has of free pages and of the log's next parts lasts for a while.
    let mut full = None;
    while begin.elapsed() < 3 * LONG && full.is_none_or(|since: Instant| since.elapsed() < LONG) {
        fleet.wait(Duration::from_millis(500))?;
        if full.is_none() && fleet.watch.now().unavailable > 0 {
            full = Some(Instant::now());
        }
    }
    let said = fleet.watch.now();
    fleet.database.empty(&fleet.network, host)?;
    let begin = Instant::now();
    fleet.caught_up()?;
    let counted = begin.elapsed();
    let after = fleet.database.whole(&fleet.network)?;
    let moved = after.primary != Some(host);
    // A log that cannot be written ends PostgreSQL, and Patroni starts and promotes it again.
    fleet.failovers = fleet.database.timeline.saturating_sub(1);
    Ok(format!(
        "the primary's disk is full with {} MB of another file; {} times status 4; {}; all clients \
         have all they were given {:.1} s after it has room",
        bytes >> 20,
        said.unavailable,
        if moved { "another host takes over" } else { "it stays the primary" },
        counted.as_secs_f32()
    ))
}

/// The server's connection ends after the database did what a COMMIT says, or just before.
fn lose_outcomes(fleet: &mut Fleet, _: usize) -> Result<String, String> {
    let wanted = if fleet.is_short { 60 } else { 1_000 };
    let begin = Instant::now();
    fleet.servers.lose(3)?;
    while fleet.servers.lost().0 < wanted {
        if begin.elapsed() > Duration::from_secs(900) {
            return Err(format!("only {:?} outcomes are lost", fleet.servers.lost()));
        }
        fleet.wait(Duration::from_millis(200))?;
    }
    fleet.servers.lose(0)?;
    let (after, before) = fleet.servers.lost();
    Ok(format!(
        "{after} outcomes are lost between COMMIT and reply, {before} before the COMMIT, within {} s",
        begin.elapsed().as_secs()
    ))
}

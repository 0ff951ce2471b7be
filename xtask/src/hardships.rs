//! What a server's files suffer in `cargo xtask crash` while it runs: its lock is removed, its list
//! of clients cannot be read, files are few, its folder is moved. Each life has one kind, in the
//! seed's order, and each is counted.

use std::fmt;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::crash::copy;
use crate::process::{Couriers, Random, Server, World, program};
use crate::shell;

/// Open files of a life that has few: as many as the ledger and 18 connections need.
const FILES: &str = "64";
/// Silent connections that are open at the same time.
const SILENT: usize = 100;
/// The most clients that get a connection in such a life, and the values that each sends in
/// addition: together more than a segment.
const PLACES: u64 = 16;
const VALUES_OF_SEGMENTS: u64 = 40_000;
const SEGMENT_MAX: Duration = Duration::from_secs(8);
/// A list is read again each second, and believed at the second look.
const LIST_AWAY_MS: (u64, u64) = (1_200, 2_600);
/// So no state between is seen twice, even where a pause takes twice as long.
const LIST_PAUSE_MS: u64 = 400;
/// From the move of its folder to a server's end; sessions are ended first.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// The time between two values of a client meanwhile.
const WHILE_MOVED: Duration = Duration::from_millis(40);
const REFUSED_WITHIN: Duration = Duration::from_secs(30);

const KINDS: [Hardship; 5] =
    [Hardship::Nothing, Hardship::Lock, Hardship::List, Hardship::Files, Hardship::Folder];

/// What a life suffers before it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hardship {
    Nothing,
    /// `lock` is removed, and a second server started there and on a copy of hard links.
    Lock,
    /// authorized_keys cannot be read, then is written anew in its place.
    List,
    /// There are few open files, and silent connections want them.
    Files,
    /// The folder is moved away, and perhaps another put in its place.
    Folder,
}

/// How often which, so that a reader sees that it happened.
pub(crate) struct Suffered {
    order: [Hardship; KINDS.len()],
    lives: usize,
    refused: u64,
    refused_of_links: u64,
    lists_away: u64,
    lists_rewritten: u64,
    few_files: u64,
    segments: u64,
    moved: u64,
    replaced: u64,
    slowest_end: Duration,
}

impl Hardship {
    /// Before the life begins.
    pub(crate) fn prepare(self, world: &World) -> Result<(), String> {
        let (ledger, older) = (world.ledger(), world.home.join("older"));
        if self == Self::Folder && ledger.exists() {
            remove_folder(&older)?;
            copy(&ledger, &older)?;
        }
        Ok(())
    }

    /// `ddes`, or what runs it.
    pub(crate) fn command(self) -> Command {
        match self {
            Self::Files => {
                let mut command = Command::new("sh");
                let script = format!("ulimit -n {FILES} && exec \"$0\" \"$@\"");
                command.args(["-c", &script]).arg(program("ddes"));
                command
            }
            Self::Nothing | Self::Lock | Self::List | Self::Folder => Command::new(program("ddes")),
        }
    }

    /// What each client sends more in this life.
    pub(crate) fn values(self, clients: u64) -> u64 {
        match self {
            Self::Files => VALUES_OF_SEGMENTS / clients.clamp(1, PLACES),
            Self::Nothing | Self::Lock | Self::List | Self::Folder => 0,
        }
    }
}

impl Suffered {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut order = KINDS;
        shuffle(&mut order, random);
        Self {
            order,
            lives: 0,
            refused: 0,
            refused_of_links: 0,
            lists_away: 0,
            lists_rewritten: 0,
            few_files: 0,
            segments: 0,
            moved: 0,
            replaced: 0,
            slowest_end: Duration::ZERO,
        }
    }

    /// Each kind once, then all of them again in another order.
    pub(crate) fn next(&mut self, random: &mut Random) -> Hardship {
        let at = self.lives % self.order.len();
        if at == 0 {
            shuffle(&mut self.order, random);
        }
        self.lives += 1;
        self.order.get(at).copied().unwrap_or(Hardship::Nothing)
    }

    /// Whether the server has ended, as it had to.
    pub(crate) fn suffer(
        &mut self,
        hardship: Hardship,
        world: &World,
        (server, couriers): (&mut Server, &mut Couriers),
        random: &mut Random,
    ) -> Result<bool, String> {
        match hardship {
            Hardship::Nothing => {}
            Hardship::Lock => self.lock(world)?,
            Hardship::List => self.list(world, random)?,
            Hardship::Files => self.files(world, server)?,
            Hardship::Folder => {
                self.folder(world, server, couriers)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A second writer would acknowledge what the first one's journal never has.
    fn lock(&mut self, world: &World) -> Result<(), String> {
        let (ledger, linked) = (world.ledger(), world.home.join("linked"));
        fs::remove_file(ledger.join("lock")).map_err(|error| format!("lock: {error}"))?;
        refused(world, &ledger)?;
        self.refused += 1;
        // The server may rename or remove a name that is just being linked: the rest is linked all
        // the same.
        let copied = Command::new("cp").args(["-al"]).args([&ledger, &linked]).output();
        copied.map_err(|error| format!("cp: {error}"))?;
        if linked.join("lock").exists() {
            fs::remove_file(linked.join("lock")).map_err(|error| format!("lock: {error}"))?;
        }
        refused(world, &linked)?;
        self.refused_of_links += 1;
        remove_folder(&linked)
    }

    /// Replaces the list of keys. A client that gets `not authorized` once would end for good.
    fn list(&mut self, world: &World, random: &mut Random) -> Result<(), String> {
        let (list, away) = (world.home.join("authorized_keys"), world.home.join("list-away"));
        let failed = |error: std::io::Error| format!("{}: {error}", list.display());
        fs::rename(&list, &away).map_err(failed)?;
        let is_link = self.lists_away.is_multiple_of(2);
        if is_link {
            symlink(world.home.join("nowhere"), &list).map_err(failed)?;
        } else {
            fs::create_dir(&list).map_err(failed)?;
        }
        thread::sleep(Duration::from_millis(
            LIST_AWAY_MS.0 + random.below(LIST_AWAY_MS.1 - LIST_AWAY_MS.0),
        ));
        if !is_link {
            fs::remove_dir(&list).map_err(failed)?;
        }
        fs::rename(&away, &list).map_err(failed)?;
        self.lists_away += 1;
        let text = fs::read(&list).map_err(failed)?;
        // Truncated, then written in two parts that end anywhere.
        let mut file = fs::File::create(&list).map_err(failed)?;
        let cut = 1 + random.index(text.len() - 1);
        let (first, rest) = text.split_at(cut);
        for part in [first, rest] {
            thread::sleep(Duration::from_millis(random.below(LIST_PAUSE_MS)));
            file.write_all(part).map_err(failed)?;
        }
        self.lists_rewritten += 1;
        Ok(())
    }

    /// Out of files a server could not begin its next segment.
    fn files(&mut self, world: &World, server: &Server) -> Result<(), String> {
        let process = server.process.0.id();
        let limits = fs::read_to_string(format!("/proc/{process}/limits"))
            .map_err(|error| error.to_string())?;
        let of_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or("");
        if !of_files.split_whitespace().any(|word| word == FILES) {
            return Err(format!("the server has other limits: {of_files}"));
        }
        let (before, begin) = (newest_segment(world)?, Instant::now());
        // Whichever are refused at once were one too many.
        let silent: Vec<_> = (0..SILENT).map(|_| TcpStream::connect(&world.address)).collect();
        while newest_segment(world)? == before && begin.elapsed() < SEGMENT_MAX {
            thread::sleep(Duration::from_millis(10));
        }
        drop(silent);
        self.few_files += 1;
        self.segments += newest_segment(world)? - before;
        Ok(())
    }

    /// It must not go on into a folder that its path no longer leads to, nor into the other one.
    fn folder(
        &mut self,
        world: &World,
        server: &mut Server,
        couriers: &mut Couriers,
    ) -> Result<(), String> {
        let (ledger, away, older) =
            (world.ledger(), world.home.join("ledger-away"), world.home.join("older"));
        let failed = |error: std::io::Error| format!("{}: {error}", ledger.display());
        let begin = Instant::now();
        fs::rename(&ledger, &away).map_err(failed)?;
        let is_replaced = self.moved.is_multiple_of(2) && older.exists();
        if is_replaced {
            copy(&older, &ledger)?;
        }
        // A server with nothing to write does not notice the move.
        while begin.elapsed() < ENDS_WITHIN && !server.has_ended()? {
            couriers.more(1)?;
            thread::sleep(WHILE_MOVED);
        }
        let code = server
            .process
            .wait(Duration::ZERO)
            .map_err(|why| format!("its folder is moved, and {why}:\n{}", server.said.text()))?;
        self.slowest_end = self.slowest_end.max(begin.elapsed());
        if code != Some(5) {
            return Err(format!(
                "its folder is moved, and it ends with {code:?}:\n{}",
                server.said.text()
            ));
        }
        if is_replaced {
            let [older, ledger] = [&older, &ledger].map(|path| path.display().to_string());
            shell::run("diff", &["-r", &older, &ledger], &[])
                .map_err(|why| format!("it wrote into the folder in its place: {why}"))?;
            self.replaced += 1;
        }
        self.moved += 1;
        remove_folder(&ledger)?;
        fs::rename(&away, &ledger).map_err(failed)
    }

    /// What must have happened in a run that has each kind.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.few_files > 0 && self.segments == 0 {
            return Err("with few open files the ledger began no new segment".into());
        }
        Ok(())
    }
}

impl fmt::Display for Suffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} second servers refused after `rm lock`, {} on a copy of hard links",
            self.refused, self.refused_of_links
        )?;
        writeln!(
            f,
            "{} times authorized_keys could not be read (a folder, or a link that leads nowhere), {} times it was rewritten in place: no client ended",
            self.lists_away, self.lists_rewritten
        )?;
        writeln!(
            f,
            "{} lives with {FILES} open files beside {SILENT} silent connections: {} segments begun",
            self.few_files, self.segments
        )?;
        write!(
            f,
            "{} times the folder was moved away, {} times with an older one in its place: the server ended by itself within {:.1} s",
            self.moved,
            self.replaced,
            self.slowest_end.as_secs_f32()
        )
    }
}

/// Lets the clients in by a list.
pub(crate) fn list(world: &World, couriers: &Couriers) -> Result<(), String> {
    let (from, to) = (couriers.list()?, world.home.join("authorized_keys"));
    fs::copy(from, to).map(drop).map_err(|error| format!("authorized_keys: {error}"))
}

/// A control: where the folder is another's, and its files as well, a second server starts.
pub(crate) fn second_on_a_true_copy(world: &World) -> Result<(), String> {
    let true_copy = world.home.join("true-copy");
    copy(&world.ledger(), &true_copy)?;
    let mut second = second(world, &true_copy)?;
    if !second.listens()? {
        return Err(format!(
            "on a copy of its own a server does not start:\n{}",
            second.said.text()
        ));
    }
    println!("a second server on a copy that shares no file, as a control: it starts");
    drop(second);
    remove_folder(&true_copy)
}

/// A control: a list that was read, and holds nobody, ends clients.
pub(crate) fn nobody_is_listed(world: &World) -> Result<(), String> {
    fs::write(world.home.join("authorized_keys"), "# nobody\n")
        .map_err(|error| error.to_string())?;
    let mut server = world.serve(&mut Command::new(program("ddes")), &["--ledger", "memory"])?;
    server.listens()?;
    let mut couriers = world.couriers(&world.home.join("unlisted"), 1, 1, 1)?;
    couriers.more(1)?;
    let code = couriers.finish(ENDS_WITHIN)?;
    if code != Some(1) {
        return Err(format!("a client that is not listed ended with {code:?}"));
    }
    println!("a list without the client, as a control: {}", couriers.said().trim());
    Ok(())
}

fn refused(world: &World, ledger: &Path) -> Result<(), String> {
    let mut second = second(world, ledger)?;
    if second.listens()? {
        return Err(format!("a second server writes {}", ledger.display()));
    }
    second.process.wait(REFUSED_WITHIN)?;
    Ok(())
}

fn second(world: &World, ledger: &Path) -> Result<Server, String> {
    let ledger = ledger.display().to_string();
    world.serve_at(&mut Command::new(program("ddes")), "127.0.0.1:0", &["--ledger", &ledger])
}

/// The number of the newest one.
fn newest_segment(world: &World) -> Result<u64, String> {
    let entries = fs::read_dir(world.ledger()).map_err(|error| error.to_string())?;
    let number = |entry: fs::DirEntry| {
        entry.file_name().to_str().and_then(|name| name.strip_prefix("journal-")?.parse().ok())
    };
    Ok(entries.map_while(Result::ok).filter_map(number).max().unwrap_or(0))
}

fn remove_folder(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if folder.exists() => Err(format!("{}: {error}", folder.display())),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Shuffles evenly, by the method of Fisher and Yates.
fn shuffle(kinds: &mut [Hardship], random: &mut Random) {
    for end in (1..kinds.len()).rev() {
        let other = random.index(end + 1);
        kinds.swap(end, other);
    }
}

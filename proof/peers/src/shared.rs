//! A ledger that servers share, in a PostgreSQL of this run: values a second, beside an upsert of
//! one row a transaction and beside the ledger in a folder; and what a value costs the database.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ddes_ledger::keeper::{AccountKeeper, News};
use ddes_ledger::store::{Folder, StoreOptions};
use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Operation, OperationOutcome, Submission, Timestamp,
};
use ddes_ledger_postgres::{DatabaseUrl, PostgresKeeper, PostgresOptions, init};
use ddes_wire::{Amount, Amounts, Sequence, SessionNumber};

use crate::cluster::{OWNER, Postgres, SERVER};
use crate::report;

const COLUMNS: &[&str] = &[
    "accounts",
    "standby",
    "servers",
    "values a frame",
    "values/s",
    "of single rows",
    "of the folder",
    "entries a transaction",
    "database CPU a value",
    "this process's",
    "WAL bytes a value",
];
const FRAMES: [u64; 3] = [1, 16, 64];
/// Each server has four connections.
const SERVERS: [usize; 3] = [1, 2, 3];
const SERVERS_MAX: usize = 3;
/// Frames of a server that wait for their answers.
const WINDOW: usize = 4096;
/// The cells take turns, so that the machine's moods meet all.
const ROUNDS: u32 = 2;

/// How much to measure.
pub(crate) struct Effort {
    /// Length of each cell.
    cell: Duration,
    accounts: [u64; 2],
}

pub(crate) const FULL: Effort =
    Effort { cell: Duration::from_secs(6), accounts: [1_000, 1_000_000] };
pub(crate) const SHORT: Effort =
    Effort { cell: Duration::from_millis(200), accounts: [300, 3_000] };

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn measure(effort: &Effort) -> Result<(), String> {
    println!(
        "\nA server is a keeper with four connections, given frames without sessions around them; {WINDOW} of its frames wait at any time, each of \
         another account, of its share of the accounts. A single row is `INSERT … ON CONFLICT DO UPDATE`, one value a transaction, on four \
         connections, in the same database. The folder counts as many frames in a batch as wait. Database CPU is that of all processes of \
         the primary."
    );
    report::heading("A shared ledger in PostgreSQL", COLUMNS);
    for accounts in effort.accounts {
        let mut postgres = Postgres::start();
        postgres.crash();
        // A checkpoint in the middle of a cell would be its figure.
        postgres.launch(&["shared_buffers=1GB", "max_wal_size=20GB", "checkpoint_timeout=1h"]);
        let standby = postgres.standby();
        let (owner, url) = (postgres.url(OWNER), postgres.url(SERVER));
        let place = DatabaseUrl::parse(&owner).map_err(text)?;
        init(&place, SERVER, &[7; 16]).map_err(text)?;
        let mut servers = (0..SERVERS_MAX as u64)
            .map(|number| Server::start(&url, number, accounts))
            .collect::<Result<Vec<_>, _>>()?;
        postgres.sql("ddes", "VACUUM ANALYZE");
        for has_standby in [false, true] {
            if has_standby {
                postgres.wait_for_standby();
            }
            cells(effort, &postgres, &url, &mut servers, accounts, has_standby)?;
        }
        drop(servers);
        drop(standby);
    }
    Ok(())
}

fn cells(
    effort: &Effort,
    postgres: &Postgres,
    url: &str,
    servers: &mut [Server],
    accounts: u64,
    has_standby: bool,
) -> Result<(), String> {
    let slice = effort.cell / ROUNDS;
    let mut sums = vec![Cost::default(); SERVERS.len() * FRAMES.len()];
    let (mut rows, mut folders) = (Cost::default(), [Cost::default(); FRAMES.len()]);
    let mut single = SingleRows::new(postgres, url, accounts)?;
    let mut folder = InFolder::new(accounts)?;
    for _ in 0..ROUNDS {
        rows += single.run(slice)?;
        for (frame, cost) in FRAMES.into_iter().zip(&mut folders) {
            *cost += folder.run(frame, slice / 3)?;
        }
        let cells = SERVERS.into_iter().flat_map(|count| FRAMES.map(|frame| (count, frame)));
        for ((count, frame), cost) in cells.zip(&mut sums) {
            let some = servers.get_mut(..count).ok_or("too many servers")?;
            *cost += run(postgres, some, frame, slice)?;
        }
    }
    let standby = if has_standby { "yes" } else { "no" };
    report::row(&[
        accounts.to_string(),
        standby.into(),
        "single rows".into(),
        "1".into(),
        format!("{:.0}", rows.rate()),
        "1.0".into(),
        String::new(),
        "1".into(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    let cells = SERVERS.into_iter().flat_map(|count| {
        FRAMES.into_iter().zip(folders).map(move |(frame, folder)| (count, frame, folder))
    });
    for ((count, frame, folder), cost) in cells.zip(sums) {
        report::row(&[
            accounts.to_string(),
            standby.into(),
            count.to_string(),
            frame.to_string(),
            format!("{:.0}", cost.rate()),
            format!("{:.1}", cost.rate() / rows.rate()),
            format!("{:.3}", cost.rate() / folder.rate()),
            format!("{:.0}", cost.frames as f64 / cost.transactions.max(1) as f64),
            report::duration(cost.database.div_f64(cost.values as f64)),
            report::duration(cost.own.div_f64(cost.values as f64)),
            format!("{:.0}", cost.wal as f64 / cost.values as f64),
        ]);
    }
    Ok(())
}

/// What was counted, and what it took.
#[derive(Clone, Copy, Default)]
struct Cost {
    values: u64,
    frames: u64,
    transactions: u64,
    time: Duration,
    database: Duration,
    own: Duration,
    wal: u64,
}

impl Cost {
    fn rate(&self) -> f64 {
        self.values as f64 / self.time.as_secs_f64()
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.values += more.values;
        self.frames += more.frames;
        self.transactions += more.transactions;
        self.time += more.time;
        self.database += more.database;
        self.own += more.own;
        self.wal += more.wal;
    }
}

/// An account with an open session at a server.
#[derive(Clone, Copy)]
struct Opened {
    account: AccountNumber,
    session: SessionNumber,
    next: u64,
}

/// A keeper, and the accounts that it has sessions of.
struct Server {
    keeper: Option<Box<dyn AccountKeeper>>,
    news: Receiver<News>,
    accounts: Vec<Opened>,
    /// The account of the next frame: all in turn, so that none has two that wait.
    turn: usize,
    waiting: usize,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop();
        }
    }
}

impl Server {
    /// Opens a session of each account of its share.
    fn start(url: &str, number: u64, accounts: u64) -> Result<Self, String> {
        let place = DatabaseUrl::parse(url).map_err(text)?;
        let (mut keeper, _) =
            PostgresKeeper::find(place, PostgresOptions::default()).map_err(text)?;
        let (sender, news) = channel();
        // Whoever measured has ended: nobody counts any more.
        let tell = move |news| drop(sender.send(news));
        keeper.start(Box::new(tell)).map_err(text)?;
        let mut server = Self {
            keeper: Some(Box::new(keeper)),
            news,
            accounts: Vec::new(),
            turn: 0,
            waiting: 0,
        };
        let ids: Vec<u64> = (0..accounts).filter(|id| id % SERVERS_MAX as u64 == number).collect();
        for some in ids.chunks(WINDOW) {
            server.open(some)?;
        }
        Ok(server)
    }

    fn keeper(&mut self) -> Result<&mut Box<dyn AccountKeeper>, String> {
        self.keeper.as_mut().ok_or_else(|| "it was stopped".into())
    }

    fn open(&mut self, ids: &[u64]) -> Result<(), String> {
        let requests =
            (0..).zip(ids).map(|(token, id)| (token, Operation::Open(identity(*id)))).collect();
        self.keeper()?.submit(requests);
        let mut left = ids.len();
        while left > 0 {
            for (_, outcome) in self.decided()? {
                let OperationOutcome::Opened(Ok(opening)) = outcome else {
                    return Err(format!("{outcome:?}"));
                };
                let next = opening.proof.standing().last_seq.get() + 1;
                let (account, session) = (opening.account, opening.session);
                self.accounts.push(Opened { account, session, next });
                left -= 1;
            }
        }
        Ok(())
    }

    /// The next outcomes.
    fn decided(&self) -> Result<Vec<(u64, OperationOutcome)>, String> {
        match self.news.recv_timeout(Duration::from_secs(60)).map_err(text)? {
            News::Decided { outcomes, .. } => Ok(outcomes),
            News::Health(health) => Err(format!("{health:?}")),
            News::Panicked(thread) => Err(format!("{thread} panicked")),
        }
    }

    /// Gives frames until as many wait as may.
    fn fill(&mut self, frame: u64) -> Result<(), String> {
        let most = WINDOW.min(self.accounts.len() / 2);
        let mut requests = Vec::new();
        while self.waiting < most {
            let turn = self.turn;
            self.turn = (turn + 1) % self.accounts.len();
            let opened = self.accounts.get_mut(turn).ok_or("no account")?;
            let first_seq = Sequence::new(opened.next);
            opened.next += frame;
            let amounts = amounts(first_seq.get(), frame);
            let (account, session) = (opened.account, opened.session);
            let submission = Submission { account, session, first_seq, amounts };
            requests.push((turn as u64, Operation::Add(submission)));
            self.waiting += 1;
        }
        self.keeper()?.submit(requests);
        Ok(())
    }

    /// Takes outcomes that are there; how many frames they are.
    fn take(&mut self, is_patient: bool) -> Result<u64, String> {
        let mut frames = 0;
        let first = if is_patient { Some(self.decided()?) } else { None };
        let rest = std::iter::from_fn(|| match self.news.try_recv() {
            Ok(News::Decided { outcomes, .. }) => Some(outcomes),
            Ok(News::Health(_) | News::Panicked(_)) | Err(_) => None,
        });
        for (_, outcome) in first.into_iter().chain(rest).flatten() {
            match outcome {
                OperationOutcome::Decided(Ok(_)) => frames += 1,
                other @ (OperationOutcome::Decided(Err(_))
                | OperationOutcome::Opened(_)
                | OperationOutcome::Ended(_)) => return Err(format!("{other:?}")),
            }
        }
        self.waiting = self.waiting.saturating_sub(usize::try_from(frames).map_err(text)?);
        Ok(frames)
    }
}

fn identity(id: u64) -> AccountId {
    let mut key = [0; 32];
    // As spread as keys are.
    for (part, at) in key.chunks_exact_mut(8).zip(1..) {
        let mixed = (id.wrapping_mul(4).wrapping_add(at)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        part.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
    }
    AccountId::Identity(key)
}

/// Values of four digits.
fn amounts(first: u64, count: u64) -> Amounts {
    (first..first + count)
        .map(|seq| Amount::from((seq.wrapping_mul(7919) % 10_000).cast_signed()))
        .collect()
}

fn run(
    postgres: &Postgres,
    servers: &mut [Server],
    frame: u64,
    time: Duration,
) -> Result<Cost, String> {
    let counted = |servers: &[Server]| -> u64 {
        let counts = servers.iter().filter_map(|server| server.keeper.as_ref());
        counts.map(|keeper| keeper.counts().transactions).sum()
    };
    let mut cost = Cost::default();
    let (wal, database, own) = (wal(postgres)?, cpu_of_database(postgres)?, own_cpu()?);
    let (transactions, begin) = (counted(servers), Instant::now());
    while begin.elapsed() < time {
        for server in &mut *servers {
            server.fill(frame)?;
        }
        let mut frames = 0;
        for server in &mut *servers {
            frames += server.take(false)?;
        }
        if frames == 0 {
            let first = servers.first_mut().ok_or("no server")?;
            frames += first.take(true)?;
        }
        cost.frames += frames;
    }
    cost.time = begin.elapsed();
    cost.transactions = counted(servers) - transactions;
    for server in &mut *servers {
        while server.waiting > 0 {
            server.take(true)?;
        }
    }
    cost.values = cost.frames * frame;
    cost.wal = self::wal(postgres)? - wal;
    (cost.database, cost.own) = (cpu_of_database(postgres)? - database, own_cpu()? - own);
    Ok(cost)
}

/// Bytes of the log that was ever written.
fn wal(postgres: &Postgres) -> Result<u64, String> {
    postgres.sql("ddes", "SELECT pg_current_wal_lsn() - '0/0'").parse().map_err(text)
}

/// Of the first process and all its children, those that have ended included.
fn cpu_of_database(postgres: &Postgres) -> Result<Duration, String> {
    let first = postgres.process().ok_or("it does not run")?;
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").map_err(text)? {
        let path = entry.map_err(text)?.path().join("stat");
        // Others come and go.
        let Ok(stat) = fs::read_to_string(&path) else { continue };
        let Some((before, after)) = stat.rsplit_once(") ") else { continue };
        let process = before.split(' ').next().and_then(|number| number.parse().ok());
        let fields: Vec<u64> = after.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        // proc(5): after the name come state, ppid, …, utime, stime, cutime and cstime.
        let [_, parent, ..] = fields[..] else { continue };
        let (own, children) = (fields.get(11..13), fields.get(13..15));
        let is_first = process == Some(first);
        if is_first || parent == u64::from(first) {
            ticks += own.into_iter().flatten().sum::<u64>();
        }
        if is_first {
            ticks += children.into_iter().flatten().sum::<u64>();
        }
    }
    Ok(Duration::from_millis(10 * ticks))
}

/// Of this process: the servers, and the load.
fn own_cpu() -> Result<Duration, String> {
    crate::server::cpu_of(std::process::id())
}

/// One row, one value, one transaction, on four connections.
struct SingleRows {
    clients: Vec<tokio_postgres::Client>,
    runtime: tokio::runtime::Runtime,
    accounts: u64,
    next: u64,
}

impl SingleRows {
    fn new(postgres: &Postgres, url: &str, accounts: u64) -> Result<Self, String> {
        postgres.sql(
            "ddes",
            "CREATE TABLE IF NOT EXISTS single (account bytea PRIMARY KEY, last_seq bigint NOT NULL, \
             sum numeric(39,0) NOT NULL) WITH (fillfactor = 50); GRANT ALL ON single TO ddes",
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(text)?;
        let clients = (0..4).map(|_| {
            let connected = tokio_postgres::connect(url, tokio_postgres::NoTls);
            let (client, connection) = runtime.block_on(connected).map_err(text)?;
            runtime.spawn(connection);
            Ok(client)
        });
        let clients = clients.collect::<Result<Vec<_>, String>>()?;
        Ok(Self { clients, runtime, accounts, next: 0 })
    }

    fn run(&mut self, time: Duration) -> Result<Cost, String> {
        const UPSERT: &str = "INSERT INTO single AS s (account, last_seq, sum) VALUES ($1, 1, $2::bigint) \
                              ON CONFLICT (account) DO UPDATE SET last_seq = s.last_seq + 1, \
                              sum = s.sum + excluded.sum";
        let begin = Instant::now();
        let (accounts, base) = (self.accounts, self.next);
        let all = self.clients.iter().zip(0..).map(|(client, lane)| async move {
            let upsert = client.prepare(UPSERT).await.map_err(text)?;
            let mut count = 0;
            while begin.elapsed() < time {
                // Each account in its turn; no two connections have the same one.
                let number = (base + 4 * count + lane) % accounts;
                let AccountId::Identity(key) = identity(number) else { return Ok(count) };
                client.execute(&upsert, &[&&key[..], &7919_i64]).await.map_err(text)?;
                count += 1;
            }
            Ok::<u64, String>(count)
        });
        let all: Vec<_> = all.collect();
        let counted = self.runtime.block_on(async {
            let mut all = all.into_iter();
            let four = (all.next(), all.next(), all.next(), all.next());
            let (Some(a), Some(b), Some(c), Some(d)) = four else {
                return Err("four connections".to_owned());
            };
            let (a, b, c, d) = tokio::join!(a, b, c, d);
            Ok(a? + b? + c? + d?)
        });
        let values = counted?;
        self.next += values;
        Ok(Cost { values, time: begin.elapsed(), ..Cost::default() })
    }
}

/// The ledger in a folder, with the same frames in batches of as many as wait.
struct InFolder {
    ledger: Ledger,
    accounts: Vec<Opened>,
    turn: usize,
    folder: std::path::PathBuf,
}

impl Drop for InFolder {
    fn drop(&mut self) {
        // The system's folder for such things is emptied by others too.
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl InFolder {
    fn new(accounts: u64) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("ddes-shared-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(text)?;
        let disk = Folder::lock(&folder).map_err(text)?.ok_or("it is in use")?;
        let (ledger, _) =
            Ledger::open(Arc::new(disk), StoreOptions::default(), [7; 16]).map_err(text)?;
        let mut own = Self { ledger, accounts: Vec::new(), turn: 0, folder };
        let ids: Vec<u64> = (0..accounts).collect();
        for some in ids.chunks(WINDOW) {
            let opens: Vec<Operation> =
                some.iter().map(|id| Operation::Open(identity(*id))).collect();
            for outcome in own.ledger.commit(Timestamp(1), &opens) {
                let OperationOutcome::Opened(Ok(opening)) = outcome else {
                    return Err(format!("{outcome:?}"));
                };
                let (account, session) = (opening.account, opening.session);
                own.accounts.push(Opened { account, session, next: 1 });
            }
        }
        Ok(own)
    }

    fn run(&mut self, frame: u64, time: Duration) -> Result<Cost, String> {
        let mut cost = Cost::default();
        let begin = Instant::now();
        while begin.elapsed() < time {
            let mut adds = Vec::new();
            for _ in 0..WINDOW.min(self.accounts.len() / 2) {
                let turn = self.turn;
                self.turn = (turn + 1) % self.accounts.len();
                let opened = self.accounts.get_mut(turn).ok_or("no account")?;
                let first_seq = Sequence::new(opened.next);
                opened.next += frame;
                let (account, session) = (opened.account, opened.session);
                let amounts = amounts(first_seq.get(), frame);
                adds.push(Operation::Add(Submission { account, session, first_seq, amounts }));
            }
            let outcomes = self.ledger.commit(Timestamp(2), &adds);
            if !outcomes.iter().all(|outcome| matches!(outcome, OperationOutcome::Decided(Ok(_)))) {
                return Err("the folder refuses".into());
            }
            cost.values += outcomes.len() as u64 * frame;
        }
        cost.time = begin.elapsed();
        Ok(cost)
    }
}

//! The database of a fleet: three PostgreSQL under Patroni, and etcd. A host's disk is a small
//! tmpfs, which can be filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::network::{Network, Switch};
use super::servers::logged;
use crate::process::{Running, output};

/// Each with the number of its address.
const HOSTS: [(&str, u8); 3] = [("db1", 11), ("db2", 12), ("db3", 13)];
const COORDINATOR: (&str, u8) = ("dcs", 10);
const DISK_MEGABYTES: u32 = 700;
const DISK_MEGABYTES_COORDINATOR: u32 = 300;
const BALLAST: &str = "ballast";
/// A host that stopped, started and followed again took up to 106 s; on a busy machine more.
const WHOLE_MAX: Duration = Duration::from_secs(300);

/// Whom servers connect as, and who owns the tables.
pub(crate) const ROLE: &str = "ddes";
const OWNER: &str = "postgres";
/// Who reads the ledger from outside.
pub(crate) const OWNER_OF_CHECKS: &str = OWNER;

pub(crate) struct Database {
    /// Where its logs go.
    logs: PathBuf,
    programs: PathBuf,
    /// Only their start: the hosts' processes are told apart by their namespaces.
    started: Vec<Running>,
    /// How often another host became the primary.
    pub(crate) timeline: u64,
}

/// Who is what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) primary: Option<&'static str>,
    pub(crate) synchronous: Option<String>,
    /// Standbys that follow, the synchronous one among them.
    following: u64,
    timeline: u64,
}

impl Database {
    /// Starts etcd and all hosts, and waits until they are whole.
    pub(crate) fn start(network: &Network, logs: &Path) -> Result<Self, String> {
        let (host, number) = COORDINATOR;
        network.add(host, number, &[Switch::Back])?;
        let folder = network.disk(host, DISK_MEGABYTES_COORDINATOR)?;
        let address = Switch::Back.address(number);
        let clients = format!("http://{address}:2379");
        let mut etcd = network.on(host, "etcd");
        etcd.args(["--name", host, "--listen-client-urls", &clients]);
        etcd.args(["--advertise-client-urls", &clients]);
        etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380", "--data-dir"]).arg(&folder);
        // So that tmpfs is not full of its log before the run is over.
        etcd.args(["--snapshot-count", "5000", "--auto-compaction-retention", "5m"]);
        let programs = newest_postgresql()?;
        let mut database = Self { logs: logs.into(), programs, started: Vec::new(), timeline: 0 };
        database.spawn(&mut etcd, host)?;
        for (host, number) in HOSTS {
            network.add(host, number, &[Switch::Back])?;
            let disk = network.disk(host, DISK_MEGABYTES)?;
            own(&disk)?;
            let file = network.folder.join(format!("{host}.yml"));
            fs::write(&file, patroni(host, number, &disk, &database.programs))
                .map_err(|error| format!("{}: {error}", file.display()))?;
            database.start_host(network, host)?;
        }
        Ok(database)
    }

    fn spawn(&mut self, command: &mut Command, name: &str) -> Result<(), String> {
        self.started.push(logged(command, &self.logs, name)?);
        Ok(())
    }

    /// Starts Patroni on a host, which starts PostgreSQL.
    pub(crate) fn start_host(&mut self, network: &Network, host: &str) -> Result<(), String> {
        let mut patroni = network.on_as_postgres(host, "patroni", &network.folder.join(host));
        patroni.arg(network.folder.join(format!("{host}.yml")));
        self.spawn(&mut patroni, host)
    }

    /// Runs SQL on a host as its owner, from the host itself; `None` if there is no answer.
    fn ask(&self, network: &Network, host: &str, database: &str, sql: &str) -> Option<String> {
        let (_, number) = HOSTS.into_iter().find(|(name, _)| *name == host)?;
        let mut psql = network.on(host, self.programs.join("psql"));
        psql.args(["-h", &Switch::Back.address(number), "-U", OWNER, "-d", database]);
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql.env("PGCONNECT_TIMEOUT", "2").env("PGOPTIONS", "-c statement_timeout=2s");
        output(&mut psql).ok().map(|text| text.trim().to_owned())
    }

    /// Runs SQL on the primary.
    pub(crate) fn sql(
        &self,
        network: &Network,
        database: &str,
        sql: &str,
    ) -> Result<String, String> {
        let primary = self.roles(network).primary.ok_or("the database has no primary")?;
        self.ask(network, primary, database, sql).ok_or_else(|| format!("{primary} refuses: {sql}"))
    }

    /// Who is what now. A host that was stopped or cut off says nothing.
    pub(crate) fn roles(&self, network: &Network) -> Roles {
        let sql = "SELECT pg_is_in_recovery(), \
                   CASE WHEN pg_is_in_recovery() THEN 0 ELSE \
                     ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END, \
                   (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'), \
                   coalesce((SELECT application_name FROM pg_stat_replication \
                     WHERE sync_state = 'sync' AND state = 'streaming' LIMIT 1), '')";
        let mut roles = Roles::default();
        for (host, _) in HOSTS {
            let Some(row) = self.ask(network, host, "postgres", sql) else { continue };
            let fields: Vec<&str> = row.split('|').collect();
            let ["f", timeline, following, synchronous] = fields[..] else { continue };
            let (Ok(timeline), Ok(following)) = (timeline.parse(), following.parse()) else {
                continue;
            };
            // Of two that think so, the one that was promoted last.
            if timeline >= roles.timeline {
                let synchronous =
                    Some(synchronous).filter(|name| !name.is_empty()).map(str::to_owned);
                roles = Roles { primary: Some(host), synchronous, following, timeline };
            }
        }
        roles
    }

    /// Waits until there are a primary, a synchronous standby and another one.
    pub(crate) fn whole(&mut self, network: &Network) -> Result<Roles, String> {
        let begin = Instant::now();
        loop {
            let roles = self.roles(network);
            let others = HOSTS.len() as u64 - 1;
            if roles.synchronous.is_some() && roles.following == others {
                self.timeline = roles.timeline;
                return Ok(roles);
            }
            if begin.elapsed() > WHOLE_MAX {
                return Err(format!("the database is not whole: {roles:?}"));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The database and its ledger are made anew. `ddes` runs there.
    pub(crate) fn make(
        &self,
        network: &Network,
        name: &str,
        ddes: &mut Command,
    ) -> Result<(), String> {
        self.sql(network, "postgres", &format!("CREATE DATABASE {name}"))?;
        output(ddes.args(["ledger", "init", "--ledger", &url(OWNER, name), "--run"])).map(drop)
    }

    /// Fills a host's disk; how many bytes that took.
    pub(crate) fn fill(&self, network: &Network, host: &str) -> Result<u64, String> {
        let path = network.folder.join(host).join(BALLAST);
        let mut file = File::create(&path).map_err(|error| format!("ballast: {error}"))?;
        // First in large parts, then in small ones, until not a page is left.
        let mut written = 0;
        for part in [1 << 20, 4096] {
            let bytes = vec![0; part];
            while file.write_all(&bytes).is_ok() {
                written += part as u64;
            }
        }
        Ok(written)
    }

    pub(crate) fn empty(&self, network: &Network, host: &str) -> Result<(), String> {
        let path = network.folder.join(host).join(BALLAST);
        fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The version of each program.
    pub(crate) fn versions(&self) -> String {
        let first = |program: &Path, flag: &str| {
            // Some print it and end with an error: that is their output as well.
            let said = output(Command::new(program).arg(flag)).unwrap_or_else(|why| why);
            said.lines().next().map_or_else(String::new, str::to_owned)
        };
        let programs = [
            (self.programs.join("postgres"), "--version"),
            ("patroni".into(), "--version"),
            ("etcd".into(), "--version"),
            ("haproxy".into(), "-v"),
            ("pgbouncer".into(), "--version"),
        ];
        programs.map(|(program, flag)| first(&program, flag)).join(", ")
    }
}

/// The ledger's URL at all hosts of the database.
pub(crate) fn url(role: &str, database: &str) -> String {
    let hosts = HOSTS.map(|(_, number)| Switch::Back.address(number) + ":5432").join(",");
    format!("postgres://{role}@{hosts}/{database}")
}

/// The same at one host.
pub(crate) fn url_at(role: &str, host: &str, database: &str) -> Result<String, String> {
    let found = HOSTS.into_iter().find(|(name, _)| *name == host);
    let (_, number) = found.ok_or_else(|| format!("there is no host {host}"))?;
    Ok(format!("postgres://{role}@{}:5432/{database}", Switch::Back.address(number)))
}

/// Each host of the database, with the port of PostgreSQL.
pub(crate) fn places() -> [String; 3] {
    HOSTS.map(|(_, number)| Switch::Back.address(number) + ":5432")
}

/// Its host and the number of that.
pub(crate) fn hosts() -> [(&'static str, u8); 3] {
    HOSTS
}

fn own(folder: &Path) -> Result<(), String> {
    let shown = folder.display().to_string();
    crate::shell::run("chown", &["postgres:", &shown], &[])?;
    crate::shell::run("chmod", &["700", &shown], &[])
}

fn newest_postgresql() -> Result<PathBuf, String> {
    let folder = Path::new("/usr/lib/postgresql");
    let releases =
        fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let newest = releases
        .map_while(Result::ok)
        .filter_map(|release| release.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .ok_or("there is no PostgreSQL")?;
    Ok(folder.join(newest.to_string()).join("bin"))
}

/// As docs/scale.md has it. The times are those of a quiet machine: if this one is too busy for
/// them, Patroni fails over by itself, and the run says so.
fn patroni(host: &str, number: u8, disk: &Path, programs: &Path) -> String {
    let (address, disk) = (Switch::Back.address(number), disk.display());
    let coordinator = Switch::Back.address(COORDINATOR.1);
    let programs = programs.display();
    format!(
        "\
scope: fleet
name: {host}
restapi: {{listen: '{address}:8008', connect_address: '{address}:8008'}}
etcd3: {{hosts: '{coordinator}:2379'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 200
        wal_retrieve_retry_interval: 500ms
        shared_buffers: 64MB
        max_wal_size: 192MB
        min_wal_size: 48MB
        wal_keep_size: 64MB
        checkpoint_timeout: 15min
  initdb: [encoding: UTF8, locale: C, auth: trust, data-checksums]
  pg_hba: ['host all all 0.0.0.0/0 trust', 'host replication all 0.0.0.0/0 trust']
postgresql:
  listen: '{address}:5432'
  connect_address: '{address}:5432'
  data_dir: {disk}/data
  bin_dir: {programs}
  authentication:
    superuser: {{username: {OWNER}}}
    replication: {{username: replicator}}
    rewind: {{username: {OWNER}}}
  parameters: {{unix_socket_directories: ''}}
"
    )
}

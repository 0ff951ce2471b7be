//! The three servers of a fleet, the balancer before them, and what is between them and their
//! database.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::database::{self, ROLE};
use super::network::{Network, Switch};
use crate::process::{Running, Server, World, lines, output};

/// Each with the number of its addresses.
const HOSTS: [(&str, u8); 3] = [("s1", 31), ("s2", 32), ("s3", 33)];
const BALANCER: (&str, u8) = ("lb", 20);
const POOLER: (&str, u8) = ("pool", 21);
/// The first of three ports on which a server's proxy listens.
const PROXY_PORT: u16 = 7001;
/// A server does not start while its database is away: whoever starts it tries again.
const START_MAX: Duration = Duration::from_secs(120);

/// How a server gets to its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To all hosts of the database, as docs/scale.md has it.
    Direct,
    /// Through pgbouncer in session mode, and HAProxy that knows from Patroni which is the primary.
    Pooled,
    /// Through a proxy that loses the outcome of COMMITs.
    Lossy,
}

pub(crate) struct Servers {
    program: PathBuf,
    database: String,
    /// Whether their homes know it.
    is_known: bool,
    /// Each server's home.
    worlds: Vec<World>,
    running: Vec<Option<Server>>,
    pub(crate) route: Route,
    proxies: Vec<CommitProxy>,
    /// HAProxy before the servers, and behind the pooler.
    others: Vec<Running>,
    pooler: Option<Running>,
    pooler_file: PathBuf,
    /// What servers said that have ended.
    pub(crate) said: Vec<(usize, String)>,
}

/// A proxy on a server's host.
struct CommitProxy {
    input: ChildStdin,
    _process: Running,
    lost: Arc<(AtomicU64, AtomicU64)>,
}

/// Where clients connect.
pub(crate) fn front() -> String {
    Switch::Front.address(BALANCER.1) + ":5566"
}

impl Servers {
    /// The hosts, the balancer and the pooler; no server yet. `first` has the key of all servers
    /// and the list of who may come in; `harness` runs the proxies.
    pub(crate) fn new(
        network: &Network,
        logs: &Path,
        first: &World,
        harness: &Path,
    ) -> Result<Self, String> {
        let mut worlds = Vec::new();
        let mut proxies = Vec::new();
        for (host, number) in HOSTS {
            network.add(host, number, &[Switch::Front, Switch::Back])?;
            let home = network.folder.join(host);
            fs::create_dir(&home).map_err(|error| format!("{}: {error}", home.display()))?;
            for file in ["server_key", "server_key.pub", "authorized_keys"] {
                let from = first.home.join(file);
                // An older release has no second file.
                if from.exists() {
                    fs::copy(&from, home.join(file)).map_err(|error| format!("{file}: {error}"))?;
                }
            }
            let address = Switch::Front.address(number) + ":5566";
            worlds.push(World { home, address, key: first.key.clone() });
            proxies.push(CommitProxy::start(network, host, harness)?);
        }
        let running = HOSTS.map(|_| None).into();
        let mut servers = Self {
            program: PathBuf::new(),
            database: String::new(),
            is_known: false,
            worlds,
            running,
            route: Route::Direct,
            proxies,
            others: Vec::new(),
            pooler: None,
            pooler_file: network.folder.join("pgbouncer.ini"),
            said: Vec::new(),
        };
        servers.balance(network, logs)?;
        servers.pool(network, logs)?;
        Ok(servers)
    }

    /// HAProxy before the servers, as docs/scale.md has it.
    fn balance(&mut self, network: &Network, logs: &Path) -> Result<(), String> {
        let (host, number) = BALANCER;
        network.add(host, number, &[Switch::Front, Switch::Back])?;
        let mut text = format!(
            "{HAPROXY}\nfrontend ddes\n    bind {}\n    default_backend servers\n\
             backend servers\n    balance leastconn\n    option redispatch\n",
            front()
        );
        for (host, number) in HOSTS {
            let address = Switch::Front.address(number);
            text.push_str(&format!("    server {host} {address}:5566 check inter 1s fall 2\n"));
        }
        let file = network.folder.join("haproxy.cfg");
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let mut haproxy = network.on(host, "haproxy");
        self.others.push(logged(haproxy.arg("-db").arg("-f").arg(&file), logs, host)?);
        Ok(())
    }

    /// pgbouncer, and HAProxy that leads it to the primary.
    fn pool(&mut self, network: &Network, logs: &Path) -> Result<(), String> {
        let (host, number) = POOLER;
        network.add(host, number, &[Switch::Back])?;
        let mut text = format!(
            "{HAPROXY}\nlisten primary\n    bind 127.0.0.1:5000\n    option httpchk GET /primary\n    \
             http-check expect status 200\n    default-server inter 1s fall 2 rise 1 \
             on-marked-down shutdown-sessions\n"
        );
        for (host, number) in database::hosts() {
            let address = Switch::Back.address(number);
            text.push_str(&format!("    server {host} {address}:5432 check port 8008\n"));
        }
        let file = network.folder.join("haproxy-primary.cfg");
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let mut haproxy = network.on(host, "haproxy");
        self.others.push(logged(haproxy.arg("-db").arg("-f").arg(&file), logs, host)?);
        self.write_pooler(number)
    }

    fn write_pooler(&self, number: u8) -> Result<(), String> {
        let address = Switch::Back.address(number);
        let users = self.pooler_file.with_extension("users");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port=5000\n[pgbouncer]\nlisten_addr = {address}\n\
             listen_port = 6432\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = session\ndefault_pool_size = 60\nserver_login_retry = 1\n\
             ignore_startup_parameters = options\n",
            users.display()
        );
        fs::write(&users, format!("\"{ROLE}\" \"\"\n"))
            .and_then(|()| fs::write(&self.pooler_file, text))
            .map_err(|error| format!("pgbouncer.ini: {error}"))
    }

    /// Starts pgbouncer, or starts it anew: its connections keep the settings that the role had.
    pub(crate) fn restart_pooler(&mut self, network: &Network, logs: &Path) -> Result<(), String> {
        self.pooler = None;
        let mut pgbouncer = network.on_as_postgres(POOLER.0, "pgbouncer", &network.folder);
        self.pooler = Some(logged(pgbouncer.arg(&self.pooler_file), logs, "pgbouncer")?);
        Ok(())
    }

    /// Starts all of them with this program and database.
    pub(crate) fn start_all(
        &mut self,
        network: &Network,
        program: &Path,
        database: &str,
    ) -> Result<(), String> {
        (self.program, self.database) = (program.into(), database.into());
        self.is_known = false;
        (0..HOSTS.len()).try_for_each(|index| self.start(network, index))?;
        self.is_known = true;
        Ok(())
    }

    fn url(&self) -> String {
        match self.route {
            Route::Direct => database::url(ROLE, &self.database),
            Route::Pooled => {
                format!(
                    "postgres://{ROLE}@{}:6432/{}",
                    Switch::Back.address(POOLER.1),
                    self.database
                )
            }
            Route::Lossy => {
                let ports = (PROXY_PORT..).zip(database::places());
                let hosts: Vec<_> = ports.map(|(port, _)| format!("127.0.0.1:{port}")).collect();
                format!("postgres://{ROLE}@{}/{}", hosts.join(","), self.database)
            }
        }
    }

    /// Starts a server, again and again while its database is away.
    pub(crate) fn start(&mut self, network: &Network, index: usize) -> Result<(), String> {
        let begin = Instant::now();
        let (host, _) = HOSTS[index % HOSTS.len()];
        let url = self.url();
        let world = self.worlds.get(index).ok_or("there is no such server")?;
        let flags = ["--ledger", &url, "--require-standby", "--http", "off"];
        let anew: &[&str] = if self.is_known { &[] } else { &["--new-ledger"] };
        let limits = ["--log-level", "warn", "--drain-secs", "5", "--max-unproven", "2000"];
        loop {
            let mut command = network.on(host, &self.program);
            let mut server = world.serve(&mut command, &[&flags[..], &limits, anew].concat())?;
            if server.listens()? {
                if let Some(place) = self.running.get_mut(index) {
                    *place = Some(server);
                }
                return Ok(());
            }
            if begin.elapsed() > START_MAX {
                return Err(format!("{host} does not start:\n{}", server.said.text()));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(server) = self.running.get_mut(index).and_then(Option::take) {
            self.said.push((index, server.said.text()));
        }
    }

    /// Asks each in turn to end, and starts it with another way to its database.
    pub(crate) fn reroute(&mut self, network: &Network, route: Route) -> Result<(), String> {
        self.route = route;
        for index in 0..HOSTS.len() {
            if let Some(mut server) = self.running.get_mut(index).and_then(Option::take) {
                let code = server.process.stop()?;
                self.said.push((index, server.said.text()));
                if code != Some(0) {
                    return Err(format!("a server that was stopped ended with {code:?}"));
                }
            }
            self.start(network, index)?;
        }
        Ok(())
    }

    /// None of them may have ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (index, server) in self.running.iter_mut().enumerate() {
            if let Some(server) = server
                && server.has_ended()?
            {
                let said = server.said.text();
                return Err(format!("server {} ended by itself:\n{said}", index + 1));
            }
        }
        Ok(())
    }

    /// Writes what they said into a folder.
    pub(crate) fn keep_logs(&self, logs: &Path) -> Result<(), String> {
        let running = self.running.iter().enumerate();
        let running = running.filter_map(|(index, server)| Some((index, server.as_ref()?)));
        let running = running.map(|(index, server)| (index, server.said.text()));
        let mut files: Vec<String> = vec![String::new(); HOSTS.len()];
        for (index, said) in self.said.iter().cloned().chain(running) {
            if let Some(file) = files.get_mut(index) {
                file.push_str(&said);
            }
        }
        for ((host, _), text) in HOSTS.iter().zip(files) {
            fs::write(logs.join(host), text).map_err(|error| format!("{host}: {error}"))?;
        }
        Ok(())
    }

    /// How many COMMITs were lost after they were done, and before.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        self.proxies.iter().fold((0, 0), |(after, before), proxy| {
            (after + load(&proxy.lost.0), before + load(&proxy.lost.1))
        })
    }

    /// Loses the outcome of one COMMIT in so many; 0 loses none.
    pub(crate) fn lose(&mut self, one_in: u64) -> Result<(), String> {
        self.proxies.iter_mut().try_for_each(|proxy| {
            writeln!(proxy.input, "{one_in}").map_err(|error| format!("a proxy: {error}"))
        })
    }

    /// Gives the role what pgbouncer does not pass on.
    pub(crate) fn role_settings(&self) -> String {
        let database = &self.database;
        let change = |(name, value)| {
            format!("ALTER ROLE {ROLE} IN DATABASE {database} SET {name} = '{value}';")
        };
        LIMITS.map(change).concat()
    }

    /// What a server says that refuses its connection through pgbouncer; an error if it does not.
    pub(crate) fn refusal(&self, network: &Network, index: usize) -> Result<String, String> {
        let (host, _) = HOSTS[index % HOSTS.len()];
        let world = self.worlds.get(index).ok_or("there is no such server")?;
        let begin = Instant::now();
        loop {
            let mut command = network.on(host, &self.program);
            command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--http", "off"]);
            command.args(["--ledger", &self.url()]).env("DDES_HOME", &world.home);
            let said = match output(command.stdin(Stdio::null())) {
                Ok(said) => return Err(format!("it starts:\n{said}")),
                Err(said) => said,
            };
            if said.contains("was asked for") {
                return Ok(said);
            }
            // pgbouncer may not listen yet.
            if begin.elapsed() > START_MAX {
                return Err(format!("it says nothing of the settings:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// A program that runs beside the servers, with its log in a folder.
pub(crate) fn logged(command: &mut Command, logs: &Path, name: &str) -> Result<Running, String> {
    let log = File::options().create(true).append(true).open(logs.join(name));
    let log = log.map_err(|error| format!("the log of {name}: {error}"))?;
    let both = log.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(log).stderr(both);
    command.spawn().map(Running).map_err(|error| format!("{name}: {error}"))
}

/// What a server asks its database for in the start-up parameter `options`.
const LIMITS: [(&str, &str); 5] = [
    ("synchronous_commit", "on"),
    ("plan_cache_mode", "force_generic_plan"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "3s"),
    ("statement_timeout", "10s"),
];

const HAPROXY: &str = "\
global
    maxconn 8000
defaults
    mode tcp
    timeout connect 3s
    timeout client 2m
    timeout server 2m
";

impl CommitProxy {
    fn start(network: &Network, host: &str, harness: &Path) -> Result<Self, String> {
        let mut command = network.on(host, harness);
        command.arg("commits");
        command.args(
            (PROXY_PORT..).zip(database::places()).map(|(port, place)| format!("{port}={place}")),
        );
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process: Child = command.spawn().map_err(|error| error.to_string())?;
        let input = process.stdin.take().ok_or("the proxy has no input")?;
        let said = process.stdout.take().ok_or("the proxy has no output")?;
        let lost = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let counted = Arc::clone(&lost);
        lines(said, move |line| {
            let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            if let [after, before] = numbers[..] {
                counted.0.store(after, Ordering::Relaxed);
                counted.1.store(before, Ordering::Relaxed);
            }
        });
        Ok(Self { input, _process: Running(process), lost })
    }
}

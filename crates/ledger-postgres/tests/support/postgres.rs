//! A PostgreSQL of a test's own: a cluster in a temporary folder, on a free port of this machine.
//!
//! Where PostgreSQL is missing the tests fail: `cargo xtask test` installs it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Who owns the tables of a test.
pub(crate) const OWNER: &str = "owner";
/// Whom servers connect as.
pub(crate) const SERVER: &str = "ddes";

pub(crate) struct Postgres {
    folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// A cluster with an empty database `ddes`.
    pub(crate) fn start() -> Self {
        let folder = own_folder();
        let data = folder.join("data").display().to_string();
        run(program("initdb").args(["--pgdata", &data, "--username", OWNER]).args([
            "--auth=trust",
            "--data-checksums",
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
        ]));
        let mut postgres = Self { folder, port: free_port(), child: None };
        postgres.launch(&[]);
        postgres.sql("postgres", "CREATE DATABASE ddes");
        postgres
    }

    /// A standby of it, which has all that it has by now.
    pub(crate) fn standby(&self) -> Self {
        let folder = own_folder();
        let data = folder.join("data").display().to_string();
        run(program("pg_basebackup")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", OWNER, "-D", &data])
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]));
        let mut standby = Self { folder, port: free_port(), child: None };
        standby.launch(&[]);
        standby
    }

    /// Changes a setting while it runs, and waits until it is in force.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
        self.sql("postgres", "SELECT pg_reload_conf()");
        self.until(&format!("SELECT current_setting('{name}') = '{value}'"));
    }

    /// Makes it wait for its standby with each commit.
    pub(crate) fn wait_for_standby(&self) {
        self.set("synchronous_standby_names", "*");
        self.until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')");
    }

    /// Waits until a question is answered by true.
    pub(crate) fn until(&self, question: &str) {
        self.until_in("postgres", question);
    }

    /// The same of a database.
    pub(crate) fn until_in(&self, database: &str, question: &str) {
        let begin = Instant::now();
        while self.sql(database, question) != "t" {
            assert!(begin.elapsed() < Duration::from_secs(60), "not so: {question}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process that all others of it are children of.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the cluster's server, with more settings.
    pub(crate) fn launch(&mut self, settings: &[&str]) {
        let data = self.folder.join("data").display().to_string();
        let mut command = program("postgres");
        command.args(["-D", &data, "-p", &self.port.to_string(), "-k", ""]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.folder.join(format!("log-{}", self.port))).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let begin = Instant::now();
        loop {
            let ready = program("pg_isready")
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q"])
                .status()
                .unwrap();
            if ready.success() {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "PostgreSQL does not start");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends its server as a crash of the machine would, but for what is not synced.
    pub(crate) fn crash(&mut self) {
        self.signal("QUIT");
    }

    pub(crate) fn signal(&mut self, name: &str) {
        let Some(mut child) = self.child.take() else { return };
        let ended =
            Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(ended.unwrap().success());
        child.wait().unwrap();
    }

    /// Runs SQL as the owner; what `psql` prints.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = program("psql")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", OWNER, "-d", database])
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Lets nobody but its owner in without a password.
    pub(crate) fn demand_passwords(&self) {
        let lines = format!(
            "host all {OWNER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        );
        let path = self.folder.join("data/pg_hba.conf");
        fs::write(path, lines).unwrap();
        let before = self.sql("postgres", "SELECT pg_conf_load_time()");
        self.sql("postgres", "SELECT pg_reload_conf()");
        // The postmaster reads it in its own time, and hands that time to later connections.
        self.until(&format!("SELECT pg_conf_load_time() > '{before}'"));
    }

    pub(crate) fn url(&self, user: &str) -> String {
        url(user, self.port)
    }
}

pub(crate) fn url(user: &str, port: u16) -> String {
    format!("postgres://{user}@127.0.0.1:{port}/ddes")
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal("QUIT");
        fs::remove_dir_all(&self.folder).unwrap_or(());
    }
}

/// A new folder that the cluster's user owns.
fn own_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ddes-pg-{}-{number}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    if is_root() {
        run(Command::new("chown").args(["postgres:", &folder.display().to_string()]));
    }
    folder
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// A program of the newest PostgreSQL. It refuses to run as root, so that root takes its own user.
fn program(name: &str) -> Command {
    let path = Path::new("/usr/lib/postgresql");
    let releases = fs::read_dir(path).map(|entries| {
        entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok()).max()
    });
    let Ok(Some(release)) = releases else {
        panic!("there is no PostgreSQL in {}: apt-get install postgresql", path.display())
    };
    let program = path.join(release.to_string()).join("bin").join(name);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    // Its folder need not be the user's to read.
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A port that nobody has, below those that the system gives to whoever asks meanwhile
/// (`ip_local_port_range`: from 32,768 on).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // Other processes of tests begin elsewhere.
        let port = 10_000 + (std::process::id() * 37 + 7 + next) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Whether something listens there.
pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

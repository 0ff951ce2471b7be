//! The Python package beside the Rust client that it is made of, and beside redis-py: one program
//! with one account, or one key, over loopback.
//!
//! In a round each is measured once, one after the other; a ratio is the median of the rounds' own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ddes_client::blocking::Client;
use ddes_identity::{SigningKey, read_public};

use crate::cores;
use crate::figures::median;
use crate::redis;
use crate::report;
use crate::server::{Kind, Server};

const COLUMNS: &[&str] = &[
    "integers a call",
    "Rust client, values/s",
    "Python, values/s",
    "redis-py, values/s",
    "Python, of Rust",
    "Python, of redis-py",
];

/// What a program asks for.
#[derive(Clone, Copy)]
struct CallShape {
    /// Integers of one call of `add`, and commands of one pipeline of Redis.
    batch: usize,
    /// The sum is awaited after each call: a round trip.
    waits: bool,
}

const SHAPES: [CallShape; 5] = [
    CallShape { batch: 1, waits: true },
    CallShape { batch: 1, waits: false },
    CallShape { batch: 64, waits: false },
    CallShape { batch: 1024, waits: false },
    CallShape { batch: 8192, waits: false },
];

impl CallShape {
    fn name(self) -> String {
        if self.waits {
            format!("{}, each sum awaited", self.batch)
        } else {
            self.batch.to_string()
        }
    }
}

/// How long each measurement lasts, and how many there are.
struct PythonEffort {
    length: Duration,
    rounds: usize,
}

const LONG: PythonEffort = PythonEffort { length: Duration::from_secs(3), rounds: 3 };
const SHORT: PythonEffort = PythonEffort { length: Duration::from_millis(200), rounds: 1 };

/// The servers of one table.
struct PythonBench {
    ours: Server,
    redis: Option<Server>,
    /// Integers are in an outbox on the disk before `add` returns.
    is_durable: bool,
    key: SigningKey,
    python: PathBuf,
}

pub(crate) fn run(short: bool) -> Result<(), String> {
    let effort = if short { &SHORT } else { &LONG };
    let python = std::env::var_os("DDES_BENCH_PYTHON").ok_or("DDES_BENCH_PYTHON is not set")?;
    cores::take()?;
    let load = std::fs::read_to_string("/proc/loadavg").map_err(|error| error.to_string())?;
    println!("\nLoad of the machine before: {}.", load.trim());
    let tables = [
        ("In memory", Kind::OursSecure, Kind::Redis, false),
        ("On disk before the answer", Kind::OursDurable, Kind::RedisDurable, true),
    ];
    for (title, ours, theirs, is_durable) in tables {
        let bench = PythonBench {
            ours: cores::serve(ours)?,
            redis: redis::is_installed().then(|| cores::serve(theirs)).transpose()?,
            is_durable,
            key: SigningKey::from_seed(&[5; 32]),
            python: PathBuf::from(&python),
        };
        bench.write_key()?;
        report::heading(title, COLUMNS);
        for shape in SHAPES {
            bench.row(shape, effort)?;
        }
    }
    Ok(())
}

impl PythonBench {
    fn key_file(&self) -> PathBuf {
        self.ours.folder.join("client_key")
    }

    /// For Python, which reads it as a user's.
    fn write_key(&self) -> Result<(), String> {
        use std::os::unix::fs::OpenOptionsExt;
        let text = self.key.to_openssh("bench").map_err(|error| error.to_string())?;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.key_file())
            .map_err(|error| error.to_string())?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| error.to_string())
    }

    fn outbox(&self) -> Option<PathBuf> {
        self.is_durable.then(|| self.ours.folder.join("outbox"))
    }

    fn row(&self, shape: CallShape, effort: &PythonEffort) -> Result<(), String> {
        let mut rounds = Vec::new();
        for _ in 0..effort.rounds {
            let redis = match &self.redis {
                Some(server) => self.python("redis", server, shape, effort)?,
                None => f64::NAN,
            };
            let rust = self.rust(shape, effort)?;
            rounds.push((rust, self.python("ddes", &self.ours, shape, effort)?, redis));
        }
        let middle = |of: &dyn Fn(&(f64, f64, f64)) -> f64| median(rounds.iter().map(of).collect());
        let number = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!("{rate:.0}"));
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        report::row(&[
            shape.name(),
            number(middle(&|round| round.0)),
            number(middle(&|round| round.1)),
            number(middle(&|round| round.2)),
            ratio(middle(&|round| round.1 / round.0)),
            ratio(middle(&|round| round.1 / round.2)),
        ]);
        Ok(())
    }

    /// Values a second, from the first call to the last sum.
    fn rust(&self, shape: CallShape, effort: &PythonEffort) -> Result<f64, String> {
        let text = |error: ddes_client::ClientError| error.to_string();
        let address = self.ours.address.parse();
        let address = address.map_err(|error: ddes_identity::AddressError| error.to_string())?;
        let trusted = read(&self.ours.folder.join("server_key.pub"))?;
        let trusted = read_public(trusted).map_err(|error| error.to_string())?;
        let mut builder = Client::builder(address, self.key.clone()).trust(trusted);
        if let Some(outbox) = self.outbox() {
            builder = builder.outbox(outbox);
        }
        let client = builder.start().map_err(text)?;
        client.flush().map_err(text)?;
        let (values, begin) = (vec![7; shape.batch], Instant::now());
        let mut count = 0;
        while begin.elapsed() < effort.length {
            client.add(&values).map_err(text)?;
            if shape.waits {
                client.flush().map_err(text)?;
            }
            count += values.len();
        }
        client.flush().map_err(text)?;
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        client.close().map_err(text)?;
        Ok(rate)
    }

    /// The same by a program in Python.
    fn python(
        &self,
        what: &str,
        server: &Server,
        shape: CallShape,
        effort: &PythonEffort,
    ) -> Result<f64, String> {
        let mut command = Command::new(&self.python);
        command.arg("proof/peers/load.py").arg(what).arg(&server.address).arg(&server.folder);
        command.args(["--batch", &shape.batch.to_string()]);
        command.args(["--seconds", &effort.length.as_secs_f64().to_string()]);
        if shape.waits {
            command.arg("--wait");
        }
        if let Some(outbox) = self.outbox() {
            command.arg("--outbox").arg(outbox);
        }
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        match said.trim().parse() {
            Ok(rate) if output.status.success() => Ok(rate),
            Ok(_) | Err(_) => {
                Err(format!("{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr)))
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

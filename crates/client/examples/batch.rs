//! A batch from a file, one integer a line, without an asynchronous runtime.
//!
//! ```text
//! cargo run --example batch -- 127.0.0.1:5566 SHA256:… \
//!     ~/.config/ddes/identities/default numbers.txt
//! ```
//!
//! It has no outbox: if it is cut off, see what was counted (`ddes total`) before the rest is sent.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::{env, fs};

use ddes_client::{ADD_MAX, blocking, read_private};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [server, fingerprint, key, input] = &arguments[..] else {
        return Err("usage: batch HOST:PORT SHA256:FINGERPRINT KEY-FILE INPUT-FILE".into());
    };
    // Before anything is sent: a line that is no integer stops the whole batch.
    let mut values = Vec::new();
    for (number, line) in BufReader::new(fs::File::open(input)?).lines().enumerate() {
        let value = line?.trim().parse::<i64>();
        values.push(value.map_err(|error| format!("line {}: {error}", number + 1))?);
    }
    let key = read_private(&fs::read(key)?, None)?;
    let client =
        blocking::Client::builder(server.parse()?, key).trust_fingerprint(fingerprint).start()?;
    for part in values.chunks(ADD_MAX) {
        client.add(part)?;
    }
    let balance = client.close()?;
    println!("{} integers, sum {}", balance.count, balance.sum);
    Ok(())
}

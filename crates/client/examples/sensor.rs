//! A sensor that counts: one reading at a time, kept on the disk until the server has it, across
//! crashes of either side.
//!
//! ```text
//! ddes key new sensor                      # an identity for it; on the server: ddes authorize KEY
//! cargo run --example sensor -- 127.0.0.1:5566 SHA256:… ~/.config/ddes/identities/sensor outbox 20
//! ```

use std::error::Error;
use std::time::Duration;
use std::{env, fs};

use ddes_client::{Client, Progress, read_private, tokio};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [server, fingerprint, key, outbox, readings] = &arguments[..] else {
        return Err(
            "usage: sensor HOST:PORT SHA256:FINGERPRINT KEY-FILE OUTBOX-FOLDER READINGS".into()
        );
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let key = read_private(&fs::read(key)?, None)?;
        let client = Client::builder(server.parse()?, key)
            .trust_fingerprint(fingerprint)
            .outbox(outbox)
            .on_progress(|progress| {
                if let Progress::Lost { why, retry } = progress {
                    eprintln!("no session: {why}; connecting again in {retry:?}");
                }
            })
            .start()?;
        for reading in 1..=readings.parse()? {
            client.add(&[reading]).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let balance = client.close().await?;
        println!("{} integers, sum {}", balance.count, balance.sum);
        Ok(())
    })
}

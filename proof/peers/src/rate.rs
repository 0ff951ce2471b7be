//! One question, one answer, as fast as each client gets its answers.

use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::figures::{Clock, Figures};
use crate::report::{self, Latencies};
use crate::secure::runtime;
use crate::server::Server;
use crate::setup::{connect, options};
use crate::tls::{Dialler, Exchange, ask_echo};

pub(crate) const COLUMNS: &[&str] =
    &["server", "clients", "integers/s", "median", "p99", "server CPU an integer"];

pub(crate) fn row(server: &Server, clients: u32, figures: &Figures) {
    let [median, p99] = figures.latencies();
    report::row(&[
        server.kind.name().into(),
        clients.to_string(),
        format!("{:.0}", figures.rate),
        median,
        p99,
        report::duration(figures.cpu),
    ]);
}

/// Integers of the classic profile.
pub(crate) fn classic(server: &Server, clients: u32, length: Duration) -> Result<Figures, String> {
    runtime()?.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(connect(&options(server)?).await?);
        }
        let count =
            async |connection: &mut ddes_client::classic::ClassicConnection| match connection
                .count(1)
                .await
            {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
        closed(server, connections, length, count).await
    })
}

/// Thirty-two bytes there and back.
pub(crate) fn echo(server: &Server, clients: u32, length: Duration) -> Result<Figures, String> {
    let dialler = Dialler::new(&server.folder, &server.address, Exchange::Hybrid)?;
    runtime()?.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(dialler.connect().await?);
        }
        closed(server, connections, length, ask_echo).await
    })
}

/// Each connection asks again once it was answered.
pub(crate) async fn closed<C: 'static>(
    server: &Server,
    connections: Vec<C>,
    length: Duration,
    ask: impl AsyncFn(&mut C) -> Result<(), String> + Copy + 'static,
) -> Result<Figures, String> {
    let clock = Clock::start(server, std::process::id())?;
    let end = Instant::now() + length;
    let work = async {
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            tasks.spawn_local(async move {
                let mut latencies = Latencies::new()?;
                while Instant::now() < end {
                    let sent = Instant::now();
                    ask(&mut connection).await?;
                    latencies.record(sent.elapsed());
                }
                Ok::<_, String>(latencies)
            });
        }
        let mut all = Latencies::new()?;
        while let Some(latencies) = tasks.join_next().await {
            all.merge(&latencies.map_err(|error| error.to_string())??)?;
        }
        Ok::<_, String>(all)
    };
    let all = LocalSet::new().run_until(work).await?;
    clock.stop(all.count(), Some((all.at(0.5), all.at(0.99))))
}

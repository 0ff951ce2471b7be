//! One integer, one answer, as fast as each client gets its answers.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::report::{self, Latencies};
use crate::server::Server;
use crate::setup::{connect, options};

pub(crate) const COLUMNS: &[&str] =
    &["server", "clients", "integers/s", "median", "p99", "server CPU an integer"];

pub(crate) fn measure(server: &Server, clients: usize, length: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(connect(&options(server)).await?);
        }
        let before = server.cpu()?;
        let start = Instant::now();
        let end = start + length;
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            tasks.spawn(async move {
                let mut latencies = Latencies::new()?;
                while Instant::now() < end {
                    let sent = Instant::now();
                    connection.count(1).await.map_err(|error| error.to_string())?;
                    latencies.record(sent.elapsed());
                }
                Ok::<_, String>(latencies)
            });
        }
        let mut all = Latencies::new()?;
        while let Some(latencies) = tasks.join_next().await {
            all.merge(&latencies.map_err(|error| error.to_string())??)?;
        }
        let elapsed = start.elapsed().as_secs_f64();
        let cpu = (server.cpu()? - before).as_secs_f64() / all.count() as f64;
        report::row(&[
            server.kind.name().into(),
            clients.to_string(),
            format!("{:.0}", all.count() as f64 / elapsed),
            all.quantile(0.5),
            all.quantile(0.99),
            report::duration(Duration::from_secs_f64(cpu)),
        ]);
        Ok(())
    })
}

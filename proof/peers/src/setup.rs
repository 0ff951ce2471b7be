//! From connect to the session token, one connection after another.

use std::time::{Duration, Instant};

use ddes_client::classic::{ClassicConnection, ClassicOptions};
use ddes_wire::ClientId;

use crate::report::{self, Latencies};
use crate::server::Server;

pub(crate) const COLUMNS: &[&str] =
    &["server", "connects", "median", "p99", "server CPU a connect", "connects/s a core"];

/// The original's server may need a minute for a group, and ours must wait for it.
const WAIT_MAX: Duration = Duration::from_secs(300);

pub(crate) fn options(server: &Server) -> Result<ClassicOptions, String> {
    Ok(ClassicOptions {
        server: server
            .address
            .parse()
            .map_err(|error: ddes_identity::AddressError| error.to_string())?,
        id: ClientId::random([7; ClientId::BYTES]),
        connect: WAIT_MAX,
        handshake: WAIT_MAX,
        reply: WAIT_MAX,
        wiretap: None,
    })
}

/// A connection with its token.
pub(crate) async fn connect(options: &ClassicOptions) -> Result<ClassicConnection, String> {
    let mut connection =
        ClassicConnection::open(options).await.map_err(|error| error.to_string())?;
    connection.ready(|_| ()).await.map_err(|end| format!("the session ended: {end:?}"))?;
    Ok(connection)
}

pub(crate) fn measure(server: &Server, connects: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let options = options(server)?;
    let mut latencies = Latencies::new()?;
    runtime.block_on(async {
        // The first connect warms both sides: the group's check, the pages of the program.
        if connects > 1 {
            connect(&options).await?.close().await;
        }
        let before = server.cpu()?;
        for _ in 0..connects {
            let start = Instant::now();
            let connection = connect(&options).await?;
            latencies.record(start.elapsed());
            connection.close().await;
        }
        let each = (server.cpu()? - before).as_secs_f64() / connects as f64;
        report::row(&[
            server.kind.name().into(),
            connects.to_string(),
            latencies.quantile(0.5),
            latencies.quantile(0.99),
            report::duration(Duration::from_secs_f64(each)),
            format!("{:.2}", 1.0 / each),
        ]);
        Ok(())
    })
}

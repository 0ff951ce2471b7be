//! Both clients behind one face, so that a scenario runs for each: the one on tokio, and the one on
//! a thread of its own. Tests of the commands use it too.

use std::path::PathBuf;
use std::sync::mpsc;

use ddes_client::{
    Balance, Client, ClientError, Progress, ServerAddress, SigningKey, blocking, tokio,
};
use tokio::runtime::Runtime;

/// Which client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Tokio,
    Thread,
}

/// One of the two, whose methods wait.
pub(crate) enum Any {
    Tokio(Runtime, Client),
    Thread(blocking::Client),
}

/// How to start one.
pub(crate) struct Setup {
    pub(crate) server: ServerAddress,
    pub(crate) key: SigningKey,
    pub(crate) trust: String,
    pub(crate) outbox: Option<PathBuf>,
    pub(crate) progress: mpsc::Sender<Progress>,
}

impl Any {
    pub(crate) fn start(kind: Kind, setup: Setup) -> Result<Self, ClientError> {
        let Setup { server, key, trust, outbox, progress } = setup;
        let observe = move |event: &Progress| progress.send(event.clone()).unwrap_or(());
        match kind {
            Kind::Tokio => {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                let _inside = runtime.enter();
                let mut builder =
                    Client::builder(server, key).trust_fingerprint(trust).on_progress(observe);
                if let Some(outbox) = outbox {
                    builder = builder.outbox(outbox);
                }
                let client = builder.start()?;
                drop(_inside);
                Ok(Self::Tokio(runtime, client))
            }
            Kind::Thread => {
                let mut builder = blocking::Client::builder(server, key)
                    .trust_fingerprint(trust)
                    .on_progress(observe);
                if let Some(outbox) = outbox {
                    builder = builder.outbox(outbox);
                }
                Ok(Self::Thread(builder.start()?))
            }
        }
    }

    pub(crate) fn add(&self, values: &[i64]) -> Result<(), ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.add(values)),
            Self::Thread(client) => client.add(values),
        }
    }

    pub(crate) fn flush(&self) -> Result<Balance, ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.flush()),
            Self::Thread(client) => client.flush(),
        }
    }

    pub(crate) fn total(&self) -> Result<Balance, ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.total()),
            Self::Thread(client) => client.total(),
        }
    }

    pub(crate) fn close(self) -> Result<Balance, ClientError> {
        match self {
            Self::Tokio(runtime, client) => runtime.block_on(client.close()),
            Self::Thread(client) => client.close(),
        }
    }
}

pub(crate) fn balance(count: u64, sum: i128) -> Balance {
    Balance { count, sum: ddes_client::Total::new(sum) }
}

pub(crate) const BOTH: [Kind; 2] = [Kind::Tokio, Kind::Thread];

//! A session that a newer one of the same identity has superseded, at another server perhaps, and
//! whose client does not know of it. Whatever it sends then, the ledger must not count, and the
//! server must not answer from what it holds: it is told that it is superseded, or of nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ddes_client::v2::{ClientConnection, ConnectOptions};
use ddes_client::{ClientEnd, PublicKey, Reason, Signer};
use ddes_session::v2::ClientEvent;
use ddes_wire::v2::Status;
use ddes_wire::{Sequence, Standing};

use crate::values::value;

/// Shorter than a session may be silent.
const LIFE_MAX: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// No client sends it.
const POISON: i64 = i64::MIN + 7;

/// What the newer session has seen: its number, and the last value counted.
pub(crate) type Successor = Rc<Cell<(u64, u64)>>;

/// What a ghost sends, by turns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GhostWish {
    /// The last value once more.
    Duplicate,
    /// The next number, with another value than its client gave it.
    Poison,
    /// A number that is too high.
    Gap,
}

/// How a ghost ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GhostEnd {
    /// It was told that it is superseded.
    Fenced,
    /// Its connection or the server ended first, or no newer session came.
    Vanished,
}

/// A session that is to become one.
pub(crate) struct Ghost {
    connection: ClientConnection,
    session: u64,
    pub(crate) standing: Standing,
}

impl Ghost {
    /// Opens the session; `None` if there is no server that opens it.
    pub(crate) async fn open(
        options: &ConnectOptions,
        key: PublicKey,
        signer: &Signer,
    ) -> Option<Self> {
        // It is one more client that finds no server: the next one will.
        let (connection, welcome) = ClientConnection::open(options, &[key], signer).await.ok()?;
        let (session, standing) = (welcome.session.get(), welcome.standing);
        Some(Self { connection, session, standing })
    }

    /// Waits for a newer session that has counted something, sends, and looks at the answer. An
    /// error is an answer that it must not have.
    pub(crate) async fn haunt(
        mut self,
        client: u64,
        wish: GhostWish,
        successor: &Successor,
    ) -> Result<GhostEnd, String> {
        let end = tokio::time::timeout(LIFE_MAX, async {
            loop {
                let (session, last_seq) = successor.get();
                if session > self.session && last_seq > self.standing.last_seq.get() {
                    break;
                }
                tokio::select! {
                    event = self.connection.next() => return self.end(client, event),
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            let last_seq = self.standing.last_seq.get();
            let (first_seq, amount) = match wish {
                GhostWish::Duplicate if last_seq > 0 => (last_seq, value(client, last_seq)),
                GhostWish::Duplicate | GhostWish::Poison => (last_seq + 1, POISON),
                GhostWish::Gap => (last_seq + 1_000_000, POISON),
            };
            if self.connection.submit(Sequence::new(first_seq), &[amount]).is_err() {
                return Ok(GhostEnd::Vanished);
            }
            let event = self.connection.next().await;
            self.end(client, event)
        });
        // Silence to the end of its life: no newer session came, or the database was away.
        end.await.unwrap_or(Ok(GhostEnd::Vanished))
    }

    fn end(&self, client: u64, event: Option<ClientEvent>) -> Result<GhostEnd, String> {
        match event {
            Some(ClientEvent::Ended(ClientEnd::Farewell(farewell)))
                if farewell.reason == Reason::Superseded =>
            {
                Ok(GhostEnd::Fenced)
            }
            // The database was away: nothing is said of the values.
            Some(ClientEvent::Answered(answer)) if answer.status == Status::Unavailable => {
                Ok(GhostEnd::Vanished)
            }
            Some(ClientEvent::Answered(answer)) => Err(format!(
                "client {client}: session {}, which was superseded, was answered {answer:?}",
                self.session
            )),
            Some(
                ClientEvent::Ended(
                    ClientEnd::Farewell(_) | ClientEnd::Rejected(_) | ClientEnd::Fault(_),
                )
                | ClientEvent::ServerProven { .. }
                | ClientEvent::Ready(_),
            )
            | None => Ok(GhostEnd::Vanished),
        }
    }
}

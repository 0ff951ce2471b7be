//! Delivers an outbox: connects, sends what waits, goes by `last_seq`, and connects again when it has to.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::PublicKey;
use ddes_session::v2::{ClientEnd, ClientEvent, SubmitError};
use ddes_wire::v2::{Outcome, Reason, Scope, Status, Welcome};
use ddes_wire::{Sequence, Total};

use crate::backoff::Backoff;
use crate::outbox::{JournalError, Mark, Objection, Outbox, TakeError};
use crate::signer::Signer;
use crate::v2::{Connection, EnterError, Options};

/// 30s sent and not answered, at most: what the server holds of one session.
const FLIGHT_MAX: usize = 64;

/// After a 40 that leaves open whether values were counted, they are sent again after so long.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);

/// After `superseded`: longer than a handshake may last (P-23), and up to half of it more. By then a message 4 that was late on a connection given up long ago
/// is too late, and two clients of one identity do not come back together.
const GHOST_WAIT: Duration = Duration::from_secs(10);
/// Superseded twice within this is another process.
const GHOST_TWICE: Duration = Duration::from_secs(60);

/// How to deliver.
#[derive(Debug)]
pub struct Terms {
    /// Where and how to connect.
    pub options: Options,
    /// Who delivers.
    pub signer: Signer,
    /// For how long the first connection is tried for; zero is one attempt.
    pub patience_first: Duration,
    /// For how long to try again once there has been one.
    pub patience: Duration,
}

/// What happened.
#[derive(Debug)]
pub enum Delivery {
    /// A session is open.
    Opened(Welcome),
    /// The ledger covers more values.
    Counted {
        /// The number of the last value covered.
        last_seq: Sequence,
        /// The account's sum.
        sum: Total,
    },
    /// The server's ledger takes nothing just now: it has no room, say. The values are sent again and again; said once until some count.
    Unavailable,
    /// There is no session any more, or still none.
    Lost {
        /// Why.
        why: Lost,
        /// When it is tried again; `None`: once there is something to send.
        retry: Option<Duration>,
    },
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// None opened.
    #[error(transparent)]
    Enter(EnterError),
    /// It ended.
    #[error("the session ended")]
    Ended(ClientEnd),
}

/// Why delivering cannot go on. The outbox keeps what was not counted.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// No session, for longer than is waited.
    #[error(transparent)]
    Lost(Lost),
    /// The ledger is not the one the outbox knows.
    #[error(transparent)]
    Objection(#[from] Objection),
    /// The server calls the numbering malformed, or counts what was never sent.
    #[error("the server refused value {first_seq} as malformed")]
    Malformed {
        /// The first of the refused values.
        first_seq: Sequence,
    },
    /// The server's ledger has taken nothing, for longer than is waited.
    #[error("the server's ledger has taken nothing for {} s", .waited.as_secs())]
    Unavailable {
        /// How long.
        waited: Duration,
    },
    /// The outbox.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

type Opening = Pin<Box<dyn Future<Output = Result<(Connection, Welcome), EnterError>>>>;

enum Link {
    /// To be tried again, once there is something to send if no time is set.
    Down {
        at: Option<Instant>,
    },
    Opening(Opening),
    Up(Box<Up>),
}

struct Up {
    connection: Connection,
    values_max: usize,
    /// The next number to send.
    next: Sequence,
    /// The last numbers of the 30s that are not answered, oldest first.
    flight: VecDeque<Sequence>,
    /// A 30 was refused: those behind it are refused as well, and then it goes back.
    refused: bool,
    /// Nothing is sent before this.
    pause: Option<Instant>,
}

/// An outbox on its way.
pub struct Courier {
    terms: Arc<Terms>,
    /// The server's keys.
    trusted: Vec<PublicKey>,
    /// A new outbox may go on from an account's history.
    adopt: bool,
    outbox: Outbox,
    link: Link,
    backoff: Backoff,
    /// Since when there is no session.
    down_since: Instant,
    opened_once: bool,
    /// When a newer session ended ours, last.
    superseded: Option<Instant>,
    /// Since when the ledger takes nothing; it was said then.
    unavailable_since: Option<Instant>,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("outbox", &self.outbox).finish_non_exhaustive()
    }
}

impl Courier {
    /// Connects at once, whether or not something waits. The server must prove one of the keys `trusted`.
    pub fn new(terms: Terms, trusted: Vec<PublicKey>, outbox: Outbox) -> Self {
        let now = Instant::now();
        Self {
            terms: Arc::new(terms),
            trusted,
            adopt: false,
            outbox,
            link: Link::Down { at: Some(now) },
            backoff: Backoff::default(),
            down_since: now,
            opened_once: false,
            superseded: None,
            unavailable_since: None,
        }
    }

    /// After [`EnterError::Untrusted`]: the key is the server's. It is connected again.
    pub fn trust(&mut self, key: PublicKey) {
        self.trusted.push(key);
        self.connect();
    }

    /// After [`Objection::History`]: the outbox may go on from there. It is connected again.
    pub fn adopt(&mut self) {
        self.adopt = true;
        self.connect();
    }

    fn connect(&mut self) {
        self.down_since = Instant::now();
        self.link = Link::Down { at: Some(self.down_since) };
    }

    /// What waits.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes values; see [`Outbox::take`]. They go out with the next [`Self::next`].
    pub fn take(&mut self, values: &[i64], mark: Mark) -> Result<(), TakeError> {
        self.outbox.take(values, mark)?;
        if let Link::Down { at: None } = &self.link {
            self.connect();
        }
        Ok(())
    }

    /// Another input begins; see [`Outbox::begin_input`].
    pub fn begin_input(&mut self) -> Result<(), JournalError> {
        self.outbox.begin_input()
    }

    /// The input is done; see [`Outbox::finish_input`].
    pub fn finish_input(&mut self) -> Result<(), JournalError> {
        self.outbox.finish_input()
    }

    /// Goes on until something happens. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Delivery, CourierError> {
        loop {
            match &mut self.link {
                Link::Down { at: None } => std::future::pending::<()>().await,
                Link::Down { at: Some(at) } => {
                    tokio::time::sleep_until((*at).into()).await;
                    let (terms, trusted) = (Arc::clone(&self.terms), self.trusted.clone());
                    self.link = Link::Opening(Box::pin(async move {
                        Connection::open(&terms.options, &trusted, &terms.signer).await
                    }));
                }
                Link::Opening(opening) => match opening.await {
                    Ok((connection, welcome)) => return self.opened(connection, welcome),
                    Err(error) => return self.lost(Lost::Enter(error)),
                },
                Link::Up(up) => {
                    up.fill(&self.outbox);
                    let event = match up.pause {
                        Some(pause) => tokio::select! {
                            event = up.connection.next() => event,
                            () = tokio::time::sleep_until(pause.into()) => {
                                up.pause = None;
                                continue;
                            }
                        },
                        None => up.connection.next().await,
                    };
                    match event {
                        Some(ClientEvent::Answered(answer)) => {
                            if let Some(delivery) = self.answered(answer)? {
                                return Ok(delivery);
                            }
                        }
                        Some(ClientEvent::Ended(end)) => return self.ended(end),
                        // The session is open: these came before.
                        Some(ClientEvent::ServerProven { .. } | ClientEvent::Ready(_)) => {}
                        None => {
                            self.outbox.session_ended();
                            self.link = Link::Down { at: Some(Instant::now()) };
                        }
                    }
                }
            }
        }
    }

    /// Drops the session, where there is one; the outbox as it stands.
    pub fn into_outbox(self) -> Outbox {
        self.outbox
    }

    /// Says goodbye, where there is a session; how it ended. The outbox is given back.
    pub async fn close(self, scope: Scope) -> Result<(Outbox, Option<ClientEnd>), CourierError> {
        let mut outbox = self.outbox;
        let end = match self.link {
            Link::Up(up) => up.connection.close(scope).await,
            Link::Down { .. } | Link::Opening(_) => None,
        };
        if let Some(ClientEnd::Farewell(farewell)) = &end {
            outbox.confirm(farewell.last_seq, farewell.sum)??;
        }
        outbox.session_ended();
        Ok((outbox, end))
    }

    fn opened(&mut self, connection: Connection, welcome: Welcome) -> Result<Delivery, CourierError> {
        let admitted = self.outbox.admit(&welcome, self.adopt)?;
        self.heed(admitted)?;
        self.opened_once = true;
        self.link = Link::Up(Box::new(Up {
            connection,
            values_max: welcome.values_max.into(),
            next: self.outbox.next_unconfirmed(),
            flight: VecDeque::new(),
            refused: false,
            pause: None,
        }));
        Ok(Delivery::Opened(welcome))
    }

    fn answered(&mut self, answer: Outcome) -> Result<Option<Delivery>, CourierError> {
        let before = self.outbox.confirmed();
        let confirmed = self.outbox.confirm(answer.last_seq, answer.sum)?;
        self.heed(confirmed)?;
        let Link::Up(up) = &mut self.link else { return Ok(None) };
        while up.flight.front().is_some_and(|last| *last <= answer.last_seq) {
            up.flight.pop_front();
        }
        match answer.status {
            Status::Applied => {}
            Status::Malformed => {
                return Err(CourierError::Malformed { first_seq: self.outbox.next_unconfirmed() });
            }
            Status::Gap | Status::Unavailable => {
                up.flight.pop_front();
                up.refused = true;
                if answer.status == Status::Unavailable {
                    up.pause = Some(Instant::now() + UNAVAILABLE_WAIT);
                }
            }
        }
        let (last_seq, sum) = (self.outbox.confirmed(), answer.sum);
        if last_seq > before {
            self.backoff.reset();
            self.down_since = Instant::now();
            self.unavailable_since = None;
            return Ok(Some(Delivery::Counted { last_seq, sum }));
        }
        if answer.status != Status::Unavailable {
            return Ok(None);
        }
        let Some(since) = self.unavailable_since else {
            self.unavailable_since = Some(Instant::now());
            return Ok(Some(Delivery::Unavailable));
        };
        let waited = since.elapsed();
        if waited < self.terms.patience { Ok(None) } else { Err(CourierError::Unavailable { waited }) }
    }

    /// After an objection nothing more is sent, and nothing is tried again, until a person has looked.
    fn heed(&mut self, word: Result<(), Objection>) -> Result<(), Objection> {
        if word.is_err() {
            self.outbox.session_ended();
            self.link = Link::Down { at: None };
        }
        word
    }

    /// A session that was open is over. The server's 50 states the account once more.
    fn ended(&mut self, end: ClientEnd) -> Result<Delivery, CourierError> {
        if let ClientEnd::Farewell(farewell) = &end {
            let confirmed = self.outbox.confirm(farewell.last_seq, farewell.sum)?;
            self.heed(confirmed)?;
        }
        self.outbox.session_ended();
        self.lost(Lost::Ended(end))
    }

    /// What now: wait and try again, sleep until there is something to send, or give up.
    fn lost(&mut self, why: Lost) -> Result<Delivery, CourierError> {
        if matches!(self.link, Link::Up(_)) {
            self.down_since = Instant::now();
        }
        let patience = if self.opened_once { self.terms.patience } else { self.terms.patience_first };
        let mut random = [0; 8];
        // Without randomness the wait is the longest.
        let random = getrandom::fill(&mut random).map_or(u64::MAX, |()| u64::from_be_bytes(random));
        let ghost = why.is_superseded().then(|| ghost_wait(random));
        let is_twice = self.superseded.is_some_and(|at| at.elapsed() < GHOST_TWICE);
        let is_over = match ghost {
            Some(wait) => is_twice || patience < wait,
            None => why.is_final() || self.down_since.elapsed() >= patience && !self.may_sleep(&why),
        };
        if is_over {
            self.link = Link::Down { at: None };
            return Err(CourierError::Lost(why));
        }
        self.superseded = ghost.map_or(self.superseded, |_| Some(Instant::now()));
        let retry = match ghost {
            Some(wait) => Some(wait),
            None => (!self.may_sleep(&why)).then(|| self.backoff.next(random)),
        };
        self.link = Link::Down { at: retry.map(|wait| Instant::now() + wait) };
        Ok(Delivery::Lost { why, retry })
    }

    /// A session that ended with nothing to send is not needed just now.
    fn may_sleep(&self, why: &Lost) -> bool {
        matches!(why, Lost::Ended(_)) && self.outbox.pending() == 0
    }
}

impl Up {
    /// Sends what waits, as far as the bounds allow.
    fn fill(&mut self, outbox: &Outbox) {
        if self.refused && self.flight.is_empty() {
            self.refused = false;
            self.next = outbox.next_unconfirmed();
        }
        if self.pause.is_some() || self.refused {
            return;
        }
        while self.flight.len() < FLIGHT_MAX {
            let values = outbox.values(self.next, self.values_max);
            let Ok(after) = self.next.forward(values.len() as u64) else { return };
            if values.is_empty() {
                return;
            }
            match self.connection.submit(self.next, &values) {
                Ok(()) => {
                    let last = Sequence::new(after.get() - 1);
                    self.flight.push_back(last);
                    self.next = after;
                }
                // Full: when some have gone there is room. Not open: its end is the next event.
                Err(SubmitError::Full | SubmitError::NotOpen | SubmitError::Count { .. }) => return,
            }
        }
    }
}

/// How long a ghost is waited for; `random` is even over all of u64.
fn ghost_wait(random: u64) -> Duration {
    #[allow(clippy::cast_precision_loss, reason = "a wait need not be exact")]
    let part = random as f64 / u64::MAX as f64;
    GHOST_WAIT + (GHOST_WAIT / 2).mul_f64(part)
}

impl Lost {
    /// By a newer session: of another process, or by our own message 4 that was late (rule P-29).
    fn is_superseded(&self) -> bool {
        let (Self::Enter(EnterError::Ended(end)) | Self::Ended(end)) = self else { return false };
        matches!(end, ClientEnd::Farewell(farewell) if farewell.reason == Reason::Superseded)
    }

    /// Whether another attempt would be wrong (rule P-29), or as futile.
    fn is_final(&self) -> bool {
        match self {
            Self::Enter(EnterError::Untrusted { .. } | EnterError::Sign(_)) => true,
            Self::Enter(EnterError::Connect(_)) => false,
            Self::Enter(EnterError::Ended(end)) | Self::Ended(end) => match end {
                ClientEnd::Farewell(farewell) => farewell.reason == Reason::NotAuthorized,
                ClientEnd::Rejected(_) | ClientEnd::Fault(_) => false,
            },
        }
    }
}

//! Delivers an outbox: connects, sends what waits, goes by `last_seq`, and connects again when it
//! has to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::PublicKey;
use ddes_session::v2::{ClientEnd, ClientEvent, ClientFault, SubmitError};
use ddes_wire::v2::{Scope, Welcome};
use ddes_wire::{Sequence, Total};

use crate::delivery::{self, Delivery, DeliveryError, Next, Patience};
pub use crate::lost::{CourierError, Lost};
use crate::outbox::{JournalError, Mark, Outbox, Span, TakeError};
use crate::random;
use crate::signer::Signer;
use crate::v2::{Connection, EnterError, Options};

/// How to deliver.
#[derive(Debug)]
pub struct Terms {
    /// Where and how to connect.
    pub options: Options,
    /// Who delivers.
    pub signer: Signer,
    /// How long to try to get a session.
    pub patience: Patience,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A session is open.
    Opened(Welcome),
    /// The ledger covers more values.
    Counted {
        /// The number of the last value covered.
        last_seq: Sequence,
        /// The account's sum.
        sum: Total,
    },
    /// The server's ledger takes nothing just now: it has no room, say. The values are sent again
    /// and again; said once until some count.
    Unavailable,
    /// There is no session any more, or still none.
    Lost {
        /// Why.
        why: Lost,
        /// When it is tried again; `None`: once there is something to send.
        retry: Option<Duration>,
    },
}

type Opening = Pin<Box<dyn Future<Output = Result<(Connection, Welcome), EnterError>> + Send>>;

enum Link {
    Down,
    Opening(Opening),
    Up(Box<Connection>),
}

/// An outbox on its way: the rules of [`Delivery`] over one TCP connection at a time.
pub struct Courier {
    terms: Arc<Terms>,
    /// The server's keys.
    trusted: Vec<PublicKey>,
    delivery: Delivery,
    link: Link,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

impl Courier {
    /// Connects at once, whether or not something waits. The server must prove one of the keys
    /// `trusted`.
    pub fn new(terms: Terms, trusted: Vec<PublicKey>, outbox: Outbox) -> Self {
        let delivery = Delivery::new(Instant::now(), terms.patience, outbox);
        Self { terms: Arc::new(terms), trusted, delivery, link: Link::Down }
    }

    /// After [`EnterError::Untrusted`]: the key is the server's. It is connected again.
    pub fn trust(&mut self, key: PublicKey) {
        self.trusted.push(key);
        self.link = Link::Down;
        self.delivery.connect(Instant::now());
    }

    /// After an objection; see [`Delivery::set_aside`]. It is connected again.
    pub fn set_aside(&mut self, span: Span) {
        self.link = Link::Down;
        self.delivery.set_aside(Instant::now(), span);
    }

    /// After an objection; see [`Delivery::adopt`]. It is connected again.
    pub fn adopt(&mut self) {
        self.link = Link::Down;
        self.delivery.adopt(Instant::now());
    }

    /// The rules, for a driver of this driver.
    pub(crate) fn delivery_mut(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    /// What waits.
    pub fn outbox(&self) -> &Outbox {
        self.delivery.outbox()
    }

    /// Takes values; see [`Outbox::take`]. They are sent by [`Self::next`].
    pub fn take(&mut self, values: &[i64], mark: Mark) -> Result<(), TakeError> {
        self.delivery.take(Instant::now(), values, mark)
    }

    /// Another input begins; see [`Outbox::begin_input`].
    pub fn begin_input(&mut self) -> Result<(), JournalError> {
        self.delivery.begin_input()
    }

    /// The input is done; see [`Outbox::finish_input`].
    pub fn finish_input(&mut self) -> Result<(), JournalError> {
        self.delivery.finish_input()
    }

    /// Runs until something happens. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Event, CourierError> {
        loop {
            if let Some(event) = self.delivery.poll_event() {
                return Ok(event.into());
            }
            match &mut self.link {
                Link::Down => {
                    sleep_until(self.delivery.poll_timeout()).await;
                    if self.delivery.poll_connect(Instant::now()) {
                        let (terms, trusted) = (Arc::clone(&self.terms), self.trusted.clone());
                        self.link = Link::Opening(Box::pin(async move {
                            Connection::open(&terms.options, &trusted, &terms.signer).await
                        }));
                    }
                }
                Link::Opening(opening) => match opening.await {
                    Ok((connection, welcome)) => {
                        self.link = Link::Up(Box::new(connection));
                        self.delivery
                            .handle_welcome(&welcome)
                            .inspect_err(|_| self.link = Link::Down)?;
                    }
                    Err(error) => return self.lost(Lost::Enter(error)),
                },
                Link::Up(connection) => {
                    submit(&mut self.delivery, connection);
                    let event = tokio::select! {
                        event = connection.next() => event,
                        () = sleep_until(self.delivery.poll_timeout()) => {
                            self.delivery.handle_timeout(Instant::now());
                            continue;
                        }
                    };
                    match event {
                        Some(ClientEvent::Answered(answer)) => {
                            let handled = self.delivery.handle_answer(Instant::now(), &answer);
                            if matches!(handled, Err(DeliveryError::Objection(_))) {
                                self.link = Link::Down;
                            }
                            handled?;
                        }
                        Some(ClientEvent::Ended(end)) => return self.lost(Lost::Ended(end)),
                        // The session is open: these came before.
                        Some(ClientEvent::ServerProven { .. } | ClientEvent::Ready(_)) => {}
                        None => {
                            return self
                                .lost(Lost::Ended(ClientEnd::Fault(ClientFault::Truncated)));
                        }
                    }
                }
            }
        }
    }

    /// Says goodbye, where there is a session; how it ended. The outbox is given back.
    pub async fn close(self, scope: Scope) -> Result<(Outbox, Option<ClientEnd>), CourierError> {
        let Self { mut delivery, link, .. } = self;
        let end = match link {
            Link::Up(connection) => connection.close(scope).await,
            Link::Down | Link::Opening(_) => None,
        };
        if let Some(ClientEnd::Farewell(farewell)) = &end {
            delivery.handle_end(Instant::now(), u64::MAX, Some(farewell), true)?;
        }
        Ok((delivery.into_outbox(), end))
    }

    /// There is no session any more, or still none.
    fn lost(&mut self, why: Lost) -> Result<Event, CourierError> {
        self.link = Link::Down;
        let next =
            self.delivery.handle_end(Instant::now(), random(), why.farewell(), why.is_futile())?;
        match next {
            Next::After(wait) => Ok(Event::Lost { why, retry: Some(wait) }),
            Next::WhenNeeded => Ok(Event::Lost { why, retry: None }),
            Next::Never => Err(CourierError::Lost(why)),
        }
    }
}

/// Hands over what waits, as far as the session takes it.
fn submit(delivery: &mut Delivery, connection: &mut Connection) {
    while let Some(submission) = delivery.poll_submit(usize::MAX) {
        match connection.submit(submission.first_seq, &submission.values) {
            Ok(()) => delivery.handle_submitted(&submission),
            // Full: there is room once some bytes have gone. Not open: its end is the next event.
            Err(SubmitError::Full | SubmitError::NotOpen | SubmitError::Count { .. }) => return,
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl From<delivery::Event> for Event {
    fn from(event: delivery::Event) -> Self {
        match event {
            delivery::Event::Opened(welcome) => Self::Opened(*welcome),
            delivery::Event::Counted { last_seq, sum } => Self::Counted { last_seq, sum },
            delivery::Event::Unavailable => Self::Unavailable,
        }
    }
}

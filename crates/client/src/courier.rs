//! Delivers an outbox on tokio: the rules of [`Delivery`] over one TCP connection at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddes_identity::PublicKey;
use ddes_session::v2::{ClientEnd, ClientEvent, ClientFault, SubmitError};
use ddes_wire::v2::{Scope, Welcome};
use ddes_wire::{Sequence, Total};

use crate::delivery::{Delivery, DeliveryError, DeliveryEvent, NextAttempt, Patience};
pub use crate::lost::{CourierError, Lost};
use crate::outbox::{InputMark, JournalError, Outbox, Span, TakeError};
use crate::random;
use crate::signer::Signer;
use crate::v2::{ClientConnection, ConnectOptions, EnterError};

/// What a courier is given: the server, the identity, and how long to try.
#[derive(Debug)]
pub struct Terms {
    /// Where and how to connect.
    pub options: ConnectOptions,
    /// Signs for the identity whose account counts the values.
    pub signer: Signer,
    /// How long to try to get a session.
    pub patience: Patience,
}

/// What happened to the values and the session.
#[derive(Debug)]
pub enum CourierEvent {
    /// A session is open.
    Opened(Welcome),
    /// The ledger covers more values.
    Counted {
        /// The number of the last value covered.
        last_seq: Sequence,
        /// The account's sum up to that value.
        sum: Total,
    },
    /// The server's ledger takes no values at present, for example because its disk is full. They
    /// are sent again every second; reported once until some count.
    Unavailable,
    /// The session ended, or none opened.
    Lost {
        /// Why it ended, or did not open.
        why: Lost,
        /// The wait before the next attempt; `None`: it follows the next value.
        retry: Option<Duration>,
    },
}

type OpeningFuture =
    Pin<Box<dyn Future<Output = Result<(ClientConnection, Welcome), EnterError>> + Send>>;

enum ConnectionState {
    Down,
    Opening(OpeningFuture),
    Up(Box<ClientConnection>),
}

/// Drives the delivery of one outbox.
pub struct Courier {
    terms: Arc<Terms>,
    /// The keys that the server may prove.
    trusted: Vec<PublicKey>,
    delivery: Delivery,
    connection: ConnectionState,
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
        Self { terms: Arc::new(terms), trusted, delivery, connection: ConnectionState::Down }
    }

    /// After [`EnterError::Untrusted`]: trusts the key and connects again.
    pub fn trust(&mut self, key: PublicKey) {
        self.trusted.push(key);
        self.connection = ConnectionState::Down;
        self.delivery.connect(Instant::now());
    }

    /// After an objection; see [`Delivery::set_aside`]. Connects again.
    pub fn set_aside(&mut self, span: Span) {
        self.connection = ConnectionState::Down;
        self.delivery.set_aside(Instant::now(), span);
    }

    /// After an objection; see [`Delivery::adopt`]. Connects again.
    pub fn adopt(&mut self) {
        self.connection = ConnectionState::Down;
        self.delivery.adopt(Instant::now());
    }

    /// For the client, which takes values and events from it directly.
    pub(crate) fn delivery_mut(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    /// The outbox: what waits, and what is confirmed.
    pub fn outbox(&self) -> &Outbox {
        self.delivery.outbox()
    }

    /// Takes values; see [`Outbox::take`]. [`Self::next`] sends them.
    pub fn take(&mut self, values: &[i64], mark: InputMark) -> Result<(), TakeError> {
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
    pub async fn next(&mut self) -> Result<CourierEvent, CourierError> {
        loop {
            if let Some(event) = self.delivery.poll_event() {
                return Ok(event.into());
            }
            match &mut self.connection {
                ConnectionState::Down => {
                    sleep_until(self.delivery.poll_timeout()).await;
                    if self.delivery.poll_connect(Instant::now()) {
                        let (terms, trusted) = (Arc::clone(&self.terms), self.trusted.clone());
                        self.connection = ConnectionState::Opening(Box::pin(async move {
                            ClientConnection::open(&terms.options, &trusted, &terms.signer).await
                        }));
                    }
                }
                ConnectionState::Opening(opening) => match opening.await {
                    Ok((connection, welcome)) => {
                        self.connection = ConnectionState::Up(Box::new(connection));
                        self.delivery
                            .handle_welcome(&welcome)
                            .inspect_err(|_| self.connection = ConnectionState::Down)?;
                    }
                    Err(error) => return self.lost(Lost::Enter(error)),
                },
                ConnectionState::Up(connection) => {
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
                                self.connection = ConnectionState::Down;
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

    /// Ends the session if there is one; returns the outbox and how the session ended.
    pub async fn close(self, scope: Scope) -> Result<(Outbox, Option<ClientEnd>), CourierError> {
        let Self { mut delivery, connection, .. } = self;
        let end = match connection {
            ConnectionState::Up(connection) => connection.close(scope).await,
            ConnectionState::Down | ConnectionState::Opening(_) => None,
        };
        if let Some(ClientEnd::Farewell(farewell)) = &end {
            delivery.handle_end(Instant::now(), u64::MAX, Some(farewell), true)?;
        }
        Ok((delivery.into_outbox(), end))
    }

    /// The session ended, or none opened.
    fn lost(&mut self, why: Lost) -> Result<CourierEvent, CourierError> {
        self.connection = ConnectionState::Down;
        let next =
            self.delivery.handle_end(Instant::now(), random(), why.farewell(), why.is_futile())?;
        match next {
            NextAttempt::After(wait) => Ok(CourierEvent::Lost { why, retry: Some(wait) }),
            NextAttempt::WhenNeeded => Ok(CourierEvent::Lost { why, retry: None }),
            NextAttempt::Never => Err(CourierError::Lost(why)),
        }
    }
}

/// Submits what waits, as far as the session takes it.
fn submit(delivery: &mut Delivery, connection: &mut ClientConnection) {
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

impl From<DeliveryEvent> for CourierEvent {
    fn from(event: DeliveryEvent) -> Self {
        match event {
            DeliveryEvent::Opened(welcome) => Self::Opened(*welcome),
            DeliveryEvent::Counted { last_seq, sum } => Self::Counted { last_seq, sum },
            DeliveryEvent::Unavailable => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_wait_lasts_until_its_time_or_for_ever() {
        let at = Instant::now() + Duration::from_millis(20);
        sleep_until(Some(at)).await;
        assert!(at <= Instant::now());
        let endless = tokio::time::timeout(Duration::from_millis(20), sleep_until(None));
        assert!(endless.await.is_err());
    }
}

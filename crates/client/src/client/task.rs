//! The client on tokio: a task that owns the courier.

use std::fmt;
use std::sync::Arc;

use ddes_identity::ServerAddress;
use ddes_session::v2::ClientEnd;
use ddes_wire::v2::Scope;
use tokio::sync::{mpsc, oneshot};

use super::builder::{ClientPlan, Trust};
use super::call_book::{Call, CallBook};
use super::reply::Reply;
use super::{ADD_MAX, Balance, Builder, ClientError, Progress};
use crate::courier::{Courier, CourierError, CourierEvent, Lost, Terms};
use crate::delivery::DeliveryEvent;
use crate::lost::EnterError;
use crate::signer::Signer;

/// The most calls that wait for the task.
const CALLS_MAX: usize = 64;

/// A client whose integers count exactly once. Clones are the same client; when the last one is
/// dropped, the session ends and the outbox keeps what is not counted. A program that ends at once
/// may cut that short: call [`Client::close`] first.
///
/// Each method may be called from any task of any runtime. Dropping a future before it is done
/// takes nothing back: integers of an [`Self::add`] are then taken all or not at all.
#[derive(Clone)]
pub struct Client {
    calls: mpsc::Sender<Call>,
}

impl Client {
    /// A client of `server` with the identity of a key, or of what signs in its place.
    pub fn builder(server: ServerAddress, identity: impl Into<Signer>) -> Builder<Self> {
        Builder::new(server, identity.into())
    }

    /// Takes integers, at most [`ADD_MAX`]: all or none. With an outbox they are on the disk when
    /// this returns, and count exactly once from then on. Waits while the outbox holds 2^20 that
    /// are not counted.
    pub async fn add(&self, values: &[i64]) -> Result<(), ClientError> {
        if values.len() > ADD_MAX {
            return Err(ClientError::TooMany);
        }
        let values = values.to_vec();
        self.ask(|reply| Call::Add { values, reply }).await
    }

    /// Waits until every integer that was added before is counted; what the server holds then.
    pub async fn flush(&self) -> Result<Balance, ClientError> {
        self.ask(|reply| Call::Flush { reply }).await
    }

    /// What the server holds, as it stated it last. Waits for the first session, but not for
    /// integers that are not counted yet.
    pub async fn total(&self) -> Result<Balance, ClientError> {
        self.ask(|reply| Call::Total { reply }).await
    }

    /// As [`Self::flush`], then ends the session. The server states the balance once more, and that
    /// is given back.
    pub async fn close(self) -> Result<Balance, ClientError> {
        self.ask(|reply| Call::Close { reply }).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(Reply<T>) -> Call,
    ) -> Result<T, ClientError> {
        let (sender, answer) = oneshot::channel();
        // The caller may have dropped its future: then nobody needs the outcome.
        let (reply, _caller) = Reply::new(move |outcome| drop(sender.send(outcome)));
        self.calls.send(call(reply)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)?
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Builder<Client> {
    /// Locks the outbox and starts a task on the runtime that this is called in. It connects at
    /// once, whether or not there is anything to send.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Client, ClientError> {
        let plan = self.into_plan();
        let outbox = plan.outbox()?;
        let patience = plan.patience();
        let ClientPlan { options, signer, trust, observer, adopts, .. } = plan;
        let keys = trust.keys.clone();
        let mut courier = Courier::new(Terms { options, signer, patience }, keys, outbox);
        if adopts {
            courier.adopt();
        }
        let book = CallBook::new(observer, courier.delivery_mut());
        let (calls, inbox) = mpsc::channel(CALLS_MAX);
        tokio::spawn(run(courier, book, trust, inbox));
        Ok(Client { calls })
    }
}

/// Why the task stops.
enum TaskEnd {
    /// As a caller asked, whose call is to be answered.
    Close(Reply<Balance>),
    /// Delivery ended.
    Failed(CourierError),
    /// The last handle was dropped.
    Left,
}

async fn run(
    mut courier: Courier,
    mut book: CallBook,
    trust: Trust,
    mut calls: mpsc::Receiver<Call>,
) {
    // The outbox is free before anybody hears of the end: the next client may be started at once.
    match deliver(&mut courier, &mut book, &trust, &mut calls).await {
        TaskEnd::Close(reply) => {
            let closed = courier.close(Scope::Session).await;
            let outcome = closed.map(|(outbox, end)| {
                drop(outbox);
                end.as_ref().and_then(stated)
            });
            book.handle_closed(reply, outcome);
        }
        TaskEnd::Failed(error) => {
            drop(courier);
            book.handle_error(error);
        }
        TaskEnd::Left => {
            // Nobody waits for how it ends; the outbox keeps what is not counted.
            drop(courier.close(Scope::Session).await);
        }
    }
    while let Some(call) = calls.recv().await {
        book.refuse(call);
    }
}

async fn deliver(
    courier: &mut Courier,
    book: &mut CallBook,
    trust: &Trust,
    calls: &mut mpsc::Receiver<Call>,
) -> TaskEnd {
    loop {
        let close = tokio::select! {
            call = calls.recv(), if book.has_room() => match call {
                Some(call) => {
                    book.handle_call(courier.delivery_mut(), call);
                    book.answer_due(courier.delivery_mut())
                }
                None => return TaskEnd::Left,
            },
            event = courier.next() => match event {
                Ok(event) => handle_event(courier, book, event),
                Err(CourierError::Lost(Lost::Enter(EnterError::Untrusted { key })))
                    if trust.holds(&key) =>
                {
                    courier.trust(*key);
                    None
                }
                Err(error) => return TaskEnd::Failed(error),
            },
        };
        if let Some(reply) = close {
            return TaskEnd::Close(reply);
        }
    }
}

fn handle_event(
    courier: &mut Courier,
    book: &mut CallBook,
    event: CourierEvent,
) -> Option<Reply<Balance>> {
    let event = match event {
        CourierEvent::Opened(welcome) => DeliveryEvent::Opened(Box::new(welcome)),
        CourierEvent::Counted { last_seq, sum } => DeliveryEvent::Counted { last_seq, sum },
        CourierEvent::Unavailable => DeliveryEvent::Unavailable,
        CourierEvent::Lost { why, retry } => {
            book.handle_lost(&Progress::Lost { why: Arc::new(why), retry });
            return book.answer_due(courier.delivery_mut());
        }
    };
    book.handle_event(&event);
    book.answer_due(courier.delivery_mut())
}

/// The account as the server's last message states it.
fn stated(end: &ClientEnd) -> Option<Balance> {
    match end {
        ClientEnd::Farewell(farewell) => {
            Some(Balance { count: farewell.last_seq.get(), sum: farewell.sum })
        }
        ClientEnd::Rejected(_) | ClientEnd::Fault(_) => None,
    }
}

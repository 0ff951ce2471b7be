//! What happens, as a stream of server-sent events: the lines of the log, with the same names and
//! fields.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::extract::{Extension, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, unfold};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use crate::answer::shown_time;
use crate::app::App;
use crate::error::ApiError;
use crate::listen::Peer;

/// Streams at a time, at most: they keep their places, and leave half of these to others.
const STREAMS_MAX: usize = 16;
/// Events that wait for the slowest stream. It loses what exceeds them, and is told how many.
const WAITING_MAX: usize = 1024;
const PING: Duration = Duration::from_secs(15);

/// One line of the log.
#[derive(Clone, Debug)]
pub struct LogEvent {
    /// Its name, as in the log.
    pub name: &'static str,
    /// When it happened.
    pub at: SystemTime,
    /// Its fields, as in the log.
    pub fields: Map<String, Value>,
}

/// Takes events from the server, and gives them to all who watch.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<Arc<Numbered>>,
    last: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    name: &'static str,
    data: String,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(WAITING_MAX),
            last: Arc::default(),
            dropped: Arc::default(),
        }
    }
}

impl Events {
    /// Whether anybody watches. If nobody does, an event need not be made.
    pub fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Counts lines of the log that were dropped.
    pub fn count_dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Shows an event to all who watch. Never waits.
    pub fn publish(&self, event: LogEvent) {
        let LogEvent { name, at, fields } = event;
        let mut data = Map::new();
        data.insert("at".into(), shown_time(at).into());
        data.insert("event".into(), name.into());
        data.extend(fields);
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let numbered = Numbered { number, name, data: Value::Object(data).to_string() };
        // Without a watcher nothing is lost: the log has it.
        drop(self.sender.send(Arc::new(numbered)));
    }
}

/// Streams at a time, of so many connections.
pub(crate) fn streams_max(connections_max: usize) -> usize {
    STREAMS_MAX.min(connections_max / 2)
}

/// `GET /api/v1/events`
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, ApiError> {
    let place = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        ApiError::unavailable("as many event streams are open as may be: close one of them")
    })?;
    if let Some(Extension(peer)) = peer {
        peer.keep_place();
    }
    let events = follow(app.events.sender.subscribe(), place);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(PING).text("ping")).into_response())
}

fn follow(
    receiver: broadcast::Receiver<Arc<Numbered>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    unfold((receiver, place), async |(mut receiver, place)| {
        let event = match receiver.recv().await {
            Ok(event) => {
                SseEvent::default().event(event.name).id(event.number.to_string()).data(&event.data)
            }
            Err(RecvError::Lagged(count)) => {
                let at = shown_time(SystemTime::now());
                let data = json!({ "at": at, "event": "dropped", "count": count.to_string() });
                SseEvent::default().event("dropped").data(data.to_string())
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (receiver, place)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_leave_half_of_the_places_to_others() {
        assert_eq!([1, 8, 31, 64].map(streams_max), [0, 4, 15, 16]);
    }
}

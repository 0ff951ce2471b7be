//! Connections: accepted, bounded in number and time, and served one request after the other.
//!
//! There are 64 places. If all are taken, a new connection replaces the one that has been waiting
//! for a request the longest, so that clients which send nothing, or send their head slowly, keep
//! nobody out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::guarded::Guarded;

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields of a request.
const HEADERS_MAX: usize = 64;
/// How long a client may take to send a request's head. Also how long a connection is kept that
/// waits for its next request.
pub(crate) const HEAD_SECS_MAX: Duration = Duration::from_secs(10);
/// A request may last this long before its connection is replaced where all places are taken.
const REQUEST_SECS_HELD: Duration = Duration::from_secs(10);
/// After an error of `accept` (out of files, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Where a request came from.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The address at which it reached this machine.
    pub(crate) local: SocketAddr,
    seat: Arc<Seat>,
}

impl Peer {
    /// The answer to this request is a stream of events, which are bounded by themselves: its
    /// connection keeps its place.
    pub(crate) fn keep_place(&self) {
        self.seat.lock().is_kept = true;
    }
}

/// Accepts connections until it is dropped.
pub(crate) async fn serve(listener: TcpListener, connections_max: usize, router: Router) {
    let seats = Seats::new(connections_max);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(seat) = seats.take(Instant::now()) else {
                    refuse(&stream);
                    continue;
                };
                tokio::spawn(serve_connection(stream, seat, router.clone()));
            }
            // A client that left before it was accepted, or no file descriptor for it.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Tells a client that all places are taken. Nothing waits for whether it reads that.
fn refuse(stream: &TcpStream) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    // The client sees its connection closed in either case.
    drop(stream.try_write(ANSWER));
}

async fn serve_connection(stream: TcpStream, seat: Held, router: Router) {
    let Ok(local) = stream.local_addr() else { return };
    // Without it a short answer may wait for the client's acknowledgement; nothing else changes.
    stream.set_nodelay(true).unwrap_or(());
    let seat_of_requests = Arc::clone(&seat.seat);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let busy = Busy::begin(&seat_of_requests);
        let peer = Peer { local, seat: Arc::clone(&seat_of_requests) };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answer = router.call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| BusyBody { body, busy }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_SECS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Guarded::new(stream)), service);
    tokio::select! {
        // How it ended concerns the client alone.
        ended = connection => drop(ended),
        () = seat.seat.replaced.notified() => {}
    }
}

/// The places of connections.
#[derive(Debug)]
struct Seats {
    taken: Arc<Mutex<Vec<Arc<Seat>>>>,
    most: usize,
}

/// The place of one connection.
#[derive(Debug)]
struct Seat {
    state: Mutex<SeatState>,
    replaced: Notify,
}

#[derive(Debug)]
struct SeatState {
    /// Since when it waits for a request, or serves one.
    since: Instant,
    is_busy: bool,
    is_kept: bool,
}

/// Gives the place back when the connection ends.
struct Held {
    seat: Arc<Seat>,
    seats: Arc<Mutex<Vec<Arc<Seat>>>>,
}

impl Seats {
    fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A place; `None` if every connection has one and deserves it.
    fn take(&self, now: Instant) -> Option<Held> {
        let mut seats = lock(&self.taken);
        if seats.len() >= self.most {
            let replaced = replaceable(&seats, now)?;
            seats.swap_remove(replaced).replaced.notify_one();
        }
        let state = SeatState { since: now, is_busy: false, is_kept: false };
        let seat = Arc::new(Seat { state: Mutex::new(state), replaced: Notify::new() });
        seats.push(Arc::clone(&seat));
        Some(Held { seat, seats: Arc::clone(&self.taken) })
    }
}

/// Of the connections that wait for a request, the one that waits the longest; without any, the
/// one whose request has lasted the longest, if it has lasted long.
fn replaceable(seats: &[Arc<Seat>], now: Instant) -> Option<usize> {
    let ranked = seats.iter().enumerate().filter_map(|(place, seat)| {
        let state = seat.lock();
        let has_lasted = now.saturating_duration_since(state.since) >= REQUEST_SECS_HELD;
        (!state.is_busy || has_lasted && !state.is_kept).then_some((
            state.is_busy,
            state.since,
            place,
        ))
    });
    ranked.min().map(|(_, _, place)| place)
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, SeatState> {
        lock(&self.state)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.seats).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

/// A request that is being served, until its answer is read.
struct Busy(Arc<Seat>);

impl Busy {
    fn begin(seat: &Arc<Seat>) -> Self {
        let mut state = seat.lock();
        (state.since, state.is_busy) = (Instant::now(), true);
        drop(state);
        Self(Arc::clone(seat))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.lock() = SeatState { since: Instant::now(), is_busy: false, is_kept: false };
    }
}

/// An answer's body, which ends its request when it is dropped.
struct BusyBody {
    body: Body,
    #[allow(dead_code, reason = "its drop ends the request")]
    busy: Busy,
}

impl HttpBody for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A poisoned lock means that a holder panicked; what these guard is valid at any point.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(seats: &Seats, now: Instant) -> Vec<Held> {
        let later = |place| now + Duration::from_millis(place);
        (0..CONNECTIONS_MAX as u64).map(|place| seats.take(later(place)).unwrap()).collect()
    }

    #[test]
    fn a_new_connection_replaces_the_one_that_has_waited_longest_for_its_request() {
        let (seats, now) = (Seats::new(CONNECTIONS_MAX), Instant::now());
        let held = full(&seats, now);
        let busy = Busy::begin(&held[0].seat);
        let new = seats.take(now + Duration::from_secs(1)).unwrap();
        let is_seated =
            |held: &Held| lock(&seats.taken).iter().any(|at| Arc::ptr_eq(at, &held.seat));
        assert!(is_seated(&held[0]) && !is_seated(&held[1]) && is_seated(&new));
        assert_eq!(lock(&seats.taken).len(), CONNECTIONS_MAX);
        // The one that was replaced has no place to give back.
        drop(held);
        assert_eq!(lock(&seats.taken).len(), 1);
        drop((busy, new));
        assert!(lock(&seats.taken).is_empty());
    }

    #[test]
    fn a_request_is_cut_only_after_ten_seconds_and_a_stream_of_events_never() {
        let (seats, now) = (Seats::new(CONNECTIONS_MAX), Instant::now());
        let held = full(&seats, now);
        let busy: Vec<_> = held.iter().map(|held| Busy::begin(&held.seat)).collect();
        assert!(seats.take(Instant::now()).is_none());
        let long = Instant::now() + REQUEST_SECS_HELD;
        held[..63].iter().for_each(|held| held.seat.lock().is_kept = true);
        assert!(seats.take(long).is_some());
        let is_seated =
            |held: &Held| lock(&seats.taken).iter().any(|at| Arc::ptr_eq(at, &held.seat));
        assert!(held[..63].iter().all(is_seated) && !is_seated(&held[63]));
        drop(busy);
    }
}

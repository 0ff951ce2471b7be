//! Connections: accepted, bounded in number and time, and served one request after the other.
//!
//! There are 64 places. If all are taken, a new connection replaces one on which the server does
//! not work: the one that has made no progress for the longest, be it with a request or with
//! reading an answer. If the server works on all of them, it replaces one that shows no token. So
//! whoever may not act keeps nobody out: it holds no place by what it does or does not send and
//! read.

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
/// A request with the right to act may last this long before its connection is replaced where all
/// places are taken.
const REQUEST_SECS_HELD: Duration = Duration::from_secs(10);
/// After an error of `accept` (out of files, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Where a request came from.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The address at which it reached this machine.
    pub(crate) local: SocketAddr,
    seat: Arc<ConnectionSeat>,
}

impl Peer {
    /// The request is here as a whole: the server begins to work on it.
    pub(crate) fn begin(&self, can_act: bool) {
        self.seat.become_used(if can_act { Use::Acts } else { Use::Asks });
    }

    /// The answer to this request is a stream of events, which are bounded by themselves: its
    /// connection keeps its place.
    pub(crate) fn keep_place(&self) {
        self.seat.become_used(Use::Follows);
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

async fn serve_connection(stream: TcpStream, seat: HeldSeat, router: Router) {
    let Ok(local) = stream.local_addr() else { return };
    // Without it a short answer may wait for the client's acknowledgement.
    let Ok(()) = stream.set_nodelay(true) else { return };
    let seat_of_requests = Arc::clone(&seat.seat);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let served = Served(Arc::clone(&seat_of_requests));
        let peer = Peer { local, seat: Arc::clone(&seat_of_requests) };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answer = router.call(request);
        async move {
            let answer = answer.await?;
            served.answered();
            Ok::<_, Infallible>(answer.map(|body| ServedBody { body, served }))
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
    taken: Arc<Mutex<Vec<Arc<ConnectionSeat>>>>,
    most: usize,
}

/// The place of one connection.
#[derive(Debug)]
struct ConnectionSeat {
    state: Mutex<ConnectionSeatState>,
    replaced: Notify,
}

#[derive(Clone, Copy, Debug)]
struct ConnectionSeatState {
    /// Since when it is used like this, or its client took the last part of an answer.
    since: Instant,
    used: Use,
}

/// What a place is used for. Of two, the greater one deserves it more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Its client has to send a request, or to read an answer.
    Waits,
    /// The server works on a request that comes without the right to act.
    Asks,
    /// The server works on a request of somebody who may act.
    Acts,
    /// The server sends events.
    Follows,
}

/// Gives the place back when the connection ends.
struct HeldSeat {
    seat: Arc<ConnectionSeat>,
    seats: Arc<Mutex<Vec<Arc<ConnectionSeat>>>>,
}

impl Seats {
    fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A place; `None` if every connection has one and deserves it.
    fn take(&self, now: Instant) -> Option<HeldSeat> {
        let mut seats = lock(&self.taken);
        if seats.len() >= self.most {
            let replaced = replaceable(&seats, now)?;
            seats.swap_remove(replaced).replaced.notify_one();
        }
        let state = ConnectionSeatState { since: now, used: Use::Waits };
        let seat = Arc::new(ConnectionSeat { state: Mutex::new(state), replaced: Notify::new() });
        seats.push(Arc::clone(&seat));
        Some(HeldSeat { seat, seats: Arc::clone(&self.taken) })
    }
}

/// Of the connections that deserve their place least, the one that has been like that the longest.
fn replaceable(seats: &[Arc<ConnectionSeat>], now: Instant) -> Option<usize> {
    let ranked = seats.iter().enumerate().filter_map(|(place, seat)| {
        let ConnectionSeatState { since, used } = *seat.lock();
        let may_go = match used {
            Use::Waits | Use::Asks => true,
            Use::Acts => now.saturating_duration_since(since) >= REQUEST_SECS_HELD,
            Use::Follows => false,
        };
        may_go.then_some((used, since, place))
    });
    ranked.min().map(|(_, _, place)| place)
}

impl ConnectionSeat {
    fn lock(&self) -> MutexGuard<'_, ConnectionSeatState> {
        lock(&self.state)
    }

    fn become_used(&self, used: Use) {
        *self.lock() = ConnectionSeatState { since: Instant::now(), used };
    }
}

impl Drop for HeldSeat {
    fn drop(&mut self) {
        lock(&self.seats).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

/// A request, until its answer is read.
struct Served(Arc<ConnectionSeat>);

impl Served {
    /// From now on its client has to read, unless it follows events.
    fn answered(&self) {
        let mut state = self.0.lock();
        if state.used != Use::Follows {
            *state = ConnectionSeatState { since: Instant::now(), used: Use::Waits };
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.become_used(Use::Waits);
    }
}

/// An answer's body, which ends its request when it is dropped.
struct ServedBody {
    body: Body,
    served: Served,
}

impl HttpBody for ServedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            // There is room for it: the client has read what was before it.
            self.served.answered();
        }
        polled
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

    fn full(seats: &Seats, now: Instant) -> Vec<HeldSeat> {
        let later = |place| now + Duration::from_millis(place);
        (0..CONNECTIONS_MAX as u64).map(|place| seats.take(later(place)).unwrap()).collect()
    }

    fn is_seated(seats: &Seats, held: &HeldSeat) -> bool {
        lock(&seats.taken).iter().any(|at| Arc::ptr_eq(at, &held.seat))
    }

    #[test]
    fn a_new_connection_replaces_the_one_that_has_waited_longest_for_its_client() {
        let (seats, now) = (Seats::new(CONNECTIONS_MAX), Instant::now());
        let held = full(&seats, now);
        held[0].seat.become_used(Use::Asks);
        let later = now + Duration::from_secs(1);
        held[1].seat.lock().since = later;
        let new = seats.take(later).unwrap();
        let seated = [&held[0], &held[1], &held[2], &new].map(|held| is_seated(&seats, held));
        assert_eq!(seated, [true, true, false, true]);
        assert_eq!(lock(&seats.taken).len(), CONNECTIONS_MAX);
        // The one that was replaced has no place to give back.
        drop(held);
        assert_eq!(lock(&seats.taken).len(), 1);
        drop(new);
        assert!(lock(&seats.taken).is_empty());
    }

    #[test]
    fn only_the_right_to_act_holds_a_place_for_ten_seconds_and_a_stream_of_events_for_ever() {
        let (seats, now) = (Seats::new(CONNECTIONS_MAX), Instant::now());
        let held = full(&seats, now);
        held.iter().for_each(|held| held.seat.become_used(Use::Acts));
        assert!(seats.take(Instant::now()).is_none());
        held[7].seat.become_used(Use::Asks);
        let new = seats.take(Instant::now()).unwrap();
        assert!(!is_seated(&seats, &held[7]));
        new.seat.become_used(Use::Follows);
        held[..63].iter().for_each(|held| held.seat.become_used(Use::Follows));
        assert!(seats.take(Instant::now()).is_none());
        let long = Instant::now() + REQUEST_SECS_HELD;
        assert!(seats.take(long).is_some());
        assert!(is_seated(&seats, &new) && !is_seated(&seats, &held[63]));
    }

    #[test]
    fn what_is_answered_waits_for_its_client_unless_it_is_a_stream_of_events() {
        let seats = Seats::new(1);
        let held = seats.take(Instant::now()).unwrap();
        let used = || held.seat.lock().used;
        let served = Served(Arc::clone(&held.seat));
        for (before, after) in [(Use::Acts, Use::Waits), (Use::Follows, Use::Follows)] {
            held.seat.become_used(before);
            served.answered();
            assert_eq!(used(), after);
        }
        drop(served);
        assert_eq!(used(), Use::Waits);
    }
}

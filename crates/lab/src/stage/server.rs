//! A server of the lab: the sessions, rules and ledger of `ddes serve`, on a free port of
//! 127.0.0.1, with exponents and tokens from the exercise's seed.
//!
//! It drives the same [`Endpoint`] as the real one. Only its randomness differs, which is why it
//! must never be reached from another machine: it binds loopback and takes no other address. Of
//! this machine it takes the connections that the lab itself dials.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ddes_identity::{Grant, PublicKey, Role, SigningKey};
use ddes_ledger::{AccountId, Ledger, Operation, Timestamp};
use ddes_server::endpoint::{
    Action, Bounds, Classic, Config, ConnectionEntropy, ConnectionId, Endpoint, NoticeEvent,
    Notices, Profiles, Request,
};
use ddes_session::classic::ServerEnd as ClassicEnd;
use ddes_session::v2::{Fault, ServerEnd};
use ddes_session::{Phase, classic, v2};
use ddes_wire::saturating;
use ddes_wire::v2::{GroupSize, Suite};
use zeroize::Zeroizing;

use super::dialled::{accept, dial};
use super::meter::processor_time;
use crate::{LabError, Seed};

/// The suite of the lab's D-DDES/2 sessions: the default one.
pub(crate) const SUITE: Suite = Suite::Hybrid(GroupSize::Bits2048);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a thread waits before it looks whether the exercise is over, or a timer due.
const TICK: Duration = Duration::from_millis(20);
const READ_BYTES_MAX: usize = 16 * 1024;
const CONNECTIONS_MAX: usize = 64;
/// Values that may wait for the ledger; none ever do here.
const QUEUED_VALUES_MAX: usize = 1 << 16;
/// Lines of the server's log that are kept: more than an exercise makes.
const LINES_MAX: usize = 4096;

/// How a server of the lab differs from the usual one.
pub(crate) struct ServerPlan<'a> {
    pub(crate) seed: &'a Seed,
    /// Names the server among those of the seed.
    pub(crate) label: &'a str,
    /// Whether it speaks the classic wire, and that alone.
    pub(crate) is_classic: bool,
    /// Whether one classic client's 50 ends every session, as in the original.
    pub(crate) end_all: bool,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: Ledger,
    /// Who may connect with D-DDES/2.
    pub(crate) grants: Vec<(PublicKey, Role)>,
    /// The token of the first session, if it is not drawn like the others.
    pub(crate) token: Option<[u8; 16]>,
}

/// A line of a server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) text: String,
    /// The integer or sum that it ends in.
    pub(crate) number: Option<String>,
}

impl<'a> ServerPlan<'a> {
    pub(crate) fn classic(seed: &'a Seed, label: &'a str) -> Self {
        let bounds = Bounds {
            classic_max: CONNECTIONS_MAX,
            classic_network_max: CONNECTIONS_MAX,
            ..Bounds::of(CONNECTIONS_MAX)
        };
        let (ledger, grants) = (Ledger::in_memory(), Vec::new());
        Self { seed, label, is_classic: true, end_all: false, bounds, ledger, grants, token: None }
    }

    pub(crate) fn v2(seed: &'a Seed, label: &'a str, grants: Vec<(PublicKey, Role)>) -> Self {
        Self {
            seed,
            label,
            is_classic: false,
            end_all: false,
            bounds: Bounds::of(CONNECTIONS_MAX),
            ledger: Ledger::in_memory(),
            grants,
            token: None,
        }
    }
}

/// The identity of the lab's D-DDES/2 servers.
pub(crate) fn server_key(seed: &Seed, label: &str) -> SigningKey {
    SigningKey::from_seed(&seed.draw(&format!("{label}/server key")))
}

/// What a server did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StageCounted {
    pub(crate) accepted: u64,
    /// Connections that were refused at the door.
    pub(crate) refused: u64,
    /// Exponentiations (and encapsulations) of handshakes that were computed.
    pub(crate) handshakes: u64,
    /// Processor time of all that.
    pub(crate) processor: Duration,
}

/// A running server of this exercise.
#[derive(Debug)]
pub(crate) struct LabServer {
    address: SocketAddr,
    shared: Arc<StageShared>,
    threads: Vec<JoinHandle<()>>,
}

struct StageShared {
    state: Mutex<StageState>,
    changed: Condvar,
    is_over: AtomicBool,
}

impl std::fmt::Debug for StageShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(..)")
    }
}

struct StageState {
    endpoint: Endpoint,
    ledger: Ledger,
    seats: BTreeMap<u64, StageSeat>,
    seed: Seed,
    label: String,
    is_classic: bool,
    grants: Vec<(PublicKey, Role)>,
    token: Option<[u8; 16]>,
    counted: StageCounted,
    /// What the server would write to its log.
    lines: Vec<LogLine>,
    /// The rule that a client broke, by the connection's number, with what the server says of it.
    faults: Vec<(u64, &'static str, String)>,
}

struct StageSeat {
    id: ConnectionId,
    stream: TcpStream,
    is_shut: bool,
}

impl LabServer {
    pub(crate) fn start(plan: ServerPlan<'_>) -> Result<Self, LabError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(LabError::system("cannot listen on loopback"))?;
        let address =
            listener.local_addr().map_err(LabError::system("cannot listen on loopback"))?;
        let shared = Arc::new(StageShared {
            state: Mutex::new(StageState::new(plan)),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let mut server = Self { address, shared, threads: Vec::new() };
        let acceptor = Arc::clone(&server.shared);
        server.spawn("lab server", move || acceptor.accept(&listener))?;
        let ticker = Arc::clone(&server.shared);
        server.spawn("lab timers", move || ticker.tick())?;
        Ok(server)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LabError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(LabError::system("cannot start a thread"))?);
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counted(&self) -> StageCounted {
        self.shared.lock().counted
    }

    /// Count and sum of an identity's account.
    pub(crate) fn standing(&self, key: &PublicKey) -> (u64, i128) {
        let standing = self.shared.lock().ledger.standing(&AccountId::Identity(*key.as_bytes()));
        standing.map_or((0, 0), |standing| (standing.last_seq.get(), standing.sum.get()))
    }

    /// Count and sum of everything that it counted.
    pub(crate) fn totals(&self) -> (u128, i128) {
        let totals = self.shared.lock().ledger.totals();
        (totals.count, totals.sum.get())
    }

    /// The lines of its log since this was called last.
    pub(crate) fn take_lines(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.shared.lock().lines)
    }

    /// Waits for a client to break a rule: the rule, and what the server says of it. `None` if none
    /// does within some seconds.
    pub(crate) fn await_fault(&self) -> Option<(&'static str, String)> {
        let until = Instant::now() + super::frames::PATIENCE;
        let mut state = self.shared.lock();
        loop {
            if let Some((_, rule, what)) = state.faults.first() {
                return Some((rule, what.clone()));
            }
            if Instant::now() >= until {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for LabServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the accept.
        drop(dial(self.address));
        for seat in self.shared.lock().seats.values() {
            // It may be closed already.
            drop(seat.stream.shutdown(Shutdown::Both));
        }
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // One that panicked has nothing more to say.
            drop(thread.join());
        }
    }
}

impl StageShared {
    fn lock(&self) -> MutexGuard<'_, StageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Does something with the endpoint, and all that follows from it. Its time is the server's.
    fn turn<T>(&self, act: impl FnOnce(&mut StageState, Instant) -> T) -> T {
        let mut state = self.lock();
        let begun = processor_time();
        let now = Instant::now();
        let done = act(&mut state, now);
        state.settle(now);
        state.counted.processor += processor_time().saturating_sub(begun);
        drop(state);
        self.changed.notify_all();
        done
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        loop {
            let Ok((stream, peer)) = accept(listener) else { return };
            if self.is_over() {
                return;
            }
            let Some((id, stream)) = self.turn(|state, now| state.seat(now, stream, peer)) else {
                continue;
            };
            let shared = Arc::clone(&self);
            let reader = std::thread::Builder::new()
                .name("lab reader".into())
                .spawn(move || shared.read(id, stream));
            if reader.is_err() {
                self.turn(|state, now| state.endpoint.handle_reset(now, id));
            }
        }
    }

    fn read(&self, id: ConnectionId, mut stream: TcpStream) {
        let mut buffer = [0; READ_BYTES_MAX];
        while !self.is_over() {
            let room = {
                let mut state = self.lock();
                if state.endpoint.phase(id) == Phase::Done {
                    return;
                }
                state.endpoint.room(id).min(READ_BYTES_MAX)
            };
            if room == 0 {
                let waited = self.changed.wait_timeout(self.lock(), TICK);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            match stream.read(&mut buffer[..room]) {
                Ok(0) => return self.turn(|state, now| state.endpoint.handle_eof(now, id)),
                Ok(count) => {
                    self.turn(|state, now| state.endpoint.handle_bytes(now, id, &buffer[..count]));
                }
                Err(error) if is_early(&error) => {}
                Err(_) => return self.turn(|state, now| state.endpoint.handle_reset(now, id)),
            }
        }
    }

    /// Wakes what waits for a time.
    fn tick(&self) {
        while !self.is_over() {
            let waited = self.changed.wait_timeout(self.lock(), TICK);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let now = Instant::now();
            for id in state.ids() {
                if state.endpoint.connection_timeout(id).is_some_and(|at| at <= now) {
                    state.endpoint.handle_connection_timeout(now, id);
                }
            }
            state.settle(now);
        }
    }
}

/// Whether a read only came before any byte did.
fn is_early(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

impl StageState {
    fn new(plan: ServerPlan<'_>) -> Self {
        let ServerPlan { seed, label, is_classic, end_all, bounds, ledger, grants, token } = plan;
        let v2 = v2::ServerConfig {
            suites: vec![SUITE, Suite::Ddes(GroupSize::Bits2048)],
            key: server_key(seed, label),
            idle: MINUTE,
            handshake: MINUTE,
            values_max: 1024,
        };
        let config = classic::ServerConfig {
            group: crate::keys::group(),
            idle: MINUTE,
            handshake: MINUTE,
            end_all,
        };
        // Silence of no length: the server speaks first, as the original does.
        let classic =
            is_classic.then(|| Classic { config: Arc::new(config), silence: Duration::ZERO });
        let config = Config {
            bounds,
            queued_values_max: QUEUED_VALUES_MAX,
            notices: Notices::Values,
            classic_first: ledger.classic_next(),
            profiles: Profiles { v2: Arc::new(v2), classic },
        };
        Self {
            endpoint: Endpoint::new(Instant::now(), config),
            ledger,
            seats: BTreeMap::new(),
            seed: seed.clone(),
            label: label.into(),
            is_classic,
            grants,
            token,
            counted: StageCounted::default(),
            lines: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn ids(&self) -> Vec<ConnectionId> {
        self.seats.values().map(|seat| seat.id).collect()
    }

    /// A newcomer, with a second handle of its socket for whoever reads it. `None` if it was
    /// refused.
    fn seat(
        &mut self,
        now: Instant,
        mut stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(ConnectionId, TcpStream)> {
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(TICK)).ok()?;
        stream.set_write_timeout(Some(super::frames::PATIENCE)).ok()?;
        let label = format!("{}/server/{}", self.label, self.counted.accepted);
        let draw = |what: &str| format!("{label}/{what}");
        let given = self.token.filter(|_| self.counted.accepted == 0);
        let token = given.unwrap_or_else(|| self.seed.draw(&draw("token")));
        let entropy = ConnectionEntropy {
            exponent: Zeroizing::new(self.seed.draw(&draw("exponent"))),
            kem: Zeroizing::new(self.seed.draw(&draw("kem"))),
            token: Zeroizing::new(token),
        };
        match self.endpoint.accept(now, peer, entropy) {
            Ok(id) => {
                self.counted.accepted += 1;
                let reader = stream.try_clone().ok()?;
                self.seats.insert(id.serial(), StageSeat { id, stream, is_shut: false });
                Some((id, reader))
            }
            Err(full) => {
                self.counted.refused += 1;
                self.say(format!("refused a connection before any work: {full}"));
                // Whoever is refused may be gone already.
                drop(stream.write_all(&full.farewell(self.is_classic)));
                None
            }
        }
    }

    /// Everything that the endpoint asks for, until it asks for nothing.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut requests = Vec::new();
            let mut has_acted = false;
            while let Some(action) = self.endpoint.poll_action() {
                has_acted = true;
                match action {
                    Action::Compute(id, work) => {
                        self.counted.handshakes += 1;
                        self.endpoint.handle_done(now, id, work.run());
                    }
                    Action::Authorize(claim) => {
                        let granted = self.grants.iter().find(|(key, _)| *key == claim.key);
                        let grant =
                            granted.map(|(_, role)| Grant { role: *role, ..Grant::default() });
                        self.endpoint.handle_grant(now, claim, grant);
                    }
                    Action::Commit(request) => requests.push(request),
                    Action::Notify(notice) => self.note(notice.connection, notice.event),
                    Action::Wake(_) | Action::Cancel(_) => {}
                }
            }
            self.commit(now, requests);
            self.endpoint.handle_timeout(now);
            if !(self.flush(now) || has_acted) {
                break;
            }
        }
        self.close_finished(now);
    }

    fn commit(&mut self, now: Instant, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let (to, operations): (Vec<_>, Vec<_>) =
            requests.into_iter().map(|request| (request.to, request.operation)).unzip();
        let values = operations.iter().map(|operation| match operation {
            Operation::Add(submission) => submission.amounts.len(),
            Operation::Open(_) | Operation::End(_) => 0,
        });
        let values = values.sum();
        let outcomes = self.ledger.commit(wall(), &operations);
        let outcomes = to.into_iter().zip(outcomes);
        let outcomes =
            outcomes.filter_map(|(to, outcome)| to.map(|(id, ticket)| (id, ticket, outcome)));
        self.endpoint.handle_outcomes(now, values, outcomes);
    }

    /// Sends what is to be sent; whether there was something.
    fn flush(&mut self, now: Instant) -> bool {
        let mut has_sent = false;
        for id in self.ids() {
            let pending = self.endpoint.pending(id).to_vec();
            if pending.is_empty() {
                continue;
            }
            has_sent = true;
            let Some(seat) = self.seats.get_mut(&id.serial()) else { continue };
            match seat.stream.write_all(&pending) {
                Ok(()) => self.endpoint.sent(now, id, pending.len()),
                Err(_) => self.endpoint.handle_reset(now, id),
            }
        }
        has_sent
    }

    fn close_finished(&mut self, now: Instant) {
        for id in self.ids() {
            let phase = self.endpoint.phase(id);
            let Some(seat) = self.seats.get_mut(&id.serial()) else { continue };
            match phase {
                Phase::Live => {}
                Phase::Draining if seat.is_shut => {}
                // It may be closed already.
                Phase::Draining => {
                    seat.is_shut = true;
                    drop(seat.stream.shutdown(Shutdown::Write));
                }
                Phase::Done => {
                    drop(seat.stream.shutdown(Shutdown::Both));
                    self.seats.remove(&id.serial());
                    self.endpoint.remove(now, id);
                }
            }
        }
    }

    fn say(&mut self, text: String) {
        self.log(text, None);
    }

    fn log(&mut self, text: String, number: Option<String>) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(LogLine { text, number });
        }
    }

    fn note(&mut self, id: ConnectionId, event: NoticeEvent) {
        let line = match event {
            NoticeEvent::Received { first, count: 1 } => {
                return self.log("received".into(), Some(first.get().to_string()));
            }
            NoticeEvent::Received { count, .. } => format!("received {count} integers"),
            NoticeEvent::ResultSent { sum, .. } => {
                return self.log("sent the sum".into(), Some(sum.to_string()));
            }
            NoticeEvent::KeyVerified => "accepted a client's key; it proves nothing".into(),
            NoticeEvent::Admitted(_) => "a client proved an authorized identity".into(),
            NoticeEvent::TurnedAway { .. } => "turned an unknown identity away".into(),
            NoticeEvent::Ended(ServerEnd::Fault(fault)) => return self.fault(id, &fault),
            NoticeEvent::ClassicEnded(ClassicEnd::Fault(fault)) => {
                self.faults.push((id.serial(), fault.rule(), fault.to_string()));
                format!("ended a session: {fault} ({})", fault.rule())
            }
            NoticeEvent::Ended(ServerEnd::TooFast { most }) => {
                format!("refused a handshake before any work: more than {most} a second")
            }
            NoticeEvent::Connected
            | NoticeEvent::TokenShared
            | NoticeEvent::Regranted(_)
            | NoticeEvent::Tampered
            | NoticeEvent::Ignored { .. }
            | NoticeEvent::ClassicEnded(_)
            | NoticeEvent::Ended(_) => return,
        };
        self.say(line);
    }

    fn fault(&mut self, id: ConnectionId, fault: &Fault) {
        self.say(format!("ended a session: {fault} ({})", fault.rule()));
        self.faults.push((id.serial(), fault.rule(), fault.to_string()));
    }
}

fn wall() -> Timestamp {
    // A clock before 1970 shows 1970, as it does in the ledger of a server.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(saturating::micros(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::ClassicClient;

    /// A stranger would take the exponent and the token of the first client, and be counted.
    #[test]
    fn a_stranger_of_this_machine_takes_nobodys_place() {
        let seed = Seed::named("test");
        let given = [7; 16];
        let plan = ServerPlan { token: Some(given), ..ServerPlan::classic(&seed, "strangers") };
        let server = LabServer::start(plan).unwrap();
        let mut stranger = TcpStream::connect(server.address()).unwrap();
        // The server of a classic session speaks first.
        let mut heard = Vec::new();
        drop(stranger.read_to_end(&mut heard));
        assert_eq!(heard, b"");
        assert_eq!(server.counted().accepted, 0);
        let mut client = ClassicClient::connect(server.address(), &seed, "anna").unwrap();
        assert_eq!(client.sum_after(7).unwrap(), 7);
        assert_eq!(server.counted().accepted, 1);
    }
}

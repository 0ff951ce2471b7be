//! The attacker's place on the path: every frame passes through here, and may be read, changed,
//! kept, doubled or sent back.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::dialled::{accept, dial};
use super::frames::{By, FrameStream, Leg, RawFrame, Recorded, Way};
use crate::LabError;

/// What the attacker makes of a frame: the frames that go on instead, and where to.
pub(crate) type Deed = dyn FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send;

/// The deed of whoever only listens.
pub(crate) fn pass(way: Way, frame: &RawFrame) -> Vec<(Way, RawFrame)> {
    vec![(way, frame.clone())]
}

/// One connection to a server, with the attacker in between.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<RelayShared>,
    thread: Option<JoinHandle<()>>,
}

struct RelayShared {
    /// The number of the connection in the exercise, and who dials.
    connection: u32,
    dialler: By,
    deed: Mutex<Box<Deed>>,
    recorded: Mutex<Vec<Recorded>>,
    /// The ends of the connection, once there is one.
    ends: Mutex<Option<[TcpStream; 2]>>,
    is_over: AtomicBool,
}

impl std::fmt::Debug for RelayShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(..)")
    }
}

impl Relay {
    /// Waits for one client, on a free port of loopback, and connects it to `server`.
    pub(crate) fn start(
        server: SocketAddr,
        deed: impl FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send + 'static,
    ) -> Result<Self, LabError> {
        Self::between(server, 1, By::Client, Box::new(deed))
    }

    /// Only writes down what passes: one of several connections, which `dialler` dials.
    pub(crate) fn listening(
        server: SocketAddr,
        connection: u32,
        dialler: By,
    ) -> Result<Self, LabError> {
        Self::between(server, connection, dialler, Box::new(pass))
    }

    fn between(
        server: SocketAddr,
        connection: u32,
        dialler: By,
        deed: Box<Deed>,
    ) -> Result<Self, LabError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(LabError::system("cannot listen on loopback"))?;
        let address =
            listener.local_addr().map_err(LabError::system("cannot listen on loopback"))?;
        let shared = Arc::new(RelayShared {
            connection,
            dialler,
            deed: Mutex::new(deed),
            recorded: Mutex::new(Vec::new()),
            ends: Mutex::new(None),
            is_over: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || for_thread.serve(&listener, server))
            .map_err(LabError::system("cannot start a thread"))?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where the client connects, believing it to be the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came in so far, and what the attacker made.
    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// The bodies of one kind of frame of client or server, one way, in order.
    pub(crate) fn bodies(&self, way: Way, opcode: u32) -> Vec<Vec<u8>> {
        let recorded = lock(&self.shared.recorded);
        let wanted = recorded.iter().filter(|frame| frame.is_of_the_ends(way, opcode));
        wanted.map(|frame| frame.body.clone()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(ends) = lock(&self.shared.ends).take() {
            for end in ends {
                // It may be closed already.
                drop(end.shutdown(Shutdown::Both));
            }
        } else {
            // Wakes the accept; the thread sees that it is over.
            drop(dial(self.address));
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to say.
            drop(thread.join());
        }
    }
}

impl RelayShared {
    fn serve(self: Arc<Self>, listener: &TcpListener, server: SocketAddr) {
        let Ok((client, _)) = accept(listener) else { return };
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(server) = dial(server) else { return };
        let (Ok(one), Ok(other)) = (client.try_clone(), server.try_clone()) else { return };
        *lock(&self.ends) = Some([one, other]);
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let back = Arc::clone(&self);
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || back.carry(Way::ToClient, &server, &client));
        self.carry(Way::ToServer, &from_client, &to_server);
        if let Ok(thread) = thread {
            // As above.
            drop(thread.join());
        }
    }

    /// Carries frames one way until the stream ends; then the other end hears that too.
    fn carry(&self, way: Way, from: &TcpStream, to: &TcpStream) {
        let stream = |end: &TcpStream| {
            let end = end.try_clone().map_err(LabError::system("cannot set up a socket"))?;
            FrameStream::new(end)
        };
        let (Ok(mut reader), Ok(mut ahead), Ok(mut back)) =
            (stream(from), stream(to), stream(from))
        else {
            return;
        };
        while let Ok(Some(frame)) = reader.read() {
            // Held while the frames are sent, so that they go out in the order of the deeds.
            let mut deed = lock(&self.deed);
            let made = (*deed)(way, &frame);
            self.record(way, &frame, &made);
            for (where_to, frame) in made {
                let end = if where_to == way { &mut ahead } else { &mut back };
                if end.write(&frame).is_err() {
                    return;
                }
            }
        }
        // It may be closed already.
        drop(to.shutdown(Shutdown::Write));
    }

    /// What came in, and what was made of it. The first equal frame that goes on is the same one.
    fn record(&self, way: Way, frame: &RawFrame, made: &[(Way, RawFrame)]) {
        let (by, leg) = match way {
            Way::ToServer => (self.dialler, Leg::Client),
            Way::ToClient => (By::Server, Leg::Server),
        };
        let same = made.iter().position(|(where_to, made)| *where_to == way && made == frame);
        let came_in = Recorded::now(way, by, leg, frame).on(self.connection);
        let came_in = if same.is_some() { came_in } else { came_in.kept_back() };
        let mut recorded = lock(&self.recorded);
        recorded.push(came_in);
        for (at, (way, frame)) in made.iter().enumerate() {
            if Some(at) != same {
                let leg = match way {
                    Way::ToServer => Leg::Server,
                    Way::ToClient => Leg::Client,
                };
                let made = Recorded::now(*way, By::Attacker, leg, frame);
                recorded.push(made.on(self.connection));
            }
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

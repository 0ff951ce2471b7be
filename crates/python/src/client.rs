//! `ddes.Client`.

use std::mem;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddes_client::credentials::{self, ClientHome, CredentialError};
use ddes_client::{Balance, ClientError, ServerAddress, Suite, blocking};
use pyo3::prelude::*;
use zeroize::Zeroizing;

use crate::failure::{of_client, of_credential, usage};
use crate::given::{self, KeyName};
use crate::progress::{self, ProgressLog};
use crate::waits::answer;

/// Counts integers on a server, each exactly once.
///
/// Args:
///   server: The server's "HOST:PORT".
///   identity: Whose account it is: the name of an identity of the home, a path of an OpenSSH
///     Ed25519 private key (a string with a slash, or an os.PathLike), or the text of such a key.
///     The path of a .pub file stands for the key that the ssh-agent holds. By default the identity
///     "default" of the home.
///   trust: The key that the server has to prove: its fingerprint "SHA256:...", the line of its
///     public key, the path of a file with that line, or the path of a list of known servers; or
///     several of these. By default what the home knows of this server.
///   outbox: A folder that keeps integers from add() until they are counted, so that each counts
///     exactly once across crashes of either side. One client at a time has it open. Without one,
///     integers are kept in memory.
///   home: The folder of keys and known servers, in place of DDES_HOME and of ~/.config/ddes.
///   passphrase: Of an encrypted private key.
///   suite: "hybrid", or another that the server takes.
///   adopt: Lets a new outbox go on from what the account has counted before.
///   timeout: How many seconds add(), flush(), total(), close() and the end of a with statement
///     wait at most, where the call names no limit of its own. By default they wait as long as it
///     takes.
///   patience: How many seconds the client tries to get a session before it gives up. By default
///     without a limit with an outbox, and 60 without one.
///   network_timeout: How many seconds a connection, a handshake and an answer may take, each.
///
/// A client connects in the background: making one needs no server. Use it in a with statement, or
/// call close() at the end. All threads of a process may use one client; a process that is forked
/// may not, and has to make its own.
///
/// >>> import ddes
/// >>> with ddes.Client(server, identity=identity, trust=trust, outbox=outbox) as client:
/// ...     client.add(42)
/// ...     client.add([3, 4, 5])
/// ...     print(client.flush().sum)
/// 54
#[pyclass(module = "ddes", name = "Client", frozen, weakref)]
pub(crate) struct PythonClient {
    state: Mutex<OpenState>,
    /// The process whose thread delivers.
    process: u32,
    timeout: Option<Duration>,
    /// What identifies it to people, without secrets.
    shown: String,
}

enum OpenState {
    Open(blocking::Client),
    /// With the balance that the server stated last, if it was closed in order.
    Closed(Option<Balance>),
}

#[pymethods]
impl PythonClient {
    #[new]
    #[pyo3(signature = (server, *, identity=None, trust=None, outbox=None, home=None, passphrase=None, suite="hybrid", adopt=false, timeout=None, patience=None, network_timeout=10.0))]
    #[allow(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn new(
        py: Python<'_>,
        server: &str,
        identity: Option<&Bound<'_, PyAny>>,
        trust: Option<&Bound<'_, PyAny>>,
        outbox: Option<PathBuf>,
        home: Option<PathBuf>,
        passphrase: Option<&Bound<'_, PyAny>>,
        suite: &str,
        adopt: bool,
        timeout: Option<f64>,
        patience: Option<f64>,
        network_timeout: Option<f64>,
    ) -> PyResult<Self> {
        let order = ClientOrder {
            server: given::server(py, server)?,
            identity: KeyName::identity(identity)?,
            trust: trust.map(KeyName::trusted).transpose()?,
            outbox,
            home,
            passphrase: passphrase.map(given::passphrase).transpose()?,
            suite: given::suite(py, suite)?,
            adopt,
            patience: patience
                .map(|given| given::seconds(py, "patience", Some(given)))
                .transpose()?,
            network_timeout: given::seconds(py, "network_timeout", network_timeout)?,
        };
        let timeout = given::seconds(py, "timeout", timeout)?;
        let (log, queue) = progress::queue();
        let started = py.detach(|| order.start(log));
        let (client, shown) = started.map_err(|error| error.raise(py))?;
        py.import("ddes._log")?.call_method1("follow", (queue,))?;
        let process = std::process::id();
        Ok(Self { state: Mutex::new(OpenState::Open(client)), process, timeout, shown })
    }

    /// Takes one integer, or an iterable of at most ddes.ADD_MAX: all of them or none.
    ///
    /// With an outbox they are on the disk when this returns, and each counts exactly once from
    /// then on. It waits only while more than a million integers are not counted yet, and raises
    /// ddes.TimeoutError if that lasts longer than timeout seconds: then none was taken.
    ///
    /// An integer has 64 bits with its sign; any other raises ddes.UsageError.
    ///
    /// >>> client.add(-7)
    /// >>> client.add(range(10))
    /// >>> client.add(2 ** 63)
    /// Traceback (most recent call last):
    ///   ...
    /// ddes.errors.UsageError: integer 0 is not within 64 bits (-2**63 to 2**63 - 1)
    #[pyo3(signature = (values, /, *, timeout=None))]
    fn add(&self, py: Python<'_>, values: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
        let limit = self.limit(py, timeout)?;
        let integers = given::integers(values)?;
        let call = self.client(py)?.begin_add(integers);
        answer(py, call.map_err(|error| of_client(py, &error))?, limit)
    }

    /// Waits until every integer that was added before is counted, and returns the Balance that the
    /// server holds then.
    ///
    /// It raises ddes.TimeoutError after timeout seconds. The integers stay where they are, and are
    /// still delivered.
    ///
    /// >>> client.flush()
    /// Balance(count=15, sum=92)
    #[pyo3(signature = (timeout=None))]
    fn flush<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let limit = self.limit(py, timeout)?;
        let call = self.client(py)?.begin_flush();
        balance(py, answer(py, call, limit)?)
    }

    /// The Balance that the server holds, as it stated it last. Waits for the first session, but
    /// not for integers that are not counted yet.
    ///
    /// >>> client.total().sum
    /// 92
    #[pyo3(signature = (timeout=None))]
    fn total<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let limit = self.limit(py, timeout)?;
        let call = self.client(py)?.begin_total();
        balance(py, answer(py, call, limit)?)
    }

    /// As flush(), and ends the session. Returns the Balance that the server states at the end.
    ///
    /// If it raises ddes.TimeoutError, the client is still open. A second call returns the same
    /// Balance again.
    #[pyo3(signature = (timeout=None))]
    fn close<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let limit = self.limit(py, timeout)?;
        self.in_its_process(py)?;
        let call = match &*self.state() {
            OpenState::Open(client) => client.begin_close(),
            OpenState::Closed(Some(last)) => return balance(py, *last),
            OpenState::Closed(None) => return Err(of_client(py, &ClientError::Closed)),
        };
        match answer(py, call, limit) {
            Ok(last) => {
                self.end(Some(last));
                balance(py, last)
            }
            // Another thread may have closed it meanwhile.
            Err(error) => match &*self.state() {
                OpenState::Closed(Some(last)) => balance(py, *last),
                OpenState::Closed(None) | OpenState::Open(_) => Err(error),
            },
        }
    }

    /// Ends the session without waiting for integers that are not counted. With an outbox they are
    /// kept for the next client; without one they may be lost. Calls of other threads that wait
    /// raise ddes.UsageError.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.in_its_process(py)?;
        self.end(None);
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        drop(slf.get().client(slf.py())?);
        Ok(slf)
    }

    /// Calls close(); where an exception ends the with statement, leave(), so that nothing waits
    /// for a server that may not come back.
    #[pyo3(signature = (kind=None, _value=None, _traceback=None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyAny>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // The copy of a fork is nobody's to end, and one that was ended is.
        let is_here = std::process::id() == self.process;
        if is_here && matches!(&*self.state(), OpenState::Closed(_)) {
            return Ok(());
        }
        let closed = if kind.is_some() { Ok(()) } else { self.close(py, None).map(drop) };
        // The object of a finished with statement is of no more use, whatever became of it.
        if is_here && !matches!(&*self.state(), OpenState::Closed(_)) {
            self.end(None);
        }
        closed
    }

    fn __repr__(&self) -> String {
        format!("<ddes.Client {}>", self.shown)
    }
}

impl PythonClient {
    fn state(&self) -> MutexGuard<'_, OpenState> {
        // Held only to look at it, or to replace it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, py: Python<'_>) -> PyResult<blocking::Client> {
        self.in_its_process(py)?;
        match &*self.state() {
            OpenState::Open(client) => Ok(client.clone()),
            OpenState::Closed(_) => Err(of_client(py, &ClientError::Closed)),
        }
    }

    /// The thread that delivers was not forked with the process: a call would wait for ever.
    fn in_its_process(&self, py: Python<'_>) -> PyResult<()> {
        let process = std::process::id();
        if process == self.process {
            return Ok(());
        }
        let text = format!(
            "this client is of process {}, and a fork ({process}) cannot use it: make a client in \
             each process, each with an outbox and an identity of its own",
            self.process
        );
        Err(usage(py, &text))
    }

    /// The time that a call waits at most.
    fn limit(&self, py: Python<'_>, given: Option<f64>) -> PyResult<Option<Duration>> {
        if given.is_some() { given::seconds(py, "timeout", given) } else { Ok(self.timeout) }
    }

    /// Dropping the client ends its session, if it has not ended; its thread does that.
    fn end(&self, last: Option<Balance>) {
        let ended = mem::replace(&mut *self.state(), OpenState::Closed(last));
        drop(ended);
    }
}

impl Drop for PythonClient {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // Threads that were not forked may have held locks of it.
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            mem::forget(mem::replace(state, OpenState::Closed(None)));
        }
    }
}

/// `ddes.Balance`.
fn balance(py: Python<'_>, of: Balance) -> PyResult<Bound<'_, PyAny>> {
    py.import("ddes._balance")?.getattr("Balance")?.call1((of.count, of.sum.get()))
}

/// A client to be, as a program asks for it.
struct ClientOrder {
    server: ServerAddress,
    identity: KeyName,
    trust: Option<Vec<KeyName>>,
    outbox: Option<PathBuf>,
    home: Option<PathBuf>,
    passphrase: Option<Zeroizing<Vec<u8>>>,
    suite: Suite,
    adopt: bool,
    /// The outer `None` is the default, the inner one without a limit.
    patience: Option<Option<Duration>>,
    network_timeout: Option<Duration>,
}

/// Why a client did not start.
enum StartError {
    Credential(CredentialError),
    Client(ClientError),
}

impl From<CredentialError> for StartError {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl StartError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Credential(error) => of_credential(py, error),
            Self::Client(error) => of_client(py, error),
        }
    }
}

impl ClientOrder {
    /// Reads keys, opens the outbox and starts the client; and what is shown of it.
    fn start(self, mut log: ProgressLog) -> Result<(blocking::Client, String), StartError> {
        let home = ClientHome::locate(self.home.as_deref())?;
        let passphrase = self.passphrase.as_ref().map(|text| text.as_slice());
        let signer = self.identity.signer(&home, passphrase)?;
        let trusted = match &self.trust {
            None => credentials::trust_of_home(&home, &self.server)?,
            Some(names) => {
                let keys = names.iter().map(|name| name.keys(&self.server));
                keys.collect::<Result<Vec<_>, _>>()?.concat()
            }
        };
        if trusted.is_empty() {
            return Err(CredentialError::Stranger { server: self.server }.into());
        }
        let mut shown =
            format!("server='{}' identity='{}'", self.server, signer.public().fingerprint());
        // Without a limit is the longest there is.
        let mut builder = blocking::Client::builder(self.server, signer)
            .trust_all(trusted)
            .suite(self.suite)
            .timeout(self.network_timeout.unwrap_or(Duration::MAX))
            .on_progress(move |progress| log.note(progress));
        if let Some(outbox) = self.outbox {
            shown.push_str(&format!(" outbox={outbox:?}"));
            builder = builder.outbox(outbox);
        }
        if let Some(patience) = self.patience {
            // As above.
            builder = builder.patience(patience.unwrap_or(Duration::MAX));
        }
        if self.adopt {
            builder = builder.adopt();
        }
        let client = builder.start().map_err(StartError::Client)?;
        Ok((client, shown))
    }
}

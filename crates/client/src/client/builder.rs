//! How a client is made.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ddes_identity::{PublicKey, ServerAddress};
use ddes_wire::v2::{GroupSize, Suite};

use super::call_book::Observer;
use super::{ClientError, Progress};
use crate::credentials::TrustedKey;
use crate::delivery::Patience;
use crate::options::ConnectOptions;
use crate::outbox::{Outbox, OutboxOwner};
use crate::signer::Signer;

/// For the connection, for the handshake and for an answer, each.
const WAIT: Duration = Duration::from_secs(10);
/// Longer waits than a year are a year: no time that is computed from one overflows.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shorter without an outbox: the integers are lost with the program, so its caller has to learn of
/// the failure.
const PATIENCE_IN_MEMORY: Duration = Duration::from_secs(60);

/// A client to be. Made by `Client::builder`; `C` is the client that [`Self::start`] gives.
#[must_use = "nothing is started before `start`"]
pub struct Builder<C> {
    plan: ClientPlan,
    kind: std::marker::PhantomData<fn() -> C>,
}

/// The choices of a builder.
pub(super) struct ClientPlan {
    pub(super) options: ConnectOptions,
    pub(super) signer: Signer,
    pub(super) trust: Trust,
    outbox: Option<PathBuf>,
    patience: Option<Duration>,
    pub(super) adopts: bool,
    pub(super) observer: Observer,
}

/// The keys that the server may have.
#[derive(Debug, Default)]
pub(super) struct Trust {
    pub(super) keys: Vec<PublicKey>,
    fingerprints: Vec<String>,
}

impl<C> Builder<C> {
    /// A client of `server`, with the identity of `signer`.
    pub(super) fn new(server: ServerAddress, signer: Signer) -> Self {
        let suite = Suite::Hybrid(GroupSize::Bits2048);
        let options = ConnectOptions {
            server,
            suite,
            connect: WAIT,
            handshake: WAIT,
            reply: WAIT,
            wiretap: None,
        };
        let plan = ClientPlan {
            options,
            signer,
            trust: Trust::default(),
            outbox: None,
            patience: None,
            adopts: false,
            observer: Box::new(|_| {}),
        };
        Self { plan, kind: std::marker::PhantomData }
    }

    /// Another signer in place of the key, for example an ssh-agent.
    pub fn signer(mut self, signer: Signer) -> Self {
        self.plan.signer = signer;
        self
    }

    /// The server may have these keys, as [`crate::credentials`] reads them.
    pub fn trust_all(mut self, keys: impl IntoIterator<Item = TrustedKey>) -> Self {
        for key in keys {
            match key {
                TrustedKey::Key(key) => self.plan.trust.keys.push(key),
                TrustedKey::Fingerprint(text) => self.plan.trust.fingerprints.push(text),
            }
        }
        self
    }

    /// The server may have this key. With neither key nor fingerprint no server is trusted, and the
    /// first attempt ends the client.
    pub fn trust(mut self, key: PublicKey) -> Self {
        self.plan.trust.keys.push(key);
        self
    }

    /// The server may have a key of this fingerprint: `SHA256:` and 43 characters, as `ddes serve`
    /// and `ssh-keygen -l` print it.
    pub fn trust_fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.plan.trust.fingerprints.push(fingerprint.into());
        self
    }

    /// Keeps integers in this folder from `add` until they are counted, so that each counts exactly
    /// once across crashes of either side. It is made if there is none. Each outbox belongs to one
    /// identity and one server, and is one process's at a time. Without one, integers are kept in
    /// memory.
    pub fn outbox(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plan.outbox = Some(folder.into());
        self
    }

    /// Lets a new outbox continue an account that has counted integers before, for example those of
    /// an outbox that was lost. Without this the client ends, because the new integers may be the
    /// same ones.
    pub fn adopt(mut self) -> Self {
        self.plan.adopts = true;
        self
    }

    /// The suite; by default the hybrid one with a group of 2048 bits.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.plan.options.suite = suite;
        self
    }

    /// The longest wait for the connection, for the handshake, and for an answer, each; by default
    /// 10 s.
    pub fn timeout(mut self, wait: Duration) -> Self {
        let wait = wait.min(WAIT_MAX);
        let options = &mut self.plan.options;
        (options.connect, options.handshake, options.reply) = (wait, wait, wait);
        self
    }

    /// How long the client tries to get a session before it ends; by default without limit with an
    /// outbox, and 60 s without.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.plan.patience = Some(patience);
        self
    }

    /// Calls `observe` with what happens, in the client's task or thread: it must not wait.
    pub fn on_progress(mut self, observe: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.plan.observer = Box::new(observe);
        self
    }

    pub(super) fn into_plan(self) -> ClientPlan {
        self.plan
    }
}

impl ClientPlan {
    pub(super) fn patience(&self) -> Patience {
        let default = if self.outbox.is_some() { Duration::MAX } else { PATIENCE_IN_MEMORY };
        let patience = self.patience.unwrap_or(default);
        Patience { first: patience, later: patience }
    }

    /// Opens and locks the outbox, or makes one in memory.
    pub(super) fn outbox(&self) -> Result<Outbox, ClientError> {
        let Some(folder) = &self.outbox else { return Ok(Outbox::in_memory()) };
        let owner = OutboxOwner { server: self.options.server.clone(), key: self.signer.public() };
        Ok(Outbox::open(folder, &owner)?)
    }
}

impl Trust {
    /// Whether the server may have this key.
    pub(super) fn holds(&self, key: &PublicKey) -> bool {
        // Neither is a secret.
        self.keys.contains(key) || self.fingerprints.contains(&key.fingerprint())
    }
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClientPlan { options, trust, outbox, patience, adopts, .. } = &self.plan;
        let mut shown = f.debug_struct("Builder");
        shown.field("options", options).field("trust", trust).field("outbox", outbox);
        shown.field("patience", patience).field("adopts", adopts).finish_non_exhaustive()
    }
}

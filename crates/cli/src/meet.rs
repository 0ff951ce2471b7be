//! Meeting a server: which one, as whom, with which keys, and what a person has to be asked.

mod own;

use std::cell::Cell;
use std::time::Duration;

use ddes_client::Signer;
use ddes_client::courier::{Courier, CourierError, CourierEvent, Lost, Terms};
use ddes_client::delivery::{DeliveryError, Patience};
use ddes_client::outbox::{Objection, Outbox, Span};
use ddes_client::v2::{ConnectOptions, EnterError};
use ddes_identity::{Contact, PublicKey, ServerAddress};
use ddes_wire::v2::{Suite, Welcome};

use crate::args::{ClientArgs, SuiteName};
use crate::capture::recorder::CaptureRecorder;
use crate::failure::{Code, Failure};
use crate::home::{self, Home};
use crate::question::Asker;
use crate::refusal;
use crate::who;
use crate::{screen, streams};
use own::Own;

const CONNECT_MAX: Duration = Duration::from_secs(10);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const REPLY_MAX: Duration = Duration::from_secs(10);

/// A server about to be met.
pub(crate) struct Meeting {
    pub(crate) server: ServerAddress,
    pub(crate) identity: PublicKey,
    /// What the server's operator does to let the identity in: a hint, if the server refuses it.
    pub(crate) admission: String,
    home: Home,
    own: Own,
    /// `--trust`.
    expected: Option<String>,
    may_ask: bool,
    is_quiet: bool,
    asker: Asker,
    undecided: Cell<Option<Undecided>>,
    /// The record of what was counted without the outbox.
    aside: Cell<AsideRecord>,
    /// A person was asked whether to go on from a history.
    has_asked: Cell<bool>,
}

/// What became of the record of sessions without an outbox.
#[derive(Clone, Copy, PartialEq)]
enum AsideRecord {
    Unused,
    /// Put forward: the next session tells whether it was proof.
    Tried(Span),
    /// It was none.
    Settled,
}

/// What only a person can say, while it is not said.
#[derive(Clone, Copy)]
enum Undecided {
    Key(PublicKey),
    History(Objection),
}

impl Meeting {
    /// Nobody is asked, and no key is expected.
    pub(crate) fn new(server: ServerAddress, identity: PublicKey, home: Home) -> Self {
        Self {
            own: Own::new(&server, &identity, false),
            admission: format!("on the server: ddes authorize '{}'", identity.to_openssh()),
            server,
            identity,
            home,
            expected: None,
            may_ask: false,
            is_quiet: false,
            asker: Asker::default(),
            undecided: Cell::new(None),
            aside: Cell::new(AsideRecord::Unused),
            has_asked: Cell::new(false),
        }
    }

    /// The identity asked for, and a courier to the server asked for.
    pub(crate) fn arrange(
        args: &ClientArgs,
        patience: Patience,
        outbox: impl FnOnce(PublicKey) -> Result<Outbox, Failure>,
    ) -> Result<(Self, Courier), Failure> {
        let signer = |home: &Home| who::signer(home, &args.identity, args.output.quiet);
        Self::arrange_as(signer, args, patience, outbox)
    }

    /// As [`Self::arrange`], whoever the identity is.
    pub(crate) fn arrange_as(
        signer: impl FnOnce(&Home) -> Result<Signer, Failure>,
        args: &ClientArgs,
        patience: Patience,
        outbox: impl FnOnce(PublicKey) -> Result<Outbox, Failure>,
    ) -> Result<(Self, Courier), Failure> {
        let home = Home::find(&args.home)?;
        if args.suite == SuiteName::Ddes || !Suite::from(args.suite).is_hybrid() {
            screen::warn_of_ddes(args.output.quiet);
        }
        let signer = signer(&home)?;
        let identity = signer.public();
        let options = ConnectOptions {
            server: args.server.clone(),
            suite: args.suite.into(),
            connect: args.timeout_or(CONNECT_MAX),
            handshake: args.timeout_or(HANDSHAKE_MAX),
            reply: args.timeout_or(REPLY_MAX),
            wiretap: CaptureRecorder::of_client(&args.record)?,
        };
        let terms = Terms { options, signer, patience };
        let mut meeting = Self {
            expected: args.trust.clone(),
            may_ask: !args.no_input && screen::is_interactive(),
            is_quiet: args.output.quiet,
            ..Self::new(args.server.clone(), identity, home)
        };
        let trusted = meeting.trusted()?;
        let outbox = outbox(identity)?;
        meeting.own = Own::new(&args.server, &identity, outbox.is_durable());
        Ok((meeting, Courier::new(terms, trusted, outbox)))
    }

    /// Goes on to the next thing that happens; a person is asked where only a person can say.
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&self, courier: &mut Courier) -> Result<CourierEvent, Failure> {
        loop {
            if let Some(undecided) = self.undecided.get() {
                let decided = self.decide(undecided).await;
                self.undecided.set(None);
                decided?;
                match undecided {
                    Undecided::Key(key) => courier.trust(key),
                    Undecided::History(_) => courier.adopt(),
                }
            }
            match courier.next().await {
                Ok(delivery) => {
                    match &delivery {
                        CourierEvent::Opened(welcome) => {
                            report(self.own.opened(&self.home, welcome.standing));
                            self.tell_aside();
                        }
                        CourierEvent::Counted { last_seq, sum } => {
                            self.own.counted(*last_seq, *sum);
                        }
                        CourierEvent::Unavailable | CourierEvent::Lost { .. } => {}
                    }
                    return Ok(delivery);
                }
                Err(CourierError::Lost(Lost::Enter(EnterError::Untrusted { key }))) => {
                    self.undecided.set(Some(Undecided::Key(*key)));
                }
                Err(CourierError::Delivery(DeliveryError::Objection(objection))) => {
                    self.object(objection, courier)?;
                }
                Err(error) => return Err(refusal::of(error, self)),
            }
        }
    }

    /// The server's account is not as the outbox knows it. What this home counted without the
    /// outbox may explain it; else a person may, where no value is in doubt.
    fn object(&self, objection: Objection, courier: &mut Courier) -> Result<(), Failure> {
        if self.aside.get() == AsideRecord::Unused
            && let Some(span) = self.own.aside(&self.home)
        {
            self.aside.set(AsideRecord::Tried(span));
            courier.set_aside(span);
            return Ok(());
        }
        self.aside.set(AsideRecord::Settled);
        let may_adopt = match objection {
            Objection::History { .. } => true,
            Objection::AnotherWriter { .. } => {
                courier.outbox().is_durable() && !courier.outbox().is_in_doubt()
            }
            Objection::WentBack { .. }
            | Objection::Beyond { .. }
            | Objection::Sum { .. }
            | Objection::SessionWentBack { .. } => false,
        };
        if may_adopt && self.may_ask && !self.has_asked.replace(true) {
            self.undecided.set(Some(Undecided::History(objection)));
            return Ok(());
        }
        Err(refuse(objection, may_adopt))
    }

    /// The session opened behind what this home had counted without the outbox.
    fn tell_aside(&self) {
        // Later there may be another record.
        if let AsideRecord::Tried(Span { from, to }) = self.aside.replace(AsideRecord::Unused)
            && !self.is_quiet
        {
            let count = to.0.get().saturating_sub(from.0.get());
            streams::say(&format!(
                "{count} integers were sent from this home without this outbox, and nothing else \
                 was counted since; the outbox continues from there."
            ));
        }
    }

    async fn decide(&self, undecided: Undecided) -> Result<(), Failure> {
        match undecided {
            Undecided::Key(key) => self.judge(&key).await,
            Undecided::History(objection) => {
                let question =
                    format!("{}.\nGo on from there? [y/N] ", sentence(&objection.to_string()));
                if self.asker.ask(&question).await? { Ok(()) } else { Err(refuse(objection, true)) }
            }
        }
    }

    /// Keeps how far this home has counted without an outbox. Where that cannot be written, it says
    /// so, and a new outbox asks.
    pub(crate) fn remember(&self) {
        report(self.own.keep(&self.home));
    }

    /// Goes on until a session is open.
    pub(crate) async fn open(
        &self,
        courier: &mut Courier,
        mut observe: impl FnMut(&Lost, Option<Duration>),
    ) -> Result<Welcome, Failure> {
        loop {
            match self.next(courier).await? {
                CourierEvent::Opened(welcome) => return Ok(welcome),
                CourierEvent::Lost { why, retry } => observe(&why, retry),
                CourierEvent::Counted { .. } | CourierEvent::Unavailable => {}
            }
        }
    }

    /// The keys known for the server; with `--trust`, only the one named.
    pub(crate) fn trusted(&self) -> Result<Vec<PublicKey>, Failure> {
        let servers = self.home.servers()?;
        let known = servers.iter().filter(|(server, _)| **server == self.server);
        let expected = |key: &PublicKey| {
            self.expected.as_ref().is_none_or(|wanted| *wanted == key.fingerprint())
        };
        Ok(known.map(|(_, key)| *key).filter(expected).collect())
    }

    /// Whether the key that the server has proven is to be trusted. What is stored is exactly the
    /// key shown.
    async fn judge(&self, key: &PublicKey) -> Result<(), Failure> {
        let (server, shown) = (&self.server, key.fingerprint());
        let refuse = |what: String| Err(Failure::new(Code::Identity, what));
        if let Contact::Changed { known } = self.home.servers()?.contact(server, key) {
            return Err(changed(server, &shown, &known));
        }
        match &self.expected {
            Some(expected) if *expected == shown => {}
            Some(expected) => {
                return refuse(format!(
                    "{server} shows the key {shown}, and --trust says {expected}"
                ))
                .map_err(|failure| {
                    failure
                        .cause("this is not the server you mean. Nothing was sent")
                        .next("ddes key show --server-key, on the server's machine: compare both")
                });
            }
            None if self.may_ask => {
                let question = format!(
                    "{server} is not known yet. Its key has the fingerprint\n  {shown}\nCompare \
                     it with what the server shows (`ddes key show --server-key` there).\nTrust \
                     it from now on? [y/N] "
                );
                if !self.asker.ask(&question).await? {
                    return refuse(format!("{server} is not trusted; nothing was sent"));
                }
            }
            None => {
                return refuse(format!("{server} is not known yet; it shows the key {shown}"))
                    .map_err(|failure| {
                        failure
                            .cause("without a terminal nobody can confirm that this is its key")
                            .next(format!(
                                "--trust {shown}     (after comparing it with `ddes key \
                                       show --server-key` there)"
                            ))
                    });
            }
        }
        let kept = self.home.edit_servers(|servers| servers.add(server, *key));
        match (kept, &self.expected) {
            // Whoever names the key each time needs nothing to be kept: a home may be read-only.
            (Err(failure), Some(_)) => {
                if !self.is_quiet {
                    streams::say(&format!(
                        "{server} is trusted this time, and not kept: {}",
                        failure.what()
                    ));
                }
                Ok(())
            }
            (kept, _) => kept,
        }
    }
}

fn changed(server: &ServerAddress, shown: &str, known: &[PublicKey]) -> Failure {
    let known: Vec<_> = known.iter().map(PublicKey::fingerprint).collect();
    let known = known.join(", ");
    let what = format!("THE KEY OF {server} HAS CHANGED. It shows {shown}; known is {known}");
    Failure::new(Code::Identity, what)
        .cause(
            "somebody is between you and the server, or the server has a new key. Nothing was sent",
        )
        .next(format!(
            "compare with `ddes key show --server-key` there; if it is the server's: \
             ddes trust rm {server}{}",
            home::flag()
        ))
}

/// Says what of this home could not be written; the command goes on.
fn report(written: Result<(), Failure>) {
    if let Err(failure) = written {
        streams::say(&format!("Not kept for the next command: {}", failure.what()));
    }
}

fn refuse(objection: Objection, may_adopt: bool) -> Failure {
    let failure = refusal::of_objection(objection);
    if may_adopt && !matches!(objection, Objection::History { .. }) {
        return refusal::with_adopt(failure);
    }
    failure
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

//! Two real sessions of one profile, client and server, and a wire between them that the data
//! commands: it delivers, splits, changes and makes up bytes, lets time pass and ends things.
//! Whatever it does, the server counts only a beginning of what was submitted, and the client
//! believes only true sums.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ddes_ffdhe::{Group, NamedGroup};
use ddes_identity::{Namespace, SigningKey};
use ddes_ledger::{
    AccountId, AccountNumber, Ledger, Operation, OperationOutcome, Refusal, Submission, Timestamp,
};
use ddes_session::{Phase, Ticket, classic, v2};
use ddes_wire::v2::{GroupSize, Scope, Status, Suite};
use ddes_wire::{Amount, Amounts, ClientId, Sequence, SessionNumber};
use zeroize::Zeroizing;

const SUITE: Suite = Suite::Ddes(GroupSize::Bits2048);
const CLIENT_SEED: [u8; 32] = [3; 32];
/// No run does more.
const STEPS_MAX: usize = 400;
/// What waits on the wire at most, in each direction.
const WIRE_BYTES_MAX: usize = 256 * 1024;

static GROUP: LazyLock<Group> = LazyLock::new(|| Group::named(NamedGroup::Ffdhe2048));

/// The fuzzer's bytes, taken one by one.
struct Commands<'a>(&'a [u8]);

impl Commands<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn short(&mut self) -> usize {
        let high = usize::from(self.byte().unwrap_or(0));
        high << 8 | usize::from(self.byte().unwrap_or(0))
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }
}

/// A session as the wire sees it.
trait Side {
    fn give(&mut self, now: Instant, bytes: &[u8]);
    fn end_of_stream(&mut self, now: Instant);
    fn wake(&mut self, now: Instant);
    fn wake_at(&self) -> Option<Instant>;
    /// Takes what it has to send.
    fn drain(&mut self, now: Instant, wire: &mut Vec<u8>);
    /// Runs what it wants computed, and has it process what waited.
    fn work(&mut self, now: Instant);
}

macro_rules! side {
    ($session:ty $(, $process_backlog:ident)?) => {
        impl Side for $session {
            fn give(&mut self, now: Instant, bytes: &[u8]) {
                self.handle_bytes(now, bytes);
            }
            fn end_of_stream(&mut self, now: Instant) {
                self.handle_eof(now);
            }
            fn wake(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn wake_at(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn drain(&mut self, now: Instant, wire: &mut Vec<u8>) {
                let count = self.pending().len().min(WIRE_BYTES_MAX - wire.len());
                wire.extend_from_slice(&self.pending()[..count]);
                self.sent(now, count);
            }
            fn work(&mut self, now: Instant) {
                while let Some(work) = self.poll_work() {
                    self.handle_done(now, work.run());
                }
                $(self.$process_backlog(now);)?
            }
        }
    };
}

side!(classic::ClientSession);
side!(classic::ServerSession);
side!(v2::ClientSession);
side!(v2::ServerSession, process_backlog);

/// What the profiles do differently.
trait Profile {
    type Client: Side;
    type Server: Side;

    fn sides(&mut self) -> (&mut Self::Client, &mut Self::Server);
    /// Deals with what happened on either side.
    fn react(&mut self, now: Instant);
    fn submit(&mut self, now: Instant, value: i64);
    fn disconnect(&mut self, now: Instant);
    fn order_end(&mut self, now: Instant, which: u8);
    /// The ledger answers at once, or lets wait.
    fn hold(&mut self, now: Instant, held: bool);
}

fn run(profile: &mut impl Profile, begin: Instant, data: &[u8]) {
    let mut commands = Commands(data);
    let mut now = begin;
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    for _ in 0..STEPS_MAX {
        settle(profile, now, &mut forth, &mut back);
        let Some(command) = commands.byte() else { break };
        let (client, server) = profile.sides();
        match command % 16 {
            0..=2 => server.give(now, &std::mem::take(&mut forth)),
            3..=5 => client.give(now, &std::mem::take(&mut back)),
            6 => {
                let count = commands.short().min(forth.len());
                server.give(now, &forth.drain(..count).collect::<Vec<_>>());
            }
            7 => {
                let count = commands.short().min(back.len());
                client.give(now, &back.drain(..count).collect::<Vec<_>>());
            }
            8 => flip(&mut forth, commands.short()),
            9 => flip(&mut back, commands.short()),
            10 => forth.extend(commands.bytes()),
            11 => back.extend(commands.bytes()),
            12 => {
                let value = i64::try_from(commands.short()).unwrap_or(0);
                profile.submit(now, value);
            }
            13 => {
                let time = Duration::from_millis(commands.short() as u64 * 4);
                now = pass(profile, now, time, &mut forth, &mut back);
            }
            14 => match commands.byte().unwrap_or(0) % 4 {
                0 => server.end_of_stream(now),
                1 => client.end_of_stream(now),
                2 => profile.disconnect(now),
                which => profile.order_end(now, which),
            },
            _ => {
                let held = commands.byte().unwrap_or(0).is_multiple_of(2);
                profile.hold(now, held);
            }
        }
    }
    settle(profile, now, &mut forth, &mut back);
}

fn settle(profile: &mut impl Profile, now: Instant, forth: &mut Vec<u8>, back: &mut Vec<u8>) {
    for _ in 0..4 {
        let (client, server) = profile.sides();
        client.work(now);
        server.work(now);
        client.drain(now, forth);
        server.drain(now, back);
        profile.react(now);
    }
}

/// Wakes each side whenever it asks for it.
fn pass(
    profile: &mut impl Profile,
    mut now: Instant,
    time: Duration,
    forth: &mut Vec<u8>,
    back: &mut Vec<u8>,
) -> Instant {
    let until = now + time;
    for _ in 0..64 {
        let (client, server) = profile.sides();
        let Some(at) =
            client.wake_at().into_iter().chain(server.wake_at()).min().filter(|at| *at <= until)
        else {
            break;
        };
        now = now.max(at);
        client.wake(now);
        server.wake(now);
        settle(profile, now, forth, back);
    }
    until
}

fn flip(wire: &mut [u8], at: usize) {
    if let Some(byte) = at.checked_rem(wire.len()).and_then(|at| wire.get_mut(at)) {
        *byte ^= 1 << (at % 8);
    }
}

/// The sum of the first `count` values submitted.
fn sum(submitted: &[i128], count: u64) -> Option<i128> {
    submitted.get(..usize::try_from(count).ok()?).map(|values| values.iter().sum())
}

struct Classic {
    client: classic::ClientSession,
    server: classic::ServerSession,
    submitted: Vec<i128>,
    counted: Vec<i128>,
    held: bool,
    waiting: Vec<(Ticket, Amount)>,
}

impl Classic {
    fn settle(&mut self, now: Instant, ticket: Ticket, amount: Amount) {
        self.counted.push(amount.get());
        let standing = ddes_wire::Standing {
            sum: ddes_wire::Total::new(self.counted.iter().sum()),
            ..ddes_wire::Standing::default()
        };
        self.server.settle(now, ticket, standing);
    }
}

impl Profile for Classic {
    type Client = classic::ClientSession;
    type Server = classic::ServerSession;

    fn sides(&mut self) -> (&mut Self::Client, &mut Self::Server) {
        (&mut self.client, &mut self.server)
    }

    /// Replays count again: that is the profile. Nothing that was never submitted does.
    fn react(&mut self, now: Instant) {
        while let Some(event) = self.server.poll_event() {
            if let classic::ServerEvent::Submit { ticket, amount } = event {
                assert!(self.submitted.contains(&amount.get()), "{amount} was never submitted");
                if self.held {
                    self.waiting.push((ticket, amount));
                } else {
                    self.settle(now, ticket, amount);
                }
            }
        }
        while let Some(event) = self.client.poll_event() {
            if let classic::ClientEvent::Result { sum } = event {
                let sums = (0..=self.counted.len())
                    .map(|count| self.counted[..count].iter().sum::<i128>());
                let mut sums: Vec<_> = sums.collect();
                // A 30 of the client's own, reflected, passes for a result where it is a decimal
                // number (THREATS.md).
                sums.extend(&self.submitted);
                assert!(sums.contains(&sum.get()), "{sum} was never a sum");
            }
        }
    }

    fn submit(&mut self, now: Instant, value: i64) {
        if self.client.submit(now, value.unsigned_abs()).is_ok() {
            self.submitted.push(i128::from(value));
        }
    }

    fn disconnect(&mut self, now: Instant) {
        self.client.disconnect(now).unwrap_or(());
    }

    fn order_end(&mut self, now: Instant, _: u8) {
        self.server.order_end(now, classic::EndReason::Shutdown);
    }

    fn hold(&mut self, now: Instant, held: bool) {
        self.held = held;
        if !held {
            for (ticket, amount) in std::mem::take(&mut self.waiting) {
                self.settle(now, ticket, amount);
            }
        }
    }
}

/// The original's wire.
pub fn classic_pair(data: &[u8]) {
    let now = Instant::now();
    let config = classic::ServerConfig {
        group: GROUP.clone(),
        idle: Duration::from_secs(60),
        handshake: Duration::from_secs(10),
        end_all: false,
    };
    let entropy = classic::ServerEntropy {
        exponent: Zeroizing::new([5; 64]),
        token: Zeroizing::new([7; 16]),
    };
    let client = classic::ClientConfig {
        id: ClientId::random([1; 16]),
        handshake: Duration::from_secs(10),
        reply: Duration::from_secs(10),
    };
    let exponent = Zeroizing::new([9; 64]);
    let mut pair = Classic {
        client: classic::ClientSession::new(client, now, classic::ClientEntropy { exponent }),
        server: classic::ServerSession::new(Arc::new(config), now, entropy),
        submitted: Vec::new(),
        counted: Vec::new(),
        held: false,
        waiting: Vec::new(),
    };
    run(&mut pair, now, data);
}

struct V2 {
    client: v2::ClientSession,
    server: v2::ServerSession,
    ledger: Ledger,
    account: Option<(AccountNumber, SessionNumber)>,
    submitted: Vec<i128>,
    held: bool,
    waiting: Vec<(Ticket, Sequence, Amounts)>,
    ends: u32,
}

impl V2 {
    fn add(&mut self, now: Instant, ticket: Ticket, first_seq: Sequence, amounts: Amounts) {
        let (account, session) = self.account.unwrap();
        let submission = Submission { account, session, first_seq, amounts };
        let outcome = self.ledger.commit(Timestamp(0), &[Operation::Add(submission)]).remove(0);
        let OperationOutcome::Decided(verdict) = outcome else {
            panic!("another's answer: {outcome:?}")
        };
        let verdict = match verdict {
            Ok(proof) => {
                let standing = proof.standing();
                assert_eq!(Some(standing.sum.get()), sum(&self.submitted, standing.last_seq.get()));
                Ok(standing)
            }
            Err(Refusal::Gap { .. }) => Err(v2::Refused::Gap),
            Err(Refusal::Malformed) => Err(v2::Refused::Malformed),
            Err(Refusal::Superseded { .. }) => Err(v2::Refused::Superseded),
            Err(Refusal::Unavailable) => panic!("memory is always there"),
        };
        self.server.handle_verdict(now, ticket, verdict);
    }

    fn handle(&mut self, now: Instant, event: v2::ServerEvent) {
        match event {
            v2::ServerEvent::Authenticated { ticket, key } => {
                let client = SigningKey::from_seed(&CLIENT_SEED).public();
                assert_eq!(*key, client, "a proof nobody made");
                let account = AccountId::Identity(*key.as_bytes());
                let outcome =
                    self.ledger.commit(Timestamp(0), &[Operation::Open(account)]).remove(0);
                let OperationOutcome::Opened(Ok(opening)) = outcome else { panic!("{outcome:?}") };
                self.account = Some((opening.account, opening.session));
                self.server.admit(now, ticket, opening.session, opening.proof.standing(), false);
            }
            v2::ServerEvent::Submit { ticket, first_seq, amounts } if self.held => {
                self.waiting.push((ticket, first_seq, amounts));
            }
            v2::ServerEvent::Submit { ticket, first_seq, amounts } => {
                self.add(now, ticket, first_seq, amounts);
            }
            v2::ServerEvent::EndAll => panic!("it is no operator"),
            v2::ServerEvent::Ended(_) => self.ends += 1,
            v2::ServerEvent::TokenShared | v2::ServerEvent::Answered(_) => {}
        }
    }
}

impl Profile for V2 {
    type Client = v2::ClientSession;
    type Server = v2::ServerSession;

    fn sides(&mut self) -> (&mut Self::Client, &mut Self::Server) {
        (&mut self.client, &mut self.server)
    }

    fn react(&mut self, now: Instant) {
        while let Some(event) = self.server.poll_event() {
            self.handle(now, event);
        }
        // The answers, and the end of a session that waited for them, are events too.
        self.server.flush_answers(now);
        while let Some(event) = self.server.poll_event() {
            self.handle(now, event);
        }
        assert!(self.ends <= 1 && (self.ends == 0 || self.server.phase() != Phase::Live));
        while let Some(event) = self.client.poll_event() {
            match event {
                v2::ClientEvent::ServerProven { key } => {
                    assert_eq!(
                        key,
                        SigningKey::from_seed(&[200; 32]).public(),
                        "a proof nobody made"
                    );
                    let client = SigningKey::from_seed(&CLIENT_SEED);
                    if let Some(claim) = self.client.claim(&client.public()) {
                        let signature = client.sign(Namespace::Client, &claim);
                        self.client.prove(now, &client.public(), signature).unwrap();
                    }
                }
                v2::ClientEvent::Answered(answer) => {
                    assert_eq!(Some(answer.sum.get()), sum(&self.submitted, answer.last_seq.get()));
                    assert_eq!(answer.status, Status::Applied);
                }
                v2::ClientEvent::Ready(welcome) => {
                    assert_eq!(welcome.standing.last_seq, Sequence::NONE);
                }
                v2::ClientEvent::Ended(_) => {}
            }
        }
    }

    fn submit(&mut self, now: Instant, value: i64) {
        let first_seq = Sequence::new(self.submitted.len() as u64 + 1);
        if self.client.submit(now, first_seq, &[value, -value]).is_ok() {
            self.submitted.extend([i128::from(value), -i128::from(value)]);
        }
    }

    fn disconnect(&mut self, now: Instant) {
        self.client.disconnect(now, Scope::Session).unwrap_or(());
    }

    fn order_end(&mut self, now: Instant, which: u8) {
        self.server.order_end(now, ddes_wire::v2::Reason::ShuttingDown, which == 0);
    }

    fn hold(&mut self, now: Instant, held: bool) {
        self.held = held;
        if !held {
            for (ticket, first_seq, amounts) in std::mem::take(&mut self.waiting) {
                self.add(now, ticket, first_seq, amounts);
            }
            self.server.flush_answers(now);
        }
    }
}

/// D-DDES/2, in the suite whose handshake is the quicker.
pub fn v2_pair(data: &[u8]) {
    let now = Instant::now();
    let noise = |seed: u8| v2::noise::Entropy {
        dh: Zeroizing::new(vec![seed; 64]),
        kem: Zeroizing::new([seed; 64]),
    };
    let config = v2::ServerConfig {
        suites: vec![SUITE],
        key: SigningKey::from_seed(&[200; 32]),
        idle: Duration::from_secs(60),
        handshake: Duration::from_secs(10),
        values_max: 100,
    };
    let client = v2::ClientConfig {
        suite: SUITE,
        handshake: Duration::from_secs(10),
        reply: Duration::from_secs(10),
    };
    let entropy = v2::ServerEntropy { noise: noise(2), token: Zeroizing::new([7; 16]) };
    let mut pair = V2 {
        client: v2::ClientSession::new(client, now, noise(1)),
        server: v2::ServerSession::new(Arc::new(config), now, entropy),
        ledger: Ledger::in_memory(),
        account: None,
        submitted: Vec::new(),
        held: false,
        waiting: Vec::new(),
        ends: 0,
    };
    run(&mut pair, now, data);
}

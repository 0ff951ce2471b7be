//! Rung 7: what a connection costs a server before anybody has proven anything.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroU64};
use std::thread::JoinHandle;
use std::time::Duration;

use crypto_bigint::BoxedUint;
use crypto_primes::Flavor;
use crypto_primes::hazmat::SmallFactorsSieve;
use ddes_server::endpoint::Bounds;
use ddes_session::v2::noise::Initiator;
use ddes_session::v2::{prologue, protocol};
use ddes_wire::classic::DhPublicKey;
use ddes_wire::v2::{Hello, Reason, Rejection};

use super::scene::{END, KEY};
use crate::stage::{
    By, FrameStream, LabServer, Leg, RawFrame, SUITE, ServerPlan, Way, accept, processor_time,
    v2_entropy,
};
use crate::{Lab, LabError, Recorded, Seed, Trial, hex};

/// Bits of the fresh primes here; the original's have 2048.
const FRESH_BITS: NonZeroU32 = NonZeroU32::MIN.saturating_add(511);
const ORIGINAL_BITS: u32 = 2048;
/// What a connection cost the original's server, in processor time: the median of 12, and their
/// range.
const ORIGINAL_SECS: &str = "12 s a connection in the median of 12, and 1 s to 60 s";
/// How many handshakes a second the lab's D-DDES/2 server computes for one address. The default of
/// `ddes serve` is 1,000.
const HANDSHAKES_PER_SEC: NonZeroU32 = NonZeroU32::MIN;
const FLOOD: u32 = 40;

/// Connections that the attacker makes.
pub(super) fn connections(seed: &Seed) -> u32 {
    // The range is small.
    u32::try_from(seed.number("rung 7/connections", 3, 6)).unwrap_or(3)
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let server = OriginalServer::start(&lab.seed)?;
    lab.scene(format!(
        "A server does what the original does: for each connection it makes a new safe prime. \
         Here it has {FRESH_BITS} bits instead of {ORIGINAL_BITS}. It listens on {}, loopback \
         only.",
        server.address
    ));
    let connections = connections(&lab.seed);
    let told = lab.veiled(connections);
    lab.does(format!("Connects {told} times, sends nothing, and leaves."));
    let mut primes = Vec::new();
    let mut frames = Vec::new();
    for connection in 1..=connections {
        let mut stream = FrameStream::connect(server.address)?;
        let body = stream.expect(KEY)?;
        let key = DhPublicKey::from_pem(&body);
        let key = key.map_err(|error| LabError::unplanned(error.to_string()))?;
        if connection == 1 || !lab.is_quiz {
            let begins = hex(key.prime.get(..8).unwrap_or(&key.prime));
            lab.sees(format!("A 10 with a prime that nobody saw before: {begins}…"));
        }
        primes.push(key.prime);
        frames.push(of_server(connection, &RawFrame::new(KEY, body)));
    }
    let spent = server.join()?;
    let each = spent / connections;
    lab.gets(format!(
        "{} ms of the server's processor for each connection, for 0 bytes sent.",
        millis(each)
    ));
    let factor = (ORIGINAL_BITS / FRESH_BITS).pow(5);
    let by_rule = each.saturating_mul(factor);
    lab.lesson(format!(
        "Candidates grow with the square of the bits and each trial with their cube: by this rule \
         2048 bits take 4^5 = {factor} times as long, {:.0} s with this program. The original's \
         library searches faster: {ORIGINAL_SECS} were measured. A handful of connections keeps \
         its server busy for minutes.",
        by_rule.as_secs_f64()
    ));
    primes.sort_unstable();
    primes.dedup();
    let is_fresh = primes.len() == connections as usize;
    let trial = if is_fresh && spent > Duration::ZERO {
        Trial::succeeded(format!("{} ms of processor for each empty connection", millis(each)))
    } else {
        Trial::unexpected(format!("{} different primes", primes.len()))
    };
    let trial = trial.answer(lab, "connections", connections);
    let trial = trial.fact("prime_bits", FRESH_BITS.get());
    let trial = trial.answer(lab, "different_primes", primes.len()).frames(frames);
    Ok(trial.fact("processor_ms_each", each.as_secs_f64() * 1e3).fact("bytes_sent", 0))
}

/// What the server sent on one of several connections.
fn of_server(connection: u32, frame: &RawFrame) -> Recorded {
    Recorded::now(Way::ToClient, By::Server, Leg::Server, frame).on(connection)
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

/// A server that makes a group for each connection, as the original does.
struct OriginalServer {
    address: SocketAddr,
    thread: JoinHandle<Option<Duration>>,
}

impl OriginalServer {
    fn start(seed: &Seed) -> Result<Self, LabError> {
        let failed = "cannot listen on loopback";
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(LabError::system(failed))?;
        let address = listener.local_addr().map_err(LabError::system(failed))?;
        let (seed, count) = (seed.clone(), connections(seed));
        let thread = std::thread::Builder::new()
            .name("lab server".into())
            .spawn(move || serve(&listener, &seed, count))
            .map_err(LabError::system("cannot start a thread"))?;
        Ok(Self { address, thread })
    }

    /// The processor time of its connections.
    fn join(self) -> Result<Duration, LabError> {
        let spent = self.thread.join().ok().flatten();
        spent.ok_or_else(|| LabError::unplanned("the server found no prime"))
    }
}

fn serve(listener: &TcpListener, seed: &Seed, connections: u32) -> Option<Duration> {
    let begun = processor_time();
    for number in 0..connections {
        let (stream, _) = accept(listener).ok()?;
        let prime = fresh_prime(seed, number)?;
        // What a public value is like does not matter here: nobody answers.
        let public = seed.draw::<64>(&format!("rung 7/public/{number}"));
        let key = DhPublicKey { prime, generator: vec![2], public: public[1..].to_vec() };
        let pem = key.to_pem().ok()?;
        FrameStream::new(stream).ok()?.write(&RawFrame::new(KEY, pem)).ok()?;
    }
    Some(processor_time().saturating_sub(begun))
}

/// A new safe prime, by the sieve and the test with which received groups are checked.
fn fresh_prime(seed: &Seed, number: u32) -> Option<Vec<u8>> {
    let mut start = seed.draw::<64>(&format!("rung 7/prime/{number}"));
    // As many bits as promised, and room to search upwards.
    start[0] = start[0] & 0xbf | 0x80;
    let start = BoxedUint::from_be_slice_vartime(&start);
    let mut candidates = SmallFactorsSieve::new(start, FRESH_BITS, true).ok()?;
    let prime = candidates.find(|number| crypto_primes::is_prime(Flavor::Safe, number))?;
    Some(prime.to_be_bytes().to_vec())
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let label = "rung 7/v2";
    let mut plan = ServerPlan::v2(&lab.seed, label, Vec::new());
    plan.bounds = Bounds { handshakes_per_sec_max: Some(HANDSHAKES_PER_SEC), ..plan.bounds };
    let server = LabServer::start(plan)?;
    lab.scene(format!(
        "A D-DDES/2 server listens on {}, loopback only. Its limit for the handshakes of one \
         address is {HANDSHAKES_PER_SEC} a second, in bursts of twice as many (the default is \
         1,000).",
        server.address()
    ));
    let entropy = v2_entropy(&lab.seed, "rung 7/attacker");
    let (_, noise) = Initiator::start(protocol(SUITE), &prologue(SUITE), &entropy, &[]);
    let hello = RawFrame::new(KEY, Hello { suite: SUITE, noise: &noise }.encode());
    lab.does(format!(
        "Computes one message 1, once, and sends the same {} bytes on {FLOOD} connections.",
        hello.encode().len()
    ));
    let begun = std::time::Instant::now();
    let (mut answered, mut refused, mut other) = (0_u32, 0_u32, 0_u32);
    let mut refusal_bytes = 0;
    // Message 1 is the same on every connection, and is written down once.
    let first = Recorded::now(Way::ToServer, By::Attacker, Leg::Server, &hello);
    let mut frames = vec![first];
    for connection in 1..=FLOOD {
        let mut stream = FrameStream::connect(server.address())?;
        stream.write(&hello)?;
        let answer = stream.read()?;
        match &answer {
            Some(frame) if frame.opcode == KEY => answered += 1,
            Some(frame) if is_too_many(frame) => {
                refused += 1;
                refusal_bytes = frame.encode().len();
            }
            Some(_) | None => other += 1,
        }
        frames.extend(answer.map(|frame| of_server(connection, &frame)));
    }
    let secs = begun.elapsed().as_secs() + 1;
    let counted = server.counted();
    lab.server(&server);
    lab.sees(format!("{answered} answers, {refused} refusals (50, reason 9, in the clear)."));
    let each = NonZeroU64::new(counted.handshakes)
        .map_or(Duration::ZERO, |of| counted.processor.div_f64(of.get() as f64));
    lab.gets(format!(
        "{} ms of the server's processor for each handshake that was computed, and none of the \
         costly part for the others.",
        millis(each)
    ));
    let rate = u64::from(HANDSHAKES_PER_SEC.get());
    let most = rate * 2 + rate * secs;
    let is_bounded = u64::from(answered) <= most && counted.handshakes <= most;
    let trial = if is_bounded && refused > 0 && other == 0 {
        lab.stopped(format!(
            "The group is fixed, and the limits for an address come before any exponentiation \
             (P-28). Whoever is over them costs the server an accept, a read of {} bytes and a 50 \
             of {refusal_bytes} bytes.",
            hello.encode().len()
        ));
        Trial::stopped("limits before any exponentiation", "P-28")
    } else {
        Trial::unexpected(format!("{answered} answers of {most}, {refused} refusals, {other} else"))
    };
    let trial = trial.fact("connections", FLOOD).fact("handshakes_computed", counted.handshakes);
    let trial = trial.fact("message_1_bytes", hello.encode().len()).frames(frames);
    let trial = trial.fact("refused", refused).fact("connections_at_the_door", counted.accepted);
    Ok(trial
        .fact("processor_ms_each", each.as_secs_f64() * 1e3)
        .fact("refused_at_the_door", counted.refused))
}

fn is_too_many(frame: &RawFrame) -> bool {
    frame.opcode == END
        && Rejection::decode(&frame.body)
            .is_some_and(|rejection| rejection.reason == Reason::TooMany)
}

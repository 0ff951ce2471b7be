//! Secrets to keys: everything is computed again from what one end drew, by the session's own code,
//! and must give the bytes of the capture.

use ddes_cipher::Key;
use ddes_ffdhe::{Exponent, Group, NamedGroup, PublicValue};
use ddes_session::v2::noise::{
    Entropy, Finished, HandshakeStep, Initiator, SymmetricOperation, respond_traced,
};
use ddes_session::v2::{kem, prologue, protocol};
use ddes_wire::classic::DhPublicKey;
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{GroupSize, Hello, Suite};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::classic;
use super::record::Records;
use super::v2::gaps;
use super::work::{WorkBudget, of_des, of_handshake, of_trial};
use crate::conversation::{Conversation, Direction, Frame, Profile};
use crate::opened::{OpenedClassic, OpenedKeys, OpenedV2};
use crate::secrets::{Hex, SecretRole, SessionSecrets};

/// Why secrets do not open a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenRefusal {
    #[error("the secrets are of another session")]
    OtherSession,
    #[error("the capture does not hold the handshake that the secrets need")]
    NoHandshake,
    #[error("the secrets are of the other wire")]
    OtherWire,
    #[error("the handshake in the capture is not valid")]
    Handshake,
    #[error("too much was computed for other secrets and gaps before")]
    Spent,
}

/// Tries secrets until one opens the conversation, and gives it with what it opened. Without any
/// that name it, none were meant.
pub(super) fn first<'a>(
    conversation: &Conversation,
    secrets: impl Iterator<Item = &'a SessionSecrets> + Clone,
    trials_max: usize,
    work: &mut WorkBudget,
) -> Result<Option<(OpenedKeys, SessionSecrets)>, OpenRefusal> {
    let names = |secrets: &&SessionSecrets| {
        secrets.client.is_none_or(|client| client == conversation.client)
            && secrets.server.is_none_or(|server| server == conversation.server)
    };
    let named = secrets.clone().filter(names);
    // Addresses change on the way; the secrets of another one are tried too.
    let others = secrets.filter(|secrets| !names(secrets));
    let mut refusal = None;
    for secrets in named.chain(others).take(trials_max) {
        match open(conversation, secrets, work) {
            Ok(opened) => return Ok(Some((opened, secrets.clone()))),
            Err(OpenRefusal::Spent) => return Err(OpenRefusal::Spent),
            // The reason that says most: the one of the secrets that name this conversation.
            Err(reason) if names(&secrets) => refusal = refusal.or(Some(reason)),
            Err(_) => {}
        }
    }
    refusal.map_or(Ok(None), Err)
}

/// What the secrets give; what was computed for it is paid for unless they do.
pub(super) fn open(
    conversation: &Conversation,
    secrets: &SessionSecrets,
    work: &mut WorkBudget,
) -> Result<OpenedKeys, OpenRefusal> {
    match conversation.profile {
        Profile::Classic => {
            let opened = classic_keys(conversation, secrets, work)?;
            let lengths = conversation.frames.iter().map(|frame| frame.bytes.len());
            paid(work, of_des(lengths.fold(0, usize::max)), || {
                match classic::fits(&opened, &conversation.frames) {
                    Some(true) | None => Ok(OpenedKeys::Classic(Box::new(opened))),
                    Some(false) => Err(OpenRefusal::OtherSession),
                }
            })
        }
        Profile::V2 { suite } => {
            let opened = v2_keys(conversation, suite, secrets, work)?;
            Ok(OpenedKeys::V2(Box::new(opened)))
        }
    }
}

/// Computes something that is free if it succeeds.
fn paid<T>(
    work: &mut WorkBudget,
    cost: u64,
    compute: impl FnOnce() -> Result<T, OpenRefusal>,
) -> Result<T, OpenRefusal> {
    if !work.pay(cost) {
        return Err(OpenRefusal::Spent);
    }
    let found = compute()?;
    work.give_back(cost);
    Ok(found)
}

/// Rule C-09, from whatever the secrets hold.
fn classic_keys(
    conversation: &Conversation,
    secrets: &SessionSecrets,
    work: &mut WorkBudget,
) -> Result<OpenedClassic, OpenRefusal> {
    if let Some(shared) = drawn_shared(conversation, secrets, work).transpose()? {
        return Ok(from_shared(shared));
    }
    if let Some(shared) = &secrets.shared {
        return Ok(from_shared(shared.0.clone()));
    }
    let keys = secrets.key1.as_ref().and_then(Hex::array::<8>);
    let (Some(key1), Some(key2)) = (keys, secrets.key2.as_ref().and_then(Hex::array::<8>)) else {
        return Err(OpenRefusal::OtherWire);
    };
    let mut okm = Zeroizing::new([0; 16]);
    okm.iter_mut().zip(key1.iter().chain(key2.iter())).for_each(|(to, from)| *to = *from);
    let token = secrets.token.as_ref().and_then(Hex::array::<16>);
    Ok(OpenedClassic { shared: None, prk: None, okm, key1, key2, token })
}

/// The shared value from an exponent: its own public value must be the one of its frame.
fn drawn_shared(
    conversation: &Conversation,
    secrets: &SessionSecrets,
    work: &mut WorkBudget,
) -> Option<Result<Zeroizing<Vec<u8>>, OpenRefusal>> {
    let (role, entropy) = (secrets.role?, secrets.dh.as_ref()?);
    let key_of = |direction| {
        let frame = first_key(&conversation.frames, direction)?;
        DhPublicKey::from_pem(frame.body()).ok()
    };
    let (Some(server), Some(client)) = (key_of(Direction::ToClient), key_of(Direction::ToServer))
    else {
        return Some(Err(OpenRefusal::NoHandshake));
    };
    let (own, peer) = match role {
        SecretRole::Client => (client.public, server.public),
        SecretRole::Server => (server.public, client.public),
    };
    let group = match work.group(&server.prime, &server.generator) {
        Ok(group) => group,
        Err(is_spent) => {
            return Some(Err(if is_spent { OpenRefusal::Spent } else { OpenRefusal::Handshake }));
        }
    };
    let cost = of_handshake(group.prime_len());
    Some(paid(work, cost, || agree(&group, &entropy.0, &own, &peer)))
}

fn agree(
    group: &Group,
    entropy: &[u8],
    own: &[u8],
    peer: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenRefusal> {
    if entropy.len() < group.exponent_len() {
        return Err(OpenRefusal::OtherSession);
    }
    let exponent = Exponent::from_entropy(group, entropy);
    let own = PublicValue::received(group, own).map_err(|_| OpenRefusal::Handshake)?;
    if exponent.public_value() != own {
        return Err(OpenRefusal::OtherSession);
    }
    let peer = PublicValue::received(group, peer).map_err(|_| OpenRefusal::Handshake)?;
    let shared = exponent.agree(&peer).map_err(|_| OpenRefusal::Handshake)?;
    Ok(Zeroizing::new(shared.as_bytes().to_vec()))
}

#[allow(clippy::expect_used, reason = "16 bytes are within HKDF-SHA256's 8,160")]
fn from_shared(shared: Zeroizing<Vec<u8>>) -> OpenedClassic {
    let (prk, hkdf) = Hkdf::<Sha256>::extract(None, &shared);
    let mut okm = Zeroizing::new([0; 16]);
    hkdf.expand(b"handshake data", okm.as_mut()).expect("16 bytes are a valid HKDF length");
    let half = |at: usize| Zeroizing::new(std::array::from_fn(|i| okm[at + i]));
    OpenedClassic {
        shared: Some(shared),
        prk: Some(Zeroizing::new(prk.into())),
        key1: half(0),
        key2: half(8),
        okm: okm.clone(),
        token: None,
    }
}

/// The Noise handshake, or the keys that came out of it.
fn v2_keys(
    conversation: &Conversation,
    suite: Option<Suite>,
    secrets: &SessionSecrets,
    work: &mut WorkBudget,
) -> Result<OpenedV2, OpenRefusal> {
    let frames = &conversation.frames;
    if let (Some(role), Some(dh)) = (secrets.role, &secrets.dh) {
        let hello = first_key(frames, Direction::ToServer).ok_or(OpenRefusal::NoHandshake)?;
        let answer = first_key(frames, Direction::ToClient).ok_or(OpenRefusal::NoHandshake)?;
        let hello = Hello::decode(hello.body()).map_err(|_| OpenRefusal::Handshake)?;
        let group = group(hello.suite);
        let (finished, steps) = paid(work, of_handshake(group.prime_len()), || {
            run(role, dh, secrets.kem.as_ref(), &group, &hello, answer.body())
        })?;
        let mut opened = of_split(suite, &finished.to_server, &finished.to_client);
        opened.hash = Some(finished.hash);
        opened.steps = steps;
        return Ok(opened);
    }
    let (to_server, to_client) = (secrets.to_server.as_ref(), secrets.to_client.as_ref());
    let to_server = to_server.and_then(Hex::array::<32>).ok_or(OpenRefusal::OtherWire)?;
    let to_client = to_client.and_then(Hex::array::<32>).ok_or(OpenRefusal::OtherWire)?;
    // Without message 1, both cipher functions are tried by their tags.
    let suites = suite
        .map_or_else(|| vec![Some(Suite::ALL[0]), Some(Suite::ALL[3])], |suite| vec![Some(suite)]);
    for suite in suites {
        let mut opened = of_split(suite, &to_server, &to_client);
        if fits(&opened, conversation, work)? {
            opened.hash = secrets.hash.as_ref().and_then(Hex::array::<32>).map(|hash| *hash);
            return Ok(opened);
        }
    }
    Err(OpenRefusal::OtherSession)
}

fn group(suite: Suite) -> Group {
    Group::named(match suite.group() {
        GroupSize::Bits2048 => NamedGroup::Ffdhe2048,
        GroupSize::Bits3072 => NamedGroup::Ffdhe3072,
        GroupSize::Bits4096 => NamedGroup::Ffdhe4096,
    })
}

/// Runs one end's handshake again.
fn run(
    role: SecretRole,
    dh: &Hex,
    kem: Option<&Hex>,
    group: &Group,
    hello: &Hello<'_>,
    answer: &[u8],
) -> Result<(Finished, Vec<HandshakeStep>), OpenRefusal> {
    let suite = hello.suite;
    if dh.0.len() < group.exponent_len() {
        return Err(OpenRefusal::OtherSession);
    }
    let mut seed = Zeroizing::new([0; kem::SEED_BYTES]);
    if let Some(kem) = kem {
        seed.iter_mut().zip(kem.0.iter()).for_each(|(to, from)| *to = *from);
    } else if suite.is_hybrid() {
        return Err(OpenRefusal::OtherSession);
    }
    let entropy = Entropy { dh: dh.0.clone(), kem: seed };
    match role {
        SecretRole::Client => {
            let (initiator, message) =
                Initiator::start_traced(protocol(suite), &prologue(suite), &entropy, &[]);
            if message != hello.noise {
                return Err(OpenRefusal::OtherSession);
            }
            let ((finished, _), steps) =
                initiator.finish_traced(answer).map_err(|_| OpenRefusal::Handshake)?;
            Ok((finished, steps))
        }
        SecretRole::Server => {
            let protocol = protocol(suite);
            let (response, steps) =
                respond_traced(&protocol, &prologue(suite), &entropy, hello.noise, &[])
                    .map_err(|_| OpenRefusal::Handshake)?;
            if response.message != answer {
                return Err(OpenRefusal::OtherSession);
            }
            Ok((response.finished, steps))
        }
    }
}

fn of_split(suite: Option<Suite>, to_server: &Key, to_client: &Key) -> OpenedV2 {
    let function = function(suite);
    OpenedV2 {
        suite,
        steps: Vec::new(),
        hash: None,
        to_server: Records::new(function, to_server).epochs,
        to_client: Records::new(function, to_client).epochs,
        token: None,
    }
}

pub(super) fn function(suite: Option<Suite>) -> ddes_cipher::Function {
    match suite {
        Some(Suite::Ddes(_)) => ddes_cipher::Function::Ddes,
        Some(Suite::Hybrid(_)) | None => ddes_cipher::Function::DdesChaCha,
    }
}

/// Whether the first record of either direction opens; others before it may be missing only where
/// the capture has a gap.
fn fits(
    opened: &OpenedV2,
    conversation: &Conversation,
    work: &mut WorkBudget,
) -> Result<bool, OpenRefusal> {
    let gaps = gaps(&conversation.notes);
    for (direction, epochs) in
        [(Direction::ToClient, &opened.to_client), (Direction::ToServer, &opened.to_server)]
    {
        let is_record =
            |frame: &&Frame| frame.direction == direction && frame.field("tag").is_some();
        let first = conversation.frames.iter().find(is_record);
        let (Some(epoch), Some(frame)) = (epochs.first(), first) else { continue };
        let mut records = Records::new(function(opened.suite), &epoch.key);
        if gaps.iter().any(|(before, of)| *before <= frame.number && *of == direction) {
            records.pass_gap();
        }
        let Some((header, body)) = frame.bytes.split_at_checked(8) else { continue };
        let cost = of_trial(body.len());
        if !work.pay(cost) {
            return Err(OpenRefusal::Spent);
        }
        if records.open(header, body, work).is_some() {
            work.give_back(cost);
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first 10 of a direction.
pub(super) fn first_key(frames: &[Frame], direction: Direction) -> Option<&Frame> {
    frames.iter().find(|frame| {
        frame.direction == direction && frame.opcode == Opcode::KeyVerification.number()
    })
}

impl SessionSecrets {
    /// The same with the keys that they led to, for readers that cannot compute them.
    #[must_use]
    pub fn with_keys_of(mut self, opened: &OpenedKeys) -> Self {
        match opened {
            OpenedKeys::Classic(opened) => {
                self.key1 = Some(Hex::of(opened.key1.as_ref()));
                self.key2 = Some(Hex::of(opened.key2.as_ref()));
            }
            OpenedKeys::V2(opened) => {
                let first = |epochs: &[crate::Epoch]| {
                    epochs.first().map(|epoch| Hex::of(epoch.key.as_ref()))
                };
                self.to_server = first(&opened.to_server);
                self.to_client = first(&opened.to_client);
                self.hash = opened.hash.map(|hash| Hex::of(&hash));
                let mixed =
                    opened.steps.iter().filter(|step| step.operation == SymmetricOperation::MixKey);
                let keys = mixed.filter_map(|step| step.key.as_ref().map(|key| Hex::of(&key[..])));
                self.handshake_keys = Some(keys.collect());
            }
        }
        self
    }
}

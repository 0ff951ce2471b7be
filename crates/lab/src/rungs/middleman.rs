//! Rung 5: an attacker in the middle, who has a handshake with each end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddes_cipher::Function;
use ddes_ffdhe::Exponent;
use ddes_identity::Role;
use ddes_session::v2::noise::{Initiator, respond};
use ddes_session::v2::record::{Opener, Sealer};
use ddes_session::v2::{ClientEnd, ClientFault, Ffdhe, prologue, protocol};
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode};
use ddes_wire::v2::Hello;
use serde_json::{Value, json};

use super::scene::{self, DATA, KEY, RESULT, TOKEN, values};
use crate::keys::{self, ClassicKeys};
use crate::stage::{
    LabServer, Met, RawFrame, Relay, SUITE, ServerPlan, V2Client, Way, identity, server_key,
    v2_entropy, v2_words,
};
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 5/classic";
/// What the attacker adds to each integer.
const ADDED: u64 = 1_000_000;

/// What the attacker in the middle has to tell.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    /// His keys with the client, and with the server.
    client: Option<ClassicKeys>,
    server: Option<ClassicKeys>,
}

/// The attacker in the middle of a classic session.
struct Middleman {
    /// His exponents: for the client, and for the server.
    exponents: [Option<Exponent>; 2],
    public: [String; 2],
    client: Option<ClassicKeys>,
    server: Option<ClassicKeys>,
    /// The server's 10, until his own exponent meets it.
    server_key: Vec<u8>,
    token: Vec<u8>,
    notes: Arc<Mutex<Notes>>,
    /// Whether integers and sums are not told.
    is_quiz: bool,
    added: u64,
}

impl Middleman {
    fn new(lab: &Lab<'_>, notes: Arc<Mutex<Notes>>) -> Result<Self, LabError> {
        let (seed, is_quiz) = (&lab.seed, lab.is_quiz);
        let group = keys::group();
        let draw =
            |end: &str| keys::exponent(&group, &seed.draw(&format!("{LABEL}/middleman/{end}")));
        let (client, server) = (draw("client"), draw("server"));
        let public = [keys::key_pem(&group, &client)?, keys::key_pem(&group, &server)?];
        let exponents = [Some(client), Some(server)];
        Ok(Self {
            exponents,
            public,
            client: None,
            server: None,
            server_key: Vec::new(),
            token: Vec::new(),
            notes,
            is_quiz,
            added: 0,
        })
    }

    fn note(&self, line: String) {
        lock(&self.notes).lines.push(line);
    }

    fn told(&self, number: u64) -> String {
        if self.is_quiz { "[?]".into() } else { number.to_string() }
    }

    fn agree(&mut self, end: usize, other: &[u8]) -> Option<ClassicKeys> {
        keys::agreed(&keys::group(), self.exponents[end].take()?, other).ok()
    }

    /// What he makes of a frame; `None` for what he does not change.
    fn changed(&mut self, way: Way, frame: &RawFrame) -> Option<Vec<u8>> {
        match (way, frame.opcode) {
            (Way::ToClient, KEY) => {
                self.server_key = frame.body.clone();
                Some(self.public[0].clone().into_bytes())
            }
            (Way::ToServer, KEY) => {
                self.client = self.agree(0, &frame.body);
                let server_key = std::mem::take(&mut self.server_key);
                self.server = self.agree(1, &server_key);
                let mut notes = lock(&self.notes);
                (notes.client, notes.server) = (self.client, self.server);
                Some(self.public[1].clone().into_bytes())
            }
            (Way::ToClient, TOKEN) => {
                self.token = self.server?.open_token(&frame.body)?;
                self.note(format!("The token: {}.", hex(&self.token)));
                Some(self.client?.seal_token(&self.token))
            }
            (Way::ToServer, DATA) => {
                let (value, uuid) = self.client?.open_data(&frame.body)?;
                let forged = value.checked_add(ADDED)?;
                self.added += ADDED;
                let (read, made) = (self.told(value), self.told(forged));
                self.note(format!("Reads {read} and makes it {made}."));
                let plaintext = [&forged.to_be_bytes()[..], &uuid].concat();
                Some(self.server?.seal_data(&plaintext, &self.token))
            }
            (Way::ToClient, RESULT) => {
                let sum: u64 = self.server?.open_result(&frame.body)?.parse().ok()?;
                let told = sum.checked_sub(self.added)?;
                let (read, made) = (self.told(sum), self.told(told));
                self.note(format!("Reads the sum {read} and tells the client {made}."));
                Some(self.client?.seal_result(&told.to_string()))
            }
            (_, _) => None,
        }
    }
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let values = values(&lab.seed, LABEL, 2, 1, 999);
    let notes = Arc::new(Mutex::new(Notes::default()));
    let mut middleman = Middleman::new(lab, Arc::clone(&notes))?;
    let deed = move |way: Way, frame: &RawFrame| {
        let body = middleman.changed(way, frame).unwrap_or_else(|| frame.body.clone());
        vec![(way, RawFrame::new(frame.opcode, body))]
    };
    let mut scene = scene::classic(lab, LABEL, deed)?;
    lab.does("Answers the client with a public value of his own, and the server with another.");
    lab.gets("Two handshakes, two pairs of keys. Each end believes that it talks to the other.");
    let mut told = 0;
    for value in &values {
        told = scene.client.sum_after(*value)?;
        let lines = std::mem::take(&mut lock(&notes).lines);
        for line in lines {
            lab.gets(line);
        }
        lab.server(&scene.server);
        lab.client(format!(
            "sent {}, and hears that the sum is {}.",
            lab.veiled(value),
            lab.veiled(told)
        ));
    }
    let (_, sum) = scene.server.totals();
    lab.sees(format!(
        "The client believes that the sum is {}. The server holds {}.",
        lab.veiled(told),
        lab.veiled(sum)
    ));
    lab.lesson(
        "Every HMAC verified. Diffie-Hellman gave a secret to two ends, and nobody said who the \
         ends are.",
    );
    let honest: u64 = values.iter().sum();
    let forged = i128::from(honest + ADDED * 2);
    let trial = if sum == forged && told == i128::from(honest) {
        Trial::succeeded("every integer, read and changed, and neither end notices")
    } else {
        Trial::unexpected(format!("the server holds {sum}, the client believes {told}"))
    };
    let values: Vec<_> = values.iter().map(u64::to_string).collect();
    let trial = trial.answer(lab, "sent", values).answer(lab, "server_holds", sum.to_string());
    let (with_client, with_server) = {
        let notes = lock(&notes);
        (notes.client, notes.server)
    };
    let trial = trial.fact("keys_with_client", shown(with_client));
    let trial = trial.fact("keys_with_server", shown(with_server));
    let trial = trial.answer(lab, "client_believes", told.to_string());
    Ok(trial.frames(scene.relay.recorded()))
}

fn shown(keys: Option<ClassicKeys>) -> Value {
    keys.map_or(Value::Null, |keys| json!({"key1": hex(&keys.key1), "key2": hex(&keys.key2)}))
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let label = "rung 5/v2";
    let client = format!("{label}/client");
    let trusted = server_key(&lab.seed, label).public();
    // First with a key of his own: he is a server, as far as the wire goes.
    let his = LabServer::start(ServerPlan::v2(&lab.seed, "rung 5/middleman", Vec::new()))?;
    lab.scene(format!(
        "The client knows its server's key: {}. The attacker answers at {}, loopback only.",
        trusted.fingerprint(),
        his.address()
    ));
    lab.does("Swaps the Diffie-Hellman values, and signs the handshake with a key of his own.");
    let first = V2Client::meet(his.address(), &trusted, &lab.seed, &client, SUITE)?;
    let Met::Untrusted(shown) = first else {
        return Ok(Trial::unexpected(format!("the client went on: {first:?}")));
    };
    lab.stopped(format!(
        "The key that was proven, {}, is not the known one. The client sends nothing more (P-26).",
        shown.fingerprint()
    ));
    drop(his);
    // Then with the true server's proof, which he passes on.
    let account = identity(&lab.seed, &client).public();
    let server = LabServer::start(ServerPlan::v2(&lab.seed, label, vec![(account, Role::Client)]))?;
    let mut forwarder = Forwarder::new(&lab.seed);
    let relay = Relay::start(server.address(), move |way, frame: &RawFrame| {
        forwarder.deed(way, frame).into_iter().flatten().collect()
    })?;
    lab.does(
        "Has a handshake with the true server as well, opens its message 3, and passes the true \
         server's key and signature on to the client.",
    );
    let second = V2Client::meet(relay.address(), &trusted, &lab.seed, &client, SUITE)?;
    let trial = match second {
        Met::Ended(ClientEnd::Fault(ClientFault::Proof)) => {
            lab.stopped(
                "The signature covers the hash of the handshake that the server had: the \
                 attacker's, not the client's. It does not verify (P-15).",
            );
            Trial::stopped("the server's signature over the handshake's hash", "P-15")
        }
        Met::Ended(end) => Trial::unexpected(v2_words(&end)),
        other @ (Met::Open(_) | Met::Untrusted(_)) => {
            Trial::unexpected(format!("the client went on: {other:?}"))
        }
    };
    let trial = trial.fact("known_key", trusted.fingerprint());
    let trial = trial.fact("key_of_his_own", shown.fingerprint());
    Ok(trial.fact("stopped_first_by", "P-26").frames(relay.recorded()))
}

/// An attacker in the middle of D-DDES/2 who passes on the server's proof.
struct Forwarder {
    seed: Seed,
    initiator: Option<Initiator<Ffdhe, Function>>,
    /// Opens what the server sends.
    opener: Option<Opener>,
    /// Seals what the client gets.
    sealer: Option<Sealer>,
}

impl Forwarder {
    fn new(seed: &Seed) -> Self {
        Self { seed: seed.clone(), initiator: None, opener: None, sealer: None }
    }

    /// `None` once he can do nothing more.
    fn deed(&mut self, way: Way, frame: &RawFrame) -> Option<Vec<(Way, RawFrame)>> {
        if way == Way::ToServer && self.initiator.is_none() && self.sealer.is_none() {
            let hello = Hello::decode(&frame.body).ok()?;
            let entropy = v2_entropy(&self.seed, "rung 5/middleman/to client");
            let response =
                respond(&protocol(SUITE), &prologue(SUITE), &entropy, hello.noise, &[]).ok()?;
            self.sealer = Some(Sealer::new(Function::DdesChaCha, response.finished.to_client));
            let entropy = v2_entropy(&self.seed, "rung 5/middleman/to server");
            let (initiator, noise) =
                Initiator::start(protocol(SUITE), &prologue(SUITE), &entropy, &[]);
            self.initiator = Some(initiator);
            let his = Hello { suite: SUITE, noise: &noise }.encode();
            return Some(vec![
                (Way::ToServer, RawFrame::new(KEY, his)),
                (Way::ToClient, RawFrame::new(KEY, response.message)),
            ]);
        }
        if way == Way::ToClient
            && let Some(initiator) = self.initiator.take()
        {
            let (finished, _) = initiator.finish(&frame.body).ok()?;
            self.opener = Some(Opener::new(Function::DdesChaCha, finished.to_client));
            return Some(Vec::new());
        }
        let (opener, sealer) = (self.opener.as_mut()?, self.sealer.as_mut()?);
        if way == Way::ToServer || frame.opcode != KEY {
            return None;
        }
        let mut body = frame.body.clone();
        let header = Header { opcode: frame.opcode, length: u32::try_from(body.len()).ok()? };
        let proof = opener.open(header, &mut body).ok()?.to_vec();
        let mut sealed = Vec::new();
        sealer.seal(Opcode::KeyVerification, &proof, &mut sealed).ok()?;
        Some(vec![(Way::ToClient, RawFrame::new(KEY, sealed.get(HEADER_BYTES..)?))])
    }
}

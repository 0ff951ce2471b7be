//! The scenes that rungs share: a server, an honest client, and the attacker between them.

use ddes_identity::{PublicKey, Role};
use ddes_wire::ClientId;

use crate::keys::{self, ClassicKeys};
use crate::stage::{
    ClassicClient, LabServer, RawFrame, Relay, ServerPlan, V2Client, Way, identity, pass,
    server_key,
};
use crate::{Lab, LabError, Material, Seed, Truth};

/// The opcodes, as attackers know them.
pub(super) const KEY: u32 = 10;
pub(super) const TOKEN: u32 = 20;
pub(super) const DATA: u32 = 30;
pub(super) const RESULT: u32 = 40;
pub(super) const END: u32 = 50;

/// Where the parts of a classic 30 are: DDES(integer ‖ UUID) 32, token 16, HMAC 32.
pub(super) const CIPHERTEXT: std::ops::Range<usize> = 0..32;
pub(super) const CLEAR_TOKEN: std::ops::Range<usize> = 32..48;
pub(super) const DATA_BYTES: usize = 80;

/// A classic server and one client behind the attacker. Dropped in the order client, relay, server.
pub(super) struct ClassicScene {
    pub(super) client: ClassicClient,
    pub(super) relay: Relay,
    pub(super) server: LabServer,
}

pub(super) fn classic(
    lab: &mut Lab<'_>,
    label: &str,
    deed: impl FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send + 'static,
) -> Result<ClassicScene, LabError> {
    let server = LabServer::start(ServerPlan::classic(&lab.seed, label))?;
    let relay = Relay::start(server.address(), deed)?;
    lab.scene(format!(
        "A classic server listens on {}, loopback only. A client connects to {}: that is the \
         attacker, who passes frames on.",
        server.address(),
        relay.address()
    ));
    let client = ClassicClient::connect(relay.address(), &lab.seed, &client_label(label))?;
    Ok(ClassicScene { client, relay, server })
}

fn client_label(label: &str) -> String {
    format!("{label}/client")
}

/// A D-DDES/2 server and one client behind the attacker.
pub(super) struct V2Scene {
    pub(super) client: V2Client,
    pub(super) relay: Relay,
    pub(super) server: LabServer,
    /// The client's identity.
    pub(super) account: PublicKey,
}

pub(super) fn v2(
    lab: &mut Lab<'_>,
    label: &str,
    deed: impl FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send + 'static,
) -> Result<V2Scene, LabError> {
    let account = identity(&lab.seed, &client_label(label)).public();
    let plan = ServerPlan::v2(&lab.seed, label, vec![(account, Role::Client)]);
    let server = LabServer::start(plan)?;
    let relay = Relay::start(server.address(), deed)?;
    lab.scene(format!(
        "A D-DDES/2 server listens on {}, loopback only. Its client goes through the attacker at \
         {}.",
        server.address(),
        relay.address()
    ));
    let trusted = server_key(&lab.seed, label).public();
    let client = V2Client::connect(relay.address(), &trusted, &lab.seed, &client_label(label))?;
    Ok(V2Scene { client, relay, server, account })
}

/// Both keys of the first session of a classic server of the lab.
pub(super) fn classic_keys(seed: &Seed, label: &str) -> Result<ClassicKeys, LabError> {
    let group = keys::group();
    let server = seed.draw(&format!("{label}/server/0/exponent"));
    let client = ClassicClient::exponent(seed, &client_label(label));
    let pem = keys::key_pem(&group, &keys::exponent(&group, &client))?;
    keys::agreed(&group, keys::exponent(&group, &server), pem.as_bytes())
}

/// Its token.
pub(super) fn classic_token(seed: &Seed, label: &str) -> [u8; 16] {
    seed.draw(&format!("{label}/server/0/token"))
}

/// The UUID of its client.
pub(super) fn client_id(seed: &Seed, label: &str) -> ClientId {
    ClassicClient::id(seed, &client_label(label))
}

/// The integers of an exercise.
pub(super) fn values(seed: &Seed, label: &str, count: usize, least: u64, most: u64) -> Vec<u64> {
    (0..count).map(|n| seed.number(&format!("{label}/value/{n}"), least, most)).collect()
}

/// What somebody who only listens to a classic session has: of the recording, or of a live session
/// in which these integers are sent. The first `public` of them are no secret.
pub(super) fn overheard(
    lab: &mut Lab<'_>,
    label: &str,
    values: &[u64],
    public: usize,
    hint: Option<&str>,
) -> Result<Material, LabError> {
    if let Some(recording) = lab.recording(true) {
        let (frames, truth) = (recording.frames.clone(), recording.truth.clone());
        let values = sent_values(&frames, truth.as_ref());
        lab.scene(format!("The attacker has a capture of {} frames.", frames.len()));
        return Ok(Material { frames, truth, values });
    }
    let mut scene = classic(lab, label, pass)?;
    for value in values {
        let sum = scene.client.sum_after(*value)?;
        tell_sum(lab, values, *value, sum);
        if values.len() <= TOLD_SINGLY_MAX {
            tell_log(lab, &scene.server, hint);
        }
    }
    tell_all(lab, values, public);
    tell_log(lab, &scene.server, hint);
    let frames = scene.relay.recorded();
    let keys = classic_keys(&lab.seed, label)?;
    Ok(Material { frames, truth: Some(Truth { keys }), values: values.to_vec() })
}

fn tell_log(lab: &mut Lab<'_>, server: &LabServer, hint: Option<&str>) {
    match hint {
        Some(hint) => lab.server_with_hint(server, hint),
        None => lab.server(server),
    }
}

/// More integers are told in one line.
const TOLD_SINGLY_MAX: usize = 4;

fn tell_sum(lab: &mut Lab<'_>, values: &[u64], value: impl std::fmt::Display, sum: i128) {
    if values.len() <= TOLD_SINGLY_MAX {
        let (value, sum) = (lab.veiled(value), lab.veiled(sum));
        lab.client(format!("sends {value}, and hears that the sum is {sum}."));
    }
}

fn tell_all(lab: &mut Lab<'_>, values: &[u64], public: usize) {
    if values.len() > TOLD_SINGLY_MAX {
        let told = values.iter().enumerate().map(|(at, value)| match at < public {
            true => value.to_string(),
            false => lab.veiled(value),
        });
        let told: Vec<_> = told.collect();
        lab.client(format!("sends {} integers, one by one: {}.", told.len(), told.join(" ")));
    }
}

/// The integers of a capture with its secrets.
fn sent_values(frames: &[crate::Recorded], truth: Option<&Truth>) -> Vec<u64> {
    let Some(Truth { keys }) = truth else { return Vec::new() };
    let sent = frames.iter().filter(|frame| frame.is_of_the_ends(Way::ToServer, DATA));
    sent.filter_map(|frame| keys.open_data(&frame.body).map(|(value, _)| value)).collect()
}

/// The first integers, which the attacker knows: those that were named, else `most` of those that
/// the lab knows.
pub(super) fn known(lab: &Lab<'_>, material: &Material, most: usize) -> Result<Vec<u64>, LabError> {
    if lab.known.is_empty() || lab.recording(true).is_none() {
        return Ok(material.values.iter().copied().take(most).collect());
    }
    let differs = |(named, sent): (&u64, &u64)| named != sent;
    if lab.known.iter().zip(&material.values).any(differs) {
        return Err(LabError::unusable(
            "the capture's secrets give other integers than --known names",
        )
        .next("name the first integers of the session in order, or leave out --known"));
    }
    Ok(lab.known.clone())
}

/// What somebody who only listens to a D-DDES/2 session sees: the client's 30s.
pub(super) fn v2_overheard(
    lab: &mut Lab<'_>,
    label: &str,
    values: &[u64],
    public: usize,
) -> Result<(Vec<crate::Recorded>, Option<[u8; 16]>), LabError> {
    if let Some(recording) = lab.recording(false) {
        let frames = recording.frames.clone();
        lab.scene(format!("The attacker has a capture of {} frames.", frames.len()));
        return Ok((frames, None));
    }
    let mut scene = v2(lab, label, pass)?;
    for value in values {
        let value = i64::try_from(*value);
        let value = value.map_err(|_| LabError::unplanned("an integer beyond 63 bits"))?;
        let sum = scene.client.sum_after(value)?;
        tell_sum(lab, values, value, sum);
        if values.len() <= TOLD_SINGLY_MAX {
            lab.server(&scene.server);
        }
    }
    tell_all(lab, values, public);
    lab.server(&scene.server);
    let token = *scene.client.token();
    Ok((scene.relay.recorded(), Some(token)))
}

/// Of longer captures so many bytes are compared with each other, whatever their length is.
const COMPARED_BYTES_MAX: usize = 1 << 20;

/// The first bodies, which have so few bytes that all can be compared; one at least.
pub(super) fn compared<'a, 'b>(bodies: &'b [&'a [u8]]) -> &'b [&'a [u8]] {
    let mut left = COMPARED_BYTES_MAX;
    let fits = |body: &&&[u8]| left.checked_sub(body.len()).map(|rest| left = rest).is_some();
    let count = bodies.iter().take_while(fits).count();
    bodies.get(..count.max(1)).map_or(bodies, |first| first)
}

/// `all frames`, or `the first 100 of 2000 frames`
pub(super) fn frames_of(count: usize, of: usize) -> String {
    if count == of { "all frames".into() } else { format!("the first {count} of {of} frames") }
}

/// The client's 30s among frames.
pub(super) fn data(frames: &[crate::Recorded]) -> Vec<&[u8]> {
    let sent = frames.iter().filter(|frame| frame.is_of_the_ends(Way::ToServer, DATA));
    sent.map(|frame| frame.body.as_slice()).collect()
}

/// The frames that are needed, or what is missing.
pub(super) fn at_least<'a>(
    bodies: Vec<&'a [u8]>,
    count: usize,
    what: &str,
) -> Result<Vec<&'a [u8]>, LabError> {
    if bodies.len() < count {
        return Err(LabError::unusable(format!(
            "{what} in the capture: {}, and this rung needs {count}",
            bodies.len()
        ))
        .next(
            "--stream N for another conversation; `ddes connect --capture FILE` sends each integer \
             in a frame of its own",
        ));
    }
    Ok(bodies)
}

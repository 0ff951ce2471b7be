//! Rung 8: a client's own 30, sent back to it as a 40.

use ddes_session::v2::ClientFault;
use ddes_wire::classic::text;

use super::scene::{self, CIPHERTEXT, DATA, KEY, RESULT, TOKEN};
use crate::keys::{self, ClassicKeys};
use crate::stage::{FrameStream, IntegerReply, LabServer, RawFrame, Relay, ServerPlan, Way};
use crate::{Lab, LabError, Seed, Trial, hex};

pub(super) const LABEL: &str = "rung 8/classic";

/// Sends the client's first 30 back as a 40, behind an acknowledgement that is in the clear anyway.
fn reflect(
    acknowledges: bool,
) -> impl FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send + 'static {
    let mut has_reflected = false;
    move |way, frame| {
        if way == Way::ToServer && frame.opcode == DATA && !has_reflected {
            has_reflected = true;
            let acknowledgement =
                acknowledges.then(|| (Way::ToClient, RawFrame::new(DATA, text::RECEIVED)));
            let reflected = (Way::ToClient, RawFrame::new(RESULT, frame.body.clone()));
            return acknowledgement.into_iter().chain([reflected]).collect();
        }
        vec![(way, frame.clone())]
    }
}

/// Bytes that a 40 shows of a reflected 30: ciphertext and token are six blocks.
const SHOWN_MAX: usize = 47;
/// Tokens that are drawn until one shows something: one of five does.
const DRAWS: u32 = 1000;

/// A token with which the client shows some of its own message and not all: the last block that it
/// decrypts is the token's second half, and its last byte says how many bytes are cut.
fn telling_token(seed: &Seed) -> Result<[u8; 16], LabError> {
    let keys = scene::classic_keys(seed, LABEL)?;
    let body = |token: &[u8; 16]| sealed(&keys, seed, token);
    let shown = |token: &[u8; 16]| keys.shown_by_the_original(&body(token)).map(|text| text.len());
    (0..DRAWS)
        .map(|draw| seed.draw(&format!("{LABEL}/token/{draw}")))
        .find(|token| shown(token).is_some_and(|count| (1..=SHOWN_MAX).contains(&count)))
        .ok_or_else(|| LabError::unplanned("no token shows anything"))
}

/// The client's 30.
fn sealed(keys: &ClassicKeys, seed: &Seed, token: &[u8]) -> Vec<u8> {
    keys.seal_data(&[&value(seed).to_be_bytes()[..], &uuid(seed)].concat(), token)
}

fn value(seed: &Seed) -> u64 {
    seed.number(&format!("{LABEL}/value/0"), 1, 999)
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let value = value(&lab.seed);
    let token = telling_token(&lab.seed)?;
    let plan = ServerPlan { token: Some(token), ..ServerPlan::classic(&lab.seed, LABEL) };
    let server = LabServer::start(plan)?;
    let relay = Relay::start(server.address(), reflect(true))?;
    lab.scene(format!(
        "A classic server listens on {}, loopback only. A client like the original connects \
         through the attacker: it shows whatever a 40 decrypts to.",
        server.address()
    ));
    let mut stream = FrameStream::connect(relay.address())?;
    let (keys, token) = original_handshake(lab, &mut stream)?;
    let body = sealed(&keys, &lab.seed, &token);
    stream.write(&RawFrame::new(DATA, body.clone()))?;
    lab.client(format!("sends {}.", lab.veiled(value)));
    lab.does("Keeps the 30, acknowledges it, and sends it back with opcode 40. It needs no key.");
    stream.expect(DATA)?;
    let result = stream.expect(RESULT)?;
    let is_own = result == body;
    let Some(shown) = keys.shown_by_the_original(&result) else {
        return Ok(Trial::unexpected("the client did not show it").frames(relay.recorded()));
    };
    lab.client(format!(
        "verifies the HMAC: it holds. Decrypts, cuts as many bytes as the last one says, and shows \
         the {} bytes that are left, in hexadecimal: {}",
        lab.veiled(shown.len()),
        lab.veiled(hex(&shown))
    ));
    lab.server(&server);
    let (count, _) = server.totals();
    lab.gets(format!(
        "A result that no server sent. The server counted {count} integers; the client believes \
         that its integer is counted."
    ));
    lab.lesson(
        "HMAC(Key2, …) is the same in both directions, and does not cover the opcode. This \
         project's client shows nothing that is not a decimal number (THREATS.md), but it, too, \
         finds the HMAC right.",
    );
    let trial = if is_own && count == 0 && (1..=SHOWN_MAX).contains(&shown.len()) {
        Trial::succeeded("the client takes its own message for the server's result")
    } else {
        Trial::unexpected(format!("it shows {}, the server counted {count}", hex(&shown)))
    };
    let trial = trial.answer(lab, "shown", hex(&shown)).answer(lab, "bytes_shown", shown.len());
    // The client's, so that whoever reads the evidence can decrypt it. The attacker has none.
    let trial = trial.fact("key1", hex(&keys.key1)).fact("key2", hex(&keys.key2));
    let trial = trial.fact("ciphertext", hex(&body[CIPHERTEXT]));
    Ok(trial.fact("counted", count.to_string()).frames(relay.recorded()))
}

fn uuid(seed: &Seed) -> [u8; 16] {
    seed.draw(&format!("{LABEL}/client/uuid"))
}

/// How many bytes of its own message the client shows.
pub(super) fn bytes_shown(seed: &Seed) -> Result<usize, LabError> {
    let (keys, token) = (scene::classic_keys(seed, LABEL)?, telling_token(seed)?);
    let shown = keys.shown_by_the_original(&sealed(&keys, seed, &token));
    shown.map(|shown| shown.len()).ok_or_else(|| LabError::unplanned("the HMAC is wrong"))
}

/// What the original's client does until it has its token.
fn original_handshake(
    lab: &Lab<'_>,
    stream: &mut FrameStream,
) -> Result<(ClassicKeys, Vec<u8>), LabError> {
    let group = keys::group();
    let server = stream.expect(KEY)?;
    let entropy = lab.seed.draw(&format!("{LABEL}/client/exponent"));
    let pem = keys::key_pem(&group, &keys::exponent(&group, &entropy))?;
    stream.write(&RawFrame::new(KEY, pem))?;
    let keys = keys::agreed(&group, keys::exponent(&group, &entropy), &server)?;
    let sealed = stream.expect(TOKEN)?;
    let token = keys.open_token(&sealed);
    Ok((keys, token.ok_or_else(|| LabError::unplanned("the token does not decrypt"))?))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let mut scene = scene::v2(lab, "rung 8/v2", reflect(false))?;
    let value = i64::try_from(value(&lab.seed));
    let value = value.map_err(|_| LabError::unplanned("an integer beyond 63 bits"))?;
    lab.client(format!("sends {}.", lab.veiled(value)));
    lab.does("Keeps the 30 and sends it back with opcode 40.");
    let reply = scene.client.count(value)?;
    lab.server(&scene.server);
    let (count, _) = scene.server.standing(&scene.account);
    let trial = match reply {
        // Named by the client's own words, below.
        IntegerReply::Ended(words) if words == wrong_tag().to_string() && count == 0 => {
            lab.client(format!("ends the session: {words}."));
            lab.stopped(
                "Split gives each direction a key of its own (P-02), and the tag covers opcode and \
                 length (P-08). What the client seals, the client cannot open.",
            );
            Trial::stopped("a key for each direction", "P-02").fact("client_says", words)
        }
        other @ (IntegerReply::Sum(_) | IntegerReply::Discarded | IntegerReply::Ended(_)) => {
            Trial::unexpected(format!("{other:?}, counted {count}"))
        }
    };
    Ok(trial.frames(scene.relay.recorded()))
}

/// What a client says of a record that is not authentic.
fn wrong_tag() -> ClientFault {
    use ddes_cipher::OpenError;
    use ddes_session::v2::record::RecordError;
    ClientFault::Record(RecordError::Open(OpenError::Tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddes_session::v2::ClientEnd;

    use crate::stage::v2_words;

    #[test]
    fn with_every_seed_some_bytes_are_shown_and_their_number_differs() {
        let shown = |name: u32| bytes_shown(&Seed::named(&name.to_string())).unwrap();
        let seen: std::collections::BTreeSet<_> = (0..20).map(shown).collect();
        assert!(seen.iter().all(|count| (1..=47).contains(count)), "{seen:?}");
        assert!(seen.len() > 8, "{seen:?}");
    }

    #[test]
    fn the_words_of_a_wrong_tag_are_those_of_the_session() {
        assert_eq!(v2_words(&ClientEnd::Fault(wrong_tag())), wrong_tag().to_string());
    }
}

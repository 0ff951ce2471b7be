//! Rung 6: one client's 50 ends every session.

use ddes_identity::Role;
use ddes_session::v2::ClientEnd;
use ddes_wire::classic::text;
use ddes_wire::v2::{Reason, Scope};

use super::scene::{END, KEY, TOKEN};
use crate::keys;
use crate::stage::{
    By, ClassicClient, FrameStream, IntegerReply, LabServer, RawFrame, Relay, ServerPlan, V2Client,
    identity, server_key, v2_words,
};
use crate::{Lab, LabError, Recorded, Seed, Trial};

pub(super) const LABEL: &str = "rung 6/classic";
/// Honest clients of the D-DDES/2 server.
const CLIENTS: usize = 3;

/// Honest clients of the classic server.
pub(super) fn clients(seed: &Seed) -> u32 {
    // The range is small.
    u32::try_from(seed.number(&format!("{LABEL}/clients"), 2, 6)).unwrap_or(2)
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let mut plan = ServerPlan::classic(&lab.seed, LABEL);
    plan.end_all = true;
    let server = LabServer::start(plan)?;
    let count = clients(&lab.seed);
    lab.scene(format!(
        "A classic server with the original's rule for a 50 listens on {}, loopback only. {} \
         clients count.",
        server.address(),
        lab.veiled(count)
    ));
    // Each connection is written down, those of the clients and the attacker's own.
    let mut relays = Vec::new();
    let mut clients = Vec::new();
    for number in 1..=count {
        let relay = Relay::listening(server.address(), number, By::Client)?;
        let label = format!("{LABEL}/client {number}");
        let value = lab.seed.number(&format!("{LABEL}/value/{number}"), 1, 999);
        let mut client = ClassicClient::connect(relay.address(), &lab.seed, &label)?;
        let sum = client.sum_after(value)?;
        if !lab.is_quiz {
            lab.client(format!("{number}: sends {value}, and hears that the sum is {sum}."));
            lab.server(&server);
        }
        clients.push(client);
        relays.push(relay);
    }
    lab.does(
        "Connects like anybody, and answers the server's 10 with a key that nobody asks about.",
    );
    let relay = Relay::listening(server.address(), count + 1, By::Attacker)?;
    let mut stranger = FrameStream::connect(relay.address())?;
    relays.push(relay);
    stranger.expect(KEY)?;
    let group = keys::group();
    let exponent = keys::exponent(&group, &lab.seed.draw(&format!("{LABEL}/stranger")));
    stranger.write(&RawFrame::new(KEY, keys::key_pem(&group, &exponent)?))?;
    stranger.expect(TOKEN)?;
    lab.does("Sends one frame of 8 bytes: 50, empty. It needs neither the token nor a key.");
    stranger.write(&RawFrame::new(END, Vec::new()))?;
    let mut ended = Vec::new();
    for (number, client) in (1_u32..).zip(&mut clients) {
        let end = client.await_end()?;
        if !lab.is_quiz {
            lab.client(format!("{number}: is thrown out: {end}"));
        }
        ended.push(end);
    }
    // The attacker's own session ends too.
    stranger.read()?;
    if !lab.is_quiz {
        lab.server(&server);
    }
    lab.gets(format!(
        "{} sessions of others ended, and so can the next ones be.",
        lab.veiled(ended.len())
    ));
    lab.lesson(
        "The server cannot tell a stranger from an operator: nobody proves to be anybody. Without \
         --classic-end-all this project's server ends only the sender's session (C-18).",
    );
    let trial = if ended.iter().all(|end| end == text::END_ALL) {
        let all = lab.veiled(ended.len());
        Trial::succeeded(format!("all {all} sessions of others, ended by a stranger"))
    } else {
        Trial::unexpected(format!("they ended so: {ended:?}"))
    };
    let trial = trial.answer(lab, "sessions_ended", ended.len());
    Ok(trial.fact("text", text::END_ALL).frames(recorded(&relays)))
}

/// What passed on all connections, in its order.
fn recorded(relays: &[Relay]) -> Vec<Recorded> {
    let mut frames: Vec<_> = relays.iter().flat_map(Relay::recorded).collect();
    Recorded::sort(&mut frames);
    frames
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let label = "rung 6/v2";
    let names: Vec<_> = (0..=CLIENTS).map(|number| format!("{label}/client {number}")).collect();
    let grants = names.iter().map(|name| (identity(&lab.seed, name).public(), Role::Client));
    let server = LabServer::start(ServerPlan::v2(&lab.seed, label, grants.collect()))?;
    let trusted = server_key(&lab.seed, label).public();
    lab.scene(format!(
        "A D-DDES/2 server listens on {}, loopback only. The attacker even has an identity that \
         may count.",
        server.address()
    ));
    let mut relays = Vec::new();
    let mut sessions = Vec::new();
    for (number, name) in (1_u32..).zip(&names) {
        let by = if sessions.len() == CLIENTS { By::Attacker } else { By::Client };
        let relay = Relay::listening(server.address(), number, by)?;
        sessions.push(V2Client::connect(relay.address(), &trusted, &lab.seed, name)?);
        relays.push(relay);
    }
    let (Some(attacker), mut clients) = (sessions.pop(), sessions) else {
        return Err(LabError::unplanned("nobody connected"));
    };
    lab.does("Sends a 50 with scope 1, \"all\".");
    let end = attacker.leave(Scope::All)?;
    lab.sees(v2_words(&end));
    let Some((rule, what)) = server.await_fault() else {
        return Ok(Trial::unexpected("the server said nothing of the 50"));
    };
    let mut counted = 0;
    for (client, value) in clients.iter_mut().zip([7, 8, 9]) {
        if let IntegerReply::Sum(sum) = client.count(value)? {
            counted += usize::from(sum == i128::from(value));
        }
    }
    lab.server(&server);
    lab.client(format!("{counted} of {CLIENTS} clients count on."));
    let is_told =
        matches!(&end, ClientEnd::Farewell(farewell) if farewell.reason == Reason::NotAuthorized);
    let trial = if is_told && counted == CLIENTS && rule == "P-22" {
        lab.stopped(format!(
            "Only operators may end the sessions of others, and a role belongs to a proven key: \
             {what} (P-22). The attacker's own session is the one that ends."
        ));
        Trial::stopped("the role of the proven identity", rule)
    } else {
        Trial::unexpected(format!("{counted} count on, {rule}: {what}, {}", v2_words(&end)))
    };
    let trial = trial.fact("clients_that_count_on", counted).fact("server_says", what);
    Ok(trial.frames(recorded(&relays)))
}

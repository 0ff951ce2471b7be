//! Rung 6: one client's 50 ends every session.

use ddes_identity::Role;
use ddes_session::v2::ClientEnd;
use ddes_wire::classic::text;
use ddes_wire::v2::{Reason, Scope};

use super::scene::{END, KEY, TOKEN, values};
use crate::keys;
use crate::stage::{
    ClassicClient, FrameStream, LabServer, Plan, RawFrame, Reply, V2Client, identity, server_key,
    v2_words,
};
use crate::{Lab, LabError, Trial};

const LABEL: &str = "rung 6/classic";
const CLIENTS: usize = 3;

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let mut plan = Plan::classic(&lab.seed, LABEL);
    plan.end_all = true;
    let server = LabServer::start(plan)?;
    lab.scene(format!(
        "A classic server with the original's rule for a 50 listens on {}, loopback only. \
         {CLIENTS} clients count.",
        server.address()
    ));
    let values = values(&lab.seed, LABEL, CLIENTS, 1, 999);
    let mut clients = Vec::new();
    for (number, value) in values.iter().enumerate() {
        let label = format!("{LABEL}/client {number}");
        let mut client = ClassicClient::connect(server.address(), &lab.seed, &label)?;
        let sum = client.sum_after(*value)?;
        lab.client(format!("{}: sends {value}, and hears that the sum is {sum}.", number + 1));
        clients.push(client);
    }
    lab.does(
        "Connects like anybody, and answers the server's 10 with a key that nobody asks about.",
    );
    let mut stranger = FrameStream::connect(server.address())?;
    stranger.expect(KEY)?;
    let group = keys::group();
    let exponent = keys::exponent(&group, &lab.seed.draw(&format!("{LABEL}/stranger")));
    stranger.write(&RawFrame::new(KEY, keys::key_pem(&group, &exponent)?))?;
    stranger.expect(TOKEN)?;
    lab.does("Sends one frame of 8 bytes: 50, empty. It needs neither the token nor a key.");
    stranger.write(&RawFrame::new(END, Vec::new()))?;
    let mut ended = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        let end = client.await_end()?;
        lab.client(format!("{}: is thrown out: {end}", number + 1));
        ended.push(end);
    }
    lab.server(&server);
    lab.gets(format!("{} sessions ended, and so can the next ones be.", ended.len()));
    lab.lesson(
        "The server cannot tell a stranger from an operator: nobody proves to be anybody. Without \
         --classic-end-all this project's server ends only the sender's session (C-18).",
    );
    let trial = if ended.iter().all(|end| end == text::END_ALL) {
        Trial::succeeded(format!("all {CLIENTS} sessions, ended by a stranger"))
    } else {
        Trial::unexpected(format!("they ended so: {ended:?}"))
    };
    Ok(trial.fact("sessions_ended", ended.len()).fact("text", ended))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let label = "rung 6/v2";
    let names: Vec<_> = (0..=CLIENTS).map(|number| format!("{label}/client {number}")).collect();
    let grants = names.iter().map(|name| (identity(&lab.seed, name).public(), Role::Client));
    let server = LabServer::start(Plan::v2(&lab.seed, label, grants.collect()))?;
    let trusted = server_key(&lab.seed, label).public();
    lab.scene(format!(
        "A D-DDES/2 server listens on {}, loopback only. The attacker even has an identity that \
         may count.",
        server.address()
    ));
    let seed = lab.seed.clone();
    let connect = |name: &str| V2Client::connect(server.address(), &trusted, &seed, name);
    let attacker = connect(&names[CLIENTS])?;
    let mut clients = Vec::new();
    for name in &names[..CLIENTS] {
        clients.push(connect(name)?);
    }
    lab.does("Sends a 50 with scope 1, \"all\".");
    let end = attacker.leave(Scope::All)?;
    lab.sees(v2_words(&end));
    let Some((rule, what)) = server.await_fault() else {
        return Ok(Trial::unexpected("the server said nothing of the 50"));
    };
    let mut counted = 0;
    for (client, value) in clients.iter_mut().zip([7, 8, 9]) {
        if let Reply::Sum(sum) = client.count(value)? {
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
    Ok(trial.fact("clients_that_count_on", counted).fact("server_says", what))
}

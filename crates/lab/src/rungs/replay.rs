//! Rung 3: a frame that is sent again counts again.

use super::scene::{self, DATA, RESULT, classic_keys, values};
use crate::stage::{IntegerReply, RawFrame, Way};
use crate::{Lab, LabError, Trial, hex};

pub(super) const LABEL: &str = "rung 3/classic";

/// Passes everything, and the client's first 30 twice. The answers to the copy are kept back, so
/// that the client notices nothing.
fn double_the_first(
    keeps_answers: bool,
) -> impl FnMut(Way, &RawFrame) -> Vec<(Way, RawFrame)> + Send + 'static {
    let (mut has_doubled, mut answers) = (false, 0);
    move |way, frame| {
        if way == Way::ToServer && frame.opcode == DATA && !has_doubled {
            has_doubled = true;
            return vec![(way, frame.clone()), (way, frame.clone())];
        }
        if keeps_answers && has_doubled && way == Way::ToClient && answers < 4 {
            answers += 1;
            // The acknowledgement and the sum of the copy.
            if answers > 2 {
                return Vec::new();
            }
        }
        vec![(way, frame.clone())]
    }
}

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let values = values(&lab.seed, LABEL, 2, 1, 999);
    let (first, second) = (values[0], values[1]);
    let mut scene = scene::classic(lab, LABEL, double_the_first(true))?;
    let told = scene.client.sum_after(first)?;
    lab.client(sends(lab, first, told));
    let frames = scene.relay.bodies(Way::ToServer, DATA);
    let Some(copied) = frames.first() else {
        return Err(LabError::unplanned("no 30 passed"));
    };
    lab.sees(format!("A 30 of {} bytes: {}…", copied.len(), hex(&copied[..16])));
    lab.does("Sends it once more, and keeps back the two answers to the copy. It needs no key.");
    lab.server(&scene.server);
    let after = scene.client.sum_after(second)?;
    lab.client(sends(lab, second, after));
    lab.server(&scene.server);
    let honest = i128::from(first) + i128::from(second);
    let (count, sum) = scene.server.totals();
    lab.gets(format!(
        "The sum is {} and should be {}. The server counted {count} integers, the client sent 2.",
        lab.veiled(sum),
        lab.veiled(honest)
    ));
    lab.lesson(
        "The HMAC holds: the frame is the client's. Nothing in it says that it was used before.",
    );
    let trial = if sum == honest + i128::from(first) && count == 3 && after == sum {
        Trial::succeeded(format!("{} counted twice", lab.veiled(first)))
    } else {
        Trial::unexpected(format!("the sum is {sum}"))
    };
    let results = scene.relay.bodies(Way::ToClient, RESULT).len();
    let values: Vec<_> = values.iter().map(u64::to_string).collect();
    let keys = classic_keys(&lab.seed, LABEL)?;
    let trial = trial.answer(lab, "sent_by_the_client", values);
    let trial = trial.answer(lab, "sum", sum.to_string());
    // The client's, so that whoever reads the evidence can decrypt it. The attacker has none.
    let trial = trial.fact("key1", hex(&keys.key1)).fact("key2", hex(&keys.key2));
    Ok(trial.fact("results", results).frames(scene.relay.recorded()))
}

fn sends(lab: &Lab<'_>, value: u64, sum: i128) -> String {
    format!("sends {}, and hears that the sum is {}.", lab.veiled(value), lab.veiled(sum))
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let first = values(&lab.seed, LABEL, 1, 1, 999)[0];
    let value =
        i64::try_from(first).map_err(|_| LabError::unplanned("an integer beyond 63 bits"))?;
    let mut scene = scene::v2(lab, "rung 3/v2", double_the_first(false))?;
    let reply = scene.client.count(value)?;
    lab.does("Sends the client's first 30 once more, as it is.");
    let Some((rule, what)) = scene.server.await_fault() else {
        return Ok(Trial::unexpected("the server said nothing of the copy"));
    };
    lab.server(&scene.server);
    let (count, sum) = scene.server.standing(&scene.account);
    lab.sees(format!(
        "The ledger holds {count} integer, sum {}: {} counted once.",
        lab.veiled(sum),
        lab.veiled(first)
    ));
    // The 50 may come before the 40 that the integer would have had.
    let is_told = matches!(reply, IntegerReply::Sum(told) if told == sum)
        || matches!(reply, IntegerReply::Ended(_));
    let is_once = count == 1 && sum == i128::from(value) && is_told;
    let trial = if is_once && rule == "P-08" {
        lab.stopped(format!(
            "Records are numbered, and the number is in no frame: the copy was opened as the next \
             number, and its tag is wrong. The server: {what} (P-08). Had it opened, P-25 would \
             have skipped a number that counted before."
        ));
        Trial::stopped("the implicit number of each record", rule)
    } else {
        Trial::unexpected(format!("count {count}, sum {sum}, {reply:?}, {rule}: {what}"))
    };
    let trial = trial.fact("count", count).answer(lab, "sum", sum.to_string());
    Ok(trial.fact("server_says", what).frames(scene.relay.recorded()))
}

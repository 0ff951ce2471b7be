//! `ddes total`: what an identity has counted.

use std::time::Duration;

use ddes_client::delivery::Patience;
use ddes_client::outbox::Outbox;
use ddes_wire::v2::Scope;

use crate::args::TotalArgs;
use crate::failure::{Code, Failure};
use crate::meet::Meeting;
use crate::screen::{Line, Screen, number};

pub(crate) fn run(args: &TotalArgs) -> Result<(), Failure> {
    if args.client.classic {
        return Err(Failure::new(
            Code::Usage,
            "a classic server keeps no total beyond its session",
        )
        .next("ddes total     (without --classic)"));
    }
    let patience = Patience { first: Duration::ZERO, later: Duration::ZERO };
    let (meeting, mut courier) =
        Meeting::arrange(&args.client, patience, |_| Ok(Outbox::in_memory()))?;
    let welcome = crate::runtime()?.block_on(async {
        let welcome = meeting.open(&mut courier, |_, _| {}).await?;
        // The total is known; how the session ends is of no account.
        drop(courier.close(Scope::Session).await);
        Ok::<_, Failure>(welcome)
    })?;
    let standing = welcome.standing;
    Screen::of(&args.client.output).show(
        &Line::new("total", standing.sum.to_string())
            .with("sum", number(&standing.sum))
            .with("count", number(&standing.last_seq))
            .with("identity", meeting.identity.fingerprint()),
    )
}

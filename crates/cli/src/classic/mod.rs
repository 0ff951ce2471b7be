//! The client commands on the original's wire.

pub(crate) mod connect;
pub(crate) mod send;

use std::time::Duration;

use ddes_client::classic::ClassicOptions;
use ddes_wire::ClientId;

use crate::args::ClientArgs;
use crate::failure::Failure;
use crate::screen;

const CONNECT_MAX: Duration = Duration::from_secs(10);
const REPLY_MAX: Duration = Duration::from_secs(10);
/// The original computes fresh parameters for each connection: 1 s to 60 s of work.
const HANDSHAKE_MAX: Duration = Duration::from_secs(120);

const AMOUNT_RANGE: &str = "0 to 18446744073709551615 (2^64 - 1) on the classic wire";

fn options(args: &ClientArgs) -> Result<ClassicOptions, Failure> {
    if !args.output.quiet {
        screen::warn_of_classic();
    }
    let mut id = [0; ClientId::BYTES];
    getrandom::fill(&mut id)
        .map_err(|error| Failure::system("the system gives no randomness", &error))?;
    Ok(ClassicOptions {
        server: args.server.clone(),
        id: ClientId::random(id),
        connect: args.timeout_or(CONNECT_MAX),
        handshake: args.timeout_or(HANDSHAKE_MAX),
        reply: args.timeout_or(REPLY_MAX),
    })
}

/// An integer the classic wire can carry, or what is wrong with it.
fn amount(text: &str) -> Result<u64, String> {
    crate::input::integer(text, AMOUNT_RANGE)
}

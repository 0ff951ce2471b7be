// A server in memory, for the examples of the crate's documentation.

use std::time::Duration;

use ddes_identity::SigningKey;
use ddes_ledger::Ledger;
use ddes_server::{Server, ServerOptions};
use ddes_session::v2::ServerConfig;
use ddes_wire::v2::{GroupSize, Suite};

/// Its address and the fingerprint of its key. It serves until the process ends.
pub(crate) fn start() -> (String, String) {
    let key = SigningKey::from_seed(&[9; 32]);
    let fingerprint = key.public().fingerprint();
    let minute = Duration::from_secs(60);
    let suites = vec![Suite::Hybrid(GroupSize::Bits2048)];
    let v2 = ServerConfig { suites, key, idle: minute, handshake: minute, values_max: 1024 };
    let options = ServerOptions::on_loopback(v2);
    let server = Server::bind(options, Ledger::in_memory()).unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || server.run(|_| {}).unwrap());
    (address, fingerprint)
}

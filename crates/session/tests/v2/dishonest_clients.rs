//! P-15, P-19: proofs that prove nothing, and identities that nobody authorized, all hear the same.

use ddes_identity::Namespace;
use ddes_session::v2::{Fault, ServerEnd};
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{Farewell, IdentityProof, Reason};

use crate::world::{Client, STRANGER, SUITE, Server, identity};

/// What a client hears that sends this proof, and how its session ended.
fn outcome(proof: impl Fn(&Client) -> IdentityProof) -> (Farewell, Option<ServerEnd>) {
    let mut server = Server::new();
    let mut client = Client::meet(&mut server, SUITE);
    let plaintext = proof(&client).encode();
    server.give(&client.seal(Opcode::KeyVerification, &plaintext));
    let heard = client.take(&mut server);
    assert_eq!((heard.len(), heard[0].0, server.counted), (1, 50, 0));
    (Farewell::decode(&heard[0].1).unwrap(), server.end)
}

#[test]
fn a_stranger_and_a_liar_hear_the_same() {
    let (stranger, end) = outcome(|client| client.proof(&identity(STRANGER), Namespace::Client));
    assert_eq!(
        (stranger.reason, end),
        (Reason::NotAuthorized, Some(ServerEnd::Fault(Fault::NotAuthorized)))
    );
    let lies: [&dyn Fn(&Client) -> IdentityProof; 5] = [
        // A signature for another purpose.
        &|client| client.proof(&identity(3), Namespace::Server),
        // Another's key with a signature of one's own.
        &|client| IdentityProof {
            key: *identity(4).public().as_bytes(),
            ..client.proof(&identity(3), Namespace::Client)
        },
        // A bit of it.
        &|client| {
            let mut proof = client.proof(&identity(3), Namespace::Client);
            proof.signature[0] ^= 1;
            proof
        },
        // A key of small order: y = 1.
        &|client| {
            let mut key = [0; 32];
            key[0] = 1;
            IdentityProof { key, ..client.proof(&identity(3), Namespace::Client) }
        },
        // The server's own proof, sent back.
        &|client| {
            let message = [&client.hash[..], client.server_key.as_bytes()].concat();
            IdentityProof {
                key: *client.server_key.as_bytes(),
                signature: identity(200).sign(Namespace::Server, &message),
            }
        },
    ];
    for lie in lies {
        assert_eq!(outcome(lie), (stranger.clone(), Some(ServerEnd::Fault(Fault::Proof))));
    }
}

/// The proof names the handshake and the server, so a server cannot pass it on to another.
#[test]
fn a_proof_of_another_handshake_or_for_another_server_proves_nothing() {
    let (_, end) = outcome(|client| {
        let other = Client { hash: [9; 32], ..Client::meet(&mut Server::new(), SUITE) };
        assert_eq!(other.server_key, client.server_key);
        other.proof(&identity(3), Namespace::Client)
    });
    assert_eq!(end, Some(ServerEnd::Fault(Fault::Proof)));
    let (_, end) = outcome(|client| {
        let other = Client {
            server_key: identity(201).public(),
            hash: client.hash,
            ..Client::meet(&mut Server::new(), SUITE)
        };
        other.proof(&identity(3), Namespace::Client)
    });
    assert_eq!(end, Some(ServerEnd::Fault(Fault::Proof)));
}

//! P-08, P-15, P-26: what a client refuses, and that nothing goes out afterwards.

use ddes_cipher::Function;
use ddes_identity::{Namespace, SigningKey};
use ddes_session::Phase;
use ddes_session::v2::noise::respond;
use ddes_session::v2::record::Sealer;
use ddes_session::v2::{ClientEnd, ClientFault, prologue, protocol};
use ddes_wire::frame::{HEADER_BYTES, Header, Opcode, TooLong};
use ddes_wire::v2::{Farewell, Hello, IdentityProof, Reason, Rejection, Scope};
use ddes_wire::{Sequence, Total};

use crate::world::{CONFIG, Client, SUITE, Server, Session, entropy, frame, identity};

/// A server from its parts.
struct Liar {
    hash: [u8; 32],
    second: Vec<u8>,
    sealer: Sealer,
}

impl Liar {
    fn meet(client: &mut Session) -> Self {
        let first = client.take();
        let hello = Hello::decode(&first[HEADER_BYTES..]).unwrap();
        let response =
            respond(&protocol(SUITE), &prologue(SUITE), &entropy(2), hello.noise, &[]).unwrap();
        let sealer = Sealer::new(Function::Ddes, response.finished.to_client);
        Self { hash: response.finished.hash, second: frame(10, &response.message), sealer }
    }

    fn seal(&mut self, opcode: Opcode, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.sealer.seal(opcode, plaintext, &mut out).unwrap();
        out
    }

    fn proof(&self, key: &SigningKey, namespace: Namespace) -> Vec<u8> {
        let public = *key.public().as_bytes();
        let signature = key.sign(namespace, &[&self.hash[..], &public].concat());
        IdentityProof { key: public, signature }.encode()
    }
}

/// How a client's session ends that hears this.
fn end(lie: impl Fn(&mut Liar) -> Vec<u8>) -> ClientFault {
    let mut client = Session::new(CONFIG);
    let mut liar = Liar::meet(&mut client);
    client.give(&lie(&mut liar));
    assert!(client.session.pending().is_empty());
    assert_eq!(client.session.phase(), Phase::Done);
    match client.end() {
        Some(ClientEnd::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// P-26: NN authenticates nobody, so whoever answers message 1 can seal a 50.
#[test]
fn a_sealed_50_before_the_servers_key_is_proven_and_known_is_no_more_than_one_in_the_clear() {
    let text = "run ddes trust rm".to_owned();
    for reason in Reason::ALL {
        let farewell = || {
            let (last_seq, sum) = (Sequence::new(7), Total::new(7));
            Farewell { reason, scope: Scope::Session, last_seq, sum, text: text.clone() }
        };
        let rejected = Some(ClientEnd::Rejected(Rejection { reason, text: text.clone() }));
        // In the place of message 3.
        let mut client = Session::new(CONFIG);
        let mut liar = Liar::meet(&mut client);
        let sealed = liar.seal(Opcode::Disconnect, &farewell().encode());
        client.give(&[liar.second.clone(), sealed].concat());
        assert_eq!(
            (client.end(), client.session.phase()),
            (rejected.clone(), Phase::Done),
            "{reason:?}"
        );
        // After it, while the caller looks for a key that anybody may have proven.
        let mut client = Session::new(CONFIG);
        let mut liar = Liar::meet(&mut client);
        let proof = liar.proof(&identity(201), Namespace::Server);
        let third = liar.seal(Opcode::KeyVerification, &proof);
        let sealed = liar.seal(Opcode::Disconnect, &farewell().encode());
        client.give(&[liar.second.clone(), third.clone()].concat());
        client.give(&sealed);
        assert_eq!(client.end(), rejected, "{reason:?}");
        // Once the caller has found it, and message 4 is said, it is the server's word.
        let mut client = Session::new(CONFIG);
        let mut liar = Liar::meet(&mut client);
        let proof = liar.proof(&identity(200), Namespace::Server);
        let third = liar.seal(Opcode::KeyVerification, &proof);
        let sealed = liar.seal(Opcode::Disconnect, &farewell().encode());
        client.give(&[liar.second.clone(), third].concat());
        client.prove(&identity(3));
        client.give(&sealed);
        assert_eq!(client.end(), Some(ClientEnd::Farewell(farewell())), "{reason:?}");
    }
}

#[test]
fn a_proof_that_proves_nothing() {
    let with = |proof: &dyn Fn(&Liar) -> Vec<u8>| {
        end(|liar| {
            let proof = proof(liar);
            [liar.second.clone(), liar.seal(Opcode::KeyVerification, &proof)].concat()
        })
    };
    assert_eq!(with(&|liar| liar.proof(&identity(200), Namespace::Client)), ClientFault::Proof);
    assert_eq!(
        with(&|liar| liar.proof(&identity(200), Namespace::Server)[..95].to_vec()),
        ClientFault::Proof
    );
    // A middleman shows the true server's key, and cannot sign this handshake.
    let swapped = |liar: &Liar| {
        let mut proof = liar.proof(&identity(201), Namespace::Server);
        proof[..32].copy_from_slice(identity(200).public().as_bytes());
        proof
    };
    assert_eq!(with(&swapped), ClientFault::Proof);
}

/// He has a handshake with each end, and passes on the proof that the true server made for his.
#[test]
fn a_middleman_who_swaps_the_keys_between_two_true_ends() {
    let mut server = Server::with_randomness(ddes_ledger::Ledger::in_memory(), 5);
    let his = Client::meet(&mut server, SUITE);
    let fault = end(|liar| {
        assert_ne!(liar.hash, his.hash);
        let signature = identity(200)
            .sign(Namespace::Server, &[&his.hash[..], his.server_key.as_bytes()].concat());
        let proof = IdentityProof { key: *his.server_key.as_bytes(), signature }.encode();
        [liar.second.clone(), liar.seal(Opcode::KeyVerification, &proof)].concat()
    });
    assert_eq!(fault, ClientFault::Proof);
}

#[test]
fn messages_out_of_their_place() {
    for opcode in [20, 30, 40, 77] {
        assert_eq!(end(|_| frame(opcode, b"hello")), ClientFault::Opcode { opcode });
    }
    for opcode in [Opcode::SessionToken, Opcode::EncryptedData, Opcode::EncryptedResult] {
        let fault = end(|liar| [liar.second.clone(), liar.seal(opcode, b"too early")].concat());
        assert_eq!(fault, ClientFault::Opcode { opcode: opcode.number() });
    }
}

#[test]
fn lengths_that_are_not_the_suites() {
    assert_eq!(end(|_| frame(10, &[2; 271])), ClientFault::Length { length: 271 });
    let long = Header { opcode: 10, length: 65_536 }.encode();
    assert_eq!(
        end(|_| long.to_vec()),
        ClientFault::TooLong(TooLong { length: 65_536, most: 65_535 })
    );
    assert_eq!(end(|_| frame(50, &[])), ClientFault::Malformed { opcode: Opcode::Disconnect });
    let farewell =
        end(|liar| [liar.second.clone(), liar.seal(Opcode::Disconnect, &[0; 25])].concat());
    assert_eq!(farewell, ClientFault::Malformed { opcode: Opcode::Disconnect });
    assert_eq!(Farewell::decode(&[0; 25]), None);
}

#[test]
fn each_byte_of_the_proof_changed() {
    for position in 0..112 {
        let fault = end(|liar| {
            let proof = liar.proof(&identity(200), Namespace::Server);
            let mut third = liar.seal(Opcode::KeyVerification, &proof);
            third[HEADER_BYTES + position] ^= 1;
            [liar.second.clone(), third].concat()
        });
        assert!(matches!(fault, ClientFault::Record(_)), "byte {position}: {fault:?}");
    }
}

#[test]
fn a_stream_cut_at_any_frame_is_an_error() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.session.handle_eof(client.now);
    client.give(&[]);
    assert_eq!(client.end(), Some(ClientEnd::Fault(ClientFault::Truncated)));
    let mut client = Session::new(CONFIG);
    client.talk(&mut server);
    client.prove(&identity(3));
    client.talk(&mut server);
    client.session.handle_eof(client.now);
    client.give(&[]);
    assert_eq!(client.end(), Some(ClientEnd::Fault(ClientFault::Truncated)));
}

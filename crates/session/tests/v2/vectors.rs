//! P-02, P-14: the handshakes of vectors/ddes2/handshakes.txt, which the Python peer computes on
//! its own (peer/test_ddes2.py).
//!
//! `DDES_BLESS=1 cargo test -p ddes-session --test v2 vectors` writes the file anew.

use std::fmt::Write;
use std::path::Path;

use ddes_identity::Namespace;
use ddes_session::v2::noise::{Initiator, respond};
use ddes_session::v2::record::Sealer;
use ddes_session::v2::{prologue, protocol};
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{Data, Hello, IdentityProof, Suite};
use ddes_wire::{Sequence, Token};

use crate::world::{entropy, frame, identity};

const HEAD: &str = "\
# Handshakes of D-DDES/2 with fixed randomness, and the first record after them. x: private DH exponents. kem_seed: d || z. m: the randomness of the
# encapsulation. seeds: Ed25519. h: the handshake hash. expect: messages 1 to 4 as whole frames, then a 30 (token 07 x 16, first_seq 1, values 42, -1), the
# next record to the server; apart by spaces.
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn case(suite: Suite) -> String {
    let (ours, theirs) = (entropy(1), entropy(2));
    let (initiator, first) = Initiator::start(protocol(suite), &prologue(suite), &ours, &[]);
    let response = respond(&protocol(suite), &prologue(suite), &theirs, &first, &[]).unwrap();
    let (finished, _) = initiator.finish(&response.message).unwrap();
    let function = protocol(suite).cipher;
    let (server, client) = (identity(200), identity(3));
    let mut out = [
        frame(10, &Hello { suite, noise: &first }.encode()),
        frame(10, &response.message),
        Vec::new(),
        Vec::new(),
        Vec::new(),
    ];
    let mut message = [&finished.hash[..], server.public().as_bytes()].concat();
    let proof = IdentityProof {
        key: *server.public().as_bytes(),
        signature: server.sign(Namespace::Server, &message),
    };
    let mut sealer = Sealer::new(function, finished.to_client.clone());
    sealer.seal(Opcode::KeyVerification, &proof.encode(), &mut out[2]).unwrap();
    message.extend(client.public().as_bytes());
    let proof = IdentityProof {
        key: *client.public().as_bytes(),
        signature: client.sign(Namespace::Client, &message),
    };
    let mut sealer = Sealer::new(function, finished.to_server.clone());
    sealer.seal(Opcode::KeyVerification, &proof.encode(), &mut out[3]).unwrap();
    let data = Data { first_seq: Sequence::new(1), values: [42, -1].into() }
        .encode(&Token::new([7; 16]))
        .unwrap();
    sealer.seal(Opcode::EncryptedData, &data, &mut out[4]).unwrap();

    let exponent = |entropy: &[u8]| {
        // 256, 288, 336 bits for 2048, 3072, 4096; the top one set.
        let length = [32, 36, 42][suite.group().public_bytes() / 128 - 2];
        let mut bytes = entropy[..length].to_vec();
        bytes[0] |= 0x80;
        hex(&bytes)
    };
    let messages: Vec<_> = out.iter().map(|frame| hex(frame)).collect();
    let mut text = format!("name: {}\nsuite: {:02x}\n", suite.name(), suite.id());
    writeln!(text, "client_x: {}\nserver_x: {}", exponent(&ours.dh), exponent(&theirs.dh)).unwrap();
    writeln!(text, "kem_seed: {}\nm: {}", hex(ours.kem.as_ref()), hex(&theirs.kem[..32])).unwrap();
    writeln!(text, "server_seed: {}\nclient_seed: {}", hex(&[200; 32]), hex(&[3; 32])).unwrap();
    writeln!(text, "h: {}\nexpect: {}", hex(&finished.hash), messages.join(" ")).unwrap();
    text
}

#[test]
fn the_handshakes_are_those_of_the_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/ddes2/handshakes.txt");
    let text = format!("{HEAD}\n{}", Suite::ALL.map(case).join("\n"));
    if std::env::var_os("DDES_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == text, "another handshake than the file's");
}

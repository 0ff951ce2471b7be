//! What a receiver would refuse fails its check, and what is not checked is said.

use ddes_capture::{Check, Conversation, Direction, NoteKind, SessionSecrets, What};
use ddes_cipher::Function;
use ddes_session::v2::record::Sealer;
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{Data, Outcome, Status, Welcome};
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};
use zeroize::Zeroizing;

use crate::{Scene, only};

const KEYS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const TOKEN: [u8; 16] = [7; 16];

/// The records of a session whose keys are known, from after its handshake on.
pub(crate) struct Records {
    scene: Scene,
    connection: ddes_capture::ConnectionNumber,
    sealers: [Sealer; 2],
}

impl Records {
    pub(crate) fn new() -> Self {
        let mut scene = Scene::new();
        let connection = scene.open("127.0.0.1:40000", None);
        let sealers = KEYS.map(|key| Sealer::new(Function::DdesChaCha, Zeroizing::new(key)));
        Self { scene, connection, sealers }
    }

    pub(crate) fn send(&mut self, direction: Direction, opcode: Opcode, plaintext: &[u8]) {
        let mut frame = Vec::new();
        let side = usize::from(direction == Direction::ToClient);
        self.sealers[side].seal(opcode, plaintext, &mut frame).unwrap();
        self.scene.send(self.connection, direction, &frame);
    }

    fn welcome(mut self, last_seq: u64, sum: i128) -> Self {
        let last_seq = Sequence::new(last_seq);
        let welcome = Welcome {
            token: Token::new(TOKEN),
            session: SessionNumber::new(1),
            standing: Standing {
                last_seq,
                last_session: SessionNumber::NONE,
                sum: Total::new(sum),
            },
            idle_millis: 60_000,
            values_max: 100,
        };
        self.send(Direction::ToClient, Opcode::SessionToken, &welcome.encode());
        self
    }

    fn data(mut self, first_seq: u64, values: &[i64]) -> Self {
        let data = Data { first_seq: Sequence::new(first_seq), values: values.into() };
        let plaintext = data.encode(&Token::new(TOKEN)).unwrap();
        self.send(Direction::ToServer, Opcode::EncryptedData, &plaintext);
        self
    }

    fn outcome(mut self, last_seq: u64, sum: i128) -> Self {
        let (last_seq, sum) = (Sequence::new(last_seq), Total::new(sum));
        let outcome = Outcome { status: Status::Applied, last_seq, sum };
        self.send(Direction::ToClient, Opcode::EncryptedResult, &outcome.encode());
        self
    }

    /// The conversation, opened with the keys of the records alone.
    pub(crate) fn read(self) -> Conversation {
        let hex = |key: [u8; 32]| format!("{:02x}", key[0]).repeat(32);
        let [to_server, to_client] = KEYS.map(hex);
        let text =
            format!(r#"{{"ddes_secrets":1,"to_server":"{to_server}","to_client":"{to_client}"}}"#);
        let secrets = SessionSecrets::from_json(&text).unwrap();
        only(&self.scene.finish(), &[secrets])
    }
}

fn failed(conversation: &Conversation) -> Vec<&Check> {
    assert!(conversation.session.is_some(), "{:?}", conversation.refused);
    let checks = conversation.frames.iter().flat_map(|frame| &frame.checks);
    checks.filter(|check| !check.passed).collect()
}

pub(crate) fn unchecked(conversation: &Conversation) -> Vec<What> {
    let notes = conversation.notes.iter();
    notes
        .filter_map(|note| match note.kind {
            NoteKind::Unchecked { what, .. } => Some(what),
            _ => None,
        })
        .collect()
}

#[test]
fn an_account_at_the_last_number_has_no_room_and_no_overflow() {
    let most = u64::MAX;
    let full = |records: Records| records.read();
    let repeated = full(Records::new().welcome(most, 5).data(1, &[5]).outcome(most, 5));
    assert_eq!(failed(&repeated), Vec::<&Check>::new());
    let last = full(Records::new().welcome(most - 1, 5).data(most, &[6]).outcome(most, 11));
    assert_eq!(failed(&last), Vec::<&Check>::new());
    // There is no number for the second value.
    for from in [most - 1, most] {
        let beyond = full(Records::new().welcome(from, 5).data(most, &[6, 7]));
        let failed = failed(&beyond);
        assert_eq!((failed.len(), failed[0].what), (1, What::Sequence), "{failed:?}");
        assert_eq!(failed[0].rule, Some("P-25"));
    }
}

#[test]
fn values_that_repeat_or_replace_what_waits_sum_to_what_is_stated() {
    let session = Records::new().welcome(10, 100).data(11, &[1, 2, 3]).data(12, &[20, 30]);
    let session = session.outcome(11, 101).data(10, &[9, 1, 20, 30, 40]).outcome(14, 191);
    assert_eq!(failed(&session.read()), Vec::<&Check>::new());
    let session = Records::new().welcome(10, 100).data(12, &[1]).read();
    let failed = failed(&session);
    assert_eq!((failed.len(), failed[0].what), (1, What::Sequence), "{failed:?}");
}

#[test]
fn an_account_that_goes_back_fails_its_check() {
    let session = Records::new().welcome(10, 100).data(11, &[5]);
    let session = session.outcome(3, 999_999).outcome(11, 105).read();
    let failed = failed(&session);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((failed[0].what, failed[0].rule), (What::Sequence, Some("P-29")));
    assert_eq!(failed[0].detail, "3 is below 10, which was confirmed");
}

#[test]
fn a_second_20_does_not_state_the_account_anew() {
    let session = Records::new().welcome(10, 100).data(11, &[5]);
    let session = session.welcome(3, 999_999).outcome(3, 999_999).read();
    let failed = failed(&session);
    let found: Vec<_> = failed.iter().map(|check| (check.what, check.rule)).collect();
    assert_eq!(found, [(What::Order, Some("P-26")), (What::Sequence, Some("P-29"))]);
}

#[test]
fn what_cannot_be_checked_is_said_once() {
    // Sums, a token and values of which no 20 speaks.
    let session = Records::new().outcome(0, 1).data(1, &[5]).data(2, &[5]).outcome(2, 11).read();
    assert_eq!(failed(&session), Vec::<&Check>::new());
    assert_eq!(unchecked(&session), [What::Sum, What::Token]);
    let whole = Records::new().welcome(0, 0).data(1, &[5]).outcome(1, 5).read();
    assert_eq!(unchecked(&whole), []);
}

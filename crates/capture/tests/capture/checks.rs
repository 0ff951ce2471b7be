//! What a receiver would refuse fails its check, and what is not checked is said.

use ddes_capture::{Check, Conversation, Direction, Limits, NoteKind, SessionSecrets, What};
use ddes_cipher::Function;
use ddes_session::v2::record::Sealer;
use ddes_wire::frame::Opcode;
use ddes_wire::v2::{Data, Outcome, Status, Welcome};
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};
use zeroize::Zeroizing;

use crate::{Scene, only, read};

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
        only(&self.scene.finish(), &[secrets(KEYS)])
    }

    /// Bytes to the client are missing in the capture.
    fn lose(&mut self) {
        self.scene.writer.lost(self.connection, Direction::ToClient, 1000).unwrap();
    }
}

fn secrets(keys: [[u8; 32]; 2]) -> SessionSecrets {
    let hex = |key: [u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let [to_server, to_client] = keys.map(hex);
    let text =
        format!(r#"{{"ddes_secrets":1,"to_server":"{to_server}","to_client":"{to_client}"}}"#);
    SessionSecrets::from_json(&text).unwrap()
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

/// Secrets of 50 other sessions, then those of this one.
fn many() -> Vec<SessionSecrets> {
    (0..50).map(|other| secrets([[100 + other; 32]; 2])).chain([secrets(KEYS)]).collect()
}

#[test]
fn secrets_of_other_sessions_cost_one_try_each_where_nothing_is_missing() {
    const BODY: usize = 65_535;
    let mut session = Records::new();
    session.send(Direction::ToClient, Opcode::EncryptedResult, &[0; BODY - 16]);
    // Two cipher functions, and what an HMAC costs besides.
    let hashed_max = (50 * 2 + 1) * (BODY as u64 + 1000);
    let limits = Limits { hashed_max, ..Limits::default() };
    let found = ddes_capture::read(&session.scene.finish()[..], &limits, &many()).unwrap();
    assert!(found.all[0].session.is_some(), "{:?}", found.all[0].refused);
    assert_eq!(found.notes, Vec::<String>::new());
}

#[test]
fn what_is_computed_in_vain_is_bounded_for_the_whole_file_and_said() {
    let mut scene = Scene::new();
    for client in 1..=20 {
        let mut session = Records { scene, ..Records::new() };
        session.connection = session.scene.open(&format!("127.0.0.1:{client}"), None);
        session.lose();
        session.send(Direction::ToClient, Opcode::EncryptedResult, &[0; 60_001]);
        scene = session.scene;
    }
    let capture = scene.finish();
    let limits = Limits { hashed_max: 100 << 20, ..Limits::default() };
    let found = ddes_capture::read(&capture[..], &limits, &many()).unwrap();
    assert_eq!(found.all.len(), 20);
    assert!(found.all.iter().all(|one| one.session.is_none()));
    let refused = "too much was computed for other secrets and gaps before";
    assert_eq!(found.all[19].refused.as_deref(), Some(refused));
    assert!(
        found.notes.iter().any(|note| note.contains("a bound is reached")),
        "{:?}",
        found.notes
    );
    // Without the bound this test hashes 2 times 1025 times 50 times 60 KB, 20 times: 123 GB.
}

#[test]
fn sessions_that_open_spend_nothing_and_unreadable_secrets_are_counted() {
    let mut scene = Scene::new();
    for client in 1..=40 {
        let mut session = Records { scene, ..Records::new() };
        let own = secrets(KEYS);
        session.connection = session.scene.open(&format!("127.0.0.1:{client}"), Some(own));
        session = session.welcome(0, 0);
        scene = session.scene;
    }
    let mut capture = scene.finish();
    let limits = Limits { hashed_max: 2000, ..Limits::default() };
    let found = ddes_capture::read(&capture[..], &limits, &[]).unwrap();
    assert!(found.all.iter().all(|one| one.session.is_some()));
    assert_eq!(found.notes, Vec::<String>::new());
    // The same with secrets that cannot be read.
    for at in 0..capture.len() - 9 {
        if capture[at..].starts_with(b"to_server") {
            capture[at] = b'x';
        }
    }
    let found = read(&capture, &[]);
    assert_eq!(found.notes.len(), 17, "{:?}", found.notes);
    assert!(found.notes.iter().all(|note| note.len() < 200), "{:?}", found.notes);
    assert_eq!(found.notes[16], "the secrets in 24 more comments cannot be read");
}

//! D-DDES/2: what everybody can check, and with the keys every record.

use std::collections::VecDeque;

use ddes_identity::{Namespace, PublicKey};
use ddes_session::v2::noise;
use ddes_session::v2::protocol;
use ddes_wire::frame::{HEADER_BYTES, Opcode};
use ddes_wire::saturating;
use ddes_wire::schema::Wire;
use ddes_wire::shown::hex;
use ddes_wire::v2::{Data, Farewell, Hello, IdentityProof, Outcome, Status, Welcome};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::open::{first_key, function};
use super::record::Records;
use super::work::WorkBudget;
use super::{check, plain};
use crate::conversation::{Check, Conversation, Direction, Frame, Note, NoteKind, Profile, What};
use crate::opened::OpenedV2;

/// The most values that wait for a 40: what a client has on the way is far below.
const WAITING_MAX: usize = 1 << 20;

/// Checks what an eavesdropper can: version, suite, lengths, public values.
pub(super) fn check_clear(conversation: &mut Conversation) {
    let Profile::V2 { suite } = conversation.profile else { return };
    let Some(at) = index_of_key(&conversation.frames, Direction::ToServer) else { return };
    let Some(hello) = conversation.frames.get_mut(at) else { return };
    match Hello::decode(hello.body()) {
        Ok(message) => {
            let outcome = noise::check(&protocol(message.suite), message.noise);
            let detail = match &outcome {
                Ok(()) => "in 2..p-2; the ML-KEM key, if any, is well-formed".to_owned(),
                Err(error) => error.to_string(),
            };
            let found = check(What::PublicValue, "P-03", outcome.is_ok(), detail);
            hello.checks.push(found);
        }
        Err(error) => hello.checks.push(check(What::Encoding, "P-01", false, error.to_string())),
    }
    let Some(suite) = suite else { return };
    let Some(at) = index_of_key(&conversation.frames, Direction::ToClient) else { return };
    let Some(answer) = conversation.frames.get_mut(at) else { return };
    let Some(value) = answer.field_bytes("server_value").map(<[u8]>::to_vec) else { return };
    let outcome = noise::Dh::check(&protocol(suite).dh, &value);
    let detail = outcome.as_ref().map_or_else(ToString::to_string, |()| "in 2..p-2".to_owned());
    answer.checks.push(check(What::PublicValue, "P-03", outcome.is_ok(), detail));
}

fn index_of_key(frames: &[Frame], direction: Direction) -> Option<usize> {
    let number = first_key(frames, direction)?.number;
    usize::try_from(number).ok()?.checked_sub(1)
}

const NO_HASH: &str = "the secrets do not state the handshake hash, which it covers";
const NO_SERVER_KEY: &str = "the server's key, which it covers, is not known";
const NO_TOKEN: &str = "the capture does not hold the 20, which states it";
const NO_ACCOUNT: &str = "frames are missing, with the 20 or the values in them";

/// The session as both ends know it.
struct Session<'a> {
    opened: &'a mut OpenedV2,
    server_key: Option<[u8; 32]>,
    account: Option<AccountState>,
    /// What could not be checked of the record at hand, and why.
    unchecked: Option<(What, &'static str)>,
}

/// The account from the 20 on, and the values that no 40 covers yet.
struct AccountState {
    last_seq: u64,
    sum: i128,
    waiting: VecDeque<i64>,
    values_max: u16,
}

/// Decrypts and checks every record.
pub(super) fn decrypt(
    conversation: &mut Conversation,
    opened: &mut OpenedV2,
    work: &mut WorkBudget,
) {
    let cipher = function(opened.suite);
    let first =
        |epochs: &[crate::Epoch]| epochs.first().map(|epoch| Records::new(cipher, &epoch.key));
    let (Some(mut to_server), Some(mut to_client)) =
        (first(&opened.to_server), first(&opened.to_client))
    else {
        return;
    };
    check_answer(conversation, opened);
    let gaps = gaps(&conversation.notes);
    let mut session = Session { opened, server_key: None, account: None, unchecked: None };
    let (mut lost, mut unchecked) = (Vec::new(), Vec::<Note>::new());
    for frame in &mut conversation.frames {
        let records = match frame.direction {
            Direction::ToServer => &mut to_server,
            Direction::ToClient => &mut to_client,
        };
        if gaps.iter().any(|(before, of)| *before == frame.number && *of == frame.direction) {
            records.pass_gap();
            session.account = None;
        }
        if frame.field("tag").is_none() {
            continue;
        }
        let Some((header, body)) = frame.bytes.split_at_checked(HEADER_BYTES) else { continue };
        match records.open(header, body, work) {
            Some(record) => {
                let detail = format!("record {} under {}", record.number, key_of(record.epoch));
                frame.checks.push(check(What::Tag, "P-08", true, detail));
                let mut checks = session.handle(frame.direction, frame.opcode, &record.plaintext);
                frame.checks.append(&mut checks);
                if let Some((what, why)) = session.unchecked.take() {
                    let kind = NoteKind::Unchecked { what, why };
                    // Once for each kind: the reason holds for those that follow.
                    if unchecked.iter().all(|note| note.kind != kind) {
                        let (before_frame, direction) = (frame.number, Some(frame.direction));
                        unchecked.push(Note { before_frame, direction, kind });
                    }
                }
                let (number, epoch) = (Some(record.number), record.epoch);
                frame.plain = plain(Wire::V2, frame, record.plaintext, number, epoch);
            }
            None => {
                let detail = format!("record {} does not open", records.next);
                frame.checks.push(check(What::Tag, "P-08", false, detail));
                lost.push(Note {
                    before_frame: frame.number,
                    direction: Some(frame.direction),
                    kind: NoteKind::Lost { record: records.next },
                });
            }
        }
    }
    // One note for each direction: what follows the first one that is lost is lost too.
    for direction in [Direction::ToServer, Direction::ToClient] {
        let note = lost.iter().find(|note| note.direction == Some(direction));
        conversation.notes.extend(note.cloned());
    }
    conversation.notes.append(&mut unchecked);
    conversation.notes.sort_by_key(|note| note.before_frame);
    (opened.to_server, opened.to_client) = (to_server.epochs, to_client.epochs);
}

/// Which key of its direction opened a record, in words that cannot be taken for Key1.
fn key_of(epoch: usize) -> String {
    match epoch {
        0 => "the first key of its direction".to_owned(),
        1 => "the key after the first rekey of its direction".to_owned(),
        epoch => format!("the key after rekey {epoch} of its direction"),
    }
}

/// The directions in which records may be missing, and the first frame of each that follows.
pub(super) fn gaps(notes: &[Note]) -> Vec<(u32, Direction)> {
    let both = [Direction::ToServer, Direction::ToClient];
    notes
        .iter()
        .filter(|note| match note.kind {
            NoteKind::Gap { .. } | NoteKind::Unframed { .. } | NoteKind::Midway => true,
            NoteKind::Conflict { .. }
            | NoteKind::Beyond { .. }
            | NoteKind::TooLong { .. }
            | NoteKind::Lost { .. }
            | NoteKind::Unchecked { .. } => false,
        })
        .flat_map(|note| {
            let of = both.into_iter().filter(|of| note.direction.is_none_or(|only| only == *of));
            of.map(|of| (note.before_frame, of))
        })
        .collect()
}

/// The tags of message 2 were verified when the handshake was run again.
fn check_answer(conversation: &mut Conversation, opened: &OpenedV2) {
    if opened.steps.is_empty() {
        return;
    }
    let Some(at) = index_of_key(&conversation.frames, Direction::ToClient) else { return };
    if let Some(answer) = conversation.frames.get_mut(at) {
        let detail = "the handshake, computed again from the secrets, gives these bytes";
        answer.checks.push(check(What::Tag, "P-02", true, detail));
    }
}

impl Session<'_> {
    /// Checks the plaintext of a record, in a receiver's order.
    fn handle(&mut self, direction: Direction, opcode: u32, plaintext: &[u8]) -> Vec<Check> {
        match (Opcode::from_number(opcode), direction) {
            (Some(Opcode::KeyVerification), Direction::ToClient) => self.server_proof(plaintext),
            (Some(Opcode::KeyVerification), Direction::ToServer) => self.client_proof(plaintext),
            (Some(Opcode::SessionToken), Direction::ToClient) => self.welcome(plaintext),
            (Some(Opcode::EncryptedData), Direction::ToServer) => self.data(plaintext),
            (Some(Opcode::EncryptedResult), Direction::ToClient) => self.outcome(plaintext),
            (Some(Opcode::Disconnect), _) => self.farewell(direction, plaintext),
            (Some(Opcode::SessionToken | Opcode::EncryptedResult), Direction::ToServer)
            | (Some(Opcode::EncryptedData), Direction::ToClient)
            | (None, _) => vec![Check {
                what: What::Order,
                rule: Some(if direction == Direction::ToServer { "P-17" } else { "P-26" }),
                passed: false,
                detail: format!("opcode {opcode} from this side"),
            }],
        }
    }

    fn server_proof(&mut self, plaintext: &[u8]) -> Vec<Check> {
        let Some(proof) = IdentityProof::decode(plaintext) else { return vec![malformed("P-14")] };
        self.server_key = Some(proof.key);
        self.signature(Namespace::Server, &proof, &[])
    }

    fn client_proof(&mut self, plaintext: &[u8]) -> Vec<Check> {
        let Some(proof) = IdentityProof::decode(plaintext) else { return vec![malformed("P-14")] };
        match self.server_key {
            Some(server) => self.signature(Namespace::Client, &proof, &server),
            None => {
                self.unchecked = Some((What::Signature, NO_SERVER_KEY));
                Vec::new()
            }
        }
    }

    /// A signature over the handshake hash, the keys before, and the signer's own key.
    fn signature(
        &mut self,
        namespace: Namespace,
        proof: &IdentityProof,
        before: &[u8],
    ) -> Vec<Check> {
        let Some(hash) = &self.opened.hash else {
            self.unchecked = Some((What::Signature, NO_HASH));
            return Vec::new();
        };
        // Without the handshake's steps nobody has seen that the hash is that of these frames.
        let whose =
            if self.opened.steps.is_empty() { ", over the hash of the secrets" } else { "" };
        let message = [&hash[..], before, &proof.key].concat();
        let key = PublicKey::new(&proof.key);
        let (passed, detail) = match key {
            Ok(key) => {
                let outcome = key.verify(namespace, &message, &proof.signature);
                let detail = match outcome {
                    Ok(()) => format!("by {}{whose}", key.fingerprint()),
                    Err(error) => error.to_string(),
                };
                (outcome.is_ok(), detail)
            }
            Err(error) => (false, error.to_string()),
        };
        vec![check(What::Signature, "P-15", passed, detail)]
    }

    fn welcome(&mut self, plaintext: &[u8]) -> Vec<Check> {
        let Some(welcome) = Welcome::decode(plaintext) else { return vec![malformed("P-10")] };
        // It would state the account anew, with whatever sum.
        if self.opened.token.is_some() {
            return vec![check(What::Order, "P-26", false, "a second 20")];
        }
        self.opened.token = Some(Zeroizing::new(*welcome.token.as_bytes()));
        self.account = Some(AccountState {
            last_seq: welcome.standing.last_seq.get(),
            sum: welcome.standing.sum.get(),
            waiting: VecDeque::new(),
            values_max: welcome.values_max,
        });
        vec![check(What::Encoding, "P-10", true, "every field in its range")]
    }

    fn data(&mut self, plaintext: &[u8]) -> Vec<Check> {
        let mut checks = Vec::new();
        if let (Some(token), Some(stated)) = (&self.opened.token, plaintext.first_chunk::<16>()) {
            let passed = bool::from(stated.ct_eq(token.as_ref()));
            let detail = if passed {
                "that of the 20".to_owned()
            } else {
                format!("{} is not that of the 20", hex(stated))
            };
            checks.push(check(What::Token, "P-20", passed, detail));
        } else if self.opened.token.is_none() {
            self.unchecked = Some((What::Token, NO_TOKEN));
        }
        let most = self.account.as_ref().map_or(ddes_wire::v2::VALUES_MAX, |of| of.values_max);
        let Some(data) = decode_data(plaintext, most) else {
            checks.push(malformed("P-11"));
            return checks;
        };
        checks.push(check(What::Encoding, "P-11", true, format!("{} of {most}", data.1.len())));
        if let Some(account) = &mut self.account {
            checks.push(account.submit(data.0, &data.1));
        }
        checks
    }

    fn outcome(&mut self, plaintext: &[u8]) -> Vec<Check> {
        let Some(outcome) = Outcome::decode(plaintext) else { return vec![malformed("P-12")] };
        let detail = match outcome.status {
            Status::Applied => "applied",
            Status::Gap => "refused: a gap",
            Status::Malformed => "refused: malformed",
            Status::Unavailable => "the ledger is unavailable",
        };
        let mut checks = vec![check(What::Encoding, "P-12", true, detail)];
        self.standing(outcome.last_seq.get(), outcome.sum.get(), &mut checks);
        checks
    }

    fn farewell(&mut self, direction: Direction, plaintext: &[u8]) -> Vec<Check> {
        let Some(farewell) = Farewell::decode(plaintext) else { return vec![malformed("P-13")] };
        let mut checks = vec![check(What::Encoding, "P-13", true, farewell.reason.text())];
        if direction == Direction::ToClient {
            self.standing(farewell.last_seq.get(), farewell.sum.get(), &mut checks);
        }
        checks
    }

    fn standing(&mut self, last_seq: u64, sum: i128, checks: &mut Vec<Check>) {
        match &mut self.account {
            Some(account) => checks.push(account.confirm(last_seq, sum)),
            // A session that ends before its 20 has no account.
            None if self.opened.token.is_none() && (last_seq, sum) == (0, 0) => {}
            None => self.unchecked = Some((What::Sum, NO_ACCOUNT)),
        }
    }
}

impl AccountState {
    /// The values of a 30: they must follow, or repeat what was sent.
    fn submit(&mut self, first_seq: u64, values: &[i64]) -> Check {
        let end = self.last_seq.saturating_add(self.waiting.len() as u64);
        // The account may stand at the last number that there is: nothing here counts beyond it.
        let skip = match self.last_seq.checked_sub(first_seq) {
            Some(behind) => behind.saturating_add(1),
            None => 0,
        };
        let is_gap = first_seq == 0 || first_seq.saturating_sub(1) > end;
        if !is_gap {
            // More than memory can hold is more than there is: all is skipped, nothing is cut.
            let skip = saturating::to_usize(skip);
            let start = first_seq.saturating_sub(self.last_seq).saturating_sub(1);
            self.waiting.truncate(saturating::to_usize(start));
            self.waiting.extend(values.iter().skip(skip).take(WAITING_MAX - self.waiting.len()));
        }
        let count = values.len() as u64;
        let last = first_seq.checked_add(count.saturating_sub(1));
        let detail = match last {
            Some(last) if is_gap => format!("{first_seq} to {last} leave a gap behind {end}"),
            Some(last) => format!("values {first_seq} to {last}"),
            None => format!("{count} values from {first_seq} on: there are fewer numbers"),
        };
        check(What::Sequence, "P-25", !is_gap && last.is_some(), detail)
    }

    /// A 40 or 50 states where the account stands: it must follow from the values.
    fn confirm(&mut self, last_seq: u64, sum: i128) -> Check {
        let Some(above) = last_seq.checked_sub(self.last_seq) else {
            let detail = format!("{last_seq} is below {}, which was confirmed", self.last_seq);
            return check(What::Sequence, "P-29", false, detail);
        };
        let covered = usize::try_from(above).ok();
        let Some(covered) = covered.filter(|covered| *covered <= self.waiting.len()) else {
            let detail = format!("{last_seq} is above every number that was sent");
            return check(What::Sequence, "P-29", false, detail);
        };
        let mut values = self.waiting.drain(..covered);
        let own = values.try_fold(self.sum, |sum, value| sum.checked_add(i128::from(value)));
        drop(values);
        (self.last_seq, self.sum) = (last_seq, sum);
        let passed = own == Some(sum);
        let detail = match own {
            Some(own) if !passed => format!("{sum} stated, the values sum to {own}"),
            Some(_) | None => format!("{last_seq} values sum to {sum}"),
        };
        check(What::Sum, "P-29", passed, detail)
    }
}

/// First number and values of a 30; `None` if it is malformed.
fn decode_data(plaintext: &[u8], most: u16) -> Option<(u64, Vec<i64>)> {
    let rest = plaintext.get(16..)?;
    let data = Data::decode(rest, most)?;
    Some((data.first_seq.get(), data.values.to_vec()))
}

fn malformed(rule: &'static str) -> Check {
    check(What::Encoding, rule, false, "not the encoding of its message")
}

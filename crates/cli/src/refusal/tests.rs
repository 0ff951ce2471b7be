//! One row for each refusal: the exit codes of the contract of the command line (3 connect, 4
//! identity, 5 integrity, 6 timeout, 2 usage, 1 no).

use std::path::PathBuf;

use ddes_client::outbox::OutboxOwner;
use ddes_identity::SigningKey;
use ddes_session::v2::record::RecordError;
use ddes_wire::frame::{Opcode, TooLong};
use ddes_wire::v2::Scope;
use ddes_wire::{Sequence, SessionNumber, Total};

use super::*;
use crate::args::HomeArgs;
use crate::home::Home;

fn meeting() -> Meeting {
    let home = Home::find(&HomeArgs { home: Some(std::env::temp_dir().join("ddes-refusal-none")) });
    let identity = SigningKey::from_seed(&[1; 32]).public();
    Meeting::new("127.0.0.1:5566".parse().unwrap(), identity, home.unwrap())
}

fn check(rows: impl IntoIterator<Item = (Failure, Code)>) {
    for (failure, code) in rows {
        assert_eq!(failure.code(), code, "{}", failure.what());
    }
}

/// [`of`], which gives the code of the class that a program is told.
fn told(error: CourierError, meeting: &Meeting) -> Failure {
    let class = FailureClass::of_courier(&error);
    let failure = of(error, meeting);
    assert_eq!(failure.code(), class.into(), "{}", failure.what());
    failure
}

fn farewell(reason: Reason) -> ClientEnd {
    let (last_seq, sum) = (Sequence::NONE, Total::ZERO);
    ClientEnd::Farewell(Farewell {
        reason,
        scope: Scope::Session,
        last_seq,
        sum,
        text: String::new(),
    })
}

#[test]
fn each_reason_of_a_50_has_its_code() {
    let meeting = meeting();
    let code = |reason| match reason {
        Reason::NotAuthorized | Reason::Superseded => Code::Identity,
        Reason::Idle => Code::Timeout,
        Reason::Token | Reason::Authentication => Code::Integrity,
        Reason::Protocol
        | Reason::Unsupported
        | Reason::TooMany
        | Reason::Bye
        | Reason::ShuttingDown
        | Reason::Operator
        | Reason::TooOld => Code::Connect,
    };
    check(Reason::ALL.map(|reason| (of_end(&farewell(reason), &meeting), code(reason))));
    // Nobody vouches for these: no key, suite or sum is in doubt.
    let rejected = |reason| ClientEnd::Rejected(Rejection { reason, text: String::new() });
    check(Reason::ALL.map(|reason| (of_end(&rejected(reason), &meeting), Code::Connect)));
    check([(not_operator(&meeting), Code::Identity)]);
}

#[test]
fn each_fault_of_a_server_has_its_code() {
    let meeting = meeting();
    let fault = |fault| of_end(&ClientEnd::Fault(fault), &meeting);
    check([
        (fault(ClientFault::TooLong(TooLong { length: 2, most: 1 })), Code::Connect),
        (fault(ClientFault::Truncated), Code::Connect),
        (fault(ClientFault::Opcode { opcode: 1 }), Code::Connect),
        (fault(ClientFault::Length { length: 1 }), Code::Connect),
        (
            fault(ClientFault::Handshake(ddes_session::v2::noise::NoiseError::Length)),
            Code::Integrity,
        ),
        (fault(ClientFault::Record(RecordError::Short { length: 1 })), Code::Integrity),
        (fault(ClientFault::Malformed { opcode: Opcode::EncryptedResult }), Code::Integrity),
        (fault(ClientFault::Proof), Code::Identity),
        (fault(ClientFault::HandshakeTimeout), Code::Timeout),
        (fault(ClientFault::ReplyTimeout), Code::Timeout),
        (fault(ClientFault::TakesNothing), Code::Timeout),
        (fault(ClientFault::Limit(ddes_cipher::LimitError::Nonce)), Code::No),
    ]);
}

#[test]
fn each_way_to_no_session_has_its_code() {
    let meeting = meeting();
    let enter = |error| told(CourierError::Lost(Lost::Enter(error)), &meeting);
    let connect = |error| enter(EnterError::Connect(error));
    let server = || "127.0.0.1:1".to_owned();
    let io = || io::Error::from(ErrorKind::Other);
    let sign = |error| enter(EnterError::Sign(error));
    let key = Box::new(SigningKey::from_seed(&[2; 32]).public());
    check([
        (connect(ConnectError::Resolve { server: server(), source: io() }), Code::Connect),
        (connect(ConnectError::Refused { server: server() }), Code::Connect),
        (
            connect(ConnectError::TimedOut { server: server(), waited: Duration::ZERO }),
            Code::Timeout,
        ),
        (connect(ConnectError::Failed { server: server(), source: io() }), Code::Connect),
        (connect(ConnectError::Randomness(getrandom::Error::UNSUPPORTED)), Code::No),
        (sign(SignError::Agent(AgentError::Refused)), Code::Identity),
        (sign(SignError::Agent(AgentError::Malformed)), Code::Identity),
        (sign(SignError::Agent(AgentError::Signature)), Code::Identity),
        (sign(SignError::Socket(io())), Code::Identity),
        (sign(SignError::TimedOut), Code::Identity),
        (enter(EnterError::Untrusted { key }), Code::Identity),
        (enter(EnterError::Ended(farewell(Reason::Superseded))), Code::Identity),
        (told(CourierError::Lost(Lost::Ended(farewell(Reason::Idle))), &meeting), Code::Timeout),
    ]);
}

#[test]
fn each_objection_of_an_outbox_and_each_fault_of_its_disk_has_its_code() {
    let meeting = meeting();
    let (number, sum) = (Sequence::new(1), Total::ZERO);
    let session = SessionNumber::new(1);
    let objections = [
        Objection::History { last_seq: number, sum },
        Objection::WentBack { last_seq: number, confirmed: number },
        Objection::Beyond { last_seq: number, sent: number },
        Objection::Sum { last_seq: number, sum, expected: sum },
        Objection::AnotherWriter { session, last_seq: number },
        Objection::SessionWentBack { session, newest: session },
    ];
    check(objections.map(|objection| (told(objection.into(), &meeting), Code::Integrity)));
    let path = || PathBuf::from("outbox");
    let io = |kind| JournalError::Io { folder: path(), error: io::Error::from(kind) };
    let owner = OutboxOwner { server: meeting.server.clone(), key: meeting.identity };
    let journal = |error: JournalError| told(error.into(), &meeting);
    check([
        (journal(JournalError::Locked(path())), Code::No),
        (journal(JournalError::Foreign { folder: path(), owner: Box::new(owner) }), Code::Usage),
        (journal(JournalError::Damaged { file: path(), why: String::new() }), Code::Integrity),
        (journal(JournalError::Full(path())), Code::No),
        (journal(JournalError::Moved(path())), Code::No),
        (journal(JournalError::Poisoned(path())), Code::No),
        (journal(io(ErrorKind::NotADirectory)), Code::No),
        (journal(io(ErrorKind::PermissionDenied)), Code::No),
        (journal(io(ErrorKind::ReadOnlyFilesystem)), Code::No),
        (journal(io(ErrorKind::StorageFull)), Code::No),
        (journal(io(ErrorKind::Other)), Code::No),
        (of_take(&TakeError::Full), Code::No),
        (
            of_take(&TakeError::Journal(JournalError::Damaged {
                file: path(),
                why: String::new(),
            })),
            Code::Integrity,
        ),
    ]);
    let delivery = |error: DeliveryError| told(error.into(), &meeting);
    check([
        (delivery(DeliveryError::Unavailable { waited: Duration::ZERO }), Code::Timeout),
        (delivery(DeliveryError::Malformed { first_seq: number }), Code::Integrity),
    ]);
}

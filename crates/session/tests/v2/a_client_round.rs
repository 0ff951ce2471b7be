//! P-10 to P-15, P-26: both state machines against each other.

use ddes_session::Phase;
use ddes_session::v2::{ClientConfig, ClientEnd, ClientEvent, SubmitError};
use ddes_wire::Sequence;
use ddes_wire::v2::{GroupSize, Outcome, Reason, Scope, Status, Suite};

use crate::world::{CONFIG, STRANGER, Server, Session, identity};

fn sums(client: &Session) -> Vec<(Status, u64, i128)> {
    client
        .events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Answered(Outcome { status, last_seq, sum }) => {
                Some((*status, last_seq.get(), sum.get()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn two_values_and_a_farewell_in_either_suite() {
    for suite in [CONFIG.suite, Suite::Hybrid(GroupSize::Bits2048)] {
        let (mut client, mut server) =
            (Session::new(ClientConfig { suite, ..CONFIG }), Server::new());
        client.talk(&mut server);
        assert!(
            matches!(&client.events[..], [ClientEvent::ServerProven { key }] if *key == identity(200).public())
        );
        client.prove(&identity(3));
        client.talk(&mut server);
        assert!(
            matches!(&client.events[1], ClientEvent::Ready(welcome) if welcome.session.get() == 1)
        );
        for (seq, value) in [(1, 42), (2, 50)] {
            client.session.submit(client.now, Sequence::new(seq), &[value]).unwrap();
        }
        client.talk(&mut server);
        assert_eq!(sums(&client), [(Status::Applied, 1, 42), (Status::Applied, 2, 92)]);
        client.session.disconnect(client.now, Scope::Session).unwrap();
        client.talk(&mut server);
        let Some(ClientEnd::Farewell(farewell)) = client.end() else {
            panic!("{:?}", client.end())
        };
        assert_eq!(
            (farewell.reason, farewell.last_seq.get(), farewell.sum.get()),
            (Reason::Bye, 2, 92)
        );
        assert_eq!(client.session.phase(), Phase::Done);
    }
}

#[test]
fn nothing_is_sent_before_the_caller_has_said_that_the_server_is_known() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.talk(&mut server);
    assert_eq!(
        client.session.submit(client.now, Sequence::new(1), &[42]),
        Err(SubmitError::NotOpen)
    );
    assert_eq!(client.session.disconnect(client.now, Scope::Session), Err(SubmitError::NotOpen));
    assert!(client.session.pending().is_empty());
}

#[test]
fn a_stranger_hears_that_it_is_not_authorized() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.talk(&mut server);
    client.prove(&identity(STRANGER));
    client.talk(&mut server);
    let Some(ClientEnd::Farewell(farewell)) = client.end() else { panic!("{:?}", client.end()) };
    assert_eq!(farewell.reason, Reason::NotAuthorized);
}

#[test]
fn a_suite_that_the_server_does_not_take_is_told_in_the_clear_and_taken_as_unproven() {
    let suite = Suite::Ddes(GroupSize::Bits3072);
    let (mut client, mut server) = (Session::new(ClientConfig { suite, ..CONFIG }), Server::new());
    client.talk(&mut server);
    let Some(ClientEnd::Rejected(rejection)) = client.end() else { panic!("{:?}", client.end()) };
    assert_eq!(rejection.reason, Reason::Unsupported);
}

#[test]
fn what_does_not_fit_a_frame_is_not_sent() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.talk(&mut server);
    client.prove(&identity(3));
    client.talk(&mut server);
    let mut refused = |seq: u64, count: usize| {
        client.session.submit(client.now, Sequence::new(seq), &vec![1; count])
    };
    let count = Err(SubmitError::Count { most: 100 });
    assert_eq!((refused(1, 0), refused(1, 101), refused(u64::MAX, 2)), (count, count, count));
    assert!(client.session.pending().is_empty());
}

/// Its keystream is made ahead and kept, over gaps, over changes of length and over changes of keys
/// (P-07): the server cannot tell.
#[test]
fn a_session_without_pauses_is_understood_like_any_other() {
    let (mut client, mut server) = (Session::new(CONFIG), Server::new());
    client.talk(&mut server);
    client.prove(&identity(3));
    client.talk(&mut server);
    let (mut seq, mut sum) = (0, 0);
    // 104 blocks a long record: twice 2^20 blocks are over 20,000 of them.
    for round in 0..1_400 {
        let frames: &[usize] = if round % 7 == 0 { &[1, 1, 5] } else { &[100; 15] };
        for count in frames {
            let values: Vec<i64> = (0..*count).map(|i| i as i64 - 7 * round).collect();
            client.session.submit(client.now, Sequence::new(seq + 1), &values).unwrap();
            seq += values.len() as u64;
            sum += values.iter().map(|value| i128::from(*value)).sum::<i128>();
        }
        client.talk(&mut server);
        let last = sums(&client).pop().unwrap();
        assert_eq!(last, (Status::Applied, seq, sum), "round {round}");
        client.events.clear();
    }
}

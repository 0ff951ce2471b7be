//! The rules of delivery (P-12, P-29, P-30), with a told clock and no sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use ddes_client::delivery::{
    AttemptEnd, Attempts, Delivery, DeliveryError, DeliveryEvent, FLIGHT_MAX, Flight, NextAttempt,
    Patience, Submission,
};
use ddes_client::outbox::{InputMark, Objection, Outbox};
use ddes_wire::v2::{Farewell, Outcome, Reason, Scope, Status, Welcome};
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

const MINUTE: Duration = Duration::from_secs(60);
const PATIENT: Patience = Patience { first: Duration::ZERO, later: MINUTE };
/// The middle of what randomness may be.
const HALF: u64 = u64::MAX / 2;

fn welcome(session: u64, last_seq: u64, sum: i128) -> Welcome {
    Welcome {
        token: Token::new([7; 16]),
        session: SessionNumber::new(session),
        standing: Standing {
            last_seq: Sequence::new(last_seq),
            last_session: SessionNumber::NONE,
            sum: Total::new(sum),
        },
        idle_millis: 60_000,
        values_max: 2,
    }
}

fn answer(status: Status, last_seq: u64, sum: i128) -> Outcome {
    Outcome { status, last_seq: Sequence::new(last_seq), sum: Total::new(sum) }
}

fn farewell(reason: Reason, last_seq: u64, sum: i128) -> Farewell {
    Farewell {
        reason,
        scope: Scope::Session,
        last_seq: Sequence::new(last_seq),
        sum: Total::new(sum),
        text: String::new(),
    }
}

/// A delivery with an open session and the values 1 to `count`; at most two go into a 30.
fn open(now: Instant, count: i64) -> Delivery {
    let mut delivery = Delivery::new(now, PATIENT, Outbox::in_memory());
    assert!(delivery.poll_connect(now));
    delivery.handle_welcome(&welcome(1, 0, 0)).unwrap();
    assert!(matches!(delivery.poll_event(), Some(DeliveryEvent::Opened(_))));
    let values: Vec<i64> = (1..=count).collect();
    delivery.take(now, &values, InputMark::default()).unwrap();
    delivery
}

/// Sends all that may be sent; the numbers of the first values.
fn send(delivery: &mut Delivery) -> Vec<u64> {
    let mut firsts = Vec::new();
    while let Some(submission) = delivery.poll_submit(usize::MAX) {
        delivery.handle_submitted(&submission);
        firsts.push(submission.first_seq.get());
    }
    firsts
}

#[test]
fn values_are_sent_in_order_and_no_more_30s_than_the_server_keeps() {
    let now = Instant::now();
    let mut delivery = open(now, 1_000);
    let firsts = send(&mut delivery);
    assert_eq!(firsts.len(), FLIGHT_MAX);
    assert!(firsts.iter().enumerate().all(|(nth, first)| *first == 2 * nth as u64 + 1));
    delivery.handle_answer(now, &answer(Status::Applied, 2, 3)).unwrap();
    assert_eq!(send(&mut delivery), [129]);
    assert!(matches!(delivery.poll_event(), Some(DeliveryEvent::Counted { .. })));
    assert_eq!(delivery.poll_submit(1), None);
}

#[test]
fn after_a_gap_all_that_was_refused_is_sent_again_once_the_last_refusal_has_come() {
    let now = Instant::now();
    let mut delivery = open(now, 6);
    assert_eq!(send(&mut delivery), [1, 3, 5]);
    delivery.handle_answer(now, &answer(Status::Applied, 2, 3)).unwrap();
    delivery.handle_answer(now, &answer(Status::Gap, 2, 3)).unwrap();
    assert_eq!(send(&mut delivery), []);
    delivery.handle_answer(now, &answer(Status::Gap, 2, 3)).unwrap();
    assert_eq!(send(&mut delivery), [3, 5]);
}

#[test]
fn after_status_4_nothing_is_sent_for_a_second_and_then_all_of_it() {
    let now = Instant::now();
    let mut delivery = open(now, 2);
    send(&mut delivery);
    delivery.handle_answer(now, &answer(Status::Unavailable, 0, 0)).unwrap();
    assert!(matches!(delivery.poll_event(), Some(DeliveryEvent::Unavailable)));
    assert_eq!(send(&mut delivery), []);
    let at = delivery.poll_timeout().unwrap();
    assert_eq!(at - now, Duration::from_secs(1));
    delivery.handle_timeout(at - Duration::from_nanos(1));
    assert_eq!(send(&mut delivery), []);
    delivery.handle_timeout(at);
    assert_eq!(send(&mut delivery), [1]);
    // It is reported once, and no longer than the patience.
    delivery.handle_answer(at, &answer(Status::Unavailable, 0, 0)).unwrap();
    assert!(delivery.poll_event().is_none());
    delivery.handle_timeout(now + MINUTE);
    send(&mut delivery);
    let error =
        delivery.handle_answer(now + MINUTE, &answer(Status::Unavailable, 0, 0)).unwrap_err();
    assert!(matches!(error, DeliveryError::Unavailable { waited } if waited == MINUTE), "{error}");
}

#[test]
fn what_status_4_left_open_may_turn_out_to_count() {
    let now = Instant::now();
    let mut delivery = open(now, 4);
    send(&mut delivery);
    for status in [Status::Unavailable, Status::Gap] {
        delivery.handle_answer(now, &answer(status, 0, 0)).unwrap();
    }
    delivery.handle_timeout(now + MINUTE);
    let Some(Submission { first_seq, values, .. }) = delivery.poll_submit(1) else {
        panic!("nothing to send")
    };
    assert_eq!((first_seq.get(), values), (1, vec![1]));
    delivery.handle_answer(now, &answer(Status::Applied, 4, 10)).unwrap();
    assert_eq!((send(&mut delivery), delivery.outbox().pending()), (vec![], 0));
}

#[test]
fn an_answer_that_covers_more_than_was_sent_or_another_sum_ends_delivery_and_drops_nothing() {
    let now = Instant::now();
    for (last_seq, sum) in [(5, 15), (4, 11), (2, 4), (3, 10)] {
        let mut delivery = open(now, 4);
        send(&mut delivery);
        let error =
            delivery.handle_answer(now, &answer(Status::Applied, last_seq, sum)).unwrap_err();
        assert!(matches!(error, DeliveryError::Objection(_)), "{error}");
        assert_eq!(delivery.outbox().pending(), 4);
        assert_eq!((send(&mut delivery), delivery.poll_timeout()), (vec![], None));
    }
    // A 50 is held to the same.
    let mut delivery = open(now, 4);
    send(&mut delivery);
    let said = farewell(Reason::Idle, 5, 15);
    let error = delivery.handle_end(now, 0, Some(&said), false).unwrap_err();
    assert!(matches!(error, DeliveryError::Objection(Objection::Beyond { .. })), "{error}");
}

#[test]
fn a_lost_session_is_replaced_after_a_wait_and_continues_behind_what_counts() {
    let now = Instant::now();
    let mut delivery = open(now, 4);
    send(&mut delivery);
    delivery.handle_answer(now, &answer(Status::Applied, 2, 3)).unwrap();
    let next = delivery.handle_end(now, HALF, None, false).unwrap();
    let NextAttempt::After(wait) = next else { panic!("{next:?}") };
    assert_eq!(wait.as_millis(), 50);
    assert!(!delivery.poll_connect(now + wait - Duration::from_nanos(1)));
    assert_eq!(delivery.poll_timeout(), Some(now + wait));
    assert!(delivery.poll_connect(now + wait));
    assert!(!delivery.poll_connect(now + wait), "one connection at a time");
    let mut again = welcome(2, 2, 3);
    again.standing.last_session = SessionNumber::new(1);
    delivery.handle_welcome(&again).unwrap();
    assert_eq!(send(&mut delivery), [3]);
}

#[test]
fn a_session_that_ends_with_nothing_to_send_is_replaced_when_there_is() {
    let now = Instant::now();
    let mut delivery = open(now, 2);
    send(&mut delivery);
    let said = farewell(Reason::Idle, 2, 3);
    assert_eq!(
        delivery.handle_end(now, HALF, Some(&said), false).unwrap(),
        NextAttempt::WhenNeeded
    );
    assert_eq!(delivery.poll_timeout(), None);
    delivery.take(now + MINUTE, &[7], InputMark::default()).unwrap();
    assert!(delivery.poll_connect(now + MINUTE));
}

#[test]
fn a_malformed_frame_ends_delivery() {
    let now = Instant::now();
    let mut delivery = open(now, 2);
    send(&mut delivery);
    let error = delivery.handle_answer(now, &answer(Status::Malformed, 0, 0)).unwrap_err();
    assert!(
        matches!(error, DeliveryError::Malformed { first_seq } if first_seq.get() == 1),
        "{error}"
    );
}

#[test]
fn not_authorized_is_final_and_superseded_is_tried_once_more_after_the_ghosts() {
    let now = Instant::now();
    let mut delivery = open(now, 2);
    let said = farewell(Reason::NotAuthorized, 0, 0);
    assert_eq!(delivery.handle_end(now, HALF, Some(&said), false).unwrap(), NextAttempt::Never);
    for random in [0, HALF, u64::MAX] {
        let mut attempts = Attempts::new(now, PATIENT);
        attempts.handle_open();
        let NextAttempt::After(wait) =
            attempts.handle_end(now, random, AttemptEnd::Superseded, true, false)
        else {
            panic!("superseded once is final")
        };
        assert!((10..=15).contains(&wait.as_secs()), "{wait:?}");
        let within = now + MINUTE - Duration::from_nanos(1);
        assert_eq!(
            attempts.handle_end(within, random, AttemptEnd::Superseded, true, false),
            NextAttempt::Never
        );
        assert!(matches!(
            attempts.handle_end(within + MINUTE, random, AttemptEnd::Superseded, true, false),
            NextAttempt::After(_)
        ));
    }
}

#[test]
fn attempts_end_with_the_patience_and_progress_begins_it_anew() {
    let now = Instant::now();
    let fails = |attempts: &mut Attempts, at: Duration| {
        attempts.handle_end(now + at, HALF, AttemptEnd::Passing, false, false)
    };
    let mut attempts = Attempts::new(now, PATIENT);
    assert_eq!(
        fails(&mut attempts, Duration::ZERO),
        NextAttempt::Never,
        "the first patience is zero: one attempt"
    );
    attempts.handle_open();
    assert!(matches!(
        fails(&mut attempts, MINUTE - Duration::from_nanos(1)),
        NextAttempt::After(_)
    ));
    assert_eq!(fails(&mut attempts, MINUTE), NextAttempt::Never);
    attempts.handle_progress(now + MINUTE);
    assert!(matches!(fails(&mut attempts, MINUTE), NextAttempt::After(_)));
    assert_eq!(fails(&mut attempts, 2 * MINUTE), NextAttempt::Never);
    // And so does whoever asks.
    attempts.handle_request(now + 2 * MINUTE);
    assert!(matches!(fails(&mut attempts, 2 * MINUTE), NextAttempt::After(_)));
    assert_eq!(fails(&mut attempts, 3 * MINUTE), NextAttempt::Never);
}

#[test]
fn a_flight_keeps_frames_that_were_refused_in_order_before_those_that_wait() {
    let now = Instant::now();
    let mut flight = Flight::default();
    for last in [2, 4, 6] {
        flight.handle_sent(Sequence::new(last), last);
    }
    for _ in 0..3 {
        assert!(!flight.must_send_again());
        flight.handle_status(now, Status::Gap);
    }
    let (last, frame) = flight.poll_again().unwrap();
    flight.handle_sent(last, frame);
    // The first is refused again; the others were not sent a second time.
    flight.handle_status(now, Status::Gap);
    let order: Vec<_> =
        std::iter::from_fn(|| flight.poll_again()).map(|(_, frame)| frame).collect();
    assert_eq!(order, [2, 4, 6]);
    assert!(flight.is_empty());
}

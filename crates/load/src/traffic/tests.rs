use std::collections::BTreeMap;

use super::*;
use crate::schedule::Arrivals;

const SECOND: u64 = 1_000_000_000;

fn traffic(pacing: Pacing, depth: usize, quota: Option<u64>, span: Option<u64>) -> Traffic {
    let values = Values::parse("uniform:1..9", 1).unwrap();
    let mut traffic =
        Traffic::new([(0, quota), (1, quota)].into_iter(), pacing, values, 1, depth, span);
    for lane in 0..2 {
        traffic.opened(lane, 0, &Standing::default()).unwrap();
    }
    traffic.begin(0, 0);
    traffic
}

/// A server that takes 100 µs for a frame, one after the other, and does nothing at all from 3
/// s to 4 s.
fn answer_at(arrival: u64, busy: &mut u64) -> u64 {
    let mut at = arrival.max(*busy) + SECOND / 10_000;
    if at > 3 * SECOND && arrival.max(*busy) < 4 * SECOND {
        at = at.max(4 * SECOND + SECOND / 10_000);
    }
    *busy = at;
    at
}

/// Runs against that server on virtual time, until nothing is left to do.
fn run(traffic: &mut Traffic, end: u64) {
    let mut sums = [(0, 0); 2];
    let (mut busy, mut out) = (0, Vec::new());
    let mut answers: BTreeMap<(u64, u64), (usize, Outcome)> = BTreeMap::new();
    let (mut now, mut order) = (0, 0);
    loop {
        traffic.arrive(now, |_| {});
        for (lane, sum) in sums.iter_mut().enumerate() {
            while let Some(first) = traffic.next_frame(lane, now, &mut out) {
                let last = first.get() + out.len() as u64 - 1;
                sum.0 = last;
                sum.1 += out.iter().map(|value| i128::from(*value)).sum::<i128>();
                let outcome = Outcome {
                    status: Status::Applied,
                    last_seq: Sequence::new(last),
                    sum: Total::new(sum.1),
                };
                order += 1;
                answers.insert((answer_at(now, &mut busy), order), (lane, outcome));
            }
        }
        let next = answers.keys().next().map(|(at, _)| *at);
        let arrival = traffic.next_arrival().filter(|at| *at < end);
        let Some(at) = next.into_iter().chain(arrival).min() else { break };
        now = now.max(at);
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let (lane, outcome) = entry.remove();
            traffic.answered(lane, now, &outcome).unwrap();
        }
    }
    traffic.finish(end);
    assert!((0..2).all(|lane| traffic.is_settled(lane)));
    assert_eq!([traffic.covered(0), traffic.covered(1)], sums);
}

#[test]
fn a_stall_shows_in_the_open_loop_for_all_that_it_delays_and_in_the_closed_one_once_a_frame() {
    let schedule = Schedule::new(Arrivals::Constant, 1_000.0, 0.0, 1);
    let mut open = traffic(Pacing::Open(schedule), 4, None, Some(10 * SECOND));
    run(&mut open, 10 * SECOND);
    let latency = &open.stats.latency;
    assert_eq!(latency.len(), 10_000);
    // 1000 arrivals fall into the stall and wait 1 s to nothing, and it takes 111 more to catch
    // up: of the slowest tenth, nearly all.
    let slow = latency.len() - latency.count_between(0, SECOND / 1_000);
    assert!((1_080..1_130).contains(&slow), "{slow}");
    assert!(latency.max() > 99 * SECOND / 100);
    let p95 = latency.value_at_quantile(0.95);
    assert!((45 * SECOND / 100..65 * SECOND / 100).contains(&p95), "{p95}");
    // None of it was this side's delay: arrivals were seen to in time, though the sessions
    // could not take them.
    assert!(open.stats.lag.max() <= SECOND / 1_000, "{}", open.stats.lag.max());

    let mut closed = traffic(Pacing::Closed, 4, None, Some(10 * SECOND));
    run(&mut closed, 10 * SECOND);
    let slow = closed.stats.latency.len() - closed.stats.latency.count_between(0, SECOND / 1_000);
    assert_eq!(slow, 8, "two sessions of four frames each");
    assert!(closed.stats.latency.value_at_quantile(0.999) < SECOND / 1_000);
}

#[test]
fn arrivals_that_were_seen_to_late_keep_their_intended_starts() {
    let schedule = Schedule::new(Arrivals::Constant, 1_000.0, 0.0, 1);
    let mut traffic = traffic(Pacing::Open(schedule), 100, None, Some(SECOND));
    let (mut touched, mut out) = (0, Vec::new());
    // This program slept for half a second.
    traffic.arrive(SECOND / 2, |_| touched += 1);
    assert_eq!(touched, 501);
    assert_eq!(traffic.stats.lag.max(), traffic.stats.lag.highest_equivalent(SECOND / 2));
    let mut sum = 0;
    let first = traffic.next_frame(0, SECOND / 2, &mut out).unwrap();
    sum += out.iter().map(|value| i128::from(*value)).sum::<i128>();
    let outcome = Outcome { status: Status::Applied, last_seq: first, sum: Total::new(sum) };
    traffic.answered(0, SECOND / 2 + 1_000, &outcome).unwrap();
    assert!(traffic.stats.latency.max() >= SECOND / 2);
}

#[test]
fn arrivals_beyond_all_room_are_counted_and_have_waited_to_the_end() {
    let schedule = Schedule::new(Arrivals::Constant, 1_000.0, 0.0, 1);
    let mut traffic = traffic(Pacing::Open(schedule), 1, None, Some(10 * SECOND));
    // The server takes nothing at all.
    (0..=10).for_each(|second| traffic.arrive(second * SECOND, |_| {}));
    assert!(traffic.next_arrival().is_none());
    traffic.finish(10 * SECOND + 5);
    let left = traffic.give_up(0, 10 * SECOND) + traffic.give_up(1, 10 * SECOND);
    assert_eq!(
        (left, traffic.stats.errors.unsent),
        (WAITING_MAX as u64, 10_000 - WAITING_MAX as u64)
    );
    assert_eq!(traffic.stats.latency.len(), 10_000);
    let median = traffic.stats.latency.value_at_quantile(0.5);
    assert!(median.abs_diff(5 * SECOND) < SECOND / 100, "{median}");
}

#[test]
fn a_number_of_values_is_sent_to_the_last_one_and_no_further() {
    for pacing in [Pacing::Closed, Pacing::Open(Schedule::new(Arrivals::Poisson, 1e4, 0.0, 1))] {
        let mut traffic = traffic(pacing, 3, Some(50), None);
        run(&mut traffic, u64::MAX);
        assert_eq!(
            (traffic.covered(0).0, traffic.covered(1).0, traffic.stats.values),
            (50, 50, 100)
        );
        assert_eq!(traffic.stats.latency.len(), 100);
    }
}

#[test]
fn what_the_warm_up_sent_is_not_measured() {
    let mut traffic = traffic(Pacing::Closed, 1, None, Some(SECOND));
    traffic.begin(0, SECOND);
    let mut out = Vec::new();
    let first = traffic.next_frame(0, 1, &mut out).unwrap();
    let outcome =
        Outcome { status: Status::Applied, last_seq: first, sum: Total::new(out[0].into()) };
    traffic.answered(0, SECOND - 1, &outcome).unwrap();
    assert_eq!((traffic.stats.latency.len(), traffic.stats.values), (0, 0));
}

#[test]
fn what_is_given_up_is_in_the_latencies_as_what_it_has_waited() {
    let schedule = Schedule::new(Arrivals::Constant, 2.0, 0.0, 1);
    let mut traffic = traffic(Pacing::Open(schedule), 1, None, Some(10 * SECOND));
    traffic.arrive(9 * SECOND, |_| {});
    let mut out = Vec::new();
    traffic.next_frame(0, 9 * SECOND, &mut out).unwrap();
    // 0, 1, 2 … 9 s: one was sent, nine wait.
    assert_eq!(traffic.give_up(0, 10 * SECOND), 10);
    let latency = &traffic.stats.latency;
    assert_eq!((latency.len(), latency.max()), (10, latency.highest_equivalent(10 * SECOND)));
}

#[test]
fn a_ledger_that_is_unavailable_is_asked_again_after_a_while() {
    let mut traffic = traffic(Pacing::Closed, 2, None, Some(10 * SECOND));
    let mut out = Vec::new();
    let numbers = |traffic: &mut Traffic, now, out: &mut Vec<i64>| {
        std::iter::from_fn(|| traffic.next_frame(0, now, out))
            .map(Sequence::get)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mut traffic, 0, &mut out), [1, 2]);
    for status in [Status::Unavailable, Status::Gap] {
        let outcome = Outcome { status, last_seq: Sequence::NONE, sum: Total::ZERO };
        traffic.answered(0, 5, &outcome).unwrap();
    }
    assert!(numbers(&mut traffic, 6, &mut out).is_empty());
    assert_eq!(numbers(&mut traffic, 5 + AGAIN_NANOS, &mut out), [1, 2]);
    let errors = traffic.stats.errors;
    assert_eq!((errors.unavailable, errors.gaps, errors.retried, errors.total()), (1, 1, 2, 2));
}

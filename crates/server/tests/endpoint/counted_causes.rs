//! Each cause for which a connection is refused, a handshake fails or a session ends is counted
//! once, whatever notices are built.

use std::num::NonZeroU32;
use std::time::Duration;

use ddes_ledger::{OperationOutcome, Refusal};
use ddes_server::endpoint::{Bounds, Config, ConnectionId, EndOrder, Notices, Request};
use ddes_server::watch::{Cause, CauseCounts};
use ddes_wire::v2::Scope;

use crate::original::{Original, classic_only};
use crate::world::World;

const ADDRESS: &str = "192.0.2.1";

/// The causes that were counted, and how often if more than once.
fn counted(world: &mut World) -> Vec<String> {
    let counts = world.stats().counts;
    let groups: [(&str, CauseCounts); 4] = [
        ("refused", counts.refused),
        ("failed", counts.handshakes_failed),
        ("v2", counts.v2.ended),
        ("classic", counts.classic.ended),
    ];
    let mut found = Vec::new();
    for (group, causes) in groups {
        for (cause, count) in causes.iter().filter(|(_, count)| *count > 0) {
            let times = if count > 1 { format!(" {count}") } else { String::new() };
            found.push(format!("{group} {}{times}", cause.as_str()));
        }
    }
    found
}

/// What a scenario counts in a world without notices.
fn causes(change: impl FnOnce(&mut Config), scenario: impl FnOnce(&mut World)) -> Vec<String> {
    let mut world = World::new(|config| {
        config.notices = Notices::Nothing;
        change(config);
    });
    scenario(&mut world);
    counted(&mut world)
}

fn usual(_: &mut Config) {}

/// Lets a connection's next timeout pass.
fn time_out(world: &mut World, id: ConnectionId) {
    world.now = world.endpoint.connection_timeout(id).unwrap();
    world.endpoint.handle_connection_timeout(world.now, id);
}

/// A new connection whose first bytes are these.
fn send(world: &mut World, bytes: &[u8]) -> ConnectionId {
    let id = world.accept(ADDRESS).unwrap();
    world.endpoint.handle_bytes(world.now, id, bytes);
    id
}

#[test]
fn connections_beyond_a_limit() {
    let full = causes(
        |config| config.bounds = Bounds { connections_max: 1, ..Bounds::of(9) },
        |world| {
            world.join(ADDRESS, 1);
            assert!(world.accept(ADDRESS).is_err());
            assert!(world.accept(ADDRESS).is_err());
        },
    );
    assert_eq!(full, ["refused full_connections 2"]);
    let crowded = causes(
        |config| config.bounds.unproven_max = 1,
        |world| {
            let mut client = world.connect(ADDRESS, 1);
            world.give(&mut client);
            assert!(world.accept(ADDRESS).is_err());
        },
    );
    assert_eq!(crowded, ["refused full_unproven"]);
    let evicted = causes(
        |config| config.bounds.unproven_max = 1,
        |world| {
            world.accept(ADDRESS).unwrap();
            world.accept(ADDRESS).unwrap();
        },
    );
    assert_eq!(evicted, ["failed full_unproven"]);
    let many_of_one = causes(
        |config| config.bounds.unproven_network_max = 1,
        |world| {
            world.accept(ADDRESS).unwrap();
            assert!(world.accept(ADDRESS).is_err());
        },
    );
    assert_eq!(many_of_one, ["refused full_address"]);
    let classic = causes(
        |config| {
            classic_only(config);
            config.bounds.classic_max = 1;
        },
        |world| {
            Original::join(world, 1);
            Original::join(world, 2);
        },
    );
    assert_eq!(classic, ["failed full_unproven"]);
}

#[test]
fn too_many_a_second() {
    let connects = causes(
        |config| config.bounds.connects_per_sec_max = NonZeroU32::new(1),
        |world| {
            assert_eq!([0; 3].map(|_| world.accept(ADDRESS).is_ok()), [true, true, false]);
        },
    );
    assert_eq!(connects, ["refused too_fast_connects"]);
    let handshakes = causes(
        |config| config.bounds.handshakes_per_sec_max = NonZeroU32::new(1),
        |world| {
            for seed in 1..=3 {
                let mut client = world.connect(ADDRESS, seed);
                world.give(&mut client);
            }
        },
    );
    assert_eq!(handshakes, ["failed too_fast_handshakes"]);
}

#[test]
fn first_messages_that_are_wrong() {
    let point = [&[0, 0, 0, 10, 0, 0, 1, 2, 2, 2][..], &[0; 256]].concat();
    for (bytes, cause) in [
        (&point[..], "failed bad_handshake"),
        (&[0, 0, 0, 10, 0, 0, 0, 2, 2, 99], "failed bad_handshake"),
        (&[0, 0, 0, 20, 0, 0, 0, 0], "failed bad_order"),
        (&[0, 0, 0, 10, 0, 1, 0, 0], "failed too_long"),
    ] {
        let found = causes(usual, |world| {
            send(world, bytes);
        });
        assert_eq!(found, [cause]);
    }
    for (bytes, cause) in [
        (&[0, 0, 0, 10, 0, 0, 0, 1, 7][..], "failed bad_handshake"),
        (&[0, 0, 0, 30, 0, 0, 0, 1, 7], "failed bad_order"),
        (&[0, 0, 0, 10, 0, 1, 0, 0], "failed too_long"),
        (&[0, 0, 0, 50, 0, 0, 0, 0], "failed bye"),
    ] {
        let found = causes(classic_only, |world| {
            let client = Original::connect(world, 1);
            let (id, work) = world.work().unwrap();
            world.endpoint.handle_done(world.now, id, work.run());
            world.endpoint.handle_bytes(world.now, client.id, bytes);
        });
        assert_eq!(found, [cause]);
    }
}

#[test]
fn clients_that_go_or_stay_silent_before_they_prove_anything() {
    let left = causes(usual, |world| {
        let id = send(world, &[]);
        world.endpoint.handle_eof(world.now, id);
        world.endpoint.remove(world.now, id);
    });
    assert_eq!(left, ["failed left"]);
    let truncated = causes(usual, |world| {
        let id = send(world, &[0]);
        world.endpoint.handle_reset(world.now, id);
    });
    assert_eq!(truncated, ["failed truncated"]);
    let removed = causes(usual, |world| {
        let id = send(world, &[]);
        world.endpoint.remove(world.now, id);
    });
    assert_eq!(removed, ["failed left"]);
    for change in [usual, classic_only] {
        let late = causes(change, |world| {
            let id = send(world, &[]);
            time_out(world, id);
        });
        assert_eq!(late, ["failed timeout_handshake"]);
    }
}

#[test]
fn identities_that_are_not_proven_or_not_authorized() {
    let forged = causes(usual, |world| {
        let mut client = world.connect(ADDRESS, 1);
        client.is_forger = true;
        world.talk(&mut client);
    });
    assert_eq!(forged, ["failed bad_signature"]);
    let stranger = causes(usual, |world| {
        world.grant = None;
        let mut client = world.connect(ADDRESS, 1);
        world.talk(&mut client);
    });
    assert_eq!(stranger, ["failed not_authorized"]);
    let unavailable = causes(usual, |world| {
        let mut client = world.connect(ADDRESS, 1);
        world.talk(&mut client);
        let Request { to, .. } = world.queue.pop_front().unwrap();
        let refused = OperationOutcome::Opened(Err(Refusal::Unavailable));
        let outcome = to.map(|(id, ticket)| (id, ticket, refused));
        world.endpoint.handle_outcomes(world.now, 0, outcome);
    });
    assert_eq!(unavailable, ["failed ledger_unavailable"]);
    let no_operator = causes(usual, |world| {
        let mut client = world.join(ADDRESS, 1);
        client.session.disconnect(world.now, Scope::All).unwrap();
        world.talk(&mut client);
    });
    assert_eq!(no_operator, ["v2 not_authorized"]);
}

#[test]
fn open_sessions_that_end_by_themselves() {
    let joined = |world: &mut World| world.join(ADDRESS, 1);
    let bye = causes(usual, |world| {
        let mut client = joined(world);
        client.session.disconnect(world.now, Scope::Session).unwrap();
        world.talk(&mut client);
        world.endpoint.remove(world.now, client.id);
    });
    assert_eq!(bye, ["v2 bye"]);
    let idle = causes(usual, |world| {
        let id = joined(world).id;
        time_out(world, id);
    });
    assert_eq!(idle, ["v2 idle"]);
    let old = causes(usual, |world| {
        let id = joined(world).id;
        world.now += Duration::from_secs(24 * 3600);
        world.endpoint.handle_connection_timeout(world.now, id);
    });
    assert_eq!(old, ["v2 too_old"]);
    let stalled = causes(usual, |world| {
        let mut client = joined(world);
        client.submit(world.now, 1, &[7]);
        world.give(&mut client);
        while world.commit() {}
        time_out(world, client.id);
    });
    assert_eq!(stalled, ["v2 stalled"]);
    let truncated = causes(usual, |world| {
        let id = joined(world).id;
        world.endpoint.handle_eof(world.now, id);
    });
    assert_eq!(truncated, ["v2 truncated"]);
    let junk = [&[0, 0, 0, 30, 0, 0, 0, 64][..], &[7; 64]].concat();
    let bad = causes(usual, |world| {
        let id = joined(world).id;
        world.endpoint.handle_bytes(world.now, id, &junk);
    });
    assert_eq!(bad, ["v2 bad_hmac"]);
}

#[test]
fn open_sessions_that_the_server_ends() {
    for (order, cause) in [
        (EndOrder::Operator, "v2 operator"),
        (EndOrder::Shutdown, "v2 shutdown"),
        (EndOrder::NotAuthorized, "v2 not_authorized"),
    ] {
        let found = causes(usual, |world| {
            let id = world.join(ADDRESS, 1).id;
            world.endpoint.end(world.now, id, order);
            world.endpoint.remove(world.now, id);
        });
        assert_eq!(found, [cause]);
    }
    let superseded = causes(usual, |world| {
        world.join(ADDRESS, 1);
        world.join(ADDRESS, 1);
    });
    assert_eq!(superseded, ["v2 superseded"]);
    let classic = causes(classic_only, |world| {
        let [first, second] = [1, 2].map(|seed| Original::join(world, seed).id);
        world.endpoint.end(world.now, first, EndOrder::Operator);
        world.endpoint.end(world.now, second, EndOrder::Shutdown);
    });
    assert_eq!(classic, ["classic operator", "classic shutdown"]);
}

#[test]
fn open_classic_sessions_that_end() {
    let change = |at: usize| {
        move |world: &mut World| {
            let mut client = Original::join(world, 1);
            let mut bytes = client.submission(world, 42);
            let place = bytes.len() - at;
            bytes[place] ^= 1;
            world.endpoint.handle_bytes(world.now, client.id, &bytes);
        }
    };
    // A 30 ends with 16 bytes of token and 32 of HMAC.
    assert_eq!(causes(classic_only, change(33)), ["classic bad_token"]);
    assert_eq!(causes(classic_only, change(1)), ["classic bad_hmac"]);
    let idle = causes(classic_only, |world| {
        let id = Original::join(world, 1).id;
        time_out(world, id);
    });
    assert_eq!(idle, ["classic idle"]);
    let left = causes(classic_only, |world| {
        let id = Original::join(world, 1).id;
        world.endpoint.handle_eof(world.now, id);
    });
    assert_eq!(left, ["classic left"]);
}

#[test]
fn submissions_values_answers_and_bytes() {
    let mut world = World::new(|config| config.notices = Notices::Nothing);
    let mut client = world.join(ADDRESS, 1);
    for (first_seq, values) in [(1, &[5, 6, 7][..]), (4, &[8])] {
        client.submit(world.now, first_seq, values);
        world.talk(&mut client);
        assert_eq!(world.stats().gauges.queued_values, values.len());
        while world.commit() {}
        world.talk(&mut client);
    }
    let stats = world.stats();
    let counts = stats.counts;
    assert_eq!((counts.submissions, counts.values, counts.results), (2, 4, 2));
    assert_eq!((counts.accepted, counts.handshakes_completed, counts.v2.opened), (1, 1, 1));
    assert_eq!((counts.v2.open(), counts.classic.open()), (1, 0));
    let carried = (world.carried.0 as u64, world.carried.1 as u64);
    assert_eq!((counts.received_bytes, counts.sent_bytes), carried);
    assert_eq!((stats.gauges.connections, stats.gauges.unproven), (1, 0));
    // A connection that waits for nothing counts as unproven.
    world.accept(ADDRESS).unwrap();
    let gauges = world.stats().gauges;
    assert_eq!((gauges.connections, gauges.unproven, gauges.handshakes), (2, 1, 0));
    let mut begun = world.connect(ADDRESS, 2);
    world.give(&mut begun);
    assert_eq!(world.stats().gauges.handshakes, 1);
}

#[test]
fn failures_count_for_their_networks_and_other_ends_for_none() {
    let mut world = World::new(|config| config.bounds.unproven_network_max = 2);
    let mut client = world.join("198.51.100.1", 1);
    client.session.disconnect(world.now, Scope::Session).unwrap();
    world.talk(&mut client);
    let open = world.join("198.51.100.1", 2).id;
    world.endpoint.handle_eof(world.now, open);
    world.stats();
    assert!(world.watch.networks().is_empty());
    for _ in 0..3 {
        // The third is refused.
        if let Ok(id) = world.accept("192.0.2.1") {
            world.endpoint.handle_bytes(world.now, id, &[0, 0, 0, 20, 0, 0, 0, 0]);
        }
    }
    let id = world.accept("2001:db8:7:8::9").unwrap();
    world.endpoint.handle_eof(world.now, id);
    world.stats();
    let found: Vec<_> = world
        .watch
        .networks()
        .iter()
        .map(|network| {
            let causes = &network.causes;
            let [bad, full, left] =
                [Cause::BadOrder, Cause::FullAddress, Cause::Left].map(|cause| causes.get(cause));
            let in_hour = network.in_last_hour(world.now);
            (format!("{}/{}", network.address, network.prefix), bad, full, left, in_hour)
        })
        .collect();
    assert_eq!(
        found,
        [("192.0.2.0/24".into(), 2, 1, 0, 3), ("2001:db8:7::/48".into(), 0, 0, 1, 1)]
    );
}

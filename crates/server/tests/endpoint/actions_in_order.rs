//! What an endpoint asks of its driver in one turn comes in the order that lets the driver do alike
//! things together.

use ddes_server::endpoint::{Action, ConnectionId, NoticeEvent, Notices};

use crate::world::World;

/// What is asked for, and for which connection.
fn asked(world: &mut World) -> Vec<(&'static str, Option<ConnectionId>)> {
    let actions = std::iter::from_fn(|| world.endpoint.poll_action());
    let kind = |action| match action {
        Action::Authorize(claim) => ("authorize", Some(claim.connection)),
        Action::Compute(id, _) => ("compute", Some(id)),
        Action::Commit(request) => ("commit", request.to.map(|(id, _)| id)),
        Action::Wake(id) => ("wake", Some(id)),
        Action::Cancel(id) => ("cancel", Some(id)),
        Action::Notify(notice) => ("notify", Some(notice.connection)),
    };
    actions.map(kind).collect()
}

#[test]
fn requests_of_a_turn_come_in_one_run_behind_work_and_before_wakes_and_notices() {
    let mut world = World::new(|config| config.notices = Notices::Values);
    let (mut anna, mut berta) = (world.join("127.0.0.1", 1), world.join("127.0.0.1", 2));
    world.notices();
    world.wakes();
    let (newcomer, gone) = (world.connect("127.0.0.1", 3), world.connect("127.0.0.1", 4));
    world.endpoint.handle_bytes(world.now, gone.id, gone.session.pending());
    let work = world.work();
    assert_eq!(work.map(|(id, _)| id), Some(gone.id));
    world.notices();

    anna.submit(world.now, 1, &[1]);
    world.endpoint.handle_bytes(world.now, anna.id, anna.session.pending());
    world.endpoint.handle_eof(world.now, gone.id);
    world.endpoint.handle_bytes(world.now, newcomer.id, newcomer.session.pending());
    berta.submit(world.now, 1, &[1]);
    world.endpoint.handle_bytes(world.now, berta.id, berta.session.pending());
    let expected = [
        ("compute", Some(newcomer.id)),
        ("commit", Some(anna.id)),
        ("commit", Some(berta.id)),
        ("cancel", Some(gone.id)),
        ("notify", Some(anna.id)),
        ("notify", Some(gone.id)),
        ("notify", Some(berta.id)),
    ];
    assert_eq!(asked(&mut world), expected);
}

#[test]
fn only_notices_that_somebody_reads_are_built() {
    for (notices, tells_sessions, tells_values) in [
        (Notices::Nothing, false, false),
        (Notices::Sessions, true, false),
        (Notices::Values, true, true),
    ] {
        let mut world = World::new(|config| config.notices = notices);
        let mut client = world.join("127.0.0.1", 1);
        client.submit(world.now, 1, &[7]);
        world.talk(&mut client);
        assert!(world.commit());
        world.talk(&mut client);
        assert_eq!(client.told(), 1);
        let built = world.notices();
        let has =
            |wanted: fn(&NoticeEvent) -> bool| built.iter().any(|notice| wanted(&notice.event));
        for wanted in [
            |event: &NoticeEvent| matches!(event, NoticeEvent::Connected),
            |event: &NoticeEvent| matches!(event, NoticeEvent::Admitted(_)),
            |event: &NoticeEvent| matches!(event, NoticeEvent::TokenShared),
        ] {
            assert_eq!(has(wanted), tells_sessions, "{notices:?}: {built:?}");
        }
        for wanted in [
            |event: &NoticeEvent| matches!(event, NoticeEvent::Received { .. }),
            |event: &NoticeEvent| matches!(event, NoticeEvent::ResultSent { .. }),
        ] {
            assert_eq!(has(wanted), tells_values, "{notices:?}: {built:?}");
        }
    }
}

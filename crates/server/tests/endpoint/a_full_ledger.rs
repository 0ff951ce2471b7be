//! P-33: whoever cannot have a session because the ledger has no room hears that, and nothing of
//! sessions that would be too many.

use ddes_ledger::{OperationOutcome, Refusal};
use ddes_server::endpoint::Request;
use ddes_session::v2::{ClientEnd, ClientEvent};
use ddes_wire::v2::Reason;

use crate::world::World;

#[test]
fn a_session_that_the_ledger_has_no_room_for_is_told_so() {
    let mut world = World::new(|_| {});
    let mut client = world.connect("127.0.0.1", 1);
    world.talk(&mut client);
    let Request { to, .. } = world.queue.pop_front().unwrap();
    let refused = OperationOutcome::Opened(Err(Refusal::Unavailable));
    world.endpoint.handle_outcomes(world.now, 0, to.map(|(id, ticket)| (id, ticket, refused)));
    world.talk(&mut client);
    let Some(ClientEvent::Ended(ClientEnd::Farewell(farewell))) = client.events.last() else {
        panic!("{:?}", client.events)
    };
    assert_eq!(farewell.reason, Reason::TooMany);
    let text = &farewell.text;
    assert!(text.contains("disk is full") && text.contains("database is away"), "{text}");
}

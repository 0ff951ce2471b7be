//! P-33: with more values waiting for the ledger than may, nothing is read from any connection
//! until they are fewer; nothing is lost.

use crate::world::{Client, World};

/// Both have an open session; the queue takes three values before it is full.
fn two_clients() -> (World, Client, Client) {
    let mut world = World::new(|config| config.queued_values_max = 3);
    let (anna, berta) = (world.join("127.0.0.1", 1), world.join("127.0.0.1", 2));
    world.wakes();
    (world, anna, berta)
}

#[test]
fn nobody_is_read_from_while_too_much_waits_and_everybody_is_woken_once_when_less_does() {
    let (mut world, mut anna, mut berta) = two_clients();
    anna.submit(world.now, 1, &[1]);
    world.talk(&mut anna);
    assert!(world.endpoint.wants_bytes(anna.id) && world.endpoint.wants_bytes(berta.id));
    berta.submit(world.now, 1, &[10, 20, 30, 40]);
    world.talk(&mut berta);
    // Five wait, of two sessions; neither is read any more.
    anna.submit(world.now, 2, &[2, 3]);
    berta.submit(world.now, 5, &[50]);
    for client in [&mut anna, &mut berta] {
        world.talk(client);
        assert!(!client.session.pending().is_empty());
        assert!(!world.endpoint.wants_bytes(client.id));
    }
    assert_eq!((world.queued(), world.wakes().len()), (2, 0));

    // Four wait: still too many.
    assert!(world.commit());
    assert_eq!(world.wakes(), []);
    assert!(!world.endpoint.wants_bytes(anna.id));
    // None waits.
    assert!(world.commit());
    assert_eq!(world.wakes(), [anna.id, berta.id]);
    assert!(world.endpoint.wants_bytes(anna.id) && world.endpoint.wants_bytes(berta.id));

    for client in [&mut anna, &mut berta] {
        world.talk(client);
        assert!(client.session.pending().is_empty());
    }
    while world.commit() {}
    assert_eq!(world.wakes(), []);
    for (client, standing) in [(&mut anna, (3, 6)), (&mut berta, (5, 150))] {
        world.talk(client);
        assert_eq!(client.told(), standing.0);
        assert_eq!(world.standing(client), standing);
    }
}

#[test]
fn a_connection_that_is_gone_while_too_much_waits_leaves_no_debt() {
    let (mut world, mut anna, mut berta) = two_clients();
    anna.submit(world.now, 1, &[1, 2, 3, 4]);
    world.talk(&mut anna);
    assert!(!world.endpoint.wants_bytes(anna.id) && !world.endpoint.wants_bytes(berta.id));
    world.endpoint.remove(world.now, anna.id);
    // What it submitted is the ledger's, which still has it to do.
    assert!(!world.endpoint.wants_bytes(berta.id));
    assert!(world.commit());
    assert_eq!(world.wakes(), [berta.id]);
    berta.submit(world.now, 1, &[7]);
    world.talk(&mut berta);
    assert!(world.commit());
    world.talk(&mut berta);
    assert_eq!((world.standing(&anna), world.standing(&berta), berta.told()), ((4, 10), (1, 7), 1));
}

//! Sessions that send much at once are dealt with in turns, so that nobody waits for them who sends
//! little.

use ddes_session::v2::SUBMISSIONS_MAX;

use crate::world::{Client, World};

const HOGS: u8 = 20;
const FRAMES: u64 = 200;

fn frames(world: &mut World, client: &mut Client, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        client.submit(world.now, number, &[1]);
    }
    world.give(client);
}

#[test]
fn a_turn_deals_with_little_of_what_many_sent_too_much_of_and_nothing_is_lost() {
    let mut world = World::new(|config| config.queued_values_max = 100_000);
    let mut polite = world.join("127.0.0.1", 100);
    let mut hogs: Vec<Client> = (1..=HOGS).map(|seed| world.join("127.0.0.1", seed)).collect();
    for hog in &mut hogs {
        frames(&mut world, hog, 1..=FRAMES);
        // More than can be under way: what waits is dealt with before anything is read.
    }
    assert_eq!(world.queued(), usize::from(HOGS) * SUBMISSIONS_MAX);
    while world.commit() {}
    assert_eq!(world.queued(), 0, "answers alone take nothing in");
    assert!(hogs.iter().all(|hog| !world.endpoint.wants_bytes(hog.id)));

    // Whatever waits, a turn brings the polite one's value and little else.
    frames(&mut world, &mut polite, 1..=1);
    world.turn();
    let taken = world.queued() - 1;
    assert!((SUBMISSIONS_MAX..=10 * SUBMISSIONS_MAX).contains(&taken), "{taken}");
    assert!(world.is_due());

    // In turn: none is dealt with twice before all were once.
    let mut turns = 1;
    while world.is_due() {
        world.turn();
        turns += 1;
    }
    assert!(turns >= 3, "{turns}");
    assert_eq!(world.queued() - 1, usize::from(HOGS) * SUBMISSIONS_MAX);

    while world.commit() || world.is_due() {
        world.turn();
    }
    for hog in &mut hogs {
        world.talk(hog);
        assert_eq!((hog.told(), world.standing(hog)), (FRAMES, (FRAMES, i128::from(FRAMES))));
    }
    world.talk(&mut polite);
    assert_eq!(polite.told(), 1);
}

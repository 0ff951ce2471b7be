//! What an attacker at the desk can do in each profile, and which rule of PROTOCOL.md refuses it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use ddes_capture::{Direction, Frame, Limits};
use ddes_page::{Act, Desk, DeskError, DeskSettings, Maker, PageProfile, Side, Way};
use ddes_wire::v2::{GroupSize, Suite};

const DDES: PageProfile = PageProfile::V2(Suite::Ddes(GroupSize::Bits2048));
const HYBRID: PageProfile = PageProfile::V2(Suite::Hybrid(GroupSize::Bits2048));
const ALL: [PageProfile; 3] = [PageProfile::Classic, DDES, HYBRID];

fn desk(profile: PageProfile) -> Desk {
    Desk::new(&DeskSettings { profile, seed: "anna".into() })
}

fn act(desk: &mut Desk, text: &str) {
    for act in Act::parse_all(text).unwrap() {
        desk.apply(&act).unwrap_or_else(|error| panic!("{act}: {error}"));
    }
}

/// A desk with an open session.
fn open(profile: PageProfile) -> Desk {
    let mut desk = desk(profile);
    act(&mut desk, "connect; flow");
    desk
}

/// The number of the frame that was put on the wire last.
fn last(desk: &Desk) -> u64 {
    desk.wire().last().unwrap().number
}

/// The rules by which a side refused something.
fn rules(desk: &Desk, side: Side) -> Vec<&'static str> {
    desk.log().iter().filter(|it| it.side == side).filter_map(|it| it.rule).collect()
}

#[test]
fn each_profile_counts_from_the_first_frame_to_the_sum() {
    for profile in ALL {
        let mut desk = open(profile);
        assert_eq!(desk.sum(), None);
        act(&mut desk, "send 42; flow; send 50; flow; leave; flow");
        assert_eq!(desk.sum(), Some(92), "{profile:?}");
        assert_eq!((rules(&desk, Side::Client), rules(&desk, Side::Server)), (vec![], vec![]));
    }
}

#[test]
fn nothing_arrives_that_no_act_moves() {
    for profile in ALL {
        let mut desk = open(profile);
        act(&mut desk, "send 42");
        let [frame] = desk.wire() else { panic!("{:?}", desk.wire()) };
        assert_eq!(
            (frame.way, frame.maker, frame.opcode()),
            (Way::ToServer, Maker::Client, Some(30))
        );
        let number = frame.number;
        act(&mut desk, "wait 5");
        assert_eq!(desk.sum(), None);
        act(&mut desk, &format!("deliver {number}"));
        assert_eq!(desk.sum(), Some(42));
        assert!(desk.wire().iter().all(|item| item.way == Way::ToClient));
    }
}

#[test]
fn a_frame_that_comes_twice_counts_twice_in_classic_alone() {
    for (profile, sum, refused) in
        [(PageProfile::Classic, 84, vec![]), (DDES, 42, vec!["P-08"]), (HYBRID, 42, vec!["P-08"])]
    {
        let mut desk = open(profile);
        act(&mut desk, "send 42");
        let copy = format!("copy {}; flow", last(&desk));
        act(&mut desk, &copy);
        assert_eq!((desk.sum(), rules(&desk, Side::Server)), (Some(sum), refused), "{profile:?}");
    }
}

#[test]
fn each_flipped_bit_of_a_30_is_refused() {
    for (profile, header) in [(PageProfile::Classic, 0), (DDES, 8), (HYBRID, 8)] {
        let mut desk = open(profile);
        act(&mut desk, "send 42");
        let bits = 8 * desk.wire().last().unwrap().bytes.len();
        for bit in (8 * 8..bits).step_by(37) {
            let mut desk = open(profile);
            act(&mut desk, "send 42");
            let flip = format!("flip {} {bit}; flow", last(&desk));
            act(&mut desk, &flip);
            assert_eq!(desk.sum(), None, "{profile:?} {bit}");
            let found = rules(&desk, Side::Server);
            let allowed: &[&str] = if header == 0 { &["C-12", "C-13"] } else { &["P-08"] };
            assert!(allowed.contains(&found[0]), "{profile:?} {bit}: {found:?}");
        }
    }
}

#[test]
fn a_dropped_frame_is_noticed_by_the_next_one_in_d_ddes_2_alone() {
    for (profile, sum) in [(PageProfile::Classic, Some(50)), (DDES, None), (HYBRID, None)] {
        let mut desk = open(profile);
        act(&mut desk, "send 42");
        let first = last(&desk);
        act(&mut desk, &format!("drop {first}"));
        if profile == PageProfile::Classic {
            // This client sends one integer at a time, and gives up without an answer.
            act(&mut desk, "wait 11; flow");
            assert_eq!(rules(&desk, Side::Client), ["C-19"]);
            act(&mut desk, "connect; flow; send 50; flow");
        } else {
            act(&mut desk, "send 50; flow");
            assert_eq!(rules(&desk, Side::Server), ["P-08"]);
        }
        assert_eq!(desk.sum(), sum, "{profile:?}");
    }
}

/// A 30 that goes back to its sender, or comes with another opcode, counts nothing.
#[test]
fn a_frame_in_a_wrong_place_is_refused_or_ignored() {
    for (profile, side, what, rule) in [
        (DDES, Side::Client, "reflect N", "P-08"),
        (HYBRID, Side::Client, "reflect N", "P-08"),
        (PageProfile::Classic, Side::Server, "retype N 40", "C-16"),
        (DDES, Side::Server, "retype N 40", "P-17"),
        (HYBRID, Side::Server, "retype N 40", "P-17"),
    ] {
        let mut desk = open(profile);
        act(&mut desk, "send 42");
        let text = what.replace('N', &last(&desk).to_string());
        act(&mut desk, &format!("{text}; flow"));
        assert_eq!(rules(&desk, side), [rule], "{profile:?} {what}");
        assert_eq!(desk.sum(), None);
    }
}

#[test]
fn anybody_ends_a_classic_session_and_nobody_another_ones_of_d_ddes_2() {
    // A 50 in the clear, of no length.
    let fifty = "insert to-server 0000003200000000; flow";
    for (profile, refused) in
        [(PageProfile::Classic, vec![]), (DDES, vec!["P-08"]), (HYBRID, vec!["P-08"])]
    {
        let mut desk = open(profile);
        act(&mut desk, fifty);
        assert_eq!(rules(&desk, Side::Server), refused, "{profile:?}");
        let said = desk.log().iter().rfind(|it| it.side == Side::Server).unwrap();
        assert_eq!(said.text == "the session is over", profile == PageProfile::Classic, "{said}");
    }
}

#[test]
fn a_stream_that_is_cut_is_told_from_one_that_ends() {
    for profile in [DDES, HYBRID] {
        let mut desk = open(profile);
        act(&mut desk, "send 42; flow; cut to-server; flow");
        assert_eq!(rules(&desk, Side::Server), ["P-18"]);
        assert_eq!(desk.sum(), Some(42));
    }
}

#[test]
fn silence_ends_a_session_and_the_next_one_goes_on_from_the_sum() {
    for profile in ALL {
        let mut desk = open(profile);
        act(&mut desk, "send 42; flow; wait 59");
        assert!(desk.wire().is_empty());
        act(&mut desk, "wait 2; flow; connect; flow; send 50; flow");
        // A classic session is an account of its own; both are in the total.
        assert_eq!(desk.sum(), Some(92), "{profile:?}");
    }
}

#[test]
fn the_same_acts_give_the_same_bytes_and_another_name_gives_others() {
    for profile in ALL {
        let run = |seed: &str| {
            let mut desk = Desk::new(&DeskSettings { profile, seed: seed.into() });
            let mut frames = Vec::new();
            for text in ["connect", "flow", "send 42", "flow", "leave"] {
                act(&mut desk, text);
                frames.extend(desk.wire().iter().map(|item| item.bytes.clone()));
            }
            frames
        };
        assert_eq!(run("anna"), run("anna"));
        assert_ne!(run("anna"), run("ben"));
    }
}

#[test]
fn what_arrived_is_a_capture_that_its_keys_open() {
    for (profile, replayed) in [(PageProfile::Classic, 2), (DDES, 1), (HYBRID, 1)] {
        let mut desk = open(profile);
        act(&mut desk, "send 42");
        let copy = format!("copy {}; flow", last(&desk));
        act(&mut desk, &copy);
        let file = desk.capture(true).unwrap();
        let found = ddes_capture::read(&file[..], &Limits::default(), &[]).unwrap();
        let [conversation] = &found.all[..] else { panic!("{:?}", found.notes) };
        assert!(conversation.session.is_some(), "{:?}", conversation.refused);
        let is_30 = |frame: &&Frame| frame.direction == Direction::ToServer && frame.opcode == 30;
        let thirties: Vec<_> = conversation.frames.iter().filter(is_30).collect();
        // The copy is there in each profile; only in classic it opens.
        assert_eq!(thirties.len(), 2, "{profile:?}");
        let opened = thirties.iter().filter(|frame| frame.plain.is_some()).count();
        assert_eq!(opened, replayed, "{profile:?}");
        let file = desk.capture(false).unwrap();
        let found = ddes_capture::read(&file[..], &Limits::default(), &[]).unwrap();
        assert!(found.all[0].session.is_none());
    }
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let mut desk = desk(PageProfile::Classic);
    let apply = |desk: &mut Desk, text: &str| desk.apply(&text.parse().unwrap());
    assert_eq!(apply(&mut desk, "send 1"), Err(DeskError::NotConnected));
    assert_eq!(apply(&mut desk, "deliver 0"), Err(DeskError::NoItem(0)));
    act(&mut desk, "connect; flow");
    assert!(matches!(apply(&mut desk, "send -1"), Err(DeskError::Client(_))));
    act(&mut desk, "send 1");
    let (number, frame) = (last(&desk), desk.wire()[0].clone());
    for text in [format!("flip {number} 99999"), format!("set {number} 99 {}", "00".repeat(99))] {
        assert_eq!(apply(&mut desk, &text), Err(DeskError::NoPlace(number)));
    }
    assert_eq!(desk.wire(), [frame]);
}

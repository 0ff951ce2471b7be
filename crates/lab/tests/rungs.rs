//! Every rung, against both wires: the attack succeeds on classic, and is stopped on D-DDES/2 by
//! the rule that is named here (P-02, P-05, P-08, P-15, P-22, P-28, P-34).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ddes_lab::{
    AttackVerdict, By, ClassicKeys, Lab, LabError, Leg, Listener, RUNGS, Recorded, Recording, Rung,
    Said, SearchResume, SearchStatus, Seed, Settings, Side, Trial, Truth, Voice, Way, hexadecimal,
};

/// The rule that stops each rung on D-DDES/2.
const RULES: [&str; 13] = [
    "P-08", "P-05", "P-08", "P-05", "P-15", "P-22", "P-28", "P-02", "P-05", "P-05", "P-08", "P-05",
    "P-34",
];

/// Keeps what is said, and stops a search after so many reports of progress.
#[derive(Default)]
struct Ear {
    said: Vec<Said>,
    reports_left: Option<u32>,
    tried: Vec<u64>,
    kept: Option<SearchResume>,
}

impl Listener for Ear {
    fn say(&mut self, said: &Said) {
        self.said.push(said.clone());
    }

    fn progress(&mut self, search: &SearchStatus) -> bool {
        self.tried.push(search.tried);
        match &mut self.reports_left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    fn keep(&mut self, resume: &SearchResume) {
        self.kept = Some(resume.clone());
    }
}

fn settings(bits: u32) -> Settings {
    Settings { bits, memory_bytes: 1 << 20, threads: 2 }
}

fn attack(
    number: u8,
    side: Side,
    ear: &mut Ear,
    with: impl FnOnce(&mut Lab<'_>),
) -> Result<Trial, LabError> {
    let mut lab = Lab {
        seed: Seed::named("test"),
        settings: settings(8),
        recording: None,
        hints: None,
        known: Vec::new(),
        is_quiz: false,
        resume: None,
        listener: ear,
    };
    with(&mut lab);
    Rung::numbered(number).unwrap().attack(side)(&mut lab)
}

fn run(number: u8, side: Side) -> (Trial, Vec<Said>) {
    let mut ear = Ear::default();
    let trial = attack(number, side, &mut ear, |_| {}).unwrap();
    (trial, ear.said)
}

#[test]
fn every_rung_succeeds_on_the_classic_wire() {
    for rung in RUNGS {
        let (trial, said) = run(rung.number, Side::Classic);
        let verdict = &trial.verdict;
        assert!(matches!(verdict, AttackVerdict::Succeeded { .. }), "{}: {verdict:?}", rung.number);
        assert!(said.iter().any(|said| said.voice == Voice::Gets), "{}", rung.number);
        assert!(said.iter().any(|said| said.voice == Voice::Lesson), "{}", rung.number);
    }
}

#[test]
fn every_rung_is_stopped_on_the_other_wire_by_its_rule() {
    for (rung, expected) in RUNGS.iter().zip(RULES) {
        let (trial, said) = run(rung.number, Side::V2);
        let AttackVerdict::Stopped { rule, .. } = &trial.verdict else {
            panic!("{}: {:?}", rung.number, trial.verdict);
        };
        assert_eq!(*rule, expected, "{}", rung.number);
        let mut stops = said.iter().filter(|said| said.voice == Voice::Stopped);
        assert!(stops.any(|said| said.text.contains(expected)), "{}: {said:?}", rung.number);
    }
}

#[test]
fn each_line_of_a_server_says_loopback_only_and_those_with_reduced_keys_give_the_hint() {
    for (number, has_hint) in [(3, false), (9, true), (10, true), (11, true)] {
        let (_, said) = run(number, Side::Classic);
        let lines: Vec<_> = said.iter().filter(|said| said.voice == Voice::Server).collect();
        assert!(!lines.is_empty());
        for line in lines {
            assert!(line.text.contains("loopback only"), "{line:?}");
            assert_eq!(
                line.text.contains("lab hint: all but the first 8 bits"),
                has_hint,
                "{line:?}"
            );
        }
    }
}

#[test]
fn a_search_that_was_stopped_goes_on_and_finds_the_same_keys() {
    let keys = |trial: &Trial| (trial.facts["key1"].clone(), trial.facts["key2"].clone());
    let bits = |lab: &mut Lab<'_>| lab.settings = settings(24);
    let mut whole = Ear::default();
    let expected = keys(&attack(9, Side::Classic, &mut whole, bits).unwrap());
    let mut stopped = Ear { reports_left: Some(0), ..Ear::default() };
    let outcome = attack(9, Side::Classic, &mut stopped, bits);
    // A machine that is done before the first report has nothing to resume.
    let Err(LabError::Stopped) = outcome else {
        assert_eq!(keys(&outcome.unwrap()), expected);
        return;
    };
    let resume = stopped.kept.unwrap();
    assert_eq!((resume.rung, resume.bits, &*resume.seed), (9, 24, "test"));
    let read: SearchResume = resume.to_string().parse().unwrap();
    let mut resumed = Ear::default();
    let found = attack(9, Side::Classic, &mut resumed, |lab| {
        bits(lab);
        lab.resume = Some(read);
    });
    assert_eq!(keys(&found.unwrap()), expected);
    // The state of another search is refused.
    let other = attack(9, Side::Classic, &mut Ear::default(), |lab| {
        bits(lab);
        lab.seed = Seed::named("other");
        lab.resume = Some(resume);
    });
    assert!(matches!(other, Err(LabError::Unusable { .. })), "{other:?}");
}

/// Stopped again and again, in its control and in the search behind it.
#[test]
fn a_search_against_the_second_wire_goes_on_where_it_was_stopped() {
    let (mut resume, mut runs) = (None::<SearchResume>, 0);
    let trial = loop {
        let mut ear = Ear { reports_left: Some(0), ..Ear::default() };
        let outcome = attack(9, Side::V2, &mut ear, |lab| {
            lab.settings = settings(24);
            lab.resume = resume.take();
        });
        let Err(LabError::Stopped) = outcome else { break outcome.unwrap() };
        let kept = ear.kept.unwrap();
        assert_eq!(kept.side(), Side::V2, "{}", kept.stage);
        resume = Some(kept.to_string().parse().unwrap());
        runs += 1;
        assert!(runs <= 32, "each run does a slice of 16 at least, of two searches");
    };
    assert!(matches!(trial.verdict, AttackVerdict::Stopped { .. }), "{:?}", trial.verdict);
    assert_eq!(trial.facts["control_found"], true);
}

/// The rung whose search it is takes up its own.
#[test]
fn a_stopped_search_is_of_the_rung_that_ran_it() {
    let (live, _) = run(9, Side::Classic);
    let key = |name: &str| hexadecimal::key(live.facts[name].as_str().unwrap()).unwrap();
    // No key fits, so the search goes on until it is stopped.
    let keys = ClassicKeys { key1: key("key1").map(|byte| byte ^ 0x10), key2: key("key2") };
    let mut ear = Ear { reports_left: Some(0), ..Ear::default() };
    let outcome = attack(11, Side::Classic, &mut ear, |lab| {
        lab.settings = settings(40);
        lab.recording = Some(recording(&live.frames, None));
        lab.hints = Some(keys);
    });
    assert!(matches!(outcome, Err(LabError::Stopped)), "{outcome:?}");
    let kept = ear.kept.unwrap();
    assert_eq!(kept.rung, 11);
    assert_eq!(kept.to_string().parse(), Ok(kept));
}

fn recording(frames: &[Recorded], truth: Option<Truth>) -> Recording {
    Recording { is_classic: true, frames: frames.to_vec(), truth }
}

/// The frames of a live session, as if they came from a file.
#[test]
fn the_rungs_that_listen_read_a_recording_with_and_without_its_secrets() {
    for rung in RUNGS.iter().filter(|rung| rung.reads.contains(&Side::Classic)) {
        let (live, _) = run(rung.number, Side::Classic);
        let read = |set: &dyn Fn(&mut Lab<'_>), truth| {
            attack(rung.number, Side::Classic, &mut Ear::default(), |lab| {
                lab.recording = Some(recording(&live.frames, truth));
                // No session: other integers would be drawn.
                lab.seed = Seed::named("another");
                set(lab);
            })
        };
        let Some(keys) = found_keys(&live) else {
            // Rungs 1 and 2 need no keys, and rung 4 needs some integers.
            let without = read(&|_| {}, None);
            if rung.number == 4 {
                let Err(LabError::Unusable { next: Some(next), .. }) = without else {
                    panic!("{without:?}")
                };
                assert!(next.contains("--known"), "{next}");
                let known = known_votes(&live);
                let with = read(&|lab| lab.known.clone_from(&known), None).unwrap();
                assert!(Rung::is_as_expected(Side::Classic, &with), "{with:?}");
                assert_eq!(with.facts["read"], live.facts["read"]);
            } else {
                let without = without.unwrap();
                assert!(Rung::is_as_expected(Side::Classic, &without), "{without:?}");
            }
            continue;
        };
        // A hint as it is given to students: the unknown bits are 0, and parity is not the key's.
        let hint = |key: [u8; 8]| hexadecimal::key(&ddes_lab::hint(&key, 8)).unwrap();
        let hints = ClassicKeys { key1: hint(keys.key1), key2: hint(keys.key2) };
        assert_ne!(hints.key1, keys.key1);
        for (truth, hints) in [
            (Some(Truth { keys }), None),
            (None, Some(keys)),
            (None, Some(hints)),
            (Some(Truth { keys }), Some(hints)),
        ] {
            let read = read(&|lab| lab.hints = hints, truth).unwrap();
            assert!(Rung::is_as_expected(Side::Classic, &read), "{}: {read:?}", rung.number);
            assert_eq!(read.facts["key2"], live.facts["key2"], "{}", rung.number);
        }
        // Right in fewer bits than are said to be known: whoever gave them is told.
        let wrong = ClassicKeys { key1: hints.key1.map(|byte| byte ^ 0x10), ..hints };
        let none = read(&|lab| lab.hints = Some(wrong), None);
        let Err(LabError::Unusable { what, next: Some(next) }) = none else { panic!("{none:?}") };
        assert!(what.contains("no key fits") && next.contains("--bits"), "{what} {next}");
        let none = read(&|_| {}, None);
        let Err(LabError::Unusable { next: Some(next), .. }) = none else { panic!("{none:?}") };
        assert!(next.contains("--hint1") && next.contains("hand-out"), "{next}");
    }
}

/// Keys that open another session of the same integers are not taken for right.
#[test]
fn keys_are_judged_by_the_hmacs_and_the_token_where_no_secrets_are_known() {
    let (live, _) = run(9, Side::Classic);
    let keys = found_keys(&live).unwrap();
    for (opcode, at) in [(30, 79), (30, 40), (20, 0)] {
        let mut frames = live.frames.clone();
        // The last frame of the kind: not the one that keys are tried on, if there are two.
        let changed =
            frames.iter_mut().rfind(|frame| frame.opcode == opcode && frame.body.len() > 23);
        changed.unwrap().body[at] ^= 1;
        let read = attack(9, Side::Classic, &mut Ear::default(), |lab| {
            lab.recording = Some(recording(&frames, None));
            lab.hints = Some(keys);
        });
        let is_found = matches!(&read, Ok(trial) if Rung::is_as_expected(Side::Classic, trial));
        assert!(!is_found, "{opcode}, byte {at}: {read:?}");
    }
}

#[test]
fn hints_are_made_of_a_session_whose_keys_can_be_found_again() {
    let (live, _) = run(9, Side::Classic);
    let keys = found_keys(&live).unwrap();
    let whole = recording(&live.frames, Some(Truth { keys }));
    let given = ddes_lab::hand_out(&whole, 12).unwrap();
    assert_eq!(given.hint1, ddes_lab::hint(&keys.key1, 12));
    assert_eq!(given.hint2, ddes_lab::hint(&keys.key2, 12));
    let wrong = ClassicKeys { key2: [1; 8], ..keys };
    for (other, says) in [
        (Recording { truth: None, ..whole.clone() }, "no secrets"),
        (Recording { is_classic: false, ..whole.clone() }, "D-DDES/2"),
        (recording(&[], Some(Truth { keys })), "20"),
        (recording(&live.frames, Some(Truth { keys: wrong })), "HMAC"),
    ] {
        let error = ddes_lab::hand_out(&other, 12).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(matches!(error, LabError::Unusable { next: Some(_), .. }), "{error:?}");
    }
}

/// What the attacker made is told from what came in.
#[test]
fn evidence_has_what_the_attacker_sent_and_says_who_made_each_frame() {
    let of = |number, side, by, opcode: u32| {
        let (trial, _) = run(number, side);
        let made = trial.frames.iter().filter(|frame| frame.by == by && frame.opcode == opcode);
        made.cloned().collect::<Vec<_>>()
    };
    // The copy of rung 3, on its way to the server, and two answers that were kept back.
    let copies = of(3, Side::Classic, By::Attacker, 30);
    assert_eq!((copies.len(), copies[0].leg), (1, Leg::Server));
    let sums = of(3, Side::Classic, By::Server, 40);
    assert_eq!(sums.iter().filter(|frame| !frame.is_passed_on).count(), 1);
    // Each leg of rung 5, the forged 40 of rung 8, the forged 30 of rung 11.
    assert_eq!(of(5, Side::Classic, By::Client, 30).len(), 2);
    assert_eq!(of(5, Side::Classic, By::Attacker, 30).len(), 2);
    assert_eq!(of(5, Side::Classic, By::Attacker, 40).len(), 2);
    let forged = of(8, Side::Classic, By::Attacker, 40);
    assert_eq!((forged.len(), forged[0].leg, forged[0].way), (1, Leg::Client, Way::ToClient));
    assert_eq!(of(8, Side::V2, By::Attacker, 40).len(), 1);
    assert_eq!(of(11, Side::Classic, By::Attacker, 30).len(), 1);
    // The 50 of rung 6, and one for each session that it ends.
    for side in [Side::Classic, Side::V2] {
        assert_eq!(of(6, side, By::Attacker, 50).len(), 1, "{side:?}");
    }
    let ended = of(6, Side::Classic, By::Server, 50);
    let connections: std::collections::BTreeSet<_> =
        ended.iter().map(|frame| frame.connection).collect();
    assert!(connections.len() >= 3, "{connections:?}");
    assert!(of(7, Side::Classic, By::Server, 10).len() >= 3);
    assert_eq!(of(7, Side::V2, By::Attacker, 10).len(), 1);
    assert_eq!(of(13, Side::V2, By::Client, 30).len(), 4);
}

/// The keys that a rung found, if it looks for keys.
fn found_keys(trial: &Trial) -> Option<ClassicKeys> {
    let bytes = |name: &str| hexadecimal::key(trial.facts.get(name)?.as_str()?).ok();
    Some(ClassicKeys { key1: bytes("key1")?, key2: bytes("key2")? })
}

/// The public votes of rung 4, as its line of the client tells them.
fn known_votes(trial: &Trial) -> Vec<u64> {
    let (_, said) = run(4, Side::Classic);
    let known = usize::try_from(trial.facts["known"].as_u64().unwrap()).unwrap();
    let told = said.iter().find(|said| said.voice == Voice::Client).unwrap();
    let (_, votes) = told.text.split_once(": ").unwrap();
    let votes = votes.trim_end_matches('.').split(' ');
    votes.take(known).map(|vote| vote.parse().unwrap()).collect()
}

#[test]
fn a_recording_without_what_a_rung_reads_is_an_error_that_says_so() {
    for number in [1, 2, 4, 9, 10, 11] {
        let read = attack(number, Side::Classic, &mut Ear::default(), |lab| {
            let keys = ClassicKeys { key1: [1; 8], key2: [2; 8] };
            let truth = Some(Truth { keys });
            lab.recording = Some(Recording { is_classic: true, frames: Vec::new(), truth });
        });
        let Err(LabError::Unusable { what, .. }) = read else { panic!("{number}: {read:?}") };
        assert!(what.contains("capture"), "{number}: {what}");
    }
}

//! Every rung, against both wires: the attack succeeds on classic, and is stopped on D-DDES/2 by
//! the rule that is named here (P-02, P-05, P-08, P-15, P-22, P-28, P-34).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ddes_lab::{
    ClassicKeys, Lab, LabError, Listener, RUNGS, Recording, Resume, Rung, Said, Search, Seed,
    Settings, Side, Trial, Truth, Verdict, Voice,
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
    kept: Option<Resume>,
}

impl Listener for Ear {
    fn say(&mut self, said: &Said) {
        self.said.push(said.clone());
    }

    fn progress(&mut self, search: &Search) -> bool {
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

    fn keep(&mut self, resume: &Resume) {
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
        assert!(matches!(verdict, Verdict::Succeeded { .. }), "{}: {verdict:?}", rung.number);
        assert!(said.iter().any(|said| said.voice == Voice::Gets), "{}", rung.number);
        assert!(said.iter().any(|said| said.voice == Voice::Lesson), "{}", rung.number);
    }
}

#[test]
fn every_rung_is_stopped_on_the_other_wire_by_its_rule() {
    for (rung, expected) in RUNGS.iter().zip(RULES) {
        let (trial, said) = run(rung.number, Side::V2);
        let Verdict::Stopped { rule, .. } = &trial.verdict else {
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
            assert_eq!(line.text.contains("lab hint: all but 8 bits"), has_hint, "{line:?}");
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
    let read: Resume = resume.to_string().parse().unwrap();
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
    assert!(matches!(other, Err(LabError::Unusable(_))), "{other:?}");
}

/// The frames of a live session, as if they came from a file.
#[test]
fn the_rungs_that_listen_read_a_recording_with_and_without_its_secrets() {
    for rung in RUNGS.iter().filter(|rung| rung.reads_captures) {
        let (live, _) = run(rung.number, Side::Classic);
        let recording = |truth| Recording { is_classic: true, frames: live.frames.clone(), truth };
        let Some(keys) = recorded_keys(&live) else {
            // Rungs 1 and 2 need no keys.
            let read = attack(rung.number, Side::Classic, &mut Ear::default(), |lab| {
                lab.recording = Some(recording(None));
            });
            if rung.number == 4 {
                assert!(matches!(read, Err(LabError::Unusable(_))), "{read:?}");
            } else {
                let read = read.unwrap();
                assert!(Rung::is_as_expected(Side::Classic, &read), "{}: {read:?}", rung.number);
            }
            continue;
        };
        for (truth, hints) in [(Some(Truth { keys }), None), (None, Some(keys))] {
            let mut ear = Ear::default();
            let read = attack(rung.number, Side::Classic, &mut ear, |lab| {
                lab.recording = Some(recording(truth));
                lab.hints = hints;
                // No session: other values would be drawn.
                lab.seed = Seed::named("another");
            });
            let read = read.unwrap();
            assert!(Rung::is_as_expected(Side::Classic, &read), "{}: {read:?}", rung.number);
            assert_eq!(read.facts["key2"], live.facts["key2"], "{}", rung.number);
        }
        let none = attack(rung.number, Side::Classic, &mut Ear::default(), |lab| {
            lab.recording = Some(recording(None));
        });
        let Err(LabError::Unusable(what)) = none else { panic!("{none:?}") };
        assert!(what.contains("--hint1"), "{what}");
    }
}

/// The keys that a rung found, if it looks for keys.
fn recorded_keys(trial: &Trial) -> Option<ClassicKeys> {
    let bytes = |name: &str| {
        let digits = trial.facts.get(name)?.as_str()?.to_owned();
        Some(u64::from_str_radix(&digits, 16).ok()?.to_be_bytes())
    };
    // Rung 11 tells Key2 alone: Key1 is in its hint.
    Some(ClassicKeys { key1: bytes("key1")?, key2: bytes("key2")? })
}

#[test]
fn a_recording_without_what_a_rung_reads_is_an_error_that_says_so() {
    for number in [1, 2, 4, 9, 10, 11] {
        let read = attack(number, Side::Classic, &mut Ear::default(), |lab| {
            let keys = ClassicKeys { key1: [1; 8], key2: [2; 8] };
            let truth = Some(Truth { keys });
            lab.recording = Some(Recording { is_classic: true, frames: Vec::new(), truth });
        });
        let Err(LabError::Unusable(what)) = read else { panic!("{number}: {read:?}") };
        assert!(what.contains("capture"), "{number}: {what}");
    }
}

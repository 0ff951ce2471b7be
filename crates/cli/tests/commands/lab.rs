//! `ddes lab`: every rung against both wires, seeds, evidence, answers, searches that stop and go
//! on, and a newcomer's way from the README to a broken session.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::{PtySession, spawn_command};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};

use crate::{Running, ddes_at, folder, output, peer, root, started};

/// The rule that stops each rung on D-DDES/2.
const RULES: [&str; 13] = [
    "P-08", "P-05", "P-08", "P-05", "P-15", "P-22", "P-28", "P-02", "P-05", "P-05", "P-08", "P-05",
    "P-34",
];
/// Rungs whose keys are reduced: their server says so in every line.
const WITH_HINTS: [u64; 3] = [9, 10, 11];

/// The events of a run with few unknown bits.
fn run(arguments: &[&str]) -> (i32, Vec<Value>, String) {
    let few = ["--json", "--no-pause", "--bits", "8", "--memory", "1M"];
    let arguments = [&["lab", "run"], arguments, &few].concat();
    let (code, shown, error) = output(ddes_at(&folder(), &arguments));
    let events = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (code, events, error)
}

fn trials(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["event"] == "trial").collect()
}

#[test]
fn every_rung_breaks_the_classic_wire_and_is_stopped_by_the_named_rule_on_the_other() {
    let (code, events, error) = run(&["all", "--seed", "test"]);
    assert_eq!(code, 0, "{error} {:?}", events.last());
    let trials = trials(&events);
    assert_eq!(trials.len(), 2 * RULES.len());
    for (pair, (number, rule)) in trials.chunks(2).zip((1_u64..).zip(RULES)) {
        let (classic, v2) = (pair[0], pair[1]);
        assert_eq!((&classic["rung"], &v2["rung"]), (&json!(number), &json!(number)));
        assert_eq!((&classic["wire"], &v2["wire"]), (&json!("classic"), &json!("v2")));
        assert_eq!(classic["verdict"]["outcome"], "succeeded", "{classic}");
        assert_eq!(v2["verdict"]["outcome"], "stopped", "{v2}");
        assert_eq!(v2["verdict"]["rule"], rule, "rung {number}");
        assert!(classic["as_expected"] == true && v2["as_expected"] == true);
    }
    let said = || events.iter().filter(|event| event["event"] == "said");
    let text = |event: &Value| event["text"].as_str().unwrap().to_owned();
    let servers: Vec<_> = said().filter(|event| event["voice"] == "server").collect();
    assert!(servers.len() > 40);
    for line in servers {
        let is_reduced = WITH_HINTS.contains(&line["rung"].as_u64().unwrap())
            // Nothing is searched there.
            && !(line["rung"] == 11 && line["wire"] == "v2");
        assert!(text(line).contains("127.0.0.1:") && text(line).contains("loopback only"));
        assert_eq!(text(line).contains("lab hint: all but the first 8 bits"), is_reduced, "{line}");
    }
    // What stopped each is told with its rule.
    for (number, rule) in (1_u64..).zip(RULES) {
        let mut stops =
            said().filter(|event| event["rung"] == number && event["voice"] == "stopped");
        assert!(stops.any(|stop| text(stop).contains(rule)), "rung {number}: {rule}");
    }
}

#[test]
fn a_seed_repeats_the_values_keys_and_token_and_another_gives_others() {
    let token = |seed: &str| {
        let (code, events, error) = run(&["1", "--only", "classic", "--seed", seed]);
        assert_eq!(code, 0, "{error}");
        trials(&events)[0]["facts"]["token"].as_str().unwrap().to_owned()
    };
    let anna = token("anna");
    assert_eq!(anna, token("anna"));
    assert_ne!(anna, token("ben"));
    assert_eq!(anna.len(), 32);
}

#[test]
fn evidence_is_a_file_with_the_frames_and_the_output_has_them_without_it() {
    let home = folder();
    let file = home.join("e.json");
    let path = file.to_str().unwrap();
    let (code, events, error) = run(&["3", "--only", "classic", "--evidence", path]);
    assert_eq!(code, 0, "{error}");
    assert!(trials(&events)[0].get("seen_frames").is_none());
    let evidence: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let trial = &evidence["trials"][0];
    assert_eq!(trial["verdict"]["outcome"], "succeeded");
    let thirties = |trial: &Value| {
        let frames = trial["seen_frames"].as_array().unwrap();
        frames
            .iter()
            .filter(|frame| frame["opcode"] == 30 && frame["way"] == "to server")
            .map(|frame| (frame["by"].clone(), frame["body"].as_str().unwrap().len()))
            .collect::<Vec<_>>()
    };
    // 80 bytes each, in hexadecimal; the copy is the attacker's.
    let expected = [("client", 160), ("attacker", 160), ("client", 160)];
    let expected = expected.map(|(by, length)| (json!(by), length));
    assert_eq!(thirties(trial), expected);
    let numbers = trial["seen_frames"].as_array().unwrap().iter().map(|frame| frame["n"].as_u64());
    assert!(numbers.eq((1..=trial["seen_frames"].as_array().unwrap().len() as u64).map(Some)));
    let (_, events, _) = run(&["3", "--only", "classic"]);
    assert_eq!(thirties(trials(&events)[0]), expected);
    // A folder that is not there is known before the run.
    let nowhere = home.join("nowhere/e.json");
    let (code, events, _) =
        run(&["1", "--only", "classic", "--evidence", nowhere.to_str().unwrap()]);
    assert_eq!((code, trials(&events).len()), (1, 0));
    // A place that cannot be written is an error, after the run.
    let (code, events, _) = run(&["1", "--only", "classic", "--evidence", "/dev/full"]);
    assert_eq!(code, 1);
    assert_eq!(trials(&events).len(), 1);
}

/// The rungs of each exercise.
const EXERCISES: [&[u8]; 10] =
    [&[1], &[2], &[3], &[4], &[5], &[8, 6], &[7], &[9], &[10], &[11, 13]];
/// What no rung shows.
const ARITHMETIC: [&str; 3] = ["growth", "work_log2", "passes"];

/// A student who has the evidence of quizzes and `ddes calc`, and nothing else.
struct Student {
    home: PathBuf,
    seed: &'static str,
}

/// An attack's evidence.
struct Evidence(Value);

impl Student {
    fn command(&self, arguments: &[&str]) -> String {
        let (code, shown, error) = output(ddes_at(&self.home, arguments));
        assert_eq!(code, 0, "{arguments:?}: {error} {shown}");
        shown
    }

    /// The evidence of a rung against the classic wire, and all that was told.
    fn quiz(&self, rung: u8, told: &mut BTreeMap<u8, String>) -> Evidence {
        let file = self.home.join(format!("{rung}.json"));
        let number = rung.to_string();
        let run = ["lab", "run", &number, "--seed", self.seed, "--quiz", "--no-pause"];
        let few = ["--bits", "8", "--memory", "1M", "--evidence", file.to_str().unwrap()];
        let mut said = self.command(&[&run[..], &few].concat());
        let evidence: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(evidence["quiz"], true);
        for trial in evidence["trials"].as_array().unwrap() {
            said += &trial["facts"].to_string();
            said += &trial["verdict"].to_string();
        }
        told.insert(rung, said);
        Evidence(evidence["trials"][0].clone())
    }

    fn calc(&self, arguments: &[&str]) -> String {
        self.command(&[&["calc"], arguments, &["-q"]].concat()).trim().to_owned()
    }

    /// Double DES; what is asked for is at the end.
    fn decrypted(&self, keys: &Value, ciphertext: &str, flags: &[&str]) -> String {
        let key = |name: &str| keys[name].as_str().unwrap().to_owned();
        let (key1, key2) = (key("key1"), key("key2"));
        let given = ["ddes", "--key1", &key1, "--key2", &key2, "--in", ciphertext, "--decrypt"];
        self.calc(&[&given[..], flags].concat())
    }

    /// The integer of a 30.
    fn integer(&self, keys: &Value, body: &str) -> i64 {
        let plain = self.decrypted(keys, &body[..64], &["--pad"]);
        i64::from_str_radix(&plain[..16], 16).unwrap()
    }

    /// The sum of a 40, which is text.
    fn sum(&self, keys: &Value, body: &str) -> i64 {
        let plain = self.decrypted(keys, &body[..body.len() - 64], &["--pad"]);
        let bytes = ddes_bytes(&plain);
        String::from_utf8(bytes).unwrap().parse().unwrap()
    }

    /// The questions of the student's form, by name.
    fn asked(&self) -> BTreeMap<String, String> {
        let form = self.command(&["lab", "grade", "--seed", self.seed, "--json"]);
        let lines = form.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        lines.map(|line| (text(&line, "question"), text(&line, "asks"))).collect()
    }
}

impl Evidence {
    fn facts(&self) -> &Value {
        &self.0["facts"]
    }

    /// The bodies of frames for which all these members have these values.
    fn bodies(&self, like: &Value) -> Vec<String> {
        let is_like = |frame: &&Value| {
            like.as_object().unwrap().iter().all(|(name, value)| frame[name] == *value)
        };
        let frames = self.0["seen_frames"].as_array().unwrap().iter().filter(is_like);
        frames.map(|frame| frame["body"].as_str().unwrap().to_owned()).collect()
    }
}

fn ddes_bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Numbers of a question's text.
fn numbers(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    words.map(|word| word.parse().unwrap()).collect()
}

fn distinct(items: &[String]) -> usize {
    items.iter().collect::<std::collections::BTreeSet<_>>().len()
}

/// The whole course, as a student solves it: with the frames and `ddes calc`.
fn solved(student: &Student, told: &mut BTreeMap<u8, String>) -> Value {
    let (asked, thirties) = (student.asked(), json!({"by": "client", "opcode": 30}));
    let one = student.quiz(1, told);
    let sent = one.bodies(&thirties);
    let (token, known_blocks) = (sent[0][64..96].to_owned(), 3 + sent.len());

    let firsts = |evidence: &Evidence| -> Vec<String> {
        evidence.bodies(&thirties).iter().map(|body| body[..16].to_owned()).collect()
    };
    let two = student.quiz(2, told);
    let pad_block = two.bodies(&thirties)[0][48..64].to_owned();
    let blocks = firsts(&two);
    let is_repeated = |block: &String| blocks.iter().filter(|other| *other == block).count() > 1;
    let equal: Vec<_> = (1..).zip(&blocks).filter(|(_, block)| is_repeated(block)).collect();
    let equal: Vec<usize> = equal.into_iter().map(|(place, _)| place).collect();

    let three = student.quiz(3, told);
    let sums = three.bodies(&json!({"by": "server", "opcode": 40}));
    let sum = student.sum(three.facts(), sums.last().unwrap());
    let sent = three.bodies(&thirties);
    let honest: i64 = sent.iter().map(|body| student.integer(three.facts(), body)).sum();

    let four = student.quiz(4, told);
    let (_, public) = told[&4].split_once("one by one:").unwrap();
    let public: Vec<u64> = public.split_whitespace().map_while(|word| word.parse().ok()).collect();
    assert_eq!(public.len(), 12, "{}", told[&4]);
    let blocks = firsts(&four);
    let book: BTreeMap<_, _> = blocks.iter().zip(&public).collect();
    let votes: Vec<_> = blocks[12..].iter().map(|block| *book[block]).collect();

    let five = student.quiz(5, told);
    let last = |leg: &str| {
        let sums = five.bodies(&json!({"opcode": 40, "leg": leg}));
        student.sum(&five.facts()[format!("keys_with_{leg}")], sums.last().unwrap())
    };

    let eight = student.quiz(8, told);
    let reflected = eight.bodies(&json!({"by": "attacker", "opcode": 40}));
    let plain = student.decrypted(eight.facts(), &reflected[0][..96], &[]);
    let bytes_shown = 48 - ddes_bytes(&plain).last().unwrap();
    let six = student.quiz(6, told);
    let theirs = six.0["seen_frames"].as_array().unwrap();
    let of_others = |frame: &&Value| frame["by"] == "client";
    let connections: std::collections::BTreeSet<_> =
        theirs.iter().filter(of_others).map(|frame| frame["connection"].as_u64()).collect();

    let seven = student.quiz(7, told);
    let keys = seven.bodies(&json!({"by": "server", "opcode": 10}));
    let factor = numbers(&asked["growth"])[1] / 512;

    let nine = student.quiz(9, told);
    let key1 = nine.facts()["key1"].as_str().unwrap();
    let pad = "0808080808080808";
    let middle = student.calc(&["des", "--key", key1, "--in", pad]);
    let again = student.calc(&["des", "--key", key1, "--in", &middle]);
    assert_eq!(again, nine.bodies(&json!({"opcode": 20}))[0][32..48]);
    let sent = nine.bodies(&thirties);
    let integers: Vec<_> = sent.iter().map(|body| student.integer(nine.facts(), body)).collect();

    let ten = student.quiz(10, told);
    let key = |name: &str| ten.facts()[name].as_str().unwrap();
    let met = student.calc(&["des", "--key", key("key1"), "--in", pad]);
    let block = &ten.bodies(&thirties)[0][48..64];
    assert_eq!(met, student.calc(&["des", "--key", key("key2"), "--decrypt", "--in", block]));
    let shares = numbers(&asked["passes"]);

    let eleven = student.quiz(11, told);
    let passed = json!({"by": "server", "opcode": 40, "passed_on": true});
    let forged_sum = student.sum(eleven.facts(), eleven.bodies(&passed).last().unwrap());
    let body = &eleven.bodies(&thirties)[0];
    let plain = student.decrypted(eleven.facts(), &body[..64], &["--pad"]);
    let x = numbers(&asked["forged_hmac"]);
    let forged = format!("{:016x}{}", x.last().unwrap(), &plain[16..]);
    let key = |name: &str| eleven.facts()[name].as_str().unwrap();
    let (key1, key2) = (key("key1"), key("key2"));
    let ddes = ["ddes", "--key1", key1, "--key2", key2, "--in", &forged, "--pad"];
    let covered = format!("{} {}", student.calc(&ddes), &body[64..96]);
    let forged_hmac = student.calc(&["hmac", "--key", key2, "--in", &covered]);

    let thirteen = student.quiz(13, told);
    let first = &thirteen.bodies(&json!({"by": "server", "opcode": 40}))[0];
    let lost = student.sum(thirteen.facts(), first);
    json!({
        "exercise-1": {"token": token, "known_blocks": known_blocks},
        "exercise-2": {"equal": equal, "pad_block": pad_block},
        "exercise-3": {"sum": sum, "overcount": sum - honest},
        "exercise-4": {"votes": votes, "distinct": distinct(&blocks)},
        "exercise-5": {"server_holds": last("server"), "client_believes": last("client")},
        "exercise-6": {"bytes_shown": bytes_shown, "sessions_ended": connections.len()},
        "exercise-7": {"different_primes": distinct(&keys), "growth": factor.pow(5)},
        "exercise-8": {"middle": middle, "integers": integers},
        "exercise-9": {"met": met, "work_log2": numbers(&asked["work_log2"])[0] + 1,
            "passes": 1_u64 << (shares[0] - shares[2])},
        "exercise-10": {"forged_sum": forged_sum, "forged_hmac": forged_hmac, "lost": lost},
    })
}

#[test]
fn the_course_is_solved_by_its_frames_and_calc_and_a_quiz_gives_nothing_away() {
    for seed in ["anna", "Ben:k3fq"] {
        let student = Student { home: folder(), seed };
        let mut told = BTreeMap::new();
        let answers = solved(&student, &mut told);
        let path = student.home.join("answers.json");
        let grade = |answers: &Value, seed: &str| {
            fs::write(&path, answers.to_string()).unwrap();
            let path = path.to_str().unwrap();
            output(ddes_at(&student.home, &["lab", "grade", path, "--seed", seed, "--json"]))
        };
        let (code, shown, error) = grade(&answers, seed);
        assert_eq!(code, 0, "{shown} {error}");
        let mut shows_blanks = 0;
        for (number, exercise) in (1_u8..).zip(EXERCISES) {
            let given = answers[format!("exercise-{number}")].as_object().unwrap();
            let told: String = exercise.iter().map(|rung| told[rung].as_str()).collect();
            shows_blanks += u32::from(told.contains("[?]"));
            let words: Vec<_> = told.split(|c: char| !c.is_ascii_alphanumeric()).collect();
            // Smaller ones come by chance, and arithmetic is not of the rungs.
            for (name, answer) in given.iter().filter(|(name, _)| !ARITHMETIC.contains(&&***name)) {
                let answer = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
                let is_told = answer.len() >= 3 && words.contains(&answer.as_str());
                assert!(!is_told, "{name}: {answer}");
            }
        }
        assert_eq!(shows_blanks, 10);
        let (code, shown, error) = grade(&answers, "carl");
        assert_eq!(code, 1);
        assert!(shown.contains("\"wrong\""), "{shown} {error}");
        let mut changed = answers.clone();
        let sum = changed["exercise-3"]["sum"].as_i64().unwrap();
        changed["exercise-3"]["sum"] = json!(sum + 1);
        let (code, shown, _) = grade(&changed, seed);
        assert_eq!(code, 1);
        let marks: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let wrong: Vec<_> = marks.iter().filter(|mark| mark["mark"] == "wrong").collect();
        assert_eq!((wrong.len(), &wrong[0]["question"]), (1, &json!("sum")));
    }
}

/// Each command of the course's pages is one, with flags that it has.
#[test]
fn the_commands_of_the_course_have_the_flags_that_are_written_there() {
    let mut helps = BTreeMap::new();
    let mut count = 0;
    for entry in fs::read_dir(root().join("docs/course")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        let lines = page.lines().filter(|line| line.starts_with("    "));
        for line in lines.filter_map(|line| line.trim_start().strip_prefix("ddes ")) {
            let line = line.split("   ").next().unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            let has_second = ["lab", "calc"].contains(&words[0]) && words.len() > 1;
            let command: Vec<_> = words[..if has_second { 2 } else { 1 }].to_vec();
            let help = helps.entry(command.join(" ")).or_insert_with(|| {
                let (code, help, error) =
                    output(ddes_at(&folder(), &[&command[..], &["--help"]].concat()));
                assert_eq!(code, 0, "{line}: {error}");
                help
            });
            for flag in words.iter().filter(|word| word.starts_with('-')) {
                count += 1;
                let is_known = help.lines().any(|line| {
                    let line = line.trim_start().trim_start_matches("-h, ");
                    line.split([' ', ',', '[']).any(|word| word == *flag) && line.starts_with('-')
                });
                assert!(is_known, "{}: {flag} of {line}", path.display());
            }
        }
    }
    assert!(count > 60, "{count} flags only");
}

/// The loop of exercise 8, in Python, finds Key1 of a session by its hint.
#[test]
fn the_keys_of_exercise_8_are_those_that_a_hint_leaves() {
    let (code, events, error) = run(&["9", "--only", "classic", "--seed", "anna"]);
    assert_eq!(code, 0, "{error}");
    let trial = trials(&events)[0].clone();
    let (_, hints) = trial["facts"]["hint"].as_str().unwrap().rsplit_once("Key1 ").unwrap();
    let (hint1, _) = hints.split_once(',').unwrap();
    let sealed = trial["seen_frames"]
        .as_array()
        .unwrap()
        .iter()
        .find(|frame| frame["opcode"] == 20)
        .map(|frame| frame["body"].as_str().unwrap()[32..48].to_owned());
    let page = fs::read_to_string(root().join("docs/course/exercise-08.md")).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let program = format!(
        "from Crypto.Cipher import DES\n{code}\n\
         for key in candidates(bytes.fromhex('{hint1}'), 8):\n\
         \u{20}   des = DES.new(key, DES.MODE_ECB)\n\
         \u{20}   if des.encrypt(des.encrypt(bytes([8]) * 8)).hex() == '{}':\n\
         \u{20}       print(bytes(b & 0xfe for b in key).hex())\n",
        sealed.unwrap()
    );
    let (code, found, error) = output(peer("-c", &[&program]));
    assert_eq!(code, 0, "{error}");
    let key1 = trial["facts"]["key1"].as_str().unwrap();
    let expected: String =
        ddes_bytes(key1).iter().map(|byte| format!("{:02x}", byte & 0xfe)).collect();
    assert_eq!(found.trim(), expected);
}

#[test]
fn the_form_for_answers_is_toml_with_every_question_and_filled_in_it_is_read() {
    let home = folder();
    let (code, form, error) = output(ddes_at(&home, &["lab", "grade", "--seed", "anna"]));
    assert_eq!(code, 0, "{error}");
    assert_eq!(form.matches("[exercise-").count(), 10);
    assert!(form.contains("hexadecimal, in quotes"), "{form}");
    let path = home.join("answers.toml");
    let filled = form
        .replace("# known_blocks = \"\"", "known_blocks = 0")
        .replace("# token = \"\"", "token = \"\"")
        .replace("# work_log2 = \"\"", "work_log2 = \"many\"");
    fs::write(&path, filled).unwrap();
    let path = path.to_str().unwrap();
    let (code, shown, _) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert_eq!(code, 1);
    assert!(shown.contains("known_blocks     wrong"), "{shown}");
    assert!(shown.contains("token            missing"), "{shown}");
    assert!(shown.contains("work_log2        not a whole number"), "{shown}");
    // Nothing is right: that may be the seed's fault. With all empty it is not.
    let (_, _, error) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert!(error.contains("upper and lower case"), "{error}");
    fs::write(path, &form).unwrap();
    let (code, _, error) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert_eq!(code, 1);
    assert!(error.contains("22 missing") && !error.contains("seed"), "{error}");
    // Not without the name that the answers belong to.
    let (code, _, error) = output(ddes_at(&home, &["lab", "grade", path]));
    assert_eq!(code, 2);
    assert!(error.contains("--seed is missing") && error.contains("try:"), "{error}");
    fs::write(path, "[exercise-1]\ntoken = 0c3fb3e\n").unwrap();
    let (code, _, error) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert_eq!(code, 2);
    assert!(error.contains("in quotes"), "{error}");
    fs::write(home.join("answers.toml"), "[exercise-1]\ntokn = \"\"\n").unwrap();
    let (code, _, error) = output(ddes_at(&home, &["lab", "grade", path, "--seed", "anna"]));
    assert_eq!(code, 2);
    assert!(error.contains("exercise-1.tokn") && error.contains("token"), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_with_its_reason_and_a_next_step() {
    let home = folder();
    let file = home.join("not-a-search");
    fs::write(&file, "ddes lab, stopped search 1\nrung nine\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (&["lab", "run", "14"][..], "rungs are 1 to 13"),
        (&["lab", "run", "9", "--bits", "57"], "57"),
        (&["lab", "run", "10", "--memory", "1X"], "64M"),
        (&["lab", "run", "10", "--memory", "1"], "at least 64K"),
        (&["lab", "run", "9", "--capture", "x", "--hint1", "12", "--hint2", "34"], "16 hex"),
    ] {
        let (code, _, error) = output(ddes_at(&home, arguments));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for (arguments, expected) in [
        (&["lab", "run", "9", "--resume", file][..], "line 2"),
        (&["lab", "run", "9", "--resume", "/dev/null/none"], "Ctrl-C"),
        (&["lab", "run", "9", "--resume", file, "--bits", "9"], "takes no --bits"),
        (&["lab", "run", "9", "--resume", file, "--seed", "anna"], "takes no --seed"),
        (&["lab", "run", "1", "--capture", file], "neither a pcapng nor a pcap"),
        (&["lab", "run", "9", "--capture", "/nowhere/x.pcapng"], "cannot read"),
        (&["lab", "grade", "/nowhere/x.toml", "--seed", "anna"], "No such file"),
        (&["lab", "hand-out", "/nowhere/x.pcapng", "y.pcapng"], "cannot read"),
    ] {
        let (code, _, error) = output(ddes_at(&home, arguments));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(expected) && error.contains("try:"), "{arguments:?}: {error}");
    }
}

/// A classic server, and more flags of it.
fn classic(home: &Path, flags: &[&str]) -> Running {
    let all = ["serve", "--json", "--classic", "--classic-wait-ms", "0", "--ledger", "memory"];
    started(ddes_at(home, &[&all[..], &["--listen", "127.0.0.1:0"], flags].concat()))
}

/// Every rung that listens, on this capture.
fn read_by_all_that_listen(capture: &str) {
    for rung in ["1", "2", "4", "9", "10", "11"] {
        let (code, events, error) = run(&[rung, "--only", "classic", "--capture", capture]);
        assert_eq!(code, 0, "rung {rung}: {error} {:?}", events.last());
        let trial = trials(&events)[0];
        assert_eq!(trial["verdict"]["outcome"], "succeeded", "{trial}");
        if ["9", "10"].contains(&rung) {
            assert_eq!(trial["facts"]["integers_read"], json!(["7", "9", "7"]));
        }
    }
}

#[test]
fn a_capture_with_its_secrets_is_read_instead_of_a_live_session() {
    let home = folder();
    let server = classic(&home, &[]);
    let file = home.join("session.pcapng");
    let path = file.to_str().unwrap();
    let send = ["send", "--classic", "--server", &server.address, "--capture", path];
    let (code, _, error) =
        output(ddes_at(&home, &[&send[..], &["--capture-secrets", "7", "9", "7"]].concat()));
    assert_eq!(code, 0, "{error}");
    read_by_all_that_listen(path);
}

/// A capture of a classic session of 7, 9 and 7; or of D-DDES/2.
fn captured(home: &Path, is_classic: bool, name: &str, flags: &[&str]) -> String {
    let path = home.join(name).to_str().unwrap().to_owned();
    if is_classic {
        let server = classic(home, &[]);
        let to = ["send", "--classic", "--server", &server.address, "--capture", &path];
        let (code, _, error) = output(ddes_at(home, &[&to[..], flags, &["7", "9", "7"]].concat()));
        assert_eq!(code, 0, "{error}");
        return path;
    }
    let own = folder();
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--allow-any"];
    let server = started(ddes_at(&own, &serve));
    let trust = crate::secure::fingerprint(&own);
    let to = ["connect", "--server", &server.address, "--trust", &trust, "--capture", &path];
    // Each integer in a frame of its own.
    let mut connect = ddes_at(home, &[&to[..], flags].concat());
    let mut client =
        connect.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"7\n9\n7\n50\n").unwrap();
    let done = client.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

/// What a teacher gives away holds no secrets, and with the line that is printed rungs 9, 10 and 11
/// find the keys.
#[test]
fn a_capture_that_is_handed_out_falls_by_its_hints_and_not_before() {
    let home = folder();
    let full = captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let copy = home.join("copy.pcapng").to_str().unwrap().to_owned();
    let hand_out = ["lab", "hand-out", &full, &copy, "--bits", "11", "--json"];
    let (code, shown, error) = output(ddes_at(&home, &hand_out));
    assert_eq!(code, 0, "{error}");
    let given: Value = serde_json::from_str(&shown).unwrap();
    let inspect = |file: &str| output(ddes_at(&home, &["inspect", "--json", "--keys", file])).1;
    let (of_full, of_copy) = (inspect(&full), inspect(&copy));
    assert!(of_full.contains("key1") && !of_copy.contains("key1"), "{of_copy}");
    let bytes = fs::read(&copy).unwrap();
    assert!(!bytes.windows(12).any(|part| part == b"ddes_secrets"));
    // The frames are the same.
    let bodies = |shown: &str| {
        let lines = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == "frame").map(|line| line["bytes"].clone()).collect()
    };
    let (one, other): (Vec<Value>, Vec<Value>) = (bodies(&of_full), bodies(&of_copy));
    assert!(one.len() >= 12 && one == other, "{one:?} {other:?}");
    let command = given["command"].as_str().unwrap();
    let words: Vec<_> = command.split(' ').skip(4).collect();
    assert!(command.starts_with("ddes lab run 9 --capture"), "{command}");
    for rung in ["9", "10", "11"] {
        let (code, shown, error) = output(ddes_at(
            &home,
            &[&["lab", "run", rung, "--only", "classic", "--json"], &words[..]].concat(),
        ));
        assert_eq!(code, 0, "rung {rung}: {error} {shown}");
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let trial = trials(&events)[0];
        assert_eq!(trial["verdict"]["outcome"], "succeeded", "{trial}");
        if rung != "11" {
            assert_eq!(trial["facts"]["integers_read"], json!(["7", "9", "7"]));
        }
    }
    // With fewer bits than are missing no key fits, and that is not the lab's fault. (By chance all
    // ten missing bits of both keys are 0 in one case of 2^20.)
    let mut fewer = words.clone();
    *fewer.last_mut().unwrap() = "1";
    let (code, _, error) =
        output(ddes_at(&home, &[&["lab", "run", "9", "--only", "classic"], &fewer[..]].concat()));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("check --hint1, --hint2") && !error.contains("broken"), "{error}");
    // Rung 4 needs known integers, rung 10 uses them as a sieve.
    let known = |rung: &str, known: &str| {
        let which = ["lab", "run", rung, "--only", "classic", "--json", "--known", known];
        let (code, shown, error) = output(ddes_at(&home, &[&which[..], &words].concat()));
        assert_eq!(code, 0, "rung {rung}: {error}");
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (trials(&events)[0]["facts"].clone(), shown)
    };
    assert_eq!(known("4", "7,9").0["read"], json!(["7"]));
    let (facts, told) = known("10", "7");
    assert_eq!(facts["integers_read"], json!(["7", "9", "7"]));
    assert!(told.contains("Suppose that this integer is known: 7."), "{told}");
    let (code, _, error) = output(ddes_at(&home, &["lab", "run", "4", "--capture", &copy]));
    assert_eq!(code, 2);
    assert!(error.contains("--known"), "{error}");
    let (code, _, error) = output(ddes_at(&home, &["lab", "run", "9", "--capture", &copy]));
    assert_eq!(code, 2);
    assert!(error.contains("hand-out") && error.contains("try:"), "{error}");
    let full_known = ["lab", "run", "10", "--capture", &full, "--known", "8", "--only", "classic"];
    let (code, _, error) = output(ddes_at(&home, &full_known));
    assert_eq!(code, 2);
    assert!(error.contains("other integers"), "{error}");
    // The file with the secrets is never replaced by the one without.
    let (code, _, error) = output(ddes_at(&home, &["lab", "hand-out", &full, &full]));
    assert_eq!(code, 2, "{error}");
    assert!(inspect(&full).contains("key1"));
    let (code, _, error) = output(ddes_at(&home, &["lab", "hand-out", &copy, "z.pcapng"]));
    assert_eq!(code, 2);
    assert!(error.contains("--capture-secrets"), "{error}");
}

/// As `ddes inspect` takes them: beside the capture.
#[test]
fn secrets_in_a_file_of_their_own_are_read_and_those_of_another_session_refused() {
    let home = folder();
    let full = captured(&home, true, "full.pcapng", &["--capture-secrets"]);
    let other = captured(&home, true, "other.pcapng", &["--capture-secrets"]);
    let copy = home.join("copy.pcapng").to_str().unwrap().to_owned();
    let (code, _, error) = output(ddes_at(&home, &["lab", "hand-out", &full, &copy]));
    assert_eq!(code, 0, "{error}");
    let secrets = |capture: &str, name: &str| {
        let bytes = fs::read(capture).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let begin = text.find("{\"ddes_secrets\"").unwrap();
        let line = &text[begin..=begin + text[begin..].find('}').unwrap()];
        let path = home.join(name);
        fs::write(&path, format!("{line}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (secrets(&full, "right"), secrets(&other, "wrong"));
    let read = |file: &str| run(&["9", "--only", "classic", "--capture", &copy, "--secrets", file]);
    let (code, events, error) = read(&right);
    assert_eq!(code, 0, "{error}");
    assert_eq!(trials(&events)[0]["facts"]["integers_read"], json!(["7", "9", "7"]));
    let (code, events, error) = read(&wrong);
    assert_eq!((code, trials(&events).len()), (5, 0), "{error}");
    let again = home.join("again.pcapng").to_str().unwrap().to_owned();
    let hand_out = ["lab", "hand-out", &copy, &again, "--secrets", &right];
    let (code, shown, error) = output(ddes_at(&home, &hand_out));
    assert_eq!(code, 0, "{error}");
    assert!(shown.contains("--hint1"), "{shown}");
}

/// A capture that nothing reads is a mistake, and a half that runs live beside one says so.
#[test]
fn a_capture_of_the_other_wire_is_not_replaced_in_silence() {
    let home = folder();
    let v2 = captured(&home, false, "v2.pcapng", &[]);
    let old = captured(&home, true, "classic.pcapng", &["--capture-secrets"]);
    for arguments in [
        &["9", "--capture", &v2][..],
        &["1", "--capture", &v2, "--only", "classic"],
        &["1", "--capture", &old, "--only", "v2"],
        &["3", "--capture", &old],
    ] {
        let (code, events, error) = run(arguments);
        assert_eq!((code, trials(&events).len()), (2, 0), "{arguments:?}: {error}");
        let error = events.last().unwrap();
        assert!(error["cause"].is_string() && error["next"].is_string(), "{error}");
    }
    for (capture, rung, wire) in [(&v2, "1", "v2"), (&old, "1", "classic"), (&old, "9", "classic")]
    {
        let (code, events, error) = run(&[rung, "--capture", capture]);
        assert_eq!(code, 0, "{error}");
        let said = |wire: &str| {
            let said = events.iter().filter(|event| event["event"] == "said");
            said.filter(|event| event["wire"] == wire)
                .any(|event| event["text"].as_str().unwrap().contains("what follows is live"))
        };
        for other in ["classic", "v2"] {
            assert_eq!(said(other), other != wire, "{rung} {other}: {events:?}");
        }
    }
}

#[test]
fn a_session_of_the_python_client_falls_as_well() {
    let home = folder();
    let file = home.join("session.pcapng");
    let path = file.to_str().unwrap();
    let server = classic(&home, &["--capture", path, "--capture-secrets"]);
    let port = server.address.rsplit(':').next().unwrap();
    let (code, shown, error) =
        output(peer("peer/classic/client.py", &["--port", port, "7", "9", "7"]));
    assert_eq!((code, &*shown), (0, "7\n16\n23\n"), "{error}");
    // Stopped in order, it has written all of it.
    let mut server = server;
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    server.child.wait().unwrap();
    read_by_all_that_listen(path);
}

/// A search that goes on for hours, in a folder of its own, until it says how far it is.
fn search(home: &Path, arguments: &[&str]) -> (std::process::Child, String) {
    let mut command: Command = ddes_at(home, &[&["lab", "run", "9"], arguments].concat());
    command.current_dir(home).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let progress = lines.next().unwrap().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    (child, format!("{progress}\n{}", rest.join("\n")))
}

/// The percentage of a line of progress.
fn share(progress: &str) -> f64 {
    let (before, _) = progress.split_once(" %").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn ctrl_c_stops_a_search_which_goes_on_where_it_was() {
    let home = folder();
    let only = ["--only", "classic", "--no-pause"];
    let (mut child, said) =
        search(&home, &[&["--bits", "36", "--seed", "anna"], &only[..]].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("Key1") && said.contains("a second"), "{said}");
    assert!(said.contains("ddes lab run 9 --resume lab-9.state"), "{said}");
    assert!(!said.contains("--capture"), "{said}");
    let state = fs::read_to_string(home.join("lab-9.state")).unwrap();
    assert!(state.contains("seed anna\nbits 36\n"), "{state}");
    let first = share(&said);
    let (mut child, said) = search(&home, &[&["--resume", "lab-9.state"], &only[..]].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(share(&said) >= first, "{said}");
    let (code, _, error) = output({
        let mut command = ddes_at(&home, &["lab", "run", "10", "--resume", "lab-9.state"]);
        command.current_dir(&home);
        command
    });
    assert_eq!(code, 2);
    assert!(error.contains("rung 9"), "{error}");
}

/// A search in a capture is continued in that capture.
#[test]
fn what_continues_a_search_names_the_capture_and_the_hints() {
    let home = folder();
    let full = captured(&home, true, "full one.pcapng", &["--capture-secrets"]);
    let hints = ["--hint1", "0000000000000000", "--hint2", "0000000000000000"];
    let search_in = ["--capture", &full, "--bits", "56", "--only", "classic", "--no-pause"];
    let (mut child, said) = search(&home, &[&search_in[..], &hints].concat());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    let next = said.lines().find(|line| line.contains("--resume")).unwrap();
    assert!(next.contains(&format!("--capture '{full}'")), "{next}");
    assert!(next.contains("--hint1 0000000000000000 --hint2 0000000000000000"), "{next}");
}

/// The rate is measured for half a second, whatever is unknown, and the figures are those of the
/// sources.
#[test]
fn the_projection_is_of_a_rate_that_was_measured_and_names_its_sources() {
    let rate = |bits: &str| {
        let begun = Instant::now();
        let shown = output(ddes_at(
            &folder(),
            &["lab", "run", "12", "--only", "classic", "--json", "--bits", bits],
        ));
        assert_eq!(shown.0, 0, "{}", shown.2);
        assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
        shown.1
    };
    let (few, many) = (rate("8"), rate("40"));
    for shown in [few, many] {
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let facts = &trials(&events)[0]["facts"];
        let machines = facts["machines"].as_array().unwrap();
        let days = |machine: &Value, what: &str| machine[what].as_f64().unwrap() / 86_400.0;
        // 2^55 and 3 * 2^55 DES at 88e9 a second.
        let of_1998 = machines.last().unwrap();
        let (one, both) =
            (days(of_1998, "one_key_secs_on_average"), days(of_1998, "rung_9_secs_on_average"));
        assert!((one - 4.74).abs() < 0.01 && (both - 14.22).abs() < 0.01, "{one} {both}");
        for machine in machines {
            let source = machine["source"].as_str().unwrap();
            assert!(shown.contains(&format!("on average ({source})")), "{source}");
        }
        assert!(shown.contains("both keys of a session in 14.2 days"), "{shown}");
        // A debug build tries thousands a second on any machine.
        assert!(facts["keys_per_sec"].as_f64().unwrap() > 1000.0, "{facts}");
    }
}

/// What the memory of a meet in the middle is for is told: tables, their size, rate and time.
#[test]
fn the_dial_of_rung_10_shows_what_it_turns() {
    let facts = |memory: &str| {
        let meet = ["lab", "run", "10", "--only", "classic", "--json", "--bits", "16"];
        let threads = ["--threads", "1", "--memory", memory];
        let (code, shown, error) = output(ddes_at(&folder(), &[&meet[..], &threads].concat()));
        assert_eq!(code, 0, "{error}");
        let events: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (trials(&events)[0]["facts"].clone(), shown)
    };
    let (whole, told) = facts("16M");
    assert_eq!((&whole["tables"], &whole["keys_a_table"]), (&json!(1), &json!(1 << 16)));
    assert!(told.contains("one table of 65536 keys"), "{told}");
    let (part, told) = facts("64K");
    let tables = part["tables"].as_u64().unwrap();
    assert!(tables > 4 && tables * part["keys_a_table"].as_u64().unwrap() >= 1 << 16, "{part}");
    assert!(part["bytes_used"].as_u64().unwrap() <= 1 << 16, "{part}");
    assert!(told.contains(&format!("{tables} tables, one after the other")), "{told}");
    assert!(told.contains("keys in") && part["keys_per_sec"].as_f64().unwrap() > 0.0, "{told}");
}

const WAIT_MS: Option<u64> = Some(240_000);

fn on_a_terminal(mut command: Command) -> PtySession {
    command.env("TERM", "xterm").env_remove("CLICOLOR").env_remove("CLICOLOR_FORCE");
    let session = spawn_command(command, WAIT_MS).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
    session
}

/// Without colours and other sequences.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`.
            rest.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// From the README's commands to a broken session, as a newcomer types them.
#[test]
fn a_newcomer_breaks_the_classic_wire_in_minutes_by_the_commands_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands: Vec<Vec<&str>> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("    ddes lab"))
        .map(|line| line.split('#').next().unwrap().split_whitespace().collect())
        .collect();
    assert!(commands.len() >= 3, "{commands:?}");
    let (home, begun) = (folder(), Instant::now());
    let mut seen = String::new();
    for arguments in commands {
        let mut command = ddes_at(&home, &[&["lab"], &arguments[..]].concat());
        command.current_dir(&home);
        let mut session = on_a_terminal(command);
        let mut shown = String::new();
        // It waits for Enter between the parts, and says so.
        if arguments.first() == Some(&"run") {
            shown += &session.exp_string("Press Enter").unwrap();
            session.send_line("").unwrap();
        }
        shown += &session.exp_eof().unwrap();
        let status = format!("{:?}", session.process().wait().unwrap());
        assert!(status.ends_with(", 0)"), "{arguments:?}: {status} {shown}");
        for line in plain(&shown).lines() {
            let line = line.rsplit('\r').next().unwrap();
            assert!(line.chars().count() <= 80, "{line}");
        }
        seen += &plain(&shown);
    }
    assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", begun.elapsed());
    assert!(seen.contains("BROKEN: both keys of the session"), "{seen}");
    assert!(seen.contains("STOPPED (P-05)"), "{seen}");
}

#[test]
fn colours_are_for_terminals_that_have_them_and_respect_no_color() {
    for (name, is_coloured) in [("", true), ("NO_COLOR", false)] {
        let mut command = ddes_at(&folder(), &["lab", "run", "1", "--no-pause"]);
        command.env_remove("NO_COLOR");
        if !name.is_empty() {
            command.env(name, "1");
        }
        let mut session = on_a_terminal(command);
        let shown = session.exp_eof().unwrap();
        assert_eq!(
            shown.contains("\u{1b}[31"),
            is_coloured || shown.contains("\u{1b}[1m\u{1b}[31")
        );
        assert_eq!(shown.contains('\u{1b}'), is_coloured, "{shown:?}");
    }
}

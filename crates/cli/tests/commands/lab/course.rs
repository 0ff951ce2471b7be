//! The course of docs/course, as a student solves it, and its form for answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{run, trials};
use crate::{ddes_at, folder, output, peer, root};

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
    items.iter().collect::<BTreeSet<_>>().len()
}

/// The client's 30s.
fn thirties() -> Value {
    json!({"by": "client", "opcode": 30})
}

/// The whole course, as a student solves it: with the frames and `ddes calc`.
fn solved(student: &Student, told: &mut BTreeMap<u8, String>) -> Value {
    let mut answers = first_half(student, told);
    let second = second_half(student, told);
    answers.as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
    answers
}

fn first_half(student: &Student, told: &mut BTreeMap<u8, String>) -> Value {
    let one = student.quiz(1, told);
    let sent = one.bodies(&thirties());
    let (token, known_blocks) = (sent[0][64..96].to_owned(), 3 + sent.len());

    let firsts = |evidence: &Evidence| -> Vec<String> {
        evidence.bodies(&thirties()).iter().map(|body| body[..16].to_owned()).collect()
    };
    let two = student.quiz(2, told);
    let pad_block = two.bodies(&thirties())[0][48..64].to_owned();
    let blocks = firsts(&two);
    let is_repeated = |block: &String| blocks.iter().filter(|other| *other == block).count() > 1;
    let equal: Vec<_> = (1..).zip(&blocks).filter(|(_, block)| is_repeated(block)).collect();
    let equal: Vec<usize> = equal.into_iter().map(|(place, _)| place).collect();

    let three = student.quiz(3, told);
    let sums = three.bodies(&json!({"by": "server", "opcode": 40}));
    let sum = student.sum(three.facts(), sums.last().unwrap());
    let sent = three.bodies(&thirties());
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

    json!({
        "exercise-1": {"token": token, "known_blocks": known_blocks},
        "exercise-2": {"equal": equal, "pad_block": pad_block},
        "exercise-3": {"sum": sum, "overcount": sum - honest},
        "exercise-4": {"votes": votes, "distinct": distinct(&blocks)},
        "exercise-5": {"server_holds": last("server"), "client_believes": last("client")},
    })
}

fn second_half(student: &Student, told: &mut BTreeMap<u8, String>) -> Value {
    let asked = student.asked();
    let eight = student.quiz(8, told);
    let reflected = eight.bodies(&json!({"by": "attacker", "opcode": 40}));
    let plain = student.decrypted(eight.facts(), &reflected[0][..96], &[]);
    let bytes_shown = 48 - ddes_bytes(&plain).last().unwrap();
    let six = student.quiz(6, told);
    let theirs = six.0["seen_frames"].as_array().unwrap();
    let of_others = |frame: &&Value| frame["by"] == "client";
    let connections: BTreeSet<_> =
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
    let sent = nine.bodies(&thirties());
    let integers: Vec<_> = sent.iter().map(|body| student.integer(nine.facts(), body)).collect();

    let ten = student.quiz(10, told);
    let key = |name: &str| ten.facts()[name].as_str().unwrap();
    let met = student.calc(&["des", "--key", key("key1"), "--in", pad]);
    let block = &ten.bodies(&thirties())[0][48..64];
    assert_eq!(met, student.calc(&["des", "--key", key("key2"), "--decrypt", "--in", block]));
    let shares = numbers(&asked["passes"]);

    let eleven = student.quiz(11, told);
    let passed = json!({"by": "server", "opcode": 40, "passed_on": true});
    let forged_sum = student.sum(eleven.facts(), eleven.bodies(&passed).last().unwrap());
    let body = &eleven.bodies(&thirties())[0];
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
            let line = line.split(" | ").next().unwrap();
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

//! `ddes ledger`: verified, read, copied, restored; receipts.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Running, ddes_at, folder, output, started};

/// A home, and its server with a ledger on the disk.
struct Site {
    home: PathBuf,
    server: Running,
}

impl Site {
    fn new(flags: &[&str]) -> Self {
        let home = folder();
        // It is served there again.
        let server = serve(&home, &crate::unused_address(), flags);
        let site = Self { home, server };
        let (_, key, _) = output(ddes_at(&site.home, &["key", "show", "--server-key", "--quiet"]));
        assert_eq!(
            output(ddes_at(&site.home, &["trust", "add", &site.server.address, key.trim()])).0,
            0
        );
        site
    }

    /// A client's last sum.
    fn send(&self, name: &str, values: &[&str]) -> String {
        let flags = ["send", "-q", "--server", &self.server.address, "--as", name];
        let (code, sums, error) = output(ddes_at(&self.home, &[&flags, values].concat()));
        assert_eq!(code, 0, "{error}");
        sums.lines().last().unwrap().to_owned()
    }

    fn outbox(&self, name: &str, values: &[&str]) -> Command {
        let outbox = self.home.join(format!("outbox-{name}"));
        let outbox = outbox.to_str().unwrap();
        let flags =
            ["send", "-q", "--server", &self.server.address, "--as", name, "--outbox", outbox];
        ddes_at(&self.home, &[&flags, values].concat())
    }

    fn ledger(&self, arguments: &[&str]) -> (i32, String, String) {
        output(ddes_at(&self.home, &[&["ledger"], arguments].concat()))
    }

    /// The one object that a command prints with `--json`.
    fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, error) = self.ledger(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{out} {error}");
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(object["schema_version"], 2);
        object
    }

    fn kill(&mut self) {
        self.server.child.kill().unwrap();
        self.server.child.wait().unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).to_str().unwrap().to_owned()
    }
}

fn serve(home: &Path, listen: &str, flags: &[&str]) -> Running {
    let serve = ["serve", "--json", "--frame-values", "50", "--listen", listen];
    started(ddes_at(home, &[&serve, flags].concat()))
}

/// 1, 2 … `count` on standard input, and their sum.
fn numbers(mut command: Command, count: u64) -> (std::process::Child, u64) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = (1..=count).map(|number| format!("{number}\n")).collect();
    std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    (child, count * (count + 1) / 2)
}

#[test]
fn what_was_acknowledged_outlives_the_server_s_death_and_verifies() {
    let mut site = Site::new(&[]);
    assert_eq!(site.send("anna", &["42", "50"]), "92");
    let (sender, sum) = numbers(site.outbox("bert", &["-"]), 20_000);
    for _ in 0..3 {
        while site.json(&["totals"])["count"].as_str().unwrap() == "2" {}
        // While the server writes.
        assert_eq!(site.ledger(&["verify", "-q"]).0, 0);
        site.kill();
        assert_eq!(site.ledger(&["verify", "-q"]).0, 0);
        site.server = serve(&site.home, &site.server.address.clone(), &[]);
    }
    let sent = sender.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(sent.stdout).unwrap(), format!("{sum}\n"));
    assert_eq!(site.send("anna", &["8"]), "100");
    let verified = site.json(&["verify"]);
    assert_eq!((&verified["count"], &verified["values"]), (&"20003".into(), &"20003".into()));
    assert_eq!(verified["sum"], (sum + 100).to_string());
    let totals = site.json(&["totals"]);
    assert_eq!(
        (&totals["accounts"], &totals["min"], &totals["max"]),
        (&2.into(), &"1".into(), &"20000".into())
    );
    assert_eq!((&totals["sum"], &totals["batch"]), (&verified["sum"], &verified["batch"]));
}

#[test]
fn a_flipped_byte_is_named_and_nothing_is_served_from_it() {
    let mut site = Site::new(&[]);
    site.send("anna", &["42", "50", "8"]);
    site.kill();
    let file = site.home.join("ledger/journal-0000000001");
    let whole = std::fs::read(&file).unwrap();
    let verified = site.json(&["verify"]);
    assert_eq!((&verified["sum"], &verified["first_batch"]), (&"100".into(), &1.into()));
    // In the header; in a header, a chain and the payload of the first batch.
    for offset in [10, 4_096, 4_096 + 40, 4_096 + 70] {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        for command in
            [&["ledger", "verify"][..], &["ledger", "totals"], &["ledger", "export"], &["serve"]]
        {
            let (code, _, error) = output(ddes_at(&site.home, command));
            assert_eq!(code, 5, "{command:?}, {offset}: {error}");
            let place = format!(
                "journal-0000000001, offset {}, batch 1:",
                if offset < 4_096 { 0 } else { 4_096 }
            );
            assert!(error.contains(&place), "{offset}: {error}");
        }
    }
    std::fs::write(&file, whole).unwrap();
    assert_eq!(site.ledger(&["verify"]).0, 0);
}

#[test]
fn a_backup_made_while_a_client_sends_is_restored_and_each_client_hears_what_is_right() {
    let mut site = Site::new(&[]);
    assert_eq!(site.send("plain", &["5"]), "5");
    let (sender, sum) = numbers(site.outbox("boxed", &["-"]), 20_000);
    while site.json(&["totals"])["count"].as_str().unwrap() == "1" {}
    let backup = site.path("backup");
    let copied = site.json(&["backup", &backup]);
    let sent = sender.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(sent.stdout).unwrap(), format!("{sum}\n"));
    assert_eq!(output(site.outbox("boxed", &["1"])).1, format!("{}\n", sum + 1));
    let receipt = site.path("late.receipt");
    std::fs::write(&receipt, site.ledger(&["receipt", "boxed"]).1).unwrap();
    assert_eq!(site.ledger(&["verify", "--receipt", &receipt]).0, 0);

    let (code, _, error) = site.ledger(&["restore", &backup]);
    assert_eq!((code, error.contains("in use by another process")), (1, true), "{error}");
    site.kill();
    let (code, _, error) = site.ledger(&["restore", &backup]);
    assert_eq!((code, error.contains("is not empty")), (2, true), "{error}");
    let second = folder();
    let (code, restored, error) =
        site.ledger(&["restore", &backup, "--home", second.to_str().unwrap(), "--json"]);
    assert_eq!((code, error.contains("exit code 5")), (0, true), "{error}");
    let restored: Value = serde_json::from_str(&restored).unwrap();
    let (count, total) = (copied["count"].clone(), copied["sum"].clone());
    assert_eq!((&restored["count"], &restored["sum"]), (&count, &total));
    assert_eq!(
        restored["batch"].as_u64().unwrap(),
        copied["batch"].as_u64().unwrap() + 1,
        "and one that raises"
    );

    let ledger = second.join("ledger");
    let ledger = ledger.to_str().unwrap();
    let both = ["--classic", "--classic-wait-ms", "2000", "--ledger", ledger];
    site.server = serve(&site.home, &site.server.address.clone(), &both);
    assert_eq!(site.send("plain", &["7"]), "12");
    let classic = ["send", "--classic", "-q", "--server", &site.server.address, "3"];
    assert_eq!(output(ddes_at(&site.home, &classic)).1, "3\n");
    let (code, _, error) = output(site.outbox("boxed", &["1"]));
    assert_eq!((code, error.contains("the ledger went back")), (5, true), "{error}");
    let (code, list, error) = site.ledger(&["ls", "--json", "--ledger", ledger]);
    assert_eq!(code, 0, "{error}");
    for account in list.lines() {
        let account: Value = serde_json::from_str(account).unwrap();
        assert!(
            account["session"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 32,
            "{account}"
        );
    }
    let (code, _, error) = site.ledger(&["verify", "--ledger", ledger, "--receipt", &receipt]);
    assert_eq!((code, error.contains("does not hold what it states")), (5, true), "{error}");
}

#[test]
fn a_restore_that_is_killed_leaves_no_ledger_or_one_whose_sessions_are_raised() {
    let mut site = Site::new(&[]);
    site.send("anna", &["42", "50"]);
    let backup = site.path("backup");
    assert_eq!(site.ledger(&["backup", &backup]).0, 0);
    site.kill();
    let mut left = Vec::new();
    // Seeded: from its start to beyond its end.
    for (i, wait) in (0..12).map(|i| (i, std::time::Duration::from_millis(8 * i))) {
        let ledger = site.path(&format!("restored-{i}"));
        let mut restore = ddes_at(&site.home, &["ledger", "restore", &backup, "--ledger", &ledger]);
        let mut restore = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(wait);
        restore.kill().unwrap();
        restore.wait().unwrap();
        let (code, list, error) = site.ledger(&["ls", "--json", "--ledger", &ledger]);
        if code == 0 {
            let account: Value = serde_json::from_str(&list).unwrap();
            assert!(
                account["session"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 32,
                "{account}"
            );
        } else {
            assert!(code == 1 && list.contains("there is no ledger in"), "{list} {error}");
            left.push(ledger);
        }
    }
    // What was left over is in the way, and said to be.
    let cut = left.iter().find(|ledger| Path::new(&format!("{ledger}.restoring")).exists());
    let ledger = cut.or(left.first()).unwrap();
    if cut.is_some() {
        let (code, _, error) = site.ledger(&["restore", &backup, "--ledger", ledger]);
        assert_eq!((code, error.contains("a restore was cut off")), (1, true), "{error}");
        std::fs::remove_dir_all(format!("{ledger}.restoring")).unwrap();
    }
    assert_eq!(site.ledger(&["restore", &backup, "--ledger", ledger]).0, 0);
}

#[test]
fn a_folder_that_will_not_do_is_told_from_another() {
    let mut site = Site::new(&[]);
    site.send("anna", &["1"]);
    let (backup, empty) = (site.path("backup"), folder());
    let empty = empty.to_str().unwrap();
    assert_eq!(site.ledger(&["backup", &backup]).0, 0);
    let check = |arguments: &[&str], expected: i32, part: &str| {
        let (code, out, error) = site.ledger(arguments);
        assert_eq!((code, error.contains(part)), (expected, true), "{arguments:?}: {out} {error}");
    };
    check(&["backup", &backup], 2, "is not empty");
    for command in ["verify", "totals", "ls", "export"] {
        check(&[command, "--ledger", empty], 1, "there is no ledger in");
        check(&[command, "--ledger", &site.path("nowhere")], 1, "there is no ledger in");
        check(&[command, "--ledger", &site.path("server_key")], 2, "is not a folder");
        check(&[command, "--ledger", "memory"], 2, "in memory");
    }
    check(&["backup", &site.path("new"), "--ledger", empty], 1, "there is no ledger in");
    assert!(!Path::new(&site.path("new")).exists());
    check(&["restore", empty, "--ledger", &site.path("new")], 1, "there is no ledger in");
    std::fs::create_dir(site.path("new.restoring")).unwrap();
    check(&["restore", &backup, "--ledger", &site.path("new")], 1, "rm -r");
    std::fs::remove_dir(site.path("new.restoring")).unwrap();
    // A backup that does not hold leaves nothing behind.
    let journal = Path::new(&backup).join("journal-0000000001");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[4_096 + 70] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    check(
        &["restore", &backup, "--ledger", &site.path("other")],
        5,
        "journal-0000000001, offset 4096, batch 1",
    );
    assert!(
        !Path::new(&site.path("other")).exists()
            && !Path::new(&site.path("other.restoring")).exists()
    );
    site.kill();
}

fn ssh_keygen(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("ssh-keygen");
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

#[test]
fn a_receipt_verifies_without_the_ledger_with_ssh_keygen_and_against_the_ledger() {
    let site = Site::new(&[]);
    assert_eq!(
        (site.send("anna", &["42", "50"]), site.send("bert", &["7"])),
        ("92".into(), "7".into())
    );
    let (code, receipt, error) = site.ledger(&["receipt", "anna"]);
    assert_eq!(code, 0, "{error}");
    assert!(receipt.contains("count: 2\nsum: 92\nbatch: "), "{receipt}");
    assert!(receipt.starts_with("D-DDES/2 receipt\nledger: "), "{receipt}");
    let verified = site.json(&["verify"]);
    assert_eq!(verified["rests_on"], "beginning");
    assert!(receipt.contains(verified["ledger"].as_str().unwrap()), "{receipt}");
    let file = site.path("anna.receipt");
    let key = site.path("server_key.pub");
    let stranger = folder();
    // By somebody who has nothing of the server but its public key.
    let check = |text: &str, key: &str| {
        std::fs::write(&file, text).unwrap();
        output(ddes_at(&stranger, &["ledger", "receipt", "--check", &file, "--server-key", key]))
    };
    let (code, said, error) = check(&receipt, &key);
    assert_eq!(
        (code, said.contains("2 integers, sum 92, with batch")),
        (0, true),
        "{said} {error}"
    );
    assert_eq!(site.ledger(&["verify", "--receipt", &file]).0, 0);

    let (statement, armor) = receipt.split_at(receipt.find("-----BEGIN").unwrap());
    let (signers, signature) = (site.path("signers"), site.path("signature"));
    let line = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&signers, format!("server {line}")).unwrap();
    std::fs::write(&signature, armor).unwrap();
    let verify =
        ["-Y", "verify", "-n", "ddes2-receipt", "-f", &signers, "-I", "server", "-s", &signature];
    let (good, said) = ssh_keygen(&verify, statement);
    assert!(good, "{said}");
    assert!(!ssh_keygen(&verify, &statement.replace("sum: 92", "sum: 93")).0);

    // One digit, anywhere.
    for (at, digit) in statement.char_indices().filter(|(_, c)| c.is_ascii_digit()).step_by(7) {
        let mut changed = receipt.clone();
        changed.replace_range(at..=at, if digit == '9' { "8" } else { "9" });
        let (code, _, error) = check(&changed, &key);
        assert_eq!((code, error.contains("the signature is not")), (5, true), "{at}: {error}");
        assert_eq!(site.ledger(&["verify", "--receipt", &file]).0, 5, "{at}");
    }
    let (code, _, error) = check(&receipt, &site.path("identities/anna.pub"));
    assert_eq!((code, error.contains("by another key")), (5, true), "{error}");
    assert_eq!(check(statement, &key).0, 5);
    // A server that lies signs well, and its ledger says otherwise.
    let lie = statement.replace("sum: 92", "sum: 93");
    let (signed, armor) = ssh_keygen(
        &["-q", "-Y", "sign", "-n", "ddes2-receipt", "-f", &site.path("server_key")],
        &lie,
    );
    assert!(signed, "{armor}");
    assert_eq!(check(&format!("{lie}{}", &armor[armor.find("-----BEGIN").unwrap()..]), &key).0, 0);
    let (code, _, error) = site.ledger(&["verify", "--receipt", &file]);
    assert_eq!((code, error.contains("does not hold what it states")), (5, true), "{error}");
}

#[test]
fn an_account_is_called_by_each_of_its_names_and_a_receipt_of_the_past_is_the_acknowledgement() {
    let site = Site::new(&[]);
    site.send("anna", &["42", "50"]);
    let (_, shown, _) = output(ddes_at(&site.home, &["key", "show", "--as", "anna", "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let by_name = site.ledger(&["receipt", "anna"]).1;
    let account = by_name.lines().nth(2).unwrap().strip_prefix("account: ").unwrap();
    let file = site.path("identities/anna.pub");
    let names = ["key", "fingerprint", "uuid"].map(|field| shown[field].as_str().unwrap());
    for name in names.into_iter().chain([&file[..], account]) {
        assert_eq!(site.ledger(&["receipt", name]).1, by_name, "{name}");
    }
    // Known no more, and in the ledger still.
    for suffix in ["", ".pub"] {
        std::fs::rename(
            site.path(&format!("identities/anna{suffix}")),
            site.path(&format!("away{suffix}")),
        )
        .unwrap();
    }
    assert_eq!(site.ledger(&["receipt", names[1]]).1, by_name);
    let (code, _, error) = site.ledger(&["receipt", "anna"]);
    assert_eq!((code, error.contains("no account is called 'anna'")), (1, true), "{error}");

    let first = site.json(&["receipt", names[1], "--last-seq", "1"]);
    assert_eq!((&first["count"], &first["sum"]), (&"1".into(), &"42".into()));
    let path = site.path("first.receipt");
    let text =
        format!("{}{}", first["statement"].as_str().unwrap(), first["signature"].as_str().unwrap());
    std::fs::write(&path, text).unwrap();
    assert_eq!(site.json(&["receipt", "--check", &path])["sum"], "42");
    assert_eq!(site.ledger(&["verify", "--receipt", &path]).0, 0);
    let (code, _, error) = site.ledger(&["receipt", names[1], "--last-seq", "3"]);
    assert_eq!((code, error.contains("no acknowledgement")), (1, true), "{error}");
    let (code, _, error) = site.ledger(&["receipt", "--checkpoint"]);
    assert_eq!((code, error.contains("no checkpoint yet")), (1, true), "{error}");
}

#[test]
fn what_is_exported_adds_up_to_the_totals() {
    // On a busy machine a D-DDES/2 client may take long to send its first bytes.
    let site = Site::new(&["--classic", "--classic-wait-ms", "2000"]);
    let (sender, sum) = numbers(
        ddes_at(&site.home, &["send", "-q", "--server", &site.server.address, "--as", "bert", "-"]),
        500,
    );
    let most = i64::MAX.to_string();
    site.send("anna", &["-3", &most, &most]);
    assert!(sender.wait_with_output().unwrap().status.success());
    let classic =
        ["send", "--classic", "-q", "--server", &site.server.address, "18446744073709551615"];
    assert_eq!(output(ddes_at(&site.home, &classic)).0, 0);

    let totals = site.json(&["totals"]);
    let (code, csv, error) = site.ledger(&["export"]);
    assert_eq!(code, 0, "{error}");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("time,batch,account,fingerprint,session,seq,value,sum"));
    let mut sums: HashMap<&str, (u64, i128)> = HashMap::new();
    let mut count = 0;
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [time, _, account, fingerprint, _, seq, value, sum] = fields[..] else {
            panic!("{line}")
        };
        assert!(time.ends_with('Z'), "{line}");
        assert_eq!(fingerprint.is_empty(), account.starts_with("classic/"), "{line}");
        let (last_seq, expected) = sums.entry(account).or_default();
        (*last_seq, *expected) = (*last_seq + 1, *expected + value.parse::<i128>().unwrap());
        assert_eq!((seq, sum), (&last_seq.to_string()[..], &expected.to_string()[..]), "{line}");
        count += 1;
    }
    let all: i128 = sums.values().map(|(_, sum)| sum).sum();
    assert_eq!(all, i128::from(sum) - 3 + 2 * i128::from(i64::MAX) + i128::from(u64::MAX));
    assert_eq!(
        (&totals["sum"], &totals["count"]),
        (&all.to_string().into(), &count.to_string().into())
    );
    assert_eq!((sums.len() as u64, count), (totals["accounts"].as_u64().unwrap(), 504));

    let (code, of_anna, error) = site.ledger(&["export", "--account", "anna", "--json"]);
    assert_eq!(code, 0, "{error}");
    let values: Vec<Value> =
        of_anna.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        values.iter().map(|value| value["value"].as_str().unwrap()).collect::<Vec<_>>(),
        ["-3", &most, &most]
    );
    let file = site.path("none.csv");
    let (code, out, error) = site.ledger(&["export", "--until", "2020-01-01", "--output", &file]);
    assert_eq!((code, out.as_str(), error.contains("Wrote 0 integers")), (0, "", true), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
    assert_eq!(site.ledger(&["export", "--since", "yesterday"]).0, 2);

    let (_, list, _) = site.ledger(&["ls"]);
    assert_eq!(list.lines().count(), 2, "the classic account ended with its session: {list}");
    assert!(
        list.lines().any(|line| line.contains("bert") && line.contains(&format!("sum {sum},"))),
        "{list}"
    );
}

/// What a server says until it ends, and its exit code.
fn last_words(mut server: Running) -> (i32, String) {
    let mut said = String::new();
    std::io::Read::read_to_string(&mut server.stdout, &mut said).unwrap();
    (server.child.wait().unwrap().code().unwrap(), said)
}

/// F-09. The first server was forgotten: it stops, and says why, before it does harm.
#[test]
fn a_restore_into_the_place_of_a_folder_that_is_still_served_leaves_both_ledgers_whole() {
    let mut site = Site::new(&[]);
    assert_eq!(site.send("anna", &["42", "50"]), "92");
    let backup = site.path("backup");
    assert_eq!(site.ledger(&["backup", &backup]).0, 0);
    std::fs::rename(site.path("ledger"), site.path("ledger.old")).unwrap();
    let (code, _, error) = site.ledger(&["restore", &backup]);
    assert_eq!(code, 0, "{error}");
    let mut second = serve(&site.home, "127.0.0.1:0", &[]);
    std::mem::swap(&mut site.server, &mut second);
    let (_, key, _) = output(ddes_at(&site.home, &["key", "show", "--server-key", "--quiet"]));
    assert_eq!(
        output(ddes_at(&site.home, &["trust", "add", &site.server.address, key.trim()])).0,
        0
    );
    assert_eq!(site.send("anna", &["8"]), "100");

    // To the first one, as if nothing had been.
    let flags = ["send", "-q", "--server", &second.address, "--as", "bert", "1", "2", "3"];
    let (code, out, error) = output(ddes_at(&site.home, &flags));
    let acknowledged = if code == 0 { 6 } else { 0 };
    assert!(code != 0 || out.ends_with("6\n"), "{out} {error}");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    output(ddes_at(&site.home, &flags[..7]));
    let (code, said) = last_words(second);
    assert_eq!(
        (code, said.contains("was moved or replaced while it was in use")),
        (5, true),
        "{said}"
    );

    assert_eq!(site.send("anna", &["100"]), "200");
    site.kill();
    for (folder, sum) in [("ledger.old", 92 + acknowledged), ("ledger", 200)] {
        let verified = site.json(&["verify", "--ledger", &site.path(folder)]);
        assert_eq!(verified["sum"], sum.to_string(), "{folder}");
        let server = serve(&site.home, "127.0.0.1:0", &["--ledger", &site.path(folder)]);
        drop(server);
    }
}

/// F3, and the copy by `cp -al`.
#[test]
fn a_second_server_is_refused_without_a_lock_file_and_on_a_hard_linked_copy() {
    let mut site = Site::new(&[]);
    assert_eq!(site.send("anna", &["42"]), "42");
    let copy = site.path("copy");
    assert!(
        Command::new("cp").args(["-al", &site.path("ledger"), &copy]).status().unwrap().success()
    );
    std::fs::remove_file(site.path("ledger/lock")).unwrap();
    std::fs::remove_file(site.path("copy/lock")).unwrap();
    for folder in ["ledger", "copy"] {
        let (code, _, error) = output(ddes_at(
            &site.home,
            &["serve", "--listen", "127.0.0.1:0", "--ledger", &site.path(folder)],
        ));
        assert_eq!(
            (code, error.contains("in use by another process")),
            (1, true),
            "{folder}: {error}"
        );
    }
    assert_eq!(site.send("anna", &["50"]), "92");
    site.kill();
    let (code, _, error) = output(ddes_at(&site.home, &["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!((code, error.contains("2 names") && error.contains("cp -p")), (1, true), "{error}");
    std::fs::remove_dir_all(&copy).unwrap();
    site.server = serve(&site.home, &site.server.address.clone(), &[]);
    assert_eq!(site.send("anna", &["8"]), "100");
}

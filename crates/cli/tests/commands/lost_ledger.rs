//! A server whose ledger is gone, or whose disk is another one, does not begin at 0 by itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::secure::serve;
use crate::{ddes_at, folder, output};

/// A home whose server has counted 92, and its ledger.
fn counted() -> (PathBuf, PathBuf) {
    let home = folder();
    let server = serve(&home, &[]);
    let trust = crate::secure::fingerprint(&home);
    let send = ["send", "-q", "--server", &server.address, "--trust", &trust, "42", "50"];
    assert_eq!(output(ddes_at(&home, &send)).1, "42\n92\n");
    drop(server);
    let ledger = home.join("ledger");
    (home, ledger)
}

/// What a server says that does not start.
fn refused(home: &Path, flags: &[&str]) -> (i32, String) {
    let all = [&["serve", "--listen", "127.0.0.1:0"], flags].concat();
    let (code, out, error) = output(ddes_at(home, &all));
    (code, out + &error)
}

fn total(home: &Path, flags: &[&str]) -> String {
    let server = serve(home, flags);
    let total = ["total", "-q", "--server", &server.address];
    let trust = ["--trust", &crate::secure::fingerprint(home)];
    let (code, out, error) = output(ddes_at(home, &[&total[..], &trust].concat()));
    assert_eq!(code, 0, "{error}");
    out.trim().to_owned()
}

#[test]
fn a_server_whose_ledger_is_gone_does_not_start_with_an_empty_one() {
    let (home, ledger) = counted();
    let away = home.join("away");
    fs::rename(&ledger, &away).unwrap();
    let (code, said) = refused(&home, &[]);
    assert_eq!(code, 5, "{said}");
    for part in ["there is no ledger in", "ddes ledger restore", "--new-ledger"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!ledger.exists(), "nothing is made in its place");
    // As a disk that is not mounted leaves it.
    fs::create_dir(&ledger).unwrap();
    assert_eq!(refused(&home, &[]).0, 5);
    assert_eq!(refused(&home, &["--ledger", home.join("new").to_str().unwrap()]).0, 5);
    let (code, out, _) = output(ddes_at(&home, &["doctor", "--json"]));
    assert!(code == 1 && out.contains("there is no ledger in"), "{out}");
    fs::remove_dir_all(&ledger).unwrap();
    fs::rename(&away, &ledger).unwrap();
    assert_eq!(total(&home, &[]), "92");
}

#[test]
fn a_restored_or_moved_ledger_is_known_and_another_is_not_until_it_is_taken_on_purpose() {
    let (home, ledger) = counted();
    let backup = home.join("backup");
    let moved = home.join("moved");
    let backed_up = output(ddes_at(&home, &["ledger", "backup", backup.to_str().unwrap()]));
    assert_eq!(backed_up.0, 0, "{}", backed_up.2);
    fs::rename(&ledger, &moved).unwrap();
    assert_eq!(total(&home, &["--ledger", moved.to_str().unwrap()]), "92");
    let restored = output(ddes_at(&home, &["ledger", "restore", backup.to_str().unwrap()]));
    assert_eq!(restored.0, 0, "{}", restored.2);
    assert_eq!(total(&home, &[]), "92");

    let (_, other) = counted();
    let other = ["--ledger", other.to_str().unwrap()];
    let (code, said) = refused(&home, &other);
    assert!(code == 5 && said.contains("is not this home's"), "{code} {said}");
    let anew = [&other[..], &["--new-ledger"]].concat();
    assert_eq!(total(&home, &anew), "0", "its accounts are of other identities");
    assert_eq!(total(&home, &other), "0");
    assert_eq!(total(&home, &[]), "92", "both are known");
}

#[test]
fn what_is_advised_for_a_damaged_ledger_brings_it_back() {
    let (home, ledger) = counted();
    let backup = home.join("backup");
    let backed_up = output(ddes_at(&home, &["ledger", "backup", backup.to_str().unwrap()]));
    assert_eq!(backed_up.0, 0, "{}", backed_up.2);
    fs::write(ledger.join("journal-0000000001"), [0x55; 8192]).unwrap();
    for command in [&["ledger", "verify"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let (code, out, error) = output(ddes_at(&home, command));
        let advice = format!("mv {0} {0}.damaged && ddes ledger restore BACKUP", ledger.display());
        assert!(code == 5 && (out + &error).contains(&advice), "{code} {error}");
    }
    fs::rename(&ledger, home.join("ledger.damaged")).unwrap();
    let restored = output(ddes_at(
        &home,
        &["ledger", "restore", backup.to_str().unwrap(), "--ledger", ledger.to_str().unwrap()],
    ));
    assert_eq!(restored.0, 0, "{}", restored.2);
    assert_eq!(total(&home, &[]), "92");
}

#[test]
fn a_ledger_behind_a_url_is_refused_and_no_folder_of_that_name_is_made() {
    let home = folder();
    let url = "mysql://u@h/db";
    for command in [
        &["serve", "--listen", "127.0.0.1:0", "--ledger", url][..],
        &["ledger", "totals", "--ledger", url],
        &["doctor", "--ledger", url],
    ] {
        let mut command = ddes_at(&home, command);
        command.current_dir(&home);
        let (code, out, error) = output(command);
        let said = out + &error;
        assert!(code == 2 && said.contains("mysql:// is not built yet"), "{code} {said}");
    }
    assert!(!home.join("mysql:").exists());
}

/// Homes of earlier releases have no such file; a ledger in memory makes none.
#[test]
fn the_ledger_of_a_home_without_a_record_is_recorded_at_its_next_start() {
    let (home, ledger) = counted();
    fs::remove_file(home.join("known_ledgers")).unwrap();
    drop(serve(&home, &["--ledger", "memory"]));
    assert!(!home.join("known_ledgers").exists());
    assert_eq!(total(&home, &[]), "92");
    assert!(home.join("known_ledgers").exists());
    fs::remove_dir_all(&ledger).unwrap();
    assert_eq!(refused(&home, &[]).0, 5);
    assert_eq!(total(&home, &["--new-ledger"]), "0");
    assert_eq!(total(&home, &[]), "0");
    fs::write(home.join("known_ledgers"), "nonsense\n").unwrap();
    let (code, said) = refused(&home, &[]);
    assert!(code == 5 && said.contains("known_ledgers:1"), "{code} {said}");
}

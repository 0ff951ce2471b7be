//! Text of other people's files, on an operator's terminal.

use crate::secure::serve;
use crate::{ddes_at, folder, output};

/// Everything that moves a cursor, turns the order of others round, or is not seen.
const HIDDEN: [char; 6] = ['\u{1b}', '\u{7}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{e0041}'];
const NAME: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2Jan\u{202e}\u{2066}na\u{200b}\u{e0041}";

fn key(home: &std::path::Path) -> String {
    let (_, shown, _) = output(ddes_at(home, &["key", "new", "--quiet"]));
    shown.trim().to_owned()
}

fn assert_plain(text: &str) {
    assert!(text.contains("]0;pwned[2Janna") && !text.contains(HIDDEN), "{text:?}");
}

#[test]
fn a_name_in_a_list_is_shown_without_what_hides_in_it() {
    let (home, guest) = (folder(), folder());
    let key = key(&guest);
    std::fs::write(home.join("authorized_keys"), format!("{key} {NAME}\n")).unwrap();
    for flags in [&["authorize", "ls"][..], &["authorize", "ls", "--json"]] {
        assert_plain(&output(ddes_at(&home, flags)).1);
    }
    let server = serve(&home, &["--core-dumps"]);
    let trust = crate::secure::fingerprint(&home);
    let flags = ["send", "--quiet", "--server", &server.address, "--trust", &trust, "5"];
    assert_eq!(output(ddes_at(&guest, &flags)).1, "5\n");
    for flags in [&["ledger", "ls"][..], &["ledger", "ls", "--json"]] {
        assert_plain(&output(ddes_at(&home, flags)).1);
    }
    // The name that is shown is the name it is called by.
    assert_eq!(output(ddes_at(&home, &["authorize", "rm", "]0;pwned[2Janna"])).0, 0);
}

#[test]
fn authorize_takes_no_name_with_something_hidden_in_it() {
    let (home, guest) = (folder(), folder());
    let key = key(&guest);
    for hidden in HIDDEN {
        let (code, _, error) =
            output(ddes_at(&home, &["authorize", &format!("{key} an{hidden}na")]));
        assert!(code == 2 && error.contains("--name") && !error.contains(hidden), "{error:?}");
        let (code, ..) =
            output(ddes_at(&home, &["authorize", &key, "--name", &format!("an{hidden}na")]));
        assert_eq!(code, 2);
    }
    assert!(!home.join("authorized_keys").exists());
    let commented = format!("{key} {NAME}");
    assert_eq!(output(ddes_at(&home, &["authorize", &commented, "--name", "anna"])).0, 0);
    let (_, list, _) = output(ddes_at(&home, &["authorize", "ls"]));
    assert!(list.contains(" anna\n") && !list.contains(HIDDEN), "{list:?}");
}

#[test]
fn what_is_wrong_with_a_list_is_said_without_what_hides_in_it() {
    let home = folder();
    let list = format!("from=\"{}\",x{}y ssh-ed25519 AAAA\n", HIDDEN[0], HIDDEN[2]);
    std::fs::write(home.join("authorized_keys"), list).unwrap();
    let (_, _, error) = output(ddes_at(&home, &["authorize", "ls"]));
    assert!(error.contains("line 1") && !error.contains(HIDDEN), "{error:?}");
}

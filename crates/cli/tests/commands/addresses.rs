//! Lists as people write them, and one name for one server: whichever command reads or writes it.

use std::fs;
use std::path::Path;

use super::secure::serve;
use super::{Running, ddes_at, folder, output};

fn key(home: &Path, name: &str) -> String {
    let (code, text, error) = output(ddes_at(home, &["key", "new", name, "-q"]));
    assert_eq!(code, 0, "{error}");
    text.trim().to_owned()
}

fn port(server: &Running) -> &str {
    server.address.rsplit_once(':').unwrap().1
}

#[test]
fn what_is_no_address_is_refused_by_every_command_with_the_right_form_and_nothing_is_written() {
    let home = folder();
    let key = key(&home, "anna");
    for wrong in ["", "a b:1", "a\n:1", "a", "#x:1", "a,b:1", "[a]:1", "a:0", "a:70000"] {
        let commands: [&[&str]; 6] = [
            &["trust", "add", wrong, &key],
            &["trust", "rm", wrong],
            &["total", "--server", wrong],
            &["send", "--server", wrong, "1"],
            &["send", "--classic", "--server", wrong, "1"],
            &["bench", "run", "--server", wrong],
        ];
        for command in commands {
            let (code, _, error) = output(ddes_at(&home, command));
            assert_eq!(code, 2, "{command:?}: {error}");
            let form = if wrong.is_empty() { "HOST:PORT" } else { "[2001:db8::7]:5566" };
            assert!(error.contains(form), "{command:?}: {error}");
        }
        assert!(!home.join("known_servers").exists(), "{wrong:?}");
    }
    let mut command = ddes_at(&home, &["total"]);
    command.env("DDES_SERVER", "");
    let (code, _, error) = output(command);
    assert_eq!((code, error.contains("unset DDES_SERVER")), (2, true), "{error}");
}

#[test]
fn a_server_of_several_spellings_is_trusted_listed_and_forgotten_as_one() {
    let home = folder();
    let key = key(&home, "anna");
    for server in ["LocalHost:1", "127.0.0.1:1", "127.1:01", "::1:1", "[0::1]:1"] {
        assert_eq!(output(ddes_at(&home, &["trust", "add", server, &key])).0, 0, "{server}");
    }
    assert_eq!(
        fs::read_to_string(home.join("known_servers")).unwrap(),
        format!("127.0.0.1:1 {key}\n[::1]:1 {key}\n")
    );
    let (code, said, _) = output(ddes_at(&home, &["trust", "rm", "LOCALHOST:1"]));
    assert_eq!((code, said.as_str()), (0, "forgot 127.0.0.1:1: 1 key(s)\n"));
}

#[test]
fn comments_of_known_servers_outlive_every_change_of_it() {
    let home = folder();
    let key = key(&home, "anna");
    let list = home.join("known_servers");
    fs::write(&list, [format!("# m\u{fc}ne\r\na:1\t{key}  old").as_bytes(), b" \xfc"].concat())
        .unwrap();
    assert_eq!(output(ddes_at(&home, &["trust", "add", "b:1", &key])).0, 0);
    assert_eq!(output(ddes_at(&home, &["trust", "add", "c:1", &key])).0, 0);
    assert_eq!(output(ddes_at(&home, &["trust", "rm", "b:1"])).0, 0);
    let kept = format!("# m\u{fc}ne\r\na:1\t{key}  old");
    let expected = [kept.as_bytes(), b" \xfc\n", format!("c:1 {key}\n").as_bytes()].concat();
    assert_eq!(fs::read(&list).unwrap(), expected);
}

#[test]
fn a_server_pinned_in_a_line_that_is_not_understood_is_not_met_as_if_for_the_first_time() {
    let home = folder();
    let server = serve(&home, &[]);
    let wrong = key(&folder(), "other");
    let port = port(&server);
    let (code, fingerprint, _) = output(ddes_at(&home, &["key", "show", "--server-key"]));
    assert_eq!(code, 0);
    let fingerprint =
        fingerprint.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap().to_owned();
    let pinned = [
        format!("\u{feff}127.0.0.1:{port} {wrong}\n"),
        format!("[127.0.0.1]:{port} {wrong}\n"),
        format!("127.0.0.1:{port},localhost:{port} {wrong}\n"),
        format!("|1|c2FsdA==|aGFzaA== {wrong}\n"),
    ];
    for text in pinned {
        fs::write(home.join("known_servers"), &text).unwrap();
        let (code, _, error) = output(ddes_at(
            &home,
            &["total", "--server", &server.address, "--trust", &fingerprint],
        ));
        assert_eq!(code, 4, "{text}{error}");
        assert!(error.contains("known_servers: line 1: "), "{text}{error}");
        assert_eq!(fs::read_to_string(home.join("known_servers")).unwrap(), text);
    }
    // A tab and two blanks are read, and so is the change that they would hide.
    for between in ["\t", "  "] {
        let text = format!("localhost:{port}{between}{}\n", wrong.replace(' ', between));
        fs::write(home.join("known_servers"), text).unwrap();
        let (code, _, error) = output(ddes_at(
            &home,
            &["total", "--server", &server.address, "--trust", &fingerprint],
        ));
        assert_eq!((code, error.contains("HAS CHANGED")), (4, true), "{error}");
    }
}

#[test]
fn one_latin_1_byte_in_a_comment_locks_nobody_out_of_a_server() {
    let (home, anna, bob) = (folder(), folder(), folder());
    let text = [
        format!("\u{feff}{}\tanna\r\n", key(&anna, "default").replace(' ', "\t")).as_bytes(),
        format!("{}  J", key(&bob, "default")).as_bytes(),
        b"\xfcrgen\r\nnonsense\r\n",
    ]
    .concat();
    fs::write(home.join("authorized_keys"), &text).unwrap();
    let server = serve(&home, &[]);
    let (_, shown, _) = output(ddes_at(&home, &["key", "show", "--server-key", "-q"]));
    for client in [&anna, &bob] {
        assert_eq!(output(ddes_at(client, &["trust", "add", &server.address, shown.trim()])).0, 0);
        let (code, sum, error) =
            output(ddes_at(client, &["send", "--server", &server.address, "7"]));
        assert_eq!((code, sum.as_str()), (0, "7\n"), "{error}");
    }
    let (code, _, error) = output(ddes_at(&home, &["authorize", "ls"]));
    assert_eq!((code, error.contains("authorized_keys: line 3: ")), (0, true), "{error}");
    // What is changed leaves the others' lines as they are.
    assert_eq!(output(ddes_at(&home, &["authorize", "rm", "anna"])).0, 0);
    let (_, rest) = text.split_at(text.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    assert_eq!(fs::read(home.join("authorized_keys")).unwrap(), rest);
}

#[test]
fn an_outbox_opens_under_every_spelling_of_its_server() {
    let home = folder();
    let server = serve(&home, &[]);
    let port = port(&server);
    let (_, shown, _) = output(ddes_at(&home, &["key", "show", "--server-key", "-q"]));
    assert_eq!(output(ddes_at(&home, &["trust", "add", &server.address, shown.trim()])).0, 0);
    let outbox = home.join("outbox").display().to_string();
    for (spelling, sum) in [("127.0.0.1", "1\n"), ("LOCALHOST", "2\n"), ("127.1", "3\n")] {
        let address = format!("{spelling}:{port}");
        let (code, said, error) =
            output(ddes_at(&home, &["send", "--server", &address, "--outbox", &outbox, "1"]));
        assert_eq!((code, said.as_str()), (0, sum), "{spelling}: {error}");
    }
}

#[test]
fn a_server_listens_where_people_say() {
    for (listen, address) in [
        ("localhost:0", "127.0.0.1:"),
        ("0", "127.0.0.1:"),
        (":0", "0.0.0.0:"),
        ("::1:0", "[::1]:"),
        ("[::1]:0", "[::1]:"),
    ] {
        let home = folder();
        let mut command =
            ddes_at(&home, &["serve", "--json", "--ledger", "memory", "--listen", listen]);
        command.stderr(std::process::Stdio::null());
        assert!(super::started(command).address.starts_with(address), "{listen}");
    }
    for wrong in ["", "x", "a:b", "127.0.0.1", "1:2:3", "127.0.0.1:70000"] {
        let (code, _, error) = output(ddes_at(&folder(), &["serve", "--listen", wrong]));
        assert_eq!(
            (code, error.contains("ADDR:PORT") || error.contains(":5566")),
            (2, true),
            "{error}"
        );
    }
}

//! What is said names the cause: of keys, agents, homes, outboxes, ledgers and servers that cannot
//! do what was asked.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::exactly_once::World;
use super::files::key;
use super::secure::{fingerprint, serve};
use super::{ddes_at, folder, output, started};

/// A file system of its own; gone with it. Only root has one.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, bytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("mode=755,size={bytes}"), "tmpfs"]).arg(at);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    fn is_read_only(&self) -> bool {
        let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        remount.is_ok_and(|status| status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_home_that_is_read_only_works_with_trust_and_a_key() {
    let (home, place) = (folder(), folder().join("ro"));
    let server = serve(&home, &[]);
    let Some(mounted) = Mounted::tmpfs(&place, 1 << 20) else { return };
    let key = home.join("identities/default");
    assert_eq!(output(ddes_at(&home, &["key", "new", "-q"])).0, 0);
    assert!(mounted.is_read_only());
    let trust = fingerprint(&home);
    let flags = ["total", "--server", &server.address, "--trust", &trust, "--key", text(&key)];
    let (code, sum, error) = output(ddes_at(&place, &flags));
    assert_eq!(
        (code, sum.as_str(), error.contains("is trusted this time, and not kept")),
        (0, "0\n", true),
        "{error}"
    );
    let (code, _, error) =
        output(ddes_at(&place, &["total", "--server", &server.address, "--key", text(&key)]));
    assert_eq!(code, 4, "{error}");
}

#[test]
fn a_key_that_others_can_read_where_its_mode_stays_is_to_be_copied() {
    let place = folder().join("ro");
    let home = folder();
    assert_eq!(output(ddes_at(&home, &["key", "new", "-q"])).0, 0);
    let Some(mounted) = Mounted::tmpfs(&place, 1 << 20) else { return };
    let key = place.join("key");
    fs::copy(home.join("identities/default"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).unwrap();
    let (code, _, error) = output(ddes_at(&home, &["total", "--key", text(&key)]));
    assert_eq!((code, error.contains("chmod 600")), (4, true), "{error}");
    assert!(mounted.is_read_only());
    let (code, _, error) = output(ddes_at(&home, &["total", "--key", text(&key)]));
    assert_eq!(
        (code, error.contains("install -m 600"), error.contains("chmod")),
        (4, true, false),
        "{error}"
    );
}

#[test]
fn an_agent_that_is_not_there_is_not_said_to_lack_the_key() {
    let world = World::new();
    let key = world.home.join("identities/default.pub");
    assert_eq!(output(ddes_at(&world.home, &["key", "new", "-q"])).0, 0);
    for (socket, cause) in
        [("", "SSH_AUTH_SOCK is not set, or empty"), ("/nonexistent/agent", "no running ssh-agent")]
    {
        let mut command = ddes_at(
            &world.home,
            &["total", "--server", &world.server.address, "--key", text(&key)],
        );
        command.env("SSH_AUTH_SOCK", socket);
        let (code, _, error) = output(command);
        assert_eq!(
            (code, error.contains(cause), error.contains("does not hold")),
            (4, true, false),
            "{error}"
        );
    }
}

#[test]
fn an_outbox_that_is_a_file_is_said_to_be_one() {
    let world = World::new();
    fs::write(world.home.join("file"), "").unwrap();
    let (code, _, error) = output(world.send("file", &["1"]));
    assert_eq!(
        (code, error.contains("an outbox is a folder"), error.contains("disk")),
        (1, true, false),
        "{error}"
    );
}

#[test]
fn who_is_no_operator_is_told_so_and_not_that_it_is_not_let_in() {
    let world = World::new();
    let flags = ["connect", "--server", &world.server.address];
    let mut command = ddes_at(&world.home, &flags);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"50 all\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(4));
    assert!(
        error.contains("--role operator") && !error.contains("does not let this identity in"),
        "{error}"
    );
}

#[test]
fn authorize_takes_its_flags_before_and_behind_ls_and_rm_and_hints_repeat_the_home() {
    let home = folder();
    let (_, key, _) = output(ddes_at(&home, &["key", "new", "anna", "-q"]));
    let elsewhere = folder().join("my home");
    let at = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ddes"));
        command.args(arguments).env_remove("DDES_HOME");
        output(command)
    };
    let there = text(&elsewhere);
    assert_eq!(at(&["authorize", "--home", there, key.trim(), "--name", "anna"]).0, 0);
    for arguments in [["authorize", "--home", there, "ls"], ["authorize", "ls", "--home", there]] {
        let (code, listed, error) = at(&arguments);
        assert_eq!((code, listed.contains("anna")), (0, true), "{error}");
    }
    let (code, listed, _) = at(&["authorize", "--json", "--home", there, "ls"]);
    assert_eq!((code, listed.starts_with('{')), (0, true), "{listed}");
    let (code, _, error) = at(&["authorize", "--home", there, "rm", "bob"]);
    assert_eq!(
        (code, error.contains(&format!("ddes authorize ls --home '{there}'"))),
        (1, true),
        "{error}"
    );
    assert_eq!(at(&["authorize", "--role", "operator", "ls", "--home", there]).0, 2);
    assert_eq!(at(&["authorize", "--home", there, "rm", "anna"]).0, 0);
    assert_eq!(at(&["authorize", "--home", there, "ls"]).1, "");
}

fn ledger() -> (PathBuf, PathBuf) {
    let world = World::new();
    assert_eq!(output(world.send("outbox", &["1", "2"])).0, 0);
    let World { home, server } = world;
    drop(server);
    let backup = home.join("backup");
    assert_eq!(output(ddes_at(&home, &["ledger", "backup", text(&backup), "-q"])).0, 0);
    (home, backup)
}

#[test]
fn a_backup_and_a_restore_work_through_a_link_and_keep_it() {
    let (home, backup) = ledger();
    let elsewhere = folder();
    for name in ["ledger", "copy"] {
        fs::create_dir(elsewhere.join(name)).unwrap();
    }
    fs::rename(home.join("ledger"), home.join("ledger.old")).unwrap();
    symlink(elsewhere.join("ledger"), home.join("ledger")).unwrap();
    symlink(elsewhere.join("copy"), home.join("copy")).unwrap();
    let (code, _, error) = output(ddes_at(&home, &["ledger", "restore", text(&backup)]));
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = output(ddes_at(&home, &["ledger", "backup", text(&home.join("copy"))]));
    assert_eq!(code, 0, "{error}");
    for name in ["ledger", "copy"] {
        assert!(fs::symlink_metadata(home.join(name)).unwrap().is_symlink(), "{name}");
        let (code, _, error) =
            output(ddes_at(&home, &["ledger", "verify", "--ledger", text(&home.join(name))]));
        assert_eq!(code, 0, "{name}: {error}");
    }
}

#[test]
fn a_backup_goes_to_the_root_of_a_disk_and_a_restore_says_that_it_is_one() {
    let (home, backup) = ledger();
    let place = home.join("mounted");
    let Some(_mounted) = Mounted::tmpfs(&place, 256 << 20) else { return };
    fs::create_dir(place.join("lost+found")).unwrap();
    let (code, _, error) = output(ddes_at(&home, &["ledger", "backup", text(&place)]));
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = output(ddes_at(&home, &["ledger", "backup", text(&place)]));
    assert_eq!(
        (code, error.contains("a mount point"), error.contains("mv ")),
        (2, true, false),
        "{error}"
    );
    let (code, _, error) =
        output(ddes_at(&home, &["ledger", "restore", text(&backup), "--ledger", text(&place)]));
    let below = format!("--ledger {}/ledger", place.display());
    assert_eq!(
        (code, error.contains("is a mount point"), error.contains(&below)),
        (2, true, true),
        "{error}"
    );
}

#[test]
fn a_backup_to_a_full_disk_names_the_disk_that_is_full() {
    let (home, _) = ledger();
    let place = home.join("small");
    let Some(_mounted) = Mounted::tmpfs(&place, 64 * 1024) else { return };
    let (code, _, error) = output(ddes_at(&home, &["ledger", "backup", text(&place)]));
    let named = format!("the ledger {}", place.display());
    assert_eq!(
        (code, error.contains(&named), error.contains("the disk is full")),
        (1, true, true),
        "{error}"
    );
}

#[test]
fn a_receipt_for_an_integer_inside_a_group_is_that_of_the_group() {
    let world = World::new();
    let mut command = world.send("outbox", &["-q", "-"]);
    let file = world.home.join("three");
    fs::write(&file, "1\n2\n3\n").unwrap();
    command.stdin(fs::File::open(&file).unwrap());
    assert_eq!(output(command).0, 0);
    for (seq, code) in [("1", 0), ("2", 0), ("3", 0), ("4", 1), ("0", 1)] {
        let found = output(ddes_at(
            &world.home,
            &["ledger", "receipt", "default", "--last-seq", seq, "--json"],
        ));
        assert_eq!(found.0, code, "{seq}: {}", found.2);
        assert!(code == 1 || found.1.contains("\"sum\":\"6\""), "{seq}: {}", found.1);
    }
}

#[test]
fn a_server_whose_disk_is_full_is_said_to_be_at_once_and_waited_for_as_long_as_was_said() {
    let home = folder();
    let place = home.join("small");
    let Some(_mounted) = Mounted::tmpfs(&place, 6 << 20) else { return };
    let server = started(ddes_at(
        &home,
        &["serve", "--json", "--listen", "127.0.0.1:0", "--ledger", text(&place.join("ledger"))],
    ));
    let (_, shown, _) = output(ddes_at(&home, &["key", "show", "--server-key", "-q"]));
    assert_eq!(output(ddes_at(&home, &["trust", "add", &server.address, shown.trim()])).0, 0);
    let send = |value: &str| {
        let began = Instant::now();
        let flags = ["send", "--retry-secs", "2", "--server", &server.address, value];
        (output(ddes_at(&home, &flags)), began.elapsed())
    };
    assert_eq!(send("1").0.0, 0);
    // What is left of the disk goes to somebody else, and the room that the ledger had taken ahead
    // is used up.
    drop(fs::write(place.join("other"), vec![0; 8 << 20]));
    let numbers: String = (1..1_500_000_i64)
        .map(|i| format!("{}\n", i.wrapping_mul(-7_046_029_254_386_353_131)))
        .collect();
    let file = home.join("numbers");
    fs::write(&file, numbers).unwrap();
    let mut command =
        ddes_at(&home, &["send", "--retry-secs", "2", "--server", &server.address, "-"]);
    command.stdin(fs::File::open(&file).unwrap());
    let began = Instant::now();
    let (code, _, error) = output(command);
    assert_eq!((code, error.contains("accepts nothing at present")), (6, true), "{error}");
    assert!(error.contains("has taken nothing for"), "{error}");
    // What fits on the disk has to be sent first, on a busy machine too.
    assert!(began.elapsed() < Duration::from_secs(600));
}

/// Commands that fail by what they are given, each with its exit code.
const FAILING: [(i32, &str); 32] = [
    (3, "send 1 --server 127.0.0.1:1"),
    (3, "send 1 --server nohost.invalid:5"),
    (3, "send 1 --classic --server 127.0.0.1:1"),
    (3, "total --server 127.0.0.1:1"),
    (3, "check --server 127.0.0.1:1"),
    (3, "check --http 127.0.0.1:1"),
    (3, "top --http 127.0.0.1:1"),
    (3, "tail --http 127.0.0.1:1"),
    (3, "bench run --yes --server 127.0.0.1:1"),
    (3, "serve --listen 192.0.2.1:1"),
    (3, "capture --listen 192.0.2.1:1 -o DIR/c"),
    (2, "send x"),
    (2, "key new ../x"),
    (2, "serve --capture-secrets --listen 127.0.0.1:0"),
    (2, "serve --config DIR/none"),
    (2, "bench compare DIR/none DIR/none"),
    (2, "lab hand-out DIR/none DIR/z"),
    (2, "ledger receipt --check DIR/none"),
    (1, "ledger receipt --check DIR/none --server-key KEY"),
    (2, "trust add x:1 ssh-rubbish"),
    (1, "reload"),
    (1, "link"),
    (1, "ledger verify"),
    (1, "ledger receipt nobody"),
    (1, "key show --as nobody"),
    (1, "key show --server-key"),
    (1, "trust rm nobody:1"),
    (4, "authorize nothing"),
    (1, "authorize rm nobody"),
    (1, "config check DIR/none"),
    (1, "inspect DIR/none"),
    (1, "capture --listen 127.0.0.1:0 -o DIR/none/c"),
];

#[test]
fn an_error_has_what_happened_its_likely_cause_and_a_next_command() {
    for (code, line) in FAILING {
        let home = folder();
        let line = line.replace("DIR", text(&home));
        let words = line.split(' ').map(|word| if word == "KEY" { key() } else { word });
        let words: Vec<_> = words.collect();
        let (own, _, error) = output(ddes_at(&home, &words));
        assert_eq!(own, code, "{line}: {error}");
        for part in ["error: ", "\n  cause: ", "\n  try:   "] {
            assert!(error.contains(part), "{line}: no {part:?}: {error}");
        }
        assert!(error.is_ascii(), "{line}: {error}");
        let (own, out, _) = output(ddes_at(&home, &[&words[..], &["--json"]].concat()));
        let object: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!((own, &object["event"]), (code, &"error".into()), "{line}: {out}");
        for part in ["what", "cause", "next"] {
            assert!(object[part].is_string(), "{line}: {out}");
        }
    }
}

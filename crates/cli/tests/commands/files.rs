//! The files that commands make and replace: whose they are, what they keep, and when their names
//! are durable.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{copy_program, ddes_at, folder, output};

const KEY: &str = include_str!("another-server.pub");
/// A service's user: nobody has it here.
const SERVICE: u32 = 12_345;

pub(crate) fn key() -> &'static str {
    KEY.trim()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether this can be shown here; it says so where it cannot.
pub(crate) fn can(what: &str, is_possible: bool) -> bool {
    if !is_possible {
        eprintln!(
            "SKIPPED, since there is no {what} here: {}",
            std::thread::current().name().unwrap_or("?")
        );
    }
    is_possible
}

pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok()
}

pub(crate) fn run(home: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = output(ddes_at(home, arguments));
    assert_eq!(code, 0, "{arguments:?}: {error}");
    out
}

fn refused(home: &Path, arguments: &[&str]) -> String {
    let (code, _, error) = output(ddes_at(home, arguments));
    assert_ne!((code, error.as_str()), (0, ""), "{arguments:?}");
    error
}

/// Owner, group and mode.
fn stamp(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn chown(path: &Path, id: u32) {
    std::os::unix::fs::chown(path, Some(id), Some(id)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A home with a list and a known server, whose files have the mode 640.
fn lived_in() -> PathBuf {
    let home = folder();
    run(&home, &["key", "new", "default"]);
    run(&home, &["authorize", key(), "--name", "guest"]);
    run(&home, &["trust", "add", "127.0.0.1:1", key()]);
    for name in ["authorized_keys", "known_servers", "identities/default.pub"] {
        set_mode(&home.join(name), 0o640);
    }
    home
}

/// Each command that changes a list, and the list.
const CHANGES: [(&str, &[&str]); 4] = [
    ("authorized_keys", &["authorize", "KEY", "--name", "another name"]),
    ("authorized_keys", &["authorize", "rm", "another name"]),
    ("known_servers", &["trust", "add", "127.0.0.1:2", "KEY"]),
    ("known_servers", &["trust", "rm", "127.0.0.1:2"]),
];

fn with_key(arguments: &[&'static str]) -> Vec<&'static str> {
    arguments.iter().map(|argument| if *argument == "KEY" { key() } else { argument }).collect()
}

#[test]
fn a_list_that_is_replaced_keeps_its_mode_and_what_links_to_it_and_leaves_nothing_beside_it() {
    let home = lived_in();
    let elsewhere = folder();
    for name in ["authorized_keys", "known_servers"] {
        fs::rename(home.join(name), elsewhere.join(name)).unwrap();
        // By way of a second link, and relative.
        symlink(elsewhere.join(name), home.join(format!("to_{name}"))).unwrap();
        symlink(format!("to_{name}"), home.join(name)).unwrap();
    }
    for (name, arguments) in CHANGES {
        let before = fs::read_to_string(elsewhere.join(name)).unwrap();
        run(&home, &with_key(arguments));
        assert_ne!(fs::read_to_string(elsewhere.join(name)).unwrap(), before, "{arguments:?}");
        assert!(fs::symlink_metadata(home.join(name)).unwrap().is_symlink(), "{arguments:?}");
        assert_eq!(stamp(&elsewhere.join(name)).2, 0o640, "{arguments:?}");
    }
    assert_eq!(names(&elsewhere), ["authorized_keys", "known_servers"]);
    assert!(names(&home).iter().all(|name| !name.contains("new")), "{:?}", names(&home));
}

#[test]
fn a_list_behind_a_link_that_leads_nowhere_is_made_where_the_link_leads() {
    let (home, elsewhere) = (folder(), folder());
    symlink(elsewhere.join("list"), home.join("authorized_keys")).unwrap();
    run(&home, &["authorize", key()]);
    assert!(
        fs::read_to_string(elsewhere.join("list"))
            .unwrap()
            .contains(key().split(' ').nth(1).unwrap())
    );
    assert_eq!(stamp(&elsewhere.join("list")).2, 0o600);
}

#[test]
fn a_list_with_two_names_has_both_of_them_afterwards() {
    let home = lived_in();
    for (name, arguments) in CHANGES {
        let second = home.join(format!("second_{name}"));
        if !second.exists() {
            fs::hard_link(home.join(name), &second).unwrap();
        }
        let before = fs::read_to_string(&second).unwrap();
        run(&home, &with_key(arguments));
        let after = fs::read_to_string(&second).unwrap();
        assert_ne!(after, before, "{arguments:?}");
        assert_eq!(after, fs::read_to_string(home.join(name)).unwrap());
        assert_eq!(fs::metadata(&second).unwrap().nlink(), 2);
    }
    assert!(names(&home).iter().all(|name| !name.contains("new")), "{:?}", names(&home));
}

#[test]
fn what_root_changes_in_the_home_of_a_service_stays_the_services() {
    if !can("root", is_root()) {
        return;
    }
    let home = lived_in();
    for name in ["", "authorized_keys", "known_servers", "identities", "lock"] {
        chown(&home.join(name), SERVICE);
    }
    // A list may have another group than its home.
    std::os::unix::fs::chown(home.join("known_servers"), None, Some(23_456)).unwrap();
    for (name, arguments) in CHANGES {
        let before = stamp(&home.join(name));
        run(&home, &with_key(arguments));
        assert_eq!(stamp(&home.join(name)), before, "{arguments:?}");
    }
    // What is new belongs to the service as well, which could not read it otherwise.
    for name in ["authorized_keys", "known_servers", "lock"] {
        fs::remove_file(home.join(name)).unwrap();
    }
    run(&home, &["authorize", key()]);
    run(&home, &["trust", "add", "127.0.0.1:1", key()]);
    run(&home, &["key", "new", "second"]);
    for name in ["authorized_keys", "known_servers", "lock", "identities/second"] {
        assert_eq!(stamp(&home.join(name)), (SERVICE, SERVICE, 0o600), "{name}");
    }
    assert_eq!(stamp(&home.join("identities/second.pub")), (SERVICE, SERVICE, 0o644));
    // A home that root makes in a folder of the service.
    run(&home.join("below/deeper"), &["key", "new"]);
    for name in ["below", "below/deeper", "below/deeper/identities"] {
        assert_eq!(stamp(&home.join(name)), (SERVICE, SERVICE, 0o700), "{name}");
    }
    assert_eq!(stamp(&home.join("below/deeper/identities/default")), (SERVICE, SERVICE, 0o600));
}

#[test]
fn root_writes_nothing_for_a_service_that_the_service_could_not() {
    if !can("root", is_root()) {
        return;
    }
    for link in [
        |from: &Path, to: &Path| symlink(from, to),
        |from: &Path, to: &Path| fs::hard_link(from, to),
    ] {
        let (home, elsewhere) = (folder(), folder());
        let target = elsewhere.join("roots");
        fs::write(&target, "root's\n").unwrap();
        set_mode(&target, 0o644);
        link(&target, &home.join("authorized_keys")).unwrap();
        chown(&home, SERVICE);
        std::os::unix::fs::lchown(
            home.join("authorized_keys"),
            Some(if fs::symlink_metadata(home.join("authorized_keys")).unwrap().is_symlink() {
                SERVICE
            } else {
                0
            }),
            None,
        )
        .unwrap();
        let error = refused(&home, &["authorize", key()]);
        assert!(
            error.contains(&format!("uid {SERVICE} made it lead to what belongs to uid 0")),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "root's\n");
        assert_eq!(names(&home), ["authorized_keys", "lock"]);
    }
}

#[test]
fn a_file_whose_owner_or_group_we_may_not_give_is_written_in_place_and_one_that_we_may_not_write_is_left()
 {
    if !can("root, or no setpriv,", is_root() && has("setpriv")) {
        return;
    }
    // Reached by another user: a folder that anybody may enter, and a copy of the program.
    let place = PathBuf::from(format!("/tmp/ddes-files-{}", std::process::id()));
    fs::create_dir_all(place.join("home")).unwrap();
    set_mode(&place, 0o755);
    let program = place.join("ddes");
    copy_program(Path::new(env!("CARGO_BIN_EXE_ddes")), &program);
    let home = place.join("home");
    let list = home.join("authorized_keys");
    let as_service = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        let id = SERVICE.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(&program);
        command.args(arguments).env("DDES_HOME", &home);
        output(command)
    };
    chown(&home, SERVICE);
    set_mode(&home, 0o700);
    // root's, and its group's is the service.
    fs::write(&list, "").unwrap();
    std::os::unix::fs::chown(&list, Some(0), Some(SERVICE)).unwrap();
    set_mode(&list, 0o664);
    let number = fs::metadata(&list).unwrap().ino();
    let (code, _, error) = as_service(&["authorize", key()]);
    assert_eq!(code, 0, "{error}");
    assert!(fs::read_to_string(&list).unwrap().contains("ssh-ed25519"));
    assert_eq!((stamp(&list), fs::metadata(&list).unwrap().ino()), ((0, SERVICE, 0o664), number));
    assert_eq!(names(&home), ["authorized_keys", "lock"]);

    set_mode(&list, 0o644);
    let (code, _, error) = as_service(&["authorize", key(), "--name", "x"]);
    assert_eq!((code, error.contains("belongs to uid 0 and group 12345")), (4, true), "{error}");
    assert!(error.contains("as the file's owner or as root"), "{error}");
    assert_eq!((stamp(&list), fs::metadata(&list).unwrap().ino()), ((0, SERVICE, 0o644), number));
    assert_eq!(names(&home), ["authorized_keys", "lock"]);

    // A list of somebody else: its owner could let in anybody.
    std::os::unix::fs::chown(&list, Some(23_456), None).unwrap();
    let (code, out, error) = as_service(&["authorize", "ls"]);
    assert_eq!(
        (code, out.as_str(), error.contains("belongs to another user (uid 23456)")),
        (0, "", true),
        "{error}"
    );

    // A home of somebody else.
    chown(&home, 23_456);
    set_mode(&home, 0o755);
    let (code, _, error) = as_service(&["authorize", "ls"]);
    assert_eq!((code, error.contains("belongs to another user (uid 23456")), (4, true), "{error}");
    // Of root's it may read.
    chown(&home, 0);
    assert_eq!(as_service(&["authorize", "ls"]).0, 0);
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn a_home_that_others_can_write_is_refused_with_the_remedy_and_a_folder_of_ones_own_below_tmp_is_not()
 {
    let commands: [&[&str]; 7] = [
        &["key", "new", "second"],
        &["key", "show"],
        &["authorize", key()],
        &["authorize", "ls"],
        &["trust", "add", "127.0.0.1:2", key()],
        &["serve", "--listen", "127.0.0.1:0"],
        &["send", "--server", "127.0.0.1:1", "5"],
    ];
    for (below, mode) in [("", 0o777), ("", 0o770), ("identities", 0o720), ("", 0o1777)] {
        let home = lived_in();
        let loose = home.join(below);
        set_mode(&loose, mode);
        let before = names(&loose);
        for arguments in commands {
            let (code, _, error) = output(ddes_at(&home, arguments));
            assert_eq!(
                (code, error.contains("can be written by others")),
                (4, true),
                "{arguments:?}: {error}"
            );
            assert!(error.contains("chmod go-w"), "{error}");
        }
        assert_eq!(names(&loose), before);
        set_mode(&loose, 0o755);
        run(&home, &["authorize", "ls"]);
    }
    let below_tmp = PathBuf::from(format!("/tmp/ddes-home-{}", std::process::id()));
    run(&below_tmp, &["key", "new"]);
    assert_eq!(stamp(&below_tmp).2, 0o700);
    fs::remove_dir_all(below_tmp).unwrap();
}

/// One integer of a classic session is in the ledger.
fn ledger() -> PathBuf {
    let home = folder();
    let server = crate::secure::serve(&home, &[]);
    let trust = crate::secure::fingerprint(&home);
    run(&home, &["send", "--quiet", "--server", &server.address, "--trust", &trust, "42"]);
    home
}

fn export(home: &Path, to: &Path) -> (i32, String, String) {
    output(ddes_at(home, &["ledger", "export", "--quiet", "--output", to.to_str().unwrap()]))
}

#[test]
fn an_export_keeps_what_the_file_was_and_goes_through_what_is_no_file() {
    let home = ledger();
    // A new one is its owner's alone.
    let new = home.join("new.csv");
    assert_eq!(export(&home, &new).0, 0);
    let text = fs::read_to_string(&new).unwrap();
    assert!(text.contains(",42,42") && stamp(&new).2 == 0o600, "{text}");
    // An old one keeps its mode, its link and its second name.
    let (old, link, second) =
        (home.join("old.csv"), home.join("link.csv"), home.join("second.csv"));
    fs::write(&old, "a longer text than comes now\n".repeat(100)).unwrap();
    set_mode(&old, 0o604);
    symlink("old.csv", &link).unwrap();
    assert_eq!(export(&home, &link).0, 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!((fs::read_to_string(&old).unwrap(), stamp(&old).2), (text.clone(), 0o604));
    fs::hard_link(&old, &second).unwrap();
    fs::write(&old, "x\n".repeat(1000)).unwrap();
    assert_eq!(export(&home, &old).0, 0);
    assert_eq!((fs::read_to_string(&second).unwrap(), stamp(&old).2), (text.clone(), 0o604));
    // A pipe, by name, and as /dev/stdout; and a device.
    let pipe = home.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    assert_eq!(export(&home, &pipe).0, 0);
    assert_eq!(reader.join().unwrap(), text);
    assert!(!fs::symlink_metadata(&pipe).unwrap().is_file());
    assert_eq!(export(&home, Path::new("/dev/stdout")).1, text);
    assert_eq!(export(&home, Path::new("/dev/null")).0, 0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    // What is open already holds more than ours.
    let log = home.join("log");
    let script = format!(
        "exec >{}; echo before; DDES_HOME={} exec {} ledger export --quiet --output /dev/stdout",
        log.display(),
        home.display(),
        env!("CARGO_BIN_EXE_ddes")
    );
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    assert_eq!(fs::read_to_string(log).unwrap(), format!("before\n{text}"));
    // No place for a file, found before anything is read; and nothing is left anywhere.
    assert_eq!(export(&home, &home).0, 1);
    assert!(export(&home, &home.join("nowhere/x.csv")).2.contains("No such file"));
    assert!(names(&home).iter().all(|name| !name.contains("new-")), "{:?}", names(&home));
}

#[test]
fn an_exports_device_is_still_one_when_root_has_written_to_it() {
    if !can("root", is_root()) {
        return;
    }
    let home = ledger();
    let device = home.join("null");
    let made = Command::new("mknod").arg(&device).args(["c", "1", "3"]).status().unwrap().success();
    if !can("right to make devices", made && fs::write(&device, "x").is_ok()) {
        return;
    }
    assert_eq!(export(&home, &device).0, 0);
    assert!(std::os::unix::fs::FileTypeExt::is_char_device(
        &fs::metadata(&device).unwrap().file_type()
    ));
}

#[test]
fn attributes_and_access_lists_of_a_list_are_kept_and_none_is_added() {
    let home = lived_in();
    let list = home.join("authorized_keys");
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&list, name, value, rustix::fs::XattrFlags::empty()).is_ok()
    };
    // Version 2; owner rw, uid 12345 r, group none, mask r, others none.
    let entry = |tag: u16, bits: u16, id: u32| {
        [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let any = u32::MAX;
    let entries = [
        entry(1, 6, any),
        entry(2, 4, SERVICE),
        entry(4, 0, any),
        entry(16, 4, any),
        entry(32, 0, any),
    ];
    let access = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    if !can(
        "extended attribute",
        set("user.note", b"kept") && set("system.posix_acl_access", &access),
    ) {
        return;
    }
    run(&home, &["authorize", key(), "--name", "x"]);
    let get = |path: &Path, name: &str| {
        let mut value = vec![0; 1024];
        rustix::fs::getxattr(path, name, &mut value[..]).map(|length| value[..length].to_vec())
    };
    assert_eq!(get(&list, "user.note").unwrap(), b"kept");
    assert_eq!(get(&list, "system.posix_acl_access").unwrap(), access);
    assert_eq!(stamp(&list).2, 0o640);
    // The folder gives an access list to whatever is made in it; what is replaced had none.
    rustix::fs::setxattr(
        &home,
        "system.posix_acl_default",
        &access,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    run(&home, &["trust", "add", "127.0.0.1:2", key()]);
    assert!(get(&home.join("known_servers"), "system.posix_acl_access").is_err());
}

/// What a command did to files, in order, as strace tells it: `name(…)`, with the paths of
/// descriptors.
fn traced(home: &Path, arguments: &[&str]) -> Vec<String> {
    let log = folder().join("trace");
    let mut command = Command::new("strace");
    let calls = "trace=openat,open,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,fsync,fdatasync,write";
    command.args(["-f", "-y", "-s", "16", "-e", calls, "-o"]).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_ddes")).args(arguments).env("DDES_HOME", home);
    let (code, _, error) = output(command);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    let text = fs::read_to_string(log).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap().1.trim_start().to_owned()).collect()
}

/// Each name that was published is synced, file and folder, before the first word on standard
/// output.
fn check_durable(calls: &[String], name: &str, arguments: &[&str]) {
    let at = |from: usize, what: &str, is: &dyn Fn(&str) -> bool| {
        let found = calls.iter().skip(from).position(|call| is(call) && !call.contains(" = -1 "));
        from + found.unwrap_or_else(|| panic!("{arguments:?}: no {what} of {name}: {calls:#?}"))
    };
    let published = at(0, "rename", &|call| {
        (call.contains("rename") || call.contains("link")) && call.contains(&format!("\"{name}\""))
    });
    let folder =
        calls[published].split('<').nth(1).and_then(|rest| rest.split('>').next()).unwrap();
    let file_synced =
        at(0, "fsync", &|call| call.starts_with("fsync") && call.contains(".ddes-new-"));
    let synced = at(published, "fsync of the folder", &|call| {
        call.starts_with("fsync") && call.contains(&format!("<{folder}>"))
    });
    let said = at(0, "word", &|call| call.starts_with("write(1<"));
    assert!(
        file_synced < published && published < synced && synced < said,
        "{arguments:?}: {calls:#?}"
    );
    let made: Vec<_> = calls
        .iter()
        .filter(|call| call.contains(".ddes-new-") && call.contains("O_CREAT"))
        .collect();
    assert!(
        !made.is_empty()
            && made.iter().all(|call| call.contains("O_EXCL") && call.contains("O_NOFOLLOW"))
    );
}

#[test]
fn a_name_is_durable_before_a_command_says_that_it_is_there() {
    if !can("strace", has("strace")) {
        return;
    }
    let home = folder().join("new/home");
    let calls = traced(&home, &["key", "new", "default"]);
    check_durable(&calls, "default", &["key", "new"]);
    check_durable(&calls, "default.pub", &["key", "new"]);
    // Each folder that was made, in the folder it was made in.
    for name in ["new", "home", "identities"] {
        let made = calls
            .iter()
            .position(|call| call.starts_with("mkdir") && call.contains(&format!("\"{name}\"")));
        let made = made.unwrap_or_else(|| panic!("{name}: {calls:#?}"));
        let above = calls[made].split('<').nth(1).and_then(|rest| rest.split('>').next()).unwrap();
        let is_sync =
            |call: &&String| call.starts_with("fsync") && call.contains(&format!("<{above}>"));
        assert!(calls[made..].iter().any(|call| is_sync(&call)), "{name}: {calls:#?}");
    }
    for (name, arguments) in CHANGES {
        let arguments = with_key(arguments);
        check_durable(&traced(&home, &arguments), name, &arguments);
        // A command that finds its work done cannot know that it is durable.
        if arguments[1] == "add" {
            let calls = traced(&home, &arguments);
            let shown = format!("<{}>", fs::canonicalize(&home).unwrap().display());
            assert!(
                calls.iter().any(|call| call.starts_with("fsync") && call.contains(&shown)),
                "{calls:#?}"
            );
        }
    }
}

#[test]
fn a_name_that_somebody_prepared_gets_no_key() {
    let home = folder();
    fs::create_dir(home.join("identities")).unwrap();
    let trap = home.join("trap");
    // A link that leads nowhere at the key's own name.
    symlink(&trap, home.join("identities/default")).unwrap();
    refused(&home, &["key", "new", "default"]);
    assert!(!trap.exists());
    run(&home, &["key", "new", "second"]);
    assert_eq!(names(&home.join("identities")), ["default", "second", "second.pub"]);
}

/// Of a run that cannot be kept nothing is run.
#[test]
fn a_benchmarks_files_are_found_to_be_writable_before_it_runs_and_keep_what_they_were() {
    let home = folder();
    let server = crate::secure::serve(&home, &["--allow-any", "--ledger", "memory"]);
    let trust = crate::secure::fingerprint(&home);
    let bench = |save: &Path, html: &Path| {
        let flags = [
            "bench",
            "run",
            "--yes",
            "--quiet",
            "--server",
            &server.address,
            "--trust",
            &trust,
            "--values",
            "10",
        ];
        let files =
            ["--sessions", "1", "--save", save.to_str().unwrap(), "--html", html.to_str().unwrap()];
        output(ddes_at(&home, &[&flags[..], &files].concat()))
    };
    let (code, _, error) = bench(&home.join("a.json"), &home.join("nowhere/a.html"));
    assert_eq!((code, error.contains("cannot write")), (1, true), "{error}");
    assert!(!home.join("a.json").exists());
    let (save, html) = (home.join("old.json"), home.join("a.html"));
    fs::write(home.join("kept"), "old").unwrap();
    set_mode(&home.join("kept"), 0o604);
    symlink("kept", &save).unwrap();
    let (code, _, error) = bench(&save, &html);
    assert_eq!(code, 0, "{error}");
    assert!(fs::read_to_string(home.join("kept")).unwrap().starts_with('{'));
    assert_eq!(stamp(&home.join("kept")).2, 0o604);
    assert!(html.exists() && fs::symlink_metadata(&save).unwrap().is_symlink());
    assert!(names(&home).iter().all(|name| !name.contains("new-")), "{:?}", names(&home));
}

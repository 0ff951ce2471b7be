//! Where a setting comes from, what is said of a wrong one, and what a running server takes up.

use std::io::{BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::secure::fingerprint;
use crate::{Running, ddes_at, folder, output, started};

/// Longer than anything that is in order takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Of a key: two values for the file and a variable, and one for its flag; as TOML has the first.
struct Samples {
    toml: String,
    file: String,
    variable: String,
    flag: String,
}

/// Three values of each key, other than its default.
fn samples(key: &str, default: &Value) -> Samples {
    let of = |toml: &str, file: &str, variable: &str, flag: &str| Samples {
        toml: toml.into(),
        file: file.into(),
        variable: variable.into(),
        flag: flag.into(),
    };
    let texts =
        |file: &str, variable: &str, flag: &str| of(&format!("{file:?}"), file, variable, flag);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (key, default.as_str()) {
        ("listen", _) => texts("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"),
        ("http", _) => texts("127.0.0.1:1", "off", "127.0.0.1:3"),
        ("http_host", _) => of("[\"a.example\"]", "a.example", "b.example,c.example", "d.example"),
        ("capture", _) => texts("/file.pcapng", "/variable.pcapng", "/flag.pcapng"),
        ("capture_max_bytes", _) => of("5000", "5000", "6000", "7000"),
        ("http_read_token", _) => texts("/file.token", "/variable.token", "/flag.token"),
        ("ledger", _) => texts("/file \"\\\u{fc}", "/variable", "/flag"),
        ("group", _) => texts("ffdhe3072", "ffdhe4096", "ffdhe3072"),
        ("log_level", _) => texts("debug", "warn", "error"),
        ("suite", _) => of("[\"ddes\", \"hybrid\"]", "ddes,hybrid", "ddes,ddes-3072", "ddes-4096"),
        (_, Some("false")) => of("true", "true", "false", "true"),
        (_, None) => of("3", "3", "4", "5"),
        (_, Some(text)) if number(text) => of("3", "3", "4", "5"),
        _ => panic!("{key}: give it samples here"),
    }
}

fn objects(text: &str, event: &str) -> Vec<Value> {
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|object| object["event"] == event).collect()
}

/// The setting of that key, as the command has it.
fn setting(mut command: Command, key: &str) -> (Value, String, Value) {
    command.arg("--json");
    let (code, out, error) = output(command);
    assert_eq!(code, 0, "{out}{error}");
    let all = objects(&out, "setting");
    let one = all.iter().find(|object| object["key"] == key).unwrap();
    (one["value"].clone(), one["origin"].as_str().unwrap().to_owned(), one["where"].clone())
}

fn write(home: &Path, text: &str) -> PathBuf {
    let file = home.join("ddes.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn show(home: &Path) -> Command {
    ddes_at(home, &["config", "show", "--config", home.join("ddes.toml").to_str().unwrap()])
}

/// All four layers, for each key there is.
#[test]
fn a_flag_is_before_a_variable_before_the_file_before_the_default() {
    let home = folder();
    let file = write(&home, "");
    let (code, out, error) = output({
        let mut all = show(&home);
        all.arg("--json");
        all
    });
    assert_eq!(code, 0, "{error}");
    let keys = objects(&out, "setting");
    assert!(keys.len() >= 20, "{out}");
    for entry in &keys {
        let key = entry["key"].as_str().unwrap();
        assert_eq!((&entry["origin"], &entry["where"]), (&"default".into(), &Value::Null));
        let Samples { toml, file: of_file, variable, flag } = samples(key, &entry["value"]);
        assert_ne!(entry["value"], *of_file, "{key}");
        let name = format!("DDES_{}", key.to_uppercase());
        let long = format!("--{}", key.replace('_', "-"));
        write(&home, &format!("# {key}\n\n{key} = {toml}\n"));
        let place = format!("{}:3", file.display());
        assert_eq!(
            setting(show(&home), key),
            (of_file.into(), "file".into(), place.into()),
            "{key}"
        );
        let mut with_variable = show(&home);
        with_variable.env(&name, &variable);
        assert_eq!(
            setting(with_variable, key),
            (variable.clone().into(), "environment".into(), name.clone().into()),
            "{key}"
        );
        let mut with_flag = show(&home);
        with_flag.env(&name, &variable).arg(format!("{long}={flag}"));
        if ["classic_wait_ms", "classic_end_all", "max_classic"].contains(&key) {
            with_flag.arg("--classic");
        }
        assert_eq!(setting(with_flag, key), (flag.into(), "flag".into(), long.into()), "{key}");
    }
}

#[test]
fn what_show_prints_is_a_file_that_gives_the_same_again() {
    let home = folder();
    write(
        &home,
        "idle_secs = 0x1e\nsuite = ['ddes']\nledger = '/a \"b\" \\ \u{fc}'\nclassic = true\n",
    );
    let (code, first, error) = output(show(&home));
    assert_eq!(code, 0, "{error}");
    assert!(first.contains("idle_secs = 30\n") && first.contains("# history_days =\n"), "{first}");
    write(&home, &first);
    let (code, again, error) = output(show(&home));
    assert_eq!((code, &again), (0, &first), "{error}");
    let set: Vec<_> = first.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(set.len(), 4, "what is a default stays one: {first}");
    let other = folder();
    let file = home.join("begun.toml");
    std::fs::write(&file, output(ddes_at(&home, &["config", "show", "--config", "/dev/null"])).1)
        .unwrap();
    let elsewhere = ["config", "show", "--config", file.to_str().unwrap()];
    let (ledger, origin, _) = setting(ddes_at(&other, &elsewhere), "ledger");
    let expected = other.join("ledger").display().to_string();
    assert_eq!((ledger, origin), (expected.into(), "default".into()));
    let (code, checked, error) =
        output(ddes_at(&home, &["config", "check", home.join("ddes.toml").to_str().unwrap()]));
    assert!(code == 0 && checked.contains("no errors"), "{checked}{error}");
    let mut with_origin = show(&home);
    with_origin.args(["--origin", "--drain-secs", "3"]).env("DDES_GROUP", "ffdhe3072");
    let (_, shown, _) = output(with_origin);
    for expected in [
        "# flag --drain-secs",
        "# environment DDES_GROUP",
        "ddes.toml:2",
        "# default",
        "# The file is ",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn check_names_all_errors_with_their_lines_and_a_server_does_not_start_with_them() {
    let home = folder();
    let file = write(&home, "idle_sec = 5\nmax_unproven = 0\nclassic = 'yes'\n[serve]\n");
    let path = file.to_str().unwrap();
    let (code, out, error) = output(ddes_at(&home, &["config", "check", path]));
    let lines: Vec<_> = out.lines().map(|line| line.trim_start_matches(path)).collect();
    assert_eq!(
        lines,
        [
            ":1:1: unknown key 'idle_sec'; did you mean 'idle_secs'?",
            ":2:16: max_unproven cannot be 0: 0 is not in 1..=1000000",
            ":3:11: classic is true or false, not a string",
            ":4:2: there are no tables, and this is one: 'serve'; keys are at the top of the file, \
             without [TABLE] above them",
        ]
    );
    assert!(code == 1 && error.contains("4 errors in "), "{code} {error}");
    let (code, out, _) = output(ddes_at(&home, &["config", "check", path, "--json"]));
    let errors = objects(&out, "config_error");
    let places: Vec<_> =
        errors.iter().map(|one| (one["line"].as_u64(), one["column"].as_u64())).collect();
    let expected = [(1, 1), (2, 16), (3, 11), (4, 2)].map(|(line, at)| (Some(line), Some(at)));
    assert_eq!((code, &places[..]), (1, &expected[..]));
    assert_eq!(errors[0]["hint"], "did you mean 'idle_secs'?");
    assert_eq!(objects(&out, "error")[0]["exit_code"], 1);
    for serve in [
        &["serve", "--listen", "127.0.0.1:0", "--config", path][..],
        &["config", "show", "--config", path],
    ] {
        let (code, out, error) = output(ddes_at(&home, serve));
        assert!(
            code == 2
                && out.is_empty()
                && error
                    .contains(&format!("{path}:1:1: unknown key 'idle_sec' (and 3 more errors)"))
                && error.contains("did you mean 'idle_secs'?")
                && error.contains("ddes config check"),
            "{code} {out} {error}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_with_the_reason() {
    let home = folder();
    let file = write(&home, &"#".repeat(70_000));
    let path = file.to_str().unwrap();
    let check = |path: &str| output(ddes_at(&home, &["config", "check", path]));
    let (code, _, error) = check(path);
    assert!(code == 1 && error.contains("more than 65536 bytes"), "{error}");
    write(&home, "");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (code, _, error) = check(path);
    assert!(code == 1 && error.contains("everybody can write it"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let (code, _, error) = check(path);
    assert!(code == 1 && error.contains("No such file"), "{error}");
    let (code, _, error) = check(home.to_str().unwrap());
    assert!(code == 1 && error.contains("it is not a file"), "{error}");
    std::fs::write(&file, b"# \xff\n").unwrap();
    let (code, _, error) = check(path);
    assert!(code == 1 && error.contains("UTF-8"), "{error}");
    assert_eq!(check("/dev/null").0, 0);
}

#[test]
fn a_wrong_variable_is_named_and_a_flag_needs_classic_from_any_layer() {
    let home = folder();
    let mut wrong = ddes_at(&home, &["config", "show"]);
    wrong.env("DDES_MAX_UNPROVEN", "many");
    let (code, _, error) = output(wrong);
    assert!(code == 2 && error.contains("DDES_MAX_UNPROVEN"), "{error}");
    let (code, _, error) = output(ddes_at(&home, &["config", "show", "--max-classic", "5"]));
    assert!(code == 2 && error.contains("--max-classic") && error.contains("--classic"), "{error}");
    write(&home, "classic = true\n");
    let mut of_file = show(&home);
    of_file.args(["--max-classic", "5"]);
    assert_eq!(output(of_file).0, 0);
    write(&home, "max_classic = 5\n");
    assert_eq!(output(show(&home)).0, 0);
}

/// The server would refuse it with exit code 2, with which systemd leaves it down.
#[test]
fn a_misspelt_variable_is_warned_of() {
    let home = folder();
    let file = write(&home, "");
    let mut command = ddes_at(&home, &["config", "check", file.to_str().unwrap()]);
    command.env("DDES_LEGDER", "/var/lib/ddes").env("DDES_OF_SOMEBODY_ELSE", "1");
    let (code, _, said) = output(command);
    let warning = "nothing reads the variable DDES_LEGDER. Did you mean DDES_LEDGER?";
    assert!(code == 0 && said.contains(warning), "{code} {said}");
    assert!(!said.contains("SOMEBODY"), "{said}");
}

#[test]
fn what_only_a_start_would_refuse_is_an_error_for_check_and_reload_too() {
    let home = folder();
    for (text, why) in [
        ("# plain\nhttp = \"0.0.0.0:6610\"\n", "plain HTTP shows them the token"),
        ("listen = \"127.0.0.1:6610\"\nhttp = \"127.0.0.1:6610\"\n", "the address of --listen"),
    ] {
        let file = write(&home, text);
        let path = file.to_str().unwrap();
        let place = format!("{path}:2: ");
        for (command, expected) in
            [(&["config", "check", path][..], 1), (&["serve", "--config", path], 2)]
        {
            // It names the HTTP port of tests otherwise.
            let mut command = ddes_at(&home, command);
            command.env_remove("DDES_HTTP");
            let (code, out, error) = output(command);
            let is_said = error.contains(why) && error.contains(&place);
            assert!(code == expected && is_said, "{code} {out} {error}");
        }
    }
    write(&home, "http = \"0.0.0.0:6610\"\nhttp_plain = true\n");
    let file = home.join("ddes.toml");
    let checked = output(ddes_at(&home, &["config", "check", file.to_str().unwrap()]));
    assert_eq!(checked.0, 0, "{}", checked.2);
    let path = write(&home, "http = \"127.0.0.1:0\"\n");
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--ledger", "memory", "--config"];
    let mut serve = ddes_at(&home, &serve);
    serve.arg(path).env_remove("DDES_HTTP");
    let server = started(serve);
    write(&home, "http = \"0.0.0.0:6610\"\nidle_secs = 51\n");
    let (code, out, error) = output(ddes_at(&home, &["reload"]));
    drop(server);
    assert!(code == 1 && error.contains("plain HTTP shows them the token"), "{code} {out} {error}");
}

/// A server whose file this test changes.
struct Configured {
    home: PathBuf,
    server: Running,
}

impl Configured {
    fn start(text: &str) -> Self {
        Self::with(text, &[])
    }

    fn with(text: &str, flags: &[&str]) -> Self {
        let home = folder();
        write(&home, text);
        let server = Self::at(&home, flags);
        Self { home, server }
    }

    fn at(home: &Path, flags: &[&str]) -> Running {
        let file = home.join("ddes.toml");
        let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--ledger", "memory"];
        let config = ["--config", file.to_str().unwrap()];
        started(ddes_at(home, &[&serve, &config[..], flags].concat()))
    }

    fn reload(&self, flags: &[&str]) -> (i32, String, String) {
        output(ddes_at(&self.home, &[&["reload"], flags].concat()))
    }

    /// The next line of that event.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.server.stdout.read_line(&mut line).unwrap() > 0, "no {name}");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.server.child)
    }

    /// A client whose integers come from a pipe.
    fn client(&self) -> std::process::Child {
        let trust = fingerprint(&self.home);
        let send = ["send", "--quiet", "--server", &self.server.address, "--trust", &trust, "-"];
        let mut send = ddes_at(&self.home, &send);
        send.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        send.spawn().unwrap()
    }
}

#[test]
fn a_reload_with_a_broken_file_changes_nothing_and_names_the_line_while_a_session_goes_on() {
    let mut server = Configured::start("idle_secs = 300\n");
    let mut client = server.client();
    let mut types = client.stdin.take().unwrap();
    types.write_all(b"5\n").unwrap();
    server.event("token_shared");
    let file = write(&server.home, "log_level = 'debug'\nidle_secs = 0\n");
    let (code, out, error) = server.reload(&[]);
    let place = format!("{}:2:13: idle_secs cannot be 0", file.display());
    assert!(code == 1 && out.is_empty() && error.contains(&place), "{code} {out} {error}");
    let failed = server.event("reload_failed");
    assert!(failed["what"].as_str().unwrap().starts_with(&place), "{failed}");
    assert_eq!(failed["level"], "error");
    // The file's first line is good, and was not taken either: values stay out of the log.
    types.write_all(b"6\n").unwrap();
    drop(types);
    let sent = client.wait_with_output().unwrap();
    assert!(sent.status.success());
    assert_eq!(String::from_utf8(sent.stdout).unwrap(), "11\n");
    kill_process(server.pid(), Signal::TERM).unwrap();
    let mut rest = String::new();
    server.server.stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"exited\"") && !rest.contains("\"received\""), "{rest}");
}

#[test]
fn a_reload_applies_what_a_running_server_can_take_up_and_names_what_it_cannot() {
    let mut server = Configured::start("idle_secs = 300\ngroup = 'ffdhe3072'\n");
    write(&server.home, "idle_secs = 1\nmax_connections = 5\nlisten = '127.0.0.1:9'\n");
    let (code, out, error) = server.reload(&["--json"]);
    assert_eq!(code, 0, "{out}{error}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let change =
        |key: &str, from: &str, to: &str| serde_json::json!({"key": key, "from": from, "to": to});
    let expected = [
        change("idle_secs", "300", "1"),
        change("max_connections", "4096", "5"),
        change("max_unproven_total", "2048", "3"),
        change("max_classic", "1024", "2"),
    ];
    assert_eq!(answer["changed"].as_array().unwrap(), &expected);
    // The flag says where to listen, whatever the file says.
    assert_eq!(answer["needs_restart"], serde_json::json!(["group"]));
    assert_eq!(answer["addr"], *server.server.address);
    let said = server.event("reloaded");
    assert_eq!(
        (&said["changed"], &said["needs_restart"]),
        (&answer["changed"], &answer["needs_restart"])
    );
    // A session that begins now has the new idle time.
    let mut client = server.client();
    let types = client.stdin.take().unwrap();
    // Beside it, one that only learns the server's key.
    while server.event("ended")["cause"] != "idle" {}
    drop(types);
    client.wait().unwrap();
    // Nothing changes with the same file; a restart is still needed.
    let (code, out, _) = server.reload(&[]);
    assert!(code == 0 && out.contains("nothing changed"), "{out}");
    assert!(out.contains("group: stays ffdhe3072; ffdhe2048 needs a restart"), "{out}");
}

#[test]
fn sighup_reloads_and_the_console_changes_the_level_until_then() {
    let mut server = Configured::start("log_level = 'warn'\n");
    let mut console = server.server.child.stdin.take().unwrap();
    console.write_all(b"log loud\nlog debug\n").unwrap();
    assert_eq!(server.event("log_level")["log_level"], "debug");
    let mut client = server.client();
    client.stdin.take().unwrap().write_all(b"5\n").unwrap();
    assert!(client.wait().unwrap().success());
    assert_eq!(server.event("received")["amount"], "5");
    write(&server.home, "log_level = 'info'\ndrain_secs = 1\n");
    kill_process(server.pid(), Signal::HUP).unwrap();
    let said = server.event("reloaded");
    let keys: Vec<_> = said["changed"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(keys, ["drain_secs", "log_level"]);
    assert_eq!(said["changed"][1]["from"], "debug");
    write(&server.home, "drain = 1\n");
    kill_process(server.pid(), Signal::HUP).unwrap();
    let failed = server.event("reload_failed");
    assert!(
        failed["what"].as_str().unwrap().contains("ddes.toml:1:1: unknown key 'drain'"),
        "{failed}"
    );
    // The console asks for the same.
    write(&server.home, "log_level = 'error'\n");
    console.write_all(b"reload\n").unwrap();
    assert_eq!(server.event("reloaded")["changed"][1]["to"], "error");
    console.write_all(b"totals\nexit\n").unwrap();
    let mut rest = String::new();
    server.server.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(objects(&rest, "totals")[0]["sum"], "5");
    // Less important than an error, so it is not shown.
    assert!(objects(&rest, "exited").is_empty(), "{rest}");
}

#[test]
fn a_verbose_server_is_verbose_whatever_the_file_says_before_and_after_a_reload() {
    let mut server = Configured::with("log_level = 'error'\n", &["--verbose"]);
    for (level, amount) in [("warn", "5"), ("error", "7")] {
        let mut client = server.client();
        client.stdin.take().unwrap().write_all(format!("{amount}\n").as_bytes()).unwrap();
        assert!(client.wait().unwrap().success());
        assert_eq!(server.event("received")["amount"], amount);
        write(&server.home, &format!("log_level = '{level}'\n"));
        assert_eq!(server.reload(&["-q"]).0, 0);
        assert_eq!(server.event("reloaded")["changed"][0]["to"], level);
    }
    let both = ["serve", "--quiet", "--verbose"];
    assert_eq!(output(ddes_at(&folder(), &both)).0, 2);
}

#[test]
fn a_reload_reaches_the_server_of_its_home_and_no_other() {
    let home = folder();
    let (code, out, error) = output(ddes_at(&home, &["reload"]));
    assert!(
        code == 1 && out.is_empty() && error.contains("no server of this home runs"),
        "{code} {out} {error}"
    );
    let mut one = Configured::start("idle_secs = 10\n");
    let mut other = Configured::start("idle_secs = 20\n");
    for server in [&mut one, &mut other] {
        write(&server.home, "idle_secs = 30\n");
    }
    assert_eq!(other.reload(&["-q"]), (0, String::new(), String::new()));
    assert_eq!(other.event("reloaded")["changed"][0]["from"], "20");
    assert_eq!(one.reload(&[]).0, 0);
    assert_eq!(one.event("reloaded")["changed"][0]["from"], "10");
    // Two of one home have to be told apart.
    let second = Configured::at(&one.home, &[]);
    let (code, _, error) = one.reload(&[]);
    assert!(
        code == 1
            && error.contains("2 servers of this home run")
            && error.contains(&second.address)
            && error.contains("--pid"),
        "{error}"
    );
    write(&one.home, "idle_secs = 40\n");
    let pid = one.server.child.id().to_string();
    let (code, out, error) = one.reload(&["--pid", &pid]);
    assert!(code == 0 && out.contains("idle_secs: 30 -> 40"), "{out}{error}");
    assert_eq!(one.event("reloaded")["changed"][0]["to"], "40");
    let (code, _, error) = one.reload(&["--pid", "1"]);
    assert!(code == 1 && error.contains("no server of this home is process 1"), "{error}");
}

#[test]
fn what_a_killed_server_leaves_is_no_server_and_the_next_one_removes_it() {
    let home = folder();
    write(&home, "");
    let mut server = Configured::at(&home, &[]);
    let sockets = || std::fs::read_dir(home.join("run")).unwrap().count();
    assert_eq!(sockets(), 1);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert_eq!(sockets(), 1);
    let (code, _, error) = output(ddes_at(&home, &["reload"]));
    assert!(code == 1 && error.contains("no server of this home runs"), "{error}");
    let server = Configured { server: Configured::at(&home, &[]), home: home.clone() };
    assert_eq!(sockets(), 1);
    assert_eq!(server.reload(&[]).0, 0);
    kill_process(server.pid(), Signal::TERM).unwrap();
    let until = Instant::now() + LONG;
    while sockets() > 0 {
        assert!(Instant::now() < until, "it stays");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whoever_opens_the_socket_and_says_nothing_or_anything_keeps_nobody_from_it() {
    let server = Configured::start("");
    let run = server.home.join("run");
    let mode = std::fs::metadata(&run).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let socket = std::fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    let _silent = UnixStream::connect(&socket).unwrap();
    let mut other = UnixStream::connect(&socket).unwrap();
    // What the server cuts off is not all taken.
    drop(other.write_all(&vec![b'x'; 1 << 20]));
    assert_eq!(server.reload(&["-q"]).0, 0);
    let mut asking = UnixStream::connect(&socket).unwrap();
    asking.write_all(b"what\n").unwrap();
    asking.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("does not know this request"), "{answer}");
}

#[test]
fn a_home_whose_path_is_too_long_for_a_socket_is_reached_all_the_same() {
    let home = folder().join("x".repeat(120));
    std::fs::create_dir(&home).unwrap();
    write(&home, "");
    let server = Configured { server: Configured::at(&home, &[]), home };
    let (code, out, error) = server.reload(&[]);
    assert!(code == 0 && out.contains("nothing changed"), "{out}{error}");
}

/// Nobody sees a server any more whose terminal is closed.
#[test]
fn a_server_whose_terminal_is_closed_stops_in_order() {
    let home = folder();
    let (master, terminal) = crate::input_faults::closing_terminal();
    let mut command = ddes_at(&home, &["serve", "--listen", "127.0.0.1:0", "--ledger", "memory"]);
    let end = || Stdio::from(terminal.try_clone().unwrap());
    command.env("TERM", "dumb").stdin(end()).stdout(end()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let until = Instant::now() + LONG;
    while std::fs::read_dir(home.join("run")).map_or(0, Iterator::count) == 0 {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(master);
    // A process that another test starts at this moment holds the window's side too, until it is
    // executed.
    let mut closed = [PollFd::new(&terminal, PollFlags::empty())];
    while !closed[0].revents().contains(PollFlags::HUP) {
        poll(&mut closed, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        assert!(Instant::now() < until, "the terminal is open");
    }
    // It is in no session of the terminal, so that a shell's signal stands for the system's.
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

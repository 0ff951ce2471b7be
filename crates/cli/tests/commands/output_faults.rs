//! Standard output and standard error that take nothing: each command against each of these.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process};

use crate::secure::{fingerprint, serve};
use crate::{Running, ddes_at, folder, output, start};

/// A condition that does not come about by then is a failure.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What is typed where a command reads.
const INPUT: &[u8] = b"5\n50\n";

/// Each command, and what must have been done before it. `NEW` is a name and `DIR` a folder that
/// nobody had before.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("", "connect --server SERVER --trust TRUST --as NEW"),
    ("", "connect --classic --server CLASSIC"),
    ("", "send --server SERVER --trust TRUST --as NEW 1 2 3"),
    ("", "send --server SERVER --trust TRUST --as NEW -"),
    ("", "send --server SERVER --trust TRUST --as NEW --outbox DIR 1 2"),
    ("", "send --server SERVER --trust TRUST --as NEW --outbox DIR -"),
    ("", "send --classic --server CLASSIC 1 2"),
    ("", "send --classic --server CLASSIC -"),
    ("", "total --server SERVER --trust TRUST --as anna"),
    ("", "ledger verify"),
    ("", "ledger verify --receipt RECEIPT"),
    ("", "ledger totals"),
    ("", "ledger ls"),
    ("", "ledger export"),
    ("", "ledger backup DIR"),
    ("ledger backup DIR", "ledger restore DIR --ledger DIR.restored"),
    ("", "ledger receipt anna"),
    ("", "ledger receipt --check RECEIPT"),
    ("", "ledger init --ledger postgres://owner@127.0.0.1:1/ddes"),
    ("", "config show"),
    ("", "config show --origin"),
    ("", "config check"),
    ("", "reload --pid PID"),
    ("", "link --pid PID"),
    ("", "key new NEW"),
    ("", "key show --as anna"),
    ("", "key show --server-key"),
    ("", "trust ls"),
    ("", "trust add NEW:1 KEY"),
    ("trust add NEW:1 KEY", "trust rm NEW:1"),
    ("", "authorize ls"),
    ("", "authorize KEY --name NEW"),
    ("authorize KEY --name NEW", "authorize rm NEW"),
    ("", "top --once --http HTTP"),
    ("", "tail --duration 1 --http HTTP"),
    ("", "demo --no-open --duration 1"),
    ("", "lab ls"),
    ("", "lab run 1 --no-pause --seed anna"),
    ("", "lab grade"),
    ("", "lab hand-out SESSION DIR.pcapng --bits 8"),
    ("", "bench run --yes --server SERVER --trust TRUST --sessions 1 --values 10 --warmup 0"),
    ("", "bench compare RUN RUN"),
    ("", "bench keys --sessions 3"),
    ("", "calc dh --p 17 --g 05 --private 06"),
    ("", "calc hkdf --ikm 00 --length 16"),
    ("", "calc hmac --key 00 --in 00"),
    ("", "calc des --key 0123456789abcdef --in 0000000000000000 --rounds"),
    ("", "calc ddes --key1 0123456789abcdef --key2 fedcba9876543210 --in 0000000000000000"),
    ("", "calc counter --key1 0123456789abcdef --key2 fedcba9876543210 --n 1 --length 8"),
    ("", "calc key-pair --key1 0000000000000000 --key2 0000000000000000"),
    (
        "",
        "calc keys --function ddes --key 0707070707070707070707070707070707070707070707070707070707070707",
    ),
    (
        "",
        "calc seal --function ddes --key 0707070707070707070707070707070707070707070707070707070707070707 --n 1 --ad 00 --in 00",
    ),
    (
        "",
        "calc open --function ddes --key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f --n 1 --ad 0000001e00000032 --in bba7ea2d3a8eb9b1af7d0da5a853967a12fe682026ec2f5ff61f86b2aad9ecb01b9c9d0681726d90e3198b8f35a80d64368c",
    ),
    ("", "calc rekey --key 0707070707070707070707070707070707070707070707070707070707070707"),
    ("", "calc noise split --ck 0707070707070707070707070707070707070707070707070707070707070707"),
    (
        "",
        "calc ml-kem keygen --seed 07070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707",
    ),
    (
        "",
        "calc ed25519 --public 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --message 72 --signature 92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "",
        "calc sshsig --namespace ddes2-client --public ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c --message 68616e647368616b6520616e64206b657973 --signature 5b65dda39bb6b895a1527601712fd50481e8402f4f78da6d3d7d6796a82fcb8d304ec7923426f2509338ecdbadebb64936298beb0a3bf7aaad41f135664c1001",
    ),
    ("", "check --server SERVER --trust TRUST"),
    ("", "doctor --listen 127.0.0.1:0 --http off"),
    ("", "version"),
    ("", "explain CAPTURE --out DIR.html"),
    ("", "inspect CAPTURE"),
];

/// A home with everything that commands may want to show.
pub(crate) struct Site {
    pub(crate) home: PathBuf,
    trust: String,
    key: String,
    server: Running,
    /// Where the server's page is.
    http: String,
    classic: Running,
}

impl Site {
    pub(crate) fn new() -> Self {
        let home = folder();
        let mut http = String::new();
        let flags = ["serve", "--json", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let server = start(ddes_at(&home, &[&flags[..], &["--allow-any"]].concat()), |line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            http = event["http"].as_str()?.to_owned();
            event["addr"].as_str().map(str::to_owned)
        });
        let classic = serve(&home, &["--classic", "--classic-wait-ms", "0", "--ledger", "memory"]);
        let guest = folder();
        let (_, key, _) = output(ddes_at(&guest, &["key", "new", "--quiet"]));
        let site = Self {
            trust: fingerprint(&home),
            key: key.trim().to_owned(),
            home,
            server,
            http,
            classic,
        };
        site.prepare("key new anna", "");
        site.prepare("send --server SERVER --trust TRUST --as anna --capture CAPTURE 1 2 3", "");
        site.prepare(
            "send --classic --server CLASSIC --capture SESSION --capture-secrets 1 2 3",
            "",
        );
        let receipt = site.prepare("ledger receipt anna", "");
        std::fs::write(site.home.join("anna.receipt"), receipt).unwrap();
        site.prepare(
            "bench run --yes --server SERVER --trust TRUST --sessions 1 --values 10 --warmup 0 --save RUN",
            "",
        );
        site
    }

    pub(crate) fn command(&self, line: &str, name: &str) -> Command {
        let path = |file: &str| self.home.join(file).display().to_string();
        let words: Vec<String> = line
            .split_whitespace()
            .map(|word| match word {
                "SERVER" => self.server.address.clone(),
                "PID" => self.server.child.id().to_string(),
                "HTTP" => self.http.clone(),
                "CLASSIC" => self.classic.address.clone(),
                "TRUST" => self.trust.clone(),
                "KEY" => self.key.clone(),
                "RECEIPT" => path("anna.receipt"),
                "RUN" => path("run.json"),
                "CAPTURE" => path("anna.pcapng"),
                "SESSION" => path("classic.pcapng"),
                _ => word.replace("DIR", &path(&format!("folder-{name}"))).replace("NEW", name),
            })
            .collect();
        ddes_at(&self.home, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A file of what is typed.
    pub(crate) fn typed(&self) -> PathBuf {
        let path = self.home.join("typed");
        std::fs::write(&path, INPUT).unwrap();
        path
    }

    /// What it shows, where everything is as it should be.
    pub(crate) fn prepare(&self, line: &str, name: &str) -> String {
        let (code, shown, error) = output(self.command(line, name));
        assert_eq!(code, 0, "{line}: {error}");
        shown
    }
}

pub(crate) fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// As of a full disk.
    Full,
    Closed,
    /// Whoever read is gone.
    Gone,
}

const FAULTS: [Fault; 3] = [Fault::Full, Fault::Closed, Fault::Gone];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

/// The command with a fault in one of its streams.
fn faulty(mut command: Command, stream: Stream, fault: Fault) -> Command {
    if fault == Fault::Closed {
        let redirection = if stream == Stream::Output { ">&-" } else { "2>&-" };
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        return shell;
    }
    let sink: Stdio = match fault {
        Fault::Full => OpenOptions::new().write(true).open("/dev/full").unwrap().into(),
        Fault::Closed | Fault::Gone => std::io::pipe().unwrap().1.into(),
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    match stream {
        Stream::Output => command.stdout(sink),
        Stream::Error => command.stderr(sink),
    };
    command
}

/// How it ends where [`INPUT`] is typed.
fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // Its ends of the pipes.
    drop(command);
    // Who reads nothing may be gone already.
    drop(child.stdin.take().unwrap().write_all(INPUT));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn piped(mut command: Command) -> Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Every command that `--help` lists, but `serve`, which goes on; with each form of output.
pub(crate) fn each(site: &Site, mut check: impl FnMut(&str, &dyn Fn() -> Command)) {
    for (before, line) in COMMANDS {
        for line in [(*line).to_owned(), format!("{line} --json")] {
            check(&line, &|| {
                let name = new_name();
                if !before.is_empty() {
                    site.prepare(before, &name);
                }
                site.command(&line, &name)
            });
        }
    }
}

/// The commands below one, as its `--help` lists them.
fn listed(above: &str) -> Vec<String> {
    let words: Vec<_> = above.split_whitespace().chain(["--help"]).collect();
    let (_, help, _) = output(ddes_at(&folder(), &words));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names =
        commands.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(|name| format!("{above} {name}").trim().to_owned()).collect()
}

#[test]
fn each_command_that_help_lists_is_among_those_that_are_tried() {
    let mut leaves = BTreeSet::new();
    for top in listed("") {
        let below = listed(&top);
        leaves.extend(if below.is_empty() { vec![top] } else { below });
    }
    // These two run until they are ended.
    assert!(leaves.len() > 15 && leaves.remove("serve") && leaves.remove("capture"), "{leaves:?}");
    // It needs a database: postgres.rs.
    assert!(leaves.remove("ledger raise"));
    assert!(leaves.remove("ledger migrate"));
    for leaf in leaves {
        let start = format!("{leaf} ");
        assert!(COMMANDS.iter().any(|(_, line)| format!("{line} ").starts_with(&start)), "{leaf}");
    }
}

#[test]
fn what_standard_output_does_not_take_is_an_error_and_a_reader_who_left_is_141() {
    let site = Site::new();
    each(&site, |line, command| {
        for fault in FAULTS {
            let (code, _, error) = ended(faulty(command(), Stream::Output, fault));
            let what = format!("{line}: {fault:?}: {code:?} {error}");
            match fault {
                Fault::Full => assert!(error.contains("No space left on device"), "{what}"),
                Fault::Closed => assert!(error.contains("Bad file descriptor"), "{what}"),
                Fault::Gone => assert_eq!(code, Some(141), "{what}"),
            }
            if fault != Fault::Gone {
                assert_eq!(code, Some(1), "{what}");
                assert!(error.contains("cannot write standard output"), "{what}");
            }
        }
    });
}

#[test]
fn standard_error_that_takes_nothing_changes_nothing() {
    let site = Site::new();
    each(&site, |line, command| {
        let (code, shown, error) = ended(piped(command()));
        assert_eq!(code, Some(0), "{line}: {error}");
        for fault in FAULTS {
            let (code, out, _) = ended(faulty(command(), Stream::Error, fault));
            assert_eq!(code, Some(0), "{line}: {fault:?}");
            // How many intervals a run has is the clock's.
            if !line.starts_with("bench run") {
                assert_eq!(out.lines().count(), shown.lines().count(), "{line}: {fault:?}: {out}");
            }
        }
    });
}

#[test]
fn an_error_keeps_its_code_whatever_takes_it() {
    let home = folder();
    for (line, expected) in [
        ("total --server 127.0.0.1:1", 3),
        (
            "send --server 127.0.0.1:1 --trust SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA 5",
            3,
        ),
        ("trust rm nobody:1", 1),
        ("ledger verify", 1),
        ("send", 2),
        ("send x", 2),
        ("nothing", 2),
        ("", 2),
    ] {
        for json in [&[][..], &["--json"]] {
            let words: Vec<_> = line.split_whitespace().chain(json.iter().copied()).collect();
            for stream in [Stream::Output, Stream::Error] {
                for fault in FAULTS {
                    let (code, out, error) = ended(faulty(ddes_at(&home, &words), stream, fault));
                    let what = format!("{words:?}: {stream:?} {fault:?}: {out}{error}");
                    assert_eq!(code, Some(expected), "{what}");
                    let is_lost = stream == Stream::Error && json.is_empty();
                    assert!(is_lost || out.contains("\"error\"") || !error.is_empty(), "{what}");
                }
            }
        }
    }
}

#[test]
fn help_and_version_that_cannot_be_shown_are_errors_too() {
    let home = folder();
    for words in
        [&["--help"][..], &["--version"], &["help"], &["send", "--help"], &["help", "ledger"]]
    {
        assert_eq!(ended(piped(ddes_at(&home, words))).0, Some(0));
        for (fault, expected) in FAULTS.into_iter().zip([1, 1, 141]) {
            let (code, _, error) = ended(faulty(ddes_at(&home, words), Stream::Output, fault));
            assert_eq!(code, Some(expected), "{words:?} {fault:?}: {error}");
            assert_eq!(
                error.contains("standard output"),
                expected == 1,
                "{words:?} {fault:?}: {error}"
            );
        }
    }
}

#[test]
fn an_integer_that_was_counted_though_its_total_was_not_shown_is_said_on_standard_error() {
    let site = Site::new();
    for (line, counted, sum) in [
        ("send -q --server SERVER --trust TRUST --as NEW 40 2", 1, 40),
        ("send -q --server SERVER --trust TRUST --as NEW -", 2, 55),
        ("send -q --server SERVER --trust TRUST --as NEW --outbox DIR 40 2", 1, 40),
        ("send -q --classic --server CLASSIC 40 2", 1, 40),
        ("send -q --classic --server CLASSIC -", 2, 55),
    ] {
        for fault in FAULTS {
            let command = site.command(line, &new_name());
            let (_, _, error) = ended(faulty(command, Stream::Output, fault));
            let said = format!(
                "after counting {counted}: the last integer is counted, the sum is {sum}: "
            );
            assert!(error.contains(&said), "{line} {fault:?}: {error}");
        }
    }
}

fn is_counted(site: &Site, address: &str, since: Instant) {
    let line = format!("send -q --no-input --server {address} --trust TRUST --as {} 5", new_name());
    loop {
        let (code, _, error) = output(site.command(&line, ""));
        if code == 0 {
            return;
        }
        assert!(code == 3 && since.elapsed() < WAIT_MAX, "{code} {error}");
    }
}

#[test]
fn a_server_goes_on_whatever_becomes_of_its_output() {
    let site = Site::new();
    for json in [&[][..], &["--json"]] {
        for (stream, fault) in
            FAULTS.map(|fault| [(Stream::Output, fault), (Stream::Error, fault)]).concat()
        {
            let address = crate::unused_address();
            let flags = ["serve", "--ledger", "memory", "--allow-any", "--listen", &address];
            let mut serve =
                faulty(ddes_at(&site.home, &[&flags[..], json].concat()), stream, fault);
            let mut server = serve.stdin(Stdio::null()).spawn().unwrap();
            drop(serve);
            is_counted(&site, &address, Instant::now());
            kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
            let code = server.wait().unwrap().code();
            let mut error = String::new();
            server.stderr.take().map(|mut stderr| stderr.read_to_string(&mut error).unwrap());
            assert_eq!(code, Some(0), "{stream:?} {fault:?}: {error}");
            // What could not be shown is counted, and said where it can be.
            assert_eq!(
                error.contains("lines could not be shown"),
                stream == Stream::Output,
                "{fault:?}: {error}"
            );
        }
    }
}

#[test]
fn a_courier_with_patience_goes_on_where_it_cannot_say_that_the_server_is_away() {
    let site = Site::new();
    for fault in FAULTS {
        let away = TcpListener::bind(crate::unused_address()).unwrap();
        let address = away.local_addr().unwrap().to_string();
        let line = format!("send --server {address} --trust TRUST --as NEW --outbox DIR 40 2");
        let mut send = faulty(site.command(&line, &new_name()), Stream::Error, fault);
        let mut child: Child = send.spawn().unwrap();
        drop(send);
        // It comes again after it was to say that it was cut off.
        (0..2).for_each(|_| drop(away.accept().unwrap()));
        drop(away);
        let server = serve_at(&site, &address);
        let mut shown = String::new();
        child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*shown), (Some(0), "40\n42\n"), "{fault:?}");
        drop(server);
    }
}

fn serve_at(site: &Site, address: &str) -> Running {
    let flags = ["serve", "--json", "--ledger", "memory", "--allow-any", "--listen", address];
    crate::started(ddes_at(&site.home, &flags))
}

#[test]
fn a_benchmark_that_nobody_reads_any_more_ends_and_keeps_its_record() {
    let site = Site::new();
    let line = "bench run --json --yes --server SERVER --trust TRUST --sessions 1 --warmup 0 --duration 3600 --save DIR";
    let name = new_name();
    let mut child =
        site.command(line, &name).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"interval\""), "{first}");
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(
        (status.code(), &*stderr),
        (Some(141), &b""[..]),
        "{}",
        String::from_utf8_lossy(&stderr)
    );
    assert!(site.home.join(format!("folder-{name}")).is_file());
}

#[test]
fn a_pipe_that_does_not_block_and_is_read_slowly_gets_every_line() {
    let home = folder();
    let (reader, writer) = std::io::pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    let mut command = ddes_at(&home, &["bench", "keys", "--sessions", "3000"]);
    let mut child = command.stdout(writer).spawn().unwrap();
    drop(command);
    let lines = BufReader::with_capacity(64, reader).lines().map(Result::unwrap);
    assert_eq!(lines.filter(|line| line.starts_with("ssh-ed25519 ")).count(), 3000);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_stream_that_is_open_for_reading_only_is_an_error() {
    let home = folder();
    let mut command = ddes_at(&home, &["bench", "keys", "--sessions", "1"]);
    command.stdout(File::open("/dev/null").unwrap()).stderr(Stdio::piped());
    let (code, _, error) = ended(command);
    assert_eq!((code, error.contains("Bad file descriptor")), (Some(1), true), "{error}");
}

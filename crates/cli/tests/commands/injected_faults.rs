//! Calls that fail in the middle, or are interrupted: strace injects what no file or pipe gives at
//! will.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::files::{can, has};
use crate::input_faults::{READERS, Site as Inputs};
use crate::output_faults::{Site as Outputs, each, new_name};

/// `command` under strace, with a fault in the calls `call` on the file at `path`.
fn traced(command: &Command, path: &Path, call: &str, fault: &str) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-P"]).arg(path);
    strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")]);
    strace.arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace
}

/// Numbers enough for several reads, and their sum.
fn numbers(path: &Path) -> i128 {
    let lines: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(path, lines).unwrap();
    200_010_000
}

#[test]
fn a_read_that_is_interrupted_changes_nothing_and_one_that_fails_in_the_middle_is_an_error() {
    if !can("strace", has("strace")) {
        return;
    }
    let site = Inputs::new();
    let path = site.home.join("numbers");
    let sum = numbers(&path);
    for reader in READERS.iter().filter(|reader| reader.contains(&"send")) {
        let command = site.command(reader);
        let run = |fault: &str| {
            let mut command = traced(&command, &path, "read", fault);
            command.stdin(File::open(&path).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let output = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let (code, shown, error) = run("error=EIO:when=2");
        // JSON's errors are among what is shown.
        let error = shown + &error;
        assert_eq!(code, Some(1), "{reader:?}: {error}");
        assert!(error.contains("cannot read standard input"), "{reader:?}: {error}");
        assert!(error.contains("Input/output error"), "{reader:?}: {error}");
    }
    for reader in READERS.iter().filter(|reader| reader.contains(&"send")) {
        let mut command = traced(&site.command(reader), &path, "read", "error=EINTR:when=1+2");
        command.stdin(File::open(&path).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{reader:?}: {error}");
        assert!(shown.contains(&format!("\"sum\":\"{sum}\"")), "{reader:?}: {shown}");
    }
}

#[test]
fn a_write_that_is_interrupted_changes_nothing_and_one_that_fails_is_an_error() {
    if !can("strace", has("strace")) {
        return;
    }
    let site = Outputs::new();
    let path = site.home.join("shown");
    each(&site, |line, command| {
        let run = |fault: &str| {
            let mut command = traced(&command(), &path, "write", fault);
            command.stdin(File::open(site.typed()).unwrap());
            command.stdout(File::create(&path).unwrap()).stderr(Stdio::piped());
            let output = command.output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            (output.status.code(), std::fs::read_to_string(&path).unwrap(), error)
        };
        let (code, shown, error) = run("error=EIO:when=1");
        let error = shown + &error;
        assert_eq!(code, Some(1), "{line}: {error}");
        assert!(
            error.contains("cannot write standard output: Input/output error"),
            "{line}: {error}"
        );
        let (code, shown, error) = run("error=EINTR:when=1+2");
        assert_eq!((code, shown.is_empty()), (Some(0), false), "{line}: {error}");
    });
}

/// As on exFAT.
#[test]
fn a_file_system_without_hard_links_is_named_as_the_cause() {
    if !can("strace", has("strace")) {
        return;
    }
    let home = crate::folder();
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-e", "trace=renameat2,linkat"]);
    strace.args(["-e", "inject=renameat2:error=EINVAL", "-e", "inject=linkat:error=EPERM"]);
    strace.args([env!("CARGO_BIN_EXE_ddes"), "key", "new", "anna", "--home"]).arg(&home);
    let (code, _, error) = crate::output(strace);
    assert_ne!(code, 0);
    assert!(error.contains("this file system has neither hard links nor"), "{error}");
    assert!(!home.join("identities/anna").exists());
}

/// Hints repeat the flags that name what was looked at.
#[test]
fn hints_name_the_home_and_the_ledger_that_were_named() {
    let site = Outputs::new();
    let home = site.home.display().to_string();
    let elsewhere = crate::folder();
    for flags in [&["--home", &home][..], &["--home", &home, "--ledger", &format!("{home}/ledger")]]
    {
        for words in [&["ledger", "receipt", "nobody"][..], &["ledger", "receipt", "--checkpoint"]]
        {
            let (_, _, error) = crate::output(crate::ddes_at(&elsewhere, &[words, flags].concat()));
            assert!(error.contains(&flags.join(" ")), "{words:?} {flags:?}: {error}");
        }
    }
}

#[test]
fn a_standard_error_that_fails_or_is_interrupted_changes_nothing() {
    if !can("strace", has("strace")) {
        return;
    }
    let site = Outputs::new();
    let path = site.home.join(new_name());
    each(&site, |line, command| {
        for fault in ["error=EIO:when=1+", "error=EINTR:when=1+2"] {
            let mut command = traced(&command(), &path, "write", fault);
            command.stdin(File::open(site.typed()).unwrap());
            command.stdout(Stdio::piped()).stderr(File::create(&path).unwrap());
            let output = command.output().unwrap();
            assert_eq!(
                (output.status.code(), output.stdout.is_empty()),
                (Some(0), false),
                "{line}: {fault}"
            );
        }
    });
}

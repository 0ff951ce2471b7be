//! The `console` blocks of README.md, run in one shell from an empty home, print what they show.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{folder, output, root, unused_address};

/// What stands between the outputs of two commands.
const MARK: &str = "--- next ---";
const PORT: &str = "5566";
/// The pages with such blocks.
pub(crate) const READ: &[&str] = &["README.md"];

/// The commands of the text's `console` blocks, each with the lines it prints.
fn transcript(text: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match (line, is_inside) {
            ("```console", false) => is_inside = true,
            ("```", true) => is_inside = false,
            (_, false) => {}
            (line, true) => match line.strip_prefix("$ ") {
                Some(command) => commands.push((command.to_owned(), Vec::new())),
                None => commands.last_mut().unwrap().1.push(line.to_owned()),
            },
        }
    }
    commands
}

/// `…` stands for anything.
fn fits(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed,
        Some((before, after)) => {
            printed.len() >= before.len() + after.len()
                && printed.starts_with(before)
                && printed.ends_with(after)
        }
    }
}

#[test]
fn the_readme_s_transcript_prints_what_it_shows() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let commands = transcript(&text);
    assert!(commands.iter().filter(|(_, printed)| !printed.is_empty()).count() >= 4);
    let (home, address) = (folder(), unused_address());
    let port = address.rsplit(':').next().unwrap();
    let mut script = String::from("trap 'kill -9 $(jobs -p) 2> shell.log' EXIT\n");
    for (command, _) in &commands {
        // A second is enough for a person's machine; here the log says when the server is there.
        let command =
            command.replace("sleep 1", "until grep -q listening server.log; do sleep 0.05; done");
        script += &format!("{}\necho '{MARK}'\n", command.replace(PORT, port));
    }
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(&home).stdin(Stdio::null()).env("HOME", &home);
    let programs = Path::new(env!("CARGO_BIN_EXE_ddes")).parent().unwrap();
    shell.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
    let address = format!("127.0.0.1:{port}");
    shell.env("TMPDIR", &home);
    shell.env("DDES_SERVER", &address).env("DDES_LISTEN", &address);
    for name in ["DDES_HOME", "DDES_AS", "DDES_LEDGER", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        shell.env_remove(name);
    }
    let (_, printed, errors) = output(shell);
    let mark = format!("{MARK}\n");
    let mut parts = printed.split(&mark);
    for (command, shown) in &commands {
        let printed: Vec<_> = parts.next().unwrap().lines().collect();
        let shown: Vec<_> = shown.iter().map(|line| line.replace(PORT, port)).collect();
        let is_same = shown.len() == printed.len()
            && shown.iter().zip(&printed).all(|(shown, printed)| fits(shown, printed));
        assert!(is_same, "{command}\nshows {shown:#?}\nprints {printed:#?}\n{errors}");
    }
}

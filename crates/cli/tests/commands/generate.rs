//! `ddes generate`: manual pages and completions, as packagers make them.

use std::fs;
use std::process::Command;

use crate::files::{can, has};
use crate::{ddes_at, folder, output};

fn completions(shell: &str) -> String {
    let (code, text, error) = output(ddes_at(&folder(), &["generate", "completions", shell]));
    assert_eq!((code, error.as_str()), (0, ""));
    text
}

#[test]
fn the_completion_of_bash_loads_and_completes_commands() {
    let path = folder().join("ddes.bash");
    fs::write(&path, completions("bash")).unwrap();
    let path = path.display();
    let script = format!(
        "bash -n {path} && source {path} && complete -p ddes && COMP_WORDS=(ddes doc) COMP_CWORD=1 \
         && _ddes ddes doc ddes && echo \"${{COMPREPLY[@]}}\""
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script]);
    let (code, out, error) = output(bash);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains("-F _ddes ddes\n") && out.ends_with("\ndoctor\n"), "{out}");
}

#[test]
fn the_completions_of_the_other_shells_are_read_by_them() {
    for (shell, flags) in [("zsh", &["-n"][..]), ("fish", &["--no-execute"])] {
        let path = folder().join(format!("ddes.{shell}"));
        fs::write(&path, completions(shell)).unwrap();
        if can(shell, has(shell)) {
            let mut command = Command::new(shell);
            command.args(flags).arg(&path);
            let (code, _, error) = output(command);
            assert_eq!((code, error.as_str()), (0, ""), "{shell}");
        }
    }
    let nushell = completions("nushell");
    assert!(nushell.contains("export extern \"ddes doctor\""), "{nushell}");
}

#[test]
fn each_command_has_a_manual_page_that_renders_without_a_warning() {
    let folder = folder();
    let man = ["generate", "man", folder.to_str().unwrap()];
    assert_eq!(output(ddes_at(&folder, &man)), (0, String::new(), String::new()));
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in ["ddes.1", "ddes-serve.1", "ddes-ledger-verify.1", "ddes-doctor.1"] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("generate")));
    if !can("groff", has("groff")) {
        return;
    }
    for name in &names {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tutf8", "-ww", "-z"]).arg(folder.join(name));
        assert_eq!(output(groff), (0, String::new(), String::new()), "{name:?}");
    }
    let page = fs::read_to_string(folder.join("ddes-check.1")).unwrap();
    assert!(page.contains(".SH EXAMPLES") && page.contains(".EX\n"), "{page}");
}

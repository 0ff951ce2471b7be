//! `ddes version`: what it says of the build and of this processor, and where its commit is from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{ddes_at, folder, output, root};

fn version(flags: &[&str]) -> String {
    let (code, out, error) = output(ddes_at(&folder(), &[&["version"], flags].concat()));
    assert_eq!((code, &*error), (0, ""));
    out
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let who = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    let settings = ["-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"];
    let mut git = Command::new("git");
    // A repository of this user's environment is none of the test's.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = git.args(who).args(settings).args(arguments).current_dir(folder).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn a_program_reads_which_build_this_is_and_which_engines_run_here() {
    let out = version(&["--json"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&object["event"], &object["version"]), (&"version".into(), &version_of_cargo()));
    let (_, host, _) = output(command("rustc", &["-vV"]));
    let of_host = |name: &str| {
        let line = host.lines().find_map(|line| line.strip_prefix(name));
        Value::from(line.unwrap_or_else(|| panic!("{host}")).trim())
    };
    assert_eq!((&object["rustc"], &object["target"]), (&of_host("release:"), &of_host("host:")));
    let features = object["features"].as_array().unwrap();
    assert!(features.contains(&"debug".into()) && !features.contains(&"static".into()), "{out}");
    // Its own sources, as they are checked out here, unless somebody names them or has none.
    let commit = git(&root(), &["rev-parse", "HEAD"]).filter(|_| root().join(".git").exists());
    if std::env::var_os("DDES_COMMIT").is_none() {
        assert_eq!(object["commit"], commit.map_or(Value::Null, Value::from), "{out}");
    }
    #[cfg(target_arch = "x86_64")]
    {
        use std::is_x86_feature_detected as has;
        let cipher = match (has!("avx512f") && has!("avx512vl"), has!("avx2")) {
            (true, _) => ("avx512", 512),
            (false, true) => ("avx2", 256),
            (false, false) => ("portable", 64),
        };
        let found = (&object["cipher_engine"], &object["cipher_lane_bits"]);
        assert_eq!(found, (&cipher.0.into(), &cipher.1.into()));
        let adx = has!("adx") && has!("bmi2");
        let expected = match (has!("avx512f") && has!("avx512ifma"), adx) {
            (true, _) => "ifma",
            (false, true) => "adx",
            (false, false) => "portable",
        };
        assert_eq!(object["exponentiation_engine"], expected);
    }
}

fn version_of_cargo() -> Value {
    env!("CARGO_PKG_VERSION").into()
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[test]
fn a_person_reads_the_same_and_a_script_the_number_alone() {
    let object: Value = serde_json::from_str(&version(&["--json"])).unwrap();
    let text = version(&[]);
    assert!(text.starts_with(&format!("ddes {}\n", env!("CARGO_PKG_VERSION"))), "{text}");
    for name in ["target", "rustc", "cipher_engine", "cipher_lane_bits", "exponentiation_engine"] {
        let value = object[name].to_string();
        assert!(text.contains(value.trim_matches('"')), "{name}: {text}");
    }
    assert!(text.contains(object["commit"].as_str().unwrap_or("unknown")), "{text}");
    assert_eq!(version(&["--quiet"]), format!("{}\n", env!("CARGO_PKG_VERSION")));
    let (code, out, _) = output(ddes_at(&folder(), &["--version"]));
    assert_eq!((code, out), (0, format!("ddes {}\n", env!("CARGO_PKG_VERSION"))));
}

/// The build script by itself, as cargo runs it.
struct Script(PathBuf);

impl Script {
    fn build() -> Self {
        let program = folder().join("build-script");
        let source = root().join("crates/cli/build.rs");
        let mut rustc = command("rustc", &["--edition", "2024", "--crate-name", "build_script"]);
        rustc.arg(source).arg("-o").arg(&program);
        let (code, _, error) = output(rustc);
        assert_eq!(code, 0, "{error}");
        Self(program)
    }

    /// Its exit code, and what it said, run in a folder where cargo would.
    fn run(&self, folder: &Path, set: &[(&str, &str)]) -> (i32, String) {
        let mut command = Command::new(&self.0);
        command.current_dir(folder).env("TARGET", "a-target").env("RUSTC", "rustc");
        command.env_remove("DDES_COMMIT").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        let (code, out, error) = output({
            command.envs(set.iter().copied());
            command
        });
        (code, out + &error)
    }

    fn commit(&self, folder: &Path, set: &[(&str, &str)]) -> String {
        let (code, said) = self.run(folder, set);
        assert_eq!(code, 0, "{said}");
        let line = said.lines().find_map(|l| l.strip_prefix("cargo:rustc-env=DDES_BUILD_COMMIT="));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    }
}

#[test]
fn the_commit_is_of_this_project_s_own_repository_or_named_or_unknown() {
    let script = Script::build();
    // An archive, unpacked in the repository of something else.
    let other = folder();
    let cli = other.join("crates/cli");
    fs::create_dir_all(&cli).unwrap();
    fs::write(cli.join("build.rs"), "").unwrap();
    git(&other, &["init", "--quiet"]).unwrap();
    git(&other, &["commit", "--quiet", "--allow-empty", "--message", "other"]).unwrap();
    assert_eq!(script.commit(&cli, &[]), "");
    assert_eq!(script.commit(&other, &[]), "");
    let named = "ABCDEF0123456789abcdef0123456789abcdef01";
    assert_eq!(script.commit(&cli, &[("DDES_COMMIT", named)]), named.to_lowercase());
    for wrong in ["main", "abc", "0123456789abcdefg", "abcdef1\ncargo:rustc-cfg=x"] {
        let (code, said) = script.run(&cli, &[("DDES_COMMIT", wrong)]);
        assert!(code != 0 && said.contains("hexadecimal digits"), "{wrong}: {said}");
    }
    // A checkout.
    git(&other, &["add", "--all"]).unwrap();
    git(&other, &["commit", "--quiet", "--message", "ours"]).unwrap();
    let head = git(&other, &["rev-parse", "HEAD"]).unwrap();
    assert_eq!(script.commit(&cli, &[]), head);
    assert_eq!(script.commit(&cli, &[("DDES_COMMIT", "")]), head);
    // Each commit changes one of the files at which the script runs again, and each is there: of
    // one that is not, cargo would say at each build that it has changed.
    let (_, said) = script.run(&cli, &[]);
    let watched = said.lines().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed="));
    let watched: Vec<_> = watched.map(|path| cli.join(path)).collect();
    let read = || watched.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let before = read();
    git(&other, &["commit", "--quiet", "--allow-empty", "--message", "next"]).unwrap();
    assert_ne!(before, read(), "{watched:?}");
    // Without git.
    let rustc = std::env::var("PATH").unwrap();
    let rustc = std::env::split_paths(&rustc).map(|path| path.join("rustc"));
    let rustc = rustc.into_iter().find(|path| path.exists()).unwrap().display().to_string();
    let nothing = folder().display().to_string();
    assert_eq!(script.commit(&cli, &[("PATH", &nothing), ("RUSTC", &rustc)]), "");
}

//! `cargo xtask release`: all files of a release, from the newest commit, in
//! target/release-VERSION. `--reproduce` makes them twice, in two folders, and compares them byte
//! for byte. `--short` builds the one static file twice without optimisation, from the files as
//! they are here, and lets it serve where nothing else is. `--alone` does the latter with a file;
//! one for another processor needs an emulator.

mod alone;
mod files;
mod recipe;
pub(crate) mod source;
mod tools;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::shell;
use recipe::{AARCH64, Recipe, X86_64};
use source::Commit;

const USAGE: &str = "usage: cargo xtask release [--reproduce | --short | --alone FILE [EMULATOR]]";
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => {
            let _held = held()?;
            let out = target()?.join(format!("release-{VERSION}"));
            make(&Commit::newest()?, &target()?.join("release-source"), &out)?;
            println!("made {}:\n{}", out.display(), files::listing(&out)?);
            Ok(())
        }
        ["--reproduce"] => reproduce(),
        ["--short"] => short(),
        ["--alone", program] => alone::serves(Path::new(program), None),
        ["--alone", program, emulator] => alone::serves(Path::new(program), Some(emulator)),
        _ => Err(USAGE.into()),
    }
}

/// By its whole path: what makes a release runs in other folders.
fn target() -> Result<PathBuf, String> {
    std::path::absolute(process::target()).map_err(|error| error.to_string())
}

/// Everything, from a copy of the commit in `tree`, to the folder `out`.
fn make(commit: &Commit, tree: &Path, out: &Path) -> Result<(), String> {
    source::export(commit, tree)?;
    files::empty(out)?;
    let recipe = Recipe::new(tree, commit)?;
    let named = |platform: &str| out.join(format!("ddes-{VERSION}-{platform}"));
    // Each is looked at once it is there: the next takes as long again.
    for one_file in [X86_64, AARCH64] {
        let program = named(one_file.platform);
        files::copy(&recipe.one_file(&one_file, "dist", true)?, &program)?;
        is_as_said(&recipe, &program, one_file.emulator)?;
        alone::serves(&program, one_file.emulator)?;
    }
    let dynamic = named("x86_64-linux");
    let built = recipe.dynamic()?;
    files::copy(&built, &dynamic)?;
    is_as_said(&recipe, &dynamic, None)?;
    crate::package::of_release(tree, &built, out, |command| recipe.settle(command))?;
    is_as_said(&recipe, &unpacked(out, &tree.join("target/unpacked"))?, None)?;
    recipe.python(out)?;
    recipe.list_of_materials(&out.join(format!("ddes-{VERSION}.cdx.json")))?;
    let changes = files::read_text(&tree.join("CHANGELOG.md"))?;
    files::write(&out.join("NOTES.md"), files::notes(&changes, VERSION)?.as_bytes())?;
    // Last: where a step fails, there are none.
    files::write_sums(out)
}

fn is_as_said(recipe: &Recipe, program: &Path, emulator: Option<&str>) -> Result<(), String> {
    recipe.names_no_place(program)?;
    recipe.names_its_commit(program, emulator)?;
    tools::lists_its_dependencies(program)
}

/// The program in the Debian package, as dpkg would install it below `folder`.
fn unpacked(out: &Path, folder: &Path) -> Result<PathBuf, String> {
    let package = files::only(out, ".deb")?;
    files::empty(folder)?;
    process::output(Command::new("dpkg-deb").arg("--extract").args([&package, folder]))?;
    Ok(folder.join("usr/bin/ddes"))
}

/// Holds the folders of a release until the file is dropped: two runs at once would each remove
/// what the other one is making.
fn held() -> Result<File, String> {
    let path = process::target().join("release.lock");
    files::make(&process::target())?;
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let held = file.try_lock().map(|()| file);
    held.map_err(|error| format!("another release is being made ({}: {error})", path.display()))
}

/// Two folders of other names and other lengths, each begun anew.
fn reproduce() -> Result<(), String> {
    let _held = held()?;
    let commit = Commit::newest()?;
    let work = target()?.join("reproduce");
    let elsewhere = std::env::temp_dir().join(format!("ddes-release-{}", std::process::id()));
    let trees = [work.join("source"), elsewhere.join("a-folder-elsewhere/source")];
    let outs = [work.join("one"), work.join("two")];
    for (tree, out) in trees.iter().zip(&outs) {
        files::empty(tree)?;
        make(&commit, tree, out)?;
        // The second is not to find the first's, and both take gigabytes.
        files::remove(tree)?;
    }
    files::remove(&elsewhere)?;
    files::equal(&outs[0], &outs[1])?;
    println!(
        "two builds of {} in two folders are equal:\n{}",
        commit.id,
        files::listing(&outs[0])?
    );
    Ok(())
}

/// The folders stay in the cache, so that only what changed is built again.
fn short() -> Result<(), String> {
    let commit = Commit::unnamed();
    let work = shell::cache("release-short")?;
    let _held = shell::hold(&work.join("lock"))?;
    let trees = [work.join("one"), work.join("another-place")];
    let mut made = Vec::new();
    for tree in &trees {
        source::copy_as_they_are(tree)?;
        let recipe = Recipe::new(tree, &commit)?;
        let program = recipe.one_file(&X86_64, "twice", false)?;
        recipe.names_no_place(&program)?;
        made.push(program);
    }
    files::same_bytes(&made[0], &made[1])?;
    println!("two builds in two folders are equal");
    alone::serves(&made[0], None)
}

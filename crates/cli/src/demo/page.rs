//! The page of the demo's server: opened in the browser, where there is one.

use std::env;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

#[cfg(target_os = "macos")]
const OPENER: &str = "open";
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";

/// Whether a window can be opened.
pub(super) fn has_display() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Opens the link; whether that was begun. Every user of this machine can read the arguments of a
/// process: it gets the name of a file that only this user can read, and that leads to the link.
pub(super) fn open(home: &Path, link: &str) -> bool {
    let path = home.join("open.html");
    let escaped = link.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let text = format!("<meta http-equiv=\"refresh\" content=\"0;url={escaped}\">");
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
    if file.and_then(|mut file| file.write_all(text.as_bytes())).is_err() {
        return false;
    }
    let mut command = Command::new(OPENER);
    command.arg(&path).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut opener) = command.spawn() else { return false };
    // Waited for, so that it leaves no zombie; how it ends is the browser's matter.
    let waiting = thread::Builder::new().name("opener".into()).spawn(move || drop(opener.wait()));
    waiting.is_ok()
}

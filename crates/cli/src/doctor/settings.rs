//! The settings that `ddes serve` would have here: its flags, variables, file and defaults.

use std::ffi::OsString;
use std::path::Path;

use super::Finding;
use crate::args::{DoctorArgs, HttpPlace, ServeArgs};
use crate::config::{CommandLine, Configuration};
use crate::failure::Failure;

const TOPIC: &str = "config";

/// What the server would run with, and what is to be said of it. With a file that cannot be used,
/// the rest is looked at without it.
pub(super) fn find(args: &DoctorArgs) -> Result<(ServeArgs, Finding), Failure> {
    let line = line(args);
    match Configuration::load(&line, args.config.as_deref()) {
        Ok(Configuration { args, file: Some(file), .. }) => {
            Ok((args, Finding::ok(TOPIC, format!("{} has no errors", file.display()))))
        }
        Ok(Configuration { args, file: None, .. }) => {
            Ok((args, Finding::ok(TOPIC, "there is no configuration file")))
        }
        Err(unusable) => {
            let failure = Failure::from(unusable);
            let Configuration { args, .. } =
                Configuration::load(&line, Some(Path::new("/dev/null")))?;
            Ok((args, Finding::failed(TOPIC, &failure, "ddes config check")))
        }
    }
}

fn line(args: &DoctorArgs) -> CommandLine {
    let mut flags = Vec::new();
    let mut add = |flag: &str, value: OsString| {
        let mut text = OsString::from(flag);
        text.push("=");
        text.push(value);
        flags.push(text);
    };
    if let Some(home) = args.home.home.as_ref().filter(|home| !home.as_os_str().is_empty()) {
        add("--home", home.into());
    }
    if let Some(listen) = args.listen {
        add("--listen", listen.to_string().into());
    }
    match args.http {
        Some(HttpPlace::At(address)) => add("--http", address.to_string().into()),
        Some(HttpPlace::Off) => add("--http", "off".into()),
        None => {}
    }
    if let Some(ledger) = &args.ledger {
        add("--ledger", ledger.into());
    }
    CommandLine::of_serve(flags)
}

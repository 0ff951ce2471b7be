//! What the system allows this user's processes. A service has limits of its own: see
//! packaging/ddes.service.

use ddes_server::Files;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::args;
use crate::limits;

const TOPIC: &str = "limits";

pub(super) fn look() -> Vec<Finding> {
    vec![open_files(), core_dumps(), file_size()]
}

fn open_files() -> Finding {
    let wanted = args::MAX_CONNECTIONS as usize;
    let needed = Files::needed(wanted);
    // The server raises its soft limit as far as the hard one.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX); // None: no limit.
    let remedy = format!("ulimit -Hn {needed}, as root; for a service LimitNOFILE={needed}");
    match Files::share(most, wanted) {
        Some(files) if files.connections_max == wanted => {
            Finding::ok(TOPIC, format!("{wanted} connections need {needed} open files, as allowed"))
        }
        Some(files) => Finding::warn(
            TOPIC,
            format!(
                "{most} open files are allowed: at most {} of {wanted} connections are taken",
                files.connections_max
            ),
            remedy,
        ),
        None => Finding::fail(TOPIC, format!("{most} open files are too few for a server"), remedy),
    }
}

/// Tried here, as the server does it.
fn core_dumps() -> Finding {
    match limits::no_core_dumps() {
        Ok(()) => Finding::ok(TOPIC, "the server can switch its core dumps off, and does"),
        Err(error) => Finding::fail(
            TOPIC,
            format!("core dumps cannot be switched off: {error}"),
            "ddes serve --core-dumps, where nobody else reads this machine's core files",
        ),
    }
}

fn file_size() -> Finding {
    match getrlimit(Resource::Fsize).current {
        None => Finding::ok(TOPIC, "files may have any size"),
        Some(most) => Finding::warn(
            TOPIC,
            format!("files may have {most} bytes at most; segments of the ledger have 64 MiB"),
            "ulimit -f unlimited; for a service LimitFSIZE=infinity",
        ),
    }
}

//! What the system allows the running server of this home, or else this user's processes.

use std::time::Duration;

use ddes_server::Files;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::args::ServeArgs;
use crate::home::Home;
use crate::limits;
use crate::serve::{RunningServer, http};

const TOPIC: &str = "limits";
/// The longest wait for a server to say who it is.
const ASK_MAX: Duration = Duration::from_secs(5);

pub(super) fn look(args: &ServeArgs, home: &Home) -> Vec<Finding> {
    vec![open_files(args, home), core_dumps(args), file_size()]
}

fn open_files(args: &ServeArgs, home: &Home) -> Finding {
    let wanted = args.max_connections as usize;
    let needed = Files::needed(wanted).saturating_add(http::files(args, u64::MAX));
    let (most, whose) = match running(home) {
        Some((pid, most)) => (most, format!("the running server (process {pid})")),
        // A server raises its soft limit as far as the hard one. None: no limit.
        None => {
            let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
            (most, "this shell, and not a service with its own limits,".to_owned())
        }
    };
    let left = most.saturating_sub(http::files(args, most));
    let remedy = format!("ulimit -Hn {needed}, as root; for a service LimitNOFILE={needed}");
    match Files::share(left, wanted) {
        Some(files) if files.connections_max == wanted => Finding::ok(
            TOPIC,
            format!("{wanted} connections need {needed} open files, which {whose} may have"),
        ),
        Some(files) => Finding::warn(
            TOPIC,
            format!(
                "{whose} may have {most} open files: at most {} of {wanted} connections are taken",
                files.connections_max
            ),
            remedy,
        ),
        None => Finding::fail(
            TOPIC,
            format!("{whose} may have {most} open files, too few for a server"),
            remedy,
        ),
    }
}

/// The server of this home that runs, and how many files it may open.
fn running(home: &Home) -> Option<(u64, u64)> {
    let servers = RunningServer::all(&home.sockets(), ASK_MAX).ok()?;
    let pid = servers.first()?.pid;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    Some((pid, soft_limit(&limits)?))
}

/// Of `Max open files`, in the text of proc_pid_limits(5).
fn soft_limit(limits: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Tried here, as the server does it.
fn core_dumps(args: &ServeArgs) -> Finding {
    if args.core_dumps {
        let text = "core dumps are allowed: they would hold the server's key";
        return Finding::warn(TOPIC, text, "core_dumps = false");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As `cat /proc/self/limits` prints it.
    #[test]
    fn the_limit_on_open_files_is_read_as_the_kernel_writes_it() {
        let text = |soft| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             128                  4096                 processes \n\
                 Max open files            {soft:20} 524288               files     \n"
            )
        };
        assert_eq!(soft_limit(&text("65536")), Some(65_536));
        assert_eq!(soft_limit(&text("unlimited")), Some(u64::MAX));
        assert_eq!(soft_limit("nonsense"), None);
    }
}

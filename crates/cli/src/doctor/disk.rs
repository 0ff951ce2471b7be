//! The disk below the ledger: how long it takes to make a write durable, and how much room it has.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::Finding;

const TOPIC: &str = "disk";
/// Writes that are timed, and the bytes of each: about what a batch of a few values has.
const WRITES: u16 = 20;
const WRITE_BYTES: u16 = 4096;

/// A median above this is a slow disk: each answer waits for one write.
const MEDIAN_MAX: Duration = Duration::from_millis(20);
/// A single write above this delays every client that waits.
const WORST_MAX: Duration = Duration::from_secs(1);
/// No disk makes 4 KiB durable in less: what answers so soon keeps them in memory.
const MEDIAN_MIN: Duration = Duration::from_micros(5);

/// Below this much room a warning, and below the next a failure: a segment has 64 MiB, and there
/// are two of them and a checkpoint at a time.
const ROOM_LOW: u64 = 2 << 30;
const ROOM_LEAST: u64 = 256 << 20;

/// File systems by their numbers (statfs(2)), and what is wrong with them below a ledger.
#[cfg(target_os = "linux")]
const UNFIT: [(u64, &str); 4] = [
    (0x0102_1994, "tmpfs, which a restart empties"),
    (0x8584_58f6, "ramfs, which a restart empties"),
    (0x794c_7630, "overlayfs: a container's own layer, which is removed with it"),
    (0x6969, "NFS, where a lock may be lost and a sync may end on the server's cache"),
];

pub(super) fn look(ledger: &Path) -> Vec<Finding> {
    let folder = existing(ledger);
    let findings = [latency(&folder), room(&folder)].into_iter();
    // Their numbers are Linux's.
    #[cfg(target_os = "linux")]
    let findings = findings.chain(kind(&folder));
    findings.collect()
}

/// The ledger's folder, or where it will be made.
fn existing(path: &Path) -> PathBuf {
    let above = path.ancestors().find(|folder| folder.is_dir());
    above.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn latency(folder: &Path) -> Finding {
    let mut times = match measure(folder) {
        Ok(times) => times,
        Err(error) => {
            return Finding::fail(
                TOPIC,
                format!("{}: a file cannot be written and synced: {error}", folder.display()),
                "run this as the owner of the ledger; df -h, and dmesg for the disk's own errors",
            );
        }
    };
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(Duration::ZERO);
    let worst = times.last().copied().unwrap_or(Duration::ZERO);
    let text = format!(
        "{WRITES} writes of 4 KiB, each synced: half of them within {}, all within {}",
        shown(median),
        shown(worst)
    );
    if median > MEDIAN_MAX || worst > WORST_MAX {
        let remedy = "put the ledger on a faster disk (--ledger DIR); iostat -x 1 shows the load";
        Finding::warn(TOPIC, format!("slow: {text}"), remedy)
    } else if median < MEDIAN_MIN {
        let remedy = "--ledger DIR on a disk; without one, totals may not outlive a power cut";
        Finding::warn(TOPIC, format!("no disk is that fast: {text}"), remedy)
    } else {
        Finding::ok(TOPIC, text)
    }
}

/// The file has no name once it is open, so that nothing is left, whatever happens.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".ddes-doctor-{}", std::process::id()));
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    // Blocks that are allocated already, as the journal's are.
    let zeros = vec![0; usize::from(WRITES) * usize::from(WRITE_BYTES)];
    file.write_all_at(&zeros, 0)?;
    file.sync_all()?;
    (0..WRITES).map(|number| time_write(&file, number)).collect()
}

fn time_write(file: &File, number: u16) -> io::Result<Duration> {
    let block = [0x5a; WRITE_BYTES as usize];
    let begin = Instant::now();
    file.write_all_at(&block, u64::from(number) * u64::from(WRITE_BYTES))?;
    file.sync_data()?;
    Ok(begin.elapsed())
}

fn shown(time: Duration) -> String {
    match time.as_micros() {
        micros @ ..10_000 => format!("{micros} µs"),
        _ => format!("{} ms", time.as_millis()),
    }
}

fn room(folder: &Path) -> Finding {
    let remedy = "free some room; ddes serve --history-days DAYS deletes old history";
    let found = match statvfs(folder) {
        Ok(found) => found,
        Err(error) => {
            let text = format!("the room in {} is not told: {error}", folder.display());
            return Finding::warn(TOPIC, text, format!("df -h {}", folder.display()));
        }
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} MiB are free in {}", free >> 20, folder.display());
    if free < ROOM_LEAST {
        Finding::fail(TOPIC, text, remedy)
    } else if free < ROOM_LOW {
        Finding::warn(TOPIC, text, remedy)
    } else {
        Finding::ok(TOPIC, text)
    }
}

/// A file system that is unfit for a ledger.
#[cfg(target_os = "linux")]
fn kind(folder: &Path) -> Option<Finding> {
    let found = rustix::fs::statfs(folder).ok()?;
    #[allow(clippy::cast_sign_loss, reason = "a number of 32 bits, in a type that is signed")]
    let number = found.f_type as u64 & 0xffff_ffff;
    let (_, what) = UNFIT.iter().find(|(unfit, _)| *unfit == number)?;
    Some(Finding::warn(
        TOPIC,
        format!("{} is on {what}", folder.display()),
        "--ledger DIR on a local disk, or a volume of its own for the container",
    ))
}

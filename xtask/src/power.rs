//! `cargo xtask power`: strace records every file call of a real server and every word of its
//! clients; a program that knows the ledger's insides then cuts the power at random points of that
//! record.

use std::path::Path;
use std::process::Command;

use crate::process::{self, HARNESS, World, clock, harness, option, program};
use crate::shell;

const IMAGES: u64 = 1_000;
/// In CI, and of the controls.
const IMAGES_SHORT: u64 = 40;
/// Values of each client. The short form crosses one segment's end, the long one two.
const VALUES: (u64, u64) = (110_000, 400_000);
const CLIENTS: usize = 8;
const CHUNK_MAX: u64 = 8_192;
/// What the same trace is taken for, and must be found out.
const CONTROLS: [(&str, &str); 2] =
    [("none", "without its syncs"), ("late", "with each sync after the answer")];
const CALLS: &str = "trace=openat,write,pwrite64,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,fallocate";

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let is_short = arguments.contains(&"--short");
    let images = option(arguments, "--images", if is_short { IMAGES_SHORT } else { IMAGES })?;
    let seed = option(arguments, "--seed", clock())?.to_string();
    process::build()?;
    shell::installed("strace", "strace")?;
    let world = World::new("power")?;
    let (values, controls) =
        if is_short { (VALUES.0, &CONTROLS[..1]) } else { (VALUES.1, &CONTROLS[..]) };
    let outcome =
        record(&world, values).and_then(|trace| judge(&world, &trace, images, &seed, controls));
    world.end(outcome)
}

/// One strace for the server and its clients, so that there is one order.
fn record(world: &World, values: u64) -> Result<String, String> {
    let (trace, outboxes) = (world.home.join("trace"), world.home.join("outboxes"));
    let script = format!(
        r#"
        "$1" serve --json --quiet --allow-any --listen "$3" --checkpoint-bytes 300000 --frame-values 8186 </dev/null >"$6" 2>&1 &
        server=$!
        echo {values} | "$2" couriers "$3" "$4" "$5" {CLIENTS} {CHUNK_MAX} 2 memory >&2
        code=$?
        kill $server
        wait $server
        exit $code"#
    );
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "2000000", "-e", CALLS, "-o"])
        .arg(&trace);
    strace.args(["sh", "-c", &script, "sh"]).args([program("ddes"), program(HARNESS)]);
    strace.args([&world.address, &world.key]).args([outboxes, world.home.join("said")]);
    process::output(strace.env("DDES_HOME", &world.home))?;
    Ok(trace.display().to_string())
}

fn judge(
    world: &World,
    trace: &str,
    images: u64,
    seed: &str,
    controls: &[(&str, &str)],
) -> Result<(), String> {
    let (ledger, clients) =
        (world.ledger().display().to_string(), world.home.join("outboxes/clients"));
    let clients = clients.display().to_string();
    let cut = |images: u64, syncs| {
        harness(&["power", trace, &ledger, &clients, &images.to_string(), seed, syncs])
    };
    print!("{}", cut(images, "whole")?);
    for (syncs, what) in controls {
        match cut(IMAGES_SHORT.min(images), syncs) {
            Ok(said) => {
                return Err(format!(
                    "the same trace {what} loses nothing: this harness proves nothing\n{said}"
                ));
            }
            Err(said) if said.contains("lost something") => {
                println!("{what}, as a control: {}", said.lines().next().unwrap_or(""));
            }
            Err(said) => return Err(said),
        }
    }
    let size = std::fs::metadata(Path::new(trace)).map_or(0, |file| file.len());
    println!("the trace has {} MB", size / 1_000_000);
    Ok(())
}

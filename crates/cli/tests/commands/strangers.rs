//! What strangers cause: counted, and summed up.

use std::io::BufRead;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::folder;
use crate::secure::serve;

/// A line of any kind is shorter.
const LINE_BYTES_MAX: usize = 512;

/// Of two kinds: they connect, and they leave.
#[test]
fn ten_thousand_connections_are_two_lines_a_second() {
    let home = folder();
    let flags = [
        "--max-connects-per-sec",
        "0",
        "--max-unproven",
        "1000000",
        "--max-connections",
        "1000000",
    ];
    let mut server = serve(&home, &[&["--ledger", "memory"], &flags[..]].concat());
    let start = Instant::now();
    for _ in 0..10_000 {
        drop(TcpStream::connect(&server.address).unwrap());
    }
    let (mut connected, mut gone, mut bytes, mut lines) = (0, 0, 0, 0);
    while connected < 10_000 || gone < 10_000 {
        let mut line = String::new();
        assert!(server.stdout.read_line(&mut line).unwrap() > 0, "it ended");
        let event: Value = serde_json::from_str(&line).unwrap();
        let (count, kind) = match event["event"].as_str().unwrap() {
            "summed" => (
                event["count"].as_str().unwrap().parse::<u64>().unwrap(),
                event["kind"].as_str().unwrap(),
            ),
            other => (1, other),
        };
        match kind {
            "connected" => connected += count,
            "ended" | "left" | "failed" => gone += count,
            // What a server says at its start.
            _ => continue,
        }
        (bytes, lines) = (bytes + line.len(), lines + 1);
    }
    assert_eq!((connected, gone), (10_000, 10_000));
    // In full at first, then a sum of each kind of end and one of the connections a second.
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 2;
    assert!(
        lines <= 3 + 3 * seconds && bytes <= lines * LINE_BYTES_MAX,
        "{lines} lines, {bytes} bytes, {seconds} s"
    );
}

//! Captures made, damaged and read.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and knows its numbers"
)]

mod checks;
mod dissector;
mod hostile;
mod links;
mod vectors;

use std::net::SocketAddr;
use std::time::Duration;

use ddes_capture::{
    ConnectionNumber, Conversation, Conversations, Direction, Limits, SessionSecrets, Writer,
    Written,
};

/// A capture that the writer makes.
struct Scene {
    writer: Writer<Vec<u8>>,
    at: Duration,
}

impl Scene {
    fn new() -> Self {
        let at = Duration::from_secs(1_700_000_000);
        Self { writer: Writer::new(Vec::new(), u64::MAX).unwrap(), at }
    }

    fn open(&mut self, client: &str, secrets: Option<SessionSecrets>) -> ConnectionNumber {
        let server = if client.starts_with('[') { "[::1]:5566" } else { "127.0.0.1:5566" };
        self.at += Duration::from_millis(1);
        self.writer.open(self.at, address(client), address(server), secrets).unwrap()
    }

    fn send(&mut self, connection: ConnectionNumber, direction: Direction, bytes: &[u8]) {
        self.at += Duration::from_millis(1);
        let written = self.writer.data(connection, self.at, direction, bytes).unwrap();
        assert_eq!(written, Written::Whole);
    }

    fn close(&mut self, connection: ConnectionNumber) {
        self.at += Duration::from_millis(1);
        let written = self.writer.close(connection, self.at, None).unwrap();
        assert_eq!(written, Written::Whole);
    }

    fn finish(self) -> Vec<u8> {
        self.writer.finish().unwrap()
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn read(capture: &[u8], secrets: &[SessionSecrets]) -> Conversations {
    ddes_capture::read(capture, &Limits::default(), secrets).unwrap()
}

fn only(capture: &[u8], secrets: &[SessionSecrets]) -> Conversation {
    let mut found = read(capture, secrets);
    assert_eq!(found.all.len(), 1);
    found.all.pop().unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes().as_chunks::<2>().0;
    digits
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

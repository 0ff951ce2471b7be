//! The stream of events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Instant, SystemTime};

use ddes_web::LogEvent;
use serde_json::{Map, Value, json};

use crate::world::{LONG, World};

/// A stream, behind its head.
fn follow(world: &World) -> BufReader<TcpStream> {
    let mut stream = world.connect();
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", world.http);
    stream.write_all(head.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    stream
}

/// The next line that begins so.
fn next(stream: &mut BufReader<TcpStream>, prefix: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended before {prefix}");
        if let Some(rest) = line.strip_prefix(prefix) {
            return rest.trim_end().to_owned();
        }
    }
}

fn publish(world: &World, number: impl Into<Value>) {
    let mut fields = Map::new();
    fields.insert("number".into(), number.into());
    world.events.publish(LogEvent { name: "admitted", at: SystemTime::UNIX_EPOCH, fields });
}

#[test]
fn an_event_has_its_name_its_number_and_the_fields_of_the_log() {
    let world = World::start();
    assert!(!world.events.is_watched());
    let mut stream = follow(&world);
    let start = Instant::now();
    while !world.events.is_watched() {
        assert!(start.elapsed() < LONG);
    }
    publish(&world, 7);
    assert_eq!(next(&mut stream, "event: "), "admitted");
    assert_eq!(next(&mut stream, "id: ").parse::<u64>().unwrap(), 1);
    drop(stream);
    let mut stream = follow(&world);
    publish(&world, 8);
    let data: Value = serde_json::from_str(&next(&mut stream, "data: ")).unwrap();
    let expected = json!({ "at": "1970-01-01T00:00:00.000Z", "event": "admitted", "number": 8 });
    assert_eq!(data, expected);
}

#[test]
fn a_stream_that_falls_behind_is_told_how_much_it_missed() {
    let world = World::start();
    let mut stream = follow(&world);
    // More than the system's buffers take and than wait for a stream, however quick it is.
    let long = "1".repeat(10_000);
    (0..5000).for_each(|_| publish(&world, long.as_str()));
    while next(&mut stream, "event: ") != "dropped" {}
    let data: Value = serde_json::from_str(&next(&mut stream, "data: ")).unwrap();
    assert!(data["count"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{data}");
}

#[test]
fn a_seventeenth_stream_is_refused_and_others_are_answered() {
    let world = World::start();
    let streams: Vec<_> = (0..16).map(|_| follow(&world)).collect();
    assert_eq!(world.get("/api/v1/events").error(), (503, "unavailable".into()));
    assert_eq!(world.get("/api/v1/overview").status, 200);
    drop(streams);
    let start = Instant::now();
    loop {
        // A stream that has gone is noticed when it is written to.
        publish(&world, 1);
        let mut stream = world.connect();
        let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", world.http);
        stream.write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        if line.contains("200") {
            return;
        }
        assert!(start.elapsed() < LONG, "{line}");
    }
}

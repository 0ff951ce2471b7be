//! Clients that mean harm: none of them crashes the server, holds it up, or keeps others out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::world::{LONG, Plan, Response, World};

/// Sends bytes as they are, and reads what comes.
fn raw(world: &World, bytes: &[u8]) -> Option<u16> {
    let mut stream = world.connect();
    // It may refuse before it has read all.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1)?.parse().ok()
}

#[test]
fn what_is_not_a_request_for_this_server_is_refused() {
    let world = World::start();
    let host = world.http;
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let long = "a".repeat(300);
    let cases: Vec<(Vec<u8>, u16)> = vec![
        (get(&format!("/api/v1/accounts?q={long}")).into(), 400),
        (get(&format!("/api/v1/sessions?q={}", "b".repeat(15_000))).into(), 400),
        (get(&format!("/api/v1/sessions?q={}", "b".repeat(20_000))).into(), 431),
        (get("/api/v1/sessions?q=%ff%fe").into(), 400),
        (get("/api/v1/sessions/%ff").into(), 400),
        (get("/api/v1/accounts/%ff").into(), 400),
        (get("/api/v1/sessions/99999999999999999999").into(), 400),
        (get("/../../etc/passwd").into(), 404),
        (get("/%2e%2e/Cargo.toml").into(), 404),
        (get("/api").into(), 404),
        (get("/api/v2/overview").into(), 404),
        (format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\n").into(), 400),
        (
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n").into(),
            400,
        ),
        (format!("PATCH /livez HTTP/1.1\r\nHost: {host}\r\n\r\n").into(), 401),
        (b"GET /api/v1/overview\xff HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", "A: b\r\n".repeat(100)).into(), 431),
        (
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nA: {}\r\n\r\n", "c".repeat(20_000)).into(),
            431,
        ),
    ];
    for (bytes, status) in cases {
        let start = &String::from_utf8_lossy(&bytes)[..40.min(bytes.len())];
        let found = raw(&world, &bytes);
        assert_eq!(found, Some(status), "{start}");
    }
    assert_eq!(world.get("/livez").status, 200);
}

#[test]
fn a_body_is_bounded_whatever_its_length_is_said_to_be() {
    let world = World::start();
    let head = |length: &str| {
        format!(
            "POST /api/v1/stop HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nX-Ddes-Action: \
             1\r\nContent-Type: application/json\r\n{length}\r\n",
            world.http, world.token
        )
    };
    for length in ["Content-Length: 65537\r\n", "Content-Length: 18446744073709551615\r\n"] {
        let mut stream = world.connect();
        stream.write_all(head(length).as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        // Of a length that no body has, the head itself is refused.
        assert!([&b"HTTP/1.1 413"[..], b"HTTP/1.1 431"].contains(&&first[..]), "{first:?}");
    }
    let mut stream = world.connect();
    stream.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    // It is refused before all is sent.
    let refused = (0..1000).find_map(|_| stream.write_all(chunk.as_bytes()).err());
    assert!(refused.is_some());
    assert_eq!(world.get("/readyz").status, 200);
}

/// Whoever may not act keeps nobody out, and a probe least of all.
fn is_live(world: &World) {
    for _ in 0..100 {
        assert_eq!(world.get("/livez").status, 200);
    }
}

#[test]
fn a_body_that_never_comes_keeps_nobody_out() {
    let world = World::of(Plan { is_public: true, ..Plan::default() });
    let (host, token) = (world.http, &world.token);
    for head in [
        format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\n"),
        format!("HEAD /login HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("POST /api/v1/stop HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\n"),
        // Nor does a mistake of somebody who may act.
        format!(
            "POST /api/v1/stop HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nAuthorization: \
             Bearer {token}\r\nX-Ddes-Action: 1\r\n\r\n"
        ),
    ] {
        let mut held: Vec<_> = (0..64).map(|_| world.connect()).collect();
        for stream in &mut held {
            stream.write_all(head.as_bytes()).unwrap();
        }
        is_live(&world);
    }
}

/// Whether the server has closed a connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0];
    let read = stream.read(&mut byte);
    !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn ten_thousand_idle_connections_are_bounded_and_keep_nobody_out() {
    let world = World::start();
    let mut idle = Vec::new();
    for number in 0..10_000 {
        let mut stream = world.connect();
        // As a slow client does: the head never ends.
        stream.write_all(b"GET /api/v1/overview HTTP/1.1\r\nHost: local").unwrap();
        idle.push(stream);
        if number % 1000 == 0 {
            assert_eq!(world.get("/livez").status, 200);
        }
        if idle.len() == 1000 {
            // At most 64 of them are open, once the server has come to them.
            let start = Instant::now();
            while idle.iter_mut().filter_map(|stream| (!is_closed(stream)).then_some(())).count()
                > 64
            {
                assert!(start.elapsed() < LONG);
            }
            idle.clear();
        }
    }
    assert_eq!(world.get("/api/v1/overview").status, 200);
}

#[test]
fn a_client_that_trickles_its_request_is_cut_and_others_are_served_meanwhile() {
    let world = World::start();
    let mut slow: Vec<_> = (0..64).map(|_| world.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /").unwrap();
    }
    is_live(&world);
    // Those that were not replaced are cut when their head is late.
    let start = Instant::now();
    while !slow.iter_mut().all(is_closed) {
        assert!(start.elapsed() < LONG);
        std::thread::yield_now();
    }
}

/// A client that reads nothing and keeps asking for `path` until all on its way is full.
fn deaf(world: &World, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The kernel keeps as little for it as can be.
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&world.http.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", world.http);
    while stream.write_all(request.as_bytes()).is_ok() {}
    stream
}

#[test]
fn clients_that_read_nothing_keep_nobody_out_and_the_server_counts_meanwhile() {
    let world = World::start();
    // Short answers, errors and long answers; long ones fill what is on the way soon.
    let path = |place| match place % 16 {
        0 => "/livez",
        1 => "/app.js",
        _ => "/api/v1/openapi.json",
    };
    let deaf: Vec<_> = (0..64).map(|place| deaf(&world, path(place))).collect();
    is_live(&world);
    let client = world.client(1);
    client.add(&[1, 2, 3]).unwrap();
    assert_eq!(client.flush().unwrap().count, 3);
    drop(deaf);
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let world = World::start();
    let mut deaf = deaf(&world, "/app.js");
    let start = Instant::now();
    // A write fails otherwise than by waiting once the server has closed the connection.
    while !matches!(deaf.write(b"G"), Err(error) if error.kind() != ErrorKind::WouldBlock) {
        assert!(start.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn requests_on_one_connection_are_answered_in_their_order() {
    let world = World::start();
    let mut stream = world.connect();
    let requests = ["", "Connection: close\r\n"]
        .map(|last| format!("GET /livez HTTP/1.1\r\nHost: {}\r\n{last}\r\n", world.http));
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let both = Response::read(&mut stream);
    assert_eq!((both.status, both.body.matches("HTTP/1.1 200").count()), (200, 1));
}

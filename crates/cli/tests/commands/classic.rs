//! The original's wire.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::{Running, ddes_at, folder, output, peer, start, started, unused_address};

fn ddes(arguments: &[&str]) -> Command {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    ddes_at(HOME.get_or_init(folder), arguments)
}

fn serve(flags: &[&str]) -> Running {
    // As in secure.rs.
    let address = unused_address();
    let classic = ["serve", "--classic", "--classic-wait-ms", "0", "--json", "--listen", &address];
    // These servers share a home, and each has totals of its own.
    started(ddes(&[&classic[..], &["--ledger", "memory"], flags].concat()))
}

fn peer_server(flags: &[&str]) -> Running {
    let command = peer("peer/classic/server.py", &[&["--port", "0"], flags].concat());
    start(command, |line| line.strip_prefix("listening ").map(|address| address.trim().to_owned()))
}

fn send(server: &Running, values: &[&str]) -> (i32, String, String) {
    output(ddes(&[&["send", "--classic", "--quiet", "--server", &server.address], values].concat()))
}

#[test]
fn the_python_client_gets_its_sums_from_our_server() {
    let server = serve(&[]);
    let (host, port) = server.address.split_once(':').unwrap();
    let (code, sums, _) =
        output(peer("peer/classic/client.py", &["--host", host, "--port", port, "42", "50"]));
    assert_eq!((code, sums.as_str()), (0, "42\n92\n"));
}

#[test]
fn our_client_gets_its_sums_from_the_python_server_in_a_fresh_and_in_a_known_group() {
    for flags in [["--params-file", "peer/classic/fresh2048.pem"], ["--group", "ffdhe2048"]] {
        let server = peer_server(&flags);
        let (code, sums, _) = send(&server, &["42", "50"]);
        assert_eq!((code, sums.as_str()), (0, "42\n92\n"), "{flags:?}");
    }
}

#[test]
fn three_clients_at_once_keep_three_sums_on_either_server() {
    for server in [serve(&[]), peer_server(&["--group", "ffdhe2048"])] {
        let connect = || ddes(&["connect", "--classic", "--json", "--server", &server.address]);
        let mut clients: Vec<_> = (0..3)
            .map(|_| start(connect(), |line| line.contains("\"ready\"").then(String::new)))
            .collect();
        for (value, expected) in [("42", 42), ("50", 92)] {
            for (i, client) in clients.iter_mut().enumerate() {
                writeln!(
                    client.child.stdin.as_mut().unwrap(),
                    "30 {}",
                    value.parse::<usize>().unwrap() + i
                )
                .unwrap();
                let sum = (&mut client.stdout)
                    .lines()
                    .map(Result::unwrap)
                    .find(|line| line.contains("\"result\""))
                    .unwrap();
                let rounds = usize::from(value == "50") + 1;
                assert!(sum.contains(&format!("\"sum\":\"{}\"", expected + rounds * i)), "{sum}");
            }
        }
    }
}

#[test]
fn sessions_may_open_in_another_order_than_their_connections() {
    let server = serve(&[]);
    // A client that is connected first and goes on last.
    let first = std::net::TcpStream::connect(&server.address).unwrap();
    assert_eq!(send(&server, &["7"]).1, "7\n");
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let relay = std::thread::spawn(move || {
        let client = door.accept().unwrap().0;
        let (mut up, mut down) = (first.try_clone().unwrap(), client.try_clone().unwrap());
        let upwards = std::thread::spawn(move || std::io::copy(&mut &client, &mut up));
        // However either of them ends.
        drop(std::io::copy(&mut &first, &mut down));
        drop((down.shutdown(std::net::Shutdown::Both), upwards.join()));
    });
    let (code, sums, error) =
        output(ddes(&["send", "--classic", "-q", "--server", &address, "42", "50"]));
    assert_eq!((code, sums.as_str()), (0, "42\n92\n"), "{error}");
    relay.join().unwrap();
}

#[test]
fn a_file_and_a_pipe_are_summed_up_in_one_line() {
    let server = serve(&[]);
    let mut command = ddes(&["send", "--classic", "-q", "--server", &server.address, "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2\n\n39\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"42\n");
}

#[test]
fn what_cannot_be_sent_is_refused_before_a_connection_is_made() {
    for (value, what) in
        [("-1", "outside the range"), ("18446744073709551616", "outside"), ("4x", "not an integer")]
    {
        let (code, _, error) =
            output(ddes(&["send", "--classic", "--server", "127.0.0.1:1", "7", value]));
        assert_eq!(code, 2);
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn each_way_of_not_being_there_has_its_error() {
    let (code, _, error) = output(ddes(&["send", "--classic", "--server", "127.0.0.1:1", "7"]));
    assert_eq!((code, error.contains("refused the connection")), (3, true), "{error}");

    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let greeter = std::thread::spawn(move || {
        foreign.accept().unwrap().0.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    });
    let (code, _, error) = output(ddes(&["send", "--classic", "--server", &address, "7"]));
    greeter.join().unwrap();
    assert_eq!((code, error.contains("does not speak the classic protocol")), (3, true), "{error}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (code, _, error) =
        output(ddes(&["send", "--classic", "--timeout", "1", "--server", &address, "7"]));
    assert_eq!((code, error.contains("nothing came within 1 s")), (6, true), "{error}");
}

#[test]
fn silence_ends_a_session_with_the_timeout_exit_code() {
    let server = serve(&["--idle-secs", "1"]);
    let begin = Instant::now();
    let mut client = ddes(&["connect", "--classic", "--server", &server.address]);
    let mut child =
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Its end would disconnect.
    let stdin = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(6));
    drop(stdin);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn exit_on_the_servers_console_ends_a_client_that_waits() {
    let mut server = serve(&[]);
    let connect = ddes(&["connect", "--classic", "--json", "--server", &server.address]);
    let mut client = start(connect, |line| line.contains("\"ready\"").then(String::new));
    server.child.stdin.as_mut().unwrap().write_all(b"exit\n").unwrap();
    assert_eq!(client.child.wait().unwrap().code(), Some(0));
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

/// C-17 on real sockets: what each of three clients hears, and when.
#[test]
fn with_three_seconds_of_silence_allowed_a_datum_at_two_moves_the_end_to_five() {
    let server = serve(&["--idle-secs", "3"]);
    let (host, port) = server.address.split_once(':').unwrap();
    let clients = std::thread::scope(|scope| {
        // No data; one datum at once; one at once and one 2 s later.
        let clients = [&[][..], &["42"], &["42", "50"]].map(|values: &[&str]| {
            scope.spawn(move || {
                let begin = Instant::now();
                let mut client = ddes(&[
                    "connect",
                    "--classic",
                    "--json",
                    "--server",
                    &format!("{host}:{port}"),
                ]);
                let mut child =
                    client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let mut stdin = child.stdin.take().unwrap();
                for (i, value) in values.iter().enumerate() {
                    std::thread::sleep(Duration::from_secs(2) * u32::try_from(i).unwrap());
                    writeln!(stdin, "30 {value}").unwrap();
                }
                let output = child.wait_with_output().unwrap();
                drop(stdin);
                (output.status.code(), begin.elapsed(), String::from_utf8(output.stdout).unwrap())
            })
        });
        clients.map(|client| client.join().unwrap())
    });
    let [without, with_one, with_two] = clients;
    let last_sum = |sum: &str| format!("\"last_sum\",\"schema_version\":2,\"sum\":\"{sum}\"");
    assert_eq!((without.0, without.2.contains("last_sum")), (Some(6), false), "{}", without.2);
    assert_eq!(
        (with_one.0, with_one.2.contains(&last_sum("42"))),
        (Some(6), true),
        "{}",
        with_one.2
    );
    assert_eq!(
        (with_two.0, with_two.2.contains(&last_sum("92"))),
        (Some(6), true),
        "{}",
        with_two.2
    );
    assert!(with_one.1 >= Duration::from_secs(3) && with_two.1 >= Duration::from_secs(5));
}

/// In two pseudo-terminals, where both sides stand at a prompt.
#[test]
fn exit_at_the_servers_prompt_ends_a_client_that_stands_at_its_own() {
    let wait_ms = Some(10_000);
    let serve = ddes(&["serve", "--classic", "--listen", "127.0.0.1:0"]);
    let mut server = rexpect::session::spawn_command(serve, wait_ms).unwrap();
    server.exp_string("[SERVER LISTENING]").unwrap();
    let (_, address) = server.exp_regex(r"127\.0\.0\.1:[0-9]+").unwrap();
    let connect = ddes(&["connect", "--classic", "--server", &address]);
    let mut client = rexpect::session::spawn_command(connect, wait_ms).unwrap();
    client.exp_string("30").unwrap();
    client.send_line("30 42").unwrap();
    client.exp_string("42").unwrap();
    server.send_line("exit").unwrap();
    client.exp_string("shutting down").unwrap();
    client.exp_eof().unwrap();
    server.exp_eof().unwrap();
    for ended in [&client, &server] {
        let status = format!("{:?}", ended.process().wait().unwrap());
        assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
    }
}

/// C-21.
#[test]
fn a_connection_too_many_is_told_so() {
    let server = serve(&["--max-connections", "1"]);
    let connect = ddes(&["connect", "--classic", "--json", "--server", &server.address]);
    let first = start(connect, |line| line.contains("\"ready\"").then(String::new));
    let (code, _, error) = send(&server, &["7"]);
    assert_eq!((code, error.contains("Too many connections")), (3, true), "{error}");
    drop(first);
}

#[test]
fn two_hundred_silent_connections_hurt_nobody() {
    let server = serve(&[]);
    let silent: Vec<_> =
        (0..200).map(|_| std::net::TcpStream::connect(&server.address).unwrap()).collect();
    let (code, sums, _) = send(&server, &["42", "50"]);
    assert_eq!((code, sums.as_str()), (0, "42\n92\n"));
    assert_eq!(silent.len(), 200);
}

/// In a network of its own where the system gives one: nobody reaches it there.
#[test]
fn a_server_that_other_machines_reach_warns_of_it() {
    let has_network = Command::new("unshare").args(["-rn", "true"]).output();
    let has_network = has_network.is_ok_and(|done| done.status.success());
    for (listen, is_warned) in [
        ("0.0.0.0:0", true),
        ("[::]:0", true),
        ("127.0.0.1:0", false),
        ("[::ffff:127.0.0.1]:0", false),
    ] {
        let mut server = ddes(&["serve", "--classic", "--ledger", "memory", "--listen", listen]);
        if has_network {
            let mut alone = Command::new("unshare");
            alone.args(["-rn", "sh", "-c", "ip link set lo up; exec \"$0\" \"$@\""]);
            alone.arg(server.get_program()).args(server.get_args());
            alone.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
            server = alone;
        }
        server.arg("--end-with-input").stdin(Stdio::null());
        let (code, _, error) = output(server);
        assert_eq!(code, 0, "{listen}: {error}");
        assert!(error.contains("NOT SECURE"), "{listen}: {error}");
        assert_eq!(error.contains("OTHER MACHINES REACH"), is_warned, "{listen}: {error}");
    }
}

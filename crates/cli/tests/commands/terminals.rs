//! In pseudo-terminals: what a person types, pastes and sees.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::input_faults::both;
use crate::secure::{fingerprint, serve as serve_json};
use crate::{Running, ddes_at, folder, output, start};

const WAIT_MS: Option<u64> = Some(60_000);
const PASTED: std::ops::Range<i64> = 1000..1060;

fn on(terminal: &str, mut command: Command) -> PtySession {
    command
        .env("TERM", terminal)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE");
    spawn_command(command, WAIT_MS).unwrap()
}

fn resize(session: &PtySession, columns: u16) {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
}

/// A server on a terminal, and its address.
fn serve(terminal: &str, home: &Path, flags: &[&str]) -> (PtySession, String) {
    let command = ddes_at(home, &[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
    let mut server = on(terminal, command);
    server.exp_string("[SERVER LISTENING]").unwrap();
    let (_, address) = server.exp_regex(r"127\.0\.0\.1:[0-9]+").unwrap();
    server.exp_string("Enter 'exit'").unwrap();
    (server, address)
}

fn connect(terminal: &str, home: &Path, address: &str, flags: &[&str]) -> PtySession {
    on(terminal, ddes_at(home, &[&["connect", "--server", address], flags].concat()))
}

fn ended_with(session: &PtySession, code: i32) {
    let status = format!("{:?}", session.process().wait().unwrap());
    assert!(status.starts_with("Exited(") && status.ends_with(&format!(", {code})")), "{status}");
}

/// What a server on a terminal shows of a client's visit, from its start to its end.
fn shown_of_a_visit(terminal: &str, flags: &[&str], typed: &[&str]) -> String {
    let home = folder();
    let all = [&["serve", "--listen", "127.0.0.1:0"], flags].concat();
    let mut server = on(terminal, ddes_at(&home, &all));
    let mut shown = server.exp_string("[SERVER LISTENING]").unwrap();
    let (before, address) = server.exp_regex(r"127\.0\.0\.1:[0-9]+").unwrap();
    shown += &before;
    for line in typed {
        server.send_line(line).unwrap();
        shown += &server.exp_string("until the next reload").unwrap();
    }
    let trust = fingerprint(&home);
    let send = ["send", "-q", "--server", &address, "--trust", &trust, "5"];
    assert_eq!(output(ddes_at(&home, &send)).1, "5\n");
    // An answer is shown whatever the level is, and behind all that came before.
    server.send_line("totals").unwrap();
    shown += &server.exp_string("[TOTALS] 1 accounts").unwrap();
    server.send_line("exit").unwrap();
    shown + &server.exp_eof().unwrap()
}

#[test]
fn a_quiet_server_on_a_terminal_shows_warnings_and_what_it_is_asked_for() {
    let lines = ["Only this machine", "[SERVER KEY]", "[NEW CONNECTION]", "[SERVER EXITED]"];
    for terminal in ["xterm", "dumb"] {
        let usual = shown_of_a_visit(terminal, &["--log-level", "debug"], &[]);
        let quiet = shown_of_a_visit(terminal, &["-q", "--log-level", "debug"], &[]);
        for line in lines {
            assert!(usual.contains(line), "{terminal}: no {line}: {usual}");
            assert!(!quiet.contains(line), "{terminal}: {line}: {quiet}");
        }
        assert!(!quiet.contains("[TIMER]") && !quiet.contains("Received"), "{terminal}: {quiet}");
        // Until somebody asks for more.
        let asked = shown_of_a_visit(terminal, &["-q"], &["log info"]);
        assert!(asked.contains("[NEW CONNECTION]"), "{terminal}: {asked}");
    }
    // What warns is shown.
    let home = folder();
    let (mut server, address) = serve("dumb", &home, &["--quiet"]);
    let trust = fingerprint(&home);
    let stranger = ["send", "-q", "--server", &address, "--trust", &trust, "5"];
    assert_eq!(output(ddes_at(&folder(), &stranger)).0, 4);
    server.exp_string("[REFUSED]").unwrap();
    server.send_line("exit").unwrap();
    server.exp_eof().unwrap();
}

#[test]
fn lines_pasted_at_a_prompt_are_all_taken_in_order() {
    let home = folder();
    let (server, classic) = both(&home);
    let trust = fingerprint(&home);
    let paste: String = PASTED.map(|value| format!("{value}\r")).collect();
    for flags in [&["--trust", &*trust][..], &["--classic"]] {
        let address = if flags[0] == "--classic" { &classic.address } else { &server.address };
        let mut client = connect("xterm", &home, address, flags);
        client.exp_string("Enter opcode").unwrap();
        client.send(&paste).unwrap();
        client.flush().unwrap();
        let mut sum = 0;
        for value in PASTED {
            sum += value;
            client.exp_string(&format!("Result: {sum}\r\n")).unwrap();
        }
        client.send_line("50").unwrap();
        client.exp_string("Session ended").unwrap();
        client.exp_eof().unwrap();
    }
}

#[test]
fn lines_pasted_at_the_console_are_all_taken_in_order() {
    for terminal in ["xterm", "dumb"] {
        let (mut server, _) = serve(terminal, &folder(), &[]);
        server.send(&PASTED.map(|value| format!("end x{value}\r")).collect::<String>()).unwrap();
        server.flush().unwrap();
        for value in PASTED {
            server.exp_string(&format!("'x{value}' is not a session number")).unwrap();
        }
        server.send_line("exit").unwrap();
        server.exp_string("Server has exited").unwrap();
        server.exp_eof().unwrap();
    }
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_plain_lines() {
    for terminal in ["dumb", "emacs", "cons25", "unknown", ""] {
        let home = folder();
        let (mut server, address) = serve(terminal, &home, &[]);
        let mut client = connect(terminal, &home, &address, &[]);
        let mut seen = client.exp_string("[y/N]").unwrap();
        client.send_line("y").unwrap();
        seen += &client.exp_string("Enter opcode").unwrap();
        client.send_line("30").unwrap();
        seen += &client.exp_string("Enter an integer").unwrap();
        client.send_line("42").unwrap();
        seen += &client.exp_string("Result: 42").unwrap();
        client.send_line("50").unwrap();
        seen += &client.exp_eof().unwrap();
        ended_with(&client, 0);
        server.send_line("exit").unwrap();
        seen += &server.exp_eof().unwrap();
        ended_with(&server, 0);
        assert!(!seen.contains('\x1b'), "TERM={terminal}: {seen:?}");
    }
}

#[test]
fn the_countdown_keeps_to_the_width_of_its_window_as_it_is_now() {
    let home = folder();
    let (mut server, address) = serve("xterm", &home, &[]);
    let trust = fingerprint(&home);
    let mut client = connect("xterm", &home, &address, &["--trust", &trust]);
    client.exp_string("Enter opcode").unwrap();
    for columns in [40, 25, 80] {
        resize(&server, columns);
        // One may have been cut for the width before.
        server.exp_regex(r"\[TIMER\][^\r\n]*").unwrap();
        for _ in 0..2 {
            let (_, countdown) = server.exp_regex(r"\[TIMER\][^\r\n]*").unwrap();
            assert!(countdown.chars().count() < columns.into(), "{columns}: {countdown:?}");
            let is_whole = countdown.ends_with(')');
            assert_eq!(is_whole, columns == 80, "{columns}: {countdown:?}");
        }
    }
}

#[test]
fn ctrl_c_at_the_fingerprint_question_ends_the_command() {
    let home = folder();
    let server = serve_json(&home, &[]);
    for (command, is_signal) in
        [(&["connect"][..], false), (&["send", "5"], false), (&["total"], true)]
    {
        let mut client =
            on("xterm", ddes_at(&home, &[command, &["--server", &server.address]].concat()));
        client.exp_string("[y/N]").unwrap();
        client.send_control('c').unwrap();
        client.exp_eof().unwrap();
        if is_signal {
            let status = format!("{:?}", client.process().wait().unwrap());
            assert!(status.contains("SIGINT"), "{status}");
        } else {
            ended_with(&client, 130);
        }
    }
}

#[test]
fn a_question_is_put_again_until_its_answer_is_yes_or_no() {
    let home = folder();
    let server = serve_json(&home, &[]);
    let ask = || {
        let mut client = on("xterm", ddes_at(&home, &["send", "5", "--server", &server.address]));
        client.exp_string("[y/N]").unwrap();
        client
    };
    // Three answers that are none are a no.
    let mut client = ask();
    for question in ["y or n: ", "y or n: ", "is not trusted"] {
        client.send_line("maybe").unwrap();
        client.exp_string(question).unwrap();
    }
    client.exp_eof().unwrap();
    ended_with(&client, 4);
    let mut client = ask();
    client.send_line("maybe").unwrap();
    client.exp_string("Please answer y or n: ").unwrap();
    client.send_line("YES").unwrap();
    client.exp_string("5\r\n").unwrap();
    client.exp_eof().unwrap();
    ended_with(&client, 0);
}

#[test]
fn ctrl_d_leaves_a_console_listening_and_ends_a_client() {
    for terminal in ["xterm", "dumb"] {
        let home = folder();
        let (mut server, address) = serve(terminal, &home, &[]);
        for _ in 0..3 {
            server.send_control('d').unwrap();
            server.exp_string("Ctrl-D does not stop a server").unwrap();
            server.exp_string("Enter 'exit'").unwrap();
        }
        let mut client = connect(terminal, &home, &address, &["--trust", &fingerprint(&home)]);
        client.exp_string("Enter opcode").unwrap();
        client.send_control('d').unwrap();
        client.exp_string("Session ended").unwrap();
        client.exp_eof().unwrap();
        ended_with(&client, 0);
        server.send_line("exit").unwrap();
        server.exp_string("Server has exited").unwrap();
        server.exp_eof().unwrap();
    }
}

/// In a shell with job control, again and again: the shell and the editor both set the terminal's
/// mode.
#[test]
fn ctrl_z_suspends_and_fg_goes_on_at_the_prompt() {
    let home = folder();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "SHELL> ").env("DDES_HOME", &home);
    let mut shell = on("xterm", bash);
    shell.exp_string("SHELL> ").unwrap();
    shell.send_line(&format!("{} serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_ddes"))).unwrap();
    shell.exp_string("[SERVER KEY]").unwrap();
    shell.exp_string("Enter 'exit' to stop the server: ").unwrap();
    for _ in 0..10 {
        shell.send_control('z').unwrap();
        shell.exp_string("Stopped").unwrap();
        shell.exp_string("SHELL> ").unwrap();
        shell.send_line("fg").unwrap();
        shell.exp_string("Enter 'exit' to stop the server: ").unwrap();
        // The editor reads key by key, and echoes itself.
        let modes = tcgetattr(shell.process().get_file_handle().unwrap()).unwrap().local_modes;
        assert!(!modes.intersects(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
        shell.send_line("sessions").unwrap();
        shell.exp_string("0 connected").unwrap();
        shell.exp_string("Enter 'exit' to stop the server: ").unwrap();
    }
    shell.send_line("exit").unwrap();
    shell.exp_string("Server has exited").unwrap();
    shell.exp_string("SHELL> ").unwrap();
    // It would not hear a SIGTERM.
    shell.send_line("exit").unwrap();
    shell.exp_eof().unwrap();
}

#[test]
fn help_wraps_at_the_width_of_the_window_and_between_words() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["send", "--help"], &["bench", "run", "--help"]]
    {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        // Without a home in the environment: its path would be shown, and may be longer than a
        // line.
        let mut plain = Command::new(env!("CARGO_BIN_EXE_ddes"));
        plain.args(arguments).env_remove("DDES_HOME");
        let (_, unwrapped, _) = output(plain);
        for columns in [40, 80] {
            // The window has its size before the command looks.
            let mut shell = Command::new("sh");
            shell
                .args(["-c", "read start; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ddes")])
                .args(arguments);
            shell.env_remove("DDES_HOME");
            let mut help = on("dumb", shell);
            resize(&help, columns);
            help.send_line("").unwrap();
            let shown = help.exp_eof().unwrap();
            // Blanks between an example and its words may stay at an end of line.
            let longest = shown.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
            assert!(longest <= columns.into(), "{arguments:?}: {longest} of {columns}");
            assert_eq!(words(&shown), words(&unwrapped), "{arguments:?}");
        }
    }
}

#[test]
fn colours_are_shown_where_the_terminal_has_them_and_nobody_said_no() {
    let home = folder();
    let refused = || ddes_at(&home, &["send", "--classic", "4x"]);
    let on_terminal = |name: &str, value: &str, terminal: &str| {
        let mut command = refused();
        command.env("TERM", terminal);
        for cleared in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(cleared);
        }
        if !name.is_empty() {
            command.env(name, value);
        }
        spawn_command(command, WAIT_MS).unwrap().exp_eof().unwrap().contains('\x1b')
    };
    assert!(on_terminal("", "", "xterm"));
    assert!(on_terminal("NO_COLOR", "", "xterm"), "an empty NO_COLOR says nothing");
    assert!(!on_terminal("NO_COLOR", "1", "xterm"));
    assert!(!on_terminal("CLICOLOR", "0", "xterm"));
    assert!(!on_terminal("", "", "dumb"));
    let piped = |name: &str, value: &str| {
        let mut command = refused();
        for cleared in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(cleared);
        }
        command.env(name, value);
        output(command).2.contains('\x1b')
    };
    assert!(!piped("CLICOLOR", "1"));
    assert!(piped("CLICOLOR_FORCE", "1"));
    assert!(!piped("CLICOLOR_FORCE", "0"));
}

#[test]
fn a_first_contact_is_no_fault_on_the_servers_console() {
    let home = folder();
    let (mut server, address) = serve("dumb", &home, &[]);
    let mut client = connect("dumb", &home, &address, &[]);
    client.exp_string("[y/N]").unwrap();
    server.exp_string("left before it proved an identity").unwrap();
    client.send_line("y").unwrap();
    client.exp_string("Enter opcode").unwrap();
    client.send_line("50").unwrap();
    client.exp_eof().unwrap();
    server.send_line("exit").unwrap();
    let seen = server.exp_eof().unwrap();
    assert!(!seen.contains("P-18") && !seen.contains("without a 50"), "{seen}");
}

/// A client at a pipe: what its prompt takes is the same.
fn piped(home: &Path, address: &str, flags: &[&str], ready: &str) -> Running {
    let mut command = ddes_at(home, &[&["connect", "--server", address], flags].concat());
    command.stderr(Stdio::null());
    start(command, |line| line.contains(ready).then(|| address.to_owned()))
}

fn line_with(client: &mut Running, part: &str) -> String {
    let mut seen = String::new();
    for line in BufRead::lines(&mut client.stdout) {
        let line = line.unwrap();
        if line.contains(part) {
            return line;
        }
        seen += &line;
    }
    panic!("{part} never came: {seen}");
}

#[test]
fn the_prompt_takes_help_quit_exit_and_sends_a_30_and_a_50() {
    let home = folder();
    let (server, classic) = both(&home);
    let trust = fingerprint(&home);
    for profile in [&["--trust", &*trust][..], &["--classic"]] {
        for (i, quit) in ["quit", "exit"].into_iter().enumerate() {
            let name = format!("a{i}");
            let (address, identity) = match profile[0] {
                "--classic" => (&classic.address, vec![]),
                _ => (&server.address, vec!["--as", &*name]),
            };
            let mut client = piped(&home, address, &[profile, &identity].concat(), "[STATUS][20]");
            let type_line = |client: &mut Running, text: &str| {
                writeln!(client.child.stdin.as_mut().unwrap(), "{text}").unwrap();
            };
            for text in ["help", "?"] {
                type_line(&mut client, text);
                let help = line_with(&mut client, "[HELP]");
                assert!(help.contains("30 30 and 30 50 send 30 and 50"), "{help}");
            }
            for (text, sum) in
                [("30 30", "30"), ("30 50", "80"), ("30\n50", "130"), ("30\n?\n30", "160")]
            {
                type_line(&mut client, text);
                line_with(&mut client, &format!("Result: {sum}"));
            }
            type_line(&mut client, quit);
            line_with(&mut client, "Session ended");
            assert_eq!(client.child.wait().unwrap().code(), Some(0));
        }
    }
}

#[test]
fn sent_is_said_when_it_is_sent_and_no_wait_is_said_to_be_nothing() {
    let home = folder();
    let mut server = serve_json(&home, &[]);
    let trust = fingerprint(&home);
    let address = server.address.clone();
    let mut client = piped(&home, &address, &["--trust", &trust], "[STATUS][20]");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    line_with(&mut client, "[STATUS] No session");
    writeln!(client.child.stdin.as_mut().unwrap(), "6").unwrap();
    let queued = line_with(&mut client, "6");
    assert!(queued.contains("There is no session; 6 is sent as soon as one opens"), "{queued}");
    // The first attempt is in vain: nobody listens.
    let mut lost = Vec::new();
    lost.push(line_with(&mut client, "[STATUS] No session"));
    let command = ddes_at(&home, &["serve", "--json", "--listen", &address]);
    let again = start(command, |line| line.contains("\"listening\"").then(|| address.clone()));
    let mut seen = Vec::new();
    for line in BufReader::lines(BufReader::new(&mut client.stdout)) {
        seen.push(line.unwrap());
        if seen.last().unwrap().contains("Result: 6") {
            break;
        }
    }
    let sent: Vec<_> = seen.iter().filter(|line| line.contains("Sent 6")).collect();
    let opened = seen.iter().position(|line| line.contains("[STATUS][20]")).unwrap();
    let said = seen.iter().position(|line| line.contains("Sent 6")).unwrap();
    assert!(sent.len() == 1 && opened < said, "{seen:#?}");
    lost.extend(seen);
    assert!(!lost.iter().any(|line| line.contains(" 0.0 s")), "{lost:#?}");
    drop(again);
}

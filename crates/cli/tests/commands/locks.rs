//! One command at a time changes a list.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

use crate::files::{key, run};
use crate::{ddes_at, folder};

/// What a process has of locks on files: whether it waits for one, and whether it holds one.
fn locks_of(process: u32) -> (bool, bool) {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let (mut waits, mut holds) = (false, false);
    for line in locks.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields.contains(&process.to_string().as_str()) {
            let is_waiting = fields.get(1) == Some(&"->");
            (waits, holds) = (waits || is_waiting, holds || !is_waiting);
        }
    }
    (waits, holds)
}

/// Two that change a list at a time: the second one reads what the first has written.
#[test]
fn a_list_is_read_and_changed_by_one_command_at_a_time() {
    let home = folder();
    run(&home, &["authorize", key()]);
    let list = home.join("authorized_keys");
    let new_key = run(&folder(), &["key", "new", "default"]);
    let new_key = new_key.lines().find(|line| line.starts_with("ssh-ed25519 ")).unwrap();
    let lock = fs::File::options().write(true).open(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut second = ddes_at(&home, &["authorize", new_key]);
    let mut second = second.stdout(std::process::Stdio::null()).spawn().unwrap();
    while !locks_of(second.id()).0 {
        assert!(second.try_wait().unwrap().is_none(), "it has not waited");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // The first one's change.
    fs::write(&list, "# changed\n").unwrap();
    drop(lock);
    assert!(second.wait().unwrap().success());
    let text = fs::read_to_string(list).unwrap();
    assert!(
        text.starts_with("# changed\n") && text.contains(new_key) && !text.contains(key()),
        "{text}"
    );
}

/// A list that is read from a pipe shows when it is read.
#[test]
fn a_list_is_read_under_the_lock() {
    let home = folder();
    run(&home, &["key", "new", "default"]);
    let list = home.join("authorized_keys");
    mknodat(CWD, &list, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut command = ddes_at(&home, &["authorize", key()]);
    let mut command = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let nonblocking = OFlags::WRONLY | OFlags::NONBLOCK;
    let pipe = loop {
        match open(&list, nonblocking, Mode::empty()) {
            Ok(pipe) => break pipe,
            // Nobody reads it yet.
            Err(_) => assert!(command.try_wait().unwrap().is_none(), "it has read no list"),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let (_, holds) = locks_of(command.id());
    command.kill().unwrap();
    command.wait().unwrap();
    drop(pipe);
    assert!(holds, "the list was read without the lock");
}

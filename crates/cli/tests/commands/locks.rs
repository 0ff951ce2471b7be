//! One command at a time changes a list.

use std::fs;
use std::mem::MaybeUninit;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

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

/// What a command does with the files of its home, in its order.
#[test]
fn a_list_is_read_under_the_lock() {
    let home = folder();
    run(&home, &["authorize", key()]);
    let new_key = run(&folder(), &["key", "new", "default"]);
    let new_key = new_key.lines().find(|line| line.starts_with("ssh-ed25519 ")).unwrap();
    let seen = inotify::init(CreateFlags::NONBLOCK).unwrap();
    let kinds = WatchFlags::OPEN | WatchFlags::ACCESS | WatchFlags::CLOSE;
    inotify::add_watch(&seen, &home, kinds).unwrap();
    run(&home, &["authorize", new_key]);
    let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
    let mut reader = inotify::Reader::new(&seen, &mut buffer);
    let mut events = Vec::new();
    while let Ok(event) = reader.next() {
        let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
        events.push((name.unwrap_or_default(), event.events()));
    }
    let closed = ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE;
    let place = |wanted: &str, kinds: ReadFlags| {
        events.iter().position(|(name, kind)| name == wanted && kind.intersects(kinds)).unwrap()
    };
    let (locked, unlocked) = (place("lock", ReadFlags::OPEN), place("lock", closed));
    let under_lock = &events[locked..unlocked];
    let is_read = |(name, kind): &(String, ReadFlags)| {
        name == "authorized_keys" && kind.contains(ReadFlags::ACCESS)
    };
    assert!(under_lock.iter().any(is_read), "the list was read without the lock: {events:?}");
}

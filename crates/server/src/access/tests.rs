//! Lists that fail, vanish or are written under a running server. Times are arguments; only the
//! files are real.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ddes_identity::{PublicKey, Role, SigningKey};

use super::{Access, AccessControl, Lists};

const MOMENT: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

struct Door {
    folder: PathBuf,
    door: AccessControl,
    now: Instant,
}

impl Door {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("ddes-access-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("identities")).unwrap();
        let lists =
            Lists { authorized_keys: folder.join("list"), identities: folder.join("identities") };
        Self { door: AccessControl::new(Access::Listed(lists)), folder, now: Instant::now() }
    }

    fn list(&self) -> PathBuf {
        self.folder.join("list")
    }

    fn after(&mut self, wait: Duration) -> Vec<String> {
        self.now += wait;
        self.door.refresh(self.now)
    }

    /// Which of the keys 1 to 4 may come in.
    fn who(&self) -> Vec<u8> {
        (1..=4).filter(|seed| self.door.grant(&key(*seed), 0).is_some()).collect()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

fn lines(seeds: &[u8]) -> String {
    seeds.iter().map(|seed| format!("{}\n", key(*seed).to_openssh())).collect()
}

/// As a command does it: written elsewhere, then put in its place.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    let old = SystemTime::now() - SECOND;
    fs::File::options().write(true).open(&new).unwrap().set_modified(old).unwrap();
    fs::rename(&new, path).unwrap();
}

#[test]
fn a_list_that_cannot_be_read_keeps_what_it_granted_and_is_tried_again() {
    let mut door = Door::new();
    replace(&door.list(), &lines(&[1, 2]));
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2]));
    fs::remove_file(door.list()).unwrap();
    fs::create_dir(door.list()).unwrap();
    let said = door.after(SECOND);
    assert!(
        said.len() == 1 && said[0].contains("what it granted before holds until it can be read"),
        "{said:?}"
    );
    assert_eq!(door.who(), [1, 2]);
    // Said once, however often it fails.
    for _ in 0..5 {
        assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1, 2]));
    }
    fs::remove_dir(door.list()).unwrap();
    replace(&door.list(), &lines(&[2, 3]));
    // At most once a second.
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2]));
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![2, 3]));
    assert!(door.door.take_change(0));
}

#[test]
fn a_list_behind_a_link_that_leads_nowhere_keeps_what_it_granted() {
    let mut door = Door::new();
    let (away, kept) = (door.folder.join("away"), door.folder.join("kept"));
    replace(&kept, &lines(&[1, 2]));
    symlink(&kept, door.list()).unwrap();
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2]));
    fs::rename(&kept, &away).unwrap();
    let said = door.after(SECOND);
    assert!(said.len() == 1 && said[0].contains("a link that leads nowhere"), "{said:?}");
    for _ in 0..5 {
        assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1, 2]));
    }
    fs::rename(&away, &kept).unwrap();
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1, 2]));
    fs::remove_file(door.list()).unwrap();
    door.after(SECOND);
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![]));
}

#[test]
fn a_first_list_that_cannot_be_read_lets_nobody_in_until_it_can() {
    let mut door = Door::new();
    fs::create_dir(door.list()).unwrap();
    let said = door.after(MOMENT);
    assert!(
        said.len() == 1 && said[0].contains("nobody in it is authorized until it can be read"),
        "{said:?}"
    );
    assert_eq!(door.who(), [0; 0]);
    fs::remove_dir(door.list()).unwrap();
    fs::write(door.list(), lines(&[1])).unwrap();
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1]));
}

#[test]
fn a_list_written_in_place_takes_a_right_away_once_two_looks_a_second_apart_agree() {
    let mut door = Door::new();
    fs::write(door.list(), lines(&[1, 2])).unwrap();
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2]));
    // Truncated, and then written again in pieces: whoever looks meanwhile ends nobody.
    for part in [&[][..], &[1], &[1, 3]] {
        fs::write(door.list(), lines(part)).unwrap();
        assert_eq!((door.after(SECOND), door.who().contains(&2)), (vec![], true));
    }
    // What it adds holds at once.
    assert_eq!(door.who(), [1, 2, 3]);
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2, 3]));
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1, 3]));
}

#[test]
fn half_a_line_says_nothing_until_the_list_is_believed() {
    let mut door = Door::new();
    fs::write(door.list(), lines(&[1, 2])).unwrap();
    door.after(MOMENT);
    fs::write(door.list(), lines(&[1, 2]).split_at(120).0).unwrap();
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1, 2]));
    let said = door.after(SECOND);
    assert!(said.len() == 1 && said[0].contains("line 2"), "{said:?}");
    assert_eq!(door.who(), [1]);
}

#[test]
fn a_list_that_was_put_in_its_place_as_a_whole_is_believed_at_once() {
    let mut door = Door::new();
    replace(&door.list(), &lines(&[1, 2]));
    door.after(MOMENT);
    replace(&door.list(), &lines(&[2]));
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![2]));
}

#[test]
fn a_list_that_is_gone_is_believed_at_the_second_look() {
    let mut door = Door::new();
    replace(&door.list(), &lines(&[1]));
    door.after(MOMENT);
    fs::remove_file(door.list()).unwrap();
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1]));
    // It came back, as with an editor that writes anew what it moved away.
    replace(&door.list(), &lines(&[1]));
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1]));
    fs::remove_file(door.list()).unwrap();
    door.after(MOMENT);
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![]));
}

#[test]
fn a_role_and_a_term_are_widened_at_once_and_narrowed_when_the_list_is_whole() {
    let mut door = Door::new();
    let write = |door: &Door, options: &str| {
        fs::write(door.list(), format!("{options}{}", lines(&[1]))).unwrap();
    };
    let role = |door: &Door, at: i64| door.door.grant(&key(1), at).map(|grant| grant.role);
    write(&door, "expiry-time=\"19700102Z\" ");
    door.after(MOMENT);
    assert_eq!((role(&door, 86_399), role(&door, 86_400)), (Some(Role::Client), None));
    write(&door, "ddes-role=\"operator\",expiry-time=\"19700103Z\" ");
    door.after(MOMENT);
    assert_eq!(role(&door, 86_400), Some(Role::Operator));
    write(&door, "expiry-time=\"19700102Z\" ");
    door.after(MOMENT);
    assert_eq!(role(&door, 86_400), Some(Role::Operator));
    door.after(SECOND);
    assert_eq!((role(&door, 86_399), role(&door, 86_400)), (Some(Role::Client), None));
}

#[test]
fn an_identity_whose_file_cannot_be_read_is_let_in_as_before() {
    let mut door = Door::new();
    let anna = door.folder.join("identities/anna.pub");
    fs::write(&anna, lines(&[4])).unwrap();
    door.after(MOMENT);
    assert_eq!(door.who(), [4]);
    fs::remove_file(&anna).unwrap();
    fs::create_dir(&anna).unwrap();
    let said = door.after(SECOND);
    assert!(said.len() == 1 && said[0].contains("anna.pub"), "{said:?}");
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![4]));
    fs::remove_dir(&anna).unwrap();
    fs::write(&anna, lines(&[3])).unwrap();
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![3, 4]));
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![3]));
}

/// 86,400 is the first second of 2 January 1970.
#[test]
fn a_key_that_expires_is_a_change_in_that_second_whichever_way_the_clock_goes() {
    let mut door = Door::new();
    replace(&door.list(), &format!("expiry-time=\"19700102Z\" {}", lines(&[1])));
    door.after(MOMENT);
    // The list itself is one.
    assert!(door.door.take_change(86_398));
    let changes = |door: &mut Door, times: &[i64]| -> Vec<bool> {
        times.iter().map(|at| door.door.take_change(*at)).collect()
    };
    assert_eq!(changes(&mut door, &[86_399, 86_400, 86_400, 86_401]), [false, true, false, false]);
    // Looks that are further apart than a second.
    assert_eq!(changes(&mut door, &[86_390, 86_405, 90_000]), [true, true, false]);
    // Set back to that very second the key is still none; to one before it is one again.
    assert_eq!(changes(&mut door, &[86_400, 86_399, 86_398]), [false, true, false]);
}

#[test]
fn lists_without_a_line_and_lists_that_are_not_there_let_nobody_in() {
    let mut door = Door::new();
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![]));
    replace(&door.list(), "# nobody\n");
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![]));
    fs::remove_dir_all(door.folder.join("identities")).unwrap();
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![]));
    // The original's openness is another choice.
    assert!(AccessControl::new(Access::Any).grant(&key(1), 0).is_some());
}

#[test]
fn a_file_that_its_group_or_others_can_write_grants_nothing_and_one_that_they_can_read_does() {
    for (mode, is_trusted) in [
        (0o600, true),
        (0o644, true),
        (0o755, true),
        (0o620, false),
        (0o602, false),
        (0o664, false),
        (0o646, false),
    ] {
        for name in ["list", "identities/anna.pub"] {
            let mut door = Door::new();
            let path = door.folder.join(name);
            fs::write(&path, lines(&[1])).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = door.after(MOMENT);
            let is_said = said.iter().any(|fault| fault.contains("others can write it"));
            assert_eq!(
                (door.who() == [1], is_said),
                (is_trusted, !is_trusted),
                "{name}, mode {mode:03o}: {said:?}"
            );
        }
    }
}

//! Lists that fail, vanish or are written under a running server. Times are arguments; only the
//! files are real, and the database is what was read of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ddes_identity::{PublicKey, Role, SigningKey};

use super::{Access, AccessControl, DatabaseKeys, Lists};

const MOMENT: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

struct Door {
    folder: PathBuf,
    database: DatabaseKeys,
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
        let database = DatabaseKeys::new("the database");
        let lists = Lists {
            authorized_keys: folder.join("list"),
            identities: folder.join("identities"),
            database: Some(database.clone()),
        };
        let door = AccessControl::new(Access::Listed(lists));
        Self { door, folder, database, now: Instant::now() }
    }

    /// A reading of the database: rows of these keys, with these lines.
    fn reads(&self, rows: &[(u8, String)]) {
        let keys: Vec<_> = rows.iter().map(|(seed, _)| key(*seed)).collect();
        let rows = keys.iter().zip(rows).map(|(key, (_, line))| (&key.as_bytes()[..], &**line));
        self.database.set(rows);
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

/// Rows that grant these keys.
fn rows(seeds: &[u8]) -> Vec<(u8, String)> {
    seeds.iter().map(|seed| (*seed, key(*seed).to_openssh())).collect()
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

#[test]
fn whom_the_files_or_the_database_list_may_come_in() {
    let mut door = Door::new();
    replace(&door.list(), &lines(&[1, 2]));
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2]));
    door.reads(&rows(&[2, 3]));
    // Not taken up yet.
    assert_eq!(door.who(), [1, 2]);
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2, 3]));
    assert!(door.door.take_change(0));
    // The same again is no change.
    door.reads(&rows(&[3, 2]));
    assert_eq!((door.after(MOMENT), door.door.take_change(0)), (vec![], false));
    // What it takes away it takes away at once; what a file grants stays.
    door.reads(&[]);
    assert_eq!((door.after(MOMENT), door.who()), (vec![], vec![1, 2]));
    assert!(door.door.take_change(0));
    // An identity of the home, which no file lists.
    fs::write(door.folder.join("identities/anna.pub"), lines(&[4])).unwrap();
    door.reads(&rows(&[4]));
    assert_eq!((door.after(SECOND), door.who()), (vec![], vec![1, 2, 4]));
}

/// 86,400 is the first second of 2 January 1970.
#[test]
fn of_two_entries_for_a_key_each_grants_what_it_grants_while_it_holds() {
    let grant_at = |file: &str, row: &str, at: i64| {
        let mut door = Door::new();
        replace(&door.list(), &format!("{file}{}", lines(&[1])));
        door.reads(&[(1, format!("{row}{} of the fleet", key(1).to_openssh()))]);
        assert_eq!(door.after(MOMENT), [""; 0]);
        let grant = door.door.grant(&key(1), at)?;
        Some((grant.role, grant.name, grant.expires))
    };
    let (client, operator) = (Role::Client, Role::Operator);
    let fleet = || Some("of the fleet".to_owned());
    assert_eq!(grant_at("", "", 0), Some((client, fleet(), None)));
    // The name of the machine's own list comes first.
    assert_eq!(grant_at("ddes-name=\"anna\" ", "", 0), Some((client, Some("anna".into()), None)));
    let of_operators = "ddes-role=\"operator\" ";
    assert_eq!(grant_at(of_operators, "", 0), Some((operator, fleet(), None)));
    assert_eq!(grant_at("", of_operators, 0), Some((operator, fleet(), None)));
    // What has expired in one list takes nothing from the other, and lends it nothing.
    let expired = "ddes-role=\"operator\",expiry-time=\"19700102Z\" ";
    for (file, row) in [(expired, ""), ("", expired)] {
        let role = |at| grant_at(file, row, at).map(|grant| grant.0);
        assert_eq!((role(86_399), role(86_400)), (Some(operator), Some(client)));
    }
    let later = "expiry-time=\"19700103Z\" ";
    assert_eq!(grant_at(expired, later, 0).unwrap().2, Some(2 * 86_400));
    assert_eq!(grant_at(expired, later, 86_400).unwrap().0, client);
    assert_eq!(grant_at(expired, later, 2 * 86_400), None);
}

#[test]
fn a_key_of_the_database_that_expires_is_a_change() {
    let mut door = Door::new();
    door.reads(&[(1, format!("expiry-time=\"19700102Z\" {}", key(1).to_openssh()))]);
    door.after(MOMENT);
    assert!(door.door.take_change(86_398));
    let changes: Vec<bool> = [86_399, 86_400, 86_401].map(|at| door.door.take_change(at)).to_vec();
    assert_eq!(changes, [false, true, false]);
}

#[test]
fn a_database_that_cannot_be_read_keeps_what_it_granted_and_at_first_grants_nothing() {
    let mut door = Door::new();
    door.database.fail("no rights");
    let said = door.after(MOMENT);
    assert!(
        said.len() == 1
            && said[0].contains("ddes_authorized of the database: no rights")
            && said[0].contains("nobody in it is authorized until it can be read"),
        "{said:?}"
    );
    door.reads(&rows(&[1]));
    assert_eq!((door.after(MOMENT), door.who(), door.door.faults()), (vec![], vec![1], 0));
    // Said once, however often it fails.
    for count in [1, 0, 0] {
        door.database.fail("no rights");
        let said = door.after(MOMENT);
        assert_eq!((said.len(), door.who(), door.door.faults()), (count, vec![1], 1));
        assert!(said.iter().all(|fault| fault.contains("what it granted before holds")));
    }
}

#[test]
fn a_row_that_cannot_be_read_is_reported_with_its_place_and_grants_nothing() {
    let mut door = Door::new();
    let mut mixed = rows(&[1]);
    mixed.push((2, format!("from=\"10.0.0.1\" {}", key(2).to_openssh())));
    mixed.push((3, key(4).to_openssh()));
    door.reads(&mixed);
    let said = door.after(MOMENT);
    assert_eq!((said.len(), door.who(), door.door.faults()), (2, vec![1], 2));
    for (fault, seed, why) in [(&said[0], 2, "'from' is not known"), (&said[1], 3, "another key")] {
        let digits: String =
            key(seed).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            fault.contains(&format!("identity \\x{digits}: ")) && fault.contains(why),
            "{fault}"
        );
    }
    // However many there are, only so many are said one by one.
    let wrong: Vec<_> = (0..250).map(|_| (1, "no key".to_owned())).collect();
    door.reads(&wrong);
    let said = door.after(MOMENT);
    assert_eq!((door.who(), door.door.faults()), (vec![], 101));
    assert!(said.last().unwrap().contains("150 more rows"), "{said:?}");
}

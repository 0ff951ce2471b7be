//! The other pages of the documentation, each read aloud from an empty home. Names that a page
//! leaves to its reader (TEACHER, KEY1, db1) are replaced by what this reader has.

use std::fs;

use crate::blocks::blocks;
use crate::postgres::cluster::{OWNER, Postgres, SERVER};
use crate::reader::Reader;
use crate::root;

/// Each page with the test that reads it: what a reader of the page has done before, heading by
/// heading.
macro_rules! pages {
    ($($test:ident: $page:literal, $prepare:expr;)*) => {
        /// The pages that these tests read.
        pub(crate) const READ: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                Reader::trusting().read_aloud($page, &mut $prepare);
            }
        )*
    };
}

pages! {
    the_page_on_configuration_runs: "docs/configuration.md", |reader: &mut Reader, section: &str| {
        if section == "Reload" {
            reader.serve(&[]);
        }
    };
    the_page_on_load_runs: "docs/load.md", |_: &mut Reader, _: &str| {};
    the_page_on_captures_runs: "docs/capture.md", captures;
    the_page_on_calculations_runs: "docs/explain.md", |_: &mut Reader, _: &str| {};
    the_page_on_operations_runs: "docs/operations.md", operations;
    the_page_on_several_servers_runs: "docs/scale.md", Servers::default().prepare();
    the_course_runs: "docs/course/README.md", course;
    exercise_1_runs: "docs/course/exercise-01.md", exercise;
    exercise_2_runs: "docs/course/exercise-02.md", exercise;
    exercise_3_runs: "docs/course/exercise-03.md", exercise;
    exercise_4_runs: "docs/course/exercise-04.md", exercise;
    exercise_5_runs: "docs/course/exercise-05.md", exercise;
    exercise_6_runs: "docs/course/exercise-06.md", exercise;
    exercise_7_runs: "docs/course/exercise-07.md", exercise;
    exercise_8_runs: "docs/course/exercise-08.md", exercise;
    exercise_9_runs: "docs/course/exercise-09.md", exercise;
    exercise_10_runs: "docs/course/exercise-10.md", exercise;
}

fn captures(reader: &mut Reader, section: &str) {
    match section {
        // A second conversation, for `--stream 2`.
        "Look at it" => reader.succeed("ddes total", None),
        "Wireshark" => {
            reader.succeed("ddes send 7", None);
            let packaging = root().join("packaging").canonicalize().unwrap();
            reader.replace("packaging/", &format!("{}/", packaging.display()));
        }
        _ => {}
    }
}

/// A service whose folders are in the reader's home.
fn operations(reader: &mut Reader, section: &str) {
    let place = |path: &str| reader.home.join(path).display().to_string();
    let (service, backups, disk) = (place("service"), place("backup"), place("data"));
    match section {
        "First run" => {
            reader.replace("/var/lib/ddes", &service);
            reader.replace("/backup/ddes", &backups);
            reader.replace("/data/ddes", &format!("{disk}/ddes"));
            reader.replace("counter.example:5566", &reader.address.clone());
            for folder in [&backups, &disk] {
                fs::create_dir(folder).unwrap();
            }
            reader.serve(&["--home", &service]);
            let shown = reader.ask(&format!("ddes key show --server-key --home {service}"));
            let key = shown.split_whitespace().find(|word| word.starts_with("SHA256:"));
            reader.replace("SHA256:...", key.unwrap_or_else(|| panic!("{shown}")));
            reader
                .succeed(&format!("ddes authorize \"$(ddes key new -q)\" --home {service}"), None);
            reader.succeed("ddes send 1 2 3", None);
        }
        "A failed or lost ledger" => {
            let ledger = format!("{service}/ledger");
            reader.succeed(&format!("rm -r {ledger}.old && mv {disk}/ddes {ledger}"), None);
            let backup = format!("ddes ledger backup {backups}/2027-01-31 --home {service}");
            reader.succeed(&backup, None);
        }
        _ => {}
    }
}

/// A cluster of the reader's own in the place of db1 and db2.
#[derive(Default)]
struct Servers {
    postgres: Option<Postgres>,
}

impl Servers {
    fn prepare(mut self) -> impl FnMut(&mut Reader, &str) {
        move |reader, section| self.section(reader, section)
    }

    fn section(&mut self, reader: &mut Reader, section: &str) {
        let postgres = self.postgres.get_or_insert_with(Postgres::start);
        let (owner, url) = (postgres.url(OWNER), postgres.url(SERVER));
        let name = |reader: &mut Reader, owner: &str, url: &str| {
            // Longer names first: one begins like another.
            reader.replace("postgres://owner@db1,db2/ddes", owner);
            reader.replace("postgres://owner@db1/ddes", owner);
            reader.replace("postgres://ddes@db1:5432,db2:5432/ddes", url);
            reader.replace("postgres://ddes@db2/ddes", url);
            reader.replace("--ledger …", &format!("--ledger {owner}"));
        };
        match section {
            "Moving a ledger" => {
                reader.succeed("ddes send 1 2 3", None);
                reader.stop();
                // Into a ledger that counted something nothing is moved.
                postgres.sql("postgres", "CREATE DATABASE moved");
                let moved = |url: &str| format!("{}/moved", url.rsplit_once('/').unwrap().0);
                let (owner, url) = (moved(&owner), moved(&url));
                reader.succeed(&format!("ddes ledger init --ledger {owner} --run"), None);
                reader.serve(&["--new-ledger"]);
                reader.succeed("ddes send --as folder 4", None);
                reader.stop();
                name(reader, &owner, &url);
                reader.replace("/srv/ddes", &reader.home.join("srv").display().to_string());
            }
            "Looking at it" => {
                name(reader, &owner, &url);
                reader.replace("ACCOUNT", "default");
            }
            _ => name(reader, &owner, &url),
        }
    }
}

fn course(reader: &mut Reader, section: &str) {
    match section {
        "In a classroom" => reader.replace("TEACHER:5566", &reader.address.clone()),
        "Grading" => {
            reader.succeed("mkdir answers && cp answers.toml answers/anna.toml", None);
        }
        _ => {}
    }
}

/// anna, who also has a class's server.
fn exercise(reader: &mut Reader, section: &str) {
    match section {
        "Run" => {
            let (key1, key2) = ("0123456789abcdef", "fedcba9876543210");
            let text = "text:the sum of all that is counted";
            let encrypt =
                format!("ddes calc ddes --key1 {key1} --key2 {key2} --pad -q --in '{text}'");
            let ciphertext = reader.ask(&encrypt);
            reader.replace("NAME", "anna");
            reader.replace("KEY1", key1);
            reader.replace("KEY2", key2);
            reader.replace("BLOCK", &ciphertext[..16]);
            reader.replace("INTEGER UUID", &"00".repeat(24));
            reader.replace("TOKEN", &"07".repeat(16));
            reader.replace("CIPHERTEXT", &ciphertext);
        }
        "With the class's server" => {
            reader.serve(&["--classic", "--ledger", "memory", "--http", "off"]);
            reader.replace("TEACHER:5566", &reader.address.clone());
        }
        _ => {}
    }
}

#[test]
fn a_heading_that_a_reader_prepares_for_is_in_its_page() {
    let sections = |page: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(page)).unwrap();
        blocks(&text).into_iter().map(|block| block.section).collect()
    };
    for (page, headings) in [
        ("docs/configuration.md", &["Reload"][..]),
        ("docs/capture.md", &["Look at it", "Wireshark"]),
        ("docs/operations.md", &["First run", "A failed or lost ledger"]),
        ("docs/scale.md", &["Moving a ledger", "Looking at it"]),
        ("docs/course/README.md", &["In a classroom", "Grading"]),
        ("docs/course/exercise-06.md", &["Run", "With the class's server"]),
    ] {
        let there = sections(page);
        for heading in headings {
            assert!(there.iter().any(|section| section == heading), "{page}: {heading}: {there:?}");
        }
    }
}

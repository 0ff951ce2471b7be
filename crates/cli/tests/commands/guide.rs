//! docs/guide.md and README.md, run from an empty home, in the order of their text.

use crate::reader::{COUNT, Reader};

/// The pages that these tests read.
pub(crate) const READ: &[&str] = &["docs/guide.md", "README.md"];

#[test]
fn the_guide_run_in_the_order_of_its_text_prints_what_it_says() {
    let mut reader = Reader::new();
    reader.read_aloud("docs/guide.md", &mut |_, _| {});
    // 42, 50 and 8, and each line of the file once.
    let sum = 100 + COUNT * (COUNT + 1) / 2;
    reader.succeed("ddes total", Some(&sum.to_string()));
    let counted = std::fs::read_to_string(reader.home.join("counts.csv")).unwrap();
    assert_eq!(counted.lines().count() as u64, 1 + 3 + COUNT);
}

#[test]
fn the_readme_run_in_the_order_of_its_text_prints_what_it_says() {
    Reader::new().read_aloud("README.md", &mut |_, _| {});
}

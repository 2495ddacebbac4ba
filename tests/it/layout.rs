//! The folders of `src` are in a fixed order, in which each uses only those before it, and there
//! are no circular dependencies between files. CONTRIBUTING.md says what each folder is for.

use std::path::Path;

mod paths;
mod small_trees;
mod tree;

use tree::{Tree, back_arrows, cycles};

/// The order. Each may use those before it; tests and documentation may use anything.
const ORDER: [&str; 24] = [
    "lib.rs",
    "exit_code.rs",
    "files.rs",
    "fingerprint.rs",
    "corpus.rs",
    "untrusted_text.rs",
    "wire",
    "puppet",
    "case",
    "generate",
    "host",
    "record",
    "check",
    "execute",
    "finding",
    "campaign",
    "limits.rs",
    "report",
    "check_plugin.rs",
    "worker",
    "handshake_case",
    "fuzz_target",
    "cli",
    "main.rs",
];

const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");

fn src() -> Tree {
    Tree::of_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// Fails if there are problems, and prints each on its own line.
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn no_folder_uses_a_later_one() {
    assert_none(&back_arrows(&src().arrows(), &ORDER));
}

#[test]
fn no_files_have_circular_dependencies() {
    assert_none(&cycles(&src().arrows()));
}

#[test]
fn every_folder_is_in_the_order() {
    let src = src();
    let mut order = ORDER.to_vec();
    order.sort_unstable();
    let exist: Vec<_> = src.units().into_iter().collect();
    assert_eq!(
        order, exist,
        "`ORDER` of tests/it/layout.rs, and the folders and files of src"
    );
}

#[test]
fn the_table_of_contributing_lists_the_folders_in_this_order() {
    let rows = CONTRIBUTING
        .lines()
        .filter_map(|line| line.strip_prefix("| `src/"));
    let names = rows.map(|row| row.split('`').next().unwrap_or(row));
    let names: Vec<_> = names.collect();
    assert_eq!(
        names, ORDER,
        "the table of CONTRIBUTING.md, and `ORDER` of tests/it/layout.rs"
    );
}

#[test]
fn the_picture_of_contributing_shows_the_folders_in_this_order() {
    let picture = CONTRIBUTING.split("```text\n").nth(1);
    let picture = picture.and_then(|rest| rest.split("```").next());
    let picture = picture.expect("CONTRIBUTING.md has a picture");
    let names = picture
        .split("─▶")
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let names: Vec<_> = names.collect();
    let folders = ORDER.into_iter().filter(|name| !name.ends_with(".rs"));
    let folders: Vec<_> = folders.collect();
    assert_eq!(
        names, folders,
        "the picture of CONTRIBUTING.md, and `ORDER` of tests/it/layout.rs"
    );
}

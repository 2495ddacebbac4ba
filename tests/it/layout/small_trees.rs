//! Tests of the layout test: small trees with and without the problems that it reports.

use super::tree::{Tree, back_arrows, cycles};

const LIB: (&str, &str) = ("lib.rs", "pub mod low; pub mod high; pub mod alone;");
const LOW: (&str, &str) = (
    "low/mod.rs",
    "mod one; mod other; pub use one::{One, first}; pub use other::Other;",
);
const ALONE: (&str, &str) = ("alone.rs", "pub fn alone() {}");
const ORDER: [&str; 4] = ["lib.rs", "alone.rs", "low", "high"];

/// Returns the problems of a tree whose folder `low` has these files besides its `mod.rs`.
fn problems(one: &str, other: &str, high: &str) -> [Vec<String>; 2] {
    let files = [
        LIB,
        LOW,
        ALONE,
        ("low/one.rs", one),
        ("low/other.rs", other),
        ("high.rs", high),
    ];
    problems_of(&files, &["lib.rs", "alone.rs", "low", "high.rs"])
}

fn problems_of<'t>(files: &[(&'t str, &'t str)], order: &[&str]) -> [Vec<String>; 2] {
    let arrows = Tree::new(files.iter().copied()).arrows();
    [back_arrows(&arrows, order), cycles(&arrows)]
}

fn no_problems() -> [Vec<String>; 2] {
    Default::default()
}

const ONE: &str = "pub struct One; pub fn first() {}";
const OTHER: &str = "use super::One; pub struct Other(One);";
const HIGH: &str =
    "use crate::low::{self, Other}; pub fn high(_: Other) { low::first(); crate::alone::alone(); }";

#[test]
fn a_tree_in_which_each_uses_only_earlier_ones_has_no_problems() {
    assert_eq!(problems(ONE, OTHER, HIGH), no_problems());
}

/// Each way to use an item of a later folder.
#[test]
fn a_use_of_a_later_folder_is_reported_with_its_line() {
    let ways = [
        "use crate::high::high;",
        "pub use crate::high::high as first_of_all;",
        "use crate::{alone, high};",
        "fn later() { crate::high::high() }",
        "fn later() { super::super::high::high() }",
        "fn later(x: Vec<crate::high::High>) {}",
        "fn later() { vec![crate::high::high()]; }",
        "macro_rules! later { () => { $crate::high::high() } }",
        "use crate::high; fn later() { high::high() }",
        "mod inside { fn later() { super::super::super::high::high() } }",
        "#[derive(Serialize)] struct S(#[serde(with = \"crate::high::text\")] String);",
        "#[error(\"{}\", crate::high::high())] struct E;",
        "fn later() { cc_lb_fuzz::high::high() }",
        "fn later() { use crate::high::*; }",
    ];
    for way in ways {
        let [back, _] = problems(&format!("{ONE}\n{way}"), OTHER, HIGH);
        assert_eq!(back.len(), 1, "{way}: {back:?}");
        assert!(back[0].starts_with("src/low/one.rs:2: `"), "{back:?}");
        assert!(back[0].contains("is in src/high.rs, and high.rs comes after low."));
    }
}

#[test]
fn what_does_not_use_another_file_is_not_reported() {
    let ways = [
        "#[cfg(test)] mod tests { use crate::high::high; }",
        "/// See [`high`](crate::high::high).\nfn it() {}",
        "fn it() { let _ = \"see crate::high\"; }",
        "pub(in crate::low) fn it() {}",
        "fn it() { let high = 0; println!(\"{}\", high); }",
        "use serde::high;",
    ];
    for way in ways {
        let [back, _] = problems(&format!("{ONE}\n{way}"), OTHER, HIGH);
        assert_eq!(back, [""; 0], "{way}");
    }
}

#[test]
fn two_files_that_use_each_other_are_a_cycle() {
    let one = "use super::Other; pub struct One(Other); pub fn first() {}";
    let [back, cycles] = problems(one, OTHER, HIGH);
    assert_eq!(back, [""; 0], "files of one folder have no order");
    assert_eq!(cycles.len(), 1);
    assert!(cycles[0].starts_with("These 2 files"), "{cycles:?}");
    for file in ["src/low/one.rs:1", "src/low/other.rs:1"] {
        assert!(cycles[0].contains(file), "{cycles:?}");
    }
}

#[test]
fn a_folder_that_uses_items_of_its_files_must_not_be_used_by_them() {
    let used = "mod one; mod other; pub use one::{One, first}; pub use other::Other;
        pub const MOST: usize = 1; fn all() -> One { one::first(); One }";
    let files = [
        LIB,
        ALONE,
        ("low/mod.rs", used),
        (
            "low/one.rs",
            "pub struct One; pub fn first() { super::MOST; }",
        ),
        ("low/other.rs", OTHER),
        ("high/mod.rs", HIGH),
    ];
    let [back, cycles] = problems_of(&files, &ORDER);
    assert_eq!(back, [""; 0]);
    assert_eq!(cycles.len(), 1);
    for file in ["src/low/mod.rs:2", "src/low/one.rs:1"] {
        assert!(cycles[0].contains(file), "{cycles:?}");
    }
}

#[test]
fn three_files_of_which_each_uses_the_next_are_a_cycle() {
    let files = [
        LIB,
        ALONE,
        ("low/mod.rs", "mod one; mod other;"),
        ("low/one.rs", "use super::other::f; pub fn g() { f() }"),
        ("low/other.rs", "pub fn f() { crate::high::third::h() }"),
        ("high/mod.rs", "pub mod third;"),
        ("high/third.rs", "pub fn h() { crate::low::one::g() }"),
    ];
    let [back, cycles] = problems_of(&files, &ORDER);
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(back[0].starts_with("src/low/other.rs:1: `crate::high::third::h`"));
    assert_eq!(cycles.len(), 1, "{cycles:?}");
    assert!(cycles[0].starts_with("These 3 files"), "{cycles:?}");
}

#[test]
fn the_program_names_the_library_by_its_crate_name_and_itself_by_crate() {
    let files = [
        ("lib.rs", "pub mod low;"),
        ("low.rs", "pub fn f() {}"),
        ("main.rs", "mod cli; fn main() { cli::run() }"),
        (
            "cli/mod.rs",
            "mod flags; pub fn run() { cc_lb_fuzz::low::f(); }",
        ),
        ("cli/flags.rs", "use crate::cli::run; fn g() { run() }"),
    ];
    let order = ["lib.rs", "low.rs", "cli", "main.rs"];
    assert_eq!(problems_of(&files, &order), no_problems());
    let [back, _] = problems_of(&files, &["lib.rs", "cli", "low.rs", "main.rs"]);
    assert_eq!(back.len(), 1, "{back:?}");
}

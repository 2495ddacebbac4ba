//! The tests of the test: trees of a few lines, with and without what it looks for.

use super::tree::{Tree, back_arrows, circles};

const LIB: (&str, &str) = ("lib.rs", "pub mod low; pub mod high; pub mod alone;");
const LOW: (&str, &str) = (
    "low/mod.rs",
    "mod one; mod other; pub use one::{One, first}; pub use other::Other;",
);
const ALONE: (&str, &str) = ("alone.rs", "pub fn alone() {}");
const ORDER: [&str; 4] = ["lib.rs", "alone.rs", "low", "high"];

/// The faults of a tree whose folder `low` has these files beside its `mod.rs`.
fn faults(one: &str, other: &str, high: &str) -> [Vec<String>; 2] {
    let files = [
        LIB,
        LOW,
        ALONE,
        ("low/one.rs", one),
        ("low/other.rs", other),
        ("high.rs", high),
    ];
    faults_of(&files, &["lib.rs", "alone.rs", "low", "high.rs"])
}

fn faults_of<'t>(files: &[(&'t str, &'t str)], order: &[&str]) -> [Vec<String>; 2] {
    let arrows = Tree::new(files.iter().copied()).arrows();
    [back_arrows(&arrows, order), circles(&arrows)]
}

fn no_faults() -> [Vec<String>; 2] {
    Default::default()
}

const ONE: &str = "pub struct One; pub fn first() {}";
const OTHER: &str = "use super::One; pub struct Other(One);";
const HIGH: &str =
    "use crate::low::{self, Other}; pub fn high(_: Other) { low::first(); crate::alone::alone(); }";

#[test]
fn a_tree_in_which_each_uses_what_stands_before_it_has_no_faults() {
    assert_eq!(faults(ONE, OTHER, HIGH), no_faults());
}

/// Each way to say it.
#[test]
fn what_uses_a_later_folder_is_told_with_its_line() {
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
        let [back, _] = faults(&format!("{ONE}\n{way}"), OTHER, HIGH);
        assert_eq!(back.len(), 1, "{way}: {back:?}");
        assert!(back[0].starts_with("src/low/one.rs:2: `"), "{back:?}");
        assert!(back[0].contains("is in src/high.rs, and high.rs comes after low."));
    }
}

#[test]
fn what_is_no_use_of_another_file_is_not_told() {
    let ways = [
        "#[cfg(test)] mod tests { use crate::high::high; }",
        "/// See [`high`](crate::high::high).\nfn it() {}",
        "fn it() { let _ = \"see crate::high\"; }",
        "pub(in crate::low) fn it() {}",
        "fn it() { let high = 0; println!(\"{}\", high); }",
        "use serde::high;",
    ];
    for way in ways {
        let [back, _] = faults(&format!("{ONE}\n{way}"), OTHER, HIGH);
        assert_eq!(back, [""; 0], "{way}");
    }
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let one = "use super::Other; pub struct One(Other); pub fn first() {}";
    let [back, circles] = faults(one, OTHER, HIGH);
    assert_eq!(back, [""; 0], "folders alone have an order");
    assert_eq!(circles.len(), 1);
    assert!(circles[0].starts_with("These 2 files"), "{circles:?}");
    for file in ["src/low/one.rs:1", "src/low/other.rs:1"] {
        assert!(circles[0].contains(file), "{circles:?}");
    }
}

#[test]
fn a_folder_that_uses_what_its_files_define_must_not_be_used_by_them() {
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
    let [back, circles] = faults_of(&files, &ORDER);
    assert_eq!(back, [""; 0]);
    assert_eq!(circles.len(), 1);
    for file in ["src/low/mod.rs:2", "src/low/one.rs:1"] {
        assert!(circles[0].contains(file), "{circles:?}");
    }
}

#[test]
fn three_files_of_which_each_uses_the_next_are_a_circle() {
    let files = [
        LIB,
        ALONE,
        ("low/mod.rs", "mod one; mod other;"),
        ("low/one.rs", "use super::other::f; pub fn g() { f() }"),
        ("low/other.rs", "pub fn f() { crate::high::third::h() }"),
        ("high/mod.rs", "pub mod third;"),
        ("high/third.rs", "pub fn h() { crate::low::one::g() }"),
    ];
    let [back, circles] = faults_of(&files, &ORDER);
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(back[0].starts_with("src/low/other.rs:1: `crate::high::third::h`"));
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(circles[0].starts_with("These 3 files"), "{circles:?}");
}

#[test]
fn the_program_uses_the_library_by_its_name_and_itself_by_crate() {
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
    assert_eq!(faults_of(&files, &order), no_faults());
    let [back, _] = faults_of(&files, &["lib.rs", "cli", "low.rs", "main.rs"]);
    assert_eq!(back.len(), 1, "{back:?}");
}

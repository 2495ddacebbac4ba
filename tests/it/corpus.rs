//! The `corpus` commands: adding cases, minimizing and statistics.

use std::fs;
use std::path::{Path, PathBuf};

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::wire::Request;

use crate::cli::{code, folder, text, tool};
use crate::common::{Guest, case, healthy, with_program};

fn trap() -> Op {
    Op::Trap(TrapOp::Unreachable)
}

/// Returns the sorted names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it can be read");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.flatten().map(name).collect();
    names.sort();
    names
}

/// Creates a corpus with these cases as JSON, and returns its path.
fn corpus_of<const N: usize>(folder: &Path, cases: [(&str, Case<Request>); N]) -> PathBuf {
    let corpus = folder.join("corpus");
    fs::create_dir(&corpus).expect("it can be created");
    for (name, case) in cases {
        case.write(&corpus.join(name)).expect("it can be written");
    }
    corpus
}

#[test]
fn no_seed_of_the_corpus_is_redundant() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/dispatch");
    let folder = folder();
    // A fuzzer that ran here may have left other files, without the extension.
    for name in names(&corpus) {
        if name.ends_with(".json") {
            let copied = fs::copy(corpus.join(&name), folder.path().join(&name));
            copied.expect("it can be copied");
        }
    }
    let stats = text(&tool(folder.path(), &["corpus", "stats", "."]).stdout);
    assert!(
        stats.trim_end().ends_with(" 0 redundant"),
        "every seed must reach something of its own: {stats}"
    );
}

#[test]
fn inputs_of_a_fuzzer_that_reach_something_new_are_added_and_named_after_it() {
    let folder = folder();
    let inputs = folder.path().join("inputs");
    fs::create_dir(&inputs).expect("it can be created");
    let write = |name: &str, case: &Case<Request>| {
        // A fuzzer stores the compact form.
        let bytes = case.to_postcard().expect("it can be written");
        fs::write(inputs.join(name), bytes).expect("it can be written");
    };
    write("0a1b", &case([healthy("sign_v1")]));
    write("2c3d", &case([healthy("sign_v1"), healthy("sign_v1")]));
    write("4e5f", &case([with_program("sign_v1", [trap()])]));
    write("6a7b", &case([with_program("sign_v1", [trap()])]));
    let add = || tool(folder.path(), &["corpus", "add", "corpus", "inputs"]);
    insta::assert_snapshot!(text(&add().stdout));
    let corpus = folder.path().join("corpus");
    let seeds = names(&corpus);
    // The added files are JSON, which replays and fuzzers can read too.
    for seed in &seeds {
        let json = fs::read_to_string(corpus.join(seed)).expect("it is text");
        Case::<Request>::decode(json.as_bytes()).expect("it is a case");
    }
    let again = text(&add().stdout);
    assert_eq!(again, "0 of 4 cases added\n", "{seeds:?}");
}

#[test]
fn minimizing_a_corpus_keeps_the_smallest_cases_for_the_same_features() {
    let folder = folder();
    let corpus = corpus_of(
        folder.path(),
        [
            ("healthy.json", case([healthy("sign_v1")])),
            ("healthy-again.json", case([healthy("sign_v1")])),
            ("twice.json", case([healthy("sign_v1"), healthy("sign_v1")])),
            ("trap.json", case([with_program("sign_v1", [trap()])])),
        ],
    );
    insta::assert_snapshot!(text(
        &tool(folder.path(), &["corpus", "stats", "corpus"]).stdout
    ));
    let min = tool(folder.path(), &["corpus", "min", "corpus"]);
    assert_eq!(code(&min), exit_code::CLEAN);
    assert!(text(&min.stdout).ends_with("2 of 4 cases left\n"));
    assert_eq!(names(&corpus), ["trap.json", "twice.json"]);
}

#[test]
fn a_case_is_added_even_if_the_names_of_the_plugin_are_long() {
    let folder = folder();
    let mut guest = Guest::shape("");
    guest.functions = format!(
        r#"(func $traps (@name "{}") (unreachable)) (func (export "shape") (result i32) (call $traps) (i32.const 0))"#,
        "\\e2\\80\\ae".repeat(100)
    );
    fs::write(folder.path().join("plugin.wasm"), guest.wasm()).expect("it can be written");
    let shape = case([healthy("shape_v1")]);
    shape
        .write(&folder.path().join("shape.json"))
        .expect("it can be written");
    let arguments = [
        "corpus",
        "add",
        "new",
        "shape.json",
        "--plugin",
        "plugin.wasm",
    ];
    let output = tool(folder.path(), &arguments);
    assert_eq!(code(&output), exit_code::CLEAN, "{}", text(&output.stderr));
    assert_eq!(names(&folder.path().join("new")).len(), 1);
}

#[test]
fn minimizing_a_corpus_keeps_files_that_are_not_cases() {
    let folder = folder();
    let same = || case([healthy("sign_v1")]);
    let corpus = corpus_of(
        folder.path(),
        [("one.json", same()), ("other.json", same())],
    );
    fs::write(corpus.join("rubbish"), b"rubbish").expect("it can be written");
    let min = tool(folder.path(), &["corpus", "min", "corpus"]);
    assert_eq!(code(&min), exit_code::CLEAN);
    assert!(text(&min.stdout).ends_with("1 of 2 cases left\n"));
    assert!(text(&min.stderr).contains("skipped: corpus/rubbish: not a case"));
    assert_eq!(names(&corpus).len(), 2);
    assert!(corpus.join("rubbish").exists());
}

#[cfg(unix)]
#[test]
fn a_link_to_a_case_of_the_corpus_is_not_another_case() {
    let folder = folder();
    let corpus = corpus_of(folder.path(), [("z.json", case([healthy("shape_v1")]))]);
    std::os::unix::fs::symlink("z.json", corpus.join("a.json")).expect("it can be created");
    let output = tool(folder.path(), &["corpus", "min", "corpus"]);
    let printed = text(&output.stdout);
    assert_eq!(printed, "1 of 1 cases left\n");
    assert!(
        corpus.join("a.json").exists(),
        "the link must still lead to a case"
    );
}

//! The command line tool, as its users meet it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use cc_lb_fuzz::exit_code;
use tempfile::TempDir;

use crate::common::{Guest, case, healthy, told};
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};

pub fn tool(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("cc-lb-fuzz").expect("it is built");
    command
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("it runs")
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// Asserts a snapshot of what was printed, without what differs from run to run: times, rates, and the program's place.
macro_rules! assert_printed {
    ($printed:expr) => {
        let filters = [
            (r"replay: \S+", "replay: cc-lb-fuzz"),
            (r"(?m)(_v\d .*\d) +\d+$", "$1 [rate]"),
            (r"\d+\.\d s \(.*\)", "[time]"),
            (r"\d+ µs", "[time]"),
        ];
        insta::with_settings!({ filters => filters }, { insta::assert_snapshot!($printed) });
    };
}

/// What a run of a plugin that keeps no call waiting prints: on a busy machine the clock may have a say in it, and then it
/// runs again.
pub fn undisturbed<T>(mut run: impl FnMut() -> (T, String)) -> (T, String) {
    for _ in 1..5 {
        let (told, printed) = run();
        if !printed.contains("timeout") && !printed.contains("the machine was busy") {
            return (told, printed);
        }
    }
    run()
}

pub fn code(output: &Output) -> u8 {
    output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .expect("it exits")
}

/// A plugin whose `shape` traps when the request has a query.
pub fn traps_on_a_query() -> Vec<u8> {
    wat::parse_str(include_str!("../../guests/traps_on_a_query.wat")).expect("it is valid")
}

#[test]
fn a_plugin_with_one_bug_has_one_finding_shrunk_to_the_field_and_replayable() {
    let ((folder, run), printed) = undisturbed(|| {
        let folder = folder();
        std::fs::write(folder.path().join("plugin.wasm"), traps_on_a_query())
            .expect("it can be written");
        let arguments = ["run", "plugin.wasm", "--cases", "300", "--seed", "1"];
        let run = tool(folder.path(), &arguments);
        let printed = text(&run.stdout);
        ((folder, run), printed)
    });
    assert_eq!(
        code(&run),
        exit_code::FINDINGS,
        "{printed}{}",
        text(&run.stderr)
    );
    assert_printed!(&printed);

    let command = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("replay: "));
    let words: Vec<&str> = command.expect("it is printed").split(' ').skip(1).collect();
    let replay = tool(folder.path(), &words);
    let printed = text(&replay.stdout);
    assert_eq!(code(&replay), exit_code::FINDINGS, "{printed}");
    assert!(
        printed.contains("finding: plugin_fault in shape (trap: unreachable)"),
        "{printed}"
    );
}

#[test]
fn a_healthy_plugin_has_no_finding() {
    let folder = folder();
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    let plugin = folder.path().join("plugin.wasm");
    std::fs::write(plugin, Guest::shape(answer).wasm()).expect("it can be written");
    let run = tool(folder.path(), &["run", "plugin.wasm", "--cases", "200"]);
    let printed = text(&run.stdout);
    assert_eq!(code(&run), exit_code::CLEAN, "{printed}");
    assert!(
        printed.contains("shape_v1") && printed.contains("shape_v2"),
        "{printed}"
    );
    assert!(
        !printed.contains("sign"),
        "only what was negotiated: {printed}"
    );
    assert!(!folder.path().join("artifacts").exists());
}

#[test]
fn the_host_itself_has_no_finding_and_every_function_shows_both_outcomes() {
    let run = tool(folder().path(), &["run", "--cases", "1500", "--seed", "3"]);
    let printed = text(&run.stdout);
    assert_eq!(code(&run), exit_code::CLEAN, "{printed}");
    let rows = printed.lines().filter(|line| line.contains("_v"));
    let mut functions = 0;
    for row in rows {
        let mut numbers = row
            .split_whitespace()
            .skip(1)
            .map(|n| n.parse::<u64>().expect("a number"));
        let (dispatches, ok) = (numbers.next(), numbers.next());
        assert!(ok > Some(0) && ok < dispatches, "{row}");
        functions += 1;
    }
    assert_eq!(functions, Request::functions().len());
}

/// The numbers in each function's row of a printed table, by column, but for the rate and for what no call came to: a
/// column is printed where any function has something in it.
fn table(printed: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim);
        cells
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut lines = printed.lines();
    let names = lines.find(|line| line.trim_start().starts_with("function "));
    let names = cells(names.expect("there is a table"));
    let rows = lines.map(cells).filter(|row| row.len() == names.len());
    rows.map(|row| {
        let columns = names.iter().cloned().zip(row.iter().cloned()).skip(1);
        let counts = columns.filter(|(name, n)| name != "per second" && n != "0");
        (row[0].clone(), counts.collect())
    })
    .collect()
}

#[test]
fn the_same_seed_prints_the_same_counts() {
    let rows = || {
        let run = tool(folder().path(), &["run", "--cases", "300", "--seed", "9"]);
        table(&text(&run.stdout))
    };
    let (one, other) = (rows(), rows());
    assert_eq!(one.len(), Request::functions().len(), "{one:?}");
    assert!(one.keys().eq(other.keys()), "{one:?}, {other:?}");
    for (function, one) in &one {
        let other = &other[function];
        assert_eq!(one["dispatches"], other["dispatches"], "{function}");
        // On a busy machine any call may run into the clock.
        let late = |row: &BTreeMap<String, String>| row.get("timeout").is_some_and(|n| n != "0");
        assert!(late(one) || late(other) || one == other, "{function}");
    }
}

#[test]
fn only_the_functions_asked_for_are_called() {
    let run = tool(
        folder().path(),
        &[
            "run",
            "--cases",
            "50",
            "--function",
            "sign",
            "--function",
            "observe_v2",
        ],
    );
    let printed = text(&run.stdout);
    let labels = printed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let labels: Vec<&str> = labels.filter(|word| word.contains("_v")).collect();
    assert_eq!(labels, ["sign_v1", "sign_v2", "observe_v2"]);
}

#[test]
fn a_case_replays_step_by_step() {
    let folder = folder();
    let file = folder.path().join("case.json");
    let case = case([
        told("sign_v1", [Op::EmitHealthy, Op::Trap(TrapOp::Memory)]),
        healthy("observe_v1"),
    ]);
    case.write(&file).expect("it can be written");
    let replay = tool(folder.path(), &["replay", "case.json"]);
    assert_eq!(code(&replay), exit_code::CLEAN);
    assert_printed!(text(&replay.stdout));
}

#[test]
fn a_case_that_cannot_be_written_is_told() {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), traps_on_a_query())
        .expect("it can be written");
    std::fs::write(folder.path().join("taken"), "").expect("it can be written");
    let run = tool(
        folder.path(),
        &[
            "run",
            "plugin.wasm",
            "--cases",
            "100",
            "--seed",
            "1",
            "--artifacts",
            "taken",
        ],
    );
    let error = text(&run.stderr);
    assert_eq!(code(&run), exit_code::COULD_NOT_RUN);
    assert!(
        error.starts_with("cc-lb-fuzz: cannot write taken"),
        "{error}"
    );
}

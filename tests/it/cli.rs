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

/// A folder with a plugin that is slow on zeroes in a body.
fn with_a_limit() -> TempDir {
    let folder = folder();
    let plugin = folder.path().join("plugin.wasm");
    std::fs::write(plugin, crate::planted::slow_on_zeroes()).expect("it can be written");
    folder
}

/// The words of the printed command, without the program's.
fn replay_of(printed: &str) -> Vec<&str> {
    let mut lines = printed.lines().map(str::trim);
    let command = lines.find_map(|line| line.strip_prefix("replay: "));
    command.expect("it is printed").split(' ').skip(1).collect()
}

const RUN: [&str; 6] = ["run", "plugin.wasm", "--cases", "100", "--seed", "1"];

#[test]
fn a_limit_is_told_stored_and_replayed_and_is_no_failure() {
    let folder = with_a_limit();
    let report = [
        "--report",
        "json=report.json",
        "--report",
        "junit=report.xml",
    ];
    let run = tool(folder.path(), &[&RUN[..], &report].concat());
    let printed = text(&run.stdout);
    assert_eq!(
        code(&run),
        exit_code::CLEAN,
        "{printed}{}",
        text(&run.stderr)
    );
    assert!(
        printed.contains("limit: plugin_limit in shape (out of fuel)\n"),
        "{printed}"
    );
    assert!(
        printed.contains("no host sends this: request.body_base64"),
        "{printed}"
    );
    assert!(
        printed.contains("\n0 findings, 1 limit in 100 cases"),
        "{printed}"
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it is there");
    let report: serde_json::Value = serde_json::from_str(&read("report.json")).expect("it is JSON");
    assert_eq!(report["findings"], serde_json::json!([]));
    assert_eq!(report["found_limits"][0]["severity"], "limit");
    assert!(read("report.xml").contains("failures=\"0\""));

    let replay = tool(folder.path(), &replay_of(&printed));
    let printed = text(&replay.stdout);
    assert_eq!(code(&replay), exit_code::CLEAN, "{printed}");
    assert!(
        printed.contains("limit: plugin_limit in shape"),
        "{printed}"
    );
    assert!(printed.ends_with("0 findings, 1 limit\n"), "{printed}");
    let all = tool(
        folder.path(),
        &["replay", "artifacts", "--plugin", "plugin.wasm"],
    );
    let printed = text(&all.stdout);
    assert_eq!(code(&all), exit_code::CLEAN, "{printed}");
    assert!(printed.contains("limit    "), "{printed}");
    assert!(
        printed.ends_with("0 of 1 cases show a finding, 1 a limit\n"),
        "{printed}"
    );
}

#[test]
fn a_limit_that_is_denied_is_a_finding_of_the_run_and_of_the_replay() {
    for by_flag in [true, false] {
        let folder = with_a_limit();
        let deny: &[&str] = if by_flag { &["--deny", "limits"] } else { &[] };
        if !by_flag {
            let file = folder.path().join("cc-lb-fuzz.toml");
            std::fs::write(file, "deny = [\"limits\"]\n").expect("it can be written");
        }
        let run = tool(folder.path(), &[&RUN[..], deny].concat());
        let printed = text(&run.stdout);
        assert_eq!(
            code(&run),
            exit_code::FINDINGS,
            "{printed}{}",
            text(&run.stderr)
        );
        assert!(
            printed.contains("finding: no_limit in shape (out of fuel)\n"),
            "{printed}"
        );
        assert!(printed.contains("\n1 finding in 100 cases"), "{printed}");
        let command = replay_of(&printed);
        let says = |words: &[_]| words == ["--deny", "limits"];
        assert!(command.windows(2).any(says), "{command:?}");
        let replay = tool(folder.path(), &command);
        assert_eq!(
            code(&replay),
            exit_code::FINDINGS,
            "{}",
            text(&replay.stdout)
        );
    }
}

//! The command line tool: what it prints, its exit codes, and replays.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use cc_lb_fuzz::exit_code;
use tempfile::TempDir;

use crate::common::{Guest, case, healthy, with_program};
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};

/// Runs the tool in this folder.
pub fn tool(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("cc-lb-fuzz").expect("it is built");
    command
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("it runs")
}

/// Returns a new temporary folder.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("the folder can be created")
}

/// Returns the output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// Asserts a snapshot of what was printed, without what differs between runs: times, rates, and the
/// program's path.
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

/// Runs the tool with a plugin that does not time out, and returns the result and what was printed.
/// On a busy machine any call may time out, so a run that reports that is repeated.
pub fn without_timeout<T>(mut run: impl FnMut() -> (T, String)) -> (T, String) {
    for _ in 1..5 {
        let (result, printed) = run();
        if !printed.contains("timeout") && !printed.contains("the machine was busy") {
            return (result, printed);
        }
    }
    run()
}

/// Returns the exit code.
pub fn code(output: &Output) -> u8 {
    output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .expect("it exits with a code")
}

/// Returns a plugin whose `shape` traps if the request has a query.
pub fn traps_on_a_query() -> Vec<u8> {
    wat::parse_str(include_str!("../../guests/traps_on_a_query.wat")).expect("it is valid")
}

#[test]
fn a_plugin_with_one_bug_has_one_finding_which_is_shrunk_and_replays() {
    let ((folder, run), printed) = without_timeout(|| {
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
    let arguments: Vec<&str> = command.expect("it is printed").split(' ').skip(1).collect();
    let replay = tool(folder.path(), &arguments);
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
        "only negotiated functions run: {printed}"
    );
    assert!(!folder.path().join("artifacts").exists());
}

#[test]
fn the_guarded_host_has_no_finding_and_every_function_has_both_outcomes() {
    let run = tool(folder().path(), &["run", "--cases", "1500", "--seed", "3"]);
    let printed = text(&run.stdout);
    assert_eq!(code(&run), exit_code::CLEAN, "{printed}");
    let rows = printed.lines().filter(|line| line.contains("_v"));
    let mut functions = 0;
    for row in rows {
        let mut numbers = row
            .split_whitespace()
            .skip(1)
            .map(|n| n.parse::<u64>().expect("it is a number"));
        let (dispatches, ok) = (numbers.next(), numbers.next());
        assert!(ok > Some(0) && ok < dispatches, "{row}");
        functions += 1;
    }
    assert_eq!(functions, Request::functions().len());
}

/// Returns the counts in each function's row of the printed table, by column, without the rate and
/// without zeros: a column is printed if it has a count for any function.
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
    let names = cells(names.expect("a table is printed"));
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
        // On a busy machine any call may time out.
        let timed_out =
            |row: &BTreeMap<String, String>| row.get("timeout").is_some_and(|n| n != "0");
        assert!(
            timed_out(one) || timed_out(other) || one == other,
            "{function}"
        );
    }
}

#[test]
fn only_the_selected_functions_are_called() {
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
    let labels: Vec<&str> = labels.filter(|label| label.contains("_v")).collect();
    assert_eq!(labels, ["sign_v1", "sign_v2", "observe_v2"]);
}

#[test]
fn a_case_replays_step_by_step() {
    let folder = folder();
    let file = folder.path().join("case.json");
    let case = case([
        with_program("sign_v1", [Op::EmitHealthy, Op::Trap(TrapOp::Memory)]),
        healthy("observe_v1"),
    ]);
    case.write(&file).expect("it can be written");
    let replay = tool(folder.path(), &["replay", "case.json"]);
    assert_eq!(code(&replay), exit_code::CLEAN);
    assert_printed!(text(&replay.stdout));
}

#[test]
fn a_case_that_cannot_be_written_is_an_error() {
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

/// Returns a folder with a plugin that is slow if a body contains zeroes.
fn folder_with_slow_plugin() -> TempDir {
    let folder = folder();
    let plugin = folder.path().join("plugin.wasm");
    std::fs::write(plugin, crate::planted::slow_on_zeroes()).expect("it can be written");
    folder
}

/// Returns the arguments of the printed replay command.
fn replay_arguments(printed: &str) -> Vec<&str> {
    let mut lines = printed.lines().map(str::trim);
    let command = lines.find_map(|line| line.strip_prefix("replay: "));
    command.expect("it is printed").split(' ').skip(1).collect()
}

const RUN: [&str; 6] = ["run", "plugin.wasm", "--cases", "100", "--seed", "1"];

#[test]
fn a_limit_is_printed_stored_and_replayed_and_is_not_a_failure() {
    let folder = folder_with_slow_plugin();
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
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it was written");
    let report: serde_json::Value = serde_json::from_str(&read("report.json")).expect("it is JSON");
    assert_eq!(report["findings"], serde_json::json!([]));
    assert_eq!(report["found_limits"][0]["severity"], "limit");
    assert!(read("report.xml").contains("failures=\"0\""));

    let replay = tool(folder.path(), &replay_arguments(&printed));
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
fn a_denied_limit_is_a_finding_of_the_run_and_of_the_replay() {
    for by_flag in [true, false] {
        let folder = folder_with_slow_plugin();
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
        let command = replay_arguments(&printed);
        let is_deny = |pair: &[_]| pair == ["--deny", "limits"];
        assert!(command.windows(2).any(is_deny), "{command:?}");
        let replay = tool(folder.path(), &command);
        assert_eq!(
            code(&replay),
            exit_code::FINDINGS,
            "{}",
            text(&replay.stdout)
        );
    }
}

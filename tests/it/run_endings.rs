//! However a run ends, all findings are in every report, and the exit code is right.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use cc_lb_fuzz::exit_code;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::cli::{code, folder, text};
use crate::common::Guest;

const REPORTS: [&str; 5] = [
    "html=out.html",
    "json=out.json",
    "junit=out.xml",
    "markdown=out.md",
    "sarif=out.sarif",
];

/// The longest time in which a run must exit after a signal, on a busy machine. Shrinking a finding
/// would take 20 s or more.
const EXIT_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns a folder with this plugin.
fn folder_with(wasm: &[u8]) -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), wasm).expect("it can be written");
    folder
}

/// Starts a run that writes all reports.
fn start(folder: &Path, flags: &[&str]) -> Child {
    let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
    run.current_dir(folder).arg("run").args(flags);
    for report in REPORTS {
        run.args(["--report", report]);
    }
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    run.spawn().expect("it starts")
}

/// Sends a signal to a run.
fn signal(run: &Child, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(run.id()).expect("it fits"));
    kill(id, signal).expect("it is running");
}

/// Waits until this file of the folder exists, for at most a minute.
fn wait_for(folder: &Path, file: &str) {
    let start = Instant::now();
    while !folder.join(file).exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Reads a file of the folder.
fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Asserts that the output and every report contain a violation of this check, examined or not.
fn assert_all_report(folder: &Path, check: &str, output: &Output) {
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert!(printed.contains(check), "{printed}");
    for name in ["out.html", "out.json", "out.xml", "out.md", "out.sarif"] {
        let report = read(folder, name);
        assert!(report.contains(check), "{name}: {report}\n{printed}");
    }
    let xml = read(folder, "out.xml");
    assert!(!xml.contains("failures=\"0\""), "{xml}");
}

/// Returns a plugin that traps on every request.
fn traps() -> Vec<u8> {
    let mut guest = Guest::shape("");
    guest.functions = r#"(func (export "shape") (result i32) (unreachable))"#.to_owned();
    guest.wasm()
}

/// Returns a plugin that never answers. Each call uses all its fuel, so confirmation takes long.
fn loops() -> Vec<u8> {
    let mut guest = Guest::shape("");
    guest.functions =
        r#"(func (export "shape") (result i32) (loop $more (br $more)) (i32.const 0))"#.to_owned();
    guest.wasm()
}

/// Starts a run of a plugin that never answers, and ends it with two signals after this time.
fn interrupted_after(folder: &Path, time: Duration) -> Output {
    let run = start(folder, &["plugin.wasm", "--cases", "64", "--seed", "1"]);
    std::thread::sleep(time);
    signal(&run, Signal::SIGTERM);
    // Without a pause, the run may get both as one signal.
    std::thread::sleep(Duration::from_millis(300));
    signal(&run, Signal::SIGINT);
    let signaled = Instant::now();
    let output = run.wait_with_output().expect("it exits");
    let took = signaled.elapsed();
    assert!(took < EXIT_TIMEOUT, "the run must exit at once: {took:?}");
    output
}

#[test]
fn unexamined_violations_are_in_every_report() {
    let folder = folder_with(&loops());
    // Nothing shows from outside when a run has a violation that it has not examined yet, so this
    // tries several times.
    let is_unexamined = |output: &Output| text(&output.stdout).contains("unexamined: ");
    let times = (1..20).map(|half_seconds| Duration::from_millis(500 * half_seconds));
    let outputs = times.map(|time| interrupted_after(folder.path(), time));
    let output = { outputs }.find(is_unexamined).expect("some run has one");
    assert_eq!(code(&output), exit_code::FINDINGS, "{output:?}");
    assert_all_report(folder.path(), "plugin_fault", &output);
    let report = read(folder.path(), "out.json");
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["ended_early"], "interrupted");
    // Each has a case and a command that replays it.
    for finding in report["findings"].as_array().expect("it is a list") {
        let replay = finding["replay"].as_str().expect("it has a command");
        let case = replay.split_whitespace().nth(2).expect("it names a file");
        assert!(folder.path().join(case).exists(), "{replay}");
    }
}

#[test]
fn a_signal_ends_a_run_soon_at_any_time() {
    for flags in [
        &["plugin.wasm", "--host", "reference", "--time", "60s"][..],
        &["plugin.wasm", "--time", "60s", "--seed", "3"],
    ] {
        let folder = folder_with(&loops());
        let run = start(folder.path(), flags);
        std::thread::sleep(Duration::from_secs(3));
        signal(&run, Signal::SIGINT);
        let signaled = Instant::now();
        let output = run.wait_with_output().expect("it exits");
        let took = signaled.elapsed();
        assert!(took < EXIT_TIMEOUT, "{flags:?}: {took:?}");
        for report in ["out.html", "out.json", "out.xml", "out.md", "out.sarif"] {
            assert!(folder.path().join(report).exists(), "{flags:?}: {output:?}");
        }
    }
}

#[test]
fn a_run_continues_after_its_program_is_removed() {
    let folder = folder_with(&traps());
    let program = folder.path().join("tool");
    std::fs::copy(cargo_bin("cc-lb-fuzz"), &program).expect("it can be copied");
    let mut run = Command::new(&program);
    run.current_dir(folder.path());
    // The workers of the published host restart for each violation.
    run.args([
        "run",
        "--host",
        "reference",
        "--cases",
        "300",
        "--seed",
        "2",
    ]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let run = run.expect("it starts");
    wait_for(folder.path(), "artifacts");
    std::fs::remove_file(&program).expect("it exists");
    let output = run.wait_with_output().expect("it exits");
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), exit_code::FINDINGS, "{printed}");
    assert!(printed.contains("in 300 cases"), "{printed}");
}

#[test]
fn a_report_is_written_even_if_its_folder_is_removed_during_the_run() {
    let folder = folder_with(&traps());
    let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
    run.current_dir(folder.path());
    run.args([
        "run",
        "plugin.wasm",
        "--cases",
        "200",
        "--seed",
        "1",
        "--quiet",
    ]);
    run.args(["--report", "junit=reports/out.xml"]);
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = run.spawn().expect("it starts");
    wait_for(folder.path(), "reports");
    // At its start the run creates a file there for a moment, to check that it can.
    let start = Instant::now();
    while std::fs::remove_dir(folder.path().join("reports")).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    let output = run.wait_with_output().expect("it exits");
    assert_eq!(
        code(&output),
        exit_code::FINDINGS,
        "{}",
        text(&output.stderr)
    );
    let report = read(folder.path(), "reports/out.xml");
    assert!(report.contains("plugin_fault"), "{report}");
}

#[test]
fn a_plugin_that_always_times_out_is_reported_even_by_a_short_run() {
    let mut guest = Guest::shape("");
    // A loop that reaches the time limit long before the fuel limit.
    let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x100000))";
    guest.functions = format!(
        r#"(memory 16) (func (export "shape") (result i32) (loop $more {fill} (br $more)) (i32.const 0))"#
    );
    let folder = folder_with(&guest.wasm());
    let run = start(
        folder.path(),
        &["plugin.wasm", "--time", "10s", "--seed", "1"],
    );
    let output = run.wait_with_output().expect("it exits");
    assert_eq!(
        code(&output),
        exit_code::FINDINGS,
        "{}",
        text(&output.stdout)
    );
    assert_all_report(folder.path(), "plugin_fault", &output);
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_is_ignored_from_the_start_does_not_end_a_run() {
    let folder = folder_with(
        &Guest::shape(r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#).wasm(),
    );
    let program = cargo_bin("cc-lb-fuzz");
    let line = format!(
        "trap '' HUP; exec {} run plugin.wasm --time 3s --seed 1",
        program.display()
    );
    let mut run = Command::new("sh");
    run.current_dir(folder.path()).args(["-c", &line]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let run = run.expect("it starts");
    std::thread::sleep(Duration::from_secs(1));
    signal(&run, Signal::SIGHUP);
    let output = run.wait_with_output().expect("it exits");
    let printed = text(&output.stdout);
    assert_eq!(code(&output), exit_code::CLEAN, "{printed}");
    assert!(!printed.contains("interrupted"), "{printed}");
}

//! However a run ends, what was seen is in every report, and the exit code says so.

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

/// What ends at once, or soon, on a busy machine. To shrink a finding takes 20 s and more.
const BUSY: Duration = Duration::from_secs(15);

/// A folder with a plugin.
fn workshop(wasm: &[u8]) -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), wasm).expect("there is room");
    folder
}

/// Begins a run with all reports.
fn begin(folder: &Path, flags: &[&str]) -> Child {
    let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
    run.current_dir(folder).arg("run").args(flags);
    for report in REPORTS {
        run.args(["--report", report]);
    }
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    run.spawn().expect("it starts")
}

fn signal(run: &Child, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(run.id()).expect("it is small"));
    kill(id, signal).expect("it lives");
}

/// Waits until the run has printed such a line.
fn wait_for(folder: &Path, file: &str) {
    let start = Instant::now();
    while !folder.join(file).exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Asserts that every report tells of such a violation, whether anybody has looked into it or not.
fn all_tell(folder: &Path, check: &str, output: &Output) {
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert!(printed.contains(check), "{printed}");
    for name in ["out.html", "out.json", "out.xml", "out.md", "out.sarif"] {
        let report = read(folder, name);
        assert!(report.contains(check), "{name}: {report}\n{printed}");
    }
    let xml = read(folder, "out.xml");
    assert!(!xml.contains("failures=\"0\""), "{xml}");
}

/// A plugin that traps on every request.
fn traps() -> Vec<u8> {
    let mut guest = Guest::shape("");
    guest.functions = r#"(func (export "shape") (result i32) (unreachable))"#.to_owned();
    guest.wasm()
}

/// A plugin that never answers. Each call takes all the fuel that there is, and so confirming takes long.
fn loops() -> Vec<u8> {
    let mut guest = Guest::shape("");
    guest.functions =
        r#"(func (export "shape") (result i32) (loop $more (br $more)) (i32.const 0))"#.to_owned();
    guest.wasm()
}

/// Asks a run of a plugin that never answers for an end, twice, after so long.
fn ended_after(folder: &Path, time: Duration) -> Output {
    let run = begin(folder, &["plugin.wasm", "--cases", "64", "--seed", "1"]);
    std::thread::sleep(time);
    signal(&run, Signal::SIGTERM);
    // Or it is one signal for the one who gets it.
    std::thread::sleep(Duration::from_millis(300));
    signal(&run, Signal::SIGINT);
    let asked = Instant::now();
    let output = run.wait_with_output().expect("it ends");
    let took = asked.elapsed();
    assert!(took < BUSY, "an end at once: {took:?}");
    output
}

#[test]
fn what_was_not_looked_into_is_in_every_report() {
    let folder = workshop(&loops());
    // Nothing says from outside when it has seen something and not yet looked into it.
    let is_open = |output: &Output| text(&output.stdout).contains("unexamined: ");
    let times = (1..20).map(|half_seconds| Duration::from_millis(500 * half_seconds));
    let ended = times.map(|time| ended_after(folder.path(), time));
    let output = { ended }.find(is_open).expect("it was open for a while");
    assert_eq!(code(&output), exit_code::FINDINGS, "{output:?}");
    all_tell(folder.path(), "plugin_fault", &output);
    let report = read(folder.path(), "out.json");
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["ended_early"], "interrupted");
    // Each has its case and the command that replays it.
    for finding in report["findings"].as_array().expect("a list") {
        let replay = finding["replay"].as_str().expect("a command");
        let case = replay.split_whitespace().nth(2).expect("a file");
        assert!(folder.path().join(case).exists(), "{replay}");
    }
}

#[test]
fn a_signal_ends_a_run_soon_whatever_it_is_at() {
    for flags in [
        &["plugin.wasm", "--host", "reference", "--time", "60s"][..],
        &["plugin.wasm", "--time", "60s", "--seed", "3"],
    ] {
        let folder = workshop(&loops());
        let run = begin(folder.path(), flags);
        std::thread::sleep(Duration::from_secs(3));
        signal(&run, Signal::SIGINT);
        let asked = Instant::now();
        let output = run.wait_with_output().expect("it ends");
        let took = asked.elapsed();
        assert!(took < BUSY, "{flags:?}: {took:?}");
        for report in ["out.html", "out.json", "out.xml", "out.md", "out.sarif"] {
            assert!(folder.path().join(report).exists(), "{flags:?}: {output:?}");
        }
    }
}

#[test]
fn a_run_goes_on_though_its_program_is_removed() {
    let folder = workshop(&traps());
    let program = folder.path().join("tool");
    std::fs::copy(cargo_bin("cc-lb-fuzz"), &program).expect("there is room");
    let mut run = Command::new(&program);
    run.current_dir(folder.path());
    // The published host's workers start again for each violation.
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
    std::fs::remove_file(&program).expect("it was there");
    let output = run.wait_with_output().expect("it ends");
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), exit_code::FINDINGS, "{printed}");
    assert!(printed.contains("in 300 cases"), "{printed}");
}

#[test]
fn a_report_is_written_though_its_folder_is_removed_in_between() {
    let folder = workshop(&traps());
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
    // Whether it can be written to is tried with a file.
    let start = Instant::now();
    while std::fs::remove_dir(folder.path().join("reports")).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    let output = run.wait_with_output().expect("it ends");
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
fn a_plugin_that_always_runs_out_of_time_is_told_for_sure_in_a_short_run_too() {
    let mut guest = Guest::shape("");
    // A loop that takes far more time than fuel.
    let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0x100000))";
    guest.functions = format!(
        r#"(memory 16) (func (export "shape") (result i32) (loop $more {fill} (br $more)) (i32.const 0))"#
    );
    let folder = workshop(&guest.wasm());
    let run = begin(
        folder.path(),
        &["plugin.wasm", "--time", "10s", "--seed", "1"],
    );
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(
        code(&output),
        exit_code::FINDINGS,
        "{}",
        text(&output.stdout)
    );
    all_tell(folder.path(), "plugin_fault", &output);
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_the_run_was_started_to_ignore_ends_nothing() {
    let folder = workshop(
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
    let output = run.wait_with_output().expect("it ends");
    let printed = text(&output.stdout);
    assert_eq!(code(&output), exit_code::CLEAN, "{printed}");
    assert!(!printed.contains("interrupted"), "{printed}");
}

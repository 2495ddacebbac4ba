//! The commands other than `run`.

use std::path::Path;

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::wire::{Query, Request};
use tempfile::TempDir;

use crate::cli::{code, folder, text, tool, traps_on_a_query};
use crate::common::{case, healthy, with_program};

/// Returns a folder with a plugin that traps on a query, and cases with and without a query.
fn folder_with_cases() -> TempDir {
    let folder = folder();
    let wasm = traps_on_a_query();
    std::fs::write(folder.path().join("plugin.wasm"), wasm).expect("it can be written");
    let cases = folder.path().join("cases");
    std::fs::create_dir(&cases).expect("it can be created");
    let mut queried = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut queried.request {
        shape.request.query = Some(Query("beta=true".to_owned()));
        shape.principal.id.0 = "\"# a quote and a mark".to_owned();
    }
    let write = |name: &str, case: cc_lb_fuzz::case::Case| {
        case.write(&cases.join(name)).expect("it can be written");
    };
    write("healthy.json", case([healthy("shape_v2")]));
    write("queried.json", case([healthy("shape_v2"), queried]));
    folder
}

/// Runs a command, asserts its exit code, and returns what it prints.
fn prints(folder: &Path, arguments: &[&str], expected: u8) -> String {
    let output = tool(folder, arguments);
    let printed = text(&output.stdout);
    assert_eq!(code(&output), expected, "{printed}{}", text(&output.stderr));
    printed
}

#[test]
fn a_folder_of_cases_replays_with_a_summary() {
    let folder = folder_with_cases();
    let arguments = ["replay", "cases", "--plugin", "plugin.wasm"];
    let printed = prints(folder.path(), &arguments, exit_code::FINDINGS);
    insta::assert_snapshot!(printed);
    // The puppet answers both cases.
    let printed = prints(folder.path(), &["replay", "cases"], exit_code::CLEAN);
    assert!(
        printed.ends_with("0 of 2 cases show a finding\n"),
        "{printed}"
    );
}

#[test]
fn several_files_replay_in_full() {
    let folder = folder_with_cases();
    let files = ["cases/healthy.json", "cases/queried.json"];
    let arguments = ["replay", files[0], files[1], "--plugin", "plugin.wasm"];
    let printed = prints(folder.path(), &arguments, exit_code::FINDINGS);
    for file in files {
        assert!(printed.contains(&format!("{file}\nstep 1: ")), "{printed}");
    }
}

#[test]
fn a_minimized_case_still_shows_its_finding() {
    let folder = folder_with_cases();
    let file = "cases/queried.json";
    let arguments = ["minimize", file, "--plugin", "plugin.wasm"];
    let printed = prints(folder.path(), &arguments, exit_code::FINDINGS);
    let (finding, replay) = printed.split_once("replay: ").expect("it is printed");
    insta::assert_snapshot!(finding.trim());
    let replay: Vec<&str> = replay.split_whitespace().skip(1).collect();
    prints(folder.path(), &replay, exit_code::FINDINGS);
    let printed = prints(folder.path(), &["minimize", file], exit_code::CLEAN);
    assert_eq!(printed, "the case shows no finding\n");
}

#[test]
fn a_case_is_shown_as_text_json_and_test_code() {
    let folder = folder_with_cases();
    let show = |format: &str| {
        let arguments = ["show", "cases/queried.json", "--format", format];
        prints(folder.path(), &arguments, exit_code::CLEAN)
    };
    insta::assert_snapshot!(show("text").trim());
    insta::assert_snapshot!(show("rust").trim());
    let stored = std::fs::read_to_string(folder.path().join("cases/queried.json"));
    assert_eq!(show("json"), stored.expect("it can be read"));
}

#[test]
fn a_compact_case_is_shown_as_json() {
    let folder = folder_with_cases();
    let case = case([with_program("sign_v1", [Op::Trap(TrapOp::Memory)])]);
    let compact = case.to_postcard().expect("it serializes");
    std::fs::write(folder.path().join("compact"), compact).expect("it can be written");
    let arguments = ["show", "compact", "--format", "json"];
    let printed = prints(folder.path(), &arguments, exit_code::CLEAN);
    assert_eq!(printed, case.to_json().expect("it serializes"));
}

#[test]
fn a_plugin_is_described() {
    let folder = folder_with_cases();
    let arguments = ["inspect", "plugin.wasm"];
    insta::assert_snapshot!(prints(folder.path(), &arguments, exit_code::CLEAN));
}

#[test]
fn a_plugin_that_fails_its_handshake_is_described_and_then_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("empty.wat"), "(module)").expect("it can be written");
    let arguments = ["inspect", "empty.wat"];
    let printed = prints(folder.path(), &arguments, exit_code::COULD_NOT_RUN);
    insta::assert_snapshot!(printed);
}

#[test]
fn names_of_a_plugin_are_printed_without_terminal_commands() {
    let folder = folder();
    let clears = r#"(module (import "\c2\9b2J" "f" (func)) (func (export "\1b[2J")))"#;
    std::fs::write(folder.path().join("clears.wat"), clears).expect("it can be written");
    let output = tool(folder.path(), &["inspect", "clears.wat"]);
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert!(printed.contains("\\u{9b}2J"), "{printed}");
    let is_command = |c: char| c.is_control() && c != '\n';
    assert!(!printed.contains(is_command), "{printed:?}");
}

#[test]
fn no_name_of_a_plugin_can_imitate_a_line_of_the_tool() {
    let folder = folder();
    let mut exports = String::new();
    for before in 0..120 {
        let name = format!("{} finding: forged", "x".repeat(before));
        exports += &format!(r#"(func (export "{name}")) (func (export "replay: {before}"))"#);
    }
    let module = format!("(module {exports})");
    std::fs::write(folder.path().join("forges.wat"), module).expect("it can be written");
    let output = tool(folder.path(), &["inspect", "forges.wat"]);
    let printed = text(&output.stdout);
    assert!(printed.contains("finding: forged"), "{printed}");
    for line in printed.lines() {
        let text = line.trim_start();
        let is_forged = ["finding:", "replay:"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        assert!(!is_forged, "{line}");
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let arguments = ["completions", shell];
        let script = prints(folder().path(), &arguments, exit_code::CLEAN);
        for command in ["minimize", "inspect", "--capability"] {
            assert!(script.contains(command.trim_start_matches('-')), "{shell}");
        }
        // The snapshot has only the shortest script.
        if shell == "fish" {
            insta::assert_snapshot!(script);
        }
    }
}

#[test]
fn every_command_has_a_help() {
    let folder = folder();
    let commands = [
        "run",
        "replay",
        "minimize",
        "show",
        "inspect",
        "limits",
        "corpus",
        "completions",
    ];
    let helps = commands.map(|command| {
        let help = prints(folder.path(), &[command, "--help"], exit_code::CLEAN);
        format!("$ cc-lb-fuzz {command} --help\n{help}")
    });
    let own = prints(folder.path(), &["--help"], exit_code::CLEAN);
    insta::assert_snapshot!(format!("{own}\n{}", helps.join("\n")));
}

#[test]
fn a_run_writes_the_requested_reports() {
    let folder = folder_with_cases();
    let printed = prints(
        folder.path(),
        &[
            "run",
            "plugin.wasm",
            "--cases",
            "300",
            "--seed",
            "1",
            "--report",
            "json=out.json",
            "--report",
            "junit=out.xml",
            "--report",
            "sarif=out.sarif",
            "--report",
            "html=out.html",
            "--report",
            "markdown=out.md",
        ],
        exit_code::FINDINGS,
    );
    assert!(printed.contains("1 finding in 300 cases"), "{printed}");
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it was written");
    let report: serde_json::Value = serde_json::from_str(&read("out.json")).expect("it is JSON");
    assert_eq!(
        (&report["cases"], &report["seed"]),
        (&300.into(), &"1".into())
    );
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(1));
    for (name, begins) in [
        ("out.xml", "<?xml"),
        ("out.sarif", "{"),
        ("out.html", "<!DOCTYPE"),
        ("out.md", "# 1 finding"),
    ] {
        assert!(read(name).starts_with(begins), "{name}");
    }
}

#[test]
fn an_interrupted_run_prints_its_summary() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let folder = folder_with_cases();
    let program = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let run = std::process::Command::new(program)
        .current_dir(folder.path())
        .args(["run", "--time", "60s", "--report", "json=out.json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let id = Pid::from_raw(i32::try_from(run.id()).expect("it fits"));
    std::thread::sleep(std::time::Duration::from_secs(5));
    kill(id, Signal::SIGINT).expect("it is running");
    let output = run.wait_with_output().expect("it exits");
    let printed = text(&output.stdout);
    assert_eq!(code(&output), exit_code::CLEAN, "{printed}");
    assert!(printed.contains("interrupted: "), "{printed}");
    assert!(folder.path().join("out.json").exists());
}

#[test]
fn the_limits_of_a_plugin_are_printed_as_a_table() {
    let folder = folder();
    let reads = include_str!("../../guests/reads_a_byte_at_a_time.wat");
    std::fs::write(folder.path().join("reads.wat"), reads).expect("it can be written");
    let printed = prints(folder.path(), &["limits", "reads.wat"], exit_code::CLEAN);
    insta::assert_snapshot!(printed);
}

#[test]
fn a_configuration_file_sets_flags_and_the_command_line_overrides_it() {
    let folder = folder_with_cases();
    let put = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("it can be written");
    };
    put(
        "cc-lb-fuzz.toml",
        "cases = 30\nseed = 5\nfunction = [\"shape_v1\"]\nplugin = \"plugin.wasm\"\n",
    );
    let printed = prints(folder.path(), &["run"], exit_code::CLEAN);
    assert!(
        printed.contains("seed 5") && printed.contains("in 30 cases"),
        "{printed}"
    );
    assert!(
        printed.contains("shape_v1") && !printed.contains("sign"),
        "{printed}"
    );
    let printed = prints(folder.path(), &["run", "--seed", "6"], exit_code::CLEAN);
    assert!(printed.contains("seed 6"), "{printed}");
    // The same without a command, even with a flag that all commands have.
    let printed = prints(folder.path(), &["--color", "never"], exit_code::CLEAN);
    assert!(printed.contains("seed 5"), "{printed}");
    // The seed of the file does not conflict with that of the resumed campaign.
    let resumed = tool(folder.path(), &["run", "plugin.wasm", "--resume"]);
    let printed = text(&resumed.stderr);
    assert!(
        printed.contains("there is no campaign to resume"),
        "{printed}"
    );
    assert!(!printed.contains("--seed"), "{printed}");
    // Keys of other commands are not errors, and apply to those commands.
    let printed = prints(folder.path(), &["replay", "cases"], exit_code::FINDINGS);
    assert!(printed.contains("1 of 2 cases show a finding"), "{printed}");
    put("other.toml", "case = 30\n");
    let unknown = tool(folder.path(), &["run", "--config", "other.toml"]);
    assert_eq!(code(&unknown), exit_code::COULD_NOT_RUN);
    assert_eq!(
        text(&unknown.stderr),
        "cc-lb-fuzz: other.toml: no command has the flag --case\n"
    );
}

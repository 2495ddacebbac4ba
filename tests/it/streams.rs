//! The tool's input and output: printed commands, closed streams, flags and configuration files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::puppet::{Import, Op, Operand};
use cc_lb_fuzz::wire::{Query, Request};

use crate::cli::{code, folder, text, tool, traps_on_a_query};
use crate::common::{Guest, case, healthy, set_error, set_output, with_program};
use crate::plugin_folder::{RUN, folder_with_plugin, names, put, replay_commands, run_in_shell};

/// Returns a stream whose reader is closed.
fn gone() -> Stdio {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer.into()
}

#[test]
fn if_the_output_is_closed_reports_are_written_and_the_exit_code_is_right() {
    let folder = folder_with_plugin();
    let program = || {
        let mut program = Command::new(cargo_bin("cc-lb-fuzz"));
        program.current_dir(folder.path());
        program
    };
    let run = program()
        .args(RUN)
        .args(["--report", "junit=out.xml"])
        .stdout(gone())
        .stderr(gone())
        .status();
    assert_eq!(run.expect("it runs").code(), Some(1));
    let report = fs::read_to_string(folder.path().join("out.xml")).expect("the file exists");
    assert!(report.contains("failures=\"1\""), "{report}");
    let name = names(&folder.path().join("artifacts")).pop_first();
    let found = format!("artifacts/{}", name.expect("a case is stored"));
    for (arguments, expected) in [
        (&["fly"][..], 2),
        (&["run", "missing.wasm"], 2),
        (&["replay", "missing.json"], 2),
        (&["replay", "artifacts", "--plugin", "plugin.wasm"], 1),
        (&["show", &found], 0),
        (&["inspect", "plugin.wasm"], 0),
        (&["completions", "bash"], 0),
        (&["--help"], 0),
    ] {
        let ended = program()
            .args(arguments)
            .stdout(gone())
            .stderr(gone())
            .output();
        let ended = ended.expect("it runs");
        assert_eq!(ended.status.code(), Some(expected), "{arguments:?}");
    }
    let worker = program()
        .arg("worker")
        .stdin(Stdio::null())
        .stderr(gone())
        .status();
    assert_eq!(worker.expect("it runs").code(), Some(2));
}

#[test]
fn a_long_run_continues_if_the_reader_of_its_progress_is_closed() {
    let folder = folder_with_plugin();
    let program = cargo_bin("cc-lb-fuzz");
    // The first line of progress is printed after ten seconds.
    let line = format!(
        "{{ {} run plugin.wasm --time 11s --seed 1 --report junit=out.xml; echo $? >code; }} 2>&1 | head -1",
        program.display()
    );
    let run = run_in_shell(folder.path(), &line);
    assert_eq!(text(&run.stdout), "fuzzing plugin.wasm; seed 1\n");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("the file exists");
    assert_eq!(read("code"), "1\n");
    assert!(read("out.xml").contains("failures=\"1\""));
}

#[test]
fn a_printed_command_runs_whatever_characters_its_paths_have() {
    let file_names: [&[u8]; 9] = [
        b"plain",
        b"a b",
        b"it's $HOME\\n `x` !! \"q\" *",
        b"tab\tand\nline",
        b"\xff\x80\x1b[2J7",
        "e\u{301} \u{202e}\u{feff}\u{9b}\u{2028}\u{fffd}€".as_bytes(),
        b"-x=y",
        b"-\t%s 100%!'\\\x81\x88\x7f",
        b"line\n\n",
    ];
    for file_name in file_names {
        let outer = folder();
        let here = outer.path();
        let file_name = OsStr::from_bytes(file_name);
        let plugin = Path::new(".").join(file_name).with_extension("wasm");
        fs::write(here.join(&plugin), traps_on_a_query()).expect("it can be written");
        let program = here.join(file_name);
        symlink(cargo_bin("cc-lb-fuzz"), &program).expect("the link is created");
        let artifacts = Path::new("found").join(file_name);
        let mut report = OsStr::new("sarif=out").to_owned();
        report.push(file_name);
        let mut run = Command::new(&program);
        run.current_dir(here)
            .args(["run", "--cases=60", "--seed=1"]);
        if let Some(capability) = file_name.to_str() {
            run.arg(format!("--capability={capability}"));
        }
        run.arg("--artifacts")
            .arg(&artifacts)
            .arg("--report")
            .arg(&report);
        let plugin = plugin.strip_prefix(".").expect("the path begins with `.`");
        let run = run.arg("--").arg(plugin).output().expect("it runs");
        let printed = text(&run.stdout);
        assert_eq!(code(&run), exit_code::FINDINGS, "{file_name:?} {printed}");
        for command in replay_commands(&printed) {
            assert!(!command.contains('\u{fffd}') || file_name.to_string_lossy().contains('€'));
            let replay = run_in_shell(here, &command);
            let error = text(&replay.stderr);
            assert_eq!(code(&replay), exit_code::FINDINGS, "{command} {error}");
            let shown = text(&replay.stdout);
            assert!(shown.contains("finding: plugin_fault"), "{shown}");
        }
        let mut name = OsStr::new("out").to_owned();
        name.push(file_name);
        let report = fs::read(here.join(name)).expect("the file exists");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
        let message = report["runs"][0]["results"][0]["message"]["text"].as_str();
        assert_eq!(
            replay_commands(message.expect("a string")),
            replay_commands(&printed)
        );
    }
}

#[test]
fn a_byte_order_mark_is_ignored_in_a_case_a_plugin_and_a_configuration() {
    let folder = folder();
    let marked = |text: &str| ["\u{feff}", text].concat().into_bytes();
    let mut queried = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut queried.request {
        shape.request.query = Some(Query("beta=true".to_owned()));
    }
    let json = case([queried]).to_json().expect("it serializes");
    put(folder.path(), "case.json", &marked(&json));
    let wat = include_str!("../../guests/traps_on_a_query.wat");
    put(folder.path(), "plugin.wat", &marked(wat));
    put(
        folder.path(),
        "cc-lb-fuzz.toml",
        &marked("plugin = \"plugin.wat\"\n"),
    );
    let replay = tool(folder.path(), &["replay", "case.json"]);
    let printed = text(&replay.stdout) + &text(&replay.stderr);
    // The puppet would answer this request.
    assert!(printed.contains("the guest trapped"), "{printed}");
}

#[test]
fn a_corpus_command_accepts_its_flags_in_any_position() {
    let folder = folder_with_plugin();
    let corpus = folder.path().join("corpus");
    fs::create_dir(&corpus).expect("the folder is created");
    let only = case([healthy("shape_v1")]);
    only.write(&corpus.join("one.json"))
        .expect("it can be written");
    let flags = [
        &["--host", "reference"][..],
        &["--plugin", "plugin.wasm"],
        &["--capability", "kv:read"],
        &["--deny", "refused"],
    ];
    for flag in flags {
        for arguments in [
            [&["corpus"][..], flag, &["stats", "corpus"]].concat(),
            [&["corpus", "stats"][..], flag, &["corpus"]].concat(),
            [&["corpus", "stats", "corpus"][..], flag].concat(),
        ] {
            let ended = tool(folder.path(), &arguments);
            let error = text(&ended.stderr);
            assert_eq!(code(&ended), exit_code::CLEAN, "{arguments:?} {error}");
        }
    }
    // The flag has its effect: the puppet implements this function, and the plugin does not.
    let sign = case([healthy("sign_v1")]);
    sign.write(&corpus.join("one.json"))
        .expect("it can be written");
    let stats = |flags: &[&str]| {
        let arguments = [&["corpus", "stats", "corpus"][..], flags].concat();
        text(&tool(folder.path(), &arguments).stdout)
    };
    assert_ne!(stats(&[]), stats(&["--plugin", "plugin.wasm"]));
}

#[test]
fn a_missing_temporary_folder_is_named_in_the_error() {
    let folder = folder_with_plugin();
    let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
    run.current_dir(folder.path()).args(RUN);
    let ended = run
        .env("TMPDIR", "/nonexistent/tmp")
        .output()
        .expect("it runs");
    assert_eq!(code(&ended), exit_code::COULD_NOT_RUN);
    let error = text(&ended.stderr);
    assert!(
        error.starts_with("cc-lb-fuzz: cannot create a temporary folder in /nonexistent/tmp: ")
            && error.ends_with("; set TMPDIR to a writable folder\n"),
        "{error}"
    );
}

#[test]
fn a_temporary_folder_may_have_any_name() {
    let folder = folder_with_plugin();
    for name in [&b"\xff"[..], b"\x7f\t\n\"\\"] {
        let name = OsStr::from_bytes(name);
        let temporary = folder.path().join(name);
        fs::create_dir(&temporary).expect("the folder is created");
        for host in ["guarded", "reference"] {
            let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
            run.current_dir(folder.path()).args(RUN);
            let run = run.args(["--host", host]).env("TMPDIR", &temporary);
            let ended = run.output().expect("it runs");
            let output = text(&ended.stdout) + &text(&ended.stderr);
            assert_ne!(code(&ended), exit_code::COULD_NOT_RUN, "{name:?} {output}");
            assert!(output.contains(" in 60 cases, "), "{name:?} {output}");
        }
    }
}

#[test]
fn a_printed_command_does_not_depend_on_the_configuration() {
    let folder = folder_with_plugin();
    let huge = Operand {
        register: None,
        add: 8 << 20,
    };
    let alloc = Op::Call {
        function: Import::Alloc,
        operands: [huge; 2],
        to: 0,
    };
    let poisons = case([with_program("shape_v1", [alloc]), healthy("shape_v1")]);
    poisons
        .write(&folder.path().join("case.json"))
        .expect("it can be written");
    let minimize = ["minimize", "case.json", "--host", "reference"];
    let found = tool(folder.path(), &minimize);
    let printed = text(&found.stdout);
    assert_eq!(code(&found), exit_code::FINDINGS, "{printed}");
    assert!(!printed.contains("--no-config"), "{printed}");
    let configuration = b"plugin = \"plugin.wasm\"\nhost = \"guarded\"\n";
    put(folder.path(), "cc-lb-fuzz.toml", configuration);
    put(folder.path(), "other.toml", b"color = \"never\"\n");
    let other = [&minimize[..], &["--config", "other.toml"]].concat();
    let printed = text(&tool(folder.path(), &other).stdout);
    for command in replay_commands(&printed) {
        let replay = run_in_shell(folder.path(), &command);
        assert_eq!(code(&replay), exit_code::FINDINGS, "{command}");
    }
    let both = tool(
        folder.path(),
        &["--no-config", "--config", "other.toml", "run"],
    );
    assert_eq!(code(&both), exit_code::COULD_NOT_RUN);
    put(folder.path(), "other.toml", b"no-config = true\n");
    let key = tool(folder.path(), &["--config", "other.toml", "run"]);
    assert_eq!(code(&key), exit_code::COULD_NOT_RUN);
}

/// Returns a plugin that refuses every request after the first.
fn answers_only_the_first_call() -> Vec<u8> {
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    let mut guest = Guest::shape("");
    guest.functions = format!(
        r#"(global $called (mut i32) (i32.const 0))
        (func (export "shape") (result i32)
            (if (global.get $called) (then {} (return (i32.const 1))))
            (global.set $called (i32.const 1))
            {} (i32.const 0))"#,
        set_error("no more"),
        set_output(answer),
    );
    guest.wasm()
}

#[test]
fn a_replay_reports_a_finding_once_however_often_its_case_shows_it() {
    let folder = folder();
    put(folder.path(), "plugin.wasm", &answers_only_the_first_call());
    let steps = case(vec![healthy("shape_v1"); 4]);
    fs::create_dir(folder.path().join("cases")).expect("the folder is created");
    steps
        .write(&folder.path().join("cases/case.json"))
        .expect("it can be written");
    let replay = |what: &str| {
        let arguments = ["replay", what, "--plugin", "plugin.wasm"];
        text(&tool(folder.path(), &arguments).stdout)
    };
    let printed = replay("cases/case.json");
    let titles: Vec<_> = printed
        .lines()
        .filter(|line| line.starts_with("finding: "))
        .collect();
    let distinct: BTreeSet<_> = titles.iter().collect();
    assert!(
        titles.iter().any(|title| title.contains("no_poison")),
        "{printed}"
    );
    assert_eq!(titles.len(), distinct.len(), "{printed}");
    let plural = if titles.len() == 1 { "" } else { "s" };
    let count = format!("\n{} finding{plural}\n", titles.len());
    assert!(printed.ends_with(&count), "{printed}");
    let line = replay("cases");
    assert_eq!(line.matches("no_poison in shape").count(), 1, "{line}");
}

#[test]
fn a_seed_is_a_string_in_the_report_and_a_drawn_seed_is_short() {
    let folder = folder_with_plugin();
    let seed_of = |flags: &[&str]| {
        let report = ["--report", "json=out.json"];
        let arguments = [&["run", "--cases=1"][..], &report, flags].concat();
        tool(folder.path(), &arguments);
        let json = fs::read_to_string(folder.path().join("out.json")).expect("the file exists");
        let report: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        report["seed"]
            .as_str()
            .expect("the seed is a string")
            .to_owned()
    };
    let largest = u64::MAX.to_string();
    assert_eq!(seed_of(&["--seed", &largest]), largest);
    for _ in 0..3 {
        let drawn: u64 = seed_of(&[]).parse().expect("it is a number");
        assert!(drawn < 1 << 53, "{drawn}");
    }
}

//! What the tool reads and prints: printed commands, streams that nobody reads, flags and configurations.

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
use crate::common::{Guest, case, healthy, set_error, set_output, told};
use crate::files::{RUN, names, paste, put, replays, workshop};

/// A stream whose reader is gone.
fn gone() -> Stdio {
    let (_, writer) = std::io::pipe().expect("there is room");
    writer.into()
}

#[test]
fn where_nobody_reads_the_reports_are_written_and_the_exit_code_says_what_was_found() {
    let folder = workshop();
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
    let report = fs::read_to_string(folder.path().join("out.xml")).expect("it is there");
    assert!(report.contains("failures=\"1\""), "{report}");
    let name = names(&folder.path().join("artifacts")).pop_first();
    let found = format!("artifacts/{}", name.expect("there is a case"));
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
fn a_long_run_goes_on_when_the_reader_of_its_progress_is_gone() {
    let folder = workshop();
    let program = cargo_bin("cc-lb-fuzz");
    // The first line about the progress is due after ten seconds.
    let line = format!(
        "{{ {} run plugin.wasm --time 11s --seed 1 --report junit=out.xml; echo $? >code; }} 2>&1 | head -1",
        program.display()
    );
    let run = paste(folder.path(), &line);
    assert_eq!(text(&run.stdout), "fuzzing plugin.wasm; seed 1\n");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("it is there");
    assert_eq!(read("code"), "1\n");
    assert!(read("out.xml").contains("failures=\"1\""));
}

#[test]
fn a_printed_command_runs_whatever_its_paths_are_made_of() {
    let words: [&[u8]; 9] = [
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
    for word in words {
        let outer = folder();
        let here = outer.path();
        let word = OsStr::from_bytes(word);
        let plugin = Path::new(".").join(word).with_extension("wasm");
        fs::write(here.join(&plugin), traps_on_a_query()).expect("it can be written");
        let program = here.join(word);
        symlink(cargo_bin("cc-lb-fuzz"), &program).expect("it links");
        let artifacts = Path::new("found").join(word);
        let mut report = OsStr::new("sarif=out").to_owned();
        report.push(word);
        let mut run = Command::new(&program);
        run.current_dir(here)
            .args(["run", "--cases=60", "--seed=1"]);
        if let Some(capability) = word.to_str() {
            run.arg(format!("--capability={capability}"));
        }
        run.arg("--artifacts")
            .arg(&artifacts)
            .arg("--report")
            .arg(&report);
        let plugin = plugin.strip_prefix(".").expect("it is in it");
        let run = run.arg("--").arg(plugin).output().expect("it runs");
        let printed = text(&run.stdout);
        assert_eq!(code(&run), exit_code::FINDINGS, "{word:?} {printed}");
        for command in replays(&printed) {
            assert!(!command.contains('\u{fffd}') || word.to_string_lossy().contains('€'));
            let replay = paste(here, &command);
            let error = text(&replay.stderr);
            assert_eq!(code(&replay), exit_code::FINDINGS, "{command} {error}");
            let shown = text(&replay.stdout);
            assert!(shown.contains("finding: plugin_fault"), "{shown}");
        }
        let mut name = OsStr::new("out").to_owned();
        name.push(word);
        let report = fs::read(here.join(name)).expect("it is there");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
        let told = report["runs"][0]["results"][0]["message"]["text"].as_str();
        assert_eq!(replays(told.expect("a text")), replays(&printed));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_case_a_plugin_or_a_configuration() {
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
    // The puppet would answer.
    assert!(printed.contains("the guest trapped"), "{printed}");
}

#[test]
fn a_command_of_a_corpus_takes_its_flags_wherever_they_stand() {
    let folder = workshop();
    let corpus = folder.path().join("corpus");
    fs::create_dir(&corpus).expect("it can be made");
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
        for words in [
            [&["corpus"][..], flag, &["stats", "corpus"]].concat(),
            [&["corpus", "stats"][..], flag, &["corpus"]].concat(),
            [&["corpus", "stats", "corpus"][..], flag].concat(),
        ] {
            let ended = tool(folder.path(), &words);
            let error = text(&ended.stderr);
            assert_eq!(code(&ended), exit_code::CLEAN, "{words:?} {error}");
        }
    }
    // And it is what it says: there is no such function on that plugin, but on the puppet.
    let sign = case([healthy("sign_v1")]);
    sign.write(&corpus.join("one.json"))
        .expect("it can be written");
    let stats = |flags: &[&str]| {
        let words = [&["corpus", "stats", "corpus"][..], flags].concat();
        text(&tool(folder.path(), &words).stdout)
    };
    assert_ne!(stats(&[]), stats(&["--plugin", "plugin.wasm"]));
}

#[test]
fn a_temporary_folder_that_is_missing_is_what_the_error_is_about() {
    let folder = workshop();
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
    let folder = workshop();
    for name in [&b"\xff"[..], b"\x7f\t\n\"\\"] {
        let name = OsStr::from_bytes(name);
        let temporary = folder.path().join(name);
        fs::create_dir(&temporary).expect("it can be made");
        for host in ["guarded", "reference"] {
            let mut run = Command::new(cargo_bin("cc-lb-fuzz"));
            run.current_dir(folder.path()).args(RUN);
            let run = run.args(["--host", host]).env("TMPDIR", &temporary);
            let ended = run.output().expect("it runs");
            let told = text(&ended.stdout) + &text(&ended.stderr);
            assert_ne!(code(&ended), exit_code::COULD_NOT_RUN, "{name:?} {told}");
            assert!(told.contains(" in 60 cases, "), "{name:?} {told}");
        }
    }
}

#[test]
fn a_printed_command_runs_as_it_says_whatever_the_configuration_has() {
    let folder = workshop();
    let huge = Operand {
        register: None,
        add: 8 << 20,
    };
    let alloc = Op::Call {
        function: Import::Alloc,
        operands: [huge; 2],
        to: 0,
    };
    let poisons = case([told("shape_v1", [alloc]), healthy("shape_v1")]);
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
    for command in replays(&printed) {
        let replay = paste(folder.path(), &command);
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

/// A plugin that refuses every request behind the first.
fn is_poisoned_by_a_call() -> Vec<u8> {
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
fn a_replay_tells_a_finding_once_however_often_its_case_shows_it() {
    let folder = folder();
    put(folder.path(), "plugin.wasm", &is_poisoned_by_a_call());
    let steps = case(vec![healthy("shape_v1"); 4]);
    fs::create_dir(folder.path().join("cases")).expect("it can be made");
    steps
        .write(&folder.path().join("cases/case.json"))
        .expect("it can be written");
    let replay = |what: &str| {
        let words = ["replay", what, "--plugin", "plugin.wasm"];
        text(&tool(folder.path(), &words).stdout)
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
fn a_seed_is_a_text_in_the_report_and_one_that_is_drawn_is_short() {
    let folder = workshop();
    let seed_of = |flags: &[&str]| {
        let report = ["--report", "json=out.json"];
        let words = [&["run", "--cases=1"][..], &report, flags].concat();
        tool(folder.path(), &words);
        let json = fs::read_to_string(folder.path().join("out.json")).expect("it is there");
        let report: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        report["seed"].as_str().expect("it is a text").to_owned()
    };
    let largest = u64::MAX.to_string();
    assert_eq!(seed_of(&["--seed", &largest]), largest);
    for _ in 0..3 {
        let drawn: u64 = seed_of(&[]).parse().expect("it is a number");
        assert!(drawn < 1 << 53, "{drawn}");
    }
}

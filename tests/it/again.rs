//! Runs that build on earlier ones: corpora, earlier findings, and campaigns that go on where they stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::wire::{Query, Request};
use tempfile::TempDir;

use crate::cli::{code, folder, text, tool, traps_on_a_query};
use crate::common::{Guest, case, healthy, set_error};

/// A folder with a plugin, and a corpus with a case that it traps on.
fn workshop() -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), traps_on_a_query()).expect("there is room");
    let corpus = folder.path().join("corpus");
    std::fs::create_dir(&corpus).expect("it can be made");
    let mut queried = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut queried.request {
        shape.request.query = Some(Query("beta=true".to_owned()));
    }
    let written = case([healthy("shape_v2"), queried]).write(&corpus.join("queried.json"));
    written.expect("it can be written");
    folder
}

/// Runs the healthy calls alone, which find nothing, with further flags.
fn run_seeds(folder: &Path, flags: &[&str]) -> (u8, String) {
    let seeds = ["run", "plugin.wasm", "--phase", "seeds", "--seed", "1"];
    let output = tool(folder, &[&seeds[..], flags].concat());
    (code(&output), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_corpus_runs_first_and_what_was_found_before_is_found_again() {
    let folder = workshop();
    let (code, printed) = run_seeds(folder.path(), &[]);
    assert_eq!(code, exit_code::CLEAN, "{printed}");
    let (code, printed) = run_seeds(folder.path(), &["--corpus", "corpus"]);
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
    assert!(
        printed.contains("request.query = \"\""),
        "it is shrunk: {printed}"
    );
    let stored = || {
        let artifacts = Case::<Request>::read_folder(&folder.path().join("artifacts"));
        artifacts.expect("it is there").cases
    };
    let before = stored();
    let (code, printed) = run_seeds(folder.path(), &[]);
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
    // It is as small as it was: to shrink it again takes up to 20 s, at each run.
    assert!(
        printed.contains("the stored case that shows it"),
        "{printed}"
    );
    let name = before[0].0.file_name().expect("a name").to_string_lossy();
    assert!(
        printed.contains(&format!("replay artifacts/{name}")),
        "{printed}"
    );
    assert_eq!(stored(), before);
    let (code, printed) = run_seeds(folder.path(), &["--artifacts", "elsewhere"]);
    assert_eq!(code, exit_code::CLEAN, "{printed}");
    let (code, printed) = run_seeds(folder.path(), &["--corpus", "nowhere"]);
    assert_eq!(code, exit_code::COULD_NOT_RUN, "{printed}");
}

#[test]
fn a_corpus_that_is_named_runs_whatever_the_phases_are() {
    let folder = workshop();
    let random = [
        "run",
        "plugin.wasm",
        "--phase",
        "random",
        "--cases",
        "1",
        "--corpus",
        "corpus",
    ];
    let output = tool(folder.path(), &random);
    assert_eq!(
        code(&output),
        exit_code::FINDINGS,
        "in whatever phase: {}",
        text(&output.stdout)
    );
}

#[test]
fn what_a_plugin_refuses_is_told_and_a_finding_only_where_that_is_denied() {
    let folder = folder();
    let mut guest = Guest::shape("");
    let refuses = set_error("no such tenant: 4711");
    guest.functions = format!(r#"(func (export "shape") (result i32) {refuses} (i32.const 1))"#);
    std::fs::write(folder.path().join("plugin.wasm"), guest.wasm()).expect("there is room");
    let (code, printed) = run_seeds(folder.path(), &[]);
    assert_eq!(code, exit_code::CLEAN, "{printed}");
    assert!(printed.contains("the plugin refused"), "{printed}");
    let (code, printed) = run_seeds(folder.path(), &["--deny", "refused"]);
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
    let title = "finding: no_refusal in shape (no such tenant: 0)";
    assert!(printed.contains(title), "{printed}");
    assert!(
        printed.contains("--deny refused\n"),
        "the replay denies it too: {printed}"
    );
}

#[test]
fn a_campaign_that_was_killed_goes_on_where_it_was_and_finds_what_was_left() {
    let folder = workshop();
    let flags = [
        "run",
        "plugin.wasm",
        "--function",
        "shape_v2",
        "--cases",
        "50000",
    ];
    let mut campaign = std::process::Command::new(cargo_bin("cc-lb-fuzz"));
    campaign.current_dir(folder.path()).args(flags);
    campaign.args(["--seed", "7", "--quiet"]);
    let mut campaign = campaign
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let state = || {
        let entries = std::fs::read_dir(folder.path().join("artifacts")).ok()?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        paths.find(|path| path.to_string_lossy().contains("/.campaign-"))
    };
    let kept = || -> Option<u64> {
        let state = std::fs::read(state()?).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&state).ok()?;
        state["done"].as_u64()
    };
    let start = Instant::now();
    while kept().is_none_or(|done| done == 0) && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    campaign.kill().expect("it is killed");
    campaign.wait().expect("it ends");
    let done = kept().expect("it is there");
    assert!(done > 0 && done < 50_000, "{done}");

    let other = tool(folder.path(), &["run", "plugin.wasm", "--resume"]);
    assert_eq!(
        code(&other),
        exit_code::COULD_NOT_RUN,
        "{}",
        text(&other.stdout)
    );
    // A shorter one of the same seed leaves that.
    let shorter = [&flags[..5], &["1", "--seed", "7"]].concat();
    tool(folder.path(), &shorter);
    assert_eq!(kept(), Some(done));
    let cases = (done + 640).to_string();
    let flags = [&flags[..5], &[&cases[..], "--resume"]].concat();
    let rest = tool(folder.path(), &flags);
    let printed = text(&rest.stdout);
    assert_eq!(
        code(&rest),
        exit_code::FINDINGS,
        "{printed}{}",
        text(&rest.stderr)
    );
    assert!(
        printed.contains(&format!("seed 7, from case {done} on")),
        "{printed}"
    );
    assert!(printed.contains("1 finding in 640 cases"), "{printed}");
    assert_eq!(state(), None, "there is nothing left to go on with");
}

#[test]
fn findings_have_colors_only_where_that_is_asked_for() {
    let folder = workshop();
    let run = |when: &str| run_seeds(folder.path(), &["--corpus", "corpus", "--color", when]).1;
    assert!(run("always").contains("\u{1b}[1;31mfinding\u{1b}[0m: plugin_fault in shape"));
    for when in ["never", "auto"] {
        assert!(
            run(when).contains("finding: plugin_fault in shape"),
            "{when}"
        );
    }
}

#[test]
fn what_cannot_be_printed_is_kept_and_what_cannot_be_written_leaves_the_rest() {
    let folder = workshop();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut campaign = std::process::Command::new(cargo_bin("cc-lb-fuzz"));
    campaign.current_dir(folder.path());
    campaign.args([
        "run",
        "plugin.wasm",
        "--phase",
        "seeds",
        "--seed",
        "1",
        "--corpus",
        "corpus",
    ]);
    campaign.args([
        "--report",
        "json=reports/report.json",
        "--report",
        "junit=/dev/full",
        // Or the first line already cannot be printed.
        "--quiet",
    ]);
    if let Ok(full) = full {
        campaign.stdout(full);
    }
    let ended = campaign.output().expect("it starts");
    assert_eq!(code(&ended), exit_code::FINDINGS, "{}", text(&ended.stderr));
    let report = std::fs::read(folder.path().join("reports/report.json")).expect("it was written");
    assert!(text(&report).contains("plugin_fault"), "{}", text(&report));
    let artifacts = Case::<Request>::read_folder(&folder.path().join("artifacts"));
    assert!(!artifacts.expect("it is there").cases.is_empty());
}

#[test]
fn a_corpus_that_calls_nothing_of_the_plugin_is_told_and_runs_nothing() {
    let folder = workshop();
    let corpus = folder.path().join("elsewhere");
    std::fs::create_dir(&corpus).expect("it can be made");
    let written = case([healthy("observe_v1")]).write(&corpus.join("observe.json"));
    written.expect("it can be written");
    let (code, printed) = run_seeds(folder.path(), &["--corpus", "elsewhere"]);
    assert_eq!(code, exit_code::COULD_NOT_RUN, "{printed}");
    let told = "no case of the corpus calls a function that the plugin negotiated; it has: shape_v1, shape_v2";
    assert!(printed.contains(told), "{printed}");
    // Beside one that does it is as any other.
    let (code, printed) = run_seeds(
        folder.path(),
        &["--corpus", "elsewhere", "--corpus", "corpus"],
    );
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
}

#[test]
fn a_campaign_of_another_seed_takes_nothing_from_one_that_was_interrupted() {
    let folder = workshop();
    let artifacts = folder.path().join("artifacts");
    std::fs::create_dir(&artifacts).expect("it can be made");
    let flags = ["run", "plugin.wasm", "--function", "shape_v2", "--quiet"];
    let mut campaign = std::process::Command::new(cargo_bin("cc-lb-fuzz"));
    campaign.current_dir(folder.path()).args(flags);
    campaign.args(["--seed", "11", "--cases", "500000"]);
    let mut campaign = campaign.spawn().expect("it starts");
    let states = || -> Vec<String> {
        let entries = std::fs::read_dir(&artifacts)
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".campaign")).collect()
    };
    let start = Instant::now();
    while states().is_empty() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    campaign.kill().expect("it is killed");
    campaign.wait().expect("it ends");
    assert_eq!(states().len(), 1);
    let other = [&flags[..4], &["--seed", "22", "--cases", "64"]].concat();
    tool(folder.path(), &other);
    assert_eq!(states().len(), 1, "it is still there");
    let rest = tool(
        folder.path(),
        &[&flags[..4], &["--resume", "--cases", "64"]].concat(),
    );
    let printed = text(&rest.stdout);
    assert!(printed.contains("seed 11"), "{printed}");
}

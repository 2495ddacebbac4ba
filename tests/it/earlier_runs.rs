//! Runs that use what earlier runs stored: corpora, findings, and campaigns that resume.

use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::wire::{Query, Request};
use tempfile::TempDir;

use crate::cli::{code, folder, text, tool, traps_on_a_query};
use crate::common::{Guest, case, healthy, set_error};

/// Returns a folder with a plugin, and a corpus with a case that it traps on.
fn folder_with_corpus() -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), traps_on_a_query())
        .expect("it can be written");
    let corpus = folder.path().join("corpus");
    std::fs::create_dir(&corpus).expect("it can be created");
    let mut queried = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut queried.request {
        shape.request.query = Some(Query("beta=true".to_owned()));
    }
    let written = case([healthy("shape_v2"), queried]).write(&corpus.join("queried.json"));
    written.expect("it can be written");
    folder
}

/// Runs only the healthy calls, which find nothing, with further flags.
fn run_seeds(folder: &Path, flags: &[&str]) -> (u8, String) {
    let seeds = ["run", "plugin.wasm", "--phase", "seeds", "--seed", "1"];
    let output = tool(folder, &[&seeds[..], flags].concat());
    (code(&output), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_corpus_runs_first_and_stored_findings_are_reproduced() {
    let folder = folder_with_corpus();
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
        artifacts.expect("it can be read").cases
    };
    let before = stored();
    let (code, printed) = run_seeds(folder.path(), &[]);
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
    // It is not shrunk again, which would take up to 20 s in each run.
    assert!(
        printed.contains("the stored case that shows it"),
        "{printed}"
    );
    let name = before[0]
        .0
        .file_name()
        .expect("it has a name")
        .to_string_lossy();
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
fn a_named_corpus_runs_with_any_choice_of_phases() {
    let folder = folder_with_corpus();
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
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn refused_requests_are_printed_and_are_findings_only_if_denied() {
    let folder = folder();
    let mut guest = Guest::shape("");
    let refuses = set_error("no such tenant: 4711");
    guest.functions = format!(r#"(func (export "shape") (result i32) {refuses} (i32.const 1))"#);
    std::fs::write(folder.path().join("plugin.wasm"), guest.wasm()).expect("it can be written");
    let (code, printed) = run_seeds(folder.path(), &[]);
    assert_eq!(code, exit_code::CLEAN, "{printed}");
    assert!(printed.contains("the plugin refused"), "{printed}");
    let (code, printed) = run_seeds(folder.path(), &["--deny", "refused"]);
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
    let title = "finding: no_refusal in shape (no such tenant: 0)";
    assert!(printed.contains(title), "{printed}");
    assert!(
        printed.contains("--deny refused\n"),
        "the replay has the same flag: {printed}"
    );
}

#[test]
fn a_killed_campaign_resumes_where_it_stopped_and_finds_the_rest() {
    let folder = folder_with_corpus();
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
    let stored_progress = || -> Option<u64> {
        let state = std::fs::read(state()?).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&state).ok()?;
        state["done"].as_u64()
    };
    let start = Instant::now();
    while stored_progress().is_none_or(|done| done == 0)
        && start.elapsed() < Duration::from_secs(60)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    campaign.kill().expect("it can be killed");
    campaign.wait().expect("it exits");
    let done = stored_progress().expect("it was stored");
    assert!(done > 0 && done < 50_000, "{done}");

    let other = tool(folder.path(), &["run", "plugin.wasm", "--resume"]);
    assert_eq!(
        code(&other),
        exit_code::COULD_NOT_RUN,
        "{}",
        text(&other.stdout)
    );
    // A shorter campaign with the same seed does not change the state.
    let shorter = [&flags[..5], &["1", "--seed", "7"]].concat();
    tool(folder.path(), &shorter);
    assert_eq!(stored_progress(), Some(done));
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
    assert_eq!(state(), None, "the state is removed at the end");
}

#[test]
fn findings_have_colors_only_on_request() {
    let folder = folder_with_corpus();
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
fn findings_are_stored_and_reported_even_if_one_output_cannot_be_written() {
    let folder = folder_with_corpus();
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
        // Without this, printing the first line fails already.
        "--quiet",
    ]);
    if let Ok(full) = full {
        campaign.stdout(full);
    }
    let ended = campaign.output().expect("it runs");
    assert_eq!(code(&ended), exit_code::FINDINGS, "{}", text(&ended.stderr));
    let report = std::fs::read(folder.path().join("reports/report.json")).expect("it was written");
    assert!(text(&report).contains("plugin_fault"), "{}", text(&report));
    let artifacts = Case::<Request>::read_folder(&folder.path().join("artifacts"));
    assert!(!artifacts.expect("it can be read").cases.is_empty());
}

#[test]
fn a_corpus_without_calls_of_negotiated_functions_is_an_error() {
    let folder = folder_with_corpus();
    let corpus = folder.path().join("elsewhere");
    std::fs::create_dir(&corpus).expect("it can be created");
    let written = case([healthy("observe_v1")]).write(&corpus.join("observe.json"));
    written.expect("it can be written");
    let (code, printed) = run_seeds(folder.path(), &["--corpus", "elsewhere"]);
    assert_eq!(code, exit_code::COULD_NOT_RUN, "{printed}");
    let message = "no case of the corpus calls a function that the plugin negotiated; it has: shape_v1, shape_v2";
    assert!(printed.contains(message), "{printed}");
    // Together with a corpus that has such calls, it is accepted.
    let (code, printed) = run_seeds(
        folder.path(),
        &["--corpus", "elsewhere", "--corpus", "corpus"],
    );
    assert_eq!(code, exit_code::FINDINGS, "{printed}");
}

#[test]
fn a_campaign_with_another_seed_leaves_an_interrupted_one_resumable() {
    let folder = folder_with_corpus();
    let artifacts = folder.path().join("artifacts");
    std::fs::create_dir(&artifacts).expect("it can be created");
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
    campaign.kill().expect("it can be killed");
    campaign.wait().expect("it exits");
    assert_eq!(states().len(), 1);
    let other = [&flags[..4], &["--seed", "22", "--cases", "64"]].concat();
    tool(folder.path(), &other);
    assert_eq!(states().len(), 1, "the state still exists");
    let rest = tool(
        folder.path(),
        &[&flags[..4], &["--resume", "--cases", "64"]].concat(),
    );
    let printed = text(&rest.stdout);
    assert!(printed.contains("seed 11"), "{printed}");
}

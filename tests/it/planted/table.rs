//! Runs the command line tool on each planted plugin for a minute, and prints the findings as a
//! table:
//!
//! ```sh
//! cargo test --release planted_table -- --ignored --nocapture
//! ```
//!
//! `CC_LB_FUZZ_PLANTED` selects one plugin by its name.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::plugins::{Planted, all};

/// The time limit of each run.
const TIME: &str = "60s";

/// The result of a run: the keys of the findings, their shrunk cases, and the number of cases that
/// ran.
struct RunResult {
    keys: Vec<String>,
    cases: Vec<String>,
    ran: u64,
    seconds: u64,
}

fn run(folder: &Path, planted: &Planted) -> RunResult {
    let name = planted.name.replace(' ', "_");
    let file = folder.join(&name).with_extension("wasm");
    std::fs::write(&file, &planted.wasm).expect("the plugin can be written");
    let report = folder.join(&name).with_extension("json");
    let start = Instant::now();
    let output = Command::new(assert_cmd::cargo::cargo_bin("cc-lb-fuzz"))
        .current_dir(folder)
        .args(["run", "--quiet", "--seed", "1", "--time", TIME])
        .arg("--artifacts")
        .arg(folder.join(&name))
        .arg("--report")
        .arg(format!("json={}", report.display()))
        .arg(&file)
        .output()
        .expect("the tool runs");
    let seconds = start.elapsed().as_secs();
    let json = std::fs::read(&report);
    let json = json.unwrap_or_else(|error| panic!("{name}: {error}: {output:?}"));
    let report: Value = serde_json::from_slice(&json).expect("the report is JSON");
    let list = |name: &str| report[name].as_array().expect("the field is a list").iter();
    let findings = list("findings").chain(list("found_limits"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    RunResult {
        keys: findings
            .clone()
            .map(|finding| {
                let [check, function, class] =
                    ["check", "function", "class"].map(|field| text(&finding[field]));
                format!("{check}-{function}-{class}-")
            })
            .collect(),
        cases: findings
            .map(|finding| text(&finding["case_text"]))
            .collect(),
        ran: report["cases"].as_u64().unwrap_or_default(),
        seconds,
    }
}

#[test]
#[ignore = "a minute for each of two dozen plugins"]
fn planted_table() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["plugin", "found", "smallest case", "cases", "seconds"]);
    let mut wrong = BTreeSet::new();
    let only = std::env::var("CC_LB_FUZZ_PLANTED").ok();
    let is_selected = |planted: &Planted| only.as_ref().is_none_or(|only| planted.name == *only);
    for planted in all().into_iter().filter(is_selected) {
        let result = run(folder.path(), &planted);
        if result.keys.iter().map(String::as_str).ne(planted.finds) {
            wrong.insert(planted.name);
        }
        table.add_row([
            planted.name.to_owned(),
            result.keys.join("; "),
            result.cases.join("; ").replace("\n", "; "),
            result.ran.to_string(),
            result.seconds.to_string(),
        ]);
    }
    println!("{table}");
    assert!(
        !table.is_empty(),
        "no plugin has the name in CC_LB_FUZZ_PLANTED"
    );
    assert!(wrong.is_empty(), "unexpected findings: {wrong:?}");
}

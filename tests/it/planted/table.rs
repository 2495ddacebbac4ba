//! What the command line tool finds in every plugin of ours, a minute each.
//!
//! ```sh
//! cargo test --release planted_table -- --ignored --nocapture
//! ```
//!
//! With `CC_LB_FUZZ_PLANTED` set to its name, in one of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::plugins::{Planted, all};

/// How long each is run.
const TIME: &str = "60s";

/// What a run tells of a plugin: the keys of its findings, the cases that they were shrunk to, and how many cases ran.
struct KnownFindings {
    keys: Vec<String>,
    cases: Vec<String>,
    ran: u64,
    seconds: u64,
}

fn run(folder: &Path, planted: &Planted) -> KnownFindings {
    let name = planted.name.replace(' ', "_");
    let file = folder.join(&name).with_extension("wasm");
    std::fs::write(&file, &planted.wasm).expect("it can be written");
    let report = folder.join(&name).with_extension("json");
    let start = Instant::now();
    let ended = Command::new(assert_cmd::cargo::cargo_bin("cc-lb-fuzz"))
        .current_dir(folder)
        .args(["run", "--quiet", "--seed", "1", "--time", TIME])
        .arg("--artifacts")
        .arg(folder.join(&name))
        .arg("--report")
        .arg(format!("json={}", report.display()))
        .arg(&file)
        .output()
        .expect("it runs");
    let seconds = start.elapsed().as_secs();
    let told = std::fs::read(&report);
    let told = told.unwrap_or_else(|error| panic!("{name}: {error}: {ended:?}"));
    let told: Value = serde_json::from_slice(&told).expect("it is JSON");
    let list = |name: &str| told[name].as_array().expect("a list").iter();
    let findings = list("findings").chain(list("found_limits"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    KnownFindings {
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
        ran: told["cases"].as_u64().unwrap_or_default(),
        seconds,
    }
}

#[test]
#[ignore = "a minute for each of two dozen plugins"]
fn planted_table() {
    let folder = tempfile::tempdir().expect("there is room");
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["plugin", "found", "smallest case", "cases", "seconds"]);
    let mut wrong = BTreeSet::new();
    let only = std::env::var("CC_LB_FUZZ_PLANTED").ok();
    let is_meant = |planted: &Planted| only.as_ref().is_none_or(|only| planted.name == *only);
    for planted in all().into_iter().filter(is_meant) {
        let told = run(folder.path(), &planted);
        if told.keys.iter().map(String::as_str).ne(planted.finds) {
            wrong.insert(planted.name);
        }
        table.add_row([
            planted.name.to_owned(),
            told.keys.join("; "),
            told.cases.join("; ").replace("\n", "; "),
            told.ran.to_string(),
            told.seconds.to_string(),
        ]);
    }
    println!("{table}");
    assert!(!table.is_empty(), "there is no such plugin");
    assert!(wrong.is_empty(), "not as planted: {wrong:?}");
}

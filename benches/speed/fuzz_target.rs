//! Compares the fuzz target `dispatch`, if it is built, with bare calls.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::Figure;
use crate::dispatches::hostile_bare_calls;

const ROUNDS: u64 = 3;

/// The time that the target runs in a round, in seconds.
const SECONDS: u64 = 20;

/// The program that `RUSTC_WRAPPER=fuzz/rustc-wrapper cargo +nightly fuzz build -s none dispatch`
/// builds.
const TARGET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/x86_64-unknown-linux-gnu/release/dispatch"
);

/// Returns the dispatches per second of the target, which prints their number from time to time.
fn dispatches(seed: u64) -> f64 {
    let corpus = tempfile::tempdir().expect("there is room");
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/dispatch");
    let start = Instant::now();
    let ended = Command::new(TARGET)
        .current_dir(corpus.path())
        .args([corpus.path(), Path::new(seeds)])
        .args([
            format!("-max_total_time={SECONDS}"),
            format!("-seed={}", seed + 1),
        ])
        .output()
        .expect("it runs");
    let elapsed = start.elapsed();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    let counts = told
        .lines()
        .filter_map(|line| line.strip_suffix(" dispatches")?.parse::<f64>().ok());
    counts.fold(0.0, f64::max) / elapsed.as_secs_f64()
}

pub fn figures() -> Vec<Figure> {
    if !Path::new(TARGET).exists() {
        eprintln!("the fuzz target is not built: cargo +nightly fuzz build -s none dispatch");
        return Vec::new();
    }
    let (mut own, mut calls) = (0.0, 0.0);
    let rounds = (0..ROUNDS).map(|round| {
        (own, calls) = (dispatches(round), hostile_bare_calls(round));
        own / calls
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let aside = format!("{:.0} k/s over {:.0} k/s", own / 1e3, calls / 1e3);
    let what = "dispatches of `cargo fuzz run dispatch` over bare calls and renewals";
    vec![Figure::of(what, &mut rounds, "", "0.33", aside)]
}

//! The fuzz target `dispatch`, where it has been built, against bare calls.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cc_lb_fuzz::host::dispatch::seal;
use cc_lb_fuzz::puppet;
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::Figure;
use crate::dispatches::bare;

const ROUNDS: usize = 3;

/// How long the target runs in a round, in seconds.
const SECONDS: u64 = 20;

/// What `RUSTC_WRAPPER=fuzz/rustc-wrapper cargo +nightly fuzz build dispatch` makes.
const TARGET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fuzz/target/x86_64-unknown-linux-gnu/release/dispatch"
);

/// The dispatches in a second of the target, which tells now and then how many it has done.
fn dispatches(seed: usize) -> f64 {
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

/// The bare calls in a second of the dry-run request.
fn bare_calls() -> f64 {
    let compiled = bare(extism::Manifest::new([extism::Wasm::data(puppet::wasm())]));
    let mut plugin = extism::Plugin::new_from_compiled(&compiled).expect("it opens");
    let input = seal(&ShapeFn::dry_run_request(), 1).expect("it serializes");
    let (start, mut calls) = (Instant::now(), 0.0);
    while start.elapsed() < Duration::from_secs(2) {
        let answer = plugin.call::<&str, &[u8]>("shape", &input);
        assert!(answer.is_ok());
        calls += 1.0;
    }
    calls / start.elapsed().as_secs_f64()
}

pub fn figures() -> Vec<Figure> {
    if !Path::new(TARGET).exists() {
        eprintln!("the fuzz target is not built: cargo +nightly fuzz build dispatch");
        return Vec::new();
    }
    let (mut own, mut calls) = (0.0, 0.0);
    let rounds = (0..ROUNDS).map(|round| {
        (own, calls) = (dispatches(round), bare_calls());
        own / calls
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let aside = format!("{:.0} k/s over {:.0} k/s", own / 1e3, calls / 1e3);
    let what = "dispatches of `cargo fuzz run dispatch` over bare calls of a dry-run request";
    vec![Figure::of(what, &mut rounds, "", "0.33", aside)]
}

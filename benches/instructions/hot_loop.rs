//! Counts the instructions of a campaign's hot loop. Unlike times, they are the same on a busy
//! machine.
//!
//! `.ci/instructions BASE` compares them with those of another commit. Bugs in this module look
//! like a loop that has become slower by more than [`TOLERANCE_PERCENT`] unnoticed.

use std::hint::black_box;

use cc_lb_fuzz::campaign::Block;
use cc_lb_fuzz::execute::InProcessExecutor;
use cc_lb_fuzz::generate::{CaseGenerator, Cases, Phase, Plan};
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};

/// The largest tolerated increase of the instructions, in percent.
const TOLERANCE_PERCENT: f64 = 5.0;

const CASES: u64 = 128;

/// Returns a plan of arbitrary requests without programs: under Callgrind, programs would exceed
/// the time limit.
fn plan() -> Plan {
    Plan {
        phases: vec![Phase::Random],
        generator: CaseGenerator::plugin::<Request>(),
        ..Plan::puppet::<Request>(1, CASES)
    }
}

/// Returns cases that were generated once, so that everything computed on first use exists.
fn drawn() -> Cases<Request> {
    let cases = Cases::new(&plan());
    make(&cases);
    cases
}

fn make(cases: &Cases<Request>) -> usize {
    let steps = (0..CASES).map(|case| black_box(cases.nth(case)).steps.len());
    steps.sum()
}

#[library_benchmark(setup = drawn)]
#[bench::random()]
fn making_cases(cases: Cases<Request>) -> usize {
    make(&cases)
}

/// Returns an executor whose guest is compiled, and which has run the cases once.
fn warm() -> (Plan, InProcessExecutor<'static, PluginHost>) {
    let host = PluginHost::new(puppet::wasm()).expect("the puppet opens");
    let mut executor =
        InProcessExecutor::new(Box::leak(Box::new(host)), Subject::Puppet).expect("it opens");
    let plan = plan();
    run(&plan, &mut executor);
    (plan, executor)
}

fn run(plan: &Plan, executor: &mut InProcessExecutor<'_, PluginHost>) -> Block {
    let block = executor.run_block(plan, 0..CASES, None, |_| ());
    block.expect("the puppet opens")
}

#[library_benchmark(setup = warm)]
#[bench::random()]
fn running_cases((plan, mut executor): (Plan, InProcessExecutor<'static, PluginHost>)) -> u64 {
    black_box(run(&plan, &mut executor)).cases
}

library_benchmark_group!(name = hot_loop, benchmarks = [making_cases, running_cases]);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--cache-sim=no"]).soft_limits([(EventKind::Ir, TOLERANCE_PERCENT)])
    ),
    library_benchmark_groups = hot_loop
);

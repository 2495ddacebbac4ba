//! Compares the loop of a campaign with bare calls.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cc_lb_fuzz::case::Depth;
use cc_lb_fuzz::check::{CHECKS, Violation, check_all};
use cc_lb_fuzz::execute::{InProcessExecutor, Runner};
use cc_lb_fuzz::generate::{CaseGenerator, Cases, Phase, Plan};
use cc_lb_fuzz::host::{PluginHost, guard};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use crate::Figure;

/// The number of rounds of each figure, and of the cases of a round.
const ROUNDS: u64 = 24;
const CASES: u64 = 2_048;

/// A call of a guest, and whether its instance must be renewed afterwards.
struct Input {
    function: &'static str,
    bytes: Vec<u8>,
    renews: bool,
}

/// Compiles a plugin, with or without the guard, with the protocol's limits.
pub fn bare(manifest: extism::Manifest) -> extism::CompiledPlugin {
    let manifest = manifest
        .with_timeout(Duration::from_millis(HANDSHAKE_WALL_MS))
        .disallow_all_hosts();
    extism::PluginBuilder::new(manifest)
        .with_wasi(false)
        .with_cache_disabled()
        .with_fuel_limit(HANDSHAKE_FUEL)
        .compile()
        .expect("the puppet compiles")
}

/// Returns a plan of arbitrary cases, with or without programs for the puppet.
pub fn plan(programs: bool) -> Plan {
    let mut plan = Plan::puppet::<Request>(1, ROUNDS * CASES);
    plan.phases = vec![Phase::Random];
    if !programs {
        plan.generator = CaseGenerator {
            programs: None,
            ..CaseGenerator::puppet::<Request>()
        };
    }
    plan
}

/// Returns the inputs of the guest in the cases of a round, and the number of calls that fell back.
fn inputs(runner: &mut Runner<'_, PluginHost>, plan: &Plan, round: u64) -> (Vec<Input>, usize) {
    let cases = Cases::<Request>::new(plan);
    let mut failed = 0;
    let mut inputs = Vec::new();
    for case in round * CASES..(round + 1) * CASES {
        let record = runner
            .run(&cases.nth(case), Depth::Light)
            .expect("it opens");
        for step in record.steps {
            let cause = step.call.cause.as_ref();
            failed += usize::from(cause.is_some());
            if let Some(bytes) = step.input() {
                let bytes = bytes.to_vec();
                let function = step.function.name;
                let renews = cause.is_some_and(cc_lb_fuzz::host::Cause::is_abnormal);
                inputs.push(Input {
                    function,
                    bytes,
                    renews,
                });
            }
        }
    }
    (inputs, failed)
}

/// Returns the time of bare calls with all inputs, with a fresh instance after those that need one.
fn bare_calls(compiled: &extism::CompiledPlugin, inputs: &[Input]) -> Duration {
    let open = || extism::Plugin::new_from_compiled(compiled).expect("it opens");
    let mut plugin = open();
    let start = Instant::now();
    for input in inputs {
        let answered = plugin.call::<&[u8], &[u8]>(input.function, &input.bytes);
        let _ = black_box(answered.map(<[u8]>::len));
        if input.renews {
            plugin = open();
        }
    }
    start.elapsed()
}

/// Returns the time of a campaign's loop over the cases of a round, either without second sessions
/// or as campaigns run. Returns `None` if the machine was too busy for a call.
fn library(
    executor: &mut InProcessExecutor<'_, PluginHost>,
    plan: &Plan,
    round: u64,
    sampled: bool,
) -> Option<Duration> {
    let cases = round * CASES..(round + 1) * CASES;
    let start = Instant::now();
    let violations = if sampled {
        let block = executor.run_block(plan, cases, None, |_| ());
        let stopped = block.expect("it opens").stopped;
        stopped.map_or_else(Vec::new, |stopped| stopped.violations)
    } else {
        let all = Cases::<Request>::new(plan);
        let runs = cases.flat_map(|case| {
            let record = executor.runner().run_light(all.nth(case));
            check_all(CHECKS, &record.expect("it opens"))
        });
        runs.collect()
    };
    let elapsed = start.elapsed();
    let sound = violations.iter().all(Violation::is_flaky);
    assert!(sound, "{violations:?}");
    violations.is_empty().then_some(elapsed)
}

/// Returns the bare calls per second with the hostile mix of a round, including the renewals that
/// it forces.
pub fn hostile_bare_calls(round: u64) -> f64 {
    let host = PluginHost::new(puppet::wasm()).expect("the puppet opens");
    let mut runner = Runner::new(&host, Subject::Puppet).expect("it opens");
    let (inputs, _) = inputs(&mut runner, &plan(true), round);
    let compiled = bare(guard::manifest(puppet::wasm()).expect("it may run"));
    inputs.len() as f64 / bare_calls(&compiled, &inputs).as_secs_f64()
}

fn figure(what: &'static str, goal: &'static str, programs: bool, sampled: bool) -> Figure {
    let host = PluginHost::new(puppet::wasm()).expect("the puppet opens");
    let mut executor = InProcessExecutor::new(&host, Subject::Puppet).expect("it opens");
    let plan = plan(programs);
    // The hostile mix kills a host without the guard.
    let compiled = bare(if programs {
        guard::manifest(puppet::wasm()).expect("it may run")
    } else {
        extism::Manifest::new([extism::Wasm::data(puppet::wasm())])
    });
    let (mut ratios, mut rates, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut all, mut failed) = (0, 0);
    for round in 0..ROUNDS {
        let (inputs, failing) = inputs(executor.runner(), &plan, round);
        all += inputs.len();
        failed += failing;
        let Some(own) = library(&mut executor, &plan, round, sampled) else {
            continue;
        };
        let bare = bare_calls(&compiled, &inputs);
        ratios.push(bare.as_secs_f64() / own.as_secs_f64());
        rates.push(inputs.len() as f64 / own.as_secs_f64());
        calls.push(inputs.len() as f64 / bare.as_secs_f64());
    }
    let median = |of: &mut Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2] / 1000.0
    };
    let aside = format!(
        "{:.0} k/s over {:.0} k/s, {:.1} % failing",
        median(&mut rates),
        median(&mut calls),
        100.0 * failed as f64 / all as f64
    );
    Figure::of(what, &mut ratios, "", goal, aside)
}

pub fn figures() -> Vec<Figure> {
    vec![
        figure(
            "dispatches, a guest that answers, over bare calls",
            "0.60",
            false,
            false,
        ),
        figure(
            "the same, with the checks that compare",
            "0.45",
            false,
            true,
        ),
        figure(
            "dispatches of the hostile mix over bare calls and renewals",
            "0.50",
            true,
            false,
        ),
    ]
}

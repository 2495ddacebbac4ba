//! How the time of a dispatch is spent: each stage of a campaign's loop is measured by itself over
//! the same cases.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cc_lb_fuzz::case::{Case, Depth};
use cc_lb_fuzz::check::{CHECKS, check_all};
use cc_lb_fuzz::execute::Runner;
use cc_lb_fuzz::generate::Cases;
use cc_lb_fuzz::host::{PluginHost, decode_envelope, encode_envelope, guard};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::{CaseRecord, Subject};
use cc_lb_fuzz::wire::{Request, Visitor, Vocabulary as _};
use cc_lb_plugin_wire::wire_function::WireFunction;
use comfy_table::{CellAlignment, Table};

use crate::dispatches::{bare, plan};

const CASES: u64 = 1_024;

/// The number of tries, of which the fastest counts.
const TRIES: usize = 12;

/// Encodes a request as the session does.
struct Seal;

impl Visitor for Seal {
    type Output = usize;

    fn visit<F: WireFunction>(self, request: F::Request) -> usize {
        encode_envelope(&request, 1).map_or(0, |text| text.len())
    }
}

/// Decodes a response as the session does, and serializes it as the runner does.
struct Unseal<'a>(&'a [u8]);

impl Visitor for Unseal<'_> {
    type Output = bool;

    fn visit<F: WireFunction>(self, _: F::Request) -> bool {
        let response = decode_envelope::<F::Response>(self.0, 1);
        response.is_ok_and(|response| serde_json::to_value(response).is_ok())
    }
}

/// Returns the time of the fastest try, without the time of `prepare`.
fn fastest<P>(prepare: impl Fn() -> P, mut work: impl FnMut(P)) -> Duration {
    let mut once = || {
        let prepared = prepare();
        let start = Instant::now();
        work(prepared);
        start.elapsed()
    };
    (0..TRIES).map(|_| once()).min().unwrap_or_default()
}

/// Returns the number of dispatches, and the time of each stage over all of them.
fn stages() -> (usize, Vec<(&'static str, Duration)>) {
    let host = PluginHost::new(puppet::wasm()).expect("it opens");
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("it opens");
    let plan = plan(false);
    let all = Cases::<Request>::new(&plan);
    let cases: Vec<Case> = (0..CASES).map(|case| all.nth(case)).collect();
    let run = |runner: &mut Runner<'_, PluginHost>, case: &Case| {
        runner.run(case, Depth::Light).expect("it opens")
    };
    let records: Vec<CaseRecord> = cases.iter().map(|case| run(&mut runner, case)).collect();
    let steps: Vec<_> = records.iter().flat_map(|record| &record.steps).collect();
    let requests = || -> Vec<Request> {
        let of_cases = cases.iter().zip(&records);
        let of_steps = of_cases.flat_map(|(case, record)| {
            let told = |step: &cc_lb_fuzz::record::StepRecord| {
                case.steps[step.step_index].request_with_program()
            };
            record.steps.iter().map(told)
        });
        of_steps.collect()
    };
    let inputs: Vec<&[u8]> = steps.iter().filter_map(|s| s.input()).collect();
    let answers: Vec<&[u8]> = steps
        .iter()
        .filter_map(|s| s.call.output.as_deref())
        .collect();
    let calls = |compiled: &extism::CompiledPlugin, pause: Duration| {
        let mut plugin = extism::Plugin::new_from_compiled(compiled).expect("it opens");
        let mut call = || {
            let mut paused = Duration::ZERO;
            for (step, input) in steps.iter().zip(&inputs) {
                let answer = plugin.call::<&[u8], &[u8]>(step.function.name, input);
                black_box(answer.map(<[u8]>::len).is_ok());
                let called = Instant::now();
                while !pause.is_zero() && called.elapsed() < pause {}
                paused += called.elapsed();
            }
            paused
        };
        // The time between the calls does not count.
        let once = |_| {
            let start = Instant::now();
            let paused = call();
            start.elapsed().saturating_sub(paused)
        };
        (0..TRIES).map(once).min().unwrap_or_default()
    };
    let plain = bare(extism::Manifest::new([extism::Wasm::data(puppet::wasm())]));
    let bare_calls = calls(&plain, Duration::ZERO);
    let guard = guard::manifest(puppet::wasm()).expect("it may run");
    let guarded = calls(&bare(guard), Duration::ZERO);
    let whole = fastest(
        || (),
        |()| {
            for case in 0..CASES {
                let record = runner.run_light(all.nth(case)).expect("it opens");
                black_box(check_all(CHECKS, &record).len());
            }
        },
    );
    let generate = fastest(
        || (),
        |()| (0..CASES).for_each(|case| drop(black_box(all.nth(case)))),
    );
    let say = fastest(
        || (),
        |()| {
            for (input, answer) in inputs.iter().zip(&answers) {
                black_box(puppet::predict(input, answer, 0).allocates);
            }
        },
    );
    let sealing = fastest(requests, |requests| {
        requests
            .into_iter()
            .for_each(|request| assert!(black_box(request.visit(Seal)) > 0));
    });
    let unsealing = fastest(requests, |requests| {
        for (request, answer) in requests.into_iter().zip(&answers) {
            black_box(request.visit(Unseal(answer)));
        }
    });
    let checks = fastest(
        || (),
        |()| {
            records
                .iter()
                .for_each(|record| drop(black_box(check_all(CHECKS, record))));
        },
    );
    let mut stages = vec![
        ("the bare call", bare_calls),
        ("the guard", guarded.saturating_sub(bare_calls)),
        ("making the case", generate),
        ("predicting the outcome", say),
        ("encoding the request", sealing),
        ("decoding the answer, and reading its JSON", unsealing),
        ("the checks", checks),
    ];
    // Extism notifies its timer thread at the beginning and end of each call. If calls do not
    // follow each other at once, that thread is asleep, and waking it takes a system call.
    let between = whole.saturating_sub(bare_calls) / steps.len() as u32;
    let woken = calls(&plain, between).saturating_sub(bare_calls);
    stages.insert(1, ("waking the timer of Extism, asleep by then", woken));
    let told: Duration = stages.iter().map(|(_, time)| *time).sum();
    stages.push(("all else: clocks, records", whole.saturating_sub(told)));
    (steps.len(), stages)
}

/// Returns the table of the stages.
pub fn table() -> String {
    let (dispatches, stages) = stages();
    let whole: Duration = stages.iter().map(|(_, time)| *time).sum();
    let mut table = Table::new();
    table.set_header(["stage", "µs", "share"]);
    for (what, time) in stages {
        let each = time.as_secs_f64() * 1e6 / dispatches as f64;
        let share = 100.0 * time.as_secs_f64() / whole.as_secs_f64();
        table.add_row([
            what.to_owned(),
            format!("{each:.2}"),
            format!("{share:.0} %"),
        ]);
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    crate::text(table)
}

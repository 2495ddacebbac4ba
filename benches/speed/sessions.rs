//! The time to open a session, the memory that sessions take, and what the guard costs.

use std::time::{Duration, Instant};

use cc_lb_fuzz::execute::memory;
use cc_lb_fuzz::host::{Host, PluginHost, PluginSession, Session, encode_envelope, guard};
use cc_lb_fuzz::puppet::{self, Import, Op, Operand, Program};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use cc_lb_plugin_conformance::dispatch::PluginSession as PublishedSession;
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::Figure;
use crate::dispatches::bare;

const ROUNDS: usize = 12;

/// The numbers of dispatches after which memory is measured.
const FEW: u64 = 100_000;
const MANY: u64 = 10_000_000;

fn timed(times: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..times).for_each(|_| work());
    start.elapsed() / times
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

fn opening() -> Figure {
    let host = PluginHost::new(puppet::wasm()).expect("it opens");
    let mut own = Duration::ZERO;
    let rounds = (0..ROUNDS).map(|_| {
        own = timed(64, || drop(host.open().expect("it opens")));
        let published = timed(4, || {
            drop(PublishedSession::new(puppet::wasm()).expect("it opens"));
        });
        ratio(published, own)
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let aside = format!("{} µs", own.as_micros());
    let what = "the published session's opening over a fresh session's";
    Figure::of(what, &mut rounds, "", "50", aside)
}

/// Compares a healthy call with and without the guard.
fn guarded() -> Vec<Figure> {
    let compiled = [
        bare(guard::manifest(puppet::wasm()).expect("it may run")),
        bare(extism::Manifest::new([extism::Wasm::data(puppet::wasm())])),
    ];
    let open = |compiled| extism::Plugin::new_from_compiled(compiled).expect("it opens");
    let [mut guarded, mut bare] = [open(&compiled[0]), open(&compiled[1])];
    let input = encode_envelope(&ShapeFn::dry_run_request(), 1).expect("it serializes");
    let call = |plugin: &mut extism::Plugin| {
        plugin
            .call::<&str, &[u8]>("shape", &input)
            .expect("it answers")
            .len()
    };
    let rounds = (0..2 * ROUNDS).map(|_| {
        let own = timed(2_000, || assert!(call(&mut guarded) > 0));
        let other = timed(2_000, || assert!(call(&mut bare) > 0));
        ratio(own, other)
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let [own, other] = [&guarded, &bare].map(|plugin| plugin.fuel_consumed().unwrap_or_default());
    vec![
        Figure::of(
            "a guarded call over an unguarded one",
            &mut rounds,
            "",
            "at most 1.10",
            format!("{own} fuel over {other}"),
        ),
        store(&mut guarded, &mut bare),
        answer(&mut guarded, &mut bare),
    ]
}

/// Returns how much more fuel a store takes in the guard than in Extism's kernel.
fn store(guarded: &mut extism::Plugin, bare: &mut extism::Plugin) -> Figure {
    let alloc = Op::Call {
        function: Import::Alloc,
        operands: [constant(8), constant(0)],
        to: 0,
    };
    let block = Operand {
        register: Some(0),
        add: 0,
    };
    let store = Op::Call {
        function: Import::StoreU64,
        operands: [block, constant(-1)],
        to: 1,
    };
    let program = |stores: u32| {
        let stores = std::iter::repeat_n(store.clone(), stores as usize);
        Program(std::iter::once(alloc.clone()).chain(stores).collect())
    };
    let what = "the guard's fuel for each store over Extism's";
    let [own, other] = [guarded, bare].map(|plugin| fuel_of_each(plugin, [50, 100], &program));
    let aside = format!("with what the puppet takes for each: {own} over {other}");
    Figure::of(what, &mut [own - other], "", "at most 0", aside)
}

/// Returns how much more fuel eight bytes of an answer take with the guard than with Extism's
/// kernel: the guard copies them.
fn answer(guarded: &mut extism::Plugin, bare: &mut extism::Plugin) -> Figure {
    let program = |words: u32| {
        let (byte, times) = (b' ', 8 * words);
        Program(vec![Op::Repeat { byte, times }])
    };
    let what = "the guard's fuel for eight bytes of an answer over Extism's";
    let [own, other] = [guarded, bare].map(|plugin| fuel_of_each(plugin, [1_000, 2_000], &program));
    let aside = format!("with what the puppet takes for them: {own} over {other}");
    Figure::of(what, &mut [own - other], "", "at most 24", aside)
}

/// Returns the fuel that each operation takes, from two calls with different numbers of operations.
fn fuel_of_each(
    plugin: &mut extism::Plugin,
    numbers: [u32; 2],
    program: &dyn Fn(u32) -> Program,
) -> f64 {
    let [few, many] = numbers.map(|number| {
        let mut request = Request::dry_run(0);
        request.carry(program(number).encode());
        let input = request.to_json().expect("it serializes").to_string();
        let answer = plugin.call::<&str, &[u8]>("shape", &input);
        assert!(answer.is_ok(), "it returns");
        plugin.fuel_consumed().unwrap_or_default()
    });
    (many as f64 - few as f64) / f64::from(numbers[1] - numbers[0])
}

fn constant(add: i64) -> Operand {
    Operand {
        register: None,
        add,
    }
}

fn memory() -> Figure {
    let mut session = PluginSession::new(puppet::wasm()).expect("it opens");
    let mut resident = Vec::new();
    for dispatch in 1..=MANY {
        let _ = Session::dispatch::<ShapeFn>(&mut session, ShapeFn::dry_run_request());
        if dispatch == FEW || dispatch == MANY {
            resident.push(memory::resident().unwrap_or_default());
        }
    }
    let grown = resident[1].saturating_sub(resident[0]) as f64 / f64::from(1 << 20);
    Figure::of(
        "resident memory that 10,000,000 dispatches take more than 100,000",
        &mut [grown],
        " MiB",
        "under 1 MiB",
        format!("{} MiB in all", resident[1] >> 20),
    )
}

pub fn figures() -> Vec<Figure> {
    let mut figures = vec![opening()];
    figures.extend(guarded());
    figures.push(memory());
    figures
}
